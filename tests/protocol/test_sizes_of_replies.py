"""How large a reply may be: the largest manifests fit, and nothing larger costs time or memory."""

from __future__ import annotations

import json
import time
import tracemalloc

import pytest

from capgo_client.errors import ReplyError
from capgo_client.protocol.outcomes import Failed, Update
from capgo_client.protocol.replies import MAX_REPLY_BYTES, MAX_SHORT_REPLY_BYTES, MAX_VALUES, parse, parse_object
from capgo_client.protocol.updates import classify_update

MIB = 1024 * 1024


def encrypted_manifest(files: int) -> bytes:
    """A reply as the service sends it for an encrypted delta: 2 KB for each file."""
    entries = [
        {
            "file_name": f"{number:06d}" + "/+aB3" * 135,
            "file_hash": f"{number:08x}" * 64,
            "download_url": f"https://plugin.capgo.app/files/read/attachments/{number}/" + "c4" * 340 + ".br?key=1",
        }
        for number in range(files)
    ]
    reply = {"version": "2.0.0", "url": "https://e.test/a.zip", "session_key": "aa:bb", "checksum": "ab" * 256}
    return json.dumps({**reply, "manifest": entries}).encode()


def test_the_limits_are_24_mebibytes_for_an_update_and_1_for_the_rest():
    assert MAX_REPLY_BYTES == 24 * MIB
    assert MAX_SHORT_REPLY_BYTES == MIB


def test_ten_thousand_encrypted_files_are_read_in_a_fraction_of_a_second_and_little_memory():
    body = encrypted_manifest(10_000)
    assert 19_000_000 < len(body) < MAX_REPLY_BYTES

    began = time.process_time()
    outcome = classify_update(200, {}, body, now=0.0)
    took = time.process_time() - began

    assert isinstance(outcome, Update)
    assert len(outcome.manifest) == 10_000
    assert outcome.manifest[9_999].file_name.startswith("009999/+aB3")
    assert took < 1.0  # about 0.1 s on a machine of 2024


def test_the_memory_for_a_large_manifest_is_a_small_multiple_of_its_size():
    body = encrypted_manifest(2_000)
    tracemalloc.start()
    try:
        classify_update(200, {}, body, now=0.0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 3 * len(body)


MANY = {
    "objects": b'{"x":[' + b"{}," * (8 * MIB - 10) + b"{}]}",
    "lists": b'{"x":[' + b"[]," * (8 * MIB - 10) + b"[]]}",
    "numbers": b'{"x":[' + b"1," * (12 * MIB - 10) + b"1]}",
    "keys": b'{"x":1' + b',"":1' * (4 * MIB) + b"}",
}


@pytest.mark.parametrize("body", MANY.values(), ids=MANY.keys())
def test_many_small_values_are_refused_before_they_cost_anything(body):
    assert len(body) <= MAX_REPLY_BYTES
    tracemalloc.start()
    try:
        outcome = classify_update(200, {}, body, now=0.0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert outcome == Failed("parse_error", "the reply has more than 500000 values in it", 200)
    assert peak < MIB


def test_exactly_as_many_values_as_are_allowed_are_read():
    most = b"[1" + b",1" * (MAX_VALUES - 1) + b"]"

    assert parse(most) == [1] * MAX_VALUES
    with pytest.raises(ReplyError, match="values"):
        parse(most[:-1] + b",1]")


@pytest.mark.parametrize("read", [parse, parse_object])
def test_a_caller_can_ask_for_a_smaller_limit(read):
    body = b'{"a":1}'

    assert read(body, limit=7) == {"a": 1}
    with pytest.raises(ReplyError, match="larger than 6 bytes"):
        read(body, limit=6)
