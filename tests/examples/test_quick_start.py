"""Somebody who follows the README's first section from an empty folder has an app that updates itself on the screen.

The commands are read out of the README and typed, in their order, into two shells.
"""

from __future__ import annotations

import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
from pathlib import Path

import pytest
import snippets

ROOT = Path(__file__).resolve().parents[2]
HEADING = "Ten minutes, from an empty folder"
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
        """Have a command carried out; what it showed. It has to end well."""
        self._send(f"{command}\necho {DONE} $?")
        *shown, last = self._until(DONE)
        assert last == f"{DONE} 0", (command, shown, last)
        return "\n".join(shown)

    def serve(self, command: str) -> None:
        """Have a command go on until Ctrl-C, from when it says that it does."""
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


@pytest.fixture
def terminals(tmp_path):
    """Both, in the same empty folder, of a person who has a Python and a home."""
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
    both = {name: Terminal(folder, kept | home | {"PATH": path}) for name in ("first", "second")}
    yield both
    for terminal in both.values():
        terminal.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def put_in_place(venv: Path) -> None:
    """What `pip install` of a checkout would do, without any network: the same code, with what we run with."""
    (packages,) = venv.glob("lib/python*/site-packages")
    seen = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), str(ROOT)]
    (packages / "checkout.pth").write_text("\n".join(dict.fromkeys(seen)))
    script = venv / "bin" / "capgo-client"
    script.write_text(f"#!{venv}/bin/python\nimport sys\nfrom capgo_client.cli import main\nsys.exit(main())\n")
    script.chmod(0o755)


@pytest.mark.parametrize(
    "installed", [pytest.param(False, id="checkout"), pytest.param(True, id="pip", marks=pytest.mark.slow)]
)
@pytest.mark.skipif(shutil.which("bash") is None, reason="the commands are for a POSIX shell")
def test_a_person_who_types_what_the_readme_says_has_an_app_that_updates_itself(terminals, tmp_path, installed):
    port = free_port()
    shown: list[str] = []
    for block in snippets.blocks("README.md", "sh"):
        if block.text not in snippets.section("README.md", HEADING):
            continue
        terminal = terminals[block.title.split()[0]]
        if terminal.serving:
            terminal.interrupt()
        for line in block.body.replace("8765", str(port)).splitlines():
            command, said = snippets.without_remark(line), snippets.remark(line)
            if command.endswith("-m venv .venv") and not installed:
                command += " --without-pip"  # seconds, for what is not used then
            if "pip install" in command:
                if not installed:
                    put_in_place(tmp_path / "empty" / ".venv")
                    continue
                command = command.replace("path/to/capgo_client", str(ROOT)) + " --quiet --disable-pip-version-check"
            if command.startswith("capgo-client serve"):
                terminal.serve(command)
                continue
            seen = terminal.type(command)
            if command == "python dev.py":
                assert said in seen.splitlines(), seen
                shown.append(seen)
            if command.startswith("capgo-client new"):
                # Only so that two of these tests can run at a time.
                dev = tmp_path / "empty" / "notes" / "dev.py"
                dev.write_text(dev.read_text("utf-8").replace("8765", str(port)), "utf-8")

    assert [text.splitlines()[-1] for text in shown] == [
        "Hello. This is version 1.0.0.",
        "Version 1.0.1 opens at the next start.",
        "Good evening. This is version 1.0.1.",
        "Version 1.0.2 opens at the next start.",
        "Good evening. This is version 1.0.1.",
    ]
    assert "RuntimeError: broken" in shown[-1]


def test_it_takes_few_commands():
    section = snippets.section("README.md", HEADING)
    typed = [snippets.commands(block.text) for block in snippets.blocks("README.md", "sh") if block.text in section]

    assert sum(map(len, typed[:3])) <= 13
    assert sum(map(len, typed)) <= 18
