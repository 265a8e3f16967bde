"""Replies of the service: each becomes an outcome or a typed error, whatever it holds, and within its limits."""

# ruff: noqa: PT017 - what else can be asserted of an error that need not come?

from __future__ import annotations

import math

from fuzzing import HEADERS, STATUSES, bodies, fuzz
from hypothesis import strategies as st

from capgo_client import CapgoError
from capgo_client.protocol.channels import MAX_CHANNELS, MAX_NAME, Channel, ChannelStatus, read_get, read_list, read_set
from capgo_client.protocol.deliveries import Delivery, classify_delivery
from capgo_client.protocol.outcomes import ManifestEntry, Outcome, Update
from capgo_client.protocol.retry_after import MAX_WAIT
from capgo_client.protocol.sizes import MAX_SIZE, read_sizes
from capgo_client.protocol.updates import classify_update

NOW = 1_790_000_000.0
ENTRY = {"file_name": "main.py", "file_hash": "a" * 64, "download_url": "https://f.example.com/main.py"}
UPDATE = {
    "version": "1.5.0",
    "url": "https://f.example.com/a.zip",
    "checksum": "a" * 64,
    "session_key": "",
    "manifest": [ENTRY],
    "message": "m",
    "error": None,
    "kind": None,
    "link": "https://example.com",
    "comment": "c",
    "breaking": False,
}
REFUSAL = {"error": "need_plan_upgrade", "message": "m", "kind": "blocked", "version": "2.0.0", "moreInfo": {}}
LIMITED = {
    "error": "too_many_requests",
    "message": "m",
    "retryAfterSeconds": 5,
    "rateLimitResetAt": 1_790_000_005_000,
    "moreInfo": {"retryAfterSeconds": 7},
}


def is_plain(text, limit):
    return len(text) <= limit and not any(ord(char) < 32 or 0x7F <= ord(char) < 0xA0 for char in text)


def is_soon(until):
    return until is None or NOW < until <= NOW + MAX_WAIT


@fuzz(
    quick=30,
    status=STATUSES,
    headers=HEADERS,
    body=bodies(UPDATE, UPDATE, REFUSAL, LIMITED),
    corpus=[{"status": 200, "headers": {}, "body": b"[" * 100_000}, {"status": 429, "headers": {}, "body": b"\xff"}],
)
def test_a_reply_to_a_check_is_an_outcome(status, headers, body):
    outcome = classify_update(status, headers, body, now=NOW)
    assert isinstance(outcome, Outcome)
    assert classify_update(status, headers, body, now=NOW) == outcome
    assert is_plain(outcome.message, 300)
    assert is_plain(outcome.code, 64)
    assert is_soon(getattr(outcome, "retry_at", None))
    if isinstance(outcome, Update):
        assert 200 <= status < 300
        assert is_plain(outcome.version, 256)
        assert outcome.version.strip()
        assert outcome.url or outcome.manifest
        for url in (outcome.url, outcome.link, *(entry.download_url for entry in outcome.manifest)):
            assert url == "" or url.lower().startswith(("http://", "https://"))
            assert is_plain(url, 8192)
        assert all(entry.file_name and entry.file_hash for entry in outcome.manifest)


STATUS = {"status": "ok", "allowSet": True, "message": "m", "unset": False, "error": None, "channel": "beta"}
CHANNEL = {"id": 1, "name": "beta", "public": False, "allow_self_set": True}


@fuzz(quick=30, status=STATUSES, headers=HEADERS, body=bodies(STATUS, LIMITED, [CHANNEL], [CHANNEL, {}]))
def test_a_reply_about_channels_is_a_value_or_a_typed_error(status, headers, body):
    readers = (
        lambda: read_set(status, headers, body, now=NOW, channel="beta"),
        lambda: read_get(status, headers, body, now=NOW, default_channel="beta"),
        lambda: read_list(status, headers, body, now=NOW),
    )
    for read in readers:
        try:
            value = read()
        except CapgoError as exc:
            assert is_plain(exc.code, 64)
            assert is_plain(exc.message, 1000)
            assert is_soon(getattr(exc, "retry_at", None))
            continue
        assert isinstance(value, (ChannelStatus, tuple))
        if isinstance(value, ChannelStatus):
            assert is_plain(value.channel, MAX_NAME)
            assert is_plain(value.message, 300)
        else:
            assert len(value) <= MAX_CHANNELS
            assert all(isinstance(each, Channel) and is_plain(each.name, MAX_NAME) for each in value)


RESULTS = {"status": "ok", "results": [{"index": 0, "status": "ok"}, {"index": 1, "status": "error", "error": "x"}]}


@fuzz(quick=30, status=STATUSES, headers=HEADERS, count=st.integers(1, 3), body=bodies(RESULTS, RESULTS, LIMITED))
def test_a_reply_to_statistics_says_of_each_event_what_became_of_it_or_of_none(status, headers, count, body):
    delivery = classify_delivery(status, headers, body, count=count, now=NOW)
    assert isinstance(delivery, Delivery)
    assert delivery.fate in ("taken", "refused", "later")
    assert len(delivery.items) == (count if delivery.fate == "taken" else 0)
    assert {item.verdict for item in delivery.items} <= {"ok", "drop", "retry", "keep"}
    assert is_plain(delivery.message, 400)
    assert is_soon(delivery.retry_at)


SIZES = {"files": [{**ENTRY, "size": 5}, {**ENTRY, "size": None, "error": "size_unknown"}], "error": None}
MANIFEST = (ManifestEntry(**ENTRY), ManifestEntry("b.py", "b" * 64, "https://f.example.com/b.py"))


@fuzz(quick=25, status=STATUSES, body=bodies(SIZES, {"files": [{**ENTRY, "size": 2**41}]}))
def test_a_reply_about_sizes_is_counted_by_us(status, body):
    sizes = read_sizes(status, body, MANIFEST)
    assert sizes.known_files + sizes.unknown_files == len(sizes.files) == 2
    assert sizes.total_size == sum(file.size or 0 for file in sizes.files)
    assert math.isfinite(sizes.total_size)
    assert all(file.size is None or 0 <= file.size <= MAX_SIZE for file in sizes.files)
    assert all((file.size is None) == bool(file.error) for file in sizes.files)
