"""What the reply to an update check means.

``classify_update`` is total: whatever the status, the headers and the body, it returns an outcome. The order of its
questions follows reference/plugin-behaviour.md section 1.2; what each code means stands in ``codes``. Nothing of
``moreInfo`` but the times gets into an outcome: the service echoes the caller's own ids there.
"""

from __future__ import annotations

from capgo_client.bundle import BUILTIN_ID
from capgo_client.errors import ReplyError
from capgo_client.protocol.codes import BREAKING_CODE, BREAKING_MESSAGE, PARSE_ERROR, RESPONSE_ERROR, meaning_of
from capgo_client.protocol.outcomes import (
    NO_ZIP_URL,
    Blocked,
    Builtin,
    Failed,
    Limited,
    ManifestEntry,
    Outcome,
    PlanEnded,
    Update,
)
from capgo_client.protocol.replies import boolean, decoration, field, items, parse_object, web_url
from capgo_client.protocol.retry_after import limit_ends, retry_after

TYPE_CHECKING = False  # spelled out: importing typing costs the launch path several milliseconds
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from capgo_client.protocol.replies import Reply

__all__ = ["MAX_MESSAGE", "MAX_VERSION", "classify_update", "entries_of"]

#: The longest version name accepted, in characters (the longest text that semver libraries read).
MAX_VERSION = 256
#: Where messages are cut, in characters.
MAX_MESSAGE = 300
_MAX_CODE = 64
_MAX_LINK = 2048
_MAX_COMMENT = 4000
_MAX_NAME = 2048
_MAX_DIGEST = 4096  # a signed digest is twice as many hex digits as its RSA key has bytes

_TOO_MANY = 429
_SERVER_FAULT = 500
_GOOD = range(200, 300)


def classify_update(status: int, headers: Mapping[str, str], body: bytes, *, now: float) -> Outcome:
    """Turn a reply into an outcome; ``now`` is the wall clock in epoch seconds. Never raises.

    A right-looking reply in which one essential value is wrong (type, length, control characters, no web address) is
    Failed with ``parse_error``; a wrong ``message``, ``link``, ``comment`` or ``breaking`` is only ignored.
    """
    if status in _GOOD:
        try:
            return _answer(status, headers, parse_object(body), now=now)
        except ReplyError as error:
            return Failed(PARSE_ERROR, error.message, status)
    reply = _object_or_nothing(body)
    if status == _TOO_MANY:
        return _too_many(headers, reply, now=now)
    return _bad_status(status, headers, reply, now=now)


def _object_or_nothing(body: bytes) -> Reply:
    try:
        return parse_object(body)
    except ReplyError:
        return {}


def _too_many(headers: Mapping[str, str], reply: Reply, *, now: float) -> Outcome:
    code = decoration(reply, "error", limit=_MAX_CODE)
    until = limit_ends(headers, reply, now=now)
    meaning = meaning_of(code)
    if meaning is PlanEnded:
        return PlanEnded(code, _message(reply), _TOO_MANY, retry_at=until)
    if meaning is Blocked:
        return _blocked(_TOO_MANY, code, reply)
    return Limited(code or "too_many_requests", _message(reply), _TOO_MANY, retry_at=until)


def _bad_status(status: int, headers: Mapping[str, str], reply: Reply, *, now: float) -> Outcome:
    code = decoration(reply, "error", limit=_MAX_CODE)
    until = retry_after(headers, now=now)
    if status < _SERVER_FAULT and meaning_of(code) is PlanEnded:
        return PlanEnded(code, _message(reply), status, retry_at=until)
    message = _message(reply) or f"the service answered with HTTP status {status}"
    return Failed(code or RESPONSE_ERROR, message, status, retry_at=until)


def _answer(status: int, headers: Mapping[str, str], reply: Reply, *, now: float) -> Outcome:
    # Both keys count, as in the plugin: a reply with a ``kind`` is never an update, whatever else is in it.
    error, kind = reply.get("error", ""), reply.get("kind", "")
    if not isinstance(error, str):
        raise ReplyError('"error" in the reply is not text')
    if not (error or isinstance(kind, str)):
        raise ReplyError('"kind" in the reply is not text')
    return _refusal(status, headers, reply, now=now) if error or kind else _offer(status, reply)


def _refusal(status: int, headers: Mapping[str, str], reply: Reply, *, now: float) -> Outcome:
    kind = decoration(reply, "kind", limit=_MAX_CODE)
    code = decoration(reply, "error", limit=_MAX_CODE)
    meaning = meaning_of(code, kind=kind)
    code = code or (RESPONSE_ERROR if meaning is Failed else kind)
    if meaning is Blocked:
        return _blocked(status, code, reply)
    if meaning is Limited:
        return Limited(code, _message(reply), status, retry_at=limit_ends(headers, reply, now=now))
    return meaning(code, _message(reply), status)


def _blocked(status: int, code: str, reply: Reply) -> Blocked:
    message = _message(reply)
    breaking = code == BREAKING_CODE or message == BREAKING_MESSAGE or boolean(reply, "breaking")
    return Blocked(code, message, status, version=_version_or_nothing(reply), breaking=breaking)


def _offer(status: int, reply: Reply) -> Outcome:
    version = _version(reply)
    if not version:
        raise ReplyError("the reply names no version and no error; this may not be the address for update checks")
    if version == BUILTIN_ID:
        return Builtin(BUILTIN_ID, _message(reply), status)
    url = web_url(reply, "url")
    manifest = entries_of(items(reply, "manifest"))
    if url == NO_ZIP_URL:
        url = ""
    if not url and not manifest:
        return Failed("no_url_or_manifest", f"the service offers {version} without an address", status)
    return Update(
        status=status,
        version=version,
        url=url,
        session_key=field(reply, "session_key", limit=_MAX_DIGEST),
        checksum=field(reply, "checksum", limit=_MAX_DIGEST),
        manifest=manifest,
        link=_link(reply),
        comment=decoration(reply, "comment", limit=_MAX_COMMENT, keep="\n"),
        breaking=boolean(reply, "breaking"),
    )


def entries_of(manifest: Iterable[ManifestEntry | Reply]) -> tuple[ManifestEntry, ...]:
    """The entries of a manifest, from values of ours or from objects with the service's keys.

    Raises:
        ReplyError: one of them lacks something, or is no entry.
    """
    return tuple(_entry(item) for item in manifest)


def _entry(item: ManifestEntry | Reply) -> ManifestEntry:
    if isinstance(item, ManifestEntry):
        return item
    if not isinstance(item, dict):
        raise ReplyError("an entry of the manifest is not an object")
    entry = ManifestEntry(
        file_name=field(item, "file_name", limit=_MAX_NAME),
        file_hash=field(item, "file_hash", limit=_MAX_DIGEST),
        download_url=web_url(item, "download_url"),
    )
    if not (entry.file_name and entry.file_hash and entry.download_url):
        raise ReplyError("an entry of the manifest in the reply lacks its name, its hash or its address")
    return entry


def _version(reply: Reply) -> str:
    version = field(reply, "version", limit=MAX_VERSION)
    if not version.isprintable() or (version and version.isspace()):
        raise ReplyError('"version" in the reply has characters in it that cannot be printed')
    return version


def _version_or_nothing(reply: Reply) -> str:
    try:
        return _version(reply)
    except ReplyError:
        return ""


def _link(reply: Reply) -> str:
    # Apps hand it to a browser, and nothing signs it: file:, javascript: and the like are not passed on.
    try:
        link = web_url(reply, "link")
    except ReplyError:
        return ""
    return link if len(link) <= _MAX_LINK and link.isprintable() else ""


def _message(reply: Reply) -> str:
    return decoration(reply, "message", limit=MAX_MESSAGE)
