"""What we ask of a URL before anything is sent to it, and what may be shown of one."""

from __future__ import annotations

import functools
import ipaddress

import httpx

from capgo_client.errors import NetworkError

__all__ = ["is_loopback", "parse", "redact", "require_allowed"]

_LAST_PORT = 65535


def parse(text: str | httpx.URL) -> httpx.URL:
    """Read an absolute URL; escapes in it stay as they are (reference/service-behaviour.md section 4.1).

    Raises:
        NetworkError: with code ``invalid_url``.
    """
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, ValueError) as exc:  # some bad ports and hosts end in a plain ValueError
        raise NetworkError("The URL cannot be read", code="invalid_url", retryable=False) from exc
    if not url.host:
        raise NetworkError("The URL names no host", code="invalid_url", retryable=False)
    if url.port is not None and not 0 < url.port <= _LAST_PORT:
        raise NetworkError("The URL names a port that does not exist", code="invalid_url", retryable=False)
    return url


def redact(url: str | httpx.URL) -> str:
    """The URL without user, password, query and fragment: what logs and messages may show."""
    try:
        plain = httpx.URL(url)
    except (httpx.InvalidURL, ValueError):
        return "(unreadable URL)"
    host = f"[{plain.host}]" if ":" in plain.host else plain.host
    port = f":{plain.port}" if plain.port is not None else ""
    return f"{plain.scheme}://{host}{port}{plain.raw_path.partition(b'?')[0].decode('ascii')}"


@functools.lru_cache(maxsize=32)  # asked again for each of a delta's files
def is_loopback(host: str) -> bool:
    """Whether ``host`` is this device: localhost, 127.0.0.0/8 or ::1."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def require_allowed(url: httpx.URL, *, allow_http: bool) -> None:
    """Let https pass, and plain http to this device or where it is allowed.

    Raises:
        NetworkError: with code ``insecure_url`` or ``invalid_url``.
    """
    if url.scheme == "https" or (url.scheme == "http" and (allow_http or is_loopback(url.host))):
        return
    if url.scheme == "http":
        hint = "use an https:// URL; plain http is meant for a server on this device"
        raise NetworkError(f"Plain http is refused for {redact(url)}", code="insecure_url", retryable=False, hint=hint)
    raise NetworkError(f"The scheme {url.scheme!r} is not supported", code="invalid_url", retryable=False)
