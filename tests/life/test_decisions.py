from __future__ import annotations

from dataclasses import replace

import pytest
from device import DAY, NOW, Device, install, offer

from capgo_client.bundle import BUILTIN_ID, BundleStatus
from capgo_client.life import decide, verdicts
from capgo_client.life.decide import ALREADY_HERE, FETCH, NO_NEED, REFUSE
from capgo_client.life.state import State, Verdict


@pytest.fixture
def device() -> Device:
    return Device()


# --- what is offered ------------------------------------------------------------------------------------------------


def test_a_new_version_is_fetched(device: Device) -> None:
    assert device.decide("1.1.0").action == FETCH


def test_the_version_that_runs_needs_nothing(device: Device) -> None:
    device.good("1.1.0")
    assert device.decide("1.1.0").action == NO_NEED


def test_the_version_that_runs_needs_nothing_even_when_it_was_just_rolled_back(device: Device) -> None:
    device.offered("1.1.0")
    device.start()
    device.timer()
    assert device.decide("1.1.0").action == NO_NEED


def test_a_version_on_disk_is_used_and_named(device: Device) -> None:
    device.good("1.1.0")
    device.good("1.2.0")
    decision = device.decide("1.1.0")
    assert (decision.action, decision.bundle_id) == (ALREADY_HERE, "v1.1.0")


def test_a_version_on_disk_with_another_checksum_is_fetched(device: Device) -> None:
    device.put("1.1.0")
    assert device.decide("1.1.0", "ab" * 32).action == FETCH


def test_a_version_that_failed_here_is_refused_even_when_it_is_on_disk(device: Device) -> None:
    device.offered("1.1.0")
    device.start()
    device.crash()
    device.start()
    assert device.state.install("v1.1.0") is not None
    decision = device.decide("1.1.0")
    assert (decision.action, decision.code) == (REFUSE, "failed_before")
    assert "1.1.0" in decision.message


def test_a_soft_refusal_says_that_there_will_be_another_try(device: Device) -> None:
    device.offered("1.1.0")
    device.start()
    device.timer()
    device.start()
    assert "once more" in device.decide("1.1.0").message
    device.now += DAY
    device.offered("1.1.0")
    device.start()
    device.timer()
    device.start()
    assert "another release" in device.decide("1.1.0").message


def test_a_copy_fetched_anew_is_used_rather_than_the_damaged_one_it_replaces(device: Device) -> None:
    device.good("1.1.0")
    device.good("1.2.0")
    device.now += 60
    device.put("1.1.0", id="fresh-copy")
    assert device.decide("1.1.0").bundle_id == "fresh-copy"


def test_a_copy_that_is_queued_is_used_rather_than_any_other(device: Device) -> None:
    device.queue(device.put("1.1.0"))
    device.now += 60
    device.put("1.1.0", id="by-the-app")
    assert device.decide("1.1.0").bundle_id == "v1.1.0"


# --- how far back (decision 11) ---------------------------------------------------------------------------------------

BUILTIN_AT_2 = State(native_version="2.0.0", newest_confirmed="3.0.0")


def refusal_code(version: str, allow: bool | str, *, state: State = BUILTIN_AT_2, builtin: str = "2.0.0") -> str:
    refusal = verdicts.downgrade_refusal(state, version, builtin_version=builtin, allow=allow)
    return "" if refusal is None else refusal.code


@pytest.mark.parametrize(
    ("version", "above_builtin", "never"),
    [
        ("1.9.9", "downgrade_refused", "downgrade_refused"),
        ("2.0.0-beta.1", "downgrade_refused", "downgrade_refused"),
        ("2.0.0", "", "downgrade_refused"),
        ("2.5.0", "", "downgrade_refused"),
        ("3.0.0-rc.1", "", "downgrade_refused"),
        ("3.0.0", "", ""),
        ("3.0.0+build.2", "", ""),
        ("3.0.1", "", ""),
        ("nightly", "version_not_comparable", "version_not_comparable"),
        ("1.4.0rc1", "version_not_comparable", "version_not_comparable"),
        ("1.2.3.4", "version_not_comparable", "version_not_comparable"),
        ("", "version_not_comparable", "version_not_comparable"),
    ],
)
def test_how_far_back_a_version_may_go(version: str, above_builtin: str, never: str) -> None:
    assert refusal_code(version, "above_builtin") == above_builtin
    assert refusal_code(version, False) == never
    assert refusal_code(version, True) == ""


def test_without_any_confirmed_version_only_the_builtin_is_the_floor() -> None:
    state = State(native_version="2.0.0")
    assert refusal_code("2.0.0", False, state=state) == ""
    assert refusal_code("1.9.9", False, state=state) == "downgrade_refused"


def test_what_cannot_be_compared_with_what_was_confirmed_is_refused() -> None:
    state = State(native_version="2.0.0", newest_confirmed="nightly")
    assert refusal_code("9.0.0", False, state=state) == "version_not_comparable"
    assert refusal_code("9.0.0", "above_builtin", state=state) == ""


def test_an_offer_that_goes_back_too_far_is_refused(device: Device) -> None:
    assert device.decide("0.9.0").code == "downgrade_refused"
    device.allow_downgrade = True
    assert device.decide("0.9.0").action == FETCH


def test_a_move_back_above_the_builtin_is_an_update_like_any_other(device: Device) -> None:
    device.good("1.1.0")
    device.good("1.2.0")
    assert device.decide("1.1.0").action == ALREADY_HERE
    device.allow_downgrade = False
    assert device.decide("1.1.0").code == "downgrade_refused"


def test_allowing_downgrades_does_not_bring_back_what_failed(device: Device) -> None:
    device.allow_downgrade = True
    device.offered("1.1.0")
    device.start()
    device.crash()
    device.start()
    assert device.decide("1.1.0").code == "failed_before"


def test_the_newest_confirmed_version_does_not_go_down_with_a_downgrade(device: Device) -> None:
    device.good("1.2.0")
    device.good("1.1.0")
    assert device.state.newest_confirmed == "1.2.0"


@pytest.mark.parametrize(
    ("known", "version", "newest"),
    [
        ("", "1.0.0", "1.0.0"),
        ("1.0.0", "1.0.1", "1.0.1"),
        ("1.0.1", "1.0.0", "1.0.1"),
        ("1.9.0", "1.10.0", "1.10.0"),
        ("1.0.0", "nightly", "1.0.0"),
    ],
)
def test_the_newer_of_two_versions(known: str, version: str, newest: str) -> None:
    assert verdicts.newest(known, version) == newest


# --- back to the builtin --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("current", "queued", "allow", "action"),
    [
        (BUILTIN_ID, "", "above_builtin", NO_NEED),
        (BUILTIN_ID, BUILTIN_ID, "above_builtin", NO_NEED),
        (BUILTIN_ID, "v1.1.0", "above_builtin", ALREADY_HERE),
        ("v1.1.0", "", "above_builtin", ALREADY_HERE),
        ("v1.1.0", BUILTIN_ID, True, ALREADY_HERE),
        ("v1.1.0", "", False, REFUSE),
        (BUILTIN_ID, "", False, NO_NEED),
        (BUILTIN_ID, "v1.1.0", False, REFUSE),
    ],
)
def test_what_going_back_to_the_builtin_needs(current: str, queued: str, allow: bool | str, action: str) -> None:
    state = State(native_version="1.0.0", current=current, next=queued, installs=(install("1.1.0", confirmed=True),))
    decision = decide.on_builtin(state, allow_downgrade=allow)
    assert decision.action == action
    assert decision.bundle_id == (BUILTIN_ID if action == ALREADY_HERE else "")


# --- queueing -------------------------------------------------------------------------------------------------------


def test_queueing_remembers_whether_the_app_asked_for_it(device: Device) -> None:
    device.put("1.1.0")
    device.queue("v1.1.0", by_app=True)
    assert (device.state.next, device.state.next_by_app) == ("v1.1.0", True)
    device.queue("v1.1.0")
    assert (device.state.next, device.state.next_by_app) == ("v1.1.0", False)


def test_queueing_what_is_current_takes_back_what_was_queued(device: Device) -> None:
    device.good("1.1.0")
    device.put("1.2.0")
    device.queue("v1.2.0", by_app=True)
    device.queue("v1.1.0")
    assert (device.state.next, device.state.next_by_app) == ("", False)


def test_unqueueing_leaves_nothing_queued_and_the_rest_alone(device: Device) -> None:
    device.good("1.1.0")
    before = device.state
    device.put("1.2.0")
    with_install = device.state
    device.queue("v1.2.0", by_app=True)
    assert decide.unqueued(device.state) == with_install
    assert decide.unqueued(before) is before


def test_what_the_service_queued_is_withdrawn_when_the_channel_goes_back_to_what_runs(device: Device) -> None:
    device.good("1.1.0")
    device.put("1.2.0")
    without = device.state
    device.queue("v1.2.0")
    assert decide.withdrawn(device.state, running_version="1.1.0") == without
    assert decide.withdrawn(device.state, running_version="1.2.0") is device.state
    device.queue("v1.2.0", by_app=True)
    assert decide.withdrawn(device.state, running_version="1.1.0") is device.state
    assert decide.withdrawn(without, running_version="1.1.0") is without


def test_opening_forgets_who_queued_it(device: Device) -> None:
    device.put("1.1.0")
    device.queue("v1.1.0", by_app=True)
    device.start()
    assert (device.state.next, device.state.next_by_app) == ("", False)


def test_queueing_a_version_whose_sentence_is_served_gives_it_a_clean_count(device: Device) -> None:
    device.put("1.1.0", status=BundleStatus.ERROR, attempts=3, crashes=3)
    device.queue("v1.1.0")
    assert device.state.install("v1.1.0") == install("1.1.0")


def test_queueing_does_not_touch_the_count_of_a_version_on_trial(device: Device) -> None:
    device.put("1.1.0", attempts=2)
    device.queue("v1.1.0")
    assert device.attempts("v1.1.0") == 2


def test_switching_to_what_is_current_queues_it_anew(device: Device) -> None:
    device.good("1.1.0")
    assert decide.queued_for_switch(device.state, "v1.1.0").next == "v1.1.0"


# --- verdicts -------------------------------------------------------------------------------------------------------


def condemned(state: State, *, hard: bool, now: float = NOW, version: str = "1.1.0") -> State:
    return verdicts.condemned(state, version=version, checksum="c", hard=hard, now=now)


def is_refused(state: State, *, now: float, version: str = "1.1.0", checksum: str = "c") -> bool:
    return verdicts.failed_before(state, version=version, checksum=checksum, now=now) is not None


FRESH = State(native_version="1.0.0")


def test_nothing_is_held_against_a_version_that_was_never_tried() -> None:
    assert not is_refused(FRESH, now=NOW)


def test_a_soft_verdict_lasts_a_day_the_first_time() -> None:
    state = condemned(FRESH, hard=False)
    assert is_refused(state, now=NOW + DAY - 1)
    assert not is_refused(state, now=NOW + DAY)


def test_a_second_soft_verdict_is_for_good() -> None:
    state = condemned(condemned(FRESH, hard=False), hard=False, now=NOW + DAY)
    assert is_refused(state, now=NOW + 1000 * DAY)


def test_a_hard_verdict_is_for_good_and_a_soft_one_does_not_soften_it() -> None:
    state = condemned(FRESH, hard=True)
    assert is_refused(state, now=NOW + 1000 * DAY)
    state = condemned(state, hard=False, now=NOW + DAY)
    assert state.verdicts == (Verdict(version="1.1.0", checksum="c", hard=True, at=NOW + DAY, strikes=2),)


def test_a_verdict_is_of_one_version_and_one_checksum() -> None:
    state = condemned(FRESH, hard=True)
    assert not is_refused(state, now=NOW, checksum="d")
    assert not is_refused(state, now=NOW, version="1.1.1")


def test_an_acquittal_clears_this_verdict_and_no_other() -> None:
    state = condemned(condemned(FRESH, hard=True), hard=True, version="1.2.0")
    state = verdicts.acquitted(state, version="1.1.0", checksum="c")
    assert [verdict.version for verdict in state.verdicts] == ["1.2.0"]
    assert verdicts.acquitted(state, version="1.1.0", checksum="c") is state


def test_verdicts_are_bounded_and_the_newest_stay() -> None:
    state = FRESH
    for number in range(200):
        state = condemned(state, hard=True, version=f"1.{number}.0")
    assert len(state.verdicts) == verdicts.MAX_VERDICTS
    assert is_refused(state, now=NOW, version="1.199.0")
    state = condemned(state, hard=True, version="1.136.0")
    assert state.verdicts[-1].version == "1.136.0"
    assert state.verdicts[-1].strikes == 2


def test_settling_touches_only_verdicts_from_the_future() -> None:
    state = condemned(condemned(FRESH, hard=False, now=NOW - 5), hard=False, now=NOW + 5, version="1.2.0")
    assert [verdict.at for verdict in verdicts.settled(state, NOW).verdicts] == [NOW - 5, NOW]
    assert verdicts.settled(state, NOW + 5) is state


def test_an_offer_without_a_checksum_is_no_copy_of_a_version_that_has_one(device: Device) -> None:
    device.put("1.1.0")
    state = replace(device.state)
    decision = decide.on_update(
        state,
        offer("1.1.0", ""),
        running_version="1.0.0",
        builtin_version="1.0.0",
        allow_downgrade="above_builtin",
        now=NOW,
    )
    assert decision.action == FETCH
