"""Runs cells in processes of their own, several at a time: forks of this one, warmed up, or fresh interpreters."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from capgo_client.testing import BundleKeys

from .bugs import BUGS
from .cell import Facts, run, template
from .launch import HAS_FORK
from .matrix import STATES, Cell
from .promises import is_only_late, judge

#: No cell takes longer: then it is ended, and that is what is wrong with it (seconds).
LIMIT = 150.0
_GLANCE = 0.01


def judged(cell: Cell, templates: Path | None = None, *, bug=None) -> Facts:
    """One cell, here, with its complaints; ``bug`` is put into the library first."""
    if bug is not None:
        bug()
    facts = run(cell, templates)
    facts.broken = judge(facts)
    return facts


class Farm:
    """A context manager; ``run`` yields the facts of each cell as it ends. Templates are made once.

    A cell that is late among others is tried once more at the end, alone: what the library does it does again, what
    the others did to it they do not.
    """

    def __init__(self, workers: int, *, bug: str = "") -> None:
        self._workers, self._bug = workers, bug
        self._folder = tempfile.TemporaryDirectory(prefix="capgo-farm-", ignore_cleanup_errors=True)
        self._running: dict = {}

    def __enter__(self):
        self._place = Path(self._folder.name)
        for owner in ("publisher", "stranger"):
            BundleKeys.generate(owner)  # once, or every fork would
        for state in STATES[1:] if HAS_FORK else ():  # a fresh interpreter has keys of its own, so it makes its own
            # In a child, so that no thread of a service is left here when cells are forked.
            for signed in (True, False):
                self._in_child(lambda state=state, signed=signed: template(state, self._place / "templates", signed))
        return self

    def __exit__(self, *_) -> None:
        for child, (_, _, _) in self._running.items():
            _end(child)
        self._folder.cleanup()

    def _in_child(self, work) -> None:
        child = os.fork()
        if not child:
            code = 1
            try:
                work()
                code = 0
            except BaseException:
                import traceback

                traceback.print_exc()
            finally:
                os._exit(code)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
            raise RuntimeError("no device could be set up for the cells")

    def run(self, cells):
        """The facts of every cell, in the order in which they end."""
        late = []
        for facts in self._run(cells, self._workers):
            if self._workers > 1 and not self._bug and is_only_late(facts):
                late.append(Cell(facts.fault, facts.mode, facts.state, facts.on, facts.real))
            else:
                yield facts
        for facts in self._run(late, 1):
            facts.again = True
            yield facts

    def _run(self, cells, workers: int):
        waiting = list(reversed(cells))
        while waiting or self._running:
            while waiting and len(self._running) < workers:
                self._begin(waiting.pop())
            yield from self._ended()
            time.sleep(_GLANCE)

    def _begin(self, cell: Cell) -> None:
        out = self._place / f"{cell.name}.json"
        child = self._forked(cell, out) if HAS_FORK else self._spawned(cell, out)
        self._running[child] = (cell, out, time.monotonic())

    def _forked(self, cell: Cell, out: Path):
        sys.stdout.flush()
        child = os.fork()
        if not child:
            try:
                facts = judged(cell, self._place / "templates", bug=BUGS.get(self._bug))
                out.write_text(json.dumps(asdict(facts)), "utf-8")
            finally:
                os._exit(0)
        return child

    def _spawned(self, cell: Cell, out: Path):
        order = {"cell": asdict(cell), "templates": str(self._place / "templates"), "bug": self._bug, "out": str(out)}
        return subprocess.Popen([sys.executable, "-m", "faults.farm", json.dumps(order)])

    def _ended(self):
        for child, (cell, out, began) in list(self._running.items()):
            late = time.monotonic() - began > LIMIT
            if late:
                _end(child)
            if not late and not _is_over(child):
                continue
            del self._running[child]
            yield self._told(cell, out, late=late)

    def _told(self, cell: Cell, out: Path, *, late: bool) -> Facts:
        try:
            facts = Facts(**json.loads(out.read_text()))
        except (OSError, ValueError):
            facts = Facts(cell.fault, cell.mode, cell.state, cell.on, cell.real)
            facts.error = f"not over after {LIMIT:g} s" if late else "its process ended and said nothing"
            facts.broken = judge(facts)
        with contextlib.suppress(OSError):
            out.unlink()
        return facts


def _is_over(child) -> bool:
    if isinstance(child, subprocess.Popen):
        return child.poll() is not None
    return os.waitpid(child, os.WNOHANG)[0] == child


def _end(child) -> None:
    if isinstance(child, subprocess.Popen):
        child.kill()
        child.wait()
        return
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _one(text: str) -> None:
    """One cell in a fresh interpreter, where nothing can be forked."""
    order = json.loads(text)
    bug = BUGS.get(order["bug"])
    facts = judged(Cell(**order["cell"]), Path(order["templates"]), bug=bug)
    Path(order["out"]).write_text(json.dumps(asdict(facts)), "utf-8")


def _several(text: str) -> None:
    """The cells of an order, two at a time; a line of JSON for each."""
    order = json.loads(text)
    with Farm(2, bug=order["bug"]) as farm:
        for facts in farm.run([Cell(**cell) for cell in order["cells"]]):
            print(json.dumps(asdict(facts)), flush=True)


if __name__ == "__main__":
    (_one if '"cell":' in sys.argv[1] else _several)(sys.argv[1])
