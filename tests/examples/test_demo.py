"""The demo keeps its word, and can tell when a promise is broken."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"


@pytest.fixture
def device() -> Iterator[Path]:
    """Where the demo puts its temporary folder: in memory if possible, because it measures times."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


def play(cwd: Path, device: Path, *, sabotage: str = "") -> subprocess.CompletedProcess[str]:
    """Run the demo as ``make demo`` does, but from elsewhere; ``sabotage`` is run in every process of it."""
    (cwd / "places").mkdir()
    (cwd / "places" / "sitecustomize.py").write_text(sabotage)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join((str(cwd / "places"), str(ROOT))),
        "TMPDIR": str(device),
        "TEMP": str(device),
        "PYTHONIOENCODING": "utf-8",
    }
    return subprocess.run(
        [sys.executable, str(EXAMPLES / "demo.py")],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


@pytest.mark.slow
def test_the_demo_tells_the_whole_story_and_every_promise_is_kept(tmp_path, device):
    done = play(tmp_path, device)

    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    opened = [line.split()[3] for line in done.stdout.splitlines() if line[7:].startswith("  app ") and "says" in line]
    assert opened == [
        *("1.0.0", "2.0.0"),  # it arrives, it opens
        *("2.0.0", "3.0.0", "2.0.0"),  # the bad one arrives, crashes, does not come back
        *("2.0.0", "2.0.0", "2.0.0"),  # unsigned, plan ended, killed
        *("2.0.0", "2.0.0", "2.0.0"),  # silent, dripping, gone
        *("2.0.0", "3.0.1"),  # back
    ]
    for line in (
        "says nothing, and crashes: KeyError: 'color'",
        "kept P5                    the service still offers 3.0.0; it is refused, and nothing is downloaded",
        "kept P6                    9.9.9 is offered; it is refused before a byte of it is fetched",
        "kept P8                    nothing is downloaded, nothing is deleted, updates pause",
        "kept P1                    start() stopped waiting after 3 s",
        "Every promise was kept",
    ):
        assert line in done.stdout
    assert "BROKEN" not in done.stdout
    assert "\x1b" not in done.stdout  # no colour outside a terminal
    assert list(device.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sabotage", "promise", "claim"),
    [
        pytest.param(
            "from capgo_client.life import verdicts\nverdicts.failed_before = lambda *args, **options: None\n",
            "P5 (A bad version does not come back)",
            "expected: the service still offers 3.0.0; it is refused, and nothing is downloaded",
            id="a client that forgets which versions failed",
        ),
        pytest.param(
            "from capgo_client import Updater\n"
            "start = Updater.start\n"
            "Updater.start = lambda self: (start(self), self.wait(5))[0]\n",
            "P1 (Never late)",
            "expected: start() waited for no network",
            id="a client that waits in background mode",
        ),
    ],
)
def test_the_demo_fails_and_names_the_promise_when_it_plays_with(tmp_path, device, sabotage, promise, claim):
    done = play(tmp_path, device, sabotage=sabotage)

    assert done.returncode == 1, done.stdout
    assert f"PROMISE BROKEN  {promise}" in done.stdout
    assert claim in done.stdout
    assert "Every promise was kept" not in done.stdout
    assert list(device.iterdir()) == []


@pytest.fixture(scope="module")
def demo() -> Iterator[Any]:
    sys.path.insert(0, str(EXAMPLES))
    try:
        import demo

        yield demo
    finally:
        sys.path.remove(str(EXAMPLES))


def test_no_check_of_the_story_passes_whatever_is_seen(demo):
    from demo_stage import Seen

    useless = Seen(
        opened="0.0.0",
        said="",
        seconds=30.0,
        folder=EXAMPLES,
        exit_code=1,
        error="",
        explain={},
        checks=0,
        downloads=7,
        leaving=30.0,
        asked_first=True,
    )
    stage = SimpleNamespace(is_as_published=lambda seen: False)
    checks = [check for chapter in demo.STORY for step in chapter.steps for check in step.checks]

    assert len(checks) >= 30
    assert [check.claim for check in checks if check.holds(useless, stage)] == []


def test_a_bundle_is_as_published_only_while_every_byte_is(demo, tmp_path):
    from demo_stage import Seen, Stage

    folder = tmp_path / "app"
    (folder / "__pycache__").mkdir(parents=True)
    (folder / "__pycache__" / "main.cpython-311.pyc").write_bytes(b"cached by Python")
    stage = Stage(tmp_path)
    stage.bundles["2.0.0"] = SimpleNamespace(files={"main.py": b"print(2)"})
    seen = Seen("2.0.0", "", 0.0, folder, 0, "", {}, 0, 0, 0.0, asked_first=False)

    (folder / "main.py").write_bytes(b"print(2)")
    assert stage.is_as_published(seen)
    (folder / "main.py").write_bytes(b"print(3)")
    assert not stage.is_as_published(seen)
    (folder / "main.py").write_bytes(b"print(2)")
    (folder / "extra.py").write_bytes(b"")
    assert not stage.is_as_published(seen)
    assert not stage.is_as_published(replace(seen, folder=tmp_path / "nowhere"))
