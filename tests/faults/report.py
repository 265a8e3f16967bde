"""The report: one page that needs nothing else, and the same facts as JSON."""

from __future__ import annotations

import base64
import gzip
import html
import json
import platform
import re
from dataclasses import asdict
from pathlib import Path

from .matrix import MODES, STATES

GROUPS = ("reaching", "answering", "meaning", "bytes", "device", "clock", "app")
_PAGE = Path(__file__).with_name("page.html")


def write(found, out: Path, *, which: str, took: float):
    """Write ``faults.html`` and ``faults.json`` into ``out``; return their paths."""
    out.mkdir(parents=True, exist_ok=True)
    found = sorted(found, key=lambda f: (f.fault, f.on, f.real, f.mode, f.state))
    page, data = out / "faults.html", out / "faults.json"
    told = {"which": which, "counts": counts(found), "cells": [_told(facts) for facts in found]}
    data.write_text(json.dumps(told, separators=(",", ":")), "utf-8")
    page.write_text(_page(found, which=which, took=took), "utf-8")
    return page, data


def counts(found) -> dict:
    """How many of what."""
    grey = sum(bool(f.unavailable) for f in found)
    red = sum(bool(f.broken) for f in found)
    return {
        "faults": len({f.fault for f in found}),
        "cells": len(found),
        "hold": len(found) - red - grey,
        "red": red,
        "grey": grey,
    }


def outcome(facts) -> str:
    """The colour of a cell: red, grey, new (the fault did not keep the update away) or holds."""
    if facts.broken:
        return "red"
    if facts.unavailable:
        return "grey"
    return "new" if any(seen["version"] == facts.offered for seen in facts.faulty) else "holds"


def _page(found, *, which: str, took: float) -> str:
    told_of = json.dumps([_told(facts) for facts in found], separators=(",", ":")).encode()
    values = {
        **counts(found),
        "which": which,
        "took": f"{took:.0f}",
        "where": html.escape(f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"),
        "table": _table(found),
        "facts": base64.b64encode(gzip.compress(told_of, mtime=0)).decode(),  # a tenth of the size
    }
    return re.sub("@([a-z]+)@", lambda match: str(values[match[1]]), _PAGE.read_text("utf-8"))


def _told(facts) -> dict:
    """Without what a person does not read: the bytes of files, the bodies of events."""
    told = asdict(facts)
    for seen in (*told["faulty"], *told["healthy"]):
        seen.pop("files", None)
        seen.pop("told", None)
        seen["lines"] = [[round(at, 4), kind, text] for at, kind, text in seen["lines"]]
    told["requests"] = [[round(at, 4), text] for at, text in told["requests"]]
    return told


def _table(found) -> str:
    squares: dict = {}
    for number, facts in enumerate(found):
        squares.setdefault((facts.group, facts.fault, facts.on, facts.real), {})[facts.mode, facts.state] = (
            number,
            facts,
        )
    columns = [(mode, state) for mode in MODES for state in STATES]
    used = [column for column in columns if any(column in row for row in squares.values())]
    lines = [_head(used)]
    for group in (*GROUPS, *sorted({key[0] for key in squares} - set(GROUPS))):
        rows = sorted((key, row) for key, row in squares.items() if key[0] == group)
        if rows:
            lines.append(f'<tr><th class="group" colspan="{len(used) + 1}">{html.escape(group or "unknown")}</th></tr>')
        lines += [_row(key, row, used) for key, row in rows]
    return f"<table>{''.join(lines)}</table>"


def _head(columns) -> str:
    modes = "".join(
        f'<th colspan="{sum(m == mode for m, _ in columns)}">{mode}</th>'
        for mode in MODES
        if any(m == mode for m, _ in columns)
    )
    states = "".join(f"<th>{state}</th>" for _, state in columns)
    return f"<thead><tr><th></th>{modes}</tr><tr><th></th>{states}</tr></thead>"


def _row(key, row, columns) -> str:
    _, fault, on, real = key
    name = fault + (f" on {on}" if on else "") + (" in real time" if real else "")
    return (
        f'<tr><th class="fault">{html.escape(name)}</th>{"".join(_square(row.get(column)) for column in columns)}</tr>'
    )


def _square(found) -> str:
    if found is None:
        return "<td></td>"
    number, facts = found
    kind = outcome(facts)
    slowest = max((seen["took"] for seen in facts.faulty), default=0.0)
    version = facts.faulty[-1]["version"] if facts.faulty else ""
    text = "cannot" if kind == "grey" else f"{slowest * 1000:.0f} {version}"
    title = "; ".join(facts.broken) or facts.unavailable or f"{facts.fault}, {facts.mode}, {facts.state}"
    title = html.escape(title[:400], quote=True)
    return f'<td><button class="{kind}" data-cell="{number}" title="{title}">{html.escape(text)}</button></td>'
