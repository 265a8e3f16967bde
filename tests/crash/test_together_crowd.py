"""P4 and P9, the plain way: many processes on one data directory, doing anything, some of them killed at any moment.

CRASH_SECONDS says for how long (seconds; 12 where it is not set), CRASH_SEED repeats a run's choices, though not its
timing.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from capgo_client.testing import Service, make_bundle

pytestmark = [
    pytest.mark.promise(4),
    pytest.mark.promise(9),
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="the crowd is made of forks"),
]

SECONDS = float(os.environ.get("CRASH_SECONDS", "12"))
SEED = int(os.environ.get("CRASH_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 30)
ROOT = Path(__file__).parent.parent.parent
VERSIONS = ("2.0.0", "3.0.0", "4.0.0", "5.0.0")


def test_a_crowd_of_processes_of_which_some_are_killed_harms_nothing(tmp_path, tally):
    builtin = tmp_path / "builtin"
    builtin.mkdir()
    (builtin / "main.py").write_text("print('builtin')")
    with Service() as service:
        made = {
            version: make_bundle(version, {"main.py": version, "data.bin": os.urandom(40_000)}) for version in VERSIONS
        }
        bundles = {}
        for version in VERSIONS:
            service.publish(made[version])
            bundles[version] = (offered(service), made[version].checksum)
        order = {
            "builtin": str(builtin), "data": str(tmp_path / "data"), "update_url": service.update_url,
            "stats_url": service.stats_url, "bundles": bundles, "seed": SEED, "seconds": SECONDS, "processes": 5,
            "deaths": 0.3,
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("together_crowd.py"))],
            input=json.dumps(order) + "\n", capture_output=True, text=True, timeout=SECONDS + 120, check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    print(f"CRASH_SEED={SEED}", found["told"])
    told = found["told"]
    tally(
        "crowd",
        "anything",
        lives=told["lives"],
        killed=told["killed"],
        looks=told["looks"],
        failures=len(found["wrong"]),
    )
    assert found["wrong"] == [], f"CRASH_SEED={SEED}"
    assert found["told"]["killed"] > SECONDS / 4
    assert found["told"]["lives"] > SECONDS * 2


def offered(service):
    """The address from which the bundle that was published last is downloaded."""
    import httpx

    fields = {
        "app_id": "com.example.notes", "device_id": "00000000-0000-4000-8000-000000000001", "version_name": "1.0.0",
        "version_build": "1.0.0", "version_os": "1", "platform": "electron", "plugin_version": "8.51.14",
        "is_emulator": False, "is_prod": True,
    }  # fmt: skip
    return httpx.post(service.update_url, json=fields, trust_env=False).json()["url"]
