"""Where things are, how a command is measured, and how several are measured in turns."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench_figures import Figure, Sample, figures, rotated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
#: No measured command may take longer (seconds).
PATIENCE = 600.0
APP_ID, FIRST_VERSION, NEXT_VERSION = "com.example.bench", "1.0.0", "1.0.1"

Command = list[str]


class BenchError(Exception):
    """A measured command did not do what it was to do, so its cost means nothing."""


@dataclass(frozen=True, slots=True)
class Case:
    """A command to be measured; ``command`` and ``before`` are told the round, for fresh folders in each."""

    key: str
    what: str
    command: Callable[[int], Command]
    before: Callable[[int], object] = lambda _: None
    env: dict[str, str] = field(default_factory=dict)
    after: Callable[[int], object] = lambda _: None


@dataclass(slots=True)
class Bench:
    """One run of the benchmarks: ``quick`` has smaller payloads and fewer rounds."""

    venvs: Path
    kept: Path
    work: Path
    quick: bool = False
    #: Instead of each group's own number; for trying the benchmarks themselves.
    rounds: int = 0
    _folders: int = 0

    # ---- where things are ----

    def python(self, venv: str = "ours") -> str:
        """The interpreter of a venv: ours, peers or tufup."""
        return str(self.venvs / venv / "bin" / "python")

    def fresh(self, name: str) -> Path:
        """A folder that never was before: creating files where many were removed is slow on some file systems."""
        self._folders += 1
        folder = self.work / f"{self._folders:04}-{name}"
        folder.mkdir(parents=True)
        return folder

    def child(self, action: str, **options: Any) -> Command:
        """What runs one of our actions (bench_child.py) with the clean venv."""
        return [self.python(), str(HERE / "bench_child.py"), action, json.dumps(options, default=str)]

    def peer(self, action: str, *, venv: str = "peers", **options: Any) -> Command:
        """What runs an action of a yardstick (bench_peers.py)."""
        return [self.python(venv), str(HERE / "bench_peers.py"), action, json.dumps(options, default=str)]

    # ---- running ----

    def run(self, command: Command) -> dict[str, Any]:
        """Run without measuring; returns what it reported. Raises BenchError."""
        done = subprocess.run(command, env=self.environment(), capture_output=True, timeout=PATIENCE, check=False)
        if done.returncode:
            raise BenchError(_failed(command, done.returncode, done.stderr))
        return _report(done.stdout)

    def measure_once(self, case: Case, turn: int) -> Sample:
        """Raises BenchError."""
        case.before(turn)
        command = case.command(turn)
        reading, writing = os.pipe()
        with os.fdopen(reading, "rb") as told:
            spawn = [sys.executable, "-I", "-S", str(HERE / "bench_spawn.py"), str(writing), *_found(command)]
            done = subprocess.run(
                spawn,
                env=self.environment(case.env),
                capture_output=True,
                pass_fds=(writing,),
                timeout=PATIENCE,
                check=False,
            )
            os.close(writing)
            said = told.read().split()
        if len(said) != 4 or int(said[3]):
            raise BenchError(_failed(command, int(said[3]) if len(said) == 4 else done.returncode, done.stderr))
        case.after(turn)
        sample = {"wall": int(said[0]) / 1e9, "cpu": float(said[1]), "peak": int(said[2]) * _peak_unit()}
        return {**sample, **_report(done.stdout)}

    def measure(self, cases: Sequence[Case], *, rounds: int, warm: bool = True) -> dict[str, dict[str, Figure]]:
        """All cases in turns. ``warm``: once before for each, which does not count. Raises BenchError."""
        by_key = {case.key: case for case in cases}
        samples: dict[str, list[Sample]] = {key: [] for key in by_key}
        for case in cases if warm else ():
            self.measure_once(case, -1)
        for turn, key in rotated(list(by_key), self.rounds or rounds):
            samples[key].append(self.measure_once(by_key[key], turn))
        return {key: figures(found) for key, found in samples.items()}

    def instructions(self, case: Case) -> float | None:
        """CPU instructions in user mode, all threads; None where they cannot be counted."""
        command = counter()
        if command is None:
            return None
        case.before(-2)
        done = subprocess.run(
            [*command, *_found(case.command(-2))], env=self.environment(case.env), capture_output=True, check=False
        )
        return counted(done.stderr.decode("utf-8", "replace"))

    def environment(self, more: dict[str, str] | None = None) -> dict[str, str]:
        """Nothing of the caller's but the path: no proxies, no PYTHONPATH. The home is the benchmark's."""
        home = self.work / "home"
        home.mkdir(parents=True, exist_ok=True)
        return {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", **(more or {})}

    # ---- what is served ----

    @contextlib.contextmanager
    def server(self, root: Path, *, tls: bool = False) -> Iterator[Server]:
        """Serve a folder from a process of its own."""
        command = [self.python(), str(HERE / "bench_server.py"), str(root), *(["--tls", str(root)] if tls else [])]
        process = subprocess.Popen(command, env=self.environment(), stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            yield Server(f"{'https' if tls else 'http'}://127.0.0.1:{port}", root)
        finally:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()

    def payload(self, kind: str, *options: object) -> Path:
        """The folder of a payload, made once and kept (bench_payload.py)."""
        folder = self.kept / "-".join(map(str, (kind, *options)))
        if not (folder / "done").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            say(f"making the payload {folder.name}")
            self.run([self.python(), str(HERE / "bench_payload.py"), kind, str(folder), *map(str, options)])
            (folder / "done").touch()
        return folder


@dataclass(frozen=True)
class Server:
    """The benchmarks' server; see bench_server.py."""

    url: str
    root: Path

    def offer(self, name: str, **answer: Any) -> str:
        """Have ``/name/updates`` answer so; returns that address."""
        folder = self.root / name
        folder.mkdir(exist_ok=True)
        (folder / "updates.json").write_text(json.dumps(answer), "utf-8")
        return f"{self.url}/{name}/updates"

    def share(self, name: str, target: Path) -> str:
        """Serve another folder below ``/name``; returns its address."""
        link = self.root / name
        if not link.exists():
            link.symlink_to(target)
        return f"{self.url}/{name}"

    def sent(self) -> dict[str, int]:
        """What was sent since the last call."""
        from urllib.request import ProxyHandler, Request, build_opener

        opener = build_opener(ProxyHandler({}))
        with opener.open(Request(f"{self.url}/_sent", method="DELETE")) as reply:
            return json.load(reply)


def say(text: str) -> None:
    """Tell what is being done; the table alone goes to stdout."""
    print(text, file=sys.stderr, flush=True)


def meta(payload: Path) -> dict[str, Any]:
    """What bench_payload.py wrote down about a payload."""
    return json.loads((payload / "meta.json").read_text("utf-8"))


def flush() -> None:
    """Write out what others left to be written, so that nobody's flush pays for it."""
    os.sync()


def _found(command: Command) -> Command:
    program = shutil.which(command[0])
    if program is None:
        raise BenchError(f"{command[0]} is not installed here")
    return [program, *command[1:]]


def _report(stdout: bytes) -> dict[str, Any]:
    """The last line, where it is a JSON object."""
    lines = stdout.decode("utf-8", "replace").strip().splitlines()
    return json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {}


def _failed(command: Command, status: int, stderr: bytes) -> str:
    tail = "\n".join(stderr.decode("utf-8", "replace").strip().splitlines()[-12:])
    return f"{' '.join(command)[:300]} ended with status {status}: {tail}"


_COUNTERS = (
    ("perf", "stat", "-e", "instructions:u", "-x,"),
    ("valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"),
)


@functools.cache
def counter() -> tuple[str, ...] | None:
    """What counts instructions here: the processor, else valgrind, which runs each of them by itself."""
    for command in _COUNTERS:
        if shutil.which(command[0]) is not None:
            done = subprocess.run([*command, "true"], capture_output=True, check=False)
            if counted(done.stderr.decode("utf-8", "replace")) is not None:
                return command
    return None


def counted(stderr: str) -> float | None:
    """The number that a counter told; None where it told none."""
    for line in stderr.splitlines():
        fields = line.split(",")
        if len(fields) > 2 and fields[2].startswith("instructions") and fields[0].isdigit():
            return float(fields[0])
        if told := re.fullmatch(r"==\d+== I +refs: +([\d,]+)", line.strip()):
            return float(told[1].replace(",", ""))
    return None


def _peak_unit() -> int:
    """What ``ru_maxrss`` counts in: KiB, but bytes on macOS."""
    return 1 if sys.platform == "darwin" else 1024
