"""``capgo-client simulate``: start somebody's app again and again while the world around it goes wrong."""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from capgo_client.cli.choosing import choose
from capgo_client.cli.durations import seconds, seconds_or_none_at_all
from capgo_client.cli.interrupts import interruptible
from capgo_client.cli.launching import App
from capgo_client.cli.mistakes import UsageMistake
from capgo_client.cli.planning import HEALTHY, plan
from capgo_client.cli.progress import is_watched, progress
from capgo_client.cli.report_files import expect_writable, write_report
from capgo_client.cli.reports import Summary, as_json, as_junit, as_line, as_lines, header
from capgo_client.cli.simulation import Simulation, obstacle
from capgo_client.testing import Service

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from capgo_client.cli.reports import Row
    from capgo_client.testing import Fault

__all__ = ["register", "run"]


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "simulate",
        help="start your app again and again against a service that misbehaves",
        description=(
            "Start your app again and again, without a window, against a loopback service that misbehaves. Nothing of"
            " the app is changed; its Updater is led to the service and to a temporary folder. Ends with 1 when the"
            " app did not open, or start() raised or was late."
        ),
    )
    parser.add_argument(
        "--app", type=Path, required=True, metavar="PATH", help="the start file that builds the Updater"
    )
    parser.add_argument("--launches", type=int, default=50, metavar="N", help="how often to start it; default: 50")
    parser.add_argument(
        "--faults", default="all", metavar="WHICH", help="names and groups with commas between; default: all"
    )
    parser.add_argument("--seed", type=int, metavar="S", help="shuffle the faults, repeatably")
    parser.add_argument("--timeout", type=seconds, default=20.0, metavar="SECONDS", help="for one launch; default: 20")
    parser.add_argument(
        "--grace",
        type=seconds_or_none_at_all,
        default=1.0,
        metavar="SECONDS",
        help="what a busy machine may add to start(); default: 1",
    )
    parser.add_argument(
        "--patience",
        type=seconds_or_none_at_all,
        default=4.0,
        metavar="SECONDS",
        help="how long a check and its download may go on after the app said ready; default: 4",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was seen")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write a test report")
    parser.add_argument("arguments", nargs="*", metavar="-- ARGUMENT", help="for the app")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the launches, print the table, write the reports; 1 when a launch was not good.

    Raises:
        UsageMistake: The options make no sense.
    """
    if not args.app.is_file():
        raise UsageMistake(f"--app {args.app}: there is no such file; name the one that you give to python")
    if args.launches < 1:
        raise UsageMistake(f"--launches {args.launches}: at least 1")
    for path in filter(None, (args.json, args.junit)):
        expect_writable(path)
    faults, left_out = choose(args.faults, obstacle=obstacle)
    with interruptible(), ExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="capgo-simulate-", ignore_cleanup_errors=True))
        )
        app = App(args.app, tuple(args.arguments), folder)
        service = stack.enter_context(Service())
        simulation = Simulation(app, service, timeout=args.timeout, grace=args.grace, patience=args.patience)
        rows = _tell(simulation, faults, args.launches, args.seed)
    summary = Summary(tuple(rows), left_out)
    sys.stdout.write("\n".join(["", *as_lines(summary)]) + "\n")
    for path, text in ((args.json, as_json), (args.junit, as_junit)):
        if path is not None:
            write_report(path, text(summary, app=str(args.app)))
    return 0 if summary.is_good else 1


def _tell(simulation: Simulation, faults: Sequence[Fault], launches: int, seed: int | None) -> list[Row]:
    """Launch by launch: with a bar for whoever watches and the table afterwards, else line by line."""
    width = max(len(fault.name) for fault in faults)
    rows = []
    if is_watched():
        with progress(launches) as step:
            for row in _rows(simulation, faults, launches, seed):
                step(f"{row.fault}: {row.verdict.word}")
                rows.append(row)
        sys.stdout.write("\n".join([header(width), *(as_line(row, width) for row in rows)]) + "\n")
        return rows
    sys.stdout.write(f"{header(width)}\n")
    for row in _rows(simulation, faults, launches, seed):
        sys.stdout.write(f"{as_line(row, width)}\n")
        sys.stdout.flush()
        rows.append(row)
    return rows


def _rows(simulation: Simulation, faults: Sequence[Fault], launches: int, seed: int | None) -> Iterator[Row]:
    """The first launch meets no fault: it tells what app this is. One that fails it is not tried any further."""
    first = simulation.launch(HEALTHY)
    yield first
    if not first.is_good:
        return
    for step in plan(faults, launches - 1, seed=seed, attempts=simulation.attempts):
        yield simulation.launch(step)
