"""P4 and P9 for several processes at once: in whatever order their file-system calls come, nothing is torn or lost.

Hypothesis draws what each of three processes does, where one of them is killed, and who makes the next call; a failure
is shrunk to the few switches that it takes (``together_turns``).
"""

from __future__ import annotations

import itertools
import logging
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from together_shop import Shop
from together_turns import Actor, Turns, Unflushed, in_turns

from capgo_client import CapgoError, Updater
from capgo_client.install import checked
from capgo_client.install.audit import audit
from capgo_client.install.ledger import FROM_FILE, FROM_NOTHING, FROM_OLDER, Ledger
from capgo_client.install.store import Store
from capgo_client.install.trees import remove_tree
from capgo_client.life.state import State
from capgo_client.seams import Files

pytestmark = [pytest.mark.promise(4), pytest.mark.promise(9), pytest.mark.slow]

VERSIONS = ("1.1.0", "1.2.0", "1.3.0")
EXAMPLES = int(os.environ.get("CRASH_SCHEDULES", "150"))
#: Every so manieth place between two calls is tried (1: each).
STRIDE = int(os.environ.get("CRASH_STRIDE", "3"))
BUILTIN = "1.0.0"


class Device:
    """One data directory, what was seen of it so far, and what must always hold."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.data = folder / "data"
        self.builtin = folder / "builtin"
        self.builtin.mkdir(exist_ok=True)
        (self.builtin / "main.py").write_text("print('builtin')")
        if self.data.exists():
            remove_tree(self.data, files=Files())  # also what is read-only
        self.shop = Shop(*VERSIONS)
        self.store = Store(self.data, files=Files())
        self.state = State(native_version=BUILTIN)
        self.actors: list[Actor] = []
        self.deaths = 0

    def updater(self, files=None, **options):
        return Updater(
            "com.example.notes", BUILTIN, self.builtin, data_dir=self.data, update_url="http://127.0.0.1:9/updates",
            stats_url="", channel_url="", auto_update="atBackground", transport=self.shop,
            files=files or Unflushed(),
            device_id="00000000-0000-4000-8000-000000000001", **options,
        )  # fmt: skip

    def load(self):
        ledger = Ledger(
            self.data, files=Files(), fresh=lambda: State(native_version=BUILTIN), rebuild=lambda: None,
            newer=lambda document: pytest.fail("a newer schema"),
        )  # fmt: skip
        return ledger.load()

    # ---- what must hold ----

    def look(self, actor: Actor, call):
        """After each call of whomever."""
        for each in self.actors:
            if each.runs_from is not None:
                assert (each.runs_from / "main.py").exists(), (
                    f"{actor.name} took away what {each.name} runs from: {call}"
                )
        deciding = [each.name for each in self.actors if each.updater is not None and each.updater._engine.may_write]
        assert len(deciding) <= 1, f"{deciding} all decide"
        if (self.data / "state.json").exists():
            checked.unpack((self.data / "state.json").read_bytes())
        if call[0] != "rename":
            return
        if Path(call[2]).name in ("state.json", "state.old"):
            self._look_at_state(actor, Path(call[2]).name)
        if Path(call[2]).parent == self.store.installs:
            self._look_for_twins()

    def _look_at_state(self, actor: Actor, name: str):
        loaded = self.load()
        assert loaded.origin == (FROM_FILE if name == "state.json" else FROM_OLDER)
        before, after = self.state, loaded.state
        if name == "state.old":
            return
        if _judged(before) != _judged(after):
            behind = actor.updater._engine
            assert behind.may_write, f"{actor.name} is not the one that decides: {before} -> {after}"
        known = {"builtin", *(install.id for install in after.installs)}
        assert {after.current, after.fallback, after.previous, after.next or "builtin"} <= known, after
        self.state = after

    def _look_for_twins(self):
        seals = [self.store.seal(bundle_id) for bundle_id in self.store.ids()]
        known = {install.id for install in self.load().state.installs}
        made = sorted((seal.version, seal.checksum) for seal in seals if seal.id in known or len(known) < len(seals))
        assert len(set(made)) == len(made), f"installed twice: {made}"

    def look_hard(self):
        """When nobody is in the middle of anything: what the state names is there, and whole."""
        loaded = self.load()
        assert loaded.origin in (FROM_FILE, FROM_OLDER, FROM_NOTHING)
        for bundle_id in {loaded.state.current, loaded.state.fallback, loaded.state.next} - {"builtin", ""}:
            assert audit(self.store.installs / bundle_id, files=Files(), should_stop=lambda: False) == ()

    def settle(self):
        """One healthy start tidies up, the next one runs what is offered unless it was condemned here."""
        for _ in range(2):
            with self.updater() as app:
                app.start()
                app.notify_app_ready()
                assert app.wait(20)
                assert app.verify(app.current).ok
                opened = app.current.version
        for name in ("staging", "trash"):
            assert [path.name for path in (self.data / name).iterdir()] == []
        kept = {path.stem for path in (self.data / "downloads").iterdir()}
        assert len(kept) <= any(actor.dies_in is not None for actor in self.actors), kept  # for the next try of it
        state = self.load().state
        assert set(self.store.ids()) == {install.id for install in state.installs}
        bad = {verdict.version for verdict in state.verdicts}
        assert opened == self.shop.offer or self.shop.offer in bad, f"{opened} opened, {self.shop.offer} is offered"
        assert len({install.version for install in state.installs}) == len(state.installs)


def _judged(state: State):
    """What only the one process that counts may change."""
    counts = {install.id: (install.attempts, install.crashes) for install in state.installs if install.attempts}
    return state.verdicts, state.launch, state.fallback, counts


class Script:
    """What one process does, one method a step."""

    def __init__(self, device: Device, steps, *, dies_after):
        self.device = device
        self.steps = steps
        self.dies_after = dies_after

    def __call__(self, actor: Actor):
        self.actor = actor
        actor.dies_in = self.dies_after
        self.open()
        for name, number in self.steps:
            try:
                getattr(self, name)(number)
            except CapgoError as exc:
                if name not in MAY_RAISE or exc.code not in CODES:
                    raise RuntimeError(f"{name} raised {exc!r}") from exc
            self.note()
        self.check_own_files()
        self.close(0)

    @property
    def app(self) -> Updater:
        return self.actor.updater

    def note(self):
        if self.actor.updater is not None and self.app._engine.session is not None:
            path = self.app.current.path
            self.actor.runs_from = None if self.app.current.is_builtin else path

    def open(self, number=0):
        self.actor.updater = self.device.updater(self.actor.files, reload=lambda bundle: None)
        self.app.start()
        assert "cannot be written" not in self.app._engine.session.opened.why, "nothing is wrong with this disk"
        self.note()

    def close(self, number):
        if self.actor.updater is not None:
            self.actor.runs_from = None
            self.app.close()
            self.actor.bury()

    def start_again(self, number):
        self.close(0)
        self.open()

    def ready(self, number):
        self.app.notify_app_ready()

    def crash(self, number):
        self.app.report_crash(RuntimeError("on purpose"))

    def too_late(self, number):
        session = self.app._engine.session
        if session._timer is not None and not session._is_ready:
            session._timer.expired()

    def cycle(self, number):
        self.app.trigger_update_check()
        self.app.wait()

    def publish(self, number):
        self.device.shop.offer = VERSIONS[number % len(VERSIONS)]

    def download(self, number):
        version = VERSIONS[number % len(VERSIONS)]
        made = self.device.shop.made[version]
        self.app.download(self.device.shop.url(version), version, checksum=made.checksum)

    def set_next(self, number):
        self.app.set_next(self._any(number))

    def set(self, number):
        self.actor.runs_from = None  # which of the two it is, is not settled until it returns
        self.app.set(self._any(number))

    def reset(self, number):
        self.actor.runs_from = None
        self.app.reset(to_last_successful=bool(number % 2))

    def delete(self, number):
        self.app.delete(self._any(number))

    def verify(self, number):
        self.app.bundles()
        self.check_own_files()

    def outlive(self, number):
        """Run from what is open until the others are done."""
        self.actor.outlives = True
        self.actor.turn("outlive")

    def check_own_files(self):
        current = self.app.current
        if not current.is_builtin:
            folder = current.path.parent
            assert audit(folder, files=Files(), should_stop=lambda: False) == (), f"{self.actor.name} ran from {folder}"

    def _any(self, number) -> str:
        known = [bundle.id for bundle in self.app.bundles()] or ["builtin"]
        return known[number % len(known)]


#: What the by-hand methods may raise (errors.py); ``start`` and what belongs to it raise nothing.
MAY_RAISE = {"download", "set_next", "set", "reset", "delete"}
CODES = {
    "bundle_unknown", "bundle_protected", "bundle_in_use", "bundle_damaged", "failed_before", "install_busy",
    "state_locked",
}  # fmt: skip
STEPS = (
    "start_again", "ready", "crash", "too_late", "cycle", "publish", "download", "set_next", "set", "reset", "delete",
    "verify",
)  # fmt: skip


def run_together(device: Device, scripts, plan, monkeypatch):
    """Let the scripts run by the plan; return the turns that it took."""
    turns = Turns(plan, look=device.look)
    device.actors = [Actor(turns, name, script) for name, script in zip("ABCDE", scripts, strict=False)]
    bugs = Bugs()
    logging.getLogger("capgo_client").addHandler(bugs)
    try:
        with in_turns(monkeypatch):
            turns.run(device.actors)
            for actor in device.actors:
                if actor.error is not None:
                    raise actor.error
            device.look_hard()
            device.settle()
    finally:
        logging.getLogger("capgo_client").removeHandler(bugs)
    assert bugs.told == []
    return turns


class Bugs(logging.Handler):
    """What the library itself calls a bug in its log."""

    def __init__(self):
        super().__init__(logging.ERROR)
        self.told: list[str] = []

    def emit(self, record):
        if record.exc_info:
            self.told.append(f"{record.getMessage()}: {record.exc_info[1]!r}")


steps = st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 3)), max_size=6)
deaths = st.one_of(st.none(), st.none(), st.integers(0, 400))
plans = st.lists(st.tuples(st.integers(1, 120), st.integers(0, 2)), max_size=14)


@settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(programs=st.lists(st.tuples(steps, deaths), min_size=2, max_size=3), plan=plans)
def test_in_whatever_order_their_calls_come_processes_do_not_harm_each_other(tmp_path, monkeypatch, programs, plan):
    device = Device(tmp_path)
    scripts = [Script(device, program, dies_after=death) for program, death in programs]
    run_together(device, scripts, plan, monkeypatch)


# ---- every place at which one process can get between two calls of another -------------------------------------------


def prepared(device: Device):
    """1.1.0 proved itself and runs, 1.2.0 is on disk, downloaded by the app; 1.3.0 is offered."""
    device.shop.offer = "1.1.0"
    for _ in range(2):
        with device.updater() as app:
            app.start()
            app.notify_app_ready()
            assert app.wait(20)
            if app.current.version == "1.1.0":
                app.download(device.shop.url("1.2.0"), "1.2.0", checksum=device.shop.made["1.2.0"].checksum)
    device.shop.offer = "1.3.0"


#: Whether the device is prepared, what the first does, what the second does in the middle of it. The numbers are those
#: in ``bundles()``: 0 is 1.1.0, 1 is 1.2.0; for downloads those in VERSIONS.
PROVE = [("set_next", 1), ("start_again", 0), ("ready", 0)]
PAIRS = {
    "two first starts": (False, [], []),
    "two first starts that update": (False, [("cycle", 0)], [("cycle", 0)]),
    "two downloads of one version": (False, [("download", 1)], [("download", 1)]),
    "two downloads of two versions": (False, [("download", 1)], [("download", 2)]),
    "a download and a cycle that brings the same": (True, [("cycle", 0)], [("download", 2)]),
    "queued while it is deleted": (True, [("delete", 1)], [("set_next", 1)]),
    "deleted while it is queued": (True, [("set_next", 1)], [("delete", 1)]),
    "deleted while it is switched to": (True, [("set", 1), ("ready", 0)], [("delete", 1)]),
    "switched to while it is deleted": (True, [("delete", 1)], [("start_again", 0), ("set", 1), ("verify", 0)]),
    "deleted twice": (True, [("delete", 1)], [("delete", 1)]),
    "proven while it is deleted": (True, [("delete", 1)], [*PROVE, ("verify", 0)]),
    "tidied up while a second process starts": (True, [*PROVE, ("cycle", 0)], [("verify", 0)]),
    "rolled back while a second process starts": (True, [*PROVE[:2], ("crash", 0), ("cycle", 0)], [("verify", 0)]),
    "another one runs from what is no longer needed": (
        True,
        [*PROVE, ("delete", 0), ("cycle", 0), ("start_again", 0), ("ready", 0), ("cycle", 0)],
        [("outlive", 0)],
    ),
    "a reset while a cycle queues": (True, [("cycle", 0)], [("reset", 0)]),
    "a start after the first has ended": (True, [("ready", 0)], [("start_again", 0), ("cycle", 0), ("start_again", 0)]),
}  # fmt: skip


@pytest.mark.parametrize("name", PAIRS)
def test_a_process_that_gets_between_any_two_calls_of_another_harms_nothing(tmp_path, monkeypatch, tally, name):
    ready, first, second = PAIRS[name]
    template = Device(tmp_path)
    if ready:
        prepared(template)
        shutil.copytree(template.data, tmp_path / "template")
    points = 0
    # Each begins elsewhere, so that together they get between any two calls of a start even with a wide stride.
    for at in itertools.count(1 + list(PAIRS).index(name) % STRIDE, STRIDE):
        device = Device(tmp_path)
        if ready:
            shutil.copytree(tmp_path / "template", device.data)
            device.state = device.load().state
        scripts = [Script(device, program, dies_after=None) for program in (first, second)]
        try:
            turns = run_together(device, scripts, [(at, 0), (100_000, 1)], monkeypatch)
        except AssertionError as exc:
            raise AssertionError(f"the second came after {at} calls of the first: {exc}") from exc
        if turns.switches == 1:  # the first had come to its end before
            break
        points += 1
    tally("got between", name, points=points, failures=0)
