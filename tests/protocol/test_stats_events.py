"""One event on the wire: reference/service-behaviour.md sections 3.1 and 3.2, plugin-behaviour.md section 5."""

from __future__ import annotations

import ast
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import capgo_client
from capgo_client.protocol.requests import Identity, json_body
from capgo_client.protocol.stats import ACTIONS, CLIENT_ACTIONS, MAX_BATCH, event_body, failure_action

ME = Identity(
    app_id="com.example.notes",
    device_id="01234567-89AB-CDEF-0123-456789ABCDEF",
    version_build="1.4.0",
    platform="electron",
    custom_id="user-7",
    version_code="41",
    version_os="6.8.0",
    key_id="MIIBCgKCAQEA0123abcd",
    default_channel="beta",
)


def body(identity=ME, **changes):
    given = {"action": "set", "version_name": "2.0.0", "at": 1_735_689_600.25}
    return event_body(identity, **{**given, **changes})


def test_there_are_ninety_one_actions_and_the_client_raises_only_such():
    assert len(ACTIONS) == 91
    assert CLIENT_ACTIONS < ACTIONS
    assert MAX_BATCH == 200


def test_the_client_raises_what_the_plugin_raises_without_its_webview_and_the_records_of_android():
    tens = {f"download_{tenth}" for tenth in range(0, 100, 10)}
    assert CLIENT_ACTIONS - tens == {
        "app_launch_start", "app_launch_ready", "app_launch_timeout", "app_moved_to_foreground",
        "app_moved_to_background", "os_version_changed", "native_app_version_changed", "download_zip_start",
        "download_zip_complete", "download_manifest_start", "download_manifest_complete",
        "download_manifest_file_fail", "download_manifest_checksum_fail", "download_manifest_brotli_fail",
        "manifest_path_fail", "download_complete", "download_fail", "finish_download_fail", "low_mem_fail",
        "insufficient_disk_space", "checksum_fail", "checksum_required", "decrypt_fail", "unzip_fail",
        "windows_path_fail", "canonical_path_fail", "directory_path_fail", "set", "set_fail", "set_next", "reset",
        "update_fail", "delete", "rate_limit_reached", "app_crash", "app_initialization_failure",
        "app_memory_warning",
    }  # fmt: skip


def test_an_event_is_the_info_object_with_what_happened():
    assert body(old_version_name="1.9.0", metadata={"duration_ms": "812"}) == {
        "platform": "electron",
        "device_id": "01234567-89ab-cdef-0123-456789abcdef",
        "app_id": "com.example.notes",
        "custom_id": "user-7",
        "version_build": "1.4.0",
        "version_code": "41",
        "version_os": "6.8.0",
        "version_name": "2.0.0",
        "plugin_version": "8.51.14",
        "is_emulator": False,
        "is_prod": True,
        "defaultChannel": "beta",
        "key_id": "MIIBCgKCAQEA0123abcd",
        "action": "set",
        "old_version_name": "1.9.0",
        "timestamp": 1_735_689_600_250,
        "metadata": {"duration_ms": "812"},
    }


def test_without_metadata_the_field_is_left_out_and_the_old_version_is_empty():
    plain = body()
    assert "metadata" not in plain
    assert plain["old_version_name"] == ""
    assert "metadata" not in body(metadata={})
    assert "metadata" not in body(metadata={"nothing": None})


def test_the_version_of_a_file_that_failed_goes_out_as_it_is():
    assert body(version_name="2.0.0:js/app.js")["version_name"] == "2.0.0:js/app.js"


def test_an_action_that_the_service_does_not_know_is_refused_here():
    with pytest.raises(ValueError, match="no action 'made_up'"):
        body(action="made_up")


@pytest.mark.parametrize(
    ("given_id", "sent"),
    [
        ("  user-7\n", "user-7"),
        ("   ", None),
        ("x" * 36, "x" * 36),
        (" " * 20 + "x" * 36 + " ", "x" * 36),
        ("x" * 37, None),
        ("\U0001f600" * 18, "\U0001f600" * 18),
        ("\U0001f600" * 19, None),
    ],
)
def test_a_custom_id_is_trimmed_and_left_out_when_it_is_too_long(given_id, sent):
    assert body(replace(ME, custom_id=given_id)).get("custom_id") == sent


def test_a_system_that_does_not_tell_its_version_is_unknown_for_the_field_is_required():
    assert body(replace(ME, version_os=""))["version_os"] == "unknown"


def test_metadata_is_cut_to_what_the_service_takes():
    many = {f"key-{number:02}": "v" for number in range(31)}
    assert list(body(metadata=many)["metadata"]) == [f"key-{number:02}" for number in range(30)]
    assert body(metadata={"k" * 65: "v" * 2049})["metadata"] == {"k" * 64: "v" * 2048}
    assert body(metadata={"k": "v" * 2047 + "\U0001f600"})["metadata"] == {"k": "v" * 2047}


def test_metadata_that_is_not_text_becomes_text_and_what_no_database_keeps_is_replaced():
    assert body(metadata={"n": 7, "b": True, "x": None})["metadata"] == {"n": "7", "b": "True"}
    assert body(metadata={"trace": "a\x00b\nc\td\ud800e"})["metadata"] == {"trace": "a\ufffdb\nc\td\ufffde"}


@pytest.mark.parametrize(
    ("at", "milliseconds"),
    [(0.0, 0), (-5.0, 0), (1.9999, 1999), (float("inf"), 0), (float("nan"), 0), (1e300, 0)],
)
def test_any_clock_gives_a_whole_number_of_milliseconds(at, milliseconds):
    assert body(at=at)["timestamp"] == milliseconds


def units(text):
    return len(text.encode("utf-16-le")) // 2


def breaks_a_rule(event):
    """The rules of service section 3.1 for what the app has a hand in."""
    assert None not in event.values()
    assert isinstance(event["version_os"], str)
    assert event["version_os"]
    assert units(event.get("custom_id", "")) <= 36
    assert event.get("custom_id", "x") == event.get("custom_id", "x").strip()
    metadata = event.get("metadata", {"k": "v"})
    assert 0 < len(metadata) <= 30
    assert all(units(key) <= 64 and units(value) <= 2048 for key, value in metadata.items())
    assert event["action"] in ACTIONS
    assert type(event["timestamp"]) is int


@given(
    st.text(max_size=60),
    st.text(max_size=40),
    st.dictionaries(st.text(max_size=80), st.one_of(st.none(), st.integers(), st.text(max_size=80)), max_size=40),
    st.floats(),
)
def test_whatever_the_app_gives_the_event_keeps_the_rules(custom_id, version_os, metadata, at):
    identity = replace(ME, custom_id=custom_id, version_os=version_os)
    event = body(identity, metadata=metadata, at=at, version_name=custom_id)
    breaks_a_rule(json.loads(json_body(event)))


# ---- what a failure is called ----

#: Every code that verify, fetch and install raise, with the plugin's action (section 5); "" for download_fail alone.
FAILURES = {
    "checksum_fail": ("checksum_fail", "checksum_malformed", "checksum_crc32"),
    "checksum_required": ("checksum_required",),
    "decrypt_fail": (
        "decrypt_fail", "unsigned", "signature_invalid", "signature_length", "session_key_invalid", "key_missing",
        "key_malformed", "key_unusable", "key_weak", "key_is_private",
    ),
    "unzip_fail": (
        "unzip_fail", "crc_fail", "size_mismatch", "archive_end", "archive_directory", "archive_truncated",
        "archive_empty", "archive_local_header", "archive_overlap", "archive_encrypted", "archive_flags",
        "archive_method", "archive_type", "archive_folder_data", "archive_extra", "archive_limit_entries",
        "archive_limit_directory", "archive_limit_file", "archive_limit_total", "archive_limit_ratio",
    ),
    "windows_path_fail": ("windows_path_fail", "name_character", "name_reserved", "name_trailing"),
    "canonical_path_fail": (
        "canonical_path_fail", "name_empty", "name_control", "name_too_long", "name_not_utf8", "name_duplicate",
        "name_collision",
    ),
    "directory_path_fail": ("name_file_and_folder",),
    "manifest_path_fail": ("manifest_path_fail", "manifest_duplicate"),
    "download_manifest_checksum_fail": ("download_manifest_checksum_fail",),
    "download_manifest_brotli_fail": ("download_manifest_brotli_fail",),
    "insufficient_disk_space": ("insufficient_disk_space",),
    "finish_download_fail": (
        "integrity_error", "bound_mismatch", "bound_malformed", "bound_required", "bound_files", "bound_schema",
        "bound_app", "bound_version", "requires_python", "platform_unsupported", "min_app_version", "entry_missing",
    ),
    "": (
        # Nothing was wrong with what came, or nothing came.
        "network_error", "cancelled", "closed", "parse_error", "response_error", "timeout_error", "too_many_requests",
        "bundle_too_large", "low_speed", "not_found", "unexpected_status", "storage_error",
        "manifest_empty", "manifest_too_long", "brotli_missing", "no_threads", "source_changed",
        # Of no download.
        "bundle_error", "capgo_error", "cannot_look", "channel_self_set_not_allowed", "data_dir_foreign",
        "install_busy", "invalid_config", "state_locked", "state_newer", "state_unreadable", "state_unwritable",
        "update_refused",
    ),
}  # fmt: skip
EXPECTED = {code: action for action, codes in FAILURES.items() for code in codes}


@pytest.mark.parametrize("code", EXPECTED)
def test_a_failed_download_is_told_by_the_nearest_action(code):
    assert failure_action(code) == EXPECTED[code]
    assert failure_action(code) in CLIENT_ACTIONS | {""}


def test_an_unknown_code_has_no_action_of_its_own():
    assert failure_action("of_the_future") == ""
    assert failure_action("") == ""


#: Functions of verify, fetch and install that raise, with the place of the code among their arguments.
RAISING = {"_refuse": 0, "_refused": 1, "damaged": 0, "_wrong": 1, "_over": 0}


def codes_in(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "code" and isinstance(node.value, ast.Constant):
            yield node.value.value
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "code":
            yield from (child.value for child in ast.walk(node.value) if isinstance(child, ast.Constant))
        elif isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "code":
            yield from (child.value for child in ast.walk(node.value or node) if isinstance(child, ast.Constant))
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in RAISING:
            place = RAISING[ast.unparse(node.func)]
            if len(node.args) > place and isinstance(node.args[place], ast.Constant):
                prefix = "archive_limit_" if ast.unparse(node.func) == "_over" else ""
                yield prefix + node.args[place].value


def sources():
    package = Path(capgo_client.__file__).parent
    yield package / "errors.py"
    for part in ("verify", "fetch", "install"):
        yield from sorted((package / part).rglob("*.py"))


def test_every_code_in_the_sources_is_in_the_table():
    found = {code for path in sources() for code in codes_in(ast.parse(path.read_text("utf-8"))) if code}
    assert len(found) > 50
    assert sorted(found - set(EXPECTED)) == []
