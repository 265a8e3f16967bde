"""What was decided, why, from which file or reply, and what would change it (design decision 17)."""

from __future__ import annotations

from dataclasses import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from capgo_client.bundle import Bundle
    from capgo_client.life.schedule import Schedule
    from capgo_client.life.state import State
    from capgo_client.opening import Opened
    from capgo_client.result import Result

__all__ = ["Explanation", "explained"]

#: Each kind of answer in words, and what changes it.
_ANSWERS = {
    "": ("The service has not been asked yet.", "The next check asks it."),
    "update": ("The service offered a version.", "Nothing needs to change."),
    "up_to_date": ("The service says that this version is the newest for this device.", "A new upload changes that."),
    "blocked": (
        "The service has a version and a rule of the channel keeps it from this device.",
        "Change the channel's rules.",
    ),
    "builtin": ("The channel wants the version that ships inside the installer.", "Put a bundle on the channel."),
    "plan_ended": (
        (
            "The plan ended, a quota is used up, the app is unknown, or the service cannot read its database:"
            " it answers all four alike. Nothing is lost; the installed version opens."
        ),
        "Check the app id and the plan in the Capgo console; updates resume by themselves.",
    ),
    "rate_limited": (
        "The service is limiting requests (rate limit).",
        "Time: it is asked again after the wait it ordered.",
    ),
    "failed": (
        "The service could not be asked, or its answer could not be used.",
        "It is asked again at the next start.",
    ),
}
#: Failures that deserve a sentence of their own.
_CODES = {
    "timeout_error": "The service did not answer within the time limit (timed out).",
    "network_error": "The service could not be reached.",
    "response_error": "The service answered with an error of its own (5xx or an unknown page).",
    "unknown_error": "The service met an error of its own (500).",
    "no_channel": "No channel has a bundle for this device: make one public, or name one as default_channel.",
    "parse_error": "What answered is not the service, or spoke nonsense (a captive portal, a proxy).",
}

#: What was done about an answer changes what would help.
_REMEDIES = {
    "queued": "Nothing needs to change; the next start opens it.",
    "ready": "The app has to call set_next() or set().",
    "refused": "The service has to offer another version, or the rule that refused it has to change.",
    "skipped": "Time, or what the sentence above names.",
}
_DAY = 24 * 3600.0
#: A version was offered and could not be had.
_NOT_BROUGHT = "What the sentence above names; what came whole and does not fit this device is not fetched again."


@dataclass(frozen=True, slots=True)
class Explanation:
    """What is known, as values; ``str()`` puts it into sentences.

    ``opened`` and ``why`` tell of this start, ``origin`` which record that came from; ``answer`` (an outcome's kind)
    and ``answer_code`` of the last check, ``answer_age`` of its age in seconds (None: never), ``result`` of what was
    done about it and ``result_code`` of why not, ``remedy`` what would change it, ``waiting_until`` a wall-clock time
    before which the service asked not to be asked (0.0: none), ``good_answer_age`` the seconds since an answer that
    could be used, ``same_answer_age`` since it became what it is (nobody signs an answer: who stands in between can
    repeat "this is the newest" for ever, and this number is all that shows it), ``held`` whether direct starts
    stopped waiting. ``channel`` is the one asked for (empty: the public one), ``delays`` are the conditions that
    hold back what is queued, ``stats_waiting`` and ``stats_dropped`` count statistics that are still to be sent,
    and those that were given up because too many waited.
    """

    opened: str
    why: str
    origin: str
    queued: str
    fallback: str
    answer: str
    answer_code: str
    answer_text: str
    answer_age: float | None
    good_answer_age: float | None
    result: str
    remedy: str
    waiting_until: float
    held: bool
    channel: str = ""
    delays: tuple[str, ...] = ()
    stats_waiting: int = 0
    stats_dropped: int = 0
    result_code: str = ""
    same_answer_age: float | None = None

    def __str__(self) -> str:
        lines = [f"Opened: {self.opened}, because {self.why} (from {self.origin})."]
        age = "" if self.answer_age is None else f" ({self.answer_age:.0f} s ago)"
        code = f" [{self.answer_code}]" if self.answer_code else ""
        lines.append(f"Last check{age}: {self.answer_text}{code}")
        lines.extend(self._ages())
        if self.result:
            code = f" [{self.result_code}]" if self.result_code not in {"", self.answer_code} else ""
            lines.append(f"Then: {self.result}.{code}")
        if self.queued:
            lines.append(f"Queued for the next start: {self.queued}.")
        if self.queued and self.delays:
            lines.append(f"Held back until: {', '.join(self.delays)}.")
        if self.channel:
            lines.append(f"Channel asked for: {self.channel}.")
        lines.append(f"To fall back on: {self.fallback}.")
        if self.waiting_until:
            lines.append("The service asked not to be asked for a while; that is kept to.")
        if self.held:
            lines.append("Direct starts do not wait for now, because one waited in vain.")
        if self.stats_waiting or self.stats_dropped:
            dropped = f" ({self.stats_dropped} were dropped)" if self.stats_dropped else ""
            lines.append(f"Statistics still to be sent: {self.stats_waiting}{dropped}.")
        lines.append(f"What would change it: {self.remedy}")
        return "\n".join(lines)

    def _ages(self) -> list[str]:
        """What is worth a word only when it is days old."""
        ages = (
            ("The last answer that could be used is", self.good_answer_age, "old"),
            ("That answer has been the same for", self.same_answer_age, ""),
        )
        return [
            f"{what} {age / _DAY:.0f} days {old}".rstrip() + "." for what, age, old in ages if age and age > 2 * _DAY
        ]


def explained(
    state: State,
    *,
    opened: Opened | None,
    queued: str,
    fallback: Bundle,
    result: Result | None,
    now: float,
    channel: str = "",
    stats_waiting: int = 0,
    stats_dropped: int = 0,
) -> Explanation:
    """Put the parts together."""
    plan = state.schedule
    if result is not None and opened is not None:
        result = result.seen_with(opened.bundle)
    text, remedy = _ANSWERS.get(plan.answer, _ANSWERS["failed"])
    if plan.answer == "update" and result is not None and result.action == "failed":
        remedy = _NOT_BROUGHT
    if plan.answer == "failed":
        text = _CODES.get(plan.answer_code, text)
    return Explanation(
        opened="nothing yet" if opened is None else f"{opened.bundle.version} ({opened.bundle.id})",
        why="start() was not called" if opened is None else opened.why,
        origin="nothing" if opened is None else opened.origin,
        queued=queued,
        fallback=f"{fallback.version} ({fallback.id})",
        answer=plan.answer,
        answer_code=plan.answer_code,
        answer_text=text,
        answer_age=_age(plan.answered_at, now),
        good_answer_age=_age(plan.good_answer_at, now),
        result="" if result is None else result.message,
        remedy=_REMEDIES.get("" if result is None else result.action, remedy),
        waiting_until=_waiting(plan, now),
        held=plan.hold,
        channel=channel,
        delays=tuple(f"{delay.kind} {delay.value}".strip() for delay in state.settings.delays),
        stats_waiting=stats_waiting,
        stats_dropped=stats_dropped,
        result_code="" if result is None else result.code,
        same_answer_age=_age(plan.said_since, now),
    )


def _age(then: float, now: float) -> float | None:
    return None if not then else max(0.0, now - then)


def _waiting(plan: Schedule, now: float) -> float:
    return plan.retry_after if plan.retry_after > now >= plan.written_at else 0.0
