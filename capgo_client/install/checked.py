"""Small documents that notice damage: a CRC-32 in front of one line of JSON.

It guards against torn writes and rotten disks, not against an attacker, who could write a new sum as well.
"""

from __future__ import annotations

import errno
import json
import stat
import zlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from capgo_client.seams import Files, StrPath

    T = TypeVar("T")

__all__ = [
    "DamagedError",
    "is_full",
    "is_passing",
    "pack",
    "put",
    "read",
    "twice",
    "unpack",
    "write_synced",
]

#: The process, or the system as a whole, lacks something just now: this says nothing about the file.
_PASSING = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR})
_FULL = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})


class DamagedError(ValueError):
    """The document is torn, altered, or was never one of ours."""


def is_passing(exc: OSError) -> bool:
    """Whether a later look may well succeed, so that nothing may be given up or replaced because of this one."""
    return exc.errno in _PASSING


def is_full(exc: BaseException) -> bool:
    """Whether the disk has no room, or this user's share of it none."""
    return isinstance(exc, OSError) and exc.errno in _FULL


def twice(look: Callable[[], T]) -> T:
    """What ``look`` gives, at its second try where the first raised OSError: that may have been the only one."""
    try:
        return look()
    except OSError:
        return look()


def pack(document: object) -> bytes:
    """The document as bytes: eight hex digits, a space, the JSON, a newline."""
    text = json.dumps(document, ensure_ascii=True, separators=(",", ":"), allow_nan=False).encode("ascii")
    return b"%08x %b\n" % (zlib.crc32(text), text)


def unpack(data: bytes) -> object:
    """The document out of its bytes; raises DamagedError when a single bit of them is not as it was."""
    head, space, rest = data[:8], data[8:9], data[9:]
    if space != b" " or not rest.endswith(b"\n") or head != b"%08x" % zlib.crc32(rest[:-1]):
        raise DamagedError("the check sum does not match")
    try:
        document: object = json.loads(rest)
    except (ValueError, RecursionError) as exc:
        raise DamagedError("the check sum matches, the JSON does not parse") from exc
    return document


def read(path: StrPath, *, files: Files, limit: int) -> object:
    """The document in a file of at most ``limit`` bytes; raises OSError or DamagedError."""
    return unpack(files.read_bytes(path, limit))


def write_synced(path: StrPath, data: bytes, *, files: Files) -> None:
    """Write a new file and bring it to the platter. A leftover of that name, from a start that was killed, goes."""
    if files.exists(path):
        _remove(path, files=files)
    fd = files.open_new(path)
    try:
        files.write_all(fd, data)
        files.fsync(fd)
    finally:
        files.close(fd)


def put(source: StrPath, target: StrPath, *, files: Files) -> None:
    """Rename a file of ours over another; a folder that has its name, which nobody can have wanted, goes."""
    try:
        files.rename(source, target)
    except OSError:
        if not _is_folder(target, files=files):
            raise
        _remove(target, files=files)
        files.rename(source, target)


def _remove(path: StrPath, *, files: Files) -> None:
    from pathlib import Path

    from capgo_client.install.trees import remove_tree

    remove_tree(Path(path), files=files)


def _is_folder(path: StrPath, *, files: Files) -> bool:
    return files.exists(path) and stat.S_ISDIR(files.lstat(path).st_mode)
