"""Who is asking: the info object that every request carries, and the rules the service holds it to.

Fields: reference/plugin-behaviour.md section 1.1; rules: reference/service-behaviour.md sections 1.1 and 3.1.
"""

from __future__ import annotations

import json

from capgo_client.protocol.text import clean
from capgo_client.values import dataclass

__all__ = [
    "MAX_CUSTOM_ID",
    "MAX_INSTALL_SOURCE",
    "MAX_KEY_ID",
    "PLUGIN_VERSION",
    "Identity",
    "info",
    "is_valid_app_id",
    "is_valid_device_id",
    "json_body",
    "update_check_body",
    "user_agent",
    "wire_platform",
]

#: The protocol level that we implement, never our own version (reference/service-behaviour.md section 5). It opens:
#: ``manifest`` (in major 8 from 8.0.0), ``link`` and ``comment`` (8.35.0), ``already_on_builtin`` in place of an error
#: (6.2.0), the comparison of ``key_id`` (after 8.40.7), and channels that the device keeps, not the service (7.34.0).
PLUGIN_VERSION = "8.51.14"

#: Longest values in characters; the service answers 400 to longer ones.
MAX_CUSTOM_ID = 36
MAX_INSTALL_SOURCE = 64
MAX_KEY_ID = 20

_MAX_TEXT = 256
_MAX_PRODUCT = 100
_DIGITS = frozenset("0123456789")
_HEX = _DIGITS | frozenset("abcdefABCDEF")
_ALPHANUMERIC = _DIGITS | frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_WORD = _ALPHANUMERIC | frozenset("_-")
_UUID_GROUPS = [8, 4, 4, 4, 12]


@dataclass(frozen=True, slots=True)
class Identity:
    """What one device says about itself; "" where something is not known or not set.

    ``version_build`` is the builtin's version, ``version_code`` the installer's build number, ``platform`` one of the
    three that the service knows (``wire_platform``), ``key_id`` set only when one public key is configured.
    """

    app_id: str
    device_id: str
    version_build: str
    platform: str
    custom_id: str = ""
    version_code: str = ""
    version_os: str = ""
    plugin_version: str = PLUGIN_VERSION
    is_emulator: bool = False
    is_prod: bool = True
    install_source: str = ""
    default_channel: str = ""
    key_id: str = ""


def info(identity: Identity, *, version_name: str) -> dict[str, object]:
    """The info object. ``version_name`` is the current bundle's version; "" on the builtin means its own.

    Optional texts are left out when empty: the service refuses null. So are those longer than it allows: it would
    refuse every check for them. What the system says of itself is cleaned; what the app chose goes out as it is.
    """
    fields: dict[str, object] = {
        "platform": identity.platform,
        "device_id": identity.device_id.lower(),
        "app_id": identity.app_id,
        "version_build": identity.version_build,
        "version_code": clean(identity.version_code, _MAX_TEXT),
        "version_os": clean(identity.version_os, _MAX_TEXT),
        "version_name": version_name or identity.version_build or "builtin",
        "plugin_version": identity.plugin_version,
        "is_emulator": identity.is_emulator,
        "is_prod": identity.is_prod,
    }
    optional = {
        "custom_id": identity.custom_id if len(identity.custom_id) <= MAX_CUSTOM_ID else "",
        "install_source": identity.install_source if len(identity.install_source) <= MAX_INSTALL_SOURCE else "",
        # Never left out for its length: without it the device would be sent to the public channel.
        "defaultChannel": identity.default_channel,
        "key_id": identity.key_id if len(identity.key_id) <= MAX_KEY_ID else "",
    }
    fields.update((key, text) for key, text in optional.items() if text)
    return fields


def update_check_body(identity: Identity, *, version_name: str) -> bytes:
    """The body of ``POST /updates``: the info object as JSON in UTF-8."""
    return json_body(info(identity, version_name=version_name))


def json_body(value: object) -> bytes:
    """``value`` as JSON in UTF-8, without a space too many."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    # A path or a name of the system may hold half a surrogate pair, which UTF-8 has no bytes for.
    return text.encode("utf-8", "replace")


def user_agent(identity: Identity, *, library_version: str) -> str:
    """``capgo-client/<our version> (<app id>) <platform>/<system version>``.

    The plugin's form and cleaning (reference/plugin-behaviour.md section 1.0), kept to ASCII: the plugin also lets
    U+00A0 - U+00FF through, which HTTP clients disagree on how to encode.
    """
    library, app_id, platform, version_os = (
        _product(value) for value in (library_version, identity.app_id, identity.platform, identity.version_os)
    )
    return f"capgo-client/{library} ({app_id}) {platform}/{version_os}"


def is_valid_app_id(text: str) -> bool:
    """Whether the service takes ``text`` for an app id: a reverse domain, as in ``com.example.notes``."""
    first, *others = text.split(".")
    return _made_of(first, _ALPHANUMERIC) and bool(others) and all(_made_of(part, _WORD) for part in others)


def is_valid_device_id(text: str) -> bool:
    """Whether ``text`` is a UUID in its usual form of 36 characters, in either case."""
    groups = text.split("-")
    return [len(group) for group in groups] == _UUID_GROUPS and all(_made_of(group, _HEX) for group in groups)


def wire_platform(sys_platform: str) -> str:
    """The service's name for a value of ``sys.platform``: it knows android, ios and, for all desktops, electron."""
    return sys_platform if sys_platform in ("android", "ios") else "electron"


def _made_of(text: str, characters: frozenset[str]) -> bool:
    return bool(text) and characters.issuperset(text)


def _product(value: str) -> str:
    kept = "".join(char for char in value[:_MAX_PRODUCT] if " " <= char <= "~")
    return kept.strip() or "unknown"
