"""What can be typed where, read off the argparse tree: the one source of what completion knows."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Literal

    Wants = Literal["nothing", "text", "choice", "file", "folder"]

__all__ = ["Option", "Place", "places"]

_WANTS: dict[str, Wants] = {"FILE": "file", "PATH": "file", "DIR": "folder"}


@dataclass(frozen=True, slots=True)
class Option:
    """All spellings of one option; ``wants`` is what follows it, ``choices`` which words it may be."""

    flags: tuple[str, ...]
    help: str
    wants: Wants
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """After the words ``path``: the commands with their help, the options, and what stands without one."""

    path: tuple[str, ...]
    commands: tuple[tuple[str, str], ...]
    options: tuple[Option, ...]
    positional: Option


def places(parser: argparse.ArgumentParser, path: tuple[str, ...] = ()) -> tuple[Place, ...]:
    """Every place of the tree, the root first."""
    actions = parser._actions  # noqa: SLF001 - argparse has no public way to look at its own tree
    branches = [action for action in actions if isinstance(action, argparse._SubParsersAction)]  # noqa: SLF001
    plain = [action for action in actions if action not in branches]
    bare = [_option(action) for action in plain if not action.option_strings]
    found = Place(
        path,
        tuple((help_.dest, help_.help or "") for branch in branches for help_ in branch._get_subactions()),  # noqa: SLF001
        tuple(_option(action) for action in plain if action.option_strings),
        bare[0] if bare else Option((), "", "nothing"),
    )
    below = [(name, branch) for action in branches for name, branch in action.choices.items()]
    return (found, *(place for name, branch in below for place in places(branch, (*path, name))))


def _option(action: argparse.Action) -> Option:
    flags, words = tuple(action.option_strings), (action.help or "").replace("%%", "%")
    if action.nargs == 0:
        return Option(flags, words, "nothing")
    if action.choices:
        return Option(flags, words, "choice", tuple(map(str, action.choices)))
    return Option(flags, words, _WANTS.get(str(action.metavar), "text"))
