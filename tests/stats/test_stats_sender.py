"""When and how the queue is sent: batches, pauses, refusals. The wire is scripted, the clock is ours."""

from __future__ import annotations

import json
import logging
import time

import pytest
from pacing import LOST, PLAN_ENDED, Gate, Wire, end, next_pause, pass_pause, said, taken, until_idle

from capgo_client.seams import Files
from capgo_client.stats.queue import Queue
from capgo_client.stats.sender import Sender
from capgo_client.testing import FakeClock


class Rig:
    """A queue, a sender on a fake clock, and a wire."""

    def __init__(self, folder, *script, draw=0.5):
        self.queue = Queue(folder, files=Files())
        self.wire, self.clock, self.on, self.limits = Wire(*script), FakeClock(), True, 0
        self.sender = Sender(
            self.queue,
            clock=self.clock,
            send=self.wire,
            enabled=lambda: self.on,
            limited=self.was_limited,
            draw=lambda: draw,
        )

    def was_limited(self):
        self.limits += 1

    def put(self, *names, app="com.example.notes", news=True):
        self.queue.append(
            [json.dumps({"app_id": app, "version_name": name, "action": "set"}).encode() for name in names]
        )
        if news:
            self.sender.news()

    def begin(self):
        """Begin, and let the second go by in which events are collected."""
        self.sender.begin()
        assert pass_pause(self.clock) == 1.0

    @property
    def left(self):
        return [json.loads(entry.text)["version_name"] for entry in self.queue.head(1000)]


@pytest.fixture
def rig(tmp_path):
    made = []

    def make(*script, **options):
        made.append(Rig(tmp_path / "stats", *script, **options))
        return made[-1]

    yield make
    for each in made:
        each.sender.stop()
        if each.sender.thread is not None:
            end(each.sender.thread)


def names(count, start=0):
    return [f"{number}.0.0" for number in range(start, start + count)]


# ---- when ----


def test_nothing_is_sent_before_the_app_is_open_and_no_thread_runs(rig):
    r = rig()
    r.put("1.0.0")
    assert r.sender.thread is None
    assert r.wire.batches == []


def test_what_happens_within_a_second_goes_together_in_order(rig):
    r = rig()
    r.put("1.0.0")
    r.sender.begin()
    assert next_pause(r.clock) == 1.0
    r.put("2.0.0")
    r.put("3.0.0")
    pass_pause(r.clock)
    until_idle(r.clock)
    assert r.wire.names == [["1.0.0", "2.0.0", "3.0.0"]]
    r.put("4.0.0")
    assert pass_pause(r.clock) == 1.0
    until_idle(r.clock)
    assert r.wire.names[1:] == [["4.0.0"]]
    assert r.left == []


def test_the_thread_is_named_and_delays_no_exit(rig):
    r = rig()
    r.sender.begin()
    assert (r.sender.thread.name, r.sender.thread.daemon) == ("capgo-stats", True)


def test_many_go_in_batches_of_two_hundred(rig):
    r = rig()
    r.put(*names(450))
    r.begin()
    until_idle(r.clock)
    assert r.wire.names == [names(200), names(200, 200), names(50, 400)]
    assert r.left == []


def test_events_of_two_apps_are_never_in_one_batch(rig):
    r = rig()
    r.put("1.0.0", "2.0.0")
    r.put("3.0.0", app="com.example.other")
    r.put("4.0.0")
    r.begin()
    until_idle(r.clock)
    assert r.wire.names == [["1.0.0", "2.0.0"], ["3.0.0"], ["4.0.0"]]


def test_while_it_is_turned_off_nothing_is_sent_and_nothing_lost(rig):
    r = rig()
    r.on = False
    r.put("1.0.0")
    r.sender.begin()
    assert r.sender.thread is None
    r.on = True
    r.sender.news()
    pass_pause(r.clock)
    until_idle(r.clock)
    assert r.wire.names == [["1.0.0"]]


def test_while_another_process_sends_we_do_not(rig):
    r = rig()
    r.put("1.0.0")
    with Queue(r.queue._folder, files=Files()).sending():
        r.begin()
        assert next_pause(r.clock) == 7.5
        assert r.wire.batches == []
    pass_pause(r.clock)
    until_idle(r.clock)
    assert r.wire.names == [["1.0.0"]]


# ---- an app that wants to end ----


def test_whoever_waits_has_what_was_collected_sent_without_the_second(rig):
    r = rig()
    r.put("1.0.0")
    r.sender.begin()
    assert next_pause(r.clock) == 1.0
    r.put("2.0.0")
    r.sender.settle(10)  # nobody moves the clock
    assert r.wire.names == [["1.0.0", "2.0.0"]]
    assert r.sender.thread is None
    r.put("3.0.0")
    assert next_pause(r.clock) == 1.0  # once, and not from now on


def test_whoever_waits_right_after_the_news_has_them_sent_too(rig):
    r = rig()
    r.sender.begin()
    for name in names(50):
        r.put(name)
        r.sender.settle(10)
    assert [name for batch in r.wire.names for name in batch] == names(50)


def test_whoever_waits_waits_for_no_pause_after_a_failure(rig):
    r = rig(LOST)
    r.put("1.0.0")
    r.sender.begin()
    r.sender.settle(10)
    assert len(r.wire.batches) == 1
    assert next_pause(r.clock) == 2.5
    r.put("2.0.0")
    r.sender.settle(10)
    assert len(r.wire.batches) == 1


def test_whoever_waits_waits_no_longer_than_told(rig):
    held = Gate(taken(1))
    r = rig(held)
    r.put("1.0.0")
    r.sender.begin()
    began = time.monotonic()
    r.sender.settle(0.2)
    assert 0.2 <= time.monotonic() - began < 5
    held.opened.set()


@pytest.mark.parametrize("how", ["nothing to send", "not begun", "turned off", "stopped"])
def test_whoever_waits_for_nothing_does_not_wait(rig, how):
    r = rig()
    r.on = how != "turned off"
    if how != "nothing to send":
        r.put("1.0.0")
    if how != "not begun":
        r.sender.begin()
    if how == "stopped":
        r.sender.stop()
    r.sender.settle(10)
    assert r.wire.batches == []


# ---- pauses ----


def test_after_failures_the_pauses_grow_to_an_hour_and_success_ends_them(rig):
    r = rig(*[LOST] * 12)
    r.put("1.0.0")
    r.begin()
    pauses = [pass_pause(r.clock) for _ in range(12)]
    assert pauses == [2.5, 5, 10, 20, 40, 80, 160, 320, 640, 1280, 1800, 1800]
    until_idle(r.clock)
    assert r.left == []
    r.wire.script = [LOST]
    r.put("2.0.0")
    assert pass_pause(r.clock) == 1.0
    assert pass_pause(r.clock) == 2.5
    until_idle(r.clock)


@pytest.mark.parametrize(("draw", "pause"), [(0.0, 1.0), (0.99, 4.95)])
def test_the_jitter_is_full_but_for_a_second(rig, draw, pause):
    r = rig(LOST, draw=draw)
    r.put("1.0.0")
    r.begin()
    assert next_pause(r.clock) == pause


def test_news_do_not_cut_a_pause_short(rig):
    r = rig(LOST)
    r.put("1.0.0")
    r.begin()
    assert next_pause(r.clock) == 2.5
    r.clock.advance(1.0)
    r.put("2.0.0")
    assert next_pause(r.clock) == 1.5
    assert len(r.wire.batches) == 1
    pass_pause(r.clock)
    until_idle(r.clock)
    assert r.wire.names == [["1.0.0"], ["1.0.0", "2.0.0"]]


def test_when_the_plan_ended_everything_stays_and_the_pauses_grow_from_a_quarter_of_an_hour_to_a_day(rig):
    r = rig(*[PLAN_ENDED] * 10)
    r.put("1.0.0")
    r.begin()
    pauses = [pass_pause(r.clock) for _ in range(9)]
    assert pauses == [1350, 1800, 2700, 4500, 8100, 15300, 29700, 58500, 86400]
    assert r.left == ["1.0.0"]
    pass_pause(r.clock)
    until_idle(r.clock)
    assert r.left == []


def test_an_unknown_app_keeps_what_was_not_taken(rig):
    def half(events):
        refused = {"status": "error", "error": "on_premise_app", "message": "no", "index": 1}
        return said(200, {"status": "ok", "results": [{"status": "ok", "index": 0}, refused]})

    r = rig(half)
    r.put("1.0.0", "2.0.0")
    r.begin()
    assert next_pause(r.clock) == 1350
    assert r.left == ["2.0.0"]


@pytest.mark.parametrize(
    ("header", "pause"), [("60", 60.0), ("1", 2.5), ("9999999", 86400.0), ("Wed, 01 Jan 2025 00:02:01 GMT", 119.9999)]
)
def test_the_service_may_ask_for_a_longer_pause_of_at_most_a_day(rig, header, pause):
    r = rig(said(429, {"error": "too_many_requests"}, retry_after=header))
    r.put("1.0.0")
    r.begin()
    assert next_pause(r.clock) == pause
    assert r.limits == 1


@pytest.mark.parametrize("jump", [-400 * 86400.0, 400 * 86400.0])
def test_a_jump_of_the_wall_clock_neither_cuts_a_pause_short_nor_makes_it_longer(rig, jump):
    r = rig(said(503, {}, retry_after="60"))
    r.put("1.0.0")
    r.begin()
    assert next_pause(r.clock) == 60.0
    r.clock.set_wall(r.clock.wall() + jump)
    r.clock.advance(59.0)
    assert next_pause(r.clock) == 1.0
    pass_pause(r.clock)
    until_idle(r.clock)
    assert len(r.wire.batches) == 2


@pytest.mark.parametrize(
    "reply",
    [
        said(500, {"error": "unknown_error"}),
        said(200, {"status": "ok", "results": []}),
        said(200, {"status": "ok", "results": [{"status": "ok", "index": 7}, 3]}),
        said(200, ["ok"]),
        said(404, {"error": "not_found"}),
        said(403, "<html>"),
    ],
)
def test_a_reply_that_cannot_be_used_keeps_all_for_the_next_time(rig, reply):
    r = rig(reply)
    r.put("1.0.0", "2.0.0")
    r.begin()
    assert pass_pause(r.clock) == 2.5
    until_idle(r.clock)
    assert r.wire.names == [["1.0.0", "2.0.0"]] * 2


def test_a_bug_in_what_sends_is_logged_and_harms_nothing(rig, caplog):
    r = rig(ValueError("a bug"))
    r.put("1.0.0")
    with caplog.at_level(logging.ERROR, "capgo_client"):
        r.begin()
        pass_pause(r.clock)
        until_idle(r.clock)
    assert "ended by a bug" in caplog.text
    assert r.wire.names == [["1.0.0"]] * 2


# ---- what is repeated, what is given up ----


def test_only_the_batch_whose_reply_was_lost_is_repeated(rig):
    r = rig(taken(200), LOST)
    r.put(*names(450))
    r.begin()
    pass_pause(r.clock)
    until_idle(r.clock)
    assert r.wire.names == [names(200), names(200, 200), names(200, 200), names(50, 400)]


@pytest.mark.parametrize("bad", [0, 1, 99, 100, 137, 198, 199])
def test_the_one_event_that_makes_the_service_refuse_a_batch_is_given_up_alone(rig, bad):
    poison = f"{bad}.0.0"

    def picky(events):
        bad_one = any(event["version_name"] == poison for event in events)
        return said(400, {"error": "invalid_app_id"}) if bad_one else taken(len(events))

    r = rig(*[picky] * 60)
    r.put(*names(200))
    r.begin()
    until_idle(r.clock)
    accepted = [name for batch in r.wire.names if poison not in batch for name in batch]
    assert accepted == [name for name in names(200) if name != poison]
    assert r.left == []
    assert len(r.wire.batches) <= 25


def test_a_service_that_refuses_everything_costs_one_event_a_pause(rig):
    r = rig(*[said(400, {"error": "invalid_json_body"})] * 40)
    r.put(*names(8))
    r.begin()
    assert pass_pause(r.clock) == 2.5
    assert next_pause(r.clock) == 5
    assert r.left == names(6, 2)


def item_errors(**codes):
    """Takes all but the events of these versions, each with its error."""

    def answer(events):
        results = []
        for index, event in enumerate(events):
            code = codes.get("v" + event["version_name"].removesuffix(".0.0"))
            wrong = {"status": "error", "error": code, "message": "no", "index": index}
            results.append(wrong if code else {"status": "ok", "index": index})
        return said(200, {"status": "ok", "results": results})

    return answer


def test_an_event_that_breaks_a_rule_is_dropped_alone_and_one_of_a_deleted_version_is_done(rig):
    r = rig(item_errors(v1="invalid_json_body", v2="version_not_found"))
    r.put(*names(4))
    r.begin()
    until_idle(r.clock)
    assert r.wire.names == [names(4)]
    assert r.left == []


def test_an_event_over_which_the_service_stumbles_is_sent_three_times_and_holds_up_nothing(rig):
    stumbling = item_errors(v0="processing_error")
    r = rig(*[stumbling] * 5)
    r.put(*names(202))
    r.begin()
    assert pass_pause(r.clock) == 2.5
    assert r.wire.names[:2] == [names(200), names(2, 200)]
    pass_pause(r.clock)
    until_idle(r.clock)
    assert r.wire.names[2:] == [["0.0.0"]] * 2
    assert r.left == []


def test_an_event_over_which_the_service_stumbled_once_arrives_the_next_time(rig):
    r = rig(item_errors(v1="processing_error"))
    r.put(*names(3))
    r.begin()
    pass_pause(r.clock)
    until_idle(r.clock)
    assert r.wire.names == [names(3), ["1.0.0"]]


# ---- the end ----


def test_stop_returns_at_once_while_a_reply_hangs_and_the_thread_then_ends(rig):
    gate = Gate(LOST)
    r = rig(gate)
    r.put("1.0.0")
    r.begin()
    assert gate.reached.wait(5)
    began = time.monotonic()
    r.sender.stop()
    assert time.monotonic() - began < 0.2
    gate.opened.set()
    end(r.sender.thread)
    assert r.left == ["1.0.0"]
    assert len(r.wire.batches) == 1


def test_a_reply_that_still_comes_after_the_stop_counts(rig):
    gate = Gate(lambda events: taken(len(events)))
    r = rig(gate)
    r.put(*names(300))
    r.begin()
    assert gate.reached.wait(5)
    r.sender.stop()
    gate.opened.set()
    end(r.sender.thread)
    assert r.left == names(100, 200)
    assert len(r.wire.batches) == 1


@pytest.mark.parametrize("pausing", [True, False])
def test_stop_ends_a_thread_that_sleeps_and_none_comes_after_it(rig, pausing):
    r = rig(LOST) if pausing else rig()
    r.put("1.0.0")
    r.begin()
    if pausing:
        next_pause(r.clock)
    else:
        until_idle(r.clock)
    thread = r.sender.thread
    assert (thread is not None) is pausing  # one that has nothing to do has ended by itself
    r.sender.stop()
    if thread is not None:
        end(thread)
    r.put("2.0.0")
    assert r.sender.thread is thread
