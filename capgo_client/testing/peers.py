"""Peers that are no HTTP service at all: what a broken network looks like from a device.

Each is a context manager with ``url``; those that accept connections also write down when the other side left. They
are for the moments before HTTP begins; everything after that is a fault of ``Service``.
"""

from __future__ import annotations

import contextlib
import select
import socket
import sys
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .server import LOOPBACK, Server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from typing_extensions import Self

    from .wire import Connection, Request

__all__ = [
    "BlackHole",
    "Peer",
    "black_hole",
    "black_hole_missing",
    "forwarding_proxy",
    "hanging_proxy",
    "refused_url",
    "silent_peer",
    "tls_stall",
]

#: A connect on loopback that takes longer than this hangs: the handshake needs well under a millisecond.
_FILLED_SECONDS = 0.2
_FILL_LIMIT = 64
_DROPS = sys.platform.startswith("linux")
_HTTP_PORT = 80
_PIECE = 65536
_HOP_BY_HOP = ("connection", "proxy-connection", "proxy-authorization", "transfer-encoding", "content-length")


class Peer:
    """Accepts connections, reads all that comes and says nothing, or one ``greeting`` after the first bytes."""

    def __init__(self, *, scheme: str = "http", greeting: bytes = b"") -> None:
        self._scheme = scheme
        self._greeting = greeting
        self._server = Server(self._serve)

    @property
    def host(self) -> str:
        """The address it listens on."""
        return LOOPBACK

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._server.port

    @property
    def url(self) -> str:
        """Its address as a URL without a path."""
        return f"{self._scheme}://{self.host}:{self.port}"

    @property
    def connections(self) -> int:
        """How many connections were made so far."""
        return self._server.accepted

    @property
    def closes(self) -> list[float]:
        """When (monotonic seconds) the other side was seen to close each connection, oldest first."""
        return self._server.closes

    def wait_for_connection(self, count: int = 1, timeout: float = 5.0) -> None:
        """Wait until so many connections were made.

        Raises:
            TimeoutError: Fewer came within ``timeout`` seconds.
        """
        if not self._server.wait_for(lambda: self.connections >= count, timeout):
            raise TimeoutError(f"{self.connections} of {count} connections came within {timeout:g} s")

    def wait_for_close(self, count: int = 1, timeout: float = 5.0) -> list[float]:
        """Wait until the other side has closed so many connections; return when.

        Raises:
            TimeoutError: Fewer were closed within ``timeout`` seconds.
        """
        if not self._server.wait_for(lambda: len(self.closes) >= count, timeout):
            raise TimeoutError(f"{len(self.closes)} of {count} connections were closed within {timeout:g} s")
        return self.closes

    def stop(self) -> None:
        """Close everything. Idempotent."""
        self._server.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _serve(self, connection: Connection) -> None:
        if self._greeting:
            connection.read_request()
            connection.send(self._greeting)
        connection.drain()


def silent_peer() -> Peer:
    """Accepts, reads and never says a byte."""
    return Peer()


def tls_stall() -> Peer:
    """Accepts, reads the client's hello and never shakes hands."""
    return Peer(scheme="https")


def hanging_proxy(*, connects: bool = False) -> Peer:
    """A proxy that takes the request and hangs; with ``connects`` it first says that the tunnel stands."""
    return Peer(greeting=b"HTTP/1.1 200 Connection established\r\n\r\n" if connects else b"")


class ForwardingProxy(Peer):
    """A proxy that does its work: one request for each connection, or a tunnel."""

    def _serve(self, connection: Connection) -> None:
        request = connection.read_request()
        tunnel = request.method == "CONNECT"
        parts = urlsplit(f"//{request.target}" if tunnel else request.target)
        with socket.create_connection((parts.hostname or LOOPBACK, parts.port or _HTTP_PORT)) as upstream:
            if tunnel:
                connection.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                upstream.sendall(_forwarded(request, parts.path + ("?" + parts.query if parts.query else "")))
            _pump(connection, upstream)


def _forwarded(request: Request, target: str) -> bytes:
    kept = {name: value for name, value in request.headers.items() if name not in _HOP_BY_HOP}
    headers = {**kept, "connection": "close", "content-length": str(len(request.body))}
    lines = [f"{request.method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + request.body


def _pump(connection: Connection, upstream: socket.socket) -> None:
    """Carry bytes both ways until one side ends."""
    sides = {connection.sock: upstream, upstream: connection.sock}
    while True:
        for side in select.select(list(sides), [], [])[0]:
            data = side.recv(_PIECE)
            if not data:
                return
            sides[side].sendall(data)


def forwarding_proxy() -> Peer:
    """A proxy that works: what a client behind one sees on a good day."""
    return ForwardingProxy()


@contextlib.contextmanager
def refused_url() -> Iterator[str]:
    """The address of a port on which nobody listens: connecting is refused at once.

    The port stays bound inside the block, so that nobody else can come to listen on it.
    """
    with socket.socket() as sock:
        sock.bind((LOOPBACK, 0))
        yield f"http://{LOOPBACK}:{sock.getsockname()[1]}"


class BlackHole:
    """A listener whose queue is full: the system drops what would open a connection, so connecting hangs."""

    def __init__(self) -> None:
        self._listener = socket.socket()
        self._fillers: list[socket.socket] = []
        try:
            self._listener.bind((LOOPBACK, 0))
            self._listener.listen(0)
            self.port: int = self._listener.getsockname()[1]
            self._fill()
        except BaseException:
            self.stop()
            raise

    @property
    def url(self) -> str:
        """Its address as a URL without a path."""
        return f"http://{LOOPBACK}:{self.port}"

    def stop(self) -> None:
        """Close everything. Idempotent."""
        for sock in (self._listener, *self._fillers):
            sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _fill(self) -> None:
        for _ in range(_FILL_LIMIT):
            filler = socket.socket()
            self._fillers.append(filler)
            filler.setblocking(False)
            filler.connect_ex((LOOPBACK, self.port))
            if not select.select([], [filler], [], _FILLED_SECONDS)[1]:
                return
        raise RuntimeError("this system accepts connections beyond the listener's queue; black_hole() cannot work here")


def black_hole_missing() -> str:
    """Why ``black_hole`` cannot be had on this system; empty where it can."""
    return "" if _DROPS else "black_hole() needs Linux: other systems refuse where it drops"


def black_hole() -> BlackHole:
    """A listener to which connecting hangs. Linux only.

    Raises:
        RuntimeError: The system does not drop connections to a full queue.
    """
    if missing := black_hole_missing():
        raise RuntimeError(missing)
    return BlackHole()
