"""Channels through the face (plugin-behaviour.md section 1.4, service-behaviour.md section 2; decision 15)."""

from __future__ import annotations

import errno
import json

import pytest
from hearing import Heard

from capgo_client import (
    ChannelRefused,
    ChannelStatus,
    ConfigError,
    NetworkError,
    RateLimited,
    ReplyError,
    ServiceError,
    StorageError,
)
from capgo_client.testing import FaultyFiles


def asked(app):
    """The channel that the newest update check named; None when it named none."""
    return app.service.checks[-1].json.get("defaultChannel")


def calls(app):
    return [(each.method, each.path.rstrip("/")) for each in app.service.requests if "channel_self" in each.path]


@pytest.fixture
def off(app):
    """A device; the service has the channels beta, which devices may choose, and closed, which they may not."""
    app.service.add_channel("beta")
    app.service.add_channel("closed", allow_self_set=False)
    return app


def test_a_chosen_channel_is_asked_for_from_then_on_and_after_a_restart(off):
    updater = off.launch(auto_update="off")
    assert updater.set_channel("beta") == ChannelStatus("beta", "ok", allow_set=True)
    off.publish("1.9.0", channel="beta")
    assert updater.get_latest().version == "1.9.0"
    assert asked(off) == "beta"
    assert off.launch().wait(10)
    assert asked(off) == "beta"


def test_the_stored_channel_wins_over_the_configured_one_and_unset_gives_that_back(off):
    off.publish("1.9.0")
    off.publish("1.9.1", channel="beta")
    updater = off.launch(auto_update="off", default_channel="production")
    updater.set_channel("beta")
    assert updater.get_latest().version == "1.9.1"
    assert asked(off) == "beta"
    before = len(calls(off))
    assert updater.unset_channel().channel == "production"
    assert len(calls(off)) == before  # the service keeps no channel, so there is nobody to tell
    assert updater.get_latest().version == "1.9.0"
    assert asked(off) == "production"


def test_a_channel_for_one_question_is_not_kept(off):
    updater = off.launch(auto_update="off")
    with pytest.raises(ServiceError):
        updater.get_latest("beta")  # it has no bundle yet
    assert asked(off) == "beta"
    app_asked = len(off.service.checks)
    off.publish("1.9.0")
    updater.get_latest()
    assert len(off.service.checks) == app_asked + 1
    assert asked(off) is None


def test_setting_sends_the_whole_info_object_and_the_channel(off):
    off.launch(auto_update="off", custom_id="till 7").set_channel("beta")
    said = off.service.requests[-1]
    assert (said.method, said.json["channel"], said.json["custom_id"]) == ("POST", "beta", "till 7")
    assert said.json["plugin_version"] == "8.51.14"
    assert None not in said.json.values()


def test_a_private_channel_is_refused_as_an_error_and_an_event_and_nothing_changes(off):
    updater = off.launch(auto_update="off")
    updater.set_channel("beta")
    heard = Heard(updater)
    with pytest.raises(ChannelRefused) as caught:
        updater.set_channel("closed")
    assert (caught.value.code, caught.value.channel) == ("channel_self_set_not_allowed", "closed")
    event = heard.wait("channel_private")
    assert (event.channel, event.error) == ("closed", "channel_self_set_not_allowed")
    assert event.message == caught.value.message
    with pytest.raises(ServiceError):
        updater.get_latest()
    assert asked(off) == "beta"


def test_a_public_channel_that_nobody_may_choose_is_had_by_choosing_none(off):
    off.service.add_channel("everybody", public=True, allow_self_set=False)
    updater = off.launch(auto_update="off")
    updater.set_channel("beta")
    heard = Heard(updater)
    with pytest.raises(ChannelRefused) as caught:
        updater.set_channel("everybody")
    assert caught.value.code == "public_channel_self_set_not_allowed"
    assert heard.wait("channel_private").channel == "everybody"
    off.publish("1.9.0")
    updater.get_latest()
    assert asked(off) is None


def test_an_unknown_channel_is_refused_and_not_kept(off):
    updater = off.launch(auto_update="off")
    with pytest.raises(ServiceError) as caught:
        updater.set_channel("nope")
    assert caught.value.code == "channel_not_found"
    assert not isinstance(caught.value, ChannelRefused)
    off.publish("1.9.0")
    updater.get_latest()
    assert asked(off) is None


def test_the_service_may_order_to_unset(off):
    updater = off.launch(auto_update="off")
    updater.set_channel("beta")
    off.service.answer(200, {"status": "ok", "unset": True}, on="channel")
    assert updater.set_channel("other").unset
    off.publish("1.9.0")
    updater.get_latest()
    assert asked(off) is None


@pytest.mark.parametrize("mode", ["atBackground", "off"])
def test_a_change_may_trigger_a_check(off, mode):
    updater = off.launch(auto_update=mode)
    assert updater.wait(10)
    before = len(off.service.checks)
    updater.set_channel("beta", trigger_auto_update=True)
    assert updater.wait(10)
    assert len(off.service.checks) == before + (mode != "off")
    if mode != "off":
        assert asked(off) == "beta"
    updater.unset_channel(trigger_auto_update=True)
    assert updater.wait(10)
    if mode != "off":
        assert asked(off) is None


def test_getting_never_stores(off):
    updater = off.launch(auto_update="off", default_channel="production")
    off.service.answer(200, {"channel": "beta", "status": "override", "allowSet": False}, on="channel")
    assert updater.get_channel() == ChannelStatus("beta", "override", allow_set=False)
    off.publish("1.9.0")
    updater.get_latest()
    assert asked(off) == "production"
    assert calls(off)[-1][0] == "PUT"


def test_listing_gives_what_this_device_may_choose(off):
    listed = off.launch(auto_update="off").list_channels()
    assert sorted((each.name, each.public, each.allow_self_set) for each in listed) == [
        ("beta", False, True),
        ("production", True, True),
    ]
    query = off.service.requests[-1].query
    assert (query["app_id"], query["platform"], query["is_prod"]) == ("com.example.notes", "electron", "true")


@pytest.mark.parametrize("channel", ["", None, 7, "a\0b", "x" * 257, "\ud800"])
def test_a_name_that_is_none_is_refused_before_anything_is_sent(off, channel):
    updater = off.launch(auto_update="off")
    with pytest.raises(ConfigError) as caught:
        updater.set_channel(channel)
    assert caught.value.code == "missing_parameter"
    assert calls(off) == []


def test_choosing_may_be_switched_off(off):
    updater = off.launch(auto_update="off", allow_set_default_channel=False)
    with pytest.raises(ConfigError) as caught:
        updater.set_channel("beta")
    assert caught.value.code == "disabled_by_config"
    assert calls(off) == []


@pytest.mark.parametrize(
    "ask", [lambda u: u.set_channel("beta"), lambda u: u.get_channel(), lambda u: u.list_channels()]
)
def test_without_an_address_there_is_nobody_to_ask(off, ask):
    with pytest.raises(ConfigError) as caught:
        ask(off.launch(auto_update="off", channel_url=""))
    assert caught.value.code == "missing_config"


ASKS = {
    "set": lambda u: u.set_channel("beta"),
    "get": lambda u: u.get_channel(),
    "list": lambda u: u.list_channels(),
}


@pytest.mark.parametrize("ask", ASKS)
def test_inside_an_order_to_wait_nothing_is_sent(off, ask):
    off.service.answer(429, {"error": "too_many_requests"}, headers=[("Retry-After", "60")], on="updates")
    updater = off.launch(auto_update="atBackground")
    assert updater.wait(10)
    before = len(off.service.requests)
    with pytest.raises(RateLimited) as caught:
        ASKS[ask](updater)
    assert caught.value.retry_at is not None
    assert [r for r in off.service.requests[before:] if "channel_self" in r.path] == []


def test_the_same_channel_twice_in_a_minute_is_limited_and_stays_chosen(off):
    updater = off.launch(auto_update="off")
    updater.set_channel("beta")
    with pytest.raises(RateLimited) as caught:
        updater.set_channel("beta")
    assert caught.value.retry_at is not None
    off.publish("1.9.0", channel="beta")
    assert updater.get_latest().version == "1.9.0"


@pytest.mark.parametrize("ask", ASKS)
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, "<html>please log in</html>"),
        (200, ""),
        (200, "[[[["),
        (200, '{"status": 7}'),
        (200, '"text"'),
        (200, '[{"id": "seven", "name": "beta"}]'),
        (500, '{"error": "unknown_error", "message": "Unknown error", "moreInfo": {}}'),
        (502, "bad gateway"),
        (429, '{"error": "on_premise_app", "message": "On-premise app detected"}'),
        (404, '{"error": "not_found", "message": "Not found"}'),
    ],
)
def test_whatever_is_answered_is_an_error_of_ours_and_changes_nothing(off, ask, status, body):
    updater = off.launch(auto_update="off")
    off.service.answer(status, body.encode(), on="channel")
    with pytest.raises((ReplyError, ServiceError)) as caught:
        ASKS[ask](updater)
    assert caught.value.code
    off.publish("1.9.0")
    updater.get_latest()
    assert asked(off) is None


@pytest.mark.parametrize("ask", ASKS)
def test_a_service_that_is_gone_is_an_error_of_ours(off, ask):
    updater = off.launch(auto_update="off")
    off.service.stop()
    with pytest.raises(NetworkError):
        ASKS[ask](updater)


def test_a_choice_that_cannot_be_kept_is_told(off):
    files = FaultyFiles()
    updater = off.launch(auto_update="off", files=files)
    files.fail(1, errno.EROFS, path="state.new", times=None)
    with pytest.raises(StorageError, match="Read-only"):
        updater.set_channel("beta")


def test_the_chosen_channel_survives_an_update_of_the_app_itself(off):
    off.launch(auto_update="off").set_channel("beta")
    assert off.launch(version="2.0.0").wait(10)
    assert asked(off) == "beta"


def test_the_chosen_channel_may_end_with_the_installer(off):
    off.launch(auto_update="off").set_channel("beta")
    assert off.launch(version="2.0.0", persist_default_channel_on_reinstall=False).wait(10)
    assert asked(off) is None


def test_the_chosen_channel_may_end_with_the_folder_it_was_kept_in(off, tmp_path):
    option = {"persist_default_channel_on_reinstall": False}
    updater = off.launch(**option)
    assert updater.wait(10)
    updater.set_channel("beta")
    assert off.launch(**option).wait(10)
    assert asked(off) == "beta"
    off.close()
    backup = tmp_path / "backup"
    backup.mkdir()
    for name in ("state.json", "device-id"):
        (backup / name).write_bytes((off.data / name).read_bytes())
    assert off.launch(data_dir=backup).wait(10)
    assert asked(off) == "beta"  # restored, and that is as wished by default
    assert off.launch(data_dir=backup, **option).wait(10)
    assert asked(off) is None


def test_what_is_kept_of_a_channel_is_its_name(off):
    off.launch(auto_update="off").set_channel("beta")
    document = json.loads((off.data / "state.json").read_text("ascii")[9:])
    assert document["settings"]["channel"] == "beta"
