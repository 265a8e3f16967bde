"""A small fleet through the whole story; ``make fleet`` sends a hundred thousand devices."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import fleet_people
import pytest
from fleet_picture import picture
from fleet_run import EPOCH, Fleet
from fleet_speed import quick_replace, quickened
from fleet_story import BAD, FIX, HOUR, VERSIONS, Story
from fleet_tally import Recovery, findings, recovery, together
from run_fleet import PARTS, broken, whole

import capgo_client
from capgo_client.bundle import BundleStatus
from capgo_client.life import boot, decide, schedule, verdicts
from capgo_client.life.schedule import Schedule
from capgo_client.life.settings import Settings
from capgo_client.life.state import Install, Launch, State, Verdict

SMALL = 2000
#: Two thousand devices send few requests; only in windows of this length is chance no longer all (seconds).
WINDOW = 1200


def tally_of(size, *, seed=1, kind=Fleet):
    with quickened():
        return kind(size, seed=seed).run().tally()


@pytest.fixture(scope="module")
def small():
    return whole(SMALL, seed=1, processes=1)


@pytest.mark.slow
@pytest.mark.promise(8)
def test_no_rush_follows_an_outage_or_the_plan_s_return(small):
    story = Story()
    for trouble in (story.outage, story.plan):
        assert 0.3 < recovery(small.checks, trouble, window=WINDOW).ratio <= 2.0


@pytest.mark.slow
@pytest.mark.promise(5)
def test_nobody_is_left_on_the_bad_release_and_everybody_has_the_fix(small):
    assert (small.on_bad, small.unfixed) == (0, 0)
    assert small.late < SMALL / 100


@pytest.mark.slow
def test_there_is_an_app_whatever_happens(small):
    assert small.launches > 5 * SMALL
    assert small.without_app == 0


@pytest.mark.slow
@pytest.mark.promise(8)
def test_a_person_waits_at_most_once_in_the_outage_and_the_hold_ends_with_it(small):
    assert small.waits_in_outage == 1
    assert small.longest_hold == 0


@pytest.mark.slow
def test_the_story_was_told(small):
    assert set(small.answers) == {"update", "up_to_date", "failed", "plan_ended", "rate_limited"}
    assert small.skipped > 0
    worst = max(sample[VERSIONS.index(BAD)] for sample in small.shares)
    assert worst > SMALL / 4
    assert small.shares[-1][VERSIONS.index(FIX)] > SMALL * 0.98
    assert {sum(sample) for sample in small.shares} == {SMALL}


def test_the_same_seed_is_the_same_run_and_another_is_another():
    first, again, other = (tally_of(100, seed=seed).digest for seed in (3, 3, 4))
    assert first == again
    assert first != other


@pytest.mark.slow
def test_the_parts_add_up():
    parts = [tally_of(10 + (i < 3), seed=PARTS + i) for i in range(PARTS)]
    added, ran = together(parts), whole(10 * PARTS + 3, seed=1, processes=1)
    assert added.digest == ran.digest
    assert (added.devices, added.launches, added.answers) == (ran.devices, ran.launches, ran.answers)
    assert sum(added.checks) == sum(sum(part.checks) for part in parts)
    assert sum(ran.checks) == sum(added.checks)


@pytest.mark.slow
def test_the_command_writes_its_figures_and_its_picture_and_needs_no_particular_number_of_processes(tmp_path):
    command = [sys.executable, Path(__file__).parent / "run_fleet.py", "--devices", "80", "--seed", "2"]
    package = Path(capgo_client.__file__).parent.parent
    done = subprocess.run(
        [*command, "--processes", "2", "--out", tmp_path],
        check=False,
        capture_output=True, text=True, timeout=60, env={**os.environ, "PYTHONPATH": str(package)},
    )  # fmt: skip
    assert done.returncode == 1, done.stderr  # eighty devices: chance makes peaks
    assert "Traceback" not in done.stderr
    alone = whole(80, seed=2, processes=1)
    assert json.loads((tmp_path / "fleet.json").read_text("utf-8")) == json.loads(json.dumps(findings(alone, Story())))
    assert (tmp_path / "fleet.png").read_bytes() == picture(alone, Story())


@pytest.fixture(scope="module")
def unchanged():
    return tally_of(150).digest


# --- it is the client's own code --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "name", "twin"),
    [
        (schedule, "asked", lambda plan, answer, **_: plan),
        (schedule, "may_ask", lambda plan, now, *, launch: True),
        (schedule, "period", lambda seconds, *, draw: 3 * seconds),
        (schedule, "waited", lambda plan, *, seconds, opened_update: plan),
        (schedule, "lifts_hold", lambda *, foreground, action: False),
        (verdicts, "failed_before", lambda *_, **__: None),
        (boot, "crashed", lambda state, *_, **__: state),
        (boot, "timed_out", lambda state, *_, **__: state),
        (decide, "queued", lambda state, *_, **__: state),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_another_rule_of_the_client_is_another_run(monkeypatch, unchanged, module, name, twin):
    monkeypatch.setattr(module, name, twin)
    assert tally_of(150).digest != unchanged


def test_a_failed_download_is_the_client_s_own_stumble(monkeypatch):
    draws = []

    def stumbled(plan, *, now, jitter):
        draws.append(jitter)
        return plan

    monkeypatch.setattr(schedule, "stumbled", stumbled)
    tally_of(100)
    assert draws
    assert all(0.0 <= draw < 1.0 for draw in draws)


@pytest.mark.slow
def test_a_client_that_forgot_its_verdicts_goes_back_to_the_bad_release(monkeypatch):
    opened = tally_of(300).shares
    monkeypatch.setattr(verdicts, "failed_before", lambda *_, **__: None)
    forgetful = tally_of(300).shares
    bad = VERSIONS.index(BAD)
    assert sum(sample[bad] for sample in forgetful) > sum(sample[bad] for sample in opened)


def test_a_client_that_could_not_queue_leaves_everybody_behind(monkeypatch):
    monkeypatch.setattr(decide, "queued", lambda state, *_, **__: state)
    tally = tally_of(60)
    assert tally.unfixed == 60
    assert "60 devices do not have the fix" in broken(tally, Story())


def test_a_hold_that_nothing_lifts_is_found(monkeypatch):
    monkeypatch.setattr(schedule, "lifts_hold", lambda *, foreground, action: False)
    assert tally_of(300).longest_hold > 1


@pytest.mark.slow
def test_a_client_that_asks_again_and_again_makes_a_rush(monkeypatch):
    """What the measure is for. Apps that stay open make the rush, so there are many of them here."""
    monkeypatch.setattr(fleet_people, "KIOSKS", 0.3)

    class Impatient(Fleet):
        """After each failure a device asks again half a minute later, whatever ``life`` says."""

        def _over(self, now, member, action, outcome, *, foreground):
            if action == "failed":
                member.cycle_over(action, outcome, foreground=foreground)
                self._at(now + 30.0, self._check, member, member.session, True)
            else:
                super()._over(now, member, action, outcome, foreground=foreground)

    calm = tally_of(300)
    monkeypatch.setattr(schedule, "may_ask", lambda plan, now, *, launch: True)
    tally = tally_of(300, kind=Impatient)
    assert recovery(calm.checks, Story().outage, window=WINDOW).ratio < 2.0
    assert recovery(tally.checks, Story().outage, window=60).ratio > 5.0
    assert any("within 60 s after the outage" in line for line in broken(tally, Story()))


RULES = {"FAILURE_BASE", "PLAN_BASE", "MAX_BACK_OFF", "SOFT_SENTENCE", "CRASH_LIMIT", "not_before", "retry_after",
         "written_at", "strikes", "attempts", "crashes", "verdicts", "failures", "stumbles"}  # fmt: skip


@pytest.mark.parametrize("name", ["fleet_device", "fleet_run", "fleet_people", "fleet_story"])
def test_the_fleet_has_no_back_off_and_no_verdicts_of_its_own(name):
    """It neither reads nor writes what the rules are made of; but the digest, which only tells how it ended."""
    tree = ast.parse((Path(__file__).parent / f"{name}.py").read_text("utf-8"))
    digest = {id(n) for f in ast.walk(tree) if getattr(f, "name", "") == "_digest" for n in ast.walk(f)}
    used = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and id(n) not in digest}
    used |= {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    used |= {k.arg for n in ast.walk(tree) if isinstance(n, ast.Call) for k in n.keywords if k.arg}
    modules = {"verdicts"} & {a.name for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for a in n.names}
    assert used & RULES - modules == set()


# --- the measure and the means ----------------------------------------------------------------------------------------


def test_the_recovery_is_the_busiest_window_against_the_hour_before():
    trouble = (2 * HOUR, 3 * HOUR)
    requests = [0] * 3600 + [2] * 3600 + [99] * 3600 + [2] * 7200 + [50] * 10
    requests[3 * 3600 + 100 : 3 * 3600 + 110] = [7] * 10
    assert recovery(requests, trouble, window=10) == Recovery(steady=2.0, peak=7.0)
    assert recovery(requests, trouble, window=20) == Recovery(steady=2.0, peak=4.5)
    assert recovery(requests, trouble, window=10).ratio == 3.5


def test_the_findings_name_every_promise_that_broke(small):
    told = findings(small, Story())
    assert told["devices"] == SMALL
    assert told["digest"] == small.digest
    wrong = quick_replace_tally(small, without_app=1, on_bad=2, unfixed=3, longest_hold=4, waits_in_outage=5)
    assert [line for line in broken(wrong, Story()) if "steady" not in line] == [
        "1 openings without an app",
        "2 devices are left on the bad release",
        "3 devices do not have the fix",
        "direct launches are still kept from waiting after 4 cycles that went well",
        "a person waited in vain 5 times in the outage",
    ]


def quick_replace_tally(tally, **changes):
    return type(tally)(**{**vars(tally), **changes})


INSTALL = Install("a", "1.0.0", "c", installed_at=1.0, status=BundleStatus.PENDING, by_app=True)


@pytest.mark.parametrize(
    ("value", "changes"),
    [
        (Schedule(failures=2, hold=True), {"hold": False}),
        (INSTALL, {"status": BundleStatus.SUCCESS, "attempts": 3}),
        (Verdict("1", "c", hard=True, at=5.0), {"at": 6.0}),
        (Launch("t", "a"), {"ended": "ready"}),
        (Settings(channel="beta"), {"delays": ()}),
        (State("1.0.0", installs=(INSTALL,), failed=INSTALL), {"current": "a", "schedule": Schedule(failures=1)}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_quick_twin_of_replace_makes_the_same(value, changes):
    from dataclasses import replace

    made = quick_replace(value, **changes)
    assert made == replace(value, **changes)
    assert type(made) is type(value)
    with pytest.raises(AttributeError):
        setattr(made, next(iter(changes)), None)


def test_with_the_quick_twins_the_run_is_the_same():
    plain = Fleet(50, seed=5).run().tally().digest
    assert tally_of(50, seed=5).digest == plain
    assert boot.replace is not quick_replace


def test_nothing_happens_before_the_first_midnight():
    fleet = Fleet(50)
    assert all(fleet._first_launch(member.owner) >= 0.0 for member in fleet.members)
    assert EPOCH % (24 * HOUR) == 0
