"""The matrix itself: that it sees what is wrong, that it judges as the promises say, and that its report is whole."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from html.parser import HTMLParser

import pytest

from capgo_client.testing import FAULTS

from .bugs import BUGS
from .cell import Facts, files_of
from .launch import HAS_FORK, Seen
from .matrix import MODES, STATES, Cell, cells
from .promises import judge
from .report import counts, outcome, write

pytestmark = pytest.mark.skipif(not HAS_FORK, reason="cells run in forks here; `make faults` runs them without, too")


@pytest.fixture(scope="module")
def farm():
    """Runs cells in an interpreter of their own, which has no threads that a fork could stumble over."""
    return Elsewhere()


class Elsewhere:
    """The farm, driven from outside: one command for one list of cells."""

    def __call__(self, *wanted: Cell, bug: str = "") -> list[Facts]:
        import os
        import subprocess
        import sys
        from pathlib import Path

        tests = Path(__file__).parent.parent
        path = os.pathsep.join([str(tests.parent), str(tests), os.environ.get("PYTHONPATH", "")])
        done = subprocess.run(
            [sys.executable, "-m", "faults.farm", json.dumps({"cells": [asdict(cell) for cell in wanted], "bug": bug})],
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
            env={**os.environ, "PYTHONPATH": path},
        )
        assert done.returncode == 0, done.stderr
        return [Facts(**json.loads(line)) for line in done.stdout.splitlines()]


def complaints(found) -> dict:
    return {facts.fault: facts.broken for facts in found if facts.broken}


# ---- the cells ----


def test_the_whole_matrix_is_every_fault_in_every_mode_and_every_state():
    squares = {(cell.fault, cell.mode, cell.state) for cell in cells("all")}
    assert squares == {(fault, mode, state) for fault in FAULTS for mode in MODES for state in STATES}
    assert {"atBackground", "always", "onLaunch", "atInstall", "onlyDownload", "manual"} == set(MODES)


def test_the_fixed_subset_has_every_fault_and_is_part_of_the_whole():
    assert {cell.fault for cell in cells("ci")} == set(FAULTS)
    assert set(cells("ci")) <= set(cells("all"))


def test_no_two_cells_have_the_same_name():
    names = [cell.name for cell in cells("all")]
    assert len(names) == len(set(names))


#: What each deliberate bug has to turn red.
SPOILT = {
    "time_out_per_read": (Cell("drip-body", "always", "installed"), Cell("drip-headers", "onLaunch", "pending")),
    "publish_before_verify": (Cell("flip-bit", "atBackground", "first"), Cell("wrong-checksum", "always", "installed")),
    "boot_uncounted": (Cell("app-killed", "atBackground", "pending"),),
}


def test_each_deliberate_bug_has_its_cells():
    assert SPOILT.keys() == BUGS.keys()


@pytest.mark.slow
def test_a_handful_of_cells_holds(farm):
    wanted = [*cells("smoke"), *(cell for spoilt in SPOILT.values() for cell in spoilt)]
    found = farm(*wanted)
    assert len(found) == len(wanted) == 13
    assert complaints(found) == {}


# ---- what the matrix has to see ----


@pytest.mark.promise(1)
@pytest.mark.slow
def test_a_time_out_for_each_read_turns_cells_red(farm):
    found = complaints(farm(*SPOILT["time_out_per_read"], bug="time_out_per_read"))
    assert found.keys() == {"drip-body", "drip-headers"}
    assert all(any(text.startswith("P1 start() took 3.") for text in said) for said in found.values()), found


@pytest.mark.promise(3)
@pytest.mark.promise(4)
@pytest.mark.slow
def test_publishing_before_verifying_turns_cells_red(farm):
    found = complaints(farm(*SPOILT["publish_before_verify"], bug="publish_before_verify"))
    assert found.keys() == {"flip-bit", "wrong-checksum"}
    assert any(text.startswith("P3 3.0.0 was installed") for text in found["wrong-checksum"]), found


@pytest.mark.promise(5)
@pytest.mark.slow
def test_booting_a_pending_version_uncounted_turns_cells_red(farm):
    found = complaints(farm(*SPOILT["boot_uncounted"], bug="boot_uncounted"))
    assert any(text.startswith("P5 4.0.0 opened 4 times") for text in found["app-killed"]), found


# ---- the judgement ----


def lived(version="2.0.0", **changes) -> dict:
    """A launch with nothing wrong about it."""
    order = {"mode": "always", "app": "ready", "response_timeout": 0.6, "direct_timeout": 0.7, "patience": 0.9}
    order |= {"ready_timeout": 0.25, "linger": 0.0}
    files = files_of(version)
    seen = Seen(order=order, began=100.0, took=0.02, version=version, bundle_id="a", status="success", files=files)
    seen = replace(
        seen, checks=[[100.0, 100.01]], over=True, closed=True, left=["/data/installs/a/lease"], grew=1 << 20
    )
    return asdict(replace(seen, **changes))


def held(**changes) -> Facts:
    """A cell with nothing wrong about it: direct mode, 2.0.0 installed, 3.0.0 on offer."""
    facts = Facts("silence", "always", "installed", group="answering", native="1.0.0", old="2.0.0", candidate="2.0.0")
    facts = replace(facts, offered="3.0.0", wanted="3.0.0", arrived="3.0.0", faulty=[lived(), lived()])
    return replace(facts, **{"healthy": [lived(), lived("3.0.0")], **changes})


WAITED = {"took": 0.6, "checks": [[100.0, 100.6]]}


def test_a_cell_with_nothing_wrong_about_it_holds():
    assert judge(held()) == []


@pytest.mark.parametrize(
    ("promise", "changes"),
    {
        "a start that is late": ("P1", {"faulty": [lived(took=0.75, checks=[[100.0, 100.6]])]}),
        "a check that is late": ("P1", {"faulty": [lived(checks=[[100.0, 100.75]])]}),
        "a check that never ends": ("P1", {"faulty": [lived(checks=[[100.0, None]])]}),
        "get_latest that is late": ("P1", {"faulty": [lived(by_hand=[["get_latest", 0.75, "timeout_error"]])]}),
        "an exception": ("P2", {"faulty": [lived(raised="OSError: no")]}),
        "a bug that was caught": ("P2", {"faulty": [lived(lines=[[100.0, "bug", "start() met a bug"]])]}),
        "a process that is lost": ("P2", {"faulty": [lived(lost="it ended with -11")]}),
        "a bundle that fails the verify": ("P3", {"faulty": [lived(problems=["main.py was changed"])]}),
        "other bytes than were published": ("P3", {"faulty": [lived(files={"main.py": "00"})]}),
        "an install of what cannot be verified": ("P3", {"fault": "flip-bit", "faulty": [lived(installed=["b"])]}),
        "a file missing": ("P3", {"healthy": [lived("3.0.0", files={})]}),
        "a version that is neither old nor new": ("P4", {"faulty": [lived("1.0.0")]}),
        "too much memory": ("P7", {"faulty": [lived(grew=65 << 20)]}),
        "too much on disk": ("P7", {"disk": {"downloads/x": (1 << 20) + 1}}),
        "something left in the staging folder": ("P7", {"disk_at_end": {"staging/x/app/main.py": 1}}),
        "an install that went away": ("P8", {"before": ["a"], "after": []}),
        "a second wait in vain": ("P8", {"faulty": [lived(**WAITED), lived(**WAITED)]}),
        "an update that never arrives": ("P8", {"arrived": "", "healthy": [lived()]}),
        "an update that takes a day": ("P8", {"later": True}),
        "a close that takes its time": ("P9", {"faulty": [lived(close_took=0.4)]}),
        "a thread": ("P9", {"faulty": [lived(threads=["capgo-worker"])]}),
        "a socket": ("P9", {"faulty": [lived(left=["socket:[4711]"])]}),
        "two leases": ("P9", {"faulty": [lived(left=["/a/lease", "/b/lease"])]}),
        "an event that is lost": ("P10", {"untold": ["{}"]}),
    }.values(),
)
def test_each_thing_that_can_be_wrong_breaks_its_own_promise(promise, changes):
    said = judge(held(**changes))
    assert {text.split()[0] for text in said} == {promise}


def test_a_version_that_opens_too_often_without_proving_itself_breaks_the_fifth_promise():
    tried = [lived("3.0.0", status="pending", killed=True, closed=False) for _ in range(4)]
    said = judge(
        held(app="killed", group="app", faulty=tried, wanted="9.0.0", arrived="9.0.0", healthy=[lived("9.0.0")])
    )
    assert said == ["P5 3.0.0 opened 4 times without having proven itself, allowed are 3"]


def test_a_version_that_crashed_and_comes_back_breaks_the_fifth_promise():
    tried, back = [lived("3.0.0", status="pending")], [lived("3.0.0"), lived("9.0.0")]
    said = judge(held(app="crash", group="app", faulty=tried, wanted="9.0.0", arrived="9.0.0", healthy=back))
    assert said == ["P5 3.0.0 failed here and opened again"]


def test_a_cell_that_cannot_run_here_is_grey_and_not_green():
    facts = Facts("silence", "always", "installed", group="answering", unavailable="no such thing here")
    assert judge(facts) == []
    assert outcome(facts) == "grey"
    assert counts([facts]) == {"faults": 1, "cells": 1, "hold": 0, "red": 0, "grey": 1}


def test_a_cell_that_breaks_by_itself_is_red():
    facts = Facts("silence", "always", "installed", error="KeyError('x')")
    assert judge(facts) == ["the cell itself broke: KeyError('x')"]


# ---- the report ----


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.buttons, self.text, self.links, self._in = [], "", [], ""

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self._in = attrs.get("id", "")
        if "data-cell" in attrs:
            self.buttons.append((int(attrs["data-cell"]), attrs["class"]))
        self.links += [value for name, value in attrs.items() if name in ("src", "href")]

    def handle_data(self, data):
        self.text += data if self._in == "facts" else ""


def test_the_page_has_every_cell_once_with_its_colour_and_its_facts_and_needs_nothing_else(tmp_path):
    import base64
    import gzip

    red = held(fault="</script><b>", broken=["P1 late & <wrong>"])
    grey = Facts("refused", "manual", "first", group="reaching", unavailable="not here")
    new = held(fault="ignore-range", group="bytes", faulty=[lived("3.0.0")])
    page, data = write([red, held(), grey, new], tmp_path, which="ci", took=1.0)
    parsed = Page()
    parsed.feed(page.read_text("utf-8"))
    told = json.loads(gzip.decompress(base64.b64decode(parsed.text)))
    colours = {told[number]["fault"]: colour for number, colour in parsed.buttons}
    assert colours == {"</script><b>": "red", "silence": "holds", "refused": "grey", "ignore-range": "new"}
    assert len(parsed.buttons) == len(told) == 4
    assert parsed.links == []
    assert told == json.loads(data.read_text("utf-8"))["cells"]
    assert json.loads(data.read_text("utf-8"))["counts"] == {"faults": 4, "cells": 4, "hold": 2, "red": 1, "grey": 1}
