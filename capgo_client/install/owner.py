"""Whose the data directory is. Code that another user of this machine could have put there is not opened.

What is ours is made private again where it was not. What belongs to somebody else is left alone: neither read nor
written. Root counts as everybody, for root may do everything anyhow. SECURITY.md tells what that leaves open.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat

from capgo_client.errors import StorageError
from capgo_client.log import INFO, WARNING, Log
from capgo_client.platforms import system
from capgo_client.seams import below

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from capgo_client.seams import Files, StrPath

__all__ = ["claim", "exposed_above", "is_owned"]

_OURS = 0o700
_ROOT = 0

_log = Log("capgo_client.install")


def claim(folder: StrPath, *, files: Files) -> frozenset[int]:
    """Make sure that ``folder`` is ours alone, as far as that can be had; the user ids that count as ours in it.

    None at all means that this system has no such ids (Windows, where the user's profile is what keeps others out).

    Raises:
        StorageError: ``data_dir_foreign``, it belongs to another user.
        OSError: it cannot be looked at; it is missing, or no folder.
    """
    me = system.user_id()
    if me is None:
        return frozenset()
    found = files.lstat(f"{folder}{os.sep}")  # the slash: it may be a link, to a folder on a larger disk
    owners = frozenset({me, _ROOT})
    if found.st_uid not in owners:
        if not _keeps_no_owners(folder, found.st_uid, files=files):
            raise StorageError(
                f"the data directory {folder} belongs to another user of this machine",
                code="data_dir_foreign",
                hint="each user needs a data_dir of their own; was the app started with sudo once?",
            )
        owners |= {found.st_uid}
    elif stat.S_IMODE(found.st_mode) & 0o077:
        _narrow(folder, found, files=files)
    return owners


def is_owned(found: os.stat_result, owners: frozenset[int]) -> bool:
    """Whether what was looked at belongs to one of ``owners``; none at all: to whomever."""
    return not owners or found.st_uid in owners


def exposed_above(folder: Path, *, files: Files) -> Path | None:
    """The next folder above in which every user may replace what is ours, if there is one. Raises OSError."""
    if system.user_id() is None:
        return None
    for above in folder.parents[:-1]:
        mode = files.lstat(f"{above}{os.sep}").st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            return above
    return None


def _narrow(folder: StrPath, found: os.stat_result, *, files: Files) -> None:
    """Shut others out, aloud where they could write. On a file system without permissions that changes nothing."""
    writable = found.st_mode & 0o022
    level = WARNING if writable else INFO
    what = "written" if writable else "read"
    try:
        files.chmod(folder, _OURS)
    except OSError as exc:
        _log.log(level, "the data directory could be %s by other users, and stays so: %s", what, exc.strerror)
    else:
        _log.log(level, "the data directory could be %s by other users of this machine; it is made private", what)


def _keeps_no_owners(folder: StrPath, owner: int, *, files: Files) -> bool:
    """Whether what we make there is shown as that very owner's too, or nobody can write there at all.

    The shared storage of a phone, a stick and a network share know one owner for all that is on them.
    """
    probe = below(folder, f".owner-{os.urandom(8).hex()}")
    try:
        fd = files.open_new(probe)
    except OSError as exc:
        return exc.errno == errno.EROFS
    try:
        return files.fstat(fd).st_uid == owner
    finally:
        files.close(fd)
        with contextlib.suppress(OSError):
            files.unlink(probe)
