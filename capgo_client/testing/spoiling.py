"""What each fault of the content does: a proper answer with status 200 or 206 that is not what it should be.

As in ``misbehaviour``: each takes the exchange and its own options, and says whether the connection can go on.
"""

from __future__ import annotations

import contextlib
import json
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .misbehaviour import cut
from .wire import Reply

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .misbehaviour import Exchange

__all__: list[str] = []

_MEBIBYTE = 1 << 20
_PORTAL = (
    b"<!DOCTYPE html><html><head><title>Welcome</title></head><body>Please sign in to use this network.</body></html>"
)


# Answer: status 200, but the body is not what it should be.


def _body(exchange: Exchange, body: bytes, content_type: str = "application/json") -> bool:
    return exchange.send(Reply(200, (("Content-Type", content_type),), body))


def html_200(exchange: Exchange) -> bool:
    return _body(exchange, _PORTAL, "text/html; charset=utf-8")


def not_json(exchange: Exchange) -> bool:
    return _body(exchange, b"upstream connect error")


def truncated_json(exchange: Exchange, *, at: float = 0.5) -> bool:
    return _body(exchange, cut(exchange.reply.body, at))


def empty_body(exchange: Exchange) -> bool:
    return _body(exchange, b"")


def deep_json(exchange: Exchange, *, depth: int = 100_000) -> bool:
    return _body(exchange, b'{"version":' + b"[" * depth + b"]" * depth + b"}")


def raw_json(exchange: Exchange, *, value: str, key: str = "version") -> bool:
    """The regular answer with ``key`` set to ``value``, which stands in the text as it is."""
    fields = fields_of(exchange)
    fields[key] = "\0here\0"
    return _body(exchange, json.dumps(fields).replace(json.dumps("\0here\0"), value).encode())


def wrong_types(exchange: Exchange, *, key: str | None = None, value: Any = None) -> bool:
    fields = fields_of(exchange)
    for name in fields if key is None else (key,):
        fields[name] = _other_type(fields.get(name, "")) if value is None else value
    return exchange.send(Reply.of_json(200, fields))


def _other_type(value: Any) -> Any:
    return 7 if isinstance(value, str) else "seven"


def fields_of(exchange: Exchange) -> dict[str, Any]:
    """The regular answer; empty where it is no JSON object."""
    with contextlib.suppress(ValueError):
        if isinstance(fields := json.loads(exchange.reply.body), dict):
            return fields
    return {}


def _padded(exchange: Exchange) -> tuple[bytes, bytes]:
    """The regular answer, opened in a text that can be made as long as one likes, and its end."""
    fields = {name: value for name, value in fields_of(exchange).items() if name != "comment"}
    text = json.dumps({**fields, "comment": ""}).encode()
    return text[:-2], text[-2:]


def huge_json(exchange: Exchange, *, size: int = 1 << 30, announced: bool = True) -> bool:
    start, end = _padded(exchange)
    length = (("Content-Length", str(len(start) + size + len(end))),) if announced else ()
    reply = Reply(200, (("Content-Type", "application/json"), *length))
    head = reply.head(close=True)
    if not announced:
        head = head.replace(b"Content-Length: 0\r\n", b"")
    exchange.connection.send(head + start)
    for left in range(size, 0, -_MEBIBYTE):
        exchange.connection.send(b" " * min(left, _MEBIBYTE))
    exchange.connection.send(end)
    return False


def gzip_bomb(exchange: Exchange, *, size: int = 1 << 30) -> bool:
    headers = (("Content-Type", "application/json"), ("Content-Encoding", "gzip"), ("Transfer-Encoding", "chunked"))
    exchange.connection.send(Reply(200, headers).head(close=True))
    for piece in _bomb(*_padded(exchange), blocks=max(1, size // _MEBIBYTE)):
        exchange.connection.send(b"%x\r\n%s\r\n" % (len(piece), piece))
    exchange.connection.send(b"0\r\n\r\n")
    return False


def _bomb(start: bytes, end: bytes, *, blocks: int) -> Iterable[bytes]:
    """A valid gzip stream: ``start``, ``blocks`` mebibytes of spaces, ``end``; about a thousandth of that in size."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    spaces = b" " * _MEBIBYTE
    yield b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + compressor.compress(start) + compressor.flush(zlib.Z_FULL_FLUSH)
    # After a full flush a block needs nothing of what came before, so one can be sent again and again.
    block = compressor.compress(spaces) + compressor.flush(zlib.Z_FULL_FLUSH)
    checksum = zlib.crc32(start)
    for _ in range(blocks):
        checksum = zlib.crc32(spaces, checksum)
        yield block
    checksum = zlib.crc32(end, checksum)
    length = (len(start) + blocks * _MEBIBYTE + len(end)) & 0xFFFFFFFF
    yield compressor.compress(end) + compressor.flush() + checksum.to_bytes(4, "little") + length.to_bytes(4, "little")


def wrong_checksum(exchange: Exchange) -> bool:
    fields = fields_of(exchange)
    checksum = fields.get("checksum") or "0" * 64
    fields["checksum"] = checksum[:-1] + ("0" if checksum[-1] != "0" else "1")
    return exchange.send(Reply.of_json(200, fields))


# Bytes: a download that is not the file.


def ignore_range(exchange: Exchange) -> bool:
    return exchange.send(exchange.whole)


def lying_range(exchange: Exchange, *, how: str = "start", by: int = 1) -> bool:
    """``start``, ``total``: Content-Range is wrong there; ``bytes``: it is right, and the bytes are not."""
    said = (
        exchange.reply.header("Content-Range") or f"bytes 0-{len(exchange.whole.body) - 1}/{len(exchange.whole.body)}"
    )
    span, _, total = said.removeprefix("bytes ").partition("/")
    first, _, last = span.partition("-")
    body = exchange.reply.body
    if how == "bytes":
        body = exchange.whole.body[: len(body)]
    elif how == "start":
        first, last = str(int(first or 0) + by), str(int(last or 0) + by)
    else:
        total = str(int(total) + by)
    headers = (*exchange.reply.without("Content-Range"), ("Content-Range", f"bytes {first}-{last}/{total}"))
    return exchange.send(Reply(206, headers, body))


def flip_bit(exchange: Exchange, *, offset: int | None = None, bit: int = 0) -> bool:
    body = bytearray(exchange.reply.body)
    if body:
        body[len(body) // 2 if offset is None else offset] ^= 1 << bit
    return exchange.send(replace(exchange.reply, body=bytes(body)))


def short_body(exchange: Exchange, *, by: int = 1) -> bool:
    return exchange.send(replace(exchange.reply, body=exchange.reply.body[:-by]))


def long_body(exchange: Exchange, *, by: int = 1) -> bool:
    return exchange.send(replace(exchange.reply, body=exchange.reply.body + b"\0" * by))


def slow(exchange: Exchange, *, bytes_per_second: float = 1000.0) -> bool:
    exchange.connection.send(exchange.reply.head(close=True))
    step = max(1, int(bytes_per_second / 10))
    exchange.drip(exchange.reply.body, interval=step / bytes_per_second, step=step)
    return False
