"""What the app is told, where, and that its callbacks can do no harm (decision 12)."""

from __future__ import annotations

import logging
import queue
import threading
from dataclasses import replace

import pytest
from hearing import Heard

from capgo_client import BundleStatus, ConfigError, Event
from capgo_client.events import EVENT_NAMES, Emitter
from capgo_client.testing import make_bundle


def test_the_events_are_the_plugins_in_snake_case():
    # reference/plugin-behaviour.md section 4.2
    assert EVENT_NAMES == (
        "app_ready",
        "app_reloaded",
        "breaking_available",
        "channel_private",
        "download",
        "download_complete",
        "download_failed",
        "major_available",
        "no_need_update",
        "set",
        "set_next",
        "update_available",
        "update_check_result",
        "update_failed",
    )


def test_an_unknown_event_is_a_config_error_that_names_those_there_are(app):
    with pytest.raises(ConfigError) as caught:
        app.updater().on("updated", print)
    assert "set_next" in str(caught.value)


def test_an_update_is_told_from_its_first_byte_to_its_place_in_the_queue(app):
    app.publish("1.5.0", {"main.py": "x", "data.bin": bytes(range(256)) * 2000})
    updater = app.updater()
    heard = Heard(updater)
    updater.start()
    assert updater.wait(10)
    assert heard.wait("app_ready").status == "1.5.0 opens at the next start"
    names = list(dict.fromkeys(heard.names))
    assert names == ["download", "download_complete", "update_available", "set_next", "app_ready"]
    heard.events.pop()
    percents = [event.percent for event in heard.events if event.name == "download"]
    assert percents == sorted(set(percents))
    assert percents[-1] == 100
    assert all(event.version == "1.5.0" for event in heard.events)
    complete = heard.wait("download_complete").bundle
    assert (complete.version, complete.status) == ("1.5.0", BundleStatus.PENDING)


@pytest.mark.parametrize(
    ("case", "kind", "error", "names"),
    [
        (
            "no_new_version_available",
            "up_to_date",
            "no_new_version_available",
            ["update_check_result", "no_need_update"],
        ),
        ("disable_device", "blocked", "disable_device", ["update_check_result", "no_need_update"]),
        ("already_on_builtin", "builtin", "already_on_builtin", ["update_check_result", "no_need_update"]),
        ("no_channel", "failed", "no_channel", ["update_check_result", "download_failed", "no_need_update"]),
        ("on_premise_app", "plan_ended", "on_premise_app", ["update_check_result", "no_need_update"]),
        ("too_many_requests", "rate_limited", "too_many_requests", ["update_check_result", "no_need_update"]),
    ],
)
def test_each_answer_is_told_with_its_kind_and_code(app, case, kind, error, names):
    app.service.reply_case(case)
    updater = app.updater()
    heard = Heard(updater)
    updater.start()
    assert updater.wait(10)
    assert heard.wait("app_ready").bundle == updater.current
    result = heard.wait("update_check_result")
    assert (result.kind, result.error) == (kind, error)
    assert result.bundle == updater.current
    assert heard.names == [*names, "app_ready"]


def test_a_download_that_fails_is_told_with_its_code(app):
    app.publish("1.5.0")
    app.service.set_fault("flip-bit", on="download")
    updater = app.updater()
    heard = Heard(updater)
    updater.start()
    assert updater.wait(10)
    failed = heard.wait("download_failed")
    assert (failed.version, failed.error) == ("1.5.0", "checksum_fail")


def test_the_life_of_a_launch_is_told(app):
    app.install("1.5.0")
    updater = app.launch(update_url="", reload=lambda: None)
    heard = Heard(updater)
    updater.set("builtin")
    assert heard.wait("set").bundle.id == "builtin"
    updater.set_next(updater.bundles()[0])
    assert heard.wait("set_next").bundle.version == "1.5.0"


def test_events_come_in_order(app):
    app.install("1.5.0")
    updater = app.launch(update_url="")
    heard = Heard(updater)
    wanted = ["builtin", updater.current.id] * 10
    for bundle_id in wanted:
        updater.set_next(bundle_id)
    updater.on("set_next", lambda _: None)
    last = threading.Event()
    updater.on("app_ready", lambda _: last.set())
    updater._engine.emitter.emit(Event("app_ready"))
    assert last.wait(5)
    assert [event.bundle.id for event in heard.events if event.name == "set_next"] == wanted


def test_unsubscribing_ends_one_subscription_and_can_be_done_twice(app):
    updater = app.launch(update_url="")
    first, second = queue.SimpleQueue(), queue.SimpleQueue()
    off = updater.on("set_next", first.put)
    updater.on("set_next", second.put)
    updater.set_next("builtin")
    assert first.get(timeout=5).name == second.get(timeout=5).name == "set_next"
    off()
    off()
    updater.set_next("builtin")
    second.get(timeout=5)
    assert first.empty()


def test_a_callback_may_unsubscribe_itself(app):
    updater = app.launch(update_url="")
    calls, later = [], queue.SimpleQueue()

    def once(event):
        calls.append(event)
        off()

    off = updater.on("set_next", once)
    updater.on("set_next", later.put)
    for _ in range(2):
        updater.set_next("builtin")
        later.get(timeout=5)
    assert len(calls) == 1


def test_without_dispatch_callbacks_run_on_a_thread_of_ours_that_delays_no_exit(app):
    updater = app.launch(update_url="")
    seen = queue.SimpleQueue()
    updater.on("set_next", lambda _: seen.put(threading.current_thread()))
    updater.set_next("builtin")
    thread = seen.get(timeout=5)
    assert thread is not threading.main_thread()
    assert thread.daemon


def test_nobody_listens_and_no_thread_is_made(app):
    updater = app.launch(update_url="")
    updater.set_next("builtin")
    assert updater._engine.emitter.thread is None


def test_dispatch_decides_where_callbacks_run(app):
    handed_over = queue.SimpleQueue()
    updater = app.launch(update_url="", dispatch=handed_over.put)
    ran = []
    updater.on("set_next", lambda event: ran.append((event.name, threading.current_thread())))
    updater.set_next("builtin")
    call = handed_over.get(timeout=5)
    assert ran == []
    call()
    assert ran == [("set_next", threading.current_thread())]


@pytest.mark.parametrize("dispatch", [None, lambda call: call()])
def test_an_exception_in_a_callback_is_logged_and_harms_nothing(app, caplog, dispatch):
    app.publish("1.5.0")
    updater = app.updater(dispatch=dispatch)
    heard = queue.SimpleQueue()

    def broken(event):
        raise ZeroDivisionError(event.name)

    for name in EVENT_NAMES:
        updater.on(name, broken)
    updater.on("set_next", heard.put)
    with caplog.at_level(logging.ERROR, logger="capgo_client"):
        updater.start()
        assert updater.wait(10)
        assert heard.get(timeout=5).version == "1.5.0"
    assert "a callback for download_complete raised" in caplog.text
    assert app.launch(update_url="").current.version == "1.5.0"


def test_a_dispatch_that_raises_harms_nothing(app, caplog):
    def dispatch(call):
        del call
        raise RuntimeError("the main loop is gone")

    app.publish("1.5.0")
    updater = app.updater(dispatch=dispatch)
    updater.on("set_next", print)
    updater.start()
    with caplog.at_level(logging.ERROR, logger="capgo_client"):
        assert updater.wait(10)
    assert updater.next_bundle.version == "1.5.0"
    updater.close()


# --- no lock of ours is held ----------------------------------------------------------------------------------------

_ACTIONS = {
    "notify_app_ready": lambda u: u.notify_app_ready(),
    "set_next": lambda u: u.set_next("builtin"),
    "set": lambda u: u.set("builtin"),
    "reset": lambda u: u.reset(),
    "download": lambda u: u.download(u.get_latest(), timeout=5),
    "delete": lambda u: [u.delete(bundle) for bundle in u.bundles() if bundle.version == "1.4.5"],
    "trigger_update_check": lambda u: u.trigger_update_check(),
    "verify": lambda u: u.verify(u.current),
    "report_crash": lambda u: u.report_crash(ValueError("boom")),
    "moved_to_background": lambda u: u.moved_to_background(),
    "close": lambda u: u.close(),
}


@pytest.mark.parametrize("action", _ACTIONS)
@pytest.mark.parametrize("dispatch", [None, lambda call: call()], ids=["own thread", "at once"])
@pytest.mark.parametrize("event", ["download", "set_next", "app_ready", "set"])
def test_a_callback_may_call_anything(app, action, dispatch, event):
    app.install("1.4.5")
    app.publish("1.5.0")
    updater = app.updater(dispatch=dispatch, reload=lambda: None)
    done, errors, calls = threading.Event(), [], []

    def act(told):
        calls.append(told)
        if len(calls) > 1:
            return  # what it does is told too
        try:
            _ACTIONS[action](updater)
        except Exception as exc:
            errors.append(exc)
        finally:
            done.set()

    updater.on(event, act)
    updater.start()
    causes = {
        "download": updater.trigger_update_check,
        "set_next": lambda: updater.set_next("builtin"),
        "app_ready": lambda: (updater.set("builtin"), updater.notify_app_ready()),
        "set": lambda: updater.set("builtin"),
    }
    thread = threading.Thread(target=causes[event], daemon=True)
    thread.start()
    assert done.wait(1.8), "a lock of ours was held"
    thread.join(5)
    assert not thread.is_alive()
    assert [error for error in errors if getattr(error, "code", "") in ("", "install_busy", "state_locked")] == []


def test_after_close_nothing_more_is_told(app):
    updater = app.launch(update_url="")
    told = []
    gate, entered = threading.Event(), threading.Event()
    updater.on("set_next", lambda event: (told.append(event), entered.set(), gate.wait(5)))
    updater.set_next("builtin")
    updater.set_next("builtin")
    assert entered.wait(5)
    thread = updater._engine.emitter.thread
    closer = threading.Thread(target=updater.close)
    closer.start()
    closer.join(1)
    gate.set()
    thread.join(5)
    assert not thread.is_alive()
    assert len(told) == 1


def test_an_emitter_without_callbacks_for_an_event_costs_nothing():
    emitter = Emitter()
    for name in EVENT_NAMES:
        emitter.emit(Event(name))
    assert emitter.thread is None


def test_the_progress_never_goes_back_when_the_archive_takes_over_from_the_files(app):
    files = {"main.py": b"x" * 50_000, "more.py": b"y" * 50_000}
    bundle = make_bundle("1.5.0", files, manifest=True, brotli=False)
    wrong = replace(bundle.manifest[1], data=b"z" * 50_000)
    app.service.publish(replace(bundle, manifest=(bundle.manifest[0], wrong)))
    updater = app.updater()
    heard = Heard(updater)
    updater.start()
    assert updater.wait(10)
    heard.wait("set_next")
    percents = [event.percent for event in heard.events if event.name == "download"]
    assert percents == sorted(set(percents))
    assert percents[-1] == 100
    assert len(app.service.downloads) >= 3
