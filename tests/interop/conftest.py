"""Capgo's command line, a service on loopback, and a device that installs what the one made from the other."""

from __future__ import annotations

import os

import pytest
from capgo_cli import APP_ID, CapgoCli, why_not
from console import Console

from capgo_client import Updater
from capgo_client.errors import IntegrityError
from capgo_client.testing import MadeBundle, Service

#: Set by `make interop`: then a machine that cannot run these tests fails them.
_REQUIRED = os.environ.get("CAPGO_INTEROP") == "required"


@pytest.fixture(autouse=True, scope="session")
def _command_line():
    if not _REQUIRED:
        pytest.skip("make interop runs these against Capgo's own command line")
    reason = why_not()
    if reason:
        pytest.fail(reason)


@pytest.fixture(scope="session")
def keyed(_command_line, tmp_path_factory):
    """A project whose keys the command line made."""
    project = CapgoCli(tmp_path_factory.mktemp("keys") / "project")
    project.create_keys()
    return project


@pytest.fixture
def cli(_command_line, tmp_path):
    """A project without keys."""
    return CapgoCli(tmp_path / "project")


@pytest.fixture
def signing_cli(cli, keyed):
    """A project with the keys that the command line made."""
    cli.adopt_keys(keyed)
    return cli


@pytest.fixture
def console(_command_line):
    with Console() as running:
        yield running


@pytest.fixture
def service():
    with Service(app_id=APP_ID) as running:
        yield running


class Device:
    """One device with the app. What it opens is what a user would see."""

    def __init__(self, service, folder, **options):
        self.service = service
        builtin = folder / "app"
        builtin.mkdir(parents=True)
        (builtin / "main.py").write_text("print('builtin')\n")
        self._options = {
            "version": "1.0.0",
            "builtin": builtin,
            "data_dir": folder / "data",
            "update_url": service.update_url,
            "stats_url": service.stats_url,
            "channel_url": service.channel_url,
            "trust_env": False,
            **options,
        }

    def install(self, version):
        """Let one launch bring ``version`` and the next one open it and be content; return its folder."""
        with Updater(APP_ID, **self._options) as updater:
            updater.start()
            assert updater.wait(60)
            arrived = updater.next_bundle
            assert arrived is not None, str(updater.explain())
        with Updater(APP_ID, **self._options) as updater:
            opened = updater.start()
            assert opened.version == version
            assert updater.verify(opened).problems == ()
            updater.notify_app_ready()
            assert updater.wait(60)
        return opened.path

    def refusal(self):
        """The code with which it refuses what is offered."""
        with Updater(APP_ID, **{**self._options, "auto_update": "off"}) as updater:
            updater.start()
            offered = updater.get_latest()
            with pytest.raises(IntegrityError) as caught:
                updater.download(offered)
            assert updater.bundles() == ()
            return caught.value.code


@pytest.fixture
def device(service, tmp_path):
    """Make a device; ``options`` are the Updater's."""
    return lambda **options: Device(service, tmp_path / "device", **options)


@pytest.fixture
def published(service):
    """Offer what the command line packed: its bytes and what it announces, nothing of our own."""

    def publish(packed, version, **options):
        archive = packed.path.read_bytes()
        service.publish(MadeBundle(version, archive, packed.checksum, packed.session_key, {}, archive), **options)

    return publish
