"""A clock that only moves when the test says so."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from capgo_client.seams import Clock

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["FakeClock"]

#: Real seconds after which a waiter looks at the fake time again. A set event ends its wait at once all the same.
_GLANCE_SECONDS = 0.005
#: 1 January 2025, 00:00:00 UTC.
_START = 1_735_689_600.0


class FakeClock(Clock):
    """Wall and monotonic time as two numbers. Thread-safe.

    A worker that sleeps in ``wait`` wakes when ``advance`` passes its time-out, or at once when its event is set. Call
    ``wait_for_sleepers`` before ``advance`` to be sure that the worker has gone to sleep.
    """

    def __init__(self, *, wall: float = _START, monotonic: float = 1000.0) -> None:
        self._changed = threading.Condition()
        self._wall = wall
        self._monotonic = monotonic
        self._deadlines: list[float | None] = []

    def wall(self) -> float:
        """Seconds since 1970, as set."""
        with self._changed:
            return self._wall

    def monotonic(self) -> float:
        """Seconds that only ``advance`` adds to."""
        with self._changed:
            return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let time pass on both clocks.

        Raises:
            ValueError: ``seconds`` is negative; only the wall clock may go back (``set_wall``).
        """
        if seconds < 0:
            raise ValueError(f"time does not go back by {-seconds:g} s; set_wall() moves the wall clock")
        with self._changed:
            self._wall += seconds
            self._monotonic += seconds

    def set_wall(self, wall: float) -> None:
        """Let the wall clock jump, as a user or a time server would; monotonic time and sleepers do not notice."""
        with self._changed:
            self._wall = wall

    @property
    def sleepers(self) -> list[float | None]:
        """For each thread in ``wait`` now, how many seconds it has still to sleep (None: until its event)."""
        with self._changed:
            return [None if end is None else end - self._monotonic for end in self._deadlines]

    def wait_for_sleepers(self, count: int = 1, timeout: float = 5.0) -> None:
        """Wait (real time) until so many threads sleep in ``wait``.

        Raises:
            TimeoutError: They were fewer after ``timeout`` real seconds.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._deadlines) >= count, timeout):
                raise TimeoutError(f"{len(self._deadlines)} of {count} threads slept on the clock within {timeout:g} s")

    def wait(self, event: threading.Event, timeout: float | None) -> bool:
        """Wait for ``event`` until ``timeout`` fake seconds have passed; say whether it was set."""
        if event.is_set():
            return True
        end = None if timeout is None else self.monotonic() + timeout
        with self._asleep(end):
            while not event.wait(_GLANCE_SECONDS):
                if end is not None and self.monotonic() >= end:
                    return event.is_set()
        return True

    @contextlib.contextmanager
    def _asleep(self, end: float | None) -> Iterator[None]:
        with self._changed:
            self._deadlines.append(end)
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._deadlines.remove(end)
