"""One update cycle: check → decide → fetch → verify → install → queue (the app, or ``start()``, applies)."""

from __future__ import annotations

import os

from capgo_client.bundle import BUILTIN_ID
from capgo_client.errors import CapgoError, StorageError
from capgo_client.events import Event
from capgo_client.life import decide, schedule, verdicts
from capgo_client.log import DEBUG, INFO, Log
from capgo_client.protocol.outcomes import Blocked, Builtin, Failed, Limited, Outcome, PlanEnded, Update, UpToDate
from capgo_client.result import Result
from capgo_client.values import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from capgo_client.bundle import Bundle
    from capgo_client.config import Config
    from capgo_client.events import Emitter
    from capgo_client.install.ledger import Ledger
    from capgo_client.install.store import Store
    from capgo_client.journal import Journal
    from capgo_client.life.state import Install, State
    from capgo_client.opening import Opening, Running
    from capgo_client.seams import Clock, Files
    from capgo_client.service import Service
    from capgo_client.worker import Order

__all__ = ["Cycle"]

#: The worker is nobody's hurry: so long it waits for the state lock (seconds).
PATIENCE = 5.0
#: The worker gives up this much before whoever waits for it, so that the reason is known by then (decision 2).
HEAD_START = 0.05

_log = Log("capgo_client")


class Cycle:
    """Runs cycles, one at a time. Nothing that the world does raises out of ``run``."""

    def __init__(
        self,
        config: Config,
        *,
        store: Store,
        ledger: Ledger,
        opening: Opening,
        service: Service,
        files: Files,
        clock: Clock,
        emitter: Emitter,
        journal: Journal,
        running: Callable[[], Running],
        may_download: Callable[[Update], bool] | None,
        identity_kept: Callable[[], bool],
        learn: Callable[[State], object],
    ) -> None:
        self._config = config
        self._store = store
        self._ledger = ledger
        self._opening = opening
        self._service = service
        self._files = files
        self._clock = clock
        self._emitter = emitter
        self._journal = journal
        self._running = running
        self._may_download = may_download
        self._identity_kept = identity_kept
        self._learn = learn
        self._stopped = False

    def run(self, order: Order) -> Result:
        """Do what ``order`` asks for; sets its events as it goes."""
        try:
            result = self._run(order)
        except CapgoError as exc:
            result = Result("failed", str(exc), code=exc.code)
        finally:
            order.checked.set()
        level = DEBUG if result.action == "skipped" or self._stopped else INFO
        _log.log(level, "update check: %s: %s", result.action, result.message)
        return result

    def cancel(self) -> None:
        """End what runs, at the next step at the latest."""
        self._stopped = True
        self._service.close()

    def should_stop(self) -> bool:
        """Whether ``cancel()`` was called."""
        return self._stopped

    def _run(self, order: Order) -> Result:
        now = self._clock.wall()
        state = self._ledger.load().state
        self._learn(state)  # another process of the app may have chosen a channel meanwhile
        planned = state.schedule
        if not order.check:
            return Result("skipped", "update checks are off", code="disabled")
        if not schedule.may_ask(planned, now, launch=order.launch or order.by_app):
            return Result(
                "skipped", f"the service asked to wait until {_when(planned.retry_after)}", code="retry_after"
            )
        if not self._identity_kept():
            return Result("skipped", "the device id cannot be kept, so each check would count as a new device", "no_id")
        running = self._running()
        outcome = self._check(order, running)
        self._note(outcome)
        order.checked.set()
        self._tell(outcome, running)
        result = self._act(outcome, running, order)
        self._finish(result, order)
        return replace(result, outcome=outcome)

    def _check(self, order: Order, running: Running) -> Outcome:
        from capgo_client.net.deadline import Scope

        spent = self._clock.monotonic() - order.began if order.direct else 0.0
        scope = Scope(max(self._config.response_timeout - HEAD_START - spent, 0.01))
        order.cancel_check = scope.cancel
        return self._service.check(version_name=running.version, scope=scope, now=self._clock.wall())

    def _note(self, outcome: Outcome) -> None:
        """Remember what was answered, for the back-off and for explain()."""
        retry_at = outcome.retry_at if isinstance(outcome, (Limited, Failed, PlanEnded)) else None
        if self._stopped:
            return  # closing is no news of the service

        def step(state: State) -> State:
            told = schedule.asked(
                state.schedule,
                outcome.kind,
                code=outcome.code,
                version=getattr(outcome, "version", ""),
                retry_at=retry_at,
                now=self._clock.wall(),
                jitter=_jitter(),
            )
            return replace(state, schedule=told)

        self._ledger.change(step, patience=PATIENCE)

    def _tell(self, outcome: Outcome, running: Running) -> None:
        if isinstance(outcome, (Update, Blocked)) and outcome.breaking:
            version = outcome.version or running.version
            self._emitter.emit(Event("breaking_available", version=version))
            self._emitter.emit(Event("major_available", version=version))
        if isinstance(outcome, Limited):
            self._journal.limited(running.version)
        if isinstance(outcome, Update):
            return
        event = Event(
            "update_check_result",
            bundle=self._bundle(running.bundle_id),
            version=getattr(outcome, "version", ""),
            kind=outcome.kind,
            error=outcome.code,
            message=outcome.message,
            status_code=outcome.status,
        )
        self._emitter.emit(event)

    def _act(self, outcome: Outcome, running: Running, order: Order) -> Result:
        if isinstance(outcome, Update):
            return self._on_update(outcome, running, order)
        if isinstance(outcome, Builtin):
            return self._on_builtin(order)
        if isinstance(outcome, UpToDate):
            self._withdraw(running)
        if isinstance(outcome, Failed) and not self._stopped:
            self._journal.check_failed(running.version)
            failed = Event("download_failed", version=running.version, error=outcome.code, message=outcome.message)
            self._emitter.emit(failed)
        self._emitter.emit(Event("no_need_update", bundle=self._bundle(running.bundle_id)))
        return Result(_ACTIONS.get(outcome.kind, "nothing"), _told(outcome), code=outcome.code)

    def _withdraw(self, running: Running) -> None:
        """What the service queued here earlier, and no longer wants, is not opened; what the app queued is."""

        def step(state: State) -> State:
            queued, after = state.install(state.next), decide.withdrawn(state, running_version=running.version)
            if queued is not None and after is not state:
                _log.info("%s was queued, and the channel went back to %s", queued.version, running.version)
            return after

        self._ledger.change(step, patience=PATIENCE)

    def _on_builtin(self, order: Order) -> Result:
        state = self._ledger.load().state
        decision = decide.on_builtin(state, allow_downgrade=self._config.allow_downgrade)
        if decision.action == decide.ALREADY_HERE:
            return self._present(BUILTIN_ID, "the builtin", order)
        self._emitter.emit(Event("no_need_update", bundle=self._opening.bundle(state, state.current)))
        return Result(_WORD[decision.action], decision.message, code=decision.code)

    def _on_update(self, update: Update, running: Running, order: Order) -> Result:
        decision = decide.on_update(
            self._ledger.load().state,
            update,
            running_version=running.version,
            builtin_version=self._config.version,
            allow_downgrade=self._config.allow_downgrade,
            now=self._clock.wall(),
        )
        if decision.action == decide.ALREADY_HERE and self._store.fault(decision.bundle_id, entry=self._config.entry):
            decision = decide.Decision(decide.FETCH, message=f"{update.version} is damaged on disk")
        if decision.action == decide.ALREADY_HERE:
            return self._present(decision.bundle_id, update.version, order)
        if decision.action == decide.FETCH:
            return self._fetch(update, order)
        self._emitter.emit(Event("no_need_update", bundle=self._bundle(running.bundle_id), message=decision.message))
        return Result(_WORD[decision.action], decision.message, code=decision.code)

    def _fetch(self, update: Update, order: Order) -> Result:
        if not self._consents(update):
            return Result("refused", f"the app said no to downloading {update.version} now", code="not_now")
        try:
            # Where no mode queues it, only the app can say when it is no longer needed.
            install = self.bring(update, by_app=not self._config.queues)
        except CapgoError as exc:
            self._back_off()
            return Result("failed", f"{update.version}: {exc}", code=exc.code)
        return self._arrived(install.id, install.version, order)

    def _back_off(self) -> None:
        if self._stopped:
            return
        now = self._clock.wall()
        self._ledger.change(
            lambda state: replace(state, schedule=schedule.stumbled(state.schedule, now=now, jitter=_jitter())),
            patience=PATIENCE,
        )

    def _consents(self, update: Update) -> bool:
        if self._may_download is None:
            return True
        try:
            return bool(self._may_download(update))
        except Exception:
            _log.exception("may_download raised; the download waits for another time")
            return False

    def bring(self, update: Update, *, by_app: bool, seconds: float | None = None, patience: float = 0.0) -> Install:
        """Fetch and install ``update`` and write it down; nothing is queued. Raises CapgoError."""
        from capgo_client.arrival import STEP_TIMEOUT, Arrival, Unfit
        from capgo_client.net.deadline import Scope
        from capgo_client.progress import Progress

        scope = Scope(seconds, step=STEP_TIMEOUT)
        arrival = Arrival(self._config, store=self._store, service=self._service, files=self._files, clock=self._clock)
        progress = Progress(self._emitter, self._journal, version=update.version)
        try:
            install = arrival.bring(
                update,
                scope=scope,
                progress=progress,
                should_stop=self.should_stop,
                write_down=lambda install: self._write_down(replace(install, by_app=by_app)),
                on_disk=lambda: self._on_disk(update),
                patience=patience,
                note=lambda action, name: self._journal.step(action, update.version, name),
            )
        except Unfit as exc:
            self._condemn(update, exc.proof)
            self._tell_failure(update, exc.cause)
            raise exc.cause from exc
        except CapgoError as exc:
            self._tell_failure(update, exc)
            raise
        except MemoryError as exc:
            error = StorageError("there is not enough memory for the download", code="low_mem_fail")
            self._tell_failure(update, error)
            raise error from exc
        bundle = self._opening.bundle_of(install)
        progress.finished(bundle)
        self._emitter.emit(Event("update_available", bundle=bundle, version=install.version))
        return install

    def _tell_failure(self, update: Update, exc: CapgoError) -> None:
        if self._stopped:
            return  # close() ended it; it goes on at the next start
        self._journal.download_failed(update.version, exc, running=self._running().version)
        self._emitter.emit(Event("download_failed", version=update.version, error=exc.code, message=exc.message))

    def _on_disk(self, update: Update) -> Install | None:
        install = decide.on_disk(self._ledger.load().state, update)
        return install if install is not None and not self._store.fault(install.id, entry=self._config.entry) else None

    def _write_down(self, install: Install) -> Install:
        self._ledger.change(lambda state: state.with_install(install), patience=PATIENCE)
        return install

    def _condemn(self, update: Update, proof: str) -> None:
        """It came whole and cannot be installed here: fetching it at every start would never help."""
        now = self._clock.wall()
        self._ledger.change(
            lambda state: verdicts.condemned(state, version=update.version, checksum=proof, hard=True, now=now),
            patience=PATIENCE,
        )

    def _present(self, bundle_id: str, version: str, order: Order) -> Result:
        """Nothing has to be fetched: the app is told of it all the same (plugin-behaviour.md section 7)."""
        bundle = self._bundle(bundle_id)
        self._emitter.emit(Event("update_available", bundle=bundle, version=bundle.version))
        return self._arrived(bundle_id, version, order)

    def _arrived(self, bundle_id: str, version: str, order: Order) -> Result:
        """A sound version is on disk: queue it where the mode does so."""
        if not self._config.queues:
            return Result("ready", f"{version} is on disk; the app decides when to use it", bundle_id=bundle_id)
        before: list[str] = []

        def step(state: State) -> State:
            before.append(state.next)
            return decide.queued(state, bundle_id, by_app=False)

        state = self._ledger.change(step, patience=PATIENCE)
        if state.next == bundle_id and before != [bundle_id]:
            self._journal.queued(self._opening.bundle(state, bundle_id).version, old=self._running().version)
        if bundle_id != BUILTIN_ID and state.install(bundle_id) is None:
            return Result("failed", f"{version} was removed before it was queued", code="bundle_unknown")
        if state.next == bundle_id and not order.direct:
            self._emitter.emit(Event("set_next", bundle=self._opening.bundle(state, bundle_id), version=version))
        return Result("queued", f"{version} opens at the next start", bundle_id=bundle_id)

    def _finish(self, result: Result, order: Order) -> None:
        """A cycle in the background that went well lets direct launches wait again."""
        if not schedule.lifts_hold(foreground=order.foreground, action=result.action):
            return
        self._ledger.change(
            lambda state: replace(state, schedule=replace(state.schedule, hold=False)), patience=PATIENCE
        )

    def _bundle(self, bundle_id: str) -> Bundle:
        return self._opening.bundle(self._ledger.load().state, bundle_id)


#: What comes of the kinds of answer that bring nothing.
_ACTIONS = {"failed": "failed", "plan_ended": "paused", "rate_limited": "paused"}
_WORDS = {
    "up_to_date": "this is the newest version for this device",
    "blocked": "the channel keeps a version from this device",
    "plan_ended": "the service does not serve this app at the moment (plan, quota, or its own database)",
    "rate_limited": "the service asked to be asked less often",
    "failed": "the service could not be asked, or its answer not be used",
}
_WORD = {decide.NO_NEED: "nothing", decide.REFUSE: "refused"}


def _told(outcome: Outcome) -> str:
    """An answer in words for a log line; the service's own message where it says more."""
    said = f": {outcome.message}" if outcome.message and outcome.kind in ("blocked", "failed") else ""
    return f"{_WORDS.get(outcome.kind, outcome.kind)}{said}"


def _jitter() -> float:
    return int.from_bytes(os.urandom(4), "big") / 2**32


def _when(epoch: float) -> str:
    import time

    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(epoch))
