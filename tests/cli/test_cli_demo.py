"""`capgo-client demo` plays the story wherever it lies, and says when a promise broke."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from capgo_client.cli import demo, main

ROOT = Path(__file__).resolve().parents[2]
#: The story is over by then, or hangs (seconds).
TIMEOUT = 60.0


@pytest.fixture
def story(tmp_path, monkeypatch):
    """A story that ends with this code, in the place of ours."""

    def write(code):
        (tmp_path / "demo.py").write_text(f"import capgo_client, sys\nprint('told')\nsys.exit({code})\n")
        monkeypatch.setattr(demo, "_PLACES", (tmp_path / "nowhere", tmp_path))

    return write


@pytest.mark.parametrize(("ends", "code"), [(0, 0), (1, 1), (3, 1)])
def test_the_story_says_whether_all_promises_were_kept(story, capsys, ends, code):
    story(ends)
    assert main(["demo", "--json"]) == code
    assert json.loads(capsys.readouterr().out) == {"ok": code == 0, "told": ["told"]}


def test_without_json_it_is_told_as_it_happens(story, capfd):
    story(0)
    assert main(["demo"]) == 0
    assert capfd.readouterr().out == "told\n"


@pytest.fixture
def playing(environment, tmp_path):
    """The real story in a group of its own, when it has said its first line."""
    with subprocess.Popen(
        [sys.executable, "-m", "capgo_client", "demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=environment,
        cwd=tmp_path,
        start_new_session=True,
    ) as process:
        assert process.stdout.readline().startswith("An app, a device")
        yield process
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.skipif(os.name == "nt", reason="there are no process groups")
def test_ctrl_c_ends_the_story_without_a_word(playing, environment):
    os.killpg(playing.pid, signal.SIGINT)
    assert playing.wait(TIMEOUT) == 130
    assert playing.stderr.read() == ""
    assert list(Path(environment["TMPDIR"]).iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="a pipe that nobody reads is told otherwise there")
def test_the_story_ends_well_and_without_a_word_when_nobody_reads_it_any_more(playing, environment):
    playing.stdout.close()
    assert playing.wait(TIMEOUT) == 0
    assert playing.stderr.read() == ""
    assert list(Path(environment["TMPDIR"]).iterdir()) == []


def test_an_installation_without_it_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(demo, "_PLACES", (tmp_path,))
    assert main(["demo"]) == 2
    assert "without the demo" in capsys.readouterr().err


def test_a_checkout_has_the_story_and_the_wheel_takes_all_of_it():
    assert (demo._PLACES[1] / "demo.py").samefile(ROOT / "examples" / "demo.py")
    included = (ROOT / "pyproject.toml").read_text("utf-8").split("force-include]")[1].split("[tool.")[0]
    for name in ("demo.py", "demo_stage.py", "hello"):
        assert f'"examples/{name}" = "capgo_client/cli/story/{name}"' in included
        assert (ROOT / "examples" / name).exists()
