"""What one option may be. Each function takes what the app gave, and gives back what is used, or raises ConfigError.

The error names the option, what it was and what is allowed.
"""

from __future__ import annotations

import os

from capgo_client.errors import ConfigError
from capgo_client.protocol.requests import MAX_CUSTOM_ID, is_valid_app_id, is_valid_device_id
from capgo_client.protocol.text import is_plain
from capgo_client.protocol.versions import explain_invalid, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from capgo_client.protocol.outcomes import ManifestEntry

__all__ = [
    "MAX_CHANNEL",
    "checked_app_id",
    "checked_channel",
    "checked_custom_id",
    "checked_manifest",
    "checked_version",
    "device_id",
    "entry",
    "need",
    "path",
    "period",
    "seconds",
    "shown",
    "text",
    "whole",
]

#: Longest name of a channel (characters).
MAX_CHANNEL = 256

_MIN_PERIOD = 600
#: The longest that the plugin takes (reference/plugin-behaviour.md section 11), 68 years.
_MAX_PERIOD = 2**31 - 1


def need(holds: object, option: str, value: object, allowed: str) -> None:
    """Raise ConfigError, with what was given and what is ``allowed``, unless it ``holds``."""
    if not holds:
        raise ConfigError(f"{option}: {shown(value)} is not possible", hint=f"allowed: {allowed}")


def shown(value: object) -> str:
    """A value for a message: cut, where it is long."""
    written = repr(value)
    return written if len(written) <= 80 else f"{written[:77]}..."  # noqa: PLR2004


def checked_app_id(app_id: object) -> str:
    """The app id, if the service takes it for one. Raises ConfigError."""
    need(
        isinstance(app_id, str) and is_valid_app_id(app_id),
        "app_id",
        app_id,
        'a reverse domain as in "com.example.notes": letters and digits, then at least one dot; "_" and "-" after it',
    )
    return str(app_id)


def checked_version(version: object) -> None:
    """Raise ConfigError unless it is semver as the service demands it."""
    if not isinstance(version, str):
        raise ConfigError(f"version: {shown(version)} is not text", hint='allowed: semver as in "1.4.0"')
    if parse(version) is None:
        raise ConfigError(f"version: {shown(version)} is not semver", hint=explain_invalid(version))


def seconds(name: str, value: object, *, high: float) -> float:
    """Seconds above 0 and up to ``high``."""
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= high
    need(good, name, value, f"seconds above 0 and up to {high:g}")
    return float(value)  # type: ignore[arg-type]


def period(value: object) -> float:
    """0 or less turns the periodic check off, and nothing is shorter than ten minutes (plugin section 2)."""
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= _MAX_PERIOD
    need(good, "period_check_delay", value, f"seconds: 0 for none, else {_MIN_PERIOD} or more")
    given = float(value)  # type: ignore[arg-type]
    return 0.0 if given <= 0 else max(given, float(_MIN_PERIOD))


def whole(name: str, value: object, *, low: int, high: int) -> None:
    """Raise ConfigError unless it is a whole number in that range."""
    good = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
    need(good, name, value, f"a whole number from {low} to {high}")


def text(name: str, value: object, *, high: int) -> str:
    """Text without control characters, of up to ``high`` characters."""
    need(
        isinstance(value, str) and len(value) <= high and is_plain(value),
        name,
        value,
        f"text of up to {high} characters",
    )
    return str(value)


def path(name: str, value: object) -> str:
    """The absolute path of a folder, as text: what is relative counts from where the app is now."""
    need(
        isinstance(value, (str, os.PathLike)) and str(value) and "\0" not in str(value),
        name,
        value,
        "the path of a folder",
    )
    text = str(value)
    return (text if os.path.isabs(text) else os.path.join(_here(name), text)).rstrip(os.sep) or os.sep


def _here(name: str) -> str:
    try:
        return os.getcwd()
    except OSError as exc:
        raise ConfigError(
            f"{name}: a relative path counts from the folder that the app was started in, and that is gone",
            hint="give an absolute path",
        ) from exc


def entry(value: object) -> str:
    """A file inside the bundle; empty for none."""
    if value is None:
        return ""
    good = isinstance(value, str) and value and not value.startswith("/") and "\\" not in value
    good = good and all(part not in ("", ".", "..") for part in str(value).split("/"))
    need(good, "entry", value, 'a file inside the bundle, as in "main.py"')
    return str(value)


def device_id(value: object) -> str:
    """A UUID in lower case; empty for none."""
    if value is None:
        return ""
    need(isinstance(value, str) and is_valid_device_id(value), "device_id", value, "a UUID of 36 characters, or None")
    return str(value).lower()


def checked_custom_id(value: object) -> str:
    """The custom id as it is used. Raises ConfigError."""
    good = isinstance(value, str) and len(value) <= MAX_CUSTOM_ID
    if not good:  # never repeated in the message: it may name a person
        raise ConfigError("custom_id: not possible", hint=f"allowed: text of up to {MAX_CUSTOM_ID} characters")
    return str(value)


def checked_channel(value: object) -> str:
    """The name of a channel to ask for. Raises ConfigError ``missing_parameter`` (the plugin's word)."""
    if isinstance(value, str) and 0 < len(value) <= MAX_CHANNEL and is_plain(value):
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
