"""The network before HTTP begins: names, connections, TLS, proxies. ``faults`` lists them.

A fault that is certain changes the addresses that the next ``Updater`` is given, so it also works in a child process.
One that is drawn leads single connections of this process astray (``detours``); the others reach the service.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .detours import detour, failing_lookups, fault_host
from .peers import forwarding_proxy, hanging_proxy, tls_stall
from .server import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from .chance import Chance
    from .stage import Stage
    from .tls import Kind

__all__: list[str] = []

_ENDPOINTS = ("update_url", "stats_url", "channel_url")


@contextmanager
def peer_instead(stage: Stage, chance: Chance, *, make: Callable[[], AbstractContextManager[Any]]) -> Iterator[None]:
    """Where the service was there is this peer."""
    with make() as peer:
        port = _port(peer if isinstance(peer, str) else peer.url)
        if chance.is_certain:
            with _moved(stage, f"{_scheme(stage)}://{LOOPBACK}:{port}"):
                yield
        else:
            with detour(_port(stage.service.url), (LOOPBACK, port), chance):
                yield


@contextmanager
def lookup(stage: Stage, chance: Chance, *, hang: bool) -> Iterator[None]:
    """The service has a name, and looking it up fails or hangs. In this process; elsewhere the name does not exist."""
    host = fault_host()
    with (
        failing_lookups(host, chance, hang=hang),
        _moved(stage, f"{_scheme(stage)}://{host}:{_port(stage.service.url)}"),
        stage.replaced(allow_http=True),
    ):
        yield


@contextmanager
def stalled_tls(stage: Stage, chance: Chance) -> Iterator[None]:
    """The service speaks https, and the handshake is never answered."""
    with tls_stall() as peer, _tls(stage) as good:
        if chance.is_certain:
            with _moved(stage, peer.url):
                yield
        else:
            with detour(good, (LOOPBACK, peer.port), chance):
                yield


@contextmanager
def bad_certificate(stage: Stage, chance: Chance, *, kind: Kind) -> Iterator[None]:
    """The service speaks https with a certificate of this kind."""
    with stage.service.https_front(kind) as bad, _tls(stage) as good:
        if chance.is_certain:
            with _moved(stage, bad.url):
                yield
        else:
            with detour(good, (LOOPBACK, bad.port), chance):
                yield


@contextmanager
def hanging_proxy_between(stage: Stage, chance: Chance, *, connects: bool = False) -> Iterator[None]:
    """A proxy stands between, takes the request and hangs; with ``connects`` it grants the tunnel first."""
    with hanging_proxy(connects=connects) as bad, forwarding_proxy() as good:
        if chance.is_certain:
            with stage.replaced(proxy=bad.url):
                yield
        else:
            with stage.replaced(proxy=good.url), detour(good.port, (LOOPBACK, bad.port), chance):
                yield


@contextmanager
def _tls(stage: Stage) -> Iterator[int]:
    """The port at which the stage's service is had over https, and the stage goes there and believes it."""
    if stage.service.has_tls:
        yield _port(stage.service.url)
        return
    with (
        stage.service.https_front() as front,
        _moved(stage, front.url),
        stage.replaced(ssl_context=front.ssl_context),
    ):
        yield front.port


def _moved(stage: Stage, url: str) -> AbstractContextManager[None]:
    """The endpoints that are on lie below another address."""
    used = {name: str(stage.options[name]) for name in _ENDPOINTS if stage.options.get(name)}
    return stage.replaced(**{name: url + urlsplit(value).path for name, value in used.items()})


def _scheme(stage: Stage) -> str:
    return "https" if stage.service.has_tls else "http"


def _port(url: str) -> int:
    port = urlsplit(url).port
    if port is None:
        raise ValueError(f"{url} names no port")
    return port
