"""httpcore's view of the network, with every step inside the current scope's deadline.

httpcore hands each call a time-out of its own; it is ignored here, the scope decides (see ``deadline``). The errors
raised are the library's own, except on writing: a server may answer and hang up before it has read the whole request,
so httpcore wants to hear of a failed write and goes on to read the reply.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
from typing import TYPE_CHECKING, Any

import httpcore

from capgo_client.errors import CapgoError, NetworkError
from capgo_client.net.connect import connect
from capgo_client.net.deadline import current_scope, now
from capgo_client.net.pins import check_pin

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from capgo_client.net.deadline import Scope
    from capgo_client.net.resolver import Resolver

    #: Digests of public keys, by the host that has to show one of them.
    Pins = Mapping[str, Collection[bytes]]

__all__ = ["DeadlineBackend", "StaleConnection"]

#: Bytes of a body to take at once; httpcore's 64 KiB cost four times the calls.
_RECEIVE = 256 * 1024
#: The longest that TLS gives at once (RFC 8446 section 5.1): where so much came more may be waiting.
_RECORD = 16 * 1024
#: Bytes of a request that are held back until it is complete: head and body go out together, in one call.
_TOGETHER = 64 * 1024
#: So long after its last byte (seconds) an idle connection is taken to stand still. A pool asks that of every idle one,
#: twice for each request; where the answer was wrong the request is sent anew, as ``StaleConnection`` tells.
_FRESH = 0.1

_TLS_HINT = (
    "check the device's clock first: a wrong date makes every certificate look expired or not yet valid; "
    "then whether a proxy with a certificate of its own stands in between"
)


class StaleConnection(NetworkError):
    """A kept connection turned out to be closed by the server; nothing of a reply came. Never leaves ``net``."""


class DeadlineBackend(httpcore.NetworkBackend):
    """Opens connections within the current scope of the calling thread."""

    def __init__(self, resolver: Resolver, *, pins: Pins | None = None) -> None:
        self._resolver = resolver
        self._pins = pins or {}

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - the scope decides
        local_address: str | None = None,  # noqa: ARG002 - never given by our pools
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Look ``host`` up and connect to the first address that answers.

        Raises:
            NetworkError: no such name, or nobody answers there.
            DeadlineExceeded, Cancelled: the scope ended first.
        """
        scope = current_scope()
        sock = connect(self._resolver.resolve(host, port, scope=scope), scope=scope)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for option in socket_options or ():
                sock.setsockopt(*option)
        except OSError as exc:
            sock.close()
            raise NetworkError(f"The connection broke at once: {exc.strerror}") from exc
        return _Stream(sock, pins=self._pins)


class _Stream(httpcore.NetworkStream):
    """One connection, plain or TLS. Belongs to one thread at a time; only ``cancel()`` reaches in from others."""

    def __init__(self, sock: socket.socket, *, pins: Pins) -> None:
        self._sock = sock
        self._pins = pins
        self._is_tls = isinstance(sock, ssl.SSLSocket)
        self._has_served = False
        self._is_kept = False  # from a request before, and nothing has come since
        self._unsent = bytearray()
        self._timeout: float | None = 0.0
        self._last_heard = 0.0
        self._broken: OSError | None = None

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002
        scope = current_scope()
        if self._unsent:
            with contextlib.suppress(httpcore.WriteError):  # see above: what the server says to it counts
                self._flush(scope)
        stage = "body" if scope.stage == "body" else "headers"
        size = _RECEIVE if stage == "body" else max_bytes
        try:
            data: bytes = self._run(scope, stage, self._receive, size)
        except CapgoError:
            raise
        except OSError as exc:
            kind = StaleConnection if self._is_kept else NetworkError
            raise kind(f"The connection broke {_PLACE[stage]}: {_reason(exc)}") from exc
        if not data:
            scope.check()  # after a shutdown recv() reports a clean end
            if self._is_kept:
                raise StaleConnection("The server closed the connection that was kept")
        self._has_served, self._is_kept = True, False
        self._last_heard = now()
        return data

    def _receive(self, size: int) -> bytes:
        """Some bytes; of TLS all whole records that are here, for it gives only one at a time."""
        if self._broken is not None:
            raise self._broken
        data = self._sock.recv(size)
        if not self._is_tls or len(data) < _RECORD:
            return data
        records, left = [data], size - len(data)
        self._sock.settimeout(0)
        self._timeout = 0.0
        try:
            while left >= _RECORD and (record := self._sock.recv(left)):
                records.append(record)
                left -= len(record)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass  # that is all for now
        except OSError as exc:
            self._broken = exc  # what came before it came in order
        return b"".join(records)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        self._is_kept, self._has_served = self._is_kept or self._has_served, False
        if len(self._unsent) + len(buffer) <= _TOGETHER:
            self._unsent += buffer  # whoever writes a request reads its reply
            return
        scope = current_scope()
        self._flush(scope)
        self._send(scope, buffer)

    def _flush(self, scope: Scope) -> None:
        unsent, self._unsent = self._unsent, bytearray()
        self._send(scope, unsent)

    def _send(self, scope: Scope, data: bytes | bytearray) -> None:
        view = memoryview(data)
        while view:
            try:
                sent: int = self._run(scope, "send", self._sock.send, view)
            except CapgoError:
                raise
            except OSError as exc:
                raise httpcore.WriteError(_reason(exc)) from exc
            view = view[sent:]

    def _run(self, scope: Scope, stage: str, call: Callable[..., Any], *given: Any) -> Any:
        """Run one call on the socket with what is left of ``scope``; say that the scope ended where that is why."""
        with scope.operation(self._sock, stage) as seconds:
            if seconds != self._timeout:  # each setting is a system call
                self._sock.settimeout(seconds)
                self._timeout = seconds
            try:
                return call(*given)
            except CapgoError:
                raise
            except TimeoutError as exc:
                raise scope.expired() from exc
            except OSError:
                scope.check()  # our own shutdown breaks the call in various ways
                raise

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        if self._is_tls:
            self.close()
            raise NetworkError("TLS inside TLS is not supported", hint="give the proxy's URL as http://, not https://")
        try:
            # Takes the descriptor out of the plain socket: from here on only the TLS socket counts.
            tls = ssl_context.wrap_socket(self._sock, server_hostname=server_hostname, do_handshake_on_connect=False)
        except (OSError, ValueError) as exc:
            self.close()
            raise NetworkError(f"No TLS connection: {_reason(exc)}", code="tls_error") from exc
        stream = _Stream(tls, pins=self._pins)
        try:
            stream.shake_hands()
            check_pin(tls, server_hostname or "", self._pins)
        except BaseException:
            stream.close()
            raise
        return stream

    def shake_hands(self) -> None:
        assert isinstance(self._sock, ssl.SSLSocket)  # noqa: S101 - for the type checker
        try:
            # One time-out covers the whole handshake: the interpreter subtracts what each of its reads took.
            self._run(current_scope(), "tls", self._sock.do_handshake)
        except CapgoError:
            raise
        except ssl.SSLCertVerificationError as exc:
            message = f"The server's certificate is not accepted: {exc.verify_message}"
            raise NetworkError(message, code="tls_error", hint=_TLS_HINT) from exc
        except (OSError, ValueError) as exc:
            raise NetworkError(f"No TLS connection: {_reason(exc)}", code="tls_error", hint=_TLS_HINT) from exc

    def close(self) -> None:
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)
        self._sock.close()

    def get_extra_info(self, info: str) -> Any:
        if info == "ssl_object":
            return self._sock if self._is_tls else None
        if info == "is_readable":
            return now() >= self._last_heard + _FRESH and _is_readable(self._sock)
        return self._sock if info == "socket" else None


_PLACE = {"headers": "before the reply came", "body": "in the middle of the reply"}


def _reason(exc: BaseException) -> str:
    return getattr(exc, "strerror", None) or str(exc) or type(exc).__name__


def _is_readable(sock: socket.socket) -> bool:
    """Whether an idle connection has something to say: then it is the server hanging up."""
    if sock.fileno() < 0:
        return True
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        return bool(poll.poll(0))
    return bool(select.select([sock], [], [], 0)[0])
