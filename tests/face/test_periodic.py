"""Checks while the app runs: every so often, and not in step with the rest of the fleet."""

from __future__ import annotations

from capgo_client.testing import FakeClock


def test_periodic_checks_come_within_a_tenth_of_their_period_and_not_all_alike(app):
    app.service.reply_case("no_new_version_available")
    clock = FakeClock()
    updater = app.launch(clock=clock, period_check_delay=600, stats_url="")
    updater.notify_app_ready()
    pauses = []
    for count in range(1, 16):
        app.service.wait_for_requests(count, on="updates")
        assert updater.wait(10)
        clock.wait_for_sleepers(1)
        (pause,) = clock.sleepers
        pauses.append(pause)
        clock.advance(pause)
    assert all(540.0 <= pause <= 660.0 for pause in pauses)
    # The chance that fifteen draws from a span of 120 s all fall into 20 s of it is below one in a thousand million.
    assert max(pauses) - min(pauses) > 20.0


def test_without_a_period_nothing_is_asked_by_itself(app):
    app.service.reply_case("no_new_version_available")
    clock = FakeClock()
    updater = app.launch(clock=clock, stats_url="")
    updater.notify_app_ready()
    assert updater.wait(10)
    clock.wait_for_sleepers(1)
    assert clock.sleepers == [None]
