"""Where the app wants us to ask, by which way, and whose certificate it expects there. Each raises ConfigError.

Loaded where an address is not Capgo's own: most apps never say any.
"""

from __future__ import annotations

from capgo_client.errors import ConfigError
from capgo_client.options import need, shown

__all__ = ["checked_pins", "checked_proxy", "checked_url"]

#: The longest name that is shown as it was typed (characters).
_SHOWN = 60
_SHA256_BYTES, _PIN_LENGTH = 32, 44
#: What the name of a pinned host is made of. Others (``*``, an umlaut, an IPv6 address) would match no certificate's
#: host as it is asked for, and so pin nothing.
_HOST = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_")


def checked_url(name: str, value: object, *, allow_http: bool) -> str:
    """An endpoint as it is used. Raises ConfigError."""
    if value == "":
        return ""
    from urllib.parse import urlsplit

    allowed = "an https URL (plain http for loopback, or with allow_http=True), or an empty text to turn it off"
    need(isinstance(value, str), name, value, allowed)
    try:
        parts = urlsplit(str(value))
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ConfigError(f"{name}: this is not a URL", hint=f"allowed: {allowed}") from None  # it would repeat it
    where = f"{parts.scheme}://{host or ''}"  # never more: a user, a password or a key may be in the rest
    if not host:
        where = _as_typed(str(value)) or where
    need(parts.scheme in ("http", "https") and host and not any(c.isspace() for c in str(value)), name, where, allowed)
    need(parts.scheme == "https" or allow_http or _is_loopback(host or ""), name, where, allowed)
    return str(value)


def _as_typed(text: str) -> str:
    """What was written where a URL was to be, where it is a mere host's name; empty where it may hold a secret."""
    name, slash, _ = text.partition("/")  # a key may be in the path
    host, colon, port = name.partition(":")
    is_plain = bool(host) and set(host) <= _HOST and port.isdecimal() == bool(colon) and len(name) <= _SHOWN
    return name + ("/..." if slash else "") if is_plain else ""


def checked_proxy(value: str | None) -> str | None:
    """The URL of an HTTP proxy, or None for the environment's. Raises ConfigError."""
    if value is not None:
        need(value, "proxy", value, "the URL of an HTTP proxy, or None for the environment's")
        checked_url("proxy", value, allow_http=True)
    return value


def checked_pins(value: object, *, has_transport: bool) -> dict[str, frozenset[bytes]]:
    """Pinned public keys by host, as digests. Raises ConfigError."""
    if value is None:
        return {}
    allowed = 'a dict such as {"updates.example.com": ["sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="]}'
    if not isinstance(value, dict) or not value:
        raise ConfigError(f"pinned_keys: {shown(value)} is not possible", hint=f"allowed: {allowed}")
    if has_transport:
        raise ConfigError("pinned_keys: a transport of your own checks none", hint="pin in the transport instead")
    pins: dict[str, frozenset[bytes]] = {}
    for host, keys in value.items():
        good = isinstance(host, str) and bool(host.strip(".")) and set(host) <= _HOST
        good = good and isinstance(keys, (list, tuple, set, frozenset)) and bool(keys)
        digests = [_pin(key) for key in keys] if good else [None]
        if None in digests:
            raise ConfigError(f"pinned_keys: {shown({host: keys})} is not possible", hint=f"allowed: {allowed}")
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
