"""Other processes of the same app: what only a real one can show (locks, forks, a death without goodbye)."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import capgo_client

ROOT = Path(capgo_client.__file__).parents[1]

_PRELUDE = """
import json, os, sys, threading
from capgo_client import *
def tell(value):
    print(json.dumps(value), flush=True)
def updater(**options):
    return Updater(**{**json.loads(os.environ["APP"]), **options})
"""


def environment(app, **options):
    """What a child needs: the package, and the app's options (it asks nobody unless they say so)."""
    defaults = {
        "app_id": "com.example.notes",
        "version": "1.4.0",
        "builtin": str(app.builtin),
        "data_dir": str(app.data),
        "update_url": "",
        "stats_url": "",
        "channel_url": "",
    }
    return {**os.environ, "PYTHONPATH": str(ROOT), "APP": json.dumps({**defaults, **options})}


class Child:
    """A process that runs ``body``; ``heard()`` gives what it tells, ``go()`` ends its ``input()``."""

    def __init__(self, app, body, *, script=None, **options):
        command = [sys.executable, str(script)] if script else [sys.executable, "-c", _PRELUDE + body]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(app, **options),
        )

    def heard(self):
        """The next value that it tells."""
        line = self._process.stdout.readline()
        assert line, self._process.stderr.read()
        return json.loads(line)

    def go(self):
        """Let it go on after ``input()``."""
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def kill(self):
        """End it as the system would."""
        self._process.kill()
        self._process.wait(10)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
            raise
        finally:
            self._process.stdout.close()
            self._process.stderr.close()


def in_child(app, body, *, code=0, **options):
    """Run ``body`` in a process of its own; return the list of what it told."""
    done = subprocess.run(
        [sys.executable, "-c", _PRELUDE + body],
        env=environment(app, **options),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]
