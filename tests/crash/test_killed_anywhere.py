"""P4, a first proof: killed at every file-system call of a life, the next start opens the old version or the new one.

Every call of the seam is a point; `make test` tries every eleventh, `make crash` each. (Power cuts, every errno at
every call and real system calls are a suite of their own, still to come.)
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from capgo_client import Updater
from capgo_client.testing import BundleKeys, Service, make_bundle

pytestmark = [
    pytest.mark.promise(4),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="the lives run in forks"),
]

FILES = {"main.py": "print('hello')", "pkg/__init__.py": "", "pkg/data.bin": bytes(range(256)) * 64}
STEP = int(os.environ.get("CRASH_STEP", "11"))
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def keys() -> BundleKeys:
    return BundleKeys.generate()


@pytest.fixture
def builtin(tmp_path: Path) -> Path:
    folder = tmp_path / "builtin"
    folder.mkdir()
    (folder / "main.py").write_text("print('builtin')")
    return folder


def publish(service: Service, version: str, keys: BundleKeys) -> None:
    service.publish(make_bundle(version, {**FILES, "version.txt": version}, keys=keys))


def confirmed(service: Service, builtin: Path, data: Path, keys: BundleKeys) -> None:
    """One healthy life: what the service offers is installed and has said ready."""
    with Updater(
        "com.example.notes", "1.0.0", builtin, data_dir=data, update_url=service.update_url, stats_url="",
        channel_url="", auto_update="always", public_key=keys.public_pem,
    ) as app:  # fmt: skip
        app.start()
        app.notify_app_ready()
        assert app.wait(20)


def points(service, keys, builtin, tmp_path, *, template=None, crash=False) -> list[dict]:
    order = {
        "builtin": str(builtin), "data": str(tmp_path / "data"), "update_url": service.update_url,
        "key": keys.public_pem, "template": None if template is None else str(template), "crash": crash,
        "first": 1, "step": STEP,
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("killed_life.py"))],
        input=json.dumps(order),
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def hold_to_p4(found: list[dict], *, old: str, new: str, at_least: int) -> None:
    assert [point["killed"] for point in found] == [True] * (len(found) - 1) + [False]
    assert len(found) > at_least
    for point in found:
        for after in point["after"]:
            assert "raised" not in after, point
            assert after["version"] in (old, new), point
            assert after["problems"] == [], point
            assert after["over"] is True, point
        assert point["after"][1]["version"] == new, point  # the update still arrives
        assert point["after"][1]["left"] == [], point  # and nothing is left lying about


def test_the_first_install_killed_at_every_call(tmp_path, builtin, keys):
    with Service() as service:
        publish(service, "2.0.0", keys)
        found = points(service, keys, builtin, tmp_path)
    hold_to_p4(found, old="1.0.0", new="2.0.0", at_least=120 // STEP)


def test_an_update_its_opening_and_its_confirmation_killed_at_every_call(tmp_path, builtin, keys):
    with Service() as service:
        publish(service, "2.0.0", keys)
        confirmed(service, builtin, tmp_path / "template", keys)
        publish(service, "3.0.0", keys)
        found = points(service, keys, builtin, tmp_path, template=tmp_path / "template")
    hold_to_p4(found, old="2.0.0", new="3.0.0", at_least=120 // STEP)


def test_a_roll_back_killed_at_every_call_lands_on_the_good_version(tmp_path, builtin, keys):
    with Service() as service:
        publish(service, "2.0.0", keys)
        confirmed(service, builtin, tmp_path / "template", keys)
        publish(service, "3.0.0", keys)
        found = points(service, keys, builtin, tmp_path, template=tmp_path / "template", crash=True)
    survived = found[-1]
    assert survived["killed"] is False
    assert [after["version"] for after in survived["after"]] == ["2.0.0", "2.0.0"]  # condemned for good
    for point in found:
        # Killed before the crash was written down, 3.0.0 gets another start; it then works, as this life says ready.
        assert {after.get("version") for after in point["after"]} <= {"2.0.0", "3.0.0"}, point
        assert all(after["problems"] == [] for after in point["after"]), point
        assert point["after"][1]["left"] == [], point
