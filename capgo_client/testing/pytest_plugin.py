"""Fixtures for pytest, registered by the package's entry point, so every project that has us installed has them.

``capgo_service``  a running ``Service``, fresh for each test
``capgo_bundle``   ``make_bundle``
``capgo_data_dir`` an empty folder for the client's data
``capgo_updater``  a function that makes an ``Updater`` on that service and folder; closed after the test
``capgo_stage``    a ``Stage`` with that service: one app on one device, launch after launch
``capgo_fault``    a function that lets a fault hold there until the test ends: ``capgo_fault("disk-full", nth=3)``

A test that is parametrised with ``capgo_fault`` indirectly runs once under each fault::

    @pytest.mark.parametrize("capgo_fault", ["silence", "disk-full", "app-crashes"], indirect=True)
    def test_it_opens(capgo_fault, capgo_stage):
        assert capgo_stage.launch().current.version

While the plugin is loaded the client refuses Capgo's real hosts, so that a test never counts as a device of the app.
Nothing but pytest is imported before a fixture is used.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from capgo_client import Updater

    from .bundles import MadeBundle
    from .service import Service
    from .stage import Stage

__all__ = [
    "GUARD",
    "capgo_bundle",
    "capgo_data_dir",
    "capgo_fault",
    "capgo_service",
    "capgo_stage",
    "capgo_updater",
]

#: The variable by which the client knows that it is under test (also in the processes that a test starts).
GUARD = "CAPGO_CLIENT_TESTING"
_WAS = pytest.StashKey["str | None"]()


def pytest_configure(config: pytest.Config) -> None:
    """Put the guard up, unless the user decided about it."""
    config.stash[_WAS] = os.environ.get(GUARD)
    os.environ.setdefault(GUARD, "1")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave the environment as it was found."""
    if config.stash.get(_WAS, "") is None:
        os.environ.pop(GUARD, None)


@pytest.fixture
def capgo_service() -> Iterator[Service]:
    """A running service that knows every app and offers nothing yet."""
    from .service import Service

    with Service() as service:
        yield service


@pytest.fixture
def capgo_bundle() -> Callable[..., MadeBundle]:
    """``capgo_client.testing.make_bundle``."""
    from .bundles import make_bundle

    return make_bundle


@pytest.fixture
def capgo_data_dir(tmp_path: Path) -> Path:
    """An empty folder for everything that the client writes."""
    folder = tmp_path / "capgo-data"
    folder.mkdir()
    return folder


@pytest.fixture
def capgo_updater(capgo_service: Service, capgo_data_dir: Path) -> Iterator[Callable[..., Updater]]:
    """A function that makes an ``Updater``; its options override the defaults given here."""
    from capgo_client import Updater

    made: list[Updater] = []
    defaults: dict[str, Any] = {
        "app_id": "com.example.app",
        "version": "1.0.0",
        "builtin": None,
        "update_url": capgo_service.update_url,
        "stats_url": capgo_service.stats_url,
        "channel_url": capgo_service.channel_url,
        "data_dir": capgo_data_dir,
    }

    def make(**options: Any) -> Updater:
        updater = Updater(**{**defaults, **options})
        made.append(updater)
        return updater

    yield make
    for updater in reversed(made):
        updater.close()


@pytest.fixture
def capgo_stage(capgo_service: Service, tmp_path: Path) -> Iterator[Stage]:
    """One app on one device with ``capgo_service``; its launches are closed after the test."""
    from .stage import Stage

    with Stage(tmp_path / "capgo-stage", service=capgo_service) as stage:
        yield stage


@pytest.fixture
def capgo_fault(capgo_stage: Stage, request: pytest.FixtureRequest) -> Iterator[Callable[..., None]]:
    """A function ``(name, **order)`` that arranges a fault until the test ends; see ``Fault.arrange`` for the order.

    Where it cannot be had on this platform the test is skipped, with the reason.
    """
    from contextlib import ExitStack

    from .faults import FAULTS

    with ExitStack() as arranged:

        def arrange(name: str, **order: Any) -> None:
            if name not in FAULTS:
                raise ValueError(f"{name!r} is no fault; the faults are: {', '.join(FAULTS)}")
            if reason := FAULTS[name].unavailable():
                pytest.skip(f"{name}: {reason}")
            arranged.enter_context(FAULTS[name].arrange(capgo_stage, **order))

        if hasattr(request, "param"):
            arrange(request.param)
        yield arrange
