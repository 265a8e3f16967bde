"""P4 on real system calls: strace kills a life in place of its n-th openat, write, rename …, or lets a flush fail.

strace is attached to the process that makes the lives, and follows its forks. Its ``when=N`` counts each system call
for each thread by itself, and an install runs in another thread than the start. So one life is traced first without any
injection; of each of its threads every call that names a path below the data directory is a point (call, N), N being
how many of that call this thread had made by then. In the next life whichever thread comes to its N-th such call first
is killed there: mostly that call, sometimes another thread's, which is as good a place. How many were killed at a call
on the data directory is counted and told. A point that the process which makes the lives would reach itself is left
out. `CRASH_CALLS=all` takes every point, else some of each operation.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from capgo_client.testing import Service
from capgo_client.testing.crash.killing import Bench
from capgo_client.testing.crash.operations import OPERATIONS, Scene
from capgo_client.testing.crash.runner import CAN_FORK, Runner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

#: With "?" strace passes over what an architecture does not have.
CALLS = (
    *("openat", "write", "pwrite64", "ftruncate", "ioctl", "fsync", "fdatasync", "syncfs"),
    *("rename", "renameat", "renameat2", "unlink", "unlinkat", "mkdir", "mkdirat", "rmdir", "chmod", "fchmodat"),
)
POINTS = 10_000 if os.environ.get("CRASH_CALLS") == "all" else 8
_LINE = re.compile(r"(?P<tid>\d+) +(?P<call>\w+)\((?P<rest>.*)")


def _obstacle() -> str:
    """Why strace cannot be used here; empty where it can."""
    if not CAN_FORK:
        return "the lives run in forks"
    if shutil.which("strace") is None:
        return "strace is not installed"
    with subprocess.Popen(["sleep", "9"]) as sleeper:
        try:
            with _strace(sleeper.pid, "-e", "trace=none"):
                return ""
        except PermissionError as exc:
            return f"ptrace is not permitted: {exc}"
        finally:
            sleeper.kill()


@contextmanager
def _strace(pid: int, *arguments: str, out: Path | str = os.devnull) -> Iterator[None]:
    """Trace a process and all that it forks, from when this returns. Raises PermissionError."""
    command = ["strace", "-f", "-y", "-o", str(out), *arguments, "-p", str(pid)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        if "attached" not in said or "Operation not permitted" in said:
            process.kill()
            raise PermissionError(said.strip())
        try:
            yield
        finally:
            process.send_signal(signal.SIGINT)  # it detaches


OBSTACLE = _obstacle()
pytestmark = [
    pytest.mark.promise(4),
    pytest.mark.slow,
    pytest.mark.skipif(bool(OBSTACLE), reason=OBSTACLE or "none"),
]


class TracedBench:
    """A bench whose lives are traced."""

    def __init__(self, bench: Bench, runner: Runner, folder: Path) -> None:
        self.bench = bench
        self.runner = runner
        self.out = folder / "trace"
        bench.restore()
        bench.live()  # the process that makes the lives is there from now on

    @contextmanager
    def traced(self, *arguments: str) -> Iterator[None]:
        process = self.runner._process
        assert process is not None
        self.out.unlink(missing_ok=True)
        with _strace(process.pid, *arguments, out=self.out):
            yield

    def points(self) -> list[tuple[str, int]]:
        """Of a life without injection: each call on the data directory, with how many of it its thread had made."""
        self.bench.restore()
        with self.traced("-e", f"trace={','.join(f'?{call}' for call in CALLS)}"):
            life = self.bench.live()
        assert life.ended
        found, made = [], {}
        own = str(self.runner._process.pid)
        for line in self.out.read_text(errors="replace").splitlines():
            match = _LINE.match(line)
            if match is None:
                continue  # a signal, an end, or the second half of a call that is counted already
            key = (match["tid"], match["call"])
            made[key] = made.get(key, 0) + 1
            if str(self.bench.device) in match["rest"]:
                found.append((match["call"], made[key]))
        return [point for point in dict.fromkeys(found) if made.get((own, point[0]), 0) < point[1]]

    def killed_at(self, call: str, number: int) -> tuple[bool, bool, list[str]]:
        """Kill a life there: whether it was killed, whether on the data directory, and what is wrong afterwards."""
        self.bench.restore()
        self.bench.scene.service.forget_callers()
        since = len(self.bench.scene.service.events)
        with self.traced("-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}"):
            life = self.bench.live()
        lines = self.out.read_text(errors="replace").splitlines()
        killed = life.exit == -signal.SIGKILL
        there = killed and any(str(self.bench.device) in line and line.rstrip().endswith("= ?") for line in lines)
        return killed, there, self.bench.judge(life.said, since=since)


@pytest.fixture
def traced_bench(tmp_path, keys) -> Iterator[Callable[[str], TracedBench]]:
    with Service() as service, Runner() as runner:

        def make(name: str) -> TracedBench:
            scene = Scene(tmp_path / "scene", service=service, keys=keys)
            return TracedBench(Bench(scene, OPERATIONS[name], runner), runner, tmp_path)

        yield make


@pytest.mark.parametrize(
    "name", ["first-install", "update", "delta", "apply", "roll-back", "reset", "clean-up", "flush"]
)
def test_killed_at_a_real_system_call_the_next_starts_open_the_old_version_or_the_new_one(traced_bench, tally, name):
    bench = traced_bench(name)
    points = bench.points()
    step = max(1, len(points) // POINTS)
    chosen = points[step // 2 :: step]
    done = {point: bench.killed_at(*point) for point in chosen}
    killed = sum(killed for killed, _, _ in done.values())
    there = sum(there for _, there, _ in done.values())
    wrong = {point: faults for point, (_, _, faults) in done.items() if faults}
    tally("real calls", name, points=killed, on_data=there, of=len(points), failures=len(wrong))
    assert wrong == {}
    assert killed >= len(chosen) * 3 // 4  # a life may take a shorter way through its threads, not often
    assert there > 0


@pytest.mark.parametrize("call", ["fsync", "syncfs"])
def test_a_flush_that_fails_is_not_taken_for_done(traced_bench, call):
    """OSTree's own test does so: what was not flushed is not published."""
    bench = traced_bench("update")
    if call not in {found for found, _ in bench.points()}:
        pytest.skip(f"an install makes no {call} here")
    bench.bench.restore()
    data = bench.bench.device
    before = (data / "state.json").read_bytes(), sorted(os.listdir(data / "installs"))
    with bench.traced("-e", f"trace={call}", "-e", f"inject={call}:error=EIO"):
        life = bench.bench.live()
    after = (data / "state.json").read_bytes(), sorted(os.listdir(data / "installs"))
    assert life.raised == ""
    assert life.said[0] == "opened 2.0.0"
    assert after[1] == before[1]
    assert list((data / "staging").iterdir()) == []
    assert "Input/output error" in life.told["result"]
    if call == "fsync":  # the state is flushed by it alone
        assert after[0] == before[0]
    assert bench.bench.judge(life.said, since=0) == []
