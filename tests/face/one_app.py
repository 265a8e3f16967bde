"""One app on one device, with a service of its own: what the tests of the face start, update and start again."""

from __future__ import annotations

from capgo_client import Updater
from capgo_client.testing import BundleKeys, make_bundle

APP_ID = "com.example.notes"
BUILTIN_VERSION = "1.4.0"


class App:
    """The same data directory for every Updater it makes; each launch closes the one before, as a device would.

    Unsigned unless a test passes ``public_key=app.keys.public_pem`` and ``publish(..., keys=app.keys)``.
    """

    def __init__(self, service, folder):
        self.service = service
        self.data = folder / "data"
        self.builtin = folder / "app"
        self.builtin.mkdir()
        (self.builtin / "main.py").write_text("print('builtin')\n")
        self.made = []

    @property
    def keys(self):
        """The publisher's key pair."""
        return BundleKeys.generate()

    def updater(self, **options):
        """An Updater on this device, not started; closed after the test. ``options`` override the defaults."""
        service = self.service
        defaults = {
            "app_id": APP_ID,
            "version": BUILTIN_VERSION,
            "builtin": self.builtin,
            "data_dir": self.data,
            "update_url": service.update_url,
            "stats_url": service.stats_url,
            "channel_url": service.channel_url,
        }
        updater = Updater(**{**defaults, **options})
        self.made.append(updater)
        return updater

    def launch(self, **options):
        """Close what runs, start anew; return the Updater (``.current`` is what it opened)."""
        self.close()
        updater = self.updater(**options)
        updater.start()
        return updater

    def close(self):
        """End every launch so far."""
        while self.made:
            self.made.pop().close()

    def publish(self, version, files=None, *, keys=None, **options):
        """Put a bundle on the channel; return it."""
        bundle = make_bundle(version, files or {"main.py": f"print('{version}')\n"}, keys=keys)
        self.service.publish(bundle, **options)
        return bundle

    def queue(self, version, files=None, **options):
        """Publish a version and let one launch download and queue it, as a device in the field does."""
        self.publish(version, files, keys=self.keys if "public_key" in options else None)
        updater = self.launch(**options)
        assert updater.wait(20)
        assert updater.next_bundle is not None, str(updater.explain())
        assert updater.next_bundle.version == version
        self.close()

    def install(self, version, files=None, **options):
        """Bring a version by a real update, open it and let it confirm itself: the last good one from here on."""
        self.queue(version, files, **options)
        updater = self.launch(**options)
        assert updater.current.version == version
        updater.notify_app_ready()
        assert updater.wait(20)
        assert updater.fallback.version == version
        self.close()
