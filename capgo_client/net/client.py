"""The HTTP client: one exchange or one download at a time, inside one deadline, with nothing decoded.

httpx's ``Client`` is left out on purpose: it logs every URL with its query at INFO, follows redirects that we refuse,
keeps cookies and undoes ``Content-Encoding``. Any transport written for httpx fits (``foreign``).
"""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from capgo_client.errors import CapgoError, ClosedError, NetworkError, ReplyError
from capgo_client.net.redirects import next_hop
from capgo_client.net.transport import DeadlineTransport
from capgo_client.net.urls import parse, redact, require_allowed

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping

    import httpx
    from typing_extensions import Self

    from capgo_client.net.backend import Pins
    from capgo_client.net.deadline import Scope
    from capgo_client.net.transport import Answer
    from capgo_client.net.urls import Url

__all__ = ["HttpClient", "Reply", "StreamReply", "redact"]

#: Not sent on to another origin.
_PRIVATE_HEADERS = ("authorization", "cookie", "proxy-authorization")


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole reply; header names are in lower case, ``body`` is what came over the wire."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class StreamReply:
    """A reply whose body is still to be read; header names are in lower case."""

    def __init__(self, answer: Answer, scope: Scope) -> None:
        self.status = answer.status
        self.headers = answer.headers
        self._body = answer.body
        self._scope = scope

    def chunks(self) -> Iterator[bytes]:
        """The body, as it comes, once.

        Raises:
            NetworkError: it broke off.
            DeadlineExceeded, Cancelled: the scope ended first.
        """
        parts: Iterator[bytes] | None = None
        while True:
            try:
                # Entered for each part: the code that takes the parts has scopes of its own.
                with self._scope:
                    parts = iter(self._body) if parts is None else parts
                    part = next(parts, None)
            except CapgoError:
                raise
            except Exception as exc:
                raise _failed(exc) from exc
            self._scope.check()
            if part is None:
                return
            if part:
                yield part


class _Sender(Protocol):
    def send(
        self, method: str, url: Url, *, headers: Mapping[str, str], body: bytes | None, scope: Scope
    ) -> Answer: ...

    def close(self) -> None: ...


class HttpClient:
    """Sends requests. Everything that goes wrong is a ``CapgoError``. Thread-safe.

    Args:
        user_agent: sent with every request.
        transport: an httpx transport to use instead of ours; then a deadline bounds only the gaps between its calls,
            and proxy, environment and certificates are its own business. Closed by ``close()``.
        proxy: URL of an HTTP proxy for everything.
        trust_env: whether the environment's proxies and certificate paths count.
        ssl_context: whom to trust, instead of the system's and certifi's authorities.
        pins: digests of public keys, by the host that has to show one of them.
        allow_http: whether plain http may leave this device.
        vet: called with the origin of each URL before it is asked, those of redirects too; what it raises is raised.

    Raises:
        ConfigError: ``proxy`` is no usable URL.
    """

    def __init__(
        self,
        *,
        user_agent: str,
        transport: httpx.BaseTransport | DeadlineTransport | None = None,
        proxy: str | None = None,
        trust_env: bool = True,
        ssl_context: ssl.SSLContext | None = None,
        pins: Pins | None = None,
        allow_http: bool = False,
        vet: Callable[[str], None] | None = None,
    ) -> None:
        self._user_agent = user_agent
        self._vet = vet
        self._allow_http = allow_http
        self._transport: _Sender
        if transport is None:
            self._transport = DeadlineTransport(proxy=proxy, trust_env=trust_env, ssl_context=ssl_context, pins=pins)
        elif isinstance(transport, DeadlineTransport):
            self._transport = transport
        else:
            from capgo_client.net.foreign import ForeignTransport

            self._transport = ForeignTransport(transport)
        self._lock = threading.Lock()
        self._running: list[Scope] = []
        self._closed = False

    def exchange(
        self,
        method: str,
        url: str,
        *,
        scope: Scope,
        max_bytes: int,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send a request and return the whole reply, whatever its status.

        Args:
            method: ``GET``, ``POST``, …
            url: absolute; redirects are followed at most five times (see ``redirects``).
            scope: the time for everything together.
            max_bytes: longest body that is accepted.
            body: sent as it is.
            headers: sent beside our own.

        Raises:
            NetworkError: also ``insecure_url``, ``tls_error``, ``proxy_error``, ``invalid_url`` by code.
            ReplyError: ``reply_too_large``, ``unsupported_encoding``, ``redirect_refused`` by code.
            DeadlineExceeded, Cancelled: the scope ended first.
            ClosedError: the client was closed.
        """
        with self._request(method, url, body=body, headers=headers or {}, scope=scope) as reply:
            return Reply(reply.status, reply.headers, _read_all(reply, max_bytes))

    @contextlib.contextmanager
    def stream(self, url: str, *, scope: Scope, headers: Mapping[str, str] | None = None) -> Iterator[StreamReply]:
        """GET ``url`` and give the reply with its body still unread; raises as ``exchange`` does."""
        with self._request("GET", url, body=None, headers=headers or {}, scope=scope) as reply:
            yield reply

    def close(self) -> None:
        """Cancel what runs and close every connection; the last thread still inside does it when it leaves."""
        with self._lock:
            first, self._closed = not self._closed, True
            running = list(self._running)
        for scope in running:
            scope.cancel()
        if first and not running:
            self._close_transport()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def _request(
        self, method: str, url: str, *, body: bytes | None, headers: Mapping[str, str], scope: Scope
    ) -> Iterator[StreamReply]:
        with self._registered(scope):
            answer = self._follow(method, parse(url), body=body, headers=headers, scope=scope)
            try:
                _require_identity(answer)
                yield StreamReply(answer, scope)
            finally:
                _discard(answer)

    def _follow(self, method: str, url: Url, *, body: bytes | None, headers: Mapping[str, str], scope: Scope) -> Answer:
        require_allowed(url, allow_http=self._allow_http)
        hops = 0
        while True:
            answer = self._send(method, url, body=body, headers=headers, scope=scope)
            try:
                target = next_hop(
                    method=method,
                    url=url,
                    status=answer.status,
                    location=answer.headers.get("location"),
                    hops=hops,
                    allow_http=self._allow_http,
                )
            except BaseException:
                _discard(answer)
                raise
            if target is None:
                return answer
            _discard(answer)
            if not _same_origin(url, target):
                headers = {name: value for name, value in headers.items() if name.lower() not in _PRIVATE_HEADERS}
            url, hops = target, hops + 1

    def _send(self, method: str, url: Url, *, body: bytes | None, headers: Mapping[str, str], scope: Scope) -> Answer:
        own = {"User-Agent": self._user_agent, "Accept": "*/*", "Accept-Encoding": "identity"}
        scope.check()
        if self._vet is not None:
            self._vet(f"{url.scheme}://{url.raw_host.decode('ascii')}/")
        try:
            return self._transport.send(method, url, headers=own | dict(headers), body=body, scope=scope)
        except CapgoError:
            raise
        except Exception as exc:
            raise _failed(exc) from exc

    @contextlib.contextmanager
    def _registered(self, scope: Scope) -> Iterator[None]:
        with self._lock:
            if self._closed:
                raise ClosedError("The HTTP client is closed")
            self._running.append(scope)
        try:
            yield
        finally:
            self._leave(scope)

    def _leave(self, scope: Scope) -> None:
        with self._lock:
            self._running.remove(scope)
            last = self._closed and not self._running
        if last:
            self._close_transport()

    def _close_transport(self) -> None:
        with contextlib.suppress(Exception):  # a foreign transport may raise anything
            self._transport.close()


def _read_all(reply: StreamReply, max_bytes: int) -> bytes:
    announced = reply.headers.get("content-length", "")
    if announced.isdecimal() and len(announced) < 20 and int(announced) > max_bytes:  # noqa: PLR2004
        raise _too_large(max_bytes)
    parts: list[bytes] = []
    size = 0
    for part in reply.chunks():
        size += len(part)
        if size > max_bytes:
            raise _too_large(max_bytes)
        parts.append(part)
    return b"".join(parts)


def _too_large(max_bytes: int) -> ReplyError:
    return ReplyError(f"The reply is longer than the {max_bytes} bytes allowed", code="reply_too_large")


def _require_identity(reply: Answer) -> None:
    encoding = reply.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        message = f"The reply is encoded as {encoding[:40]!r} although only plain bytes were asked for"
        raise ReplyError(message, code="unsupported_encoding", hint="a proxy may be changing the replies")


def _same_origin(one: Url, other: Url) -> bool:
    return (one.scheme, one.host, one.port) == (other.scheme, other.host, other.port)


def _discard(answer: Answer) -> None:
    with contextlib.suppress(Exception):  # a foreign transport may raise anything
        answer.close()


def _failed(exc: Exception) -> NetworkError:
    # A header that is not ASCII, or something of a foreign transport's own.
    return NetworkError(f"The exchange failed: {type(exc).__name__}")
