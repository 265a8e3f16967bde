"""Zips as Capgo's command line writes them, byte by byte (reference/bundle-formats.md section 2).

Written by hand because ``zipfile`` sets other flags, versions and times than the real thing. Limits: no ZIP64.
"""

from __future__ import annotations

import struct
import unicodedata
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["FILE_MODE", "FOLDER_MODE", "write_archive"]

FILE_MODE = 0o100644
FOLDER_MODE = 0o040755
_UTF8_NAMES = 0x0800
_DEFLATED, _STORED = 8, 0
_MADE_BY = (3 << 8) | 20  # Unix, version 2.0
_DOS_FOLDER = 0x10
#: 1 January 2025, 00:00:00: fixed, so that the same files give the same bytes on every machine.
_DATE, _TIME = ((2025 - 1980) << 9) | (1 << 5) | 1, 0
_MOST_ENTRIES = 65535


@dataclass(frozen=True, slots=True)
class _Entry:
    name: bytes
    mode: int
    packed: bytes
    size: int
    crc: int
    method: int

    def _common(self) -> bytes:
        needed = 20 if self.method == _DEFLATED else 10
        sizes = (self.crc, len(self.packed), self.size, len(self.name), 0)
        return struct.pack("<5H3I2H", needed, _UTF8_NAMES, self.method, _TIME, _DATE, *sizes)

    def local(self) -> bytes:
        return b"PK\x03\x04" + self._common() + self.name + self.packed

    def central(self, offset: int) -> bytes:
        attributes = (self.mode << 16) | (_DOS_FOLDER if self.mode == FOLDER_MODE else 0)
        tail = struct.pack("<3H2I", 0, 0, 0, attributes, offset)
        return b"PK\x01\x02" + struct.pack("<H", _MADE_BY) + self._common() + tail + self.name


def write_archive(files: Mapping[str, bytes], *, modes: Mapping[str, int] | None = None) -> bytes:
    """Pack ``files`` (path with ``/`` to content; a path that ends in ``/`` is an empty folder).

    ``modes`` gives Unix modes other than 0644. Folders above the files get entries of their own.
    """
    entries = [_entry(name, files.get(name, b""), (modes or {}).get(name, FILE_MODE)) for name in _ordered(files)]
    if len(entries) >= _MOST_ENTRIES:
        raise ValueError(f"{len(entries)} entries need ZIP64, which this writer has not")
    body, directory = bytearray(), bytearray()
    for entry in entries:
        directory += entry.central(len(body))
        body += entry.local()
    count = len(entries)
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, count, count, len(directory), len(body), 0)
    return bytes(body + directory) + end


def _ordered(files: Iterable[str]) -> list[str]:
    names = set(files)
    for name in files:
        parts = name.rstrip("/").split("/")[:-1]
        names.update("/".join(parts[:depth]) + "/" for depth in range(1, len(parts) + 1))
    return sorted(names, key=_sort_key)


def _sort_key(name: str) -> tuple[str, str]:
    # The command line sorts by the locale's rules; without accents and case comes close enough.
    plain = "".join(each for each in unicodedata.normalize("NFD", name) if not unicodedata.combining(each))
    return plain.lower(), name


def _entry(name: str, data: bytes, mode: int) -> _Entry:
    encoded = name.encode("utf-8")
    if name.endswith("/"):
        return _Entry(encoded, FOLDER_MODE, b"", 0, 0, _STORED)
    if not data:
        return _Entry(encoded, mode, b"", 0, 0, _STORED)
    compressor = zlib.compressobj(zlib.Z_DEFAULT_COMPRESSION, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = compressor.compress(data) + compressor.flush()
    return _Entry(encoded, mode, packed, len(data), zlib.crc32(data), _DEFLATED)
