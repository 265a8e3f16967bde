"""``wait()``, ``close()``, ``with`` and the end of the process (section 4; promise P9)."""

from __future__ import annotations

import gc
import os
import threading
import time
from pathlib import Path

import pytest
from children import in_child
from stopwatch import FLAT, Stopwatch

from capgo_client import BundleStatus, ClosedError
from capgo_client.install import leases
from capgo_client.testing import FakeClock, FaultyFiles, silent_peer, tls_stall

pytestmark = pytest.mark.promise(9)

CLOSE_LIMIT = 0.2
_OPEN = Path("/proc/self/fd")
needs_proc = pytest.mark.skipif(not _OPEN.is_dir(), reason="needs /proc")


def _descriptors():
    """What this process has open: descriptor and target."""
    found = {}
    for link in list(_OPEN.iterdir()):
        try:
            found[int(link.name)] = str(link.readlink())
        except OSError:
            continue
    return found


def _new_descriptors(before):
    return sorted(target for fd, target in _descriptors().items() if before.get(fd) != target)


def _our_threads():
    return [thread.name for thread in threading.enumerate() if _is_ours(thread)]


def _is_ours(thread):
    return thread.name.startswith("capgo-") and not thread.name.startswith("capgo-testing")


def _seconds(call):
    """How long it took, but for what a busy machine did to it: nothing of that under ``make timing``."""
    with Stopwatch() as watch:
        call()
    return watch.took - (watch.grace - 0.1)


def _left():
    """Our threads that have not ended. On a busy machine one may still be on its last steps when close() returns."""
    for thread in threading.enumerate():
        if _is_ours(thread) and not FLAT:
            thread.join(1.0)
    return _our_threads()


# --- wait() ---------------------------------------------------------------------------------------------------------


def test_wait_is_true_when_nothing_runs_or_is_due(app):
    updater = app.launch(auto_update="off")
    assert updater.wait(5) is True
    assert updater.wait(0) is True


def test_wait_before_start_has_nothing_to_wait_for(app):
    assert app.updater().wait(0) is True


def test_wait_starts_a_delayed_cycle(app):
    clock = FakeClock()  # on which the second that the app is given never passes
    app.publish("1.5.0")
    updater = app.launch(clock=clock)
    assert updater.wait(10) is True
    assert updater.next_bundle.version == "1.5.0"


def test_ready_starts_a_delayed_cycle(app):
    updater = app.launch(clock=FakeClock())
    updater.notify_app_ready()
    app.service.wait_for_requests(1)


def test_without_either_a_cycle_begins_one_second_after_the_start(app):
    clock = FakeClock()
    app.launch(clock=clock)
    clock.wait_for_sleepers(1)
    clock.advance(0.99)
    assert app.service.requests == []
    clock.advance(0.01)
    app.service.wait_for_requests(1)


def test_wait_ignores_the_periodic_timer(app):
    clock = FakeClock()
    app.publish("1.4.0")
    updater = app.launch(clock=clock, period_check_delay=600)
    assert updater.wait(10)
    assert updater.wait(0) is True
    clock.wait_for_sleepers(1)
    clock.advance(700)
    app.service.wait_for_requests(2)


def test_wait_ignores_a_back_off(app):
    app.service.answer(503)
    updater = app.launch()
    assert updater.wait(10) is True
    assert updater.wait(0) is True
    assert len(app.service.checks) == 1


def test_wait_is_false_while_a_cycle_hangs(app):
    app.service.set_fault("silence", on="updates")
    updater = app.launch()
    updater.notify_app_ready()
    app.service.wait_for_requests(1)
    assert updater.wait(0.05) is False


# --- close() --------------------------------------------------------------------------------------------------------


def test_close_is_idempotent_and_needs_no_start(app):
    updater = app.updater()
    updater.close()
    updater.close()
    with pytest.raises(ClosedError):
        updater.start()


METHODS = {
    "start": lambda u: u.start(),
    "get_latest": lambda u: u.get_latest(),
    "download": lambda u: u.download("http://127.0.0.1/x.zip", "1.5.0", checksum="0" * 64),
    "set_next": lambda u: u.set_next("builtin"),
    "set": lambda u: u.set("builtin"),
    "reset": lambda u: u.reset(),
    "delete": lambda u: u.delete("builtin"),
    "trigger_update_check": lambda u: u.trigger_update_check(),
    "set_custom_id": lambda u: u.set_custom_id("x"),
    "moved_to_background": lambda u: u.moved_to_background(),
    "moved_to_foreground": lambda u: u.moved_to_foreground(),
    "wait": lambda u: u.wait(1),
    "on": lambda u: u.on("set", print),
    "verify": lambda u: u.verify("builtin"),
    "failed_update": lambda u: u.failed_update(),
    "bundles": lambda u: u.bundles(),
}


@pytest.mark.parametrize("name", METHODS)
def test_after_close_methods_raise_closed_error(app, name):
    updater = app.launch()
    updater.close()
    with pytest.raises(ClosedError) as caught:
        METHODS[name](updater)
    assert caught.value.code == "closed"
    assert app.service.requests == []


def test_after_close_the_app_still_knows_what_it_runs(app):
    app.install("1.5.0")
    updater = app.launch(update_url="")
    updater.close()
    assert updater.current.version == "1.5.0"
    assert "1.5.0" in str(updater.explain())
    updater.notify_app_ready()
    updater.report_crash(ValueError("late"))


@pytest.mark.parametrize("fault", ["silence", "drip-headers", "drip-body", "stall-in-body", "endless-body"])
def test_close_cancels_a_check_within_its_limit(app, fault):
    app.install("1.4.1")  # what a cycle imports is loaded
    app.service.set_fault(fault, on="updates")
    updater = app.launch()
    updater.notify_app_ready()
    app.service.wait_for_requests(2, on="updates")
    assert _our_threads() == ["capgo-worker"]
    assert _seconds(updater.close) < CLOSE_LIMIT
    assert _left() == []


@pytest.mark.parametrize("fault", ["silence", "slow-download", "stall-in-body", "drip-headers"])
def test_close_cancels_a_download_within_its_limit(app, fault):
    app.publish("1.5.0", {"main.py": "x", "data.bin": os.urandom(50_000)})
    app.service.set_fault(fault, on="download")
    updater = app.launch()
    updater.notify_app_ready()
    app.service.wait_for_requests(1, on="download")
    assert _seconds(updater.close) < CLOSE_LIMIT
    assert _left() == []
    assert updater.current.is_builtin


@pytest.mark.parametrize("peer", [silent_peer, tls_stall])
def test_close_cancels_what_has_not_come_to_http_yet(app, peer):
    with peer() as hung:
        updater = app.launch(update_url=f"{hung.url}/updates")
        updater.notify_app_ready()
        hung.wait_for_connection()
        assert _seconds(updater.close) < CLOSE_LIMIT
        assert _left() == []
        hung.wait_for_close(timeout=1)


def test_close_does_not_wait_for_a_lookup_that_hangs(app, monkeypatch):
    asked, answer = threading.Event(), threading.Event()

    def getaddrinfo(*_args, **_kwargs):
        asked.set()
        answer.wait(10)
        raise OSError("the name server is dead")

    monkeypatch.setattr("socket.getaddrinfo", getaddrinfo)
    updater = app.launch(update_url="https://updates.example.test/updates")
    try:
        updater.notify_app_ready()
        assert asked.wait(5)
        assert _seconds(updater.close) < CLOSE_LIMIT
        assert [name for name in _left() if "worker" in name] == []
    finally:
        answer.set()
        for thread in threading.enumerate():
            if _is_ours(thread):
                thread.join(5)


def test_close_does_not_wait_for_a_callback_that_hangs(app):
    entered, go_on = threading.Event(), threading.Event()
    updater = app.launch(update_url="")
    updater.on("set_next", lambda _: (entered.set(), go_on.wait(10)))
    updater.set_next("builtin")
    assert entered.wait(5)
    took = _seconds(updater.close)
    go_on.set()
    assert took < CLOSE_LIMIT


def test_close_does_not_wait_for_may_download_to_return(app):
    entered, go_on = threading.Event(), threading.Event()
    app.publish("1.5.0")
    updater = app.launch(may_download=lambda _: (entered.set(), go_on.wait(10)))
    updater.notify_app_ready()
    assert entered.wait(5)
    took = _seconds(updater.close)
    go_on.set()
    assert took < CLOSE_LIMIT
    updater._engine._worker.thread.join(5)
    assert app.service.downloads == []


def test_close_while_start_waits_for_a_check_lets_start_return(app):
    app.service.set_fault("silence", on="updates")
    updater = app.updater(auto_update="always")
    opened = []
    thread = threading.Thread(target=lambda: opened.append(updater.start()))
    thread.start()
    app.service.wait_for_requests(1)
    assert _seconds(updater.close) < CLOSE_LIMIT
    thread.join(5)
    assert opened[0].is_builtin


def test_close_while_get_latest_waits_ends_it(app):
    app.service.set_fault("silence", on="updates")
    updater = app.launch(auto_update="off")
    errors = []

    def ask():
        try:
            updater.get_latest()
        except Exception as exc:
            errors.append(exc)

    thread = threading.Thread(target=ask)
    thread.start()
    app.service.wait_for_requests(1)
    assert _seconds(updater.close) < CLOSE_LIMIT
    thread.join(0.5)
    assert [type(error).__name__ for error in errors] == ["Cancelled"]


def test_a_check_that_close_ended_is_no_news_of_the_service(app):
    app.service.set_fault("silence", on="updates")
    updater = app.launch()
    updater.notify_app_ready()
    app.service.wait_for_requests(1)
    updater.close()
    assert app.updater().explain().answer == ""


# --- partial downloads ----------------------------------------------------------------------------------------------

BIG = os.urandom(200_000)


def _break_off(app):
    """Begin a download and close in the middle of it."""
    app.publish("1.5.0", {"main.py": "x", "data.bin": BIG})
    fault = app.service.set_fault("stall-in-body", on="download", at=0.5)
    updater = app.updater()
    received = threading.Event()
    updater.on("download", lambda event: event.percent >= 40 and received.set())
    updater.start()
    updater.notify_app_ready()
    assert received.wait(10)
    updater.close()
    fault.remove()


def test_a_partial_download_is_kept_and_resumed_after_a_fresh_update_answer(app):
    _break_off(app)
    partials = list((app.data / "downloads").glob("*.part"))
    assert len(partials) == 1
    size = partials[0].stat().st_size
    assert size > 50_000
    updater = app.launch()
    assert updater.wait(10)
    assert updater.next_bundle.version == "1.5.0"
    first, second = app.service.downloads
    assert "range" not in first.headers
    assert second.headers["range"] == f"bytes={size}-"
    assert (app.launch(update_url="").current.path / "data.bin").read_bytes() == BIG


@pytest.mark.parametrize("answer", ["on_premise_app", "no_channel", "disable_device", "no_new_version_available"])
def test_without_a_fresh_update_answer_a_partial_download_is_left_alone(app, answer):
    _break_off(app)
    app.service.reply_case(answer)
    updater = app.launch()
    assert updater.wait(10)
    assert len(app.service.checks) == 2
    assert len(app.service.downloads) == 1
    app.service.clear_answers()
    updater = app.launch()
    assert updater.wait(10)
    assert app.service.downloads[-1].headers["range"].startswith("bytes=")


def test_a_partial_of_another_version_is_not_used(app):
    _break_off(app)
    app.publish("1.6.0", {"main.py": "y", "data.bin": BIG})
    updater = app.launch()
    assert updater.wait(10)
    assert updater.next_bundle.version == "1.6.0"
    assert "range" not in app.service.downloads[-1].headers
    assert list((app.data / "downloads").iterdir()) == []


# --- what is left ---------------------------------------------------------------------------------------------------


@pytest.fixture
def elsewhere(app):
    """A service in another process would be ideal; here its sockets are closed before anything is counted."""
    app.install("1.5.0")
    app.close()
    leases.let_go(app.data)
    return app


@needs_proc
def test_after_close_one_descriptor_is_left_the_lease_on_what_the_app_runs_from(elsewhere):
    app = elsewhere
    before = _descriptors()
    updater = app.launch()
    assert updater.wait(10)
    updater.close()
    app.service.stop()
    assert _new_descriptors(before) == [str(updater.current.path.parent / "lease")]
    assert _left() == []


@needs_proc
def test_after_close_of_the_builtin_no_descriptor_is_left(app):
    before = _descriptors()
    updater = app.launch()
    assert updater.wait(10)
    updater.close()
    app.service.stop()
    assert _new_descriptors(before) == []


def test_every_file_that_was_opened_is_closed_again_but_the_lease(app):
    files = FaultyFiles()
    app.publish("1.5.0")
    assert app.launch(files=files).wait(10)
    app.publish("1.6.0")
    updater = app.launch(files=files)
    updater.notify_app_ready()
    assert updater.wait(10)
    updater.verify(updater.current, full=True)
    updater.close()
    assert list(files.open_descriptors.values()) == [str(updater.current.path.parent / "lease")]


@needs_proc
def test_fifty_launches_in_one_process_leak_nothing(app):
    app.queue("1.5.0")
    app.launch().close()
    gc.collect()
    before = len(_descriptors())
    threads = threading.active_count()
    for number in range(50):
        updater = app.launch(update_url="" if number % 5 else app.service.update_url)
        updater.notify_app_ready()
        if number % 10 == 0:
            assert updater.wait(10)
    app.close()
    gc.collect()
    assert _left() == []
    # The service's own handlers of kept connections end with those; what is ours is one lease, as before.
    app.service.stop()
    assert len(_descriptors()) <= before
    assert threading.active_count() <= threads


# --- with -----------------------------------------------------------------------------------------------------------


def test_with_does_not_call_start(app):
    app.queue("1.5.0")
    with app.updater(update_url="") as updater:
        assert updater.next_bundle.version == "1.5.0"
    assert app.launch(update_url="").current.version == "1.5.0"


def test_with_closes(app):
    with app.updater() as updater:
        updater.start()
    with pytest.raises(ClosedError):
        updater.get_latest()


@pytest.mark.promise(5)
def test_leaving_with_by_an_exception_before_ready_is_a_crash(app):
    app.queue("1.5.0")
    with pytest.raises(ZeroDivisionError), app.updater(update_url="") as updater:  # noqa: PT012
        updater.start()
        raise ZeroDivisionError
    updater = app.launch(update_url="")
    assert updater.current.is_builtin
    assert updater.failed_update().version == "1.5.0"


@pytest.mark.promise(5)
def test_leaving_with_by_an_exception_after_ready_is_not_held_against_it(app):
    app.queue("1.5.0")
    with pytest.raises(ZeroDivisionError), app.updater(update_url="") as updater:  # noqa: PT012
        updater.start()
        updater.notify_app_ready()
        raise ZeroDivisionError
    assert app.launch(update_url="").current.status is BundleStatus.SUCCESS


@pytest.mark.promise(5)
@pytest.mark.parametrize("leave", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_leaving_with_by_an_orderly_end_is_no_crash(app, leave):
    app.queue("1.5.0")
    with pytest.raises(leave), app.updater(update_url="") as updater:  # noqa: PT012
        updater.start()
        raise leave
    assert app.launch(update_url="").current.version == "1.5.0"


@pytest.mark.promise(5)
def test_ready_of_the_launch_before_a_switch_does_not_shield_what_was_switched_to(app):
    app.install("1.5.0")
    app.publish("1.6.0")
    with pytest.raises(ZeroDivisionError), app.updater(reload=lambda: None) as updater:  # noqa: PT012
        updater.start()
        updater.notify_app_ready()
        updater.set(updater.download(updater.get_latest()))
        raise ZeroDivisionError
    updater = app.launch(update_url="")
    assert updater.current.version == "1.5.0"
    assert updater.failed_update().version == "1.6.0"


# --- the end of the process -----------------------------------------------------------------------------------------


def test_an_exit_without_close_is_harmless_and_not_delayed(app):
    app.queue("1.5.0")
    began = time.monotonic()
    body = "import time; u = updater(); tell(u.start().version); u.notify_app_ready(); t = time.monotonic()\n"
    body += "import atexit; atexit.register(lambda: tell(time.monotonic() - t))\n"
    version, _ = in_child(app, body)
    assert version == "1.5.0"
    assert time.monotonic() - began < 10
    updater = app.launch(update_url="")
    assert (updater.current.version, updater.fallback.version) == ("1.5.0", "1.5.0")


def test_an_exit_in_the_middle_of_a_hanging_check_is_not_delayed(app):
    with silent_peer() as hung:
        body = """
import time, atexit
u = updater(auto_update="atBackground")
u.start()
u.notify_app_ready()
assert not u.wait(0.5)
tell(time.monotonic())
sys.exit(0)
"""
        (left,) = in_child(app, body, update_url=f"{hung.url}/updates")
        # CLOCK_MONOTONIC is one for the whole system.
        assert hung.wait_for_close(timeout=5)[0] - left < 0.5


def test_a_name_lookup_that_hangs_does_not_delay_the_exit(app):
    body = """
import socket, time, threading
def hang(*args, **kwargs):
    threading.Event().wait(60)
socket.getaddrinfo = hang
u = updater(auto_update="always", response_timeout=0.3)
tell(u.start().id)
"""
    began = time.monotonic()
    assert in_child(app, body, update_url="https://updates.example.test/updates") == ["builtin"]
    assert time.monotonic() - began < 10


# --- threads --------------------------------------------------------------------------------------------------------


def test_eight_threads_that_call_everything_at_once_break_nothing(app):
    app.install("1.5.0")
    app.publish("1.6.0")
    updater = app.launch(reload=lambda: None)
    barrier = threading.Barrier(8)
    unexpected = []
    calls = [
        updater.start,
        updater.notify_app_ready,
        updater.trigger_update_check,
        updater.get_latest,
        updater.bundles,
        updater.failed_update,
        updater.explain,
        lambda: updater.verify(updater.current),
        lambda: updater.set("builtin"),
        lambda: updater.reset(to_last_successful=True),
        lambda: updater.download(updater.get_latest()),
        lambda: updater.wait(1),
        lambda: updater.on("set", lambda _: None)(),  # noqa: PLW0108 - a new subscription each time
        lambda: (updater.next_bundle, updater.fallback, updater.current, updater.builtin, updater.device_id),
        updater.moved_to_background,
        updater.moved_to_foreground,
    ]

    def run(offset):
        barrier.wait(5)
        for step in range(len(calls)):
            call = calls[(step + 2 * offset) % len(calls)]
            try:
                call()
            except Exception as exc:
                if not hasattr(exc, "code"):  # our own errors say what happened; anything else is a bug
                    unexpected.append(exc)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    assert unexpected == []
    updater.notify_app_ready()
    assert updater.wait(20)
    current = updater.current
    assert not updater.verify(current).problems
    updater.close()
    assert app.launch(update_url="").fallback.status is BundleStatus.SUCCESS


def test_close_from_eight_threads_at_once(app):
    updater = app.launch()
    threads = [threading.Thread(target=updater.close) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert _left() == []
