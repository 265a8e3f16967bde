"""macOS and iOS. Not tested on a device here; its rules are tested by simulation."""

from __future__ import annotations

import fcntl
import os
import sys

from capgo_client.platforms.posix import RENAMES_OPEN, clone, sync_filesystem, try_lock, unlock, user_id
from capgo_client.platforms.posix import default_data_dir as _rule_of_macos

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

    ask = getattr(platform, "ios_ver", None) if _is_ios() else None  # Python 3.13
    return (platform.mac_ver()[0] if ask is None else str(ask().release)) or os.uname().release


def default_data_dir(app_id: str) -> str:
    """Application Support: kept, backed up and private to the app.

    Older platformdirs take iOS for a Unix with a writable home; only some folders of an app's container are.
    """
    if not _is_ios():
        return _rule_of_macos(app_id)
    return f"{os.path.expanduser('~')}/Library/Application Support/{app_id}/capgo"  # noqa: PTH111 - paths are text here


def _is_ios() -> bool:
    name: str = sys.platform  # as text: mypy takes the rest for unreachable on the system that it runs on
    return name == "ios"
