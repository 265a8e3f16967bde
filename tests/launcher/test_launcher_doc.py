"""The code in `docs/launcher.md` works as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from capgo_client.launcher import run

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "launcher.md").read_text("utf-8")


def test_the_start_file_opens_the_app(tmp_path):
    found = dict(re.findall(r"^```python\n# ([\w./]+)\n(.+?)^```", TEXT, re.MULTILINE | re.DOTALL))
    assert TEXT.count("```python") == len(found) == 2
    found |= {"app/texts/__init__.py": '"""Texts."""', "app/texts/greeting.txt": "Good evening."}
    defaults = {"data_dir": str(tmp_path / "data"), "auto_update": "off", "stats_url": ""}
    found["places/sitecustomize.py"] = (
        f"from capgo_client import Updater\nUpdater.__init__.__kwdefaults__.update({defaults!r})\n"
    )
    for name, code in found.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(code, "utf-8")

    done = subprocess.run(
        [sys.executable, "start.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{tmp_path / 'places'}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "Good evening.\n", "")


def test_every_option_of_run_is_described():
    options = set(run.__kwdefaults__) | {"updater", "entry"}

    assert [name for name in options if not re.search(rf"run\([^)]*\b{name}\b", TEXT)] == []
