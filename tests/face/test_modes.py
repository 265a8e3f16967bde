"""What each mode opens, queues, asks and says, in each situation (reference/plugin-behaviour.md section 7)."""

from __future__ import annotations

import pytest
from one_app import BUILTIN_VERSION

from capgo_client import ConfigError
from capgo_client.testing import FakeClock

MODES = ("off", "atBackground", "atInstall", "onLaunch", "always", "onlyDownload")
ASKING = ("atBackground", "atInstall", "onLaunch", "always", "onlyDownload")
#: Every event but the progress of a download.
WATCHED = (
    "app_ready",
    "download_complete",
    "download_failed",
    "no_need_update",
    "set",
    "set_next",
    "update_available",
    "update_check_result",
    "update_failed",
)


def watched(app, **options):
    """Start an Updater; return it and the list of its events, each as (name, version or kind)."""
    app.close()
    updater = app.updater(dispatch=lambda deliver: deliver(), **options)
    seen = []
    for name in WATCHED:
        updater.on(name, lambda event: seen.append((event.name, event.kind or event.version)))
    updater.start()
    return updater, seen


def queued(updater):
    bundle = updater.next_bundle
    return None if bundle is None else bundle.version


@pytest.fixture
def last_good(app):
    """A device on which 2.0.0 is the last good version; the service has been asked by nobody since."""
    app.install("2.0.0")
    app.asked = len(app.service.checks)
    return app


def checks(app):
    return len(app.service.checks) - app.asked


@pytest.mark.parametrize("mode", MODES)
def test_with_nothing_new_every_mode_opens_the_last_good_version(last_good, mode):
    updater, seen = watched(last_good, auto_update=mode)
    assert updater.current.version == "2.0.0"
    assert updater.wait(10)
    assert queued(updater) is None
    said = [("update_check_result", "up_to_date"), ("no_need_update", "")]
    assert seen == [*([] if mode == "off" else said), ("app_ready", "")]
    assert checks(last_good) == (0 if mode == "off" else 1)


@pytest.mark.parametrize(
    ("mode", "opens", "next_version", "events"),
    [
        ("off", "2.0.0", None, []),
        ("atBackground", "2.0.0", "3.0.0", ["download_complete", "update_available", "set_next"]),
        ("atInstall", "2.0.0", "3.0.0", ["download_complete", "update_available", "set_next"]),
        ("onLaunch", "3.0.0", None, ["download_complete", "update_available", "set"]),
        ("always", "3.0.0", None, ["download_complete", "update_available", "set"]),
        ("onlyDownload", "2.0.0", None, ["download_complete", "update_available"]),
    ],
)
def test_an_update_is_opened_queued_or_only_downloaded_as_the_mode_says(last_good, mode, opens, next_version, events):
    last_good.publish("3.0.0")
    updater, seen = watched(last_good, auto_update=mode)
    assert updater.current.version == opens
    assert updater.wait(10)
    assert queued(updater) == next_version
    # What was opened just now has yet to say that it is ready: until then the app is not told that it is.
    ready = [] if opens == "3.0.0" else [("app_ready", "")]
    assert seen == [(name, "3.0.0") for name in events] + ready
    assert checks(last_good) == (0 if mode == "off" else 1)
    assert [b.version for b in updater.bundles()] == (["2.0.0"] if mode == "off" else ["2.0.0", "3.0.0"])
    assert updater.fallback.version == "2.0.0"


@pytest.mark.parametrize("mode", MODES)
def test_a_queued_version_opens_in_every_mode(last_good, mode):
    last_good.queue("3.0.0")
    last_good.asked = len(last_good.service.checks)
    updater, seen = watched(last_good, auto_update=mode)
    assert updater.current.version == "3.0.0"
    assert updater.wait(10)
    assert queued(updater) is None
    # The direct modes ask before they open, and say what they are about to open: it is not offered once more.
    said = [] if mode == "off" else [("update_check_result", "up_to_date"), ("no_need_update", "")]
    opened = [("set", "3.0.0")]
    assert seen == (said + opened if mode in {"onLaunch", "always"} else opened + said)
    assert checks(last_good) == (0 if mode == "off" else 1)
    assert len(last_good.service.downloads) == 2


@pytest.mark.promise(2)
@pytest.mark.promise(8)
@pytest.mark.parametrize("mode", MODES)
def test_with_the_service_down_every_mode_opens_the_last_good_version_and_deletes_nothing(last_good, mode):
    last_good.service.stop()
    updater, seen = watched(last_good, auto_update=mode)
    assert updater.current.version == "2.0.0"
    assert updater.wait(10)
    assert queued(updater) is None
    said = [] if mode == "off" else ["update_check_result", "download_failed", "no_need_update"]
    assert [name for name, _ in seen] == [*said, "app_ready"]
    assert [b.version for b in updater.bundles()] == ["2.0.0"]
    assert last_good.data.joinpath("installs", updater.current.id, "app", "main.py").read_text() == "print('2.0.0')\n"


@pytest.mark.promise(8)
@pytest.mark.parametrize("mode", MODES)
def test_with_the_service_down_a_queued_version_opens_in_every_mode(last_good, mode):
    last_good.queue("3.0.0")
    last_good.service.stop()
    updater, _ = watched(last_good, auto_update=mode)
    assert updater.current.version == "3.0.0"
    assert updater.wait(10)
    assert [b.version for b in updater.bundles()] == ["2.0.0", "3.0.0"]


# ---- by hand ----


def test_off_downloads_without_queueing_when_triggered(last_good):
    last_good.publish("3.0.0")
    updater, seen = watched(last_good, auto_update="off")
    assert updater.wait(10)
    assert updater.trigger_update_check() == "queued"
    assert updater.wait(10)
    assert queued(updater) is None
    done = [("download_complete", "3.0.0"), ("update_available", "3.0.0")]
    assert seen == [("app_ready", ""), *done, ("app_ready", "")]
    assert last_good.launch(auto_update="off").current.version == "2.0.0"


def test_a_trigger_in_mode_off_asks_even_while_the_first_tidying_up_is_still_due(last_good):
    last_good.publish("3.0.0")
    updater = last_good.launch(auto_update="off", clock=FakeClock())
    assert updater.trigger_update_check() == "queued"
    assert updater.wait(10)
    assert checks(last_good) == 1


def test_only_download_says_at_every_launch_that_a_version_waits_for_the_app(last_good):
    last_good.publish("3.0.0")
    watched(last_good, auto_update="onlyDownload")[0].wait(10)
    updater, seen = watched(last_good, auto_update="onlyDownload")
    assert updater.wait(10)
    assert updater.current.version == "2.0.0"
    assert seen == [("update_available", "3.0.0"), ("app_ready", "")]
    assert len(last_good.service.downloads) == 2
    updater.set_next(next(b for b in updater.bundles() if b.version == "3.0.0"))
    assert last_good.launch(auto_update="onlyDownload").current.version == "3.0.0"


def test_only_download_leaves_going_back_to_the_builtin_to_the_app(last_good):
    last_good.service.want_builtin()
    updater, seen = watched(last_good, auto_update="onlyDownload")
    assert updater.wait(10)
    assert queued(updater) is None
    assert ("update_available", BUILTIN_VERSION) in seen
    assert last_good.launch(auto_update="onlyDownload").current.version == "2.0.0"


@pytest.mark.parametrize(
    ("mode", "first", "second"),
    [
        ("off", "2.0.0", "2.0.0"),
        ("atBackground", "2.0.0", BUILTIN_VERSION),
        ("atInstall", "2.0.0", BUILTIN_VERSION),
        ("onLaunch", BUILTIN_VERSION, BUILTIN_VERSION),
        ("always", BUILTIN_VERSION, BUILTIN_VERSION),
        ("onlyDownload", "2.0.0", "2.0.0"),
    ],
)
def test_going_back_to_the_builtin_follows_the_mode_like_any_version(last_good, mode, first, second):
    last_good.service.want_builtin()
    updater = last_good.launch(auto_update=mode)
    assert updater.current.version == first
    assert updater.wait(10)
    assert last_good.launch(auto_update=mode).current.version == second


# ---- the first start of an installer ----


@pytest.mark.parametrize(
    ("mode", "opens"),
    [
        ("off", BUILTIN_VERSION),
        ("atBackground", BUILTIN_VERSION),
        ("atInstall", "3.0.0"),
        ("onLaunch", "3.0.0"),
        ("always", "3.0.0"),
        ("onlyDownload", BUILTIN_VERSION),
    ],
)
def test_the_first_start_ever_waits_in_the_direct_modes_only(app, mode, opens):
    app.publish("3.0.0")
    assert app.launch(auto_update=mode).current.version == opens


def test_at_install_waits_once_for_each_version_of_the_installer(app):
    app.publish("3.0.0")
    updater = app.launch(auto_update="atInstall")
    assert updater.current.version == "3.0.0"
    updater.notify_app_ready()
    assert updater.wait(10)

    app.publish("4.0.0")
    updater = app.launch(auto_update="atInstall")
    assert updater.current.version == "3.0.0"
    assert updater.wait(10)
    assert queued(updater) == "4.0.0"

    updater = app.launch(auto_update="atInstall", version="3.5.0")
    assert updater.current.version == "4.0.0"
    assert updater.wait(10)
    app.publish("5.0.0")
    assert app.launch(auto_update="atInstall", version="3.5.0").current.version == "4.0.0"


def test_at_install_does_not_wait_again_after_a_first_start_without_the_service(app):
    app.publish("3.0.0")
    app.service.stop()
    assert app.launch(auto_update="atInstall").current.version == BUILTIN_VERSION
    app.service.start()
    updater = app.launch(auto_update="atInstall")
    assert updater.current.version == BUILTIN_VERSION
    assert updater.wait(10)
    assert queued(updater) == "3.0.0"


# ---- booleans and values of old ----


@pytest.mark.parametrize(
    ("auto_update", "direct_update", "opens", "asks"),
    [
        (True, False, BUILTIN_VERSION, 1),
        ("true", False, BUILTIN_VERSION, 1),
        (True, True, "3.0.0", 1),
        (True, "true", "3.0.0", 1),
        (True, "always", "3.0.0", 1),
        (True, "atInstall", "3.0.0", 1),
        (True, "onLaunch", "3.0.0", 1),
        (True, "false", BUILTIN_VERSION, 1),
        ("atBackground", True, BUILTIN_VERSION, 1),
        ("onlyDownload", "always", BUILTIN_VERSION, 1),
        (False, False, BUILTIN_VERSION, 0),
        ("false", False, BUILTIN_VERSION, 0),
        (False, True, BUILTIN_VERSION, 0),
        ("off", "always", BUILTIN_VERSION, 0),
    ],
)
def test_booleans_and_the_deprecated_direct_update_mean_what_they_mean_in_capgo(
    app, auto_update, direct_update, opens, asks
):
    app.publish("3.0.0")
    updater = app.launch(auto_update=auto_update, direct_update=direct_update)
    assert updater.current.version == opens
    assert updater.wait(10)
    assert len(app.service.checks) == asks


def test_direct_update_at_install_waits_on_the_first_start_only(app):
    app.publish("3.0.0")
    app.launch(auto_update=True, direct_update="atInstall").notify_app_ready()
    app.publish("4.0.0")
    assert app.launch(auto_update=True, direct_update="atInstall").current.version == "3.0.0"


@pytest.mark.parametrize("mode", ["sometimes", "", "ALWAYS", 1, None, "atbackground"])
def test_an_unknown_mode_raises_instead_of_meaning_the_default(app, mode):
    with pytest.raises(ConfigError, match="auto_update"):
        app.updater(auto_update=mode)


# ---- start() is one thing, done once ----


@pytest.mark.parametrize("mode", MODES)
def test_start_twice_gives_the_same_bundle_and_asks_once(last_good, mode):
    last_good.publish("3.0.0")
    updater = last_good.launch(auto_update=mode)
    first = updater.current
    assert updater.start() == first
    assert updater.wait(10)
    assert updater.start().id == first.id
    assert checks(last_good) == (0 if mode == "off" else 1)


@pytest.mark.parametrize("mode", ASKING)
def test_an_empty_update_url_asks_nobody_in_any_mode(last_good, mode):
    updater = last_good.launch(auto_update=mode, update_url="")
    assert updater.current.version == "2.0.0"
    assert updater.wait(10)
    assert checks(last_good) == 0
    assert updater.trigger_update_check() == "unavailable"


# ---- while the app runs ----


@pytest.mark.parametrize(("mode", "runs"), [("always", "3.0.0"), ("onLaunch", "2.0.0"), ("atBackground", "2.0.0")])
def test_a_later_check_changes_the_running_app_only_in_mode_always(last_good, mode, runs):
    shown = []
    updater, seen = watched(last_good, auto_update=mode, reload=shown.append)
    assert updater.wait(10)
    last_good.publish("3.0.0")
    assert updater.trigger_update_check() == "queued"
    assert updater.wait(10)
    assert updater.current.version == runs
    assert [bundle.version for bundle in shown] == (["3.0.0"] if mode == "always" else [])
    assert (("set", "3.0.0") in seen) == (mode == "always")
    assert queued(updater) == (None if mode == "always" else "3.0.0")


@pytest.mark.parametrize(("mode", "runs"), [("atBackground", "3.0.0"), ("onlyDownload", "2.0.0"), ("off", "2.0.0")])
def test_going_to_the_background_applies_what_is_queued_where_the_mode_queues(last_good, mode, runs):
    shown = []
    last_good.publish("3.0.0")
    updater = last_good.launch(auto_update=mode, reload=shown.append)
    assert updater.wait(10)
    updater.moved_to_background()
    assert updater.current.version == runs
    assert len(shown) == (1 if mode == "atBackground" else 0)


# ---- in words ----


@pytest.mark.parametrize("mode", ["atInstall", "onLaunch", "always"])
def test_what_a_start_waited_for_is_said_to_be_open_and_not_to_open_later(app, mode):
    app.publish("1.5.0")
    told = []
    updater = app.updater(auto_update=mode, dispatch=lambda deliver: deliver())
    updater.on("app_ready", lambda event: told.append(event.status))
    assert updater.start().version == "1.5.0"
    updater.notify_app_ready()
    assert updater.wait(10)

    said = updater.explain()
    assert (told, said.result, said.remedy) == (["1.5.0 is open"], "1.5.0 is open", "Nothing needs to change.")
    assert "next start" not in str(said)


def test_what_a_start_waited_for_and_was_rolled_back_is_said_so(app):
    app.publish("1.5.0")
    updater = app.updater(auto_update="onLaunch")
    assert updater.start().version == "1.5.0"
    updater.report_crash(ValueError("bad"))
    assert updater.wait(10)

    said = updater.explain()
    assert said.result == "1.5.0 was opened and rolled back"
    assert said.remedy == "The service has to offer another version, or the rule that refused it has to change."
    assert "next start opens it" not in str(said)
