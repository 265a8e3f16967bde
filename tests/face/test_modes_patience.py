"""Who waits for whom: the worker for the app, start() for the check and the download, and neither for longer."""

from __future__ import annotations

import random
import threading
import time

import pytest

from capgo_client.testing import FakeClock


@pytest.fixture
def last_good(app):
    app.install("2.0.0")
    app.publish("3.0.0")
    app.asked = len(app.service.checks)
    return app


def checks(app):
    return len(app.service.checks) - app.asked


def asleep_at(app, clock):
    """Start in background mode on a clock that stands still; the worker sleeps when this returns."""
    updater = app.launch(clock=clock)
    clock.wait_for_sleepers()
    return updater


# ---- background: the app comes first (decision 1) ----


def test_the_worker_asks_a_second_after_start_and_not_sooner(last_good):
    clock = FakeClock()
    asleep_at(last_good, clock)
    assert clock.sleepers == [pytest.approx(1.0)]
    clock.advance(0.75)
    assert clock.sleepers == [pytest.approx(0.25)]
    assert checks(last_good) == 0
    clock.advance(0.25)
    last_good.service.wait_for_requests(last_good.asked + 1, on="updates")


@pytest.mark.parametrize(
    "nudge",
    [
        lambda updater: updater.notify_app_ready(),
        lambda updater: updater.wait(0.0),
        lambda updater: updater.trigger_update_check(),
        lambda updater: updater.moved_to_foreground(),
    ],
    ids=["ready", "wait", "trigger", "foreground"],
)
def test_the_worker_asks_at_once_when_the_app_is_open_or_wants_it(last_good, nudge):
    clock = FakeClock()
    updater = asleep_at(last_good, clock)
    assert checks(last_good) == 0
    nudge(updater)
    assert updater.wait(10)
    assert checks(last_good) == 1
    assert updater.next_bundle.version == "3.0.0"


def test_ready_before_start_is_nothing_that_the_worker_heeds(last_good):
    clock = FakeClock()
    last_good.close()
    updater = last_good.updater(clock=clock)
    updater.notify_app_ready()
    updater.start()
    clock.wait_for_sleepers()
    assert clock.sleepers == [pytest.approx(1.0)]


@pytest.mark.promise(9)
def test_an_app_that_ends_within_the_first_second_has_asked_nobody(last_good):
    updater = asleep_at(last_good, FakeClock())
    updater.close()
    assert checks(last_good) == 0


@pytest.mark.promise(1)
@pytest.mark.parametrize("mode", ["off", "atBackground", "atInstall", "onlyDownload"])
def test_a_start_in_the_background_waits_for_nothing(last_good, mode):
    # A clock that stands still: anything that waited on it would never return.
    with last_good.service.fault("silence", on="all"):
        updater = last_good.launch(auto_update=mode, clock=FakeClock())
        assert updater.current.version == "2.0.0"
        assert checks(last_good) == 0
        updater.close()


# ---- direct: so long, and no longer ----


class Gate:
    """A ``may_download`` that holds the download up until the test lets it through."""

    def __init__(self):
        self.reached, self.open = threading.Event(), threading.Event()

    def __call__(self, update):
        self.reached.set()
        return self.open.wait(10)


@pytest.mark.promise(1)
@pytest.mark.parametrize("mode", ["onLaunch", "always"])
def test_a_download_beyond_direct_timeout_opens_the_last_good_version_and_arrives_behind_it(last_good, mode):
    gate, events = Gate(), []
    last_good.close()
    updater = last_good.updater(
        auto_update=mode, direct_timeout=0.1, may_download=gate, dispatch=lambda deliver: deliver()
    )
    updater.on("set_next", events.append)
    assert updater.start().version == "2.0.0"
    assert gate.reached.is_set()
    assert updater.next_bundle is None
    gate.open.set()
    assert updater.wait(10)
    assert updater.current.version == "2.0.0"
    assert updater.next_bundle.version == "3.0.0"
    assert [event.version for event in events] == ["3.0.0"]
    assert last_good.launch(auto_update=mode).current.version == "3.0.0"
    assert checks(last_good) == 2


@pytest.mark.promise(1)
def test_a_slow_line_delays_a_direct_start_by_direct_timeout_at_most(last_good):
    last_good.publish("3.0.0", {"main.py": "print(3)", "data.bin": random.Random(1).randbytes(500)})
    with last_good.service.fault("slow-download", bytes_per_second=1000.0):
        updater = last_good.launch(auto_update="always", direct_timeout=0.2)
        assert updater.current.version == "2.0.0"
        assert len(last_good.service.downloads) == 2
        assert updater.wait(10)
    assert updater.next_bundle.version == "3.0.0"
    assert last_good.launch(auto_update="off").current.version == "3.0.0"


@pytest.mark.promise(2)
def test_a_direct_download_that_fails_opens_the_last_good_version_at_once(last_good):
    with last_good.service.fault("flip-bit", on="download"):
        updater = last_good.launch(auto_update="always")
        assert updater.current.version == "2.0.0"
        assert updater.wait(10)
    assert updater.next_bundle is None
    assert [b.version for b in updater.bundles()] == ["2.0.0"]


@pytest.mark.promise(2)
@pytest.mark.parametrize("fault", ["empty-reply", "html-200", "reset-in-body", "http-500", "deep-json"])
@pytest.mark.parametrize("mode", ["onLaunch", "always", "atInstall"])
def test_a_direct_check_that_fails_does_not_keep_the_app_from_opening(app, mode, fault):
    app.publish("3.0.0")
    with app.service.fault(fault, on="updates"):
        updater = app.launch(auto_update=mode)
        assert updater.current.is_builtin
        assert updater.current.path == app.builtin
        assert updater.wait(10)


@pytest.mark.promise(1)
@pytest.mark.parametrize("mode", ["onLaunch", "always", "atInstall"])
def test_a_lower_response_timeout_bounds_the_whole_wait(last_good, mode):
    app = last_good
    with app.service.fault("silence", on="updates"):
        began = time.monotonic()
        updater = app.launch(auto_update=mode, response_timeout=0.3, version="2.5.0")
        assert time.monotonic() - began < 1.5  # far from the three seconds that it may be at most
        assert updater.current.is_builtin
        app.service.wait_for_close()
        assert updater.wait(10)
        assert updater.explain().answer_code == "timeout_error"


@pytest.mark.promise(1)
def test_a_may_download_that_never_returns_holds_up_neither_the_start_nor_the_end(last_good):
    gate = Gate()
    updater = last_good.launch(auto_update="always", direct_timeout=0.1, may_download=gate)
    assert updater.current.version == "2.0.0"
    updater.close()
    gate.open.set()


def test_what_arrives_while_nobody_waits_any_more_is_not_opened_behind_the_apps_back(last_good):
    gate, shown = Gate(), []
    updater = last_good.launch(auto_update="always", direct_timeout=0.1, may_download=gate, reload=shown.append)
    gate.open.set()
    assert updater.wait(10)
    assert shown == []
    assert updater.current.version == "2.0.0"
    assert updater.next_bundle.version == "3.0.0"
