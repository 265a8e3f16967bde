"""``capgo-client selftest``: installs on the user's own disk, cut off at every file operation."""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capgo_client.cli.durations import seconds
from capgo_client.cli.exits import INTERRUPTED
from capgo_client.cli.interrupts import interruptible
from capgo_client.cli.mistakes import UsageMistake
from capgo_client.cli.report_files import expect_writable, write_report
from capgo_client.platforms import system
from capgo_client.seams import Clock
from capgo_client.testing import BundleKeys, Service
from capgo_client.testing.crash.killing import Bench
from capgo_client.testing.crash.operations import OPERATIONS, Operation, Scene
from capgo_client.testing.crash.runner import Runner

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

    from capgo_client.testing.crash.killing import Point

__all__ = ["register", "run"]

#: What is tried where nothing else was asked for: an install on an empty device, and one over another.
_INSTALLS = ("first-install", "update")
#: How long one operation is cut off at random before it is the next one's turn (seconds).
_TURN = 10.0


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "selftest",
        help="kill installs on this machine's own disk, and look at what is left",
        description=(
            "Install on your own file system, from a loopback service, and kill the process at every file operation,"
            " or at random moments. After each kill the app starts twice: the old version or the new one has to open,"
            " whole, the update has to arrive, and nothing may be left lying about. Ends with 1 when something else"
            " was found. Everything happens in a temporary folder, which is removed."
        ),
    )
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--crash", action="store_true", help="kill it at each file operation, one after the other")
    how.add_argument("--random", action="store_true", help="kill it at random moments, until Ctrl-C or --seconds")
    parser.add_argument(
        "--operation",
        action="append",
        choices=[*OPERATIONS, "all"],
        metavar="NAME",
        help=f"what to cut off, may be repeated; default: {' and '.join(_INSTALLS)}; all, or: {', '.join(OPERATIONS)}",
    )
    parser.add_argument(
        "--folder",
        type=Path,
        metavar="DIR",
        help="where to try, on the disk in question; default: beside the data of this user's apps",
    )
    parser.add_argument("--step", type=int, default=1, metavar="N", help="try every N-th file operation; default: 1")
    parser.add_argument("--seconds", type=seconds, metavar="S", help="how long --random goes on; default: until Ctrl-C")
    parser.add_argument("--seed", type=int, metavar="N", help="draw the random moments repeatably")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every point")
    parser.set_defaults(run=run)


@dataclass(slots=True)
class _Tally:
    """What came of one operation."""

    operation: Operation
    points: list[Point] = field(default_factory=list)

    @property
    def cut(self) -> int:
        """How many lives were cut off."""
        return sum(not point.ended for point in self.points)

    @property
    def failures(self) -> int:
        """How many left something wrong behind."""
        return sum(bool(point.faults) for point in self.points)

    def add(self, point: Point) -> None:
        """Print it and remember it."""
        self.points.append(point)
        number = point.nth or len(self.points)
        sys.stdout.write(f"{self.operation.name} {number:>5}  {'FAIL' if point.faults else 'pass'}  {point.place}\n")
        sys.stdout.writelines(f"             {fault}\n" for fault in point.faults)
        sys.stdout.flush()


def run(args: argparse.Namespace) -> int:
    """Cut off, print a line for each, sum up; 1 when anything was wrong.

    Raises:
        UsageMistake: The options make no sense, or the folder cannot be used.
    """
    if args.step < 1:
        raise UsageMistake(f"--step {args.step}: at least 1")
    if args.json is not None:
        expect_writable(args.json)
    chosen = OPERATIONS if "all" in (args.operation or ()) else dict.fromkeys(args.operation or _INSTALLS)
    tallies = [_Tally(OPERATIONS[name]) for name in chosen]
    code = 0
    try:
        with interruptible(), ExitStack() as stack:
            folder = _workplace(stack, args.folder)
            sys.stdout.write(f"in {folder.parent}\n")
            keys = BundleKeys.generate()
            benches = (_bench(stack, tally.operation, folder, keys) for tally in tallies)
            (_at_random if args.random else _at_every_call)(args, tallies, benches)
    except KeyboardInterrupt:
        code = 0 if args.random and args.seconds is None else INTERRUPTED
    sys.stdout.writelines(
        f"{tally.operation.name:<14} {tally.cut:>5} points cut off, failures: {tally.failures}\n" for tally in tallies
    )
    if args.json is not None:
        write_report(args.json, json.dumps([_as_json(tally) for tally in tallies], indent=1) + "\n")
    return 1 if any(tally.failures for tally in tallies) else code


def _bench(stack: ExitStack, operation: Operation, folder: Path, keys: BundleKeys) -> Bench:
    service = stack.enter_context(Service())
    runner = stack.enter_context(Runner())
    return Bench(Scene(folder / operation.name, service=service, keys=keys), operation, runner)


def _at_every_call(args: argparse.Namespace, tallies: Sequence[_Tally], benches: Iterable[Bench]) -> None:
    for tally, bench in zip(tallies, benches, strict=True):
        for point in bench.at_every_call(step=args.step):
            tally.add(point)


def _at_random(args: argparse.Namespace, tallies: Sequence[_Tally], benches: Iterable[Bench]) -> None:
    """Each in its turn for a while: once round where there is an end to it, else until Ctrl-C."""
    turn = _TURN if args.seconds is None else args.seconds / len(tallies)
    turns = [(tally, bench.at_random(seed=args.seed)) for tally, bench in zip(tallies, benches, strict=True)]
    clock = Clock()
    for tally, points in turns if args.seconds is not None else itertools.cycle(turns):
        end = clock.monotonic() + turn
        while clock.monotonic() < end:
            tally.add(next(points))


def _workplace(stack: ExitStack, folder: Path | None) -> Path:
    """A temporary folder on the disk that is asked about."""
    try:
        if folder is None:
            folder = Path(system.default_data_dir("capgo-selftest")).parents[1]
            folder.mkdir(parents=True, exist_ok=True)
        made = tempfile.TemporaryDirectory(prefix="capgo-selftest-", dir=folder, ignore_cleanup_errors=True)
    except OSError as exc:
        raise UsageMistake(f"{exc.filename}: {exc.strerror}; name a folder that you may write with --folder") from exc
    return Path(stack.enter_context(made))


def _as_json(tally: _Tally) -> dict[str, Any]:
    return {
        "operation": tally.operation.name,
        "points": tally.cut,
        "failures": tally.failures,
        "seen": [
            {"nth": point.nth, "seconds": point.seconds, "place": point.place, "faults": list(point.faults)}
            for point in tally.points
        ],
    }
