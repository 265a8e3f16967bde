"""What stands behind the face: the parts, put together, and the order in which a start uses them."""

from __future__ import annotations

import logging
import os
import sys
import threading
from dataclasses import replace

from capgo_client.cycle import Cycle, Result, Running
from capgo_client.errors import CapgoError, StorageError
from capgo_client.events import Emitter
from capgo_client.install.device import DeviceId, device_id
from capgo_client.install.ledger import Ledger
from capgo_client.install.locks import FileLock
from capgo_client.install.rebuild import rebuilt
from capgo_client.install.store import Store
from capgo_client.life import schedule
from capgo_client.life.newer import from_newer
from capgo_client.life.state import Install, State
from capgo_client.opening import LOCK_PATIENCE, Opened, Opening
from capgo_client.platforms import system
from capgo_client.protocol.requests import Identity, wire_platform
from capgo_client.service import Service, Wire
from capgo_client.session import Session
from capgo_client.worker import Order, Worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    from capgo_client.config import Config
    from capgo_client.events import Dispatch
    from capgo_client.opening import Candidate
    from capgo_client.protocol.outcomes import Update
    from capgo_client.seams import Clock, Files
    from capgo_client.session import Reload
    from capgo_client.upkeep import Upkeep

__all__ = ["Engine"]

#: In background modes the worker lets the app open first, unless the app says sooner that it is open (seconds).
APP_FIRST = 1.0
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
        self.service = Service(config, wire, identity=self.identity)
        self.custom_id = config.custom_id
        self.has_own_transport = wire.transport is not None
        self._reload = reload
        self._may_download = may_download
        self._device: DeviceId | None = None
        self._candidate: Candidate | None = None
        self._session: Session | None = None
        self._worker: Worker | None = None
        self._primary: FileLock | None = None
        self._opened = threading.Event()
        self._result: Result | None = None
        self._looked_over = False
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
        self.opening = Opening(config, store=self.store, ledger=self.ledger, clock=clock)
        self.cycle = Cycle(
            config,
            store=self.store,
            ledger=self.ledger,
            opening=self.opening,
            service=self.service,
            files=files,
            clock=clock,
            emitter=self.emitter,
            running=self.running,
            may_download=may_download,
            identity_kept=lambda: self.device.kept,
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
    def device(self) -> DeviceId:
        """This device's id: given, or kept in the data directory."""
        if self._device is None:
            given = self.config.device_id
            self._device = DeviceId(given, kept=True) if given else self._kept_device()
        return self._device

    def _kept_device(self) -> DeviceId:
        try:
            self.store.prepare()
        except OSError as exc:
            _log.warning("the data directory %s cannot be made: %s", self.store.folder, exc.strerror)
        return device_id(self.store.folder, files=self.files)

    def identity(self) -> Identity:
        """What a request says about this device."""
        return Identity(
            app_id=self.config.app_id,
            device_id=self.device.value,
            version_build=self.config.version,
            platform=wire_platform(sys.platform),
            custom_id=self.custom_id,
            version_os=system.os_version(),
            default_channel=self.config.default_channel,
            key_id=self.config.key_id,
        )

    def running(self) -> Running:
        """What a check reports: the open bundle, or the one that is about to be opened."""
        if self._session is not None:
            bundle = self._session.opened.bundle
            return Running(bundle.id, bundle.version)
        candidate = self._candidate or self.opening.candidate()
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
            clock=self.clock,
            reload=self._reload,
        )
        _log.info("opening %s (%s): %s", opened.bundle.version, opened.bundle.id, opened.why)
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
        except OSError as exc:
            _log.warning("the data directory %s cannot be written: %s", self.store.folder, exc.strerror)
            return self.opening.uncounted("the data directory cannot be written")
        self._primary = lock
        return self._open_directly() if self._is_direct() else self.opening.counted()

    def _is_direct(self) -> bool:
        mode = self.config.mode
        if mode not in ("always", "onLaunch", "atInstall") or not self.config.checks:
            return False
        self._candidate = self.opening.candidate()
        if mode == "atInstall" and not self._candidate.newly_installed:
            return False
        if not schedule.may_wait(self._candidate.schedule, self.clock.wall()):
            _log.info("not waiting for the update check: the last one was in vain")
            return False
        return not self._candidate.newly_installed or self._welcomed()

    def _welcomed(self) -> bool:
        """Whether the new installer is written down: else this start would drop what it waited for."""
        try:
            self.opening.welcome()
        except StorageError as exc:
            _log.info("not waiting for the update check: %s", exc)
            return False
        return True

    def _open_directly(self) -> Opened:
        """Let a cycle run first, for as long as the mode allows; then open the best there is."""
        began = self.clock.monotonic()
        order = Order(launch=True, foreground=True, direct=True, began=began)
        self._worker = self._new_worker()
        self._worker.start(order, delay=0.0)
        if self._in_time(order.checked, self.config.response_timeout):
            self._in_time(order.done, self.config.direct_timeout)
        order.direct = False
        order.cancel_check()
        opened = self.opening.counted()
        opened_update = self._candidate is not None and opened.bundle.id != self._candidate.bundle_id
        self._note_wait(self.clock.monotonic() - began, opened_update=opened_update)
        return opened

    def _in_time(self, event: threading.Event, seconds: float) -> bool:
        """Wait for ``event``. A long wait is written down while it lasts: who tires of it may kill the app."""
        end = self.clock.monotonic() + seconds
        if self.clock.wait(event, min(seconds, schedule.LAUNCH_PATIENCE)):
            return True
        if seconds <= schedule.LAUNCH_PATIENCE:
            return False
        self._note_wait(seconds, opened_update=False)
        return self.clock.wait(event, max(0.0, end - self.clock.monotonic()))

    def _note_wait(self, seconds: float, *, opened_update: bool) -> None:
        def step(state: State) -> State:
            plan = schedule.waited(state.schedule, seconds=seconds, opened_update=opened_update)
            return state if plan is state.schedule else replace(state, schedule=plan)

        if seconds <= schedule.LAUNCH_PATIENCE:
            return
        try:
            self.ledger.change(step, patience=LOCK_PATIENCE)
        except StorageError as exc:
            _log.info("how long this start waited was not written down: %s", exc)

    # ---- the worker ----

    def _new_worker(self) -> Worker:
        return Worker(self._run_order, clock=self.clock, period=self._period)

    def _start_worker(self) -> None:
        """Last of all, and only for the process that may install."""
        if self._primary is None or self._worker is not None:
            return
        self._worker = self._new_worker()
        self._worker.start(Order(check=self.config.checks, launch=True), delay=APP_FIRST)

    def _period(self) -> float | None:
        """Seconds to the next periodic check, spread by a tenth so that a fleet does not march in step."""
        if not self.config.checks or not self.config.period_check_delay:
            return None
        spread = int.from_bytes(os.urandom(2), "big") / 0xFFFF
        return self.config.period_check_delay * (0.9 + 0.2 * spread)

    def _run_order(self, order: Order) -> None:
        upkeep = self._upkeep()
        upkeep.quietly(upkeep.before)
        result = self.cycle.run(order)
        self._result = result
        order.done.set()
        self.clock.wait(self._opened, None)
        if self.cycle.should_stop():
            return
        if result.action == "queued" and self.config.mode == "always" and not order.foreground:
            self.apply_queued()
        if not self._looked_over:
            self._looked_over = True
            upkeep.quietly(lambda: self._look_over(upkeep))
        upkeep.quietly(lambda: upkeep.tidy(self.running().bundle_id, outage=result.is_outage))

    def _look_over(self, upkeep: Upkeep) -> None:
        upkeep.look_over(self.running().bundle_id)

    def _upkeep(self) -> Upkeep:
        from capgo_client.upkeep import Upkeep

        return Upkeep(store=self.store, ledger=self.ledger, files=self.files, should_stop=self.cycle.should_stop)

    def submit(self, order: Order) -> Literal["queued", "already_running", "unavailable"]:
        """Ask for a cycle: ``queued``, ``already_running`` or ``unavailable`` (the plugin's words)."""
        if self._worker is None or not self.config.update_url:
            return "unavailable"
        return "queued" if self._worker.submit(order) else "already_running"

    def hurry(self) -> None:
        """The app is open: what waited for that may begin."""
        if self._worker is not None:
            self._worker.hurry()

    def wait(self, timeout: float | None) -> bool:
        """Until no cycle runs or is due."""
        return True if self._worker is None else self._worker.wait(timeout)

    def apply_queued(self) -> None:
        """Change over to the queued bundle now, where the app gave a way to; else it waits for the next start."""
        session = self._session
        queued = self.ledger.load().state.next
        if session is None or not session.can_switch or not queued:
            return
        try:
            session.switch(queued)
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

    def abandon(self) -> None:
        """In a forked child: let go of the parent's locks without unlocking them."""
        if self._primary is not None:
            self._primary.abandon()
        self.ledger.abandon()
