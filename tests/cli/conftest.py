"""Runs the command line as a person does: in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: No command of these tests takes longer; one that does hangs (seconds).
TIMEOUT = 60.0


@pytest.fixture
def environment(tmp_path):
    """Ours, with the library where it lies, and temporary files where the test can see them."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    folder = tmp_path / "temporary"
    folder.mkdir()
    return kept | {"PYTHONPATH": str(ROOT), "TMPDIR": str(folder), "PYTHONIOENCODING": "utf-8"}


@pytest.fixture
def command(environment, tmp_path):
    """Run one command to its end."""

    def run(*arguments, **more):
        return subprocess.run(
            [sys.executable, "-m", "capgo_client", *map(str, arguments)],
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=TIMEOUT,
            env={**environment, **more},
            cwd=tmp_path,
            check=False,
        )

    return run


class Serving:
    """A `serve --json` that runs; `line()` is the next thing that it says."""

    def __init__(self, process):
        self.process = process
        self.urls = self.line()

    def line(self):
        return json.loads(self.process.stdout.readline())


@pytest.fixture
def serve(environment, tmp_path):
    """Start `serve --json`; ended with the test, whatever happens."""
    running = []

    def start(*arguments):
        process = subprocess.Popen(
            [sys.executable, "-m", "capgo_client", "serve", "--json", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=environment,
            cwd=tmp_path,
        )
        running.append(process)
        return Serving(process)

    yield start
    for process in running:
        process.kill()
        process.communicate(timeout=TIMEOUT)
