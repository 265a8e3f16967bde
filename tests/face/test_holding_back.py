"""Delay conditions through the face: what is queued waits until all of them are met (plugin section 6.8)."""

from __future__ import annotations

import logging

import pytest

from capgo_client import ConfigError, DelayCondition
from capgo_client.testing import FakeClock

#: 2026-03-01T12:00:00Z
NOW = 1772366400.0


@pytest.fixture
def clock():
    return FakeClock(wall=NOW)


@pytest.fixture
def waiting(app, clock):
    """A device on which 1.5.0 is queued, and nothing asks the service any more."""
    app.queue("1.5.0", clock=clock)
    return app


def launch(app, clock, **options):
    return app.launch(clock=clock, update_url="", **options)


def delayed(app, clock, *conditions, **options):
    """Set the conditions in one launch; give that launch's Updater."""
    updater = app.updater(clock=clock, update_url="", **options)
    updater.set_multi_delay(conditions)
    return updater


DATE = {"kind": "date", "value": "2026-03-02T12:00:00Z"}


def test_without_conditions_the_next_start_opens_what_is_queued(waiting, clock):
    assert launch(waiting, clock).current.version == "1.5.0"


def test_kill_waits_for_the_next_start_and_no_longer(waiting, clock):
    delayed(waiting, clock, {"kind": "kill"})
    assert launch(waiting, clock).current.version == "1.5.0"


def test_a_date_holds_it_back_until_it_has_passed(waiting, clock):
    delayed(waiting, clock, DATE)
    updater = launch(waiting, clock)
    assert updater.current.version == "1.4.0"
    assert updater.next_bundle.version == "1.5.0"
    clock.advance(86400.0)
    assert launch(waiting, clock).current.version == "1.4.0"  # not after the date: at it
    clock.advance(0.01)
    assert launch(waiting, clock).current.version == "1.5.0"


@pytest.mark.parametrize(
    "form",
    [
        "2026-03-02T12:00:00Z",
        "2026-03-02T12:00:00.000Z",
        "2026-03-02T14:00:00+02:00",
        "2026-03-02T14:00:00.000+0200",
        "2026-03-02T14:00:00+02",
    ],
)
def test_every_form_of_a_date_is_that_date(waiting, clock, form):
    delayed(waiting, clock, {"kind": "date", "value": form})
    assert launch(waiting, clock).current.version == "1.4.0"
    clock.advance(86400.01)
    assert launch(waiting, clock).current.version == "1.5.0"


def test_native_version_waits_for_that_installer(waiting, clock):
    delayed(waiting, clock, DelayCondition("nativeVersion", "1.4.1"))
    assert launch(waiting, clock).current.version == "1.4.0"
    updater = launch(waiting, clock, version="1.4.1", reset_when_update=False)
    assert updater.current.version == "1.5.0"


def test_all_conditions_have_to_be_met(waiting, clock):
    delayed(waiting, clock, {"kind": "kill"}, DATE)
    assert launch(waiting, clock).current.version == "1.4.0"
    clock.advance(86401.0)
    assert launch(waiting, clock).current.version == "1.5.0"


def test_new_conditions_take_the_place_of_the_old_ones_and_cancelling_drops_them(waiting, clock):
    updater = delayed(waiting, clock, DATE)
    updater.set_multi_delay([{"kind": "nativeVersion", "value": "9.0.0"}])
    clock.advance(10 * 86400.0)
    updater = launch(waiting, clock)
    assert updater.current.version == "1.4.0"
    updater.cancel_delay()
    assert launch(waiting, clock).current.version == "1.5.0"


# --- in the background and back -------------------------------------------------------------------------------------


def away(updater, clock, seconds):
    updater.moved_to_background()
    clock.advance(seconds)
    updater.moved_to_foreground()


def test_background_waits_for_an_absence_of_so_long(waiting, clock):
    delayed(waiting, clock, {"kind": "background", "value": "5000"})
    updater = launch(waiting, clock)
    assert updater.current.version == "1.4.0"
    away(updater, clock, 5.0)
    assert launch(waiting, clock).current.version == "1.4.0"  # not longer than that
    updater = launch(waiting, clock)
    away(updater, clock, 5.01)
    assert launch(waiting, clock).current.version == "1.5.0"


def test_an_app_that_the_system_ended_in_the_background_was_away_too(waiting, clock):
    delayed(waiting, clock, {"kind": "background", "value": "5000"})
    launch(waiting, clock).moved_to_background()
    clock.advance(6.0)
    assert launch(waiting, clock).current.version == "1.5.0"


def test_two_short_absences_are_not_a_long_one(waiting, clock):
    delayed(waiting, clock, {"kind": "background", "value": "5000"})
    updater = launch(waiting, clock)
    for _ in range(2):
        away(updater, clock, 3.0)
    assert launch(waiting, clock).current.version == "1.4.0"


def test_an_app_that_can_reload_changes_over_when_it_leaves_and_nothing_holds_it_back(waiting, clock):
    delayed(waiting, clock, {"kind": "background", "value": "5000"})
    shown = []
    updater = launch(waiting, clock, reload=lambda bundle: shown.append(bundle.version))
    updater.moved_to_background()
    assert shown == []
    clock.advance(6.0)
    updater.moved_to_foreground()
    assert shown == []  # met, but the person looks at the app
    updater.moved_to_background()
    assert shown == ["1.5.0"]


def test_a_date_that_passes_while_the_app_runs_counts_when_it_leaves(waiting, clock):
    delayed(waiting, clock, DATE)
    shown = []
    updater = launch(waiting, clock, reload=lambda bundle: shown.append(bundle.version))
    updater.moved_to_background()
    assert shown == []
    clock.advance(86401.0)
    updater.moved_to_background()
    assert shown == ["1.5.0"]


def test_what_the_app_does_at_once_does_not_wait(waiting, clock):
    updater = delayed(waiting, clock, DATE)
    updater.start()
    updater.reload()  # without a way to change over: at the next start
    assert launch(waiting, clock).current.version == "1.5.0"


def test_a_direct_mode_does_not_open_past_a_condition(app, clock):
    app.install("1.5.0", clock=clock)
    updater = app.updater(clock=clock)
    updater.set_multi_delay([DATE])
    updater.close()
    app.publish("1.6.0")
    updater = app.launch(clock=clock, auto_update="always")
    assert updater.current.version == "1.5.0"
    assert updater.wait(10)
    assert updater.next_bundle.version == "1.6.0"
    clock.advance(86401.0)
    assert launch(app, clock).current.version == "1.6.0"


def test_where_nothing_can_be_written_a_condition_holds_back_too(waiting, clock):
    waiting.install("1.6.0", clock=clock)
    updater = launch(waiting, clock)
    updater.set_next("builtin")
    updater.set_multi_delay([DATE])
    beside = waiting.updater(clock=clock, update_url="")
    assert beside.start().version == "1.6.0"


# --- what an app, or its remote configuration, may get wrong --------------------------------------------------------


@pytest.mark.parametrize("value", ["", "tomorrow", "2026-02-30T00:00:00Z", "9" * 10000, "\0"])
@pytest.mark.parametrize("kind", ["date", "nativeVersion"])
def test_a_value_that_cannot_be_read_holds_nothing_back(waiting, clock, kind, value):
    delayed(waiting, clock, {"kind": kind, "value": value})
    assert launch(waiting, clock).current.version == "1.5.0"


def test_an_unknown_kind_is_named_in_the_log_and_holds_nothing_back(waiting, clock, caplog):
    with caplog.at_level(logging.WARNING, logger="capgo_client"):
        delayed(waiting, clock, {"kind": "moonphase", "value": "full"}, {"value": "no kind"})
    assert "moonphase" in caplog.text
    assert launch(waiting, clock).current.version == "1.5.0"


@pytest.mark.parametrize("wrong", [None, 7, "kill", [7], [["kill"]], [{"kind": 7}], {"kind": "kill"}])
def test_what_is_no_list_of_conditions_is_a_config_error_and_changes_nothing(waiting, clock, wrong):
    updater = delayed(waiting, clock, DATE)
    with pytest.raises(ConfigError):
        updater.set_multi_delay(wrong)
    assert launch(waiting, clock).current.version == "1.4.0"


def test_a_clock_that_was_set_back_is_no_absence(waiting, clock):
    delayed(waiting, clock, {"kind": "background", "value": "5000"})
    updater = launch(waiting, clock)
    updater.moved_to_background()
    clock.set_wall(NOW - 86400.0)
    updater.moved_to_foreground()
    assert launch(waiting, clock).current.version == "1.4.0"
