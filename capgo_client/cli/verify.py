"""``capgo-client verify``: are the versions that were downloaded to this machine still what was published?

It looks and touches nothing: no start is counted, nothing is repaired or removed, not even Python's byte code. It needs
none of the app's options, and the app may run meanwhile.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from capgo_client.bundle import BUILTIN_ID
from capgo_client.cli.answers import add_json
from capgo_client.cli.app_options import DEVICE, add_app_options, app_values
from capgo_client.cli.device import LookingFiles, find, part_of
from capgo_client.cli.mistakes import UsageMistake
from capgo_client.errors import StorageError
from capgo_client.install.audit import audit

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from capgo_client.install.store import Store
    from capgo_client.life.state import Install, State
    from capgo_client.seams import Files

__all__ = ["LookingFiles", "register", "run"]

_CURRENT = "current"


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "verify",
        help="check the downloaded versions of an app on this machine, byte for byte",
        description=(
            "Compare the downloaded versions of an app on this machine with what was sealed when they were installed."
            " Nothing is changed, and the app may run meanwhile. Ends with 1 when something is damaged."
        ),
    )
    add_app_options(parser, DEVICE)
    parser.add_argument(
        "--bundle", metavar="ID", help="look at this one only: an id, or current; default: all that are known"
    )
    depth = parser.add_mutually_exclusive_group()
    depth.add_argument("--full", action="store_true", help="every file of them; the default")
    depth.add_argument("--glance", action="store_true", help="only what every start of the app looks at")
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Look, print; 1 when something is damaged.

    Raises:
        UsageMistake: There is nothing to look at.
    """
    device = find(app_values(args))
    state, store = device.state, device.store
    installs = _chosen(state, args.bundle)
    looks = tuple(_look(install, state, store, device.files, full=not args.glance) for install in installs)
    known = {install.id for install in state.installs}
    found = _Found(
        device.folder,
        origin=device.loaded.origin,
        state_problem=device.state_problem,
        current=state.current,
        looks=looks,
        left_over=() if args.bundle else tuple(name for name in store.ids() if name not in known),
        full=not args.glance,
    )
    sys.stdout.write(f"{found.as_json() if args.json else found.as_text()}\n")
    return 0 if found.is_sound else 1


# ---- what to look at ----


def _chosen(state: State, bundle: str | None) -> tuple[Install, ...]:
    if bundle is None:
        return tuple(sorted(state.installs, key=lambda install: install.installed_at))
    wanted = state.current if bundle == _CURRENT else bundle
    if wanted == BUILTIN_ID:
        return ()
    install = state.install(wanted)
    if install is None:
        here = ", ".join(f"{each.id} ({each.version})" for each in state.installs) or "none but the builtin"
        raise UsageMistake(f"--bundle {bundle}: the app has no such version; it has: {here}")
    return (install,)


# ---- looking ----


@dataclass(frozen=True, slots=True)
class _Look:
    """One install; ``part`` is what it is for, empty for one that is merely there."""

    install: Install
    part: str
    problems: tuple[str, ...]


def _look(install: Install, state: State, store: Store, files: Files, *, full: bool) -> _Look:
    lease = store.lease(install.id)  # so that the app does not remove it under our eyes
    try:
        fault = store.fault(install.id, entry="")
        problems = audit(store.installs / install.id, files=files, should_stop=lambda: False) if full else ()
    except StorageError as exc:
        fault, problems = str(exc), ()
    finally:
        if lease is not None:
            lease.release()
    return _Look(install, part_of(state, install), problems or ((fault,) if fault else ()))


# ---- telling ----


@dataclass(frozen=True, slots=True)
class _Found:
    """Everything that was seen."""

    folder: Path
    origin: str
    state_problem: str
    current: str
    looks: tuple[_Look, ...]
    left_over: tuple[str, ...]
    full: bool

    @property
    def is_sound(self) -> bool:
        return not self.state_problem and not any(look.problems for look in self.looks)

    def as_json(self) -> str:
        installs = [
            {
                "id": look.install.id,
                "version": look.install.version,
                "status": look.install.status.value,
                "part": look.part,
                "ok": not look.problems,
                "problems": look.problems,
            }
            for look in self.looks
        ]
        return json.dumps(
            {
                "ok": self.is_sound,
                "full": self.full,
                "data_dir": str(self.folder),
                "state": {"from": self.origin, "ok": not self.state_problem, "problem": self.state_problem},
                "current": self.current,
                "installs": installs,
                "left_over": self.left_over,
            }
        )

    def as_text(self) -> str:
        lines = [f"data directory  {self.folder}", f"state           {self._state()}"]
        if self.current == BUILTIN_ID:
            lines.append(
                "current         the builtin, which came with the installer: there is no record to compare it with"
            )
        width = max((len(look.install.version) for look in self.looks), default=0)
        for look in self.looks:
            lines.extend(_lines(look, width))
        lines.extend(f"{name}  left over: nothing opens it" for name in self.left_over)
        return "\n".join([*lines, self._sum()])

    def _state(self) -> str:
        return f"DAMAGED: {self.state_problem}" if self.state_problem else f"ok, from {self.origin}"

    def _sum(self) -> str:
        damaged = sum(bool(look.problems) for look in self.looks)
        how = "every file compared" if self.full else "a glance, as at each start"
        if self.is_sound:
            return f"{_counted(len(self.looks))}, {how}: all sound."
        return (
            f"{_counted(len(self.looks))}, {how}: {damaged} damaged. The app mends this by itself when it is started."
        )


def _lines(look: _Look, width: int) -> list[str]:
    install = look.install
    status = ", ".join(filter(None, (install.status.value, look.part)))
    verdict = "DAMAGED" if look.problems else "ok"
    return [
        f"{install.version:<{width}}  {install.id}  {status}: {verdict}",
        *(f"{'':<{width}}  {problem}" for problem in look.problems),
    ]


def _counted(number: int) -> str:
    return f"{number} version{'' if number == 1 else 's'}"
