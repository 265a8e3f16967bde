"""An operation killed at its n-th file-system call, for every n, and at moments of no choosing."""

from __future__ import annotations

import random
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from capgo_client.install.trees import remove_tree
from capgo_client.seams import Clock, Files

from .judging import aftermath, faults_of, options_of
from .runner import KILLING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from .operations import Operation, Scene
    from .runner import Lived, Runner

__all__ = ["Bench", "Point"]

#: More calls than any operation makes: where this is reached, one goes on for ever.
_TOO_MANY = 20_000
#: A random kill comes within so many times what the operation takes; one beyond its end is a life that was spared.
_BEYOND = 1.1


@dataclass(frozen=True, slots=True)
class Point:
    """One life that was to be cut off, and what was wrong afterwards.

    ``nth`` is the call in whose place it was killed, ``seconds`` the moment; one of them. ``ended``: it came to its own
    end first.
    """

    life: Lived
    faults: tuple[str, ...]
    nth: int = 0
    seconds: float = 0.0

    @property
    def ended(self) -> bool:
        """Whether nothing cut it off."""
        return self.life.ended

    @property
    def place(self) -> str:
        """Where it was cut off, in words."""
        if self.ended:
            return "not cut off"
        if self.nth:
            return next((word for word in self.life.said if word.startswith("killed ")), "killed")
        return f"killed after {self.seconds * 1000:.1f} ms"


class Bench:
    """One operation on one scene, prepared once and done as often as wanted from the same beginning."""

    def __init__(self, scene: Scene, operation: Operation, runner: Runner) -> None:
        self.scene = scene
        self.operation = operation
        self._runner = runner
        operation.prepare(scene)
        #: Where the device of a life is; ``scene.data`` is what each begins with.
        self.device = scene.data.with_name("device")
        self._options = {**options_of(scene, operation), "data_dir": str(self.device)}

    def restore(self) -> None:
        """Have the device as it was before the operation."""
        if self.device.exists():
            remove_tree(self.device, files=Files())
        if self.scene.data.exists():
            shutil.copytree(self.scene.data, self.device, symlinks=True)

    def live(self, *, files: Mapping[str, Any] | None = None, kill_after: float | None = None, life: str = "") -> Lived:
        """The operation, once, on what the device holds now; ``life`` as ``Runner.live`` takes it."""
        return self._runner.live(
            self._options, operation=self.operation.name, files=files, kill_after=kill_after, life=life
        )

    def try_out(self, *, files: Mapping[str, Any] | None = None, kill_after: float | None = None) -> Point:
        """The operation from its beginning, on these files or killed at this moment, and all that comes after."""
        self.restore()
        self.scene.service.forget_callers()
        since = len(self.scene.service.events)
        life = self.live(files=files, kill_after=kill_after)
        return Point(life, (*_own_faults(life), *self.judge(life.said, since=since)))

    def judge(self, said: tuple[str, ...], *, since: int) -> list[str]:
        """What is wrong with what the device holds now, after a life that said this."""
        options = {"data_dir": str(self.device)}
        after = aftermath(self.scene, self.operation, self._runner, since=since, options=options)
        return faults_of(self.operation, said, after)

    def at_every_call(self, *, step: int = 1, first: int = 1) -> Iterator[Point]:
        """Kill it in place of its n-th file-system call, for every n until one comes to its end; that is the last."""
        for nth in range(first, _TOO_MANY, step):
            point = self.try_out(files={"make": KILLING, "with": {"nth": nth}})
            yield Point(point.life, point.faults, nth=nth)
            if point.ended:
                return
        raise RuntimeError(f"{self.operation.title} makes more than {_TOO_MANY} file-system calls")

    def at_random(self, *, seed: int | None = None) -> Iterator[Point]:
        """Kill it at random moments within 1.1 times what it takes, for as long as one asks for more.

        As OSTree's destructive test does (reference/field-notes.md section 3).
        """
        draw = random.Random(seed)  # moments, not secrets
        takes = self._duration()
        while True:
            seconds = draw.uniform(0.0, takes * _BEYOND)
            point = self.try_out(kill_after=seconds)
            yield Point(point.life, point.faults, seconds=seconds)

    def _duration(self) -> float:
        """How long the operation takes; the first life of a process is slower than all later ones."""
        clock = Clock()
        for _ in range(2):
            self.restore()
            began = clock.monotonic()
            self.live()
        return clock.monotonic() - began


def _own_faults(life: Lived) -> list[str]:
    return [f"the operation itself: {life.raised}"] if life.raised else []
