"""What goes wrong with a launch itself: the clock, the app, another process. ``faults`` lists them.

Each takes the stage and the chance, and is a context manager; what it does is drawn once, on entering.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from capgo_client.life.verdicts import acquitted, condemned
from capgo_client.seams import Clock

from .clock import FakeClock

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from .chance import Chance
    from .stage import Stage

__all__ = ["ShiftedClock"]

YEAR = 365 * 86400.0
_PATIENCE = 10.0
#: Opens the app's data directory as another process of the app would, says so, and stays until its input ends.
_OTHER_PROCESS = """
import json, sys
from capgo_client import Updater
order = json.loads(sys.stdin.readline())
with Updater(update_url="", stats_url="", channel_url="", auto_update="off", **order) as updater:
    updater.start()
    print("open", flush=True)
    sys.stdin.read()
"""


class ShiftedClock(Clock):
    """Another clock whose wall time is off by ``shift`` seconds."""

    def __init__(self, inner: Clock) -> None:
        self._inner = inner
        self.shift = 0.0

    def wall(self) -> float:
        """The wrong time."""
        return self._inner.wall() + self.shift

    def monotonic(self) -> float:
        """The other clock's."""
        return self._inner.monotonic()

    def wait(self, event: threading.Event, timeout: float | None) -> bool:
        """The other clock's."""
        return self._inner.wait(event, timeout)


@contextmanager
def clock_set(stage: Stage, chance: Chance, *, seconds: float, running: bool = False) -> Iterator[None]:
    """The wall clock jumps by ``seconds`` before the launch, or with ``running`` as soon as ``start()`` has returned.

    Afterwards it goes right again.
    """
    if not chance.takes():
        yield
        return
    with _movable(stage) as clock:
        moved: list[float] = []

        def move() -> None:
            if not moved:
                moved.append(seconds)
                _shift(clock, seconds)

        if not running:
            move()
        try:
            with stage.while_running(move) if running else nullcontext():
                yield
        finally:
            if moved:
                _shift(clock, -seconds)


@contextmanager
def _movable(stage: Stage) -> Iterator[FakeClock | ShiftedClock]:
    if isinstance(stage.clock, FakeClock):
        yield stage.clock
        return
    clock = ShiftedClock(stage.clock)
    with stage.replaced(clock=clock):
        yield clock


def _shift(clock: FakeClock | ShiftedClock, seconds: float) -> None:
    if isinstance(clock, FakeClock):
        clock.set_wall(clock.wall() + seconds)
    else:
        clock.shift += seconds


@contextmanager
def app_that(stage: Stage, chance: Chance, *, does: str) -> Iterator[None]:
    """The app does this after ``start()`` instead of what it did; the stage's ``behave`` carries it out."""
    before = stage.behaviour
    if chance.takes():
        stage.behaviour = does
    try:
        yield
    finally:
        stage.behaviour = before


@contextmanager
def failed_before(stage: Stage, chance: Chance) -> Iterator[None]:
    """The device remembers that the version published last crashed on it. Afterwards it has forgotten that."""
    bundle = stage.service.newest
    if bundle is None or not chance.takes():
        yield
        return
    known = {"version": bundle.version, "checksum": bundle.checksum}
    stage.remember(lambda state: condemned(state, **known, hard=True, now=stage.clock.wall()))
    try:
        yield
    finally:
        stage.remember(lambda state: acquitted(state, **known))


def second_process(stage: Stage, chance: Chance) -> AbstractContextManager[None]:
    """Another process of the app is open on the same data directory, and stays open."""
    return _other_process(stage) if chance.takes() else nullcontext()


@contextmanager
def _other_process(stage: Stage) -> Iterator[None]:
    order = {name: str(stage.options[name]) for name in ("app_id", "version", "builtin", "data_dir")}
    root = str(Path(__file__).parents[2])
    with subprocess.Popen(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {root!r}){_OTHER_PROCESS}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(json.dumps(order) + "\n")
        child.stdin.flush()
        if child.stdout.readline() != "open\n":
            child.wait(_PATIENCE)
            raise RuntimeError("the second process did not open the app; what it says stands above")
        try:
            yield
        finally:
            child.stdin.close()
            child.wait(_PATIENCE)
