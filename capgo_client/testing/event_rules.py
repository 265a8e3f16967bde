"""What the service checks of one stats event (reference/service-behaviour.md sections 3.1 and 3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .validation import (
    app_id_issue,
    boolean_issue,
    check_build,
    check_fields,
    check_ids,
    device_id_issue,
    optional_issue,
    version_issue,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ACTIONS", "check_event"]

_ACCEPTED = """
ping delete reset set set_next get uninstall app_moved_to_foreground app_moved_to_background app_launch_start
app_launch_ready app_launch_timeout os_version_changed native_app_version_changed

download_0 download_10 download_20 download_30 download_40 download_50 download_60 download_70 download_80
download_90 download_complete download_zip_start download_zip_complete download_manifest_start
download_manifest_complete

set_fail update_fail download_fail finish_download_fail unzip_fail decrypt_fail checksum_fail checksum_required
windows_path_fail canonical_path_fail directory_path_fail manifest_path_fail low_mem_fail insufficient_disk_space
download_manifest_file_fail download_manifest_checksum_fail download_manifest_brotli_fail keyMismatch

setChannel getChannel rateLimited rate_limit_reached blocked_by_server_url disableAutoUpdate

needPlanUpgrade missingBundle noNew disablePlatformIos disablePlatformAndroid disablePlatformElectron
disableAutoUpdateToMajor disableAutoUpdateToMinor disableAutoUpdateToPatch disableAutoUpdateMetadata
disableAutoUpdateUnderNative channelMisconfigured cannotUpdateViaPrivateChannel disableDevBuild disableProdBuild
disableEmulator disableDevice cannotGetBundle NoChannelOrOverride InvalidIp backend_refusal customIdBlocked

app_crash app_crash_native app_anr app_killed_low_memory app_killed_excessive_resource_usage
app_initialization_failure app_memory_warning webview_javascript_error webview_unhandled_rejection
webview_resource_error webview_security_policy_violation webview_unclean_restart webview_render_process_gone
webview_content_process_terminated webview_dom_content_loaded webview_page_loaded
"""
#: Every action that is accepted, in the order of section 3.2.
ACTIONS = tuple(_ACCEPTED.split())
_OPTIONAL = {
    "plugin_version": None,
    "defaultChannel": None,
    "channel": None,
    "old_version_name": None,
    "version_code": None,
    "install_source": 64,
    "key_id": 20,
}
_CUSTOM_ID = 36
_MOST_FIELDS, _LONGEST_KEY, _LONGEST_VALUE = 30, 64, 2048


def check_event(event: dict[str, Any]) -> dict[str, Any]:
    """Check one event whose app id is known to be right; return it with the version that it means.

    Raises:
        Refused: With the reply that a single event gets.
    """
    fields = check_ids(event, "invalid_json_body", needs_device=True)
    build = check_build(fields)
    if fields.get("version_name") == "builtin":
        meant = {**fields, "version_name": build}
        if not build:
            del meant["version_name"]
        fields = meant
    check_fields(fields, _issues, "invalid_json_body")
    return fields


def _issues(fields: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "app_id", app_id_issue(fields)
    yield "device_id", device_id_issue(fields)
    yield "platform", version_issue(fields, "platform", "Platform", may_be_empty=True)
    yield "version_name", version_issue(fields, "version_name", "Version name", may_be_empty=True)
    yield "version_os", version_issue(fields, "version_os", "Version OS", may_be_empty=True)
    yield "is_emulator", boolean_issue(fields, "is_emulator")
    yield "is_prod", boolean_issue(fields, "is_prod")
    yield "version_build", optional_issue(fields, "version_build", None)
    for name, limit in _OPTIONAL.items():
        yield name, optional_issue(fields, name, limit)
    yield "custom_id", _custom_id_issue(fields)
    yield "action", _action_issue(fields)
    yield from _metadata_issues(fields.get("metadata", {}))


def _custom_id_issue(fields: dict[str, Any]) -> str:
    value = fields.get("custom_id", "")
    trimmed = {"custom_id": value.strip() if isinstance(value, str) else value}
    return optional_issue(trimmed, "custom_id", _CUSTOM_ID)


def _action_issue(fields: dict[str, Any]) -> str:
    action = fields.get("action", "ping")
    if not isinstance(action, str):
        return "action must be a string"
    return "" if action in ACTIONS else f"action must be one of: {', '.join(ACTIONS)}"


def _metadata_issues(metadata: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(metadata, dict):
        yield "metadata", "metadata must be an object with string values"
        return
    if len(metadata) > _MOST_FIELDS:
        yield "metadata", f"metadata must contain at most {_MOST_FIELDS} fields"
    for key, value in metadata.items():
        if len(key) > _LONGEST_KEY:
            yield f"metadata.{key}", f"metadata keys must contain at most {_LONGEST_KEY} characters"
        if not isinstance(value, str):
            yield f"metadata.{key}", "metadata values must be strings"
        elif len(value) > _LONGEST_VALUE:
            yield f"metadata.{key}", f"metadata values must contain at most {_LONGEST_VALUE} characters"
