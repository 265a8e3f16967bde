"""The update service on a loopback port: it answers as Capgo does, and misbehaves when told to.

    with Service() as service:
        service.publish(make_bundle("1.1.0", {"main.py": "print('new')"}))
        updater = Updater(..., update_url=service.update_url, stats_url=service.stats_url)
        with service.fault("drip-body", on="updates"):
            updater.start()
        assert len(service.checks) == 1

Every method may be called from any thread.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capgo_client.seams import Clock

from .arranging import covers
from .backend import kind_of
from .control import Control, check_endpoint
from .misbehaviour import Exchange
from .server import LOOPBACK, Server

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator
    from types import TracebackType

    from typing_extensions import Self

    from .tls import Certificate, Kind
    from .wire import Connection, Request

__all__ = ["Front", "Service"]


@dataclass(frozen=True, slots=True)
class Front:
    """A further address of a service; ``ssl_context`` trusts its authority and nobody else."""

    port: int
    ssl_context: ssl.SSLContext

    @property
    def url(self) -> str:
        """The address without a path."""
        return f"https://{LOOPBACK}:{self.port}"


class Service(Control):
    """A real HTTP server that behaves like the update service.

    ``app_id`` None: every app is known, and every version of it; else every other one gets the answer of an unknown
    app (``add_app`` declares more). ``clock`` is what rate limits go by, ``port`` where it listens (0: a
    free one). ``tls`` serves https with a certificate of a throw-away authority (``ssl_context`` and ``ca_path`` trust
    it); ``certificate`` names what is wrong with it and implies ``tls``. Use it as a context manager, or call
    ``start`` and ``stop``.
    """

    def __init__(
        self,
        *,
        app_id: str | None = None,
        tls: bool = False,
        certificate: Kind = "valid",
        clock: Clock | None = None,
        port: int = 0,
    ) -> None:
        super().__init__(app_id=app_id, clock=clock or Clock())
        self._port = port
        self._certificate: Certificate | None = None
        if tls or certificate != "valid":
            from .tls import server_certificate

            self._certificate = server_certificate(certificate)
        self._server: Server | None = None
        self._up = False
        self._ca_path: Path | None = None
        self._requests: list[Request] = []

    # Life

    def start(self) -> None:
        """Open the port and serve; after ``stop`` on the same port again. A second call changes nothing."""
        if self._up:
            return
        context = self._certificate.server_context() if self._certificate else None
        port = self._server.port if self._server is not None else self._port
        self._server = Server(self._serve, tls=context, port=port)
        self._up = True

    def stop(self) -> None:
        """Close the port and every connection: connecting is refused now. No thread is left when it returns.

        The address stays readable, and ``start`` ends the outage. Idempotent.
        """
        if self._server is not None:
            self._server.stop()
        self._up = False
        if self._ca_path is not None:
            self._ca_path.unlink(missing_ok=True)
            self._ca_path = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # Where it is

    @property
    def url(self) -> str:
        """Its address without a path, such as ``http://127.0.0.1:40123``."""
        return f"{'https' if self._certificate else 'http'}://{LOOPBACK}:{self._running.port}"

    @property
    def update_url(self) -> str:
        """Where update checks go."""
        return f"{self.url}/updates"

    @property
    def stats_url(self) -> str:
        """Where stats events go."""
        return f"{self.url}/stats"

    @property
    def channel_url(self) -> str:
        """Where channels are asked for and set."""
        return f"{self.url}/channel_self"

    @property
    def has_tls(self) -> bool:
        """Whether it speaks https."""
        return self._certificate is not None

    @property
    def ssl_context(self) -> ssl.SSLContext:
        """A client's context that trusts this service's authority and nobody else."""
        return self._tls.client_context()

    @property
    def ca_path(self) -> Path:
        """A PEM file with the authority's certificate; removed by ``stop``."""
        if self._ca_path is None:
            handle, name = tempfile.mkstemp(prefix="capgo-testing-", suffix=".pem")
            with os.fdopen(handle, "wb") as file:
                file.write(self._tls.ca_pem)
            self._ca_path = Path(name)
        return self._ca_path

    @property
    def _tls(self) -> Certificate:
        if self._certificate is None:
            raise RuntimeError("this service speaks plain http; make it with Service(tls=True)")
        return self._certificate

    @property
    def _running(self) -> Server:
        if self._server is None:
            raise RuntimeError("the service is not running; call start() or use it in a with statement")
        return self._server

    @contextlib.contextmanager
    def https_front(self, certificate: Kind = "valid") -> Iterator[Front]:
        """A further address at which it answers inside the block, over https with a certificate of that kind.

        The downloads that it offers stay at ``url``.
        """
        from .tls import server_certificate

        made = server_certificate(certificate)
        server = Server(self._serve, tls=made.server_context())
        try:
            yield Front(server.port, made.client_context())
        finally:
            server.stop()

    # What it saw

    @property
    def requests(self) -> list[Request]:
        """Every request so far, in the order in which they came."""
        with self._lock:
            return list(self._requests)

    @property
    def checks(self) -> list[Request]:
        """The update checks among them."""
        return [each for each in self.requests if each.method == "POST" and kind_of(each) == "updates"]

    @property
    def downloads(self) -> list[Request]:
        """The requests for stored files among them."""
        return [each for each in self.requests if kind_of(each) == "download"]

    @property
    def events(self) -> list[dict[str, Any]]:
        """The stats events sent so far, batches taken apart, whether they were accepted or not."""
        bodies = [each.json for each in self.requests if each.method == "POST" and kind_of(each) == "stats"]
        return [event for body in bodies for event in (body if isinstance(body, list) else [body])]

    @property
    def connections(self) -> int:
        """How many connections were made since it was started."""
        return self._running.accepted

    @property
    def closes(self) -> list[float]:
        """When (monotonic seconds) the other side was seen to close each connection, since it was started."""
        return self._running.closes

    def wait_for_requests(self, count: int, timeout: float = 5.0, *, on: str = "all") -> list[Request]:
        """Wait until so many requests have come (of one endpoint: ``on``); return them.

        Raises:
            TimeoutError: Fewer came within ``timeout`` seconds.
        """

        def matching() -> list[Request]:
            return [each for each in self._requests if covers(on, kind_of(each))]

        check_endpoint(on)
        with self._lock:
            if self._lock.wait_for(lambda: len(matching()) >= count, timeout):
                return matching()
            raise TimeoutError(f"{len(matching())} of {count} requests ({on}) came within {timeout:g} s")

    def wait_for_close(self, count: int = 1, timeout: float = 5.0) -> list[float]:
        """Wait until the other side has closed so many connections; return when (see ``closes``).

        Raises:
            TimeoutError: Fewer were closed within ``timeout`` seconds.
        """
        server = self._running
        if not server.wait_for(lambda: len(server.closes) >= count, timeout):
            raise TimeoutError(f"{len(server.closes)} of {count} connections were closed within {timeout:g} s")
        return server.closes

    # Serving

    def _serve(self, connection: Connection) -> None:
        while self.exchange(connection, connection.read_request()):
            pass

    def exchange(self, connection: Connection, request: Request) -> bool:
        """Answer one request on its connection, in whatever way; say whether the connection can go on."""
        with self._lock:
            self._requests.append(request)
            self._lock.notify_all()
        decision = self._decide(request)
        exchange = Exchange(
            connection, request, decision.reply, self.url, decision.whole, offer=decision.offer, store=self.store
        )
        return exchange.send(decision.reply) if decision.fault is None else decision.fault.perform(exchange)
