"""What stands behind the face: the parts, put together, and the order in which a start uses them."""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import replace

from capgo_client.cycle import Cycle, Result, Running
from capgo_client.errors import CapgoError, StorageError
from capgo_client.events import Emitter, Event
from capgo_client.install.ledger import Ledger
from capgo_client.install.locks import FileLock
from capgo_client.install.rebuild import rebuilt
from capgo_client.install.store import Store
from capgo_client.journal import Journal
from capgo_client.life import schedule
from capgo_client.life.newer import from_newer
from capgo_client.life.settings import reconsidered
from capgo_client.life.state import Install, State
from capgo_client.opening import LOCK_PATIENCE, Opened, Opening
from capgo_client.platforms import system
from capgo_client.presence import Presence
from capgo_client.service import Service, Wire, is_out_of_bounds
from capgo_client.session import Session
from capgo_client.starting import Starting
from capgo_client.stats.recorder import Stats
from capgo_client.stats.trace import Trace
from capgo_client.worker import Order, Worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    from capgo_client.config import Config
    from capgo_client.events import Dispatch
    from capgo_client.life.settings import Settings
    from capgo_client.net.client import Reply
    from capgo_client.protocol.outcomes import Update
    from capgo_client.seams import Clock, Files
    from capgo_client.session import Reload
    from capgo_client.upkeep import Upkeep

__all__ = ["Engine"]

#: In background modes the worker lets the app open first, unless the app says sooner that it is open (seconds).
APP_FIRST = 1.0
#: A delivery of statistics may take so long (seconds); nobody waits for it.
STATS_TIMEOUT = 10.0
#: Everything that ``close()`` waits for, together (seconds).
CLOSE_PATIENCE = 0.1

_log = logging.getLogger("capgo_client")


class Engine:
    """Built with the Updater, set in motion by ``start()``, stopped for good by ``close()``."""

    def __init__(
        self,
        config: Config,
        *,
        clock: Clock,
        files: Files,
        wire: Wire,
        reload: Reload | None,
        dispatch: Dispatch | None,
        may_download: Callable[[Update], bool] | None,
    ) -> None:
        self.config = config
        self.clock = clock
        self.files = files
        self.emitter = Emitter(dispatch)
        self.has_own_transport = wire.transport is not None
        self._reload = reload
        self._session: Session | None = None
        self._worker: Worker | None = None
        self._primary: FileLock | None = None
        self._opened = threading.Event()
        self._result: Result | None = None
        self._looked_over = False
        self._lock = threading.Lock()
        self._opening_noted = False
        self._unannounced: str | None = None
        self.told_failure: Install | None = None
        folder = config.data_dir or system.default_data_dir(config.app_id)
        self.store = Store(folder, files=files)
        self.ledger = Ledger(
            folder,
            files=files,
            fresh=lambda: State(native_version=config.version),
            rebuild=lambda: rebuilt(self.store),
            newer=lambda document: from_newer(document, native_version=config.version),
        )
        self.presence = Presence(config, store=self.store, ledger=self.ledger, files=files)
        self.service = Service(
            config,
            wire,
            identity=lambda: self.presence.identity(fresh=True),
            endpoints=lambda: self.presence.endpoints,
        )
        self.stats = Stats(
            self.store.stats,
            files=files,
            clock=clock,
            identity=self.presence.identity,
            send=self._send_stats,
            enabled=self._tells,
            current=lambda: self.running().version,
        )
        trace = Trace(self.store.stats, files=files)
        self.journal = Journal(self.stats, trace, clock=clock, enabled=self._tells)
        self.opening = Opening(config, store=self.store, ledger=self.ledger, clock=clock)
        self._starting = Starting(config, opening=self.opening, ledger=self.ledger, clock=clock)
        self.cycle = Cycle(
            config,
            store=self.store,
            ledger=self.ledger,
            opening=self.opening,
            service=self.service,
            files=files,
            clock=clock,
            emitter=self.emitter,
            journal=self.journal,
            running=self.running,
            may_download=may_download,
            identity_kept=lambda: self.presence.device.kept,
        )

    @property
    def session(self) -> Session | None:
        """This launch; None before ``start()``."""
        return self._session

    @property
    def result(self) -> Result | None:
        """What the last cycle came to; None before the first."""
        return self._result

    @property
    def may_write(self) -> bool:
        """Whether this is the one process that decides."""
        return self._primary is not None and self._primary.held

    @property
    def checks(self) -> bool:
        """Whether update checks happen by themselves."""
        return self.config.mode != "off" and bool(self.presence.endpoints.update)

    def running(self) -> Running:
        """What a check reports: the open bundle, or the one that is about to be opened."""
        if self._session is not None:
            bundle = self._session.opened.bundle
            return Running(bundle.id, bundle.version)
        candidate = self._starting.candidate or self.opening.candidate()
        return Running(candidate.bundle_id, candidate.version)

    # ---- start ----

    def start(self) -> Session:
        """Open a version. Raises nothing that the world could cause."""
        if self.config.builtin is not None and self.opening.builtin().path is None:
            _log.error("the builtin folder %s is missing; the app has nothing to fall back on", self.config.builtin)
        try:
            opened = self._open()
        except Exception:
            _log.exception("start() met a bug; the builtin opens")
            opened = Opened(self.opening.builtin(), "", "start() met a bug, see the log", "nothing")
        session = self._session = Session(
            self.config,
            opened,
            store=self.store,
            ledger=self.ledger,
            opening=self.opening,
            emitter=self.emitter,
            journal=self.journal,
            clock=self.clock,
            reload=self._reload,
            settled=self._settled,
        )
        _log.info("opening %s (%s): %s", opened.bundle.version, opened.bundle.id, opened.why)
        if opened.before:
            self.emitter.emit(Event("set", bundle=opened.bundle, version=opened.bundle.version))
        self._opened.set()
        try:
            session.begin()
            self._start_worker()
        except RuntimeError:  # the system gives no more threads: the app opens, and nothing happens behind it
            _log.exception("no thread could be started; this launch does not look for updates")
        return session

    def _open(self) -> Opened:
        if os.environ.get("CAPGO_CLIENT_FORCE_BUILTIN") == "1":
            return Opened(self.opening.builtin(), "", "CAPGO_CLIENT_FORCE_BUILTIN is set", "the environment")
        try:
            self.store.prepare()
            lock = FileLock(self.store.folder / "primary.lock", files=self.files)
            if not lock.acquire():
                return self.opening.beside()
        except StorageError as exc:
            _log.error("%s; nothing of it is opened, and no update is installed: %s", exc.message, exc.hint)
            return Opened(self.opening.builtin(), "", exc.message, "nothing")
        except OSError as exc:
            _log.warning("the data directory %s cannot be written: %s", self.store.folder, exc.strerror)
            return self.opening.uncounted("the data directory cannot be written")
        self._primary = lock
        return self._open_directly() if self.checks and self._starting.may_wait() else self.opening.counted()

    def _open_directly(self) -> Opened:
        """Let a cycle run first, for as long as the mode allows; then open the best there is."""
        order = Order(launch=True, foreground=True, direct=True, began=self.clock.monotonic())
        self._worker = self._new_worker()
        self._worker.start(order, delay=0.0)
        return self._starting.open_after(order)

    # ---- the worker ----

    def _new_worker(self) -> Worker:
        return Worker(self._run_order, clock=self.clock, period=self._period, first=self.note_launch)

    def _start_worker(self) -> None:
        """Last of all, and only for the process that may install."""
        if self._primary is None or self._worker is not None:
            return
        self._worker = self._new_worker()
        self._worker.start(Order(check=self.checks, launch=True), delay=APP_FIRST)

    def _tells(self) -> bool:
        """Whether this process tells statistics: one of an app does, to somebody, under an id that is kept."""
        url = self.presence.endpoints.stats
        return self.may_write and bool(url) and not is_out_of_bounds(url) and self.presence.device.kept

    def note_launch(self) -> None:
        """The statistics of this start; the worker's first act, for a start itself writes nothing that can wait."""
        if self.may_write and not self.presence.endpoints.stats:
            self.stats.clear()  # the app turned them off: what waited goes too
        self.journal.launched(self.running().version)
        self._note_opened()

    def _send_stats(self, body: bytes) -> Reply:
        from capgo_client.net.deadline import Scope

        return self.service.send_stats(body, scope=Scope(STATS_TIMEOUT))

    def _note_opened(self) -> None:
        with self._lock:
            session, noted = self._session, self._opening_noted
            self._opening_noted = noted or session is not None
        if session is not None and not noted:
            self.journal.opened(session.first)

    def _period(self) -> float | None:
        """Seconds to the next periodic check, spread by a tenth so that a fleet does not march in step."""
        if not self.checks or not self.config.period_check_delay:
            return None
        return schedule.period(self.config.period_check_delay, draw=int.from_bytes(os.urandom(2), "big") / 0xFFFF)

    def _run_order(self, order: Order) -> None:
        upkeep = self._upkeep()
        if not self._looked_over:
            upkeep.quietly(self._look_around)
        upkeep.quietly(upkeep.before)
        result = self.cycle.run(order)
        self._result = result
        order.done.set()
        self.clock.wait(self._opened, None)
        if self.cycle.should_stop():
            return
        self._note_opened()
        self._announce(result.status)
        if result.action == "queued" and self.config.mode == "always" and not order.foreground:
            self.apply_queued()
        if not self._looked_over:
            self._looked_over = True
            upkeep.quietly(lambda: self._look_over(upkeep))
        upkeep.quietly(
            lambda: upkeep.tidy(
                self.running().bundle_id, outage=result.is_outage, keep_downloads=not result.fetched_all
            )
        )
        self.stats.begin()

    def _look_around(self) -> None:
        above = self.store.exposed_above()
        if above is not None:
            _log.warning("every user of this machine may replace what lies in %s: keep the data_dir elsewhere", above)
        self.journal.changed(self.presence.look_around(), self.running().version)

    def _announce(self, status: str) -> None:
        """Tell the app that a cycle is over; the first time not before the version that runs has proven itself."""
        with self._lock:
            self._unannounced = status
        if self._session is not None and self._session.is_settled:
            self._settled()

    def _settled(self) -> None:
        with self._lock:
            status, self._unannounced = self._unannounced, None
        if status is not None and self._session is not None:
            self.emitter.emit(Event("app_ready", bundle=self._session.opened.bundle, status=status))

    def _look_over(self, upkeep: Upkeep) -> None:
        """The full verify of what runs; where that is damaged, of what would open next as well, until one is sound."""
        bundle_id = self.running().bundle_id
        while upkeep.look_over(bundle_id):
            bundle_id = self.opening.candidate().bundle_id

    def _upkeep(self) -> Upkeep:
        from capgo_client.upkeep import Upkeep

        return Upkeep(
            self.config,
            store=self.store,
            ledger=self.ledger,
            files=self.files,
            journal=self.journal,
            should_stop=self.cycle.should_stop,
        )

    def submit(self, order: Order) -> Literal["queued", "already_running", "unavailable"]:
        """Ask for a cycle: ``queued``, ``already_running`` or ``unavailable`` (the plugin's words)."""
        if self._worker is None or not self.presence.endpoints.update:
            return "unavailable"
        return "queued" if self._worker.submit(order) else "already_running"

    def hurry(self) -> None:
        """The app is open: what waited for that may begin."""
        if self._worker is not None:
            self._worker.hurry()

    def wait(self, timeout: float | None) -> bool:
        """Until no cycle runs or is due."""
        return True if self._worker is None else self._worker.wait(timeout)

    def moved(self, *, to_foreground: bool) -> None:
        """The app came to be seen, or ceased to be: some delay conditions end with that."""
        self.journal.moved(self.running().version, to_foreground=to_foreground)
        source: Literal["foreground", "background"] = "foreground" if to_foreground else "background"
        now = self.clock.wall()

        def step(settings: Settings) -> Settings:
            after = reconsidered(settings, source=source, now=now, native_version=self.config.version)
            # Only a condition asks how long the app was away.
            return after if to_foreground or not after.delays else replace(after, background_at=now)

        if not self.presence.refreshed().delays:
            return
        try:
            self.presence.keep(step, patience=LOCK_PATIENCE)
        except StorageError as exc:
            _log.info("the delay conditions are looked at another time: %s", exc)

    def apply_queued(self) -> None:
        """Change over to the queued bundle now, where the app gave a way to; else it waits for the next start."""
        session = self._session
        state = self.ledger.load().state
        if session is None or not session.can_switch or not state.next or state.is_held_back:
            return
        try:
            session.switch(state.next)
        except CapgoError as exc:
            _log.warning("the queued version opens at the next start: %s", exc)

    # ---- the end ----

    def close(self, *, patience: float = CLOSE_PATIENCE) -> None:
        """Stop everything, within ``patience`` seconds; the lease on the open bundle stays."""
        threads: list[threading.Thread | None] = []
        if self._session is not None:
            threads.extend(self._session.close())
        if self._worker is not None:
            self._worker.stop()
            threads.append(self._worker.thread)
        self.journal.ended()
        self.stats.stop()
        threads.append(self.stats.thread)
        self._opened.set()
        self.cycle.cancel()
        self.emitter.close()
        threads.append(self.emitter.thread)
        self._join(threads, patience)
        if self._primary is not None:
            self._primary.release()

    @staticmethod
    def _join(threads: list[threading.Thread | None], patience: float) -> None:
        import time

        end = time.monotonic() + patience
        for thread in threads:
            if thread is not None and thread.is_alive() and thread is not threading.current_thread():
                thread.join(max(0.0, end - time.monotonic()))
