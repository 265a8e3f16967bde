"""Windows. Not tested on a device here; its rules are tested by simulation.

A folder cannot be flushed there, so a power cut may lose the last rename: the old version opens, which P4 allows.
Shared locks do not exist in ``msvcrt``, and a lease needs none: Windows renames no folder in which somebody has a
file open, so the open handle by itself keeps an install from being removed.
"""

from __future__ import annotations

import os
import sys

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
RENAMES_OPEN = False

#: The byte that is locked lies far behind the end, so that the file itself stays readable.
_LOCKED_BYTE = 1 << 30


def try_lock(fd: int, *, shared: bool) -> bool:
    """Take the lock if it is free, without waiting; a shared one is had by having the file open."""
    if shared:
        return True
    import msvcrt

    os.lseek(fd, _LOCKED_BYTE, os.SEEK_SET)
    try:
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
    except OSError:
        return False
    return True


def unlock(fd: int) -> None:
    """Give the lock back; raises OSError where there was only a shared one."""
    import msvcrt

    os.lseek(fd, _LOCKED_BYTE, os.SEEK_SET)
    msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)  # type: ignore[attr-defined,unused-ignore]


def flush(fd: int) -> None:
    """Bring one file to the platter."""
    os.fsync(fd)


def sync_filesystem(fd: int) -> bool:
    """There is no such call without administrator rights."""
    del fd
    return False


def clone(source: int, target: int) -> bool:
    """Only ReFS could, and nobody has an app there."""
    del source, target
    return False


def os_version() -> str:
    """The system's version as the service shows it to the publisher."""
    version = sys.getwindowsversion()  # type: ignore[attr-defined,unused-ignore]
    return f"{version.major}.{version.minor}.{version.build}"


def user_id() -> int | None:
    """Owners are not numbers there, and the user's profile keeps others out."""
    return None


def default_data_dir(app_id: str) -> str:
    """Local, not roaming, application data: bundles must not travel with a profile."""
    import platformdirs

    return f"{platformdirs.user_data_dir(app_id, appauthor=False, roaming=False)}{os.sep}capgo"
