"""The stage itself, and the faults of the clock, of the app and of another process."""

from __future__ import annotations

import time

import pytest

from capgo_client import ClosedError
from capgo_client.seams import Clock
from capgo_client.testing import FAULTS, BundleKeys, FakeClock, Service, make_bundle
from capgo_client.testing.stage import BEHAVIOURS, Stage

YEAR = 365 * 86400.0


@pytest.fixture
def clock():
    return FakeClock(wall=1_900_000_000.0)


@pytest.fixture
def stage(tmp_path, clock):
    with Stage(tmp_path, clock=clock) as made:
        yield made


def settle(stage, **options):
    updater = stage.launch(**options)
    assert updater.wait(10)
    return updater


def bring(stage, version):
    """Publish a version and have it queued."""
    stage.publish(version)
    assert settle(stage).next_bundle.version == version
    stage.end_launch()


# The stage


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("keys", [None, BundleKeys.generate()], ids=["plain", "signed"])
def test_a_stage_updates_its_app_from_launch_to_launch(tmp_path, tls, keys):
    with Stage(tmp_path, tls=tls, keys=keys) as stage:
        bring(stage, "1.1.0")
        assert settle(stage).current.version == "1.1.0"
        assert stage.options["update_url"].startswith("https" if tls else "http:")
    assert stage.made == []


def test_a_stage_uses_the_service_that_it_is_given_and_leaves_it_running(tmp_path):
    with Service() as service:
        with Stage(tmp_path, service=service, version="2.0.0") as stage:
            assert stage.launch().current.version == "2.0.0"
            bring(stage, "2.1.0")
        assert service.checks
        assert service.url


def test_options_of_one_launch_go_over_those_of_the_stage(stage):
    stage.options["app_ready_timeout"] = 5
    updater = stage.updater(auto_update="off", app_ready_timeout=7)
    assert updater._engine.config.app_ready_timeout == 7
    assert stage.updater()._engine.config.app_ready_timeout == 5


def test_an_unknown_behaviour_is_refused_with_those_that_exist(stage):
    stage.behaviour = "sleep"
    with pytest.raises(ValueError, match=", ".join(BEHAVIOURS)):
        stage.launch()


def test_replaced_options_come_back_and_new_ones_go(stage):
    before = dict(stage.options)
    with stage.replaced(version="3.0.0", proxy="http://127.0.0.1:1"):
        assert (stage.options["version"], stage.options["proxy"]) == ("3.0.0", "http://127.0.0.1:1")
    assert stage.options == before


# The app


#: What a new version that behaves so is after its launch, and what the launch after that opens.
AFTER = {
    "app-crashes": ("1.1.0", "1.0.0", True),
    "app-hangs": ("1.1.0", "1.1.0", False),
    "app-killed": ("1.1.0", "1.1.0", False),
    "app-stale": ("1.1.0", "1.1.0", False),
}


@pytest.mark.parametrize("name", AFTER)
def test_a_new_version_that_does_not_get_ready_is_not_confirmed(stage, name):
    bring(stage, "1.1.0")
    opened, then, failed = AFTER[name]
    with FAULTS[name].arrange(stage):
        updater = stage.updater()
        assert updater.start().version == opened
        stage.behave(updater)
        stage.end_launch()
    assert stage.behaviour == "ready"
    updater = stage.updater(update_url="")
    assert updater.start().version == then
    assert updater.fallback.version == "1.0.0"
    assert (updater.failed_update() is not None) is failed


@pytest.mark.parametrize("name", ["app-hangs", "app-killed", "app-stale"])
def test_after_three_such_starts_the_one_before_opens(stage, name):
    bring(stage, "1.1.0")
    with FAULTS[name].arrange(stage):
        for _ in range(3):
            updater = stage.updater(update_url="")
            assert updater.start().version == "1.1.0"
            stage.behave(updater)
            stage.end_launch()
    assert stage.launch(update_url="").current.version == "1.0.0"


def test_an_app_that_is_late_has_been_rolled_back_by_its_timer_and_is_acquitted_when_it_speaks(stage, monkeypatch):
    bring(stage, "1.1.0")
    failed, before = [], stage.clock.monotonic()
    with FAULTS["app-late"].arrange(stage):
        updater = stage.updater(update_url="")
        assert updater.start().version == "1.1.0"
        speak = updater.notify_app_ready
        monkeypatch.setattr(updater, "notify_app_ready", lambda: (failed.append(updater.failed_update()), speak()))
        stage.behave(updater)
        assert stage.clock.monotonic() == before + 11.0
        assert failed[0].version == "1.1.0"
        stage.end_launch()
    updater = stage.launch(update_url="")
    assert updater.current.version == "1.1.0"
    assert updater.fallback.version == "1.1.0"


def test_on_a_real_clock_being_late_takes_as_long_as_it_says(tmp_path):
    with Stage(tmp_path, app_ready_timeout=0.05) as stage, FAULTS["app-late"].arrange(stage):
        began = time.monotonic()
        stage.launch(update_url="", stats_url="")
        assert 1.0 < time.monotonic() - began < 5


def test_a_killed_app_leaves_its_updater_closed_and_no_lock_behind(stage):
    files = stage.files
    with FAULTS["app-killed"].arrange(stage):
        updater = stage.launch()
        with pytest.raises(ClosedError):
            updater.bundles()
    assert stage.made == []
    assert files.is_stopped
    assert not stage.files.is_stopped
    assert settle(stage).explain().answer


def test_what_the_app_does_is_drawn_once(stage):
    with FAULTS["app-crashes"].arrange(stage, probability=0.0):
        assert stage.behaviour == "ready"
    with FAULTS["app-crashes"].arrange(stage, probability=1.0):
        assert stage.behaviour == "crash"


# The clock


@pytest.mark.parametrize(("name", "seconds"), [("clock-back", -YEAR), ("clock-forward", YEAR)])
def test_a_clock_is_set_before_the_launch_and_right_again_after_it(stage, clock, name, seconds):
    with FAULTS[name].arrange(stage):
        assert clock.wall() == 1_900_000_000.0 + seconds
        clock.advance(5)
        stage.launch()
        stage.end_launch()
    assert clock.wall() == 1_900_000_005.0


@pytest.mark.parametrize(("name", "seconds"), [("clock-back-running", -YEAR), ("clock-forward-running", YEAR)])
def test_a_clock_is_set_once_the_app_runs(stage, clock, name, seconds):
    with FAULTS[name].arrange(stage):
        updater = stage.updater()
        assert clock.wall() == 1_900_000_000.0
        updater.start()
        assert clock.wall() == 1_900_000_000.0 + seconds
        updater.start()
        assert clock.wall() == 1_900_000_000.0 + seconds
        stage.end_launch()
    assert clock.wall() == 1_900_000_000.0


@pytest.mark.parametrize("name", ["clock-back", "clock-forward"])
def test_a_real_clock_is_shifted_for_what_starts_inside_the_block(tmp_path, name):
    clock = Clock()
    with Stage(tmp_path, clock=clock) as stage:
        with FAULTS[name].arrange(stage):
            shifted = stage.options["clock"]
            assert abs(abs(shifted.wall() - clock.wall()) - YEAR) < 5
            assert abs(shifted.monotonic() - clock.monotonic()) < 5
            assert stage.launch().current.version == "1.0.0"
        assert stage.options["clock"] is clock
        assert abs(shifted.wall() - clock.wall()) < 5


@pytest.mark.parametrize("name", ["clock-back", "clock-forward", "clock-back-running", "clock-forward-running"])
def test_updates_come_whatever_the_clock_says(stage, name):
    with FAULTS[name].arrange(stage):
        bring(stage, "1.1.0")
        assert settle(stage).current.version == "1.1.0"
        stage.end_launch()
    assert settle(stage).current.version == "1.1.0"


# Another process


def test_another_process_holds_the_app_and_ours_decides_nothing(stage):
    stage.publish("1.1.0")
    with FAULTS["two-processes"].arrange(stage):
        updater = settle(stage)
        assert updater.current.version == "1.0.0"
        assert updater.next_bundle is None
        assert stage.service.checks == []
        stage.end_launch()
    assert settle(stage).next_bundle.version == "1.1.0"


def test_another_process_that_cannot_open_the_app_is_an_error_and_not_a_fault(stage, capfd):
    stage.options["app_id"] = "not an app id"
    with pytest.raises(RuntimeError, match="second process"), FAULTS["two-processes"].arrange(stage):
        pass
    assert "app_id" in capfd.readouterr().err


# Faults of the service, on a stage


def test_a_fault_of_the_service_holds_inside_the_block_at_the_endpoint_that_it_is_for(stage):
    stage.publish("1.1.0")
    with FAULTS["http-404"].arrange(stage, on="download"):
        updater = settle(stage)
        assert updater.explain().answer == "update"
        assert updater.next_bundle is None
        stage.end_launch()
    assert settle(stage).next_bundle.version == "1.1.0"


def test_a_fault_of_the_service_can_be_for_the_second_check_alone(stage):
    with FAULTS["http-503"].arrange(stage, nth=2):
        codes = [settle(stage).explain().answer_code for _ in range(3)]
    assert codes == ["no_channel", "response_error", "no_channel"]


def test_everything_that_speaks_for_the_service_is_one_endpoint(service, client):
    bundle = make_bundle("1.1.0", {"main.py": "1"})
    url = service.store("a.zip", bundle.archive)
    with service.fault("http-503", on="plugin"):
        for asked in (service.update_url, f"{service.update_url}/manifest_size", service.stats_url):
            assert client.post(asked, json={}).status_code == 503
        assert client.get(url).status_code == 200
    service.answer(418, on="plugin")
    assert client.post(service.stats_url, json={}).status_code == 418
    assert client.get(url).status_code == 200
