"""Starts in processes of their own, timed from outside."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

ONE_START = Path(__file__).with_name("one_start.py")


@dataclass(frozen=True)
class Observed:
    """What a process said of its start() and what was seen of its end. Times are monotonic seconds."""

    began: float
    took: float
    version: str
    code: str
    text: str
    threads: list
    sockets: int
    ended: float
    gone: float

    @property
    def deadline(self):
        return self.began + 3.0

    @property
    def exit_took(self):
        return self.gone - self.ended


class Start:
    """One start() in a process of its own; see ``one_start.py`` for the orders that it takes."""

    def __init__(self, options, *, prefix=(), **orders):
        text = json.dumps({"options": options, **orders})
        self.process = subprocess.Popen(
            [*prefix, sys.executable, str(ONE_START), text],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._line, self._gone = "", 0.0
        # A thread for each, so that one that ends late does not make the others' ends look late.
        self._watcher = threading.Thread(target=self._watch)
        self._watcher.start()

    def _watch(self):
        self._line = self.process.stdout.readline()
        self.process.wait()
        self._gone = time.monotonic()

    def say(self):
        """Let a process that was told to ``linger`` end its main."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def observed(self):
        """Wait for its end."""
        self._watcher.join(30)
        assert not self._watcher.is_alive(), "the process did not end at all"
        errors = self.process.stderr.read()
        assert self._line, errors
        assert self.process.returncode == 0, errors
        return Observed(**json.loads(self._line), gone=self._gone)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self._watcher.join(30)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            with contextlib.suppress(OSError):
                pipe.close()
