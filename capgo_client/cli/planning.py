"""Which launch of a simulation meets which fault. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import cycle, islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from capgo_client.testing import Fault

__all__ = ["BAD_VERSIONS", "HEALTHY", "Step", "plan"]

#: Faults that a version brings with it, by what it does in place of saying "ready".
BAD_VERSIONS = {"app-crashes": "crash", "app-hangs": "hang", "app-killed": "killed"}
#: After so many launches with faults comes one without, so that updates arrive and open.
_SPELL = 3


@dataclass(frozen=True, slots=True)
class Step:
    """One launch: its fault (None: a healthy one), and what the version does that is new on offer ("" : it works)."""

    fault: Fault | None = None
    offers_bad: str = ""

    @property
    def name(self) -> str:
        """How the table calls it."""
        return "none" if self.fault is None else self.fault.name


#: A launch in a world where all is well.
HEALTHY = Step()


def plan(faults: Sequence[Fault], launches: int, *, seed: int | None, attempts: int) -> list[Step]:
    """Steps for so many launches: the faults in their order, or in the order of a seed, over and over.

    Where there are more than fit, the ones that are left out are spread evenly. ``attempts`` is how many starts a
    version gets to say that it works.
    """
    order = list(faults)
    if seed is not None:
        random.Random(seed).shuffle(order)  # noqa: S311 - no secret
    blocks = [_block(fault, attempts) for fault in order]
    for count in range(len(blocks), 0, -1):
        chosen = [blocks[i * len(blocks) // count] for i in range(count)]
        steps = list(_with_pauses(chosen))
        if len(steps) <= launches:
            break
    return list(islice(cycle(steps), launches)) if blocks else [HEALTHY] * launches


def _block(fault: Fault, attempts: int) -> list[Step]:
    """The launches that one fault takes: of a bad version until it has arrived, opened, and is gone for good."""
    bad = BAD_VERSIONS.get(fault.name, "")
    if not bad:
        return [Step(fault)]
    opens = 1 if bad == "crash" else attempts
    return [Step(fault, bad), *[Step(fault)] * (opens + 1)]


def _with_pauses(blocks: Sequence[list[Step]]) -> Iterator[Step]:
    for number, block in enumerate(blocks, 1):
        yield from block
        if number % _SPELL == 0 or number == len(blocks):
            yield HEALTHY
