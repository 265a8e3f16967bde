"""What a fleet's run came to, in figures; those of several parts add up."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fleet_story import Story

HOUR = 3600


@dataclass(frozen=True)
class Tally:
    """``checks`` and ``downloads`` are requests in each second, ``shares`` devices by version in each ten minutes.

    ``late`` counts the devices that did not have the fix when the story ended, because their owners had closed the app
    too soon each time; ``on_bad`` and ``unfixed`` those that would open the bad release, and anything but the fix,
    after an evening in which they did not. ``without_app`` counts openings of something that is not there.
    ``longest_hold``: the most cycles in a row that went well in the background and left direct launches not allowed to
    wait.
    """

    devices: int
    checks: list[int] = field(repr=False)
    downloads: list[int] = field(repr=False)
    shares: list[tuple[int, ...]] = field(repr=False)
    answers: dict[str, int]
    launches: int
    skipped: int
    without_app: int
    late: int
    on_bad: int
    unfixed: int
    longest_hold: int
    waits_in_outage: int
    digest: str


def together(parts: Sequence[Tally]) -> Tally:
    """One tally of all parts."""
    answers: Counter[str] = Counter()
    for part in parts:
        answers.update(part.answers)
    return Tally(
        devices=sum(part.devices for part in parts),
        checks=[sum(each) for each in zip(*(part.checks for part in parts), strict=True)],
        downloads=[sum(each) for each in zip(*(part.downloads for part in parts), strict=True)],
        shares=[
            tuple(map(sum, zip(*each, strict=True))) for each in zip(*(part.shares for part in parts), strict=True)
        ],
        answers=dict(sorted(answers.items())),
        launches=sum(part.launches for part in parts),
        skipped=sum(part.skipped for part in parts),
        without_app=sum(part.without_app for part in parts),
        late=sum(part.late for part in parts),
        on_bad=sum(part.on_bad for part in parts),
        unfixed=sum(part.unfixed for part in parts),
        longest_hold=max(part.longest_hold for part in parts),
        waits_in_outage=max(part.waits_in_outage for part in parts),
        digest=sha256("".join(part.digest for part in parts).encode()).hexdigest(),
    )


@dataclass(frozen=True)
class Recovery:
    """The hour before a trouble and the two after it, in requests per second."""

    steady: float
    peak: float

    @property
    def ratio(self) -> float:
        """How many times the steady rate the peak is."""
        return self.peak / self.steady


def recovery(requests: list[int], trouble: tuple[float, float], *, window: int) -> Recovery:
    """The busiest ``window`` seconds of the two hours after ``trouble``, against the mean of the hour before it."""
    began, ended = map(int, trouble)
    before, after = requests[began - HOUR : began], requests[ended : ended + 2 * HOUR]
    running = sum(after[:window])
    most = running
    for i in range(window, len(after)):
        running += after[i] - after[i - window]
        most = max(most, running)
    return Recovery(sum(before) / HOUR, most / window)


def findings(tally: Tally, story: Story) -> dict[str, object]:
    """The figures without the long lists, as they go into fleet.json."""
    told: dict[str, object] = {
        "devices": tally.devices,
        "launches": tally.launches,
        "checks": sum(tally.checks),
        "checks kept back by a Retry-After or the back-off": tally.skipped,
        "downloads": sum(tally.downloads),
        "answers": tally.answers,
        "openings without an app": tally.without_app,
        "devices that had yet to stay open for the fix": tally.late,
        "devices left on the bad release": tally.on_bad,
        "devices left without the fix": tally.unfixed,
        "background cycles that went well and left the hold": tally.longest_hold,
        "most waits in vain of one person in the outage": tally.waits_in_outage,
        "digest": tally.digest,
    }
    for name, trouble in (("the outage", story.outage), ("the plan's return", story.plan)):
        for window in (10, 60):
            after = recovery(tally.checks, trouble, window=window)
            told[f"peak in {window} s after {name}"] = {
                "steady": round(after.steady, 3), "peak": round(after.peak, 3), "ratio": round(after.ratio, 3),
            }  # fmt: skip
    return told
