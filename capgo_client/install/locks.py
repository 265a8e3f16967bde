"""Locks between processes. Each is a file of its own that is never written, only locked.

``state`` is held for one read and write of the document, ``install`` for as long as a bundle is being made,
``primary`` by the one process that may confirm and condemn, and a lease (shared) by each that runs from an install.
"""

from __future__ import annotations

import os
import stat
import threading
import weakref
from contextlib import contextmanager

from capgo_client.errors import StorageError
from capgo_client.log import Log
from capgo_client.platforms import system
from capgo_client.seams import Clock, below, name_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from capgo_client.seams import Files, StrPath

__all__ = ["FileLock", "abandon_exclusive", "install_lock"]

_log = Log("capgo_client.install")

#: Pause between two looks at a lock that is taken (seconds).
_POLL = 0.005
#: Whoever makes a lock may read and write it.
_OURS = 0o600


#: What this process holds alone, for the day it forks.
_exclusive: weakref.WeakSet[FileLock] = weakref.WeakSet()


class FileLock:
    """A lock on a file; ``shared`` ones tolerate each other. Released by the system when the process ends."""

    def __init__(self, path: StrPath, *, files: Files, shared: bool = False) -> None:
        self._path = path
        self._files = files
        self._shared = shared
        self._fd: int | None = None
        self._pid = 0

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._fd is not None

    def acquire(self, *, patience: float = 0.0) -> bool:
        """Take the lock within ``patience`` seconds; say whether it is ours. Raises OSError (read-only disk, …).

        A shared lock is taken on a file that must exist: a lease on what is gone would be worth nothing.
        """
        fd = self._files.open_read(self._path) if self._shared else self._open_exclusive()
        taken = False
        try:
            taken = self._wait_for(fd, patience)
        finally:
            if not taken:
                self._close(fd)
        if taken:
            self._fd, self._pid = fd, os.getpid()
            if not self._shared:
                _exclusive.add(self)
        return taken

    def _open_exclusive(self) -> int:
        try:
            return self._files.open_update(self._path)
        except OSError:
            if not self._make_way():
                raise
            return self._files.open_update(self._path)

    def _make_way(self) -> bool:
        """Take away what has the lock's name and cannot be one, or nothing could be locked ever again. Raises OSError.

        A link is removed, not followed; of a file only the permissions are set right, for somebody may hold it.
        """
        if not self._files.exists(self._path):
            return False
        mode = self._files.lstat(self._path).st_mode
        if stat.S_ISREG(mode):
            if mode & _OURS == _OURS:
                return False
            _log.warning("%s may not be used by its owner; that is set right", name_of(self._path))
            self._files.chmod(self._path, _OURS)
        elif stat.S_ISLNK(mode) or stat.S_ISDIR(mode):
            _log.warning("%s is no file, which a lock has to be; it is removed", name_of(self._path))
            from pathlib import Path

            from capgo_client.install.trees import remove_tree

            remove_tree(Path(self._path), files=self._files)
        else:
            return False
        return True

    def _wait_for(self, fd: int, patience: float) -> bool:
        # In real time whatever clock is injected: the other holder is a real process. Not by counting the pauses, each
        # of which takes longer than asked on a busy machine.
        clock, never = Clock(), threading.Event()
        end = clock.monotonic() + patience
        while not system.try_lock(fd, shared=self._shared):
            left = end - clock.monotonic()
            if left <= 0:
                return False
            never.wait(min(left, _POLL))
        return True

    def release(self) -> None:
        """Give the lock back; nothing happens when it is not held. Raises nothing: a closed handle holds no lock."""
        fd, self._fd = self._fd, None
        _exclusive.discard(self)
        if fd is None:
            return
        try:
            if self._pid == os.getpid():  # a forked child's copy is the parent's lock
                system.unlock(fd)
        except OSError as exc:
            _log.debug("unlocking %s: %s", name_of(self._path), exc.strerror)
        finally:
            self._close(fd)

    def _close(self, fd: int) -> None:
        try:
            self._files.close(fd)
        except OSError as exc:
            _log.debug("closing %s: %s", name_of(self._path), exc.strerror)

    def abandon(self) -> None:
        """Forget the lock in a forked child: close this copy of the handle, leave the parent's lock alone."""
        fd, self._fd = self._fd, None
        if fd is not None:
            self._close(fd)


def abandon_exclusive() -> None:
    """In a forked child: close its copies of every lock that its parent holds alone.

    With a copy left open the lock would outlive a parent that is killed, and nothing could be installed until the
    child ends. Leases stay: the child runs from the same files.
    """
    for lock in list(_exclusive):
        lock.abandon()
    _exclusive.clear()


@contextmanager
def install_lock(folder: StrPath, *, files: Files, patience: float) -> Iterator[None]:
    """Hold the lock of who makes or removes installs. Raises StorageError ``install_busy`` or ``state_unwritable``."""
    lock = FileLock(below(folder, "install.lock"), files=files)
    try:
        free = lock.acquire(patience=patience)
    except OSError as exc:
        raise StorageError(f"the data directory cannot be written: {exc.strerror}", code="state_unwritable") from exc
    if not free:
        raise StorageError("another process of this app is installing an update", code="install_busy")
    try:
        yield
    finally:
        lock.release()
