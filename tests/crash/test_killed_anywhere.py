"""P4: killed in place of any file-system call of any operation, the next starts find the old version or the new one.

`make crash` tries every call of every operation, `make test` a sample of one.
"""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest

from capgo_client.testing.crash.operations import OPERATIONS
from capgo_client.testing.crash.runner import CAN_FORK

if TYPE_CHECKING:
    from capgo_client.testing.crash.killing import Bench

pytestmark = [pytest.mark.promise(4), pytest.mark.skipif(not CAN_FORK, reason="the lives run in forks")]

STEP = int(os.environ.get("CRASH_STEP", "47"))
FIRST = int(os.environ.get("CRASH_FIRST", "0")) or random.randint(1, STEP)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name == "update" else pytest.mark.slow) for name in OPERATIONS],
)
def test_killed_at_any_call_the_next_starts_open_the_old_version_or_the_new_one(bench_for, tally, name):
    bench: Bench = bench_for(name)
    points = list(bench.at_every_call(step=STEP, first=FIRST))
    wrong = {point.nth: (point.life.said, point.faults) for point in points if point.faults}
    tally("killed at calls", name, points=len(points) - 1, failures=len(wrong))
    assert wrong == {}
    assert [point.ended for point in points] == [False] * (len(points) - 1) + [True]
    assert (len(points) - 1) * STEP > 90  # fewer calls than that, and it was not the operation


@pytest.mark.slow
@pytest.mark.parametrize("name", ["update", "delta", "flush"])
def test_killed_at_a_random_moment_it_is_the_same(bench_for, tally, name):
    bench: Bench = bench_for(name)
    tries = 100 // STEP + 3
    points = [point for point, _ in zip(bench.at_random(seed=STEP), range(tries), strict=False)]
    wrong = {point.seconds: (point.life.said, point.faults) for point in points if point.faults}
    tally("killed at times", name, points=sum(not point.ended for point in points), failures=len(wrong))
    assert wrong == {}
    assert len(points) == tries
    assert any(not point.ended for point in points)


@pytest.mark.parametrize(
    ("name", "files", "fault"),
    [
        ("apply", "Forgetful", "the first start opened 3.0.0 instead of 2.0.0"),
        ("enqueue", "Late", "was lost"),
    ],
)
def test_what_is_not_on_disk_when_it_should_be_is_seen(bench_for, tmp_path, name, files, fault):
    """The suite itself: on a file system that breaks a promise, points turn red."""
    (tmp_path / "bad_files.py").write_text(BAD_FILES)
    bench: Bench = bench_for(name)
    calls = bench.try_out(files={"make": "capgo_client.testing.crash.lives:KillingFiles"}).life.told["calls"]
    last = bench.try_out(files={"make": f"bad_files:{files}", "with": {"nth": calls - 8}})
    assert not last.ended
    assert any(fault in found for found in last.faults)


BAD_FILES = """
from capgo_client.testing.crash.lives import KillingFiles

class Forgetful(KillingFiles):  # says that the state was replaced
    def rename(self, source, target):
        if not str(target).endswith("state.json"):
            super().rename(source, target)
        else:
            self.look()

class Late(KillingFiles):  # says that an event was written, and writes it with the next
    held = b""
    opened = None
    def open_append(self, path):
        self.opened = super().open_append(path)
        return self.opened
    def write(self, fd, data):
        if fd != self.opened:
            return super().write(fd, data)
        held, self.held = self.held, bytes(data)
        super().write(fd, held)
        return len(data)
"""
