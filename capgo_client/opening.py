"""The local half of ``start()``: which bundle, is it sound, may it be counted, and the lease on it.

Nothing here waits for a network, and nothing costs more for a larger bundle or for more of them.
"""

from __future__ import annotations

import os

from capgo_client.bundle import BUILTIN_ID, Bundle, BundleStatus, path_of
from capgo_client.errors import BundleError, StorageError
from capgo_client.install.ledger import FROM_FILE, FROM_NOTHING
from capgo_client.life import boot
from capgo_client.log import Log
from capgo_client.values import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from capgo_client.config import Config
    from capgo_client.install.ledger import Ledger, Loaded
    from capgo_client.install.locks import FileLock
    from capgo_client.install.store import Store
    from capgo_client.life.schedule import Schedule
    from capgo_client.life.state import Install, State
    from capgo_client.seams import Clock

__all__ = ["LOCK_PATIENCE", "Candidate", "Opened", "Opening", "Running"]

#: A start waits no longer for another process that changes the state (seconds; decision 6).
LOCK_PATIENCE = 0.05

_log = Log("capgo_client")


@dataclass(frozen=True, slots=True)
class Opened:
    """What this process runs. ``token`` is empty where the launch was not written down: it can prove nothing then.

    ``before`` is the version that the launch before ran, empty where that is the same one; ``given_up`` one that used
    up its starts just now.
    """

    bundle: Bundle
    token: str
    why: str
    origin: str
    lease: FileLock | None = None
    before: str = ""
    given_up: str = ""

    @property
    def counted(self) -> bool:
        """Whether this launch may confirm or condemn."""
        return bool(self.token)


@dataclass(frozen=True, slots=True)
class Candidate:
    """What would open now, and what decides whether a direct mode may make the person wait."""

    bundle_id: str
    version: str
    schedule: Schedule
    newly_installed: bool


@dataclass(frozen=True, slots=True)
class Running:
    """The bundle that this process runs, or is about to: what a check reports."""

    bundle_id: str
    version: str


class Opening:
    """Chooses, checks at a glance, counts and leases."""

    def __init__(self, config: Config, *, store: Store, ledger: Ledger, clock: Clock) -> None:
        self._config = config
        self._store = store
        self._ledger = ledger
        self._clock = clock

    def candidate(self) -> Candidate:
        """What would open now; counts nothing and writes nothing."""
        state, is_new = self._arrive(self._ledger.load())
        unusable: set[str] = set()
        while True:
            choice = self._choose(state, unusable)
            if self._is_sound(choice.bundle_id):
                version = self.bundle(choice.state, choice.bundle_id).version
                return Candidate(choice.bundle_id, version, state.schedule, newly_installed=is_new)
            unusable.add(choice.bundle_id)

    def welcome(self) -> None:
        """Write a new installer down before a cycle builds on what it drops. Raises StorageError."""
        self._ledger.change(self._arrived, patience=LOCK_PATIENCE)

    def counted(self) -> Opened:
        """Open as the one process that counts; where nothing can be written, open what needs no counting."""
        try:
            with self._ledger.locked(patience=LOCK_PATIENCE):
                return self._open_and_count()
        except (StorageError, OSError) as exc:
            _log.warning("this start is not counted: %s", exc)
            return self.uncounted(f"the last confirmed version, because {exc}")

    def _open_and_count(self) -> Opened:
        loaded = self._ledger.load()
        state = self._arrive(loaded)[0]
        unusable: set[str] = set()
        while True:
            choice = self._choose(state, unusable)
            hold = self._take(choice.bundle_id)
            if hold.sound:
                break
            if hold.obstacle:
                raise StorageError(hold.obstacle, code="cannot_look")  # what is not known to be bad is not forgotten
            unusable.add(choice.bundle_id)
        token = os.urandom(16).hex()
        after = boot.opened(choice.state, choice.bundle_id, token=token)
        try:
            if after != loaded.state or loaded.origin != FROM_FILE:
                self._ledger.save(after, loaded)
        except StorageError:
            hold.release()
            raise
        last, failed = loaded.state.current, choice.state.failed
        return Opened(
            self.bundle(after, choice.bundle_id),
            token,
            choice.why,
            _told(loaded.origin),
            hold.lease,
            before="" if last == choice.bundle_id else self.bundle(loaded.state, last).version,
            given_up="" if failed is None or failed == state.failed else failed.version,
        )

    def uncounted(self, why: str) -> Opened:
        """Open the best version that needs no counting, and write nothing."""
        loaded = self._ledger.load()
        state = self._arrive(loaded)[0]
        unusable: set[str] = set()
        while True:
            bundle_id = boot.last_confirmed(state, frozenset(unusable))
            hold = self._take(bundle_id)
            if hold.sound:
                return Opened(self.bundle(state, bundle_id), "", why, _told(loaded.origin), hold.lease)
            unusable.add(bundle_id)

    def beside(self) -> Opened:
        """Open what is current, for a second process: it counts nothing and decides nothing."""
        why = "the app is open already, in another process or by another Updater; this one opens what is current"
        loaded = self._ledger.load()
        state = self._arrive(loaded)[0]
        hold = self._take(state.current)
        if not hold.sound:
            return self.uncounted(why)
        return Opened(self.bundle(state, state.current), "", why, _told(loaded.origin), hold.lease)

    def bundle(self, state: State, bundle_id: str) -> Bundle:
        """The public value for an id of ``state``; the builtin for ids that it does not know."""
        install = state.install(bundle_id)
        if install is None:
            return self.builtin()
        return self.bundle_of(install)

    def bundle_of(self, install: Install) -> Bundle:
        """The public value for an install."""
        return Bundle(
            id=install.id,
            version=install.version,
            path=path_of(self._store.app_text(install.id)),
            status=install.status,
            checksum=install.sha256,
            downloaded=install.installed_at,
            link=install.link,
            comment=install.comment,
        )

    @property
    def misses_builtin(self) -> bool:
        """Whether a folder for the builtin was given and is not there."""
        return self._config.builtin is not None and not os.path.isdir(self._config.builtin)

    def builtin(self) -> Bundle:
        """The version that ships inside the installer; its path is None where there is no such folder."""
        path = None if self.misses_builtin else self._config.builtin
        return Bundle(id=BUILTIN_ID, version=self._config.version, path=path_of(path), status=BundleStatus.SUCCESS)

    def _arrive(self, loaded: Loaded) -> tuple[State, bool]:
        state = self._arrived(loaded.state)
        is_new = loaded.state.native_version != self._config.version
        return state, is_new or loaded.origin == FROM_NOTHING

    def _arrived(self, state: State) -> State:
        return boot.arrived(
            state,
            native_version=self._config.version,
            now=self._clock.wall(),
            reset_when_update=self._config.reset_when_update,
            keep_channel=self._config.persist_default_channel_on_reinstall,
        )[0]

    def _choose(self, state: State, unusable: set[str]) -> boot.Choice:
        return boot.choice(
            state,
            max_attempts=self._config.max_boot_attempts,
            now=self._clock.wall(),
            unusable=frozenset(unusable),
        )

    def _is_sound(self, bundle_id: str) -> bool:
        if bundle_id == BUILTIN_ID:
            return True
        try:
            return not self._store.fault(bundle_id, entry=self._config.entry)
        except StorageError as exc:
            _log.warning("install %s is passed over: %s", bundle_id, exc)
            return False

    def lease(self, bundle_id: str) -> FileLock | None:
        """The lease on what is opened next; none for the builtin. Raises BundleError, StorageError ``cannot_look``."""
        hold = self._take(bundle_id)
        if hold.obstacle:
            raise StorageError(hold.obstacle, code="cannot_look")
        if not hold.sound:
            raise BundleError(f"bundle {bundle_id} cannot be opened: {hold.fault}", code="bundle_damaged")
        return hold.lease

    def _take(self, bundle_id: str) -> _Hold:
        """A lease on an install, and whether it may be opened; the builtin needs none."""
        if bundle_id == BUILTIN_ID:
            return _Hold(sound=True)
        # As ``Store.fault`` does, twice.
        lease = self._store.lease(bundle_id) or self._store.lease(bundle_id)
        fault, obstacle = "it is gone, or being removed", ""
        try:
            # The lease first: from here on nobody removes it, so what the glance sees stays true.
            fault = fault if lease is None else self._store.fault(bundle_id, entry=self._config.entry)
        except StorageError as exc:
            fault = obstacle = str(exc)
        if not fault:
            return _Hold(sound=True, lease=lease)
        _log.warning("install %s is not opened: %s", bundle_id, fault)
        _Hold(sound=False, lease=lease).release()
        return _Hold(sound=False, fault=fault, obstacle=obstacle)


@dataclass(frozen=True, slots=True)
class _Hold:
    """``fault`` is why it is not sound, ``obstacle`` what kept us from telling."""

    sound: bool
    lease: FileLock | None = None
    fault: str = ""
    obstacle: str = ""

    def release(self) -> None:
        if self.lease is not None:
            self.lease.release()


def _told(origin: str) -> str:
    """Where the state came from; said aloud when it is not where it should."""
    if origin not in (FROM_FILE, FROM_NOTHING):
        _log.warning("the state was read from %s", origin)
    return origin
