"""What a person is told of an update: pure, from one event of the Updater to the next."""

from __future__ import annotations

from capgo_client.bundle import BundleStatus
from capgo_client.values import dataclass, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Literal

    from capgo_client.bundle import Bundle
    from capgo_client.events import Event

    Stage = Literal["", "coming", "ready"]

__all__ = ["HEARD", "NOTHING", "Notice", "after", "at_first"]

#: The events that change it.
HEARD = ("download", "download_failed", "set", "set_next", "update_available", "update_failed")
_WHOLE = 100


@dataclass(frozen=True, slots=True)
class Notice:
    """``stage`` is empty where there is nothing to tell; ``percent`` counts 0 - 100; ``bundle`` is what is ready.

    ``queued``: it opens at the next start. In the mode ``onlyDownload`` it does not, unless the app queues it.
    """

    stage: Stage = ""
    version: str = ""
    percent: int = 0
    bundle: Bundle | None = None
    queued: bool = False

    @property
    def comment(self) -> str:
        """The publisher's release notes; the service tells them with the offer, so they are known when it is ready."""
        return "" if self.bundle is None else self.bundle.comment

    @property
    def link(self) -> str:
        """Where there is more to read; a web address, or empty."""
        return "" if self.bundle is None else self.bundle.link


NOTHING = Notice()


def at_first(queued: Bundle | None, *, running: Bundle, told: Notice = NOTHING, here: Iterable[Bundle] = ()) -> Notice:
    """Before any event: what is queued already; else what was ``told`` before, if it still is ``here``."""
    if queued is not None:
        return NOTHING if queued.id == running.id else _ready(queued, queued=True)
    kept = next((each for each in here if _is_same(told.bundle, each) and each.id != running.id), None)
    return NOTHING if kept is None else _ready(kept, queued=False)


def after(notice: Notice, event: Event) -> Notice:
    """A version that is ready stays on offer while a newer one comes: no button vanishes under a finger."""
    if event.name == "download":
        return notice if notice.stage == "ready" else _coming(notice, event)
    if event.name == "download_failed":
        return NOTHING if notice.stage == "coming" else notice
    if event.name in ("set_next", "update_available"):
        return notice if event.bundle is None else _ready(event.bundle, queued=_is_queued(notice, event))
    if event.name == "set":
        return NOTHING
    if event.name == "update_failed":
        return NOTHING if _is_same(notice.bundle, event.bundle) else notice
    return notice


def _coming(notice: Notice, event: Event) -> Notice:
    """It never goes back, unless it is another version's."""
    before = notice.percent if notice.version == event.version else 0
    return replace(notice, stage="coming", version=event.version, percent=max(before, event.percent))


def _is_queued(notice: Notice, event: Event) -> bool:
    return event.name == "set_next" or (notice.queued and _is_same(notice.bundle, event.bundle))


def _ready(bundle: Bundle, *, queued: bool) -> Notice:
    if bundle.status is BundleStatus.ERROR:
        return NOTHING
    return Notice(stage="ready", version=bundle.version, percent=_WHOLE, bundle=bundle, queued=queued)


def _is_same(one: Bundle | None, other: Bundle | None) -> bool:
    return one is not None and other is not None and one.id == other.id
