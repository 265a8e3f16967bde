"""Sends what waits: one thread, and long pauses when nobody wants to hear it."""

from __future__ import annotations

import os
import threading

from capgo_client.log import Log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Protocol

    from capgo_client.seams import Clock
    from capgo_client.stats.queue import Queue
    from capgo_client.stats.round import Result

    class Reply(Protocol):
        """What ``send`` returns; header names are in lower case."""

        @property
        def status(self) -> int:
            """HTTP status."""

        @property
        def headers(self) -> Mapping[str, str]:
            """Header fields."""

        @property
        def body(self) -> bytes:
            """The whole body."""


__all__ = ["Sender"]

#: So long events are collected before they are sent together (seconds).
COALESCE = 1.0
#: The longest pause after a first failure and after any (seconds); doubled from one to the next.
FAILURE_BASE, FAILURE_MAX = 5.0, 3600.0
#: The shortest pause after "plan ended" and its look-alikes, and the longest (reference/service-behaviour.md 0.1).
PLAN_BASE, PLAN_MAX = 900.0, 24 * 3600.0

_log = Log("capgo_client.stats")


def _draw() -> float:
    """A random number in [0, 1), without the import of random."""
    return int.from_bytes(os.urandom(6), "big") / 2**48


class Sender:
    """Empties a queue through ``send``, in order. No method but ``settle`` waits for anything; none raises.

    Args:
        queue: what waits.
        clock: pauses are measured on its monotonic side.
        send: posts a JSON array and returns the reply; raises CapgoError where there is none. ``stop`` does not end
            it: that is for the owner of the connection, and counts as a lost reply.
        enabled: asked before each batch.
        limited: called when the service answers ``too_many_requests``.
        draw: random numbers in [0, 1).
    """

    def __init__(
        self,
        queue: Queue,
        *,
        clock: Clock,
        send: Callable[[bytes], Reply],
        enabled: Callable[[], bool],
        limited: Callable[[], None] = lambda: None,
        draw: Callable[[], float] = _draw,
    ) -> None:
        self._queue = queue
        self._clock = clock
        self._send = send
        self._enabled = enabled
        self._limited = limited
        self._draw = draw
        self._state = threading.Condition()
        self._wake = threading.Event()
        self._begun = False
        self._stopped = False
        #: How many rounds in a row failed, and whether for the plan.
        self._failures = 0
        self._plan_ended = False
        #: When to send next, on the monotonic clock; None for not before there is news.
        self._due: float | None = None
        #: Whether that is the end of a pause after a failure; else events are being collected.
        self._pausing = False
        self._hurried = False
        self.thread: threading.Thread | None = None

    def begin(self) -> None:
        """Send from now on, what was left by earlier processes first."""
        self._begun = True
        self.news()

    def news(self) -> None:
        """There is something to send. A pause that runs is not cut short."""
        if not self._begun or self._stopped or not self._enabled():
            return
        with self._state:
            self._wake.set()
            if self.thread is None:
                self.thread = _started(self._run)

    def stop(self) -> None:
        """Send no further batch."""
        with self._state:
            self._stopped = True
            self._wake.set()
            self._state.notify_all()

    def settle(self, timeout: float) -> None:
        """Send at once what is being collected and wait until that was tried, ``timeout`` seconds of real time at most.

        For an app that is about to end. A pause after a failure is neither cut short nor waited for.
        """
        with self._state:
            if self.thread is not None:
                self._hurried = True
                self._wake.set()
                self._state.wait_for(lambda: self.thread is None or self._pausing or self._stopped, timeout)
                self._hurried = False

    def _run(self) -> None:
        while True:
            due = self._due
            self._clock.wait(self._wake, None if due is None else max(0.0, due - self._clock.monotonic()))
            self._wake.clear()  # before looking at the queue, so that an event written meanwhile wakes us again
            if self._stopped:
                return
            if due is None or (self._hurried and not self._pausing and self._clock.monotonic() < due):
                self._due = self._clock.monotonic() + (0.0 if self._hurried else COALESCE)
            elif self._clock.monotonic() >= due and self._sent_all_and_may_rest():
                return

    def _sent_all_and_may_rest(self) -> bool:
        """Send; whether nothing waits: the thread ends then, and whoever brings news starts another.

        An idle app has none of our threads.
        """
        with self._state:
            self._pausing = False
        pause = self._send_safely()
        with self._state:
            self._due = None if pause is None else self._clock.monotonic() + pause
            self._pausing = pause is not None
            may_rest = pause is None and not self._wake.is_set()
            if may_rest:
                self.thread = None
            self._state.notify_all()
            return may_rest

    def _send_safely(self) -> float | None:
        try:
            return self._send_all()
        except Exception:
            _log.exception("sending statistics ended by a bug; the app is not touched by it")
            return self._pause(plan_ended=False)

    def _send_all(self) -> float | None:
        """Send all that waits; return the seconds until there is more to try, None where nothing is left."""
        from capgo_client.stats.round import Round

        with self._queue.sending() as is_ours:
            if not is_ours:  # another process of the app does, its events and ours
                return FAILURE_BASE * (1.0 + self._draw())
            result = Round(
                self._queue,
                clock=self._clock,
                send=self._send,
                may_go_on=lambda: not self._stopped and self._enabled(),
                limited=self._limited,
            ).run()
        return self._after(result)

    def _after(self, result: Result) -> float | None:
        if result.progress or result.is_over:
            self._failures = 0
        if result.is_over:
            return None
        pause = max(self._pause(plan_ended=result.reason.plan_ended), result.wish)
        _log.debug("statistics wait for %.0f s: %s %s", pause, result.reason.code, result.reason.message)
        return pause

    def _pause(self, *, plan_ended: bool) -> float:
        """How long to be silent after a failure, in seconds.

        Full jitter: after an outage every device comes back at once, and this spreads them as evenly as can be.
        """
        self._failures = self._failures + 1 if plan_ended is self._plan_ended else 1
        self._plan_ended = plan_ended
        doublings = min(self._failures - 1, 30)
        if plan_ended:
            return min(PLAN_MAX, PLAN_BASE + self._draw() * PLAN_BASE * 2.0**doublings)
        return max(COALESCE, self._draw() * min(FAILURE_MAX, FAILURE_BASE * 2.0**doublings))


def _started(run: Callable[[], None]) -> threading.Thread | None:
    thread = threading.Thread(target=run, name="capgo-stats", daemon=True)
    try:
        thread.start()
    except RuntimeError as exc:  # no threads left, or the interpreter is on its way out
        _log.warning("statistics are not sent for now: %s", exc)
        return None
    return thread
