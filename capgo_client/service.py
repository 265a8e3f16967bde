"""The Capgo service as this device talks to it. Imports the network only when something is asked."""

from __future__ import annotations

import os
import threading
from dataclasses import replace

from capgo_client._version import __version__
from capgo_client.errors import CapgoError, NetworkError
from capgo_client.protocol.outcomes import Failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    import httpx

    from capgo_client.config import Config
    from capgo_client.net.client import HttpClient
    from capgo_client.net.deadline import Scope
    from capgo_client.protocol.outcomes import Outcome
    from capgo_client.protocol.requests import Identity

__all__ = ["Service", "Wire"]

_REAL_HOSTS = ("capgo.app", "usecapgo.com")


class Wire:
    """How to reach the network: the app's own transport, or ours with a proxy and a choice of whom to trust."""

    def __init__(
        self,
        *,
        transport: httpx.BaseTransport | None = None,
        proxy: str | None = None,
        trust_env: bool = True,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self.transport = transport
        self.proxy = proxy
        self.trust_env = trust_env
        self.ssl_context = ssl_context


class Service:
    """Asks the service. Answers are outcomes; nothing that the network does raises out of here."""

    def __init__(self, config: Config, wire: Wire, *, identity: Callable[[], Identity]) -> None:
        self._config = config
        self._wire = wire
        self._identity = identity
        self._lock = threading.Lock()
        self._client: HttpClient | None = None
        self._closed = False

    def client(self) -> HttpClient:
        """The HTTP client, made at first use; its connections are kept for the download that may follow."""
        from capgo_client.net.client import HttpClient
        from capgo_client.protocol.requests import user_agent

        with self._lock:
            if self._client is None:
                self._client = HttpClient(
                    user_agent=user_agent(self._identity(), library_version=__version__),
                    transport=self._wire.transport,
                    proxy=self._wire.proxy,
                    trust_env=self._wire.trust_env,
                    ssl_context=self._wire.ssl_context,
                    allow_http=self._config.allow_http,
                )
                if self._closed:
                    self._client.close()
            return self._client

    def check(self, *, version_name: str, scope: Scope, now: float, channel: str = "") -> Outcome:
        """``POST /updates`` (reference/service-behaviour.md section 1). ``now`` is wall-clock, for Retry-After."""
        from capgo_client.protocol.replies import MAX_REPLY_BYTES
        from capgo_client.protocol.requests import update_check_body
        from capgo_client.protocol.updates import classify_update

        identity = self._identity()
        if channel:
            identity = replace(identity, default_channel=channel)
        try:
            refuse_real_host(self._config.update_url)
            reply = self.client().exchange(
                "POST",
                self._config.update_url,
                body=update_check_body(identity, version_name=version_name),
                headers={"Content-Type": "application/json", "Accept": "application/json"},
                scope=scope,
                max_bytes=MAX_REPLY_BYTES,
            )
        except CapgoError as exc:
            return Failed(code=exc.code, message=str(exc))
        return classify_update(reply.status, reply.headers, reply.body, now=now)

    def close(self) -> None:
        """End what runs and close every connection."""
        with self._lock:
            self._closed = True
            client = self._client
        if client is not None:
            client.close()


def refuse_real_host(url: str) -> None:
    """Under our pytest plugin no test may spend an app's device quota. Raises NetworkError ``real_host_refused``."""
    if os.environ.get("CAPGO_CLIENT_TESTING") != "1":
        return
    from urllib.parse import urlsplit

    host = urlsplit(url).hostname or ""
    if any(host == real or host.endswith(f".{real}") for real in _REAL_HOSTS):
        raise NetworkError(
            f"a test was about to call {host}",
            code="real_host_refused",
            retryable=False,
            hint="give the Updater the URLs of capgo_client.testing.Service, as the fixture capgo_updater does",
        )
