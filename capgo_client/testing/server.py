"""A small threaded server on loopback: one thread for each connection, and a stop that leaves nothing behind.

One rule keeps it safe: the thread that serves a connection alone closes its socket; others only shut it down, which
wakes that thread wherever it waits. So ``Server.stop`` ends every wait at once.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from typing import TYPE_CHECKING

from .wire import Connection, PeerGone

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

__all__ = ["LOOPBACK", "Server"]

LOOPBACK = "127.0.0.1"
_STOP_SECONDS = 1.0


class Server:
    """Accepts on a loopback port (0: a free one); runs ``serve(connection)`` in a daemon thread for each connection."""

    def __init__(
        self, serve: Callable[[Connection], None], *, tls: ssl.SSLContext | None = None, port: int = 0
    ) -> None:
        self._serve = serve
        self._tls = tls
        self._lock = threading.Condition()
        self._stopping = False
        self._connections: dict[threading.Thread, Connection] = {}
        self._accepted = 0
        self._closes: list[float] = []
        self._listener = socket.create_server((LOOPBACK, port), backlog=128)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._waker, self._wake = socket.socketpair()
        self._acceptor = threading.Thread(target=self._accept, name="capgo-testing-accept", daemon=True)
        self._acceptor.start()

    @property
    def accepted(self) -> int:
        """How many connections were accepted so far."""
        with self._lock:
            return self._accepted

    @property
    def closes(self) -> list[float]:
        """When (monotonic) the other side was seen to close each connection, oldest first."""
        with self._lock:
            return list(self._closes)

    def wait_for(self, ready: Callable[[], bool], timeout: float) -> bool:
        """Wait until ``ready()`` holds, asked again after each accept and close; say whether it does."""
        with self._lock:
            return self._lock.wait_for(ready, timeout)

    def stop(self) -> None:
        """Close everything; returns when all threads are gone. Idempotent."""
        with self._lock:
            if self._stopping:
                return
            self._stopping = True
            running = dict(self._connections)
            for connection in running.values():
                _shut_down(connection.sock)
        self._wake.send(b"x")
        end = time.monotonic() + _STOP_SECONDS
        for thread in (self._acceptor, *running):
            thread.join(max(0.0, end - time.monotonic()))
        for sock in (self._listener, self._waker, self._wake):
            sock.close()

    def _accept(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._waker, selectors.EVENT_READ)
            while not any(key.fileobj is self._waker for key, _ in selector.select()):
                with contextlib.suppress(OSError):
                    self._begin(self._listener.accept()[0])

    def _begin(self, sock: socket.socket) -> None:
        sock.setblocking(True)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # a dripped byte must leave at once
        connection = Connection(sock)
        thread = threading.Thread(target=self._run, args=(connection,), name="capgo-testing-serve", daemon=True)
        with self._lock:
            if self._stopping:
                sock.close()
                return
            self._connections[thread] = connection
            self._accepted += 1
            self._lock.notify_all()
        thread.start()

    def _run(self, connection: Connection) -> None:
        try:
            if self._tls is not None:
                self._start_tls(connection, self._tls)
            self._serve(connection)
        except (PeerGone, OSError):
            pass
        finally:
            self._end(connection)

    def _start_tls(self, connection: Connection, context: ssl.SSLContext) -> None:
        with self._lock:
            # wrap_socket detaches the plain socket, so the one to shut down changes hands under the lock.
            wrapped = context.wrap_socket(connection.sock, server_side=True, do_handshake_on_connect=False)
            connection.sock = wrapped
            if self._stopping:
                raise PeerGone
        wrapped.do_handshake()

    def _end(self, connection: Connection) -> None:
        with self._lock:
            connection.sock.close()
            if not self._stopping and connection.left_at is not None:
                self._closes.append(connection.left_at)
            self._connections.pop(threading.current_thread(), None)
            self._lock.notify_all()


def _shut_down(sock: socket.socket) -> None:
    # The plain socket's shutdown: that of an SSLSocket drops the TLS layer under the thread that reads from it.
    with contextlib.suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
