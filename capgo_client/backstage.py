"""What works behind the app: asking, telling, bringing and tidying up.

Made when the worker begins, or when the app calls a method that needs it: opening a version needs none of it, and its
modules cost several times what a start does (decision 1).
"""

from __future__ import annotations

import os
import threading

from capgo_client.errors import StorageError
from capgo_client.events import Event
from capgo_client.journal import Journal
from capgo_client.life import schedule
from capgo_client.life.settings import reconsidered
from capgo_client.log import Log
from capgo_client.opening import LOCK_PATIENCE
from capgo_client.presence import Presence
from capgo_client.service import Service, is_out_of_bounds
from capgo_client.stats.recorder import Stats
from capgo_client.stats.trace import Trace
from capgo_client.values import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    from capgo_client.cycle import Cycle
    from capgo_client.engine import Engine
    from capgo_client.life.settings import Settings
    from capgo_client.net.client import Reply
    from capgo_client.result import Result
    from capgo_client.upkeep import Upkeep
    from capgo_client.worker import Order

__all__ = ["Backstage"]

#: A delivery of statistics may take so long (seconds); nobody waits for it.
STATS_TIMEOUT = 10.0

_log = Log("capgo_client")


class Backstage:
    """Built once for an engine, at its first use; ``end()`` stops it for good."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._config = engine.config
        self._lock = threading.Lock()
        self._opening_noted = False
        self._looked_over = False
        self._unannounced: Result | None = None
        self._result: Result | None = None
        store, ledger, files, clock = engine.store, engine.ledger, engine.files, engine.clock
        self.presence = Presence(engine.config, store=store, ledger=ledger, files=files)
        self.service = Service(
            engine.config,
            engine.wire,
            identity=self.presence.identity,
            endpoints=lambda: self.presence.endpoints,
        )
        self.stats = Stats(
            store.stats,
            files=files,
            clock=clock,
            identity=self.presence.identity,
            send=self._send_stats,
            enabled=self.tells,
            current=lambda: engine.running().version,
        )
        self.journal = Journal(
            self.stats, Trace(store.stats, files=files), clock=clock, began=engine.began, enabled=self.tells
        )
        self._cycle: Cycle | None = None
        self._ended = False

    @property
    def cycle(self) -> Cycle:
        """Checks, and brings what is new: the larger half of our modules, which only the worker waits for."""
        with self._lock:
            if self._cycle is None:
                self._cycle = self._new_cycle()
                if self._ended:
                    self._cycle.cancel()
            return self._cycle

    def _new_cycle(self) -> Cycle:
        from capgo_client.cycle import Cycle

        engine = self._engine
        return Cycle(
            engine.config,
            store=engine.store,
            ledger=engine.ledger,
            opening=engine.opening,
            service=self.service,
            files=engine.files,
            clock=engine.clock,
            emitter=engine.emitter,
            journal=self.journal,
            running=engine.running,
            may_download=engine.may_download,
            identity_kept=lambda: self.presence.device.kept,
            learn=self.presence.learn,
        )

    @property
    def result(self) -> Result | None:
        """What the last cycle came to; None before the first."""
        return self._result

    # ---- statistics ----

    def tells(self) -> bool:
        """Whether this process tells statistics: one of an app does, to somebody, under an id that is kept."""
        url = self.presence.endpoints.stats
        return self._engine.may_write and bool(url) and not is_out_of_bounds(url) and self.presence.device.kept

    def note_launch(self) -> None:
        """The statistics of this start: the first that is done here, for a start itself writes nothing that can wait.

        Once a process, however often it is called.
        """
        if self._engine.may_write and not self.presence.endpoints.stats:
            self.stats.clear()  # the app turned them off: what waited goes too
        self.journal.launched(self._engine.running().version)
        self._note_opened()

    def journal_of_launch(self) -> Journal:
        """For what the running version does, or what becomes of it: that it was opened is told before."""
        self.note_launch()
        return self.journal

    def _note_opened(self) -> None:
        with self._lock:
            session, noted = self._engine.session, self._opening_noted
            self._opening_noted = noted or session is not None
        if session is not None and not noted:
            self.journal.opened(session.first)

    def _send_stats(self, body: bytes) -> Reply:
        from capgo_client.net.deadline import Scope

        return self.service.send_stats(body, scope=Scope(STATS_TIMEOUT))

    # ---- a cycle ----

    def run(self, order: Order) -> None:
        """Do what the worker was told."""
        self.note_launch()
        upkeep = self._upkeep()
        if not self._looked_over:
            upkeep.quietly(self._look_around)
        upkeep.quietly(upkeep.before)
        result = self.cycle.run(order)
        self._result = result
        order.done.set()
        self._engine.wait_until_opened()
        if self.cycle.should_stop():
            return
        self._note_opened()
        self._announce(result)
        if result.action == "queued" and self._config.mode == "always" and not order.foreground:
            self._engine.apply_queued()
        if not self._looked_over:
            self._looked_over = True
            upkeep.quietly(lambda: self._look_over(upkeep))
        running = self._engine.running().bundle_id
        upkeep.quietly(lambda: upkeep.tidy(running, outage=result.is_outage, keep_downloads=not result.fetched_all))
        self.stats.begin()

    def period(self) -> float | None:
        """Seconds to the next periodic check, spread by a tenth so that a fleet does not march in step."""
        if not self._engine.checks or not self._config.period_check_delay:
            return None
        return schedule.period(self._config.period_check_delay, draw=int.from_bytes(os.urandom(2), "big") / 0xFFFF)

    def _look_around(self) -> None:
        above = self._engine.store.exposed_above()
        if above is not None:
            _log.warning("every user of this machine may replace what lies in %s: keep the data_dir elsewhere", above)
        self.journal.changed(self.presence.look_around(), self._engine.running().version)

    def _announce(self, result: Result) -> None:
        """Tell the app that a cycle is over; the first time not before the version that runs has proven itself."""
        with self._lock:
            self._unannounced = result
        session = self._engine.session
        if session is not None and session.is_settled:
            self.settled()

    def settled(self) -> None:
        """What runs has proven itself, or not: what waited for that is told."""
        with self._lock:
            result, self._unannounced = self._unannounced, None
        session = self._engine.session
        if result is not None and session is not None:
            opened = session.opened.bundle
            self._engine.emitter.emit(Event("app_ready", bundle=opened, status=result.seen_with(opened).status))

    def _look_over(self, upkeep: Upkeep) -> None:
        """The full verify of what runs; where that is damaged, of what would open next as well, until one is sound."""
        bundle_id = self._engine.running().bundle_id
        while upkeep.look_over(bundle_id):
            bundle_id = self._engine.opening.candidate().bundle_id

    def _upkeep(self) -> Upkeep:
        from capgo_client.upkeep import Upkeep

        return Upkeep(
            self._config,
            store=self._engine.store,
            ledger=self._engine.ledger,
            files=self._engine.files,
            journal=self.journal,
            should_stop=self.cycle.should_stop,
        )

    # ---- the app comes and goes ----

    def moved(self, *, to_foreground: bool) -> None:
        """The app came to be seen, or ceased to be: some delay conditions end with that."""
        self.journal.moved(self._engine.running().version, to_foreground=to_foreground)
        source: Literal["foreground", "background"] = "foreground" if to_foreground else "background"
        now = self._engine.clock.wall()

        def step(settings: Settings) -> Settings:
            after = reconsidered(settings, source=source, now=now, native_version=self._config.version)
            # Only a condition asks how long the app was away.
            return after if to_foreground or not after.delays else replace(after, background_at=now)

        if not self.presence.refreshed().delays:
            return
        try:
            self.presence.keep(step, patience=LOCK_PATIENCE)
        except StorageError as exc:
            _log.info("the delay conditions are looked at another time: %s", exc)

    # ---- the end ----

    def end(self) -> threading.Thread | None:
        """Stop everything; the thread that delivers statistics ends soon, where there is one."""
        self.journal.ended()
        self.stats.stop()
        with self._lock:
            self._ended = True
            cycle = self._cycle
        if cycle is None:
            self.service.close()
        else:
            cycle.cancel()
        return self.stats.thread
