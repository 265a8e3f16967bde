"""macOS and iOS. Not tested on a device here; its rules are tested by simulation."""

from __future__ import annotations

import fcntl
import os

from capgo_client.platforms.posix import (
    RENAMES_OPEN,
    clone,
    default_data_dir,
    sync_filesystem,
    try_lock,
    unlock,
    user_id,
)

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


def flush(fd: int) -> None:
    """Bring one file or folder to the platter: fsync(2) stops at the drive's cache there, F_FULLFSYNC does not."""
    command = getattr(fcntl, "F_FULLFSYNC", None)
    if command is not None:
        try:
            fcntl.fcntl(fd, command)
        except OSError:
            pass  # network and FAT volumes do not know it; the weaker call below is what they have
        else:
            return
    os.fsync(fd)


def os_version() -> str:
    """The system's version as the service shows it to the publisher."""
    import platform

    return platform.mac_ver()[0] or os.uname().release
