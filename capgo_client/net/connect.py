"""Connecting to the first address that answers (RFC 8305, "happy eyeballs").

``socket.create_connection`` gives each address the whole time-out, one after the other: one black-holed address (a
broken IPv6 route is the usual one) eats everything. Here the next address starts a quarter of a second after the last,
or as soon as one has failed, and all run until one is through or the time is over.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
from collections import deque
from typing import TYPE_CHECKING

from capgo_client.errors import NetworkError
from capgo_client.net.deadline import now

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capgo_client.net.deadline import Scope
    from capgo_client.net.resolver import Address

__all__ = ["connect"]

#: Head start of each address over the next, in seconds (RFC 8305 section 5).
_STAGGER = 0.25
#: Longest wait between two looks at the scope, in seconds: shutting down a socket that is still connecting
#: does not wake its thread on every system, so ``cancel()`` is noticed this way here.
_LOOK = 0.05

_UNDER_WAY = {0, errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EAGAIN, getattr(errno, "WSAEWOULDBLOCK", 0)}


def connect(addresses: Sequence[Address], *, scope: Scope) -> socket.socket:
    """Return a connected socket (in non-blocking mode).

    Raises:
        NetworkError: every address refused.
        DeadlineExceeded, Cancelled: the scope ended first.
    """
    scope.stage = "connect"
    with _selector() as selector:
        race = _Race(addresses, selector)
        try:
            return race.run(scope)
        finally:
            race.close_losers()


def _selector() -> selectors.BaseSelector:
    # Not the default one: epoll and kqueue cost a descriptor each.
    kind: type[selectors.BaseSelector] = getattr(selectors, "PollSelector", selectors.SelectSelector)
    return kind()


class _Race:
    def __init__(self, addresses: Sequence[Address], selector: selectors.BaseSelector) -> None:
        self._waiting = deque(addresses)
        self._selector = selector
        self._running: list[socket.socket] = []
        self._refusals: list[OSError] = []
        self._next_start = now()

    def run(self, scope: Scope) -> socket.socket:
        while self._running or self._waiting:
            left = scope.remaining()
            if self._waiting and (not self._running or now() >= self._next_start):
                self._start(self._waiting.popleft())
                continue
            for key, _ in self._selector.select(_LOOK if left is None else min(left, _LOOK)):
                if winner := self._finish(key.fileobj):
                    return winner
        raise self._refused()

    def _start(self, address: Address) -> None:
        self._next_start = now() + _STAGGER
        try:
            sock = socket.socket(address.family, socket.SOCK_STREAM)
        except OSError as exc:  # no such family here, or out of descriptors
            self._refusals.append(exc)
            return
        self._running.append(sock)
        sock.setblocking(False)
        code = sock.connect_ex(address.sockaddr)
        if code in _UNDER_WAY:
            self._selector.register(sock, selectors.EVENT_WRITE)
        else:
            self._refuse(sock, code)

    def _finish(self, fileobj: object) -> socket.socket | None:
        sock = next(sock for sock in self._running if sock is fileobj)
        self._selector.unregister(sock)
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._refuse(sock, code)
            return None
        self._running.remove(sock)
        return sock

    def _refuse(self, sock: socket.socket, code: int) -> None:
        self._refusals.append(OSError(code, os.strerror(code)))
        self._running.remove(sock)
        self._next_start = now()
        sock.close()

    def close_losers(self) -> None:
        for sock in self._running:
            sock.close()

    def _refused(self) -> NetworkError:
        reason = self._refusals[-1].strerror if self._refusals else "no address"
        error = NetworkError(f"No connection: {reason}", hint="is the device online, is the service running?")
        error.__cause__ = self._refusals[-1] if self._refusals else None
        return error
