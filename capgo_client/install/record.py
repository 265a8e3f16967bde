"""One line of a sealed record: what a file of an install must be."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["FileRecord"]


class FileRecord(NamedTuple):
    """A file of a bundle: path relative to the bundle with ``/`` between the parts, size in bytes, SHA-256 in hex."""

    path: str
    size: int
    sha256: str
