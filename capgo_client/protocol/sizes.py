"""How much there is to download: ``POST <update address>/manifest_size``.

Request and failures: reference/plugin-behaviour.md section 1.5; reply: reference/service-behaviour.md section 1.7.
Sizes are those of the stored, compressed files. They are for a person who decides: nothing checks them, and nothing
but a progress bar should rest on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from capgo_client.errors import ReplyError
from capgo_client.protocol.codes import PARSE_ERROR, RESPONSE_ERROR
from capgo_client.protocol.replies import MAX_REPLY_BYTES, MAX_SHORT_REPLY_BYTES, decoration, items, parse_object
from capgo_client.protocol.requests import info, json_body

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from capgo_client.protocol.outcomes import ManifestEntry
    from capgo_client.protocol.replies import Reply
    from capgo_client.protocol.requests import Identity

__all__ = [
    "MAX_SIZE",
    "REQUEST_ERROR",
    "TIMEOUT_ERROR",
    "DownloadSize",
    "FileSize",
    "longest_reply",
    "no_sizes",
    "read_sizes",
    "size_body",
    "size_url",
]

#: The largest size that is believed of one file, in bytes.
MAX_SIZE = 2**40
#: Nothing was heard, and no time ran out.
REQUEST_ERROR = "request_error"
#: Nothing was heard in the time allowed.
TIMEOUT_ERROR = "timeout_error"
_UNKNOWN = "size_unknown"  # the service's own word

_MAX_CODE = 64
_GOOD = range(200, 300)


@dataclass(frozen=True, slots=True)
class FileSize:
    """One file of the manifest: its stored size in bytes, or None and the reason in ``error``."""

    file_name: str
    file_hash: str
    download_url: str
    size: int | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class DownloadSize:
    """The sum of the sizes that are known, in bytes, and how many are and are not.

    ``files`` has one item for each entry of the manifest, in its order. Entries of one address count once in
    ``total_size``: they are one file.
    """

    total_size: int = 0
    known_files: int = 0
    unknown_files: int = 0
    files: tuple[FileSize, ...] = ()


def size_url(update_url: str) -> str:
    """Where to ask: the address of update checks with ``/manifest_size`` behind its path, without its query."""
    scheme, host, path, _, _ = urlsplit(update_url)
    return urlunsplit((scheme, host, f"{path.rstrip('/')}/manifest_size", "", ""))


def size_body(identity: Identity, *, version_name: str, version: str, manifest: Iterable[ManifestEntry]) -> bytes:
    """The body of the request; ``version`` is the bundle's, "" where it is not known."""
    entries = [
        {"file_name": entry.file_name, "file_hash": entry.file_hash, "download_url": entry.download_url}
        for entry in manifest
    ]
    return json_body({**info(identity, version_name=version_name), "version": version, "manifest": entries})


def longest_reply(body: bytes) -> int:
    """The longest reply to the request ``body``, in bytes: it repeats the manifest, perhaps escaped otherwise."""
    return min(MAX_SHORT_REPLY_BYTES + 2 * len(body), MAX_REPLY_BYTES)


def read_sizes(status: int, body: bytes, manifest: Sequence[ManifestEntry]) -> DownloadSize:
    """The sizes in a reply, for the entries of ``manifest`` and no others. Never raises.

    What is wrong with the whole reply (``response_error``, ``parse_error``) is the error of every file, a size that is
    none that of its file. The sums are ours: those in the reply are not read.
    """
    if status not in _GOOD:
        return no_sizes(manifest, error=RESPONSE_ERROR)
    try:
        reply = parse_object(body)
        if reply.get("error"):
            return no_sizes(manifest, error=RESPONSE_ERROR)
        if "files" not in reply:
            return no_sizes(manifest, error=PARSE_ERROR)
        found = _found(items(reply, "files"))
    except ReplyError:
        return no_sizes(manifest, error=PARSE_ERROR)
    return _summed(_file(entry, found.get(_key(entry)) or found.get(("", entry.file_hash))) for entry in manifest)


def no_sizes(manifest: Iterable[ManifestEntry], *, error: str) -> DownloadSize:
    """What is known when nothing is, and why; all zeros for an empty manifest."""
    return _summed(FileSize(each.file_name, each.file_hash, each.download_url, error=error) for each in manifest)


def _summed(sizes: Iterable[FileSize]) -> DownloadSize:
    files = tuple(sizes)
    known = [file for file in files if file.size is not None]
    by_address = {file.download_url: file.size or 0 for file in known}
    return DownloadSize(sum(by_address.values()), len(known), len(files) - len(known), files)


def _key(entry: ManifestEntry) -> tuple[str, str]:
    return entry.download_url, entry.file_hash


def _found(files: Iterable[Reply]) -> dict[tuple[str, str], Reply]:
    """By address and hash, and by hash alone: the service merges entries, and may leave the address out."""
    found: dict[tuple[str, str], Reply] = {}
    for file in files:
        url, digest = file.get("download_url", ""), file.get("file_hash", "")
        if isinstance(url, str) and isinstance(digest, str):
            found.setdefault((url, digest), file)
            found.setdefault(("", digest), file)
    return found


def _file(entry: ManifestEntry, told: Reply | None) -> FileSize:
    size, error = (None, _UNKNOWN) if told is None else _size(told)
    return FileSize(entry.file_name, entry.file_hash, entry.download_url, size, error)


def _size(told: Reply) -> tuple[int | None, str]:
    if error := decoration(told, "error", limit=_MAX_CODE):
        return None, error
    size = told.get("size")
    if size is None:
        return None, _UNKNOWN
    if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= MAX_SIZE:
        return None, PARSE_ERROR
    return size, ""
