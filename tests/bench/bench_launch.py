"""What a launch costs: ``import capgo_client`` and ``start()`` with default options, over a bare interpreter."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

from bench_figures import Chart, Figure, Findings, Line, Ratio
from bench_harness import APP_ID, FIRST_VERSION, Bench, Case, meta

if TYPE_CHECKING:
    from pathlib import Path

SIX = "import json, threading, pathlib, dataclasses, logging, enum"
#: Ends the process at once: what comes after ``start()`` is the app's.
AT_ONCE = """import os
from capgo_client import Updater
opened = Updater({app!r}, {version!r}, {builtin!r}).start()
os._exit(opened.version != {expected!r})
"""
#: Ends it as an app does.
ORDERLY = """from capgo_client import Updater
opened = Updater({app!r}, {version!r}, {builtin!r}).start()
raise SystemExit(opened.version != {expected!r})
"""
FEW, MANY = 5, 5000
#: Nothing grows with files or installs; the CPU of so short a process varies by this much from run to run.
GROWTH = 1.1
#: No launch may reach the real service, whatever becomes of it.
NOWHERE = {"https_proxy": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}


def run(bench: Bench) -> Findings:
    """See docs/benchmarks.md."""
    homes = _homes(bench)
    cases = [
        *(_import(bench, f"bare-{venv}", "pass", venv) for venv in ("ours", "peers", "tufup")),
        _import(bench, "six", SIX, "ours"),
        _import(bench, "httpx", "import httpx", "ours"),
        _import(bench, "tuf", "import tuf.ngclient", "peers"),
        _import(bench, "tufup", "import tufup.client", "tufup"),
        _import(bench, "import", "import capgo_client", "ours"),
        *(_start(bench, key, AT_ONCE, *homes[key]) for key in homes),
        _start(bench, "orderly", ORDERLY, *homes["one-many"]),
    ]
    found = bench.measure(cases, rounds=10 if bench.quick else 40)
    counts = {case.key: bench.instructions(case) for case in cases}
    return _findings(cases, found, counts)


def _import(bench: Bench, key: str, code: str, venv: str) -> Case:
    names = {"bare-ours": "python -c pass", "bare-peers": "python -c pass, venv of python-tuf"}
    names |= {"bare-tufup": "python -c pass, venv of tufup", "six": "import json, threading, pathlib, dataclasses, …"}
    return Case(key, names.get(key, code), lambda _: [bench.python(venv), "-c", code])


_WHAT = {
    "none": "import and start(), no install",
    "one-few": f"import and start(), 1 install of {FEW} files",
    "one-many": f"import and start(), 1 install of {MANY:,} files",
    "five": f"import and start(), 5 installs, the open one of {MANY:,} files",
    "orderly": f"… 1 install of {MANY:,} files, and an orderly end of the process",
}


def _start(bench: Bench, key: str, code: str, home: Path, expected: str) -> Case:
    builtin = str(home / APP_ID / "builtin")
    filled = code.format(app=APP_ID, version=FIRST_VERSION, builtin=builtin, expected=expected)
    return Case(
        key,
        _WHAT[key],
        lambda _: [bench.python(), "-c", filled],
        lambda _: _restore(home),
        {"XDG_DATA_HOME": str(home), "HOME": str(home), **NOWHERE},
    )


def _homes(bench: Bench) -> dict[str, tuple[Path, str]]:
    """A home for each case, with installs that a real update brought; and the version that has to open there."""
    served = bench.fresh("launch-served")
    homes: dict[str, tuple[Path, str]] = {}
    with bench.server(served) as server:
        few, many = bench.payload("zip", FEW, 2000), bench.payload("zip", MANY, 2000)

        def offered(version: str, payload: Path) -> tuple[str, str]:
            url = f"{server.share(payload.name, payload)}/plain.zip"
            return server.offer(f"launch-{version}", version=version, url=url, **meta(payload)["plain"]), version

        ways = {
            "none": [],
            "one-few": [offered("1.0.1", few)],
            "one-many": [offered("1.0.9", many)],
            "five": [*(offered(f"1.0.{i}", few) for i in range(1, 5)), offered("1.0.9", many)],
        }
        for key, versions in ways.items():
            home = bench.fresh(f"launch-{key}")
            data_dir = home / APP_ID / "capgo"
            bench.run(bench.child("install", data_dir=data_dir, versions=versions, keep=True))
            _keep(home)
            homes[key] = home, versions[-1][1] if versions else FIRST_VERSION
    return homes


#: What a launch does not write to.
_LARGE = ("installs", "staging", "trash", "downloads")


def _keep(home: Path) -> None:
    """Remember what a launch changes, for each is to find the same."""
    data_dir = home / APP_ID / "capgo"
    shutil.copytree(data_dir, home / "kept", ignore=shutil.ignore_patterns(*_LARGE))


def _restore(home: Path) -> None:
    data_dir = home / APP_ID / "capgo"
    for path in data_dir.iterdir():
        if path.is_file():
            path.unlink()
        elif path.name not in _LARGE:
            shutil.rmtree(path)
    shutil.copytree(home / "kept", data_dir, dirs_exist_ok=True)


def _findings(cases: list[Case], found: dict[str, dict[str, Figure]], counts: dict[str, float | None]) -> Findings:
    findings = Findings()
    bare = {"tuf": "bare-peers", "tufup": "bare-tufup"}

    def over(key: str, name: str = "cpu") -> float:
        return found[key][name].median - found[bare.get(key, "bare-ours")][name].median

    findings.lines = [replace(Line.of(case.what, found[case.key]), instructions=counts[case.key]) for case in cases]
    start = "one-many"
    findings.ratios = [
        Ratio("launch/six", "CPU of import and start() / the six imports", over(start) / over("six"), 1.0),
        Ratio("launch/tuf", "CPU of import and start() / import tuf.ngclient", over(start) / over("tuf"), 1 / 3),
        Ratio("launch/httpx", "CPU of import and start() / import httpx", over(start) / over("httpx")),
        Ratio("launch/tufup", "CPU of import and start() / import tufup.client", over(start) / over("tufup")),
        Ratio("launch/files", f"… with {MANY:,} files / with {FEW}", over(start) / over("one-few"), GROWTH),
        Ratio("launch/installs", "… with 5 installs / with 1", over("five") / over(start), GROWTH),
        Ratio("launch/orderly", "… with an orderly end / the six imports", over("orderly") / over("six")),
    ]
    findings.ratios += _counted(counts)
    if not any(counts.values()):
        findings.remarks.append("CPU instructions are not countable here")
    findings.remarks.append("ratios are of the CPU over that of the bare interpreter of the same venv")
    names = {"six": "six stdlib imports", "httpx": "import httpx", "tuf": "import tuf.ngclient"}
    names |= {"tufup": "import tufup.client", "import": "import capgo-client"}
    names |= {"none": "start, no install", "one-many": "start, 5000 files", "five": "start, 5 installs"}
    bars = tuple((label, over(key) * 1000) for key, label in names.items())
    ours = ("import capgo-client", "start, no install", "start, 5000 files", "start, 5 installs")
    findings.charts = [Chart("launch: cpu over a bare interpreter", "ms", bars, ours, over("six") * 1000)]
    return findings


def _counted(counts: dict[str, float | None]) -> list[Ratio]:
    """The same by instructions, which a busy machine does not change; nothing where they cannot be counted."""
    names = ("one-many", "six", "bare-ours", "tuf", "bare-peers", "one-few", "five")
    if not all(counts[name] for name in names):
        return []
    start, six, bare, tuf, bare_tuf, few, five = (counts[name] or 0.0 for name in names)
    return [
        Ratio("launch/six/instructions", "… by instructions / the six imports", (start - bare) / (six - bare)),
        Ratio("launch/tuf/instructions", "… by instructions / tuf.ngclient", (start - bare) / (tuf - bare_tuf)),
        Ratio("launch/files/instructions", f"… by instructions, {MANY:,} files / {FEW}", start / few, 1.01),
        Ratio("launch/installs/instructions", "… by instructions, 5 installs / 1", five / start, 1.01),
    ]
