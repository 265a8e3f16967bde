"""What a status that brings no bundle means (reference/service-behaviour.md section 4.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capgo_client.errors import CapgoError, RateLimited, ReplyError, ServiceError
from capgo_client.protocol.retry_after import retry_after

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["refusal"]

_FIRST_ERROR, _TOO_MANY, _UNAVAILABLE = 400, 429, 503
_GONE = frozenset({404, 410})


def refusal(status: int, headers: Mapping[str, str], *, now: float) -> CapgoError:
    """The error for a reply that is neither the file nor a part of it; ``now`` is wall-clock, for Retry-After."""
    message = f"The server does not send the bundle: it answered {status}"
    if status < _FIRST_ERROR:
        return ReplyError(message, code="unexpected_status")
    until = retry_after(headers, now=now)
    if status == _TOO_MANY or (status == _UNAVAILABLE and until is not None):
        return RateLimited(message, retry_at=until, status=status)
    if status in _GONE:
        hint = "was the bundle deleted, or its upload not finished?"
        return ServiceError(message, status=status, code="not_found", retryable=False, hint=hint)
    return ServiceError(message, status=status)
