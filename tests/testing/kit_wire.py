"""What the tests of the kit share: the base request of the reference, and a client that hides nothing."""

from __future__ import annotations

import contextlib
import json
import socket
from typing import Any

ABSENT = object()


def device(**changes: Any) -> dict[str, Any]:
    """Base body D of reference/service-behaviour.md section 7; ``ABSENT`` takes a field out."""
    body = {
        "app_id": "com.example.ok",
        "device_id": "00009a6b-eefe-490a-9c60-8e965132ae51",
        "version_build": "1.0.0",
        "version_code": "1",
        "version_os": "13",
        "version_name": "1.0.0",
        "plugin_version": "8.41.0",
        "is_emulator": False,
        "is_prod": True,
        "platform": "android",
    }
    return {name: value for name, value in {**body, **changes}.items() if value is not ABSENT}


def offered(said: dict[str, Any]) -> str:
    """The version that an answer offers; a refusal names one too, and is no offer."""
    assert "error" not in said
    return str(said["version"])


class RawClient:
    """One TCP connection to loopback; reads time out after five seconds, so that a broken kit cannot hang the run."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=5)

    def get(self, path: str, *headers: str) -> None:
        lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1", *headers, "", ""]
        self.sock.sendall("\r\n".join(lines).encode())

    def check(self, **changes: Any) -> None:
        body = json.dumps(device(**changes)).encode()
        head = f"POST /updates HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n"
        self.sock.sendall(head.encode() + body)

    def read(self, count: int) -> bytes:
        """Exactly that many bytes, fewer only at the end of the stream."""
        data = b""
        while len(data) < count and (piece := self.sock.recv(count - len(data))):
            data += piece
        return data

    def read_head(self) -> bytes:
        data = b""
        while not data.endswith(b"\r\n\r\n") and (piece := self.sock.recv(1)):
            data += piece
        return data

    def read_all(self) -> bytes:
        data = b""
        while piece := self.sock.recv(65536):
            data += piece
        return data

    def read_to_any_end(self) -> bytes:
        """All there is before the connection ends, cleanly or by a reset."""
        data = b""
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while piece := self.sock.recv(65536):
                data += piece
        return data

    def read_reply(self) -> tuple[bytes, bytes]:
        """One reply that has a Content-Length: head and body."""
        head = self.read_head()
        lines = head.lower().split(b"\r\n")
        length = next(int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:"))
        return head, self.read(length)

    def close(self) -> None:
        self.sock.close()
