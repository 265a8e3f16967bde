"""What the command line decides without any process: which faults, in which launches, and what a launch proves."""

from __future__ import annotations

import dataclasses
import io
import json
import sys
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest

from capgo_client.cli.choosing import choose
from capgo_client.cli.launching import Launched
from capgo_client.cli.mistakes import UsageMistake
from capgo_client.cli.planning import plan
from capgo_client.cli.progress import progress
from capgo_client.cli.reports import Row, Summary, as_json, as_junit, as_lines
from capgo_client.cli.simulation import obstacle
from capgo_client.cli.verdicts import History, Verdict, judge
from capgo_client.cli.versions import Shelf
from capgo_client.testing import FAULTS, BundleKeys

THREE = [FAULTS[name] for name in ("silence", "http-500", "http-503")]

GOOD = Launched(
    facts={"mode": "atBackground", "response_timeout": 3.0, "direct_timeout": 10.0},
    refused="",
    starting=True,
    version="1.0.1",
    bundle_id="abcdefghij",
    path="/somewhere",
    seconds=0.01,
    started_at=100.0,
    raised="",
    ready=True,
    ordered="",
    reopened="",
    reported=False,
    crashed="",
    answer="up_to_date",
    result="",
    exit_code=0,
    ended="itself",
    took=1.0,
    said="",
)


def seen(**changes):
    return dataclasses.replace(GOOD, **changes)


def verdict_on(launched, history=None, *, whole=True, fetched=False, grace=0.5):
    found = judge(launched, history or History(), grace=grace, timeout=20.0, whole=whole, fetched=fetched)
    return found.word, found.promise


# ---- which faults ----


def test_all_means_every_fault_that_can_be_had_and_says_why_not_for_the_others():
    chosen, left_out = choose("all", obstacle=obstacle)

    assert {fault.name for fault in chosen} | set(left_out) == set(FAULTS)
    assert all(left_out.values())
    assert set(left_out) >= {"app-late", "app-stale", "data-deleted", "power-cut"}
    assert len(left_out) < 10


def test_names_and_groups_mix_and_keep_the_lists_order():
    chosen, _ = choose("http-503, silence,app", obstacle=obstacle)

    assert [fault.name for fault in chosen] == ["silence", "http-503", "app-crashes", "app-hangs", "app-killed"]


def test_a_fault_asked_for_by_name_that_cannot_be_had_is_a_mistake():
    with pytest.raises(UsageMistake, match="app-late: it is the app that is late"):
        choose("silence,app-late", obstacle=obstacle)


# ---- in which launches ----


def names(steps):
    return [step.name for step in steps]


def test_after_three_launches_with_faults_comes_a_healthy_one_and_then_all_over_again():
    assert names(plan(THREE, 9, seed=None, attempts=3)) == [
        "silence", "http-500", "http-503", "none", "silence", "http-500", "http-503", "none", "silence",
    ]  # fmt: skip


def test_faults_that_do_not_fit_are_left_out_evenly():
    every = [fault for fault in FAULTS.values() if fault.group == "answering"]

    steps = plan(every, 8, seed=None, attempts=3)

    tried = [step.name for step in steps if step.fault]
    places = [names_of(every).index(name) for name in tried]
    gaps = [after - before for before, after in pairwise(places)]
    assert len(tried) == 6
    assert places[0] == 0
    assert max(gaps) - min(gaps) <= 1
    assert places[-1] >= len(every) * 2 // 3


def names_of(faults):
    return [fault.name for fault in faults]


def test_a_seed_shuffles_and_the_same_seed_shuffles_alike():
    every = list(FAULTS.values())

    first, again, other = (names(plan(every, 60, seed=seed, attempts=3)) for seed in (1, 1, 2))

    assert first == again
    assert first != other


@pytest.mark.parametrize(("name", "launches"), [("app-crashes", 3), ("app-hangs", 5), ("app-killed", 5)])
def test_a_bad_version_gets_as_many_launches_as_it_takes_to_arrive_open_and_be_gone(name, launches):
    steps = plan([FAULTS[name]], 6, seed=None, attempts=3)

    assert names(steps)[:launches] == [name] * launches
    assert names(steps)[launches] == "none"
    assert [bool(step.offers_bad) for step in steps[:launches]] == [True, *[False] * (launches - 1)]


# ---- what a launch proves ----


def test_a_launch_that_opened_in_time_and_said_ready_is_good():
    assert verdict_on(GOOD) == ("good", "")


@pytest.mark.parametrize(
    ("mode", "fetched", "allowed"),
    [("atBackground", False, 0.5), ("off", True, 0.5), ("always", False, 3.5), ("onLaunch", True, 13.5)],
)
def test_a_start_may_take_what_its_mode_allows_and_the_grace(mode, fetched, allowed):
    facts = {**GOOD.facts, "mode": mode}

    assert verdict_on(seen(facts=facts, seconds=allowed), fetched=fetched) == ("good", "")
    assert verdict_on(seen(facts=facts, seconds=allowed + 0.01), fetched=fetched) == ("late", "P1")


def test_a_version_whose_files_are_not_the_published_ones_breaks_the_third_promise():
    assert verdict_on(GOOD, whole=False) == ("broken", "P3")
    assert verdict_on(seen(bundle_id="builtin"), whole=False) == ("good", "")


def test_a_bad_version_that_opens_more_often_than_it_may_breaks_the_fifth_promise():
    history = History(allowed={"1.0.1": 2})

    verdicts = [verdict_on(seen(ready=False, ordered="hang"), history) for _ in range(3)]

    assert verdicts == [("good", ""), ("good", ""), ("broken", "P5")]


def test_a_crash_that_was_reported_leaves_a_bad_version_no_further_try():
    history = History(allowed={"1.0.1": 3})

    verdicts = [verdict_on(seen(ready=False, ordered="crash", reported=True), history) for _ in range(2)]

    assert verdicts == [("good", ""), ("broken", "P5")]


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"raised": "OSError: no", "ready": False}, ("broken", "P2")),
        ({"version": "", "ready": False, "ended": "time-out"}, ("late", "P1")),
        ({"version": "", "ready": False, "exit_code": -11}, ("broken", "P2")),
        ({"version": "", "ready": False, "exit_code": -9, "ordered": "killed"}, ("good", "")),
        ({"version": "", "ready": False, "starting": False}, ("broken", "app")),
        ({"version": "", "ready": False, "starting": False, "facts": {}}, ("broken", "app")),
        ({"ready": False}, ("broken", "app")),
        ({"exit_code": 1}, ("broken", "app")),
        ({"exit_code": -15, "ended": "us"}, ("good", "")),
        ({"exit_code": 1, "ordered": "crash", "ready": False}, ("good", "")),
        ({"ordered": "crash", "reopened": "1.0.0"}, ("good", "")),
        ({"ordered": "crash", "reopened": "1.0.0", "ready": False, "ended": "time-out"}, ("broken", "app")),
        ({"ordered": "crash", "reopened": "1.0.0", "exit_code": 1}, ("broken", "app")),
        ({"ordered": "crash", "reopened": "1.0.1"}, ("broken", "P5")),
    ],
)
def test_what_ends_a_launch_is_told_apart(changes, verdict):
    assert verdict_on(seen(**changes)) == verdict


# ---- what is on offer ----


def test_each_version_is_the_builtin_under_the_next_number_and_known_by_every_byte(tmp_path):
    builtin, opened = tmp_path / "app", tmp_path / "opened"
    (builtin / "__pycache__").mkdir(parents=True)
    (builtin / "__pycache__" / "main.pyc").write_bytes(b"cached")
    (builtin / "main.py").write_text("ANSWER = 42\n")
    facts = {"app_id": "com.example.app", "version": "1.4.9-beta.1", "builtin": str(builtin), "signed": False}
    shelf = Shelf(facts, BundleKeys.generate())

    first, second = shelf.next(), shelf.next()

    assert (first.version, second.version) == ("1.4.10", "1.4.11")
    assert set(first.files) == {"main.py", "capgo-simulated-version.txt", "capgo-bundle.json"}
    for name, data in first.files.items():
        opened.mkdir(exist_ok=True)
        (opened / name).write_bytes(data)
    assert shelf.is_whole("1.4.10", str(opened))
    assert not shelf.is_whole("1.4.11", str(opened))
    (opened / "__pycache__").mkdir()
    (opened / "__pycache__" / "main.pyc").write_bytes(b"cached")
    assert shelf.is_whole("1.4.10", str(opened))
    (opened / "more.py").write_bytes(b"")
    assert not shelf.is_whole("1.4.10", str(opened))


# ---- what is reported ----


def summary(*verdicts, **changes):
    rows = [Row(n, "silence", "answering", "old", seen(**changes), verdict) for n, verdict in enumerate(verdicts, 1)]
    return Summary(tuple(rows), {"power-cut": "why not"})


def test_a_fault_is_survived_only_if_no_launch_took_harm_from_it():
    found = summary(Verdict("good"), Verdict("late", "P1", "it took too long"))

    assert (found.tried, found.survived, found.is_good) == (["silence"], [], False)
    assert "BROKEN in launch 2 (silence): P1, it took too long" in as_lines(found)


def test_reports_hold_whatever_an_app_may_say():
    hostile = 'a "quote" <tag> & \x00\x1b[2J \ud800 é'
    found = summary(Verdict("broken", "app", hostile), said=hostile)

    suite = ET.fromstring(as_junit(found, app="start.py").encode("utf-8"))
    document = json.loads(as_json(found, app="start.py"))

    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("2", "1", "1")
    assert suite[0][0].get("message") == 'app, a "quote" <tag> & ??[2J ? é'
    assert document["launches"][0]["why"] == hostile


def test_a_bar_of_richs_is_used_where_rich_is_installed(monkeypatch):
    class Progress:
        steps: list[str] = []  # noqa: RUF012

        def __init__(self, **_):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def add_task(self, text, total):
            self.steps.append(f"0/{total} {text}")
            return total

        def update(self, task, *, advance, description):
            self.steps.append(f"{advance}/{task} {description}")

    module = type(sys)("rich.progress")
    module.Progress = Progress
    monkeypatch.setitem(sys.modules, "rich.progress", module)

    with progress(3, text="fifty bad days") as step:
        step("silence: good")

    assert Progress.steps == ["0/3 fifty bad days", "1/3 silence: good"]


def test_without_rich_the_bar_is_one_line_that_is_wiped_at_the_end(monkeypatch):
    monkeypatch.setitem(sys.modules, "rich.progress", None)
    monkeypatch.setattr(sys, "stdout", io.StringIO())

    with progress(2, text="bad days") as step:
        begun = sys.stdout.getvalue()
        step("silence: good")
        half = sys.stdout.getvalue()
    said = sys.stdout.getvalue()

    assert begun.endswith("[..............................] 0/2 bad days")
    assert half.endswith("[###############...............] 1/2 silence: good")
    assert said.endswith("\r\x1b[K")
    assert "\n" not in said
