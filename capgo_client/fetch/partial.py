"""The partial file of a download and the note beside it that says what it is a part of.

A partial holds plain bytes only, decrypted as they came. Nothing in either file is trusted: the note decides only
whether going on is worth a try, the checksum over everything decides the rest. So neither is flushed to the platter.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import re
import threading
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from capgo_client.errors import CapgoError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from capgo_client.seams import Files

__all__ = ["Note", "Partial", "PartialKey", "Room", "disk_full", "require_room", "storage"]

_NOTE_LIMIT = 4096
_NAMES = re.compile(r"[0-9a-f]{64}\.(?:part|json|zip)")
#: Bytes of free space that are left to the device.
_MARGIN = 8 << 20
#: Bytes that may be written between two looks at the free space.
_LOOK = 4 << 20
_FULL = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})


@dataclass(frozen=True, slots=True)
class PartialKey:
    """What is downloaded, in the words of the service's reply. Two that differ never share a partial."""

    version: str
    checksum: str
    session_key: str
    #: A file name for it: 64 hex characters that tell nothing.
    name: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        text = json.dumps([self.version, self.checksum, self.session_key])
        name = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        object.__setattr__(self, "name", name)


@dataclass(frozen=True, slots=True)
class Note:
    """Which bytes a partial is a part of.

    ``path`` is that of the URL: its query names the device, and its host is whichever region answered
    (reference/service-behaviour.md section 0.2). ``total`` is the size on the wire, None where it was not told.
    """

    path: str
    checksum: str
    session: str
    total: int | None = None
    etag: str = ""

    @classmethod
    def of(cls, url: str, key: PartialKey) -> Note:
        """The note of a download that has not begun."""
        session = hashlib.sha256(key.session_key.encode("utf-8", "surrogatepass")).hexdigest()
        checksum = hashlib.sha256(key.checksum.encode("utf-8", "surrogatepass")).hexdigest()
        return cls(path=urlsplit(url).path, checksum=checksum, session=session)

    def continues(self, other: Note) -> bool:
        """Whether both are about the same file, as far as can be told before it is asked for."""
        return (self.path, self.checksum, self.session) == (other.path, other.checksum, other.session)


class Partial:
    """The files of one download in ``folder``: ``<name>.part``, ``.json`` and, when it is complete, ``.zip``."""

    def __init__(self, folder: Path, key: PartialKey, *, files: Files) -> None:
        self._folder = folder
        self._files = files
        self._name = key.name

    @property
    def path(self) -> Path:
        """Of the bytes while they come."""
        return self._folder / f"{self._name}.part"

    @property
    def complete(self) -> Path:
        """Of the bytes when they are all there."""
        return self._folder / f"{self._name}.zip"

    @property
    def _note(self) -> Path:
        return self._folder / f"{self._name}.json"

    def sweep(self) -> None:
        """Remove what is left of other downloads: there is at most one at a time.

        Raises:
            StorageError: the folder cannot be used.
        """
        with storage():
            names = [entry.name for entry in self._files.scan(self._folder)]
        for name in names:
            if _NAMES.fullmatch(name) and not name.startswith(self._name):
                self._remove(self._folder / name)

    def read_note(self) -> Note | None:
        """What was noted; None where there is nothing or it cannot be read."""
        try:
            raw = json.loads(self._files.read_bytes(self._note, _NOTE_LIMIT))
            note = Note(**raw)
        except (OSError, ValueError, TypeError, RecursionError):
            return None
        texts = all(isinstance(text, str) for text in (note.path, note.checksum, note.session, note.etag))
        number = note.total is None or (type(note.total) is int and note.total >= 0)
        return note if texts and number else None

    def write_note(self, note: Note) -> None:
        """Keep ``note``; a torn one reads as none, and the download starts anew."""
        with storage(), self.opened(self._note) as fd:
            self._files.truncate(fd, 0)
            self._files.write_all(fd, json.dumps(asdict(note)).encode())

    @contextlib.contextmanager
    def opened(self, path: Path) -> Iterator[int]:
        """Open ``path`` for reading and writing; gives the descriptor."""
        with storage():
            fd = self._files.open_update(path)
        try:
            yield fd
        finally:
            with contextlib.suppress(OSError):
                self._files.close(fd)

    def finish(self) -> Path:
        """Give the partial the name of a complete file; on a disk that is too full even for that nothing stays."""
        try:
            with storage():
                self._files.rename(self.path, self.complete)
        except StorageError as exc:
            if exc.code == "insufficient_disk_space":
                self.discard()
            raise
        self._remove(self._note)
        return self.complete

    def discard(self) -> None:
        """Remove every file of this download."""
        for path in (self.path, self._note, self.complete):
            self._remove(path)

    def _remove(self, path: Path) -> None:
        try:
            self._files.unlink(path)
        except OSError:
            return  # missing, or the next sweep gets it


@contextlib.contextmanager
def storage() -> Iterator[None]:
    """Turn what the file system says into StorageError; ``insufficient_disk_space`` is Capgo's word for a full one."""
    try:
        yield
    except CapgoError:  # DeadlineExceeded is an OSError too
        raise
    except OSError as exc:
        if exc.errno in _FULL:
            raise disk_full() from exc
        raise StorageError(f"The download cannot be kept: {exc.strerror or type(exc).__name__}") from exc


class Room:
    """The free space of one download: looked at before anything is written, and again with every 4 MiB.

    A look for each of thousands of small files would cost more than some of them do; what is written between two looks
    takes at most half of what is to be left to the device. Several threads may share one.
    """

    def __init__(self, folder: Path, *, files: Files) -> None:
        self._folder = folder
        self._files = files
        self._lock = threading.Lock()
        self._unseen = _LOOK

    def require(self, size: int) -> None:
        """Count ``size`` bytes that are about to be written. Raises StorageError ``insufficient_disk_space``."""
        with self._lock:
            self._unseen += size
            if self._unseen < _LOOK:
                return
            self._unseen = size
        require_room(size, self._folder, files=self._files)


def require_room(size: int, folder: Path, *, files: Files) -> None:
    """Refuse to write ``size`` bytes where they would not fit, or leave the device too little."""
    with storage():
        free = files.free_bytes(folder)
    if free is not None and size > free - _MARGIN:
        raise disk_full()


def disk_full() -> StorageError:
    """The error for a device that has no room."""
    hint = "the update comes when there is room"
    return StorageError("There is not enough free space for the download", code="insufficient_disk_space", hint=hint)
