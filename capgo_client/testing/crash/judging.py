"""What is found after an operation was cut off, held against what may be (promises P3, P4, P5 and P10)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .operations import Heard

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .operations import Operation, Scene
    from .runner import Lived, Runner

__all__ = ["Aftermath", "aftermath", "faults_of", "options_of"]


@dataclass(frozen=True, slots=True)
class Aftermath:
    """Two healthy starts after a life that was cut off, and what the service heard by then."""

    first: Lived
    second: Lived
    heard: Heard


def options_of(scene: Scene, operation: Operation) -> dict[str, Any]:
    """What the Updater of the operation's own life is given."""
    told = {"stats_url": scene.service.stats_url} if operation.tells else {}
    return {**scene.options, **told, **operation.lasting, **operation.options}


def aftermath(
    scene: Scene, operation: Operation, runner: Runner, *, since: int, options: Mapping[str, Any] | None = None
) -> Aftermath:
    """Start twice more, healthy.

    Args:
        scene: with its service.
        operation: what was cut off.
        runner: makes the processes.
        since: how many events the service had heard before the life that was cut off.
        options: over those of the scene, such as another ``data_dir``.
    """
    told = {"stats_url": scene.service.stats_url} if operation.tells else {}
    common = {**scene.options, **told, **operation.lasting, **(options or {})}
    first = runner.live({**common, **({"update_url": ""} if operation.offline else {})})
    second = runner.live(common)
    return Aftermath(first, second, _heard(scene, since))


def _heard(scene: Scene, since: int) -> Heard:
    marks = tuple(str(event.get("custom_id", "")) for event in scene.service.events[since:])
    checks = scene.service.checks
    asked = checks[-1].json if checks else {}
    channel = asked.get("defaultChannel", "") if isinstance(asked, dict) else ""
    return Heard(tuple(mark for mark in marks if mark), channel)


def faults_of(operation: Operation, said: Sequence[str], after: Aftermath) -> list[str]:
    """What is wrong with what was found; empty when all is as it may be. ``said``: by the life, until its end."""
    wrong: list[str] = []
    for name, seen, allowed in (
        ("first", after.first, operation.opens(said)),
        ("second", after.second, operation.ends(said)),
    ):
        if seen.raised or seen.told is None:
            wrong.append(f"the {name} start after it: {seen.raised or f'ended with {seen.exit}'}")
            continue
        told = seen.told
        if told["version"] not in allowed:
            wrong.append(f"the {name} start opened {told['version']} instead of {' or '.join(sorted(allowed))}")
        wrong += [f"what the {name} start opened is damaged: {problem}" for problem in told["problems"]]
        wrong += _device_faults(said, name, told)
    if after.second.told:
        wrong += [f"left over after the second start: {left}" for left in after.second.told.get("left", ())]
    return wrong + operation.rule(said, after.heard)


def _device_faults(said: Sequence[str], name: str, told: Mapping[str, Any]) -> list[str]:
    known = [word.removeprefix("device ") for word in said if word.startswith("device ")]
    return [f"the {name} start had another device id" for device in known if device != told["device"]]
