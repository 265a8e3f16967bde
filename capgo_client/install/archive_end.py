"""Finds a zip's directory: the end record must be the last 22 bytes, and nothing may be left to choose.

Layout: APPNOTE.TXT (section numbers below). Strictness: reference/bundle-formats.md section 6.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from capgo_client.errors import ArchiveError

if TYPE_CHECKING:
    from capgo_client.seams import Files

__all__ = ["Directory", "Source", "damaged", "find_directory"]

_END = struct.Struct("<4s4H2LH")  # 4.3.16
_LOCATOR = struct.Struct("<4sLQL")  # 4.3.15
_END64 = struct.Struct("<4sQ2H2L4Q")  # 4.3.14
_END_MARK, _LOCATOR_MARK, _END64_MARK = b"PK\x05\x06", b"PK\x06\x07", b"PK\x06\x06"
_MAX16, _MAX32 = 0xFFFF, 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Directory:
    """Where the directory lies."""

    offset: int
    size: int
    count: int


@dataclass(frozen=True, slots=True)
class Source:
    """The open archive."""

    fd: int
    size: int
    files: Files

    def read(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes, or ArchiveError."""
        if offset + length > self.size:  # also what no system call can be asked for: ZIP64 counts to 2**64
            raise damaged("archive_truncated", "it ends too early")
        chunks = b""
        while len(chunks) < length:
            chunk = self.files.pread(self.fd, length - len(chunks), offset + len(chunks))
            if not chunk:
                raise damaged("archive_truncated", "it ends too early")
            chunks += chunk
        return chunks


def damaged(code: str, why: str) -> ArchiveError:
    """The error for an archive that breaks a rule; ``why`` is a clause about "it"."""
    return ArchiveError(
        f"the archive is refused: {why}", code=code, hint="pack it anew with `npx @capgo/cli bundle zip`"
    )


def find_directory(source: Source) -> Directory:
    """Where the directory lies, by the end record and, where one is due, the ZIP64 one.

    Raises:
        ArchiveError: ``archive_end``, ``archive_directory``.
    """
    place = source.size - _END.size
    if place < 0:
        raise damaged("archive_end", f"{source.size} bytes cannot be a zip")
    mark, disk, start_disk, here, count, size, offset, comment = _END.unpack(source.read(place, _END.size))
    if mark != _END_MARK or comment:
        raise damaged("archive_end", "there is no end record in its last 22 bytes (an archive comment is not allowed)")
    if disk or start_disk or here != count:
        raise damaged("archive_end", "it is one of several parts")
    directory = Directory(offset=offset, size=size, count=count)
    if count == _MAX16 or _MAX32 in {size, offset}:
        directory, place = _find_directory64(source, directory, place)
    if directory.offset + directory.size != place:
        raise damaged("archive_directory", "its directory does not end where the end record begins")
    return directory


def _find_directory64(source: Source, classic: Directory, place: int) -> tuple[Directory, int]:
    """The ZIP64 end record, which must stand directly before its locator and agree with what ``classic`` tells."""
    locator, record = place - _LOCATOR.size, place - _LOCATOR.size - _END64.size
    if record < 0:
        return classic, place
    mark, disk, offset, disks = _LOCATOR.unpack(source.read(locator, _LOCATOR.size))
    if mark != _LOCATOR_MARK:
        return classic, place  # 65,535 entries exactly
    if disk or disks != 1 or offset != record:
        raise damaged("archive_end", "its ZIP64 locator points elsewhere")
    mark, length, _, _, disk, start_disk, here, count, size, start = _END64.unpack(source.read(record, _END64.size))
    if mark != _END64_MARK or length != _END64.size - 12 or disk or start_disk or here != count:
        raise damaged("archive_end", "its ZIP64 end record is wrong")
    agree = classic.count in {count, _MAX16} and classic.size in {size, _MAX32} and classic.offset in {start, _MAX32}
    if not agree:
        raise damaged("archive_end", "its two end records disagree")
    return Directory(offset=start, size=size, count=count), record
