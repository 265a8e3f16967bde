"""What the crash suites share: keys, a device's scene, and the lines that say how much was tried."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from capgo_client.install.trees import remove_tree
from capgo_client.seams import Files
from capgo_client.testing import BundleKeys, Service
from capgo_client.testing.crash.killing import Bench
from capgo_client.testing.crash.operations import OPERATIONS, Scene
from capgo_client.testing.crash.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MEMORY = Path("/dev/shm")
_TALLY = "tally"


class Tally(Protocol):
    """Say how much was tried: ``suite`` and ``operation``, and numbers such as ``points=``, ``seeds=``."""

    def __call__(self, suite: str, operation: str, *, failures: int, **numbers: int) -> None: ...


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Tally:
    """One line in the summary at the end of the run, also where the test ran in a worker of xdist."""

    def say(suite: str, operation: str, *, failures: int, **numbers: int) -> None:
        request.node.user_properties.append((_TALLY, [suite, operation, numbers, failures]))

    return say


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.getreports(kind)]
    said = [prop for report in reports if report.when == "call" for prop in report.user_properties]
    lines = [_line(*value) for name, value in said if name == _TALLY]
    if lines:
        terminalreporter.section("what was cut off")
        for line in sorted(lines):
            terminalreporter.write_line(line)


def _line(suite: str, operation: str, numbers: dict[str, int], failures: int) -> str:
    tried = ", ".join(f"{name}: {count}" for name, count in numbers.items())
    return f"{suite:<15} {operation:<14} {tried}, failures: {failures}"


@pytest.fixture(scope="session")
def keys() -> BundleKeys:
    return BundleKeys.generate()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """For devices that are killed or fail: in memory if possible, for a flush takes longer than all else of a life.

    What was written outlives the process there as well as on a disk; what a power cut takes is another suite's.
    """
    if not os.access(_MEMORY, os.W_OK | os.X_OK):
        yield tmp_path
        return
    made = Path(tempfile.mkdtemp(prefix="capgo-crash-", dir=_MEMORY))
    yield made
    remove_tree(made, files=Files())


@pytest.fixture
def bench_for(folder: Path, tmp_path: Path, keys: BundleKeys) -> Iterator[Callable[[str], Bench]]:
    """Makes the bench of an operation, by its name: device, service and processes of its own."""
    with Service() as service, Runner(path=(tmp_path,)) as runner:
        yield lambda name: Bench(Scene(folder / "scene", service=service, keys=keys), OPERATIONS[name], runner)
