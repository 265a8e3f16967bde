"""Reading what the service sent: JSON from a stranger, bounded, into plain values.

What is not as agreed raises ``ReplyError``, which the callers turn into an outcome. ``null`` means absent everywhere
(reference/plugin-behaviour.md section 1.2 tells what the other reading broke). Tolerated, because harmless: a byte
order mark, duplicate keys (the last wins, as in every JavaScript), unknown keys, and numbers beyond any range (they
become a float, at worst an infinite one, which no field accepts).
"""

from __future__ import annotations

import json

from capgo_client.errors import ReplyError
from capgo_client.protocol.text import clean, is_plain

TYPE_CHECKING = False  # spelled out: importing typing costs the launch path several milliseconds
if TYPE_CHECKING:
    from collections.abc import Mapping

    Reply = Mapping[str, object]

__all__ = [
    "MAX_REPLY_BYTES",
    "MAX_SHORT_REPLY_BYTES",
    "MAX_URL",
    "MAX_VALUES",
    "boolean",
    "decoration",
    "field",
    "items",
    "parse",
    "parse_object",
    "web_url",
]

#: The longest reply to an update check, in bytes. A manifest takes 0.5 KB a file, 2 KB when it is encrypted.
MAX_REPLY_BYTES = 24 * 1024 * 1024
#: The longest of the other replies, in bytes.
MAX_SHORT_REPLY_BYTES = 1024 * 1024
#: The most commas and opening brackets in one reply: what bounds the time and the memory that its values take. A
#: manifest has four for each file.
MAX_VALUES = 500_000
#: The longest address accepted, in characters.
MAX_URL = 8192

_LONG_NUMBER = 18


def parse(body: bytes, *, limit: int = MAX_REPLY_BYTES) -> object:
    """The JSON value in ``body``.

    Raises:
        ReplyError: larger than ``limit`` bytes, more than ``MAX_VALUES`` in it, empty, not UTF-8, not JSON, or nested
            too deep.
    """
    if len(body) > limit:
        raise ReplyError(f"the reply is larger than {limit} bytes")
    if body.count(b",") + body.count(b"[") + body.count(b"{") > MAX_VALUES:
        raise ReplyError(f"the reply has more than {MAX_VALUES} values in it")
    if not body.strip():
        raise ReplyError("the reply is empty")
    try:
        # Decoded here: json.loads would also guess UTF-16 and UTF-32, which the service never sends.
        return json.loads(
            body.decode("utf-8-sig"), object_hook=_without_nulls, parse_int=_number, parse_constant=_refuse
        )
    except RecursionError as exc:
        raise ReplyError("the reply is nested too deep") from exc
    except ValueError as exc:
        raise ReplyError("the reply is not JSON; a captive portal or a proxy may have answered") from exc


def parse_object(body: bytes, *, limit: int = MAX_REPLY_BYTES) -> dict[str, object]:
    """The JSON object in ``body``, its nulls left out at every depth.

    Raises:
        ReplyError: as ``parse``, and when the value is no object.
    """
    value = parse(body, limit=limit)
    if not isinstance(value, dict):
        raise ReplyError("the reply is JSON, but not an object")
    return value


def field(reply: Reply, key: str, *, limit: int) -> str:
    """The text under ``key``, "" when absent.

    Raises:
        ReplyError: another type, longer than ``limit`` characters, or with a control character in it.
    """
    value = reply.get(key, "")
    if not isinstance(value, str):
        raise ReplyError(f'"{key}" in the reply is not text')
    if len(value) > limit:
        raise ReplyError(f'"{key}" in the reply is longer than {limit} characters')
    if not is_plain(value):
        raise ReplyError(f'"{key}" in the reply has control characters in it')
    return value


def web_url(reply: Reply, key: str) -> str:
    """The http or https address under ``key``, "" when absent; whether plain http is allowed is not decided here.

    Raises:
        ReplyError: no such address, or one longer than ``MAX_URL``.
    """
    url = field(reply, key, limit=MAX_URL)
    if url and not _is_web_url(url):
        raise ReplyError(f'"{key}" in the reply is not an http or https address')
    return url


def items(reply: Reply, key: str) -> list[Reply]:
    """The list of objects under ``key``, empty when absent.

    Raises:
        ReplyError: no list, or something else than an object in it.
    """
    value = reply.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ReplyError(f'"{key}" in the reply is not a list of objects')
    return value


def decoration(reply: Reply, key: str, *, limit: int, keep: str = "") -> str:
    """The text under ``key`` for people to read: cut and cleaned, "" when absent or of another type."""
    value = reply.get(key)
    return clean(value, limit, keep=keep) if isinstance(value, str) else ""


def boolean(reply: Reply, key: str) -> bool:
    """Whether ``true`` itself stands under ``key``."""
    return reply.get(key) is True


def _without_nulls(pairs: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in pairs.items() if value is not None}


def _number(digits: str) -> int | float:
    # Python refuses to make an int of more than 4300 digits, and older ones take quadratic time over it.
    return int(digits) if len(digits) <= _LONG_NUMBER else float(digits)


def _refuse(name: str) -> object:
    # NaN and Infinity: Python reads them, JSON has no such thing.
    raise ValueError(name)


def _is_web_url(url: str) -> bool:
    scheme, _, rest = url.partition("://")
    return scheme.lower() in ("http", "https") and rest[:1] not in ("", "/", "?", "#") and " " not in url
