"""An app on a device: a start file with its builtin, launched in processes of its own against a loopback service."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from capgo_client import Updater
from capgo_client.testing import make_bundle

ROOT = Path(__file__).resolve().parents[2]
#: No launch of these tests takes longer; one that does hangs (seconds).
TIMEOUT = 60.0

#: Options that a test gives; what a person reads of a start file stands in `examples/start_file`.
START = """\
import json, os, sys
from pathlib import Path
from capgo_client import Updater
from capgo_client.launcher import run
{before}
OPTIONS = json.loads(os.environ["OPTIONS"])
RUN = json.loads(os.environ["RUN"])

if __name__ == "__main__":
    app = Path(__file__).resolve().parent / "app"
    updater = Updater("com.example.launched", "1.0.0", app, **OPTIONS)
    result = run(updater, **RUN)
    print("returned", result)
"""

#: Says what it is, and that it works.
GOOD = """
    import sys
    import version
    from capgo_client import current_updater

    print("opened", version.VERSION, flush=True)

    def main():
        current_updater().notify_app_ready()
        return "done"
"""


def code(text):
    return textwrap.dedent(text).encode()


class Device:
    """One app; `launch()` is a process from its beginning to its end."""

    def __init__(self, folder, service):
        self.folder, self.service = folder, service
        self.app, self.data, self.start = folder / "app", folder / "data", folder / "start.py"
        self.app.mkdir(parents=True)
        self.options = {
            "data_dir": str(self.data),
            "auto_update": "off",
            "app_ready_timeout": 30.0,
            **{name: getattr(service, name) for name in ("update_url", "stats_url", "channel_url")},
        }
        self.run = {"entry": "main:main"}
        self.write()
        self.ship(GOOD)

    def write(self, before=""):
        """The start file; `before` stands in it above everything that it does."""
        self.start.write_text(START.format(before=textwrap.dedent(before)))

    def files(self, version, main, **more):
        own = {"main.py": code(main), "version.py": f"VERSION = {version!r}\n".encode()}
        return {**own, **{name: code(text) for name, text in more.items()}}

    def ship(self, main, **more):
        """What the installer brings."""
        for name, data in self.files("1.0.0", main, **more).items():
            (self.app / name).parent.mkdir(parents=True, exist_ok=True)
            (self.app / name).write_bytes(data)

    def offer(self, version, main=GOOD, **more):
        """What the service has; a launch has to ask for it."""
        self.service.publish(make_bundle(version, self.files(version, main, **more)))

    def bring(self, version, main=GOOD, **more):
        """Install it, and queue it for the next launch: how it comes is no subject of most of these tests."""
        self.offer(version, main, **more)
        with Updater("com.example.launched", "1.0.0", self.app, **self.options) as updater:
            updater.start()
            updater.set_next(updater.download(updater.get_latest()))

    def command(self, *arguments):
        return [sys.executable, str(self.start), *arguments]

    def environment(self, **more):
        dropped = ("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX", "PYTHONSAFEPATH", "PYTHONUNBUFFERED")
        kept = {name: value for name, value in os.environ.items() if name not in dropped}
        orders = {"OPTIONS": json.dumps(self.options), "RUN": json.dumps(self.run)}
        return kept | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"} | orders | more

    def launch(self, *arguments, command=None, cwd=None, **more):
        return subprocess.run(
            command or self.command(*arguments),
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=TIMEOUT,
            env=self.environment(**more),
            cwd=cwd or self.folder,
            check=False,
        )

    @property
    def state(self):
        return json.loads((self.data / "state.json").read_text("utf-8").partition(" ")[2])  # after its checksum

    def installed(self):
        """The folders with the files of the versions that were downloaded."""
        return sorted(self.data.glob("installs/*/app"))


@pytest.fixture
def device(tmp_path, capgo_service):
    return Device(tmp_path / "device", capgo_service)


@pytest.fixture
def opened():
    """Which versions a launch opened, one after the other."""
    return lambda done: [line.split()[1] for line in done.stdout.splitlines() if line.startswith("opened ")]
