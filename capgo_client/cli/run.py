"""``capgo-client run``: open an app out of the version that its updates brought, without a start file of its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capgo_client.cli.mistakes import UsageMistake
from capgo_client.config import MODES
from capgo_client.errors import ConfigError

if TYPE_CHECKING:
    import argparse

__all__ = ["register", "run"]

_URLS = ("update_url", "stats_url", "channel_url")


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "run",
        help="open an app out of its newest good version, and keep it up to date",
        usage="capgo-client run --app ID --version V --builtin DIR --entry MODULE[:FUNCTION] [option ...] [-- ARG ...]",
        description=(
            "What a start file does: choose the version, count the start, run the app in this process, take a version"
            " back that crashes before it is ready, and open the good one instead. Ends with the app's own exit code."
        ),
    )
    parser.add_argument("--app", "--app-id", dest="app_id", required=True, metavar="ID", help="as in com.example.notes")
    parser.add_argument("--version", required=True, metavar="V", help="of the code in the builtin's folder")
    parser.add_argument("--builtin", required=True, type=Path, metavar="DIR", help="the folder that ships with the app")
    parser.add_argument("--entry", required=True, metavar="MODULE[:FUNCTION]", help="what of it is run: main:main")
    parser.add_argument(
        "--public-key", action="append", metavar="FILE", help="from then on nothing unsigned opens; may be repeated"
    )
    parser.add_argument("--require-bound", action="store_true", help="open no bundle without a record of its own")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="keep what is downloaded there")
    parser.add_argument("--auto-update", default="atBackground", choices=MODES, metavar="MODE", help=", ".join(MODES))
    parser.add_argument("--channel", default="", metavar="NAME", help="ask for this channel")
    parser.add_argument(
        "--ready-after", type=float, metavar="SECONDS", help="the app does not say that it works: assume it then"
    )
    for name in _URLS:
        parser.add_argument(f"--{name.replace('_', '-')}", metavar="URL", help="of a service of your own; '' for none")
    parser.add_argument("arguments", nargs="*", metavar="ARG", help="for the app, after --")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the app; its exit code.

    Raises:
        UsageMistake: An option is wrong, or the builtin has no such entry.
        SystemExit: From the app.
    """
    from capgo_client import Updater
    from capgo_client.launcher import run as launch

    options: dict[str, Any] = {name: getattr(args, name) for name in _URLS if getattr(args, name) is not None}
    if not args.builtin.is_dir():
        raise UsageMistake(f"--builtin {args.builtin}: there is no such folder")
    try:
        updater = Updater(
            args.app_id,
            args.version,
            args.builtin,
            public_key=args.public_key,
            require_bound=args.require_bound,
            data_dir=args.data_dir,
            auto_update=args.auto_update,
            default_channel=args.channel,
            **options,
        )
        _prepare(args.arguments)
        result = launch(updater, args.entry, ready_after=args.ready_after)
    except ConfigError as exc:
        raise UsageMistake(str(exc)) from exc
    return _code(result)


def _prepare(arguments: list[str]) -> None:
    """Give the app its own arguments, and no import path by the accident of where the command was given."""
    here = (os.getcwd(), os.path.dirname(sys.argv[0]), "")  # noqa: PTH109, PTH120 - as they stand in sys.path
    if not getattr(sys.flags, "safe_path", False) and sys.path[:1] and sys.path[0] in here:
        del sys.path[0]
    sys.argv[1:] = arguments


def _code(result: object) -> int:
    """What ``sys.exit(result)`` would end with, as for every program that is installed by its function."""
    if result is None or isinstance(result, int):
        return int(result or 0)
    sys.stderr.write(f"{result}\n")
    return 1
