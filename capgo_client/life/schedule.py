"""When to ask, and whether a person may be made to wait for the answer (design decisions 13 and 14).

Times are wall-clock epoch seconds, so that they outlive the process; what was written in the future is dropped,
because then the clock was set back and nothing here can be trusted.
"""

from __future__ import annotations

from capgo_client.values import dataclass, replace

__all__ = [
    "LAUNCH_PATIENCE",
    "MAX_BACK_OFF",
    "Schedule",
    "asked",
    "lifts_hold",
    "may_ask",
    "may_wait",
    "period",
    "settled",
    "stumbled",
    "waited",
]

#: No order of the service and no back-off of ours lasts longer (seconds).
MAX_BACK_OFF = 24 * 3600.0
#: First ceiling of the back-off after a failure, doubled with each further one (seconds).
FAILURE_BASE = 60.0
#: The same after "plan ended" and its look-alikes; the service remembers such a verdict for 15 minutes
#: (reference/service-behaviour.md section 0.1).
PLAN_BASE = 900.0
#: Of what the service said, to know it again (characters).
_MAX_SAID = 200
#: A launch that waited longer than this without opening an update was a nuisance (seconds).
LAUNCH_PATIENCE = 0.5


@dataclass(frozen=True, slots=True)
class Schedule:
    """``hold`` keeps direct modes from waiting; ``answer`` and ``answered_at`` tell of the last check for explain().

    ``failures`` counts checks in a row that failed, ``stumbles`` downloads: an offer answers the check and proves
    nothing about the download, so it must not reset that count. ``said`` is the last answer that could be used, and
    ``said_since`` when the service began to say just that: an answer that never changes may be somebody who replays it.
    """

    failures: int = 0
    stumbles: int = 0
    not_before: float = 0.0
    retry_after: float = 0.0
    written_at: float = 0.0
    hold: bool = False
    answer: str = ""
    answer_code: str = ""
    answered_at: float = 0.0
    good_answer_at: float = 0.0
    said: str = ""
    said_since: float = 0.0


def settled(schedule: Schedule, now: float) -> Schedule:
    """Drop waiting times that were written in what is now the future."""
    if now >= schedule.written_at:
        return schedule
    return replace(schedule, not_before=0.0, retry_after=0.0, written_at=now)


def may_ask(schedule: Schedule, now: float, *, launch: bool) -> bool:
    """Whether a check may be sent now.

    A launch asks once whatever the back-off says, so that the first one after an outage finds the service back;
    only an explicit Retry-After holds it off. Periodic checks and retries keep to the back-off too.
    """
    due = schedule.retry_after if launch else max(schedule.retry_after, schedule.not_before)
    return now >= due or now < schedule.written_at


def may_wait(schedule: Schedule, now: float) -> bool:
    """Whether a direct mode may make the person wait for this launch's check."""
    return not schedule.hold and may_ask(schedule, now, launch=False)


def asked(
    schedule: Schedule,
    answer: str,
    *,
    code: str,
    version: str = "",
    retry_at: float | None,
    now: float,
    jitter: float,
) -> Schedule:
    """Remember what a check led to: ``answer`` is an outcome's kind, ``version`` the one that it is about.

    ``jitter`` is a random number in [0, 1). Full jitter, because after an outage every device comes back at once: a
    wait drawn from [0, ceiling) spreads them as evenly as can be.
    """
    told = replace(schedule, answer=answer, answer_code=code, answered_at=now, written_at=now)
    if answer not in ("failed", "plan_ended", "rate_limited"):
        stumbles = schedule.stumbles if answer == "update" else 0
        said = f"{answer} {code} {version}"[:_MAX_SAID]
        told = told if said == schedule.said else replace(told, said=said, said_since=now)
        return replace(told, failures=0, stumbles=stumbles, not_before=0.0, retry_after=0.0, good_answer_at=now)
    base = FAILURE_BASE if answer == "failed" else PLAN_BASE
    order = 0.0 if retry_at is None else min(retry_at, now + MAX_BACK_OFF)
    failures = schedule.failures + 1
    backed_off = _drawn(base, failures, now=now, jitter=jitter)
    return replace(told, failures=failures, not_before=backed_off, retry_after=max(order, 0.0))


def stumbled(schedule: Schedule, *, now: float, jitter: float) -> Schedule:
    """The service answered well, and the download that followed failed."""
    stumbles = schedule.stumbles + 1
    backed_off = _drawn(FAILURE_BASE, stumbles, now=now, jitter=jitter)
    return replace(schedule, stumbles=stumbles, not_before=backed_off, written_at=now)


def _drawn(base: float, count: int, *, now: float, jitter: float) -> float:
    """When the back-off after ``count`` failures in a row ends."""
    ceiling = min(MAX_BACK_OFF, base * 2.0 ** min(count - 1, 30))
    return now + jitter * ceiling


def waited(schedule: Schedule, *, seconds: float, opened_update: bool) -> Schedule:
    """A direct launch spends, or spent, ``seconds`` waiting. Too long for nothing stops the next ones from waiting."""
    if seconds <= LAUNCH_PATIENCE or schedule.hold is not opened_update:
        return schedule
    return replace(schedule, hold=not opened_update)


def lifts_hold(*, foreground: bool, action: str) -> bool:
    """Whether a cycle lets direct launches wait again: one in the background that went well.

    ``foreground``: a start waited for it. ``action`` is what it came to (see ``cycle.Result``).
    """
    return not foreground and action not in ("failed", "paused")


def period(seconds: float, *, draw: float) -> float:
    """Seconds to the next periodic check: spread by a tenth so that a fleet does not march in step.

    ``draw`` is a random number in [0, 1].
    """
    return seconds * (0.9 + 0.2 * draw)
