"""A file system that counts, fails and stops on request: the base of disk-fault and crash tests."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from capgo_client.seams import Files

from .chance import Chance

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

__all__ = ["CALLS", "Call", "FaultyFiles", "Stopped"]

#: The calls that touch the disk. What ``Files`` builds on top of them (``write_all`` …) is counted through them.
CALLS = (
    "open_read",
    "open_new",
    "open_update",
    "open_append",
    "read",
    "pread",
    "write",
    "seek",
    "truncate",
    "clone",
    "fsync",
    "sync_filesystem",
    "close",
    "open_folder",
    "mkdir",
    "rename",
    "unlink",
    "rmdir",
    "chmod",
    "lstat",
    "fstat",
    "scan",
    "free_bytes",
)
#: For calls that are under way when a process is killed (seconds).
_PATIENCE = 5.0
_OPENING = frozenset({"open_read", "open_new", "open_update", "open_append", "open_folder"})


class Stopped(BaseException):
    """The process is dead as far as the disk goes. Not an Exception, so that nothing handles it on the way out."""


class Call(NamedTuple):
    """One call: its kind, the path (of a descriptor: the one it was opened by), and where a rename led."""

    kind: str
    path: str
    target: str = ""


@dataclass(slots=True)
class _Failure:
    nth: int
    error: int
    kinds: frozenset[str]
    path: str
    times: int | None
    chance: Chance
    seen: int = 0

    def hits(self, call: Call) -> bool:
        if call.kind not in self.kinds or not (self.path in call.path or (call.target and self.path in call.target)):
            return False
        self.seen += 1
        due = self.seen >= self.nth and (self.times is None or self.seen < self.nth + self.times)
        return due and self.chance.takes()


class FaultyFiles(Files):
    """Does what ``Files`` does (or ``inner``, where given), writes each call down, and misbehaves as told.

    A call that is made to fail is written down too, and changes nothing on the disk.
    """

    def __init__(self, inner: Files | None = None) -> None:
        self._inner = inner or Files()
        self.preads_at_once = self._inner.preads_at_once
        self.flushes_readers = self._inner.flushes_readers
        self._lock = threading.Condition()
        self._calls: list[Call] = []
        self._paths: dict[int, str] = {}
        self._failures: list[_Failure] = []
        self._stop: tuple[int, frozenset[str], Callable[[], object] | None] | None = None
        self._stopped = False
        self._dead = False
        self._under_way = 0

    @property
    def calls(self) -> list[Call]:
        """Every call so far, in order."""
        with self._lock:
            return list(self._calls)

    def count(self, *kinds: str) -> int:
        """How many calls of these kinds (none named: of any) were made so far."""
        wanted = _kinds(kinds)
        return sum(call.kind in wanted for call in self.calls)

    @property
    def is_stopped(self) -> bool:
        """Whether it stands still, after ``stop_after`` or ``kill``."""
        with self._lock:
            return self._stopped or self._dead

    @property
    def open_descriptors(self) -> dict[int, str]:
        """What was opened and not closed yet, with its path."""
        with self._lock:
            return dict(self._paths)

    def fail(
        self,
        nth: int,
        error: int,
        *,
        kinds: Collection[str] = (),
        path: str = "",
        times: int | None = 1,
        probability: float | None = None,
        seed: int | None = None,
    ) -> None:
        """Let the n-th matching call from now (counted from 1) raise OSError.

        Args:
            nth: Which one.
            error: An errno value, such as ``errno.ENOSPC``.
            kinds: Names from ``CALLS``; none means all.
            path: Only calls whose path, or rename target, contains this text.
            times: How many calls fail in a row; None: from then on all of them, as with a full disk.
            probability: Each of these with that chance (0 to 1), drawn from ``seed``.
            seed: Makes the draws repeatable.
        """
        chance = Chance(probability=probability, seed=seed)
        with self._lock:
            self._failures.append(_Failure(nth, error, _kinds(kinds), path, times, chance))

    def stop_after(self, n: int, action: Callable[[], object] | None = None, *, kinds: Collection[str] = ()) -> None:
        """Let ``n`` more matching calls be made, then call ``action`` in place of the next one.

        Without an action the disk is dead from there: this call and all later ones raise ``Stopped`` and change
        nothing, as after a kill. Only ``close`` still closes, as the system does for a dead process.
        """
        with self._lock:
            self._stop = (n + self.count(*kinds), _kinds(kinds), action)

    def heal(self) -> None:
        """Forget every failure and stop that was set."""
        with self._lock:
            self._failures.clear()
            self._stop = None
            self._stopped = False

    def kill(self) -> None:
        """End here and for good, as a process that was killed does: nothing more reaches the disk.

        The system takes back what was open, so its locks are free when this returns. What is left of the process in
        its threads gets OSError from then on, because it has to come to an end somehow; ``heal`` changes nothing.
        """
        with self._lock:
            self._dead = True
            self._lock.wait_for(lambda: not self._under_way, _PATIENCE)
            for descriptor in self._paths:
                with contextlib.suppress(OSError):
                    self._inner.close(descriptor)
            self._paths.clear()

    def _perform(self, kind: str, *args: Any, **kwargs: Any) -> Any:
        with self._lock:
            if self._dead:
                raise OSError(errno.EIO, "this process was killed")
            call = self._describe(kind, args)
            self._stop_if_due(kind)
            if not self._stopped:
                self._calls.append(call)
                self._fail_if_due(call, args)
            elif kind != "close":
                raise Stopped
            if kind == "close":
                self._paths.pop(args[0], None)
            self._under_way += 1
        try:
            result = getattr(self._inner, kind)(*args, **kwargs)
            if kind in _OPENING:
                with self._lock:
                    self._paths[result] = call.path
            return result
        finally:
            with self._lock:
                self._under_way -= 1
                self._lock.notify_all()

    def _describe(self, kind: str, args: tuple[Any, ...]) -> Call:
        first = args[0]
        path = self._paths.get(first, f"<{first}>") if isinstance(first, int) else os.fspath(first)
        return Call(kind, path, os.fspath(args[1]) if kind == "rename" else "")

    def _stop_if_due(self, kind: str) -> None:
        if self._stop is None or self._stopped:
            return
        n, kinds, action = self._stop
        if kind not in kinds or self.count(*kinds) < n:
            return
        self._stop = None
        if action is None:
            self._stopped = True
        else:
            action()

    def _fail_if_due(self, call: Call, args: tuple[Any, ...]) -> None:
        # Each counts every call, so no short cut after the first that hits.
        errors = [failure.error for failure in self._failures if failure.hits(call)]
        if errors:
            if call.kind == "close":
                # A close that reports an error has given the descriptor back all the same.
                self._paths.pop(args[0], None)
                self._inner.close(args[0])
            raise OSError(errors[-1], os.strerror(errors[-1]), call.path)  # the one set last


def _kinds(kinds: Collection[str]) -> frozenset[str]:
    if unknown := sorted(set(kinds) - set(CALLS)):
        raise ValueError(f"{unknown} are no file-system calls; they are: {', '.join(CALLS)}")
    return frozenset(kinds or CALLS)


def _recorded(kind: str) -> Callable[..., Any]:
    real = getattr(Files, kind)

    @functools.wraps(real)
    def call(self: FaultyFiles, *args: Any, **kwargs: Any) -> Any:
        return self._perform(kind, *args, **kwargs)

    return call


for _kind in CALLS:
    setattr(FaultyFiles, _kind, _recorded(_kind))
