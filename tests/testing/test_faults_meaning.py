"""The faults of the meaning: what the service says in the place of its answer, and what a device makes of it."""

from __future__ import annotations

import json

import pytest
from kit_wire import device

from capgo_client.testing import CASES, FAULTS, make_bundle
from capgo_client.testing.cases import Context
from capgo_client.testing.stage import Stage

UPDATE_KEYS = {"version", "url", "session_key", "checksum"}


@pytest.fixture
def update(service):
    bundle = make_bundle("1.1.0", {"main.py": "print('new')"})
    service.publish(bundle)
    return bundle


@pytest.fixture
def stage(tmp_path):
    with Stage(tmp_path) as made:
        made.publish("1.1.0")
        yield made


def cycle(stage, **options):
    """One launch with its whole cycle: what opened, what is queued, what the answer was."""
    updater = stage.launch(**options)
    assert updater.wait(10)
    told = updater.explain()
    return updater.current.version, updater.next_bundle and updater.next_bundle.version, told.answer, told.answer_code


@pytest.mark.parametrize("code", [code for code, case in CASES.items() if case.kind == "blocked"])
def test_a_blocked_update_is_the_row_of_its_code(service, check, update, code):
    with service.fault(f"blocked-{code.replace('_', '-')}"):
        said = check()
    expected = CASES[code].reply(Context("1.1.0", request=device()))
    assert said == json.loads(expected.body)
    assert (said["error"], said["kind"]) == (code, "blocked")


OTHERS = {
    "up-to-date": (200, "no_new_version_available", "up_to_date"),
    "builtin": (200, "already_on_builtin", "up_to_date"),
    "plan-ended": (429, "on_premise_app", None),
    "over-quota": (429, "on_premise_app", None),
    "over-quota-old": (429, "need_plan_upgrade", None),
    "on-premise": (429, "on_premise_app", None),
}


@pytest.mark.parametrize("name", OTHERS)
def test_an_answer_that_is_no_update_is_the_service_s_own(service, client, update, name):
    with service.fault(name):
        reply = client.post(service.update_url, json=device())
    assert (reply.status_code, reply.json()["error"], reply.json().get("kind")) == OTHERS[name]
    assert ("message" in reply.json()) is (name != "on-premise")
    assert client.post(service.update_url, json=device()).json()["version"] == "1.1.0"


@pytest.mark.parametrize("name", ["plan-ended", "on-premise"])
def test_without_a_plan_everything_is_refused_but_downloads(service, client, update, name):
    url = client.post(service.update_url, json=device()).json()["url"]
    with service.fault(name):
        assert client.post(service.stats_url, json=[device(action="set")]).status_code == 429
        assert client.put(service.channel_url, json=device()).status_code == 429
        assert client.get(url).content == update.archive


def test_over_quota_leaves_stats_alone(service, client, update):
    with service.fault("over-quota"):
        assert client.post(service.stats_url, json=device(action="set")).status_code == 200


def test_a_breaking_update_says_so_and_is_the_regular_one_else(service, check, update):
    regular = check()
    with service.fault("breaking"):
        assert check() == {**regular, "breaking": True}


def test_future_keys_come_on_top_of_the_regular_ones(service, check, update):
    regular = check()
    with service.fault("future-keys"):
        said = check()
    assert {name: said[name] for name in regular} == regular
    assert set(said) - set(regular) == {"rolloutPolicy", "signatures", "expires_at"}
    with service.fault("future-keys", keys={"x": 1}):
        assert check() == {**regular, "x": 1}


def test_the_same_version_is_a_whole_update_to_what_asks(service, client, check, update):
    with service.fault("same-version"):
        said = check(version_name="1.1.0")
        from_builtin = check(version_name="builtin", version_build="1.0.0")
    assert set(said) == UPDATE_KEYS
    assert (said["version"], said["checksum"]) == ("1.1.0", update.checksum)
    assert client.get(said["url"]).content == update.archive
    assert from_builtin["version"] == "1.0.0"


def test_an_older_version_is_a_whole_update_too_even_before_anything_was_published(service, client, check):
    with service.fault("older-version"):
        said = check()
    assert (set(said), said["version"]) == (UPDATE_KEYS, "0.0.1")
    assert client.get(said["url"]).status_code == 200
    with service.fault("older-version", version="0.9.0"):
        assert check()["version"] == "0.9.0"


@pytest.mark.parametrize(
    ("name", "answer", "code"),
    [
        ("up-to-date", "up_to_date", "no_new_version_available"),
        ("blocked-disable-device", "blocked", "disable_device"),
        ("plan-ended", "plan_ended", "on_premise_app"),
        ("builtin", "builtin", "already_on_builtin"),
        ("same-version", "update", ""),
        ("older-version", "update", ""),
    ],
)
def test_a_device_stays_where_it_is_and_goes_on_afterwards(stage, name, answer, code):
    with FAULTS[name].arrange(stage):
        assert cycle(stage) == ("1.0.0", None, answer, code)
        stage.end_launch()
    assert cycle(stage)[:2] == ("1.0.0", "1.1.0")


@pytest.mark.parametrize("name", ["breaking", "future-keys"])
def test_a_device_takes_an_update_that_says_more_than_it_knows(stage, name):
    with FAULTS[name].arrange(stage):
        assert cycle(stage)[1] == "1.1.0"


def test_a_version_that_failed_before_is_refused_and_forgotten_with_the_block(stage):
    with FAULTS["failed-version"].arrange(stage):
        assert cycle(stage)[:3] == ("1.0.0", None, "update")
        assert "failed" in stage.made[-1].explain().result
        stage.end_launch()
    assert cycle(stage)[1] == "1.1.0"


def test_what_failed_before_does_not_touch_what_is_installed_or_queued(stage):
    assert cycle(stage)[1] == "1.1.0"
    stage.end_launch()
    stage.publish("1.2.0")
    with FAULTS["failed-version"].arrange(stage):
        assert cycle(stage)[:2] == ("1.1.0", None)


def test_the_second_check_alone_can_be_answered_so(stage):
    with FAULTS["up-to-date"].arrange(stage, nth=2):
        assert cycle(stage)[1] == "1.1.0"
        assert cycle(stage, auto_update="off")[0] == "1.1.0"
        stage.publish("1.2.0")
        assert cycle(stage)[2] == "up_to_date"
