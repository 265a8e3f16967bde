from __future__ import annotations

from dataclasses import replace

import pytest

from capgo_client.bundle import BundleStatus
from capgo_client.life import boot, decide
from capgo_client.life.delays import DelayCondition
from capgo_client.life.settings import Settings, reconsidered, seen
from capgo_client.life.state import Install, State

NOW = 1_700_000_000.0
HERE = {"os_version": "13", "version_build": "1.0.0", "version_code": "7"}


# --- what the statistics know of the device -------------------------------------------------------------------------


def test_the_first_look_is_no_change():
    after, news = seen(Settings(), **HERE)
    assert news == []
    assert (after.os_version, after.version_build, after.version_code) == ("13", "1.0.0", "7")
    assert seen(after, **HERE) == (after, [])


def test_another_system_is_told_with_before_and_after():
    before, _ = seen(Settings(), **HERE)
    after, news = seen(before, **{**HERE, "os_version": "14"})
    assert news == [("os_version_changed", {"previous_version_os": "13", "current_version_os": "14"})]
    assert seen(after, **{**HERE, "os_version": "14"})[1] == []


@pytest.mark.parametrize("change", [{"version_build": "1.1.0"}, {"version_code": "8"}, {"version_build": "0.9.0"}])
def test_another_installer_is_told_with_before_and_after(change):
    before, _ = seen(Settings(), **HERE)
    now = {**HERE, **change}
    assert seen(before, **now)[1] == [
        (
            "native_app_version_changed",
            {
                "previous_version_build": "1.0.0",
                "current_version_build": now["version_build"],
                "previous_version_code": "7",
                "current_version_code": now["version_code"],
            },
        )
    ]


# --- the time in the background -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("source", "left"), [("background", NOW - 9.0), ("foreground", 0.0), ("killed", 0.0)])
def test_coming_back_ends_the_time_in_the_background(source, left):
    away = Settings(background_at=NOW - 9.0)
    assert reconsidered(away, source=source, now=NOW, native_version="1.0.0").background_at == left


def test_nothing_to_reconsider_is_the_same_value():
    settings = Settings(channel="beta", delays=(DelayCondition("nativeVersion", "9.0.0"),))
    assert reconsidered(settings, source="killed", now=NOW, native_version="1.0.0") is settings


# --- what is queued and held back -----------------------------------------------------------------------------------

QUEUED = State(
    native_version="1.0.0",
    installs=(Install("aaaaaaaaaa", "1.1.0", "c"),),
    next="aaaaaaaaaa",
    settings=Settings(delays=(DelayCondition("nativeVersion", "9.0.0"),)),
)


def opened(state):
    return boot.choice(state, max_attempts=3, now=NOW).bundle_id


def test_what_is_held_back_does_not_open_and_stays_queued():
    choice = boot.choice(QUEUED, max_attempts=3, now=NOW)
    assert (choice.bundle_id, choice.state.next) == ("builtin", "aaaaaaaaaa")
    assert boot.last_confirmed(replace(QUEUED, next="builtin", current="aaaaaaaaaa")) == "builtin"


def test_what_was_ordered_at_once_is_not_held_back():
    state = decide.queued(QUEUED, "aaaaaaaaaa", by_app=True, at_once=True)
    assert opened(state) == "aaaaaaaaaa"
    assert not boot.opened(state, "aaaaaaaaaa", token="t").next_at_once


def test_queueing_anew_in_the_usual_way_is_held_back_again():
    state = decide.queued(QUEUED, "aaaaaaaaaa", by_app=True, at_once=True)
    assert opened(decide.queued(state, "aaaaaaaaaa", by_app=False)) == "builtin"


def test_a_held_back_confirmed_version_is_not_opened_where_nothing_can_be_written_either():
    install = replace(QUEUED.installs[0], status=BundleStatus.SUCCESS)
    held = replace(QUEUED, installs=(install,))
    assert boot.last_confirmed(held) == "builtin"
    assert boot.last_confirmed(replace(held, settings=Settings())) == "aaaaaaaaaa"


@pytest.mark.parametrize("reset_when_update", [True, False])
@pytest.mark.parametrize(("keep_channel", "channel"), [(True, "beta"), (False, "")])
def test_a_new_installer_keeps_the_settings_and_the_channel_where_that_is_wished(
    reset_when_update, keep_channel, channel
):
    state = State(native_version="1.0.0", settings=Settings(channel="beta", custom_id="till 7"))
    after, is_new = boot.arrived(
        state, native_version="2.0.0", now=NOW, reset_when_update=reset_when_update, keep_channel=keep_channel
    )
    assert is_new
    assert after.settings.custom_id == "till 7"
    assert after.settings.channel == ("beta" if not reset_when_update else channel)
