"""Channels: what a device asks ``/channel_self``, and what the answers mean. Nothing here keeps a channel.

Requests: reference/plugin-behaviour.md section 1.4; answers: reference/service-behaviour.md section 2. The service of
today only says whether a device may choose a channel; the device keeps the choice and names it in every check.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit, urlunsplit

from capgo_client.errors import ChannelRefused, RateLimited, ReplyError, ServiceError
from capgo_client.protocol.codes import RESPONSE_ERROR, meaning_of
from capgo_client.protocol.outcomes import Blocked, Limited, PlanEnded
from capgo_client.protocol.replies import MAX_SHORT_REPLY_BYTES, boolean, decoration, field, parse, parse_object
from capgo_client.protocol.requests import info, json_body
from capgo_client.protocol.retry_after import limit_ends

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from capgo_client.protocol.replies import Reply
    from capgo_client.protocol.requests import Identity

__all__ = [
    "MAX_CHANNELS",
    "MAX_NAME",
    "Channel",
    "ChannelStatus",
    "channel_body",
    "channel_query",
    "list_url",
    "read_get",
    "read_list",
    "read_set",
]

#: The most channels that a list may have.
MAX_CHANNELS = 1000
#: The longest name of a channel, in characters.
MAX_NAME = 256

_MAX_CODE = 64
_MAX_MESSAGE = 300
_NOT_FOUND = "channel_not_found"
_UNASSIGNABLE = ("cannot_update_via_private_channel", "channel_self_set_not_allowed")
_PASSING = ("override_not_allowed",)  # the service could not write it down
_GOOD = range(200, 300)
_BAD_REQUEST = 400
_TOO_MANY = 429

_HINTS = {
    _NOT_FOUND: "list_channels(), or `capgo-client channel list`, names those that this device may choose",
    "channel_self_set_not_allowed": "allow devices to associate themselves in the channel's settings",
    "public_channel_self_set_not_allowed": "call unset_channel(): every device takes the public channel by itself",
}


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel that this device may choose (``allow_self_set``) or gets by itself (``public``)."""

    id: int
    name: str
    public: bool = False
    allow_self_set: bool = False


@dataclass(frozen=True, slots=True)
class ChannelStatus:
    """What the service says about this device's channel.

    ``status`` is its word: ``ok`` after a set, ``override`` or ``default`` after a get. ``unset`` asks to forget the
    channel that was chosen. The name in the answer to a get is not checked by the service: it may not exist.
    """

    channel: str
    status: str
    allow_set: bool = True
    message: str = ""
    unset: bool = False


def channel_body(identity: Identity, *, version_name: str, channel: str = "") -> bytes:
    """The body of ``POST`` (set, with the channel wanted) and ``PUT`` (get, without)."""
    fields = info(identity, version_name=version_name)
    return json_body({**fields, "channel": channel} if channel else fields)


def channel_query(identity: Identity, *, version_name: str) -> str:
    """The query of ``GET`` (list): the info object, its booleans as ``true`` and ``false``."""
    fields = info(identity, version_name=version_name)
    texts = {key: str(value).lower() if isinstance(value, bool) else value for key, value in fields.items()}
    return urlencode(texts, errors="replace")


def list_url(channel_url: str, identity: Identity, *, version_name: str) -> str:
    """The address of ``GET`` (list); a query that ``channel_url`` has is kept and comes first."""
    parts = urlsplit(channel_url)
    queries = (parts.query, channel_query(identity, version_name=version_name))
    return urlunsplit((*parts[:3], "&".join(query for query in queries if query), ""))


def read_set(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: float,
    channel: str,
) -> ChannelStatus:
    """The answer to a set of ``channel``; ``now`` is the wall clock in epoch seconds.

    Raises:
        ChannelRefused: devices may not choose this channel.
        RateLimited: too many requests, ``retry_at`` where the service says when (the same channel: once a minute).
        ServiceError: any other no, by the service's code.
        ReplyError: not what the protocol allows.
    """
    reply = _answer(status, headers, body, now=now, channel=channel)
    unset = boolean(reply, "unset")
    said = field(reply, "status", limit=_MAX_CODE)
    if not (said or unset):
        raise ReplyError("the reply has no status and no error; this may not be the address for channels")
    return ChannelStatus(channel, said, _flag(reply, "allowSet", absent=True), _message(reply), unset)


def read_get(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: float,
    default_channel: str = "",
) -> ChannelStatus:
    """The answer to a get. ``default_channel`` is what the request named, "" for none.

    A 400 that knows no channel stands for ``default_channel`` where there is one. Raises as ``read_set``.
    """
    try:
        reply = _answer(status, headers, body, now=now, channel=default_channel)
    except ServiceError as exc:
        if status == _BAD_REQUEST and default_channel and (_NOT_FOUND in exc.code or _NOT_FOUND in exc.message):
            return ChannelStatus(default_channel, "default")
        raise
    channel = field(reply, "channel", limit=MAX_NAME)
    said = field(reply, "status", limit=_MAX_CODE)
    if not (channel or said):
        raise ReplyError("the reply names no channel and no error; this may not be the address for channels")
    allow_set = _flag(reply, "allowSet", absent=True)
    return ChannelStatus(channel, said, allow_set, _message(reply), boolean(reply, "unset"))


def read_list(status: int, headers: Mapping[str, str], body: bytes, *, now: float) -> tuple[Channel, ...]:
    """The channels in the answer to a list, in its order. Raises as ``read_set``."""
    value = parse(body, limit=MAX_SHORT_REPLY_BYTES) if status in _GOOD else None
    if not isinstance(value, list):
        _answer(status, headers, body, now=now, channel="")
        raise ReplyError("the reply is not a list of channels")
    if len(value) > MAX_CHANNELS:
        raise ReplyError(f"the reply lists more than {MAX_CHANNELS} channels")
    return tuple(map(_channel, value))


def _channel(item: object) -> Channel:
    if not isinstance(item, dict):
        raise ReplyError("a channel in the reply is not an object")
    number = item.get("id")
    if isinstance(number, bool) or not isinstance(number, int):
        raise ReplyError('the "id" of a channel in the reply is not a whole number')
    return Channel(
        id=number,
        name=field(item, "name", limit=MAX_NAME),
        public=_flag(item, "public", absent=False),
        allow_self_set=_flag(item, "allow_self_set", absent=False),
    )


def _answer(status: int, headers: Mapping[str, str], body: bytes, *, now: float, channel: str) -> dict[str, object]:
    """The object in a reply that is no refusal."""
    try:
        reply = parse_object(body, limit=MAX_SHORT_REPLY_BYTES)
    except ReplyError:
        if status in _GOOD:
            raise
        reply = {}
    error = reply.get("error", "")
    if status in _GOOD and not isinstance(error, str):
        raise ReplyError('"error" in the reply is not text')
    if status not in _GOOD or error:
        raise _refusal(status, headers, reply, now=now, channel=channel)
    return reply


def _refusal(status: int, headers: Mapping[str, str], reply: Reply, *, now: float, channel: str) -> ServiceError:
    code = decoration(reply, "error", limit=_MAX_CODE)
    meaning = meaning_of(code)
    message = _message(reply) or _wording(status, code)
    code = code or ("too_many_requests" if status == _TOO_MANY else RESPONSE_ERROR)
    hint = _HINTS.get(code, "")
    if any(word in code for word in _UNASSIGNABLE):
        return ChannelRefused(message, channel=channel, status=status, code=code, hint=hint)
    if meaning is PlanEnded:
        return ServiceError(message, status=status, code=code, retryable=True)
    if meaning is Limited or (status == _TOO_MANY and meaning is not Blocked):
        return RateLimited(message, retry_at=limit_ends(headers, reply, now=now), status=status, code=code)
    retryable = status >= 500 or status in (408, 425) or code in _PASSING  # noqa: PLR2004
    return ServiceError(message, status=status, code=code, retryable=retryable, hint=hint)


def _wording(status: int, code: str) -> str:
    return f"the service refuses: {code}" if code else f"the service answered with HTTP status {status}"


def _flag(reply: Reply, key: str, *, absent: bool) -> bool:
    value = reply.get(key, absent)
    if not isinstance(value, bool):
        raise ReplyError(f'"{key}" in the reply is neither true nor false')
    return value


def _message(reply: Reply) -> str:
    return decoration(reply, "message", limit=_MAX_MESSAGE)
