"""P4 and P5 through a power cut: after every call of every operation, whatever the disk made of what was not flushed.

Each story is recorded once on a file system of our own, with ``syncfs`` and without; the model of a disk
(``power_model``) then says what may be left at each point, and the device is started again from that. CRASH_SEEDS=n
tries more.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from power_model import NAMED
from power_stories import RECORDINGS, told

pytestmark = [pytest.mark.slow, pytest.mark.promise(4)]

SEEDS = int(os.environ.get("CRASH_SEEDS", "0")) or len(NAMED) + 3
#: So many images are lived on from, of each story; the others are looked at once.
LIVES = 2 * SEEDS + 5


@pytest.mark.parametrize(("name", "whole"), RECORDINGS, ids=lambda value: str(value).replace(" ", "-"))
def test_a_power_cut_after_any_call_leaves_the_old_version_or_the_new(name, whole, tmp_path, tally):
    done = told(name, tmp_path, whole=whole, task="cut", seeds=SEEDS, lives_after=LIVES)
    suite = f"power, {'syncfs' if whole else 'fsync'}" if (name, False) in RECORDINGS else "power"
    for stage, points in done["points"].items():
        failures = sum(f"({stage})" in failure for failure in done["failures"])
        tally(suite, stage, points=points, seeds=SEEDS, failures=failures)
    tally(suite, f"story: {name}", images=done["images"], lives=done["lives"], failures=len(done["failures"]))
    assert done["failures"] == []
    assert done["images"] > len(done["points"])
    assert done["lives"] >= min(LIVES, done["images"])


SYNC = """
import os, sys
from capgo_client.seams import Files
files = Files()
fd = files.open_folder(sys.argv[1])
print(fd, files.sync_filesystem(fd))
"""


@pytest.mark.skipif(shutil.which("strace") is None, reason="there is no strace")
def test_the_flush_that_leaves_no_trace_in_fuse_is_asked_of_the_kernel(tmp_path):
    written = tmp_path / "strace"
    done = subprocess.run(
        ["strace", "-f", "-y", "-e", "trace=syncfs", "-o", str(written), sys.executable, "-c", SYNC, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent.parent)},
    )
    if "PTRACE" in done.stderr:
        pytest.skip("strace may not trace here")
    fd, answer = done.stdout.split()
    calls = [line for line in written.read_text().splitlines() if "syncfs(" in line]
    if answer == "False":
        pytest.skip("this kernel's syncfs cannot be believed")
    assert len(calls) == 1
    assert calls[0].split(" ", 1)[1].strip().replace(" ", "") == f"syncfs({fd}<{tmp_path}>)=0"
