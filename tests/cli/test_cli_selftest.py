"""`capgo-client selftest`: installs cut off on one's own disk, a line for each point, and an exit code."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from capgo_client.cli import main, selftest
from capgo_client.testing.crash.runner import CAN_FORK

pytestmark = pytest.mark.skipif(not CAN_FORK, reason="a process for each point takes minutes without fork")


@pytest.mark.slow
def test_it_kills_an_install_prints_each_point_and_leaves_nothing(command, tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    report = tmp_path / "points.json"
    done = command(
        "selftest", "--crash", "--step", 90, "--operation", "first-install", "--folder", folder, "--json", report
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == f"in {folder}"
    points = lines[1:-1]
    assert len(points) >= 4
    assert all(re.fullmatch(r"first-install +\d+  pass  (killed before \w+.*|not cut off)", line) for line in points)
    assert lines[-1] == f"first-install {len(points) - 1:>6} points cut off, failures: 0"
    assert list(folder.iterdir()) == []
    told = json.loads(report.read_text())
    assert [each["operation"] for each in told] == ["first-install"]
    assert [point["nth"] for point in told[0]["seen"]] == [1 + 90 * i for i in range(len(points))]


@pytest.mark.slow
def test_at_random_it_ends_when_its_time_is_over(command, tmp_path):
    done = command("selftest", "--random", "--seconds", 1, "--seed", 3, "--operation", "apply", "--folder", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"apply +\d+  pass  killed after [\d.]+ ms", done.stdout)


def test_a_failure_is_printed_with_what_is_wrong_and_ends_with_1(monkeypatch, tmp_path, capfd):
    bad = replace(selftest.OPERATIONS["apply"], rule=lambda _said, _heard: ["made up"])
    monkeypatch.setitem(selftest.OPERATIONS, "apply", bad)
    code = main(["selftest", "--crash", "--step", "60", "--operation", "apply", "--folder", str(tmp_path)])
    told = capfd.readouterr().out
    assert code == 1
    assert re.search(r"apply +1  FAIL  killed before \w+.*\n +made up\n", told)
    assert "failures: 3" in told or "failures: 4" in told


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "one of the arguments --crash --random is required"),
        (["--crash", "--step", "0"], "--step 0: at least 1"),
        (["--random", "--seconds", "0"], "a number of seconds, more than 0"),
        (["--crash", "--folder", "missing/too"], "name a folder that you may write with --folder"),
        (["--crash", "--json", "missing/file.json"], "there is no folder missing"),
    ],
)
def test_what_makes_no_sense_is_told_and_ends_with_2(command, arguments, words):
    done = command("selftest", *arguments)
    assert done.returncode == 2
    assert words in done.stderr
