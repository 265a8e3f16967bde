"""What the recording disk writes down: every call that changes it, in order, and what the tests tell it in between."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["MARK", "ROOT", "Entry", "read_log", "write_log"]

#: The inode number of the folder at the top.
ROOT = 1
#: A look at a name that begins so, in the folder at the top, is no look at a file: it is a marker (``Entry.name``).
MARK = "\x01"


class Entry(NamedTuple):
    """One call.

    ``kind`` is one of: create, mkdir (``ino`` named ``name`` in ``folder``, ``mode``), write (``data`` at ``offset``),
    truncate (to ``offset`` bytes), chmod (``mode``), rename (``ino`` from ``folder``/``name`` to
    ``target``/``new_name``), unlink, rmdir, fsync (of a file or of a folder), syncfs, mark (``name`` is its text).
    ``when`` is nanoseconds since 1970.
    """

    kind: str
    ino: int = 0
    folder: int = 0
    name: str = ""
    target: int = 0
    new_name: str = ""
    data: bytes = b""
    offset: int = 0
    mode: int = 0
    when: int = 0


def write_log(log: list[Entry], path: Path) -> None:
    """Keep a recording."""
    path.write_bytes(pickle.dumps([tuple(entry) for entry in log]))


def read_log(path: Path) -> list[Entry]:
    """The recording kept in ``path``."""
    return [Entry(*fields) for fields in pickle.loads(path.read_bytes())]
