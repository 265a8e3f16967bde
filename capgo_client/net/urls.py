"""What we ask of a URL before anything is sent to it, and what may be shown of one."""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import re
from typing import TYPE_CHECKING

from capgo_client.errors import NetworkError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

__all__ = ["Url", "is_loopback", "join", "parse", "redact", "require_allowed"]

_LAST_PORT = 65535
_DEFAULT_PORTS = {"http": 80, "https": 443}
#: URLs in which httpx would change nothing: a name or an IPv4 address in lower case, every other character one that
#: stands for itself, no "." or ".." in the path. Others are read by httpx, which knows the rest (RFC 3986, IDNA).
_PLAIN = re.compile(
    r"(?P<scheme>https?)://"
    r"(?P<host>(?:[0-9]{1,3}\.){3}[0-9]{1,3}|[a-z](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z](?:[a-z0-9-]*[a-z0-9])?)*)"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?"
    r"(?P<target>(?:/(?!\.)(?:[A-Za-z0-9._~!$&()*+,;=:@-]|%[0-9A-Fa-f]{2})*)+"
    r"(?:\?(?:[A-Za-z0-9._~!$&()*+,;=:@/-]|%[0-9A-Fa-f]{2})+)?)",
    re.ASCII,
)
_LONGEST_PLAIN = 8192


class Url:
    """An absolute URL, taken apart. ``host`` is for people, ``raw_host`` for the wire; escapes stay as they are.

    ``port`` is None where it is the scheme's own; ``target`` is path and query, ``netloc`` host and port.
    """

    __slots__ = ("host", "netloc", "port", "raw_host", "scheme", "target", "text")

    def __init__(
        self, *, text: str, scheme: str, host: str, raw_host: bytes, port: int | None, netloc: bytes, target: bytes
    ) -> None:
        self.text = text
        self.scheme = scheme
        self.host = host
        self.raw_host = raw_host
        self.port = port
        self.netloc = netloc
        self.target = target


def parse(text: str) -> Url:
    """Read an absolute URL; escapes in it stay as they are (reference/service-behaviour.md section 4.1).

    Raises:
        NetworkError: with code ``invalid_url``.
    """
    return _parse_plain(text) or _parse_any(text)


def _parse_plain(text: str) -> Url | None:
    found = _PLAIN.fullmatch(text) if len(text) <= _LONGEST_PLAIN else None
    if found is None:
        return None
    scheme, host, digits, target = found.group("scheme", "host", "port", "target")
    port = int(digits) if digits else None
    if "xn--" in host or (port is not None and port > _LAST_PORT) or (host[0].isdecimal() and not _is_address(host)):
        return None
    if port == _DEFAULT_PORTS[scheme]:
        port = None
    raw_host = host.encode("ascii")
    netloc = raw_host if port is None else b"%b:%d" % (raw_host, port)
    return Url(
        text=text,
        scheme=scheme,
        host=host,
        raw_host=raw_host,
        port=port,
        netloc=netloc,
        target=target.encode("ascii"),
    )


def _parse_any(text: str) -> Url:
    with _readable():
        url = _httpx_url(text)
        found = _taken_apart(url, text)
    if not found.host:
        raise NetworkError("The URL names no host", code="invalid_url", retryable=False)
    if found.port is not None and not 0 < found.port <= _LAST_PORT:
        raise NetworkError("The URL names a port that does not exist", code="invalid_url", retryable=False)
    return found


def _httpx_url(text: str) -> httpx.URL:
    import httpx

    return httpx.URL(text)


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    import httpx

    try:
        yield
    # Some bad ports and hosts end in a plain ValueError, bad punycode (of "xn--") only where the host is asked for.
    except (httpx.InvalidURL, ValueError) as exc:
        raise NetworkError("The URL cannot be read", code="invalid_url", retryable=False) from exc


def _taken_apart(url: httpx.URL, text: str) -> Url:
    return Url(
        text=text,
        scheme=url.scheme,
        host=url.host,
        raw_host=url.raw_host,
        port=url.port,
        netloc=url.netloc,
        target=url.raw_path,
    )


def join(base: Url, reference: str) -> Url:
    """Where ``reference``, found in the reply to ``base``, leads (RFC 3986 section 5).

    Raises:
        NetworkError: with code ``invalid_url``.
    """
    with _readable():
        text = str(_httpx_url(base.text).join(reference))
    return parse(text)


def redact(url: str) -> str:
    """The URL without user, password, query and fragment: what logs and messages may show."""
    try:
        plain = parse(url)
    except NetworkError:
        return "(unreadable URL)"
    host = f"[{plain.host}]" if ":" in plain.host else plain.host
    port = f":{plain.port}" if plain.port is not None else ""
    return f"{plain.scheme}://{host}{port}{plain.target.partition(b'?')[0].decode('ascii')}"


@functools.lru_cache(maxsize=32)  # asked again for each of a delta's files
def is_loopback(host: str) -> bool:
    """Whether ``host`` is this device: localhost, 127.0.0.0/8 or ::1."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@functools.lru_cache(maxsize=32)
def _is_address(host: str) -> bool:
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


def require_allowed(url: Url, *, allow_http: bool) -> None:
    """Let https pass, and plain http to this device or where it is allowed.

    Raises:
        NetworkError: with code ``insecure_url`` or ``invalid_url``.
    """
    if url.scheme == "https" or (url.scheme == "http" and (allow_http or is_loopback(url.host))):
        return
    if url.scheme == "http":
        hint = "use an https:// URL; plain http is meant for a server on this device"
        message = f"Plain http is refused for {redact(url.text)}"
        raise NetworkError(message, code="insecure_url", retryable=False, hint=hint)
    raise NetworkError(f"The scheme {url.scheme!r} is not supported", code="invalid_url", retryable=False)
