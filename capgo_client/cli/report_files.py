"""The files that a long command writes at its end."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from capgo_client.cli.mistakes import UsageMistake

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["expect_writable", "write_report"]


def expect_writable(path: Path) -> None:
    """Find out before the work begins whether its report can be written; it is not made yet. Raises UsageMistake."""
    folder = path.absolute().parent
    if not folder.is_dir():
        raise UsageMistake(f"{path} cannot be written: there is no folder {path.parent}")
    if path.is_dir():
        raise UsageMistake(f"{path} cannot be written: it is a folder; name a file in it")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise UsageMistake(f"{path} cannot be written: {os.strerror(errno.EACCES)}")


def write_report(path: Path, text: str) -> None:
    """Write it. Raises UsageMistake."""
    try:
        path.write_text(text, "utf-8")
    except OSError as exc:
        raise UsageMistake(f"{path} cannot be written: {exc.strerror}") from exc
