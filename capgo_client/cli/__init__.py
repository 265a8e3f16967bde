"""The command line: ``capgo-client COMMAND`` or ``python -m capgo_client COMMAND``.

One module for each command, with ``register(subparsers)`` and ``run(args)``. Exit codes: 0 good, 1 a promise broke or
what was asked for was not found, 2 the command was not understood.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from importlib import import_module
from pathlib import Path

import capgo_client
from capgo_client.cli.mistakes import UsageMistake

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

#: In the order in which ``--help`` lists them.
_COMMANDS = ("new", "run", "serve", "simulate", "selftest", "verify", "seal", "verify-seal")
#: What shells say of a command that Ctrl-C ended.
_INTERRUPTED = 130
_EXIT_CODES = "exit codes: 0 good, 1 a promise broke or nothing was found, 2 the command was not understood"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code.

    Raises:
        SystemExit: from argparse, with 0 after ``--help`` and 2 for what it did not understand.
    """
    parser = argparse.ArgumentParser(
        prog="capgo-client",
        description="What you can do about live updates from a keyboard or in CI.",
        epilog=_EXIT_CODES,
    )
    parser.add_argument("--version", action="version", version=f"capgo-client {capgo_client.__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in _COMMANDS:
        import_module(f"capgo_client.cli.{name.replace('-', '_')}").register(subparsers)
    args = parser.parse_args(argv)
    try:
        code: int = args.run(args)
        sys.stdout.flush()
    except UsageMistake as exc:
        sys.stderr.write(f"capgo-client: {exc}\n")
        return 2
    except BrokenPipeError:
        _forget_stdout()
        return 0
    except KeyboardInterrupt:
        return _INTERRUPTED
    return code


def _forget_stdout() -> None:
    """Whoever read our output has left, as ``head`` does: say nothing about it at the exit either."""
    with contextlib.suppress(OSError, ValueError), Path(os.devnull).open("wb") as nothing:
        os.dup2(nothing.fileno(), sys.stdout.fileno())
