"""The registry against the fault list of the design, section 7, both ways."""

from __future__ import annotations

import pytest

from capgo_client.testing import CASES, FAULTS, HOSTILE_ARCHIVES
from capgo_client.testing.arranging import ENDPOINTS
from capgo_client.testing.repacking import MANIFEST_CHANGES

#: The section's own words, by its headings, and the faults that are meant. "The device" holds three of our groups.
LIST = {
    "reaching": {
        "name does not resolve": ["name-unresolved"],
        "lookup hangs": ["lookup-hangs"],
        "connection refused": ["refused"],
        "connect black-holed": ["black-hole"],
        "TLS stalls mid-handshake": ["tls-stall"],
        "wrong certificate": ["certificate-wrong-host"],
        "expired certificate": ["certificate-expired"],
        "self-signed certificate": ["certificate-self-signed"],
        "proxy that hangs": ["proxy-hang"],
        "route vanishes mid-body": ["route-vanishes"],
    },
    "answering": {
        "silence after accept": ["silence"],
        "headers one byte a second": ["drip-headers"],
        "body one byte a second": ["drip-body"],
        "endless body": ["endless-body"],
        "reset before headers": ["reset-before-headers"],
        "reset in headers": ["reset-in-headers"],
        "reset after headers": ["reset-after-headers", "reset-in-body"],
        "each 5xx": [f"http-{code}" for code in (500, 501, 502, 503, 504, 505, 507, 520)],
        "4xx": [f"http-{code}" for code in (400, 401, 403, 404, 408, 410, 413, 451)],
        "429 with seconds": ["http-429-seconds"],
        "429 with a date": ["http-429-date"],
        "429 with nonsense": ["http-429-nonsense"],
        "redirect loop": ["redirect-loop"],
        "redirect to another scheme": ["redirect-to-other-scheme", "redirect-to-http"],
        "captive-portal HTML with 200": ["html-200"],
        "empty": ["empty-body"],
        "not JSON": ["not-json"],
        "truncated JSON": ["truncated-json"],
        "1 GB of JSON": ["huge-json"],
        "gzip bomb": ["gzip-bomb"],
        "deep nesting": ["deep-json"],
        "right keys with wrong types": ["wrong-types"],
        "right keys with wrong types, each key in turn": ["wrong-type"],
        "NaN": ["nan-json"],
        "huge numbers": ["huge-number"],
        "lone surrogates": ["lone-surrogate"],
        "random 500s at 50 %": ["random-500"],
        "random 500s at 99 %": ["random-500-99"],
    },
    "meaning": {
        "up to date": ["up-to-date"],
        "blocked (each code)": [
            "blocked-provider-infrastructure-request-blocked",
            "blocked-key-id-mismatch",
            "blocked-disabled-platform-ios",
            "blocked-disabled-platform-android",
            "blocked-disabled-platform-electron",
            "blocked-disable-auto-update-to-major",
            "blocked-cannot-update-via-private-channel",
            "blocked-disable-auto-update-to-minor",
            "blocked-disable-auto-update-to-patch",
            "blocked-disable-auto-update-to-metadata",
            "blocked-disable-auto-update-under-native",
            "blocked-disable-prod-build",
            "blocked-disable-dev-build",
            "blocked-disable-device",
            "blocked-disable-emulator",
        ],
        "plan ended": ["plan-ended"],
        "over quota": ["over-quota", "over-quota-old"],
        "on-premise": ["on-premise"],
        "breaking": ["breaking"],
        "builtin": ["builtin"],
        "same version": ["same-version"],
        "older version": ["older-version"],
        "a version that failed before": ["failed-version"],
        "unknown future keys": ["future-keys"],
    },
    "bytes": {
        "short": ["short-body"],
        "long": ["long-body"],
        "one bit flipped": ["flip-bit"],
        "wrong checksum": ["wrong-checksum"],
        "wrong key": ["wrong-key"],
        "wrong session key": ["wrong-session-key"],
        "bad padding": ["bad-padding"],
        "truncated zip": ["truncated-zip"],
        "every hostile archive": ["hostile-archive"],
        "manifest with a missing entry": ["manifest-missing"],
        "extra": ["manifest-extra"],
        "swapped": ["manifest-swapped"],
        "renamed": ["manifest-renamed"],
        "duplicated": ["manifest-duplicated"],
        "escaping": ["manifest-escaping"],
        "one file of a hundred fails": ["manifest-one-of-a-hundred"],
        "server ignores Range": ["ignore-range"],
        "Range lies": ["lying-range"],
        "brotli bomb": ["brotli-bomb"],
    },
    "device": {
        "disk full at the n-th write": ["disk-full"],
        "read-only": ["read-only"],
        "no permission": ["no-permission"],
        "I/O error on read": ["io-error-read"],
        "I/O error on write": ["io-error-write"],
        "I/O error on fsync": ["io-error-fsync"],
        "I/O error on rename": ["io-error-rename"],
        "too many open files": ["too-many-files"],
        "data folder deleted while running": ["data-deleted"],
        "state file truncated at each byte": ["state-truncated"],
        "state file, each byte flipped": ["state-flipped"],
        "killed at each file-system call": ["killed"],
        "power cut after each": ["power-cut"],
        "two processes at once": ["two-processes"],
    },
    "clock": {
        "clock set back a year": ["clock-back", "clock-back-running"],
        "clock set forward a year": ["clock-forward", "clock-forward-running"],
    },
    "app": {
        "the app crashes before ready": ["app-crashes"],
        "hangs before ready": ["app-hangs"],
        "is killed before ready": ["app-killed"],
        "ready too late": ["app-late"],
        "ready from the launch before": ["app-stale"],
    },
}
#: Variants that the section does not name: each is near to one of its lines.
BESIDES = {
    "reaching": {"silent-peer"},
    "answering": {
        *("empty-reply", "cut-body", "endless-headers", "stall-in-headers", "stall-in-body", "http-429"),
    },
    "bytes": {"slow-download"},
}
LINES = [(group, words, names) for group, lines in LIST.items() for words, names in lines.items()]


@pytest.mark.parametrize(("group", "words", "names"), LINES, ids=[words for _, words, _ in LINES])
def test_every_line_of_the_section_is_had_by_these_names_under_its_heading(group, words, names):
    assert names
    assert [FAULTS[name].group for name in names] == [group] * len(names)


def test_the_registry_has_nothing_beyond_the_section_but_the_variants_named_here():
    for group, lines in LIST.items():
        meant = {name for names in lines.values() for name in names} | BESIDES.get(group, set())
        assert {fault.name for fault in FAULTS.values() if fault.group == group} == meant
    assert {fault.group for fault in FAULTS.values()} == set(LIST)
    assert len(FAULTS) == 130


def test_blocked_has_each_code_of_the_service():
    codes = {name for name, case in CASES.items() if case.kind == "blocked"}
    assert {f"blocked-{code.replace('_', '-')}" for code in codes} == set(LIST["meaning"]["blocked (each code)"])


def test_a_fault_knows_its_name_says_what_it_does_and_how_it_is_had():
    kinds = {"lookup", "peer", "certificate", "files", "disk", "process", "clock", "app", "suite"}
    for name, fault in FAULTS.items():
        assert name == fault.name
        assert fault.description.endswith(".")
        assert fault.where in {"any", *ENDPOINTS, *kinds}
        assert (fault.perform is None) is (fault.where in kinds)
        assert (fault.perform or fault.setting) or fault.unavailable()


def test_what_cannot_be_had_here_says_why_and_only_the_power_cut_is_never_had():
    missing = {name: fault.unavailable() for name, fault in FAULTS.items() if fault.unavailable()}
    assert set(missing) - {"black-hole"} == {"power-cut"}
    assert "crash tests" in missing["power-cut"]


def test_options_are_those_that_the_name_leaves_open():
    options = {name: FAULTS[name].options for name in FAULTS}
    assert options["drip-body"] == ("interval", "step")
    assert options["http-503"] == ("retry_after", "body")
    assert options["blocked-disable-device"] == ()
    assert options["manifest-extra"] == ()
    assert options["hostile-archive"] == ("case",)
    assert options["wrong-type"] == ("key", "value")
    assert options["disk-full"] == ()
    assert options["state-flipped"] == ("at", "file")
    assert options["power-cut"] == ()


def test_every_change_of_a_manifest_has_its_fault():
    named = {f"manifest-{change}" for change in MANIFEST_CHANGES if change != "bomb"}
    assert named | {"brotli-bomb", "manifest-one-of-a-hundred"} == {
        name for name in FAULTS if name.startswith(("manifest", "brotli"))
    }


def test_the_hostile_archives_are_named_by_what_is_wrong_with_them():
    assert {"traversal", "absolute-posix", "symlink-file", "bomb", "duplicate-names", "wrong-crc"} <= set(
        HOSTILE_ARCHIVES
    )
