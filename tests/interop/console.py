"""The other end of Capgo's command line: its API and its file store, on loopback, as far as `bundle upload` asks.

It keeps what was uploaded and says yes to everything else. What the command line sends is taken as it comes: nothing
here knows how a bundle or a manifest is made.
"""

from __future__ import annotations

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

ORG = "22222222-2222-4222-8222-222222222222"
USER = "11111111-1111-4111-8111-111111111111"
_MIB = 1 << 20
_LIMITS = {
    "maxUploadLength": 1024 * _MIB,
    "alertUploadSize": 20 * _MIB,
    "maxChunkSize": 99 * _MIB,
    "partialUpload": True,
    "partialUploadForced": False,
    "TUSUpload": True,
    "TUSUploadForced": True,
}
_UPLOADS = "/files/upload/attachments/"
_ANSWERS = {
    "/files/config": _LIMITS,
    "/rest/v1/rpc/reject_access_due_to_2fa_for_app": False,
    "/rest/v1/rpc/exist_app_versions": False,
    "/rest/v1/rpc/request_actor_user_id": USER,
    "/rest/v1/rpc/get_organization_cli_warnings": [],
    "/rest/v1/rpc/is_trial_org": 0,
}


class Console:
    """A context manager. ``url`` is where it is; ``objects``, ``version`` and ``manifest`` are what came."""

    def __init__(self):
        self.objects: dict[str, bytes] = {}
        #: The row of the version as it was last written: checksum, session_key, key_id, ...
        self.version: dict[str, object] = {}
        self.manifest: list[dict[str, object]] = []
        self.requests: list[str] = []
        self._uploads: dict[str, str] = {}
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self._server.daemon_threads = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="console")
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def archive(self):
        """The zip as it was uploaded; None where only a delta was."""
        return next((data for name, data in self.objects.items() if name.endswith(".zip")), None)

    def answer(self, method, path, headers, body):
        """Status, headers and body of the reply to one request."""
        with self._lock:
            self.requests.append(f"{method} {path}")
            if path.startswith(_UPLOADS):
                return self._store(method, path, headers, body)
            if path.startswith("/files/read/attachments/"):
                return 404, {}, {"error": "not_found"}
            return 200, {}, self._say(method, path, json.loads(body or b"null"))

    def _store(self, method, path, headers, body):
        """The protocol that the command line uploads with: tus 1.0.0, creation and patch."""
        if method == "POST":
            key = path + str(len(self._uploads))
            pairs = (item.split() for item in headers["Upload-Metadata"].split(","))
            metadata = {name: base64.b64decode(value).decode() for name, value in pairs}
            self._uploads[key] = metadata["filename"]
            self.objects[metadata["filename"]] = body
            return 201, {"Location": key, "Upload-Offset": str(len(body))}, None
        name = self._uploads[path]
        self.objects[name] += body
        return 204, {"Upload-Offset": str(len(self.objects[name]))}, None

    def _say(self, method, path, body):
        if path.endswith("/private/set_manifest"):
            self.manifest = body["manifest"]
            return {"status": "ok"}
        if path == "/rest/v1/app_versions" and method in {"POST", "PATCH"}:
            self.version.update(body)
            return [body]
        if "/rest/v1/rpc/" in path:
            return _ANSWERS.get(path, True)
        if path.startswith("/rest/v1/"):
            return []
        if "/app/" in path:
            return {"owner_org": ORG, "app_id": path.rsplit("/", 1)[1]}
        return _ANSWERS.get(path, {})


def _handler_of(console):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 5.0

        def log_message(self, *_):
            pass

        def _serve(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, headers, reply = console.answer(self.command, urlsplit(self.path).path, self.headers, body)
            data = b"" if reply is None else json.dumps(reply).encode()
            self.send_response(status)
            for name, value in {**headers, "Tus-Resumable": "1.0.0", "Content-Type": "application/json"}.items():
                self.send_header(name, value)
            if status != 204:
                self.send_header("Content-Length", str(len(data)))
            self.send_header("Connection", "close")
            self.close_connection = True
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _serve

    return Handler
