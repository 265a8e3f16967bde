"""Linux: ``syncfs`` flushes a whole bundle in one call, and some file systems copy by sharing blocks."""

from __future__ import annotations

import fcntl
import os

from capgo_client.platforms.posix import RENAMES_OPEN, flush, os_version, try_lock, unlock, user_id
from capgo_client.platforms.posix import default_data_dir as _platform_rule

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

#: Before 5.8, syncfs(2) answered success when a write-back had failed, so it proves nothing there.
_REPORTS_ERRORS = (5, 8)


#: FICLONE of linux/fs.h: ioctl_ficlone(2). Btrfs, XFS and bcachefs know it.
_CLONE_FILE = 0x40049409


def clone(source: int, target: int) -> bool:
    """Let an empty file share the blocks of another until one of them changes; False where that cannot be had."""
    try:
        fcntl.ioctl(target, _CLONE_FILE, source)
    except OSError:
        return False  # another file system, or one that cannot: what it means is that the bytes have to be copied
    return True


def default_data_dir(app_id: str) -> str:
    """Where this user's data of the app lives: what platformdirs answers, whose import costs a quarter of a start.

    Only for the two answers that every version of it gives alike; where the environment is odd it is asked itself.
    """
    given, home = os.environ.get("XDG_DATA_HOME", ""), os.environ.get("HOME", "")
    data = given or (f"{home}/.local/share" if home.startswith("/") else "")
    if not data.startswith("/"):
        return _platform_rule(app_id)
    return f"{data.rstrip('/')}/{app_id}/capgo"


def sync_filesystem(fd: int) -> bool:
    """Flush the whole file system of ``fd``; False where the kernel is too old to be believed."""
    if _kernel() < _REPORTS_ERRORS:
        return False
    try:
        import ctypes
    except ImportError:  # a Python for phones that was built without libffi
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "syncfs"):
        return False
    if libc.syncfs(fd) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return True


def _kernel() -> tuple[int, int]:
    major, _, rest = os.uname().release.partition(".")
    minor = rest.partition(".")[0]
    return (int(major), int(minor)) if major.isdigit() and minor.isdigit() else (0, 0)
