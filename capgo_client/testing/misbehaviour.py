"""What each fault of the connection and of the status does. ``faults`` lists them; nothing else calls these.

Each takes the exchange (the request, and the reply that the service would give) and its own options, and either ends
the connection or leaves it fit for the next request. All waiting is ``Connection.pause``: it ends at once when the
other side leaves or the service stops.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import datetime
from email.utils import format_datetime
from itertools import count
from typing import TYPE_CHECKING, Any

from .validation import error_reply, unknown_error
from .wire import Reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from .bundles import MadeBundle
    from .wire import Connection, Request

__all__ = ["Exchange", "cut"]


@dataclass(slots=True)
class Exchange:
    """One request, the reply that it would get, and ``whole``: that reply had there been no Range header.

    ``offer`` is the bundle that an update check is about, and ``store`` keeps bytes and returns their address.
    """

    connection: Connection
    request: Request
    reply: Reply
    base_url: str
    whole: Reply
    offer: MadeBundle | None = None
    store: Callable[[str, bytes], str] | None = None

    def send(self, reply: Reply, *, close: bool = False) -> bool:
        """Send a reply; say whether the connection can go on."""
        close = close or self.request.wants_close
        body = b"" if self.request.method == "HEAD" else reply.body
        self.connection.send(reply.head(close=close) + body)
        return not close

    def drip(self, data: bytes, *, interval: float, step: int) -> None:
        """Send ``step`` bytes every ``interval`` seconds."""
        for start in range(0, len(data), step):
            self.connection.send(data[start : start + step])
            self.connection.pause(interval)

    def hang(self) -> None:
        """Say nothing more until the other side leaves or the service stops."""
        self.connection.pause(None)


def cut(data: bytes, at: float) -> bytes:
    """The first part of ``data``: at least one byte and never all of it."""
    return data[: max(1, min(len(data) - 1, int(len(data) * at)))]


# Transport: the connection itself goes wrong.


def silence(exchange: Exchange) -> bool:
    exchange.hang()
    return False


def drip_headers(exchange: Exchange, *, interval: float = 1.0, step: int = 1) -> bool:
    exchange.drip(exchange.reply.head(close=True), interval=interval, step=step)
    exchange.connection.send(exchange.reply.body)
    return False


def drip_body(exchange: Exchange, *, interval: float = 1.0, step: int = 1) -> bool:
    exchange.connection.send(exchange.reply.head(close=True))
    exchange.drip(exchange.reply.body, interval=interval, step=step)
    return False


def endless_headers(exchange: Exchange, *, interval: float = 0.0) -> bool:
    exchange.connection.send(b"HTTP/1.1 200 OK\r\n")
    for number in count():
        exchange.connection.send(b"X-Filler-%d: %s\r\n" % (number, b"a" * 100))
        exchange.connection.pause(interval)
    return False


def endless_body(exchange: Exchange, *, chunk: int = 65536, interval: float = 0.0) -> bool:
    headers = (("Content-Type", "application/json"), ("Transfer-Encoding", "chunked"))
    exchange.connection.send(Reply(200, headers).head(close=True) + b'c\r\n{"version":"\r\n')
    piece = b"%x\r\n%s\r\n" % (chunk, b"a" * chunk)
    while True:
        exchange.connection.send(piece)
        exchange.connection.pause(interval)


def reset_before_headers(exchange: Exchange) -> bool:
    exchange.connection.reset()
    return False


def reset_in_headers(exchange: Exchange, *, at: float = 0.5) -> bool:
    exchange.connection.send(cut(exchange.reply.head(), at))
    exchange.connection.reset()
    return False


def reset_after_headers(exchange: Exchange) -> bool:
    exchange.connection.send(exchange.reply.head())
    exchange.connection.reset()
    return False


def reset_in_body(exchange: Exchange, *, at: float = 0.5) -> bool:
    exchange.connection.send(exchange.reply.head() + cut(exchange.reply.body, at))
    exchange.connection.reset()
    return False


def stall_in_headers(exchange: Exchange, *, at: float = 0.5) -> bool:
    exchange.connection.send(cut(exchange.reply.head(), at))
    exchange.hang()
    return False


def stall_in_body(exchange: Exchange, *, at: float = 0.5) -> bool:
    exchange.connection.send(exchange.reply.head() + cut(exchange.reply.body, at))
    exchange.hang()
    return False


def cut_body(exchange: Exchange, *, at: float = 0.5) -> bool:
    exchange.connection.send(exchange.reply.head(close=True) + cut(exchange.reply.body, at))
    return False


def empty_reply(exchange: Exchange) -> bool:
    del exchange  # closing without a byte is all there is to it
    return False


# Status: a proper HTTP answer that is an error.


def soon(exchange: Exchange, *, code: int = 429, seconds: float = 600.0) -> bool:
    """With a Retry-After that is a date."""
    return status(exchange, code=code, retry_after=datetime.fromtimestamp(time.time() + seconds, tz=_utc()))


def status(
    exchange: Exchange, *, code: int = 503, retry_after: float | str | datetime | None = None, body: Any = None
) -> bool:
    reply = _error_page(code, exchange) if body is None else Reply.of_json(code, body)
    if retry_after is not None:
        reply = replace(reply, headers=(*reply.headers, ("Retry-After", _retry_after(retry_after))))
    return exchange.send(reply)


def _retry_after(value: float | str | datetime) -> str:
    if isinstance(value, datetime):
        return format_datetime(value.astimezone(_utc()), usegmt=True)
    return value if isinstance(value, str) else f"{value:g}"


def _utc() -> Any:
    from datetime import timezone

    return timezone.utc


def _error_page(code: int, exchange: Exchange) -> Reply:
    if code == 429:  # noqa: PLR2004 - section 0.1
        asked = exchange.request.json
        app_id = asked.get("app_id", "") if isinstance(asked, dict) else ""
        return error_reply(429, "too_many_requests", "Too many requests", {"app_id": app_id})
    if code == 404:  # noqa: PLR2004 - section 0
        return error_reply(404, "not_found", "Not found")
    if code == 500:  # noqa: PLR2004 - section 0
        return unknown_error()
    # Every other status comes from something in front of the service, and that speaks HTML.
    return Reply(code, (("Content-Type", "text/html"),), f"<html><h1>{code}</h1></html>".encode())


def redirect_loop(exchange: Exchange, *, code: int = 307) -> bool:
    hop = int(exchange.request.query.get("hop", "0")) + 1
    return exchange.send(Reply(code, (("Location", f"{exchange.base_url}{exchange.request.path}?hop={hop}"),)))


def redirect_to(exchange: Exchange, *, location: str, code: int = 307) -> bool:
    return exchange.send(Reply(code, (("Location", location),)))
