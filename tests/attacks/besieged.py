"""A device that runs a good version of one publisher, and a service that somebody else has got hold of."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from capgo_client import CapgoError, Updater
from capgo_client.install.record import FileRecord
from capgo_client.testing import BundleKeys, FakeClock, Service, make_bundle
from capgo_client.verify.bound import RECORD_NAME, seal_record

APP_ID = "com.example.notes"
OURS = BundleKeys.generate()
RETIRED = BundleKeys.generate("before the key was changed")
STRANGER = BundleKeys.generate("somebody else")
GOOD = {"main.py": b"print('good')\n", "data/a.txt": b"a" * 300}
EVIL = {"main.py": b"import evil\n"}


def bound(files, version, *, app_id=APP_ID):
    """The files with their record, as ``capgo-client seal`` writes it."""
    facts = [FileRecord(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in files.items()]
    return {**files, RECORD_NAME: seal_record(facts, app_id=app_id, version=version)}


class Besieged:
    """It has installed, opened and confirmed 1.5.0; the installer is 1.4.0. The clock moves when a test says so."""

    def __init__(self, root):
        self.root = root
        self.data = root / "data"
        self.builtin = root / "app"
        self.builtin.mkdir()
        (self.builtin / "main.py").write_text("print('builtin')\n")
        self.service = Service()
        self.service.start()
        self.clock = FakeClock()
        self.updater = None
        self.made = 0
        self.calm()
        self.launch()
        assert self.updater.wait(10)
        self.good = self.relaunch().current
        self.updater.notify_app_ready()

    def launch(self, *, opens="builtin", **options):
        """The next start; ``options`` are this one's only."""
        self.close()
        settings = {
            "app_id": APP_ID,
            "version": "1.4.0",
            "builtin": self.builtin,
            "data_dir": self.data,
            "update_url": self.service.update_url,
            "stats_url": "",
            "channel_url": "",
            "public_key": OURS.public_pem,
            "clock": self.clock,
        }
        self.updater = Updater(**{**settings, **options})
        opened = self.updater.start()
        assert opens in (opened.id, opened.version)
        return self.updater

    def calm(self):
        """The service has nothing but the version that the device runs."""
        self.service.publish(make_bundle("1.5.0", bound(GOOD, "1.5.0"), keys=OURS))

    def ask(self):
        """One check by itself, with all that follows."""
        assert self.updater.trigger_update_check() == "queued"
        assert self.updater.wait(10)

    def relaunch(self, **options):
        """The next start, which must open what the device ran before; its own check is over."""
        self.calm()
        self.launch(opens="1.5.0", **options)
        assert self.updater.wait(10)
        return self.updater

    def name(self):
        """A version that was not offered yet."""
        self.made += 1
        return f"2.0.{self.made}"

    def offer(self, bundle, **published):
        """As a service would that does not mind what key it is for, and how old it is."""
        self.service.publish(replace(bundle, key_id=""), below_native=True, **published)

    def refused(self, bundle, *, kept="", **published):
        """The error by which ``bundle`` is refused, by hand and by itself; nothing of it is on the device.

        ``kept``: a folder where signed files of it may wait for a better rest.
        """
        self.offer(bundle, **published)
        with pytest.raises(CapgoError) as caught:
            self.updater.download(self.updater.get_latest())
        assert self.left(but=kept) == [], self.left()
        self.ask()
        told = self.updater.explain()
        assert told.result_code in {caught.value.code, "failed_before"}, str(told)  # what came whole is known
        self.is_as_before(kept=kept)
        return caught.value

    def is_as_before(self, *, kept=""):
        """Nothing is queued, nothing was left behind, and what runs is sound."""
        assert self.updater.next_bundle is None
        assert self.left(but=kept) == [], self.left()
        assert [bundle.id for bundle in self.updater.bundles()] == [self.good.id]
        assert self.updater.verify(self.good, full=True).ok

    def taken(self, bundle, **published):
        """The files of ``bundle`` once it was installed; it is removed again."""
        self.offer(bundle, **published)
        made = self.updater.download(self.updater.get_latest())
        assert made.version == bundle.version
        assert self.updater.verify(made, full=True).ok
        found = {p.relative_to(made.path).as_posix(): p.read_bytes() for p in made.path.rglob("*") if p.is_file()}
        self.updater.delete(made)
        return found

    def left(self, *, but=""):
        """Everything below the data directory that belongs to no good version."""
        folders = {"staging", "trash", "downloads"} - {but}
        found = [path for name in sorted(folders) for path in (self.data / name).rglob("*")]
        return [*found, *(path for path in (self.data / "installs").iterdir() if path.name != self.good.id)]

    def close(self):
        if self.updater is not None:
            self.updater.close()

    def end(self):
        self.close()
        self.service.stop()
