"""A file server on loopback: keeps connections alive, answers ranges, writes every request down, misbehaves by path."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Depot:
    """Serves ``objects`` by the path as it came over the wire; ``scripts`` holds what to do instead, in order."""

    def __init__(self):
        self.objects = {}
        self.scripts = {}
        self.log = []
        self.connections = 0
        self.busy = self.busiest = 0
        self.lock = threading.Lock()
        depot = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                super().setup()
                with depot.lock:
                    depot.connections += 1

            def do_GET(self):
                with depot.lock:
                    depot.busy += 1
                    depot.busiest = max(depot.busiest, depot.busy)
                try:
                    depot.answer(self)
                except OSError:
                    self.close_connection = True
                finally:
                    with depot.lock:
                        depot.busy -= 1

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.base = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def put(self, path, data):
        """Store ``data`` under a path that is already encoded; return its URL."""
        self.objects[path] = data
        return f"{self.base}{path}?key=7&device_id=secret"

    @property
    def asked(self):
        """The paths asked for, sorted."""
        return sorted(path for path, _ in self.log)

    def ranges(self, path):
        return [asked for known, asked in self.log if known == path]

    def answer(self, handler):
        path = handler.path.partition("?")[0]
        asked = handler.headers.get("Range")
        with self.lock:
            self.log.append((path, asked))
            script = self.scripts.get(path)
            behave = script.pop(0) if script else None
        if behave is not None:
            behave(handler, self.objects.get(path, b""))
            return
        if path not in self.objects:
            refuse(404)(handler, b"")
            return
        send(handler, self.objects[path], asked)

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def send(handler, data, asked=None, *, stop=None):
    """As the service does (reference/service-behaviour.md section 4.3); ``stop``: hang up before that offset."""
    start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
    handler.send_response(206 if asked else 200)
    if asked:
        handler.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
    handler.send_header("Content-Length", str(len(data) - start))
    handler.send_header("ETag", '"e"')
    handler.end_headers()
    handler.wfile.write(data[start:stop])
    if stop is not None:
        handler.wfile.flush()
        handler.close_connection = True


def cut(stop):
    return lambda handler, data: send(handler, data, handler.headers.get("Range"), stop=stop)


def refuse(status, **headers):
    def behave(handler, data):
        body = b'{"error":"x"}'
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), str(value))
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return behave


def hang(seen, release):
    """Say that one request is here, and answer nothing until released."""

    def behave(handler, data):
        seen.release()
        release.wait(20)
        handler.close_connection = True

    return behave


def hang_up(handler, data):
    handler.close_connection = True
