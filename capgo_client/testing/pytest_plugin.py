"""Fixtures for pytest, registered by the package's entry point, so every project that has us installed has them.

``capgo_service``  a running ``Service``, fresh for each test
``capgo_bundle``   ``make_bundle``
``capgo_data_dir`` an empty folder for the client's data
``capgo_updater``  a function that makes an ``Updater`` on that service and folder; closed after the test
``capgo_stage``    a ``Stage`` with that service: one app on one device, launch after launch
``capgo_fault``    a function that lets a fault hold there until the test ends: ``capgo_fault("disk-full", nth=3)``
``capgo_respx``    a respx router in which that service answers at Capgo's own addresses, without a socket

A marker lets a fault hold for a whole test, from before it publishes anything; several may stand above one another.
The service's faults need no stage::

    @pytest.mark.capgo_fault("http-503", nth=2)
    def test_it_opens(capgo_service, capgo_updater):
        assert capgo_updater().start().version == "1.0.0"

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
    from collections.abc import Callable, Collection, Iterator
    from contextlib import AbstractContextManager, ExitStack
    from pathlib import Path

    import respx

    from capgo_client import Updater

    from .arranging import Fault
    from .bundles import MadeBundle
    from .service import Service
    from .stage import Stage

__all__ = [
    "GUARD",
    "capgo_bundle",
    "capgo_data_dir",
    "capgo_fault",
    "capgo_respx",
    "capgo_service",
    "capgo_stage",
    "capgo_updater",
]

#: The variable by which the client knows that it is under test (also in the processes that a test starts).
GUARD = "CAPGO_CLIENT_TESTING"
_WAS = pytest.StashKey["str | None"]()
_HELD = pytest.StashKey[bool]()
_ODDS = ("nth", "times", "probability", "seed")
_MARKER = (
    "capgo_fault(name, *, nth=None, times=None, probability=None, seed=None, on=None, **options): the fault of that "
    "name (capgo_client.testing.FAULTS) holds for the test, on capgo_stage or, if it is the service's, on capgo_service"
)


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known and put the guard up, unless the user decided about it."""
    config.addinivalue_line("markers", _MARKER)
    config.stash[_WAS] = os.environ.get(GUARD)
    os.environ.setdefault(GUARD, "1")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave the environment as it was found."""
    if config.stash.get(_WAS, "") is None:
        os.environ.pop(GUARD, None)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Look at the faults that a test is marked with before anything is set up for it: they hold, or it does not run.

    This is not the first to be asked: pytest decides before whether the test is skipped anyway.
    """
    for mark in item.iter_markers("capgo_fault"):
        if reason := _objection(mark, getattr(item, "fixturenames", ())):
            pytest.fail(f"{_shown(mark)}: {reason}", pytrace=False)
        if reason := _fault(mark).unavailable():
            pytest.skip(f"{_shown(mark)}: {reason}")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Never let a test pass without the faults that it is marked with."""
    mark = item.get_closest_marker("capgo_fault")
    if mark is not None and not item.stash.get(_HELD, False):
        pytest.fail(
            f"{_shown(mark)}: a fixture of this project stands in for capgo_service or capgo_stage, so nothing came of "
            "the marker; let that fixture call set_fault, or request the one that it replaces",
            pytrace=False,
        )


def _objection(mark: pytest.Mark, fixtures: Collection[str]) -> str:
    """Why a test with these fixtures cannot be marked so; empty where it can."""
    return _misnamed(mark) or _misordered(mark) or _misplaced(mark, fixtures)


def _misnamed(mark: pytest.Mark) -> str:
    from difflib import get_close_matches

    from .faults import FAULTS

    if len(mark.args) != 1:
        return "it takes the name of one fault, and keywords; for two faults write two markers"
    name = mark.args[0]
    if not isinstance(name, str):
        return "a fault is named by a text; for two faults write two markers"
    if name in FAULTS:
        return ""
    near = get_close_matches(name, FAULTS, n=3)
    meant = f"did you mean {' or '.join(map(repr, near))}" if near else "see capgo_client.testing.FAULTS"
    return f"there is no such fault; {meant}"


def _misordered(mark: pytest.Mark) -> str:
    from .chance import Chance

    known = (*_ODDS, "on", *_fault(mark).options)
    if unknown := sorted(set(mark.kwargs) - set(known)):
        return f"it takes {', '.join(known)}; not {', '.join(unknown)}"
    try:
        chance = Chance(**{name: value for name, value in mark.kwargs.items() if name in _ODDS})
    except ValueError as exc:
        return str(exc)
    return "it would never strike" if chance.probability == 0 else ""


def _misplaced(mark: pytest.Mark, fixtures: Collection[str]) -> str:
    if "capgo_stage" in fixtures or _fault(mark).unavailable():
        return ""
    if _fault(mark).perform is None:
        return "this is no fault of the service: let the test use the fixture capgo_stage, and its launches"
    if "capgo_service" not in fixtures:
        return "nobody would meet it: let the test use one of capgo_service, capgo_updater, capgo_respx, capgo_stage"
    return ""


def _fault(mark: pytest.Mark) -> Fault:
    from .faults import FAULTS

    return FAULTS[mark.args[0]]


def _shown(mark: pytest.Mark) -> str:
    given = [repr(each) for each in mark.args] + [f"{name}={value!r}" for name, value in mark.kwargs.items()]
    return f"@pytest.mark.capgo_fault({', '.join(given)})"


def _hold(node: pytest.Item, arrange: Callable[[str], Callable[..., AbstractContextManager[Any]]]) -> ExitStack:
    """Let the faults that a test is marked with hold until the stack is closed.

    The farther are set first, for of two that would strike at once the one set last does. Where they hold already there
    is nothing to do: the service had them before anybody knew that a test would ask for the stage too.
    """
    from contextlib import ExitStack

    with ExitStack() as held:
        if node.stash.get(_HELD, False):
            return held
        for mark in reversed(list(node.iter_markers("capgo_fault"))):
            try:
                held.enter_context(arrange(mark.args[0])(**mark.kwargs))
            except (TypeError, ValueError) as exc:
                pytest.fail(f"{_shown(mark)}: {exc}", pytrace=False)
        node.stash[_HELD] = True
        held.callback(node.stash.__setitem__, _HELD, False)  # a test may be run once more
        return held.pop_all()


@pytest.fixture
def capgo_service(request: pytest.FixtureRequest) -> Iterator[Service]:
    """A running service that knows every app and offers nothing yet."""
    from functools import partial

    from .service import Service

    with Service() as service:
        if "capgo_stage" in request.fixturenames:  # which sees to the faults of both
            yield service
            return
        with _hold(request.node, lambda name: partial(service.fault, name)):
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
def capgo_respx(capgo_service: Service) -> Iterator[respx.MockRouter]:
    """A respx router that is active, in which ``capgo_service`` answers at Capgo's own addresses and at its own."""
    try:
        import respx
    except ImportError:
        pytest.fail("the fixture capgo_respx needs respx: pip install respx", pytrace=False)
    from .in_process import respx_routes

    with respx.mock(assert_all_called=False) as router:
        respx_routes(router, capgo_service)
        yield router


@pytest.fixture
def capgo_stage(capgo_service: Service, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Stage]:
    """One app on one device with ``capgo_service``; its launches are closed after the test."""
    from functools import partial

    from .faults import FAULTS
    from .stage import Stage

    with (
        Stage(tmp_path / "capgo-stage", service=capgo_service) as stage,
        _hold(request.node, lambda name: partial(FAULTS[name].arrange, stage)),
    ):
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
