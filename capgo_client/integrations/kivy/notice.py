"""What a person is told of an update: pure, from one event of the Updater to the next."""

from __future__ import annotations

from capgo_client.bundle import BundleStatus
from capgo_client.values import dataclass, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
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
    """``stage`` is empty where there is nothing to tell; ``percent`` counts 0 - 100; ``bundle`` is what is ready."""

    stage: Stage = ""
    version: str = ""
    percent: int = 0
    bundle: Bundle | None = None

    @property
    def comment(self) -> str:
        """The publisher's release notes; the service tells them with the offer, so they are known when it is ready."""
        return "" if self.bundle is None else self.bundle.comment

    @property
    def link(self) -> str:
        """Where there is more to read; a web address, or empty."""
        return "" if self.bundle is None else self.bundle.link


NOTHING = Notice()


def at_first(queued: Bundle | None, *, running: Bundle) -> Notice:
    """Before any event: what is queued already."""
    return NOTHING if queued is None or queued.id == running.id else _ready(queued)


def after(notice: Notice, event: Event) -> Notice:
    """A version that is ready stays on offer while a newer one comes: no button vanishes under a finger."""
    if event.name == "download":
        return notice if notice.stage == "ready" else _coming(notice, event)
    if event.name == "download_failed":
        return NOTHING if notice.stage == "coming" else notice
    if event.name in ("set_next", "update_available"):
        return notice if event.bundle is None else _ready(event.bundle)
    if event.name == "set":
        return NOTHING
    if event.name == "update_failed":
        return NOTHING if _is_same(notice.bundle, event.bundle) else notice
    return notice


def _coming(notice: Notice, event: Event) -> Notice:
    """It never goes back, unless it is another version's."""
    before = notice.percent if notice.version == event.version else 0
    return replace(notice, stage="coming", version=event.version, percent=max(before, event.percent))


def _ready(bundle: Bundle) -> Notice:
    if bundle.status is BundleStatus.ERROR:
        return NOTHING
    return Notice(stage="ready", version=bundle.version, percent=_WHOLE, bundle=bundle)


def _is_same(one: Bundle | None, other: Bundle | None) -> bool:
    return one is not None and other is not None and one.id == other.id
