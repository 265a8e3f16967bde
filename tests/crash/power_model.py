"""What a disk may hold when the power comes back, given everything that was asked of it (pure, no disk needed).

A call changes memory; only a flush brings it to the platter. Until then each part of it may have got there or not,
whatever came before or after it:

* the bytes of a file: each write wholly, partly (a prefix, or some of its sectors) or not at all, its size apart from
  its bytes: a size without bytes reads as zeros, bytes beyond the size are lost, permissions are a third matter;
* names: each create, mkdir, unlink, rmdir and rename for itself. A rename is there in both folders or in none, and a
  name may be there before the bytes of what it names. A folder whose name is lost takes with it what is below.

``fsync`` of a file brings its bytes, size and permissions, not its name; ``fsync`` of a folder the changes of names in
it (a rename between two folders with either of them, as every journal does it); ``syncfs`` brings everything.
"""

from __future__ import annotations

import os
import random
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from power_log import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from power_log import Entry

__all__ = [
    "ALL",
    "DATA_ONLY",
    "NAMED",
    "NAMES_ONLY",
    "NEWEST",
    "NOTHING",
    "REMOVALS",
    "ZEROS",
    "Fate",
    "Image",
    "Platter",
]

_SECTOR = 512

#: The seeds that are extremes and not chance: nothing that was not flushed got there; everything did; every name and
#: no byte; every byte and no name; every name and size, the bytes zero; what was removed is gone and
#: nothing else got there; of the names only the newest change, and no byte.
NOTHING, ALL, NAMES_ONLY, DATA_ONLY, ZEROS, REMOVALS, NEWEST = NAMED = range(7)

Place = tuple[int, str]


class Change(NamedTuple):
    """One change of names: ``ino`` is no longer at ``old`` and is at ``new`` instead (either may be None)."""

    ino: int
    old: Place | None
    new: Place | None

    def touches(self, folder: int) -> bool:
        return folder in (self.old and self.old[0], self.new and self.new[0])

    def made_in(self, names: dict[Place, int], homes: dict[int, Place]) -> None:
        """Make the change; what is already so stays so, for other changes before it may be lost."""
        home = homes.get(self.ino)
        if self.new is not None:
            if home is not None:
                del names[home]
            replaced = names.get(self.new)
            if replaced is not None:
                del homes[replaced]
            names[self.new] = self.ino
            homes[self.ino] = self.new
        elif home is not None and home == self.old:
            del names[home]
            del homes[self.ino]


@dataclass
class _Node:
    """An inode: what the platter has of it, and the calls since."""

    mode: int
    when: int
    data: bytes = b""
    calls: list[Entry] = field(default_factory=list)

    def flush(self) -> None:
        if self.calls:
            self.data, self.mode = replayed(self.data, self.mode, self.calls)
            self.calls.clear()


class Image(NamedTuple):
    """What is found: (path, mode, bytes) in order, folders with None for bytes; and when each was changed last."""

    items: tuple[tuple[str, int, bytes | None], ...]
    times: dict[str, int]

    def names(self) -> dict[str, bytes | None]:
        """Content by path, for tests."""
        return {path: data for path, _, data in self.items}

    def write_to(self, folder: Path) -> None:
        """Make it in ``folder``, which must not exist."""
        folder.mkdir(mode=0o700)
        closed = []
        for path, mode, data in self.items:
            target = os.path.join(folder, path)
            if data is None:
                os.mkdir(target, 0o700)
                if stat.S_IMODE(mode) != 0o700:
                    closed.append((target, stat.S_IMODE(mode)))
                continue
            fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, stat.S_IMODE(mode))
            if data:
                os.write(fd, data)
            os.close(fd)
            os.utime(target, ns=(self.times[path], self.times[path]))
        for target, mode in reversed(closed):
            os.chmod(target, mode)


class Platter:
    """Follows a log call by call; ``image`` tells what one fate makes of this very moment."""

    def __init__(self) -> None:
        self._nodes: dict[int, _Node] = {ROOT: _Node(stat.S_IFDIR | 0o700, 0)}
        self._names: dict[Place, int] = {}
        self._homes: dict[int, Place] = {}
        self._changes: list[Change] = []

    def follow(self, entry: Entry) -> None:
        """Take in the next call."""
        kind, ino, here = entry.kind, entry.ino, (entry.folder, entry.name)
        if kind in ("create", "mkdir"):
            self._nodes[ino] = _Node(entry.mode, entry.when)
            self._changes.append(Change(ino, None, here))
        elif kind in ("unlink", "rmdir"):
            self._changes.append(Change(ino, here, None))
        elif kind == "rename":
            self._changes.append(Change(ino, here, (entry.target, entry.new_name)))
        elif kind in ("write", "truncate", "chmod"):
            node = self._nodes[ino]
            node.calls.append(entry)
            node.when = entry.when
        elif kind == "fsync":
            self._nodes[ino].flush()
            if stat.S_ISDIR(self._nodes[ino].mode):
                self._flush_names(ino)
        elif kind == "syncfs":
            self.flush_all()

    def _flush_names(self, folder: int) -> None:
        flushed = {index for index, change in enumerate(self._changes) if change.touches(folder)}
        last = {self._changes[index].ino: index for index in sorted(flushed)}
        left = []
        for index, change in enumerate(self._changes):
            if index in flushed:
                change.made_in(self._names, self._homes)
            elif index > last.get(change.ino, -1):  # what came before, elsewhere, is history with it
                left.append(change)
        self._changes = left

    def flush_all(self) -> None:
        """Everything so far is on the platter."""
        for change in self._changes:
            change.made_in(self._names, self._homes)
        self._changes = []
        for node in self._nodes.values():
            node.flush()

    def image(self, fate: Fate) -> Image:
        """What is found after a power cut now."""
        names, homes = dict(self._names), dict(self._homes)
        for change in self._changes:
            if fate.keeps(change, is_newest=change is self._changes[-1]):
                change.made_in(names, homes)
        below: dict[int, list[tuple[str, int]]] = {}
        for (folder, name), ino in names.items():
            below.setdefault(folder, []).append((name, ino))
        items: list[tuple[str, int, bytes | None]] = []
        times: dict[str, int] = {}
        for path, node in self._walk(ROOT, "", below):
            data, mode = fate.content(node.data, node.mode, node.calls) if node.calls else (node.data, node.mode)
            if stat.S_ISDIR(mode):
                items.append((path, mode, None))
            else:
                items.append((path, mode, data))
                times[path] = node.when
        return Image(tuple(items), times)

    def _walk(self, folder: int, prefix: str, below: dict[int, list[tuple[str, int]]]) -> Iterator[tuple[str, _Node]]:
        for name, ino in sorted(below.get(folder, ())):
            yield prefix + name, self._nodes[ino]
            yield from self._walk(ino, f"{prefix}{name}/", below)


class Fate:
    """What becomes of all that was not flushed: one of the extremes in ``NAMED``, else chance from ``salt``."""

    def __init__(self, seed: int, *, salt: str = "") -> None:
        self._seed = seed
        self._chance = random.Random(f"{salt}/{seed}")
        # Half and half alone would hardly ever lose a single call, or keep one.
        self._names, self._data = (self._chance.choice((0.1, 0.5, 0.9)) for _ in range(2))

    def keeps(self, change: Change, *, is_newest: bool) -> bool:
        """Whether this change of names got there."""
        if self._seed in NAMED:
            kept = {REMOVALS: change.new is None, NEWEST: is_newest}
            return kept.get(self._seed, self._seed in (ALL, NAMES_ONLY, ZEROS))
        return self._chance.random() < self._names

    def content(self, data: bytes, mode: int, calls: list[Entry]) -> tuple[bytes, int]:
        """What a file holds, and its mode, given what the platter had and the calls since."""
        if self._seed in (NOTHING, NAMES_ONLY, REMOVALS, NEWEST):
            return data, mode
        if self._seed in (ALL, DATA_ONLY):
            return replayed(data, mode, calls)
        if self._seed == ZEROS:
            size = len(replayed(data, mode, calls)[0])
            return data[:size].ljust(size, b"\0"), mode
        return self._some(data, mode, calls)

    def _some(self, data: bytes, mode: int, calls: list[Entry]) -> tuple[bytes, int]:
        found, size, sizes = bytearray(data), len(data), [len(data)]
        for call in calls:
            if call.kind == "chmod":
                mode = _with_permissions(mode, call.mode) if self._chance.random() < self._data else mode
            elif call.kind == "truncate":
                size = call.offset
                if self._chance.random() < self._data:
                    del found[size:]
            else:
                size = max(size, call.offset + len(call.data))
                for offset, piece in self._torn(call.offset, call.data):
                    _put(found, offset, piece)
            sizes.append(size)
        size = sizes[-1] if self._chance.random() < self._data else self._chance.choice(sizes)
        return bytes(found[:size]).ljust(size, b"\0"), mode

    def _torn(self, offset: int, data: bytes) -> Iterable[tuple[int, bytes]]:
        draw = self._chance.random
        if draw() < self._data:
            return [(offset, data)]
        how = self._chance.randrange(4)
        if how == 0:
            return []
        if how == 1:
            return [(offset, data[: self._chance.randrange(len(data) + 1)])]
        if how == 2:
            return [(offset, data[: self._chance.randrange(0, len(data) + 1, _SECTOR)])]
        return [
            (offset + start, data[start : start + _SECTOR]) for start in range(0, len(data), _SECTOR) if draw() < 0.5
        ]


def replayed(data: bytes, mode: int, calls: Iterable[Entry]) -> tuple[bytes, int]:
    """Content and mode after all of these calls."""
    found = bytearray(data)
    for call in calls:
        if call.kind == "chmod":
            mode = _with_permissions(mode, call.mode)
        elif call.kind == "truncate":
            del found[call.offset :]
            found.extend(bytes(call.offset - len(found)))
        else:
            _put(found, call.offset, call.data)
    return bytes(found), mode


def _with_permissions(mode: int, permissions: int) -> int:
    return stat.S_IFMT(mode) | stat.S_IMODE(permissions)


def _put(found: bytearray, offset: int, piece: bytes) -> None:
    found.extend(bytes(max(0, offset - len(found))))
    found[offset : offset + len(piece)] = piece
