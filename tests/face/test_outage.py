"""Promise P8: service gone, plan ended, over quota: business as usual (design decisions 13 and 14)."""

from __future__ import annotations

import random
import threading
import time
from email.utils import formatdate

import pytest
from one_app import BUILTIN_VERSION

from capgo_client import RateLimited, ServiceError
from capgo_client.seams import Clock
from capgo_client.testing import FakeClock, black_hole, silent_peer

DIRECT = ("onLaunch", "always", "atInstall")


def on_premise(message):
    """The service's third form of an error: no kind, no moreInfo, no header (service-behaviour.md section 0.1)."""
    return {"error": "on_premise_app", **({"message": message} if message else {})}


#: Ways in which a service is no use: what it answers with, what explain() calls it, the code, and a word of the text.
OUTAGES = {
    "plan ended": ((429, on_premise("On-premise app detected")), "plan_ended", "on_premise_app", "plan ended"),
    "guard, without a message": ((429, on_premise("")), "plan_ended", "on_premise_app", "plan ended"),
    "over quota, as old backends said it": (
        (429, {"error": "need_plan_upgrade", "message": "Cannot update, upgrade plan to continue to update"}),
        "plan_ended",
        "need_plan_upgrade",
        "quota",
    ),
    "rate limit": (
        (429, {"error": "too_many_requests", "message": "Too many requests", "moreInfo": {}}),
        "rate_limited",
        "too_many_requests",
        "rate limit",
    ),
    "a 429 of something in front": ((429, b"slow down"), "rate_limited", "too_many_requests", "rate limit"),
    "500 of the service": (
        (500, {"error": "unknown_error", "message": "Unknown error", "moreInfo": {}}),
        "failed",
        "unknown_error",
        "error of its own",
    ),
    **{
        f"{status} of something in front": ((status, b"<html></html>"), "failed", "response_error", "5xx")
        for status in (500, 501, 502, 503, 504, 505, 507, 520)
    },
    "captive portal": ((200, b"<html>Log in</html>"), "failed", "parse_error", "captive portal"),
}


@pytest.fixture(params=OUTAGES)
def outage(request):
    return OUTAGES[request.param]


def start_outage(service, outage):
    (status, body), *_ = outage
    service.answer(status, body)


def confirmed(app, **options):
    """A launch that went well, its cycle and its tidying up over."""
    updater = app.launch(**options)
    updater.notify_app_ready()
    assert updater.wait(10)
    return updater


def on_disk(app):
    return sorted(path.name for path in app.data.joinpath("installs").iterdir())


# ---- business as usual ----


@pytest.mark.promise(8)
@pytest.mark.promise(2)
def test_during_an_outage_everything_stays_and_afterwards_updates_resume(app, outage):
    app.install("2.0.0")
    app.queue("3.0.0")
    here, downloads = on_disk(app), len(app.service.downloads)
    app.publish("4.0.0")
    start_outage(app.service, outage)

    first = confirmed(app)  # the queued version was verified before the outage
    assert first.current.version == "3.0.0"
    second = confirmed(app)
    assert second.current.version == "3.0.0"
    assert second.fallback.version == "3.0.0"
    assert second.next_bundle is None
    assert len(app.service.downloads) == downloads
    assert on_disk(app) == here

    app.service.clear_answers()
    back = confirmed(app)
    assert back.current.version == "3.0.0"
    assert back.next_bundle.version == "4.0.0"
    assert app.launch().current.version == "4.0.0"


@pytest.mark.promise(8)
@pytest.mark.parametrize("mode", DIRECT)
def test_in_a_direct_mode_the_first_launch_after_an_outage_gets_the_update_too(app, mode):
    app.install("2.0.0")
    app.publish("3.0.0")
    app.service.end_plan()
    assert confirmed(app, auto_update=mode).current.version == "2.0.0"
    app.service.restore_plan()
    # Whether it waits depends on the back-off's dice; either way the version is here after this launch.
    confirmed(app, auto_update=mode)
    assert app.launch(auto_update=mode).current.version == "3.0.0"
    assert len(app.service.downloads) == 2


@pytest.mark.promise(8)
def test_a_queued_version_stays_queued_when_the_plan_ends_before_anything_started(app):
    app.queue("2.0.0")
    app.service.end_plan()
    asked = len(app.service.checks)
    updater = app.launch(auto_update="off")
    assert updater.current.version == "2.0.0"
    assert updater.wait(10)
    assert len(app.service.checks) == asked


@pytest.mark.promise(8)
def test_a_plan_that_ended_is_a_quiet_state_and_never_a_permanent_one(app, caplog):
    app.install("2.0.0")
    app.service.end_plan()
    caplog.set_level("INFO", "capgo_client")
    for _ in range(3):
        caplog.clear()
        confirmed(app)
        assert [record.message for record in caplog.records if record.levelname not in ("DEBUG", "INFO")] == []
        about = [record for record in caplog.records if record.message.startswith("update check")]
        assert len(about) == 1
    app.service.restore_plan()
    assert confirmed(app).explain().answer == "up_to_date"


# ---- telling which one it is ----


@pytest.mark.promise(8)
def test_explain_tells_what_kind_of_outage_it_is_in_words_and_by_code(app, outage):
    _, answer, code, word = outage
    app.install("2.0.0")
    start_outage(app.service, outage)
    told = confirmed(app).explain()
    assert told.answer == answer
    assert told.answer_code == code
    assert word in told.answer_text
    assert told.answer_age < 60
    assert told.good_answer_age is not None
    assert told.remedy
    assert f"[{code}]" in str(told)
    assert word in str(told)
    assert "2.0.0" in told.opened


@pytest.mark.promise(8)
def test_explain_tells_no_update_and_could_not_ask_apart(app):
    app.install("2.0.0")
    up_to_date = confirmed(app).explain()
    app.service.stop()
    refused = confirmed(app).explain()
    with silent_peer() as peer:
        silent = confirmed(app, update_url=f"{peer.url}/updates", response_timeout=0.1).explain()
    assert (up_to_date.answer, up_to_date.answer_code) == ("up_to_date", "no_new_version_available")
    assert (refused.answer, refused.answer_code) == ("failed", "network_error")
    assert (silent.answer, silent.answer_code) == ("failed", "timeout_error")
    assert "newest" in str(up_to_date)
    assert "could not be reached" in str(refused)
    assert "timed out" in str(silent)
    assert len({up_to_date.answer_text, refused.answer_text, silent.answer_text}) == 3


@pytest.mark.promise(8)
def test_explain_of_a_second_process_tells_what_the_first_one_heard(app):
    app.install("2.0.0")
    app.service.end_plan()
    confirmed(app)
    app.close()
    told = app.updater().explain()
    assert (told.answer, told.answer_code) == ("plan_ended", "on_premise_app")


# ---- waiting at most once ----


@pytest.mark.promise(8)
@pytest.mark.promise(1)
@pytest.mark.parametrize("mode", ["onLaunch", "always"])
@pytest.mark.parametrize("make", [silent_peer, black_hole])
def test_during_an_outage_the_person_waits_at_most_once(app, mode, make):
    app.install("2.0.0")
    app.publish("3.0.0")
    with make() as peer:
        options = {"auto_update": mode, "update_url": f"{peer.url}/updates", "response_timeout": 0.7}
        first = app.launch(**options)
        assert first.current.version == "2.0.0"
        assert first.explain().held
        first.wait(10)
        for _ in range(3):
            began = time.monotonic()
            later = app.launch(**options)
            took = time.monotonic() - began
            assert later.current.version == "2.0.0"
            assert took < 0.5, "a launch during an outage waited once more"
            assert later.explain().held
    # It asked behind the app's back all the same, and so notices that the service is back.
    back = app.launch(auto_update=mode)
    assert back.current.version == "2.0.0"
    assert back.wait(10)
    assert back.next_bundle.version == "3.0.0"
    assert not back.explain().held
    app.publish("4.0.0")
    assert app.launch(auto_update=mode).current.version == "4.0.0"


class Impatient(Clock):
    """The person kills the app once start() has waited for half a second and is about to wait on."""

    def __init__(self):
        self.waits = 0

    def wait(self, event, timeout):
        if threading.current_thread() is threading.main_thread():
            self.waits += 1
            if self.waits == 2:
                raise KeyboardInterrupt
        return super().wait(event, timeout)


@pytest.mark.promise(8)
def test_a_person_who_kills_the_waiting_app_does_not_wait_again(app):
    app.install("2.0.0")
    with silent_peer() as peer:
        options = {"auto_update": "always", "update_url": f"{peer.url}/updates", "response_timeout": 2.0}
        with pytest.raises(KeyboardInterrupt):
            app.launch(clock=Impatient(), **options)
        app.close()
        began = time.monotonic()
        updater = app.launch(**options)
        assert time.monotonic() - began < 0.5
        assert updater.explain().held


@pytest.mark.promise(8)
def test_a_long_wait_that_brought_an_update_does_not_stop_the_next_start_from_waiting(app):
    app.install("2.0.0")
    app.publish("3.0.0")
    with app.service.fault("drip-body", on="updates", interval=0.1, step=60):
        began = time.monotonic()
        updater = app.launch(auto_update="always")
        assert time.monotonic() - began > 0.5
    assert updater.current.version == "3.0.0"
    assert not updater.explain().held


@pytest.mark.promise(8)
def test_a_held_direct_launch_still_asks_in_the_background(app):
    app.install("2.0.0")
    with silent_peer() as peer:
        options = {"auto_update": "always", "update_url": f"{peer.url}/updates", "response_timeout": 0.7}
        app.launch(**options).wait(10)
        updater = app.launch(**options)
        updater.notify_app_ready()
        peer.wait_for_connection(2)
        assert updater.wait(10)
        assert updater.explain().answer_code == "timeout_error"


@pytest.mark.promise(8)
def test_a_slow_download_makes_the_person_wait_once_and_the_next_background_check_ends_that(app):
    app.install("2.0.0")
    app.publish("3.0.0", {"main.py": "print(3)", "data.bin": random.Random(1).randbytes(2000)})
    with app.service.fault("slow-download", bytes_per_second=2000.0):
        updater = app.launch(auto_update="always", direct_timeout=0.6)
        assert updater.current.version == "2.0.0"
        assert updater.explain().held
        assert updater.wait(10)
    app.publish("4.0.0")
    updater = app.launch(auto_update="always")
    assert updater.current.version == "3.0.0"
    assert updater.wait(10)
    assert not updater.explain().held


# ---- Retry-After ----


@pytest.mark.promise(8)
@pytest.mark.parametrize("form", ["seconds", "date"])
@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("mode", ["atBackground", "always"])
def test_retry_after_is_kept_to_across_processes_and_never_slept_on(app, mode, status, form):
    app.install("2.0.0")
    app.publish("3.0.0")
    clock = FakeClock(wall=1_900_000_000.0)
    wait = "600" if form == "seconds" else formatdate(1_900_000_600, usegmt=True)
    app.service.answer(status, b"", headers=[("Retry-After", wait)], times=1)
    asked = len(app.service.checks)
    updater = confirmed(app, auto_update=mode, clock=clock)
    assert len(app.service.checks) == asked + 1
    assert updater.explain().waiting_until == 1_900_000_600.0

    for seconds in (0, 300, 299):  # three more launches, the last one a second too early
        clock.advance(seconds)
        updater = confirmed(app, auto_update=mode, clock=clock)
        assert updater.current.version == "2.0.0"
        assert updater.trigger_update_check() == "queued"
        assert updater.wait(10)
        with pytest.raises(RateLimited) as limited:
            updater.get_latest()
        assert limited.value.retry_at == 1_900_000_600.0
        assert len(app.service.checks) == asked + 1
        assert "asked not to be asked" in str(updater.explain())

    clock.advance(1)
    updater = confirmed(app, auto_update=mode, clock=clock)
    assert len(app.service.checks) == asked + 2
    assert updater.explain().waiting_until == 0.0
    assert app.launch(auto_update=mode, clock=clock).current.version == "3.0.0"


@pytest.mark.promise(8)
def test_a_device_whose_clock_was_set_back_does_not_keep_to_an_order_of_the_future(app):
    app.install("2.0.0")
    clock = FakeClock(wall=1_900_000_000.0)
    app.service.answer(429, b"", headers=[("Retry-After", "600")], times=1)
    confirmed(app, clock=clock)
    asked = len(app.service.checks)
    clock.set_wall(1_900_000_000.0 - 365 * 86400)
    updater = confirmed(app, clock=clock)
    assert len(app.service.checks) == asked + 1
    assert updater.explain().waiting_until == 0.0


@pytest.mark.promise(8)
@pytest.mark.parametrize("order", ["999999999", formatdate(4_000_000_000, usegmt=True)])
def test_an_order_to_wait_for_years_is_kept_to_for_a_day(app, order):
    app.install("2.0.0")
    clock = FakeClock(wall=1_900_000_000.0)
    app.service.answer(429, b"", headers=[("Retry-After", order)], times=1)
    updater = confirmed(app, clock=clock)
    assert updater.explain().waiting_until == 1_900_000_000.0 + 86400
    asked = len(app.service.checks)
    clock.advance(86400)
    confirmed(app, clock=clock)
    assert len(app.service.checks) == asked + 1


@pytest.mark.parametrize("order", ["soon", "-5", "0", "", "1e9", formatdate(1_800_000_000, usegmt=True)])
def test_a_retry_after_that_says_nothing_holds_no_launch_off(app, order):
    app.install("2.0.0")
    clock = FakeClock(wall=1_900_000_000.0)
    app.service.answer(429, b"", headers=[("Retry-After", order)], times=1)
    confirmed(app, clock=clock)
    asked = len(app.service.checks)
    assert confirmed(app, clock=clock).explain().answer == "up_to_date"
    assert len(app.service.checks) == asked + 1


@pytest.mark.promise(8)
def test_the_plan_that_ended_holds_no_later_launch_off(app):
    app.install("2.0.0")
    app.publish("3.0.0")
    clock = FakeClock(wall=1_900_000_000.0)
    app.service.end_plan()
    for _ in range(3):
        asked = len(app.service.checks)
        confirmed(app, clock=clock)
        assert len(app.service.checks) == asked + 1  # once for each launch, however often it failed before
    app.service.restore_plan()
    assert confirmed(app, clock=clock).next_bundle.version == "3.0.0"


@pytest.mark.promise(8)
def test_periodic_checks_keep_to_the_back_off_and_resume_after_it(app):
    app.install("2.0.0")
    app.publish("3.0.0")
    clock = FakeClock(wall=1_900_000_000.0)
    app.service.end_plan()
    asked = len(app.service.checks)
    updater = confirmed(app, clock=clock, period_check_delay=600)
    assert len(app.service.checks) == asked + 1
    app.service.restore_plan()
    clock.wait_for_sleepers()
    clock.advance(86400)
    app.service.wait_for_requests(asked + 2, on="updates")
    assert updater.wait(10)
    assert updater.next_bundle.version == "3.0.0"


# ---- asking by hand ----


@pytest.mark.promise(8)
def test_asking_by_hand_raises_what_it_is_and_changes_nothing(app):
    app.install("2.0.0")
    updater = confirmed(app)
    app.service.end_plan()
    with pytest.raises(ServiceError) as ended:
        updater.get_latest()
    assert ended.value.code == "on_premise_app"
    app.service.restore_plan()
    assert updater.get_latest().kind == "up_to_date"
    assert updater.current.version == "2.0.0"


@pytest.mark.promise(8)
@pytest.mark.parametrize("mode", ["off", "atBackground", "always"])
def test_a_device_that_never_reached_the_service_opens_the_builtin_for_ever(app, mode):
    app.service.stop()
    for _ in range(3):
        updater = confirmed(app, auto_update=mode)
        assert updater.current.version == BUILTIN_VERSION
        assert updater.current.path == app.builtin
