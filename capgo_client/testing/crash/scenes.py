"""A device and its publisher, and what the device has been through before an operation is cut off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from capgo_client import Updater
from capgo_client.testing.bundles import make_bundle

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from capgo_client.testing.bundles import BundleKeys
    from capgo_client.testing.service import Service

__all__ = [
    "BUILTIN",
    "CHANNEL",
    "EVENTS",
    "NEW",
    "NOBODY",
    "OLD",
    "Scene",
    "app_files",
    "at_hand",
    "cluttered",
    "offered",
    "outdated",
    "outdated_by_files",
    "tried_once",
    "up_to_date",
    "with_channel",
    "with_events",
]

#: The version inside the installer, the one that an update replaces, and the one that it brings.
BUILTIN, OLD, NEW = "1.0.0", "2.0.0", "3.0.0"
#: How many events of the statistics the operations on them deal with.
EVENTS = 12
#: The channel that one of them chooses.
CHANNEL = "beta"
#: Where nobody answers: the port of discard(9), which no system of today serves.
NOBODY = "http://127.0.0.1:9/stats"
_PATIENCE = 20.0


def _do_nothing(_app: Updater) -> None:
    """Nothing more than starting and saying ready."""


def app_files(version: str, *, count: int) -> dict[str, bytes]:
    """The files of a small app, nothing of whose first half changes from one version to the next."""
    files = {"main.py": f"print('{version}')\n".encode(), "empty.txt": b""}
    for number in range(count):
        mark = b"" if number < count // 2 else version.encode()
        files[f"pkg{number % 3}/part{number}.bin"] = mark + bytes((number + i) % 256 for i in range(700 * (number + 1)))
    return files


class Scene:
    """A device, its publisher, and the service between them, on which an operation is prepared.

    Args:
        folder: an empty one; ``data`` and ``builtin`` are made in it.
        service: a running one, for this scene alone.
        keys: the publisher's.
        count: how many files a version has, but for two.
    """

    def __init__(self, folder: Path, *, service: Service, keys: BundleKeys, count: int = 8) -> None:
        self.data = folder / "data"
        self.service = service
        self._keys = keys
        self._count = count
        builtin = folder / "builtin"
        builtin.mkdir(parents=True)
        (builtin / "main.py").write_text("print('builtin')\n", "utf-8")
        #: What every Updater of this device gets; JSON can carry them.
        self.options: dict[str, Any] = {
            "app_id": "com.example.notes",
            "version": BUILTIN,
            "builtin": str(builtin),
            "data_dir": str(self.data),
            "update_url": service.update_url,
            "stats_url": "",
            "channel_url": service.channel_url,
            "public_key": keys.public_pem,
            "auto_update": "always",
        }

    def publish(self, version: str, *, by_files: bool = False) -> None:
        """Put a version on the channel: as a zip, or ``by_files`` alone."""
        files = {name: data for name, data in app_files(version, count=self._count).items() if data or not by_files}
        made = make_bundle(version, files, keys=self._keys, manifest=by_files, brotli=False)
        self.service.publish(made, delta_only=by_files)

    def live(self, act: Callable[[Updater], object] = _do_nothing, *, ready: bool = True, **options: Any) -> None:
        """One life of the app before the operation, in this process."""
        with Updater(**{**self.options, **options}, trust_env=False) as app:
            app.start()
            if ready:
                app.notify_app_ready()
            if not app.wait(_PATIENCE):
                raise TimeoutError("the device could not be prepared: a cycle takes too long")
            act(app)

    def confirmed(self, *versions: str, **options: Any) -> None:
        """The device has run each of these versions, and each said that it was ready."""
        for version in versions:
            self.publish(version)
            self.live(**options)

    def queued(self) -> None:
        """The device runs the old version and has the new one queued."""
        self.confirmed(OLD)
        self.publish(NEW)
        self.live(auto_update="atBackground")


def offered(scene: Scene) -> None:
    """A fresh installation, and an update is on offer."""
    scene.publish(NEW)


def outdated(scene: Scene) -> None:
    """It runs the old version, and the new one is on offer."""
    scene.confirmed(OLD)
    scene.publish(NEW)


def outdated_by_files(scene: Scene) -> None:
    """The same, and both come by their files alone."""
    scene.publish(OLD, by_files=True)
    scene.live()
    scene.publish(NEW, by_files=True)


def tried_once(scene: Scene) -> None:
    """The new version was opened once and did not say ready."""
    scene.queued()
    scene.live(ready=False, update_url="")


def up_to_date(scene: Scene) -> None:
    """It has run both, and the new one is open."""
    scene.confirmed(OLD, NEW)


def at_hand(scene: Scene) -> None:
    """It runs the old version, and the new one is on disk and not queued."""
    scene.confirmed(OLD)
    scene.publish(NEW)
    scene.live(auto_update="onlyDownload")


def cluttered(scene: Scene) -> None:
    """Four versions where two are needed, one that nobody knows, and halves of two more."""
    scene.confirmed("1.1.0", "1.2.0", OLD, NEW, auto_delete_previous=False)
    one = next((scene.data / "installs").iterdir())
    for copy in ("staging/halfmade00", "trash/halfgone00-x", "installs/unknown000"):
        _copy(one, scene.data / copy)


def _copy(source: Path, target: Path) -> None:
    target.mkdir(mode=0o700)
    for path in source.iterdir():
        if path.is_dir():
            _copy(path, target / path.name)
        else:
            (target / path.name).write_bytes(path.read_bytes())


def with_channel(scene: Scene) -> None:
    """There is a channel that it may choose."""
    scene.service.add_channel(CHANNEL, allow_self_set=True)
    scene.confirmed(OLD)


def with_events(scene: Scene) -> None:
    """Events wait, and the service was not to be had."""

    def tell(app: Updater) -> None:
        for number in range(EVENTS):
            app.set_custom_id(f"e{number}")
            app.report_memory_warning()
        app.set_custom_id("")

    scene.confirmed(OLD)
    scene.live(tell, stats_url=NOBODY)
