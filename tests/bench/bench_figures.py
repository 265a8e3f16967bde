"""What is found out: costs, their medians, and the ratios that are judged. Pure."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: What one measured process says: "wall" and "cpu" in seconds, "peak" in bytes, and whatever it reports by itself.
Sample = dict[str, float]


@dataclass(frozen=True, slots=True)
class Figure:
    """The middle of several measurements, and how far they lie apart."""

    median: float
    #: The distance of the quartiles as a share of the median; 0 for fewer than three measurements.
    spread: float
    runs: int


def figure(values: Sequence[float]) -> Figure:
    """Raises ValueError for no values."""
    if not values:
        raise ValueError("nothing was measured")
    middle = statistics.median(values)
    if len(values) < 3 or not middle:
        return Figure(middle, 0.0, len(values))
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return Figure(middle, (high - low) / middle, len(values))


def figures(samples: Sequence[Sample]) -> dict[str, Figure]:
    """By the name of what was measured, numbers only; those missing in some samples count where they are."""
    names = dict.fromkeys(name for sample in samples for name in sample if isinstance(sample[name], (int, float)))
    return {name: figure([sample[name] for sample in samples if name in sample]) for name in names}


def rotated(keys: Sequence[str], rounds: int) -> Iterator[tuple[int, str]]:
    """Every key once in each round; each round begins with another one, so that none always follows the same."""
    for turn in range(rounds):
        start = turn % len(keys)
        for key in (*keys[start:], *keys[:start]):
            yield turn, key


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` (0 - 1) of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1)]


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was measured. None: not measured, or not to be had here."""

    what: str
    wall: float | None = None
    cpu: float | None = None
    peak: float | None = None
    spread: float | None = None
    instructions: float | None = None
    note: str = ""

    @classmethod
    def of(cls, what: str, found: dict[str, Figure], *, wall: str = "wall", cpu: str = "cpu", note: str = "") -> Line:
        """From figures; ``wall`` and ``cpu`` name those to show."""
        return cls(
            what,
            wall=_median(found, wall),
            cpu=_median(found, cpu),
            peak=_median(found, "own_peak") or _median(found, "peak"),
            spread=found[wall].spread if wall in found else None,
            instructions=_median(found, "instructions"),
            note=note,
        )


def _median(found: dict[str, Figure], name: str) -> float | None:
    return found[name].median if name in found else None


@dataclass(frozen=True, slots=True)
class Ratio:
    """A number that does not depend on the machine much: lower is better. ``key`` names it in the baseline."""

    key: str
    what: str
    value: float
    #: At most this, by the plan; None where there is no target.
    target: float | None = None
    #: What it may differ by in any case before bench-check calls it worse: to wait for a tenth of a limit is as good
    #: as for a twentieth.
    slack: float = 0.0

    @property
    def verdict(self) -> str:
        """Whether the target is met; empty without one."""
        if self.target is None:
            return ""
        return "met" if self.value <= self.target else "MISSED"


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars: each a label (lower case) and a value; ``ours`` names those of ours, ``limit`` is drawn as a mark."""

    title: str
    unit: str
    bars: tuple[tuple[str, float], ...]
    ours: tuple[str, ...]
    limit: float | None = None
    #: A value from here on was cut off there, and is shown as more than that.
    cut: float | None = None

    def told(self, value: float) -> str:
        """A value as it is written beside its bar."""
        if self.cut is not None and value >= self.cut:
            return f"more than {self.cut:g}"
        return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


@dataclass(slots=True)
class Findings:
    """What one group of benchmarks found."""

    lines: list[Line] = field(default_factory=list)
    ratios: list[Ratio] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Only what JSON has."""
        return asdict(self)

    @classmethod
    def of_json(cls, value: dict[str, Any]) -> Findings:
        """The other way round."""
        return cls(
            [Line(**each) for each in value["lines"]],
            [Ratio(**each) for each in value["ratios"]],
            [
                Chart(**{**each, "bars": tuple(map(tuple, each["bars"])), "ours": tuple(each["ours"])})
                for each in value["charts"]
            ],
            list(value["remarks"]),
        )
