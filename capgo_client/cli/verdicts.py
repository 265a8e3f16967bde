"""Whether a launch kept what the library promises, and which promise broke if not. Pure.

A promise is named as in the design: P1 never late, P2 never raises on the world, P3 only verified code, P5 a bad
version does not come back. ``app`` is what the app itself owes: to build an Updater, to start it, to say "ready".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from capgo_client.cli.launching import Launched

__all__ = ["History", "Verdict", "judge"]

_DIRECT_MODES = frozenset({"always", "atInstall", "onLaunch"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """``good``, ``late`` or ``broken``; the promise that broke, and why in one sentence."""

    word: Literal["good", "late", "broken"]
    promise: str = ""
    why: str = ""


@dataclass(slots=True)
class History:
    """What is known of the launches before: how often each bad version was opened, and how often it may be."""

    openings: dict[str, int] = field(default_factory=dict)
    allowed: dict[str, int] = field(default_factory=dict)


def judge(launched: Launched, history: History, *, grace: float, timeout: float, whole: bool, fetched: bool) -> Verdict:
    """The first thing that is wrong, the gravest first.

    ``grace`` is what a busy machine may add to a ``start()`` (seconds), ``whole`` whether what opened is what was
    published, ``fetched`` whether a download began before ``start()`` was over. Counts the opening of a bad version in
    ``history``.
    """
    return (
        _judge_start(launched, timeout)
        or _judge_version(launched, history, whole=whole)
        or _judge_app(launched, timeout)
        or _judge_time(launched, grace, fetched=fetched)
        or Verdict("good")
    )


def _limit(launched: Launched, *, fetched: bool) -> float:
    """How long ``start()`` may take by the app's own options (seconds)."""
    facts = launched.facts
    if facts["mode"] not in _DIRECT_MODES:
        return 0.0
    return float(facts["response_timeout"]) + (float(facts["direct_timeout"]) if fetched else 0.0)


def _judge_start(launched: Launched, timeout: float) -> Verdict | None:
    if launched.version and not launched.raised:
        return None
    if launched.ordered:
        return Verdict("good")
    if launched.raised:
        return _broken("P2", f"start() raised {launched.raised}")
    if launched.starting and launched.ended == "time-out":
        return Verdict("late", "P1", f"start() did not return within {timeout:g} s")
    return _broken(*_unopened(launched), _end(launched, timeout))


def _unopened(launched: Launched) -> tuple[str, str]:
    """How far it came without opening anything: whose fault that is, and in words."""
    if launched.starting:
        return "P2", "start() did not return"
    if launched.facts:
        return "app", "start() was not called"
    if launched.refused:
        return "app", "no Updater could be built"
    return "app", "the start file built no Updater"


def _judge_version(launched: Launched, history: History, *, whole: bool) -> Verdict | None:
    if launched.is_builtin:
        return None
    version = launched.version
    if not whole:
        return _broken("P3", f"{version} opened, and its files are not those that were published")
    if version in history.allowed:
        history.openings[version] = history.openings.get(version, 0) + 1
        if history.openings[version] > history.allowed[version]:
            return _broken("P5", f"{version} opened again, and was to be refused after {history.allowed[version]}")
        if launched.reported:
            # A crash that the library was told of condemns at once.
            history.allowed[version] = history.openings[version]
    return None


def _judge_app(launched: Launched, timeout: float) -> Verdict | None:
    if launched.ordered and not launched.reopened:
        return None
    if launched.reopened == launched.version:
        return _broken("P5", f"{launched.version} opened again in the start in which it had crashed")
    version = launched.reopened or launched.version
    if not launched.ready:
        return _broken("app", f"{version} opened and did not say ready", _end(launched, timeout))
    if launched.ended == "itself" and launched.exit_code != 0:
        return _broken("app", f"{version} was ready and then failed", _end(launched, timeout))
    return None


def _judge_time(launched: Launched, grace: float, *, fetched: bool) -> Verdict | None:
    allowed = _limit(launched, fetched=fetched) + grace
    if launched.seconds is None or launched.seconds <= allowed:
        return None
    return Verdict("late", "P1", f"start() took {launched.seconds:.3f} s; it may take {allowed:.3f} s")


def _end(launched: Launched, timeout: float) -> str:
    if launched.ended == "time-out":
        return f"ended after {timeout:g} s"
    why = launched.crashed or (launched.said if launched.exit_code else "")
    return f"exit code {launched.exit_code}" + (f", {why}" if why else "")


def _broken(promise: str, *why: str) -> Verdict:
    return Verdict("broken", promise, ": ".join(why))
