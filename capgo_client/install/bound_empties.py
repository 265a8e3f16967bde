"""The empty files of a sealed bundle, which Capgo's command line leaves out of every manifest.

The bundle's own record (``verify.bound``) lists them, and an empty file has no content that could be missing: so they
are made. Without a record nobody knows of them, and a package without its empty ``__init__.py`` is a namespace package.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

from capgo_client.install.assemble import Piece
from capgo_client.install.names import check_name
from capgo_client.verify.bound import MAX_RECORD_BYTES, RECORD_NAME, listed_empty

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capgo_client.seams import Files

__all__ = ["empty_pieces"]

_NOTHING = hashlib.sha256(b"").digest()


def empty_pieces(pieces: Sequence[Piece], *, files: Files) -> tuple[Piece, ...]:
    """What the record among ``pieces`` lists as empty and is not among them; nothing where there is no record.

    Raises:
        ArchiveError: such a name is refused.
    """
    record = next((piece for piece in pieces if piece.parts == (RECORD_NAME,)), None)
    if record is None:
        return ()
    there = {piece.parts for piece in pieces}
    listed = (check_name(name) for name in listed_empty(_content(record, files=files)))
    return tuple(Piece(parts, _NOTHING, 0, ()) for parts in listed if parts not in there)


def _content(record: Piece, *, files: Files) -> bytes:
    """What the record says; nothing where it cannot be read, for whoever inspects the bundle will say so."""
    for source in record.sources:
        try:
            text = files.read_bytes(source, MAX_RECORD_BYTES)
        except OSError:
            continue
        if hmac.compare_digest(hashlib.sha256(text).digest(), record.digest):
            return text
    return b""
