"""A download server on loopback that answers as the service does, or as a script says."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.hazmat.primitives.ciphers import Cipher as Engine
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7


def encrypt(plain, key, iv):
    padder = PKCS7(128).padder()
    encryptor = Engine(AES(key), CBC(iv)).encryptor()
    return encryptor.update(padder.update(plain) + padder.finalize()) + encryptor.finalize()


class Request:
    """One request and the means to answer it."""

    def __init__(self, handler, origin):
        self.handler = handler
        self.origin = origin
        self.range = handler.headers.get("Range")
        self.start = int(self.range.removeprefix("bytes=").removesuffix("-")) if self.range else None

    def head(self, status, **headers):
        self.handler.send_response(status)
        for name, value in headers.items():
            self.handler.send_header(name.replace("_", "-"), str(value))
        self.handler.end_headers()

    def body(self, data):
        self.handler.wfile.write(data)
        self.handler.wfile.flush()

    def hang_up(self):
        self.handler.close_connection = True


def faithful(request, *, stop=None):
    """As the service answers (reference/service-behaviour.md section 4.3); ``stop``: hang up before that offset."""
    data, start = request.origin.data, request.start
    if start is None:
        request.head(200, Content_Length=len(data), ETag=request.origin.etag)
        start = 0
    elif start >= len(data):
        request.head(206, Content_Length=0, Content_Range=f"bytes */{len(data)}")
        return
    else:
        request.head(
            206,
            Content_Length=len(data) - start,
            Content_Range=f"bytes {start}-{len(data) - 1}/{len(data)}",
            ETag=request.origin.etag,
        )
    request.body(data[start:stop])
    if stop is not None:
        request.hang_up()


def cut(stop):
    return lambda request: faithful(request, stop=stop)


def ignoring_range(request):
    request.head(200, Content_Length=len(request.origin.data), ETag=request.origin.etag)
    request.body(request.origin.data)


def unannounced(request):
    """The whole, without saying how long it is."""
    request.head(200)
    request.body(request.origin.data)
    request.hang_up()


def refuse(status, **headers):
    def behave(request):
        body = b'{"error":"x","message":"y"}'
        request.head(status, Content_Length=len(body), **headers)
        request.body(body)

    return behave


def ranged(content_range, body, **headers):
    """A 206 that says what it likes; faithful to a request without a range."""

    def behave(request):
        if request.start is None:
            faithful(request)
            return
        said = {} if content_range is None else {"Content_Range": content_range}
        request.head(206, Content_Length=len(body), **said, **headers)
        request.body(body)

    return behave


class Origin:
    """Serves ``data``; the n-th request is answered by the n-th of ``script``, further ones faithfully."""

    def __init__(self):
        self.data = b""
        self.etag = '"e1"'
        self.script = []
        self.requests = []
        origin = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                request = Request(self, origin)
                origin.requests.append(request)
                behave = origin.script.pop(0) if origin.script else faithful
                try:
                    behave(request)
                except OSError:
                    self.close_connection = True

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/files/app/1.0.1.zip?key=secret&device_id=d"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    @property
    def ranges(self):
        """What was asked for, request by request; None for the whole."""
        return [request.range for request in self.requests]

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
