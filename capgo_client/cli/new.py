"""``capgo-client new``: a project that updates itself, small enough to be read at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from capgo_client.cli.answers import add_json, tell
from capgo_client.cli.exits import GOOD
from capgo_client.cli.mistakes import UsageMistake
from capgo_client.cli.skeleton import FILES, KIVY_FILES
from capgo_client.errors import ConfigError
from capgo_client.options import checked_app_id, checked_version

if TYPE_CHECKING:
    import argparse

__all__ = ["register", "run"]


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "new",
        help="make the folder of a new app that updates itself, with its test",
        description="Write a start file, the folder that is updated, a test and a README into a new folder.",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="a folder that does not exist yet, or is empty")
    parser.add_argument("--app-id", metavar="ID", help="default: com.example. and the folder's name")
    parser.add_argument("--version", default="1.0.0", metavar="V", help="of what you ship first; default: 1.0.0")
    parser.add_argument("--kivy", action="store_true", help="an app with a window of Kivy, and a banner for updates")
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write it, and say what to do next.

    Raises:
        UsageMistake: The folder has something in it, cannot be written, or an option is wrong.
    """
    folder: Path = args.folder
    files = KIVY_FILES if args.kivy else FILES
    name = _named(folder)
    app_id = args.app_id or f"com.example.{name}"
    try:
        checked_app_id(app_id)
        checked_version(args.version)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageMistake(f"{folder} is there already, and not an empty folder")
        _write(folder, files, _words(name, app_id, args.version))
    except ConfigError as exc:
        raise UsageMistake(str(exc)) from exc
    except OSError as exc:
        raise UsageMistake(f"{exc.filename or folder}: {exc.strerror}") from exc
    lines = (f"made {folder}: {', '.join(files)}", "", f"  cd {folder}", "  python start.py", "  python -m pytest")
    tell(args, lines, {"ok": True, "folder": str(folder), "app_id": app_id, "files": list(files)})
    return GOOD


def _named(folder: Path) -> str:
    """The folder's name with what an app id may have of it."""
    kept = "".join(each if each.isascii() and each.isalnum() else "-" for each in folder.resolve().name.lower())
    return kept.strip("-") or "app"


def _words(name: str, app_id: str, version: str) -> dict[str, str]:
    """What stands for the placeholders. Buildozer puts Android's id together from two halves, and it has no hyphens."""
    domain, _, package = app_id.rpartition(".")
    android = {"@DOMAIN@": domain.replace("-", ""), "@PACKAGE@": package.replace("-", "")}
    return {"@NAME@": name, "@APP_ID@": app_id, "@VERSION@": version, **android}


def _write(folder: Path, files: dict[str, str], words: dict[str, str]) -> None:
    for name, text in files.items():
        for placeholder, word in words.items():
            text = text.replace(placeholder, word)  # noqa: PLW2901
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
