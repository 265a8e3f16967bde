"""Every option, method, event and statistic of Capgo's plugin has its counterpart; docs/capgo-plugin-table.md tells it.

The lists are the plugin's (reference/plugin-behaviour.md sections 3, 4.1, 4.2 and 5), written by hand. The document has
one row for each of their names and no other; the second cell is the counterpart, which has to exist, or one of the
reasons below for there being none.
"""

from __future__ import annotations

import ast
import functools
import inspect
import re
from pathlib import Path

import pytest

import capgo_client
from capgo_client import Updater
from capgo_client.events import EVENT_NAMES
from capgo_client.protocol import stats
from capgo_client.protocol.stats import CLIENT_ACTIONS

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "capgo-plugin-table.md"
PACKAGE = Path(capgo_client.__file__).parent

#: Why there is no counterpart. No other reason is allowed, and none for any other name than those in ``ALLOWED``.
WEBVIEW, UI, STORE, PREVIEW, CLI = "no webview", "no shake menu", "no store", "no preview", "for the command line"
#: It is said otherwise, by what stands behind it.
TOLD_AS = "told as "

OPTIONS = {
    "appId": "app_id",
    "version": "version",
    "autoUpdate": "auto_update",
    "directUpdate": "direct_update",
    "updateUrl": "update_url",
    "statsUrl": "stats_url",
    "channelUrl": "channel_url",
    "publicKey": "public_key",
    "defaultChannel": "default_channel",
    "appReadyTimeout": "app_ready_timeout",
    "responseTimeout": "response_timeout",
    "periodCheckDelay": "period_check_delay",
    "autoDeleteFailed": "auto_delete_failed",
    "autoDeletePrevious": "auto_delete_previous",
    "resetWhenUpdate": "reset_when_update",
    "allowModifyUrl": "allow_modify_url",
    "persistModifyUrl": "persist_modify_url",
    "allowModifyAppId": "allow_modify_app_id",
    "persistCustomId": "persist_custom_id",
    "allowManualBundleError": "allow_manual_bundle_error",
    "allowSetDefaultChannel": "allow_set_default_channel",
    "persistDefaultChannelOnReinstall": "persist_default_channel_on_reinstall",
    # start() is the splash: it returns when this time is over.
    "autoSplashscreen": "direct_timeout",
    "autoSplashscreenTimeout": "direct_timeout",
    "osLogging": "logging: capgo_client",
    "allowPreview": PREVIEW,
    "keepUrlPathAfterReload": WEBVIEW,
    "disableJSLogging": WEBVIEW,
    "autoSplashscreenLoader": UI,
    "shakeMenu": UI,
    "shakeMenuGesture": UI,
    "allowShakeChannelSelector": UI,
    "localS3": CLI,
    "localHost": CLI,
    "localWebHost": CLI,
    "localSupa": CLI,
    "localSupaAnon": CLI,
    "localApi": CLI,
    "localApiFiles": CLI,
    # The host framework's own option: where the code comes from while it is being written.
    "server.url": "environment: CAPGO_CLIENT_FORCE_BUILTIN",
}

METHODS = {
    "notifyAppReady": "notify_app_ready",
    "setUpdateUrl": "set_update_url",
    "setStatsUrl": "set_stats_url",
    "setChannelUrl": "set_channel_url",
    "download": "download",
    "next": "set_next",
    "set": "set",
    "reload": "reload",
    "reset": "reset",
    "current": "current",
    "list": "bundles",
    "getNextBundle": "next_bundle",
    "getFailedUpdate": "failed_update",
    "delete": "delete",
    "setBundleError": "set_bundle_error",
    "setMultiDelay": "set_multi_delay",
    "cancelDelay": "cancel_delay",
    "triggerUpdateCheck": "trigger_update_check",
    "getLatest": "get_latest",
    "getMissingBundleFiles": "get_missing_bundle_files",
    "getBundleDownloadSize": "get_bundle_download_size",
    "setChannel": "set_channel",
    "unsetChannel": "unset_channel",
    "getChannel": "get_channel",
    "listChannels": "list_channels",
    "setCustomId": "set_custom_id",
    "getBuiltinVersion": "builtin",
    "getDeviceId": "device_id",
    "getPluginVersion": "plugin_version",
    "getAppId": "app_id",
    "setAppId": "set_app_id",
    "isAutoUpdateEnabled": "auto_update_enabled",
    "isAutoUpdateAvailable": "auto_update_available",
    "addListener": "on",
    "removeAllListeners": "remove_all_listeners",
    "startPreviewSession": PREVIEW,
    "listPreviews": PREVIEW,
    "setPreview": PREVIEW,
    "resetPreview": PREVIEW,
    "deletePreview": PREVIEW,
    "checkPreviewUpdate": PREVIEW,
    "updatePreview": PREVIEW,
    "setShakeMenu": UI,
    "isShakeMenuEnabled": UI,
    "setShakeChannelSelector": UI,
    "isShakeChannelSelectorEnabled": UI,
    "reportWebViewError": WEBVIEW,
    "getAppUpdateInfo": STORE,
    "openAppStore": STORE,
    "performImmediateUpdate": STORE,
    "startFlexibleUpdate": STORE,
    "completeFlexibleUpdate": STORE,
}

#: What the plugin's methods take, by the counterpart's name: the parameter that takes it. (``getLatest``'s ``appId``
#: is for previews alone, and ``list``'s ``raw`` shows the plugin's own storage keys.)
ARGUMENTS = {
    "set_update_url": ["url"],
    "set_stats_url": ["url"],
    "set_channel_url": ["url"],
    "download": ["url", "version", "session_key", "checksum", "manifest"],
    "set_next": ["bundle"],
    "set": ["bundle"],
    "reset": ["to_last_successful", "use_pending_bundle"],
    "delete": ["bundle"],
    "set_bundle_error": ["bundle"],
    "set_multi_delay": ["delay_conditions"],
    "get_latest": ["channel", "include_bundle_size"],
    "get_missing_bundle_files": ["manifest", "session_key"],
    "get_bundle_download_size": ["manifest", "version"],
    "set_channel": ["channel", "trigger_auto_update"],
    "unset_channel": ["trigger_auto_update"],
    "set_custom_id": ["custom_id"],
    "set_app_id": ["app_id"],
    "on": ["event", "callback"],
}

EVENTS = {
    "download": "download",
    "downloadComplete": "download_complete",
    "downloadFailed": "download_failed",
    "updateAvailable": "update_available",
    "noNeedUpdate": "no_need_update",
    "updateCheckResult": "update_check_result",
    "breakingAvailable": "breaking_available",
    "majorAvailable": "major_available",
    "setNext": "set_next",
    "set": "set",
    "appReloaded": "app_reloaded",
    "appReady": "app_ready",
    "updateFailed": "update_failed",
    "channelPrivate": "channel_private",
    "onFlexibleUpdateStateChange": STORE,
}

#: Raised under its own name.
SAME_ACTIONS = (
    "app_launch_start",
    "app_launch_ready",
    "app_launch_timeout",
    "app_moved_to_foreground",
    "app_moved_to_background",
    "os_version_changed",
    "native_app_version_changed",
    "download_zip_start",
    "download_zip_complete",
    "download_manifest_start",
    "download_manifest_complete",
    "download_manifest_file_fail",
    "download_manifest_checksum_fail",
    "download_manifest_brotli_fail",
    "manifest_path_fail",
    "download_10",
    "download_20",
    "download_30",
    "download_40",
    "download_50",
    "download_60",
    "download_70",
    "download_80",
    "download_90",
    "download_complete",
    "download_fail",
    "finish_download_fail",
    "low_mem_fail",
    "insufficient_disk_space",
    "checksum_fail",
    "checksum_required",
    "decrypt_fail",
    "unzip_fail",
    "windows_path_fail",
    "canonical_path_fail",
    "directory_path_fail",
    "set",
    "set_fail",
    "set_next",
    "reset",
    "update_fail",
    "delete",
    "rate_limit_reached",
    "app_crash",
    "app_initialization_failure",
    "app_memory_warning",
)
ACTIONS = {
    **{name: name for name in SAME_ACTIONS},
    # The start of a download has names of its own.
    "download_0": f"{TOLD_AS}download_zip_start",
    # A launch that did not come to an end of its own is told by the next one, whatever ended it.
    "app_crash_native": f"{TOLD_AS}app_crash",
    "app_anr": f"{TOLD_AS}app_crash",
    "app_killed_low_memory": f"{TOLD_AS}app_crash",
    "app_killed_excessive_resource_usage": f"{TOLD_AS}app_crash",
    # It tells of the server that a webview loads the app from during development.
    "blocked_by_server_url": WEBVIEW,
    "webview_javascript_error": WEBVIEW,
    "webview_unhandled_rejection": WEBVIEW,
    "webview_resource_error": WEBVIEW,
    "webview_security_policy_violation": WEBVIEW,
    "webview_unclean_restart": WEBVIEW,
    "webview_render_process_gone": WEBVIEW,
    "webview_content_process_terminated": WEBVIEW,
    "webview_dom_content_loaded": WEBVIEW,
    "webview_page_loaded": WEBVIEW,
}
SECTIONS = {"Options": OPTIONS, "Methods": METHODS, "Events": EVENTS, "Statistics": ACTIONS}

#: The names that may do without a counterpart: sections 3 and 4.1, "not applicable", and previews.
ALLOWED = {
    WEBVIEW: re.compile("keepUrlPathAfterReload|disableJSLogging|reportWebViewError|webview_.+|blocked_by_server_url"),
    UI: re.compile(
        "autoSplashscreenLoader|shakeMenu(Gesture)?|allowShakeChannelSelector"
        "|(set|is)Shake(Menu|ChannelSelector)(Enabled)?"
    ),
    STORE: re.compile(
        "getAppUpdateInfo|openAppStore|performImmediateUpdate|(start|complete)FlexibleUpdate"
        "|onFlexibleUpdateStateChange"
    ),
    PREVIEW: re.compile(
        "allowPreview|startPreviewSession|listPreviews|(set|reset|delete|update)Preview|checkPreviewUpdate"
    ),
    CLI: re.compile("local(S3|Host|WebHost|Supa|SupaAnon|Api|ApiFiles)"),
}


def shown(counterpart):
    """The second cell: names are in code, reasons are words."""
    if counterpart in ALLOWED:
        return counterpart
    if counterpart.startswith(TOLD_AS):
        return f"{TOLD_AS}`{counterpart.removeprefix(TOLD_AS)}`"
    before, _, name = counterpart.rpartition(": ")
    return f"{before}: `{name}`" if before else f"`{name}`"


@functools.cache
def documented():
    """Section, then name and counterpart of every row of its table, in order."""
    found, section = {}, ""
    for line in DOCUMENT.read_text("utf-8").splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ")
        elif match := re.fullmatch(r"\| `([\w.]+)` \| (.+?) \|(?: .*)?\|", line):
            found.setdefault(section, []).append(match.groups())
    return found


@pytest.mark.parametrize("section", SECTIONS)
def test_every_name_has_exactly_one_row_and_there_is_no_other(section):
    names = [name for name, _ in documented()[section]]
    assert sorted(names) == sorted(SECTIONS[section])


@pytest.mark.parametrize("section", SECTIONS)
def test_the_document_says_what_the_counterpart_is(section):
    for name, cell in documented()[section]:
        assert cell == shown(SECTIONS[section][name]), name


def test_there_are_no_other_sections():
    assert list(documented()) == list(SECTIONS)


@pytest.mark.parametrize("section", SECTIONS)
def test_only_what_no_python_app_has_goes_without_a_counterpart(section):
    for name, counterpart in SECTIONS[section].items():
        if counterpart in ALLOWED:
            assert ALLOWED[counterpart].fullmatch(name), name


def counterparts(table):
    return [each for each in table.values() if each not in ALLOWED]


@pytest.mark.parametrize("option", counterparts(OPTIONS))
def test_an_options_counterpart_exists(option):
    where, _, name = option.rpartition(": ")
    if where == "environment":
        assert f'"{name}"' in (PACKAGE / "engine.py").read_text("utf-8")
    elif where == "logging":
        assert f'_log = Log("{name}")' in (PACKAGE / "engine.py").read_text("utf-8")
    else:
        assert name in inspect.signature(Updater.__init__).parameters


@pytest.mark.parametrize("method", counterparts(METHODS))
def test_a_methods_counterpart_exists_and_takes_what_the_plugins_takes(method):
    found = inspect.getattr_static(Updater, method)
    assert inspect.getdoc(found)
    assert isinstance(found, property) or set(ARGUMENTS.get(method, ())) <= set(inspect.signature(found).parameters)


def test_the_events_are_the_plugins_and_no_others():
    assert sorted(counterparts(EVENTS)) == sorted(EVENT_NAMES)


@pytest.mark.parametrize("event", counterparts(EVENTS))
def test_an_event_is_emitted_somewhere(event):
    assert event in texts_in_the_code(but="events.py")


@functools.cache
def texts_in_the_code(*, but="stats.py"):
    """Every text constant of the package that could name something where it is raised, not where all are listed."""
    paths = [path for path in PACKAGE.rglob("*.py") if "testing" not in path.parts and path.name != but]
    nodes = (node for path in paths for node in ast.walk(ast.parse(path.read_text("utf-8"))))
    constants = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    by_code = {*stats._BY_CODE.values(), *stats._BY_PREFIX.values()}
    return constants | by_code | {f"download_{tenth}" for tenth in range(10, 100, 10)}


@pytest.mark.parametrize("action", counterparts(ACTIONS))
def test_an_action_is_one_of_ours_and_raised_somewhere(action):
    action = action.removeprefix(TOLD_AS)
    assert action in CLIENT_ACTIONS
    assert action in texts_in_the_code()


def test_we_raise_nothing_that_the_plugin_does_not():
    ours = set(CLIENT_ACTIONS)
    assert ours - set(SAME_ACTIONS) <= {"download_0"}
