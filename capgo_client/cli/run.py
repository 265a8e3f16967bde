"""``capgo-client run``: open an app out of the version that its updates brought, without a start file of its own."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capgo_client.cli.app_options import INSTALLING, add_app_options, app_values
from capgo_client.cli.mistakes import UsageMistake
from capgo_client.errors import ConfigError

if TYPE_CHECKING:
    import argparse

    from capgo_client.launcher.launch import Launch

__all__ = ["register", "run"]

_SHARED = tuple(name for name in INSTALLING if name not in ("app_id", "entry"))


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
    # `entry` of the environment and of the table is Updater's: a file that every bundle has.
    parser.add_argument("--entry", dest="program", metavar="MODULE[:FUNCTION]", help="what is run: main:main")
    parser.add_argument(
        "--ready-after", type=float, metavar="SECONDS", help="the app does not say that it works: assume it then"
    )
    parser.add_argument("arguments", nargs="*", metavar="ARG", help="for the app, after --")
    parser.add_argument("--app", "--app-id", dest="app_id", metavar="ID", help="as in com.example.notes")
    add_app_options(parser, _SHARED)
    parser.set_defaults(run=run, is_the_apps=True)


def run(args: argparse.Namespace) -> int:
    """Run the app; its exit code.

    Raises:
        UsageMistake: An option is wrong or missing, or the builtin has no such entry.
        BaseException: Whatever the app raised.
    """
    launch = _launch(app_values(args), args)
    _prepare(args.arguments)
    try:
        return _code(launch.run())
    except ConfigError as exc:
        if exc.code == "entry_missing":
            raise UsageMistake(str(exc)) from exc
        raise


def _launch(values: dict[str, Any], args: argparse.Namespace) -> Launch:
    from capgo_client.launcher.launch import prepared
    from capgo_client.updater import Updater

    _check(values, args.program)
    try:
        return prepared(Updater(**values), args.program, ready_after=args.ready_after)
    except ConfigError as exc:
        raise UsageMistake(str(exc)) from exc


def _check(values: dict[str, Any], program: str | None) -> None:
    given = {"app": values.get("app_id"), **{name: values.get(name) for name in ("version", "builtin")}}
    missing = [f"--{name}" for name, value in {**given, "entry": program}.items() if not value]
    if missing:
        raise UsageMistake(f"{', '.join(missing)}: which app is it? capgo-client run --help shows what is needed")
    if not Path(values["builtin"]).is_dir():
        raise UsageMistake(f"--builtin {values['builtin']}: there is no such folder")


def _prepare(arguments: list[str]) -> None:
    """Give the app its own arguments, and no import path by the accident of where the command was given."""
    here = {os.path.dirname(sys.argv[0]), ""}  # noqa: PTH120 - as they stand in sys.path
    with contextlib.suppress(OSError):  # a folder that is gone
        here.add(os.getcwd())  # noqa: PTH109
    if not getattr(sys.flags, "safe_path", False) and sys.path[:1] and sys.path[0] in here:
        del sys.path[0]
    sys.argv[1:] = arguments


def _code(result: object) -> int:
    """What ``sys.exit(result)`` would end with, as for every program that is installed by its function."""
    if result is None or isinstance(result, int):
        return int(result or 0)
    sys.stderr.write(f"{result}\n")
    return 1
