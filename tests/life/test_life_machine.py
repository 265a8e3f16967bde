"""Whole lives of a device, against a model that was written from the design and shares no code with the library.

The model knows each bundle by what happened to it: how often it was started, whether it said ready in its own launch,
what it is held guilty of. What opens, what is refused and what may be removed follow from that.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from device import DAY, NOW, YEAR, checksum_of, install, offer
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from capgo_client.bundle import BUILTIN_ID, BundleStatus
from capgo_client.life import boot, decide, retention, verdicts
from capgo_client.life.document import from_document, to_document
from capgo_client.life.state import State

MAX = 3
HOUR = 3600.0
#: Semver order of everything that is ever offered or installed natively, spelled out.
ORDER = ["1.0.0", "1.1.0", "1.2.0", "2.0.0", "2.1.0", "2.2.0", "3.0.0"]
OFFERS = [
    ("1.1.0", "ok"),
    ("1.2.0", "ok"),
    ("1.2.0", "other"),
    ("2.1.0", "ok"),
    ("2.2.0", "ok"),
    ("3.0.0", "ok"),
]


EVENTS = st.lists(st.sampled_from(["ready", "crash", "timer"]), max_size=3)


@dataclass
class Guilt:
    for_good: bool
    since: float


@dataclass
class Known:
    """What the model holds of a bundle on disk."""

    version: str
    checksum: str
    proven: bool = False
    condemned: bool = False
    starts: int = 0
    crashes_in_a_row: int = 0


@dataclass
class Launch:
    token: str
    id: str
    version: str
    crashed: bool = False
    timed_out: bool = False
    said_ready: bool = False


@dataclass
class Model:
    native: str = "1.0.0"
    now: float = NOW
    current: str = BUILTIN_ID
    queued: str = ""
    good: str = BUILTIN_ID
    before: str = BUILTIN_ID
    disk: dict[str, Known] = field(default_factory=dict)
    guilt: dict[tuple[str, str], Guilt] = field(default_factory=dict)
    launch: Launch | None = None
    past: list[Launch] = field(default_factory=list)

    def proven(self) -> set[str]:
        return {id_ for id_, known in self.disk.items() if known.proven}

    def is_good(self, id_: str) -> bool:
        return id_ == BUILTIN_ID or id_ in self.proven()

    def serves(self, version: str, checksum: str) -> bool:
        guilt = self.guilt.get((version, checksum))
        return guilt is not None and (guilt.for_good or self.now < guilt.since + DAY)

    def find(self, version: str, checksum: str) -> str:
        found = [id_ for id_, known in self.disk.items() if (known.version, known.checksum) == (version, checksum)]
        return found[0] if found else ""

    def condemn(self, id_: str, *, for_good: bool) -> None:
        known = self.disk[id_]
        known.proven, known.condemned = False, True
        key = (known.version, known.checksum)
        self.guilt[key] = Guilt(for_good=for_good or key in self.guilt, since=self.now)


class Life(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.state = State(native_version="1.0.0")
        self.reset_when_update = True
        self.counter = 0
        self.struck = 0  # when the last disaster was: too many of them leave nothing to look at

    @initialize(reset_when_update=st.booleans())
    def first_start(self, reset_when_update: bool) -> None:
        self.reset_when_update = reset_when_update
        self.begin(frozenset())

    def may_strike(self) -> bool:
        return len(self.model.past) >= self.struck + 8

    # --- a launch ---

    def begin(self, unusable: frozenset[str]) -> str:
        model = self.model
        self.arrive()
        for id_ in unusable & set(model.disk):
            self.lose(id_)
        expected = self.expected_opening()
        state, _ = boot.arrived(
            self.state, native_version=model.native, now=model.now, reset_when_update=self.reset_when_update
        )
        chosen = boot.choice(state, max_attempts=MAX, now=model.now, unusable=unusable)
        opened = chosen.bundle_id
        assert opened in expected, f"{opened} opened instead of {expected}"
        self.counter += 1
        token = f"token{self.counter}"
        self.state = boot.opened(chosen.state, opened, token=token)
        self.note_opening(opened, token)
        return opened

    def arrive(self) -> None:
        """The clock is set right, and a new installer takes what it does not go with."""
        model = self.model
        for guilt in model.guilt.values():
            guilt.since = min(guilt.since, model.now)
        if self.state.native_version == model.native:
            return
        if self.reset_when_update:
            model.guilt.clear()
            gone = set(model.disk)
            model.queued = ""
            model.current = model.good = model.before = BUILTIN_ID
        else:
            gone = {id_ for id_, known in model.disk.items() if ORDER.index(known.version) < ORDER.index(model.native)}
        for id_ in gone:
            del model.disk[id_]
            model.current = BUILTIN_ID if model.current == id_ else model.current
            model.queued = "" if model.queued == id_ else model.queued
            model.good = BUILTIN_ID if model.good == id_ else model.good
            model.before = BUILTIN_ID if model.before == id_ else model.before

    def expected_opening(self) -> set[str]:
        """One id where the design says which; several where it only says "a good one"."""
        model = self.model
        if model.queued == BUILTIN_ID:
            return {BUILTIN_ID}
        if model.queued:
            known = model.disk[model.queued]
            guilty = model.serves(known.version, known.checksum)
            if not guilty and (known.proven or known.starts < MAX):
                return {model.queued}
            if not guilty:
                model.condemn(model.queued, for_good=False)
            model.queued = ""
        if model.current == BUILTIN_ID or model.disk[model.current].proven:
            return {model.current}
        if model.disk[model.current].starts < MAX:
            return {model.current}
        model.condemn(model.current, for_good=False)
        return {model.good}

    def note_opening(self, opened: str, token: str) -> None:
        model = self.model
        last = model.launch
        known = model.disk.get(opened)
        if known is not None:
            if not (last is not None and last.id == opened and last.crashed):
                known.crashes_in_a_row = 0
            if not known.proven:
                known.starts += 1
        if model.queued == opened:
            model.queued = ""
        model.current = opened
        if last is not None:
            model.past.append(last)
        model.launch = Launch(token=token, id=opened, version=known.version if known else model.native)

    def lose(self, id_: str) -> None:
        """Its files are gone or damaged."""
        model = self.model
        del model.disk[id_]
        model.queued = "" if model.queued == id_ else model.queued
        if id_ in (model.good, model.current):
            target = self.after_losing(id_)
            model.current = target if model.current == id_ else model.current
            model.good = target if model.good == id_ else model.good
        model.before = BUILTIN_ID if model.before == id_ else model.before

    def after_losing(self, id_: str) -> str:
        """What takes over: the last good one, the one before it, the newest proven one, the builtin."""
        model = self.model
        if model.good != id_ and model.is_good(model.good):
            return model.good
        if model.before in model.proven():
            return model.before
        proven = [other for other in sorted(model.proven(), key=lambda o: int(o[1:]), reverse=True) if other != id_]
        return proven[0] if proven else BUILTIN_ID

    @rule(events=EVENTS)
    def start(self, events: list[str]) -> None:
        self.begin(frozenset())
        self.happen(events)

    @rule(what=st.sampled_from(OFFERS), events=EVENTS)
    def a_release_is_offered_and_opened(self, what: tuple[str, str], events: list[str]) -> None:
        self.offered(what)
        self.start(events)

    @rule(what=st.sampled_from(OFFERS))
    def a_good_release(self, what: tuple[str, str]) -> None:
        self.a_release_is_offered_and_opened(what, ["ready"])

    @rule(times=st.integers(1, 4), events=EVENTS)
    def start_after_start(self, times: int, events: list[str]) -> None:
        for _ in range(times):
            self.start(events)

    @rule(ready_first=st.booleans())
    def three_crashes_end_on_another_version(self, ready_first: bool) -> None:
        opened = []
        for _ in range(3):
            opened.append(self.begin(frozenset()))
            self.happen(["ready", "crash"] if ready_first else ["crash"])
        assert opened[0] == BUILTIN_ID or self.model.current != opened[0]

    def happen(self, events: list[str]) -> None:
        for event in events:
            {"ready": self.ready, "crash": self.crash, "timer": self.ready_timer}[event]()

    @rule()
    def starts_that_never_say_ready_end_on_a_good_version(self) -> None:
        opened = [self.begin(frozenset()) for _ in range(MAX + 1)]
        assert self.model.is_good(opened[-1])

    @precondition(lambda self: self.may_strike())
    @rule(data=st.data())
    def start_with_damaged_files(self, data: st.DataObject) -> None:
        self.struck = len(self.model.past)
        damaged = data.draw(st.sets(st.sampled_from(sorted(self.model.disk) or ["none"]), max_size=2))
        self.begin(frozenset(damaged))

    @precondition(lambda self: self.may_strike())
    @rule(native=st.sampled_from(["1.0.0", "2.0.0"]))
    def start_after_an_installer(self, native: str) -> None:
        self.struck = len(self.model.past)
        self.model.native = native
        self.begin(frozenset())

    # --- what the launch tells of itself ---

    @rule()
    def ready(self) -> None:
        model, launch = self.model, self.model.launch
        self.state = boot.confirmed(self.state, launch.id, token=launch.token)
        known = model.disk.get(launch.id)
        if launch.crashed or (known is None and launch.id != BUILTIN_ID):
            return
        if known is not None:
            known.proven, known.condemned, known.starts = True, False, 0
            model.guilt.pop((known.version, known.checksum), None)
        if launch.timed_out and not launch.said_ready:
            model.current = launch.id
        if model.good != launch.id:
            model.good, model.before = launch.id, model.good
        launch.said_ready = True

    @rule()
    def crash(self) -> None:
        model, launch = self.model, self.model.launch
        self.state = boot.crashed(self.state, launch.id, token=launch.token, now=model.now)
        known = model.disk.get(launch.id)
        if launch.crashed or known is None:
            return
        launch.crashed = True
        if known.proven:
            known.crashes_in_a_row += 1
        if not known.proven or known.crashes_in_a_row >= 3:
            self.roll_back(launch.id, for_good=True)

    @rule()
    def ready_timer(self) -> None:
        model, launch = self.model, self.model.launch
        self.state = boot.timed_out(self.state, launch.id, token=launch.token, now=model.now)
        known = model.disk.get(launch.id)
        if known is None or known.proven or launch.crashed or launch.timed_out:
            return
        launch.timed_out = True
        self.roll_back(launch.id, for_good=False)

    def roll_back(self, id_: str, *, for_good: bool) -> None:
        model = self.model
        model.condemn(id_, for_good=for_good)
        model.queued = "" if model.queued == id_ else model.queued
        target = self.after_losing(id_)
        model.current = target if model.current == id_ else model.current
        model.good = target if model.good == id_ else model.good
        model.before = BUILTIN_ID if model.before in (id_, model.good) else model.before

    @precondition(lambda self: self.model.past)
    @rule(data=st.data())
    def ready_from_an_earlier_launch_proves_nothing(self, data: st.DataObject) -> None:
        old = data.draw(st.sampled_from(self.model.past))
        after = boot.confirmed(self.state, old.id, token=old.token)
        assert (after.installs, after.verdicts, after.current) == (
            self.state.installs,
            self.state.verdicts,
            self.state.current,
        )
        if old.id != self.model.launch.id:
            assert after == self.state

    @precondition(lambda self: self.model.past)
    @rule(data=st.data())
    def evidence_from_an_earlier_launch_condemns_nothing_unproven(self, data: st.DataObject) -> None:
        old = data.draw(st.sampled_from(self.model.past))
        if old.id in self.model.proven() and old.id == self.model.launch.id:
            return
        assert boot.crashed(self.state, old.id, token=old.token, now=self.model.now) == self.state
        assert boot.timed_out(self.state, old.id, token=old.token, now=self.model.now) == self.state

    @rule(data=st.data())
    def a_made_up_token_confirms_nothing_unproven(self, data: st.DataObject) -> None:
        id_ = data.draw(st.sampled_from([BUILTIN_ID, *sorted(self.model.disk)]))
        after = boot.confirmed(self.state, id_, token="made-up")
        assert after.installs == self.state.installs
        assert after.verdicts == self.state.verdicts

    # --- what is offered and asked for ---

    @rule(what=st.sampled_from(OFFERS))
    def offered(self, what: tuple[str, str]) -> None:
        model = self.model
        version, checksum = what[0], checksum_of(what[0] + what[1])
        decision = decide.on_update(
            self.state,
            offer(version, checksum),
            running_version=model.launch.version,
            builtin_version=model.native,
            allow_downgrade="above_builtin",
            now=model.now,
        )
        here = model.find(version, checksum)
        if version == model.launch.version:
            assert decision.action == decide.NO_NEED
        elif model.serves(version, checksum):
            assert (decision.action, decision.code) == (decide.REFUSE, "failed_before")
        elif ORDER.index(version) < ORDER.index(model.native):
            assert (decision.action, decision.code) == (decide.REFUSE, "downgrade_refused")
        elif here:
            assert (decision.action, decision.bundle_id) == (decide.ALREADY_HERE, here)
            self.queue(here, by_app=False)
        else:
            assert decision.action == decide.FETCH
            self.queue(self.put(version, checksum, by_app=False), by_app=False)

    def put(self, version: str, checksum: str, *, by_app: bool) -> str:
        self.counter += 1
        made = install(version, id=f"i{self.counter}", checksum=checksum, at=NOW + self.counter, by_app=by_app)
        self.state = self.state.with_install(made)
        self.model.disk[made.id] = Known(version=version, checksum=checksum)
        return made.id

    def queue(self, id_: str, *, by_app: bool) -> None:
        self.state = decide.queued(self.state, id_, by_app=by_app)
        model = self.model
        if id_ == model.current:
            model.queued = ""
            return
        model.queued = id_
        known = model.disk.get(id_)
        if known is not None and known.condemned:
            known.condemned, known.starts, known.crashes_in_a_row = False, 0, 0

    @rule(what=st.sampled_from(OFFERS))
    def the_app_downloads(self, what: tuple[str, str]) -> None:
        version, checksum = what[0], checksum_of(what[0] + what[1])
        if not self.model.find(version, checksum):
            self.put(version, checksum, by_app=True)

    @rule(data=st.data())
    def the_app_sets_next(self, data: st.DataObject) -> None:
        id_ = data.draw(st.sampled_from([BUILTIN_ID, *sorted(self.model.disk)]))
        known = self.model.disk.get(id_)
        if known is not None:
            refusal = verdicts.failed_before(
                self.state, version=known.version, checksum=known.checksum, now=self.model.now
            )
            guilty = self.model.serves(known.version, known.checksum)
            assert (refusal is not None) is guilty
            if guilty:
                return
        self.queue(id_, by_app=True)

    @rule()
    def nothing_is_queued_any_more(self) -> None:
        self.state = decide.unqueued(self.state)
        self.model.queued = ""

    # --- the world ---

    @rule(seconds=st.sampled_from([-YEAR, -DAY, -HOUR, HOUR, DAY - 1, DAY, YEAR]))
    def the_clock_jumps(self, seconds: float) -> None:
        self.model.now += seconds

    @precondition(lambda self: self.may_strike())
    @rule(data=st.data())
    def a_verify_finds_damage(self, data: st.DataObject) -> None:
        self.struck = len(self.model.past)
        if self.model.disk:
            id_ = data.draw(st.sampled_from(sorted(self.model.disk)))
            self.state = boot.damaged(self.state, id_)
            self.lose(id_)

    @rule()
    def clean_up(self) -> None:
        state = self.state
        needed = {state.current, state.next, state.fallback, state.previous, self.model.launch.id}
        gone = retention.expendable(state, in_use=frozenset({self.model.launch.id}))
        assert not gone & needed
        assert not [i.id for i in state.installs if i.id in gone and i.by_app and i.status is not BundleStatus.ERROR]
        self.state = retention.forgotten(state, gone)
        for id_ in gone:
            del self.model.disk[id_]
        if self.model.before == self.model.good:
            self.model.before = BUILTIN_ID

    # --- what always holds ---

    @invariant()
    def the_state_is_what_the_model_says(self) -> None:
        state, model = self.state, self.model
        assert {i.id for i in state.installs} == set(model.disk)
        assert {i.id for i in state.installs if i.confirmed} == model.proven()
        for known in state.installs:
            assert known.status is not BundleStatus.PENDING or known.attempts == model.disk[known.id].starts
        assert (state.current, state.next) == (model.current, model.queued)
        assert state.fallback == model.good
        # A "version before" that is the last good one itself says no more than the builtin does.
        assert {state.previous, state.fallback, BUILTIN_ID} == {model.before, model.good, BUILTIN_ID}

    @invariant()
    def guilt_is_remembered(self) -> None:
        for version, checksum in self.model.guilt:
            refusal = verdicts.failed_before(self.state, version=version, checksum=checksum, now=self.model.now)
            assert (refusal is not None) is self.model.serves(version, checksum)

    @invariant()
    def the_document_round_trips(self) -> None:
        assert from_document(json.loads(json.dumps(to_document(self.state), allow_nan=False))) == self.state

    @invariant()
    def only_good_versions_are_fallen_back_on(self) -> None:
        assert self.model.is_good(self.state.fallback)
        assert self.model.is_good(self.state.previous)
        assert self.model.is_good(boot.last_confirmed(self.state))
        assert self.model.is_good(boot.last_confirmed(self.state, frozenset({self.state.fallback, self.state.next})))

    @invariant()
    def what_would_open_is_good_or_has_starts_left(self) -> None:
        opened = boot.choice(self.state, max_attempts=MAX, now=self.model.now).bundle_id
        known = self.model.disk.get(opened)
        assert opened == BUILTIN_ID or known.proven or (known.starts < MAX and not known.condemned)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
