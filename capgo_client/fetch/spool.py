"""Where the plain bytes of one download stand: in memory while they are few, in its partial file from then on."""

from __future__ import annotations

import contextlib
import errno
from typing import TYPE_CHECKING

from capgo_client.fetch.partial import storage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from capgo_client.fetch.partial import Note, Partial
    from capgo_client.seams import Files

__all__ = ["Spool"]

_READ = 1 << 20


class Spool:
    """The bytes of one download. With ``memory`` of 0 they go to the file from the first one on.

    A thousand small files would cost three files each otherwise, for nothing: what is that small is asked for again
    rather than resumed.
    """

    def __init__(self, partial: Partial, *, files: Files, memory: int = 0) -> None:
        self._partial = partial
        self._files = files
        self._memory = memory
        self._held = bytearray()
        self._fd: int | None = None
        self._note: Callable[[], Note] | None = None

    @property
    def in_memory(self) -> bytes | None:
        """Everything, where it never became a file; else None."""
        return bytes(self._held) if self._fd is None else None

    @property
    def path(self) -> Path:
        """The file that it becomes."""
        return self._partial.path

    def open(self, path: Path | None = None) -> None:
        """Use the partial file (or ``path``), with what is in it."""
        with storage():
            self._fd = self._files.open_update(path or self._partial.path)

    def close(self) -> None:
        """Give the file back."""
        fd, self._fd = self._fd, None
        if fd is not None:
            with contextlib.suppress(OSError):
                self._files.close(fd)

    def note(self, note: Callable[[], Note]) -> None:
        """Keep what ``note`` gives beside the bytes, as soon as there is a file of them."""
        self._note = note
        if self._fd is not None:
            self._partial.write_note(note())

    def write(self, data: bytes) -> None:
        """Add ``data`` at the end."""
        if self._fd is None and len(self._held) + len(data) <= self._memory:
            self._held += data
            return
        if self._fd is None:
            self._become_file()
        self._write(data)

    def _become_file(self) -> None:
        held = bytes(self._held)
        self.open()
        self.cut(0)
        if self._note is not None:
            self._partial.write_note(self._note())
        self._write(held)

    def _write(self, data: bytes) -> None:
        assert self._fd is not None  # noqa: S101
        with storage():
            self._files.write_all(self._fd, data)

    def cut(self, size: int) -> None:
        """Drop what comes after the first ``size`` bytes; what is written next comes there."""
        del self._held[size:]
        if self._fd is not None:
            with storage():
                # Not for nothing: ext4 brings a file that was cut to nothing to the platter when it is closed.
                if self._files.fstat(self._fd).st_size != size:
                    self._files.truncate(self._fd, size)
                self._files.seek(self._fd, size)

    def size(self) -> int:
        """How many bytes there are."""
        if self._fd is None:
            return len(self._held)
        with storage():
            return self._files.fstat(self._fd).st_size

    def read(self, start: int, size: int) -> Iterator[bytes]:
        """``size`` bytes from ``start`` on, in steps. Raises StorageError; also when there are fewer."""
        if self._fd is None:
            yield bytes(self._held[start : start + size])
            return
        while size > 0:
            with storage():
                part = self._files.pread(self._fd, min(size, _READ), start)
                if not part:
                    raise OSError(errno.EIO, "the file became shorter while it was read")
            start, size = start + len(part), size - len(part)
            yield part
