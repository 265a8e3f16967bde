"""What this device says of itself and whom it asks: ids, channel and URLs, as configured, chosen or kept."""

from __future__ import annotations

import threading

from capgo_client.addresses import checked_url
from capgo_client.errors import ConfigError, StorageError
from capgo_client.install.device import DeviceId, device_id, unkept
from capgo_client.life.settings import Settings, seen
from capgo_client.log import Log
from capgo_client.options import checked_app_id, checked_custom_id
from capgo_client.platforms import system, system_name
from capgo_client.protocol.requests import Identity, wire_platform
from capgo_client.service import Endpoints
from capgo_client.values import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    from capgo_client.config import Config
    from capgo_client.install.ledger import Ledger
    from capgo_client.install.store import Store
    from capgo_client.life.settings import News
    from capgo_client.life.state import State
    from capgo_client.seams import Files

    Url = Literal["update_url", "stats_url", "channel_url"]

__all__ = ["Presence"]

#: How long a call of the app waits for the state lock (seconds).
_PATIENCE = 2.0
#: The worker is in no hurry.
_PATIENTLY = 5.0

_log = Log("capgo_client")


class Presence:
    """Knows the device and remembers what the app chose while it ran. Every method may be called from any thread."""

    def __init__(self, config: Config, *, store: Store, ledger: Ledger, files: Files) -> None:
        self._config = config
        self._store = store
        self._ledger = ledger
        self._files = files
        self._lock = threading.Lock()
        self._device: DeviceId | None = None
        self._settings: Settings | None = None
        self._app_id = config.app_id
        self._custom_id = config.custom_id
        self._urls: dict[str, str] = {}

    # ---- what is known ----

    @property
    def device(self) -> DeviceId:
        """This device's id: given, or kept in the data directory."""
        with self._lock:
            if self._device is None:
                given = self._config.device_id
                self._device = DeviceId(given, kept=True) if given else self._kept_device()
            return self._device

    def _kept_device(self) -> DeviceId:
        try:
            self._store.prepare()
        except OSError as exc:
            _log.warning("the data directory %s cannot be made: %s", self._store.folder, exc.strerror)
        except StorageError as exc:
            _log.warning("the device id cannot be kept: %s", exc.message)
            return unkept()
        return device_id(self._store.folder, files=self._files)

    @property
    def settings(self) -> Settings:
        """What was kept, as this process last knew it."""
        settings = self._settings
        return self.refreshed() if settings is None else settings

    def refreshed(self) -> Settings:
        """What is kept now: another process of the app may have chosen anew."""
        return self.learn(self._ledger.load().state)

    def learn(self, state: State) -> Settings:
        """Take note of a state that was read anyway."""
        self._settings = state.settings
        return state.settings

    @property
    def app_id(self) -> str:
        """Whom the app says it is."""
        return self._app_id

    @property
    def custom_id(self) -> str:
        """The publisher's own name for this device."""
        kept = self.settings.custom_id if self._config.persist_custom_id else ""
        return self._custom_id or kept

    @property
    def channel(self) -> str:
        """The channel that is asked for: the stored one wins over the option."""
        return self.settings.channel or self._config.default_channel

    @property
    def endpoints(self) -> Endpoints:
        """Whom to ask: what was set in this process, else what was kept, else the options."""
        names: tuple[Url, Url, Url] = ("update_url", "stats_url", "channel_url")
        return Endpoints(*(self._url(name) for name in names))

    def _url(self, name: Url) -> str:
        kept = self._config.allow_modify_url and self._config.persist_modify_url
        chosen = self._urls.get(name, "") or (getattr(self.settings, name) if kept else "")
        return str(chosen or getattr(self._config, name))

    def identity(self) -> Identity:
        """What a request says about this device, as this process last knew it (``learn``, ``refreshed``)."""
        config = self._config
        return Identity(
            app_id=self._app_id,
            device_id=self.device.value,
            version_build=config.version,
            version_code=config.version_code,
            platform=wire_platform(system_name()),
            custom_id=self.custom_id,
            version_os=system.os_version(),
            is_emulator=config.is_emulator,
            is_prod=config.is_prod,
            install_source=config.install_source,
            default_channel=self.channel,
            key_id=config.key_id,
        )

    # ---- what the app chooses ----

    def keep(self, step: Callable[[Settings], Settings], *, patience: float = _PATIENCE) -> Settings:
        """Change what is kept. Raises StorageError."""

        def within(state: State) -> State:
            after = step(state.settings)
            return state if after == state.settings else replace(state, settings=after)

        return self.learn(self._ledger.change(within, patience=patience))

    def set_channel(self, channel: str) -> None:
        """Store a channel; empty: forget it. Raises StorageError."""
        self.keep(lambda settings: replace(settings, channel=channel))

    def set_custom_id(self, custom_id: str) -> None:
        """For this process, and for the next ones where that is allowed. Raises ConfigError, StorageError."""
        self._custom_id = checked_custom_id(custom_id)
        if self._config.persist_custom_id:
            self.keep(lambda settings: replace(settings, custom_id=self._custom_id))

    def set_app_id(self, app_id: str) -> None:
        """For this process. Raises ConfigError."""
        if not self._config.allow_modify_app_id:
            raise _disabled("set_app_id", "allow_modify_app_id")
        self._app_id = checked_app_id(app_id)

    def set_url(self, name: Url, url: str) -> None:
        """Ask elsewhere; kept where that is allowed. Raises ConfigError, StorageError."""
        if not self._config.allow_modify_url:
            raise _disabled(f"set_{name}", "allow_modify_url")
        if not url:
            raise ConfigError(f"set_{name}: no URL", code="missing_parameter", hint="allowed: an https URL")
        self._urls[name] = checked_url(name, url, allow_http=self._config.allow_http)
        if self._config.persist_modify_url:
            self.keep(lambda settings: _with_url(settings, name, url))

    # ---- what the worker looks at once ----

    def look_around(self) -> News:
        """Take note of the system and the installer; give the statistics that a change raises. Raises StorageError."""
        news: News = []

        def step(settings: Settings) -> Settings:
            settings, news[:] = seen(
                self._at_home(settings),
                os_version=system.os_version(),
                version_build=self._config.version,
                version_code=self._config.version_code,
            )
            return settings

        self.keep(step, patience=_PATIENTLY)
        return news

    def _at_home(self, settings: Settings) -> Settings:
        """Without the stored channel where this is a copy of the data that was made elsewhere, and that was wanted.

        A folder that was restored from a backup is another folder to its file system.
        """
        if self._config.persist_default_channel_on_reinstall:
            return settings
        try:
            here = str(self._files.lstat(self._store.folder).st_ino)
        except OSError:
            return settings
        moved = settings.folder not in ("", here)
        return replace(settings, folder=here, channel="" if moved else settings.channel)


def _disabled(method: str, option: str) -> ConfigError:
    return ConfigError(f"{method}() is not permitted", code="disabled_by_config", hint=f"Updater({option}=True)")


def _with_url(settings: Settings, name: Url, url: str) -> Settings:
    return replace(
        settings,
        update_url=url if name == "update_url" else settings.update_url,
        stats_url=url if name == "stats_url" else settings.stats_url,
        channel_url=url if name == "channel_url" else settings.channel_url,
    )
