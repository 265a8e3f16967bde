"""``set()``, ``reload`` and going to the background (section 4; decision 16)."""

from __future__ import annotations

import threading

import pytest
from hearing import Heard

from capgo_client import BundleError, BundleStatus
from capgo_client.testing import FakeClock, FaultyFiles


class App:
    """What the app does when it is told to change over."""

    def __init__(self):
        self.shown = []
        self.error = None

    def reload(self, bundle):
        self.shown.append(bundle)
        if self.error is not None:
            raise self.error


@pytest.fixture
def screen():
    return App()


def _get(app, updater, version):
    """Download a version by hand; return it."""
    app.publish(version)
    return updater.download(updater.get_latest())


def test_without_reload_set_queues_and_current_stays(app):
    updater = app.launch()
    bundle = _get(app, updater, "1.5.0")
    assert updater.set(bundle) == bundle
    assert updater.next_bundle == bundle
    assert updater.current.is_builtin
    assert app.launch(update_url="").current.version == "1.5.0"


def test_set_takes_an_id_as_well_as_a_bundle(app):
    updater = app.launch()
    bundle = _get(app, updater, "1.5.0")
    assert updater.set(bundle.id) == bundle


@pytest.mark.parametrize("name", ["set", "set_next", "delete"])
def test_an_unknown_bundle_is_an_error(app, name):
    updater = app.launch(update_url="", reload=lambda: None)
    with pytest.raises(BundleError) as caught:
        getattr(updater, name)("nosuchidxx")
    assert caught.value.code == "bundle_unknown"


def test_with_reload_set_switches_after_the_callable_returned(app):
    seen = []

    def reload(bundle):
        seen.append((bundle.version, updater.current.version))

    updater = app.launch(reload=reload)
    bundle = _get(app, updater, "1.5.0")
    assert updater.set(bundle).version == "1.5.0"
    assert seen == [("1.5.0", "1.4.0")]
    assert updater.current.version == "1.5.0"
    assert updater.next_bundle is None


def test_reload_may_take_no_argument(app):
    calls = []
    updater = app.launch(reload=lambda: calls.append("called"))
    updater.set(_get(app, updater, "1.5.0"))
    assert calls == ["called"]
    assert updater.current.version == "1.5.0"


@pytest.mark.parametrize("kind", ["one", "optional", "keywords", "star", "bound"])
def test_reload_is_given_the_bundle_wherever_it_takes_an_argument(app, screen, kind):
    calls = {
        "one": lambda bundle: screen.reload(bundle),  # noqa: PLW0108 - the shape is what is tested
        "optional": lambda bundle=None: screen.reload(bundle),
        "keywords": lambda bundle, *, fast=True: screen.reload(bundle),  # noqa: PLW0108
        "star": lambda *bundles: screen.reload(*bundles),  # noqa: PLW0108
        "bound": screen.reload,
    }
    updater = app.launch(reload=calls[kind])
    updater.set(_get(app, updater, "1.5.0"))
    assert [bundle.version for bundle in screen.shown] == ["1.5.0"]


def test_an_exception_in_reload_restores_everything(app, screen):
    app.install("1.5.0")
    app.publish("1.6.0")
    updater = app.launch(reload=screen.reload)
    assert updater.wait(10)
    before = (updater.current, updater.next_bundle, updater.fallback)
    assert before[1].version == "1.6.0"
    screen.error = RuntimeError("cannot draw")
    with pytest.raises(BundleError) as caught:
        updater.set(before[1])
    assert caught.value.code == "reload_failed"
    assert caught.value.__cause__ is screen.error
    assert (updater.current, updater.next_bundle, updater.fallback) == before
    assert updater.failed_update() is None
    updater.notify_app_ready()
    assert updater.fallback.version == "1.5.0"
    assert app.launch(update_url="").current.version == "1.6.0"


@pytest.mark.promise(5)
def test_a_failed_switch_does_not_use_up_a_try(app, screen):
    app.queue("1.5.0")
    updater = app.launch(update_url="", reload=screen.reload, max_boot_attempts=2)
    screen.error = RuntimeError("cannot draw")
    for _ in range(3):
        with pytest.raises(BundleError):
            updater.set("builtin")
    assert updater.current.version == "1.5.0"
    assert app.launch(update_url="", max_boot_attempts=2).current.version == "1.5.0"


@pytest.mark.promise(5)
def test_a_switch_is_a_new_launch_with_a_new_ready_timer(app, screen):
    clock = FakeClock()
    updater = app.launch(reload=screen.reload, clock=clock)
    bundle = _get(app, updater, "1.5.0")
    heard = Heard(updater)
    updater.notify_app_ready()
    updater.set(bundle)
    clock.wait_for_sleepers(2)
    clock.advance(10.0)
    assert heard.wait("update_failed").bundle.version == "1.5.0"


@pytest.mark.promise(5)
def test_ready_of_before_the_switch_says_nothing_about_what_was_switched_to(app, screen):
    updater = app.launch(reload=screen.reload, update_url=app.service.update_url)
    bundle = _get(app, updater, "1.5.0")
    updater.notify_app_ready()
    updater.set(bundle)
    assert updater.fallback.is_builtin
    assert updater.current.status is BundleStatus.PENDING
    updater.notify_app_ready()
    assert updater.fallback.version == "1.5.0"


@pytest.mark.promise(5)
def test_ready_while_reload_runs_does_not_confirm_what_is_being_opened(app):
    def reload(bundle):
        del bundle
        updater.notify_app_ready()

    updater = app.launch(reload=reload)
    updater.set(_get(app, updater, "1.5.0"))
    assert updater.fallback.is_builtin


@pytest.mark.promise(5)
def test_a_crash_after_a_switch_goes_back_to_the_good_one(app, screen):
    app.install("1.5.0")
    updater = app.launch(reload=screen.reload)
    updater.set(_get(app, updater, "1.6.0"))
    updater.report_crash(RuntimeError("boom"))
    assert updater.failed_update().version == "1.6.0"
    assert app.launch(update_url="").current.version == "1.5.0"


def test_the_open_bundle_may_be_opened_anew(app, screen):
    app.install("1.5.0")
    updater = app.launch(update_url="", reload=screen.reload)
    updater.set(updater.current)
    assert [bundle.version for bundle in screen.shown] == ["1.5.0"]
    assert app.launch(update_url="").current.version == "1.5.0"


def test_before_start_set_only_queues(app, screen):
    app.install("1.5.0")
    updater = app.updater(update_url="", reload=screen.reload)
    updater.set("builtin")
    assert screen.shown == []
    assert updater.start().is_builtin


def test_a_second_updater_cannot_switch_the_app_of_the_first(app, screen):
    app.install("1.5.0")
    app.launch(update_url="")
    second = app.updater(update_url="", reload=screen.reload)
    second.start()
    second.set("builtin")
    assert screen.shown == []
    assert second.current.version == "1.5.0"


@pytest.mark.promise(9)
def test_going_to_and_fro_holds_one_lease_for_each_bundle(app):
    app.install("1.5.0")
    app.install("1.6.0")
    files = FaultyFiles()
    updater = app.launch(update_url="", reload=lambda: None, files=files)
    older, newer = updater.bundles()
    for _ in range(5):
        for bundle in (older, newer):
            updater.set(bundle)
    held = [path for path in files.open_descriptors.values() if path.endswith("lease")]
    assert sorted(held) == sorted(str(bundle.path.parent / "lease") for bundle in (older, newer))
    updater.close()
    assert list(files.open_descriptors.values()) == [str(newer.path.parent / "lease")]


def test_a_reload_that_asks_for_another_switch_is_told_so_and_does_not_hang(app):
    app.install("1.5.0")

    def reload():
        updater.reset(to_last_successful=True)

    updater = app.launch(update_url="", reload=reload)
    with pytest.raises(BundleError) as caught:
        updater.set("builtin")
    assert caught.value.code == "reload_failed"
    assert caught.value.__cause__.code == "switch_running"
    assert updater.current.version == "1.5.0"


def test_a_switch_waits_for_the_one_that_runs(app):
    app.install("1.5.0")
    entered = threading.Semaphore(0)
    go_on = threading.Event()
    overlapped = []

    def reload(bundle):
        del bundle
        entered.release()
        if not go_on.is_set():
            overlapped.append(second_entered())
            go_on.set()

    def second_entered():
        other.start()
        assert entered.acquire(timeout=5)  # our own entry
        return entered.acquire(timeout=0.1)  # the other's must not come

    updater = app.launch(update_url="", reload=reload)
    proven = updater.current
    other = threading.Thread(target=updater.set, args=(proven,))
    updater.set("builtin")
    other.join(5)
    assert overlapped == [False]
    assert updater.current == proven


# --- background and foreground --------------------------------------------------------------------------------------


def test_going_to_the_background_applies_what_is_queued_where_there_is_a_reload(app, screen):
    updater = app.launch(reload=screen.reload)
    app.publish("1.5.0")
    assert updater.wait(10)
    updater.moved_to_background()
    assert [bundle.version for bundle in screen.shown] == ["1.5.0"]
    assert updater.current.version == "1.5.0"


def test_going_to_the_background_without_a_reload_leaves_it_for_the_next_start(app):
    updater = app.launch()
    app.publish("1.5.0")
    assert updater.wait(10)
    updater.moved_to_background()
    assert updater.current.is_builtin
    assert updater.next_bundle.version == "1.5.0"


def test_a_reload_that_raises_on_going_to_the_background_harms_nothing(app, screen):
    screen.error = RuntimeError("cannot draw")
    updater = app.launch(reload=screen.reload)
    app.publish("1.5.0")
    assert updater.wait(10)
    updater.moved_to_background()
    assert updater.current.is_builtin
    assert updater.next_bundle.version == "1.5.0"


@pytest.mark.parametrize("mode", ["off", "onlyDownload"])
def test_modes_that_never_queue_by_themselves_apply_nothing_in_the_background(app, screen, mode):
    updater = app.launch(reload=screen.reload, auto_update=mode)
    updater.set_next(_get(app, updater, "1.5.0"))
    updater.moved_to_background()
    assert screen.shown == []
    assert updater.next_bundle.version == "1.5.0"


def test_coming_back_to_the_foreground_asks_the_service(app):
    app.publish("1.4.0")  # up to date: after a failure the back-off would rule
    updater = app.launch()
    assert updater.wait(10)
    app.publish("1.5.0")
    updater.moved_to_background()
    updater.moved_to_foreground()
    assert updater.wait(10)
    assert len(app.service.checks) == 2
    assert updater.next_bundle.version == "1.5.0"


def test_a_direct_start_returns_the_new_bundle_itself(app):
    app.publish("1.5.0")
    updater = app.updater(auto_update="always")
    assert updater.start().version == "1.5.0"
    assert updater.current.version == "1.5.0"
    assert updater.next_bundle is None


def test_reset_with_reload_changes_over_to_the_builtin_now(app, screen):
    app.install("1.5.0")
    updater = app.launch(update_url="", reload=screen.reload)
    assert updater.reset().is_builtin
    assert updater.current.is_builtin
    assert [bundle.id for bundle in screen.shown] == ["builtin"]


def test_reset_to_the_last_good_one_with_reload(app, screen):
    app.install("1.5.0")
    app.queue("1.6.0")
    updater = app.launch(update_url="", reload=screen.reload)
    assert updater.reset(to_last_successful=True).version == "1.5.0"
    assert updater.current.version == "1.5.0"
