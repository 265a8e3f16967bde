"""Sizes of a manifest's files: plugin-behaviour.md section 1.5, service-behaviour.md section 1.7."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capgo_client.protocol.outcomes import ManifestEntry
from capgo_client.protocol.replies import MAX_REPLY_BYTES, MAX_SHORT_REPLY_BYTES
from capgo_client.protocol.requests import Identity
from capgo_client.protocol.sizes import (
    DownloadSize,
    FileSize,
    longest_reply,
    no_sizes,
    read_sizes,
    size_body,
    size_url,
)

RECORDED = json.loads((Path(__file__).parents[1] / "data" / "conversations.json").read_text("utf-8"))
ME = Identity(
    app_id="com.example.notes",
    device_id="00009a6b-eefe-490a-9c60-8e965132ae51",
    version_build="1.4.0",
    platform="electron",
    custom_id="customer 12",
)
MAIN = ManifestEntry("main.py.br", "aa11", "https://d.test/main?key=1")
LOGO = ManifestEntry("logo.png", "bb22", "https://d.test/logo?key=2")
DATA = ManifestEntry("data.bin", "cc33", "https://d.test/data?key=3")


def told(entry: ManifestEntry, **fields: object) -> dict[str, object]:
    return {
        "file_name": entry.file_name,
        "file_hash": entry.file_hash,
        "download_url": entry.download_url,
        **fields,
    }


def size_of(entry: ManifestEntry, size: int | None = None, error: str = "") -> FileSize:
    return FileSize(entry.file_name, entry.file_hash, entry.download_url, size, error)


def read(reply: object, *manifest: ManifestEntry, status: int = 200) -> DownloadSize:
    return read_sizes(status, reply if isinstance(reply, bytes) else json.dumps(reply).encode(), manifest)


# --- the request -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("update_url", "expected"),
    [
        ("https://plugin.capgo.app/updates", "https://plugin.capgo.app/updates/manifest_size"),
        ("https://plugin.capgo.app/updates/", "https://plugin.capgo.app/updates/manifest_size"),
        ("https://u.test/api/updates?scenario=1&x=2", "https://u.test/api/updates/manifest_size"),
        ("https://u.test:8443/a%20b?x#part", "https://u.test:8443/a%20b/manifest_size"),
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000/manifest_size"),
        ("http://[::1]:9000?x=1", "http://[::1]:9000/manifest_size"),
    ],
)
def test_the_address_is_the_one_for_checks_with_a_longer_path_and_no_query(update_url, expected):
    assert size_url(update_url) == expected


def test_the_body_is_the_info_object_with_the_version_and_the_manifest():
    body = json.loads(size_body(ME, version_name="1.5.0", version="2.0.0", manifest=[MAIN, LOGO]))

    assert body == {
        "platform": "electron",
        "device_id": "00009a6b-eefe-490a-9c60-8e965132ae51",
        "app_id": "com.example.notes",
        "version_build": "1.4.0",
        "version_code": "",
        "version_os": "",
        "version_name": "1.5.0",
        "plugin_version": "8.51.14",
        "is_emulator": False,
        "is_prod": True,
        "custom_id": "customer 12",
        "version": "2.0.0",
        "manifest": [
            {"file_name": "main.py.br", "file_hash": "aa11", "download_url": "https://d.test/main?key=1"},
            {"file_name": "logo.png", "file_hash": "bb22", "download_url": "https://d.test/logo?key=2"},
        ],
    }


def test_a_version_that_is_not_known_is_an_empty_text():
    assert json.loads(size_body(ME, version_name="", version="", manifest=[]))["version"] == ""


@pytest.mark.parametrize(
    ("sent", "longest"),
    [
        (0, MAX_SHORT_REPLY_BYTES),
        (1000, MAX_SHORT_REPLY_BYTES + 2000),
        (20_000_000, MAX_REPLY_BYTES),
    ],
)
def test_the_reply_may_be_as_long_as_what_it_repeats(sent, longest):
    assert longest_reply(b" " * sent) == longest


# --- the reply -------------------------------------------------------------------------------------------------------


def test_sizes_come_in_the_order_of_the_manifest_and_are_summed():
    reply = {
        "totalSize": 5,
        "knownFiles": 77,
        "unknownFiles": 88,
        "files": [told(DATA, error="size_unknown"), told(LOGO, size=300), told(MAIN, size=71)],
    }

    assert read(reply, MAIN, LOGO, DATA) == DownloadSize(
        total_size=371,
        known_files=2,
        unknown_files=1,
        files=(size_of(MAIN, 71), size_of(LOGO, 300), size_of(DATA, None, "size_unknown")),
    )


def test_an_empty_manifest_is_all_zeros():
    assert read({"files": [told(MAIN, size=71)]}) == DownloadSize(0, 0, 0, ())
    assert no_sizes([], error="timeout_error") == DownloadSize(0, 0, 0, ())


def test_files_that_nobody_asked_about_are_not_heard():
    assert read({"files": [told(LOGO, size=10**9), told(MAIN, size=71)]}, MAIN).total_size == 71


def test_a_file_that_the_reply_leaves_out_is_unknown():
    assert read({"files": [told(MAIN, size=71)]}, MAIN, LOGO) == DownloadSize(
        71, 1, 1, (size_of(MAIN, 71), size_of(LOGO, None, "size_unknown"))
    )


def test_the_reply_may_leave_names_and_addresses_out():
    reply = {"files": [{"file_name": None, "file_hash": "aa11", "download_url": None, "size": 71}]}

    assert read(reply, MAIN).files == (size_of(MAIN, 71),)


def test_files_of_one_hash_and_two_addresses_are_told_apart():
    packed = ManifestEntry("main.py.br", "aa11", "https://d.test/packed")
    reply = {"files": [told(packed, size=40), told(MAIN, size=100)]}

    assert [file.size for file in read(reply, MAIN, packed).files] == [100, 40]


def test_entries_of_one_address_are_one_download():
    copy = ManifestEntry("copy.py.br", MAIN.file_hash, MAIN.download_url)
    sizes = read({"files": [told(MAIN, size=71)]}, MAIN, copy)

    assert (sizes.total_size, sizes.known_files, sizes.unknown_files) == (71, 2, 0)
    assert sizes.files == (size_of(MAIN, 71), size_of(copy, 71))


@pytest.mark.parametrize(
    ("size", "known", "error"),
    [
        (0, 0, ""),
        (1, 1, ""),
        (2**40, 2**40, ""),
        (2**40 + 1, None, "parse_error"),
        (10**30, None, "parse_error"),
        (-1, None, "parse_error"),
        (71.0, None, "parse_error"),
        (1e999, None, "parse_error"),
        (True, None, "parse_error"),
        ("71", None, "parse_error"),
        ([71], None, "parse_error"),
        (None, None, "size_unknown"),
    ],
)
def test_a_size_that_is_none_is_refused_for_its_file_alone(size, known, error):
    written = json.dumps({"files": [told(MAIN, size=size), told(LOGO, size=300)]}).replace("Infinity", "1e999")
    sizes = read(written.encode(), MAIN, LOGO)

    assert sizes.files == (size_of(MAIN, known, error), size_of(LOGO, 300))
    assert sizes.total_size == 300 + (known or 0)
    assert (sizes.known_files, sizes.unknown_files) == ((1, 1) if error else (2, 0))


def test_an_error_counts_more_than_a_size_beside_it():
    assert read({"files": [told(MAIN, size=71, error="gone\n" * 50)]}, MAIN).files[0].size is None
    assert len(read({"files": [told(MAIN, error="gone\n" * 50)]}, MAIN).files[0].error) <= 64


@pytest.mark.parametrize("status", [199, 302, 400, 404, 429, 500, 503])
def test_a_bad_status_is_a_response_error_of_every_file(status):
    assert read({"files": [told(MAIN, size=71)]}, MAIN, LOGO, status=status) == DownloadSize(
        0, 0, 2, (size_of(MAIN, None, "response_error"), size_of(LOGO, None, "response_error"))
    )


def test_a_refusal_with_200_is_a_response_error_too():
    assert read({"error": "on_premise_app", "files": []}, MAIN) == no_sizes([MAIN], error="response_error")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Welcome</html>",
        b"[]",
        b"null",
        b"{}",
        b'{"status":"ok"}',
        b'{"files":null}',
        b'{"files":{}}',
        b'{"files":"all"}',
        b'{"files":[1]}',
        b'{"files":[null]}',
        b'{"files":[' + b"[" * 100_000,
    ],
    ids=lambda body: repr(body[:20]),
)
def test_a_reply_that_cannot_be_read_is_a_parse_error_of_every_file(body):
    assert read(body, MAIN, LOGO) == DownloadSize(
        0, 0, 2, (size_of(MAIN, None, "parse_error"), size_of(LOGO, None, "parse_error"))
    )


def test_a_file_with_a_name_of_another_type_answers_for_nobody():
    reply = {"files": [{"file_hash": ["aa11"], "size": 1}, {"file_hash": "aa11", "download_url": 5, "size": 2}]}

    assert read(reply, MAIN).files == (size_of(MAIN, None, "size_unknown"),)


CONVERSATIONS = [
    case
    for case in RECORDED
    if "manifest_size" in case["path"] and case["status"] == 200 and isinstance(case["body"].get("manifest"), list)
]


def test_there_are_recorded_conversations():
    assert CONVERSATIONS


@pytest.mark.parametrize("case", CONVERSATIONS, ids=lambda case: case["name"])
def test_the_sums_are_those_that_the_service_gives(case):
    asked = [each for each in case["body"]["manifest"] if each.get("file_hash")]
    manifest = [
        ManifestEntry(each.get("file_name") or "", each["file_hash"], each.get("download_url") or each["file_hash"])
        for each in asked
    ]
    sizes = read(case["response"], *dict.fromkeys(manifest))

    assert sizes.total_size == case["response"]["totalSize"]
    assert (sizes.known_files, sizes.unknown_files) == (
        case["response"]["knownFiles"],
        case["response"]["unknownFiles"],
    )


ENTRIES = st.builds(ManifestEntry, st.text(max_size=3), st.sampled_from(["a", "b"]), st.sampled_from(["u", "v"]))
FILE = st.dictionaries(
    st.sampled_from(["file_hash", "download_url", "size", "error"]),
    st.one_of(st.none(), st.sampled_from(["a", "b", "u", "v"]), st.integers(), st.floats(), st.booleans()),
)


@given(st.lists(ENTRIES, max_size=4), st.lists(FILE, max_size=4), st.sampled_from([200, 500]))
def test_every_entry_gets_a_size_or_a_reason(manifest, files, status):
    sizes = read({"files": files}, *manifest, status=status)

    assert [(f.file_name, f.file_hash, f.download_url) for f in sizes.files] == [
        (e.file_name, e.file_hash, e.download_url) for e in manifest
    ]
    assert all((file.size is None) == bool(file.error) for file in sizes.files)
    assert sizes.known_files + sizes.unknown_files == len(manifest)
    assert 0 <= sizes.total_size <= sum(file.size or 0 for file in sizes.files)
