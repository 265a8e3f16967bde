"""The launch path costs nothing (design decision 1): what it imports, and how often it touches the disk."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import capgo_client
from capgo_client.seams import Files
from capgo_client.testing import FakeClock, make_bundle
from capgo_client.testing.files import CALLS

HEAVY = {
    "asyncio",
    "brotli",
    "cryptography",
    "dataclasses",
    "hashlib",
    "httpcore",
    "httpx",
    "inspect",
    "logging",
    "pathlib",
    "platformdirs",
    "ssl",
    "typing_extensions",
    "zipfile",
}
#: The parts of ours that a start needs: each costs a quarter of a millisecond. What is behind the app is not here.
MOST_OF_OURS = 45

#: -S, because what site loads is neither ours nor the same on two machines.
CHILD = """
import sys
before = set(sys.modules)
source, data, mode, url = sys.argv[1:]
sys.path.insert(0, source)
from capgo_client import Updater
imported = set(sys.modules) - before
updater = Updater("com.example.notes", "1.4.0", None, data_dir=data, auto_update=mode, update_url=url)
version = updater.start().version
started = set(sys.modules) - before
import json
print(json.dumps({"imported": sorted(imported), "started": sorted(started), "version": version}))
updater.notify_app_ready()
updater.close()
"""


def modules_of_a_start(app, mode, tmp_path):
    source = Path(capgo_client.__file__).resolve().parent.parent
    command = [sys.executable, "-S", "-c", CHILD, str(source), str(app.data), mode, app.service.update_url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True, cwd=tmp_path)
    return json.loads(done.stdout)


@pytest.mark.parametrize("mode", ["atBackground", "onlyDownload", "off"])
def test_importing_and_starting_in_the_background_imports_nothing_heavy(app, tmp_path, mode):
    app.install("2.0.0")
    modules = modules_of_a_start(app, mode, tmp_path)
    assert modules["version"] == "2.0.0"
    assert set(modules["imported"]) & HEAVY == set()
    assert set(modules["started"]) & HEAVY == set()
    ours = {name for name in modules["started"] if name.startswith("capgo_client")}
    assert "capgo_client.backstage" not in ours
    assert len(ours) <= MOST_OF_OURS, sorted(ours)


def test_a_first_start_and_the_start_of_an_unconfirmed_version_import_nothing_heavy_either(app, tmp_path):
    first = modules_of_a_start(app, "atBackground", tmp_path)
    assert first["version"] == "1.4.0"
    assert set(first["started"]) & HEAVY == set()
    app.queue("2.0.0")
    unconfirmed = modules_of_a_start(app, "atBackground", tmp_path)
    assert unconfirmed["version"] == "2.0.0"
    assert set(unconfirmed["started"]) & HEAVY == set()


def test_the_budget_would_notice_a_heavy_import(app, tmp_path):
    app.install("2.0.0")
    assert {"httpx", "ssl"} & set(modules_of_a_direct_start(app, tmp_path))


def modules_of_a_direct_start(app, tmp_path):
    child = CHILD.replace("import sys\n", "import site, sys\n", 1)
    source = Path(capgo_client.__file__).resolve().parent.parent
    command = [sys.executable, "-c", child, str(source), str(app.data), "always", app.service.update_url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True, cwd=tmp_path)
    return json.loads(done.stdout)["started"]


#: Which threads imported typing; the worker needs it for httpcore, ssl and cryptography.
IMPORTERS = """
import sys, threading
importers = []
def note(event, args):
    if event == "import" and args[0] == "typing":
        importers.append(threading.current_thread() is threading.main_thread())
sys.addaudithook(note)
"""


def test_typing_is_complete_before_there_is_a_thread_of_ours(app, tmp_path):
    """`dataclasses` in the app's thread would meet a half-imported one, and the app's module would not import."""
    app.install("2.0.0")
    source = Path(capgo_client.__file__).resolve().parent.parent
    child = IMPORTERS + CHILD.replace("import json\n", "import json\nupdater.wait(20)\n").replace(
        '"version": version', '"version": version, "importers": importers'
    )
    command = [sys.executable, "-I", "-c", child, str(source), str(app.data), "atBackground", app.service.update_url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, cwd=tmp_path)
    assert done.stderr == ""
    assert json.loads(done.stdout)["importers"] == [True]


# ---- the disk ----


class OurCalls(Files):
    """Writes down the calls of the thread that made it."""

    def __init__(self):
        self.made = []
        self._thread = threading.get_ident()

    def __getattribute__(self, name):
        if name in CALLS and threading.get_ident() == self._thread:
            self.made.append(name)
        return super().__getattribute__(name)


def calls_of_a_start(app, **options):
    """The file-system calls that one start() makes in the thread of its caller."""
    app.close()
    files, clock = OurCalls(), FakeClock(wall=4_000_000_000.0)
    updater = app.updater(files=files, clock=clock, **options)
    files.made.clear()
    updater.start()
    calls = list(files.made)
    updater.close()
    return calls


def test_a_start_costs_the_same_for_five_installs_as_for_one(app):
    app.install("2.0.0")
    one = calls_of_a_start(app)
    updater = app.launch(auto_update="off")
    for version in ("3.0.0", "4.0.0", "5.0.0", "6.0.0"):
        bundle = make_bundle(version, {"main.py": version})
        url = app.service.store(f"{version}.zip", bundle.archive)
        updater.download(url, version, checksum=bundle.checksum)
    assert len(updater.bundles()) == 5
    assert calls_of_a_start(app) == one


def test_a_start_costs_the_same_for_five_hundred_files_as_for_ten(app):
    app.install("2.0.0", {f"pkg/module_{number}.py": str(number) for number in range(10)})
    ten = calls_of_a_start(app)
    app.install("3.0.0", {f"pkg/module_{number}.py": str(number) for number in range(500)})
    assert calls_of_a_start(app) == ten


def test_a_start_of_a_confirmed_version_writes_nothing(app):
    app.install("2.0.0")
    kinds = set(calls_of_a_start(app))
    assert kinds & {"open_new", "write", "rename", "unlink", "fsync", "sync_filesystem", "mkdir", "chmod"} == set()
    assert "scan" not in kinds


def test_a_start_of_a_new_version_writes_its_attempt_down_once(app):
    app.queue("2.0.0")
    kinds = calls_of_a_start(app)
    assert kinds.count("open_new") == 1
    assert "scan" not in kinds
