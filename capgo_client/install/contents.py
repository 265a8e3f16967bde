"""Reading whole files in bounded memory, to know what they hold."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from capgo_client.seams import Files

__all__ = ["hashed"]

#: How much is read at once (bytes). A buffer costs by its size, so most files get one that fits.
_MOST, _LEAST = 256 << 10, 4 << 10


def hashed(fd: int, *, size: int, files: Files) -> tuple[int, bytes]:
    """Size and SHA-256 of what an open file holds from here on; ``size`` is how much that should be. Raises OSError."""
    digest, found, step = hashlib.sha256(), 0, min(max(size + 1, _LEAST), _MOST)
    while chunk := files.read(fd, step):
        digest.update(chunk)
        found += len(chunk)
    return found, digest.digest()
