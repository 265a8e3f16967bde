"""What the mixin decides, with a stand-in for Kivy's App that knows `bind`, `run` and `stop`; no Kivy is needed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from capgo_client import BundleError, CapgoError, ConfigError, Event, launcher
from capgo_client import updater as updater_package
from capgo_client.events import Emitter
from capgo_client.integrations.kivy import LiveUpdates, on_clock
from capgo_client.integrations.kivy import app as mixin
from capgo_client.testing import make_bundle


class StandIn:
    """Runs until `stop()`; what happens meanwhile is `during`."""

    root = None

    def __init__(self, during=lambda app: None):
        self.during, self.observers, self.stops = during, {}, 0

    def bind(self, **observers):
        self.observers |= observers

    def run(self):
        self.during(self)
        self.stop()

    def stop(self):
        self.stops += 1
        for name, observer in self.observers.items():
            if name == "on_stop":
                observer(self)


class Probe(LiveUpdates, StandIn):
    pass


@pytest.fixture(autouse=True)
def nobody_started(monkeypatch):
    monkeypatch.setattr(updater_package.core, "_current", [])


@pytest.fixture
def restarts(monkeypatch):
    """Where the process would have been started anew; here it cannot be, for it runs tests."""
    seen = []
    monkeypatch.setattr(mixin, "_close_window", lambda: None)
    monkeypatch.setattr(mixin, "restart", lambda: seen.append("restart"))
    monkeypatch.setattr(mixin, "restart_obstacle", lambda: "")
    return seen


def started(capgo_updater, capgo_service, **options):
    """An Updater that has 1.1.0 on disk, not queued."""
    updater = capgo_updater(auto_update="off", **options)
    updater.start()
    capgo_service.publish(make_bundle("1.1.0", {"main.py": b""}))
    return updater, updater.download(updater.get_latest())


def test_nothing_of_kivy_is_imported_before_the_app_runs():
    code = (
        "import sys, capgo_client.integrations.kivy; print([name for name in sys.modules if name.startswith('kivy')])"
    )

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_wrong_order_of_bases_is_told_when_the_class_is_made():
    kivys = type("App", (StandIn,), {"__module__": "kivy.app"})

    with pytest.raises(ConfigError, match=r"App stands before LiveUpdates.*class Wrong\(LiveUpdates, App\)"):
        type("Wrong", (kivys, LiveUpdates), {})

    assert type("Right", (LiveUpdates, kivys), {}).run is LiveUpdates.run


def test_what_the_banner_listens_to_is_kept_for_the_app_all_the_same():
    emitter = Emitter(lambda deliver: deliver())
    observed, heard = [], []
    end = emitter.observe("update_available", observed.append)
    first, second = Event("update_available", version="1.1.0"), Event("update_available", version="1.2.0")

    emitter.emit(first)
    emitter.subscribe("update_available", heard.append)
    assert heard == [first]
    end()
    emitter.emit(second)

    assert (observed, heard) == ([first], [first, second])


def test_it_takes_the_updater_that_the_launcher_started(capgo_updater):
    updater = capgo_updater(auto_update="off")
    updater.start()
    seen = []

    Probe(lambda app: seen.append(app.updater)).run()

    assert seen == [updater]
    with pytest.raises(CapgoError, match="closed"):
        updater.trigger_update_check()


def test_it_starts_the_updater_that_the_app_makes(capgo_updater):
    class Made(Probe):
        def make_updater(self):
            return capgo_updater(auto_update="off")

    versions = []
    Made(lambda app: versions.append(app.updater.current.version)).run()

    assert versions == ["1.0.0"]


def test_without_an_updater_the_app_opens_all_the_same(caplog):
    seen = []

    Probe(lambda app: seen.append(app.can_restart)).run()

    assert seen == [False]
    assert "so nothing is updated" in caplog.text


def test_an_updater_that_was_closed_is_none_that_runs(capgo_updater, caplog):
    old = capgo_updater(auto_update="off")
    old.start()
    old.close()

    class Own(Probe):
        def make_updater(self):
            return capgo_updater(auto_update="off")

    seen = []
    for _ in range(2):
        Own(lambda app: seen.append(app.updater)).run()
    assert len({id(old), *map(id, seen)}) == 3
    assert caplog.text == ""

    Probe(lambda app: seen.append(app.can_restart)).run()
    assert seen[-1] is False
    assert "so nothing is updated" in caplog.text


def test_a_mistake_in_making_the_updater_is_told():
    class Wrong(Probe):
        def make_updater(self):
            raise CapgoError("wrong", code="invalid_option")

    with pytest.raises(CapgoError, match="wrong"):
        Wrong().run()


def test_callbacks_go_where_the_app_wants_them(capgo_updater):
    own = capgo_updater(auto_update="off", dispatch=lambda deliver: deliver())
    own.start()
    before = own._engine.emitter._dispatch
    Probe().run()
    assert own._engine.emitter._dispatch is before

    plain = capgo_updater(auto_update="off")
    plain.start()
    Probe().run()
    assert plain._engine.emitter._dispatch is on_clock


def test_it_stops_the_app_before_it_starts_anew(capgo_updater, capgo_service, restarts):
    updater, bundle = started(capgo_updater, capgo_service)
    updater.set_multi_delay([{"kind": "date", "value": "2999-01-01T00:00:00Z"}])
    app = Probe(lambda app: app.restart_into_update(bundle))

    app.run()

    assert (app.stops, restarts) == (2, ["restart"])
    assert capgo_updater(auto_update="off").start().version == "1.1.0", "whatever delay conditions there are"


def test_it_opens_what_is_queued_when_no_other_is_named(capgo_updater, capgo_service, restarts):
    updater, bundle = started(capgo_updater, capgo_service)
    updater.set_next(bundle)

    Probe(lambda app: app.restart_into_update()).run()

    assert restarts == ["restart"]


def test_nothing_stops_where_nothing_is_ready(capgo_updater, restarts):
    capgo_updater(auto_update="off").start()
    app = Probe(lambda app: app.restart_into_update())

    with pytest.raises(BundleError, match="no update is ready"):
        app.run()

    assert (app.stops, restarts) == (0, [])


def test_where_nothing_can_be_restarted_the_app_stays_open(capgo_updater, capgo_service):
    _, bundle = started(capgo_updater, capgo_service)
    app = Probe(lambda app: app.restart_into_update(bundle))

    with pytest.raises(CapgoError, match="this process runs tests") as caught:
        app.run()

    assert caught.value.code == "restart_impossible"
    assert app.stops == 0
    assert not app.can_restart


def test_an_app_with_a_way_of_its_own_changes_over_by_that(capgo_updater, capgo_service):
    reloaded = []
    updater, bundle = started(capgo_updater, capgo_service, reload=lambda bundle: reloaded.append(bundle.version))
    seen = []

    def during(app):
        seen.append(app.can_restart)
        app.restart_into_update(bundle)
        seen.append(updater.current.version)

    app = Probe(during)
    app.run()

    assert (seen, reloaded, app.stops) == ([True, "1.1.0"], ["1.1.0"], 1)


def test_launcher_restart_as_reload_is_no_way_of_its_own(capgo_updater, capgo_service, request):
    assert mixin.restart is launcher.restart
    restarts = request.getfixturevalue("restarts")
    _, bundle = started(capgo_updater, capgo_service, reload=mixin.restart)
    app = Probe(lambda app: app.restart_into_update(bundle))

    app.run()

    assert (app.stops, restarts) == (2, ["restart"]), "the app is stopped first"


def test_a_restart_that_fails_is_logged(capgo_updater, capgo_service, restarts, monkeypatch, caplog):
    def fails():
        raise CapgoError("no fresh interpreter could be started", code="restart_impossible")

    monkeypatch.setattr(mixin, "restart", fails)
    _, bundle = started(capgo_updater, capgo_service)

    Probe(lambda app: app.restart_into_update(bundle)).run()

    assert "the update opens at the next start" in caplog.text


def test_pause_and_resume_after_the_end_harm_nobody(capgo_updater):
    capgo_updater(auto_update="off").start()
    app = Probe()
    app.run()

    for name in ("on_pause", "on_resume", "on_stop"):
        assert app.observers[name](app) is None, "True would keep it from the app's own method"
