"""What the tables of section 7 do not reach: limits that end, verdicts that last, apps side by side, bad events."""

from __future__ import annotations

import json

import pytest
from kit_wire import ABSENT, device, offered

from capgo_client.testing import ChannelRules, FakeClock, Plan, Service, make_bundle

ON_PREMISE = {"error": "on_premise_app", "message": "On-premise app detected"}
OLD = "7.33.9"


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def timed(clock):
    with Service(clock=clock) as running:
        yield running


def set_channel(client, service, name, **changes):
    return client.post(service.channel_url, json=device(channel=name, **changes))


def test_the_same_channel_may_be_set_again_after_a_minute_and_another_at_once(timed, clock, client):
    timed.add_channel("beta")
    assert set_channel(client, timed, "beta").status_code == 200
    assert set_channel(client, timed, "production").status_code == 200
    clock.advance(20.5)
    refused = set_channel(client, timed, "beta")
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "40")
    clock.advance(39.5)
    assert set_channel(client, timed, "beta").status_code == 200


def test_five_calls_a_second_are_counted_for_each_device_and_operation(timed, clock, client):
    for _ in range(5):
        assert client.put(timed.channel_url, json=device()).status_code == 200
    assert client.put(timed.channel_url, json=device()).status_code == 429
    assert client.put(timed.channel_url, json=device(device_id="1" + device()["device_id"][1:])).status_code == 200
    assert set_channel(client, timed, "production").status_code == 200
    clock.advance(1)
    assert client.put(timed.channel_url, json=device()).status_code == 200
    timed.forget_callers()
    assert set_channel(client, timed, "production").status_code == 200


def test_the_thousand_and_first_call_of_an_address_in_a_minute_is_refused(timed, clock, client):
    def listed(number):
        query = {"app_id": "com.example.ok", "platform": "ios", "n": number}
        return client.get(timed.channel_url, params=query)

    assert {listed(number).status_code for number in range(1000)} == {200}
    refused = listed(1000)
    assert (refused.status_code, refused.json()["moreInfo"]["reason"]) == (429, "ip_rate_limit_exceeded")
    clock.advance(60)
    assert listed(1001).status_code == 200


def test_bandwidth_blocks_channels_only_after_another_endpoint_saw_it(timed, clock, client):
    timed.set_plan(Plan(over=("bandwidth",)))
    assert client.put(timed.channel_url, json=device()).status_code == 200
    assert client.post(timed.stats_url, json=device(action="set")).json() == ON_PREMISE
    assert client.put(timed.channel_url, json=device()).json() == ON_PREMISE
    clock.advance(60)
    assert client.put(timed.channel_url, json=device()).status_code == 200


def test_apps_have_channels_versions_and_plans_of_their_own(client):
    with Service(app_id="com.example.one") as service:
        other = service.add_app("com.example.two", expose_metadata=False)
        service.publish(make_bundle("1.1.0", {"a": "one"}))
        other.publish(make_bundle("1.2.0", {"a": "two"}), comment="hidden")

        def ask(app_id):
            return client.post(service.update_url, json=device(app_id=app_id)).json()

        assert offered(ask("com.example.one")) == "1.1.0"
        assert offered(ask("com.example.two")) == "1.2.0"
        assert "comment" not in ask("com.example.two")
        service.end_plan()
        assert ask("com.example.one") == ON_PREMISE == ask("com.example.three")
        assert offered(ask("com.example.two")) == "1.2.0"


def test_a_service_without_app_id_takes_every_app_and_every_version_for_known(service, client):
    for number in range(8):
        reply = client.post(service.update_url, json=device(app_id=f"com.example.n{number}"))
        assert reply.json()["error"] == "no_channel"
    assert client.post(service.stats_url, json=device(action="set", version_name="9.9.9")).json() == {"status": "ok"}


def test_with_an_app_id_only_published_and_declared_versions_are_known(client):
    with Service(app_id="com.example.ok") as service:
        service.publish(make_bundle("1.1.0", {"a": "b"}))

        def error(version):
            return client.post(service.stats_url, json=device(action="set", version_name=version)).json().get("error")

        assert [error("1.0.0"), error("builtin"), error("1.1.0")] == ["version_not_found", "version_not_found", None]
        service.know_version("1.0.0")
        assert [error("1.0.0"), error("builtin")] == [None, None]
        service.withdraw()
        assert error("1.1.0") == "version_not_found"


def test_an_operator_s_override_wins_over_the_channel_asked_for_until_its_bundle_is_deleted(service, check):
    service.add_channel("private", allow_self_set=False)
    service.add_channel("beta")
    service.publish(make_bundle("1.2.0", {"a": "b"}), channel="private")
    service.publish(make_bundle("1.3.0", {"a": "b"}), channel="beta")
    service.override(device()["device_id"].upper(), "private")
    assert offered(check(defaultChannel="beta")) == "1.2.0"
    service.withdraw(channel="private")
    assert offered(check(defaultChannel="beta")) == "1.3.0"


def test_an_old_plugin_s_channel_is_kept_by_the_service_and_seen_by_old_plugins_only(timed, client):
    timed.add_channel("beta")
    timed.publish(make_bundle("1.2.0", {"a": "b"}), channel="beta")
    timed.publish(make_bundle("1.1.0", {"a": "b"}))
    set_channel(client, timed, "beta", plugin_version=OLD)

    def ask(plugin):
        return offered(client.post(timed.update_url, json=device(plugin_version=plugin)).json())

    assert [ask(OLD), ask("7.34.0"), ask("8.41.0")] == ["1.2.0", "1.1.0", "1.1.0"]
    assert set_channel(client, timed, "production", plugin_version=OLD).json() == {"status": "ok"}
    assert ask(OLD) == "1.1.0"


def test_an_old_plugin_cannot_leave_a_channel_that_forbids_it(service, client):
    service.add_channel("private", allow_self_set=False)
    service.override(device()["device_id"], "private")
    said = set_channel(client, service, "production", plugin_version=OLD).json()
    assert said["error"] == "cannot_override"
    told = client.put(service.channel_url, json=device(plugin_version=OLD)).json()
    assert told == {"channel": "private", "status": "override", "allowSet": False}


def test_policies_look_at_the_native_version_upwards_only_for_major(service, check):
    service.publish(make_bundle("2.3.0", {"a": "b"}), below_native=True)
    service.set_rules(ChannelRules(policy="major"))
    assert offered(check(version_build="3.0.0")) == "2.3.0"
    service.set_rules(ChannelRules(policy="minor"))
    assert check(version_build="2.4.0")["error"] == "disable_auto_update_to_minor"
    assert check(version_build="3.3.0")["error"] == "disable_auto_update_to_minor"
    assert offered(check(version_build="2.3.9")) == "2.3.0"


def test_a_bundle_whose_name_cannot_be_compared_is_a_500_on_a_channel_that_must(service, client):
    service.publish(make_bundle("nightly", {"a": "b"}))
    assert client.post(service.update_url, json=device()).status_code == 500
    service.set_rules(ChannelRules(protects_native=False))
    assert client.post(service.update_url, json=device()).json()["version"] == "nightly"


def test_an_address_that_is_no_web_address_is_no_bundle_url(service, check):
    service.publish(make_bundle("1.1.0", {"a": "b"}), url="ftp://example.invalid/b.zip")
    assert check() == {"error": "no_bundle_url", "message": "Cannot get bundle url", "kind": "failed"}


def test_a_rollout_keeps_its_devices_when_it_grows(service, client):
    service.publish(make_bundle("1.0.0", {"a": "b"}))

    def chosen(percent):
        service.roll_out(make_bundle("1.1.0", {"a": "c"}), percent=percent)
        ids = [f"{number:08x}-0000-4000-8000-000000000000" for number in range(40)]
        bodies = [device(device_id=each, version_name="0.9.0") for each in ids]
        return {
            each["device_id"]
            for each in bodies
            if client.post(service.update_url, json=each).json()["version"] == "1.1.0"
        }

    few, more = chosen(25), chosen(75)
    assert 0 < len(few) < len(more) < 40
    assert few < more
    service.end_rollout()
    assert client.post(service.update_url, json=device()).json()["error"] == "no_new_version_available"
    with pytest.raises(ValueError, match="percent"):
        service.roll_out(make_bundle("1.1.0", {"a": "c"}), percent=101)


def test_data_centres_are_refused_in_the_words_of_each_endpoint(service, client):
    service.call_from("google")
    error = "provider_infrastructure_request_blocked"
    assert client.post(service.update_url, json=device()).json() == {
        "error": error,
        "message": "Update requests from known provider infrastructure are blocked",
        "provider": "google",
        "kind": "blocked",
    }
    said = {"error": error, "message": "Provider infrastructure requests are blocked"}
    reply = client.post(service.stats_url, json=device(action="set"))
    assert (reply.status_code, reply.json()) == (429, said)
    reply = client.put(service.channel_url, json=device())
    assert (reply.status_code, reply.json()) == (429, {**said, "moreInfo": {}})
    service.call_from("")
    assert client.put(service.channel_url, json=device()).status_code == 200


@pytest.mark.parametrize(
    ("changes", "field", "text"),
    [
        ({"version_code": 5}, "version_code", "version_code must be a string"),
        ({"old_version_name": None}, "old_version_name", "old_version_name must be a string"),
        ({"version_build": None}, "version_build", "version_build must be a string"),
        ({"action": 4}, "action", "action must be a string"),
        ({"version_os": 13}, "version_os", "Version OS must be a string"),
        (
            {"version_name": "builtin", "version_build": ABSENT},
            "version_name",
            "Version name is required",
        ),
        ({"metadata": []}, "metadata", "metadata must be an object with string values"),
        (
            {"metadata": {str(number): "" for number in range(31)}},
            "metadata",
            "metadata must contain at most 30 fields",
        ),
        ({"metadata": {"k" * 65: "v"}}, f"metadata.{'k' * 65}", "metadata keys must contain at most 64 characters"),
        ({"metadata": {"k": "v" * 2049}}, "metadata.k", "metadata values must contain at most 2048 characters"),
    ],
)
def test_a_bad_event_is_a_400_that_names_the_field(service, client, changes, field, text):
    reply = client.post(service.stats_url, json=device(**{"action": "set", **changes}))
    assert reply.status_code == 400
    issues = reply.json()["moreInfo"]["parseResult"]["error"]["issues"]
    assert issues == [{"message": text, "path": [field], "code": "custom"}]


@pytest.mark.parametrize(
    "changes",
    [
        {"platform": "windows"},
        {"metadata": {"k" * 64: "v" * 2048}},
        {"custom_id": " " * 40},
        {"is_prod": None, "is_emulator": ABSENT, "version_build": ""},
        {"action": "webview_page_loaded", "plugin_version": "any"},
    ],
)
def test_an_odd_event_is_accepted(service, client, changes):
    assert client.post(service.stats_url, json=device(**{"action": "set", **changes})).json() == {"status": "ok"}
    assert service.refused == []


def test_what_was_refused_for_its_form_is_listed_and_nothing_else(service, client):
    client.post(service.update_url, json=device())
    client.post(service.channel_url, json=device(channel="nope"))
    service.end_plan()
    client.post(service.update_url, json=device())
    service.restore_plan()
    client.get(service.url + "/files/read/attachments/nothing.zip")
    service.answer(500, {"error": "unknown_error"}, times=1)
    client.post(service.update_url, json=device())
    assert service.refused == []
    client.post(service.update_url, json=device(platform="linux"))
    client.post(service.stats_url, json=[device(action="set"), device(action="nope")])
    client.post(service.stats_url, json=[device(action="set"), device(app_id=ABSENT)])
    client.post(service.url + "/update", content=json.dumps(device()))
    assert [(request.path, reply.status) for request, reply in service.refused] == [
        ("/updates", 400),
        ("/stats", 200),
        ("/stats", 200),
        ("/update", 404),
    ]


def test_an_event_without_action_is_a_500_alone_and_a_processing_error_in_a_batch(service, client):
    assert client.post(service.stats_url, json=device()).status_code == 500
    said = client.post(service.stats_url, json=[device(), device(action="set")]).json()
    assert said["results"] == [
        {"status": "error", "error": "processing_error", "message": "Unknown error", "index": 0},
        {"status": "ok", "index": 1},
    ]


def test_a_stored_path_with_percent_signs_is_found_verbatim_only(service, client):
    url = service.store("delta/a%40b", b"data")
    assert client.get(url).content == b"data"
    assert client.get(url.replace("%40", "%2540")).status_code == 404
    assert client.get(url.replace("%40", "@")).status_code == 404


def test_the_public_channel_takes_an_old_plugin_s_override_away(service, client):
    service.add_channel("beta")
    for name in ("beta", "production"):
        assert set_channel(client, service, name, plugin_version=OLD).json() == {"status": "ok"}
    told = client.put(service.channel_url, json=device(plugin_version=OLD)).json()
    assert told == {"channel": "production", "status": "default"}


def test_a_list_takes_a_device_for_a_production_build_unless_it_says_otherwise(service, client):
    service.add_channel("noprod", rules=ChannelRules(allows_prod=False))
    service.add_channel("nodev", rules=ChannelRules(allows_dev=False))

    def listed(**more):
        query = {"app_id": "com.example.ok", "platform": "ios", **more}
        return {each["name"] for each in client.get(service.channel_url, params=query).json()} - {"production"}

    assert listed() == listed(is_prod="true") == {"nodev"}
    assert listed(is_prod="1") == {"noprod"}
