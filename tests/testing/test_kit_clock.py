from __future__ import annotations

import threading
import time

import pytest

from capgo_client.testing import FakeClock


class Sleeper:
    """A thread that waits on the clock and keeps what ``wait`` said."""

    def __init__(self, clock, timeout):
        self.event = threading.Event()
        self.said = []
        self.thread = threading.Thread(target=self.sleep, args=(clock, timeout), daemon=True)
        self.thread.start()

    def sleep(self, clock, timeout):
        self.said.append(clock.wait(self.event, timeout))

    def result(self):
        self.thread.join(5)
        assert not self.thread.is_alive()
        return self.said[0]


def test_time_stands_still_until_it_is_advanced():
    clock = FakeClock(wall=100.0, monotonic=5.0)
    assert (clock.wall(), clock.monotonic()) == (100.0, 5.0)
    clock.advance(2.5)
    assert (clock.wall(), clock.monotonic()) == (102.5, 7.5)


def test_the_wall_clock_jumps_alone_and_backwards_too():
    clock = FakeClock(wall=100.0, monotonic=5.0)
    clock.set_wall(7.0)
    assert (clock.wall(), clock.monotonic()) == (7.0, 5.0)


def test_monotonic_time_does_not_go_back():
    with pytest.raises(ValueError, match="set_wall"):
        FakeClock().advance(-1)


def test_a_wait_times_out_when_fake_time_has_passed_and_not_before():
    clock = FakeClock()
    sleeper = Sleeper(clock, 10.0)
    clock.wait_for_sleepers()
    assert clock.sleepers == [10.0]
    clock.advance(9.5)
    assert clock.sleepers == [0.5]
    clock.advance(0.5)
    assert sleeper.result() is False
    assert clock.sleepers == []


def test_a_wait_returns_at_once_when_another_thread_sets_the_event():
    clock = FakeClock()
    sleeper = Sleeper(clock, 3600.0)
    clock.wait_for_sleepers()
    started = time.monotonic()
    sleeper.event.set()
    assert sleeper.result() is True
    assert time.monotonic() - started < 0.5
    assert clock.sleepers == []


def test_a_wait_without_time_out_ends_with_its_event_only():
    clock = FakeClock()
    sleeper = Sleeper(clock, None)
    clock.wait_for_sleepers()
    assert clock.sleepers == [None]
    clock.advance(10**9)
    assert sleeper.thread.is_alive()
    sleeper.event.set()
    assert sleeper.result() is True


def test_a_set_event_and_a_time_out_of_zero_do_not_wait():
    clock = FakeClock()
    event = threading.Event()
    assert clock.wait(event, 0) is False
    event.set()
    assert clock.wait(event, 0) is True
    assert clock.wait(event, None) is True


def test_a_jump_of_the_wall_clock_wakes_nobody():
    clock = FakeClock()
    sleeper = Sleeper(clock, 10.0)
    clock.wait_for_sleepers()
    clock.set_wall(10.0**10)
    assert clock.sleepers == [10.0]
    clock.advance(10)
    assert sleeper.result() is False


def test_several_sleepers_wake_each_in_their_turn():
    clock = FakeClock()
    short, long = Sleeper(clock, 1.0), Sleeper(clock, 2.0)
    clock.wait_for_sleepers(2)
    clock.advance(1)
    assert short.result() is False
    assert clock.sleepers == [1.0]
    clock.advance(1)
    assert long.result() is False


def test_waiting_for_sleepers_that_do_not_come_says_so():
    with pytest.raises(TimeoutError, match="0 of 1 threads"):
        FakeClock().wait_for_sleepers(timeout=0.01)
