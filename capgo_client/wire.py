"""How to reach the network, as the app said when it built the Updater. Knows none: it is kept until something asks."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Collection, Mapping

    import httpx

__all__ = ["Wire"]


class Wire:
    """The app's own transport, or ours with a proxy and a choice of whom to trust."""

    def __init__(
        self,
        *,
        transport: httpx.BaseTransport | None = None,
        proxy: str | None = None,
        trust_env: bool = True,
        ssl_context: ssl.SSLContext | None = None,
        pins: Mapping[str, Collection[bytes]] | None = None,
    ) -> None:
        self.transport = transport
        self.proxy = proxy
        self.trust_env = trust_env
        self.ssl_context = ssl_context
        self.pins = pins
