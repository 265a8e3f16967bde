"""The ready timer counts foreground seconds on the injected clock."""

from __future__ import annotations

import threading

import pytest

from capgo_client.ready import ReadyTimer
from capgo_client.testing import FakeClock

PATIENCE = 5.0


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def expired() -> threading.Event:
    return threading.Event()


@pytest.fixture
def timer(clock, expired):
    timer = ReadyTimer(10.0, expired.set, clock=clock)
    timer.start()
    clock.wait_for_sleepers()
    yield timer
    timer.stop()
    timer.thread.join(PATIENCE)
    assert not timer.thread.is_alive()


def test_it_expires_after_its_seconds(timer, clock, expired):
    clock.advance(9.9)
    assert not expired.wait(0.05)
    clock.advance(0.2)
    assert expired.wait(PATIENCE)


def test_stopped_in_time_it_never_expires(timer, clock, expired):
    clock.advance(9.0)
    timer.stop()
    timer.thread.join(PATIENCE)
    clock.advance(100.0)
    assert not expired.is_set()


def test_the_background_does_not_count(timer, clock, expired):
    clock.advance(6.0)
    timer.pause()
    assert not expired.wait(0.05)
    clock.advance(3600.0)
    assert not expired.wait(0.05)
    timer.resume()
    assert not expired.wait(0.05)
    clock.advance(3.9)
    assert not expired.wait(0.05)
    clock.advance(0.2)
    assert expired.wait(PATIENCE)


def test_the_thread_is_a_daemon(timer):
    assert timer.thread.daemon
