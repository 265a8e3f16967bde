from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest
from kit_wire import RawClient

from capgo_client.testing import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as running:
        yield running


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, verify=False, timeout=5) as opened:
        yield opened


@pytest.fixture
def raw(service: Service) -> Iterator[Callable[..., RawClient]]:
    opened: list[RawClient] = []

    def connect(port: int | None = None) -> RawClient:
        one = RawClient(port or int(service.url.rpartition(":")[2]))
        opened.append(one)
        return one

    yield connect
    for one in opened:
        one.close()


@pytest.fixture
def check(service: Service, client: httpx.Client) -> Callable[..., Any]:
    """Asks for an update as a device does and returns the parsed body; keywords change the request."""
    from kit_wire import device

    def ask(**changes: Any) -> Any:
        return client.post(service.update_url, json=device(**changes)).json()

    return ask
