"""Our own transport: httpcore's pools, with our network backend below and our errors above.

It speaks httpcore's requests and replies, not httpx's: those cost more than half as much again, for each of the files
of a delta, and nothing of what they do is wanted here.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from typing import TYPE_CHECKING, Protocol, cast

import httpcore

from capgo_client.errors import NetworkError
from capgo_client.net.backend import DeadlineBackend, StaleConnection
from capgo_client.net.deadline import in_scope
from capgo_client.net.pins import require_tls
from capgo_client.net.proxies import ProxyRules
from capgo_client.net.resolver import SHARED_LOOKUPS, Lookups, Resolver
from capgo_client.net.tls import default_context

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from capgo_client.net.backend import Pins
    from capgo_client.net.deadline import Scope
    from capgo_client.net.proxies import Proxy
    from capgo_client.net.resolver import GetAddrInfo
    from capgo_client.net.urls import Url

__all__ = ["Answer", "DeadlineTransport"]

#: Idle connections are kept for the next request of the same cycle, not for the next cycle.
_KEEPALIVE_SECONDS = 5.0
_MAX_IDLE = 8
#: Methods whose request tells the length of its body even where there is none (RFC 9110 section 8.6).
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


def _is_not_ours(record: logging.LogRecord) -> bool:
    """Keep httpcore from logging, at DEBUG, what servers answer us: a redirect may lead to a signed address."""
    del record
    return not in_scope()


logging.getLogger("httpcore.http11").addFilter(_is_not_ours)
logging.getLogger("httpcore.proxy").addFilter(_is_not_ours)


class _Closable(Protocol):
    def __iter__(self) -> Iterator[bytes]: ...

    def close(self) -> None: ...


class Answer:
    """A reply whose body is still to be read; header names are in lower case."""

    __slots__ = ("_close", "body", "headers", "status")

    def __init__(
        self, status: int, headers: Mapping[str, str], body: Iterable[bytes], close: Callable[[], object]
    ) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self._close = close

    def close(self) -> None:
        """Give the connection back; closed if the body was not read to its end. May raise anything."""
        self._close()


class DeadlineTransport:
    """Sends requests within the current scope of the calling thread. HTTP/1.1 only.

    Args:
        proxy: URL of an HTTP proxy for every host, or None.
        trust_env: whether proxy settings and certificate paths of the environment count.
        ssl_context: whom to trust; default: ``tls.default_context``.
        pins: digests of public keys, by the host that has to show one of them.
        getaddrinfo: the name lookup; default: the system's.
    """

    def __init__(
        self,
        *,
        proxy: str | None = None,
        trust_env: bool = True,
        ssl_context: ssl.SSLContext | None = None,
        pins: Pins | None = None,
        getaddrinfo: GetAddrInfo | None = None,
    ) -> None:
        lookups = SHARED_LOOKUPS if getaddrinfo is None else Lookups()
        self._pins = pins or {}
        self._backend = DeadlineBackend(Resolver(lookups=lookups, getaddrinfo=getaddrinfo), pins=pins)
        self._rules = ProxyRules(explicit=proxy, trust_env=trust_env, lookups=lookups)
        self._trust_env = trust_env
        self._ssl_context = ssl_context
        self._lock = threading.Lock()
        self._pools: dict[tuple[str, Proxy | None], httpcore.ConnectionPool] = {}

    def send(self, method: str, url: Url, *, headers: Mapping[str, str], body: bytes | None, scope: Scope) -> Answer:
        """Send a request within ``scope`` and return when the reply's headers are here.

        Raises:
            NetworkError: no connection, it broke, what came is not HTTP, or a pinned host is asked without TLS.
            DeadlineExceeded, Cancelled: the scope ended first.
        """
        scope.stage = "start"
        require_tls(url.scheme, url.host, self._pins)
        port = url.port or (443 if url.scheme == "https" else 80)
        proxy = self._rules.choose(scheme=url.scheme, host=url.host, port=port, scope=scope)
        request = httpcore.Request(
            method,
            httpcore.URL(scheme=url.scheme, host=url.raw_host, port=url.port, target=url.target),
            headers=_request_headers(method, url, headers, body),
            content=body,
        )
        with scope, _translated():
            response = _send(self._pool(url.scheme, proxy), request)
        scope.stage = "body"
        stream = cast("_Closable", response.stream)  # a synchronous pool gives nothing else
        return Answer(response.status, _reply_headers(response.headers), _body(stream), stream.close)

    def close(self) -> None:
        """Close every connection, idle or not. The transport may be used again."""
        with self._lock:
            pools = list(self._pools.values())
            self._pools.clear()
        for pool in pools:
            pool.close()

    def _pool(self, scheme: str, proxy: Proxy | None) -> httpcore.ConnectionPool:
        # Schemes apart, so that the certificates are read only when something needs them.
        with self._lock:
            pool = self._pools.get((scheme, proxy))
            if pool is None:
                pool = self._pools[scheme, proxy] = self._new_pool(scheme, proxy)
            return pool

    def _new_pool(self, scheme: str, proxy: Proxy | None) -> httpcore.ConnectionPool:
        if scheme == "https" and self._ssl_context is None:
            self._ssl_context = default_context(trust_env=self._trust_env)
        if proxy is None:
            return httpcore.ConnectionPool(
                ssl_context=self._ssl_context,
                # Unlimited: a full pool waits for a free connection, and that wait knows no deadline.
                max_connections=None,
                max_keepalive_connections=_MAX_IDLE,
                keepalive_expiry=_KEEPALIVE_SECONDS,
                network_backend=self._backend,
            )
        return _ProxyPool(
            proxy_url=httpcore.URL(scheme="http", host=proxy.host, port=proxy.port, target="/"),
            proxy_auth=proxy.auth,
            ssl_context=self._ssl_context,
            max_connections=None,
            max_keepalive_connections=_MAX_IDLE,
            keepalive_expiry=_KEEPALIVE_SECONDS,
            network_backend=self._backend,
        )


class _ProxyPool(httpcore.HTTPProxy):
    def create_connection(self, origin: httpcore.Origin) -> httpcore.ConnectionInterface:
        return _ClosedOnError(super().create_connection(origin))


class _ClosedOnError(httpcore.ConnectionInterface):
    """A connection that is closed when a request on it fails.

    httpcore 1.0 forgets to: a tunnel whose TLS handshake fails stays in the pool as active, for ever.
    """

    def __init__(self, inner: httpcore.ConnectionInterface) -> None:
        self._inner = inner

    def handle_request(self, request: httpcore.Request) -> httpcore.Response:
        try:
            return self._inner.handle_request(request)
        except httpcore.ConnectionNotAvailable:
            raise
        except BaseException:
            self._inner.close()
            raise

    def close(self) -> None:
        self._inner.close()

    def info(self) -> str:
        return self._inner.info()

    def can_handle_request(self, origin: httpcore.Origin) -> bool:
        return self._inner.can_handle_request(origin)

    def is_available(self) -> bool:
        return self._inner.is_available()

    def has_expired(self) -> bool:
        return self._inner.has_expired()

    def is_idle(self) -> bool:
        return self._inner.is_idle()

    def is_closed(self) -> bool:
        return self._inner.is_closed()


def _body(stream: Iterable[bytes]) -> Iterator[bytes]:
    with _translated():
        yield from stream


def _send(pool: httpcore.ConnectionPool, request: httpcore.Request) -> httpcore.Response:
    # The server may close a kept connection at the very moment we use it. Ends, because a new one is never stale.
    while True:
        try:
            return pool.handle_request(request)
        except StaleConnection:
            continue


def _request_headers(
    method: str, url: Url, headers: Mapping[str, str], body: bytes | None
) -> list[tuple[bytes, bytes]]:
    """Those given, after the two that HTTP itself demands (RFC 9112 sections 3.2 and 6.2)."""
    raw = [(b"Host", url.netloc)]
    if body is not None or method in _WITH_BODY:
        raw.append((b"Content-Length", b"%d" % len(body or b"")))
    raw += [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]
    return raw


def _reply_headers(raw: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """By their names in lower case; what comes several times is one list (RFC 9110 section 5.3)."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in raw:
        name, value = raw_name.decode("latin-1").lower(), _text(raw_value)
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except httpcore.ProxyError as exc:
        hint = "check the proxy's address and its user and password"
        raise NetworkError(f"The proxy refused: {exc}", code="proxy_error", hint=hint) from exc
    except httpcore.LocalProtocolError as exc:
        raise NetworkError("The request cannot be sent as HTTP", code="invalid_request", retryable=False) from exc
    except httpcore.RemoteProtocolError as exc:
        raise NetworkError(f"The server hung up or does not speak HTTP: {exc}") from exc
    except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.UnsupportedProtocol) as exc:
        raise NetworkError(f"The connection failed: {str(exc) or type(exc).__name__}") from exc
