"""What the service says, held against the tables of reference/service-behaviour.md by hand."""

from __future__ import annotations

import hashlib
import json

import pytest
from kit_wire import ABSENT, device, offered

from capgo_client.testing import BundleKeys, Service, make_bundle

UP_TO_DATE = {"error": "no_new_version_available", "message": "No new version available", "kind": "up_to_date"}
NO_CHANNEL = {"error": "no_channel", "message": "no default channel or override", "kind": "failed"}
ON_PREMISE = {"error": "on_premise_app", "message": "On-premise app detected"}
SEMVER = (
    "Native version: {} doesn't follow semver convention, please check https://capgo.app/semver_tester/ to learn more"
    " about semver usage in Capgo"
)


def issue(field, text):
    issues = [{"message": text, "path": [field], "code": "custom"}]
    result = {"success": False, "error": {"name": "SchemaError", "issues": issues}}
    return {"error": "invalid_json_body", "message": "Cannot parse body", "moreInfo": {"parseResult": result}}


def test_a_published_bundle_is_offered_and_its_address_serves_the_archive(service, client, check):
    bundle = make_bundle("1.1.0", {"main.py": "print('new')"})
    service.publish(bundle)
    said = check()
    assert said == {
        "version": "1.1.0",
        "url": service.url
        + "/files/read/attachments/orgs/00000000-0000-4000-8000-000000000001/apps/com.example.ok/1.1.0.zip?key="
        + bundle.checksum
        + "&device_id=00009a6b-eefe-490a-9c60-8e965132ae51",
        "session_key": "",
        "checksum": hashlib.sha256(bundle.archive).hexdigest(),
    }
    assert client.get(said["url"]).content == bundle.archive


def test_the_address_carries_the_device_id_in_lower_case(service, check):
    service.publish(make_bundle("1.1.0", {"a": "b"}))
    said = check(device_id="00009A6B-EEFE-490A-9C60-8E965132AE51")
    assert said["url"].endswith("&device_id=00009a6b-eefe-490a-9c60-8e965132ae51")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"version_name": "builtin"},
        {"version_name": "builtin", "version_build": "1"},
        {"version_name": "builtin", "version_build": "1.0"},
        {"version_name": "builtin", "version_build": "v1.0.0"},
        {"defaultChannel": ""},
        {"plugin_version": "v8.41.0-beta.1"},
        {"is_emulator": ABSENT, "is_prod": ABSENT},
        {"is_emulator": None, "is_prod": None},
        {"custom_id": None, "version_os": ABSENT, "unknown_key": 1},
    ],
)
def test_a_device_that_runs_the_published_version_is_up_to_date(service, check, changes):
    service.publish(make_bundle("1.0.0", {"a": "b"}))
    assert check(**changes) == UP_TO_DATE


def test_an_encrypted_bundle_is_offered_with_its_session_key_and_signed_checksum(service, check):
    bundle = make_bundle("1.4.0", {"a": "b"}, keys=BundleKeys.generate())
    service.publish(bundle)
    said = check()
    assert said["session_key"] == bundle.session_key
    assert len(said["session_key"]) == 369
    assert said["checksum"] == bundle.checksum
    assert len(said["checksum"]) == 512


def test_another_key_id_is_refused_only_for_plugins_above_8_40_7(service, check):
    keys = BundleKeys.generate()
    service.publish(make_bundle("1.4.0", {"a": "b"}, keys=keys))
    other = "MIIBCgKCAQEAOTHERKEY"
    assert offered(check(key_id=keys.key_id)) == "1.4.0"
    assert offered(check(key_id=other, plugin_version="8.40.7")) == "1.4.0"
    assert check(key_id=other, plugin_version="8.40.8") == {
        "error": "key_id_mismatch",
        "message": "Device encryption key does not match bundle encryption key. The device may have a different "
        "public key than the one used to encrypt this bundle.",
        "deviceKeyId": other,
        "bundleKeyId": keys.key_id,
        "kind": "blocked",
    }


def test_nothing_published_and_a_withdrawn_bundle_are_no_channel(service, check, client):
    assert check() == NO_CHANNEL
    bundle = make_bundle("1.1.0", {"a": "b"})
    service.publish(bundle)
    url = check()["url"]
    service.withdraw()
    assert check() == NO_CHANNEL
    assert client.get(url).content == bundle.archive  # stays downloadable, section 4.3


def test_a_channel_without_bundle_sends_devices_back_to_builtin(service, check):
    service.want_builtin()
    assert check(version_name="1.1.0") == {
        "error": "already_on_builtin",
        "message": "Already on builtin",
        "version": "builtin",
        "kind": "up_to_date",
    }
    assert check(plugin_version="6.1.9") == {
        "error": "revert_to_builtin_plugin_version_too_old",
        "message": "revert_to_builtin used, but plugin version is too old",
        "kind": "failed",
    }


def test_plugins_of_major_4_are_refused(service, check):
    service.publish(make_bundle("1.1.0", {"a": "b"}))
    assert check(plugin_version="4.15.0") == {
        "error": "unsupported_plugin_version",
        "message": "Plugin version 4.15.0 (v4) is no longer supported. Please upgrade to v5.10.0 or later.",
        "kind": "failed",
    }


def test_a_bundle_below_the_native_version_is_withheld_unless_the_publisher_insists(service, check):
    bundle = make_bundle("1.0.0", {"a": "b"})
    service.publish(bundle)
    assert check(version_build="2.0.0", version_name="2.0.0") == {
        "error": "disable_auto_update_under_native",
        "message": "Cannot revert under native version",
        "version": "1.0.0",
        "old": "2.0.0",
        "kind": "blocked",
    }
    service.publish(bundle, below_native=True)
    assert offered(check(version_build="2.0.0", version_name="2.0.0")) == "1.0.0"


def test_a_device_on_a_newer_bundle_is_led_back_to_one_that_equals_its_native_version(service, check):
    service.publish(make_bundle("1.0.0", {"a": "b"}))
    assert offered(check(version_name="1.1.0")) == "1.0.0"


def test_a_preview_of_the_native_version_counts_as_below_it(service, check):
    service.publish(make_bundle("1.0.0-rc.1", {"a": "b"}))
    assert check()["error"] == "disable_auto_update_under_native"


def test_release_notes_are_for_plugins_that_know_them(service, check):
    service.publish(make_bundle("1.1.0", {"a": "b"}), link="https://example.com/notes", comment="faster")
    said = check(plugin_version="8.35.0")
    assert (said["link"], said["comment"]) == ("https://example.com/notes", "faster")
    assert {"link", "comment"}.isdisjoint(check(plugin_version="8.34.9"))


def test_extra_keys_and_a_foreign_address_go_out_as_given(service, check):
    service.publish(make_bundle("1.1.0", {"a": "b"}), url="https://cdn.example.invalid/b.zip", extra={"breaking": True})
    said = check()
    assert said["url"] == "https://cdn.example.invalid/b.zip"
    assert said["breaking"] is True


def test_the_plan_that_ended_is_a_bare_429_until_it_is_restored(service, client, check):
    bundle = make_bundle("1.1.0", {"a": "b"})
    service.publish(bundle)
    url = check()["url"]
    service.end_plan()
    reply = client.post(service.update_url, json=device())
    assert (reply.status_code, reply.json()) == (429, ON_PREMISE)
    assert "retry-after" not in reply.headers
    assert client.post(service.stats_url, json=device(action="set")).status_code == 429
    assert client.put(service.channel_url, json=device()).json() == ON_PREMISE
    assert client.get(url).content == bundle.archive
    service.restore_plan()
    assert offered(check()) == "1.1.0"


def test_an_app_that_the_service_does_not_know_looks_like_one_whose_plan_ended(client):
    with Service(app_id="com.example.notes") as service:
        reply = client.post(service.update_url, json=device(app_id="com.example.Notes"))
        assert (reply.status_code, reply.json()) == (429, ON_PREMISE)
        assert client.post(service.update_url, json=device(app_id="com.example.notes")).json() == NO_CHANNEL


def test_the_channel_is_chosen_as_section_1_4_says(service, check):
    service.add_channel("beta")
    service.add_channel("private", allow_self_set=False)
    service.publish(make_bundle("1.361.0", {"a": "beta"}), channel="beta")
    service.publish(make_bundle("1.2.0", {"a": "private"}), channel="private")
    service.publish(make_bundle("1.1.0", {"a": "production"}))
    assert offered(check()) == "1.1.0"
    assert offered(check(defaultChannel="beta")) == "1.361.0"
    assert check(defaultChannel="private") == NO_CHANNEL
    assert check(defaultChannel="nope") == NO_CHANNEL


def test_publishing_to_an_unknown_channel_says_how_to_make_it(service):
    with pytest.raises(KeyError, match="add_channel"):
        service.publish(make_bundle("1.1.0", {"a": "b"}), channel="beta")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"device_id": "invalid-uuid"}, issue("device_id", "Device ID must be a valid UUID string")),
        ({"device_id": "0" * 37}, issue("device_id", "String must contain at most 36 character(s)")),
        ({"platform": "linux"}, issue("platform", "Platform is not supported or invalid")),
        ({"platform": ABSENT}, issue("platform", "Platform is required")),
        ({"plugin_version": "invalid_version"}, issue("plugin_version", "Plugin version is invalid")),
        ({"plugin_version": "8.41"}, issue("plugin_version", "Plugin version is invalid")),
        ({"plugin_version": ABSENT}, issue("plugin_version", "plugin_version is required")),
        ({"version_name": ""}, issue("version_name", "Version name is required")),
        ({"version_name": 5}, issue("version_name", "Version name must be a string")),
        ({"version_build": ""}, issue("version_build", "Version build is required")),
        ({"defaultChannel": None}, issue("defaultChannel", "defaultChannel must be a string")),
        ({"key_id": None}, issue("key_id", "key_id must be a string")),
        ({"key_id": "k" * 21}, issue("key_id", "String must contain at most 20 character(s)")),
        ({"install_source": "s" * 65}, issue("install_source", "String must contain at most 64 character(s)")),
        ({"is_prod": "true"}, issue("is_prod", "is_prod must be a boolean")),
        ({"is_emulator": 0}, issue("is_emulator", "is_emulator must be a boolean")),
        ({"app_id": "eeforgrdemoapp"}, issue("app_id", "App ID must be a reverse domain string")),
        ({"app_id": 5}, issue("app_id", "App ID must be a string")),
        (
            {"version_build": "1.0.0.0"},
            {"error": "semver_error", "message": SEMVER.format("1.0.0.0"), "moreInfo": {"version_build": "1.0.0.0"}},
        ),
        (
            {"version_build": "abc"},
            {"error": "semver_error", "message": SEMVER.format("abc"), "moreInfo": {"version_build": "abc"}},
        ),
    ],
    ids=lambda value: json.dumps(value, default=lambda _: "absent")[:40],
)
def test_a_bad_field_is_a_400_that_names_it(service, client, changes, expected):
    reply = client.post(service.update_url, json=device(**changes))
    assert (reply.status_code, reply.json()) == (400, expected)


def test_all_bad_fields_are_named_in_the_order_of_the_reference(service, check):
    said = check(key_id=1, platform="w", version_name="", is_prod=1, app_id="x")
    issues = said["moreInfo"]["parseResult"]["error"]["issues"]
    assert [each["path"] for each in issues] == [["app_id"], ["version_name"], ["is_prod"], ["platform"], ["key_id"]]


@pytest.mark.parametrize(
    ("body", "status", "expected"),
    [
        (b"{}", 400, {"error": "invalid_json_body", "message": "Cannot parse body", "moreInfo": {"body": {}}}),
        (b"[]", 400, {"error": "invalid_json_body", "message": "Cannot parse body", "moreInfo": {"body": []}}),
        (b"{bad", 400, {"error": "invalid_json_parse_body", "message": "Invalid JSON body", "moreInfo": {"e": {}}}),
        (b"", 400, {"error": "invalid_json_parse_body", "message": "Invalid JSON body", "moreInfo": {"e": {}}}),
        (
            b'{"platform":"android"}',
            400,
            {
                "error": "missing_device_id",
                "message": "Cannot find device_id",
                "moreInfo": {"body": {"platform": "android"}},
            },
        ),
        (b'"x"', 400, {"error": "missing_device_id", "message": "Cannot find device_id", "moreInfo": {"body": "x"}}),
        (
            b'{"device_id":"d"}',
            400,
            {"error": "missing_app_id", "message": "Cannot find app_id", "moreInfo": {"body": {"device_id": "d"}}},
        ),
        (b"null", 500, {"error": "unknown_error", "message": "Unknown error", "moreInfo": {}}),
        (
            b'{"device_id":5,"app_id":"com.example.ok"}',
            500,
            {"error": "unknown_error", "message": "Unknown error", "moreInfo": {}},
        ),
        (
            json.dumps(device(version_build=4)).encode(),
            500,
            {"error": "unknown_error", "message": "Unknown error", "moreInfo": {}},
        ),
    ],
)
def test_a_body_that_cannot_be_read_gets_the_reference_s_answer(service, client, body, status, expected):
    reply = client.post(service.update_url, content=body)
    assert (reply.status_code, reply.json()) == (status, expected)


@pytest.mark.parametrize(
    ("route", "status", "expected"),
    [
        ("GET /updates", 200, {"status": "ok"}),
        ("GET /stats", 200, {"status": "ok"}),
        ("GET /ok", 200, {"status": "ok"}),
        ("POST /ok", 200, {"status": "ok"}),
        ("PUT /updates", 404, {"error": "not_found", "message": "Not found"}),
        ("GET /elsewhere", 404, {"error": "not_found", "message": "Not found"}),
        ("POST /elsewhere", 404, {"error": "not_found", "message": "Not found"}),
    ],
)
def test_other_routes_answer_as_the_reference_says(service, client, route, status, expected):
    method, path = route.split()
    reply = client.request(method, service.url + path)
    assert (reply.status_code, reply.json()) == (status, expected)
    assert reply.headers["content-type"] == "application/json"


def test_a_trailing_slash_and_any_content_type_are_accepted(service, client):
    service.publish(make_bundle("1.0.0", {"a": "b"}))
    body = json.dumps(device()).encode()
    reply = client.post(service.update_url + "/", content=body, headers={"Content-Type": "text/plain"})
    assert reply.json() == UP_TO_DATE


def test_one_stats_event_is_accepted_and_kept(service, client):
    reply = client.post(service.stats_url, json=device(action="set"))
    assert (reply.status_code, reply.json()) == (200, {"status": "ok"})
    assert service.events == [device(action="set")]


@pytest.mark.parametrize(
    ("body", "status", "expected"),
    [
        ([], 200, {"status": "ok", "results": []}),
        (
            [device(action="set"), device(action="get")],
            200,
            {"status": "ok", "results": [{"status": "ok", "index": 0}, {"status": "ok", "index": 1}]},
        ),
        (
            [device(action="set"), device(action="set", device_id=ABSENT)],
            200,
            {
                "status": "ok",
                "results": [
                    {"status": "ok", "index": 0},
                    {
                        "status": "error",
                        "error": "missing_device_id",
                        "message": "Cannot find device_id",
                        "index": 1,
                    },
                ],
            },
        ),
        (
            [device(action="set"), device(app_id="com.example.two")],
            200,
            {"error": "mixed_app_ids", "message": "All events in a batch must have the same app_id"},
        ),
        (
            [device(action="set"), device(app_id=ABSENT)],
            200,
            {"error": "invalid_app_id", "message": "App ID is required"},
        ),
        (
            [device(app_id="x")],
            400,
            {"error": "invalid_app_id", "message": "App ID must be a reverse domain string", "moreInfo": {}},
        ),
        (None, 400, {"error": "invalid_app_id", "message": "App ID is required", "moreInfo": {}}),
        (device(), 500, {"error": "unknown_error", "message": "Unknown error", "moreInfo": {}}),
    ],
)
def test_batches_of_events_answer_as_section_3_4_says(service, client, body, status, expected):
    reply = client.post(service.stats_url, content=json.dumps(body))
    assert (reply.status_code, reply.json()) == (status, expected)


def test_a_batch_of_an_unknown_app_fails_item_by_item_and_of_an_ended_plan_as_a_whole(client):
    with Service(app_id="com.example.notes") as service:
        reply = client.post(service.stats_url, json=[device(action="set")])
        assert reply.json() == {"status": "ok", "results": [{"status": "error", **ON_PREMISE, "index": 0}]}
        service.end_plan()
        ended = [device(app_id="com.example.notes", action="set")]
        assert client.post(service.stats_url, json=ended).status_code == 429


@pytest.mark.parametrize(
    ("method", "fields", "expected"),
    [
        ("POST", {"channel": "beta"}, {"status": "ok", "allowSet": True}),
        ("POST", {}, {"error": "missing_channel", "message": "Cannot find channel in body"}),
        (
            "POST",
            {"channel": "nope"},
            {
                "error": "channel_not_found",
                "message": "Cannot find channel",
                "channel": "nope",
                "app_id": "com.example.ok",
            },
        ),
        (
            "POST",
            {"channel": "private"},
            {
                "error": "channel_self_set_not_allowed",
                "message": "This channel does not allow devices to self associate",
                "channel": "private",
                "app_id": "com.example.ok",
            },
        ),
        (
            "POST",
            {"channel": "open"},
            {
                "error": "public_channel_self_set_not_allowed",
                "message": "This channel is public and does not allow device self-assignment. Unset the channel and "
                "the device will automatically use the public channel.",
                "channel": "open",
                "app_id": "com.example.ok",
            },
        ),
        ("PUT", {}, {"channel": "production", "status": "default"}),
        ("PUT", {"defaultChannel": "nope"}, {"channel": "nope", "status": "default"}),
        ("PUT", {"channel": "beta"}, {"channel": "beta", "status": "override", "allowSet": True}),
        ("POST", {"channel": None}, issue("channel", "channel must be a string")),
        (
            "PUT",
            {"version_name": "", "version_build": "", "plugin_version": "any"},
            {"channel": "production", "status": "default"},
        ),
    ],
)
def test_channels_are_set_and_asked_for_as_section_2_4_says(service, client, method, fields, expected):
    service.add_channel("beta")
    service.add_channel("private", allow_self_set=False)
    service.add_channel("open", public=True, allow_self_set=False)
    reply = client.request(method, service.channel_url, json=device(**fields))
    assert reply.status_code == (400 if expected.get("error") == "invalid_json_body" else 200)
    assert reply.json() == expected


def test_channels_are_unset_and_listed_by_query(service, client):
    service.add_channel("beta")
    service.add_channel("private", allow_self_set=False)
    query = {name: str(value) for name, value in device().items()}
    assert client.request("DELETE", service.channel_url, params=query).json() == {"status": "ok"}
    listed = client.get(service.channel_url, params={"app_id": "com.example.ok", "platform": "android"}).json()
    assert listed == [
        {"id": 1, "name": "production", "public": True, "allow_self_set": True},
        {"id": 2, "name": "beta", "public": False, "allow_self_set": True},
    ]


@pytest.mark.parametrize(
    ("method", "query", "error"),
    [
        ("GET", {}, "invalid_query_parameters"),
        ("DELETE", {}, "invalid_query_parameters"),
        ("GET", {"app_id": "com.example.ok", "platform": "w"}, "invalid_query_parameters"),
        ("GET", {"app_id": "bad", "platform": "ios"}, "invalid_query_parameters"),
        ("GET", {"platform": "ios"}, "missing_app_id"),
        ("DELETE", {"platform": "ios"}, "missing_device_id"),
    ],
)
def test_a_bad_query_for_channels_is_a_400(service, client, method, query, error):
    reply = client.request(method, service.channel_url, params=query)
    assert (reply.status_code, reply.json()["error"]) == (400, error)
