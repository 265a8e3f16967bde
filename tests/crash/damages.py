"""Every kind of damage to what lies on the disk, who notices it, and what happens then.

One row for a kind, with its variants; docs/damage.md tells the same rows to people (test_damage_table.py compares
them word by word), test_damage.py holds the library to them.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from damaged_device import (
    BUILTIN,
    CURRENT,
    INSTEAD,
    PREVIOUS,
    content,
    copy_of,
    cut,
    file_instead,
    folder_instead,
    gone,
    instead,
    link_instead,
    moved_outside,
    newer_schema,
    opened_up,
    pipe_instead,
    place,
    turned,
)

from capgo_client.testing import FaultyFiles
from capgo_client.testing.device import CHANGING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from damaged_device import Device

    Apply = Callable[[Device], object]

__all__ = ["DAMAGES", "WORDS", "Damage"]

#: How the table names the versions.
WORDS = {CURRENT: "current", PREVIOUS: "the one before", BUILTIN: "builtin"}


@dataclass(frozen=True)
class Damage:
    """One row.

    ``start``: the start notices it, before it opens anything. ``full``: the full verify of the current version does.
    ``opens`` is the version that this start opens, ``after`` the one that the next start opens, without any network.
    ``says`` stands in the log: of the start where that notices, else of the worker behind it, or of its next cycle
    with the service; empty: no warning at all. ``returns``: then a cycle with the service brings the offered version
    back. ``mends`` is a plain file that is there again afterwards.
    """

    what: str
    variants: dict[str, Apply]
    opens: str
    after: str
    then: str
    start: bool = False
    full: bool = False
    says: str = ""
    returns: bool = True
    mends: str = ""

    @property
    def cells(self) -> tuple[str, ...]:
        """The row as docs/damage.md has it."""
        return (
            f"{self.what}: {', '.join(told(self.variants))}",
            "yes" if self.start else "no",
            "yes" if self.full else "no",
            WORDS[self.opens],
            WORDS[self.after],
            self.then,
            f"`{self.says.strip()}`" if self.says else "",
        )


def told(variants: Iterable[str]) -> list[str]:
    """The variants with the usual ones under one name; docs/damage.md says which these are."""
    names = list(variants)
    for short, long in SHORT.items():
        if set(long) <= set(names):
            names[names.index(long[0])] = short
            names = [name for name in names if name not in long]
    return names


def each(*names: str, but: tuple[str, ...] = ()) -> dict[str, Apply]:
    """All that can stand in a file's place, in the place of these."""
    return {how: instead(how, *names) for how in INSTEAD if how not in but}


def some(*hows: str, of: tuple[str, ...]) -> dict[str, Apply]:
    """Only these of it."""
    return {how: instead(how, *of) for how in hows}


LINKS = ("a link to somebody else's file", "a link to itself", "a link that leads nowhere")
#: Names for several variants at once.
SHORT = {
    "**anything**": tuple(INSTEAD),
    "**anything** that is there": tuple(how for how in INSTEAD if how != "missing"),
    "**a link**": LINKS,
}
STATES = ("state.json", "state.old")


_FORGOTTEN = "forgotten without a verdict, removed, fetched again when it is offered"

# ---- the state ----


def _newer(*names: str) -> Apply:
    return lambda device: [newer_schema(device.data / name) for name in names]


def _also(apply: Apply, *more: Apply) -> Apply:
    return lambda device: [step(device) for step in (apply, *more)]


def _no_marks(device: Device) -> None:
    for mark in (device.data / "installs").glob("*/confirmed"):
        gone(mark)


def _no_seals(device: Device) -> None:
    for seal in (device.data / "installs").glob("*/seal.json"):
        turned(seal)


_STATE = (
    Damage(
        "`state.json`",
        each("state.json"),
        start=True,
        opens=CURRENT,
        after=CURRENT,
        then="`state.old`, the generation before, is read, and `state.json` written anew",
        says="the state was read from the state file's older generation",
        mends="state.json",
    ),
    Damage(
        "`state.old`",
        each("state.old") | {"of a newer library": _newer("state.old")},
        opens=CURRENT,
        after=CURRENT,
        then="nobody reads it while `state.json` is sound; the next change replaces it",
        mends="state.old",
    ),
    Damage(
        "`state.new`, left over",
        {
            "a file": lambda device: content(device.data / "state.new", b"half of"),
            "a folder": lambda device: folder_instead(device.data / "state.new"),
            "a link to somebody else's file": instead(LINKS[0], "state.new"),
        },
        opens=CURRENT,
        after=CURRENT,
        then="the next change removes it",
        mends="state.json",
    ),
    Damage(
        "`state.json` and `state.old`",
        each(*STATES),
        start=True,
        opens=CURRENT,
        after=CURRENT,
        then="the state is rebuilt from the sealed records: what had said ready is known again; a stored channel, delay"
        " conditions and what was held against bad versions are forgotten",
        says="rebuilt from their sealed records",
        mends="state.json",
    ),
    Damage(
        "`state.json` and `state.old`, and the current version's seal",
        {
            how: _also(instead(how, *STATES), instead(how, "@/seal.json"))
            for how in ("missing", "cut short", "with a byte changed")
        },
        start=True,
        full=True,
        opens=PREVIOUS,
        after=PREVIOUS,
        then="the state is rebuilt from the sealed records that are left; the damaged install is removed",
        says="rebuilt from their sealed records",
    ),
    Damage(
        "`state.json` and `state.old`, and every `confirmed`",
        {how: _also(instead(how, *STATES), _no_marks) for how in ("missing", "cut short", "a folder")},
        start=True,
        opens=BUILTIN,
        after=BUILTIN,
        then="nobody knows any more that the installs worked; each that passes the full verify is kept, and opens"
        " without a download when it is offered",
        says="no install tells of having said ready",
    ),
    Damage(
        "`state.json` and `state.old`, and every seal",
        {how: _also(instead(how, *STATES), _no_seals) for how in ("missing", "cut short", "a folder")},
        start=True,
        full=True,
        opens=BUILTIN,
        after=BUILTIN,
        then="nothing is left to rebuild from; the installs are removed",
        says="no install tells of having said ready",
    ),
    Damage(
        "`state.json`",
        {"of a newer library": _newer("state.json"), "and `state.old` of a newer library": _newer(*STATES)},
        start=True,
        opens=CURRENT,
        after=CURRENT,
        then="its last good version opens; nothing is written, removed or installed until the newer library is back",
        says="the state was read from a state file of a newer library (read only)",
        returns=False,
    ),
)

# ---- marks, locks, and what else lies about ----


def _with_statistics(how: str, name: str) -> Apply:
    def apply(device: Device) -> None:
        device.options["stats_url"] = device.service.stats_url
        (device.data / "stats").mkdir(exist_ok=True)
        (device.data / name).write_text("{}\n" if name.endswith("s") else "")
        INSTEAD[how](device, device.data / name)

    return apply


def _statistics_folder(step: Callable[[Device], object]) -> Apply:
    def apply(device: Device) -> None:
        device.options["stats_url"] = device.service.stats_url
        step(device)

    return apply


_MARKS = (
    Damage(
        "`confirmed`, the mark of a version that said ready",
        some("missing", "a folder", *LINKS, "a pipe", of=("@/confirmed",)),
        opens=CURRENT,
        after=CURRENT,
        then="only a rebuild reads it; the worker sets it again",
        mends="@/confirmed",
    ),
    Damage(
        "`lease`, by which a running version is held",
        some("missing", "a folder", *LINKS, "a pipe", of=("@/lease",)),
        start=True,
        full=True,
        opens=PREVIOUS,
        after=PREVIOUS,
        then=f"what cannot be held is not opened: {_FORGOTTEN}",
        says="is not opened: ",
    ),
    Damage(
        "`state.lock`, `primary.lock`, `install.lock`, `lease`",
        {
            "with something written in them": lambda device: [
                content(place(device, name), b"anything")
                for name in ("state.lock", "primary.lock", "install.lock", "@/lease")
            ],
        },
        opens=CURRENT,
        after=CURRENT,
        then="nobody reads them",
    ),
    Damage(
        "`state.lock`, `primary.lock`, `install.lock`",
        some("missing", "a pipe", of=("state.lock", "primary.lock", "install.lock")),
        opens=CURRENT,
        after=CURRENT,
        then="they are made as they are needed, and a pipe can be locked as well as a file",
    ),
    *(
        Damage(
            f"`{name}`",
            some("a folder", *LINKS, of=(name,)),
            start=True,
            opens=CURRENT,
            after=CURRENT,
            then="what has the name of a lock and cannot be one is removed; a link's end is left alone",
            says="is no file, which a lock has to be; it is removed",
            mends=name,
        )
        for name in ("state.lock", "primary.lock")
    ),
    Damage(
        "`install.lock`",
        some("a folder", *LINKS, of=("install.lock",)),
        opens=CURRENT,
        after=CURRENT,
        then="the worker removes it, as a start does the others",
        says="is no file, which a lock has to be; it is removed",
        mends="install.lock",
    ),
    Damage(
        "`device-id`",
        each("device-id", but=("missing",)),
        opens=CURRENT,
        after=CURRENT,
        then="the device gets a new id before it asks again, and is counted once more",
        says="so this counts as a new device",
        mends="device-id",
    ),
    Damage(
        "`device-id`",
        {"missing": instead("missing", "device-id")},
        opens=CURRENT,
        after=CURRENT,
        then="the device gets a new id before it asks again, and is counted once more",
        mends="device-id",
    ),
    Damage(
        "`stats/events`, the statistics that wait",
        {
            how: _with_statistics(how, "stats/events")
            for how in ("cut short", "with a byte changed", "missing", "empty", "of another program")
        },
        opens=CURRENT,
        after=CURRENT,
        then="lines that cannot be read are skipped",
    ),
    *(
        Damage(
            f"`{name}`",
            {how: _with_statistics(how, name) for how in ("a folder", *LINKS)},
            opens=CURRENT,
            after=CURRENT,
            then="statistics wait in memory, until somebody takes it away",
            says="the disk refuses",
        )
        for name in ("stats/events", "stats/events.lock")
    ),
    Damage(
        "`stats`, the folder of the statistics",
        {
            "a file": _statistics_folder(lambda device: file_instead(device.data / "stats")),
            "a link to somebody else's folder": _statistics_folder(
                lambda device: link_instead(device.data / "stats", device.outside)
            ),
            "a link that leads nowhere": _statistics_folder(
                lambda device: link_instead(device.data / "stats", device.outside / "nowhere")
            ),
            "a pipe": _statistics_folder(lambda device: pipe_instead(device.data / "stats")),
        },
        opens=CURRENT,
        after=CURRENT,
        then="it is removed, a link's end left alone, and made anew",
    ),
)

# ---- the sealed records ----


def _seal_of_another(device: Device) -> None:
    other = device.data / "installs" / device.previous_id / "seal.json"
    content(device.install / "seal.json", other.read_bytes())


_RECORDS = (
    Damage(
        "`seal.json`, the record of an install",
        each("@/seal.json")
        | {
            "of a newer library": lambda device: newer_schema(device.install / "seal.json"),
            "that of another install": _seal_of_another,
        },
        start=True,
        full=True,
        opens=PREVIOUS,
        after=PREVIOUS,
        then=_FORGOTTEN,
        says="is not opened: the seal ",
    ),
    Damage(
        "`files.json`, its list of files",
        each("@/files.json"),
        full=True,
        opens=CURRENT,
        after=PREVIOUS,
        then=_FORGOTTEN,
        says="is damaged (the list of files ",
    ),
)

# ---- the files of a version ----


def _app(step: Callable[..., object], name: str, *more: object) -> Apply:
    """A step on a file or folder of the current version."""
    return lambda device: step(device.app / name, *more)


def _moved(name: str) -> Apply:
    return lambda device: moved_outside(device, device.install / name)


def _added(name: str) -> Apply:
    return lambda device: content(device.app / name, b"evil = True\n")


def _folder_added(device: Device) -> None:
    (opened_up(device.app / "lib") / "more").mkdir()
    content(device.app / "lib" / "more" / "extra.py", b"evil = True\n")


def _empty_folder(device: Device) -> None:
    (opened_up(device.app / "lib") / "nothing").mkdir()


def _byte_code(device: Device) -> None:
    cache = opened_up(device.app / "lib") / "__pycache__"
    cache.mkdir()
    (cache / "code.cpython-311.pyc").write_bytes(b"byte code")


def _writable(device: Device) -> None:
    for path in (device.app, *device.app.rglob("*")):
        path.chmod(0o700)


def _closed(path: str) -> Apply:
    """Nobody may look at it; root may all the same."""

    def apply(device: Device) -> None:
        if os.geteuid() == 0:
            pytest.skip("root may read everything; an unprivileged user sees this one")
        target = place(device, path)
        mode = target.stat().st_mode & 0o777
        target.chmod(0)
        device.undo = lambda: target.exists() and target.chmod(mode)

    return apply


def _both(step: Callable[[Device], object]) -> Apply:
    """On both versions."""

    def apply(device: Device) -> None:
        step(device)
        device.current_id, device.previous_id = device.previous_id, device.current_id
        step(device)
        device.current_id, device.previous_id = device.previous_id, device.current_id

    return apply


_FILES = (
    Damage(
        "a file",
        {
            "missing": _app(gone, "data/a.txt"),
            "longer": _app(content, "data/a.txt", b"aaaaa"),
            "shorter": _app(cut, "data/a.txt"),
            "empty": _app(content, "data/a.txt", b""),
            "changed without another size": _app(turned, "data/a.txt"),
            "a folder": _app(folder_instead, "data/a.txt"),
            "a link to the same content": _moved("app/data/a.txt"),
            "a link that leads nowhere": _app(link_instead, "data/a.txt", "nowhere"),
            "a pipe": _app(pipe_instead, "data/a.txt"),
        },
        full=True,
        opens=CURRENT,
        after=PREVIOUS,
        then=_FORGOTTEN,
        says="is damaged (data/a.txt",
    ),
    Damage(
        "a file too many",
        {
            "at the top": _added("extra.py"),
            "in a folder": _added("lib/deep/extra.py"),
            "in a folder too many": _folder_added,
            "a link to a file": _app(link_instead, "extra.py", "main.py"),
            "a link to somebody else's folder": lambda device: link_instead(device.app / "extra", device.outside),
        },
        full=True,
        opens=CURRENT,
        after=PREVIOUS,
        then=_FORGOTTEN,
        says=" does not belong",
    ),
    Damage(
        "the entry file",
        {
            "missing": _app(gone, "main.py"),
            "a folder": _app(folder_instead, "main.py"),
            "a link to the same content": _moved("app/main.py"),
            "a pipe": _app(pipe_instead, "main.py"),
        },
        start=True,
        full=True,
        opens=PREVIOUS,
        after=PREVIOUS,
        then=_FORGOTTEN,
        says="is not opened: ",
    ),
    Damage(
        "the entry file",
        {"changed": _app(turned, "main.py"), "empty": _app(content, "main.py", b"")},
        full=True,
        opens=CURRENT,
        after=PREVIOUS,
        then=_FORGOTTEN,
        says="is damaged (main.py ",
    ),
    Damage(
        "a folder",
        {
            "missing": _app(gone, "lib"),
            "a file": _app(file_instead, "lib"),
            "a link to the same content": _moved("app/lib"),
            "a pipe": _app(pipe_instead, "lib"),
        },
        full=True,
        opens=CURRENT,
        after=PREVIOUS,
        then=_FORGOTTEN,
        says="is damaged (lib",
    ),
    Damage(
        "an empty folder",
        {"added": _empty_folder},
        opens=CURRENT,
        after=CURRENT,
        then="it stays: the list is one of files",
    ),
    Damage(
        "`__pycache__`",
        {"byte code beside a module": _byte_code},
        opens=CURRENT,
        after=CURRENT,
        then="Python wrote it; the full verify removes it",
    ),
    Damage(
        "permissions",
        {"of files and folders that became writable": _writable},
        opens=CURRENT,
        after=CURRENT,
        then="what the files hold is what counts",
    ),
    Damage(
        "permissions",
        {"of a file that cannot be read": _closed("@/app/data/a.txt"), "of a folder": _closed("@/app/data")},
        full=True,
        opens=CURRENT,
        after=PREVIOUS,
        then=_FORGOTTEN,
        says=" cannot be read: Permission denied",
    ),
    Damage(
        "permissions",
        {
            "of `app`": _closed("@/app"),
            "of the install's folder": _closed("@/."),
            "of `seal.json`": _closed("@/seal.json"),
        },
        start=True,
        full=True,
        opens=PREVIOUS,
        after=PREVIOUS,
        then=_FORGOTTEN,
        says="is not opened: ",
    ),
    Damage(
        "`app`, the folder of the files",
        {
            "missing": lambda device: gone(device.app),
            "a file": lambda device: file_instead(device.app),
            "a link to the same content": _moved("app"),
            "a link that leads nowhere": lambda device: link_instead(device.app, "nowhere"),
            "a pipe": lambda device: pipe_instead(device.app),
        },
        start=True,
        full=True,
        opens=PREVIOUS,
        after=PREVIOUS,
        then=_FORGOTTEN,
        says="is not opened: ",
    ),
    Damage(
        "the folder of an install",
        {
            "missing": lambda device: gone(device.install),
            "a file": lambda device: file_instead(device.install),
            "a link to the same content": lambda device: moved_outside(device, device.install),
            "a link to itself": lambda device: link_instead(device.install, device.current_id),
            "a link to somebody else's folder": lambda device: link_instead(device.install, device.outside),
            "a pipe": lambda device: pipe_instead(device.install),
            "with another name": lambda device: device.install.rename(device.install.with_name("AAAAAAAAAA")),
        },
        start=True,
        full=True,
        opens=PREVIOUS,
        after=PREVIOUS,
        then=_FORGOTTEN + "; a link's end is left alone",
        says="is not opened: ",
    ),
    Damage(
        "both installs",
        {
            "missing": _both(lambda device: gone(device.install)),
            "without their seals": _no_seals,
            "without their entry files": _both(lambda device: gone(device.app / "main.py")),
        },
        start=True,
        full=True,
        opens=BUILTIN,
        after=BUILTIN,
        then=_FORGOTTEN,
        says="is not opened: ",
    ),
    Damage(
        "both installs",
        {"with a changed file in each": _both(lambda device: turned(device.app / "data" / "a.txt"))},
        full=True,
        opens=CURRENT,
        after=BUILTIN,
        then="the worker goes on to what would open next, until that is sound",
        says="is damaged (data/a.txt ",
    ),
)

# ---- the data directory ----


def _elsewhere(device: Device) -> None:
    moved = device.folder / "another disk" / "data"
    moved.parent.mkdir()
    shutil.copytree(device.data, moved, symlinks=True)
    gone(device.data)
    device.data = moved


def _copied_back(device: Device) -> None:
    """From another device: the same app with an id of its own."""
    other = copy_of(device, device.folder / "another device")
    (other.data / "device-id").write_text("6f2c1d9e-8a47-4b60-9d3f-1c5e7a90b2d4\n")
    gone(device.data)
    shutil.copytree(other.data, device.data, symlinks=True)


def _linked(device: Device) -> None:
    moved = device.folder / "moved"
    device.data.rename(moved)
    device.data.symlink_to(moved)


def _read_only_calls(device: Device) -> None:
    files = FaultyFiles()
    files.fail(1, errno.EROFS, kinds=CHANGING, path=str(device.data), times=None)
    device.options["files"] = files


def _read_only_mount(device: Device) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may mount")
    for options in (["--bind", device.data, device.data], ["-o", "remount,bind,ro", device.data]):
        done = subprocess.run(["mount", *map(str, options)], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            device.undo()
            pytest.skip(f"mount does not work here: {done.stderr.strip()}")
        device.undo = lambda: subprocess.run(["umount", "--lazy", str(device.data)], check=True)


def _no_writing(device: Device) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere; an unprivileged user sees this one")
    device.data.chmod(0o500)
    device.undo = lambda: device.data.chmod(0o700)


_DIRECTORY = (
    Damage(
        "the data directory",
        {"missing": lambda device: gone(device.data)},
        start=True,
        opens=BUILTIN,
        after=BUILTIN,
        then="as on a first start",
        says="opening 1.4.0 (builtin): nothing newer is installed",
    ),
    Damage(
        "the data directory",
        {
            "a file": lambda device: file_instead(device.data),
            "a link that leads nowhere": lambda device: link_instead(device.data, device.folder / "nowhere"),
            "a link to itself": lambda device: link_instead(device.data, "data"),
            "a pipe": lambda device: pipe_instead(device.data),
        },
        start=True,
        opens=BUILTIN,
        after=BUILTIN,
        then="it may be yours, so it is left alone; no updates until it is a folder again",
        says="cannot be written",
        returns=False,
    ),
    Damage(
        "the data directory",
        {"moved and a link left behind": _linked, "copied to another place": _elsewhere},
        opens=CURRENT,
        after=CURRENT,
        then="nothing in it says where it lies",
    ),
    Damage(
        "the data directory",
        {"copied from another device": _copied_back},
        opens=CURRENT,
        after=CURRENT,
        then="the id comes with it: the service takes both for one device",
    ),
    Damage(
        "the data directory",
        {"on a disk that became read-only": _read_only_calls, "mounted read-only": _read_only_mount},
        start=True,
        opens=CURRENT,
        after=CURRENT,
        then="the last version that said ready opens; no checks until it can be written",
        says="cannot be written: Read-only file system",
    ),
    Damage(
        "the data directory",
        {"without permission to write": _no_writing},
        opens=CURRENT,
        after=CURRENT,
        then="a proven version opens; what is new is installed when it can be written again",
    ),
    Damage(
        "`installs`",
        {
            "missing": lambda device: gone(device.data / "installs"),
            "a file": lambda device: file_instead(device.data / "installs"),
            "a pipe": lambda device: pipe_instead(device.data / "installs"),
        },
        start=True,
        full=True,
        opens=BUILTIN,
        after=BUILTIN,
        then="made anew; the versions are fetched again",
        says="is not opened: ",
    ),
    Damage(
        "`installs`",
        {"a link to the same content": lambda device: moved_outside(device, device.data / "installs")},
        start=True,
        opens=BUILTIN,
        after=BUILTIN,
        then="the link is removed, its end left alone; the versions are fetched again",
        says="is not opened: ",
    ),
    Damage(
        "`staging`, `trash`, `downloads`",
        {
            "missing": lambda device: [gone(device.data / name) for name in _ASIDE],
            "files": lambda device: [file_instead(device.data / name) for name in _ASIDE],
            "pipes": lambda device: [pipe_instead(device.data / name) for name in _ASIDE],
            "links to somebody else's folder": lambda device: [
                link_instead(device.data / name, device.outside) for name in _ASIDE
            ],
            "with things of somebody else's in them": lambda device: [
                folder_instead(device.data / name / "a folder") for name in _ASIDE
            ],
        },
        opens=CURRENT,
        after=CURRENT,
        then="made anew; a link's end is left alone",
    ),
    Damage(
        "permissions",
        {"of `installs`": _closed("installs")},
        start=True,
        full=True,
        opens=CURRENT,
        after=CURRENT,
        then="they are set right",
        says="may not be used by its owner; that is set right",
    ),
    Damage(
        "permissions",
        {"of `state.lock`": _closed("state.lock"), "of `primary.lock`": _closed("primary.lock")},
        start=True,
        opens=CURRENT,
        after=CURRENT,
        then="they are set right",
        says="may not be used by its owner; that is set right",
    ),
    Damage(
        "permissions",
        {"of `state.json`": _closed("state.json")},
        start=True,
        opens=CURRENT,
        after=CURRENT,
        then="`state.old`, the generation before, is read, and `state.json` written anew",
        says="the state was read from the state file's older generation",
        mends="state.json",
    ),
)
_ASIDE = ("staging", "trash", "downloads")

DAMAGES: dict[str, tuple[Damage, ...]] = {
    "The state": _STATE,
    "Marks, locks and what else lies there": _MARKS,
    "The sealed records": _RECORDS,
    "The files of a version": _FILES,
    "The data directory": _DIRECTORY,
}
