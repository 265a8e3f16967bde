"""Android (python-for-android, Chaquopy, Briefcase). Not tested on a device; its rules are tested by simulation."""

from __future__ import annotations

import os

from capgo_client.platforms.linux import RENAMES_OPEN, flush, sync_filesystem, try_lock, unlock, user_id
from capgo_client.platforms.posix import clone
from capgo_client.platforms.posix import default_data_dir as _shared_rule

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


def os_version() -> str:
    """Android's own version where the runtime tells it, else the kernel's."""
    return os.environ.get("ANDROID_OS_VERSION") or os.uname().release


def default_data_dir(app_id: str) -> str:
    """The app's private folder, never shared storage.

    python-for-android names it in ANDROID_PRIVATE; Chaquopy, and so Briefcase, makes it the home. Termux, which sets
    PREFIX, has a home like a desktop's.
    """
    private = os.environ.get("ANDROID_PRIVATE")
    home = "" if os.environ.get("PREFIX") else os.environ.get("HOME", "")
    if not private and home.startswith(("/data/", "/mnt/expand/")):
        private = home
    return f"{private}/capgo/{app_id}" if private else _shared_rule(app_id)
