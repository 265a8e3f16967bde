"""What stands behind the face: the parts, put together, and the order in which a start uses them."""

from __future__ import annotations

import os
import threading

from capgo_client.errors import CapgoError, StorageError
from capgo_client.events import Emitter, Event
from capgo_client.install.ledger import Ledger
from capgo_client.install.locks import FileLock
from capgo_client.install.store import Store
from capgo_client.life.state import State
from capgo_client.log import Log
from capgo_client.opening import Opened, Opening, Running
from capgo_client.platforms import system
from capgo_client.seams import below
from capgo_client.session import Session
from capgo_client.worker import Order, Worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    from capgo_client.backstage import Backstage
    from capgo_client.config import Config
    from capgo_client.cycle import Cycle
    from capgo_client.events import Dispatch
    from capgo_client.journal import Journal
    from capgo_client.life.state import Install
    from capgo_client.presence import Presence
    from capgo_client.protocol.outcomes import Update
    from capgo_client.result import Result
    from capgo_client.seams import Clock, Files
    from capgo_client.service import Service
    from capgo_client.session import Reload
    from capgo_client.starting import Starting
    from capgo_client.stats.recorder import Stats
    from capgo_client.wire import Wire

__all__ = ["Engine"]

#: In background modes the worker lets the app open first, unless the app says sooner that it is open (seconds).
APP_FIRST = 1.0
#: How long ``wait()`` waits for the statistics, for a process that never lives long would else never tell (seconds).
SETTLE = 1.0
#: Everything that ``close()`` waits for, together (seconds).
CLOSE_PATIENCE = 0.1

_log = Log("capgo_client")


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
        self.wire = wire
        self.may_download = may_download
        self.emitter = Emitter(dispatch)
        self.told_failure: Install | None = None
        #: When this process began with us: on the monotonic clock, and on the device's own.
        self.began = (clock.monotonic(), clock.wall())
        self.reload = reload
        self._session: Session | None = None
        self._starting: Starting | None = None
        self._worker: Worker | None = None
        self._primary: FileLock | None = None
        self._opened = threading.Event()
        self._lock = threading.Lock()
        self._behind: Backstage | None = None
        self._closed = False
        folder = config.data_dir or system.default_data_dir(config.app_id)
        self.store = Store(folder, files=files)
        self.ledger = Ledger(
            folder,
            files=files,
            fresh=lambda: State(native_version=config.version),
            rebuild=self._rebuilt,
            newer=self._newer,
        )
        self.opening = Opening(config, store=self.store, ledger=self.ledger, clock=clock)

    def _rebuilt(self) -> State | None:
        from capgo_client.install.rebuild import rebuilt

        return rebuilt(self.store)

    def _newer(self, document: object) -> State:
        from capgo_client.life.newer import from_newer

        return from_newer(document, native_version=self.config.version)

    # ---- what is behind the app ----

    @property
    def behind(self) -> Backstage:
        """All that a start does not need; made at first use."""
        with self._lock:
            if self._behind is None:
                from capgo_client.backstage import Backstage

                self._behind = Backstage(self)
                if self._closed:
                    self._behind.end()
            return self._behind

    @property
    def presence(self) -> Presence:
        """What this device says of itself."""
        return self.behind.presence

    @property
    def service(self) -> Service:
        """The service as this device talks to it."""
        return self.behind.service

    @property
    def stats(self) -> Stats:
        """The statistics that wait."""
        return self.behind.stats

    @property
    def journal(self) -> Journal:
        """Writes them down."""
        return self.behind.journal

    @property
    def cycle(self) -> Cycle:
        """Checks, and brings what is new."""
        return self.behind.cycle

    @property
    def result(self) -> Result | None:
        """What the last cycle came to; None before the first."""
        return None if self._behind is None else self._behind.result

    # ---- what is known ----

    @property
    def session(self) -> Session | None:
        """This launch; None before ``start()``."""
        return self._session

    @property
    def may_write(self) -> bool:
        """Whether this is the one process that decides."""
        return self._primary is not None and self._primary.held

    @property
    def checks(self) -> bool:
        """Whether update checks happen by themselves."""
        if self.config.mode == "off":
            return False
        may_be_another = self.config.allow_modify_url
        return bool(self.presence.endpoints.update if may_be_another else self.config.update_url)

    def running(self) -> Running:
        """What a check reports: the open bundle, or the one that is about to be opened."""
        if self._session is not None:
            bundle = self._session.opened.bundle
            return Running(bundle.id, bundle.version)
        waiting = None if self._starting is None else self._starting.candidate
        candidate = waiting or self.opening.candidate()
        return Running(candidate.bundle_id, candidate.version)

    # ---- start ----

    def start(self) -> Session:
        """Open a version. Raises nothing that the world could cause."""
        if self.opening.misses_builtin:
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
            journal=self._journal_of_launch,
            clock=self.clock,
            reload=self.reload,
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
            lock = FileLock(below(self.store.root, "primary.lock"), files=self.files)
            if not lock.acquire():
                return self.opening.beside()
        except StorageError as exc:
            _log.error("%s; nothing of it is opened, and no update is installed: %s", exc.message, exc.hint)
            return Opened(self.opening.builtin(), "", exc.message, "nothing")
        except OSError as exc:
            _log.warning("the data directory %s cannot be written: %s", self.store.root, exc.strerror)
            return self.opening.uncounted("the data directory cannot be written")
        self._primary = lock
        if self.config.waits and self.checks:
            return self._open_directly()
        return self.opening.counted()

    def _open_directly(self) -> Opened:
        """Let a cycle run first, for as long as the mode allows; then open the best there is."""
        from capgo_client.starting import Starting

        self._starting = Starting(self.config, opening=self.opening, ledger=self.ledger, clock=self.clock)
        if not self._starting.may_wait():
            return self.opening.counted()
        order = Order(launch=True, foreground=True, direct=True, began=self.clock.monotonic())
        self._worker = self._new_worker()
        self._worker.start(order, delay=0.0)
        return self._starting.open_after(order)

    # ---- the worker ----

    def _new_worker(self) -> Worker:
        return Worker(self._run_order, clock=self.clock, period=self._period)

    def _run_order(self, order: Order) -> None:
        self.behind.run(order)

    def _period(self) -> float | None:
        return self.behind.period()

    def _start_worker(self) -> None:
        """Last of all, and only for the process that may install."""
        if self._primary is None or self._worker is not None:
            return
        self._worker = self._new_worker()
        self._worker.start(Order(check=self.checks, launch=True), delay=APP_FIRST)

    def wait_until_opened(self) -> None:
        """Until ``start()`` has chosen; a direct one lets a cycle run before."""
        self.clock.wait(self._opened, None)

    def _journal_of_launch(self) -> Journal:
        return self.behind.journal_of_launch()

    def _settled(self) -> None:
        if self._behind is not None:
            self._behind.settled()

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
        """Until no cycle runs or is due, and then a little longer for what it told the statistics."""
        if self._worker is None:
            return True
        import time

        end = None if timeout is None else time.monotonic() + timeout
        is_idle = self._worker.wait(timeout)
        if is_idle and self._behind is not None:
            self._behind.stats.settle(SETTLE if end is None else min(SETTLE, max(0.0, end - time.monotonic())))
        return is_idle

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

    def close(self, *, patience: float = CLOSE_PATIENCE, at_exit: bool = False) -> None:
        """Stop everything, within ``patience`` seconds; the lease on the open bundle stays.

        A launch that was too short for the worker to tell of it is told of now; not ``at_exit``, where the interpreter
        would have to wait for it.
        """
        if self._session is not None and self.may_write and not at_exit:
            self.behind.note_launch()
        threads: list[threading.Thread | None] = []
        if self._session is not None:
            threads.extend(self._session.close())
        if self._worker is not None:
            self._worker.stop()
            threads.append(self._worker.thread)
        with self._lock:
            self._closed = True
            behind = self._behind
        if behind is not None:
            threads.append(behind.end())
        self._opened.set()
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
