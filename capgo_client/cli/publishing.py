"""What a publisher holds: the private key, as an option names it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capgo_client.cli.mistakes import UsageMistake
from capgo_client.testing import BundleKeys

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["private_key"]


def private_key(path: Path | None) -> BundleKeys | None:
    """The key pair of ``--keys FILE``; None where there is no such option. Raises UsageMistake."""
    if path is None:
        return None
    try:
        return BundleKeys.load(path.read_text("utf-8"))
    except (OSError, ValueError) as exc:
        raise UsageMistake(f"--keys {path}: {exc}; it takes the private key that Capgo's command line made") from exc
