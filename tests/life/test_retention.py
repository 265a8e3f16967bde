from __future__ import annotations

from dataclasses import replace

import pytest
from device import NOW, Device, install

from capgo_client.bundle import BUILTIN_ID, BundleStatus
from capgo_client.life.retention import MAX_BY_APP, expendable, forgotten
from capgo_client.life.state import State


@pytest.fixture
def device() -> Device:
    return Device()


def test_the_version_before_the_current_one_stays_until_the_next_confirms(device: Device) -> None:
    device.good("1.1.0")
    device.good("1.2.0")
    assert device.tidy() == frozenset()
    device.offered("1.3.0")
    assert device.tidy() == frozenset()
    device.start()
    assert device.tidy() == frozenset()
    device.ready()
    assert device.tidy() == {"v1.1.0"}
    assert (device.state.fallback, device.state.previous) == ("v1.3.0", "v1.2.0")


@pytest.mark.parametrize("role", ["current", "next", "fallback", "previous"])
def test_nothing_that_has_a_role_is_removed(role: str) -> None:
    state = State(native_version="1.0.0", installs=(install("1.1.0"), install("1.2.0")))
    assert expendable(state, in_use=frozenset()) == {"v1.1.0", "v1.2.0"}
    assert expendable(replace(state, **{role: "v1.1.0"}), in_use=frozenset()) == {"v1.2.0"}


def test_what_runs_is_not_removed_even_when_it_was_rolled_back(device: Device) -> None:
    device.offered("1.1.0")
    device.start()
    device.timer()
    assert device.tidy() == frozenset()
    device.ready()
    assert device.start() == "v1.1.0"


def test_a_condemned_version_goes_once_it_no_longer_runs_and_its_verdict_stays(device: Device) -> None:
    device.offered("1.1.0")
    device.start()
    device.crash()
    device.start()
    assert device.tidy() == {"v1.1.0"}
    assert device.state.install("v1.1.0") is None
    assert device.decide("1.1.0").code == "failed_before"
    assert device.state.failed is not None


def test_what_the_app_downloaded_itself_stays_within_a_bound() -> None:
    made = tuple(install(f"1.{number}.0", at=NOW + number, by_app=True) for number in range(12))
    state = State(native_version="1.0.0", installs=made[6:] + made[:6])
    gone = expendable(state, in_use=frozenset())
    assert len(made) - len(gone) == MAX_BY_APP == 8
    assert gone == {"v1.0.0", "v1.1.0", "v1.2.0", "v1.3.0"}


def test_what_the_app_downloaded_and_failed_does_not_stay() -> None:
    bad = install("1.1.0", by_app=True, status=BundleStatus.ERROR)
    state = State(native_version="1.0.0", installs=(bad,))
    assert expendable(state, in_use=frozenset()) == {"v1.1.0"}


def test_failed_ones_take_no_place_from_those_that_stay() -> None:
    bad = tuple(install(f"2.{n}.0", at=NOW + 100 + n, by_app=True, status=BundleStatus.ERROR) for n in range(8))
    state = State(native_version="1.0.0", installs=(*bad, install("1.1.0", by_app=True)))
    assert "v1.1.0" not in expendable(state, in_use=frozenset())


def test_forgetting_what_is_pointed_at_points_at_the_builtin() -> None:
    state = State(
        native_version="1.0.0",
        current="v1.2.0",
        next="v1.3.0",
        fallback="v1.2.0",
        previous="v1.1.0",
        installs=tuple(install(version, confirmed=True) for version in ("1.1.0", "1.2.0", "1.3.0")),
    )
    state = forgotten(state, frozenset({"v1.1.0", "v1.2.0", "v1.3.0"}))
    assert (state.current, state.next, state.fallback, state.previous) == (BUILTIN_ID, "", BUILTIN_ID, BUILTIN_ID)
    assert state.installs == ()


def test_the_same_version_is_not_kept_twice_as_fallback_and_previous() -> None:
    one = install("1.1.0", confirmed=True)
    state = State(native_version="1.0.0", current=one.id, fallback=one.id, previous=one.id, installs=(one,))
    assert forgotten(state, frozenset()).previous == BUILTIN_ID


def test_forgetting_nothing_changes_nothing(device: Device) -> None:
    device.good("1.1.0")
    assert forgotten(device.state, frozenset()) == device.state
