"""``capgo-client verify``: are the versions that were downloaded to this machine still what was published?

It looks and touches nothing: no start is counted, nothing is repaired or removed, not even Python's byte code. It needs
none of the app's options, and the app may run meanwhile.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from capgo_client.bundle import BUILTIN_ID
from capgo_client.cli.mistakes import UsageMistake
from capgo_client.errors import ConfigError, StorageError
from capgo_client.install.audit import audit
from capgo_client.install.ledger import FROM_FILE, FROM_NOTHING, NEWER_SCHEMA, Ledger
from capgo_client.install.rebuild import rebuilt
from capgo_client.install.store import Store
from capgo_client.life.newer import from_newer
from capgo_client.life.state import State
from capgo_client.options import checked_app_id
from capgo_client.platforms import system
from capgo_client.seams import Files

if TYPE_CHECKING:
    import argparse
    from typing import NoReturn

    from capgo_client.install.ledger import Loaded
    from capgo_client.life.state import Install

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
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--app-id", metavar="ID", help="as in com.example.notes: look where its data lie by default")
    where.add_argument("--data-dir", type=Path, metavar="DIR", help="look there: the app's data_dir")
    parser.add_argument(
        "--bundle", metavar="ID", help="look at this one only: an id, or current; default: all that are known"
    )
    depth = parser.add_mutually_exclusive_group()
    depth.add_argument("--full", action="store_true", help="every file of them; the default")
    depth.add_argument("--glance", action="store_true", help="only what every start of the app looks at")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Look, print; 1 when something is damaged.

    Raises:
        UsageMistake: There is nothing to look at.
    """
    folder = _folder(args)
    files = LookingFiles()
    store = Store(folder, files=files)
    loaded = _loaded(store, files)
    installs = _chosen(loaded.state, args.bundle)
    looks = tuple(_look(install, loaded.state, store, files, full=not args.glance) for install in installs)
    known = {install.id for install in loaded.state.installs}
    found = _Found(
        folder,
        origin=loaded.origin,
        state_problem=_state_problem(loaded, store, files),
        current=loaded.state.current,
        looks=looks,
        left_over=() if args.bundle else tuple(name for name in store.ids() if name not in known),
        full=not args.glance,
    )
    sys.stdout.write(f"{found.as_json() if args.json else found.as_text()}\n")
    return 0 if found.is_sound else 1


# ---- what to look at ----


class LookingFiles(Files):
    """A file system that only looks. What would change the disk meets a read-only one, as far as it can tell."""

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    open_new = open_update = open_append = _refuse
    write = truncate = clone = _refuse
    mkdir = rename = unlink = rmdir = chmod = _refuse


def _folder(args: argparse.Namespace) -> Path:
    try:
        folder = Path(args.data_dir or system.default_data_dir(checked_app_id(args.app_id)))
    except ConfigError as exc:
        raise UsageMistake(f"--app-id {args.app_id}: {exc}") from exc
    if not folder.is_dir():
        raise UsageMistake(
            f"there is no folder {folder}; name the data_dir that the app gives its Updater, or the app's id for the"
            " place where it lies by default"
        )
    store = Store(folder, files=LookingFiles())
    if not any(path.exists() for path in (store.installs, folder / "state.json", folder / "state.old")):
        raise UsageMistake(f"{folder} is not the data directory of an app: it has neither installs nor a state.json")
    return folder


def _loaded(store: Store, files: Files) -> Loaded:
    """What the app knows of its installs; read without the lock, for each document is replaced in one step."""
    ledger = Ledger(
        store.folder,
        files=files,
        fresh=lambda: State(native_version=""),
        rebuild=lambda: rebuilt(store),
        newer=lambda document: from_newer(document, native_version=""),
    )
    return ledger.load()


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
    parts = {
        "current": state.current,
        "queued": state.next,
        "the one to fall back on": state.fallback,
        "the one before": state.previous,
    }
    part = next((name for name, bundle_id in parts.items() if bundle_id == install.id), "")
    return _Look(install, part, problems or ((fault,) if fault else ()))


def _state_problem(loaded: Loaded, store: Store, files: Files) -> str:
    """What is wrong with the state itself; empty when nothing is."""
    if loaded.origin in (FROM_FILE, NEWER_SCHEMA):
        return ""
    if loaded.obstacle:
        return loaded.obstacle
    documents = (store.folder / "state.json", store.folder / "state.old")
    if loaded.origin == FROM_NOTHING and not store.ids() and not any(files.exists(path) for path in documents):
        return ""  # the app was never started to the end
    if loaded.origin == FROM_NOTHING:
        return "state.json is damaged or missing, and nothing is left to rebuild it from"
    return f"state.json is damaged or missing; the app reads {loaded.origin} instead"


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
