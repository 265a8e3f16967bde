"""What every Unix has in common."""

from __future__ import annotations

import errno
import fcntl
import os

__all__ = [
    "RENAMES_OPEN",
    "clone",
    "default_data_dir",
    "flush",
    "os_version",
    "sync_filesystem",
    "try_lock",
    "unlock",
    "user_id",
]

#: Whether a folder can be renamed while somebody has a file in it open.
RENAMES_OPEN = True

_BUSY = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)


def try_lock(fd: int, *, shared: bool) -> bool:
    """Take the lock if it is free, without waiting. Raises OSError where the file system has no locks.

    ``flock``, not ``lockf``: it belongs to the open file, so two handles in one process exclude each other too, and
    closing some other handle of the same file does not drop it.
    """
    try:
        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as exc:
        if exc.errno in _BUSY:
            return False
        raise
    return True


def unlock(fd: int) -> None:
    """Give the lock back, also on behalf of forked children that inherited the handle."""
    fcntl.flock(fd, fcntl.LOCK_UN)


def flush(fd: int) -> None:
    """Bring one file or folder to the platter."""
    os.fsync(fd)


def sync_filesystem(fd: int) -> bool:
    """Flush the whole file system of ``fd`` in one call; False where the system cannot, or hides errors."""
    del fd
    return False


def clone(source: int, target: int) -> bool:
    """Let an empty file share the blocks of another until one of them changes; False where that cannot be had."""
    del source, target
    return False


def os_version() -> str:
    """The system's version as the service shows it to the publisher."""
    return os.uname().release


def user_id() -> int | None:
    """Whose files ours are; None where files have no owner."""
    return os.geteuid()


def default_data_dir(app_id: str) -> str:
    """Where this user's data of the app lives."""
    import platformdirs

    return f"{platformdirs.user_data_dir(app_id, appauthor=False)}{os.sep}capgo"
