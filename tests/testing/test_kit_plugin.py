"""The pytest plugin in a pytest of its own, and what importing the kit costs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import capgo_client.testing as kit

ROOT = Path(kit.__file__).parents[2]


def run_python(*arguments, cwd=ROOT, **variables):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "CAPGO"))}
    environment |= {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **variables}
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=60, check=False, cwd=cwd, env=environment
    )


def run_pytest(folder, source, **variables):
    (folder / "test_it.py").write_text(source)
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    # A base of its own: without one it would clear away what the runs before ours left, and its time is this test's.
    options = ("-q", "-p", "capgo_client.testing.pytest_plugin", "-p", "no:cacheprovider", f"--basetemp={folder}/base")
    done = run_python("-m", "pytest", *options, str(folder), cwd=folder, **variables)
    return done.stdout + done.stderr


def test_the_fixtures_give_a_running_service_bundles_and_an_empty_folder(tmp_path):
    said = run_pytest(
        tmp_path,
        """
import os, threading, urllib.request

def test_service(capgo_service, capgo_bundle, capgo_data_dir):
    assert os.environ["CAPGO_CLIENT_TESTING"] == "1"
    capgo_service.publish(capgo_bundle("1.1.0", {"a": "b"}))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(capgo_service.url + "/ok") as reply:
        assert reply.read() == b'{"status":"ok"}'
    assert list(capgo_data_dir.iterdir()) == []

def test_the_service_before_is_gone():
    assert [t.name for t in threading.enumerate() if t.name.startswith("capgo")] == []
""",
    )
    assert "2 passed" in said


def test_the_updater_factory_wires_the_service_in_and_closes_what_it_made(tmp_path):
    # A stand-in for the client: what is tested here is what the fixture does with it.
    (tmp_path / "conftest.py").write_text(
        """
import sys, types
made = []

class Updater:
    def __init__(self, **options):
        self.options, self.closed = options, False
        made.append(self)
    def close(self):
        self.closed = True

import capgo_client
capgo_client.Updater = Updater
sys.modules["made"] = types.SimpleNamespace(list=made)
"""
    )
    said = run_pytest(
        tmp_path,
        """
import sys

def test_first(capgo_updater, capgo_service, capgo_data_dir):
    one = capgo_updater(version="2.0.0", auto_update="off")
    two = capgo_updater()
    assert one.options == {
        "app_id": "com.example.app", "version": "2.0.0", "builtin": None, "auto_update": "off",
        "update_url": capgo_service.update_url, "stats_url": capgo_service.stats_url,
        "channel_url": capgo_service.channel_url, "data_dir": capgo_data_dir,
    }
    assert two.options["version"] == "1.0.0"
    assert not one.closed

def test_second():
    assert [each.closed for each in sys.modules["made"].list] == [True, True]
""",
    )
    assert "2 passed" in said


def test_a_guard_that_the_user_set_is_left_alone(tmp_path):
    source = "import os\ndef test_it():\n    assert os.environ['CAPGO_CLIENT_TESTING'] == '0'\n"
    assert "1 passed" in run_pytest(tmp_path, source, CAPGO_CLIENT_TESTING="0")


def test_the_guard_is_taken_down_after_the_run(tmp_path):
    script = (
        "import os, sys, pytest\n"
        f"code = pytest.main(['-q', '-p', 'capgo_client.testing.pytest_plugin', {str(tmp_path)!r}])\n"
        "print('guard', os.environ.get('CAPGO_CLIENT_TESTING'))\n"
    )
    assert "guard None" in run_python("-c", script, cwd=tmp_path).stdout


def test_loading_the_plugin_imports_nothing_heavy():
    heavy = ("httpx", "cryptography", "ssl", "asyncio", "brotli", "capgo_client.testing.service")
    script = (
        "import sys, pytest\n"
        f"before = set(sys.modules); import capgo_client.testing.pytest_plugin\n"
        f"print(sorted(set({heavy!r}) & (set(sys.modules) - before)))\n"
    )
    assert run_python("-c", script).stdout == "[]\n"


def test_importing_the_kit_loads_none_of_its_modules():
    script = (
        "import sys, capgo_client.testing; print([m for m in sys.modules if m.startswith('capgo_client.testing.')])"
    )
    assert run_python("-c", script).stdout == "[]\n"


def test_every_public_name_is_there_sorted_and_no_other_is():
    # Constants, classes, functions, each from A to Z: the order that the linter keeps too.
    assert kit.__all__ == sorted(set(kit.__all__), key=lambda name: (not name.isupper(), name.islower(), name))
    assert {name for names in kit._HOMES.values() for name in names} == set(kit.__all__)
    assert all(getattr(kit, name) is not None for name in kit.__all__)
    assert set(kit.__all__) <= set(dir(kit))


def test_a_name_that_does_not_exist_is_an_attribute_error():
    assert not hasattr(kit, "Sevrice")


def test_the_stage_and_the_faults_are_fixtures_and_a_fault_ends_with_its_test(tmp_path):
    said = run_pytest(
        tmp_path,
        """
import pytest

def test_call(capgo_fault, capgo_stage, capgo_service, capgo_bundle):
    capgo_service.publish(capgo_bundle("1.1.0", {"a": "b"}))
    assert capgo_stage.service is capgo_service
    capgo_fault("http-503")
    capgo_fault("app-hangs")
    assert capgo_stage.behaviour == "hang"
    updater = capgo_stage.launch()
    assert updater.wait(10)
    assert updater.explain().answer_code == "response_error"

@pytest.mark.parametrize("capgo_fault", ["http-503", "app-hangs", "power-cut"], indirect=True)
def test_each(capgo_fault, capgo_stage):
    assert capgo_stage.launch().current.version == "1.0.0"

def test_afterwards(capgo_stage):
    assert capgo_stage.behaviour == "ready"
    assert capgo_stage.launch().wait(10)
    assert capgo_stage.made[0].explain().answer_code == "no_channel"

def test_wrong_name(capgo_fault):
    with pytest.raises(ValueError, match="drip-body"):
        capgo_fault("drip")
""",
    )
    assert "5 passed, 1 skipped" in said
