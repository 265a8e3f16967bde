"""The code in the README works as it stands there."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import snippets

from capgo_client.testing import Service, make_bundle

ROOT = Path(__file__).resolve().parents[2]

#: Run in the reader's app before anything else: it is pointed at our service and folder by changing the defaults, so
#: that the code of the README stays as it is printed; and the app gets the window that the README leaves out.
AROUND = """
import builtins
from capgo_client import Updater, current_updater

Updater.__init__.__kwdefaults__.update({defaults!r})


class Window:
    def run(self):
        current_updater().wait(10)


def build_window():
    print("opened", current_updater().current.version)
    return Window()


builtins.build_window = build_window
"""


def blocks() -> dict[str, str]:
    """The README's blocks of Python, by the file name in their first line."""
    return snippets.files("README.md")


def run(command: list[str], cwd: Path, *places: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (*places, ROOT)))}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_no_python_in_the_readme_escapes_these_tests():
    assert len(snippets.blocks("README.md", "python")) == len(blocks())
    assert set(blocks()) == {"start.py", "app/main.py", "asyncio_app.py", "test_update.py"}


@pytest.fixture
def notes(tmp_path, capgo_service: Service) -> Path:
    """The README's app in a folder of its own."""
    folder = tmp_path / "notes"
    (folder / "app").mkdir(parents=True)
    for name in ("start.py", "app/main.py"):
        (folder / name).write_text(blocks()[name])
    defaults = {
        "update_url": capgo_service.update_url,
        "stats_url": capgo_service.stats_url,
        "channel_url": capgo_service.channel_url,
        "data_dir": str(tmp_path / "data"),
    }
    (tmp_path / "around").mkdir()
    (tmp_path / "around" / "sitecustomize.py").write_text(AROUND.format(defaults=defaults))
    return folder


def test_the_five_lines_open_the_app_and_update_it(notes, capgo_service, tmp_path):
    capgo_service.publish(make_bundle("1.4.1", {"main.py": blocks()["app/main.py"]}))

    def open_app() -> tuple[int, str, str]:
        done = run([sys.executable, str(notes / "start.py")], tmp_path, tmp_path / "around")
        return done.returncode, done.stdout, done.stderr

    assert open_app() == (0, "opened 1.4.0\n", "")
    assert open_app() == (0, "opened 1.4.1\n", "")


def test_the_five_lines_take_a_version_back_that_crashes_before_it_is_ready(notes, capgo_service, tmp_path):
    capgo_service.publish(make_bundle("1.4.1", {"main.py": "raise RuntimeError('the new version is broken')"}))

    done = [run([sys.executable, str(notes / "start.py")], tmp_path, tmp_path / "around") for _ in range(3)]

    assert [each.returncode for each in done] == [0, 1, 0]
    assert "the new version is broken" in done[1].stderr
    assert done[2].stdout == "opened 1.4.0\n"


def test_the_example_of_a_test_passes(tmp_path):
    (tmp_path / "test_update.py").write_text(blocks()["test_update.py"])
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)

    done = run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--basetemp=base"], tmp_path
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


def test_the_asyncio_example_shows_an_update(capgo_service, capgo_updater):
    capgo_service.publish(make_bundle("1.4.1", {"main.py": "x"}))
    updater, shown, names = capgo_updater(), [], {}
    exec(blocks()["asyncio_app.py"], names)

    async def app():
        watching = asyncio.ensure_future(names["show_updates"](updater, shown.append))
        await asyncio.sleep(0)  # it listens from here on
        updater.start()
        updater.notify_app_ready()
        await asyncio.wait_for(watching, 20)

    asyncio.run(app())
    assert shown[0] == "download 1.4.1 90 %"
    assert shown[-1].startswith("set_next 1.4.1")
