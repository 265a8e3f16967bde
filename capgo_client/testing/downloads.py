"""The store: what lies in it, under which address, and how a request for it is answered (section 4)."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from .objects import StoredObject, serve_object
from .validation import error_reply

if TYPE_CHECKING:
    from .bundles import MadeBundle
    from .delta import ManifestFile
    from .wire import Reply, Request

__all__ = ["ATTACHMENTS", "NO_ZIP", "Store"]

ATTACHMENTS = "/files/read/attachments/"
#: The address that stands for "there is no zip, only a manifest".
NO_ZIP = "https://404.capgo.app/no.zip"
_ORGANISATION = "00000000-0000-4000-8000-000000000001"
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


class Store:
    """Files by their key, the path below ``ATTACHMENTS``. What was put in once stays."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def add_zip(self, bundle: MadeBundle, app_id: str, device_id: str) -> str:
        """Store a bundle's zip; return the path and query of its address."""
        # The checksum is not percent-encoded: the real service does not do it either (section 4.1).
        return self._add(app_id, f"{bundle.version}.zip", bundle.archive, bundle.checksum, device_id)

    def add_file(self, file: ManifestFile, app_id: str, device_id: str, *, version_id: int) -> str:
        """Store one file of a manifest; return the path and query of its address."""
        return self._add(app_id, file.path, file.data, str(version_id), device_id)

    def _add(self, app_id: str, path: str, data: bytes, key: str, device_id: str) -> str:
        place = f"orgs/{_ORGANISATION}/apps/{app_id}/{path}"
        self.objects[place] = data
        return f"{ATTACHMENTS}{place}?key={key}&device_id={device_id}"

    def download(self, request: Request) -> Reply:
        """Answer GET and HEAD; the query is not looked at."""
        escaped = request.path.removeprefix(ATTACHMENTS)
        if _BROKEN_ESCAPE.search(escaped):
            more = {"requestId": str(uuid.uuid4())}
            return error_reply(400, "invalid_file_path_encoding", "Invalid attachment file path encoding", more)
        key = self._find(escaped)
        if key is None or request.method not in {"GET", "HEAD"}:
            return error_reply(404, "not_found", "Not found")
        return serve_object(StoredObject(key, self.objects[key]), request.headers.get("range"))

    def _find(self, escaped: str) -> str | None:
        if escaped in self.objects:
            return escaped
        # A key that has percent signs of its own has to be asked for verbatim: neither decoded nor encoded again.
        decoded = unquote_to_bytes(escaped).decode("utf-8", "replace")
        return decoded if "%" not in decoded and decoded in self.objects else None
