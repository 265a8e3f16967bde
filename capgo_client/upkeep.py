"""What is done after a cycle, when nobody waits: take in, look over, tidy up."""

from __future__ import annotations

import logging

from capgo_client.bundle import BUILTIN_ID
from capgo_client.errors import Cancelled, StorageError
from capgo_client.install.audit import audit
from capgo_client.install.locks import install_lock
from capgo_client.install.rebuild import adopted
from capgo_client.life import boot, retention

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from capgo_client.install.ledger import Ledger
    from capgo_client.install.store import Store
    from capgo_client.life.state import State
    from capgo_client.seams import Files

__all__ = ["Upkeep"]

PATIENCE = 5.0

_log = logging.getLogger("capgo_client")


class Upkeep:
    """Knows the disk and the state, decides by ``life``."""

    def __init__(self, *, store: Store, ledger: Ledger, files: Files, should_stop: Callable[[], bool]) -> None:
        self._store = store
        self._ledger = ledger
        self._files = files
        self._should_stop = should_stop

    def before(self) -> None:
        """Take in installs that a killed start published and did not write down. Raises StorageError."""
        if set(self._store.ids()) - {install.id for install in self._ledger.load().state.installs}:
            with install_lock(self._store.folder, files=self._files, patience=0.0):
                self._ledger.change(lambda state: adopted(state, self._store), patience=PATIENCE)

    def tidy(self, running_id: str) -> None:
        """Remove what nothing needs. Raises StorageError."""
        with install_lock(self._store.folder, files=self._files, patience=0.0):
            state = self._ledger.change(lambda state: _tidied(state, running_id), patience=PATIENCE)
            known = frozenset(install.id for install in state.installs) | {running_id}
            self._store.sweep(known, should_stop=self._should_stop)

    def look_over(self, bundle_id: str) -> tuple[str, ...]:
        """The full verify; a damaged install is broken for good, so that nothing opens or adopts it again."""
        if bundle_id == BUILTIN_ID:
            return ()
        try:
            problems = audit(self._store.installs / bundle_id, files=self._files, should_stop=self._should_stop)
        except Cancelled:
            return ()
        if problems:
            _log.warning("install %s is damaged (%s); another version opens next", bundle_id, problems[0])
            self._store.break_seal(bundle_id)
            self._ledger.change(lambda state: boot.damaged(state, bundle_id), patience=PATIENCE)
        return problems

    def quietly(self, step: Callable[[], None]) -> None:
        """Do ``step``; that the disk forbids it is no reason to end the cycle."""
        try:
            step()
        except (StorageError, OSError) as exc:
            _log.info("left for another time: %s", exc)


def _tidied(state: State, running_id: str) -> State:
    return retention.forgotten(state, retention.expendable(state, in_use=frozenset({running_id})))
