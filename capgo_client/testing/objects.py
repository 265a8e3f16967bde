"""Stored files and how the service hands them out (reference/service-behaviour.md section 4.3)."""

from __future__ import annotations

import base64
import hashlib
import mimetypes
import re
from dataclasses import dataclass

from .wire import Reply

__all__ = ["StoredObject", "serve_object"]

_RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII)
#: Python's own table: that of the machine (registry, /etc/mime.types) would make the header differ by machine.
_TYPES = mimetypes.MimeTypes()
_CACHE_CONTROL = "public, max-age=31536000, immutable, no-transform"


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One file in the store; ``key`` is its path below ``/files/read/attachments/``."""

    key: str
    data: bytes

    @property
    def content_type(self) -> str:
        """By the name without ``.br``: brotli is part of the name here, never of the headers."""
        return _TYPES.guess_type(self.key.removesuffix(".br"))[0] or "application/octet-stream"

    @property
    def etag(self) -> str:
        """Quoted MD5, the form of the store behind the real service."""
        return f'"{hashlib.md5(self.data, usedforsecurity=False).hexdigest()}"'


def serve_object(stored: StoredObject, asked: str | None) -> Reply:
    """Answer a GET: ``asked`` is the Range header. The caller drops the body for HEAD."""
    if asked is None:
        return Reply(200, _whole_headers(stored), stored.data)
    size = len(stored.data)
    start, stop = _bounds(asked, size)
    if start >= size:
        # Not 416, as a web server would say: the real service answers an empty 206 without type and ETag.
        return Reply(206, (("Content-Range", f"bytes */{size}"), ("Cache-Control", _CACHE_CONTROL)))
    headers = (
        ("Content-Type", stored.content_type),
        ("Content-Range", f"bytes {start}-{stop - 1}/{size}"),
        ("ETag", stored.etag),
        ("Cache-Control", _CACHE_CONTROL),
    )
    return Reply(206, headers, stored.data[start:stop])


def _whole_headers(stored: StoredObject) -> tuple[tuple[str, str], ...]:
    digest = base64.b64encode(hashlib.sha256(stored.data).digest()).decode()
    return (
        ("Content-Type", stored.content_type),
        ("Cache-Control", _CACHE_CONTROL),
        ("ETag", stored.etag),
        ("Content-Disposition", f'attachment; filename="{stored.key}"'),
        ("X-Checksum-Sha256", digest),
    )


def _bounds(asked: str, size: int) -> tuple[int, int]:
    """First byte and the one after the last; several ranges, another unit and nonsense mean the whole object."""
    match = _RANGE.fullmatch(asked.strip())
    if match is None or match[0] == "bytes=-":
        return 0, size
    first, last = match.groups()
    if not first:
        count = int(last)
        return (max(0, size - count), size) if count else (size, size)
    start, stop = int(first), min(size, int(last) + 1 if last else size)
    return (0, size) if last and int(last) < start else (start, stop)
