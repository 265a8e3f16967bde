"""All conversations that were recorded with the real service, held again with the one of the kit."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import httpx
import pytest
from kit_wire import device
from seeded import bundle, seeded

from capgo_client.testing import FakeClock

RECORDED = json.loads((Path(__file__).parents[1] / "data" / "conversations.json").read_text(encoding="utf-8"))
HOST = "https://plugin.example.test"
#: The record leaves out some calls that its later ones depend on: before which conversation, and how often what.
UNRECORDED = {
    "cs POST:bw exceeded": [("POST", "/updates", device(app_id="com.example.bw2"))],
    "cs GET:list burst 3": "cs GET:list burst 1",
    "cs GET:list burst 5": "cs GET:list burst 3",
    "upd:oracle miss 5": [("POST", "/updates", device(app_id="com.nope.a4"))],
}
#: Headers that are compared wherever either side has them.
HEADERS = ("content-type", "retry-after", "x-ratelimit-reset", "cache-control", "etag")


def recorded_files(version):
    """File hashes of the record's manifests in their order."""
    answers = [each["response"] for each in RECORDED if isinstance(each["response"], dict)]
    return next(said["manifest"] for said in answers if said.get("version") == version and "manifest" in said)


def recorded_checksums():
    answers = [each["response"] for each in RECORDED if isinstance(each["response"], dict)]
    return {said["version"]: said["checksum"] for said in answers if "checksum" in said}


def as_recorded(version):
    """The bundle of a version under its recorded hashes: what stood in the files was not recorded."""
    made = bundle(version)
    manifest = made.manifest
    if manifest:
        hashes = {each["file_name"]: each["file_hash"] for each in recorded_files(version)}
        # The one file whose size was asked for was 71 bytes long.
        manifest = tuple(
            dataclasses.replace(each, file_hash=hashes[each.file_name], data=b"x" * 71) for each in manifest
        )
    checksum = recorded_checksums().get(version, made.checksum)
    return dataclasses.replace(made, checksum=checksum, manifest=manifest)


# The whole normalisation stands in the next three functions.


def normal_recorded(value):
    """The record without what is another number or name for every server: see each line."""
    if isinstance(value, list):
        # The order of a list of channels is not guaranteed (section 2.4); their numbers began at 10.
        if value and all(isinstance(each, dict) and "allow_self_set" in each for each in value):
            return sorted(({**each, "id": each["id"] - 9} for each in value), key=lambda each: each["id"])
        return [normal_recorded(each) for each in value]
    if isinstance(value, dict):
        return {name: normal_recorded(each) for name, each in value.items() if name != "rateLimitResetAt"}
    return value


def normal_own(value, base):
    """Our reply with the recorded host name."""
    text = json.dumps(value).replace(base, HOST)
    found = json.loads(text)
    if isinstance(found, dict) and "moreInfo" in found:
        instant = found["moreInfo"].pop("rateLimitResetAt", None)
        assert instant is None or re.fullmatch(r"\d{13}", str(instant))
    return found


def send(client, base, conversation):
    body = conversation["body"]
    content = None
    if isinstance(body, dict) and "__raw__" in body:
        content = body["__raw__"].encode()
    elif body is not None:
        content = json.dumps(body).encode()
    return client.request(
        conversation["method"], base + conversation["path"], content=content, headers=conversation["headers"]
    )


def fill_in(client, base, name):
    missing = UNRECORDED.get(name, [])
    if isinstance(missing, str):
        send(client, base, next(each for each in RECORDED if each["name"] == missing))
        return
    for method, path, body in missing:
        client.request(method, base + path, json=body)


def compared_headers(headers):
    kept = {name: headers[name] for name in HEADERS if name in headers}
    if "x-ratelimit-reset" in kept:
        # An instant: the record's is of the day it was made.
        assert re.fullmatch(r"\d{10}", kept["x-ratelimit-reset"])
        del kept["x-ratelimit-reset"]
        kept["has a reset"] = "yes"
    return kept


def test_the_record_is_complete():
    assert len(RECORDED) == 161
    assert len({each["name"] for each in RECORDED}) == 161
    assert set(UNRECORDED) <= {each["name"] for each in RECORDED}


@pytest.fixture(scope="module")
def replayed():
    """Every conversation in the recorded order with one server: name to (status, headers, body, address)."""
    clock = FakeClock()
    answers = {}
    with seeded(clock, as_recorded) as service, httpx.Client(trust_env=False, timeout=5) as client:
        for each in RECORDED:
            fill_in(client, service.url, each["name"])
            reply = send(client, service.url, each)
            answers[each["name"]] = (reply.status_code, reply.headers, reply.json(), service.url)
    return answers


@pytest.mark.parametrize("conversation", RECORDED, ids=lambda each: each["name"])
def test_the_kit_answers_as_the_real_service_did(replayed, conversation):
    status, headers, body, base = replayed[conversation["name"]]
    assert status == conversation["status"]
    assert normal_own(body, base) == normal_recorded(conversation["response"])
    assert compared_headers(headers) == compared_headers(conversation["response_headers"])
