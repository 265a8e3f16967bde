"""A device with two good versions on it, made once and copied for each damage; and the things that people do to files.

The builtin is 1.4.0; 1.4.5 and 1.5.0 came by updates and said ready, in this order; the service still offers 1.5.0.
"""

from __future__ import annotations

import os
import shutil
import stat
from typing import TYPE_CHECKING, Any

from capgo_client import Updater
from capgo_client.install import checked, leases
from capgo_client.testing import make_bundle

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from capgo_client.testing import Service

BUILTIN, PREVIOUS, CURRENT = "1.4.0", "1.4.5", "1.5.0"
APP_ID = "com.example.notes"
FILES = {"main.py": "print('hello')\n", "lib/code.py": "x = 1\n", "lib/deep/more.py": "y = 2\n", "data/a.txt": "aaaa"}
#: More than any document of ours may have.
HUGE = 5 << 20
OTHER_PROGRAM = b'{"version": 2, "name": "somebody else", "items": [1, 2, 3]}\n'


class Device:
    """One app on one device. ``outside`` is somebody else's folder: whatever is done here must leave it alone."""

    def __init__(self, folder: Path, service: Service, current_id: str = "", previous_id: str = "") -> None:
        self.folder = folder
        self.service = service
        self.data = folder / "data"
        self.builtin = folder / "app"
        self.outside = folder / "outside"
        self.current_id = current_id
        self.previous_id = previous_id
        #: What a damage adds to the options of every Updater.
        self.options: dict[str, Any] = {}
        self.undo: Callable[[], object] = lambda: None
        self._made: list[Updater] = []

    @property
    def install(self) -> Path:
        """The folder of the current version."""
        return self.data / "installs" / self.current_id

    @property
    def app(self) -> Path:
        """The files of the current version."""
        return self.install / "app"

    def updater(self, **options: Any) -> Updater:
        """One that asks nobody unless ``options`` (or ``healthy``) say whom."""
        given = {"update_url": "", "stats_url": "", "channel_url": "", "entry": "main.py", **self.options, **options}
        made = Updater(APP_ID, BUILTIN, self.builtin, data_dir=self.data, **given)
        self._made.append(made)
        return made

    def launch(self, **options: Any) -> Updater:
        """End what runs and start anew."""
        self.close()
        updater = self.updater(**options)
        updater.start()
        return updater

    def healthy(self) -> str:
        """A start, ready, and a whole cycle with the service; gives the version that opened."""
        updater = self.launch(update_url=self.service.update_url)
        updater.notify_app_ready()
        assert updater.wait(20)
        version = updater.current.version
        self.close()
        return version

    def close(self) -> None:
        """End every launch."""
        while self._made:
            self._made.pop().close()

    def end(self) -> None:
        """As after a test: nothing runs, nothing is mounted, and all can be removed."""
        self.close()
        leases.let_go(self.data)
        self.undo()
        loosened(self.folder)


def make_template(folder: Path, service: Service) -> Device:
    """The device before anything is damaged."""
    device = Device(folder, service)
    for made in (device.builtin, device.outside):
        made.mkdir(parents=True)
    (device.builtin / "main.py").write_text("print('builtin')\n")
    (device.outside / "keep.txt").write_text("somebody else's")
    (device.outside / "other.json").write_bytes(OTHER_PROGRAM)
    for version in (PREVIOUS, CURRENT):
        service.publish(make_bundle(version, {**FILES, "version.txt": version}))
        device.healthy()
        assert device.healthy() == version
    by_version = {bundle.version: bundle.id for bundle in device.updater().bundles()}
    device.current_id, device.previous_id = by_version[CURRENT], by_version[PREVIOUS]
    device.close()
    return device


def copy_of(template: Device, folder: Path) -> Device:
    """The same device again, somewhere else on the disk."""
    shutil.copytree(template.folder, folder, symlinks=True)
    return Device(folder, template.service, template.current_id, template.previous_id)


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Everything below a folder: mode, and content or the end of a link."""
    return {str(path.relative_to(folder)): _seen(path) for path in sorted(folder.rglob("*"))}


def _seen(path: Path) -> tuple[int, bytes]:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return mode, os.readlink(path).encode()
    return mode, path.read_bytes() if stat.S_ISREG(mode) else b""


# ---- what is done to files ----


def opened_up(path: Path) -> Path:
    """Bundles are read-only; whoever damages one does not mind."""
    for each in (path.parent, path):
        if each.exists() and not each.is_symlink():
            each.chmod(0o700)
    return path


def loosened(folder: Path) -> None:
    """Let every folder below be removed, also by pytest and by who is not root."""
    for path, folders, _ in os.walk(folder):
        for name in folders:
            below = os.path.join(path, name)
            if not os.path.islink(below):
                os.chmod(below, 0o700)


def gone(path: Path) -> None:
    """Remove whatever is there."""
    opened_up(path)
    if path.is_dir() and not path.is_symlink():
        loosened(path)
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def cut(path: Path, length: int | None = None) -> None:
    """Leave the first ``length`` bytes; half by default."""
    data = path.read_bytes()
    opened_up(path).write_bytes(data[: len(data) // 2 if length is None else length])


def turned(path: Path, place: int | None = None, value: int | None = None) -> None:
    """Change one byte: the lowest bit of it, or to ``value``."""
    data = bytearray(path.read_bytes())
    at = len(data) // 2 if place is None else place
    data[at] = data[at] ^ 1 if value is None else value
    opened_up(path).write_bytes(data)


def content(path: Path, data: bytes) -> None:
    """Other content."""
    opened_up(path).write_bytes(data)


def folder_instead(path: Path) -> None:
    """A folder, with something in it."""
    gone(path)
    path.mkdir()
    (path / "something").write_text("in it")


def link_instead(path: Path, target: Path | str) -> None:
    """A link."""
    gone(path)
    path.symlink_to(target)


def pipe_instead(path: Path) -> None:
    """A named pipe with nobody at the other end."""
    gone(path)
    os.mkfifo(path)


def file_instead(path: Path) -> None:
    """A file where there was a folder."""
    gone(path)
    path.write_text("nothing of yours")


def moved_outside(device: Device, path: Path) -> None:
    """A link to the same thing, which lies elsewhere now."""
    target = device.outside / "moved"
    if path.is_dir():
        shutil.copytree(path, target, symlinks=True)
    else:
        shutil.copy2(path, target)
    link_instead(path, target)


def newer_schema(path: Path) -> None:
    """What a later version of this library may write."""
    document = checked.unpack(path.read_bytes())
    assert isinstance(document, dict)
    content(path, checked.pack({**document, "schema": document["schema"] + 1, "news": ["unheard of"]}))


#: What can stand in a file's place, whatever the file: the name, and what brings it about.
INSTEAD: dict[str, Callable[[Device, Path], None]] = {
    "cut short": lambda _, path: cut(path),
    "with a byte changed": lambda _, path: turned(path),
    "missing": lambda _, path: gone(path),
    "empty": lambda _, path: content(path, b""),
    "of another program": lambda _, path: content(path, OTHER_PROGRAM),
    "far too large": lambda _, path: content(path, b"x" * HUGE),
    "a folder": lambda _, path: folder_instead(path),
    "a link to somebody else's file": lambda device, path: link_instead(path, device.outside / "other.json"),
    "a link to itself": lambda _, path: link_instead(path, path.name),
    "a link that leads nowhere": lambda device, path: link_instead(path, device.outside / "nowhere"),
    "a pipe": lambda _, path: pipe_instead(path),
}


def instead(how: str, *names: str) -> Callable[[Device], None]:
    """Put something in the place of files; names are relative to the data directory, ``@`` is the current install."""

    def apply(device: Device) -> None:
        for name in names:
            INSTEAD[how](device, place(device, name))

    return apply


def place(device: Device, name: str) -> Path:
    """The path of a name as ``instead`` takes them."""
    return device.install / name[2:] if name.startswith("@/") else device.data / name
