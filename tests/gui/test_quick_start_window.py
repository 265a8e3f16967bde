"""The window of docs/quick-start.md, on a screen: the app updates itself, and the picture changes."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from capgo_client.cli.skeleton import FILES
from capgo_client.testing import make_bundle

ROOT = Path(__file__).resolve().parents[2]
#: For a process to be there and to have drawn (seconds).
PATIENCE = 30.0

pytestmark = [
    pytest.mark.skipif(shutil.which("Xvfb") is None, reason="Xvfb is not installed"),
    pytest.mark.skipif(importlib.util.find_spec("_tkinter") is None, reason="this Python has no tkinter"),
]


def window_code() -> str:
    """The block `# app/main.py` of docs/quick-start.md."""
    spec = importlib.util.spec_from_file_location("snippets", ROOT / "tests" / "examples" / "snippets.py")
    snippets = importlib.util.module_from_spec(spec)
    sys.modules["snippets"] = snippets
    spec.loader.exec_module(snippets)
    return snippets.files("docs/quick-start.md")["app/main.py"]


@pytest.fixture
def screen(tmp_path):
    """A display, and a function that reads what is on it."""
    reading, writing = os.pipe()
    command = [
        "Xvfb",
        "-displayfd",
        str(writing),
        "-screen",
        "0",
        "640x320x24",
        "-fbdir",
        str(tmp_path),
        "-nolisten",
        "tcp",
    ]
    server = subprocess.Popen(command, pass_fds=[writing], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(writing)
    with os.fdopen(reading) as told:
        display = f":{told.readline().strip()}"
    yield display, (tmp_path / "Xvfb_screen0").read_bytes
    server.terminate()
    server.wait()


def launch(folder, display, data, service):
    options = {name: getattr(service, name) for name in ("update_url", "stats_url", "channel_url")} | {
        "data_dir": str(data)
    }
    return subprocess.Popen(
        [sys.executable, "-c", f"import start; start.main(**{options!r})"],
        cwd=folder,
        env=os.environ | {"DISPLAY": display, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )


def drawn(process, look, before):
    """What is on the screen when a window has come and no longer changes."""
    end = time.monotonic() + PATIENCE
    last = before
    while time.monotonic() < end:
        if process.poll() is not None:
            pytest.fail(process.stderr.read())
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(1.5)
        now = look()
        if now == last != before:
            return now
        last = now
    pytest.fail("no window came, or it never came to rest")


def test_the_window_is_on_the_screen_and_the_next_start_shows_the_update(screen, tmp_path, capgo_service):
    display, look = screen
    folder = tmp_path / "notes"
    for name, text in {**FILES, "app/main.py": window_code()}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text.replace("@VERSION@", "1.0.0").replace("@APP_ID@", "com.example.notes"), "utf-8")
    own = {name.removeprefix("app/"): text for name, text in FILES.items() if name.startswith("app/")}
    new = {**own, "main.py": window_code(), "texts/greeting.txt": "Good evening, from the update."}
    capgo_service.publish(make_bundle("1.0.3", new))
    empty = look()
    pictures = []
    for _ in range(2):
        process = launch(folder, display, tmp_path / "data", capgo_service)
        pictures.append(drawn(process, look, empty))
        process.kill()
        process.wait()
        process.stderr.close()
        if keep := os.environ.get("KEEP_PICTURES"):
            (Path(keep) / f"window-{len(pictures)}.xwd").write_bytes(pictures[-1])

    assert len({empty, *pictures}) == 3
    opened = [request.json["version_name"] for request in capgo_service.requests if request.path == "/updates"]
    assert opened == ["1.0.0", "1.0.3"]
