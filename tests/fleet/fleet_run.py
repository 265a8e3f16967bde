"""Many devices on one virtual clock: an event queue, the requests in each second, and what became of each device."""

from __future__ import annotations

import math
from hashlib import sha256
from heapq import heapify, heappop, heappush
from random import Random
from typing import TYPE_CHECKING, Any

from fleet_device import Device
from fleet_people import (
    CRASHES,
    CRASHES_LATER,
    DOWNLOAD_FAILS,
    HANGS,
    NO_NETWORK,
    WORKS,
    next_launch,
    person,
)
from fleet_story import BAD, DAY, FIX, HOUR, VERSIONS, Service, Story
from fleet_tally import Tally

from capgo_client.cycle import HEAD_START
from capgo_client.engine import APP_FIRST
from capgo_client.life import decide, schedule
from capgo_client.protocol.outcomes import Failed, Outcome, Update

if TYPE_CHECKING:
    from collections.abc import Callable

    from fleet_people import Person

#: A Monday, midnight UTC.
EPOCH = 1_800_000_000.0 // DAY * DAY
#: The Updater's defaults (seconds).
RESPONSE_TIMEOUT, DIRECT_TIMEOUT, READY_TIMEOUT = 3.0, 10.0, 10.0
#: How often the share of each version is noted (seconds).
SAMPLE = 600.0
#: After the story's end, for devices without the fix: so long, in so many launches of this length (seconds).
EVENING, EVENING_LAUNCHES, LONG_STAY = 6 * HOUR, 6, 1800.0

_UNREACHED = Failed(code="no_network", status=0)


class Member(Device):
    """A device of the fleet, and its owner. ``session`` counts processes; ``ends_at`` is when this one does."""

    __slots__ = (
        "ends_at", "got", "got_of", "got_till", "held", "outage_waits", "owner", "session", "shown",
    )  # fmt: skip

    def __init__(self, owner: Person) -> None:
        super().__init__()
        self.owner = owner
        self.session = 0
        self.ends_at = 0.0
        self.got = 0.0
        self.got_of = ""
        self.shown = VERSIONS.index(self.version)
        #: When the download that runs ends, or the process before it.
        self.got_till = 0.0
        #: For the tally: waits in vain in the outage; cycles in a row that went well in the background and left the
        #: hold.
        self.outage_waits = 0
        self.held = 0


class Fleet:
    """Runs the story. Everything random comes from ``seed``, in the order of the virtual clock."""

    def __init__(self, size: int, *, seed: int = 1, story: Story | None = None) -> None:
        self.story = story or Story()
        self.service = Service(self.story, epoch=EPOCH)
        self.chance = Random(seed)
        self.members = [
            Member(person(self.chance, bad_at=self.story.bad_at, fix_at=self.story.fix_at)) for _ in range(size)
        ]
        seconds = int(self.story.end + EVENING) + 3600
        self.checks = [0] * seconds
        self.downloads = [0] * seconds
        self.by_version = [size, 0, 0, 0]
        self.shares: list[tuple[int, ...]] = []
        self.answers: dict[str, int] = {}
        self.launches = 0
        self.skipped = 0
        self.without_app = 0
        self.late = 0
        self._serial = 0
        self._random = self.chance.random
        self._outage = tuple(EPOCH + at for at in self.story.outage)
        self._queue: list[tuple[float, int, Callable[..., None], Member, int, Any]] = []

    # ---- the clock ----

    def run(self) -> Fleet:
        """From the first midnight to the story's end."""
        for member in self.members:
            self._at(EPOCH + self._first_launch(member.owner), self._launch, member, 0)
        heapify(self._queue)
        for sample in range(math.ceil(self.story.end / SAMPLE)):
            self._until(EPOCH + sample * SAMPLE)
            self.shares.append(tuple(self.by_version))
        self._until(EPOCH + self.story.end)
        self._evening()
        return self

    def _until(self, end: float) -> None:
        queue = self._queue
        while queue and queue[0][0] < end:
            now, _, step, member, mark, what = heappop(queue)
            step(now, member, mark, what)

    def _evening(self) -> None:
        """Those who always closed the app too soon take their time at last: from here on only the client can fail."""
        end = EPOCH + self.story.end
        late = [member for member in self.members if member.opens_next(end) != FIX]
        self.late = len(late)
        self._queue.clear()
        for member in late:
            for hour in range(EVENING_LAUNCHES):
                self._at(end + hour * EVENING / EVENING_LAUNCHES, self._launch, member, 0, True)
        self._until(end + EVENING)

    def _first_launch(self, owner: Person) -> float:
        """The first one after midnight of people who had their habits before, so that no rush begins the run."""
        if owner.kiosk:
            return self._random() * owner.period
        when = -DAY * (1.0 + self._random())
        while when < 0.0:
            when = next_launch(owner, when, self.chance)
        return when

    def _at(self, when: float, step: Callable[..., None], member: Member, mark: int, what: Any = None) -> None:
        self._serial += 1
        heappush(self._queue, (when, self._serial, step, member, mark, what))

    # ---- a process (engine.py) ----

    def _launch(self, now: float, member: Member, mark: int, again: object) -> None:
        owner = member.owner
        member.session += 1
        self.launches += 1
        if owner.kiosk:
            member.ends_at = math.inf
        else:
            evening = now >= EPOCH + self.story.end
            member.ends_at = now + (LONG_STAY if evening else 5.0 + self.chance.expovariate(1.0) * owner.stay)
            if not again:
                upcoming = EPOCH + next_launch(owner, now - EPOCH, self.chance)
                self._at(max(upcoming, member.ends_at + 1.0), self._launch, member, 0)
        if owner.direct:
            candidate, may_wait = member.candidate(now)
            if may_wait:
                self._open_directly(now, member, candidate)
                return
        self._open(now, member)
        self._behave(now, member, checks=True)

    def _open_directly(self, now: float, member: Member, candidate: str) -> None:
        """starting.py: the cycle first, as long as the mode allows; the wait is written down while it lasts."""
        outcome, lag = self._ask(now, member)
        spent = lag
        if lag > schedule.LAUNCH_PATIENCE:
            member.waited(RESPONSE_TIMEOUT, opened_update=False)
        decision = self._heard(now + lag, member, outcome)
        action = member.action(outcome, decision)
        if decision.action == decide.FETCH:
            seconds, fails = self._fetch(now + lag, member, outcome)
            patience = min(seconds, DIRECT_TIMEOUT)
            if patience > schedule.LAUNCH_PATIENCE:
                member.waited(DIRECT_TIMEOUT, opened_update=False)
            spent += patience
            if seconds > DIRECT_TIMEOUT:
                action = ""
                self._at(now + lag + seconds, self._fetched, member, member.session, (outcome, fails, True))
            else:
                action = self._bring(now + spent, member, outcome, fails=fails)
        elif decision.action == decide.ALREADY_HERE:
            member.queue(decision.bundle_id)
            action = "queued"
        member.ends_at += spent
        self._open(now + spent, member)
        if action:
            self._over(now + spent, member, action, outcome, foreground=True)
        opened_update = member.running != candidate
        member.waited(spent, opened_update=opened_update)
        if spent > schedule.LAUNCH_PATIENCE and not opened_update and self._outage[0] <= now < self._outage[1]:
            member.outage_waits += 1
        self._behave(now + spent, member, checks=False)

    def _open(self, now: float, member: Member) -> None:
        self._serial += 1
        member.open(now, self._serial)
        self._show(member)

    def _show(self, member: Member) -> None:
        self.without_app += not member.has_an_app
        shown = VERSIONS.index(member.version)
        self.by_version[member.shown] -= 1
        self.by_version[shown] += 1
        member.shown = shown

    # ---- the app ----

    def _behave(self, now: float, member: Member, *, checks: bool) -> None:
        """What the app does with the version that opened; the worker begins when it is ready, or a second has gone."""
        owner = member.owner
        fate = owner.fate if member.version == BAD else WORKS
        ready = now + owner.ready
        worker = now + APP_FIRST if checks else math.inf
        if fate in (WORKS, CRASHES_LATER):
            worker = min(worker, ready) if checks else worker
            self._at(ready, self._ready, member, member.token, worker == ready)
            if fate == CRASHES_LATER:
                self._at(ready + self.chance.uniform(5.0, 60.0), self._crash, member, member.token, True)
        elif fate == HANGS:
            self._at(now + READY_TIMEOUT, self._expire, member, member.token)
            if not owner.kiosk:
                self._at(now + self.chance.uniform(5.0, 40.0), self._crash, member, member.token, False)
        else:
            self._at(now + self._random() * owner.ready, self._crash, member, member.token, fate == CRASHES)
        if checks and worker != ready:
            self._at(worker, self._check, member, member.session, True)

    def _ready(self, now: float, member: Member, token: int, checks: bool) -> None:
        if token != member.token or now >= member.ends_at:
            return
        member.ready()
        if checks:
            self._check(now, member, member.session, True)

    def _crash(self, now: float, member: Member, token: int, reported: bool) -> None:
        """The process ends: the app reports it, or the system or an impatient person kills it and nobody does."""
        if token != member.token or now >= member.ends_at:
            return
        if reported:
            member.crashed(now)
        member.got -= max(0.0, member.got_till - now)
        member.session += 1
        member.ends_at = now
        if member.owner.kiosk or self._random() < 0.8:
            self._at(now + self.chance.uniform(2.0, 30.0), self._launch, member, 0, True)

    def _expire(self, now: float, member: Member, token: int, _: object) -> None:
        if token != member.token or now >= member.ends_at or not member.on_trial:
            return
        member.expired(now)
        if member.owner.switches and member.state.current != member.running:
            self._switch(now, member, member.state.current)

    def _switch(self, now: float, member: Member, bundle_id: str) -> None:
        self._serial += 1
        member.switch(bundle_id, self._serial)
        self._show(member)
        self._behave(now, member, checks=False)

    # ---- the worker (worker.py, cycle.py) ----

    def _check(self, now: float, member: Member, session: int, launch: bool) -> None:
        if session != member.session or now >= member.ends_at:
            return
        if not member.may_ask(now, launch=launch):
            self.skipped += 1
            self._over(now, member, "skipped", None, foreground=False)
            return
        outcome, lag = self._ask(now, member)
        if now + lag >= member.ends_at:
            return  # the process is gone before the answer comes
        decision = self._heard(now + lag, member, outcome)
        if decision.action == decide.FETCH:
            seconds, fails = self._fetch(now + lag, member, outcome)
            self._at(now + lag + seconds, self._fetched, member, session, (outcome, fails, False))
        elif decision.action == decide.ALREADY_HERE:
            member.queue(decision.bundle_id)
            self._over(now + lag, member, "queued", outcome, foreground=False)
        else:
            self._over(now + lag, member, member.action(outcome, decision), outcome, foreground=False)

    def _ask(self, now: float, member: Member) -> tuple[Outcome, float]:
        """One request at the service; gives the outcome, and after how many seconds it is here."""
        if self._random() < NO_NETWORK:
            return _UNREACHED, self.chance.uniform(0.01, 3.0 - HEAD_START)
        outcome = self.service.answer(now, member.version, draw=self._random())
        self.checks[int(now - EPOCH)] += 1
        lag = member.owner.lag * (0.5 + self._random())
        if isinstance(outcome, Failed) and not outcome.status:
            lag = RESPONSE_TIMEOUT - HEAD_START
        return outcome, lag

    def _heard(self, now: float, member: Member, outcome: Outcome) -> decide.Decision:
        self.answers[outcome.kind] = self.answers.get(outcome.kind, 0) + 1
        return member.heard(outcome, now, jitter=self._random())

    def _fetch(self, now: float, member: Member, update: Outcome) -> tuple[float, bool]:
        """Begin a download, or go on with it; give its seconds, and whether it fails then."""
        assert isinstance(update, Update)
        self.downloads[int(now - EPOCH)] += 1
        if member.got_of != update.version:
            member.got, member.got_of = 0.0, update.version
        left = max(0.0, member.owner.download - member.got)
        fails = self._random() < DOWNLOAD_FAILS
        seconds = left * self._random() if fails else left
        member.got_till = min(now + seconds, member.ends_at)
        member.got += max(0.0, member.got_till - now)
        return seconds, fails

    def _fetched(self, now: float, member: Member, session: int, what: tuple[Outcome, bool, bool]) -> None:
        if session != member.session or now >= member.ends_at:
            return
        outcome, fails, foreground = what
        self._over(now, member, self._bring(now, member, outcome, fails=fails), outcome, foreground=foreground)

    def _bring(self, now: float, member: Member, update: Outcome, *, fails: bool) -> str:
        """The end of a download; gives what the cycle came to."""
        assert isinstance(update, Update)
        if fails:
            member.download_failed(now, jitter=self._random())
            return "failed"
        self._serial += 1
        member.queue(member.fetched(update, now, token=self._serial))
        return "queued"

    def _over(self, now: float, member: Member, action: str, outcome: Outcome | None, *, foreground: bool) -> None:
        """The end of a cycle; the period to the next begins."""
        member.cycle_over(action, outcome, foreground=foreground)
        if not foreground and action in ("queued", "nothing"):
            member.held = member.held + 1 if member.state.schedule.hold else 0
        if action == "queued" and member.owner.switches and not foreground and member.state.next:
            self._switch(now, member, member.state.next)
        if member.owner.period:
            pause = schedule.period(member.owner.period, draw=self._random())
            if now + pause < member.ends_at:
                self._at(now + pause, self._check, member, member.session, False)

    # ---- what came of it ----

    def tally(self) -> Tally:
        """The figures."""
        end = EPOCH + self.story.end + EVENING
        opens = [member.opens_next(end) for member in self.members]
        return Tally(
            devices=len(self.members),
            checks=self.checks,
            downloads=self.downloads,
            shares=self.shares,
            answers=self.answers,
            launches=self.launches,
            skipped=self.skipped,
            without_app=self.without_app,
            late=self.late,
            on_bad=opens.count(BAD),
            unfixed=len(opens) - opens.count(FIX),
            longest_hold=max(member.held for member in self.members),
            waits_in_outage=max(member.outage_waits for member in self.members),
            digest=self._digest(),
        )

    def _digest(self) -> str:
        """One text for the whole run: every second's requests, and how each device ended."""
        told = sha256(repr((self.checks, self.downloads, self.shares)).encode())
        for member in self.members:
            plan = member.state.schedule
            ended = (member.version, member.session, len(member.state.verdicts), plan.failures, plan.not_before)
            told.update(repr(ended).encode())
        return told.hexdigest()
