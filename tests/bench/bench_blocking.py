"""How long a check keeps the app waiting, by what the service does: every client in a process of its own."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench_figures import Chart, Findings, Line, Ratio
from bench_harness import HERE, Bench, BenchError, Command, say
from dead_name_server import RESOLV_CONF, namespaces

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Whoever is not back then is shown as blocked for longer (seconds).
CUT = 20.0
#: Promise P1: no check takes longer, and everything else that ``start()`` does 0.1 s.
LIMIT = 3.1
#: Importing and reading the disk, before the watch starts; all at once on a small machine (seconds).
_READY = 90.0

TROUBLES = {
    "silent": "a silent server",
    "headers": "headers at 1 byte/s",
    "body": "body at 1 byte/s",
    "busy": "503, Retry-After: 120",
    "nameless": "a name server that never answers",
}
OURS = {"start": 'start(), auto_update="always"', "ask": "get_latest()"}
PEERS = {"tuf": "python-tuf", "tufup": "tufup", "velopack": "velopack", "httpx": "httpx, timeout=3"}
_VENVS = {"tuf": "peers", "tufup": "tufup", "velopack": "peers", "httpx": "peers"}


@dataclass(slots=True)
class Watched:
    """A client and what became of it: seconds, ``CUT`` for "not back by then"."""

    trouble: str
    who: str
    process: subprocess.Popen[str]
    seconds: float = CUT
    said: str = ""

    def wait_ready(self) -> None:
        assert self.process.stdout is not None
        while (line := self.process.stdout.readline()) and line.strip() != "ready":
            pass
        if not line:
            raise BenchError(f"{self.who} did not begin: {self.process.communicate()[1][-600:]}")

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def listen(self) -> None:
        """Take the report; ended by the process being killed."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):
                told: dict[str, Any] = json.loads(line)
                self.seconds, self.said = min(CUT, told["seconds"]), told["said"]


def run(bench: Bench) -> Findings:
    """See docs/benchmarks.md."""
    findings = Findings()
    prefix = namespaces()
    troubles = [name for name in TROUBLES if name != "nameless" or prefix is not None]
    with _trouble() as url, tempfile.TemporaryDirectory(prefix="bench-") as folder:
        commands = _commands(bench, url, troubles, prefix or [], folder)
        watched = _started(bench, commands)
        try:
            _watch(watched)
        finally:
            for each in watched:
                each.process.kill()
                each.process.communicate()
    found = {(each.trouble, each.who): each for each in watched}
    for trouble in troubles:
        _judge(findings, trouble, {who: found[trouble, who] for who in (*OURS, *PEERS)})
    if prefix is None:
        findings.remarks.append("no name server of our own: new network namespaces are not permitted here")
    findings.remarks.append(f"all {len(watched)} processes at the same time, cut off at {CUT:g} s; imports done before")
    return findings


def _judge(findings: Findings, trouble: str, found: dict[str, Watched]) -> None:
    names = {**OURS, **PEERS}
    for who, each in found.items():
        late = each.seconds >= CUT
        note = f"> {CUT:g} s" if late else each.said
        what = f"{TROUBLES[trouble]}: {names[who]}"
        findings.lines.append(Line(what, wall=None if late else each.seconds, note=note))
    for who in OURS:
        about = f"{TROUBLES[trouble]}: {names[who]} / {LIMIT:g} s"
        findings.ratios.append(Ratio(f"blocking/{trouble}/{who}", about, found[who].seconds / LIMIT, 1.0, slack=0.3))
    labels = {"start": "start", "ask": "get-latest", "httpx": "httpx, timeout=3"}
    bars = tuple((labels.get(who, names[who]), each.seconds) for who, each in found.items())
    ours = tuple(labels[who] for who in OURS)
    findings.charts.append(Chart(f"a check, {TROUBLES[trouble].lower()}", "s", bars, ours, LIMIT, CUT))


def _commands(
    bench: Bench, url: str, troubles: list[str], prefix: Command, folder: str
) -> list[tuple[str, str, Command]]:
    root = _root(bench)
    resolv = f"{folder}/resolv.conf"
    with open(resolv, "w", encoding="ascii") as file:
        file.write(RESOLV_CONF)
    found = []
    for trouble in troubles:
        base = "http://updates.bench.test" if trouble == "nameless" else f"{url}/{trouble}"
        for who in (*OURS, *PEERS):
            place = bench.fresh(f"blocking-{trouble}-{who}")
            if who in OURS:
                command = bench.child("blocked", what=who, data_dir=place / "data", url=f"{base}/updates")
            else:
                options = {"who": who, "folder": place / "client", "url": base, "targets_url": base, "root": root}
                command = bench.peer("blocked", venv=_VENVS[who], **options)
            if trouble == "nameless":
                command = [*prefix, sys.executable, str(HERE / "bench_nameless.py"), resolv, *command]
            found.append((trouble, who, command))
    return found


def _root(bench: Bench) -> Path:
    """The trusted root of some repository, which a client has to have before it asks."""
    folder = bench.fresh("blocking-repository")
    (folder / "targets").mkdir()
    bench.run(bench.peer("make_repository", targets=folder / "targets", repository=folder))
    return folder / "metadata" / "root.json"


def _started(bench: Bench, commands: list[tuple[str, str, Command]]) -> list[Watched]:
    watched = []
    for trouble, who, command in commands:
        process = subprocess.Popen(
            command,
            env=bench.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        watched.append(Watched(trouble, who, process))
    return watched


def _watch(watched: list[Watched]) -> None:
    end = time.monotonic() + _READY
    for each in watched:
        each.wait_ready()
        if time.monotonic() > end:
            raise BenchError("the clients did not begin in time")
    threads = [threading.Thread(target=each.listen, daemon=True) for each in watched]
    say(f"{len(watched)} clients ask at once")
    for each, thread in zip(watched, threads, strict=True):
        thread.start()
        each.go()
    late = time.monotonic() + CUT
    for thread in threads:
        thread.join(max(0.0, late - time.monotonic()))


@contextlib.contextmanager
def _trouble() -> Iterator[str]:
    process = subprocess.Popen([sys.executable, str(HERE / "bench_trouble.py")], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.communicate()
