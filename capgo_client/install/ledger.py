"""The state file: one document, replaced whole, one generation kept, and rebuilt when both are lost."""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from dataclasses import dataclass

from capgo_client.errors import StorageError
from capgo_client.install import checked
from capgo_client.install.locks import FileLock
from capgo_client.life.document import SCHEMA, DocumentError, from_document, to_document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from capgo_client.life.state import State
    from capgo_client.seams import Files

__all__ = ["FROM_FILE", "FROM_NOTHING", "FROM_OLDER", "FROM_SEALS", "NEWER_SCHEMA", "Ledger", "Loaded", "LockBusyError"]

#: Where the state came from, in the words that the log and explain() use.
FROM_FILE = "the state file"
FROM_OLDER = "the state file's older generation"
FROM_SEALS = "the sealed records"
FROM_NOTHING = "nothing (first start)"
NEWER_SCHEMA = "a state file of a newer library (read only)"

#: A state document is some kilobytes; what is larger is not ours.
_LIMIT = 4 << 20

_log = logging.getLogger("capgo_client.install")


class LockBusyError(StorageError):
    """Another process, or a thread of this one, kept the state lock for longer than we may wait."""

    code = "state_locked"
    hint = "another process of this app holds the state; nothing was lost"


@dataclass(frozen=True, slots=True)
class Loaded:
    """The state, where it came from, and whether it may be written back."""

    state: State
    origin: str
    writable: bool = True


class Ledger:
    """Reads and replaces the state document. Reading needs no lock; every change happens under it."""

    def __init__(
        self,
        folder: Path,
        *,
        files: Files,
        fresh: Callable[[], State],
        rebuild: Callable[[], State | None],
        newer: Callable[[object], State],
    ) -> None:
        self._folder = folder
        self._files = files
        self._fresh = fresh
        self._rebuild = rebuild
        self._newer = newer
        self._thread_lock = threading.Lock()
        self._lock = FileLock(folder / "state.lock", files=files)

    def load(self) -> Loaded:
        """The newest state that can be read. Never raises: what is damaged is passed over, and the log says so."""
        for name, origin in (("state.json", FROM_FILE), ("state.old", FROM_OLDER)):
            found = self._load_one(self._folder / name, origin)
            if found is not None:
                return found
        rebuilt = self._rebuild()
        if rebuilt is not None:
            _log.warning("the state file is lost; what is known of the installs was rebuilt from their sealed records")
            return Loaded(rebuilt, FROM_SEALS)
        return Loaded(self._fresh(), FROM_NOTHING)

    def _load_one(self, path: Path, origin: str) -> Loaded | None:
        try:
            document = checked.read(path, files=self._files, limit=_LIMIT)
            schema = document.get("schema") if isinstance(document, dict) else None
            if isinstance(schema, int) and schema > SCHEMA:
                return Loaded(self._newer(document), NEWER_SCHEMA, writable=False)
            return Loaded(from_document(document), origin)
        except FileNotFoundError:
            return None
        except (OSError, checked.DamagedError, DocumentError) as exc:
            _log.warning("%s cannot be used: %s", path.name, exc)
            return None

    @contextmanager
    def locked(self, *, patience: float) -> Iterator[None]:
        """Hold the state lock. Raises LockBusyError after ``patience`` seconds, StorageError where none can be had."""
        # Threads of this process queue here, so that only one of them polls the file.
        if not self._thread_lock.acquire(timeout=patience):
            raise LockBusyError("the state is in use by another thread")
        try:
            self._acquire(patience)
            try:
                yield
            finally:
                self._lock.release()
        finally:
            self._thread_lock.release()

    def _acquire(self, patience: float) -> None:
        try:
            free = self._lock.acquire(patience=patience)
        except OSError as exc:
            raise StorageError(f"the state lock cannot be had: {exc.strerror}", code="state_unwritable") from exc
        if not free:
            raise LockBusyError("the state is in use by another process")

    def change(self, step: Callable[[State], State], *, patience: float) -> State:
        """Apply ``step`` to the state and write the result, if it differs. Raises StorageError (LockBusyError)."""
        with self.locked(patience=patience):
            loaded = self.load()
            after = step(loaded.state)
            if after is not loaded.state and after != loaded.state:
                self.save(after, loaded)
            return after

    def save(self, state: State, loaded: Loaded) -> None:
        """Replace what was ``loaded``; the caller holds the lock. Raises StorageError; then the old one stands."""
        if not loaded.writable:
            raise StorageError("the state file was written by a newer library", code="state_newer")
        new, current, old = (self._folder / name for name in ("state.new", "state.json", "state.old"))
        files = self._files
        try:
            checked.write_synced(new, checked.pack(to_document(state)), files=files)
            if loaded.origin == FROM_FILE:  # a damaged document must not take the place of the good older one
                files.rename(current, old)
            files.rename(new, current)
            checked.sync_folder(self._folder, files=files)
        except (OSError, ValueError) as exc:
            raise StorageError(f"the state cannot be written: {exc}", code="state_unwritable") from exc

    def abandon(self) -> None:
        """In a forked child: let go of what the parent holds, without unlocking it."""
        self._lock.abandon()
