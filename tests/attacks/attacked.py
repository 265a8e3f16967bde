"""A device that runs a good version and is offered bad ones through the public face; what is around it is watched."""

from __future__ import annotations

import hashlib
import json
import lzma
from pathlib import Path

import pytest
from depot import Depot

from capgo_client import CapgoError, Updater
from capgo_client.seams import Files
from capgo_client.testing import BundleKeys
from capgo_client.testing.archives import write_archive
from capgo_client.testing.bundles import Packing

DATA = Path(__file__).parent.parent / "data"
HOSTILE = DATA / "hostile"
APP_ID = "com.example.notes"
GOOD = {"main.py": b"print('good')\n", "data/a.txt": b"a" * 300}
#: Where an archive must not get to even by its absolute names.
FAR = ("/tmp/capgo_evil_abs.txt", "/capgo_evil.txt", "/tmp/capgo_evil_link.txt")


def fixture(name):
    """The bytes of a hostile fixture."""
    raw = (HOSTILE / name).read_bytes()
    return lzma.decompress(raw) if name.endswith(".xz") else raw


class Watching(Files):
    """Knows what was made below ``staging``, and how many bytes were written in all."""

    def __init__(self):
        self.forget()

    def forget(self):
        self.staged = []
        self.written = 0

    def open_new(self, path, mode=0o600):
        if "staging" in Path(path).parts:
            self.staged.append(Path(path).name)
        return super().open_new(path, mode)

    def write(self, fd, data):
        self.written += len(data)
        return super().write(fd, data)


class Device:
    """One device; it has installed, opened and confirmed version 1.5.0. ``keys``: whether it trusts a publisher."""

    def __init__(self, root, *, keys, **options):
        self.root = root
        self.data = root / "deep" / "down" / "data"
        self.builtin = root / "deep" / "app"
        self.builtin.mkdir(parents=True)
        (self.builtin / "main.py").write_text("print('builtin')\n")
        (root / "canary.txt").write_text("alive")
        self.keys = BundleKeys.generate() if keys else None
        self.packing = Packing.fresh(self.keys)
        self.depot = Depot()
        self.files = Watching()
        self.options = {
            "app_id": APP_ID,
            "version": "1.4.0",
            "builtin": self.builtin,
            "data_dir": self.data,
            "update_url": "",
            "stats_url": "",
            "channel_url": "",
            "public_key": self.keys.public_pem if self.keys else None,
            "files": self.files,
            # One fixture has 20,002 empty folders: how few are too many is the app's to say.
            "max_files": 20_000,
            **options,
        }
        self.made = 0
        self.updater = self._updater()
        try:
            self._begin()
        except BaseException:
            self.close()  # else the depot's thread keeps the whole run alive
            raise

    def _begin(self):
        self.updater.start()
        self.good = self.install(write_archive(GOOD), "1.5.0")
        self.updater.set_next(self.good)
        self.relaunch()
        self.updater.notify_app_ready()

    def _updater(self):
        return Updater(**self.options)

    def relaunch(self, **options):
        """The next start; it opens what the last confirmed."""
        self.updater.close()
        self.options.update(options)
        self.updater = self._updater()
        assert self.updater.start().version == "1.5.0"

    def install(self, plain, version=None, **offered):
        """Have a zip installed that its publisher (if the device trusts one) signed and encrypted."""
        self.made += 1
        version = version or f"2.0.{self.made}"
        packed = self.packing.bundle(version, plain, files={})
        url = self.depot.put(f"/{self.made}.zip", packed.archive)
        offered = {"session_key": packed.session_key, "checksum": packed.checksum, **offered}
        try:
            return self.updater.download(url, version, **offered)
        finally:
            self.depot.objects.clear()

    def refused(self, offer, *options, **named):
        """The error by which ``offer`` (a method of this, with its arguments) ends; nothing is left of it."""
        self.files.forget()
        before = self.outside()
        with pytest.raises(CapgoError) as caught:
            self.remove(offer(*options, **named))  # or every test after this one fails as well
        assert self.left() == []
        assert self.outside() == before
        assert not any(Path(path).exists() for path in FAR)
        assert caught.value.message.isprintable()
        assert caught.value.message.isascii()
        assert [bundle.id for bundle in self.updater.bundles()] == [self.good.id]
        return caught.value

    def left(self):
        """Everything below the data directory that belongs to no good version."""
        found = [path for name in ("staging", "trash", "downloads") for path in (self.data / name).rglob("*")]
        return [*found, *(path for path in (self.data / "installs").iterdir() if path.name != self.good.id)]

    def outside(self):
        """What there is of files, but in the data directory."""
        paths = (path for path in self.root.rglob("*") if self.data not in path.parents)
        return sorted((str(path), path.read_bytes() if path.is_file() else b"") for path in paths)

    def still_works(self):
        """The version that ran before is sound, and the next start opens it."""
        assert self.updater.verify(self.good, full=True).ok
        self.relaunch()
        assert (self.updater.current.path / "main.py").read_bytes() == GOOD["main.py"]

    def remove(self, bundle):
        """Forget a harmless twin."""
        self.updater.delete(bundle)

    def close(self):
        self.updater.close()
        self.depot.close()


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def manifest_cases():
    """The hostile manifests of the fixtures, by name."""
    cases = json.loads((HOSTILE / "hostile-manifests.json").read_text("utf-8"))["cases"]
    return {case["name"]: case for case in cases}


def sha256(data):
    return hashlib.sha256(data).hexdigest()
