"""What a publisher holds: the folder, what is to be said of it, and the private key, as an option names it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from capgo_client.cli.answers import tell
from capgo_client.cli.exits import BAD
from capgo_client.cli.mistakes import UsageMistake
from capgo_client.cli.source_tree import Refusal, SourceTree, read_source_tree
from capgo_client.errors import ConfigError
from capgo_client.options import checked_version
from capgo_client.testing import BundleKeys

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["private_key", "published_version", "source_tree", "tell_refusal", "tell_remarks"]

#: So many refusals are told one by one.
_SHOWN = 20


def private_key(path: Path | None) -> BundleKeys | None:
    """The key pair of ``--keys FILE``; None where there is no such option. Raises UsageMistake."""
    if path is None:
        return None
    try:
        return BundleKeys.load(path.read_text("utf-8"))
    except (OSError, ValueError) as exc:
        raise UsageMistake(f"--keys {path}: {exc}; it takes the private key that Capgo's command line made") from exc


def published_version(version: str) -> None:
    """Raise UsageMistake unless devices can tell how old it is."""
    try:
        checked_version(version)
    except ConfigError as exc:
        raise UsageMistake(str(exc)) from exc


def source_tree(folder: Path, *, to_seal: bool = True) -> SourceTree:
    """The folder's content. Raises UsageMistake where it cannot be read, or where there is nothing."""
    try:
        if not folder.is_dir():
            raise UsageMistake(f"{folder}: there is no such folder")
        tree = read_source_tree(folder, to_seal=to_seal)
    except OSError as exc:
        raise UsageMistake(f"{exc.filename} cannot be read: {exc.strerror}") from exc
    if not (tree.records or tree.refused):
        raise UsageMistake(f"{folder}: there is no file in it; is it the folder that you upload?")
    return tree


def tell_remarks(tree: SourceTree) -> None:
    """Print what is to be said of it, and why no device would take it."""
    for remark in tree.remarks:
        sys.stderr.write(f"note: {remark}\n")
    for refusal in tree.refused[:_SHOWN]:
        sys.stderr.write(f"refused: {refusal.code}: {refusal.why}\n")
    if len(tree.refused) > _SHOWN:
        sys.stderr.write(f"refused: and {len(tree.refused) - _SHOWN} more\n")


def tell_refusal(args: argparse.Namespace, done: str, why: Sequence[Refusal]) -> int:
    """Say that it was not ``done``, for what no device would install; the exit code."""
    if args.json:
        tell(args, (), {"ok": False, "refused": [{"code": each.code, "problem": each.why} for each in why]})
    sys.stderr.write(f"not {done}: no device would install this bundle\n")
    return BAD
