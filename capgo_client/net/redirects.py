"""Where a reply sends us on to, and whether we go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capgo_client.errors import NetworkError, ReplyError
from capgo_client.net.urls import join, redact, require_allowed

if TYPE_CHECKING:
    from capgo_client.net.urls import Url

__all__ = ["MAX_REDIRECTS", "next_hop"]

MAX_REDIRECTS = 5

#: Statuses that a client answers by asking elsewhere (RFC 9110 section 15.4).
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
#: Those that keep method and body.
_SAME_METHOD = frozenset({307, 308})


def next_hop(*, method: str, url: Url, status: int, location: str | None, hops: int, allow_http: bool) -> Url | None:
    """Return the URL to ask next with the same method and body, None when the reply is no redirect.

    Args:
        method: of the request that was answered.
        url: of the request that was answered.
        status: of the reply.
        location: the reply's header of that name.
        hops: how many redirects were followed before.
        allow_http: whether plain http may leave this device.

    Raises:
        ReplyError: with code ``redirect_refused``.
        NetworkError: the target is plain http on another device.
    """
    if status not in _REDIRECTS:
        return None
    if location is None:
        raise _refused(url, "without saying where to")
    if hops >= MAX_REDIRECTS:
        raise _refused(url, f"after {MAX_REDIRECTS} other redirects")
    if method not in {"GET", "HEAD"} and status not in _SAME_METHOD:
        raise _refused(url, f"with status {status}, which would turn the {method} into a GET")
    target = _join(url, location)
    if target.scheme not in {"http", "https"} or (url.scheme == "https" and target.scheme == "http"):
        raise _refused(url, f"from {url.scheme} to {target.scheme}")
    require_allowed(target, allow_http=allow_http)
    return target


def _join(url: Url, location: str) -> Url:
    try:
        return join(url, location)
    except NetworkError as exc:
        raise _refused(url, "to something that cannot be used as a URL") from exc


def _refused(url: Url, how: str) -> ReplyError:
    hint = "a captive portal or a proxy may be answering in the server's place"
    return ReplyError(f"{redact(url.text)} redirects {how}", code="redirect_refused", hint=hint)
