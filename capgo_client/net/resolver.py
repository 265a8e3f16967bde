"""Name lookups that can be abandoned.

The system's lookup cannot be interrupted and knows no deadline, so it runs in a daemon thread: at most one per host,
joined by everyone who asks for that host. A hundred checks on a dead name server leave one thread behind, not a
hundred, and a daemon thread does not hold up the interpreter's exit.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeAlias, TypeVar

from capgo_client.errors import CapgoError, NetworkError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from capgo_client.net.deadline import Scope

__all__ = ["SHARED_LOOKUPS", "Address", "GetAddrInfo", "Lookups", "Resolver"]

T = TypeVar("T")

#: More addresses than these are not tried: the time would not suffice anyway.
_MAX_ADDRESSES = 8


class Address(NamedTuple):
    """Where to connect to."""

    family: int
    sockaddr: tuple[Any, ...]


#: From (host, port) to (family, type, protocol, canonical name, socket address) tuples.
GetAddrInfo: TypeAlias = "Callable[[str, int], Sequence[tuple[Any, ...]]]"


class Lookups:
    """Calls of the system that may hang: each key has at most one in flight, whoever asks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._in_flight: dict[Hashable, _Call[Any]] = {}

    def ask(self, key: Hashable, call: Callable[[], T], *, scope: Scope) -> T:
        """Return what ``call`` returns, or raise what it raises, if it ends within ``scope``; else abandon it.

        Raises:
            DeadlineExceeded, Cancelled: the scope ended first.
            NetworkError: no thread could be started.
        """
        answered = threading.Event()
        pending = self._join(key, call, answered)
        try:
            with scope.interruptible(answered.set):
                while not pending.done:
                    if not answered.wait(scope.remaining()):
                        raise scope.expired()
                    scope.check()
        finally:
            pending.leave(answered)
        return pending.result()

    def _join(self, key: Hashable, call: Callable[[], T], answered: threading.Event) -> _Call[T]:
        with self._lock:
            pending: _Call[T] | None = self._in_flight.get(key)
            if pending is not None and pending.join(answered):
                return pending
            pending = _Call(call, lambda: self._forget(key))
            pending.join(answered)
            try:
                threading.Thread(target=pending.run, name="capgo-lookup", daemon=True).start()
            except RuntimeError as exc:  # out of threads, or the interpreter is shutting down
                raise NetworkError("No thread could be started for the name lookup") from exc
            self._in_flight[key] = pending
            return pending

    def _forget(self, key: Hashable) -> None:
        with self._lock:
            del self._in_flight[key]


class _Call(Generic[T]):
    def __init__(self, call: Callable[[], T], finished: Callable[[], None]) -> None:
        self._call = call
        self._finished = finished
        self._lock = threading.Lock()
        self._waiting: list[threading.Event] = []
        self._value: list[T] = []
        self._error: Exception | None = None
        self.done = False

    def join(self, answered: threading.Event) -> bool:
        """Set ``answered`` at the end; False when that has passed."""
        with self._lock:
            if not self.done:
                self._waiting.append(answered)
            return not self.done

    def leave(self, answered: threading.Event) -> None:
        with self._lock:
            if answered in self._waiting:
                self._waiting.remove(answered)

    def run(self) -> None:
        try:
            self._value.append(self._call())
        except Exception as exc:
            self._error = exc
        self._finished()
        with self._lock:
            self.done = True
            for answered in self._waiting:
                answered.set()

    def result(self) -> T:
        if self._error is not None:
            raise self._error
        return self._value[0]


#: The process's own: a name server that hangs costs one thread for each host, however many clients come and go.
SHARED_LOOKUPS = Lookups()


class Resolver:
    """From host names to addresses, families taking turns (RFC 8305 section 4)."""

    def __init__(self, *, lookups: Lookups | None = None, getaddrinfo: GetAddrInfo | None = None) -> None:
        self._lookups = lookups if lookups is not None else Lookups()
        self._getaddrinfo = getaddrinfo

    def resolve(self, host: str, port: int, *, scope: Scope) -> list[Address]:
        """Return at least one address of ``host``, at most eight.

        Raises:
            NetworkError: the name does not resolve.
            DeadlineExceeded, Cancelled: the scope ended first; the lookup goes on without us.
        """
        scope.stage = "lookup"
        try:
            found = self._find(host, port, scope)
        except CapgoError:  # DeadlineExceeded is an OSError too
            raise
        except (OSError, UnicodeError) as exc:
            raise _unresolved(host) from exc
        addresses = [Address(entry[0], (entry[4][0], port, *entry[4][2:])) for entry in found]
        if not addresses:
            raise _unresolved(host)
        return _interleave(addresses)[:_MAX_ADDRESSES]

    def _find(self, host: str, port: int, scope: Scope) -> Sequence[tuple[Any, ...]]:
        if _is_literal(host):
            return _system_lookup(host, port, socket.AI_NUMERICHOST)
        getaddrinfo = self._getaddrinfo or _system_lookup
        return self._lookups.ask(host, lambda: getaddrinfo(host, port), scope=scope)


def _system_lookup(host: str, port: int, flags: int = 0) -> Sequence[tuple[Any, ...]]:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)


def _unresolved(host: str) -> NetworkError:
    return NetworkError(f"The name {host} does not resolve", hint="is the device online, is the name right?")


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _interleave(addresses: list[Address]) -> list[Address]:
    first = [a for a in addresses if a.family == addresses[0].family]
    other = [a for a in addresses if a.family != addresses[0].family]
    paired = [address for pair in zip(first, other, strict=False) for address in pair]
    short = min(len(first), len(other))
    return paired + first[short:] + other[short:]
