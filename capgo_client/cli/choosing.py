"""Faults by name, by group, or all: what a command can do of them, and what was probably meant."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from capgo_client.cli.mistakes import UsageMistake
from capgo_client.testing import FAULTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from capgo_client.testing import Fault

__all__ = ["choose", "find", "listing"]

#: The groups in the order and in the words of the fault list.
GROUPS = {
    "reaching": "Reaching the service",
    "answering": "Answering",
    "meaning": "What the answer means",
    "bytes": "The bytes of a version",
    "device": "The device",
    "clock": "The device's clock",
    "app": "The app",
}


def find(name: str) -> Fault:
    """The fault of that name.

    Raises:
        UsageMistake: There is none; names that look like it are in the text.
    """
    if name in FAULTS:
        return FAULTS[name]
    raise UsageMistake(f"there is no fault {name!r}; {_near(name, FAULTS)}")


def choose(words: str, *, obstacle: Callable[[Fault], str]) -> tuple[list[Fault], dict[str, str]]:
    """The faults that ``words`` (names and groups with commas between them, or ``all``) stand for, in the list's order.

    ``obstacle`` says why a fault cannot be had, "" where it can. Returned are those that can be had, and of the others
    the names with the obstacles: one that was asked for by its name is an error, one of a group is left out.

    Raises:
        UsageMistake: A word is neither a fault nor a group, a named fault cannot be had, or nothing is left.
    """
    wanted: set[str] = set()
    for word in filter(None, (part.strip() for part in words.split(","))):
        if word == "all":
            wanted.update(FAULTS)
        elif members := [fault.name for fault in FAULTS.values() if fault.group == word]:
            wanted.update(members)
        elif word not in FAULTS:
            raise UsageMistake(f"there is no fault or group {word!r}; {_near(word, (*FAULTS, *GROUPS, 'all'))}")
        elif why := obstacle(FAULTS[word]):
            raise UsageMistake(f"{word}: {why}")
        else:
            wanted.add(word)
    chosen = [fault for fault in FAULTS.values() if fault.name in wanted]
    obstacles = {fault.name: why for fault in chosen if (why := obstacle(fault))}
    possible = [fault for fault in chosen if fault.name not in obstacles]
    if not possible:
        raise UsageMistake(f"no fault is left of {words!r}: name some, a group, or all")
    return possible, obstacles


def listing() -> list[str]:
    """Every fault with its description, by group, as lines."""
    width = max(map(len, FAULTS)) + 2
    lines: list[str] = []
    for group in _groups():
        members = [fault for fault in FAULTS.values() if fault.group == group]
        lines += ["", f"{GROUPS.get(group, group)} ({group})"]
        lines += [f"  {fault.name:<{width}}{fault.description}" for fault in members]
    return [*lines[1:], "", f"{len(FAULTS)} faults"]


def _groups() -> list[str]:
    """The groups that have a fault: those we know in their order, then others."""
    found = dict.fromkeys(fault.group for fault in FAULTS.values())
    return [*(group for group in GROUPS if group in found), *(group for group in found if group not in GROUPS)]


def _near(word: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(names), n=4, cutoff=0.5)
    listed = "capgo-client serve --list prints them all"
    return f"did you mean {' or '.join(near)}? {listed}" if near else listed
