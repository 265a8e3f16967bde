"""How often somebody may ask (reference/service-behaviour.md sections 1.4 and 2.2). Not thread-safe."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from .validation import Refused
from .wire import Reply

if TYPE_CHECKING:
    from collections.abc import Hashable

    from capgo_client.seams import Clock

__all__ = ["ChannelLimits", "UnknownAppGuard"]

_PER_SECOND = 5
_SAME_CHANNEL_SECONDS = 60.0
_PER_ADDRESS, _ADDRESS_SECONDS = 1000, 60.0
_UNKNOWN_APPS, _UNKNOWN_SECONDS = 5, 15 * 60.0


class ChannelLimits:
    """The limits of /channel_self: each device, each device and channel, each address."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._windows: dict[Hashable, tuple[float, int]] = {}

    def count_address(self, address: str, fields: dict[str, Any]) -> None:
        """Count a call of an address.

        Raises:
            Refused: It is one too many.
        """
        left = self._count(("address", fields["app_id"], address), _PER_ADDRESS, _ADDRESS_SECONDS)
        self._refuse(left, fields, reason="ip_rate_limit_exceeded")

    def count_device(self, operation: str, fields: dict[str, Any]) -> None:
        """Count a call of a device; setting one channel again is counted apart.

        Raises:
            Refused: It is one too many.
        """
        if not fields.get("device_id"):
            return  # only a list can be asked for without
        who = (fields["app_id"], fields["device_id"], operation)
        self._refuse(self._count(who, _PER_SECOND, 1.0), fields)
        if operation == "set":
            # Counted even where the channel does not exist.
            self._refuse(self._count((*who, fields["channel"]), 1, _SAME_CHANNEL_SECONDS), fields)

    def _count(self, key: Hashable, most: int, seconds: float) -> float:
        """Count one call; return how long (seconds) the key is refused, 0 for not at all."""
        now = self._clock.monotonic()
        end, count = self._windows.get(key, (0.0, 0))
        if now >= end:
            end, count = now + seconds, 0
        self._windows[key] = (end, count + 1)
        return end - now if count >= most else 0.0

    def _refuse(self, left: float, fields: dict[str, Any], **reason: str) -> None:
        if not left:
            return
        reset, retry = self._clock.wall() + left, math.ceil(left)
        who: dict[str, Any] = {name: fields[name] for name in ("app_id", "device_id") if name in fields}
        more = {**who, "rateLimitResetAt": int(reset * 1000), "retryAfterSeconds": retry, **reason}
        body = {"error": "too_many_requests", "message": "Too many requests", "moreInfo": more}
        headers = (("Retry-After", str(retry)), ("X-RateLimit-Reset", str(math.ceil(reset))))
        raise Refused(Reply.of_json(429, body, headers))


class UnknownAppGuard:
    """Addresses that ask for one unknown app after the other are answered without a message.

    Counted exactly; the real service puts the app ids into 20 slots, so that two of them may count as one.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._asked: dict[str, dict[str, float]] = {}

    def is_tripped(self, address: str) -> bool:
        """Whether the address is refused everything for now."""
        now = self._clock.monotonic()
        asked = {app_id: end for app_id, end in self._asked.get(address, {}).items() if end > now}
        self._asked[address] = asked
        return len(asked) >= _UNKNOWN_APPS

    def count(self, address: str, app_id: str) -> None:
        """Note that the address asked for an app that nobody knows."""
        self._asked.setdefault(address, {})[app_id] = self._clock.monotonic() + _UNKNOWN_SECONDS
