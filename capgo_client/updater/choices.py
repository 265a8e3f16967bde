"""The face's methods for who this device is, whom it asks, and who listens."""

from __future__ import annotations

import os

from capgo_client.errors import ConfigError
from capgo_client.updater.plumbing import Plumbing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from capgo_client.event_stream import EventStream
    from capgo_client.events import Callback

__all__ = ["ChoiceMethods"]


class ChoiceMethods(Plumbing):
    """Part of ``Updater``."""

    @property
    def device_id(self) -> str:
        """This device's id as the service knows it: a UUID, made once and kept."""
        return self._engine.presence.device.value

    @property
    def app_id(self) -> str:
        """The app's id as the service is told it."""
        return self._engine.presence.app_id

    @property
    def plugin_version(self) -> str:
        """The protocol level of Capgo's plugin that this client keeps to; not the library's own version."""
        from capgo_client.protocol.requests import PLUGIN_VERSION

        return PLUGIN_VERSION

    @property
    def auto_update_enabled(self) -> bool:
        """Whether update checks happen by themselves."""
        return self.auto_update_available and self._engine.checks

    @property
    def auto_update_available(self) -> bool:
        """Whether they could: not while CAPGO_CLIENT_FORCE_BUILTIN runs the source tree's code."""
        return os.environ.get("CAPGO_CLIENT_FORCE_BUILTIN") != "1"

    def set_custom_id(self, custom_id: str) -> None:
        """The publisher's own name for this device; an empty text clears it.

        For this process, and with ``persist_custom_id`` for the next ones. Raises ConfigError, StorageError.
        """
        self._require_open()
        self._engine.presence.set_custom_id(custom_id)

    def set_app_id(self, app_id: str) -> None:
        """Ask as another app, in this process. Raises ConfigError: ``disabled_by_config``, or no app id."""
        self._require_open()
        self._engine.presence.set_app_id(app_id)

    def set_update_url(self, url: str) -> None:
        """Where update checks go from now on; with ``persist_modify_url`` also after the next start.

        Raises:
            ConfigError: ``disabled_by_config`` without ``allow_modify_url``; no URL, or one that is not allowed.
            StorageError: it cannot be kept.
        """
        self._require_open()
        self._engine.presence.set_url("update_url", url)

    def set_stats_url(self, url: str) -> None:
        """Where statistics go from now on; as ``set_update_url``."""
        self._require_open()
        self._engine.presence.set_url("stats_url", url)

    def set_channel_url(self, url: str) -> None:
        """Where channels are asked for from now on; as ``set_update_url``."""
        self._require_open()
        self._engine.presence.set_url("channel_url", url)

    # ---- listening ----

    def on(self, event: str, callback: Callback) -> Callable[[], None]:
        """Call ``callback`` with each Event of that name; returns what ends it. Raises ConfigError."""
        self._require_open()
        try:
            return self._engine.emitter.subscribe(event, callback)
        except ValueError as exc:
            raise ConfigError(f"on: {exc}") from exc

    def events(self, *names: str) -> EventStream:
        """The events of these names (none: all) as an asynchronous iterator, for asyncio apps. Raises ConfigError.

        ::

            async for event in updater.events("download", "set_next"):
                ...
        """
        self._require_open()
        from capgo_client.event_stream import EventStream

        try:
            return EventStream(self._engine.emitter, names)
        except ValueError as exc:
            raise ConfigError(f"events: {exc}") from exc

    def remove_all_listeners(self) -> None:
        """End every subscription, those of ``events()`` too, and forget what was kept for late listeners."""
        self._require_open()
        self._engine.emitter.unsubscribe_all()
