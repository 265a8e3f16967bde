"""``capgo-client seal``: write into a bundle what it is, before it is uploaded (``capgo-bundle.json``)."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from capgo_client.cli.answers import add_json, tell
from capgo_client.cli.exits import GOOD
from capgo_client.cli.mistakes import UsageMistake
from capgo_client.cli.publishing import source_tree, tell_refusal, tell_remarks
from capgo_client.errors import BindingError, ConfigError
from capgo_client.options import checked_app_id, checked_version
from capgo_client.verify.bound import RECORD_NAME, seal_record

if TYPE_CHECKING:
    import argparse

    from capgo_client.cli.source_tree import SourceTree

__all__ = ["register", "run"]

#: A record on its way into the folder.
_UNFINISHED_NAME = f".{RECORD_NAME}.new"
#: What people write for what ``sys.platform`` says: with these in its record no device would install the bundle.
_OTHER_WORDS = {
    "windows": "win32",
    "win": "win32",
    "win64": "win32",
    "mac": "darwin",
    "macos": "darwin",
    "macosx": "darwin",
    "osx": "darwin",
    "linux2": "linux",
    "iphone": "ios",
    "ipad": "ios",
}


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "seal",
        help="write into a bundle which app, version and files it is, before you upload it",
        description=(
            f"Write {RECORD_NAME} into a folder: app id, version, and every file with its size and SHA-256. Capgo's"
            " signature covers it like any other file, so that nobody can offer the bundle under another name, mix it"
            " with another, or send it to another app. Run it last, just before the upload, with the version that you"
            " upload it as."
        ),
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="the folder that you are about to upload")
    parser.add_argument("--app-id", required=True, metavar="ID", help="as in com.example.notes")
    parser.add_argument("--version", required=True, metavar="V", help="the version that you upload it as")
    parser.add_argument(
        "--requires-python", default="", metavar="CLAUSES", help="which Pythons it runs on, as in '>=3.10,<3.14'"
    )
    parser.add_argument(
        "--platform",
        action="append",
        default=[],
        metavar="NAME",
        help="a system it runs on, as sys.platform names it; may be repeated; default: any",
    )
    parser.add_argument(
        "--min-app-version", default="", metavar="V", help="the oldest installer's version that it runs on"
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Seal; 1 when the folder holds what no device would install (nothing is written then).

    Raises:
        UsageMistake: The options make no sense, or the folder cannot be read or written.
    """
    _check_options(args)
    _sweep(args.folder)
    tree = source_tree(args.folder)
    tell_remarks(tree)
    if tree.refused:
        return tell_refusal(args, "sealed", tree.refused)
    _write(args.folder, _record(args, tree))
    facts = {"app_id": args.app_id, "version": args.version, "files": len(tree.records), "bytes": tree.total_bytes}
    line = "sealed {app_id} {version}: {files} files, {bytes} bytes; ".format_map(facts)
    tell(args, [f"{line}{RECORD_NAME} is part of the bundle now"], {"ok": True, **facts, "notes": tree.remarks})
    return GOOD


def _check_options(args: argparse.Namespace) -> None:
    try:
        checked_app_id(args.app_id)
        checked_version(args.version)
    except ConfigError as exc:
        raise UsageMistake(str(exc)) from exc
    for name in args.platform:
        word = _OTHER_WORDS.get(name.lower(), name.lower())
        if name != word:
            raise UsageMistake(f"--platform {name}: Python calls it {word} (sys.platform)")


def _record(args: argparse.Namespace, tree: SourceTree) -> bytes:
    try:
        return seal_record(
            tree.records,
            app_id=args.app_id,
            version=args.version,
            requires_python=args.requires_python,
            platforms=tuple(dict.fromkeys(args.platform)),
            min_app_version=args.min_app_version,
        )
    except BindingError as exc:
        raise UsageMistake(exc.message) from exc


def _sweep(folder: Path) -> None:
    """Remove what a ``seal`` that was killed left behind, lest it be taken for a file of the bundle."""
    path = folder / _UNFINISHED_NAME
    try:
        path.unlink(missing_ok=True)
    except NotADirectoryError:
        return  # said better by whoever reads the folder
    except OSError as exc:
        raise UsageMistake(f"{path} cannot be removed: {exc.strerror}") from exc


def _write(folder: Path, text: bytes) -> None:
    """Replace the record whole: half of one would be uploaded as it is.

    One that says the same already is left alone, with the time of its last change: a zip holds that time.
    """
    path, new = folder / RECORD_NAME, folder / _UNFINISHED_NAME
    try:
        if not path.is_symlink() and path.is_file() and path.read_bytes() == text:
            return
        with new.open("xb") as file:
            file.write(text)
        new.replace(path)
    except OSError as exc:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
        raise UsageMistake(f"{path} cannot be written: {exc.strerror}") from exc
