from __future__ import annotations

import pytest
from device import DAY, NOW, YEAR
from hypothesis import given
from hypothesis import strategies as st

from capgo_client.life.schedule import (
    Schedule,
    asked,
    lifts_hold,
    may_ask,
    may_wait,
    period,
    settled,
    stumbled,
    waited,
)

pytestmark = pytest.mark.promise(8)

ALMOST_ONE = 1 - 2**-32
GOOD = ("update", "up_to_date", "blocked", "builtin")
BAD = ("failed", "plan_ended", "rate_limited")


def answered(
    schedule: Schedule, answer: str, *, retry_at: float | None = None, now: float = NOW, jitter: float = 0.5
) -> Schedule:
    return asked(schedule, answer, code="c", retry_at=retry_at, now=now, jitter=jitter)


def after(answers: int, answer: str, *, jitter: float = 0.5) -> Schedule:
    schedule = Schedule()
    for _ in range(answers):
        schedule = answered(schedule, answer, jitter=jitter)
    return schedule


def back_off(schedule: Schedule) -> float:
    """Seconds until a periodic check may be sent."""
    return schedule.not_before - NOW


def test_a_new_device_may_ask_and_may_wait() -> None:
    assert may_ask(Schedule(), NOW, launch=True)
    assert may_ask(Schedule(), NOW, launch=False)
    assert may_wait(Schedule(), NOW)


def test_a_launch_asks_despite_the_back_off_and_a_periodic_check_does_not() -> None:
    schedule = after(1, "failed")
    assert may_ask(schedule, NOW + 1, launch=True)
    assert not may_ask(schedule, NOW + 29.9, launch=False)
    assert may_ask(schedule, NOW + 30, launch=False)


def test_nothing_is_asked_while_a_retry_after_runs() -> None:
    schedule = answered(Schedule(), "rate_limited", retry_at=NOW + 600, jitter=0.0)
    for launch in (True, False):
        assert not may_ask(schedule, NOW + 599, launch=launch)
        assert may_ask(schedule, NOW + 600, launch=launch)


def test_a_direct_mode_does_not_wait_within_a_retry_after() -> None:
    schedule = answered(Schedule(), "rate_limited", retry_at=NOW + 600, jitter=0.0)
    assert not may_wait(schedule, NOW + 599)
    assert may_wait(schedule, NOW + 600)


@pytest.mark.parametrize("answer", BAD)
def test_a_direct_mode_does_not_wait_during_a_back_off(answer: str) -> None:
    schedule = after(1, answer)
    assert not may_wait(schedule, NOW + 1)
    assert may_wait(schedule, NOW + 450)


@pytest.mark.parametrize(
    ("answer", "ceilings"),
    [
        ("failed", [60, 120, 240, 480, 960]),
        ("plan_ended", [900, 1800, 3600, 7200]),
        ("rate_limited", [900, 1800, 3600]),
    ],
)
def test_the_back_off_doubles_with_each_failure(answer: str, ceilings: list[float]) -> None:
    for count, ceiling in enumerate(ceilings, start=1):
        assert back_off(after(count, answer, jitter=0.5)) == ceiling / 2
        assert back_off(after(count, answer, jitter=0.0)) == 0
        assert ceiling * 0.999 < back_off(after(count, answer, jitter=ALMOST_ONE)) <= ceiling


@pytest.mark.parametrize("answer", BAD)
@pytest.mark.parametrize("count", [12, 100, 5000])
def test_no_back_off_is_longer_than_a_day(answer: str, count: int) -> None:
    assert DAY * 0.999 < back_off(after(count, answer, jitter=ALMOST_ONE)) <= DAY


@pytest.mark.parametrize("answer", BAD)
def test_no_retry_after_holds_longer_than_a_day(answer: str) -> None:
    schedule = answered(Schedule(), answer, retry_at=NOW + YEAR, jitter=0.0)
    assert not may_ask(schedule, NOW + DAY - 1, launch=True)
    assert may_ask(schedule, NOW + DAY, launch=True)


def test_a_retry_after_in_the_past_holds_nothing() -> None:
    assert may_ask(answered(Schedule(), "rate_limited", retry_at=NOW - 5, jitter=0.0), NOW, launch=True)
    assert may_ask(answered(Schedule(), "rate_limited", retry_at=-5.0, jitter=0.0), NOW, launch=True)


def test_plan_ended_without_a_date_never_keeps_a_launch_from_asking() -> None:
    assert may_ask(after(50, "plan_ended", jitter=ALMOST_ONE), NOW, launch=True)


@pytest.mark.parametrize("answer", GOOD)
def test_a_good_answer_ends_the_back_off_and_the_next_failure_starts_small(answer: str) -> None:
    schedule = answered(after(8, "failed"), "failed", retry_at=NOW + 600)
    schedule = answered(schedule, answer)
    assert may_wait(schedule, NOW)
    assert back_off(answered(schedule, "failed")) == 30
    assert schedule.good_answer_at == NOW


@pytest.mark.parametrize("answer", BAD)
def test_a_bad_answer_is_told_and_is_not_a_good_one(answer: str) -> None:
    schedule = answered(answered(Schedule(), "up_to_date"), answer, now=NOW + 10)
    assert (schedule.answer, schedule.answer_code, schedule.answered_at) == (answer, "c", NOW + 10)
    assert schedule.good_answer_at == NOW


def test_how_long_the_service_has_said_the_same_is_counted_over_failures_and_starts_anew_with_another_answer() -> None:
    def told(schedule: Schedule, kind: str, version: str = "", *, at: float) -> Schedule:
        return asked(schedule, kind, code="", version=version, retry_at=None, now=NOW + at, jitter=0.5)

    schedule = told(Schedule(), "up_to_date", at=0)
    schedule = told(schedule, "up_to_date", at=DAY)
    schedule = told(schedule, "failed", at=2 * DAY)
    schedule = told(schedule, "up_to_date", at=3 * DAY)
    assert (schedule.said_since, schedule.good_answer_at) == (NOW, NOW + 3 * DAY)
    schedule = told(schedule, "update", "1.5.0", at=4 * DAY)
    assert schedule.said_since == NOW + 4 * DAY
    assert told(schedule, "update", "1.5.0", at=9 * DAY).said_since == NOW + 4 * DAY
    assert told(schedule, "update", "1.6.0", at=9 * DAY).said_since == NOW + 9 * DAY


# --- downloads that fail --------------------------------------------------------------------------------------------


def offered_and_failed(times: int, *, jitter: float = 0.5) -> Schedule:
    schedule = Schedule()
    for _ in range(times):
        schedule = stumbled(answered(schedule, "update"), now=NOW, jitter=jitter)
    return schedule


def test_a_download_that_fails_each_time_backs_off_further_each_time() -> None:
    assert [back_off(offered_and_failed(times)) for times in (1, 2, 3, 4)] == [30, 60, 120, 240]


def test_a_download_that_always_fails_is_tried_at_least_once_a_day() -> None:
    assert DAY * 0.999 < back_off(offered_and_failed(500, jitter=ALMOST_ONE)) <= DAY


def test_a_failed_download_holds_off_periodic_checks_and_waiting_but_no_launch() -> None:
    schedule = offered_and_failed(1)
    assert not may_ask(schedule, NOW + 1, launch=False)
    assert not may_wait(schedule, NOW + 1)
    assert may_ask(schedule, NOW + 1, launch=True)


def test_nothing_offered_any_more_forgets_the_failed_downloads() -> None:
    schedule = answered(offered_and_failed(8), "up_to_date")
    assert back_off(stumbled(schedule, now=NOW, jitter=0.5)) == 30


def test_a_long_outage_does_not_make_the_first_failed_download_wait_long() -> None:
    schedule = answered(after(10, "failed"), "update")
    assert back_off(stumbled(schedule, now=NOW, jitter=0.5)) == 30


def test_a_failed_check_among_failed_downloads_does_not_forget_them() -> None:
    schedule = answered(answered(offered_and_failed(3), "failed"), "update")
    assert back_off(stumbled(schedule, now=NOW, jitter=0.5)) == 240


# --- waiting in vain ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "opened_update", "hold"),
    [(0.0, False, False), (0.5, False, False), (0.51, False, True), (3.0, False, True), (9.0, True, False)],
)
def test_a_launch_that_waited_in_vain_stops_the_next_from_waiting(
    seconds: float, opened_update: bool, hold: bool
) -> None:
    schedule = waited(Schedule(), seconds=seconds, opened_update=opened_update)
    assert schedule.hold is hold
    assert may_wait(schedule, NOW + YEAR) is not hold


def test_a_hold_keeps_no_check_from_being_sent() -> None:
    schedule = waited(Schedule(), seconds=3.0, opened_update=False)
    assert may_ask(schedule, NOW, launch=True)
    assert may_ask(schedule, NOW, launch=False)


def test_a_hold_is_lifted_by_a_wait_that_brought_an_update() -> None:
    held = waited(Schedule(), seconds=3.0, opened_update=False)
    assert not waited(held, seconds=3.0, opened_update=True).hold


def test_a_hold_is_not_lifted_by_a_launch_that_waited_briefly() -> None:
    held = waited(Schedule(), seconds=3.0, opened_update=False)
    assert waited(held, seconds=0.1, opened_update=False).hold


# --- the clock ------------------------------------------------------------------------------------------------------


def test_waiting_times_written_in_the_future_are_dropped_and_a_hold_is_not() -> None:
    schedule = answered(after(5, "failed"), "rate_limited", retry_at=NOW + 600)
    schedule = waited(schedule, seconds=3.0, opened_update=False)
    back_then = settled(schedule, NOW - YEAR)
    assert may_ask(back_then, NOW - YEAR, launch=True)
    assert may_ask(back_then, NOW - YEAR, launch=False)
    assert back_then.hold
    assert may_ask(back_then, NOW + 1, launch=False)


def test_a_clock_set_back_while_the_app_runs_holds_nothing_off_either() -> None:
    schedule = answered(Schedule(), "rate_limited", retry_at=NOW + 600)
    assert may_ask(schedule, NOW - 1, launch=True)
    assert may_ask(schedule, NOW - 1, launch=False)


def test_settling_leaves_what_was_written_in_the_past_or_now() -> None:
    schedule = answered(Schedule(), "rate_limited", retry_at=NOW + 600)
    assert settled(schedule, NOW) is schedule
    assert settled(schedule, NOW + 1) is schedule
    assert settled(settled(schedule, NOW - 1), NOW - 1) == settled(schedule, NOW - 1)


def test_a_clock_set_forward_a_year_ends_every_wait() -> None:
    schedule = answered(after(20, "failed"), "rate_limited", retry_at=NOW + DAY)
    assert may_ask(schedule, NOW + YEAR, launch=False)


def test_a_failed_download_is_dated_too() -> None:
    schedule = stumbled(Schedule(), now=NOW, jitter=ALMOST_ONE)
    assert may_ask(settled(schedule, NOW - YEAR), NOW - YEAR + 1, launch=False)


ANSWERS = st.lists(
    st.tuples(
        st.sampled_from(GOOD + BAD + ("stumbled",)),
        st.floats(0, 1, exclude_max=True),
        st.none() | st.floats(-1e10, 1e12),
        st.floats(0, 2 * YEAR),
    ),
    max_size=30,
)


@given(ANSWERS)
def test_whatever_was_answered_a_periodic_check_is_due_within_a_day(
    answers: list[tuple[str, float, float | None, float]],
) -> None:
    schedule = Schedule()
    for answer, jitter, retry_at, now in answers:
        schedule = settled(schedule, now)
        if answer == "stumbled":
            schedule = stumbled(schedule, now=now, jitter=jitter)
        else:
            schedule = answered(schedule, answer, retry_at=retry_at, now=now, jitter=jitter)
        assert may_ask(schedule, now + DAY, launch=False)
        assert may_ask(schedule, now + DAY, launch=True)


@pytest.mark.parametrize(
    ("foreground", "action", "lifts"),
    [
        (False, "nothing", True),
        (False, "queued", True),
        (False, "refused", True),
        (False, "failed", False),
        (False, "paused", False),
        (True, "queued", False),
    ],
)
def test_only_a_background_cycle_that_went_well_lifts_the_hold(foreground: bool, action: str, lifts: bool) -> None:
    assert lifts_hold(foreground=foreground, action=action) is lifts


def test_the_period_is_spread_by_a_tenth_either_way() -> None:
    assert [period(600.0, draw=draw) for draw in (0.0, 0.5, 1.0)] == pytest.approx([540.0, 600.0, 660.0])
