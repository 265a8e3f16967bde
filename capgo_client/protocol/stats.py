"""What this device tells of itself: one event, and which action of the service's list a failure is.

Fields and limits: reference/service-behaviour.md section 3.1; actions: section 3.2 there and plugin-behaviour.md
section 5. What a reply means stands in ``deliveries``.
"""

from __future__ import annotations

from capgo_client.protocol.requests import MAX_CUSTOM_ID, info
from capgo_client.protocol.text import is_plain
from capgo_client.values import dataclass, field, replace

TYPE_CHECKING = False  # spelled out: importing typing costs the launch path several milliseconds
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from capgo_client.protocol.requests import Identity

__all__ = [
    "ACTIONS",
    "CLIENT_ACTIONS",
    "MAX_BATCH",
    "MAX_FIELDS",
    "MAX_KEY",
    "MAX_VALUE",
    "StatsEvent",
    "event_body",
    "failure_action",
]

#: The most events in one request (the plugin's limit; the service names none).
MAX_BATCH = 200
#: What ``metadata`` may hold: fields, and characters in a key and in a value.
MAX_FIELDS = 30
MAX_KEY = 64
MAX_VALUE = 2048

#: The longest name of a version, with the file behind it (ours; the service names no limit).
_MAX_NAME = 1024
#: The largest number of milliseconds that JavaScript holds exactly.
_MAX_TIMESTAMP = 2**53 - 1

_LIFECYCLE = """
    ping delete reset set set_next get uninstall app_moved_to_foreground app_moved_to_background app_launch_start
    app_launch_ready app_launch_timeout os_version_changed native_app_version_changed
"""
_DOWNLOAD = """
    download_0 download_10 download_20 download_30 download_40 download_50 download_60 download_70 download_80
    download_90 download_complete download_zip_start download_zip_complete download_manifest_start
    download_manifest_complete
"""
_FAILURE = """
    set_fail update_fail download_fail finish_download_fail unzip_fail decrypt_fail checksum_fail checksum_required
    windows_path_fail canonical_path_fail directory_path_fail manifest_path_fail low_mem_fail insufficient_disk_space
    download_manifest_file_fail download_manifest_checksum_fail download_manifest_brotli_fail
"""
_LIMITS = "setChannel getChannel rateLimited rate_limit_reached blocked_by_server_url disableAutoUpdate"
#: What the service writes itself when it refuses; it takes them from devices too.
_MIRRORS = """
    keyMismatch needPlanUpgrade missingBundle noNew disablePlatformIos disablePlatformAndroid disablePlatformElectron
    disableAutoUpdateToMajor disableAutoUpdateToMinor disableAutoUpdateToPatch disableAutoUpdateMetadata
    disableAutoUpdateUnderNative channelMisconfigured cannotUpdateViaPrivateChannel disableDevBuild disableProdBuild
    disableEmulator disableDevice cannotGetBundle NoChannelOrOverride InvalidIp backend_refusal customIdBlocked
"""
_HEALTH = """
    app_crash app_crash_native app_anr app_killed_low_memory app_killed_excessive_resource_usage
    app_initialization_failure app_memory_warning
"""
_WEBVIEW = """
    webview_javascript_error webview_unhandled_rejection webview_resource_error webview_security_policy_violation
    webview_unclean_restart webview_render_process_gone webview_content_process_terminated webview_dom_content_loaded
    webview_page_loaded
"""

#: Every action that the service takes, 91 of them.
ACTIONS = frozenset(f"{_LIFECYCLE} {_DOWNLOAD} {_FAILURE} {_LIMITS} {_MIRRORS} {_HEALTH} {_WEBVIEW}".split())

_NOT_RAISED = frozenset({"ping", "get", "uninstall"})
_RAISED_TOO = frozenset({"rate_limit_reached", "app_crash", "app_initialization_failure", "app_memory_warning"})
#: Those that a client without a webview raises. Left out beside the webview's and the service's own: what the plugin
#: never raises either (ping, get, uninstall, setChannel, ...), its development server, and what only Android's record
#: of past exits tells (native crash, ANR, kills).
CLIENT_ACTIONS = frozenset(f"{_LIFECYCLE} {_DOWNLOAD} {_FAILURE}".split()) - _NOT_RAISED | _RAISED_TOO


@dataclass(frozen=True, slots=True)
class StatsEvent:
    """One thing that happened. ``version_name`` is the version it is about, ``<version>:<file>`` for a single file."""

    action: str
    version_name: str
    old_version_name: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


def event_body(
    identity: Identity,
    *,
    action: str,
    version_name: str,
    at: float,
    old_version_name: str = "",
    metadata: Mapping[str, object] | None = None,
) -> dict[str, object]:
    """One event as the service wants it, whatever the app gave: too long is cut, null left out.

    ``at`` is wall-clock time in epoch seconds. A custom id that is too long is left out: cut, it would name another
    user.

    Raises:
        ValueError: ``action`` is not one that the service takes.
    """
    if action not in ACTIONS:
        raise ValueError(f"the service knows no action {action!r}")
    custom_id = _fit(identity.custom_id).strip()
    identity = replace(identity, custom_id=custom_id if _units(custom_id) <= MAX_CUSTOM_ID else "")
    body = info(identity, version_name=_fit(version_name, _MAX_NAME))
    # The one field that is required here and not of a check.
    body["version_os"] = body["version_os"] or "unknown"
    body["action"] = action
    body["old_version_name"] = _fit(old_version_name, _MAX_NAME)
    body["timestamp"] = _milliseconds(at)
    if metadata and (kept := dict(_fields(metadata))):
        body["metadata"] = kept
    return body


def failure_action(code: str) -> str:
    """The action for a download that failed with this error code; "" where ``download_fail`` says it all.

    What the plugin has no word for is told by its nearest: a rule of our own on names is a bad path, one on archives
    a bad archive, one on the bundle's own record a bundle that could not be finished.
    """
    if code in _FAILURES:
        return code
    if code in _BY_CODE:
        return _BY_CODE[code]
    return next((action for prefix, action in _BY_PREFIX.items() if code.startswith(prefix)), "")


_FAILURES = frozenset(_FAILURE.split()) - {"set_fail", "update_fail", "download_fail"}
_BY_CODE = {
    "unsigned": "decrypt_fail",
    "session_key_invalid": "decrypt_fail",
    # Names that only Windows refuses.
    "name_character": "windows_path_fail",
    "name_reserved": "windows_path_fail",
    "name_trailing": "windows_path_fail",
    "name_file_and_folder": "directory_path_fail",
    "manifest_duplicate": "manifest_path_fail",
    "crc_fail": "unzip_fail",
    "size_mismatch": "unzip_fail",
    "entry_missing": "finish_download_fail",
    "integrity_error": "finish_download_fail",
    "platform_unsupported": "finish_download_fail",
    "requires_python": "finish_download_fail",
    "min_app_version": "finish_download_fail",
}
_BY_PREFIX = {
    "archive_": "unzip_fail",
    "bound_": "finish_download_fail",
    "checksum_": "checksum_fail",
    "key_": "decrypt_fail",
    "name_": "canonical_path_fail",
    "signature_": "decrypt_fail",
}


def _fields(metadata: Mapping[str, object]) -> Iterable[tuple[str, str]]:
    pairs = [(key, value) for key, value in metadata.items() if value is not None]
    return ((_fit(key, MAX_KEY), _fit(value, MAX_VALUE)) for key, value in pairs[:MAX_FIELDS])


def _fit(value: object, limit: int | None = None) -> str:
    """Text of at most ``limit`` characters as JavaScript counts them; what no database keeps becomes U+FFFD."""
    text = value if isinstance(value, str) else str(value)
    text = text if limit is None else text[:limit]
    if not is_plain(text):
        text = "".join(char if char in "\n\t" or is_plain(char) else "\ufffd" for char in text)
    while limit is not None and _units(text) > limit:
        text = text[: len(text) - max(1, (_units(text) - limit) // 2)]
    return text


def _units(text: str) -> int:
    """The length in UTF-16 units, which the service counts in."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "replace")) // 2


def _milliseconds(at: float) -> int:
    # Compared before it is multiplied: the largest floats become infinite, and "not a number" is never more.
    return int(at * 1000) if 0 < at <= _MAX_TIMESTAMP / 1000 else 0
