"""What is done after a cycle, when nobody waits: take in, look over, tidy up."""

from __future__ import annotations

from capgo_client.bundle import BUILTIN_ID, BundleStatus
from capgo_client.errors import Cancelled, StorageError
from capgo_client.install.audit import audit
from capgo_client.install.locks import install_lock
from capgo_client.install.rebuild import adopted
from capgo_client.life import boot, retention
from capgo_client.log import Log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from capgo_client.config import Config
    from capgo_client.install.ledger import Ledger
    from capgo_client.install.seal import Seal
    from capgo_client.install.store import Store
    from capgo_client.journal import Journal
    from capgo_client.life.state import State
    from capgo_client.seams import Files

__all__ = ["Upkeep"]

PATIENCE = 5.0

_log = Log("capgo_client")


class Upkeep:
    """Knows the disk and the state, decides by ``life``."""

    def __init__(
        self,
        config: Config,
        *,
        store: Store,
        ledger: Ledger,
        files: Files,
        journal: Journal,
        should_stop: Callable[[], bool],
    ) -> None:
        self._config = config
        self._journal = journal
        self._store = store
        self._ledger = ledger
        self._files = files
        self._should_stop = should_stop

    def before(self) -> None:
        """Take in installs that a killed start published and did not write down. Raises StorageError, OSError."""
        if not self._orphans():
            return
        with install_lock(self._store.folder, files=self._files, patience=0.0):
            seals = [seal for seal in map(self._sound_seal, self._orphans()) if seal is not None]
            self._ledger.change(lambda state: adopted(state, seals), patience=PATIENCE)

    def _orphans(self) -> list[str]:
        """What is on disk and not in the state; nothing where the state is not ours to change."""
        loaded = self._ledger.load()
        known = {install.id for install in loaded.state.installs}
        return sorted(set(self._store.ids()) - known) if loaded.writable else []

    def _sound_seal(self, bundle_id: str) -> Seal | None:
        """The seal of an orphan that passes the full verify: it may be what a power cut left of a removal."""
        problems = self._audit(bundle_id) and self._audit(bundle_id)
        if not problems:
            return self._store.seal(bundle_id)
        _log.info("install %s is left over and not taken in: %s", bundle_id, problems[0])
        return None

    def tidy(self, running_id: str, *, outage: bool = False, keep_downloads: bool = True) -> None:
        """Remove what nothing needs; in an ``outage`` no install, for nobody could bring it again (promise P8).

        Raises StorageError.
        """
        with install_lock(self._store.folder, files=self._files, patience=0.0):
            if not keep_downloads:
                self._store.drop_downloads(should_stop=self._should_stop)
            if outage or not self._ledger.load().writable:  # what we cannot know of, a newer library may need
                self._store.clear_up(should_stop=self._should_stop)
                return
            before = self._ledger.load().state
            state = self._ledger.change(lambda state: self._tidied(state, running_id), patience=PATIENCE)
            self._agree(state)
            known = frozenset(install.id for install in state.installs) | {running_id}
            self._store.sweep(known, should_stop=self._should_stop)
            here = set(self._store.ids())
            self._journal.deleted([i.version for i in before.installs if i.id not in known and i.id not in here])

    def _tidied(self, state: State, running_id: str) -> State:
        expendable = retention.expendable(
            state,
            in_use=frozenset({running_id}),
            delete_failed=self._config.auto_delete_failed,
            delete_previous=self._config.auto_delete_previous,
        )
        return retention.forgotten(state, expendable)

    def _agree(self, state: State) -> None:
        """Set right the marks beside the installs, which follow the state and may have been cut off from it."""
        for install in state.installs:
            marked = self._store.confirmed_at(install.id) is not None
            if install.confirmed and not marked:
                self._store.mark_confirmed(install.id)
            elif marked and install.status is BundleStatus.ERROR:
                self._store.unmark_confirmed(install.id)

    def look_over(self, bundle_id: str) -> tuple[str, ...]:
        """The full verify; a damaged install is broken for good, so that nothing opens or adopts it again.

        Raises StorageError.
        """
        if bundle_id == BUILTIN_ID:
            return ()
        try:
            problems = self._audit(bundle_id) and self._audit(bundle_id)  # twice, as ``Store.fault`` looks twice
        except Cancelled:
            return ()
        if problems:
            _log.warning("install %s is damaged (%s); another version opens next", bundle_id, problems[0])
            self._store.break_seal(bundle_id)
            self._ledger.change(lambda state: boot.damaged(state, bundle_id), patience=PATIENCE)
        return problems

    def _audit(self, bundle_id: str) -> tuple[str, ...]:
        return audit(self._store.installs / bundle_id, files=self._files, should_stop=self._should_stop)

    def quietly(self, step: Callable[[], None]) -> None:
        """Do ``step``; that the disk forbids it is no reason to end the cycle."""
        try:
            step()
        except (StorageError, Cancelled, OSError) as exc:
            _log.info("left for another time: %s", exc)
