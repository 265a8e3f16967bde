"""The service's mind without its sockets: channels, bundles, the plan, and the reply to each request.

Source: reference/service-behaviour.md; the numbers in comments are rows of its section 1.3. What is not told apart yet:
rate limits of /channel_self, server-stored channels of old plugins, the schema of single stats events.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from .cases import CASES, Context
from .objects import StoredObject, serve_object
from .semver import SemVer, parse_semver
from .validation import (
    APP_ID,
    Refused,
    check_channel_call,
    check_update_call,
    error_reply,
    parse_json,
    unknown_error,
)
from .wire import Reply

if TYPE_CHECKING:
    from .bundles import MadeBundle
    from .wire import Request

__all__ = ["ATTACHMENTS", "BUILTIN", "Backend", "Channel", "Offer", "kind_of"]

ATTACHMENTS = "/files/read/attachments/"
#: What a channel wants when it has no bundle of its own: the version inside the installer.
BUILTIN = "builtin"
_ORGANISATION = "00000000-0000-4000-8000-000000000001"
_FAILED = 500
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_OK = Reply.of_json(200, {"status": "ok"})
_NOT_FOUND = error_reply(404, "not_found", "Not found")
_PRIVATE = "This channel does not allow devices to self associate"
_PUBLIC = (
    "This channel is public and does not allow device self-assignment. Unset the channel and the device will "
    "automatically use the public channel."
)


@dataclass(frozen=True, slots=True)
class Offer:
    """A bundle that a channel points at, with what the publisher said of it."""

    bundle: MadeBundle
    url: str = ""
    link: str = ""
    comment: str = ""
    below_native: bool = False
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel; ``target`` is an offer, ``BUILTIN``, or None for nothing at all."""

    id: int
    name: str
    public: bool = False
    allow_self_set: bool = True
    target: Offer | str | None = None


def kind_of(request: Request) -> str:
    """Which endpoint a request is for: updates, stats, channel, download or other."""
    if request.path.startswith(ATTACHMENTS):
        return "download"
    ends = {"/updates": "updates", "/stats": "stats", "/channel_self": "channel"}
    return ends.get(request.path.rstrip("/"), "other")


class Backend:
    """State and replies. Not thread-safe: the service calls it under its lock."""

    def __init__(self, *, app_id: str | None = None) -> None:
        self.app_id = app_id
        self.plan_ended = False
        self.channels: dict[str, Channel] = {}
        self.objects: dict[str, bytes] = {}
        self.add_channel("production", public=True)

    def add_channel(self, name: str, *, public: bool = False, allow_self_set: bool = True) -> None:
        """Make a channel that wants nothing yet."""
        self.channels[name] = Channel(len(self.channels) + 1, name, public, allow_self_set)

    def point(self, name: str, target: Offer | str | None) -> None:
        """Say what a channel wants."""
        if name not in self.channels:
            raise KeyError(f"no channel {name!r}; make it first with add_channel()")
        self.channels[name] = replace(self.channels[name], target=target)

    def reply(self, request: Request, base_url: str) -> Reply:
        """What the service answers; ``base_url`` goes into the download addresses."""
        if request.method == "OPTIONS":
            return Reply(204)
        try:
            return self._route(request, base_url)
        except Refused as refused:
            return refused.reply

    def _route(self, request: Request, base_url: str) -> Reply:
        kind = kind_of(request)
        if kind == "updates" and request.method == "POST":
            return self._updates(request, base_url)
        if kind == "stats" and request.method == "POST":
            return self._stats(parse_json(request.body))
        if kind == "channel":
            return self._channel_self(request)
        if kind == "download":
            return self._download(request)
        return _OK if _is_ping(kind, request) else _NOT_FOUND

    # /updates

    def _updates(self, request: Request, base_url: str) -> Reply:
        fields = check_update_call(parse_json(request.body))
        self._check_app(fields["app_id"])
        plugin = parse_semver(fields["plugin_version"]) or SemVer(0, 0, 0)
        if plugin.major == 4:  # noqa: PLR2004 - row 8
            return _case("unsupported_plugin_version", fields)
        channel = self._channel_for(fields)
        if channel is None or channel.target is None:
            return _case("no_channel", fields)  # row 9
        if isinstance(channel.target, str):
            old = plugin < SemVer(6, 2, 0)
            return _case("revert_to_builtin_plugin_version_too_old" if old else "already_on_builtin", fields)
        return self._offer(channel.target, fields, plugin, base_url)

    def _check_app(self, app_id: str) -> None:
        if self.plan_ended or (self.app_id is not None and app_id != self.app_id):
            raise Refused(_case("on_premise_app", {}))

    def _channel_for(self, fields: dict[str, Any]) -> Channel | None:
        name = fields.get("defaultChannel")
        if name:
            # A channel that was asked for and cannot be used never falls back to the public one (section 1.4).
            channel = self.channels.get(name)
            return channel if channel is not None and (channel.public or channel.allow_self_set) else None
        return next((channel for channel in self.channels.values() if channel.public), None)

    def _offer(self, offer: Offer, fields: dict[str, Any], plugin: SemVer, base_url: str) -> Reply:
        bundle = offer.bundle
        sent_key = fields.get("key_id")
        if sent_key and bundle.key_id and sent_key != bundle.key_id and plugin > SemVer(8, 40, 7):
            return _key_mismatch(sent_key, bundle.key_id)  # row 11
        if bundle.version == fields["version_name"]:
            return _case("no_new_version_available", fields)  # row 12
        target, native = parse_semver(bundle.version), parse_semver(fields["version_build"])
        if not offer.below_native and target is not None and native is not None and target < native:
            return _case("disable_auto_update_under_native", fields, version=bundle.version)  # row 20
        body = {
            "version": bundle.version,
            "url": offer.url or self._store(bundle, fields, base_url),
            "session_key": bundle.session_key,
            "checksum": bundle.checksum,
        }
        if not _lacks_metadata(plugin):
            body.update({name: text for name in ("link", "comment") if (text := getattr(offer, name))})
        return Reply.of_json(200, {**body, **offer.extra})

    def _store(self, bundle: MadeBundle, fields: dict[str, Any], base_url: str) -> str:
        key = f"orgs/{_ORGANISATION}/apps/{fields['app_id']}/{bundle.version}.zip"
        self.objects[key] = bundle.archive
        # The checksum is not percent-encoded: the real service does not do it either (section 4.1).
        return f"{base_url}{ATTACHMENTS}{key}?key={bundle.checksum}&device_id={fields['device_id']}"

    # /files

    def _download(self, request: Request) -> Reply:
        escaped = request.path.removeprefix(ATTACHMENTS)
        if _BROKEN_ESCAPE.search(escaped):
            more = {"requestId": str(uuid.uuid4())}
            return error_reply(400, "invalid_file_path_encoding", "Invalid attachment file path encoding", more)
        key = escaped if escaped in self.objects else unquote_to_bytes(escaped).decode("utf-8", "replace")
        if key not in self.objects or request.method not in {"GET", "HEAD"}:
            return _NOT_FOUND
        return serve_object(StoredObject(key, self.objects[key]), request.headers.get("range"))

    # /stats

    def _stats(self, value: Any) -> Reply:
        if not isinstance(value, list):
            _check_event_app(value, 400)
            self._check_app(value["app_id"])
            _check_event(value)
            return _OK
        if not value:
            return Reply.of_json(200, {"status": "ok", "results": []})
        for index, event in enumerate(value):
            _check_event_app(event, 200 if index else 400)
        if len({event["app_id"] for event in value}) > 1:
            return _refusal("mixed_app_ids", "All events in a batch must have the same app_id")
        return self._batch(value)

    def _batch(self, events: list[dict[str, Any]]) -> Reply:
        if self.plan_ended:
            return _case("on_premise_app", {})
        results = []
        for index, event in enumerate(events):
            result: dict[str, Any] = {"status": "ok", "index": index}
            try:
                self._check_app(event["app_id"])
                _check_event(event)
            except Refused as refused:
                said = parse_json(refused.reply.body)
                # What would be a 500 for a single event is an error of that item in a batch.
                code = "processing_error" if refused.reply.status == _FAILED else said["error"]
                result = {"status": "error", "error": code, "message": said["message"], "index": index}
            results.append(result)
        return Reply.of_json(200, {"status": "ok", "results": results})

    # /channel_self, for plugins that keep the channel themselves (section 2.3, "new")

    def _channel_self(self, request: Request) -> Reply:
        operations = {
            "POST": self._set_channel,
            "PUT": self._get_channel,
            "DELETE": self._unset_channel,
            "GET": self._list_channels,
        }
        if request.method not in operations:
            return _NOT_FOUND
        has_body = request.method in {"POST", "PUT"}
        value = parse_json(request.body) if has_body else request.query
        fields = check_channel_call(value, method=request.method)
        if request.method == "POST" and not fields.get("channel"):
            return _refusal("missing_channel", "Cannot find channel in body")
        self._check_app(fields["app_id"])
        return operations[request.method](fields)

    def _set_channel(self, fields: dict[str, Any]) -> Reply:
        named = {"channel": fields["channel"], "app_id": fields["app_id"]}
        channel = self.channels.get(fields["channel"])
        if channel is None:
            return _refusal("channel_not_found", "Cannot find channel", **named)
        if channel.allow_self_set:
            return Reply.of_json(200, {"status": "ok", "allowSet": True})
        if channel.public:
            return _refusal("public_channel_self_set_not_allowed", _PUBLIC, **named)
        return _refusal("channel_self_set_not_allowed", _PRIVATE, **named)

    def _get_channel(self, fields: dict[str, Any]) -> Reply:
        if sent := fields.get("channel"):
            return Reply.of_json(200, {"channel": sent, "status": "override", "allowSet": True})
        # Not checked for existence: the real service repeats what it was told.
        return Reply.of_json(200, {"channel": fields.get("defaultChannel") or "production", "status": "default"})

    def _unset_channel(self, _: dict[str, Any]) -> Reply:
        return _OK

    def _list_channels(self, _: dict[str, Any]) -> Reply:
        listed = [
            {"id": each.id, "name": each.name, "public": each.public, "allow_self_set": each.allow_self_set}
            for each in self.channels.values()
            if each.public or each.allow_self_set
        ]
        return Reply.of_json(200, listed)


def _is_ping(kind: str, request: Request) -> bool:
    if request.path.rstrip("/") == "/ok":
        return request.method in {"GET", "POST"}
    return request.method == "GET" and kind in {"updates", "stats"}


def _case(code: str, fields: dict[str, Any], *, version: str = "") -> Reply:
    return CASES[code].reply(Context(version=version, request=fields))


def _refusal(error: str, message: str, **details: str) -> Reply:
    return Reply.of_json(200, {"error": error, "message": message, **details})


def _key_mismatch(sent: str, wanted: str) -> Reply:
    message = CASES["key_id_mismatch"].message
    body = {"error": "key_id_mismatch", "message": message, "deviceKeyId": sent, "bundleKeyId": wanted}
    return Reply.of_json(200, {**body, "kind": "blocked"})


def _lacks_metadata(plugin: SemVer) -> bool:
    # Section 5: link and comment came with 5.35.0, 6.35.0, 7.35.0 and 8.35.0.
    return plugin.major in {5, 6, 7, 8} and plugin < SemVer(plugin.major, 35, 0)


def _check_event_app(event: Any, status: int) -> None:
    app_id = event.get("app_id") if isinstance(event, dict) else None
    if isinstance(app_id, str) and APP_ID.fullmatch(app_id):
        return
    message = "App ID must be a reverse domain string" if app_id else "App ID is required"
    # Thrown errors carry moreInfo, refusals do not.
    refused = _refusal("invalid_app_id", message) if status == _OK.status else None
    raise Refused(refused or error_reply(status, "invalid_app_id", message, {}))


def _check_event(event: dict[str, Any]) -> None:
    if not event.get("device_id"):
        raise Refused(error_reply(400, "missing_device_id", "Cannot find device_id", {"body": event}))
    if "action" not in event:
        raise Refused(unknown_error())
