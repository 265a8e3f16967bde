"""One daemon thread that does what takes time, and stays out of the app's way until the app is open (decision 1)."""

from __future__ import annotations

import threading

# Not used here. `dataclasses` reads sys.modules["typing"] without waiting for an import of it to end: an app that makes
# a dataclass at the moment in which another thread imports typing for the first time dies of an AttributeError. So it
# is complete before there is a thread of ours (2 ms; most apps have it anyhow).
import typing  # noqa: F401

from capgo_client.log import Log
from capgo_client.values import dataclass, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from capgo_client.seams import Clock

__all__ = ["Order", "Worker"]

_log = Log("capgo_client")


@dataclass(slots=True)
class Order:
    """A cycle that was asked for.

    ``check``: ask the service (else only tidy up). ``launch``: this process's first, which the back-off does not hold
    off. ``foreground``: ``start()`` began by waiting for it; ``direct``: it still does, and opens what it brings.
    ``began`` is when that wait began, on the monotonic clock. ``by_app``: an explicit trigger.
    ``checked`` and ``done`` are set when the check is answered and when there is nothing more to wait for;
    ``cancel_check`` ends the check alone.
    """

    check: bool = True
    launch: bool = False
    foreground: bool = False
    direct: bool = False
    began: float = 0.0
    by_app: bool = False
    checked: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)
    cancel_check: Callable[[], None] = lambda: None


class Worker:
    """Runs orders one after the other. At most one waits; a second of the same kind is merged into it."""

    def __init__(
        self,
        run: Callable[[Order], None],
        *,
        clock: Clock,
        period: Callable[[], float | None],
    ) -> None:
        self._run_order = run
        self._clock = clock
        self._period = period
        self._state = threading.Condition()
        self._wake = threading.Event()
        self._due: Order | None = None
        self._running: Order | None = None
        self._stopped = False
        #: When to go on by ourselves, on the monotonic clock; None for never.
        self._next_at: float | None = None
        self.thread = threading.Thread(target=self._run, name="capgo-worker", daemon=True)

    def start(self, order: Order, *, delay: float) -> None:
        """Begin with ``order`` after ``delay`` seconds, or as soon as ``hurry()`` is called."""
        with self._state:
            self._due = order
            self._next_at = self._clock.monotonic() + delay
        self.thread.start()

    def submit(self, order: Order) -> bool:
        """Run ``order`` now; False when a check is running or due already (the due one is hurried up).

        A cycle that is over and only tidies up is not in the way: the order runs after it.
        """
        with self._state:
            busy = self._is_under_way(self._running) or self._is_under_way(self._due)
            if not busy and not self._stopped:
                self._due = order
        self.hurry()
        return not busy

    @staticmethod
    def _is_under_way(order: Order | None) -> bool:
        return order is not None and order.check and not order.done.is_set()

    def hurry(self) -> None:
        """Start what is due without further delay: the app is open, or somebody waits for it."""
        self._wake.set()

    def wait(self, timeout: float | None) -> bool:
        """Until nothing runs or is due; False after ``timeout`` seconds of real time."""
        self.hurry()
        with self._state:
            return self._state.wait_for(lambda: self._stopped or (self._due is None and self._running is None), timeout)

    def stop(self) -> None:
        """Take no further order; what runs has to be cancelled by its own means."""
        with self._state:
            self._stopped = True
            self._due = None
            self._state.notify_all()
        self._wake.set()

    def _run(self) -> None:
        while not self._stopped:
            left = None if self._next_at is None else max(0.0, self._next_at - self._clock.monotonic())
            woken = self._clock.wait(self._wake, left)
            self._wake.clear()  # before looking at what is due, so that an order given meanwhile wakes us again
            order = self._take(periodic=not woken)
            if order is not None:
                self._do(order)

    def _take(self, *, periodic: bool) -> Order | None:
        """The order that is due, or a new one when the period is over; None when we were woken for nothing."""
        with self._state:
            if self._stopped:
                return None
            order = self._due or (Order() if periodic else None)
            self._due = None
            self._running = order
            return order

    def _do(self, order: Order) -> None:
        try:
            self._run_order(order)
        except Exception:
            _log.exception("a cycle ended by a bug; the app is not touched by it")
        finally:
            order.checked.set()
            order.done.set()
            with self._state:
                self._running = None
                period = self._period()
                self._next_at = None if period is None else self._clock.monotonic() + period
                self._state.notify_all()
