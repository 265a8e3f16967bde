"""The command line: ``capgo-client COMMAND`` or ``python -m capgo_client COMMAND``.

One module for each command, with ``register(subparsers)`` and ``run(args)``; ``exits`` has the exit codes.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from importlib import import_module
from pathlib import Path

import capgo_client
from capgo_client.cli.exits import EXIT_CODES, GOOD, INTERRUPTED, MISUNDERSTOOD, tell_error
from capgo_client.cli.mistakes import UsageMistake
from capgo_client.errors import CapgoError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["command_parser", "main"]

#: In the order in which ``--help`` lists them.
_COMMANDS = (
    "new",
    "run",
    "doctor",
    "check",
    "update",
    "list",
    "current",
    "rollback",
    "reset",
    "channel",
    "verify",
    "serve",
    "simulate",
    "selftest",
    "pack",
    "seal",
    "verify-seal",
    "demo",
    "completion",
)


def command_parser(*, only: str | None = None) -> argparse.ArgumentParser:
    """The whole tree of commands and options, or that of one command.

    One is enough to carry a command out, and ``run`` opens an app: the user waits for what else would be imported.
    """
    parser = argparse.ArgumentParser(
        prog="capgo-client",
        description="What you can do about live updates from a keyboard or in CI.",
        epilog=EXIT_CODES,
    )
    parser.add_argument("--version", action="version", version=f"capgo-client {capgo_client.__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in _COMMANDS if only is None else (only,):
        import_module(f"capgo_client.cli.{name.replace('-', '_')}").register(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code.

    Raises:
        SystemExit: from argparse, with 0 after ``--help`` and 2 for what it did not understand.
    """
    words = sys.argv[1:] if argv is None else argv
    args = command_parser(only=words[0] if words and words[0] in _COMMANDS else None).parse_args(words)
    try:
        code: int = args.run(args)
        if not getattr(args, "is_the_apps", False):
            sys.stdout.flush()
    except UsageMistake as exc:
        sys.stderr.write(f"capgo-client: {exc}\n")
        return MISUNDERSTOOD
    except KeyboardInterrupt:
        return INTERRUPTED
    except (CapgoError, BrokenPipeError) as exc:
        if getattr(args, "is_the_apps", False):
            raise  # it is that of the app that was opened, and no answer of ours
        return _told(exc, args)
    return code


def _told(exc: CapgoError | BrokenPipeError, args: argparse.Namespace) -> int:
    if isinstance(exc, CapgoError):
        return tell_error(exc, as_json=getattr(args, "json", None) is True)
    _forget_stdout()
    return GOOD


def _forget_stdout() -> None:
    """Whoever read our output has left, as ``head`` does: say nothing about it at the exit either."""
    with contextlib.suppress(OSError, ValueError), Path(os.devnull).open("wb") as nothing:
        os.dup2(nothing.fileno(), sys.stdout.fileno())
