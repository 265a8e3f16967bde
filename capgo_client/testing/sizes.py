"""POST /updates/manifest_size: how much a device still has to fetch (section 1.7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from .wire import Reply

if TYPE_CHECKING:
    from .apps import App

__all__ = ["answer_sizes"]


def answer_sizes(app: App | None, fields: dict[str, Any]) -> Reply:
    """Answer a checked request; of an unknown app no size is known."""
    files = [_sized(app, each, fields) for each in _asked_for(fields)]
    sizes = [each["size"] for each in files if "size" in each]
    body = {
        "totalSize": sum(sizes),
        "knownFiles": len(sizes),
        "unknownFiles": len(files) - len(sizes),
        "files": files,
    }
    return Reply.of_json(200, body)


def _asked_for(fields: dict[str, Any]) -> list[dict[str, Any]]:
    """The entries that name a hash, each once."""
    listed = fields.get("manifest") or fields.get("files")
    entries = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    kept = {}
    for each in entries:
        entry = {name: each.get(name) for name in ("file_name", "file_hash", "download_url")}
        if isinstance(entry["file_hash"], str) and entry["file_hash"]:
            kept[tuple(str(value) for value in entry.values())] = entry
    return list(kept.values())


def _sized(app: App | None, entry: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    number = None if app is None else _version_number(app, entry, fields)
    size = None if app is None or number is None else app.sizes.get((number, entry["file_hash"]))
    return {**entry, "error": "size_unknown"} if size is None else {**entry, "size": size}


def _version_number(app: App, entry: dict[str, Any], fields: dict[str, Any]) -> int | None:
    """The address says it first, then the request's ``version_id``, then its ``version``."""
    url = entry["download_url"]
    keys = parse_qs(urlsplit(url).query).get("key", []) if isinstance(url, str) else []
    for said in (*keys[:1], str(fields.get("version_id") or "")):
        if said.isdecimal():
            return int(said)
    return app.versions.get(str(fields.get("version") or ""))
