"""The operations of /channel_self on a known app: set, get, unset, list (sections 2.3 and 2.4).

Plugins that are "old" leave their channel with the service; all others keep it themselves and are only told whether
they may have it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .apps import App, stores_channels
from .wire import Reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from .channels import Channel

__all__ = ["OPERATIONS", "refuse_call"]

_OK = Reply.of_json(200, {"status": "ok"})
_PRIVATE = "This channel does not allow devices to self associate"
_PUBLIC = (
    "This channel is public and does not allow device self-assignment. Unset the channel and the device will "
    "automatically use the public channel."
)


def refuse_call(error: str, message: str, **details: str) -> Reply:
    """A refusal with status 200, its details beside the error."""
    return Reply.of_json(200, {"error": error, "message": message, **details})


def _set(app: App, fields: dict[str, Any]) -> Reply:
    named = {"channel": fields["channel"], "app_id": fields["app_id"]}
    channel = app.channels.get(fields["channel"])
    if channel is None:
        return refuse_call("channel_not_found", "Cannot find channel", **named)
    if not channel.allow_self_set:
        if channel.public:
            return refuse_call("public_channel_self_set_not_allowed", _PUBLIC, **named)
        return refuse_call("channel_self_set_not_allowed", _PRIVATE, **named)
    if stores_channels(fields.get("plugin_version")):
        return _store(app, channel, fields)
    return Reply.of_json(200, {"status": "ok", "allowSet": True})


def _store(app: App, channel: Channel, fields: dict[str, Any]) -> Reply:
    present = _override(app, fields)
    if present is not None and not present.allow_self_set:
        return _cannot_override()
    if channel is app.public_channel(fields["platform"]):
        _forget(app, fields)
    else:
        app.stored[fields["device_id"].lower()] = channel.name
    return _OK


def _get(app: App, fields: dict[str, Any]) -> Reply:
    asked = fields.get("defaultChannel")
    if not stores_channels(fields.get("plugin_version")):
        if sent := fields.get("channel"):
            return Reply.of_json(200, {"channel": sent, "status": "override", "allowSet": True})
        # Not checked for existence: the real service repeats what it was told.
        return Reply.of_json(200, {"channel": asked or "production", "status": "default"})
    present = _override(app, fields)
    if present is not None:
        return Reply.of_json(200, {"channel": present.name, "status": "override", "allowSet": present.allow_self_set})
    default = app.channels.get(asked) if asked else app.public_channel(fields["platform"])
    if default is None:
        return refuse_call("channel_not_found", "Cannot find channel")
    return Reply.of_json(200, {"channel": default.name, "status": "default"})


def _unset(app: App, fields: dict[str, Any]) -> Reply:
    if not stores_channels(fields.get("plugin_version")):
        return _OK
    present = _override(app, fields)
    if present is None or not present.allow_self_set:
        return _cannot_override()
    _forget(app, fields)
    return _OK


def _list(app: App, fields: dict[str, Any]) -> Reply:
    listed = [
        {"id": each.id, "name": each.name, "public": each.public, "allow_self_set": each.allow_self_set}
        for each in app.channels.values()
        if (each.public or each.allow_self_set) and each.rules.lists(fields)
    ]
    return Reply.of_json(200, listed)


def _override(app: App, fields: dict[str, Any]) -> Channel | None:
    device = fields["device_id"].lower()
    return app.channels.get(app.overrides.get(device) or app.stored.get(device) or "")


def _forget(app: App, fields: dict[str, Any]) -> None:
    for held in (app.overrides, app.stored):
        held.pop(fields["device_id"].lower(), None)


def _cannot_override() -> Reply:
    return refuse_call("cannot_override", "Cannot change device override current channel don't allow it")


#: By HTTP method: the name under which calls are counted, and what is done.
OPERATIONS: dict[str, tuple[str, Callable[[App, dict[str, Any]], Reply]]] = {
    "POST": ("set", _set),
    "PUT": ("get", _get),
    "DELETE": ("delete", _unset),
    "GET": ("list", _list),
}
