"""The service in thirty lines of docs/self-hosting.md serves an app, with the commands of the page."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import snippets

from capgo_client import Updater
from capgo_client.cli.skeleton import FILES
from capgo_client.protocol.codes import meaning_of
from capgo_client.protocol.deliveries import classify_delivery
from capgo_client.protocol.outcomes import UpToDate
from capgo_client.protocol.requests import Identity, info

ROOT = Path(__file__).resolve().parents[2]
PAGE = "docs/self-hosting.md"


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def project(tmp_path, port):
    """The page's files beside an app and its next version, packed by the page's commands."""
    own = {name.removeprefix("app/"): text for name, text in FILES.items() if name.startswith("app/")}
    for folder, greeting in (("app", "Hello.\n"), ("next", "Good evening.\n")):
        for name, text in {**own, "texts/greeting.txt": greeting}.items():
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
    for name, text in snippets.files(PAGE).items():
        (tmp_path / name).write_text(text.replace("8080", str(port)), "utf-8")
    (tmp_path / "capgo-client").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m capgo_client "$@"\n')
    (tmp_path / "capgo-client").chmod(0o755)
    typed = snippets.blocks(PAGE, "sh")[0].text.replace("8080", str(port))
    done = run(tmp_path, ["sh", "-ec", typed])
    assert done.returncode == 0, done.stderr
    return tmp_path


def run(folder, command):
    places = os.pathsep.join([str(folder), os.environ.get("PATH", os.defpath)])
    return subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"PATH": places, "PYTHONPATH": str(ROOT), "XDG_DATA_HOME": str(folder / "home")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def listens(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@contextlib.contextmanager
def served(folder, port):
    command = snippets.words(snippets.commands(snippets.blocks(PAGE, "sh")[1].text.replace("8080", str(port)))[0])
    assert command[0] == "python"
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen([sys.executable, *command[1:]], cwd=folder, stdout=log, stderr=log)
        try:
            while not listens(port):
                with contextlib.suppress(subprocess.TimeoutExpired):
                    server.wait(0.05)
                assert server.poll() is None, (folder / "server.log").read_text()
            yield
        finally:
            server.kill()
            server.wait()


def test_the_service_in_thirty_lines_updates_the_app(project, port):
    with served(project, port):
        said = [run(project, [sys.executable, "start.py"]) for _ in range(3)]

    assert [(done.returncode, done.stderr) for done in said] == [(0, "")] * 3
    assert [done.stdout.splitlines()[0] for done in said] == [
        "Hello. This is version 1.0.0.",
        "Good evening. This is version 1.0.1.",
        "Good evening. This is version 1.0.1.",
    ]
    log = (project / "server.log").read_text()
    assert "/1.0.1/bundle.zip" in log or "/1.0.1/objects/" in log


def test_the_doctor_as_the_page_calls_it_looks_at_this_service_and_at_no_other(project, port):
    typed = snippets.blocks(PAGE, "sh")[2].text.replace("8080", str(port))
    with served(project, port):
        done = run(project, ["sh", "-ec", typed])
    assert done.returncode == 0, done.stdout + done.stderr
    looked_at = [line.split()[2] for line in done.stdout.splitlines() if line.startswith("ok    service")]
    assert looked_at == ["http://127.0.0.1"]
    assert "note  service     channels are turned off" in done.stdout.splitlines()
    assert done.stdout.splitlines()[-1] == "Nothing has to be mended."


def test_it_is_as_short_as_it_says():
    lines = [line for line in snippets.files(PAGE)["server.py"].splitlines() if line.strip()]
    assert len(lines) <= 33


def test_the_bodies_that_the_page_shows_are_those_of_the_protocol(port, project):
    asks, offers, refuses = (json.loads(block.text) for block in snippets.blocks(PAGE, "json"))
    identity = Identity("com.example.notes", asks["device_id"], "1.0.0", "electron", version_os="6.1")
    assert asks == info(identity, version_name="1.0.0")
    assert set(offers) == set(json.loads((project / "public" / "1.0.1" / "update.json").read_text()))
    assert meaning_of(refuses["error"]) is UpToDate


def test_the_service_of_the_page_answers_a_check_and_takes_statistics(project, port, tmp_path):
    with served(project, port):
        url = f"http://127.0.0.1:{port}"
        events = [{"action": "set"}, {"action": "download_complete"}]
        with urllib.request.urlopen(f"{url}/stats", json.dumps(events).encode(), timeout=10) as reply:
            told = classify_delivery(reply.status, {}, reply.read(), count=len(events), now=0.0)
        assert [item.verdict for item in told.items] == ["ok", "ok"]
        with Updater(
            "com.example.notes", "1.0.0", None, update_url=f"{url}/updates", stats_url="", data_dir=tmp_path / "data"
        ) as updater:
            assert updater.get_latest().version == "1.0.1"
