"""The folder in which the files of one delta gather until they are all there."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

from capgo_client.fetch.partial import Partial, storage
from capgo_client.fetch.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from capgo_client.fetch.partial import PartialKey, Room
    from capgo_client.fetch.source import Stoppable
    from capgo_client.seams import Files

__all__ = ["Fetched", "Kept"]

#: A whole file by how it came: its bytes as they are, or inflated. Which it was decides its name in the bundle.
_RAW, _INFLATED = ".raw", ".inflated"


@dataclass(frozen=True, slots=True)
class Fetched:
    """A whole file: where it stands, how long it is, and whether it came compressed (its name loses ``.br``)."""

    path: Path
    size: int
    inflated: bool


class Kept:
    """What of the delta is in ``folder``. Nothing there is trusted: a file counts when its SHA-256 does."""

    def __init__(self, folder: Path, *, files: Files, room: Room) -> None:
        self._folder = folder
        self._files = files
        self._room = room
        with storage():
            if not files.exists(folder):
                files.mkdir(folder)
            # Read once: a look for each of thousands of files costs more than they do.
            self._names = frozenset(entry.name for entry in files.scan(folder))

    def partial(self, key: PartialKey) -> Partial:
        """The partial file of one download."""
        return Partial(self._folder, key, files=self._files)

    def has_partial(self, key: PartialKey) -> bool:
        """Whether an earlier call left something of it."""
        return f"{key.name}.part" in self._names

    def find(self, key: PartialKey, digest: bytes, *, scope: Stoppable) -> Fetched | None:
        """The whole file that an earlier call left; one that is not what it should be is removed."""
        for suffix in (_RAW, _INFLATED):
            if key.name + suffix not in self._names:
                continue
            path = self._folder / (key.name + suffix)
            size, found = self._digest(path, key, scope)
            if hmac.compare_digest(found, digest):
                return Fetched(path, size, suffix == _INFLATED)
            self.drop(path)
        return None

    def _digest(self, path: Path, key: PartialKey, scope: Stoppable) -> tuple[int, bytes]:
        spool, digest = Spool(self.partial(key), files=self._files), hashlib.sha256()
        spool.open(path)
        try:
            size = spool.size()
            for part in spool.read(0, size):
                scope.check()
                digest.update(part)
        finally:
            spool.close()
        return size, digest.digest()

    def keep_raw(self, key: PartialKey, data: bytes | None) -> Path:
        """Make a whole file of ``data``, or, where that is None, of the partial file."""
        path = self._folder / (key.name + _RAW)
        if data is not None:
            self.write(path, (data,))
            return path
        partial = self.partial(key)
        with storage():
            self._files.rename(partial.path, path)
        partial.discard()
        return path

    def inflated_path(self, key: PartialKey) -> Path:
        """Where the inflated content of a file goes."""
        return self._folder / (key.name + _INFLATED)

    def write(self, path: Path, pieces: Iterable[bytes]) -> None:
        """Write ``pieces`` to a file; when they end in an error it is removed."""
        done = False
        with storage():
            fd = self._files.open_update(path)
        try:
            with storage():
                # Not for nothing: ext4 brings a file that was cut to nothing to the platter when it is closed.
                if self._files.fstat(fd).st_size:
                    self._files.truncate(fd, 0)
            self._fill(fd, pieces)
            done = True
        finally:
            with storage():
                self._files.close(fd)
            if not done:
                self.drop(path)

    def _fill(self, fd: int, pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            self._room.require(len(piece))
            with storage():
                self._files.write_all(fd, piece)

    def drop(self, path: Path) -> None:
        """Remove a file; failing is harmless, for nothing is trusted here."""
        try:
            self._files.unlink(path)
        except OSError:
            return
