"""The app's own transport, written for httpx, in the place of ours."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import httpx

from capgo_client.errors import CapgoError, DeadlineExceeded, NetworkError
from capgo_client.net.transport import Answer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from capgo_client.net.deadline import Scope
    from capgo_client.net.urls import Url

__all__ = ["ForeignTransport"]


class ForeignTransport:
    """Hands requests to ``transport``. What that raises may be anything, and becomes one of our errors."""

    def __init__(self, transport: httpx.BaseTransport) -> None:
        self._transport = transport

    def send(self, method: str, url: Url, *, headers: Mapping[str, str], body: bytes | None, scope: Scope) -> Answer:
        """Send a request. A transport may heed what is left of ``scope``.

        Raises:
            NetworkError: it failed.
            DeadlineExceeded: a time-out of its own.
        """
        timeout = httpx.Timeout(scope.remaining()).as_dict()
        with _translated():
            request = httpx.Request(
                method, url.text, headers=dict(headers), content=body, extensions={"timeout": timeout}
            )
        with scope, _translated():
            response = self._transport.handle_request(request)
        return Answer(response.status_code, dict(response.headers.items()), _body(response), response.close)

    def close(self) -> None:
        """Close it; may raise anything."""
        self._transport.close()


def _body(response: httpx.Response) -> Iterator[bytes]:
    # Not iter_raw(): it refuses replies that a test's transport built from bytes.
    if not isinstance(response.stream, httpx.SyncByteStream):
        raise NetworkError("The transport that was given is not a synchronous one", retryable=False)
    with _translated():
        yield from response.stream


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except CapgoError:
        raise
    except (httpx.TimeoutException, TimeoutError) as exc:
        raise DeadlineExceeded("The transport that was given timed out") from exc
    except Exception as exc:
        raise NetworkError(f"The exchange failed: {type(exc).__name__}") from exc
