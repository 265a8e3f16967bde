"""Every option, checked once, when the Updater is built. Afterwards nothing asks whether a value makes sense.

What is wrong raises ConfigError with the option's name, what it was and what is allowed.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

from capgo_client.errors import ConfigError
from capgo_client.protocol.requests import MAX_CUSTOM_ID, MAX_INSTALL_SOURCE, is_valid_app_id, is_valid_device_id
from capgo_client.protocol.text import is_plain
from capgo_client.protocol.versions import explain_invalid, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from capgo_client.life.verdicts import AllowDowngrade
    from capgo_client.protocol.outcomes import ManifestEntry
    from capgo_client.verify.pem import PublicKeyText

    PublicKeys = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]

__all__ = [
    "CHANNEL_URL",
    "MAX_RESPONSE_TIMEOUT",
    "MODES",
    "STATS_URL",
    "UPDATE_URL",
    "Config",
    "checked_app_id",
    "checked_channel",
    "checked_custom_id",
    "checked_manifest",
    "checked_pins",
    "checked_proxy",
    "checked_url",
    "checked_version",
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
_MIN_PERIOD = 600
#: The longest that the plugin takes (reference/plugin-behaviour.md section 11), 68 years.
_MAX_PERIOD = 2**31 - 1
_MAX_CHANNEL = 256
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
_SHA256_BYTES, _PIN_LENGTH = 32, 44
#: What the name of a pinned host is made of. Others (``*``, an umlaut, an IPv6 address) would match no certificate's
#: host as it is asked for, and so pin nothing.
_HOST = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_")


@dataclass(frozen=True, slots=True)
class Config:
    """The options as they are used. See ``Updater`` for what each means."""

    app_id: str
    version: str
    builtin: Path | None
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
    data_dir: Path | None
    device_id: str = field(repr=False)
    custom_id: str = field(repr=False)
    allow_http: bool

    @property
    def key_id(self) -> str:
        """What the service compares with the bundle's key; with several keys none can be named."""
        return self.keys[0].key_id if len(self.keys) == 1 else ""

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
    checked_app_id(app_id)
    checked_version(version)
    _need(
        isinstance(allow_downgrade, bool) or allow_downgrade == "above_builtin",
        "allow_downgrade",
        allow_downgrade,
        'True, False or "above_builtin"',
    )
    for name, (low, high) in _NUMBERS.items():
        _whole(name, numbers[name], low=low, high=high)
    for name, value in flags.items():
        _need(isinstance(value, bool), name, value, "True or False")
    _need(isinstance(allow_http, bool), "allow_http", allow_http, "True or False")
    folder = None if builtin is None else Path(_path("builtin", builtin)).absolute()
    _check_start_file(folder)
    return Config(
        app_id=app_id,
        version=version,
        builtin=folder,
        mode=_mode(auto_update, direct_update),
        keys=_keys(public_key),
        allow_downgrade=allow_downgrade,
        default_channel=_text("default_channel", texts["default_channel"], high=_MAX_CHANNEL),
        version_code=_text("version_code", texts["version_code"], high=_MAX_CODE),
        install_source=_text("install_source", texts["install_source"], high=MAX_INSTALL_SOURCE),
        update_url=checked_url("update_url", urls["update_url"], allow_http=allow_http),
        stats_url=checked_url("stats_url", urls["stats_url"], allow_http=allow_http),
        channel_url=checked_url("channel_url", urls["channel_url"], allow_http=allow_http),
        response_timeout=_seconds("response_timeout", seconds["response_timeout"], high=MAX_RESPONSE_TIMEOUT),
        app_ready_timeout=_seconds("app_ready_timeout", seconds["app_ready_timeout"], high=3600.0),
        direct_timeout=_seconds("direct_timeout", seconds["direct_timeout"], high=600.0),
        **numbers,
        period_check_delay=_period(seconds["period_check_delay"]),
        entry=_entry(entry),
        data_dir=None if data_dir is None else Path(_path("data_dir", data_dir)).absolute(),
        device_id=_device_id(device_id),
        custom_id=checked_custom_id(custom_id),
        allow_http=allow_http,
        **flags,
    )


def _need(holds: object, option: str, value: object, allowed: str) -> None:
    if not holds:
        raise ConfigError(f"{option}: {_shown(value)} is not possible", hint=f"allowed: {allowed}")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."  # noqa: PLR2004


def checked_app_id(app_id: object) -> str:
    """The app id, if the service takes it for one. Raises ConfigError."""
    _need(
        isinstance(app_id, str) and is_valid_app_id(app_id),
        "app_id",
        app_id,
        'a reverse domain as in "com.example.notes": letters and digits, then at least one dot; "_" and "-" after it',
    )
    return str(app_id)


def checked_version(version: object) -> None:
    """Raise ConfigError unless it is semver as the service demands it."""
    if not isinstance(version, str):
        raise ConfigError(f"version: {_shown(version)} is not text", hint='allowed: semver as in "1.4.0"')
    if parse(version) is None:
        raise ConfigError(f"version: {_shown(version)} is not semver", hint=explain_invalid(version))


def _mode(auto_update: object, direct_update: object) -> str:
    """Capgo's values; the deprecated ``direct_update`` counts only where ``auto_update`` is true (plugin section 7)."""
    mode, direct = _unquoted(auto_update), _unquoted(direct_update)
    allowed = 'False, True, "always", "atInstall" or "onLaunch" (deprecated: give auto_update that value instead)'
    _need(isinstance(direct, bool) or (isinstance(direct, str) and direct in _DIRECT), "direct_update", direct, allowed)
    if mode is False:
        return "off"
    if mode is True:
        return "atBackground" if direct is False else _DIRECT[str(direct)]
    _need(isinstance(mode, str) and mode in MODES, "auto_update", mode, ", ".join((*MODES, "True, False")))
    return str(mode)


def _unquoted(value: object) -> object:
    """Capgo's configuration also has the booleans as text."""
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


def _keys(public_key: PublicKeys | None) -> tuple[PublicKeyText, ...]:
    if public_key is None:
        return ()
    several = [public_key] if isinstance(public_key, (str, os.PathLike)) else public_key
    _need(
        isinstance(several, (list, tuple)) and len(several) > 0,
        "public_key",
        public_key,
        "PEM text, a path, or several",
    )
    from capgo_client.verify.pem import parse_public_key

    return tuple(parse_public_key(_pem(item)) for item in several)


def _pem(item: object) -> str:
    """The text of one key: given as such, or as the path of a file that must be there and be readable."""
    _need(
        isinstance(item, (str, os.PathLike)) and str(item).strip(),
        "public_key",
        item,
        "PEM text or a path; None for no key",
    )
    if isinstance(item, str) and "-----BEGIN" in item:
        return item
    try:
        return Path(item).read_text("utf-8")  # type: ignore[arg-type]
    except (OSError, ValueError) as exc:
        raise ConfigError(
            f"public_key: {_shown(str(item))} cannot be read as a file",
            hint="give the PEM text, or the path of a key file that ships with the installer",
        ) from exc


def checked_url(name: str, value: object, *, allow_http: bool) -> str:
    """An endpoint as it is used. Raises ConfigError."""
    if value in (UPDATE_URL, STATS_URL, CHANNEL_URL, ""):
        return str(value)
    from urllib.parse import urlsplit

    allowed = "an https URL (plain http for loopback, or with allow_http=True), or an empty text to turn it off"
    _need(isinstance(value, str), name, value, allowed)
    try:
        parts = urlsplit(str(value))
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ConfigError(f"{name}: this is not a URL", hint=f"allowed: {allowed}") from None  # it would repeat it
    shown = f"{parts.scheme}://{host or ''}"  # never more: a user, a password or a key may be in the rest
    _need(parts.scheme in ("http", "https") and host and not any(c.isspace() for c in str(value)), name, shown, allowed)
    _need(parts.scheme == "https" or allow_http or _is_loopback(host or ""), name, shown, allowed)
    return str(value)


def checked_proxy(value: str | None) -> str | None:
    """The URL of an HTTP proxy, or None for the environment's. Raises ConfigError."""
    if value is not None:
        _need(value, "proxy", value, "the URL of an HTTP proxy, or None for the environment's")
        checked_url("proxy", value, allow_http=True)
    return value


def checked_pins(value: object, *, has_transport: bool) -> dict[str, frozenset[bytes]]:
    """Pinned public keys by host, as digests. Raises ConfigError."""
    if value is None:
        return {}
    allowed = 'a dict such as {"updates.example.com": ["sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="]}'
    if not isinstance(value, dict) or not value:
        raise ConfigError(f"pinned_keys: {_shown(value)} is not possible", hint=f"allowed: {allowed}")
    if has_transport:
        raise ConfigError("pinned_keys: a transport of your own checks none", hint="pin in the transport instead")
    pins: dict[str, frozenset[bytes]] = {}
    for host, keys in value.items():
        good = isinstance(host, str) and bool(host.strip(".")) and set(host) <= _HOST
        good = good and isinstance(keys, (list, tuple, set, frozenset)) and bool(keys)
        digests = [_pin(key) for key in keys] if good else [None]
        if None in digests:
            raise ConfigError(f"pinned_keys: {_shown({host: keys})} is not possible", hint=f"allowed: {allowed}")
        name = host.lower().rstrip(".")
        pins[name] = pins.get(name, frozenset()) | frozenset(digest for digest in digests if digest)
    return pins


def _pin(text: object) -> bytes | None:
    """The digest in ``sha256//<base64>`` (curl's spelling) or ``sha256/<base64>`` (OkHttp's); None for other texts."""
    import binascii

    # By its length: a digest may begin with a slash itself.
    if not isinstance(text, str) or text[:-_PIN_LENGTH] not in ("sha256/", "sha256//"):
        return None
    try:
        digest = binascii.a2b_base64(text[-_PIN_LENGTH:])
    except ValueError:
        return None
    return digest if len(digest) == _SHA256_BYTES else None


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or (host.startswith("127.") and host.replace(".", "").isdigit())


def _seconds(name: str, value: object, *, high: float) -> float:
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= high
    _need(good, name, value, f"seconds above 0 and up to {high:g}")
    return float(value)  # type: ignore[arg-type]


def _period(value: object) -> float:
    """0 or less turns the periodic check off, and nothing is shorter than ten minutes (plugin section 2)."""
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= _MAX_PERIOD
    _need(good, "period_check_delay", value, f"seconds: 0 for none, else {_MIN_PERIOD} or more")
    seconds = float(value)  # type: ignore[arg-type]
    return 0.0 if seconds <= 0 else max(seconds, float(_MIN_PERIOD))


def _whole(name: str, value: object, *, low: int, high: int) -> None:
    good = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
    _need(good, name, value, f"a whole number from {low} to {high}")


def _text(name: str, value: object, *, high: int) -> str:
    _need(
        isinstance(value, str) and len(value) <= high and is_plain(value),
        name,
        value,
        f"text of up to {high} characters",
    )
    return str(value)


def _path(name: str, value: object) -> str:
    _need(
        isinstance(value, (str, os.PathLike)) and str(value) and "\0" not in str(value),
        name,
        value,
        "the path of a folder",
    )
    return str(value)


def _entry(value: object) -> str:
    if value is None:
        return ""
    good = isinstance(value, str) and value and not value.startswith("/") and "\\" not in value
    good = good and all(part not in ("", ".", "..") for part in str(value).split("/"))
    _need(good, "entry", value, 'a file inside the bundle, as in "main.py"')
    return str(value)


def _device_id(value: object) -> str:
    if value is None:
        return ""
    _need(isinstance(value, str) and is_valid_device_id(value), "device_id", value, "a UUID of 36 characters, or None")
    return str(value).lower()


def checked_custom_id(value: object) -> str:
    """The custom id as it is used. Raises ConfigError."""
    good = isinstance(value, str) and len(value) <= MAX_CUSTOM_ID
    if not good:  # never repeated in the message: it may name a person
        raise ConfigError("custom_id: not possible", hint=f"allowed: text of up to {MAX_CUSTOM_ID} characters")
    return str(value)


def checked_channel(value: object) -> str:
    """The name of a channel to ask for. Raises ConfigError ``missing_parameter`` (the plugin's word)."""
    if isinstance(value, str) and 0 < len(value) <= _MAX_CHANNEL and is_plain(value):
        return value
    raise ConfigError("channel: not possible", code="missing_parameter", hint="allowed: the name of a channel")


def checked_manifest(manifest: object) -> tuple[ManifestEntry, ...]:
    """The entries of a delta update that the app gave: values of ours, or mappings. Raises ConfigError."""
    from capgo_client.errors import ReplyError
    from capgo_client.protocol.updates import entries_of

    try:
        return entries_of(manifest)  # type: ignore[arg-type]  # what is no list of entries ends in the errors below
    except (ReplyError, TypeError) as exc:
        raise ConfigError(
            "manifest: not a list of entries",
            hint="allowed: ManifestEntry values as an Update has them, or mappings with file_name, file_hash and"
            " download_url",
        ) from exc


def _check_start_file(builtin: Path | None) -> None:
    """A bundle's copy of the start file would build a second Updater with another version (design section 4)."""
    start = getattr(sys.modules.get("__main__"), "__file__", None)
    if builtin is None or not start:
        return
    try:
        inside = Path(start).resolve().is_relative_to(builtin.resolve())
    except OSError:
        return
    if inside:
        raise ConfigError(
            f"builtin: the start file {Path(start).name} lies inside the folder that is updated",
            hint=f"move {Path(start).name} out of {builtin.name}/ and keep it with the installer;"
            f" what it runs, such as main.py, stays in {builtin.name}/ and is opened from bundle.path",
        )
