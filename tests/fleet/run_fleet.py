"""``make fleet``: the whole fleet, on all processors; writes build/fleet.png and build/fleet.json."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from multiprocessing import get_context
from pathlib import Path

sys.path.insert(1, str(Path(__file__).parent.parent))  # the canvas lies above, as pytest has it

from fleet_run import Fleet
from fleet_speed import quickened
from fleet_story import Story
from fleet_tally import Tally, findings, recovery, together

#: Always so many parts, each with a seed of its own, however many processors there are: the result is the same.
PARTS = 8


def part(size: int, seed: int) -> Tally:
    """One part of the fleet."""
    with quickened():
        return Fleet(size, seed=seed).run().tally()


def whole(size: int, *, seed: int, processes: int) -> Tally:
    """All parts. Devices do not know of each other, and the service answers by the clock alone."""
    sizes = [size // PARTS + (i < size % PARTS) for i in range(PARTS)]
    work = [(each, seed * PARTS + i) for i, each in enumerate(sizes)]
    if processes == 1:
        return together([part(*each) for each in work])
    with get_context("spawn").Pool(processes) as pool:
        return together(pool.starmap(part, work, chunksize=1))


def broken(tally: Tally, story: Story) -> list[str]:
    """What does not hold, in words; for 100,000 devices, where windows of ten seconds say something."""
    wrong = []
    for name, trouble in (("the outage", story.outage), ("the plan's return", story.plan)):
        for window in (10, 60):
            after = recovery(tally.checks, trouble, window=window)
            if after.ratio > 2.0:
                wrong.append(f"{after.ratio:.2f} times the steady rate within {window} s after {name}")
    if tally.without_app:
        wrong.append(f"{tally.without_app} openings without an app")
    if tally.on_bad:
        wrong.append(f"{tally.on_bad} devices are left on the bad release")
    if tally.unfixed:
        wrong.append(f"{tally.unfixed} devices do not have the fix")
    if tally.longest_hold:
        wrong.append(f"direct launches are still kept from waiting after {tally.longest_hold} cycles that went well")
    if tally.waits_in_outage > 1:
        wrong.append(f"a person waited in vain {tally.waits_in_outage} times in the outage")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=min(PARTS, os.cpu_count() or 1))
    parser.add_argument("--out", type=Path, default=Path("build"))
    options = parser.parse_args()
    began = time.monotonic()
    story = Story()
    tally = whole(options.devices, seed=options.seed, processes=options.processes)
    told = findings(tally, story)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "fleet.json").write_text(json.dumps(told, indent=2) + "\n", "utf-8")
    from fleet_picture import picture

    (options.out / "fleet.png").write_bytes(picture(tally, story))
    for name, value in told.items():
        print(f"{name}: {value}")
    print(f"{time.monotonic() - began:.1f} s; the picture is {options.out / 'fleet.png'}")
    wrong = broken(tally, story)
    for line in wrong:
        print(f"BROKEN: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
