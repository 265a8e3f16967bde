"""What a device can be doing when it is killed or unplugged, and what may be found afterwards.

Each operation is prepared once (``prepare``: what the device has been through before), done in a process of its own
(``act``: after ``start()`` with ``options``), and judged: by the versions that may open at the first start afterwards
(``opens``), at the second (``ends``), and by rules of its own. ``said`` is what the life told while it lived; what it
said it had done, it has done.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import scenes
from .scenes import BUILTIN, CHANNEL, EVENTS, NEW, NOBODY, OLD, Scene, app_files

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from capgo_client import Updater

    Say = Callable[[str], None]

__all__ = ["BUILTIN", "NEW", "OLD", "OPERATIONS", "Operation", "Scene", "app_files"]

_PATIENCE = 20.0


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that a device can be doing.

    ``opens`` and ``ends`` take what the life said and give the versions that may open at the first and the second
    start after it; ``offline`` has the first one find no service. ``options`` are for the life itself, ``lasting`` for
    the two starts as well; ``tells`` has these send statistics. ``rule`` takes what was said and what the service
    heard from the life on, and returns what is wrong.
    """

    name: str
    title: str
    prepare: Callable[[Scene], None]
    act: Callable[[Updater, Say], None]
    opens: Callable[[Sequence[str]], frozenset[str]]
    ends: Callable[[Sequence[str]], frozenset[str]]
    options: Mapping[str, Any] = field(default_factory=dict)
    lasting: Mapping[str, Any] = field(default_factory=dict)
    offline: bool = False
    tells: bool = False
    rule: Callable[[Sequence[str], Heard], list[str]] = lambda _said, _heard: []


@dataclass(frozen=True, slots=True)
class Heard:
    """What the service heard, from the life that was cut off on.

    ``marks``: the custom ids of statistics, in order; ``channel``: the one that was asked for last.
    """

    marks: tuple[str, ...] = ()
    channel: str = ""


def _always(*versions: str) -> Callable[[Sequence[str]], frozenset[str]]:
    return lambda _said: frozenset(versions)


def _after(word: str, then: str, *before: str) -> Callable[[Sequence[str]], frozenset[str]]:
    """``then`` alone once the life has said ``word``; ``before`` that any of them."""
    return lambda said: frozenset({then}) if word in said else frozenset(before)


# ---- what the lives do ----


def _wait(app: Updater, say: Say) -> None:
    if not app.wait(_PATIENCE):
        raise TimeoutError("the cycle takes too long")
    say(f"device {app.device_id}")


def _ready(app: Updater, say: Say) -> None:
    app.notify_app_ready()
    _wait(app, say)
    say("confirmed")


def _open_only(_app: Updater, _say: Say) -> None:
    """What said that it opened has been counted."""


def _crash(app: Updater, say: Say) -> None:
    app.report_crash(RuntimeError("on purpose"))
    say("reported")
    _wait(app, say)


def _reset(app: Updater, say: Say) -> None:
    app.notify_app_ready()
    app.reset()
    say("reset")
    _wait(app, say)


def _delete(app: Updater, say: Say) -> None:
    app.notify_app_ready()
    for bundle in app.bundles():
        if bundle.version == NEW:
            app.delete(bundle)
    say("deleted")
    _wait(app, say)


def _set_channel(app: Updater, say: Say) -> None:
    app.notify_app_ready()
    app.set_channel(CHANNEL)
    say("channel set")
    _wait(app, say)


def _enqueue(app: Updater, say: Say) -> None:
    app.notify_app_ready()
    _wait(app, say)
    for number in range(EVENTS):
        app.set_custom_id(f"e{number}")  # every event carries it, so that it marks this one
        app.report_memory_warning()
        say(f"e{number}")


def _send(app: Updater, say: Say) -> None:
    from .lives import flush

    app.notify_app_ready()
    _wait(app, say)
    flush(app)
    say("sent")


# ---- what the service must have heard ----


def _every_event(said: Sequence[str], heard: Heard) -> list[str]:
    """Promise P10: each that was written down arrives, in order, and once, for no reply was lost."""
    promised = [word for word in said if word.startswith("e") and word[1:].isdigit()]
    return _in_order(promised, heard.marks, repeats=0)


def _all_events(said: Sequence[str], heard: Heard) -> list[str]:
    """Those that the killed life sent itself may have had no reply: they come at most once more."""
    del said
    return _in_order([f"e{number}" for number in range(EVENTS)], heard.marks, repeats=1)


def _in_order(promised: Sequence[str], marks: Sequence[str], *, repeats: int) -> list[str]:
    first = list(dict.fromkeys(marks))
    wrong = [f"event {mark} was lost" for mark in promised if mark not in first]
    if first != sorted(first, key=lambda mark: int(mark[1:])):
        wrong.append(f"events came out of order: {first}")
    wrong += [f"event {mark} came {marks.count(mark)} times" for mark in first if marks.count(mark) > 1 + repeats]
    return wrong


def _channel_kept(said: Sequence[str], heard: Heard) -> list[str]:
    allowed = {CHANNEL} if "channel set" in said else {CHANNEL, ""}
    return [] if heard.channel in allowed else [f"the channel asked for afterwards was {heard.channel!r}"]


_ALL = (
    Operation(
        "first-install",
        "the first install",
        scenes.offered,
        _ready,
        _always(NEW),
        _always(NEW),
        options={"auto_update": "atBackground"},
    ),
    Operation("update", "an update, opened and confirmed", scenes.outdated, _ready, _always(OLD, NEW), _always(NEW)),
    Operation(
        "delta",
        "an update by its files",
        scenes.outdated_by_files,
        _ready,
        _always(OLD, NEW),
        _always(NEW),
        options={"auto_update": "atBackground"},
        offline=True,
    ),
    # One start is all it gets: what was opened and not confirmed must not open again (P5).
    Operation(
        "apply",
        "the first start of a version",
        Scene.queued,
        _open_only,
        _after(f"opened {NEW}", OLD, OLD, NEW),
        _always(OLD, NEW),
        options={"update_url": ""},
        lasting={"max_boot_attempts": 1},
        offline=True,
    ),
    Operation(
        "confirm",
        "saying ready",
        scenes.tried_once,
        _ready,
        _after("confirmed", NEW, OLD, NEW),
        _after("confirmed", NEW, OLD, NEW),
        options={"update_url": ""},
        lasting={"max_boot_attempts": 2},
        offline=True,
    ),
    Operation(
        "roll-back",
        "a roll-back",
        Scene.queued,
        _crash,
        _after("reported", OLD, OLD, NEW),
        _after("reported", OLD, OLD, NEW),
        options={"update_url": ""},
        offline=True,
    ),
    Operation(
        "reset",
        "a reset",
        scenes.up_to_date,
        _reset,
        _after("reset", BUILTIN, BUILTIN, NEW),
        _always(NEW),
        options={"update_url": ""},
        offline=True,
    ),
    Operation(
        "delete",
        "a delete",
        scenes.at_hand,
        _delete,
        _always(OLD),
        _always(NEW),
        options={"update_url": ""},
        offline=True,
    ),
    Operation("clean-up", "a clean-up", scenes.cluttered, _ready, _always(NEW), _always(NEW)),
    Operation(
        "enqueue",
        "statistics written",
        scenes.outdated,
        _enqueue,
        _always(OLD),
        _always(NEW),
        options={"update_url": "", "stats_url": NOBODY},
        offline=True,
        tells=True,
        rule=_every_event,
    ),
    Operation(
        "flush",
        "statistics sent",
        scenes.with_events,
        _send,
        _always(OLD),
        _always(OLD),
        tells=True,
        offline=True,
        rule=_all_events,
    ),
    Operation(
        "channel",
        "a channel set",
        scenes.with_channel,
        _set_channel,
        _always(OLD),
        _always(OLD),
        options={"update_url": ""},
        offline=True,
        rule=_channel_kept,
    ),
)  #: By name.
OPERATIONS = {operation.name: operation for operation in _ALL}
