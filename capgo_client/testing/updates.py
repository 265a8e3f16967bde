"""POST /updates: the ladder of decisions, and the body of an update (section 1).

Numbers in comments are rows of reference/service-behaviour.md section 1.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .cases import CASES
from .channels import Offer, refuse
from .downloads import NO_ZIP
from .semver import SemVer, parse_semver
from .wire import Reply

if TYPE_CHECKING:
    from .apps import App
    from .downloads import Store

__all__ = ["answer_update"]

_FOUR = 4
_KEYS_COMPARED_ABOVE = SemVer(8, 40, 7)
_BUILTIN_FROM = SemVer(6, 2, 0)
#: Section 5: the first version of each major that gets a manifest, and that gets link and comment.
_MANIFEST_FROM = {5: SemVer(5, 10, 0), 6: SemVer(6, 25, 0), 7: SemVer(7, 0, 35), 8: SemVer(8, 0, 0)}
_METADATA_FROM = {major: SemVer(major, 35, 0) for major in (5, 6, 7, 8)}


def answer_update(app: App, fields: dict[str, Any], store: Store, base_url: str) -> Reply:
    """Answer a checked request for a known app whose plan is valid; ``base_url`` goes into the addresses."""
    plugin = _plugin(fields)
    if plugin.major == _FOUR:
        return refuse("unsupported_plugin_version", fields)  # 8
    channel = app.channel_for(fields)
    target = channel.target_for(fields["app_id"], fields) if channel is not None else None
    if channel is None or target is None:
        return refuse("no_channel", fields)  # 9
    if isinstance(target, Offer):
        refused = _refuse_offer(target, fields, plugin)
        if refused is not None:
            return refused
    withheld = channel.withholds(target, fields)
    if withheld is not None:
        return withheld
    if not isinstance(target, Offer):
        too_old = plugin < _BUILTIN_FROM
        code = "revert_to_builtin_plugin_version_too_old" if too_old else "already_on_builtin"
        return refuse(code, fields)  # 25, 26
    return _update(app, target, fields, store, base_url)


def _refuse_offer(offer: Offer, fields: dict[str, Any], plugin: SemVer) -> Reply | None:
    bundle, sent = offer.bundle, fields.get("key_id")
    if not offer.uploaded:
        return refuse("no_bundle", fields)  # 10
    if sent and bundle.key_id and sent != bundle.key_id and plugin > _KEYS_COMPARED_ABOVE:
        return _key_mismatch(fields, bundle.key_id)  # 11
    if bundle.version == fields["version_name"]:
        return refuse("no_new_version_available", fields)  # 12
    return None


def _key_mismatch(fields: dict[str, Any], wanted: str) -> Reply:
    message = CASES["key_id_mismatch"].message
    body = {"error": "key_id_mismatch", "message": message, "deviceKeyId": fields["key_id"], "bundleKeyId": wanted}
    return Reply.of_json(200, {**body, "kind": "blocked"})


def _plugin(fields: dict[str, Any]) -> SemVer:
    return parse_semver(fields["plugin_version"]) or SemVer(0, 0, 0)


def _update(app: App, offer: Offer, fields: dict[str, Any], store: Store, base_url: str) -> Reply:
    bundle, plugin = offer.bundle, _plugin(fields)
    if offer.url and not offer.url.startswith(("http://", "https://")):
        return refuse("no_bundle_url", fields)  # 27
    body: dict[str, Any] = {
        "version": bundle.version,
        "url": offer.url or _zip_url(offer, fields, store, base_url),
        "session_key": bundle.session_key,
        "checksum": bundle.checksum,
    }
    if bundle.manifest and not offer.url and _knows(plugin, _MANIFEST_FROM):
        body["manifest"] = _manifest(offer, fields, store, base_url)
    if app.exposes_metadata and _knows(plugin, _METADATA_FROM):
        body.update({name: text for name in ("link", "comment") if (text := getattr(offer, name))})
    return Reply.of_json(200, {**body, **offer.extra})


def _zip_url(offer: Offer, fields: dict[str, Any], store: Store, base_url: str) -> str:
    if offer.delta_only:
        return NO_ZIP
    return base_url + store.add_zip(offer.bundle, fields["app_id"], fields["device_id"])


def _manifest(offer: Offer, fields: dict[str, Any], store: Store, base_url: str) -> list[dict[str, str]]:
    app_id, device_id = fields["app_id"], fields["device_id"]
    return [
        {
            "file_name": each.file_name,
            "file_hash": each.file_hash,
            "download_url": base_url + store.add_file(each, app_id, device_id, version_id=offer.version_id),
        }
        for each in offer.bundle.manifest
    ]


def _knows(plugin: SemVer, since: dict[int, SemVer]) -> bool:
    """Whether the plugin is new enough within its major; majors without an entry always are."""
    return plugin.major not in since or plugin >= since[plugin.major]
