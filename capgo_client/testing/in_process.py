"""Capgo for tests that use respx: the service's answers without a socket, also at its real addresses.

    @respx.mock
    def test_it_updates(tmp_path):
        service = respx_routes()
        service.publish(make_bundle("1.1.0", {"main.py": "print('new')"}))
        with Updater("com.example.app", "1.0.0", None, data_dir=tmp_path) as updater:  # Capgo's own addresses
            updater.start()
            assert updater.wait(10)

Nothing leaves the process, so what lasts in a real network is over at once here: silence and dripping bytes are
a deadline that has passed.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import h11
import httpcore
import httpx
import respx
from respx.mocks import HTTPCoreMocker

from capgo_client.config import UPDATE_URL
from capgo_client.errors import DeadlineExceeded
from capgo_client.service import mocked_hosts

from .service import Service
from .wire import Connection, PeerGone, Request

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

__all__ = ["ROUTES", "respx_routes"]

_REAL = r"https?://(?:[\w-]+\.)*(?:capgo\.app|usecapgo\.com)\.?(?::\d+)?"
_END = r"/?(?:\?.*)?$"
#: The names of the routes, and what stands behind the host in their addresses.
ROUTES = {
    "capgo_updates": rf"(?:/plugin)?/updates{_END}",
    "capgo_sizes": rf"(?:/plugin)?/updates/manifest_size{_END}",
    "capgo_stats": rf"(?:/plugin)?/stats{_END}",
    "capgo_channel_self": rf"(?:/plugin)?/channel_self{_END}",
    "capgo_downloads": r"/files/read/attachments/",
    "capgo_ok": rf"/ok{_END}",
}
#: What never ends is broken off after so many bytes or pieces: more than the client takes of any answer.
_ENOUGH, _PIECES = 64 << 20, 500
#: What a device asks of a host: where none of it is let through, the host is mocked.
_CALLS = (
    *(("POST", path) for path in ("/updates", "/updates/manifest_size", "/stats", "/channel_self")),
    *(("PUT", "/channel_self"), ("GET", "/channel_self")),
    *(("GET", "/files/read/attachments/a.zip"), ("GET", "/ok")),
)


def respx_routes(router: respx.MockRouter | None = None, service: Service | None = None) -> Service:
    """Let ``router`` answer for Capgo as ``service`` would; return the service, to publish on it.

    There is a route for each endpoint, with every method that it knows, at all of Capgo's hosts and at the address of
    ``service`` if that runs. ``router["capgo_updates"]`` is one of them (``ROUTES`` has the names), to count its calls
    or to mock it otherwise. One that is never called is no failure of ``assert_all_called``.

    While the router is active Capgo's hosts are not refused as they are elsewhere in tests, unless a route lets calls
    to them through: one that stands before ours, or one of ours that was told to.

    Args:
        router: Where to mount; by default ``respx.mock``, which the decorator of that name activates.
        service: Who answers; by default a new one that listens nowhere.
    """
    mounted = respx.mock if router is None else router
    answering = _Unconnected() if service is None else service
    hosts = rf"(?:{_REAL}|{re.escape(answering.url)})"
    for name, path in ROUTES.items():
        route = _Route(url__regex=f"^{hosts}{path}")
        route.side_effect = lambda request: _answer(answering, request)
        mounted.routes.add(route, name=name)
    if _is_mocked not in mocked_hosts:
        mocked_hosts.append(_is_mocked)
    return answering


def _is_mocked(url: str) -> bool:
    """Whether a call of ours to this address of Capgo's would be answered here; of a bare host, whatever is asked.

    What a side effect of the test's own makes of a call is known only afterwards: it counts as an answer.
    """
    # Of the mockers only this one stands around the client's own transport.
    routes = [route for router in HTTPCoreMocker.routers for route in router.routes]
    if not any(isinstance(route, _Route) for route in routes):
        return False
    try:
        takers = [_taker(routes, request) for request in _requests(url)]
    except httpx.InvalidURL:
        return False
    return any(takers) and not any(route.is_pass_through for route in takers if route is not None)


def _requests(url: str) -> Iterator[httpx.Request]:
    parts = urlsplit(url)
    for method, path in _CALLS:
        yield httpx.Request(method, parts._replace(path=path, query="").geturl())
    if parts.path.strip("/"):
        for method in ("POST", "GET"):
            yield httpx.Request(method, url)


def _taker(routes: list[respx.Route], request: httpx.Request) -> respx.Route | None:
    """Which route would take the request; unlike ``Route.match`` this does not carry out what it says."""
    return next((route for route in routes if route.pattern.match(request)), None)


class _Route(respx.Route):
    """A route of ours; it remains one when the test mocks it otherwise, be it by its name."""

    @property
    def called(self) -> bool:
        """Nobody has to call every endpoint; the service says what it was asked."""
        return True


class _Unconnected(Service):
    """A service that listens nowhere and believes that it is Capgo's own."""

    @property
    def url(self) -> str:
        return UPDATE_URL.rpartition("/")[0]

    def start(self) -> None:
        """There is nothing to open."""

    def stop(self) -> None:
        """There is nothing to close."""


def _answer(service: Service, request: httpx.Request) -> httpx.Response:
    headers = {name.lower(): value for name, value in request.headers.items()}
    asked = Request(request.method, request.url.raw_path.decode("ascii"), headers, request.content, time.monotonic())
    heard = _Heard()
    try:
        service.exchange(heard, asked)
    except PeerGone:
        if not heard.is_enough:
            raise httpcore.ReadError("the service reset the connection") from None
    return heard.response(request.method)


class _Heard(Connection):
    """A connection that keeps what is sent on it."""

    def __init__(self) -> None:
        super().__init__(cast("socket.socket", None))  # every method that would use it is replaced
        self._data = bytearray()
        self._pieces = 0
        self.is_enough = False

    def send(self, data: bytes) -> None:
        """Keep it, until it is more than anybody takes."""
        self._pieces += 1
        if len(self._data) > _ENOUGH or self._pieces > _PIECES:
            self.is_enough = True
            raise PeerGone
        self._data += data

    def pause(self, seconds: float | None) -> None:
        """Time does not pass here: who would have to wait has waited too long already."""
        if seconds != 0:
            raise DeadlineExceeded("the service is too slow, or silent: in a mocked network that is known at once")

    def reset(self) -> None:
        """Break off."""
        raise PeerGone

    def response(self, method: str) -> httpx.Response:
        """What was sent, read as HTTP.

        Raises:
            httpcore.RemoteProtocolError: It broke off, or is no HTTP.
        """
        reader = h11.Connection(h11.CLIENT)
        reader.send(h11.Request(method=method, target="/", headers=[("Host", "capgo")]))
        reader.send(h11.EndOfMessage())
        reader.receive_data(bytes(self._data))
        if not self.is_enough:
            reader.receive_data(b"")
        try:
            return self._read(reader)
        except h11.RemoteProtocolError as exc:
            raise httpcore.RemoteProtocolError(str(exc)) from exc

    def _read(self, reader: h11.Connection) -> httpx.Response:
        head: h11.Response | None = None
        body: list[bytes] = []
        while not isinstance(event := reader.next_event(), (h11.EndOfMessage, h11.ConnectionClosed, h11.NEED_DATA)):
            if isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body.append(bytes(event.data))
        if head is None:
            raise h11.RemoteProtocolError("the service hung up without an answer")
        raw: Any = list(head.headers.raw_items())
        return httpx.Response(head.status_code, headers=raw, stream=httpx.ByteStream(b"".join(body)))
