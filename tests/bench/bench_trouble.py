"""A server that misbehaves: ``python bench_trouble.py`` prints its port; the first part of the path says how.

``silent`` never answers, ``headers`` and ``body`` send a byte a second, ``busy`` says 503 with Retry-After: 120.
"""

from __future__ import annotations

import socket
import threading
import time

_OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 120\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


def _dripped(sock: socket.socket, data: bytes) -> None:
    for byte in data:
        sock.sendall(bytes((byte,)))
        time.sleep(1.0)


def _serve(sock: socket.socket) -> None:
    try:
        with sock:
            head = b""
            while b"\r\n" not in head:
                head += sock.recv(65536)
            how = head.split(b" ")[1].split(b"/")[1]
            if how == b"busy":
                while b"\r\n\r\n" not in head:
                    head += sock.recv(65536)
                sock.sendall(_BUSY)
            elif how == b"headers":
                _dripped(sock, _OK)
            elif how == b"body":
                sock.sendall(_OK)
                _dripped(sock, b" " * 1000)
            else:
                time.sleep(600)
    except OSError:
        pass


def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    print(listener.getsockname()[1], flush=True)
    while True:
        sock, _ = listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=_serve, args=(sock,), daemon=True).start()


if __name__ == "__main__":
    main()
