"""Everything this device remembers, as plain values.

One document holds it all, so that a write is either wholly there or not at all; the plugin's separate keys for
current, fallback, next and status could be torn apart by a kill (reference/plugin-behaviour.md section 12.1, item 10).
"""

from __future__ import annotations

from capgo_client.bundle import BUILTIN_ID, BundleStatus
from capgo_client.life.schedule import Schedule
from capgo_client.life.settings import Settings
from capgo_client.values import dataclass, field, replace

TYPE_CHECKING = False  # spelled out: importing typing costs the launch path several milliseconds
if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["LAUNCH_CRASHED", "LAUNCH_OPEN", "LAUNCH_READY", "LAUNCH_TIMED_OUT", "Install", "Launch", "State", "Verdict"]

#: How a launch ended, as far as we were told.
LAUNCH_OPEN = "open"
LAUNCH_READY = "ready"
LAUNCH_CRASHED = "crashed"
LAUNCH_TIMED_OUT = "timed_out"


@dataclass(frozen=True, slots=True)
class Install:
    """A verified bundle on disk.

    ``attempts`` counts the starts since it was last confirmed, ``crashes`` the launches in a row of which a crash was
    reported. ``by_app`` marks what the app downloaded itself: it stays until the app deletes it. ``checksum`` is the
    service's text, signed or not, by which an offer is known again; ``sha256`` that of the plain archive.
    """

    id: str
    version: str
    checksum: str
    installed_at: float = 0.0
    status: BundleStatus = BundleStatus.PENDING
    attempts: int = 0
    crashes: int = 0
    by_app: bool = False
    link: str = ""
    comment: str = ""
    sha256: str = ""

    @property
    def confirmed(self) -> bool:
        """Whether it has said "ready" at least once and was not condemned since."""
        return self.status is BundleStatus.SUCCESS


@dataclass(frozen=True, slots=True)
class Verdict:
    """What we hold against a (version, checksum): ``hard`` evidence is for good, soft for a day the first time."""

    version: str
    checksum: str
    hard: bool
    at: float
    strikes: int = 1


@dataclass(frozen=True, slots=True)
class Launch:
    """One opening of one bundle. Only the holder of ``token`` may confirm or condemn it (capacitor-updater#907)."""

    token: str
    bundle_id: str
    ended: str = LAUNCH_OPEN


@dataclass(frozen=True, slots=True)
class State:
    """The document. ``next`` is empty when nothing is queued; ids are ``"builtin"`` or those of ``installs``.

    ``next_by_app`` tells that the app queued it, ``next_at_once`` that delay conditions do not hold it back.
    ``fallback`` is the last bundle that confirmed itself, ``previous`` the one before it (design decision 8).
    """

    native_version: str
    current: str = BUILTIN_ID
    next: str = ""
    next_by_app: bool = False
    next_at_once: bool = False
    fallback: str = BUILTIN_ID
    previous: str = BUILTIN_ID
    installs: tuple[Install, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    launch: Launch | None = None
    failed: Install | None = None
    newest_confirmed: str = ""
    schedule: Schedule = field(default_factory=Schedule)
    settings: Settings = field(default_factory=Settings)

    @property
    def is_held_back(self) -> bool:
        """Whether delay conditions keep what is queued from being opened."""
        return bool(self.settings.delays) and not self.next_at_once

    def install(self, bundle_id: str) -> Install | None:
        """The install of that id; None for the builtin and for what is unknown."""
        return next((install for install in self.installs if install.id == bundle_id), None)

    def with_install(self, install: Install) -> State:
        """The same state with ``install`` added, or put in the place of its older self."""
        others = tuple(other for other in self.installs if other.id != install.id)
        return replace(self, installs=(*others, install))

    def without_installs(self, ids: Iterable[str]) -> State:
        """Forget these installs, and every reference to them."""
        gone = frozenset(ids)
        if not gone:
            return self
        return replace(
            self,
            installs=tuple(install for install in self.installs if install.id not in gone),
            current=BUILTIN_ID if self.current in gone else self.current,
            next="" if self.next in gone else self.next,
            fallback=BUILTIN_ID if self.fallback in gone else self.fallback,
            previous=BUILTIN_ID if self.previous in gone else self.previous,
        )
