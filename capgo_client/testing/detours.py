"""Two hooks of this process's sockets: where a connection really leads, and what a name lookup says.

Each works for one address or one host name, for as long as its block lasts. The sockets behind them are real: a
connection that is led astray is really refused, or really hangs.
"""

from __future__ import annotations

import itertools
import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .server import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .chance import Chance

__all__ = ["detour", "failing_lookups", "fault_host"]

_HOSTS = itertools.count(1)
_lock = threading.Lock()


@dataclass(frozen=True, slots=True, eq=False)
class _Detour:
    port: int
    target: tuple[str, int]
    chance: Chance


@dataclass(frozen=True, slots=True, eq=False)
class _Lookup:
    host: str
    chance: Chance
    release: threading.Event | None


_detours: list[_Detour] = []
_lookups: list[_Lookup] = []
_real: dict[str, Callable[..., Any]] = {
    "connect": socket.socket.connect,
    "connect_ex": socket.socket.connect_ex,
    "getaddrinfo": socket.getaddrinfo,
}


def fault_host() -> str:
    """A host name that nobody has (RFC 6761) and that was not given out before."""
    return f"updates-{next(_HOSTS)}.capgo-fault.invalid"


@contextmanager
def detour(port: int, target: tuple[str, int], chance: Chance) -> Iterator[None]:
    """Connections of this process to a port of loopback lead to ``target`` instead, as the chance says."""
    with _hooked(_detours, _Detour(port, target, chance), socket.socket, connect=_connect, connect_ex=_connect_ex):
        yield


@contextmanager
def failing_lookups(host: str, chance: Chance, *, hang: bool) -> Iterator[None]:
    """Lookups of ``host`` in this process fail, or hang until the block ends; the others find loopback."""
    release = threading.Event() if hang else None
    try:
        with _hooked(_lookups, _Lookup(host, chance, release), socket, getaddrinfo=_getaddrinfo):
            yield
    finally:
        if release is not None:
            release.set()


@contextmanager
def _hooked(rules: list[Any], rule: Any, owner: Any, **hooks: Callable[..., Any]) -> Iterator[None]:
    with _lock:
        if not rules:
            # Whoever hooked in before us, as a test might, is asked next.
            _real.update({name: getattr(owner, name) for name in hooks})
            for name, hook in hooks.items():
                setattr(owner, name, hook)
        rules.append(rule)
    try:
        yield
    finally:
        with _lock:
            rules.remove(rule)
            if not rules:
                for name in hooks:
                    setattr(owner, name, _real[name])


def _led(address: Any) -> Any:
    if not (isinstance(address, tuple) and address[0] == LOOPBACK):
        return address
    with _lock:
        rules = [rule for rule in _detours if rule.port == address[1]]
    # Each counts every connection, so no short cut; of several the one set last leads it astray.
    return next(reversed([rule.target for rule in rules if rule.chance.takes()]), address)


def _connect(self: socket.socket, address: Any) -> None:
    _real["connect"](self, _led(address))


def _connect_ex(self: socket.socket, address: Any) -> int:
    code: int = _real["connect_ex"](self, _led(address))
    return code


def _getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
    with _lock:
        rule = next((each for each in _lookups if each.host == name), None)
    if rule is None:
        return _real["getaddrinfo"](host, *args, **kwargs)
    if not rule.chance.takes():
        return _real["getaddrinfo"](LOOPBACK, *args, **kwargs)
    if rule.release is not None:
        rule.release.wait()
    raise socket.gaierror(socket.EAI_NONAME, f"{name}: no such name")
