from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest
from expected_updates import EXPECTED
from hypothesis import given
from hypothesis import strategies as st

from capgo_client.protocol.outcomes import (
    NO_ZIP_URL,
    Blocked,
    Builtin,
    Failed,
    Limited,
    Outcome,
    PlanEnded,
    Update,
    UpToDate,
)
from capgo_client.protocol.replies import MAX_REPLY_BYTES
from capgo_client.protocol.updates import MAX_MESSAGE, MAX_VERSION, classify_update

NOW = 1_700_000_000.0
RECORDED = json.loads((Path(__file__).parents[1] / "data" / "conversations.json").read_text("utf-8"))
UPDATE_CHECKS = {case["name"]: case for case in RECORDED if case["path"].rstrip("/") == "/updates"}

GOOD = {
    "version": "1.5.0",
    "url": "https://files.example.test/1.5.0.zip",
    "session_key": "",
    "checksum": "ab" * 32,
    "manifest": [
        {"file_name": "main.py.br", "file_hash": "cd" * 32, "download_url": "https://files.example.test/main.py.br"}
    ],
    "link": "https://example.test/notes",
    "comment": "Fixes things",
}


def classify(reply: object, *, status: int = 200, headers: dict[str, str] | None = None) -> Outcome:
    body = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
    return classify_update(status, headers or {}, body, now=NOW)


def changed(**values: object) -> dict[str, object]:
    return {**GOOD, **values}


def without(*keys: str) -> dict[str, object]:
    return {key: value for key, value in GOOD.items() if key not in keys}


# --- what the service really answered --------------------------------------------------------------------------------


def test_the_table_names_every_recorded_update_check_and_nothing_else() -> None:
    assert set(EXPECTED) == set(UPDATE_CHECKS)
    assert sum(case["path"] == "/updates" and case["method"] == "POST" for case in UPDATE_CHECKS.values()) == 80


@pytest.mark.parametrize("name", EXPECTED)
def test_a_recorded_reply_is_understood_as_the_reference_says(name: str) -> None:
    case, expected = UPDATE_CHECKS[name], EXPECTED[name]

    outcome = classify(case["response"], status=case["status"], headers=case["response_headers"])

    assert type(outcome) is expected.outcome
    assert outcome.status == expected.status
    assert outcome.code == expected.code
    if isinstance(outcome, (Update, Blocked)):
        assert outcome.version == expected.version
        assert outcome.breaking is expected.breaking
    if isinstance(outcome, (Limited, PlanEnded, Failed)):
        assert outcome.retry_at is None
    if isinstance(outcome, Update):
        assert outcome.url == (case["response"]["url"] if expected.has_zip else "")
        assert outcome.checksum == case["response"]["checksum"]
        assert len(outcome.manifest) == expected.files
        assert (outcome.session_key, outcome.link, outcome.comment) == (
            expected.session_key,
            expected.link,
            expected.comment,
        )


def test_no_outcome_repeats_the_ids_that_the_service_echoes() -> None:
    for case in UPDATE_CHECKS.values():
        outcome = classify(case["response"], status=case["status"])
        if not isinstance(outcome, Update):  # an update's address carries the device id
            assert "00009a6b" not in repr(outcome), case["name"]


def test_a_manifest_entry_keeps_the_three_texts_as_they_were_sent() -> None:
    sent = UPDATE_CHECKS["upd:manifest only"]["response"]["manifest"]

    outcome = classify(UPDATE_CHECKS["upd:manifest only"]["response"])

    assert isinstance(outcome, Update)
    assert [(e.file_name, e.file_hash, e.download_url) for e in outcome.manifest] == [
        (e["file_name"], e["file_hash"], e["download_url"]) for e in sent
    ]
    assert "assets/img@2x+é.css.br" in [e.file_name for e in outcome.manifest]


# --- the meaning of codes and kinds ----------------------------------------------------------------------------------

BLOCKED_CODES = [
    "provider_infrastructure_request_blocked",
    "key_id_mismatch",
    "disabled_platform_ios",
    "disabled_platform_android",
    "disabled_platform_electron",
    "disable_auto_update_to_major",
    "cannot_update_via_private_channel",
    "disable_auto_update_to_minor",
    "disable_auto_update_to_patch",
    "disable_auto_update_to_metadata",
    "disable_auto_update_under_native",
    "disable_prod_build",
    "disable_dev_build",
    "disable_device",
    "disable_emulator",
]
FAILED_CODES = [
    "unknown_version_build",
    "semver_error",
    "unsupported_plugin_version",
    "no_channel",
    "no_bundle",
    "misconfigured_channel",
    "revert_to_builtin_plugin_version_too_old",
    "no_bundle_url",
    "no_url_or_manifest",
    "missing_info",
    "null_channel_data",
]
MEANINGS = (
    [(code, Blocked) for code in BLOCKED_CODES]
    + [(code, Failed) for code in FAILED_CODES]
    + [("no_new_version_available", UpToDate), ("already_on_builtin", Builtin), ("on_premise_app", PlanEnded)]
    + [("need_plan_upgrade", PlanEnded), ("too_many_requests", Limited)]
)


@pytest.mark.parametrize(("code", "expected"), MEANINGS)
@pytest.mark.parametrize("kind", [None, "", "up_to_date", "blocked", "failed", "something_new", 5, ["failed"]])
def test_a_known_code_decides_whatever_the_kind_says(code: str, expected: type, kind: object) -> None:
    outcome = classify({"error": code, "message": "m", "kind": kind})

    assert type(outcome) is expected
    assert (outcome.code, outcome.message, outcome.status) == (code, "m", 200)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("up_to_date", UpToDate),
        ("blocked", Blocked),
        ("failed", Failed),
        ("update_available", Failed),
        ("UP_TO_DATE", Failed),
        (None, Failed),
        (7, Failed),
        ({}, Failed),
    ],
)
def test_an_unknown_code_is_classified_by_its_kind_and_failed_without_one(kind: object, expected: type) -> None:
    outcome = classify({"error": "a_code_of_tomorrow", "kind": kind})

    assert type(outcome) is expected
    assert outcome.code == "a_code_of_tomorrow"


@pytest.mark.parametrize(
    ("kind", "expected", "code"),
    [
        ("up_to_date", UpToDate, "up_to_date"),
        ("blocked", Blocked, "blocked"),
        ("failed", Failed, "response_error"),
        ("update_available", Failed, "response_error"),
        (5, Failed, "parse_error"),
        (0, Failed, "parse_error"),
    ],
)
def test_a_reply_with_a_kind_is_never_an_update_even_with_an_address(kind: object, expected: type, code: str) -> None:
    outcome = classify(changed(kind=kind))

    assert (type(outcome), outcome.code) == (expected, code)


def test_an_error_beats_the_version_and_the_address_beside_it() -> None:
    outcome = classify(changed(error="no_channel"))

    assert (type(outcome), outcome.code) == (Failed, "no_channel")


def test_a_message_alone_does_not_spoil_an_update() -> None:
    assert isinstance(classify(changed(message="hello")), Update)


@pytest.mark.parametrize("reply", [{"version": "builtin"}, changed(version="builtin", url=None)])
def test_the_version_builtin_is_the_order_to_go_back_and_needs_no_address(reply: dict[str, object]) -> None:
    assert classify(reply) == Builtin("builtin", "", 200)


@pytest.mark.parametrize(
    ("more", "breaking"),
    [
        ({"error": "disable_auto_update_to_major"}, True),
        ({"error": "disable_device", "message": "store_update_required"}, True),
        ({"error": "disable_device", "breaking": True}, True),
        ({"error": "disable_device", "breaking": "true"}, False),
        ({"error": "disable_auto_update_to_minor", "major": True}, False),
    ],
)
def test_a_refusal_that_only_a_new_installer_ends_is_marked_breaking(more: dict[str, object], breaking: bool) -> None:
    outcome = classify({"version": "2.0.0", **more})

    assert isinstance(outcome, Blocked)
    assert (outcome.version, outcome.breaking) == ("2.0.0", breaking)


@pytest.mark.parametrize("version", [5, None, "x" * 300, "2.0\n", ["2.0.0"]])
def test_a_refusal_with_an_unusable_version_stays_a_refusal(version: object) -> None:
    outcome = classify({"error": "disable_device", "version": version})

    assert isinstance(outcome, Blocked)
    assert outcome.version == ""


# --- update bodies ---------------------------------------------------------------------------------------------------


def test_an_update_carries_all_that_was_said_of_it() -> None:
    outcome = classify(changed(breaking=True))

    assert isinstance(outcome, Update)
    assert (outcome.version, outcome.url, outcome.checksum) == (GOOD["version"], GOOD["url"], GOOD["checksum"])
    assert (outcome.link, outcome.comment, outcome.breaking) == ("https://example.test/notes", "Fixes things", True)
    assert len(outcome.manifest) == 1


@pytest.mark.parametrize("manifest", [None, []])
@pytest.mark.parametrize("url", [None, "", NO_ZIP_URL])
def test_an_offer_without_archive_and_manifest_cannot_be_installed(url: object, manifest: object) -> None:
    outcome = classify(changed(url=url, manifest=manifest))

    assert (type(outcome), outcome.code) == (Failed, "no_url_or_manifest")


@pytest.mark.parametrize("url", [None, "", NO_ZIP_URL])
def test_a_manifest_alone_is_an_update_without_archive(url: object) -> None:
    outcome = classify(changed(url=url))

    assert isinstance(outcome, Update)
    assert outcome.url == ""


@pytest.mark.parametrize("key", ["session_key", "checksum", "manifest", "link", "comment", "error", "kind", "breaking"])
def test_null_means_absent(key: str) -> None:
    assert classify(changed(**{key: None})) == classify(without(key))


@pytest.mark.parametrize("key", ["error", "kind", "message"])
def test_an_empty_text_means_absent(key: str) -> None:
    assert classify(changed(**{key: ""})) == classify(GOOD)


def test_unknown_keys_are_ignored() -> None:
    extra = {"signature": "x", "rollout": {"percent": 10**400}, "a": [None, {"b": 1e308}], "old": "1.0.0", "major": 1}

    assert classify(changed(**extra)) == classify(GOOD)


WRONG = [5, 1.5, True, ["x"], {"a": 1}, [], {}]
ENTRY = GOOD["manifest"][0]


@pytest.mark.parametrize("key", ["version", "url", "session_key", "checksum", "error"])
@pytest.mark.parametrize("value", [*WRONG, False, 0])
def test_an_essential_key_of_a_wrong_type_makes_the_reply_unreadable(key: str, value: object) -> None:
    outcome = classify(changed(**{key: value}))

    assert (type(outcome), outcome.code, outcome.status) == (Failed, "parse_error", 200)
    assert key in outcome.message


@pytest.mark.parametrize("value", [5, True, "x", {"a": 1}, {}, "", 0, [5], ["x"], [[]], [None], [GOOD, None]])
def test_a_manifest_of_a_wrong_type_makes_the_reply_unreadable(value: object) -> None:
    assert classify(changed(manifest=value)).code == "parse_error"


@pytest.mark.parametrize("key", ["file_name", "file_hash", "download_url"])
@pytest.mark.parametrize("value", [*WRONG, None, "", "\0", "x" * 9000])
def test_one_wrong_field_in_one_manifest_entry_makes_the_reply_unreadable(key: str, value: object) -> None:
    outcome = classify(changed(manifest=[ENTRY, {**ENTRY, key: value}]))

    assert (type(outcome), outcome.code) == (Failed, "parse_error")


@pytest.mark.parametrize(
    ("key", "value"),
    [(key, value) for key in ("message", "link", "comment") for value in WRONG]
    + [("breaking", value) for value in (1, "true", ["x"], {"a": 1}, [], {})],
)
def test_a_decoration_of_a_wrong_type_is_ignored(key: str, value: object) -> None:
    assert classify(changed(**{key: value})) == classify(without(key))


@pytest.mark.parametrize(
    "version",
    ["", " ", "1.0\n", "1.0\0", "\x7f1.0", "1.0\x85", "1.0\u202e", "1.0\ud800", "1" * (MAX_VERSION + 1), None],
)
def test_a_version_that_is_empty_too_long_or_unprintable_makes_the_reply_unreadable(version: object) -> None:
    outcome = classify(changed(version=version))

    assert (type(outcome), outcome.code) == (Failed, "parse_error")


@pytest.mark.parametrize("version", ["1" * MAX_VERSION, "été-2025", "not semver at all", "1.0"])
def test_a_version_is_a_name_and_needs_no_format(version: str) -> None:
    outcome = classify(changed(version=version))

    assert isinstance(outcome, Update)
    assert outcome.version == version


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.test/a.zip",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "//example.test/a.zip",
        "example.test/a.zip",
        "https://",
        "https:///a.zip",
        "https://?a",
        "https://example.test/a b.zip",
        "https://example.test/a\r\nHost: b",
        "https://example.test/\ud800",
        "https://example.test/" + "a" * 8192,
    ],
)
def test_an_address_that_is_not_a_web_address_makes_the_reply_unreadable(url: str) -> None:
    assert classify(changed(url=url)).code == "parse_error"
    assert classify(changed(manifest=[{**ENTRY, "download_url": url}])).code == "parse_error"


@pytest.mark.parametrize("url", ["HTTPS://example.test/a.zip", "http://127.0.0.1:8000/a.zip?key=a+b/c==&device_id=x"])
def test_an_address_is_kept_as_it_was_sent(url: str) -> None:
    outcome = classify(changed(url=url))

    assert isinstance(outcome, Update)
    assert outcome.url == url


@pytest.mark.parametrize("link", ["javascript:alert(1)", "file:///etc/passwd", "https://e.test/" + "a" * 3000, "x\ny"])
def test_a_link_that_no_browser_should_be_given_is_left_out(link: str) -> None:
    assert classify(changed(link=link)) == classify(without("link"))


def test_release_notes_keep_their_lines_and_lose_other_control_characters() -> None:
    outcome = classify(changed(comment="one\ntwo\x1b[31m\0 three\ud800"))

    assert isinstance(outcome, Update)
    assert outcome.comment == "one\ntwo [31m three"


@pytest.mark.parametrize("status", [200, 400, 429, 500])
def test_messages_and_codes_are_bounded_and_fit_for_a_log_line(status: int) -> None:
    reply = {"error": "e\n\x1b[0m" + "x" * 500, "message": "a\r\nb\0\u202e" + "\ud800" + "y" * 5000}

    outcome = classify(reply, status=status)

    assert len(outcome.code) <= 64
    assert outcome.code.startswith("e [0mxxx")
    assert len(outcome.message) <= MAX_MESSAGE
    assert outcome.message.startswith("a b y")
    outcome.message.encode("utf-8")


# --- bytes that are no reply -----------------------------------------------------------------------------------------

UNREADABLE = {
    "empty": b"",
    "white space": b" \r\n",
    "a captive portal": b"<!DOCTYPE html><html><body>Please log in</body></html>",
    "cut short": json.dumps(GOOD).encode()[:-9],
    "two values": b'{"version":"1.0.0"}{}',
    "a list": b"[]",
    "a text": b'"version"',
    "a number": b"1",
    "null": b"null",
    "NaN": b'{"version":"1.0.0","url":"https://e.test/a.zip","x":NaN}',
    "Infinity": b'{"version":"1.0.0","url":"https://e.test/a.zip","x":-Infinity}',
    "a number too long to convert, alone": b"9" * 10_000,
    "bad UTF-8": b'{"version":"1.0.0\xff","url":"https://e.test/a.zip"}',
    "UTF-16": json.dumps(GOOD).encode("utf-16"),
    "half a surrogate pair as a version": b'{"version":"\\ud800","url":"https://e.test/a.zip"}',
    "a huge exponent as a version": b'{"version":1e999999,"url":"https://e.test/a.zip"}',
    "deep lists": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "deep in an object": b'{"version":"1.0.0","url":"https://e.test/a","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "single quotes": b"{'version':'1.0.0'}",
    "a status page": b'{"status":"ok"}',
    "an empty object": b"{}",
    "gzip that nobody unpacked": b"\x1f\x8b\x08\0\0\0\0\0",
    "too long": b'{"version":"1.0.0","url":"https://e.test/a.zip"}' + b" " * MAX_REPLY_BYTES,
}


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_what_cannot_be_read_is_a_failure_that_says_so(body: bytes) -> None:
    outcome = classify(body)

    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.status, outcome.retry_at) == ("parse_error", 200, None)
    assert "the reply" in outcome.message
    assert outcome.retryable


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_bad_status_with_an_unreadable_body_is_told_by_its_status(body: bytes) -> None:
    assert classify(body, status=503) == Failed("response_error", "the service answered with HTTP status 503", 503)
    assert classify(body, status=404) == Failed("response_error", "the service answered with HTTP status 404", 404)
    assert classify(body, status=429) == Limited("too_many_requests", "", 429)


def test_a_byte_order_mark_is_harmless() -> None:
    assert classify(b"\xef\xbb\xbf" + json.dumps(GOOD).encode()) == classify(GOOD)


def test_of_two_equal_keys_the_last_counts_as_in_every_javascript() -> None:
    outcome = classify(b'{"version":"1","version":"2","url":"https://e.test/a.zip","error":"no_channel","error":null}')

    assert isinstance(outcome, Update)
    assert outcome.version == "2"


def test_numbers_beyond_any_range_in_keys_that_nobody_reads_are_harmless() -> None:
    body = json.dumps(GOOD).encode()[:-1] + b',"a":' + b"9" * 10_000 + b',"b":1e999999,"c":-1e999999}'

    assert classify(body) == classify(GOOD)


def test_a_reply_of_the_largest_size_is_read_and_one_byte_more_is_refused() -> None:
    largest = json.dumps(GOOD).encode().ljust(MAX_REPLY_BYTES)

    assert classify(largest) == classify(GOOD)
    assert classify(largest + b" ").code == "parse_error"


# --- statuses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["on_premise_app", "need_plan_upgrade"])
@pytest.mark.parametrize("status", [200, 400, 402, 403, 404, 429])
@pytest.mark.parametrize("message", [None, "On-premise app detected"])
def test_the_ended_plan_is_known_by_its_code_under_any_status_below_500(
    code: str, status: int, message: str | None
) -> None:
    outcome = classify({"error": code, "message": message}, status=status)

    assert outcome == PlanEnded(code, message or "", status)


@pytest.mark.parametrize("status", [500, 502, 503, 599])
def test_a_server_fault_is_a_failure_whatever_it_says(status: int) -> None:
    assert type(classify({"error": "on_premise_app"}, status=status)) is Failed
    assert classify({"error": "unknown_error", "message": "m"}, status=status) == Failed("unknown_error", "m", status)
    assert classify(GOOD, status=status).code == "response_error"


@pytest.mark.parametrize("status", [100, 300, 302, 400, 401, 403, 404, 418, 511, 0, -1, 1000])
def test_a_good_body_under_a_bad_status_is_not_an_update(status: int) -> None:
    outcome = classify(GOOD, status=status)

    assert (type(outcome), outcome.code) == (Failed, "response_error")


def test_a_429_from_a_blocked_data_centre_is_not_a_rate_limit() -> None:
    reply = {"error": "provider_infrastructure_request_blocked", "message": "no", "moreInfo": {}}

    assert classify(reply, status=429) == Blocked("provider_infrastructure_request_blocked", "no", 429)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"error": "too_many_requests"}, "too_many_requests"),
        ({"error": "slow_down"}, "slow_down"),
        ({"error": "no_new_version_available", "kind": "up_to_date"}, "no_new_version_available"),
        ({"error": 5}, "too_many_requests"),
        (GOOD, "too_many_requests"),
        (b"<html>429</html>", "too_many_requests"),
        (b"", "too_many_requests"),
    ],
)
def test_any_other_429_is_a_rate_limit(body: object, code: str) -> None:
    outcome = classify(body, status=429, headers={"Retry-After": "30"})

    assert outcome == Limited(code, "", 429, retry_at=NOW + 30)


def test_a_rate_limit_reads_its_time_from_the_body_and_tells_nothing_else_of_it() -> None:
    more = {"app_id": "com.example.secret", "device_id": "d", "retryAfterSeconds": 60}

    outcome = classify({"error": "too_many_requests", "moreInfo": more}, status=429)

    assert outcome == Limited("too_many_requests", "", 429, retry_at=NOW + 60)


@pytest.mark.parametrize("status", [403, 503])
def test_a_retry_after_is_kept_with_other_failures(status: int) -> None:
    assert classify(b"", status=status, headers={"retry-after": "120"}) == Failed(
        "response_error", f"the service answered with HTTP status {status}", status, retry_at=NOW + 120
    )
    assert classify({"error": "on_premise_app"}, status=429, headers={"retry-after": "9"}) == PlanEnded(
        "on_premise_app", "", 429, retry_at=NOW + 9
    )


def test_the_reset_header_that_proxies_put_on_every_reply_does_not_delay_after_a_fault() -> None:
    outcome = classify(b"", status=500, headers={"X-RateLimit-Reset": str(NOW + 600)})

    assert isinstance(outcome, Failed)
    assert outcome.retry_at is None


@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [
        (0, "timeout_error", True),
        (200, "parse_error", True),
        (200, "no_channel", False),
        (302, "response_error", True),
        (400, "semver_error", False),
        (404, "response_error", False),
        (408, "response_error", True),
        (425, "response_error", True),
        (500, "unknown_error", True),
        (503, "response_error", True),
    ],
)
def test_a_failure_says_whether_asking_again_makes_sense(status: int, code: str, retryable: bool) -> None:
    assert Failed(code, "", status).retryable is retryable


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [
        (Update(), "update"),
        (UpToDate(), "up_to_date"),
        (Blocked(), "blocked"),
        (Builtin(), "builtin"),
        (PlanEnded(), "plan_ended"),
        (Limited(), "rate_limited"),
        (Failed(), "failed"),
    ],
)
def test_each_outcome_has_one_word_for_it(outcome: Outcome, kind: str) -> None:
    assert outcome.kind == kind


# --- whatever comes --------------------------------------------------------------------------------------------------

STATUSES = st.sampled_from([200, 204, 302, 400, 404, 429, 500, 503]) | st.integers()
HEADERS = st.dictionaries(
    st.sampled_from(["Retry-After", "retry-after", "X-RateLimit-Reset", "content-type"]) | st.text(max_size=9),
    st.text(max_size=40) | st.integers().map(str) | st.floats().map(str),
    max_size=4,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = ["version", "url", "session_key", "checksum", "manifest", "error", "kind", "message", "moreInfo", "link"]
MORE_KEYS = [*KEYS, "comment", "breaking", "retryAfterSeconds", "rateLimitResetAt"]
BODIES = [json.dumps(case["response"], ensure_ascii=False).encode() for case in UPDATE_CHECKS.values()]


def assert_sound(outcome: Outcome) -> None:
    assert isinstance(outcome, (Update, UpToDate, Blocked, Builtin, PlanEnded, Limited, Failed))
    texts = [outcome.code, outcome.message]
    assert len(outcome.message) <= MAX_MESSAGE
    if isinstance(outcome, Update):
        assert outcome.version
        assert outcome.url or outcome.manifest
        texts += [outcome.version, outcome.url, outcome.session_key, outcome.checksum, outcome.link]
        texts += [text for entry in outcome.manifest for text in (entry.file_name, entry.file_hash, entry.download_url)]
        assert all(entry.file_name and entry.file_hash and entry.download_url for entry in outcome.manifest)
        outcome.comment.encode("utf-8")
    elif isinstance(outcome, Blocked):
        texts.append(outcome.version)
    else:
        assert isinstance(outcome, (UpToDate, Builtin)) or outcome.code
    for text in texts:
        text.encode("utf-8")
        assert not any(char < " " or char == "\x7f" for char in text)
    if isinstance(outcome, (Limited, Failed, PlanEnded)) and outcome.retry_at is not None:
        assert math.isfinite(outcome.retry_at)
        assert NOW < outcome.retry_at <= NOW + 24 * 3600


@given(STATUSES, HEADERS, st.binary(max_size=200))
def test_any_bytes_under_any_status_give_an_outcome(status: int, headers: dict[str, str], body: bytes) -> None:
    assert_sound(classify_update(status, headers, body, now=NOW))


@given(STATUSES, HEADERS, st.dictionaries(st.sampled_from(MORE_KEYS), JSON, max_size=6))
def test_any_json_under_any_status_gives_an_outcome(
    status: int, headers: dict[str, str], reply: dict[str, object]
) -> None:
    assert_sound(classify_update(status, headers, json.dumps(reply).encode(), now=NOW))


@given(st.sampled_from(MORE_KEYS), JSON)
def test_a_good_reply_with_any_one_value_replaced_gives_an_outcome(key: str, value: object) -> None:
    assert_sound(classify_update(200, {}, json.dumps(changed(**{key: value})).encode(), now=NOW))


@given(st.sampled_from(BODIES), st.data())
def test_a_real_reply_with_bytes_changed_or_cut_gives_an_outcome(body: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(body) - 1))
    mutated = body[:at] + data.draw(st.binary(max_size=3)) + body[at + data.draw(st.integers(0, 4)) :]
    assert_sound(classify_update(data.draw(STATUSES), {}, mutated, now=NOW))


def test_the_recursion_limit_that_the_app_set_does_not_matter() -> None:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(2_000)
    try:
        outcome = classify(b'{"a":' * 50_000 + b"1" + b"}" * 50_000)
    finally:
        sys.setrecursionlimit(before)
    assert outcome.code == "parse_error"
