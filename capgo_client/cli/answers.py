"""How a command answers: sentences for a person, or one JSON object."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Mapping

__all__ = ["add_json", "plain", "tell"]


def add_json(parser: argparse.ArgumentParser) -> None:
    """The option that every answering command has."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def tell(args: argparse.Namespace, lines: Iterable[str], document: Mapping[str, Any]) -> None:
    """Print ``document`` under ``--json``, else ``lines``."""
    text = json.dumps(document) if args.json else "\n".join(lines)
    sys.stdout.write(f"{text}\n")


def plain(text: str) -> str:
    """Somebody else's text with nothing in it that could move the cursor of a terminal."""
    return "".join(char if char.isprintable() else "?" for char in text)
