from __future__ import annotations

from dataclasses import replace

import pytest
from device import DAY, NOW, YEAR, Device, install

from capgo_client.bundle import BUILTIN_ID, BundleStatus
from capgo_client.life import boot
from capgo_client.life.decide import ALREADY_HERE, FETCH, REFUSE
from capgo_client.life.schedule import may_ask
from capgo_client.life.state import State, Verdict

pytestmark = pytest.mark.promise(5)


@pytest.fixture
def device() -> Device:
    return Device()


# --- the good way ---------------------------------------------------------------------------------------------------


def test_the_first_start_opens_the_builtin(device: Device) -> None:
    assert device.start() == BUILTIN_ID
    device.ready()
    assert (device.state.current, device.state.next, device.state.fallback) == (BUILTIN_ID, "", BUILTIN_ID)


def test_a_queued_version_opens_at_the_next_start_and_ready_makes_it_the_fallback(device: Device) -> None:
    device.start()
    device.offered("1.1.0")
    assert (device.state.current, device.state.next) == (BUILTIN_ID, "v1.1.0")
    assert device.start() == "v1.1.0"
    assert (device.state.current, device.state.next) == ("v1.1.0", "")
    assert device.status("v1.1.0") is BundleStatus.PENDING
    assert device.state.fallback == BUILTIN_ID
    device.ready()
    assert device.status("v1.1.0") is BundleStatus.SUCCESS
    assert device.state.fallback == "v1.1.0"
    assert device.state.newest_confirmed == "1.1.0"


def test_ready_twice_changes_nothing(device: Device) -> None:
    device.good("1.1.0")
    device.good("1.2.0")
    before = device.state
    device.ready()
    assert device.state == before


def test_the_version_before_stays_the_one_to_fall_back_on_until_the_next_confirms(device: Device) -> None:
    device.good("1.1.0")
    device.good("1.2.0")
    assert (device.state.fallback, device.state.previous) == ("v1.2.0", "v1.1.0")
    device.offered("1.3.0")
    device.start()
    assert (device.state.fallback, device.state.previous) == ("v1.2.0", "v1.1.0")
    device.ready()
    assert (device.state.fallback, device.state.previous) == ("v1.3.0", "v1.2.0")


def test_the_attempt_is_in_the_state_that_is_saved_before_the_app_opens(device: Device) -> None:
    device.offered("1.1.0")
    for start in (1, 2, 3):
        assert device.start() == "v1.1.0"
        assert device.attempts("v1.1.0") == start


def test_a_start_of_a_confirmed_version_changes_nothing_and_so_costs_no_write(device: Device) -> None:
    device.good("1.1.0")
    device.start()
    before = device.state
    for _ in range(10):
        assert device.start() == "v1.1.0"
        assert device.state == before
    assert device.attempts("v1.1.0") == 0


def test_a_start_of_the_builtin_changes_nothing(device: Device) -> None:
    device.start()
    before = device.state
    for _ in range(5):
        assert device.start() == BUILTIN_ID
        assert device.state == before


# --- starts that are used up ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_attempts", [1, 2, 3, 7])
def test_a_version_that_never_says_ready_gets_its_starts_and_then_the_last_good_one_opens(max_attempts: int) -> None:
    device = Device(max_attempts=max_attempts)
    device.good("1.1.0")
    device.offered("1.2.0")
    assert [device.start() for _ in range(max_attempts)] == ["v1.2.0"] * max_attempts
    assert device.start() == "v1.1.0"
    assert device.status("v1.2.0") is BundleStatus.ERROR
    assert device.status("v1.1.0") is BundleStatus.SUCCESS
    assert device.state.failed is not None
    assert device.state.failed.id == "v1.2.0"
    assert [(v.version, v.hard, v.strikes) for v in device.state.verdicts] == [("1.2.0", False, 1)]


def test_without_any_other_version_the_builtin_opens_after_the_last_start(device: Device) -> None:
    device.offered("1.1.0")
    assert [device.start() for _ in range(4)] == ["v1.1.0", "v1.1.0", "v1.1.0", BUILTIN_ID]
    assert device.state.current == BUILTIN_ID


def test_ready_at_the_last_start_counts(device: Device) -> None:
    device.offered("1.1.0")
    for _ in range(3):
        device.start()
    device.ready()
    assert device.start() == "v1.1.0"
    assert device.state.verdicts == ()


def test_a_queued_version_whose_starts_are_used_up_gives_way_to_what_is_current(device: Device) -> None:
    device.good("1.1.0")
    device.put("1.2.0", attempts=3)
    device.queue("v1.2.0")
    assert device.start() == "v1.1.0"
    assert device.state.next == ""
    assert device.decide("1.2.0").action == REFUSE


def test_going_to_another_version_and_back_gives_no_fresh_starts(device: Device) -> None:
    device.offered("1.1.0")
    device.start()
    device.start()
    device.queue(BUILTIN_ID)
    assert device.start() == BUILTIN_ID
    device.queue("v1.1.0")
    assert [device.start() for _ in range(2)] == ["v1.1.0", BUILTIN_ID]


# --- evidence -------------------------------------------------------------------------------------------------------


def test_a_crash_before_ready_condemns_for_good_at_once(device: Device) -> None:
    device.good("1.1.0")
    device.offered("1.2.0")
    device.start()
    device.crash()
    assert device.state.current == "v1.1.0"
    assert device.state.verdicts[0].hard
    assert device.start() == "v1.1.0"
    device.now += 10 * YEAR
    assert device.offered("1.2.0") == REFUSE
    assert device.start() == "v1.1.0"


def test_the_ready_timer_rolls_back_at_once_and_condemns_softly(device: Device) -> None:
    device.good("1.1.0")
    device.offered("1.2.0")
    device.start()
    device.timer()
    assert (device.state.current, device.state.fallback) == ("v1.1.0", "v1.1.0")
    assert not device.state.verdicts[0].hard
    assert device.start() == "v1.1.0"


def test_the_ready_timer_has_no_say_over_a_confirmed_version(device: Device) -> None:
    device.good("1.1.0")
    device.start()
    before = device.state
    device.timer()
    assert device.state == before


def test_the_ready_timer_has_no_say_over_a_confirmed_version_that_is_opened_anew(device: Device) -> None:
    device.good("1.1.0")
    device.good("1.2.0")
    device.offered("1.1.0")
    device.start()
    device.timer()
    assert device.start() == "v1.1.0"
    assert device.state.verdicts == ()


def test_the_ready_timer_has_no_say_after_ready(device: Device) -> None:
    device.offered("1.1.0")
    device.start()
    device.ready()
    device.timer()
    assert device.start() == "v1.1.0"


def test_the_timer_running_out_twice_is_one_strike(device: Device) -> None:
    device.offered("1.1.0")
    device.start()
    device.timer()
    device.timer()
    assert device.state.verdicts[0].strikes == 1


def test_a_timer_of_an_earlier_launch_condemns_nothing(device: Device) -> None:
    device.offered("1.1.0")
    device.start()
    old = device.token
    device.start()
    before = device.state
    assert boot.timed_out(before, "v1.1.0", token=old, now=device.now) == before


def test_late_ready_in_the_same_launch_cancels_what_the_timer_did(device: Device) -> None:
    device.good("1.1.0")
    device.offered("1.2.0")
    device.start()
    device.timer()
    device.ready()
    assert (device.state.current, device.state.fallback, device.state.previous) == ("v1.2.0", "v1.2.0", "v1.1.0")
    assert device.status("v1.2.0") is BundleStatus.SUCCESS
    assert device.state.verdicts == ()
    assert device.state.failed is None
    assert device.start() == "v1.2.0"


def test_late_ready_leaves_what_was_queued_meanwhile(device: Device) -> None:
    device.offered("1.1.0")
    device.start()
    device.timer()
    device.offered("1.2.0")
    device.ready()
    assert (device.state.current, device.state.next) == ("v1.1.0", "v1.2.0")


def test_ready_never_cancels_a_crash(device: Device) -> None:
    device.good("1.1.0")
    device.offered("1.2.0")
    device.start()
    device.crash()
    before = device.state
    device.ready()
    assert device.state == before
    assert device.start() == "v1.1.0"


def test_a_crash_after_the_timer_makes_the_sentence_hard_and_ready_comes_too_late(device: Device) -> None:
    device.offered("1.1.0")
    device.start()
    device.timer()
    device.crash()
    device.ready()
    assert device.state.verdicts[0].hard
    assert device.start() == BUILTIN_ID


def test_ready_from_the_launch_before_confirms_nothing(device: Device) -> None:
    device.offered("1.1.0")
    device.start()
    old = device.token
    device.start()
    before = device.state
    device.ready(token=old)
    assert device.state == before
    device.ready(token="made-up")
    assert device.state == before


def test_late_ready_comes_too_late_when_another_launch_has_begun(device: Device) -> None:
    device.good("1.1.0")
    device.offered("1.2.0")
    device.start()
    old = device.token
    device.timer()
    assert device.start() == "v1.1.0"
    before = device.state
    device.ready(running="v1.2.0", token=old)
    assert device.state == before


def test_late_ready_comes_too_late_when_the_builtin_was_opened_meanwhile(device: Device) -> None:
    device.offered("1.1.0")
    device.start()
    old = device.token
    device.timer()
    assert device.start() == BUILTIN_ID
    before = device.state
    device.ready(running="v1.1.0", token=old)
    assert device.state == before


def test_ready_of_one_bundle_never_confirms_another_of_the_same_launch(device: Device) -> None:
    device.offered("1.1.0")
    device.start()
    device.put("1.2.0")
    before = device.state
    device.ready(running="v1.2.0")
    assert device.state == before


@pytest.mark.parametrize("stale", [BUILTIN_ID, "v1.1.0"])
def test_a_stale_ready_of_a_good_version_does_not_move_the_fallback(device: Device, stale: str) -> None:
    device.good("1.1.0")
    device.good("1.2.0")
    device.start()
    before = device.state
    device.ready(running=stale, token="launch-1")
    assert device.state == before


def test_a_launch_without_a_token_proves_nothing(device: Device) -> None:
    device.good("1.1.0")
    device.start()
    before = device.state
    assert boot.confirmed(before, "v1.1.0", token="") == before
    assert boot.crashed(before, "v1.1.0", token="", now=NOW) == before


def test_a_crash_reported_for_another_launch_condemns_nothing(device: Device) -> None:
    device.offered("1.1.0")
    device.start()
    old = device.token
    device.start()
    before = device.state
    device.crash(token=old)
    assert device.state == before


def test_a_stale_crash_of_a_confirmed_version_leaves_the_launch_that_runs_its_say(device: Device) -> None:
    device.good("1.1.0")
    old = device.token
    device.offered("1.2.0")
    device.start()
    device.crash(running="v1.1.0", token=old)
    device.ready()
    assert device.state.fallback == "v1.2.0"


def test_a_crash_reported_for_the_good_version_while_the_bad_one_still_runs_counts_for_nothing(
    device: Device,
) -> None:
    device.good("1.1.0")
    old = device.token
    device.offered("1.2.0")
    device.start()
    device.timer()
    before = device.state
    device.crash(running="v1.1.0", token=old)
    assert device.state == before
    device.ready()
    assert device.start() == "v1.2.0"


def test_where_the_launch_is_unknown_only_what_is_current_may_speak(device: Device) -> None:
    device.good("1.1.0")
    device.good("1.2.0")
    device.state = before = replace(device.state, launch=None)
    device.ready(running="v1.1.0", token="made-up")
    device.crash(running="v1.1.0", token="made-up")
    assert device.state == before


def test_a_crash_of_the_builtin_condemns_nothing(device: Device) -> None:
    device.start()
    before = device.state
    for _ in range(5):
        device.crash()
    assert device.state == before


# --- crashes of a version that had confirmed itself -----------------------------------------------------------------


def crash_once(device: Device, *, ready_first: bool) -> str:
    opened = device.start()
    if ready_first:
        device.ready()
    device.crash()
    return opened


@pytest.mark.parametrize("ready_first", [False, True])
def test_three_crashes_in_a_row_of_a_confirmed_version_go_to_the_good_one_before_it(ready_first: bool) -> None:
    device = Device()
    device.good("1.1.0")
    device.good("1.2.0")
    opened = [crash_once(device, ready_first=ready_first) for _ in range(3)]
    assert opened == ["v1.2.0"] * 3
    assert (device.state.current, device.state.fallback, device.state.previous) == ("v1.1.0", "v1.1.0", BUILTIN_ID)
    assert device.start() == "v1.1.0"
    assert device.status("v1.1.0") is BundleStatus.SUCCESS
    assert device.status("v1.2.0") is BundleStatus.ERROR
    device.now += YEAR
    assert device.offered("1.2.0") == REFUSE


def test_two_crashes_of_a_confirmed_version_are_not_enough(device: Device) -> None:
    device.good("1.1.0")
    crash_once(device, ready_first=True)
    crash_once(device, ready_first=True)
    assert device.start() == "v1.1.0"
    assert device.state.verdicts == ()


@pytest.mark.parametrize("says_ready", [False, True])
def test_a_launch_without_a_crash_resets_the_count(device: Device, says_ready: bool) -> None:
    device.good("1.1.0")
    crash_once(device, ready_first=False)
    crash_once(device, ready_first=False)
    device.start()
    if says_ready:
        device.ready()
    crash_once(device, ready_first=False)
    crash_once(device, ready_first=False)
    assert device.start() == "v1.1.0"
    device.crash()
    assert device.state.current == BUILTIN_ID


def test_several_crash_reports_in_one_launch_count_once(device: Device) -> None:
    device.good("1.1.0")
    device.start()
    for _ in range(5):
        device.crash()
    assert device.start() == "v1.1.0"
    assert device.state.verdicts == ()


def test_a_crash_after_ready_in_the_launch_that_confirmed_is_the_first_of_three(device: Device) -> None:
    device.good("1.1.0")
    device.crash()
    assert device.start() == "v1.1.0"
    device.crash()
    device.start()
    device.crash()
    assert device.state.current == BUILTIN_ID


def test_crashes_with_another_version_in_between_are_not_in_a_row(device: Device) -> None:
    device.good("1.1.0")
    crash_once(device, ready_first=False)
    crash_once(device, ready_first=False)
    device.offered("1.2.0")
    crash_once(device, ready_first=False)
    crash_once(device, ready_first=False)
    assert device.start() == "v1.1.0"


# --- roll-backs after roll-backs ------------------------------------------------------------------------------------


def test_rolling_back_twice_in_a_row_lands_on_a_good_one(device: Device) -> None:
    device.good("1.1.0")
    device.good("1.2.0")
    device.offered("1.3.0")
    device.start()
    device.crash()
    assert device.state.current == "v1.2.0"
    for _ in range(3):
        crash_once(device, ready_first=False)
    assert device.start() == "v1.1.0"
    assert (device.state.fallback, device.state.previous) == ("v1.1.0", BUILTIN_ID)
    for _ in range(2):
        crash_once(device, ready_first=False)
    device.start()
    assert device.state.install("v1.1.0").crashes == 2
    device.crash()
    assert device.start() == BUILTIN_ID


def test_the_target_of_a_roll_back_is_not_on_trial_again(device: Device) -> None:
    device.good("1.1.0")
    device.offered("1.2.0")
    device.start()
    device.timer()
    for _ in range(6):
        assert device.start() == "v1.1.0"
    assert device.status("v1.1.0") is BundleStatus.SUCCESS


def test_a_bad_version_that_was_queued_too_is_not_opened_again(device: Device) -> None:
    device.good("1.1.0")
    device.offered("1.2.0")
    device.start()
    device.state = replace(device.state, next="v1.2.0")
    device.crash()
    assert device.state.next == ""
    assert device.start() == "v1.1.0"


def test_a_version_queued_while_the_bad_one_ran_opens_next(device: Device) -> None:
    device.offered("1.1.0")
    device.start()
    device.offered("1.2.0")
    device.crash()
    assert device.start() == "v1.2.0"


def test_a_second_copy_of_a_version_is_not_opened_while_the_sentence_of_the_first_runs(device: Device) -> None:
    device.offered("1.1.0")
    device.start()
    device.put("1.1.0", id="copy", by_app=True)
    device.queue("copy", by_app=True)
    device.crash()
    assert device.start() == BUILTIN_ID
    assert device.state.next == ""


def test_a_queued_id_that_is_unknown_is_forgotten(device: Device) -> None:
    device.good("1.1.0")
    device.queue("gone")
    assert device.start() == "v1.1.0"
    assert device.state.next == ""


# --- one more try ---------------------------------------------------------------------------------------------------


def test_soft_evidence_is_forgiven_once_after_a_day_and_then_never(device: Device) -> None:
    device.good("1.1.0")
    device.offered("1.2.0")
    device.start()
    device.timer()
    device.start()
    device.now += DAY - 1
    assert device.offered("1.2.0") == REFUSE
    device.now += 1
    assert device.offered("1.2.0") == ALREADY_HERE
    assert [device.start() for _ in range(4)] == ["v1.2.0", "v1.2.0", "v1.2.0", "v1.1.0"]
    device.now += 10 * YEAR
    assert device.offered("1.2.0") == REFUSE
    assert device.start() == "v1.1.0"


def test_a_second_chance_that_is_used_acquits_for_good(device: Device) -> None:
    device.offered("1.1.0")
    device.start()
    device.timer()
    device.start()
    device.tidy()
    device.now += DAY
    assert device.offered("1.1.0") == FETCH
    device.start()
    device.ready()
    assert device.state.verdicts == ()
    assert device.state.fallback == "v1.1.0"


def test_the_same_version_with_another_checksum_is_another_version(device: Device) -> None:
    device.offered("1.1.0")
    device.start()
    device.crash()
    device.start()
    assert device.offered("1.1.0") == REFUSE
    assert device.offered("1.1.0", "ab" * 32) == FETCH
    assert device.start() == "v1.1.0-abab"


# --- damage ---------------------------------------------------------------------------------------------------------


def test_a_damaged_current_version_is_forgotten_without_a_verdict_and_the_best_good_one_opens(device: Device) -> None:
    device.good("1.1.0")
    device.good("1.2.0")
    assert device.start(unusable=frozenset({"v1.2.0"})) == "v1.1.0"
    assert device.state.install("v1.2.0") is None
    assert device.state.verdicts == ()
    assert device.state.fallback == "v1.1.0"
    assert device.offered("1.2.0") == FETCH


def test_a_damaged_queued_version_is_forgotten_and_the_current_one_opens(device: Device) -> None:
    device.good("1.1.0")
    device.offered("1.2.0")
    assert device.start(unusable=frozenset({"v1.2.0"})) == "v1.1.0"
    assert device.state.next == ""


def test_with_fallback_and_previous_damaged_an_older_good_version_opens_before_the_builtin(device: Device) -> None:
    for version in ("1.1.0", "1.2.0", "1.3.0"):
        device.now += 1
        device.good(version)
    device.put("1.4.0")
    assert device.start(unusable=frozenset({"v1.3.0", "v1.2.0"})) == "v1.1.0"


def test_the_good_version_used_last_comes_before_one_installed_later(device: Device) -> None:
    device.good("1.1.0")
    device.now += 1
    device.good("1.2.0")
    device.good("1.1.0")
    device.good("1.3.0")
    assert device.start(unusable=frozenset({"v1.3.0"})) == "v1.1.0"


def test_a_current_version_that_was_condemned_is_not_opened_however_few_starts_it_had() -> None:
    bad = install("1.2.0", status=BundleStatus.ERROR)
    good = install("1.1.0", confirmed=True)
    state = State(native_version="1.0.0", current=bad.id, fallback=good.id, installs=(bad, good))
    assert boot.choice(state, max_attempts=3, now=NOW).bundle_id == good.id


def test_of_several_older_good_versions_the_newest_install_opens() -> None:
    state = State(
        native_version="1.0.0",
        current="v1.4.0",
        fallback="v1.4.0",
        installs=(
            install("1.2.0", confirmed=True, at=NOW + 1),
            install("1.3.0", confirmed=True, at=NOW + 3),
            install("1.1.0", confirmed=True, at=NOW + 2),
            install("1.4.0", confirmed=True, at=NOW),
            install("1.5.0", at=NOW + 9),
        ),
    )
    choice = boot.choice(state, max_attempts=3, now=NOW, unusable=frozenset({"v1.4.0"}))
    assert choice.bundle_id == "v1.3.0"


def test_with_everything_damaged_the_builtin_opens(device: Device) -> None:
    device.good("1.1.0")
    device.good("1.2.0")
    device.offered("1.3.0")
    everything = frozenset({"v1.1.0", "v1.2.0", "v1.3.0"})
    assert device.start(unusable=everything) == BUILTIN_ID
    state = device.state
    assert (state.installs, state.fallback, state.previous) == ((), BUILTIN_ID, BUILTIN_ID)


def test_damage_found_in_what_runs_opens_another_version_next_and_ready_does_not_bring_it_back(device: Device) -> None:
    device.good("1.1.0")
    device.good("1.2.0")
    device.state = boot.damaged(device.state, "v1.2.0")
    device.ready()
    assert device.start() == "v1.1.0"
    assert device.state.fallback == "v1.1.0"


def test_a_damaged_previous_version_leaves_the_rest_alone(device: Device) -> None:
    device.good("1.1.0")
    device.good("1.2.0")
    device.state = boot.damaged(device.state, "v1.1.0")
    assert (device.state.current, device.state.fallback, device.state.previous) == ("v1.2.0", "v1.2.0", BUILTIN_ID)


# --- where nothing can be written -----------------------------------------------------------------------------------


def last(device: Device, *unusable: str) -> str:
    return boot.last_confirmed(device.state, frozenset(unusable))


def test_what_opens_uncounted_is_never_a_pending_version(device: Device) -> None:
    device.good("1.1.0")
    device.offered("1.2.0")
    assert last(device) == "v1.1.0"
    device.start()
    assert device.state.current == "v1.2.0"
    assert last(device) == "v1.1.0"
    assert last(device, "v1.1.0") == BUILTIN_ID


def test_what_opens_uncounted_is_the_builtin_when_nothing_ever_confirmed(device: Device) -> None:
    device.offered("1.1.0")
    assert last(device) == BUILTIN_ID
    device.start()
    assert last(device) == BUILTIN_ID


def test_a_queued_version_that_confirmed_before_opens_uncounted(device: Device) -> None:
    device.good("1.1.0")
    device.good("1.2.0")
    device.queue("v1.1.0")
    assert last(device) == "v1.1.0"
    assert last(device, "v1.1.0") == "v1.2.0"
    assert last(device, "v1.1.0", "v1.2.0") == BUILTIN_ID


def test_going_back_to_the_builtin_is_done_uncounted_too(device: Device) -> None:
    device.good("1.1.0")
    device.queue(BUILTIN_ID)
    assert last(device) == BUILTIN_ID


def test_an_app_that_was_reset_to_the_builtin_stays_there_uncounted(device: Device) -> None:
    device.good("1.1.0")
    device.queue(BUILTIN_ID)
    device.start()
    assert last(device) == BUILTIN_ID


def test_a_condemned_version_does_not_open_uncounted(device: Device) -> None:
    device.good("1.1.0")
    device.good("1.2.0")
    for _ in range(3):
        crash_once(device, ready_first=False)
    device.state = replace(device.state, next="v1.2.0")
    assert last(device) == "v1.1.0"


# --- back to the builtin, and back and forth ------------------------------------------------------------------------


def test_a_reset_to_the_builtin_keeps_the_good_version_to_fall_back_on_until_the_builtin_says_ready(
    device: Device,
) -> None:
    device.good("1.1.0")
    device.queue(BUILTIN_ID)
    assert device.start() == BUILTIN_ID
    assert device.state.fallback == "v1.1.0"
    device.ready()
    assert (device.state.fallback, device.state.previous) == (BUILTIN_ID, "v1.1.0")


def test_a_channel_that_moves_back_opens_the_earlier_version_without_a_trial(device: Device) -> None:
    device.good("1.1.0")
    device.good("1.2.0")
    assert device.offered("1.1.0") == ALREADY_HERE
    for _ in range(5):
        assert device.start() == "v1.1.0"
    device.ready()
    assert (device.state.fallback, device.state.previous) == ("v1.1.0", "v1.2.0")


# --- an opening that the app's own code refused -----------------------------------------------------------------------


def test_a_refused_reload_leaves_no_trace_of_the_attempt(device: Device) -> None:
    device.good("1.1.0")
    device.put("1.2.0")
    device.queue("v1.2.0")
    before = device.state
    opened = boot.opened(before, "v1.2.0", token="reload")
    assert opened.install("v1.2.0").attempts == 1
    restored = boot.restored(opened, before, "v1.2.0")
    assert restored.install("v1.2.0").attempts == 0
    assert (restored.current, restored.next, restored.launch) == ("v1.1.0", "v1.2.0", before.launch)


# --- a new installer ------------------------------------------------------------------------------------------------


def device_before_the_installer() -> Device:
    device = Device()
    device.good("1.1.0")
    device.good("2.5.0")
    device.offered("2.6.0")
    device.start()
    device.crash()
    device.start()
    device.offered("2.7.0")
    device.state = replace(device.state, schedule=replace(device.state.schedule, hold=True, written_at=NOW))
    return device


@pytest.mark.parametrize("native", ["2.0.0", "0.9.0"])
def test_a_new_installer_starts_from_its_own_builtin_and_clears_the_verdicts(native: str) -> None:
    device = device_before_the_installer()
    device.native = native
    assert device.start() == BUILTIN_ID
    state = device.state
    assert (state.native_version, state.installs, state.verdicts, state.next) == (native, (), (), "")
    assert (state.fallback, state.previous) == (BUILTIN_ID, BUILTIN_ID)
    assert device.decide("2.6.0").action == FETCH


def test_a_new_installer_keeps_the_schedule_and_the_newest_version_ever_confirmed() -> None:
    device = device_before_the_installer()
    device.native = "2.0.0"
    device.start()
    assert device.state.schedule.hold
    assert device.state.newest_confirmed == "2.5.0"


def test_a_new_installer_is_noticed_once() -> None:
    state = State(native_version="1.0.0")
    state, is_new = boot.arrived(state, native_version="1.1.0", now=NOW, reset_when_update=True)
    assert is_new
    assert boot.arrived(state, native_version="1.1.0", now=NOW, reset_when_update=True) == (state, False)


def test_without_reset_when_update_versions_not_older_than_the_new_builtin_stay() -> None:
    device = Device()
    device.reset_when_update = False
    device.good("1.1.0")
    device.good("2.0.0")
    device.good("2.5.0")
    device.native = "2.0.0"
    assert device.start() == "v2.5.0"
    assert {install.version for install in device.state.installs} == {"2.0.0", "2.5.0"}
    assert (device.state.fallback, device.state.previous) == ("v2.5.0", "v2.0.0")
    assert device.state.native_version == "2.0.0"


def test_without_reset_when_update_an_older_current_version_gives_way_to_the_new_builtin() -> None:
    device = Device()
    device.reset_when_update = False
    device.good("1.1.0")
    device.native = "2.0.0"
    assert device.start() == BUILTIN_ID
    assert (device.state.installs, device.state.fallback) == ((), BUILTIN_ID)


# --- the clock ------------------------------------------------------------------------------------------------------


def soft_failure(device: Device) -> None:
    device.offered("1.1.0")
    device.start()
    device.timer()
    device.start()


def test_a_clock_set_back_a_year_makes_a_soft_sentence_last_a_day_from_then(device: Device) -> None:
    soft_failure(device)
    device.now -= YEAR
    device.start()
    assert device.decide("1.1.0").action == REFUSE
    device.now += DAY - 1
    assert device.decide("1.1.0").action == REFUSE
    device.now += 1
    assert device.decide("1.1.0").action == ALREADY_HERE


def test_a_clock_set_forward_a_year_ends_a_soft_sentence_and_no_hard_one(device: Device) -> None:
    soft_failure(device)
    device.offered("1.2.0")
    device.start()
    device.crash()
    device.now += YEAR
    device.start()
    assert device.decide("1.1.0").action == ALREADY_HERE
    assert device.decide("1.2.0").action == REFUSE


def test_a_start_with_the_clock_set_back_drops_the_waiting_times_for_good(device: Device) -> None:
    plan = replace(device.state.schedule, not_before=NOW + DAY, retry_after=NOW + DAY, written_at=NOW)
    device.state = replace(device.state, schedule=plan)
    device.now = NOW - DAY
    device.start()
    device.now = NOW + 1
    device.start()
    assert may_ask(device.state.schedule, NOW + 1, launch=False)


def test_the_clock_has_no_part_in_counting_starts(device: Device) -> None:
    device.offered("1.1.0")
    device.start()
    device.now -= YEAR
    device.start()
    device.now += 2 * YEAR
    device.start()
    assert device.start() == BUILTIN_ID


def test_a_verdict_from_the_future_stays_what_it_is(device: Device) -> None:
    verdict = Verdict(version="1.1.0", checksum="c", hard=True, at=NOW + YEAR, strikes=2)
    state = replace(device.state, verdicts=(verdict,))
    state, _ = boot.arrived(state, native_version="1.0.0", now=NOW, reset_when_update=True)
    assert state.verdicts == (replace(verdict, at=NOW),)
