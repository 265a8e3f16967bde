"""One device without a disk and without a network: the state, and the decisions of ``life`` in the shell's order.

Which call follows which is engine.py's, cycle.py's, starting.py's and session.py's doing; that this is the same order
is held by test_fleet_is_the_client.py, which puts an Updater through the same days. What is decided is ``life``'s.
"""

from __future__ import annotations

from fleet_speed import quick_replace
from fleet_story import BUILTIN

from capgo_client.bundle import BUILTIN_ID, BundleStatus
from capgo_client.cycle import _ACTIONS, _WORD
from capgo_client.life import boot, decide, retention, schedule
from capgo_client.life.decide import Decision
from capgo_client.life.state import Install, State
from capgo_client.protocol.outcomes import Failed, Limited, Outcome, PlanEnded, Update, UpToDate
from capgo_client.result import Result

#: The defaults of the Updater.
MAX_ATTEMPTS = 3

_NOTHING = Decision(decide.NO_NEED)


class Device:
    """``running`` and ``version`` are what this process runs, ``token`` is its launch's."""

    __slots__ = ("on_trial", "running", "state", "token", "version")

    def __init__(self) -> None:
        self.state = State(native_version=BUILTIN)
        self.running = BUILTIN_ID
        self.version = BUILTIN
        self.token = 0
        self.on_trial = False

    # ---- a start (opening.py, starting.py) ----

    def candidate(self, now: float) -> tuple[str, bool]:
        """What would open, and whether a direct mode may let the person wait before it does."""
        choice = self._choice(now)
        self.running, self.version = choice.bundle_id, self._version_of(choice.state, choice.bundle_id)
        return choice.bundle_id, schedule.may_wait(choice.state.schedule, now)

    def open(self, now: float, token: int) -> str:
        """Open what is to be opened; gives its id."""
        choice = self._choice(now)
        self.state = boot.opened(choice.state, choice.bundle_id, token=str(token))
        self._runs(choice.bundle_id, token)
        return choice.bundle_id

    def waited(self, seconds: float, *, opened_update: bool) -> None:
        """The person waits, or waited, so long."""
        self._plan(schedule.waited(self.state.schedule, seconds=seconds, opened_update=opened_update))

    def _choice(self, now: float) -> boot.Choice:
        state, _ = boot.arrived(self.state, native_version=BUILTIN, now=now, reset_when_update=True)
        return boot.choice(state, max_attempts=MAX_ATTEMPTS, now=now)

    def _runs(self, bundle_id: str, token: int) -> None:
        install = self.state.install(bundle_id)
        self.running, self.token = bundle_id, token
        self.version = BUILTIN if install is None else install.version
        self.on_trial = install is not None and install.status is not BundleStatus.SUCCESS

    # ---- what becomes of it (session.py) ----

    def ready(self) -> None:
        """The app says that it works."""
        self.state = boot.confirmed(self.state, self.running, token=str(self.token))
        self.on_trial = False

    def crashed(self, now: float) -> None:
        """The app reports a crash."""
        self.state = boot.crashed(self.state, self.running, token=str(self.token), now=now)

    def expired(self, now: float) -> None:
        """The ready timer runs out."""
        self.state = boot.timed_out(self.state, self.running, token=str(self.token), now=now)

    def switch(self, bundle_id: str, token: int) -> None:
        """The app changes over without a restart."""
        self.state = boot.opened(decide.queued_for_switch(self.state, bundle_id), bundle_id, token=str(token))
        self._runs(bundle_id, token)

    # ---- a cycle (cycle.py, upkeep.py) ----

    def may_ask(self, now: float, *, launch: bool) -> bool:
        """Whether a check is sent; where not, the cycle is over."""
        return schedule.may_ask(self.state.schedule, now, launch=launch)

    def heard(self, outcome: Outcome, now: float, *, jitter: float) -> Decision:
        """Remember the answer, and say what follows from it."""
        retry_at = outcome.retry_at if isinstance(outcome, (Limited, Failed, PlanEnded)) else None
        self._plan(
            schedule.asked(
                self.state.schedule, outcome.kind, code=outcome.code, retry_at=retry_at, now=now, jitter=jitter
            )
        )
        if isinstance(outcome, UpToDate):
            self.state = decide.withdrawn(self.state, running_version=self.version)
        if not isinstance(outcome, Update):
            return _NOTHING
        return decide.on_update(
            self.state,
            outcome,
            running_version=self.version,
            builtin_version=BUILTIN,
            allow_downgrade="above_builtin",
            now=now,
        )

    def fetched(self, update: Update, now: float, *, token: int) -> str:
        """A download is on disk and whole: it is written down; gives its id."""
        bundle_id = f"{update.version}-{token}"
        self.state = self.state.with_install(Install(bundle_id, update.version, update.checksum, installed_at=now))
        return bundle_id

    def queue(self, bundle_id: str) -> None:
        """It opens at the next start."""
        self.state = decide.queued(self.state, bundle_id, by_app=False)

    def download_failed(self, now: float, *, jitter: float) -> None:
        """A download ended without a bundle."""
        self._plan(schedule.stumbled(self.state.schedule, now=now, jitter=jitter))

    def cycle_over(self, action: str, outcome: Outcome | None, *, foreground: bool) -> None:
        """The hold on waiting, and the disk."""
        if outcome is not None and schedule.lifts_hold(foreground=foreground, action=action):
            self.lift_hold()
        result = Result(action, "", code="retry_after" if outcome is None else "", outcome=outcome)
        if not result.is_outage and self.state.installs:
            gone = retention.expendable(self.state, in_use=frozenset({self.running}))
            self.state = retention.forgotten(self.state, gone)

    def lift_hold(self) -> None:
        """Direct launches may wait again."""
        if self.state.schedule.hold:
            self._plan(quick_replace(self.state.schedule, hold=False))

    @staticmethod
    def action(outcome: Outcome, decision: Decision) -> str:
        """The cycle's own word for what came of it, where nothing is fetched or queued."""
        if isinstance(outcome, Update):
            return _WORD.get(decision.action, "")
        return _ACTIONS.get(outcome.kind, "nothing")

    # ---- questions ----

    @property
    def has_an_app(self) -> bool:
        """Whether what runs is there: the builtin, or an install that nobody condemned before it was opened."""
        install = self.state.install(self.running)
        return self.running == BUILTIN_ID or (install is not None and install.status is not BundleStatus.ERROR)

    def opens_next(self, now: float) -> str:
        """The version that the next start would open; nothing is written down."""
        choice = self._choice(now)
        return self._version_of(choice.state, choice.bundle_id)

    @staticmethod
    def _version_of(state: State, bundle_id: str) -> str:
        install = state.install(bundle_id)
        return BUILTIN if install is None else install.version

    def _plan(self, after: schedule.Schedule) -> None:
        if after is not self.state.schedule:
            self.state = quick_replace(self.state, schedule=after)
