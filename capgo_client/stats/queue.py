"""The events that wait to be sent, on disk: written when they happen, removed when the service has them.

An event is one ``write`` at the end of a file, without a flush: a crash of the process loses nothing, a power cut the
last few. Several processes of an app share the file: each holds a lock for as long as it touches it, and the one that
sends holds another. What cannot be written (disk full, read-only) waits in memory.
"""

from __future__ import annotations

import errno
import os
import threading
from collections import deque
from contextlib import contextmanager

from capgo_client.log import Log
from capgo_client.platforms import system
from capgo_client.stats.lines import Content, Entry, encode, parse
from capgo_client.values import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from pathlib import Path

    from capgo_client.seams import Files

__all__ = ["MAX_BYTES", "MAX_EVENTS", "Queue"]

#: The most events that are kept, and the most bytes they take; the oldest go first.
MAX_EVENTS = 1000
MAX_BYTES = 1024 * 1024
#: The file may grow to so many times ``MAX_BYTES`` before an append has to make it smaller itself.
_SLACK = 3
#: A file larger than so many times ``MAX_BYTES`` is none of ours.
_ABSURD = 16

#: So long an append, which may be on the launch path, and a removal wait for another process (seconds).
_APPEND_PATIENCE = 0.05
_SETTLE_PATIENCE = 1.0
_POLL = 0.005

_log = Log("capgo_client.stats")


class Queue:
    """Events in the order in which they happened. Thread-safe; nothing raises on what the disk does.

    Args:
        folder: for the queue alone; made at the first append, nothing is touched before.
        files: the file system.
        limit: the most events kept (at least 1).
        max_bytes: the most bytes they may take.
    """

    def __init__(self, folder: Path, *, files: Files, limit: int = MAX_EVENTS, max_bytes: int = MAX_BYTES) -> None:
        self._folder = folder
        self._path = folder / "events"
        self._files = files
        self._limit = limit
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._token = os.urandom(6).hex()
        self._count = 0
        #: Not on disk yet, because it could not be written.
        self._pending: deque[Entry] = deque()
        #: Still on disk, because it could not be removed.
        self._gone: set[bytes] = set()
        #: Given up here and not counted in the file yet.
        self._lost = 0
        #: Appended since the file was looked at last.
        self._appended = 0
        self._memory_only = False
        self._complained = False

    # ---- in ----

    def append(self, texts: Iterable[bytes]) -> None:
        """Add events, each JSON in one line, in one write. Never raises; at most 50 ms late by another process."""
        with self._lock:
            self._pending.extend(Entry(self._next_id(), text) for text in texts)
            self._lost += len(_shorten(self._pending, self._limit, self._max_bytes))
            if self._pending:
                self._write_pending()

    def _next_id(self) -> bytes:
        self._count += 1
        # With the process's number: a forked child has the same token.
        return b"%b-%d-%d" % (self._token.encode("ascii"), os.getpid(), self._count)

    def _write_pending(self) -> None:
        try:
            with self._exclusive(patience=_APPEND_PATIENCE):
                size = self._append_bytes(encode(self._pending, dropped=self._lost, by=self._pending[-1].id))
                self._appended += len(self._pending)
                self._pending.clear()
                self._lost = 0
                if size > _SLACK * self._max_bytes or self._appended > self._limit:
                    self._rewrite()
        except OSError as exc:
            self._complain("kept in memory", exc)

    def _append_bytes(self, data: bytes) -> int:
        """Write at the end of the file; return how large it was before. Raises OSError."""
        fd = self._files.open_append(self._path)
        try:
            size = self._files.fstat(fd).st_size
            self._files.write_all(fd, data)
        finally:
            self._files.close(fd)
        return size

    # ---- out ----

    def head(self, count: int, *, but: Collection[bytes] = ()) -> list[Entry]:
        """The oldest ``count`` events except those named by their ids; makes the file smaller when it is due."""
        with self._lock:
            content = self._look()
            live, over = self._live(content)
            if len(over) > self._limit // 4 or _total(content.entries) > 2 * self._max_bytes:
                self._settle(done=(), tried=())
            return [entry for entry in live if entry.id not in but][:count]

    def settle(self, *, done: Collection[bytes], tried: Collection[bytes] = ()) -> None:
        """Remove the events ``done`` for good and count one more try for those ``tried``.

        Where the disk refuses, the removal is remembered in memory: within this process none is sent twice.
        """
        with self._lock:
            self._settle(done=done, tried=tried)

    def _settle(self, *, done: Collection[bytes], tried: Collection[bytes]) -> None:
        # What was too many is settled first: room that is made now must not bring it back behind younger ones.
        _, over = self._live(self._look())
        self._lost += sum(entry.id not in done for entry in over)
        self._gone.update(done, (entry.id for entry in over))
        self._pending = deque(entry for entry in self._pending if entry.id not in self._gone)
        try:
            with self._exclusive(patience=_SETTLE_PATIENCE):
                self._rewrite(tried=tried)
        except OSError as exc:
            self._complain("not removed yet", exc)

    def clear(self) -> None:
        """Forget everything, the count too."""
        with self._lock:
            self._pending.clear()
            self._lost = self._appended = 0
            try:
                if self._files.exists(self._path):
                    with self._exclusive(patience=_SETTLE_PATIENCE):
                        self._files.unlink(self._path)
            except FileNotFoundError:
                pass
            except OSError as exc:
                self._gone.update(entry.id for entry in self._look().entries)
                self._complain("not removed yet", exc)

    @contextmanager
    def sending(self) -> Iterator[bool]:
        """Be the one process that sends; gives False where another is. Raises nothing of its own.

        What cannot be locked cannot be removed either, and would be sent at every start: then only what waits in
        memory counts.
        """
        try:
            fd: int | None = self._open_lock("sending.lock")
        except OSError as exc:
            self._complain("sent from memory alone", exc)
            fd = None
        self._memory_only = fd is None
        try:
            yield fd is None or _try_lock(fd)
        finally:
            self._memory_only = False
            if fd is not None:
                self._close(fd)

    # ---- how much ----

    @property
    def waiting(self) -> int:
        """How many events wait."""
        with self._lock:
            return len(self._live(self._look())[0])

    @property
    def dropped(self) -> int:
        """How many were given up because there were too many, in all processes so far."""
        with self._lock:
            content = self._look()
            return content.dropped + self._lost + len(self._live(content)[1])

    # ---- the file ----

    def _live(self, content: Content) -> tuple[list[Entry], list[Entry]]:
        """What is to be sent, and what is too many."""
        known = {entry.id for entry in content.entries}
        live = deque(entry for entry in content.entries if entry.id not in self._gone)
        live.extend(entry for entry in self._pending if entry.id not in known)
        over = _shorten(live, self._limit, self._max_bytes)
        return list(live), over

    def _look(self) -> Content:
        """What the file holds; empty where it cannot be read."""
        try:
            return Content() if self._memory_only else self._read()
        except OSError as exc:
            self._complain("not read", exc)
            return Content()

    def _bytes(self) -> bytes:
        try:
            return self._files.read_bytes(self._path, _ABSURD * self._max_bytes)
        except FileNotFoundError:
            # Twice before it is believed: whoever delivers would take it for the end, and come back at the next start.
            return self._files.read_bytes(self._path, _ABSURD * self._max_bytes)

    def _read(self) -> Content:
        """What the file holds. Raises OSError, but not for a file that is missing, or none of ours."""
        try:
            data = self._bytes()
        except FileNotFoundError:
            return Content()
        except OSError as exc:
            if exc.errno != errno.EFBIG:
                raise
            _log.warning("the file of waiting statistics is absurdly large and begun anew")
            self._files.unlink(self._path)
            return Content()
        content = parse(data)
        self._appended = 0
        if content.damaged:
            _log.info("%d damaged lines in the file of waiting statistics are skipped", content.damaged)
        return content

    def _rewrite(self, *, tried: Collection[bytes] = ()) -> None:
        """Leave in the file what is still to be sent. The caller holds the file's lock. Raises OSError."""
        content = self._read()
        live, over = self._live(content)
        dropped = content.dropped + self._lost + len(over)
        if live or dropped:
            kept = [replace(entry, tries=entry.tries + 1) if entry.id in tried else entry for entry in live]
            self._replace(encode(kept, dropped=dropped))
        elif self._files.exists(self._path):
            self._files.unlink(self._path)
            # Or a power cut, hours later on some systems, would bring back all that was sent since.
            self._files.sync_folder(self._folder)
        self._lost = 0
        self._gone.clear()
        self._pending.clear()

    def _replace(self, data: bytes) -> None:
        new = self._folder / "events.new"
        if self._files.exists(new):
            self._files.unlink(new)
        fd = self._files.open_new(new)
        try:
            self._files.write_all(fd, data)
            # A rename may reach the platter before the bytes do, and an empty file would be all that is left.
            self._files.fsync(fd)
        finally:
            self._files.close(fd)
        self._files.rename(new, self._path)
        self._files.sync_folder(self._folder)

    # ---- the lock ----

    @contextmanager
    def _exclusive(self, *, patience: float) -> Iterator[None]:
        """Keep every other process from the file. Raises OSError, also when it is not free in time.

        A file of its own, because the queue's is replaced under whoever had it open.
        """
        fd = self._open_lock("events.lock")
        try:
            if not _lock_within(fd, patience):
                raise OSError(errno.EBUSY, "another process is at it")
            yield
        finally:
            self._close(fd)

    def _open_lock(self, name: str) -> int:
        try:
            return self._files.open_update(self._folder / name)
        except FileNotFoundError:
            self._files.mkdir(self._folder)
            return self._files.open_update(self._folder / name)

    def _close(self, fd: int) -> None:
        """Give a lock back by closing its handle: nobody else has it, for a forked child takes none."""
        try:
            system.unlock(fd)
        except OSError:
            _log.debug("a lock of the statistics cannot be given back before its file is closed")
        try:
            self._files.close(fd)
        except OSError as exc:
            _log.debug("closing a lock of the statistics: %s", exc.strerror)

    def _complain(self, what: str, exc: OSError) -> None:
        """One line for each process: every event would give another."""
        if not self._complained:
            self._complained = True
            _log.warning("statistics are %s, the disk refuses: %s", what, exc.strerror)


def _shorten(entries: deque[Entry], limit: int, max_bytes: int) -> list[Entry]:
    """Drop the oldest until the rest is within bounds; return what went."""
    gone, size = [], _total(entries)
    while len(entries) > limit or size > max_bytes:
        gone.append(entries.popleft())
        size -= gone[-1].size
    return gone


def _total(entries: Iterable[Entry]) -> int:
    return sum(entry.size for entry in entries)


def _lock_within(fd: int, patience: float) -> bool:
    # In real time whatever clock is injected: the other holder is a real process.
    never = threading.Event()
    for _ in range(round(patience / _POLL)):
        if _try_lock(fd):
            return True
        never.wait(_POLL)
    return _try_lock(fd)


def _try_lock(fd: int) -> bool:
    """Take the lock if it is free; a file system without locks counts as free."""
    try:
        return system.try_lock(fd, shared=False)
    except OSError:
        return True
