"""The state file: one document, replaced whole, one generation kept, and rebuilt when both are lost."""

from __future__ import annotations

import threading
from contextlib import contextmanager

from capgo_client.errors import StorageError
from capgo_client.install import checked
from capgo_client.install.locks import FileLock
from capgo_client.life.document import SCHEMA, DocumentError, from_document, to_document
from capgo_client.log import Log
from capgo_client.seams import below, name_of
from capgo_client.values import dataclass, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from capgo_client.life.state import State
    from capgo_client.seams import Files, StrPath

__all__ = ["FROM_FILE", "FROM_NOTHING", "FROM_OLDER", "FROM_SEALS", "NEWER_SCHEMA", "Ledger", "Loaded", "LockBusyError"]

#: Where the state came from, in the words that the log and explain() use.
FROM_FILE = "the state file"
FROM_OLDER = "the state file's older generation"
FROM_SEALS = "the sealed records"
FROM_NOTHING = "nothing (first start)"
NEWER_SCHEMA = "a state file of a newer library (read only)"

#: A state document is some kilobytes; what is larger is not ours.
_LIMIT = 4 << 20

_log = Log("capgo_client.install")


class LockBusyError(StorageError):
    """Another process, or a thread of this one, kept the state lock for longer than we may wait."""

    code = "state_locked"
    hint = "another process of this app holds the state; nothing was lost"


@dataclass(frozen=True, slots=True)
class Loaded:
    """The state, where it came from, and whether it may be written back.

    It may not where it is a newer library's, and where not all there is could be read (``obstacle`` says why): what
    was written then would take the place of something better.
    """

    state: State
    origin: str
    obstacle: str = ""

    @property
    def writable(self) -> bool:
        """Whether a change of it may be saved, and what it does not know be removed."""
        return not self.obstacle


class Ledger:
    """Reads and replaces the state document. Reading needs no lock; every change happens under it."""

    def __init__(
        self,
        folder: StrPath,
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
        self._read_last: tuple[str, bytes, Loaded] | None = None
        self._lock = FileLock(below(folder, "state.lock"), files=files)

    def load(self) -> Loaded:
        """The newest state that can be read. Never raises: what is damaged is passed over, and the log says so."""
        obstacle = ""
        for name, origin in (("state.json", FROM_FILE), ("state.old", FROM_OLDER)):
            try:
                found = self._load_one(below(self._folder, name), origin)
            except OSError as exc:
                obstacle = f"{name} cannot be read at the moment: {exc.strerror}"
                _log.warning("%s", obstacle)
                continue
            if found is not None:
                return replace(found, obstacle=found.obstacle or obstacle)
        return self._load_rebuilt(obstacle)

    def _load_rebuilt(self, obstacle: str) -> Loaded:
        try:
            rebuilt = self._rebuild()
        except OSError as exc:
            obstacle = f"the installs cannot be looked through: {exc.strerror}"
            _log.warning("%s", obstacle)
            return Loaded(self._fresh(), FROM_NOTHING, obstacle)
        if rebuilt is None:
            return Loaded(self._fresh(), FROM_NOTHING, obstacle)
        _log.warning("the state file is lost; what is known of the installs was rebuilt from their sealed records")
        return Loaded(rebuilt, FROM_SEALS, obstacle)

    def _load_one(self, path: StrPath, origin: str) -> Loaded | None:
        """One generation; None where it is missing or damaged. Raises OSError where that cannot be told now."""
        try:
            # The older generation lacks the last change.
            return self._loaded(checked.twice(lambda: self._files.read_bytes(path, _LIMIT)), origin)
        except FileNotFoundError:
            return None
        except (OSError, checked.DamagedError, DocumentError) as exc:
            if isinstance(exc, OSError) and checked.is_passing(exc):
                raise
            _log.warning("%s cannot be used: %s", name_of(path), exc)
            return None

    def _loaded(self, data: bytes, origin: str) -> Loaded:
        """What a file says. The same bytes as last time mean the same: values do not change."""
        last = self._read_last
        if last is not None and last[:2] == (origin, data):
            return last[2]
        document = checked.unpack(data)
        schema = document.get("schema") if isinstance(document, dict) else None
        if isinstance(schema, int) and schema > SCHEMA:
            return Loaded(self._newer(document), NEWER_SCHEMA, "the state file was written by a newer library")
        loaded = Loaded(from_document(document), origin)
        self._read_last = (origin, data, loaded)
        return loaded

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
            if not loaded.writable and loaded.origin != NEWER_SCHEMA:
                # What can be told to change nothing here may well change what could not be read.
                raise StorageError(loaded.obstacle, code="state_unreadable")
            after = step(loaded.state)
            if after is not loaded.state and after != loaded.state:
                self.save(after, loaded)
            return after

    def save(self, state: State, loaded: Loaded) -> None:
        """Replace what was ``loaded``; the caller holds the lock. Raises StorageError; then the old one stands."""
        if not loaded.writable:
            code = "state_newer" if loaded.origin == NEWER_SCHEMA else "state_unreadable"
            raise StorageError(loaded.obstacle, code=code)
        new, current, old = (below(self._folder, name) for name in ("state.new", "state.json", "state.old"))
        files = self._files
        try:
            checked.write_synced(new, checked.pack(to_document(state)), files=files)
            if loaded.origin == FROM_FILE:  # a damaged document must not take the place of the good older one
                checked.put(current, old, files=files)
            checked.put(new, current, files=files)
            files.sync_folder(self._folder)
        except (OSError, ValueError) as exc:
            code = "insufficient_disk_space" if checked.is_full(exc) else "state_unwritable"
            raise StorageError(f"the state cannot be written: {exc}", code=code) from exc
