"""One device with the app, and the service that it asks."""

from __future__ import annotations

import pytest

from capgo_client import Updater
from capgo_client.testing import Service, make_bundle

APP_ID = "com.example.notes"


class Device:
    """The same data directory for every Updater; each launch closes the one before."""

    def __init__(self, service, folder):
        self.service = service
        self._builtin = folder / "app"
        self._builtin.mkdir()
        (self._builtin / "main.py").write_text("print('builtin')\n")
        self.data = folder / "data"
        self._made = []

    def updater(self, **options):
        """An Updater, not started; ``options`` override the defaults."""
        defaults = {
            "version": "1.0.0",
            "builtin": self._builtin,
            "data_dir": self.data,
            "update_url": self.service.update_url,
            "stats_url": "",
            "channel_url": self.service.channel_url,
            "trust_env": False,
        }
        self._made.append(Updater(APP_ID, **{**defaults, **options}))
        return self._made[-1]

    def launch(self, **options):
        self.close()
        updater = self.updater(**options)
        updater.start()
        return updater

    def close(self):
        while self._made:
            self._made.pop().close()

    def publish(self, version, files=None, **options):
        bundle = make_bundle(version, files or {"main.py": version}, **options)
        self.service.publish(bundle)
        return bundle


@pytest.fixture
def service():
    with Service() as running:
        yield running


@pytest.fixture
def device(service, tmp_path):
    made = Device(service, tmp_path)
    yield made
    made.close()
