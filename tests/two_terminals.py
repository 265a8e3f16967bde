"""What a person has who follows the README: two shells in the same empty folder, a Python and a home."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import snippets

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
#: Nothing that is typed takes longer, installing apart (seconds).
PATIENCE = 60.0
DONE = "typed-and-done"


class Terminal:
    """A shell that reads what is typed; what it shows is kept."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._lines: queue.Queue[str] = queue.Queue()
        self._shell = subprocess.Popen(
            ["bash", "--norc", "--noprofile"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.serving = False

    def _read(self) -> None:
        for line in self._shell.stdout:
            self._lines.put(line.rstrip("\n"))

    def _send(self, text: str) -> None:
        self._shell.stdin.write(text + "\n")
        self._shell.stdin.flush()

    def _until(self, end: str) -> list[str]:
        seen = []
        while not seen or not seen[-1].startswith(end):
            try:
                seen.append(self._lines.get(timeout=PATIENCE))
            except queue.Empty:
                pytest.fail(f"waited for {end!r} and saw {seen}")
        return seen

    def type(self, command: str) -> str:
        """Have a command carried out; what it showed. It has to end well. What is served here is ended before."""
        if self.serving:
            self.interrupt()
        self.begin(command)
        return self.end()

    def begin(self, command: str) -> None:
        """Have a command go on, as one that opens a window."""
        self._send(f"{command}; echo {DONE} $?")

    def end(self) -> str:
        """What the command showed that was begun, once it has ended, well."""
        *shown, last = self._until(DONE)
        assert last == f"{DONE} 0", (shown, last)
        return "\n".join(shown)

    def serve(self, command: str) -> None:
        """Have a command go on until Ctrl-C, from when it says that it does."""
        if self.serving:
            self.interrupt()
        self._send(command)
        self._until("Serving until Ctrl-C.")
        self.serving = True

    def interrupt(self) -> None:
        """Ctrl-C."""
        os.killpg(self._shell.pid, signal.SIGINT)
        self.serving = False
        self.type("true")

    def close(self) -> None:
        os.killpg(self._shell.pid, signal.SIGKILL)
        self._shell.wait()
        self._reader.join()
        self._shell.stdin.close()
        self._shell.stdout.close()


@contextlib.contextmanager
def two_terminals(tmp_path: Path, **more: str) -> Iterator[dict[str, Terminal]]:
    """Called "first" and "second" as in the README, in the folder `empty`; `more` goes into their environment."""
    folder = tmp_path / "empty"
    folder.mkdir()
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "PYTEST", "CAPGO", "VIRTUAL_ENV")) and not name.lower().endswith("_proxy")
    }
    home = {"HOME": str(tmp_path / "home"), "XDG_DATA_HOME": str(tmp_path / "home" / "data")}
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").symlink_to(sys.executable)
    path = os.pathsep.join([str(tmp_path / "bin"), kept.get("PATH", os.defpath)])
    both = {name: Terminal(folder, kept | home | more | {"PATH": path}) for name in ("first", "second")}
    try:
        yield both
    finally:
        for terminal in both.values():
            terminal.close()


def typed(page: str, heading: str, *, port: int) -> Iterator[tuple[str, str, str]]:
    """The commands of a section in their order, where it says in which terminal: that, each, and what stands beside it.

    Its service listens at `port`, so that two tests can run at a time.
    """
    for block in snippets.blocks(page, "sh"):
        if block.title and block.text in snippets.section(page, heading):
            for line in block.body.replace("8765", str(port)).splitlines():
                yield block.title.split()[0], snippets.without_remark(line), snippets.remark(line)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def point_at(port: int, dev: Path) -> None:
    """Have the project's dev.py ask the service there."""
    dev.write_text(dev.read_text("utf-8").replace("8765", str(port)), "utf-8")


def put_in_place(venv: Path) -> None:
    """What `pip install` of a checkout would do, without any network: the same code, with what we run with."""
    (packages,) = venv.glob("lib/python*/site-packages")
    seen = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), str(ROOT)]
    (packages / "checkout.pth").write_text("\n".join(dict.fromkeys(seen)))
    script = venv / "bin" / "capgo-client"
    script.write_text(f"#!{venv}/bin/python\nimport sys\nfrom capgo_client.cli import main\nsys.exit(main())\n")
    script.chmod(0o755)
