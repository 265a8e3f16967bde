"""Every option, checked once, when the Updater is built. Afterwards nothing asks whether a value makes sense.

What is wrong raises ConfigError with the option's name, what it was and what is allowed.
"""

from __future__ import annotations

import os
import sys

from capgo_client import options
from capgo_client.errors import ConfigError
from capgo_client.protocol.requests import MAX_INSTALL_SOURCE
from capgo_client.values import dataclass, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from capgo_client.life.verdicts import AllowDowngrade
    from capgo_client.verify.pem import PublicKeyText

    PublicKeys = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]

__all__ = [
    "CHANNEL_URL",
    "MAX_RESPONSE_TIMEOUT",
    "MODES",
    "STATS_URL",
    "UPDATE_URL",
    "Config",
    "configure",
]

UPDATE_URL = "https://plugin.capgo.app/updates"
STATS_URL = "https://plugin.capgo.app/stats"
CHANNEL_URL = "https://plugin.capgo.app/channel_self"

#: Promise P1: no check takes longer, whatever is configured (seconds).
MAX_RESPONSE_TIMEOUT = 3.0

#: Capgo's modes (reference/plugin-behaviour.md section 7).
MODES = ("off", "atBackground", "atInstall", "onLaunch", "always", "onlyDownload")
_DIRECT = {"True": "always", "always": "always", "atInstall": "atInstall", "onLaunch": "onLaunch"}
_TIB = 1 << 40
#: The lowest and highest of each whole number. A sealed record has room for 100,000 files and no more.
_NUMBERS = {
    "max_boot_attempts": (1, 100),
    "max_download_bytes": (1, _TIB),
    "max_bundle_bytes": (1, _TIB),
    "max_file_bytes": (1, _TIB),
    "max_files": (1, 100_000),
    "max_ratio": (1, 100_000),
}
_MAX_CODE = 64


@dataclass(frozen=True, slots=True)
class Config:
    """The options as they are used. See ``Updater`` for what each means."""

    app_id: str
    version: str
    builtin: str | None
    mode: str
    keys: tuple[PublicKeyText, ...]
    require_bound: bool
    allow_downgrade: AllowDowngrade
    default_channel: str
    version_code: str
    install_source: str
    is_emulator: bool
    is_prod: bool
    auto_delete_failed: bool
    auto_delete_previous: bool
    allow_modify_url: bool
    persist_modify_url: bool
    allow_modify_app_id: bool
    persist_custom_id: bool
    allow_manual_bundle_error: bool
    allow_set_default_channel: bool
    persist_default_channel_on_reinstall: bool
    # Addresses may have a user, a password or a key in them, and the ids name a person's device.
    update_url: str = field(repr=False)
    stats_url: str = field(repr=False)
    channel_url: str = field(repr=False)
    response_timeout: float
    app_ready_timeout: float
    direct_timeout: float
    max_boot_attempts: int
    max_download_bytes: int
    max_bundle_bytes: int
    max_file_bytes: int
    max_files: int
    max_ratio: int
    period_check_delay: float
    reset_when_update: bool
    entry: str
    data_dir: str | None
    device_id: str = field(repr=False)
    custom_id: str = field(repr=False)
    allow_http: bool

    @property
    def key_id(self) -> str:
        """What the service compares with the bundle's key; with several keys none can be named."""
        return self.keys[0].key_id if len(self.keys) == 1 else ""

    @property
    def waits(self) -> bool:
        """Whether a start may wait for an update."""
        return self.mode in ("atInstall", "onLaunch", "always")

    @property
    def queues(self) -> bool:
        """Whether a version that arrived is queued without the app asking for it."""
        return self.mode not in ("off", "onlyDownload")


def configure(
    *,
    app_id: str,
    version: str,
    builtin: str | os.PathLike[str] | None,
    auto_update: bool | str,
    direct_update: bool | str,
    public_key: PublicKeys | None,
    allow_downgrade: AllowDowngrade,
    data_dir: str | os.PathLike[str] | None,
    device_id: str | None,
    custom_id: str,
    entry: str | None,
    allow_http: bool,
    urls: dict[str, str],
    seconds: dict[str, float],
    texts: dict[str, str],
    numbers: dict[str, Any],
    **flags: Any,
) -> Config:
    """Check every option and turn it into what is used. Raises ConfigError."""
    options.checked_app_id(app_id)
    options.checked_version(version)
    options.need(
        isinstance(allow_downgrade, bool) or allow_downgrade == "above_builtin",
        "allow_downgrade",
        allow_downgrade,
        'True, False or "above_builtin"',
    )
    for name, (low, high) in _NUMBERS.items():
        options.whole(name, numbers[name], low=low, high=high)
    for name, value in {**flags, "allow_http": allow_http}.items():
        options.need(isinstance(value, bool), name, value, "True or False")
    folder = None if builtin is None else options.path("builtin", builtin)
    _check_start_file(folder)
    return Config(
        app_id=app_id,
        version=version,
        builtin=folder,
        mode=_mode(auto_update, direct_update),
        keys=_keys(public_key),
        allow_downgrade=allow_downgrade,
        default_channel=options.text("default_channel", texts["default_channel"], high=options.MAX_CHANNEL),
        version_code=options.text("version_code", texts["version_code"], high=_MAX_CODE),
        install_source=options.text("install_source", texts["install_source"], high=MAX_INSTALL_SOURCE),
        update_url=_url("update_url", urls["update_url"], allow_http=allow_http),
        stats_url=_url("stats_url", urls["stats_url"], allow_http=allow_http),
        channel_url=_url("channel_url", urls["channel_url"], allow_http=allow_http),
        response_timeout=options.seconds("response_timeout", seconds["response_timeout"], high=MAX_RESPONSE_TIMEOUT),
        app_ready_timeout=options.seconds("app_ready_timeout", seconds["app_ready_timeout"], high=3600.0),
        direct_timeout=options.seconds("direct_timeout", seconds["direct_timeout"], high=600.0),
        **numbers,
        period_check_delay=options.period(seconds["period_check_delay"]),
        entry=options.entry(entry),
        data_dir=None if data_dir is None else options.path("data_dir", data_dir),
        device_id=options.device_id(device_id),
        custom_id=options.checked_custom_id(custom_id),
        allow_http=allow_http,
        **flags,
    )


def _url(name: str, value: str, *, allow_http: bool) -> str:
    """An endpoint; Capgo's own needs no look, and so no parser."""
    if value in (UPDATE_URL, STATS_URL, CHANNEL_URL):
        return value
    from capgo_client.addresses import checked_url

    return checked_url(name, value, allow_http=allow_http)


def _mode(auto_update: object, direct_update: object) -> str:
    """Capgo's values; the deprecated ``direct_update`` counts only where ``auto_update`` is true (plugin section 7)."""
    mode, direct = _unquoted(auto_update), _unquoted(direct_update)
    allowed = 'False, True, "always", "atInstall" or "onLaunch" (deprecated: give auto_update that value instead)'
    options.need(
        isinstance(direct, bool) or (isinstance(direct, str) and direct in _DIRECT), "direct_update", direct, allowed
    )
    if mode is False:
        return "off"
    if mode is True:
        return "atBackground" if direct is False else _DIRECT[str(direct)]
    options.need(isinstance(mode, str) and mode in MODES, "auto_update", mode, ", ".join((*MODES, "True, False")))
    return str(mode)


def _unquoted(value: object) -> object:
    """Capgo's configuration also has the booleans as text."""
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


def _keys(public_key: PublicKeys | None) -> tuple[PublicKeyText, ...]:
    if public_key is None:
        return ()
    several = [public_key] if isinstance(public_key, (str, os.PathLike)) else public_key
    options.need(
        isinstance(several, (list, tuple)) and len(several) > 0,
        "public_key",
        public_key,
        "PEM text, a path, or several",
    )
    from capgo_client.verify.pem import parse_public_key

    return tuple(parse_public_key(_pem(item)) for item in several)


def _pem(item: object) -> str:
    """The text of one key: given as such, or as the path of a file that must be there and be readable."""
    options.need(
        isinstance(item, (str, os.PathLike)) and str(item).strip(),
        "public_key",
        item,
        "PEM text or a path; None for no key",
    )
    if isinstance(item, str) and "-----BEGIN" in item:
        return item
    from pathlib import Path

    try:
        return Path(item).read_text("utf-8")  # type: ignore[arg-type]
    except (OSError, ValueError) as exc:
        raise ConfigError(
            f"public_key: {options.shown(str(item))} cannot be read as a file",
            hint="give the PEM text, or the path of a key file that ships with the installer",
        ) from exc


def _check_start_file(builtin: str | None) -> None:
    """A bundle's copy of the start file would build a second Updater with another version (design section 4)."""
    start = getattr(sys.modules.get("__main__"), "__file__", None)
    if builtin is None or not start:
        return
    try:
        file, folder = (os.path.normcase(os.path.realpath(path)) for path in (start, builtin))
    except (OSError, ValueError):
        return
    if file.startswith(f"{folder.rstrip(os.sep)}{os.sep}"):
        file, folder = os.path.basename(start), os.path.basename(builtin)
        raise ConfigError(
            f"builtin: the start file {file} lies inside the folder that is updated",
            hint=f"move {file} out of {folder}/ and keep it with the installer;"
            f" what it runs, such as main.py, stays in {folder}/ and is opened from bundle.path",
        )
