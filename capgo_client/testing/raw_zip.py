"""Writes zips field by field, each of which can be wrong by itself: no zip library writes what attackers do."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

__all__ = [
    "DEFLATED",
    "FILE",
    "FOLDER",
    "LINK",
    "STORED",
    "UTF8",
    "RawEntry",
    "deflated",
    "end_record",
    "end_record64",
    "raw_zip",
    "wide",
]

FILE, LINK, FOLDER = 0o100644, 0o120777, 0o040755
STORED, DEFLATED = 0, 8
UTF8 = 0x0800
_DATE = 0x5A21


@dataclass(frozen=True, slots=True)
class RawEntry:
    """One entry; None means "what is right", ``local_…`` is for the local header alone.

    ``shared``: its record is that of the entry before it. ``after`` stands behind its data, as a data descriptor does.
    ``offset`` is where the directory says that its record begins.
    """

    name: bytes
    data: bytes = b"print('x')\n"
    mode: int = FILE
    dos: int = 0
    method: int = STORED
    flags: int = UTF8
    packed: bytes | None = None
    packed_size: int | None = None
    size: int | None = None
    crc: int | None = None
    extra: bytes = b""
    comment: bytes = b""
    disk: int = 0
    offset: int | None = None
    after: bytes = b""
    local_name: bytes | None = None
    local_crc: int | None = None
    local_sizes: tuple[int, int] | None = None
    local_extra: bytes | None = None
    shared: bool = False

    def body(self) -> bytes:
        """The bytes behind the local header."""
        if self.packed is not None:
            return self.packed
        return deflated(self.data) if self.method == DEFLATED else self.data

    def _facts(self) -> tuple[int, int, int]:
        crc = zlib.crc32(self.data) if self.crc is None else self.crc
        packed = len(self.body()) if self.packed_size is None else self.packed_size
        return crc, packed, len(self.data) if self.size is None else self.size

    def local(self) -> bytes:
        """The local header, without what it describes."""
        name = self.name if self.local_name is None else self.local_name
        extra = self.extra if self.local_extra is None else self.local_extra
        crc, *sizes = self._facts()
        facts = (crc if self.local_crc is None else self.local_crc, *(self.local_sizes or sizes))
        fields = (20, self.flags, self.method, 0, _DATE, *facts, len(name), len(extra))
        return struct.pack("<4s5H3L2H", b"PK\3\4", *fields) + name + extra

    def central(self, offset: int) -> bytes:
        """Its line in the directory."""
        lengths = (len(self.name), len(self.extra), len(self.comment))
        fields = (20, self.flags, self.method, 0, _DATE, *self._facts(), *lengths)
        place = offset if self.offset is None else self.offset
        tail = struct.pack("<2H2L", self.disk, 0, self.mode << 16 | self.dos, place)
        return struct.pack("<4s2B5H3L3H", b"PK\1\2", 20, 3, *fields) + tail + self.name + self.extra + self.comment


def deflated(data: bytes) -> bytes:
    """Raw deflate, as zips hold it."""
    engine = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return engine.compress(data) + engine.flush()


def wide(*values: int) -> bytes:
    """A ZIP64 extra field."""
    return struct.pack(f"<2H{len(values)}Q", 1, 8 * len(values), *values)


def end_record(count: int, size: int, offset: int, *, disk: int = 0, comment: bytes = b"") -> bytes:
    """The end record of a directory of ``size`` bytes at ``offset``."""
    return struct.pack("<4s4H2LH", b"PK\5\6", disk, disk, count, count, size, offset, len(comment)) + comment


def end_record64(count: int, size: int, offset: int, *, at: int) -> bytes:
    """The ZIP64 end record and its locator; ``at`` is where the record stands."""
    record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, offset)
    return record + struct.pack("<4sLQL", b"PK\6\7", 0, at, 1)


def raw_zip(*entries: RawEntry, count: int | None = None, comment: bytes = b"", before: bytes = b"") -> bytes:
    """The archive; ``count`` is what its end record says, ``before`` stands in front of the first record."""
    body, central, place = bytearray(before), bytearray(), len(before)
    for entry in entries:
        if not entry.shared:
            place = len(body)
            body += entry.local() + entry.body() + entry.after
        central += entry.central(place)
    said = len(entries) if count is None else count
    return bytes(body + central) + end_record(said, len(central), len(body), comment=comment)
