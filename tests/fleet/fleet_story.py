"""What the service goes through while the fleet lives on: an outage, a bad release and its fix, a plan that ends."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from capgo_client.protocol.outcomes import Failed, Limited, Outcome, PlanEnded, Update, UpToDate

HOUR = 3600.0
DAY = 24 * HOUR

BUILTIN = "1.0.0"
FIRST = "1.1.0"
BAD = "1.2.0"
FIX = "1.2.1"
VERSIONS = (BUILTIN, FIRST, BAD, FIX)

#: The service's answers that tell nothing of their moment.
_UP_TO_DATE = UpToDate(code="no_new_version_available", status=200)
_PLAN_ENDED = PlanEnded(code="on_premise_app", status=429)
_SILENT = Failed(code="timeout", status=0)
_UNAVAILABLE = Failed(code="unavailable", status=503)


def offer(version: str) -> Update:
    """The service's offer of a version."""
    return Update(version=version, checksum=version.encode().hex().rjust(64, "0"), url="https://x.invalid", status=200)


@dataclass(frozen=True)
class Story:
    """All times in seconds since the fleet's first midnight."""

    outage: tuple[float, float] = (10 * HOUR, 10.5 * HOUR)
    bad_at: float = 13 * HOUR
    plan: tuple[float, float] = (DAY + 11 * HOUR, DAY + 15 * HOUR)
    fix_at: float = DAY + 16 * HOUR
    end: float = 3 * DAY + 16 * HOUR


class Service:
    """Answers by the clock alone: what it says does not depend on how much it is asked."""

    def __init__(self, story: Story, *, epoch: float) -> None:
        self._story = story
        self._epoch = epoch
        self._since = (epoch, epoch + story.bad_at, epoch + story.fix_at)
        self._offers = (offer(FIRST), offer(BAD), offer(FIX))

    def answer(self, now: float, version: str, *, draw: float) -> Outcome:
        """What a device hears that runs ``version``; ``draw`` in [0, 1) picks among an outage's faces."""
        at = now - self._epoch
        if self._story.outage[0] <= at < self._story.outage[1]:
            return self._out(now, draw)
        if self._story.plan[0] <= at < self._story.plan[1]:
            return _PLAN_ENDED
        wanted = self._offers[bisect_right(self._since, now) - 1]
        return _UP_TO_DATE if wanted.version == version else wanted

    def _out(self, now: float, draw: float) -> Outcome:
        """Silence, a proxy's 503, one that says for how long, and the same date named to everybody."""
        if draw < 0.5:
            return _SILENT
        if draw < 0.75:
            return _UNAVAILABLE
        if draw < 0.9:
            return Failed(code="unavailable", status=503, retry_at=now + 900.0)
        return Limited(code="too_many_requests", status=429, retry_at=self._epoch + self._story.outage[1])
