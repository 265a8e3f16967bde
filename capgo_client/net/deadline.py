"""One time limit over a whole exchange, and one switch that ends it from outside.

httpx's own time-outs are per read: a server that drips one byte a second resets them for ever, and a name lookup
ignores them. A ``Scope`` is an absolute end on the monotonic clock; every step of an exchange gets only what is left of
it. The network backend reads the scope from the calling thread, so exchanges of several threads can share one pool.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING

from capgo_client.errors import Cancelled, DeadlineExceeded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from typing_extensions import Self

__all__ = ["Operation", "Scope", "current_scope", "in_scope", "now"]

#: What was going on when the time ran out, and where the developer should look.
_STAGES = {
    "start": ("before anything was sent", ""),
    "lookup": ("during the name lookup", "the device's name server does not answer"),
    "connect": ("while connecting", "the route or a firewall drops the packets"),
    "tls": ("during the TLS handshake", "the server, or a proxy in between, stopped talking"),
    "send": ("while sending the request", "the upload is too slow or the server stopped reading"),
    "headers": ("while waiting for the reply", "the server, or a proxy in between, is too slow"),
    "body": ("in the middle of the reply", "the connection is too slow or the server stopped sending"),
}

_active = threading.local()


def now() -> float:
    """Seconds on the clock that deadlines are measured with."""
    return time.monotonic()


class Scope:
    """The time that one exchange (or a chain of them) may take, counted from construction.

    Args:
        seconds: time for everything together; None for no limit.
        step: longest time that any single operation may wait (for long downloads, where only silence is an error).

    ``with scope:`` makes it the current scope of the calling thread. All methods may be called from any thread.
    """

    def __init__(self, seconds: float | None, *, step: float | None = None) -> None:
        self._seconds = seconds
        self._step = step
        self._end = None if seconds is None else now() + seconds
        self._lock = threading.Lock()
        self._cancelled = False
        self._overdue = False
        self._wakers: dict[int, Callable[[], None]] = {}
        self.stage = "start"

    def remaining(self) -> float | None:
        """Seconds that the next operation may take; None for no limit.

        Raises:
            Cancelled: ``cancel()`` was called.
            DeadlineExceeded: the end is reached.
        """
        if self._cancelled and not self._overdue:
            raise Cancelled("The exchange was cancelled")
        if self._end is None:
            return self._step
        left = self._end - now()
        if left <= 0:
            raise self.expired()
        return left if self._step is None else min(left, self._step)

    def check(self) -> None:
        """Raise what ``remaining()`` raises, if anything."""
        self.remaining()

    def expired(self) -> DeadlineExceeded | Cancelled:
        """The error for an operation that took all the time it was given."""
        if self._cancelled and not self._overdue:
            return Cancelled("The exchange was cancelled")
        when, hint = _STAGES[self.stage]
        if self._end is not None and (self._step is None or now() >= self._end):
            return DeadlineExceeded(f"No complete reply within {self._seconds:.2f} s, time ran out {when}", hint=hint)
        return DeadlineExceeded(f"Nothing happened for {self._step:g} s {when}", hint=hint)

    def cancel(self) -> None:
        """End the exchange now: wake whatever waits, and let every later operation raise ``Cancelled``.

        After the end it is still the end that is told: on a busy machine whoever waits may notice it before us.
        """
        with self._lock:
            if not self._cancelled:
                self._overdue = self._end is not None and now() >= self._end
            self._cancelled = True
            # Under the lock, because a socket is closed only after it was unregistered: no descriptor used anew
            # by another thread can be hit.
            for wake in self._wakers.values():
                wake()

    @contextlib.contextmanager
    def interruptible(self, wake: Callable[[], None]) -> Iterator[None]:
        """Have ``wake`` called on ``cancel()`` while the block runs; at once when that has happened already."""
        key = id(wake)
        self.watch(key, wake)
        try:
            yield
        finally:
            self.unwatch(key)

    def operation(self, sock: socket.socket, stage: str | None = None) -> Operation:
        """Run one operation on ``sock``; gives the seconds it may take and shuts the socket down on ``cancel()``."""
        if stage is not None:
            self.stage = stage
        return Operation(self, sock)

    def watch(self, key: int, wake: Callable[[], None]) -> None:
        """Have ``wake`` called on ``cancel()`` until ``unwatch(key)``; at once when that has happened already."""
        with self._lock:
            self._wakers[key] = wake
            if self._cancelled:
                wake()

    def unwatch(self, key: int) -> None:
        """The end of what ``watch`` began: on return nobody calls it any more."""
        with self._lock:
            del self._wakers[key]

    @contextlib.contextmanager
    def branch(self) -> Iterator[Scope]:
        """A scope with the same end, which ends with this one while the block runs and can be ended alone.

        For work in several threads that a failure in one of them should end, and nothing else.
        """
        scope = Scope(None if self._end is None else self._end - now(), step=self._step)
        with self.interruptible(scope.cancel):
            yield scope

    def __enter__(self) -> Self:
        _stack().append(self)
        return self

    def __exit__(self, *_: object) -> None:
        _stack().pop()


class Operation:
    """A block that runs one operation on a socket. A class of its own, for there is one for each read and write."""

    __slots__ = ("_scope", "_sock")

    def __init__(self, scope: Scope, sock: socket.socket) -> None:
        self._scope = scope
        self._sock = sock

    def __enter__(self) -> float | None:
        self._scope.watch(id(self), self._shut_down)
        try:
            return self._scope.remaining()
        except BaseException:
            self._scope.unwatch(id(self))
            raise

    def __exit__(self, *_: object) -> None:
        self._scope.unwatch(id(self))

    def _shut_down(self) -> None:
        # SSLSocket.shutdown() would take the TLS object away under the thread that reads: name the plain one.
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)


def current_scope() -> Scope:
    """The innermost scope that the calling thread is in."""
    stack = _stack()
    if not stack:
        raise RuntimeError("network used outside of a Scope: write `with scope:` around it")
    return stack[-1]


def in_scope() -> bool:
    """Whether the calling thread is in any scope."""
    return bool(_stack())


def _stack() -> list[Scope]:
    try:
        stack: list[Scope] = _active.stack
    except AttributeError:
        stack = _active.stack = []
    return stack
