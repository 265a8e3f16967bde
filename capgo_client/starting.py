"""A start in a direct mode: whether the person may be made to wait for an update, and for how long (decision 13)."""

from __future__ import annotations

from capgo_client.errors import StorageError
from capgo_client.life import schedule
from capgo_client.log import Log
from capgo_client.opening import LOCK_PATIENCE
from capgo_client.values import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading

    from capgo_client.config import Config
    from capgo_client.install.ledger import Ledger
    from capgo_client.life.state import State
    from capgo_client.opening import Candidate, Opened, Opening
    from capgo_client.seams import Clock
    from capgo_client.worker import Order

__all__ = ["Starting"]

_log = Log("capgo_client")


class Starting:
    """Waits for what the worker brings, and not a moment longer than the mode allows."""

    def __init__(self, config: Config, *, opening: Opening, ledger: Ledger, clock: Clock) -> None:
        self._config = config
        self._opening = opening
        self._ledger = ledger
        self._clock = clock
        #: What would have opened without waiting; None where there was no waiting to decide about.
        self.candidate: Candidate | None = None

    def may_wait(self) -> bool:
        """Whether this start, in a mode that waits, does: no earlier launch waited in vain."""
        self.candidate = self._opening.candidate()
        if self._config.mode == "atInstall" and not self.candidate.newly_installed:
            return False
        if not schedule.may_wait(self.candidate.schedule, self._clock.wall()):
            _log.info("not waiting for the update check: the last one was in vain")
            return False
        return not self.candidate.newly_installed or self._welcomed()

    def _welcomed(self) -> bool:
        """Whether the new installer is written down: else this start would drop what it waited for."""
        try:
            self._opening.welcome()
        except StorageError as exc:
            _log.info("not waiting for the update check: %s", exc)
            return False
        return True

    def open_after(self, order: Order) -> Opened:
        """Wait for ``order``, which runs, as long as the mode allows; then open the best there is."""
        if self._in_time(order.checked, self._config.response_timeout):
            self._in_time(order.done, self._config.direct_timeout)
        order.direct = False
        order.cancel_check()
        opened = self._opening.counted()
        opened_update = self.candidate is not None and opened.bundle.id != self.candidate.bundle_id
        self._note_wait(self._clock.monotonic() - order.began, opened_update=opened_update)
        return opened

    def _in_time(self, event: threading.Event, seconds: float) -> bool:
        """Wait for ``event``. A long wait is written down while it lasts: who tires of it may kill the app."""
        end = self._clock.monotonic() + seconds
        if self._clock.wait(event, min(seconds, schedule.LAUNCH_PATIENCE)):
            return True
        if seconds <= schedule.LAUNCH_PATIENCE:
            return False
        self._note_wait(seconds, opened_update=False)
        return self._clock.wait(event, max(0.0, end - self._clock.monotonic()))

    def _note_wait(self, seconds: float, *, opened_update: bool) -> None:
        def step(state: State) -> State:
            plan = schedule.waited(state.schedule, seconds=seconds, opened_update=opened_update)
            return state if plan is state.schedule else replace(state, schedule=plan)

        if seconds <= schedule.LAUNCH_PATIENCE:
            return
        try:
            self._ledger.change(step, patience=LOCK_PATIENCE)
        except StorageError as exc:
            _log.info("how long this start waited was not written down: %s", exc)
