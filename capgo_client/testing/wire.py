"""HTTP/1.1 as bytes on a connection: requests read, replies written, and everything that can go wrong between.

The faults need what ``http.server`` hides: when a byte leaves, how a connection dies, when the other side left.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Connection", "PeerGone", "Reply", "Request"]

_HEAD_LIMIT = 256 * 1024
_BODY_LIMIT = 64 * 1024 * 1024


class PeerGone(Exception):
    """The other side closed the connection, or the server is stopping."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came in; ``time`` is a monotonic reading, header names are in lower case.

    ``path`` is what stands before the question mark, verbatim. ``json`` is None where the body is not JSON.
    """

    method: str
    target: str
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    time: float
    version: str = "HTTP/1.1"

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        """The query's fields; of a repeated one the last."""
        return dict(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))

    @property
    def json(self) -> Any:
        """The body read as JSON, None where it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @property
    def wants_close(self) -> bool:
        """Whether the client said that this is its last request on the connection."""
        said = self.headers.get("connection", "").lower()
        return said == "close" or (self.version == "HTTP/1.0" and said != "keep-alive")


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer before it becomes bytes. Content-Length is added on sending unless it is given."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    @classmethod
    def of_json(cls, status: int, value: Any, headers: Iterable[tuple[str, str]] = ()) -> Reply:
        """Say ``value`` as the service does: compact JSON, real Unicode."""
        body = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")
        return cls(status, (("Content-Type", "application/json"), *headers), body)

    def header(self, name: str) -> str | None:
        """The first header of that name, in any case."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def without(self, *names: str) -> tuple[tuple[str, str], ...]:
        """The headers but those named."""
        dropped = {name.lower() for name in names}
        return tuple((key, value) for key, value in self.headers if key.lower() not in dropped)

    def head(self, *, close: bool = False) -> bytes:
        """Status line and headers with the empty line that ends them."""
        lines = [f"HTTP/1.1 {self.status} {_reason(self.status)}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        if self.header("Content-Length") is None and self.header("Transfer-Encoding") is None:
            lines.append(f"Content-Length: {len(self.body)}")
        if close:
            lines.append("Connection: close")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


class Connection:
    """One accepted connection, used by one thread. Every method raises PeerGone once the other side has left."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        #: When (monotonic) the other side was seen to leave; None while it stays, or where this side closed first.
        self.left_at: float | None = None
        self._buffer = bytearray()

    def send(self, data: bytes) -> None:
        """Send all of ``data``."""
        try:
            self.sock.sendall(data)
        except OSError as exc:
            raise self._gone() from exc

    def pause(self, seconds: float | None) -> None:
        """Wait that long (None: for ever); a close by the other side or a stop ends it with PeerGone."""
        if _closed_within(self.sock, seconds):
            raise self._gone()

    def drain(self) -> None:
        """Read and forget until the other side leaves."""
        while True:
            self._buffer.clear()
            self._receive()

    def reset(self) -> None:
        """Tear the connection down with RST instead of FIN."""
        with contextlib.suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()
        raise PeerGone

    def read_request(self) -> Request:
        """Read the next request with its whole body.

        Raises:
            PeerGone: The connection ended, or what came is not HTTP.
        """
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > _HEAD_LIMIT:
                raise PeerGone
            self._receive()
        head = bytes(self._buffer[:end]).decode("latin-1")
        del self._buffer[: end + 4]
        first, *lines = head.split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        method, _, rest = first.partition(" ")
        if headers.get("expect", "").lower() == "100-continue":
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        started = time.monotonic()
        target, _, version = rest.rpartition(" ")
        return Request(method, target, headers, self._read_body(headers), started, version)

    def _read_body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return b"".join(iter(self._read_chunk, b""))
        length = headers.get("content-length", "0")
        return self._take(int(length) if length.isdecimal() else 0)

    def _read_chunk(self) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            self._receive()
        try:
            size = int(bytes(self._buffer[:end]).partition(b";")[0], 16)
        except ValueError as exc:
            raise PeerGone from exc
        del self._buffer[: end + 2]
        data = self._take(size)
        self._take(2)
        return data

    def _take(self, count: int) -> bytes:
        if count > _BODY_LIMIT:
            raise PeerGone
        while len(self._buffer) < count:
            self._receive()
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        return data

    def _receive(self) -> None:
        try:
            data = self.sock.recv(65536)
        except OSError as exc:
            raise self._gone() from exc
        if not data:
            raise self._gone()
        self._buffer += data

    def _gone(self) -> PeerGone:
        self.left_at = time.monotonic()
        return PeerGone()


def _closed_within(sock: socket.socket, seconds: float | None) -> bool:
    """Whether the other side closed (or this side was shut down) within ``seconds``; unread bytes do not hide it."""
    if hasattr(select, "POLLRDHUP"):
        poller = select.poll()
        poller.register(sock, select.POLLRDHUP)
        return bool(poller.poll(None if seconds is None else seconds * 1000))
    return _closed_within_by_peeking(sock, seconds)


def _closed_within_by_peeking(sock: socket.socket, seconds: float | None) -> bool:
    # For systems without POLLRDHUP: unread bytes hide the close behind them, so look at the queue again and again.
    end = None if seconds is None else time.monotonic() + seconds
    while end is None or time.monotonic() < end:
        left = 0.05 if end is None else max(0.0, min(0.05, end - time.monotonic()))
        if not select.select([sock], [], [], left)[0]:
            continue
        try:
            if not socket.socket.recv(sock, 1, socket.MSG_PEEK):
                return True
        except OSError:
            return True
        threading.Event().wait(min(left, 0.01))
    return False
