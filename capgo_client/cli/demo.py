"""``capgo-client demo``: the whole story in real processes, against a service on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import capgo_client
from capgo_client.cli.answers import add_json
from capgo_client.cli.exits import BAD, GOOD
from capgo_client.cli.mistakes import UsageMistake

if TYPE_CHECKING:
    import argparse

__all__ = ["register", "run"]

_PACKAGE = Path(capgo_client.__file__).parent
#: A wheel has the story in the package, a checkout beside it.
_PLACES = (_PACKAGE / "cli" / "story", _PACKAGE.parent / "examples")

#: How long the story may take to tidy up after Ctrl-C (seconds).
_TIDYING = 5.0


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "demo",
        help="a new version, a bad one, and a service that has a bad day, in half a minute",
        description=(
            "Play the whole story with a small app in real processes, against a service on this machine: a new version,"
            " a bad one, an intruder, a plan that ends, a kill, silence. Each promise is checked as it goes. Ends with"
            " 1 when one does not hold. Nothing leaves this machine."
        ),
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Play it; 1 when a promise broke. Raises UsageMistake where the story is not there."""
    story = next((place / "demo.py" for place in _PLACES if (place / "demo.py").is_file()), None)
    if story is None:
        raise UsageMistake("this installation came without the demo; pip install capgo-client has it")
    code, told = _played(story, with_output=args.json)
    is_good = code == 0
    if args.json:
        sys.stdout.write(f"{json.dumps({'ok': is_good, 'told': told.splitlines()})}\n")
    return GOOD if is_good else BAD


def _played(story: Path, *, with_output: bool) -> tuple[int, str]:
    """Its exit code, and what it told where that was asked for."""
    # A process of its own, for it takes a main module's arguments and signals as its own.
    with subprocess.Popen(  # noqa: S603 - our own file, under the Python that runs us
        [sys.executable, str(story)],
        stdout=subprocess.PIPE if with_output else None,
        env=_environment(),
        encoding="utf-8",
    ) as process:
        try:
            told, _ = process.communicate()
        except KeyboardInterrupt:
            _let_end(process)
            raise
    return process.returncode, told or ""


def _let_end(process: subprocess.Popen[str]) -> None:
    """Ctrl-C is for it too: it has apps to end and a folder to remove."""
    try:
        process.wait(_TIDYING)
    except subprocess.TimeoutExpired:
        process.kill()


def _environment() -> dict[str, str]:
    """Ours; a child finds the library where we were found."""
    places = [str(_PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(places), "PYTHONIOENCODING": "utf-8"}
