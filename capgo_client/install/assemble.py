"""Makes the files of a new version out of copies. Each is hashed as it goes in; nothing else may be among them."""

from __future__ import annotations

import hashlib
import hmac
import stat
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from capgo_client.errors import ArchiveError, Cancelled, StorageError
from capgo_client.install.contents import hashed
from capgo_client.install.folders import Folders
from capgo_client.install.hands import Hands, parts_of, two
from capgo_client.install.names import NameSet
from capgo_client.install.record import FileRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from capgo_client.install.archive import Limits
    from capgo_client.seams import Files

__all__ = ["Piece", "assemble"]

_STEP = 256 * 1024
#: Measured: two threads take twice as long as one for files of 8 KiB, which are copied in a few short calls each.
_WORTH = 128 * 1024
#: Bytes of free space that are left to the device.
_MARGIN = 8 << 20
_NOTHING = hashlib.sha256(b"").digest()


class Piece(NamedTuple):
    """One file of the new version: its name, its SHA-256, its size, and where its content may be had.

    An empty one needs no source.
    """

    parts: tuple[str, ...]
    digest: bytes
    size: int
    sources: tuple[str | Path, ...]

    @property
    def path(self) -> str:
        """Its name as one text, ``/`` between the parts."""
        return "/".join(self.parts)


def assemble(
    pieces: Sequence[Piece], target: Path, *, files: Files, limits: Limits, should_stop: Callable[[], bool]
) -> tuple[FileRecord, ...]:
    """Put every piece into ``target``, an existing empty folder; return their records sorted by path.

    A copy shares its blocks with its source where the file system can do that, and is read back all the same. It is
    never a second name of the same file: damage to one would be damage to both.

    Raises:
        ArchiveError: two names that some system takes for one, names this system cannot keep,
            ``archive_limit_entries``, ``_file``, ``_total``.
        StorageError: ``source_changed``: what was found is not there any more; ``insufficient_disk_space``.
        Cancelled: ``should_stop`` said so.
        OSError: the disk.
    """
    _check(pieces, limits)
    return _Assembly(target, files=files, should_stop=should_stop).run(pieces)


def _check(pieces: Sequence[Piece], limits: Limits) -> None:
    names = NameSet()
    for piece in pieces:
        names.add_file(piece.parts)
    sizes = [piece.size for piece in pieces]
    for broken, code in (
        (len(sizes) > limits.max_entries, "archive_limit_entries"),
        (any(size > limits.max_file for size in sizes), "archive_limit_file"),
        (sum(sizes) > limits.max_total, "archive_limit_total"),
    ):
        if broken:
            raise ArchiveError("the bundle is larger than allowed", code=code, hint="publish a smaller bundle")


class _Assembly:
    """One run: the folders made so far, and whether this file system shares blocks."""

    def __init__(self, target: Path, *, files: Files, should_stop: Callable[[], bool]) -> None:
        self._files = files
        self._target = target
        self._should_stop = should_stop
        self._folders = Folders(target, files=files)
        self._hands = Hands(self._add_all, most=two())
        self._records: list[FileRecord] = []
        self._total = 0
        self._may_clone = True

    def run(self, pieces: Sequence[Piece]) -> tuple[FileRecord, ...]:
        """Every piece; their records, sorted."""
        self._total = sum(piece.size for piece in pieces)
        # All folders first: of two threads that come to one, both might make it.
        for piece in pieces:
            self._folders.make(piece.path.rpartition("/")[0])
        # And one piece by itself: it tells whether blocks can be shared and, if not, whether there is room.
        self._add_all(pieces[:1])
        self._hands.run(parts_of(pieces[1:], worth=_WORTH))
        return tuple(sorted(self._records, key=attrgetter("path")))

    def _add_all(self, pieces: Sequence[Piece]) -> None:
        for piece in pieces:
            self._stop_if_told()
            self._records.append(self._add(piece))

    def _stop_if_told(self) -> None:
        if self._hands.failed or self._should_stop():
            raise Cancelled("the installation was ended from this side")

    def _add(self, piece: Piece) -> FileRecord:
        """Make one file."""
        name = piece.path
        fd, path = self._folders.new_file(name)
        try:
            if piece.digest != _NOTHING and not any(self._copied(piece, source, fd, path) for source in piece.sources):
                raise StorageError(
                    f"the file {name[:80]!a} was here a moment ago and is not any more",
                    code="source_changed",
                )
        finally:
            self._files.close(fd)
        return FileRecord(name, piece.size, piece.digest.hex())

    def _copied(self, piece: Piece, source: str | Path, fd: int, path: str) -> bool:
        """Whether the file now has the content that it must have."""
        try:
            found = self._files.open_read(source)
        except OSError:
            return False
        try:
            if not stat.S_ISREG(self._files.fstat(found).st_mode):
                return False
            if self._clone(found, fd):
                size, digest = self._read_back(path, piece.size)
            else:
                size, digest = self._copy(found, fd, piece.size)
        finally:
            self._files.close(found)
        if hmac.compare_digest(digest, piece.digest) and size == piece.size:
            return True
        self._files.truncate(fd, 0)
        self._files.seek(fd, 0)
        return False

    def _clone(self, source: int, target: int) -> bool:
        if self._may_clone and not self._files.clone(source, target):
            self._may_clone = False  # here it never works, and each try costs
            free = self._files.free_bytes(self._target)
            left = self._total - sum(record.size for record in self._records)
            if free is not None and left > free - _MARGIN:
                raise StorageError(
                    "there is not enough free space for the update",
                    code="insufficient_disk_space",
                    hint="the update comes when there is room",
                )
        return self._may_clone

    def _read_back(self, path: str, size: int) -> tuple[int, bytes]:
        fd = self._files.open_read(path)
        try:
            return hashed(fd, size=size, files=self._files)
        finally:
            self._files.close(fd)

    def _copy(self, source: int, target: int, most: int) -> tuple[int, bytes]:
        """Copy ``most`` bytes and hash the very ones; what a source has behind them is no part of the file."""
        digest, size = hashlib.sha256(), 0
        while size < most and (chunk := self._read(source, min(_STEP, most - size))):
            if size:
                self._stop_if_told()
            digest.update(chunk)
            size += len(chunk)
            self._files.write_all(target, chunk)
        return size, digest.digest()

    def _read(self, source: int, size: int) -> bytes:
        try:
            return self._files.read(source, size)
        except OSError:
            return b""  # as if it ended here: then its hash is wrong, and another source may be sound
