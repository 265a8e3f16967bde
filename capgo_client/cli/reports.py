"""What a simulation found, for people (a table), for programs (JSON) and for CI (JUnit XML)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from capgo_client.cli.launching import Launched
    from capgo_client.cli.verdicts import Verdict

__all__ = ["Row", "Summary", "as_json", "as_junit", "as_line", "as_lines", "header"]

#: XML 1.0 cannot say these at all.
_UNSPEAKABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Row:
    """One launch: its number, its fault and the fault's group, which kind of version opened, and the verdict.

    ``kind`` is ``builtin``, ``new`` (opened for the first time), ``old`` or "" when nothing opened.
    """

    number: int
    fault: str
    group: str
    kind: str
    launched: Launched
    verdict: Verdict

    @property
    def is_good(self) -> bool:
        """Whether every promise was kept."""
        return self.verdict.word == "good"


@dataclass(frozen=True, slots=True)
class Summary:
    """The rows added up; ``left_out`` are faults that were asked for and cannot be had, with the reason."""

    rows: tuple[Row, ...]
    left_out: dict[str, str]

    @property
    def tried(self) -> list[str]:
        """Faults that at least one launch met, in the order in which they came."""
        return list(dict.fromkeys(row.fault for row in self.rows if row.group))

    @property
    def survived(self) -> list[str]:
        """Those that no launch took harm from."""
        harmful = {row.fault for row in self.rows if not row.is_good}
        return [name for name in self.tried if name not in harmful]

    @property
    def slowest(self) -> float:
        """What the slowest ``start()`` took (seconds)."""
        return max((row.launched.seconds or 0.0 for row in self.rows), default=0.0)

    @property
    def is_good(self) -> bool:
        """Whether every launch was."""
        return all(row.is_good for row in self.rows)

    def opened(self, kind: str) -> int:
        """How many launches opened that kind of version."""
        return sum(row.kind == kind for row in self.rows)


def header(width: int) -> str:
    """The table's first line; ``width`` is that of the column of the faults."""
    return f"{'launch':>6}  {'fault':<{width}}  {'opened':<16} {'start()':>9}  {'ready':<5}  verdict"


def as_line(row: Row, width: int) -> str:
    """One row of the table."""
    seen = row.launched
    opened = f"{seen.version} ({row.kind})" if seen.version else "nothing"
    seconds = "-" if seen.seconds is None else f"{seen.seconds:.3f} s"
    ready = "yes" if seen.ready else "no"
    verdict = row.verdict.word + (f" {row.verdict.promise}: {row.verdict.why}" if row.verdict.why else "")
    if row.is_good and seen.ordered:
        then = f"; then {seen.reopened} opened" if seen.reopened else ""
        verdict = f"good (as ordered: {seen.ordered}{then})"
    return f"{row.number:>6}  {row.fault:<{width}}  {opened:<16} {seconds:>9}  {ready:<5}  {verdict}"


def as_lines(summary: Summary) -> list[str]:
    """What is said below the table."""
    rows = summary.rows
    new, old, builtin, nothing = map(summary.opened, ("new", "old", "builtin", ""))
    lines = [
        f"Launches: {len(rows)}; opened: new version {new}, old version {old}, builtin {builtin}, nothing {nothing}.",
        f"Slowest start(): {summary.slowest:.3f} s.",
        f"Faults survived: {len(summary.survived)} of {len(summary.tried)}.",
    ]
    if summary.left_out:
        lines.append(f"Left out: {len(summary.left_out)} faults that cannot be had here (--json says why).")
    if not summary.opened("new") and summary.is_good and len(rows) > 1:
        said = next((row.launched.result for row in reversed(rows) if row.launched.result), "")
        lines.append(f"No update opened in any launch{f'; the last check: {said}' if said else ''}.")
    lines += [f"BROKEN in launch {row.number} ({row.fault}): {_why(row)}" for row in rows if not row.is_good]
    return [*lines, _conclusion(summary)]


def _conclusion(summary: Summary) -> str:
    if summary.is_good:
        return "Every launch was good."
    if not summary.rows[0].is_good:
        return "The app does not open even where nothing is wrong, so nothing else was tried."
    return "The app was harmed."


def as_json(summary: Summary, *, app: str) -> str:
    """Everything, as one JSON document."""
    document = {
        "app": app,
        "good": summary.is_good,
        "launches": [_row(row) for row in summary.rows],
        "opened": {kind or "nothing": summary.opened(kind) for kind in ("new", "old", "builtin", "")},
        "slowest_start": round(summary.slowest, 4),
        "faults": {"tried": summary.tried, "survived": summary.survived, "left_out": summary.left_out},
    }
    return json.dumps(document, indent=2) + "\n"


def _row(row: Row) -> dict[str, Any]:
    seen = row.launched
    return {
        "launch": row.number,
        "fault": row.fault,
        "group": row.group,
        "opened": seen.version,
        "kind": row.kind or "nothing",
        "start_seconds": None if seen.seconds is None else round(seen.seconds, 4),
        "ready": seen.ready,
        "ordered": seen.ordered,
        "reopened": seen.reopened,
        "raised": seen.raised,
        "crashed": seen.crashed,
        "answer": seen.answer,
        "result": seen.result,
        "exit_code": seen.exit_code,
        "ended_by": seen.ended,
        "verdict": row.verdict.word,
        "promise": row.verdict.promise,
        "why": row.verdict.why,
    }


def as_junit(summary: Summary, *, app: str) -> str:
    """A test suite with a case for each launch."""
    rows = summary.rows
    suite = ET.Element(
        "testsuite",
        name=f"capgo-client simulate {_speakable(app)}",
        tests=str(len(rows) + len(summary.left_out)),
        failures=str(sum(not row.is_good for row in rows)),
        errors="0",
        skipped=str(len(summary.left_out)),
        time=f"{sum(row.launched.took for row in rows):.3f}",
    )
    for row in rows:
        case = ET.SubElement(
            suite,
            "testcase",
            classname=f"simulate.{row.group or 'healthy'}",
            name=f"launch {row.number}: {row.fault}",
            time=f"{row.launched.took:.3f}",
        )
        if not row.is_good:
            failure = ET.SubElement(case, "failure", type=row.verdict.promise, message=_speakable(_why(row)))
            failure.text = _speakable(row.launched.said)
    for name, why in summary.left_out.items():
        case = ET.SubElement(suite, "testcase", classname="simulate.left-out", name=name, time="0")
        ET.SubElement(case, "skipped", message=_speakable(why))
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(suite, encoding="unicode") + "\n"


def _why(row: Row) -> str:
    return f"{row.verdict.promise}, {row.verdict.why}"


def _speakable(text: str) -> str:
    return _UNSPEAKABLE.sub("?", text)
