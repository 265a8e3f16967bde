"""A screen for each test session, and apps with a window on it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from x_screen import GLANCE, PATIENCE, missing, x_server

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def needs_kivy():
    """First of all: where there is no Kivy nothing needs a screen."""
    if find_spec("kivy") is None:
        missing("kivy is not installed here; make gui installs it")


@pytest.fixture(scope="session")
def needs_tkinter():
    """It comes with most Pythons, but `make test` has no time for windows."""
    if find_spec("PySide6") is None:
        missing("PySide6 is not installed here; make gui installs it")
    if find_spec("_tkinter") is None:
        missing("this Python has no tkinter: the package python3-tk is not installed")


@pytest.fixture(scope="session")
def screen(tmp_path_factory):
    with x_server(tmp_path_factory.mktemp("screen")) as screen:
        yield screen


class App:
    """A process with a window; what it prints is kept in files, so that it never waits for a reader."""

    def __init__(self, command, environment, folder):
        self._out, self._err = folder / "stdout.txt", folder / "stderr.txt"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=environment,
                cwd=folder,
                start_new_session=True,
            )

    @property
    def printed(self):
        return self._out.read_text("utf-8")

    @property
    def complained(self):
        return self._err.read_text("utf-8")

    def wait_until(self, holds, what):
        end = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < end, f"{what} never happened\n{self.printed}\n{self.complained}"
            threading.Event().wait(GLANCE)

    def wait_for_line(self, text):
        self.wait_until(lambda: text in self.printed, f"the line {text!r}")

    def kill(self):
        """And the child that it may have become."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE)

    def ended(self):
        """Its exit code."""
        return self.process.wait(PATIENCE)


@pytest.fixture
def kivy_app(needs_kivy, screen, tmp_path):
    """Start a Python file as an app with a window; what still runs after the test is killed."""
    running = []

    def start(*command, **more):
        folder = tmp_path / f"app-{len(running)}"
        folder.mkdir()
        own = {
            "DISPLAY": screen.display,
            "KIVY_HOME": str(tmp_path / "kivy"),
            "KIVY_NO_FILELOG": "1",
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",  # the builtin may lie in the source tree
            "PYTHONUNBUFFERED": "1",
        }
        # A window takes the first renderer that the machine has; this one is there on every machine.
        app = App(
            [sys.executable, *map(str, command)], os.environ | own | {"LIBGL_ALWAYS_SOFTWARE": "1"} | more, folder
        )
        running.append(app)
        return app

    yield start
    for app in running:
        app.kill()
    screen.wait_until_empty()
