"""Which proxy, if any, stands between the device and a host.

A custom transport switches off httpx's own proxy handling, so the rules are here: an explicit proxy serves every host,
else the environment's and the system's settings hold (``HTTPS_PROXY``, ``NO_PROXY``, the registry, …) except for
loopback.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from capgo_client.errors import ConfigError, NetworkError
from capgo_client.net.urls import is_loopback

if TYPE_CHECKING:
    from capgo_client.net.deadline import Scope
    from capgo_client.net.resolver import Lookups

__all__ = ["Proxy", "ProxyRules"]


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy; ``auth`` is (user, password) or None and never shown."""

    host: str
    port: int
    auth: tuple[str, str] | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, text: str) -> Proxy:
        """Read ``http://[user:password@]host[:port]``; the scheme may be left out, as in most environments.

        Raises:
            ValueError: it is something else. The message does not repeat it: it may hold a password.
        """
        parts = urlsplit(text if "://" in text else f"http://{text}")
        if parts.scheme.lower() != "http":
            raise ValueError(f"a proxy of the kind {parts.scheme}:// is not supported, only http:// is")
        if not parts.hostname:
            raise ValueError("the proxy's URL names no host")
        auth = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
        return cls(host=parts.hostname, port=parts.port or 80, auth=auth)


class ProxyRules:
    """Chooses the proxy for one request.

    Args:
        explicit: URL of the proxy that serves everything, or None.
        trust_env: whether the environment and the system are asked where nothing explicit is given.
        lookups: where calls of the system that may hang are made.

    Raises:
        ConfigError: ``explicit`` is no usable proxy URL.
    """

    def __init__(self, *, explicit: str | None, trust_env: bool, lookups: Lookups) -> None:
        self._trust_env = trust_env
        self._lookups = lookups
        try:
            self._explicit = Proxy.parse(explicit) if explicit is not None else None
        except ValueError as exc:
            raise ConfigError(f"proxy: {exc}") from exc

    def choose(self, *, scheme: str, host: str, port: int, scope: Scope) -> Proxy | None:
        """Return the proxy for a request to ``host``; None for a direct connection.

        Raises:
            NetworkError: the environment names a proxy that cannot be used.
        """
        if self._explicit is not None:
            return self._explicit
        if not self._trust_env or is_loopback(host):
            return None
        if not _may_have_proxies():
            return None
        import urllib.request

        configured = urllib.request.getproxies()
        url = configured.get(scheme) or configured.get("all")
        if not url or self._is_exempt(host, port, scope):
            return None
        try:
            return Proxy.parse(url)
        except ValueError as exc:
            message = f"The proxy that the environment names cannot be used: {exc}"
            raise NetworkError(message, code="proxy_error", hint=f"see {scheme.upper()}_PROXY and ALL_PROXY") from exc

    def _is_exempt(self, host: str, port: int, scope: Scope) -> bool:
        import urllib.request

        name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        scope.stage = "lookup"
        # macOS and Windows look the name up to compare it with the exceptions, and that may hang.
        return bool(self._lookups.ask(("bypass", name), lambda: urllib.request.proxy_bypass(name), scope=scope))


def _may_have_proxies() -> bool:
    """Whether it is worth asking: elsewhere than on macOS and Windows only the environment names proxies.

    What would be asked brings half of the standard library's HTTP along, and goes through the environment twice for
    each request.
    """
    return sys.platform in ("darwin", "win32") or any(name.lower().endswith("_proxy") for name in os.environ)
