"""``python -m faults [--cells all|ci|smoke] [--only TEXT] [--workers N] [--out FOLDER]``: run, judge, report."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from .farm import Farm
from .matrix import cells
from .report import write


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(prog="faults", description=__doc__)
    parser.add_argument("--cells", default=os.environ.get("FAULTS_CELLS", "all"), choices=("all", "ci", "smoke"))
    parser.add_argument("--only", default="", help="only cells whose name contains this text")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("build"))
    asked = parser.parse_args(argv)
    wanted = [cell for cell in cells(asked.cells) if asked.only in cell.name]
    if not wanted:
        parser.error(f"no cell's name contains {asked.only!r}")
    began, found = time.monotonic(), []
    with Farm(asked.workers) as farm:
        for facts in farm.run(wanted):
            found.append(facts)
            _say(facts, len(found), len(wanted))
    took = time.monotonic() - began
    page, data = write(found, asked.out, which=asked.cells, took=took)
    print(_summary(found, took))
    print(f"{page}\n{data}")
    return 1 if any(facts.broken for facts in found) else 0


def _say(facts, done: int, count: int) -> None:
    name = f"{facts.fault}{f' on {facts.on}' if facts.on else ''} / {facts.mode} / {facts.state}"
    name += " / in real time" if facts.real else ""
    for text in facts.broken:
        print(f"RED {name}: {text}", flush=True)
    if sys.stdout.isatty():
        print(f"\r{done}/{count}", end="\n" if done == count else "", flush=True)
    elif done % 100 == 0:
        print(f"{done} of {count} cells", flush=True)


def _summary(found, took: float) -> str:
    again = sum(facts.again for facts in found)
    red = sum(bool(facts.broken) for facts in found)
    grey = [facts for facts in found if facts.unavailable]
    text = f"{len({f.fault for f in found})} faults, {len(found)} cells in {took:.0f} s: "
    text += f"{len(found) - red - len(grey)} hold, {red} broke a promise, {len(grey)} cannot run here"
    text += f"\n  tried again alone, for they were late among others: {again}" if again else ""
    for reason in sorted({f"{facts.fault}: {facts.unavailable}" for facts in grey}):
        text += f"\n  not run: {reason}"
    return text


if __name__ == "__main__":
    sys.exit(main())
