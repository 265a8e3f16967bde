"""The window of docs/quick-start.md, on a screen: the app updates itself, and the picture changes."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import snippets
from x_screen import PATIENCE, Picture

from capgo_client.cli.skeleton import FILES
from capgo_client.testing import make_bundle

ROOT = Path(__file__).resolve().parents[2]


def window_code() -> str:
    """The block `# app/main.py` of docs/quick-start.md."""
    return snippets.files("docs/quick-start.md")["app/main.py"]


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


def drawn(process, screen, before):
    """What is on the screen when a window has come and no longer changes."""
    end = time.monotonic() + PATIENCE
    last = before
    while time.monotonic() < end:
        if process.poll() is not None:
            pytest.fail(process.stderr.read())
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(1.5)
        now = screen.dump.read_bytes()
        if now == last != before:
            return now
        last = now
    pytest.fail("no window came, or it never came to rest")


@pytest.mark.usefixtures("needs_tkinter")
def test_the_window_is_on_the_screen_and_the_next_start_shows_the_update(tmp_path, capgo_service, request):
    screen = request.getfixturevalue("screen")  # not before it is known to be needed
    folder = tmp_path / "notes"
    for name, text in {**FILES, "app/main.py": window_code()}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text.replace("@VERSION@", "1.0.0").replace("@APP_ID@", "com.example.notes"), "utf-8")
    own = {name.removeprefix("app/"): text for name, text in FILES.items() if name.startswith("app/")}
    new = {**own, "main.py": window_code(), "texts/greeting.txt": "Good evening, from the update."}
    capgo_service.publish(make_bundle("1.0.3", new))
    empty = screen.dump.read_bytes()
    pictures = []
    for _ in range(2):
        process = launch(folder, screen.display, tmp_path / "data", capgo_service)
        pictures.append(drawn(process, screen, empty))
        process.kill()
        process.wait()
        process.stderr.close()
        screen.wait_until_empty()
        if keep := os.environ.get("KEEP_PICTURES"):
            (Path(keep) / f"window-{len(pictures)}.png").write_bytes(Picture(pictures[-1]).png())

    assert len({empty, *pictures}) == 3
    opened = [request.json["version_name"] for request in capgo_service.requests if request.path == "/updates"]
    assert opened == ["1.0.0", "1.0.3"]
