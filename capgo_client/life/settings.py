"""What the app chose at run time and this device keeps; and what the device itself last looked like."""

from __future__ import annotations

from capgo_client.life.delays import DelayCondition, remaining
from capgo_client.values import dataclass, replace

TYPE_CHECKING = False  # spelled out: importing typing costs the launch path several milliseconds
if TYPE_CHECKING:
    from typing import Literal

    Source = Literal["killed", "background", "foreground"]
    #: Actions and their metadata.
    News = list[tuple[str, dict[str, str]]]

__all__ = ["Settings", "reconsidered", "seen"]


@dataclass(frozen=True, slots=True)
class Settings:
    """Part of the state document. Empty texts mean: not chosen here, the Updater's own option counts.

    ``background_at`` is when the app went to the background (epoch seconds, 0.0: it did not say so), ``folder`` the
    data directory's own number on its file system: another one means that the data was copied or restored.
    ``os_version``, ``version_build`` and ``version_code`` are what the statistics last knew of the device.
    """

    channel: str = ""
    custom_id: str = ""
    update_url: str = ""
    stats_url: str = ""
    channel_url: str = ""
    delays: tuple[DelayCondition, ...] = ()
    background_at: float = 0.0
    folder: str = ""
    os_version: str = ""
    version_build: str = ""
    version_code: str = ""


def reconsidered(settings: Settings, *, source: Source, now: float, native_version: str) -> Settings:
    """Drop the delay conditions that are fulfilled; the same value where none is.

    A start and a return to the foreground also end the time in the background.
    """
    if settings.delays:
        left = remaining(
            settings.delays,
            source=source,
            now=now,
            background_at=settings.background_at,
            native_version=native_version,
        )
        settings = settings if left == settings.delays else replace(settings, delays=left)
    if source == "background" or not settings.background_at:
        return settings
    return replace(settings, background_at=0.0)


def seen(settings: Settings, *, os_version: str, version_build: str, version_code: str) -> tuple[Settings, News]:
    """Take note of system and installer; give the statistics that a change of them raises (plugin section 5)."""
    news: News = []
    if settings.os_version and settings.os_version != os_version:
        told = {"previous_version_os": settings.os_version, "current_version_os": os_version}
        news.append(("os_version_changed", told))
    before = (settings.version_build, settings.version_code)
    if settings.version_build and before != (version_build, version_code):
        told = {
            "previous_version_build": settings.version_build,
            "current_version_build": version_build,
            "previous_version_code": settings.version_code,
            "current_version_code": version_code,
        }
        news.append(("native_app_version_changed", told))
    return replace(settings, os_version=os_version, version_build=version_build, version_code=version_code), news
