"""The server of the benchmarks, a process of its own: files, and what was put down as answers to update checks.

``python bench_server.py FOLDER [--tls FOLDER]`` prints its port. GET and HEAD serve files below the folder, a POST to
``/name/updates`` the file ``name/updates.json``, GET ``/_sent`` what was sent since the last such question, and
DELETE ``/_sent`` forgets it. As little as HTTP/1.1 needs, so that the clients are measured and not this.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    import ssl

_HEAD_LIMIT = 1 << 20


class Sent:
    """Bytes that went out: all of them, and bodies alone; and how many replies."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        self.told = {"bytes": 0, "bodies": 0, "replies": 0}

    def add(self, head: int, body: int) -> None:
        with self._lock:
            self.told["bytes"] += head + body
            self.told["bodies"] += body
            self.told["replies"] += 1


class Connection:
    """Serves one connection until the other side closes it."""

    def __init__(self, sock: socket.socket, root: Path, sent: Sent) -> None:
        self._sock, self._root, self._sent = sock, root, sent
        self._buffer = b""

    def serve(self) -> None:
        while head := self._head():
            method, target, *_ = head[0].split(" ")
            length = next((int(line[15:]) for line in head[1:] if line.lower().startswith("content-length:")), 0)
            self._body(length)
            self._answer(method, unquote(urlsplit(target).path))
            if any(line.lower() == "connection: close" for line in head[1:]):
                return

    def _head(self) -> list[str]:
        while b"\r\n\r\n" not in self._buffer:
            more = self._sock.recv(65536)
            if not more or len(self._buffer) > _HEAD_LIMIT:
                return []
            self._buffer += more
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        return head.decode("latin-1").split("\r\n")

    def _body(self, length: int) -> None:
        while len(self._buffer) < length:
            more = self._sock.recv(65536)
            if not more:
                raise ConnectionError
            self._buffer += more
        self._buffer = self._buffer[length:]

    def _answer(self, method: str, path: str) -> None:
        if path == "/_sent":
            body = json.dumps(self._sent.told).encode()
            self._sock.sendall(_header(200, len(body)) + body)
            if method == "DELETE":
                self._sent.clear()
            return
        name = f"{path}.json" if method == "POST" else path
        try:
            with (self._root / name.lstrip("/")).open("rb") as file:
                self._send(file, method)
        except (FileNotFoundError, IsADirectoryError):
            self._sock.sendall(_header(404, 0))

    def _send(self, file, method: str) -> None:
        size = os.fstat(file.fileno()).st_size
        header = _header(200, size, json_body=method == "POST")
        if method == "HEAD":
            size = 0
        if size <= 262_144:
            self._sock.sendall(header + file.read(size))
        else:
            self._sock.sendall(header)
            if size:
                self._sock.sendfile(file)
        self._sent.add(len(header), size)


def _header(status: int, length: int, *, json_body: bool = False) -> bytes:
    kind = "application/json" if json_body else "application/octet-stream"
    said = "OK" if status == 200 else "Not Found"
    return f"HTTP/1.1 {status} {said}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n".encode()


def _run(sock: socket.socket, context: ssl.SSLContext | None, root: Path, sent: Sent) -> None:
    try:
        if context is not None:
            sock = context.wrap_socket(sock, server_side=True)
        with sock:
            Connection(sock, root, sent).serve()
    except (OSError, ConnectionError):
        pass


def main() -> None:
    root = Path(sys.argv[1])
    context = None
    if "--tls" in sys.argv:
        from capgo_client.testing.tls import server_certificate

        made = server_certificate()
        context = made.server_context()
        Path(sys.argv[sys.argv.index("--tls") + 1], "ca.pem").write_bytes(made.ca_pem)
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    print(listener.getsockname()[1], flush=True)
    sent = Sent()
    while True:
        sock, _ = listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=_run, args=(sock, context, root, sent), daemon=True).start()


if __name__ == "__main__":
    main()
