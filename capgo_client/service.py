"""The Capgo service as this device talks to it. Imports the network only when something is asked."""

from __future__ import annotations

import os
import threading

from capgo_client._version import __version__
from capgo_client.errors import CapgoError, ConfigError, DeadlineExceeded, NetworkError, ReplyError
from capgo_client.values import dataclass, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import NoReturn

    from capgo_client.config import Config
    from capgo_client.net.client import HttpClient, Reply
    from capgo_client.net.deadline import Scope
    from capgo_client.protocol.channels import Channel, ChannelStatus
    from capgo_client.protocol.outcomes import ManifestEntry, Outcome
    from capgo_client.protocol.requests import Identity
    from capgo_client.protocol.sizes import DownloadSize
    from capgo_client.wire import Wire

__all__ = ["Endpoints", "Service", "is_out_of_bounds", "mocked_hosts", "refuse_real_host"]

_REAL_HOSTS = ("capgo.app", "usecapgo.com")
#: Of the test kit: each says of an address whether something in this very process answers there just now. That of a
#: host, without a path, stands for all that the host is asked.
mocked_hosts: list[Callable[[str], bool]] = []
_ACCEPT = {"Accept": "application/json"}
_JSON = {"Content-Type": "application/json", **_ACCEPT}
_LAST = {**_JSON, "Connection": "close"}


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the service is; "" for a part of it that is turned off."""

    update: str
    stats: str
    channel: str


class Service:
    """Asks the service. ``endpoints`` is asked anew for each call, so that addresses can change; None: the config's.

    Checks answer with outcomes and sizes with a value, whatever the network does. The others raise as
    ``HttpClient.exchange`` does, and ConfigError (``missing_config``) where their address is empty. Every call is
    bounded by its ``scope``.
    """

    def __init__(
        self,
        config: Config,
        wire: Wire,
        *,
        identity: Callable[[], Identity],
        endpoints: Callable[[], Endpoints] | None = None,
    ) -> None:
        self._config = config
        self._wire = wire
        self._identity = identity
        given = Endpoints(config.update_url, config.stats_url, config.channel_url)
        self._endpoints = endpoints or (lambda: given)
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
                    pins=self._wire.pins,
                    allow_http=self._config.allow_http,
                    vet=refuse_real_host if self._wire.transport is None else _refuse_even_if_mocked,
                )
                if self._closed:
                    self._client.close()
            return self._client

    def check(self, *, version_name: str, scope: Scope, now: float, channel: str = "") -> Outcome:
        """``POST /updates`` (reference/service-behaviour.md section 1). ``now`` is wall-clock, for Retry-After."""
        from capgo_client.protocol.outcomes import Failed
        from capgo_client.protocol.replies import MAX_REPLY_BYTES
        from capgo_client.protocol.requests import update_check_body
        from capgo_client.protocol.updates import classify_update

        identity = self._identity()
        if channel:
            identity = replace(identity, default_channel=channel)
        try:
            reply = self._send(
                "POST",
                self._endpoints().update,
                body=update_check_body(identity, version_name=version_name),
                scope=scope,
                max_bytes=MAX_REPLY_BYTES,
            )
        except CapgoError as exc:
            return Failed(code=exc.code, message=str(exc))
        return classify_update(reply.status, reply.headers, reply.body, now=now)

    def set_channel(self, channel: str, *, version_name: str, scope: Scope, now: float) -> ChannelStatus:
        """Ask whether this device may choose ``channel``; nothing is kept. ``now`` is wall-clock, for Retry-After.

        Raises:
            ConfigError: no channel (``missing_parameter``), no address (``missing_config``).
            ServiceError: ``channels.read_set`` tells which.
            ReplyError: the reply is not what the protocol allows.
            TransferError: it did not come.
        """
        from capgo_client.protocol.channels import channel_body, read_set
        from capgo_client.protocol.replies import MAX_SHORT_REPLY_BYTES

        if not channel:
            raise ConfigError("channel: no name", code="missing_parameter", hint="unset_channel() forgets the channel")
        body = channel_body(self._identity(), version_name=version_name, channel=channel)
        url = _configured("channel_url", self._endpoints().channel)
        reply = self._send("POST", url, body=body, scope=scope, max_bytes=MAX_SHORT_REPLY_BYTES)
        return read_set(reply.status, reply.headers, reply.body, now=now, channel=channel)

    def get_channel(self, *, version_name: str, scope: Scope, now: float) -> ChannelStatus:
        """Ask which channel this device is on; nothing is kept. Raises as ``set_channel``."""
        from capgo_client.protocol.channels import channel_body, read_get
        from capgo_client.protocol.replies import MAX_SHORT_REPLY_BYTES

        identity = self._identity()
        body = channel_body(identity, version_name=version_name)
        url = _configured("channel_url", self._endpoints().channel)
        reply = self._send("PUT", url, body=body, scope=scope, max_bytes=MAX_SHORT_REPLY_BYTES)
        return read_get(reply.status, reply.headers, reply.body, now=now, default_channel=identity.default_channel)

    def list_channels(self, *, version_name: str, scope: Scope, now: float) -> tuple[Channel, ...]:
        """The channels that this device may choose or gets by itself. Raises as ``set_channel``."""
        from capgo_client.protocol.channels import list_url, read_list
        from capgo_client.protocol.replies import MAX_SHORT_REPLY_BYTES

        url = _configured("channel_url", self._endpoints().channel)
        url = list_url(url, self._identity(), version_name=version_name)
        reply = self._send("GET", url, body=None, scope=scope, max_bytes=MAX_SHORT_REPLY_BYTES)
        return read_list(reply.status, reply.headers, reply.body, now=now)

    def download_size(
        self, manifest: Sequence[ManifestEntry], *, version: str, version_name: str, scope: Scope
    ) -> DownloadSize:
        """The sizes of a manifest's files; what goes wrong stands in each of them. An empty one asks nobody.

        Raises:
            ConfigError: no address (``missing_config``).
        """
        from capgo_client.protocol import sizes
        from capgo_client.protocol.codes import RESPONSE_ERROR

        if not manifest:
            return sizes.DownloadSize()
        url = sizes.size_url(_configured("update_url", self._endpoints().update))
        refuse_real_host(url)  # here, where it raises: as the error of a file nobody would see it
        body = sizes.size_body(self._identity(), version_name=version_name, version=version, manifest=manifest)
        try:
            reply = self._send("POST", url, body=body, scope=scope, max_bytes=sizes.longest_reply(body))
        except DeadlineExceeded:
            return sizes.no_sizes(manifest, error=sizes.TIMEOUT_ERROR)
        except ReplyError:  # too long, encoded, redirected: the body itself was not read yet
            return sizes.no_sizes(manifest, error=RESPONSE_ERROR)
        except CapgoError:
            return sizes.no_sizes(manifest, error=sizes.REQUEST_ERROR)
        return sizes.read_sizes(reply.status, reply.body, manifest)

    def send_stats(self, body: bytes, *, scope: Scope) -> Reply:
        """``POST`` events, already JSON, to the stats address; the reply whatever its status.

        The connection is not kept: the next delivery is far off, and an idle one costs a descriptor, on a phone more.
        """
        from capgo_client.protocol.replies import MAX_SHORT_REPLY_BYTES

        url = _configured("stats_url", self._endpoints().stats)
        return self._send("POST", url, body=body, scope=scope, max_bytes=MAX_SHORT_REPLY_BYTES, headers=_LAST)

    def close(self) -> None:
        """End what runs and close every connection."""
        with self._lock:
            self._closed = True
            client = self._client
        if client is not None:
            client.close()

    def _send(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None,
        scope: Scope,
        max_bytes: int,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        refuse_real_host(url)  # the client asks about the host alone
        headers = headers or (_ACCEPT if body is None else _JSON)
        return self.client().exchange(method, url, body=body, headers=headers, scope=scope, max_bytes=max_bytes)


def _configured(option: str, url: str) -> str:
    if not url:
        raise ConfigError(
            f"{option} is empty, so this part of the service is turned off",
            code="missing_config",
            hint=f"give the Updater a {option}",
        )
    return url


def refuse_real_host(url: str) -> None:
    """Under our pytest plugin no test may spend an app's device quota. Raises NetworkError ``real_host_refused``."""
    if is_out_of_bounds(url):
        _refuse(url)


def _refuse_even_if_mocked(url: str) -> None:
    """As above where the app's own transport sends it: what is mocked around ours may not be around that."""
    if _is_guarded() and _is_real(_host(url)):
        _refuse(url)


def is_out_of_bounds(url: str) -> bool:
    """Whether this is a real host of Capgo's, and a test runs that does not answer for it."""
    if not _is_guarded():
        return False
    return _is_real(_host(url)) and not any(answers(url) for answers in mocked_hosts)


def _is_guarded() -> bool:
    return os.environ.get("CAPGO_CLIENT_TESTING") == "1"


def _host(url: str) -> str:
    from urllib.parse import urlsplit

    return (urlsplit(url).hostname or "").rstrip(".")


def _is_real(host: str) -> bool:
    return any(host == real or host.endswith(f".{real}") for real in _REAL_HOSTS)


def _refuse(url: str) -> NoReturn:
    # All in the message: the outcome of a check has no room for a hint.
    raise NetworkError(
        f"a test was about to call Capgo's own service at {_host(url)}, where it would count as a device of the app; "
        "use the fixture capgo_updater, or give the Updater the update_url, stats_url and channel_url of the fixture "
        "capgo_service, or let that service answer here with the fixture capgo_respx",
        code="real_host_refused",
        retryable=False,
        hint="",
    )
