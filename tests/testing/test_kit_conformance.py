"""Section 7 of reference/service-behaviour.md, all 84 rows, each through a socket to a server seeded for it.

A step is (method, path, body, status, what must stand in the reply). Bodies are base body D with changes; ``gone``
names keys that must be absent, at any depth that the row means: the top.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

import brotli
import httpx
import pytest
from kit_wire import ABSENT, device
from seeded import APP, DEVICE, FILES, KEY_ID, OVERRIDDEN, seeded

from capgo_client.testing import FakeClock

OPA = {"error": "on_premise_app", "message": "On-premise app detected"}
OTHER_KEY = "MIIBCgKCAQEAOTHERKEY"
UP_TO_DATE = {"error": "no_new_version_available", "message": "No new version available", "kind": "up_to_date"}
NO_CHANNEL = {"error": "no_channel", "message": "no default channel or override", "kind": "failed"}
OK = {"status": "ok"}
TEXT = object()  # any text will do
NAMES = ["index.html.br", "assets/app.js.br", "assets/img@2x+é.css.br", "assets/tiny.txt"]
OLD = "7.33.9"


@dataclass(frozen=True)
class Step:
    method: str
    path: str
    body: Any
    status: int
    expected: Any
    gone: tuple[str, ...] = ()
    headers: dict[str, str] = field(default_factory=dict)
    no_headers: tuple[str, ...] = ()


def update(expected, status=200, gone=(), **changes):
    return Step("POST", "/updates", device(**changes), status, expected, gone)


def raw(body, expected, status):
    return Step("POST", "/updates", body, status, expected)


def channel(method, expected, status=200, **changes):
    body = device(**changes)
    if method in {"POST", "PUT"}:
        return Step(method, "/channel_self", body, status, expected)
    texts = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in body.items()}
    return Step(method, "/channel_self?" + str(httpx.QueryParams(texts)), None, status, expected)


def stats(expected, status=200, gone=(), **changes):
    return Step("POST", "/stats", device(**{"action": "set", **changes}), status, expected, gone)


def batch(expected, *events, status=200, gone=()):
    return Step("POST", "/stats", list(events), status, expected, gone)


def event(**changes):
    return device(**{"action": "set", **changes})


def offered(version, gone=("error", "kind", "message"), expected=None, **changes):
    return Step("POST", "/updates", device(**changes), 200, {"version": version, **(expected or {})}, gone)


def problem(name, text, code="invalid_json_body"):
    issues = [{"message": text, "path": [name], "code": "custom"}]
    more = {"parseResult": {"success": False, "error": {"name": "SchemaError", "issues": issues}}}
    return {"error": code, "message": "Cannot parse body", "moreInfo": more}


def bad(name, text, **changes):
    return update(problem(name, text), 400, ("kind",), **changes)


def bad_event(name, text, **changes):
    return stats(problem(name, text), 400, **changes)


def blocked(error, message, version, *, old="1.0.0", major=False):
    more = {"major": True} if major else {}
    return {"error": error, "message": message, "kind": "blocked", "version": version, "old": old, **more}


def not_found(version):
    named = {"app_id": APP, "version_name": version}
    return {"error": "version_not_found", "message": "Version not found", **named}


def semver_error(value):
    message = (
        f"Native version: {value} doesn't follow semver convention, please check https://capgo.app/semver_tester/ to "
        "learn more about semver usage in Capgo"
    )
    return {"error": "semver_error", "message": message, "moreInfo": {"version_build": value}}


LIMITED = {"error": "too_many_requests", "message": "Too many requests"}
MANIFEST = {"version": "1.2.0", "manifest": TEXT}
SET = {"status": "ok", "allowSet": True}
MISMATCH = {
    "error": "key_id_mismatch",
    "message": "Device encryption key does not match bundle encryption key. The device may have a different public key "
    "than the one used to encrypt this bundle.",
    "kind": "blocked",
    "deviceKeyId": OTHER_KEY,
    "bundleKeyId": KEY_ID,
}
PUBLIC = (
    "This channel is public and does not allow device self-assignment. Unset the channel and the device will "
    "automatically use the public channel."
)
CANNOT_OVERRIDE = {
    "error": "cannot_override",
    "message": "Cannot change device override current channel don't allow it",
}
UNKNOWN_ERROR = {"error": "unknown_error", "message": "Unknown error", "moreInfo": {}}
CANNOT_PARSE = {"error": "invalid_query_parameters", "message": "Cannot parse body"}
NO_ID = {"error": "invalid_app_id", "message": "App ID is required", "moreInfo": {}}
MIXED = {"error": "mixed_app_ids", "message": "All events in a batch must have the same app_id"}
TOO_OLD = {
    "error": "revert_to_builtin_plugin_version_too_old",
    "message": "revert_to_builtin used, but plugin version is too old",
    "kind": "failed",
}

#: Row to its requests, in turn, to one server.
ROWS: dict[int, list[Step]] = {
    1: [update(UP_TO_DATE)],
    2: [
        offered(
            "1.0.0",
            ("error", "kind", "manifest"),
            {"url": TEXT, "checksum": TEXT, "session_key": ""},
            version_name="1.1.0",
        )
    ],
    3: [update(UP_TO_DATE, version_name="builtin")],
    4: [offered("1.361.0", defaultChannel="beta")],
    5: [offered("1.2.0", expected={"url": TEXT, "manifest": TEXT}, defaultChannel="manifest")],
    6: [
        update(MANIFEST, gone=("error",), defaultChannel="manifest", plugin_version=plugin)
        for plugin in ("6.25.0", "7.0.35", "5.10.0")
    ],
    7: [
        offered("1.2.0", ("error", "manifest"), defaultChannel="manifest", plugin_version=plugin)
        for plugin in ("6.24.9", "7.0.34", "5.9.0")
    ],
    8: [
        offered(
            "1.2.1",
            expected={"url": "https://404.capgo.app/no.zip", "manifest": TEXT},
            defaultChannel="manifestonly",
        )
    ],
    9: [
        offered(
            "1.3.0",
            ("error", "manifest"),
            {"url": "https://cdn.example.invalid/b/1.3.0.zip"},
            defaultChannel="external",
        )
    ],
    10: [offered("1.4.0", expected={"session_key": TEXT}, defaultChannel="enc")],
    11: [offered("1.4.0", defaultChannel="enc", key_id=KEY_ID)],
    12: [update(MISMATCH, defaultChannel="enc", key_id=OTHER_KEY)],
    13: [offered("1.4.0", defaultChannel="enc", key_id=OTHER_KEY, plugin_version="8.40.7")],
    14: [
        update(
            {"error": "already_on_builtin", "version": "builtin", "kind": "up_to_date"},
            defaultChannel="native",
            version_name="1.1.0",
        )
    ],
    15: [update(TOO_OLD, defaultChannel="native", plugin_version="6.1.9")],
    16: [update({"error": "unsupported_plugin_version", "kind": "failed"}, plugin_version="4.15.0")],
    17: [update({"error": "no_bundle", "message": "Cannot get bundle", "kind": "failed"}, defaultChannel="nobundle")],
    18: [
        update(NO_CHANNEL, gone=("version", "old", "major"), defaultChannel=name)
        for name in ("deleted", "nope", "private", "iosonly")
    ],
    19: [
        offered("1.361.0", device_id=given, version_name="0.0.0")
        for given in (OVERRIDDEN + "1", (OVERRIDDEN + "1").upper())
    ],
    20: [
        update(
            blocked("disabled_platform_ios", "Cannot update, ios it's disabled", "1.361.0"),
            device_id=OVERRIDDEN + "2",
            platform="ios",
        )
    ],
    21: [
        update(
            blocked("disabled_platform_android", "Cannot update, android is disabled", "1.361.0"),
            device_id=OVERRIDDEN + "3",
        ),
        update(
            blocked("disabled_platform_electron", "Cannot update, electron is disabled", "1.361.0"),
            device_id=OVERRIDDEN + "4",
            platform="electron",
        ),
    ],
    22: [
        update(
            blocked("disable_auto_update_to_major", "Cannot upgrade major version", "2.0.0", major=True),
            defaultChannel="major",
        )
    ],
    23: [
        update(
            blocked("disable_auto_update_to_minor", "Cannot upgrade minor version", "1.361.0", major=True),
            defaultChannel="minor",
        )
    ],
    24: [
        update(
            blocked("disable_auto_update_to_patch", "Cannot upgrade patch version", "1.361.0", major=True),
            defaultChannel="patch",
        ),
        offered("1.361.0", defaultChannel="patch", version_build="1.361.0", version_name="1.360.0"),
    ],
    25: [
        update(
            blocked(
                "disable_auto_update_to_metadata",
                "Cannot upgrade version, min update version > current version",
                "1.6.0",
                major=True,
            ),
            defaultChannel="vnum",
        ),
        offered("1.6.0", defaultChannel="vnum", version_build="1.5.0"),
        update(
            {"error": "misconfigured_channel", "message": "Channel vnumbad is misconfigured", "kind": "failed"},
            defaultChannel="vnumbad",
        ),
    ],
    26: [
        update(
            blocked("disable_auto_update_under_native", "Cannot revert under native version", "1.0.0", old="2.0.0"),
            defaultChannel="undernative",
            version_build="2.0.0",
            version_name="2.0.0",
        )
    ],
    27: [
        update(
            blocked("disable_prod_build", "Cannot update, prod build is disabled", "1.361.0"),
            defaultChannel="noprod",
        ),
        update(
            blocked("disable_dev_build", "Cannot update, dev build is disabled", "1.361.0"),
            defaultChannel="nodev",
            is_prod=False,
        ),
        update(blocked("disable_device", "Cannot update, device is disabled", "1.361.0"), defaultChannel="nodevice"),
        update(
            blocked("disable_emulator", "Cannot update, emulator is disabled", "1.361.0"),
            defaultChannel="noemu",
            is_emulator=True,
        ),
    ],
    28: [
        offered(
            "1.1.0",
            expected={"link": "https://example.invalid/release/1.1.0", "comment": "Fixes things"},
            app_id="com.example.meta",
            plugin_version="8.35.0",
        ),
        offered("1.1.0", ("error", "link", "comment"), app_id="com.example.meta", plugin_version="8.34.9"),
    ],
    29: [
        offered("1.1.0", app_id="com.example.rollout", version_name="0.9.0"),
        offered("1.0.0", app_id="com.example.rollout", version_name="0.9.0", defaultChannel="zero"),
        offered("1.0.0", app_id="com.example.rollout", version_name="0.9.0", defaultChannel="paused"),
        update(UP_TO_DATE, app_id="com.example.rollout", version_name="1.1.0", defaultChannel="paused"),
    ],
    30: [
        update(OPA, 429, ("kind", "moreInfo"), app_id=f"com.example.{name}")
        for name in ("ended", "trialover", "mau", "bw")
    ],
    31: [
        offered("1.0.0", app_id=f"com.example.{name}", version_name="0.9.0")
        for name in ("credits", "trial", "nocust", "storage")
    ],
    32: [update(OPA, 429, ("kind",), app_id="does.not.exist")],
    33: [
        *(update(OPA, 429, app_id=f"com.nope.a{number}") for number in range(4)),
        update({"error": "on_premise_app"}, 429, ("message",), app_id="com.nope.a4"),
        update({"error": "on_premise_app"}, 429, ("message",)),
    ],
    34: [
        Step(
            "POST",
            "/updates",
            device(app_id="com.example.limited"),
            429,
            {**LIMITED, "moreInfo": {"app_id": "com.example.limited"}},
            no_headers=("Retry-After", "X-RateLimit-Reset"),
        )
    ],
    35: [raw({}, {"error": "invalid_json_body", "message": "Cannot parse body", "moreInfo": {"body": {}}}, 400)],
    36: [raw({"platform": "android"}, {"error": "missing_device_id", "message": "Cannot find device_id"}, 400)],
    37: [update({"error": "missing_app_id", "message": "Cannot find app_id"}, 400, app_id=ABSENT)],
    38: [
        raw(text, {"error": "invalid_json_parse_body", "message": "Invalid JSON body", "moreInfo": {"e": {}}}, 400)
        for text in (b"{bad", b"")
    ],
    39: [bad("device_id", "Device ID must be a valid UUID string", device_id="invalid-uuid")],
    40: [bad("platform", "Platform is not supported or invalid", platform="unsupported_platform")],
    41: [
        bad("plugin_version", "Plugin version is invalid", plugin_version="invalid_version"),
        bad("plugin_version", "plugin_version is required", plugin_version=ABSENT),
    ],
    42: [
        bad("version_name", "Version name is required", version_name=""),
        bad("version_build", "Version build is required", version_build=""),
    ],
    43: [update(semver_error(build), 400, ("kind",), version_build=build) for build in ("abc", "1.0.0.0")],
    44: [update(UP_TO_DATE, version_build=build) for build in ("1", "1.0", "v1.0.0")],
    45: [
        bad("defaultChannel", "defaultChannel must be a string", defaultChannel=None),
        bad("key_id", "key_id must be a string", key_id=None),
        bad("is_prod", "is_prod must be a boolean", is_prod="true"),
    ],
    46: [bad("app_id", "App ID must be a reverse domain string", app_id="eeforgrdemoapp")],
    47: [
        bad("install_source", "String must contain at most 64 character(s)", install_source="s" * 65),
        bad("key_id", "String must contain at most 20 character(s)", key_id="k" * 21),
    ],
    48: [offered("1.0.0", is_emulator=ABSENT, is_prod=ABSENT, version_name="1.1.0")],
    49: [
        update(UNKNOWN_ERROR, 500, version_build=4),
        update(UNKNOWN_ERROR, 500, device_id=5),
        raw(b"null", UNKNOWN_ERROR, 500),
    ],
    50: [channel("POST", SET, channel="beta")],
    51: [
        channel("POST", SET, channel="beta"),
        Step(
            "POST",
            "/channel_self",
            device(channel="beta"),
            429,
            # The clock of the test stands at 1 January 2025; in milliseconds here, in seconds in the header.
            {
                **LIMITED,
                "moreInfo": {
                    "app_id": APP,
                    "device_id": DEVICE,
                    "rateLimitResetAt": 1735689660000,
                    "retryAfterSeconds": 60,
                },
            },
            headers={"Retry-After": "60", "X-RateLimit-Reset": "1735689660"},
        ),
    ],
    52: [channel("POST", {"error": "missing_channel", "message": "Cannot find channel in body"})],
    53: [
        channel(
            "POST",
            {"error": "channel_not_found", "message": "Cannot find channel", "channel": "nope", "app_id": APP},
            channel="nope",
        )
    ],
    54: [
        channel(
            "POST",
            {
                "error": "channel_self_set_not_allowed",
                "message": "This channel does not allow devices to self associate",
                "channel": "private",
                "app_id": APP,
            },
            channel="private",
        )
    ],
    55: [
        channel(
            "POST",
            {
                "error": "public_channel_self_set_not_allowed",
                "message": PUBLIC,
                "channel": "production",
                "app_id": "com.example.noself",
            },
            app_id="com.example.noself",
            channel="production",
        )
    ],
    56: [channel("PUT", {"channel": "production", "status": "default"})],
    57: [channel("PUT", {"channel": "beta", "status": "override", "allowSet": True}, channel="beta")],
    58: [
        channel("PUT", {"channel": "nope", "status": "default"}, defaultChannel="nope"),
        channel(
            "PUT",
            {"error": "channel_not_found", "message": "Cannot find channel"},
            defaultChannel="nope",
            plugin_version=OLD,
        ),
    ],
    59: [
        channel("POST", OK, channel="beta", plugin_version=OLD),
        channel("PUT", {"channel": "beta", "status": "override", "allowSet": True}, plugin_version=OLD),
        offered("1.361.0", plugin_version=OLD, version_name="0.1.0"),
        channel("DELETE", OK, plugin_version=OLD),
        channel("DELETE", CANNOT_OVERRIDE, plugin_version=OLD),
    ],
    60: [channel("DELETE", OK)],
    61: [Step(method, "/channel_self", None, 400, CANNOT_PARSE) for method in ("DELETE", "GET")],
    62: [Step("GET", f"/channel_self?app_id={APP}&platform=android", None, 200, TEXT)],
    63: [
        Step("GET", f"/channel_self?app_id={APP}&platform=w", None, 400, CANNOT_PARSE),
        Step("GET", "/channel_self?app_id=bad&platform=android", None, 400, CANNOT_PARSE),
        Step("GET", "/channel_self?platform=android", None, 400, {"error": "missing_app_id"}),
    ],
    64: [Step("GET", "/channel_self?app_id=com.example.nochannel&platform=android", None, 200, [])],
    65: [
        step
        for method, expected in (("GET", TEXT), ("PUT", {"channel": "production", "status": "default"}))
        for step in [
            *[channel(method, expected)] * 5,
            Step(
                method,
                channel(method, None).path,
                channel(method, None).body,
                429,
                LIMITED,
                headers={"Retry-After": "1"},
            ),
        ]
    ],
    66: [
        channel(method, OPA, 429, app_id=app_id, **({"channel": "beta"} if method == "POST" else {}))
        for method in ("POST", "PUT", "DELETE", "GET")
        for app_id in ("does.not.exist", "com.example.ended")
    ],
    67: [stats(OK)],
    68: [stats({"error": "invalid_json_body", "message": "Cannot parse body"}, 400, action="nope")],
    69: [stats(not_found("9.9.9"), version_name="9.9.9")],
    70: [stats(OK, action="download_manifest_file_fail", version_name="1.2.0:main.js")],
    71: [
        stats(OK, action="download_fail", plugin_version="7.16.9", version_name="8.8.8"),
        stats(not_found("8.8.8"), action="download_fail", plugin_version="8.41.0", version_name="8.8.8"),
    ],
    72: [stats(semver_error("bad"), 400, version_build="bad")],
    73: [
        bad_event("version_os", "Version OS is required", version_os=ABSENT),
        bad_event("custom_id", "String must contain at most 36 character(s)", custom_id="c" * 37),
        bad_event("metadata.a", "metadata values must be strings", metadata={"a": 1}),
    ],
    74: [
        stats(NO_ID, 400, app_id=ABSENT),
        stats({**NO_ID, "message": "App ID must be a reverse domain string"}, 400, app_id="x"),
    ],
    75: [stats(OPA, 429, ("kind",), app_id=app_id) for app_id in ("does.not.exist", "com.example.ended")],
    76: [batch({"status": "ok", "results": []})],
    77: [
        batch(
            {"status": "ok", "results": [{"status": "ok", "index": 0}, {"status": "ok", "index": 1}]},
            event(),
            event(action="get"),
        )
    ],
    78: [
        batch(
            {
                "status": "ok",
                "results": [
                    {"status": "ok", "index": 0},
                    {"status": "error", "error": "invalid_json_body", "message": "Cannot parse body", "index": 1},
                    {
                        "status": "error",
                        "error": "version_not_found",
                        "message": "Version not found",
                        "moreInfo": {"app_id": APP, "version_name": "9.9.9"},
                        "index": 2,
                    },
                    {
                        "status": "error",
                        "error": "missing_device_id",
                        "message": "Cannot find device_id",
                        "index": 3,
                    },
                ],
            },
            event(),
            event(action="nope"),
            event(version_name="9.9.9"),
            event(device_id=ABSENT),
        )
    ],
    79: [batch(MIXED, event(), event(app_id="com.example.meta"), gone=("results",))],
    80: [
        batch(
            {"status": "ok", "results": [{"status": "error", **OPA, "index": index} for index in (0, 1)]},
            event(app_id="does.not.exist"),
            event(app_id="does.not.exist"),
        ),
        batch(OPA, event(app_id="com.example.ended"), status=429, gone=("results",)),
    ],
}
#: Rows 81 to 84 are about files: they have a test of their own each, below.
FILE_ROWS = {81, 82, 83, 84}
CASES = [pytest.param(steps, id=f"row {number}") for number, steps in ROWS.items()]


def test_every_row_of_the_table_is_here():
    assert set(ROWS) | FILE_ROWS == set(range(1, 85))
    assert all(steps for steps in ROWS.values())


@pytest.fixture
def server():
    with seeded(FakeClock()) as service:
        yield service


def send(client, server, step):
    content = step.body if isinstance(step.body, bytes) else None
    if content is None and step.body is not None:
        content = json.dumps(step.body).encode()
    return client.request(step.method, server.url + step.path, content=content)


def holds(said, expected):
    if expected is TEXT:
        assert said
    elif isinstance(expected, dict):
        assert {name: said.get(name) for name in expected if expected[name] is not TEXT} == {
            name: value for name, value in expected.items() if value is not TEXT
        }
        assert all(said[name] for name, value in expected.items() if value is TEXT)
    else:
        assert said == expected


@pytest.mark.parametrize("steps", CASES)
def test_the_kit_answers_as_the_row_says(server, client, steps):
    for step in steps:
        reply = send(client, server, step)
        assert (reply.status_code, reply.headers["content-type"]) == (step.status, "application/json")
        said = reply.json()
        holds(said, step.expected)
        assert [name for name in step.gone if name in said] == []
        assert {name: reply.headers.get(name) for name in step.headers} == step.headers
        assert [name for name in step.no_headers if name in reply.headers] == []


def test_row_5_the_manifest_has_these_four_names_and_no_other(server, client):
    manifest = send(client, server, ROWS[5][0]).json()["manifest"]
    assert sorted(each["file_name"] for each in manifest) == sorted(NAMES)
    assert all(each.keys() == {"file_name", "file_hash", "download_url"} for each in manifest)


def test_row_10_the_session_key_has_two_parts(server, client):
    assert send(client, server, ROWS[10][0]).json()["session_key"].count(":") == 1


def test_row_33_the_guard_holds_for_fifteen_minutes():
    clock = FakeClock()
    with seeded(clock) as server, httpx.Client(trust_env=False, timeout=5) as client:
        for step in ROWS[33]:
            send(client, server, step)
        clock.advance(15 * 60 - 1)
        assert send(client, server, ROWS[1][0]).json() == {"error": "on_premise_app"}
        clock.advance(1)
        assert send(client, server, ROWS[1][0]).json() == UP_TO_DATE


def test_row_62_the_list_has_the_open_channels_of_the_platform(server, client):
    names = {each["name"] for each in send(client, server, ROWS[62][0]).json()}
    assert {"production", "beta"} <= names
    assert names.isdisjoint({"private", "iosonly"})


@pytest.fixture
def zip_url(server, client):
    return client.post(server.update_url, json=device(version_name="1.1.0")).json()["url"]


def test_row_81_a_range_of_the_zip_is_a_206(client, zip_url):
    whole = client.get(zip_url).content
    reply = client.get(zip_url, headers={"Range": "bytes=0-9"})
    assert (reply.status_code, reply.content) == (206, whole[:10])
    assert reply.headers["content-range"] == f"bytes 0-9/{len(whole)}"


def test_row_82_a_range_behind_the_end_is_an_empty_206(client, zip_url):
    whole = client.get(zip_url).content
    reply = client.get(zip_url, headers={"Range": "bytes=999999-"})
    assert (reply.status_code, reply.content) == (206, b"")
    assert reply.headers["content-range"] == f"bytes */{len(whole)}"
    assert reply.headers["content-length"] == "0"


def test_row_83_another_name_is_a_404(client, zip_url):
    reply = client.get(zip_url.replace(".zip", ".zip.nope"))
    assert (reply.status_code, reply.json()) == (404, {"error": "not_found", "message": "Not found"})


def test_row_84_a_packed_file_is_brotli_without_content_encoding(server, client):
    manifest = send(client, server, ROWS[5][0]).json()["manifest"]
    entry = next(each for each in manifest if each["file_name"] == "assets/img@2x+é.css.br")
    assert "_assets/img%402x%2B%C3%A9.css.br?key=103&device_id=" in entry["download_url"]
    reply = client.get(entry["download_url"])
    assert reply.status_code == 200
    assert "content-encoding" not in reply.headers
    unpacked = brotli.decompress(reply.content)
    assert unpacked == (FILES["assets/img@2x+é.css"] + "1.2.0").encode()
    assert hashlib.sha256(unpacked).hexdigest() == entry["file_hash"]
    assert client.get(entry["download_url"].replace("%40", "%2540")).status_code == 404
    assert client.get(entry["download_url"].replace("%2B", "+")).status_code == 404
