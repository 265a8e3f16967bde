"""What a device tells Capgo's console, through a whole life (reference/plugin-behaviour.md section 5; promise P10)."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from dataclasses import replace

import pytest
from children import Child, in_child

from capgo_client import BundleError, CapgoError
from capgo_client.protocol.stats import ACTIONS
from capgo_client.stats.lines import parse
from capgo_client.testing import FakeClock, make_bundle

OS_VERSION = "capgo_client.platforms.system.os_version"


@pytest.fixture(autouse=True)
def _nobody_sends(monkeypatch, request):
    """What is written down stays there, unless a test is about the sending."""
    if "sends" not in request.keywords:
        monkeypatch.setattr("capgo_client.stats.recorder.Stats.begin", lambda self: None)


def written(app):
    """Every event that waits on this device, oldest first."""
    path = app.data / "stats" / "events"
    return [json.loads(entry.text) for entry in parse(path.read_bytes()).entries] if path.exists() else []


def actions(app):
    return [(event["action"], event["version_name"]) for event in written(app)]


def since(app, before):
    return actions(app)[len(before) :]


def ready(updater):
    updater.notify_app_ready()
    assert updater.wait(10)


LAUNCH = [("app_launch_start", "1.4.0"), ("app_moved_to_foreground", "1.4.0"), ("app_launch_ready", "1.4.0")]
LAUNCH_AT_CLOSE = LAUNCH[:2]
TENTHS = [(f"download_{tenth}0", "1.5.0") for tenth in range(1, 10)]
CAME = [
    ("download_zip_start", "1.5.0"),
    *TENTHS,
    ("download_zip_complete", "1.5.0"),
    ("download_complete", "1.5.0"),
    ("set_next", "1.5.0"),
]


def test_a_first_launch_with_nothing_new(app):
    app.service.reply_case("no_new_version_available")
    ready(app.launch())
    assert actions(app) == LAUNCH


def test_an_update_is_told_from_its_first_byte_to_its_first_start(app):
    app.publish("1.5.0", {"main.py": "x", "data.bin": os.urandom(300_000)})
    ready(app.launch())
    assert actions(app) == LAUNCH + CAME
    queued = written(app)[-1]
    assert (queued["version_name"], queued["old_version_name"]) == ("1.5.0", "1.4.0")
    before = actions(app)
    ready(app.launch())
    told = since(app, before)
    assert sorted(told) == sorted(
        [
            ("app_launch_start", "1.5.0"),
            ("app_moved_to_foreground", "1.5.0"),
            ("set", "1.5.0"),
            ("app_launch_ready", "1.5.0"),
        ]
    )
    assert told[0] == ("app_launch_start", "1.5.0")
    opened = next(event for event in written(app) if event["action"] == "set")
    assert opened["old_version_name"] == "1.4.0"


def test_an_event_is_the_whole_info_object_and_when_it_happened(app):
    app.service.reply_case("no_new_version_available")
    clock = FakeClock(wall=1772366400.0)
    updater = app.launch(clock=clock, custom_id="till 7", default_channel="beta", version_code="1400")
    clock.advance(2.5)
    updater.notify_app_ready()
    event = next(event for event in written(app) if event["action"] == "app_launch_ready")
    assert event == {
        "platform": "electron",
        "device_id": updater.device_id,
        "app_id": "com.example.notes",
        "custom_id": "till 7",
        "version_build": "1.4.0",
        "version_code": "1400",
        "version_os": event["version_os"],
        "version_name": "1.4.0",
        "plugin_version": "8.51.14",
        "is_emulator": False,
        "is_prod": True,
        "defaultChannel": "beta",
        "action": "app_launch_ready",
        "old_version_name": "",
        "timestamp": 1772366402500,
        "metadata": {
            "launch_started_at": "1772366400000",
            "duration_ms": "2500",
            "source": "notify_app_ready",
        },
    }
    assert isinstance(event["version_os"], str)
    assert event["version_os"]


# --- what goes wrong ------------------------------------------------------------------------------------------------


def test_a_download_that_is_damaged_says_so_and_that_it_failed(app):
    app.publish("1.5.0")
    app.service.set_fault("flip-bit", on="download")
    ready(app.launch())
    assert since(app, LAUNCH)[-2:] == [("checksum_fail", "1.5.0"), ("download_fail", "1.4.0")]


def test_a_download_that_is_not_there_only_failed(app):
    app.publish("1.5.0")
    app.service.set_fault("http-404", on="download")
    ready(app.launch())
    assert since(app, LAUNCH) == [("download_zip_start", "1.5.0"), ("download_fail", "1.4.0")]


def test_a_check_that_fails_is_told_and_a_plan_that_ended_is_none(app):
    app.service.reply_case("unknown_error")
    ready(app.launch())
    assert since(app, LAUNCH) == [("download_fail", "1.4.0")]
    before = actions(app)
    app.service.clear_answers()
    app.service.reply_case("on_premise_app")
    ready(app.launch())
    assert "download_fail" not in [name for name, _ in since(app, before)]


def test_a_version_that_never_says_ready(app):
    clock = FakeClock()
    app.queue("1.5.0", clock=clock)
    before = actions(app)
    updater = app.launch(clock=clock, update_url="")
    failed = threading.Event()
    updater.on("update_failed", lambda _: failed.set())
    clock.wait_for_sleepers(2)
    clock.advance(10.0)
    assert failed.wait(5)
    told = since(app, before)
    assert ("app_launch_timeout", "1.5.0") in told
    assert told[-1] == ("update_fail", "1.5.0")
    timeout = next(event for event in written(app) if event["action"] == "app_launch_timeout")
    assert timeout["metadata"]["timeout_ms"] == "10000"
    assert timeout["metadata"]["duration_ms"] == "10000"


@pytest.mark.parametrize(
    ("does", "told_last"),
    [
        (lambda updater: updater.notify_app_ready(), "app_launch_ready"),
        (lambda updater: updater.report_crash(ZeroDivisionError()), "update_fail"),
    ],
)
def test_that_a_version_was_opened_is_told_before_what_became_of_it(app, does, told_last):
    clock = FakeClock()  # the worker has not begun
    app.queue("1.5.0", clock=clock)
    before = actions(app)
    does(app.launch(clock=clock, update_url=""))
    told = [action for action, _ in since(app, before)]
    assert told[:3] == ["app_launch_start", "app_moved_to_foreground", "set"]
    assert told[-1] == told_last


def test_a_crash_of_a_new_version_and_one_of_a_proven_version(app):
    app.queue("1.5.0")
    before = actions(app)
    updater = app.launch(update_url="")
    updater.report_crash(ZeroDivisionError("a secret"))
    assert [pair for pair in since(app, before) if "_fail" in pair[0]] == [
        ("app_initialization_failure", "1.5.0"),
        ("update_fail", "1.5.0"),
    ]
    crash = next(event for event in written(app) if event["action"] == "app_initialization_failure")
    assert crash["metadata"]["exit_reason"] == "ZeroDivisionError"
    assert "a secret" not in json.dumps(written(app))
    app.publish("1.6.0")
    app.install("1.6.0")
    before = actions(app)
    updater = app.launch(update_url="")
    updater.report_crash(ZeroDivisionError("a secret"))
    assert ("app_crash", "1.6.0") in since(app, before)
    assert "update_fail" not in [name for name, _ in since(app, before)]


@pytest.mark.parametrize("does", [lambda u: u.report_crash(ValueError()), lambda u: u.notify_app_ready()])
def test_what_happens_at_once_is_told_after_the_launch_that_it_happened_in(app, monkeypatch, does):
    monkeypatch.setattr("capgo_client.backstage.Backstage.note_launch", lambda self: None)  # the worker is slow
    does(app.launch(update_url=""))
    assert [name for name, _ in actions(app)][:2] == ["app_launch_start", "app_moved_to_foreground"]


SHORT = [("u.close()", LAUNCH_AT_CLOSE), ("pass", [])]


@pytest.mark.parametrize(("end", "told"), SHORT)
def test_a_launch_that_was_over_before_the_worker_began_is_told_of_by_close_alone(app, end, told):
    in_child(app, f"u = updater(); u.start(); {end}", stats_url=app.service.stats_url)
    assert actions(app) == told
    in_child(app, "u = updater(); u.start(); u.close()", stats_url=app.service.stats_url)
    assert since(app, told) == LAUNCH_AT_CLOSE  # and the launch before did not die


def test_a_version_that_used_up_its_starts_is_told_by_the_start_that_gives_it_up(app):
    app.queue("1.5.0")
    for _ in range(3):
        app.launch(update_url="")
    before = actions(app)
    updater = app.launch(update_url="")
    assert updater.current.is_builtin
    ready(updater)
    told = since(app, before)
    assert ("update_fail", "1.5.0") in told
    assert "reset" not in [name for name, _ in told]  # that is what an app, or the channel, asks for


def test_an_app_that_died_in_front_of_the_person_is_told_by_the_next_start(app):
    app.service.reply_case("no_new_version_available")
    body = "u = updater(); u.start(); u.notify_app_ready(); tell(1); input()"
    with Child(app, body, stats_url=app.service.stats_url) as child:
        assert child.heard() == 1
        child.kill()
    before = actions(app)
    ready(app.launch())
    crash = next(event for event in written(app)[len(before) :] if event["action"] == "app_crash")
    assert crash["version_name"] == "1.4.0"
    assert crash["metadata"]["exit_reason"] == "unclean_foreground_exit"
    assert crash["metadata"]["session_started_at"] == written(app)[0]["metadata"]["launch_started_at"]
    before = actions(app)
    ready(app.launch())  # the one before was closed
    assert "app_crash" not in [name for name, _ in since(app, before)]


@pytest.mark.parametrize("end", ["u.moved_to_background(); os._exit(0)", "u.close(); os._exit(0)", "sys.exit()", ""])
def test_an_app_that_ended_well_or_in_the_background_did_not_crash(app, end):
    app.service.reply_case("no_new_version_available")
    in_child(app, f"u = updater(); u.start(); u.notify_app_ready(); {end}", stats_url=app.service.stats_url)
    before = actions(app)
    assert before[:3] == LAUNCH
    ready(app.launch())
    assert "app_crash" not in [name for name, _ in since(app, before)]


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[]", b"{}", b'{"session_id": 1, "started_at": 2, "version": 3}', b"x" * 5000]
)
def test_a_damaged_mark_of_the_last_launch_is_none(app, damage):
    app.service.reply_case("no_new_version_available")
    app.launch().close()
    (app.data / "stats").mkdir(exist_ok=True)
    (app.data / "stats" / "in-front").write_bytes(damage)
    before = actions(app)
    ready(app.launch())
    assert "app_crash" not in [name for name, _ in since(app, before)]


def test_too_little_memory_for_a_download_is_told(app, monkeypatch):
    def starved(*args, **options):
        raise MemoryError

    app.publish("1.5.0")
    monkeypatch.setattr("capgo_client.arrival.fetch_archive", starved)
    updater = app.launch()
    ready(updater)
    assert actions(app)[-2:] == [("low_mem_fail", "1.5.0"), ("download_fail", "1.4.0")]


# --- what the app does ----------------------------------------------------------------------------------------------


def test_what_the_app_does_by_hand(app):
    app.install("1.5.0")
    updater = app.launch(update_url="", reload=lambda: None)
    ready(updater)
    before = actions(app)
    updater.reset()
    updater.set(updater.bundles()[0])
    updater.set_next("builtin")
    updater.moved_to_background()
    updater.moved_to_foreground()
    assert since(app, before) == [
        ("reset", "1.4.0"),
        ("set", "1.5.0"),
        ("set_next", "1.4.0"),
        ("app_moved_to_background", "1.5.0"),
        ("reset", "1.4.0"),
        ("app_moved_to_foreground", "1.4.0"),
    ]
    with pytest.raises(BundleError):
        updater.set("nosuchthing")
    assert actions(app)[-1] == ("set_fail", "nosuchthing")


def test_a_system_that_is_short_of_memory_is_told(app):
    updater = app.launch(update_url="")
    updater.report_memory_warning()
    assert actions(app)[-1] == ("app_memory_warning", "1.4.0")


def test_what_is_removed_is_told(app):
    for version in ("1.5.0", "1.6.0", "1.7.0"):
        app.install(version)
    ready(app.launch(update_url=""))
    assert ("delete", "1.5.0") in actions(app)
    updater = app.launch(update_url="")
    bundle = app.publish("1.8.0")
    loaded = updater.download(app.service.store("x.zip", bundle.archive), "1.8.0", checksum=bundle.checksum)
    updater.delete(loaded)
    assert actions(app)[-1] == ("delete", "1.8.0")


def test_another_system_and_another_installer_are_told_once(app, monkeypatch):
    app.service.reply_case("no_new_version_available")
    monkeypatch.setattr(OS_VERSION, lambda: "13")
    ready(app.launch())
    before = actions(app)
    monkeypatch.setattr(OS_VERSION, lambda: "14")
    ready(app.launch(version="1.4.1"))
    told = since(app, before)
    assert ("os_version_changed", "1.4.1") in told
    assert ("native_app_version_changed", "1.4.1") in told
    before = actions(app)
    ready(app.launch(version="1.4.1"))
    assert not {name for name, _ in since(app, before)} & {"os_version_changed", "native_app_version_changed"}


def test_a_rate_limit_is_told_once_in_a_process(app):
    app.service.reply_case("too_many_requests")
    updater = app.launch()
    ready(updater)
    for _ in range(2):
        updater.trigger_update_check()
        assert updater.wait(10)
    assert [name for name, _ in actions(app)].count("rate_limit_reached") == 1


def test_every_action_is_one_that_the_service_takes(app):
    app.install("1.5.0")
    updater = app.launch(reload=lambda: None)
    ready(updater)
    updater.report_crash(ValueError())
    assert {name for name, _ in actions(app)} <= ACTIONS


# --- when nothing is told -------------------------------------------------------------------------------------------


def test_an_empty_address_turns_statistics_off(app):
    ready(app.launch(stats_url=""))
    assert not (app.data / "stats" / "events").exists()


def test_turning_statistics_off_forgets_what_waited(app):
    ready(app.launch(update_url=""))
    assert actions(app) != []
    ready(app.launch(update_url="", stats_url=""))
    assert actions(app) == []


def test_a_second_process_tells_nothing(app):
    ready(app.launch(update_url=""))
    before = actions(app)
    beside = app.updater(update_url="")
    beside.start()
    beside.notify_app_ready()
    beside.close()
    assert actions(app) == before


def test_the_source_trees_code_tells_nothing(app, monkeypatch):
    monkeypatch.setenv("CAPGO_CLIENT_FORCE_BUILTIN", "1")
    updater = app.launch()
    updater.notify_app_ready()
    assert actions(app) == []


# --- over the wire --------------------------------------------------------------------------------------------------


@pytest.mark.sends
@pytest.mark.promise(10)
def test_what_happened_offline_arrives_later_in_order(app):
    app.service.reply_case("no_new_version_available")
    app.service.stop()
    ready(app.launch())
    app.close()
    offline = actions(app)
    assert offline[:3] == LAUNCH
    app.service.start()
    updater = app.launch()
    ready(updater)
    app.service.wait_for_requests(1, on="stats")
    told = [(event["action"], event["version_name"]) for event in app.service.events]
    assert told[: len(offline)] == offline
    assert len(told) > len(offline)
    assert app.service.refused == []
    thread = updater._engine.stats.thread
    if thread is not None:
        thread.join(5.0)  # nothing waits any more: it ends by itself
        assert not thread.is_alive()
    updater.moved_to_background()  # and news start another
    app.service.wait_for_requests(2, on="stats")
    assert app.service.events[-1]["action"] == "app_moved_to_background"


@pytest.mark.sends
@pytest.mark.promise(10)
def test_a_crash_of_the_process_loses_nothing(app):
    app.service.reply_case("no_new_version_available")
    body = "u = updater(); u.start(); u.notify_app_ready(); u.moved_to_background(); tell(1); input()"
    with Child(app, body, stats_url=app.service.stats_url) as child:
        assert child.heard() == 1
        os.kill(child._process.pid, signal.SIGKILL)
        child._process.wait(10)
    before = [("app_launch_start"), ("app_moved_to_foreground"), ("app_launch_ready"), ("app_moved_to_background")]
    assert [name for name, _ in actions(app)][:4] == before
    ready(app.launch())
    app.service.wait_for_requests(1, on="stats")
    assert [event["action"] for event in app.service.events][:4] == before


@pytest.mark.sends
@pytest.mark.promise(1)
def test_nothing_is_sent_before_the_app_is_open(app):
    app.service.reply_case("no_new_version_available")
    updater = app.launch(auto_update="always")
    assert [request for request in app.service.requests if request.path == "/stats"] == []
    ready(updater)
    assert app.service.wait_for_requests(1, on="stats")


@pytest.mark.sends
@pytest.mark.promise(10)
def test_a_process_that_waits_before_it_ends_has_told_everything_however_short_it_lived(app):
    app.service.reply_case("no_new_version_available")
    body = "u = updater(); u.start(); u.notify_app_ready(); u.wait(10); u.close(); tell(1)"
    for life in (1, 2, 3):
        with Child(app, body, stats_url=app.service.stats_url) as child:
            assert child.heard() == 1
        told = [event["action"] for event in app.service.events]
        assert told == [*["app_launch_start", "app_moved_to_foreground", "app_launch_ready"] * life]
    assert written(app) == []


@pytest.mark.sends
def test_wait_gives_statistics_that_nobody_takes_a_second_and_no_more(app):
    app.service.reply_case("no_new_version_available")
    app.service.set_fault("silence", on="stats")
    updater = app.launch()
    updater.notify_app_ready()
    began = time.monotonic()
    assert updater.wait()
    assert 1.0 <= time.monotonic() - began < 2.5
    assert updater.wait(0)


@pytest.mark.sends
def test_a_service_that_takes_no_statistics_costs_the_app_nothing(app):
    app.service.set_fault("silence", on="stats")
    app.publish("1.5.0")
    updater = app.launch()
    ready(updater)
    app.service.wait_for_requests(1, on="stats")
    assert updater.next_bundle.version == "1.5.0"
    updater.close()
    with pytest.raises(CapgoError):
        updater.set_next("builtin")
    assert updater._engine.stats.thread is not None
    updater._engine.stats.thread.join(1.0)
    assert not updater._engine.stats.thread.is_alive()
    assert len(actions(app)) > 3  # nothing was acknowledged, so nothing is gone


# --- deltas ---------------------------------------------------------------------------------------------------------


def test_a_delta_is_told_as_such(app):
    app.service.publish(make_bundle("1.5.0", {"main.py": "x", "more.py": "y"}, manifest=True))
    ready(app.launch())
    told = [pair for pair in since(app, LAUNCH) if not pair[0].endswith("0")]
    assert told == [
        ("download_manifest_start", "1.5.0"),
        ("download_manifest_complete", "1.5.0"),
        ("download_complete", "1.5.0"),
        ("set_next", "1.5.0"),
    ]


def test_a_file_of_a_delta_that_is_wrong_is_named_and_the_archive_is_taken(app):
    bundle = make_bundle("1.5.0", {"main.py": b"x" * 10, "more.py": b"y" * 10}, manifest=True)
    wrong = replace(bundle.manifest[0], data=b"z" * 10)
    app.service.publish(replace(bundle, manifest=(wrong, *bundle.manifest[1:])))
    updater = app.launch()
    ready(updater)
    told = [pair for pair in since(app, LAUNCH) if not pair[0].endswith("0")]
    assert told == [
        ("download_manifest_start", "1.5.0"),
        ("download_manifest_checksum_fail", f"1.5.0:{wrong.file_name}"),
        ("download_zip_start", "1.5.0"),
        ("download_zip_complete", "1.5.0"),
        ("download_complete", "1.5.0"),
        ("set_next", "1.5.0"),
    ]
    assert updater.next_bundle.version == "1.5.0"
