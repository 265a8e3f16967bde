"""httpx's transport over httpcore's pools, with our network backend below and our errors above."""

from __future__ import annotations

import contextlib
import logging
import threading
from typing import TYPE_CHECKING, cast

import httpcore
import httpx

from capgo_client.errors import NetworkError
from capgo_client.net.backend import DeadlineBackend, StaleConnection
from capgo_client.net.deadline import current_scope, in_scope
from capgo_client.net.pins import require_tls
from capgo_client.net.proxies import ProxyRules
from capgo_client.net.resolver import SHARED_LOOKUPS, Lookups, Resolver
from capgo_client.net.tls import default_context

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Iterator

    from capgo_client.net.backend import Pins
    from capgo_client.net.proxies import Proxy
    from capgo_client.net.resolver import GetAddrInfo

__all__ = ["DeadlineTransport"]

#: Idle connections are kept for the next request of the same cycle, not for the next cycle.
_KEEPALIVE_SECONDS = 5.0
_MAX_IDLE = 8


def _is_not_ours(record: logging.LogRecord) -> bool:
    """Keep httpcore from logging, at DEBUG, what servers answer us: a redirect may lead to a signed address."""
    del record
    return not in_scope()


logging.getLogger("httpcore.http11").addFilter(_is_not_ours)
logging.getLogger("httpcore.proxy").addFilter(_is_not_ours)


class DeadlineTransport(httpx.BaseTransport):
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

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send ``request`` and return when the reply's headers are here.

        Raises:
            NetworkError: no connection, it broke, what came is not HTTP, or a pinned host is asked without TLS.
            DeadlineExceeded, Cancelled: the scope ended first.
        """
        scope = current_scope()
        scope.stage = "start"
        url = request.url
        require_tls(url.scheme, url.host, self._pins)
        port = url.port or (443 if url.scheme == "https" else 80)
        proxy = self._rules.choose(scheme=url.scheme, host=url.host, port=port, scope=scope)
        pool = self._pool(url.scheme, proxy)
        with _translated():
            response = _send(pool, request)
        scope.stage = "body"
        body = cast("Iterable[bytes]", response.stream)  # a synchronous pool gives nothing else
        return httpx.Response(response.status, headers=response.headers, stream=_Body(body))

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


class _Body(httpx.SyncByteStream):
    def __init__(self, stream: Iterable[bytes]) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        with _translated():
            yield from self._stream

    def close(self) -> None:
        close = getattr(self._stream, "close", None)
        if close is not None:
            close()


def _send(pool: httpcore.ConnectionPool, request: httpx.Request) -> httpcore.Response:
    # The server may close a kept connection at the very moment we use it. Ends, because a new one is never stale.
    while True:
        try:
            return pool.handle_request(_for_httpcore(request))
        except StaleConnection:
            continue


def _for_httpcore(request: httpx.Request) -> httpcore.Request:
    assert isinstance(request.stream, httpx.SyncByteStream)  # noqa: S101
    url = httpcore.URL(
        scheme=request.url.raw_scheme, host=request.url.raw_host, port=request.url.port, target=request.url.raw_path
    )
    return httpcore.Request(request.method, url, headers=request.headers.raw, content=request.stream)


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
