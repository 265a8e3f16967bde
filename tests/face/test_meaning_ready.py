"""``notify_app_ready()``, the ready timer, crashes and the start counter (section 4; decisions 7, 8; promise P5)."""

from __future__ import annotations

import threading

import pytest
from children import in_child
from hearing import Heard

from capgo_client import BundleStatus
from capgo_client.testing import FakeClock

pytestmark = pytest.mark.promise(5)

DAY = 24 * 3600.0


@pytest.fixture
def clock():
    return FakeClock()


def _status(updater, version):
    return next(bundle.status for bundle in updater.bundles() if bundle.version == version)


# --- notify_app_ready -----------------------------------------------------------------------------------------------


def test_ready_makes_the_version_the_one_to_fall_back_on(app):
    app.queue("1.5.0")
    updater = app.launch(update_url="")
    updater.notify_app_ready()
    assert updater.fallback.version == "1.5.0"
    assert updater.current.status is BundleStatus.SUCCESS
    assert _status(updater, "1.5.0") is BundleStatus.SUCCESS


def test_ready_is_idempotent(app):
    app.queue("1.5.0")
    updater = app.launch(update_url="")
    heard = Heard(updater)
    for _ in range(3):
        updater.notify_app_ready()
    written = (app.data / "state.json").read_bytes()
    updater.notify_app_ready()
    assert (app.data / "state.json").read_bytes() == written
    heard.wait("app_ready")
    updater.set_next("builtin")
    heard.wait("set_next")  # events keep their order: no second app_ready came before this one
    assert heard.names == ["set", "app_ready", "set_next"]


def test_ready_may_be_said_from_any_thread(app):
    app.queue("1.5.0")
    updater = app.launch(update_url="")
    thread = threading.Thread(target=updater.notify_app_ready)
    thread.start()
    thread.join(5)
    assert updater.fallback.version == "1.5.0"


def test_ready_before_start_is_without_effect(app):
    app.queue("1.5.0")
    updater = app.updater(update_url="")
    updater.notify_app_ready()
    updater.start()
    assert updater.fallback.is_builtin
    assert updater.current.status is BundleStatus.PENDING


def test_ready_after_close_is_without_effect(app):
    app.queue("1.5.0")
    updater = app.launch(update_url="")
    updater.close()
    updater.notify_app_ready()
    assert app.launch(update_url="").fallback.is_builtin


def test_ready_of_the_builtin_is_fine(app):
    updater = app.launch(update_url="")
    updater.notify_app_ready()
    assert updater.fallback.is_builtin


def test_a_launch_of_before_cannot_confirm_what_a_later_one_opened(app):
    app.queue("1.5.0")
    old = app.launch(update_url="")
    old._engine._primary.release()  # as if that process had hung and lost its place
    new = app.updater(update_url="")
    assert new.start().version == "1.5.0"
    old.notify_app_ready()
    assert new.fallback.is_builtin
    new.notify_app_ready()
    assert new.fallback.version == "1.5.0"


def test_a_launch_of_before_cannot_condemn_what_a_later_one_opened(app):
    app.queue("1.5.0")
    old = app.launch(update_url="")
    old._engine._primary.release()
    new = app.updater(update_url="")
    new.start()
    old.report_crash(ValueError("late"))
    assert new.failed_update() is None


def test_a_launch_of_before_cannot_confirm_another_version_that_it_did_not_run(app):
    app.queue("1.5.0")
    old = app.launch()
    app.publish("1.6.0")
    assert old.wait(10)
    old._engine._primary.release()
    new = app.updater(update_url="")
    assert new.start().version == "1.6.0"
    old.notify_app_ready()
    assert _status(new, "1.6.0") is BundleStatus.PENDING


# --- the ready timer ------------------------------------------------------------------------------------------------


def test_a_version_that_does_not_say_ready_in_time_is_rolled_back_at_once(app, clock):
    app.queue("1.5.0", clock=clock)
    updater = app.launch(clock=clock, update_url="", app_ready_timeout=10.0)
    heard = Heard(updater)
    clock.wait_for_sleepers(2)  # the worker and the timer
    clock.advance(10.0)
    failed = heard.wait("update_failed")
    assert (failed.bundle.version, failed.bundle.status) == ("1.5.0", BundleStatus.ERROR)
    assert updater.current.version == "1.5.0"
    updater = app.launch(clock=clock, update_url="")
    assert updater.current.is_builtin
    assert updater.failed_update().version == "1.5.0"


def test_a_version_has_all_of_its_time(app, clock):
    app.queue("1.5.0", clock=clock)
    updater = app.launch(clock=clock, update_url="", app_ready_timeout=10.0)
    heard = Heard(updater)
    clock.wait_for_sleepers(2)
    clock.advance(9.99)
    updater.notify_app_ready()
    heard.wait("app_ready")
    clock.advance(60.0)
    assert updater.fallback.version == "1.5.0"
    assert heard.names == ["set", "app_ready"]


def test_ready_late_but_in_the_same_launch_cancels_the_roll_back(app, clock):
    app.queue("1.5.0", clock=clock)
    updater = app.launch(clock=clock, update_url="")
    heard = Heard(updater)
    clock.wait_for_sleepers(2)
    clock.advance(10.0)
    heard.wait("update_failed")
    updater.notify_app_ready()
    heard.wait("app_ready")
    assert updater.fallback.version == "1.5.0"
    assert updater.failed_update() is None
    assert updater.current.status is BundleStatus.SUCCESS
    assert app.launch(clock=clock, update_url="").current.version == "1.5.0"


def test_ready_after_the_app_reloaded_the_good_version_confirms_that_one_only(app, clock):
    app.install("1.5.0", clock=clock)
    app.queue("1.6.0", clock=clock)
    shown = []
    updater = app.launch(clock=clock, update_url="", reload=lambda bundle: shown.append(bundle.version))
    heard = Heard(updater)
    clock.wait_for_sleepers(2)
    clock.advance(10.0)
    assert heard.wait("app_reloaded").bundle.version == "1.5.0"
    assert [event.version for event in heard.events if event.name == "set"] == ["1.6.0", "1.5.0"]
    assert shown == ["1.5.0"]
    assert updater.current.version == "1.5.0"
    updater.notify_app_ready()
    assert updater.fallback.version == "1.5.0"
    assert updater.failed_update().version == "1.6.0"


def test_ready_never_undoes_a_crash(app):
    app.queue("1.5.0")
    updater = app.launch(update_url="")
    updater.report_crash(ValueError("boom"))
    updater.notify_app_ready()
    assert updater.fallback.is_builtin
    assert _status(updater, "1.5.0") is BundleStatus.ERROR
    assert app.launch(update_url="").current.is_builtin


def test_the_ready_timer_pauses_in_the_background(app, clock):
    app.queue("1.5.0", clock=clock)
    updater = app.launch(clock=clock, update_url="", app_ready_timeout=10.0)
    heard = Heard(updater)
    clock.wait_for_sleepers(2)
    clock.advance(9.0)
    updater.moved_to_background()
    _wait_until_it_sleeps(clock, [None])
    clock.advance(DAY)
    heard.wait("set")
    assert heard.names == ["set"]
    updater.moved_to_foreground()
    _wait_until_it_sleeps(clock, [1.0])
    clock.advance(1.0)
    assert heard.wait("update_failed").bundle.version == "1.5.0"


def _wait_until_it_sleeps(clock, times):
    """The timer has taken note: it sleeps for so long (real time passes here, at most five seconds)."""
    never = threading.Event()
    for _ in range(1000):
        if any(
            left in times or (left is not None and times[0] is not None and abs(left - times[0]) < 0.01)
            for left in clock.sleepers
        ):
            return
        never.wait(0.005)
    raise AssertionError(clock.sleepers)


@pytest.mark.parametrize("options", [{}, {"app_ready_timeout": 0.5}])
def test_a_confirmed_version_has_no_ready_timer(app, clock, options):
    app.install("1.5.0", clock=clock)
    updater = app.launch(clock=clock, update_url="", **options)
    assert not any(thread.name == "capgo-ready" for thread in threading.enumerate())
    clock.advance(3600.0)
    assert updater.failed_update() is None


# --- what is counted ------------------------------------------------------------------------------------------------


def test_a_confirmed_version_is_not_counted_when_it_starts(app):
    app.install("1.5.0")
    for _ in range(6):
        assert app.launch(update_url="", max_boot_attempts=1).current.version == "1.5.0"


@pytest.mark.parametrize("attempts", [1, 3])
def test_so_many_starts_without_ready_and_the_version_is_rolled_back_refused_and_explained(app, attempts):
    app.queue("1.5.0")
    body = f"""
u = updater(max_boot_attempts={attempts})
tell(u.start().version)
sys.stdout.flush()
os._exit(9)
"""
    for _ in range(attempts):
        assert in_child(app, body, code=9) == ["1.5.0"]
    updater = app.launch(max_boot_attempts=attempts)
    assert updater.current.is_builtin
    assert updater.failed_update().version == "1.5.0"
    assert f"never said ready in {attempts} starts" in str(updater.explain())
    assert updater.wait(10)
    assert updater.next_bundle is None
    assert len(app.service.downloads) == 1
    assert "1.5.0 did not say ready here" in str(updater.explain())


def test_without_ready_the_version_gets_its_last_start_too(app):
    app.queue("1.5.0")
    opened = [app.launch(update_url="", max_boot_attempts=3).current.version for _ in range(4)]
    assert opened == ["1.5.0", "1.5.0", "1.5.0", "1.4.0"]


def test_ready_at_the_last_start_is_enough(app):
    app.queue("1.5.0")
    for _ in range(2):
        app.launch(update_url="", max_boot_attempts=3)
    app.launch(update_url="", max_boot_attempts=3).notify_app_ready()
    assert app.launch(update_url="", max_boot_attempts=3).current.version == "1.5.0"


def test_soft_evidence_is_forgiven_once_after_a_day(app, clock):
    app.queue("1.5.0", clock=clock)
    for _ in range(2):
        app.launch(clock=clock, update_url="", max_boot_attempts=1)
    clock.advance(DAY - 60)
    updater = app.launch(clock=clock)
    assert updater.wait(10)
    assert updater.next_bundle is None
    clock.advance(61)
    updater = app.launch(clock=clock)
    assert updater.wait(10)
    assert updater.next_bundle.version == "1.5.0"
    assert app.launch(clock=clock, update_url="", max_boot_attempts=1).current.version == "1.5.0"
    assert app.launch(clock=clock, update_url="", max_boot_attempts=1).current.is_builtin
    clock.advance(30 * DAY)
    updater = app.launch(clock=clock)
    assert updater.wait(10)
    assert updater.next_bundle is None


# --- crashes --------------------------------------------------------------------------------------------------------


def test_a_crash_condemns_an_unproven_version_for_good(app, clock):
    app.queue("1.5.0", clock=clock)
    app.launch(clock=clock, update_url="").report_crash(RuntimeError("boom"))
    clock.advance(90 * DAY)
    updater = app.launch(clock=clock)
    assert updater.current.is_builtin
    assert updater.wait(10)
    assert updater.next_bundle is None
    assert len(app.service.downloads) == 1
    assert "failed on this device" in str(updater.explain())


def test_the_same_version_with_other_content_is_another_offer(app):
    app.queue("1.5.0")
    app.launch(update_url="").report_crash(RuntimeError("boom"))
    app.publish("1.5.0", {"main.py": "print('mended')\n"})
    updater = app.launch()
    assert updater.wait(10)
    updater = app.launch(update_url="")
    assert (updater.current.path / "main.py").read_text() == "print('mended')\n"


def test_three_crashes_in_a_row_of_a_proven_version_go_to_the_previous_good_one(app):
    app.install("1.5.0")
    app.install("1.6.0")
    for _ in range(3):
        updater = app.launch(update_url="")
        assert updater.current.version == "1.6.0"
        updater.report_crash(RuntimeError("boom"))
    updater = app.launch()
    assert updater.current.version == "1.5.0"
    assert updater.failed_update().version == "1.6.0"
    assert updater.wait(10)
    assert updater.next_bundle is None  # refused: it crashed


def test_three_crashes_that_are_not_in_a_row_change_nothing(app):
    app.install("1.5.0")
    app.install("1.6.0")
    for _ in range(2):
        app.launch(update_url="").report_crash(RuntimeError("boom"))
    app.launch(update_url="").notify_app_ready()
    app.launch(update_url="")
    for _ in range(2):
        app.launch(update_url="").report_crash(RuntimeError("boom"))
    assert app.launch(update_url="").current.version == "1.6.0"


def test_one_launch_that_reports_three_crashes_is_one_crash(app):
    app.install("1.5.0")
    app.install("1.6.0")
    updater = app.launch(update_url="")
    for _ in range(3):
        updater.report_crash(RuntimeError("boom"))
    assert app.launch(update_url="").current.version == "1.6.0"


def test_the_target_of_a_roll_back_keeps_its_success(app):
    app.install("1.5.0")
    app.queue("1.6.0")
    app.launch(update_url="").report_crash(RuntimeError("boom"))
    updater = app.launch(update_url="", max_boot_attempts=1)
    assert (updater.current.version, updater.current.status) == ("1.5.0", BundleStatus.SUCCESS)
    for _ in range(3):
        assert app.launch(update_url="", max_boot_attempts=1).current.version == "1.5.0"


def test_rolling_back_twice_in_a_row_still_lands_on_a_good_one(app):
    app.install("1.5.0")
    app.install("1.6.0")
    for _ in range(3):
        app.launch(update_url="").report_crash(RuntimeError("boom"))
    assert app.launch(update_url="").current.version == "1.5.0"
    for _ in range(3):
        app.launch(update_url="").report_crash(RuntimeError("boom"))
    assert app.launch(update_url="").current.is_builtin


def test_a_crash_of_the_builtin_condemns_nothing(app):
    updater = app.launch(update_url="")
    for _ in range(4):
        updater.report_crash(RuntimeError("boom"))
        updater = app.launch(update_url="")
    assert updater.current.is_builtin
    assert updater.failed_update() is None


def test_a_crash_before_start_or_after_close_is_without_effect(app):
    app.queue("1.5.0")
    updater = app.updater(update_url="")
    updater.report_crash(RuntimeError("early"))
    updater.start()
    updater.close()
    updater.report_crash(RuntimeError("late"))
    assert app.launch(update_url="").current.version == "1.5.0"
