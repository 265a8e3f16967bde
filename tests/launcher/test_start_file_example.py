"""`examples/start_file` as it lies there, from the builtin over an update to a broken one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from capgo_client.testing import make_bundle

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "start_file"


@pytest.fixture
def launch(capgo_service, tmp_path):
    urls = {name: getattr(capgo_service, name) for name in ("update_url", "stats_url", "channel_url")}
    example = shutil.copytree(EXAMPLE, tmp_path / "example")  # Python writes its byte code beside what it runs
    options = json.dumps({"data_dir": str(tmp_path / "data"), **urls})

    def launch():
        code = "import json, sys, start; start.main(**json.loads(sys.argv.pop()))"
        environment = os.environ | {"PYTHONPATH": f"{example}{os.pathsep}{ROOT}"}
        done = subprocess.run(
            [sys.executable, "-c", code, options],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done

    return launch


def version(**files):
    own = {path.relative_to(EXAMPLE / "app").as_posix(): path.read_bytes() for path in EXAMPLE.glob("app/**/*.*")}
    return {**{name: data for name, data in own.items() if "__pycache__" not in name}, **files}


def test_it_opens_an_update_and_comes_back_from_a_broken_one(launch, capgo_service):
    capgo_service.publish(make_bundle("1.1.0", version(**{"texts/greeting.txt": "Good evening."})))
    assert launch().stdout == "Hello. This is version 1.0.0.\nVersion 1.1.0 opens at the next start.\n"

    capgo_service.publish(make_bundle("1.2.0", version(**{"main.py": "def main():\n    1 / 0"})))
    assert launch().stdout == "Good evening. This is version 1.1.0.\nVersion 1.2.0 opens at the next start.\n"

    broken = launch()
    assert "ZeroDivisionError" in broken.stderr
    assert broken.stdout == "Good evening. This is version 1.1.0.\n"
