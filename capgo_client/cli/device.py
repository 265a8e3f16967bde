"""An app's data on this machine, as a command sees them: to look at without a trace, or to change as the app would."""

from __future__ import annotations

import contextlib
import errno
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capgo_client.bundle import BUILTIN_ID
from capgo_client.cli.app_options import app_values
from capgo_client.cli.mistakes import UsageMistake
from capgo_client.errors import ConfigError, StorageError
from capgo_client.install.ledger import FROM_FILE, FROM_NOTHING, NEWER_SCHEMA, Ledger
from capgo_client.install.rebuild import rebuilt
from capgo_client.install.store import Store
from capgo_client.life.newer import from_newer
from capgo_client.life.state import State
from capgo_client.options import checked_app_id
from capgo_client.platforms import system
from capgo_client.seams import Files
from capgo_client.updater import Updater

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping
    from typing import NoReturn

    from capgo_client.install.ledger import Loaded
    from capgo_client.life.state import Install

__all__ = ["Device", "LookingFiles", "find", "folder_of", "look", "opened", "part_of", "version_of"]


#: One of them is in every data directory of an app that ran.
_SIGNS = frozenset({"installs", "state.json", "state.old"})


class LookingFiles(Files):
    """A file system that only looks. What would change the disk meets a read-only one, as far as it can tell."""

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    open_new = open_update = open_append = _refuse
    write = truncate = clone = _refuse
    mkdir = rename = unlink = rmdir = chmod = _refuse


@dataclass(frozen=True, slots=True)
class Device:
    """One data directory, seen through ``LookingFiles``; the state was read once, without the lock."""

    store: Store
    files: Files
    loaded: Loaded

    @property
    def folder(self) -> Path:
        """The data directory."""
        return self.store.folder

    @property
    def state(self) -> State:
        """What the app knows."""
        return self.loaded.state

    @property
    def state_problem(self) -> str:
        """What is wrong with the state itself; empty when nothing is."""
        if self.loaded.origin in (FROM_FILE, NEWER_SCHEMA):
            return ""
        if self.loaded.obstacle:
            return self.loaded.obstacle
        documents = (self.folder / "state.json", self.folder / "state.old")
        nothing = self.loaded.origin == FROM_NOTHING
        if nothing and not self.store.ids() and not any(self.files.exists(path) for path in documents):
            return ""  # the app was never started to the end
        if nothing:
            return "state.json is damaged or missing, and nothing is left to rebuild it from"
        return f"state.json is damaged or missing; the app reads {self.loaded.origin} instead"


def folder_of(values: Mapping[str, Any]) -> Path:
    """The data directory that is meant. Raises UsageMistake."""
    if values.get("data_dir"):
        return Path(values["data_dir"])
    app_id = values.get("app_id", "")
    if not app_id:
        raise UsageMistake("which app? give --app-id, or --data-dir where the app gives its Updater one")
    try:
        return Path(system.default_data_dir(checked_app_id(app_id)))
    except ConfigError as exc:
        raise UsageMistake(f"--app-id {app_id}: {exc}") from exc


def find(values: Mapping[str, Any]) -> Device:
    """The device that is there. Raises UsageMistake where there is none, StorageError where it keeps this user out."""
    folder = folder_of(values)
    names = _names_in(folder)
    if names.isdisjoint(_SIGNS):
        raise UsageMistake(f"{folder} is not the data directory of an app: it has neither installs nor a state.json")
    return look(folder)


def _find_or_new(values: Mapping[str, Any]) -> Device:
    """The same, also where there is none yet. Raises StorageError where it keeps this user out."""
    folder = folder_of(values)
    with contextlib.suppress(UsageMistake):
        _names_in(folder)
    return look(folder)


def _names_in(folder: Path) -> set[str]:
    """What lies in a data directory. Raises UsageMistake where there is none, StorageError where it cannot be told."""
    files = LookingFiles()
    try:
        names = {entry.name for entry in files.scan(folder)}
        for name in names & _SIGNS:
            files.lstat(folder / name)  # whoever may list a folder may not always enter it
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise UsageMistake(
            f"there is no folder {folder}; name the data_dir that the app gives its Updater, or the app's id for the"
            " place where it lies by default"
        ) from exc
    except OSError as exc:
        raise StorageError(
            f"the data folder {folder} cannot be read: {exc.strerror}",
            code="state_unreadable",
            hint="run the command as the user that the app runs as",
        ) from exc
    return names


def look(folder: Path) -> Device:
    """What is in a data directory, whatever it is; read without the lock, for documents are replaced in one step."""
    files = LookingFiles()
    store = Store(folder, files=files)
    ledger = Ledger(
        store.folder,
        files=files,
        fresh=lambda: State(native_version=""),
        rebuild=lambda: rebuilt(store),
        newer=lambda document: from_newer(document, native_version=""),
    )
    return Device(store, files, ledger.load())


@contextlib.contextmanager
def opened(args: argparse.Namespace, *, may_be_new: bool = False, **more: Any) -> Iterator[tuple[Updater, Device]]:
    """The app's Updater, not started: no start is counted, and what it changes counts from the next start on.

    ``may_be_new``: also where the app never ran; the device is made then, and the service counts a new one.
    Raises UsageMistake, ConfigError for what ``Updater`` refuses, and StorageError for a folder that cannot be read.
    """
    values = {**app_values(args), **more}
    device = _find_or_new(values) if may_be_new else find(values)
    version = values.setdefault("version", device.state.native_version)
    for name, why in (("app_id", "as the service knows the app"), ("version", "the installer's; no start told it yet")):
        if not values.get(name):
            raise UsageMistake(f"--{name.replace('_', '-')} is missing: {why}")
    before = device.state.native_version
    if before and before != version:
        raise UsageMistake(f"--version {version}: the app on this device said last that it is {before}")
    values["data_dir"] = folder_of(values)
    with Updater(**values) as updater:
        if may_be_new:
            _make_ready(updater)
        yield updater, device


def _make_ready(updater: Updater) -> None:
    """What a start would do first. Raises UsageMistake."""
    store = updater._engine.store  # noqa: SLF001 - a start makes its folders, and there is none
    try:
        store.prepare()
    except OSError as exc:
        raise UsageMistake(f"{store.folder} cannot be made: {exc.strerror}") from exc


def version_of(state: State, bundle_id: str, *, builtin: str = "") -> str:
    """The version of a bundle by its id; ``builtin`` is that of the builtin, else what the app last said."""
    install = state.install(bundle_id)
    return (builtin or state.native_version or "unknown") if install is None else install.version


def part_of(state: State, install: Install | None) -> str:
    """What a version is for, empty where it is merely there; None is the builtin."""
    bundle_id = BUILTIN_ID if install is None else install.id
    parts = {
        "current": state.current,
        "queued": state.next,
        "the one to fall back on": state.fallback,
        "the one before": state.previous,
    }
    return next((name for name, of in parts.items() if of == bundle_id), "")
