"""What a reply to a batch of stats events means for each of them.

Source: reference/service-behaviour.md sections 0.1, 3.3 and 3.4. Nothing here raises: a reply that cannot be read
says nothing about the events, so all of them stay.
"""

from __future__ import annotations

from dataclasses import dataclass

from capgo_client.errors import ReplyError
from capgo_client.protocol.codes import PARSE_ERROR, RESPONSE_ERROR
from capgo_client.protocol.replies import MAX_SHORT_REPLY_BYTES, decoration, parse_object
from capgo_client.protocol.retry_after import limit_ends, retry_after

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal

    from capgo_client.protocol.replies import Reply

    Fate = Literal["taken", "refused", "later"]
    Verdict = Literal["ok", "drop", "retry", "keep"]

__all__ = ["RATE_LIMITED", "Delivery", "Item", "classify_delivery"]

#: The service's word for a limit that was reached; the first one in a process is an event of its own.
RATE_LIMITED = "too_many_requests"

#: Plan ended and its look-alikes (section 0.1); a blocked network is no sooner unblocked than a plan paid.
_LONG = frozenset({"on_premise_app", "need_plan_upgrade", "provider_infrastructure_request_blocked"})
#: One item is to blame, and the service says so before it has looked at any of them.
_BATCH_REFUSED = frozenset({"invalid_app_id", "mixed_app_ids"})
#: An item that breaks a rule breaks it every time.
_INVALID = frozenset(
    {
        "invalid_app_id",
        "invalid_json_body",
        "invalid_json_parse_body",
        "missing_app_id",
        "missing_device_id",
        "missing_info",
        "semver_error",
    }
)
#: Acknowledged: the version was deleted, or is a builtin that was never uploaded.
_ACKNOWLEDGED = frozenset({"version_not_found"})

_BAD_REQUEST, _TOO_LARGE, _UNPROCESSABLE, _TOO_MANY = 400, 413, 422, 429
_CODE_LENGTH, _MESSAGE_LENGTH = 64, 200


@dataclass(frozen=True, slots=True)
class Item:
    """What became of one event.

    ``ok``: the service has it, or wants it no more. ``drop``: it will never be taken. ``retry``: the service stumbled
    over it, which may be the event's fault. ``keep``: not taken, for a reason that lies not in the event.
    """

    verdict: Verdict
    code: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a batch.

    ``taken``: ``items`` has one entry for each event, in order. ``refused``: because of one of them, none was looked
    at. ``later``: nothing is known of any. ``retry_at`` is a wall-clock time in epoch seconds where the service named
    one; ``plan_ended`` asks for long pauses.
    """

    fate: Fate
    code: str = ""
    message: str = ""
    items: tuple[Item, ...] = ()
    retry_at: float | None = None
    plan_ended: bool = False


def classify_delivery(status: int, headers: Mapping[str, str], body: bytes, *, count: int, now: float) -> Delivery:
    """What the reply to a batch of ``count`` events means; ``now`` is wall-clock time. Never raises.

    Taken only where the service's own words stand in the reply: a captive portal answers 200 to everything.
    """
    if status == _TOO_LARGE:  # said by whatever stands in front of the service, in whatever form
        return Delivery("refused", code=RESPONSE_ERROR, message="the batch is too large")
    try:
        reply = parse_object(body, limit=MAX_SHORT_REPLY_BYTES)
    except ReplyError as exc:
        code = PARSE_ERROR if 200 <= status < 300 else RESPONSE_ERROR  # noqa: PLR2004
        return Delivery(
            "later", code=code, message=f"{status}: {exc.message}", retry_at=_asked(status, headers, {}, now)
        )
    code = decoration(reply, "error", limit=_CODE_LENGTH)
    message = decoration(reply, "message", limit=_MESSAGE_LENGTH)
    if 200 <= status < 300:  # noqa: PLR2004
        return _read(reply, code, message, count=count)
    if status in (_BAD_REQUEST, _UNPROCESSABLE) and code:
        return Delivery("refused", code=code, message=message)
    return Delivery(
        "later",
        code=code or RESPONSE_ERROR,
        message=message or f"the service answered {status}",
        retry_at=_asked(status, headers, reply, now),
        plan_ended=code in _LONG,
    )


def _asked(status: int, headers: Mapping[str, str], reply: Reply, now: float) -> float | None:
    return limit_ends(headers, reply, now=now) if status == _TOO_MANY else retry_after(headers, now=now)


def _read(reply: Reply, code: str, message: str, *, count: int) -> Delivery:
    """A reply with a good status: results, or a refusal of the whole batch."""
    if code in _BATCH_REFUSED:
        return Delivery("refused", code=code, message=message)
    if "error" in reply:
        return Delivery("later", code=code or PARSE_ERROR, message=message, plan_ended=code in _LONG)
    items = _items(reply, count)
    if items is None:
        return Delivery("later", code=PARSE_ERROR, message="the results do not match what was sent")
    return Delivery("taken", items=items, plan_ended=any(item.code in _LONG for item in items))


def _items(reply: Reply, count: int) -> tuple[Item, ...] | None:
    """One item for each event, or None where the reply is not the service's.

    A self-hosted server may acknowledge a batch as the service does a single event, without results.
    """
    if reply.get("status") != "ok":
        return None
    if "results" not in reply:
        return (Item("ok"),) * count
    results = reply["results"]
    if not isinstance(results, list) or len(results) != count:
        return None
    items = tuple(item for index, result in enumerate(results) if (item := _item(result, index)) is not None)
    return items if len(items) == count else None


def _item(result: object, index: int) -> Item | None:
    if not isinstance(result, dict) or result.get("index") != index or isinstance(result.get("index"), bool):
        return None
    code = decoration(result, "error", limit=_CODE_LENGTH)
    if result.get("status") == "ok" and "error" not in result:
        return Item("ok")
    if result.get("status") != "error" or not code:
        return None
    if code in _ACKNOWLEDGED:
        return Item("ok", code)
    if code in _LONG or code == RATE_LIMITED:
        return Item("keep", code)
    return Item("drop" if code in _INVALID else "retry", code)
