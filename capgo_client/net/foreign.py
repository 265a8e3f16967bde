"""The app's own transport, written for httpx, in the place of ours."""

from __future__ import annotations

import httpx

from capgo_client.errors import NetworkError
from capgo_client.net.transport import Answer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from capgo_client.net.deadline import Scope

__all__ = ["ForeignTransport"]


class ForeignTransport:
    """Hands requests to ``transport``; what that raises may be anything."""

    def __init__(self, transport: httpx.BaseTransport) -> None:
        self._transport = transport

    def send(
        self, method: str, url: httpx.URL, *, headers: Mapping[str, str], body: bytes | None, scope: Scope
    ) -> Answer:
        """Send a request; a transport may heed what is left of ``scope``."""
        timeout = httpx.Timeout(scope.remaining()).as_dict()
        request = httpx.Request(method, url, headers=dict(headers), content=body, extensions={"timeout": timeout})
        with scope:
            response = self._transport.handle_request(request)
        # Not iter_raw(): it refuses replies that a test's transport built from bytes.
        if not isinstance(response.stream, httpx.SyncByteStream):
            raise NetworkError("The transport that was given is not a synchronous one", retryable=False)
        return Answer(response.status_code, dict(response.headers.items()), response.stream, response.close)

    def close(self) -> None:
        """Close it."""
        self._transport.close()
