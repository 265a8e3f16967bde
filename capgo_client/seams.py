"""What touches the world: the clock and the files. Everything else is computed.

Each seam is a plain class whose methods do the real thing; a test subclasses it to count calls, to fail the n-th, to
stop the process there, or to keep its own time. Nothing else in the package calls ``time`` or the file functions of
``os`` (a test holds that). The network's seam is a transport of httpx, the process's is ``platforms``.
"""

from __future__ import annotations

import errno
import os
import time

from capgo_client.platforms import system

TYPE_CHECKING = False  # spelled out: importing typing costs the launch path several milliseconds
if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator

    StrPath = str | os.PathLike[str]

__all__ = ["Clock", "Files", "below", "folder_of", "name_of"]

_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_BINARY = getattr(os, "O_BINARY", 0)
_CLOEXEC = getattr(os, "O_CLOEXEC", 0)
_NONBLOCK = getattr(os, "O_NONBLOCK", 0)  # a pipe in a file's place must not hold up a start; files do not notice


def below(folder: StrPath, *names: str) -> str:
    """The path of something in ``folder``, as text, for what every start does.

    The import of pathlib costs as much as half of all our own modules; what only the worker does uses ``Path``.
    """
    return os.path.join(folder, *names)


def name_of(path: StrPath) -> str:
    """The last part of a path."""
    return os.path.basename(path)


def folder_of(path: StrPath) -> str:
    """The folder that a path lies in."""
    return os.path.dirname(os.fspath(path))


class Clock:
    """Time as we see it: ``wall`` may jump, ``monotonic`` may not, ``wait`` is the only way to pass it."""

    def wall(self) -> float:
        """Seconds since 1970 as the device believes them; may be years off and may jump."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back."""
        return time.monotonic()

    def wait(self, event: threading.Event, timeout: float | None) -> bool:
        """Wait for ``event`` at most ``timeout`` seconds (None: for ever); say whether it was set."""
        return event.wait(timeout)


class Files:
    """Every file-system call this library makes, one call each, raising OSError as the system does.

    Links are never followed on opening. Folders are made private to the user (0700), files too (0600).
    """

    #: Whether two threads may ``pread`` one descriptor at once; where the system lacks the call, it moves the position.
    preads_at_once = hasattr(os, "pread")
    #: Whether a file can be flushed that is open for reading only; Windows wants it open for writing.
    flushes_readers = os.name != "nt"

    def open_read(self, path: StrPath) -> int:
        """Open for reading; return the descriptor."""
        return os.open(path, os.O_RDONLY | _NOFOLLOW | _NONBLOCK | _BINARY | _CLOEXEC)

    def open_new(self, path: StrPath, mode: int = 0o600) -> int:
        """Create a file that must not exist yet; return the descriptor."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NOFOLLOW | _BINARY | _CLOEXEC, mode)

    def open_update(self, path: StrPath) -> int:
        """Open for reading and writing, creating the file when it is missing; return the descriptor."""
        return os.open(path, os.O_RDWR | os.O_CREAT | _NOFOLLOW | _BINARY | _CLOEXEC, 0o600)

    def open_append(self, path: StrPath) -> int:
        """Open for writing at the end, wherever that is by then, creating the file when it is missing."""
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | _NOFOLLOW | _NONBLOCK | _BINARY | _CLOEXEC, 0o600)

    def read(self, fd: int, size: int) -> bytes:
        """Read at most ``size`` bytes from the current position."""
        return os.read(fd, size)

    def pread(self, fd: int, size: int, offset: int) -> bytes:
        """Read at most ``size`` bytes at ``offset``."""
        if hasattr(os, "pread"):
            return os.pread(fd, size, offset)
        os.lseek(fd, offset, os.SEEK_SET)
        return os.read(fd, size)

    def write(self, fd: int, data: bytes | memoryview) -> int:
        """Write some of ``data``; return how much. Callers loop (``write_all``)."""
        return os.write(fd, data)

    def seek(self, fd: int, offset: int) -> None:
        """Move the position to ``offset`` from the start."""
        os.lseek(fd, offset, os.SEEK_SET)

    def clone(self, source: int, target: int) -> bool:
        """Let the empty file ``target`` share the blocks of ``source``; False where they must be copied."""
        return system.clone(source, target)

    def truncate(self, fd: int, size: int) -> None:
        """Cut the file to ``size`` bytes."""
        os.ftruncate(fd, size)

    def fsync(self, fd: int) -> None:
        """Bring one file, or one folder's list of names, to the platter."""
        system.flush(fd)

    def sync_filesystem(self, fd: int) -> bool:
        """Bring everything on the file system of ``fd`` to the platter; False where the caller must fsync each file."""
        return system.sync_filesystem(fd)

    def close(self, fd: int) -> None:
        """Give the descriptor back."""
        os.close(fd)

    def open_folder(self, path: StrPath) -> int:
        """Open a folder for ``fsync``; raises OSError where the system cannot (Windows)."""
        return os.open(path, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | _NOFOLLOW | _CLOEXEC)

    def mkdir(self, path: StrPath, mode: int = 0o700) -> None:
        """Make one folder."""
        os.mkdir(path, mode)

    def rename(self, source: StrPath, target: StrPath) -> None:
        """Rename a file or folder, replacing a file of that name."""
        os.replace(source, target)

    def unlink(self, path: StrPath) -> None:
        """Remove a file or a link."""
        os.unlink(path)

    def rmdir(self, path: StrPath) -> None:
        """Remove an empty folder."""
        os.rmdir(path)

    def chmod(self, path: StrPath, mode: int) -> None:
        """Change permissions; the callers never name a link."""
        os.chmod(path, mode)

    def lstat(self, path: StrPath) -> os.stat_result:
        """Look at a path without following a link."""
        return os.lstat(path)

    def fstat(self, fd: int) -> os.stat_result:
        """Look at an open file."""
        return os.fstat(fd)

    def scan(self, path: StrPath) -> Iterator[os.DirEntry[str]]:
        """List a folder; the listing is complete before the first entry is returned."""
        with os.scandir(path) as entries:
            return iter(list(entries))

    def free_bytes(self, path: StrPath) -> int | None:
        """Bytes that this user may still write on the file system of ``path``; None where that cannot be told."""
        if not hasattr(os, "statvfs"):
            import shutil

            return shutil.disk_usage(path).free
        status = os.statvfs(path)
        return status.f_bavail * status.f_frsize

    # What follows is made of the calls above and touches nothing by itself.

    def write_all(self, fd: int, data: bytes | memoryview) -> None:
        """Write the whole of ``data``: one ``write`` may take less, above all when the disk is filling up."""
        view = memoryview(data)
        while view:
            written = self.write(fd, view)
            if written <= 0:
                raise OSError(errno.EIO, "write() took no byte and gave no error")
            view = view[written:]

    def read_bytes(self, path: StrPath, limit: int) -> bytes:
        """The content of a small file; one larger than ``limit`` bytes raises OSError(EFBIG)."""
        fd = self.open_read(path)
        try:
            chunks: list[bytes] = []
            left = limit + 1
            while left > 0 and (chunk := self.read(fd, min(left, 1 << 20))):
                chunks.append(chunk)
                left -= len(chunk)
        finally:
            self.close(fd)
        if left <= 0:
            raise OSError(errno.EFBIG, f"larger than the {limit} bytes allowed", str(path))
        return b"".join(chunks)

    def sync_folder(self, path: StrPath) -> None:
        """Bring a folder's list of names to the platter, where the system lets a folder be opened."""
        try:
            fd = self.open_folder(path)
        except PermissionError:  # Windows opens no folder; POSIX lets us read what we made
            return
        try:
            self.fsync(fd)
        finally:
            self.close(fd)

    def exists(self, path: StrPath) -> bool:
        """Whether the name is there (a dangling link counts)."""
        try:
            self.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True
