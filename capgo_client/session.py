"""One launch: what this process runs, and what becomes of it (decisions 6 and 7).

Only a launch that was written down can prove anything. In a second process, or where nothing could be written, every
method here does nothing.
"""

from __future__ import annotations

import os
import threading

from capgo_client.bundle import BUILTIN_ID, BundleStatus
from capgo_client.errors import BundleError, CapgoError, StorageError
from capgo_client.events import Event
from capgo_client.install import leases
from capgo_client.install.ledger import FROM_FILE
from capgo_client.life import boot
from capgo_client.log import Log
from capgo_client.opening import Opened
from capgo_client.values import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from capgo_client.bundle import Bundle
    from capgo_client.config import Config
    from capgo_client.events import Emitter
    from capgo_client.install.ledger import Ledger
    from capgo_client.install.locks import FileLock
    from capgo_client.install.store import Store
    from capgo_client.journal import Journal
    from capgo_client.life.state import State
    from capgo_client.opening import Opening
    from capgo_client.ready import ReadyTimer
    from capgo_client.seams import Clock

    Reload = Callable[..., object]

__all__ = ["Session"]

#: The app's main thread waits no longer for the state lock than a start does; our own threads can (seconds).
_BRIEFLY = 0.05
_PATIENTLY = 5.0

_log = Log("capgo_client")


class Session:
    """Confirms, condemns and switches, on behalf of the bundle that was opened."""

    def __init__(
        self,
        config: Config,
        opened: Opened,
        *,
        store: Store,
        ledger: Ledger,
        opening: Opening,
        emitter: Emitter,
        journal: Callable[[], Journal],
        clock: Clock,
        reload: Reload | None,
        settled: Callable[[], None],
    ) -> None:
        self._config = config
        #: What the start opened, whatever was switched to since.
        self.first = opened
        self._journal = journal
        self._settled = settled
        self._opened = opened
        self._store = store
        self._ledger = ledger
        self._opening = opening
        self._emitter = emitter
        self._clock = clock
        self._reload = reload
        self._lock = threading.Lock()
        self._switching = threading.Lock()
        self._switcher = 0
        self._timer: ReadyTimer | None = None
        self._closed = False
        self._is_ready = False
        self._is_on_trial = False
        #: One on what runs now, and on each that was switched away from, whose modules may linger.
        self._leases: list[tuple[str, FileLock]] = []
        if opened.counted:
            leases.let_go(store.root)
        self._hold(opened)

    @property
    def opened(self) -> Opened:
        """What this process runs now."""
        return self._opened

    @property
    def is_ready(self) -> bool:
        """Whether the app said so of what runs now; a switch begins anew."""
        return self._is_ready

    @property
    def is_settled(self) -> bool:
        """Whether nothing has to be proven of what runs now, or whether that is decided."""
        return self._is_ready or not self._is_on_trial

    def begin(self) -> None:
        """The app is about to open: start the ready timer, if this version has yet to prove itself."""
        opened = self._opened
        if not opened.counted or opened.bundle.is_builtin or opened.bundle.status is BundleStatus.SUCCESS:
            self._is_on_trial = False
            return
        self._is_on_trial = True
        from capgo_client.ready import ReadyTimer

        self._timer = ReadyTimer(self._config.app_ready_timeout, lambda: self._expired(opened), clock=self._clock)
        self._timer.start()

    def ready(self) -> None:
        """The app says that this version works. Raises nothing; what cannot be written now is written later."""
        with self._lock:
            self._is_ready = True
            opened = self._opened
            if self._closed or not opened.counted:
                return
            self._stop_timer()
        self._journal().ready(opened.bundle.version)
        try:
            self._confirm(opened, patience=_BRIEFLY)
        except StorageError as exc:
            _log.info("ready is written down a little later: %s", exc)
            threading.Thread(target=self._confirm_later, args=(opened,), name="capgo-confirm", daemon=True).start()
        else:
            self._settled()

    def _confirm_later(self, opened: Opened) -> None:
        try:
            self._confirm(opened, patience=_PATIENTLY)
        except StorageError as exc:
            _log.warning("ready could not be written down, so this version gets another start: %s", exc)
        self._settled()

    def _confirm(self, opened: Opened, *, patience: float) -> None:
        bundle_id = opened.bundle.id
        before: list[State] = []

        def step(state: State) -> State:
            before.append(state)
            return boot.confirmed(state, bundle_id, token=opened.token)

        after = self._ledger.change(step, patience=patience)
        if after == before[0]:
            return
        install = after.install(bundle_id)
        if install is not None and install.confirmed:
            self._store.mark_confirmed(bundle_id)
            _log.info("%s confirmed itself", install.version)
        self._refresh(opened, after)

    def _refresh(self, opened: Opened, state: State) -> None:
        """The public value of what runs follows its status, unless another bundle was switched to meanwhile."""
        with self._lock:
            if self._opened is opened and not opened.bundle.is_builtin and state.install(opened.bundle.id):
                self._opened = replace(opened, bundle=self._opening.bundle(state, opened.bundle.id))

    def crashed(self, error: BaseException) -> None:
        """The app reports a crash: hard evidence. Raises nothing: whoever calls this is in trouble enough."""
        with self._lock:
            opened = self._opened
            if self._closed or not opened.counted:
                return
            self._stop_timer()
        _log.error("a crash of %s was reported: %s", opened.bundle.version, type(error).__name__)
        self._journal().crashed(opened.bundle.version, error, ready=self._is_ready or not self._is_on_trial)
        self._judge(
            opened,
            lambda state: boot.crashed(state, opened.bundle.id, token=opened.token, now=self._clock.wall()),
            message="it crashed",
        )

    def _expired(self, opened: Opened) -> None:
        """The ready timer ran out."""
        with self._lock:
            if self._closed or self._opened.token != opened.token:
                return
            self._is_on_trial = False
        timeout = self._config.app_ready_timeout
        _log.warning("%s did not say ready in %g s", opened.bundle.version, timeout)
        self._journal().timed_out(opened.bundle.version, timeout=timeout)
        state = self._judge(
            opened,
            lambda state: boot.timed_out(state, opened.bundle.id, token=opened.token, now=self._clock.wall()),
            message="it did not say ready in time",
        )
        if state is not None and self._reload is not None and state.current != opened.bundle.id:
            try:
                self.switch(state.current)
            except CapgoError as exc:
                _log.warning("the app could not be reloaded; the good version opens at the next start: %s", exc)
        self._settled()

    def _judge(self, opened: Opened, step: Callable[[State], State], *, message: str) -> State | None:
        """Write a verdict down and tell the app; None when it changed nothing or could not be written."""
        bundle_id = opened.bundle.id
        before: list[State] = []

        def remember(state: State) -> State:
            before.append(state)
            return step(state)

        try:
            after = self._ledger.change(remember, patience=_PATIENTLY)
        except StorageError as exc:
            _log.warning("a failed start could not be written down: %s", exc)
            return None
        condemned = after.failed is not None and after.failed.id == bundle_id
        if after == before[0] or not condemned:
            return None
        self._store.unmark_confirmed(bundle_id)
        self._refresh(opened, after)
        good = self._opening.bundle(after, after.current)
        _log.warning("%s is rolled back to %s, because %s", opened.bundle.version, good.version, message)
        self._journal().rolled_back(opened.bundle.version)
        self._emitter.emit(Event("update_failed", bundle=self._opening.bundle(after, bundle_id), message=message))
        return after

    def paused(self) -> None:
        """The app went to the background."""
        with self._lock:
            if self._timer is not None:
                self._timer.pause()

    def resumed(self) -> None:
        """The app came back."""
        with self._lock:
            if self._timer is not None:
                self._timer.resume()

    @property
    def can_switch(self) -> bool:
        """Whether the app gave a way to change over while it runs."""
        return self._reload is not None and self._opened.counted

    def switch(self, bundle_id: str) -> Bundle:
        """Change over to ``bundle_id`` now, through the app's ``reload``, which runs under no lock that "ready" needs.

        The attempt is written down before the app opens it. When ``reload`` raises, everything is as before.

        Raises:
            BundleError: ``bundle_damaged``, ``switch_running``, or ``reload_failed`` with the app's own exception as
                its cause.
            StorageError: the attempt cannot be written down.
        """
        if self._switcher == threading.get_ident():
            raise BundleError("reload itself asked for another switch", code="switch_running", hint="raise instead")
        with self._switching:
            self._switcher = threading.get_ident()
            before = self._opened.bundle
            try:
                bundle = self._switch(bundle_id)
            finally:
                self._switcher = 0
        if bundle.id != before.id:
            self._journal().switched(bundle, old=before.version)
            self._emitter.emit(Event("set", bundle=bundle, version=bundle.version))
        self._emitter.emit(Event("app_reloaded", bundle=bundle, version=bundle.version))
        return bundle

    def _switch(self, bundle_id: str) -> Bundle:
        lease = self._opening.lease(bundle_id)
        token = os.urandom(16).hex()
        before: list[State] = []
        from capgo_client.life import decide

        def step(state: State) -> State:
            before.append(state)
            if bundle_id != BUILTIN_ID and state.install(bundle_id) is None:
                raise BundleError(f"bundle {bundle_id} was removed just now", code="bundle_unknown")
            return boot.opened(decide.queued_for_switch(state, bundle_id), bundle_id, token=token)

        try:
            after = self._ledger.change(step, patience=_BRIEFLY)
        except CapgoError:
            _let_go(lease)
            raise
        bundle = self._opening.bundle(after, bundle_id)
        try:
            _call(self._reload, bundle)
        except Exception as exc:
            _let_go(lease)
            self._ledger.change(lambda state: boot.restored(state, before[0], bundle_id), patience=_PATIENTLY)
            raise BundleError(f"reload raised for {bundle.version}; nothing changed", code="reload_failed") from exc
        with self._lock:
            self._stop_timer()
            self._is_ready = False
            self._opened = Opened(bundle, token, "the app switched to it", FROM_FILE, lease)
        self._hold(self._opened)
        self.begin()
        return bundle

    def _hold(self, opened: Opened) -> None:
        if opened.lease is None:
            return
        if any(bundle_id == opened.bundle.id for bundle_id, _ in self._leases):
            opened.lease.release()  # going to and fro holds each bundle once
        else:
            self._leases.append((opened.bundle.id, opened.lease))

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.stop()

    def close(self) -> tuple[threading.Thread, ...]:
        """Decide nothing more; returns the threads that are about to end. The lease stays."""
        with self._lock:
            self._closed = True
            timer = self._timer
            held, self._leases = self._leases, []
        for bundle_id, lease in held:
            if bundle_id == self._opened.bundle.id:
                leases.keep(self._store.root, bundle_id, lease)
            else:
                lease.release()
        if timer is None:
            return ()
        timer.stop()
        return (timer.thread,)


def _let_go(lease: FileLock | None) -> None:
    if lease is not None:
        lease.release()


def _call(reload: Reload | None, bundle: Bundle) -> None:
    """Call the app's ``reload`` with the bundle, or without where it takes nothing."""
    if reload is None:
        raise RuntimeError("there is no reload")
    import inspect

    try:
        inspect.signature(reload).bind(bundle)
    except (TypeError, ValueError):
        reload()
    else:
        reload(bundle)
