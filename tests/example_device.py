"""An example of `examples/` on a device: its file is the builtin's `main.py`, launched as its demo launches it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from capgo_client import Updater
from capgo_client.testing import make_bundle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from capgo_client.testing import Service

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
#: No launch of these tests takes longer; one that does hangs (seconds).
TIMEOUT = 60.0


class ExampleDevice:
    """One app of one device; `launch()` is a process from its beginning to its end."""

    def __init__(self, name: str, folder: Path, service: Service, **options: object) -> None:
        self.file, self.folder, self.service = copy_of_example(name, folder), folder, service
        self.source = self.file.read_text("utf-8")
        self.app_id = re.search(r'Updater\(\s*"([\w.]+)"', self.source).group(1)
        self.app = folder / "app"
        self.app.mkdir(parents=True)
        (self.app / "main.py").write_text(self.source, "utf-8")
        urls = {name: getattr(service, name) for name in ("update_url", "stats_url", "channel_url")}
        self.options = {"data_dir": str(folder / "data"), "app_ready_timeout": 30.0, **urls, **options}

    def changed(self, *replacements: tuple[str, str]) -> str:
        """The example's own code with these texts in place of others, each where it stands first: in the app's part."""
        code = self.source
        for old, new in replacements:
            assert old in code.partition("# ---- start.py")[0], old
            code = code.replace(old, new, 1)
        return code

    def ship(self, *replacements: tuple[str, str]) -> None:
        """What the installer brings, changed so."""
        (self.app / "main.py").write_text(self.changed(*replacements), "utf-8")

    def publish(self, version: str, *replacements: tuple[str, str]) -> None:
        self.service.publish(make_bundle(version, {"main.py": self.changed(*replacements)}))

    def command(self) -> list[str]:
        return [sys.executable, str(self.file), str(self.app), json.dumps(self.options)]

    def launch(self, **environment: str) -> subprocess.CompletedProcess[str]:
        return run_quietly(self.command(), self.folder, **environment)

    @contextlib.contextmanager
    def running(self, **environment: str) -> Iterator[subprocess.Popen[str]]:
        """A launch that goes on while the block does; killed at its end if it has not ended by itself."""
        process = subprocess.Popen(
            self.command(),
            cwd=self.folder,
            env=clean_environment(**environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        with process:
            try:
                yield process
            finally:
                process.kill()

    def tell(self) -> None:
        """Have what the launches wrote down sent to the service; they may have been too short for that."""
        with Updater(self.app_id, "1.0.0", self.app, **{**self.options, "auto_update": "off"}) as updater:
            updater.start()
            self.service.wait_for_requests(1 + len(self._deliveries()), 10.0, on="stats")

    def _deliveries(self) -> list[object]:
        return [request for request in self.service.requests if request.path == "/stats"]

    def told(self, action: str) -> list[str]:
        """The versions of which the service was told this, in the order in which it was told."""
        return [str(event["version_name"]) for event in self.events() if event["action"] == action]

    def events(self) -> list[dict[str, object]]:
        """What the service was told, each once: what was under way when a launch ended is sent again by the next."""
        events: list[dict[str, object]] = []
        for event in self.service.events:
            if event not in events:
                events.append(event)
        return events


def run_quietly(command: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        env=clean_environment(**environment),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=TIMEOUT,
        check=False,
    )


def clean_environment(**more: str) -> dict[str, str]:
    """Ours, without what hides the byte code that an example could leave behind; `PYTHONPATH` is put before ours."""
    dropped = ("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX", "PYTHONSAFEPATH", "PYTHONUNBUFFERED", "PYTHONPATH")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    path = os.pathsep.join(filter(None, (more.pop("PYTHONPATH", ""), str(ROOT))))
    return kept | {"PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"} | more


def copy_of_example(name: str, folder: Path) -> Path:
    """Its file alone in a folder of its own: what runs from it leaves there what it would leave in `examples/`."""
    copy = folder / "example" / name
    copy.parent.mkdir(parents=True)
    copy.write_bytes((EXAMPLES / name).read_bytes())
    return copy


def left_as_it_was(copy: Path) -> bool:
    """Whether the copy of an example is still what it was, with nothing beside it."""
    return list(copy.parent.rglob("*")) == [copy] and copy.read_bytes() == (EXAMPLES / copy.name).read_bytes()
