"""Unpacks an archive into an empty folder and tells what it wrote. Nothing outside that folder is touched.

The directory is judged whole before the first byte is written (``archive.read_directory``); what it declared is then
counted again while unpacking. Memory stays flat: steps of 128 KiB. Nothing is flushed here; the store does that once.

Much of it is shared by two threads (``hands``).
"""

from __future__ import annotations

import hashlib
import zlib
from operator import attrgetter
from typing import TYPE_CHECKING

from capgo_client.errors import ArchiveError, Cancelled
from capgo_client.install.archive import DEFLATED, read_directory
from capgo_client.install.folders import Folders
from capgo_client.install.hands import Hands, parts_of, two
from capgo_client.install.record import FileRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from capgo_client.install.archive import Entry, Limits
    from capgo_client.seams import Files

__all__ = ["extract"]

_STEP = 128 * 1024
#: Measured: two threads take 0.8 of the time for files of 8 KiB, 0.55 for large ones, and no less for smaller ones.
_WORTH = 4096


def extract(
    archive: Path, target: Path, *, files: Files, limits: Limits, should_stop: Callable[[], bool]
) -> tuple[FileRecord, ...]:
    """Unpack ``archive`` into ``target``, an existing empty folder; return its files sorted by path.

    On an error what was written so far stays for the caller to remove. A folder at the top is kept as it is.
    ``should_stop`` is asked from two threads. None of them goes on when this has returned or raised.

    Raises:
        ArchiveError: those of ``read_directory``, ``crc_fail``, ``size_mismatch``, ``unzip_fail`` (deflate data that
            cannot be read, ends early or goes on after its end), ``archive_truncated``, names this system cannot keep.
        Cancelled: ``should_stop`` said so.
        OSError: the disk.
    """
    fd = files.open_read(archive)
    try:
        entries = read_directory(fd, files.fstat(fd).st_size, files=files, limits=limits)
        return _Unpacking(fd=fd, target=target, files=files, should_stop=should_stop).run(entries)
    finally:
        files.close(fd)


class _Unpacking:
    """One run: the open archive and the folders made so far."""

    def __init__(self, *, fd: int, target: Path, files: Files, should_stop: Callable[[], bool]) -> None:
        self._fd = fd
        self._files = files
        self._should_stop = should_stop
        self._folders = Folders(target, files=files)
        self._hands = Hands(self._unpack, most=two() if files.preads_at_once else 1)
        self._records: list[FileRecord] = []

    def run(self, entries: Sequence[Entry]) -> tuple[FileRecord, ...]:
        """Every entry; the records of the files, sorted."""
        # All folders first: of two threads that come to one, both might make it.
        for entry in entries:
            if entry.is_folder:
                self._stop_if_told()
            self._folders.make(entry.path if entry.is_folder else entry.path.rpartition("/")[0])
        self._hands.run(parts_of([entry for entry in entries if not entry.is_folder], worth=_WORTH))
        return tuple(sorted(self._records, key=attrgetter("path")))

    def _unpack(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self._stop_if_told()
            self._records.append(self._file(entry))

    def _stop_if_told(self) -> None:
        if self._hands.failed or self._should_stop():
            raise Cancelled("the installation was ended from this side")

    def _file(self, entry: Entry) -> FileRecord:
        fd, _ = self._folders.new_file(entry.path, is_executable=entry.is_executable)
        try:
            return self._fill(fd, entry)
        finally:
            self._files.close(fd)

    def _fill(self, fd: int, entry: Entry) -> FileRecord:
        """Write the content: size, CRC-32 and SHA-256 are taken of the very bytes that go to the disk."""
        digest, crc, size = hashlib.sha256(), 0, 0
        packed = self._packed(entry)
        for piece in _inflate(packed, entry) if entry.method == DEFLATED else packed:
            size += len(piece)
            if size > entry.size:
                raise _wrong(entry, "size_mismatch", "holds more than it declares")
            crc = zlib.crc32(piece, crc)
            digest.update(piece)
            self._files.write_all(fd, piece)
        if size != entry.size:
            raise _wrong(entry, "size_mismatch", "holds less than it declares")
        if crc != entry.crc:
            raise _wrong(entry, "crc_fail", "does not have its CRC-32")
        return FileRecord(entry.path, size, digest.hexdigest())

    def _packed(self, entry: Entry) -> Iterator[bytes]:
        """The entry's bytes as they stand in the archive."""
        place, end = entry.data_offset, entry.data_offset + entry.packed
        while place < end:
            chunk = self._files.pread(self._fd, min(_STEP, end - place), place)
            if not chunk:
                raise _wrong(entry, "archive_truncated", "runs over the end of the archive")
            place += len(chunk)
            yield chunk
            if place < end:
                self._stop_if_told()


def _inflate(packed: Iterator[bytes], entry: Entry) -> Iterator[bytes]:
    """Undo deflate in steps; the stream must end exactly where the entry's bytes end."""
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for chunk in packed:
            rest = chunk
            while rest and not engine.eof:
                yield engine.decompress(rest, _STEP)
                rest = engine.unconsumed_tail
            if engine.unused_data or rest:
                raise _wrong(entry, "unzip_fail", "has bytes after the end of its deflate data")
        # The output limit may have left some in the engine although all input is taken.
        while not engine.eof and (piece := engine.decompress(b"", _STEP)):
            yield piece
    except zlib.error as exc:
        raise _wrong(entry, "unzip_fail", "has damaged deflate data") from exc
    if not engine.eof:
        raise _wrong(entry, "unzip_fail", "has deflate data that ends too early")


def _wrong(entry: Entry, code: str, what: str) -> ArchiveError:
    return ArchiveError(
        f"the archive's file {entry.path[:80]!a} {what}",
        code=code,
        hint="pack it anew with `npx @capgo/cli bundle zip`",
    )
