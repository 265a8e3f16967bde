"""The fleet's devices against the client itself: the same days, the same service, the same document afterwards."""

from __future__ import annotations

import math

import pytest
from fleet_people import CRASHES, CRASHES_LATER, DIES, HANGS, WORKS, Person
from fleet_run import EPOCH, Fleet
from fleet_story import BAD, BUILTIN, FIRST, FIX, offer

from capgo_client import Updater, cycle
from capgo_client.bundle import BUILTIN_ID
from capgo_client.protocol.outcomes import Failed, PlanEnded, UpToDate
from capgo_client.testing import FakeClock, Service, make_bundle

#: What the service says: a version (offered, or "that is what you run"), a 503 with or without an order, plan ended.
DOWN, WAIT, PLAN = "503", "503, Retry-After: 600", "plan ended"
RETRY_AFTER = 600.0

HISTORIES = {
    "an update and then nothing new": (WORKS, [FIRST, FIRST, FIRST]),
    "an outage between": (WORKS, [FIRST, DOWN, DOWN, FIRST, DOWN, FIRST]),
    "an order to wait": (WORKS, [FIRST, WAIT, FIRST, FIRST, FIRST]),
    "the plan ends and comes back": (WORKS, [FIRST, PLAN, PLAN, FIRST, FIX, FIX]),
    "the channel goes back to the version before": (WORKS, [FIRST, FIRST, BAD, DOWN, FIRST, FIRST]),
    "a bad release that works here": (WORKS, [FIRST, BAD, BAD, FIX, FIX]),
    "it crashes": (CRASHES, [FIRST, FIRST, BAD, BAD, BAD, BAD, FIX, FIX]),
    "it crashes on the builtin's back": (CRASHES, [BAD, BAD, BAD, FIX, FIX]),
    "it is killed before it is ready": (DIES, [FIRST, FIRST, BAD, BAD, BAD, BAD, BAD, BAD, FIX, FIX]),
    "it hangs": (HANGS, [FIRST, FIRST, BAD, BAD, BAD, FIX, FIX]),
    "it crashes after it was ready": (CRASHES_LATER, [FIRST, FIRST, BAD, BAD, BAD, BAD, BAD, FIX, FIX]),
    "fixed while the first start is not over": (HANGS, [BAD, FIX, FIX, FIX]),
}
#: From one launch to the next (seconds): within RETRY_AFTER once, not twice.
PAUSE = 500.0
#: When an app that crashes later does so, by ``Even`` (seconds).
LATER = 32.5


class Even:
    """Chance, as the middle of everything."""

    def random(self):
        return 0.5

    def uniform(self, low, high):
        return (low + high) / 2

    def expovariate(self, _rate):
        return 1000.0


class Script:
    """The service of the fleet, for one history."""

    says = FIRST

    def answer(self, now, version, *, draw):
        if self.says in (DOWN, WAIT):
            return Failed(status=503, retry_at=now + RETRY_AFTER if self.says == WAIT else None)
        if self.says == PLAN:
            return PlanEnded(status=429)
        return UpToDate(status=200) if self.says == version else offer(self.says)


class Simulated:
    """One device of the fleet, launched by hand."""

    def __init__(self, fate, *, direct):
        self.fleet = Fleet(1)
        self.member = self.fleet.members[0]
        self.member.owner = Person(
            kiosk=False, direct=direct, switches=False, period=0.0, pause=1e9, stay=1e9, ready=0.0, lag=0.0,
            download=0.0, fate=fate, drawer=(math.inf, 0.0),
        )  # fmt: skip
        self.fleet.chance = Even()
        self.fleet._random = Even().random
        self.fleet.service = Script()

    def live(self, says, at):
        self.fleet.service.says = says
        self.fleet._launch(at, self.member, 0, True)
        self.fleet._until(at + (LATER + 1.0 if self.member.owner.fate == CRASHES_LATER else 12.0))
        self.fleet._queue.clear()
        return self.member.state


class Real:
    """The same with an Updater, a service on loopback and a disk."""

    def __init__(self, service, folder, fate, *, direct):
        self.service = service
        self.clock = FakeClock(wall=EPOCH)
        self.fate = fate
        (folder / "app").mkdir()
        self.options = {
            "app_id": "com.example.fleet", "version": BUILTIN, "builtin": folder / "app", "data_dir": folder / "data",
            "update_url": service.update_url, "stats_url": "", "channel_url": "", "clock": self.clock,
            "auto_update": "onLaunch" if direct else "atBackground",
        }  # fmt: skip

    def live(self, says, at):
        self._say(says)
        self.clock.advance(at - self.clock.wall())
        updater = Updater(**self.options)
        updater.start()
        if self.options["auto_update"] == "onLaunch":
            assert updater.wait(
                10
            )  # its worker tidies up at once: before or after ready makes a difference of one install
        fate = self.fate if updater.current.version == BAD else WORKS
        if fate in (WORKS, CRASHES_LATER):
            updater.notify_app_ready()
            assert updater.wait(10)
        if fate == CRASHES_LATER:
            self.clock.advance(LATER)
        if fate in (CRASHES, CRASHES_LATER):
            updater.report_crash(ValueError("bad"))
        if fate == HANGS:
            self.clock.wait_for_sleepers(2)
            self.clock.advance(1.0)
            assert updater.wait(10)
            timer = updater._engine.session._timer
            self.clock.advance(9.0)
            timer.thread.join(5)
            assert not timer.thread.is_alive()
        updater.close()
        return updater._engine.ledger.load().state

    def _say(self, says):
        self.service.clear_answers()
        if says in (DOWN, WAIT):
            self.service.answer(503, b"", headers=[("Retry-After", "600")] if says == WAIT else [])
        elif says == PLAN:
            self.service.end_plan()
        else:
            self.service.restore_plan()
            self.service.publish(make_bundle(says, {"main.py": f"print('{says}')\n"}))


def told(state):
    """The document without what is each side's own: ids, checksums, tokens, the moment of an install."""
    names = {install.id: install.version for install in state.installs} | {BUILTIN_ID: BUILTIN, "": ""}
    plan = state.schedule
    return {
        "pointers": [names[i] for i in (state.current, state.next, state.fallback, state.previous)],
        "installs": sorted((i.version, i.status.value, i.attempts, i.crashes) for i in state.installs),
        "verdicts": [(v.version, v.hard, v.strikes, v.at) for v in state.verdicts],
        "launch": state.launch and (names.get(state.launch.bundle_id, "gone"), state.launch.ended),
        "failed": state.failed and state.failed.version,
        "newest": state.newest_confirmed,
        "schedule": [plan.failures, plan.stumbles, plan.hold, plan.answer],
        "times": [plan.not_before, plan.retry_after, plan.written_at, plan.good_answer_at],
    }


@pytest.mark.parametrize("direct", [False, True], ids=["background", "direct"])
@pytest.mark.parametrize("history", HISTORIES)
def test_a_device_of_the_fleet_remembers_what_the_client_remembers(tmp_path, monkeypatch, history, direct):
    monkeypatch.setattr(cycle, "_jitter", lambda: 0.5)
    fate, days = HISTORIES[history]
    with Service() as service:
        simulated, real = Simulated(fate, direct=direct), Real(service, tmp_path, fate, direct=direct)
        for launch, says in enumerate(days):
            at = EPOCH + launch * PAUSE
            assert told(simulated.live(says, at)) == told(real.live(says, at)), f"launch {launch + 1}: {says}"
