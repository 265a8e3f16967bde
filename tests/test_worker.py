"""The thread that does what takes time: what it waits for, what it merges, how it ends."""

from __future__ import annotations

import threading

import pytest

from capgo_client.testing import FakeClock
from capgo_client.worker import Order, Worker

PATIENCE = 5.0


class Recorder:
    """Stands for the cycle: remembers its orders and can be held up."""

    def __init__(self) -> None:
        self.orders: list[Order] = []
        self.began = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.go_on.set()

    def __call__(self, order: Order) -> None:
        self.orders.append(order)
        self.began.release()
        assert self.go_on.wait(PATIENCE)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def make(clock, recorder):
    workers: list[Worker] = []

    def build(*, period: float | None = None) -> Worker:
        worker = Worker(recorder, clock=clock, period=lambda: period)
        workers.append(worker)
        return worker

    yield build
    recorder.go_on.set()
    for worker in workers:
        worker.stop()
        if worker.thread.is_alive():
            worker.thread.join(PATIENCE)
            assert not worker.thread.is_alive()


@pytest.mark.promise(1)
def test_the_first_order_waits_until_its_delay_is_over(make, clock, recorder):
    worker = make()
    worker.start(Order(launch=True), delay=1.0)
    clock.wait_for_sleepers()
    clock.advance(0.9)
    assert not recorder.began.acquire(timeout=0.05)
    clock.advance(0.2)
    assert recorder.began.acquire(timeout=PATIENCE)


def test_hurry_starts_the_first_order_at_once(make, recorder):
    worker = make()
    worker.start(Order(launch=True), delay=1.0)
    worker.hurry()
    assert recorder.began.acquire(timeout=PATIENCE)


def test_hurrying_with_nothing_due_runs_nothing(make, recorder):
    worker = make()
    worker.start(Order(launch=True), delay=1.0)
    assert worker.wait(PATIENCE)
    for _ in range(5):
        worker.hurry()
    assert worker.wait(PATIENCE)
    assert len(recorder.orders) == 1


def test_wait_starts_what_is_only_delayed_and_tells_when_it_is_over(make, recorder):
    worker = make()
    worker.start(Order(launch=True), delay=3600.0)
    assert worker.wait(PATIENCE)
    assert len(recorder.orders) == 1


def test_wait_gives_up_while_something_runs(make, recorder):
    recorder.go_on.clear()
    worker = make()
    worker.start(Order(launch=True), delay=0.0)
    assert recorder.began.acquire(timeout=PATIENCE)
    assert worker.wait(0.05) is False
    recorder.go_on.set()
    assert worker.wait(PATIENCE)


def test_an_order_during_a_cycle_is_merged_into_it(make, recorder):
    recorder.go_on.clear()
    worker = make()
    worker.start(Order(launch=True), delay=0.0)
    assert recorder.began.acquire(timeout=PATIENCE)
    assert worker.submit(Order(by_app=True)) is False
    recorder.go_on.set()
    assert worker.wait(PATIENCE)
    assert len(recorder.orders) == 1


def test_an_order_takes_the_place_of_one_that_would_only_tidy_up(make, recorder):
    worker = make()
    worker.start(Order(check=False, launch=True), delay=3600.0)
    assert worker.submit(Order(by_app=True)) is True
    assert worker.wait(PATIENCE)
    assert [order.by_app for order in recorder.orders] == [True]


def test_a_periodic_order_comes_when_its_time_is_over_and_wait_does_not_wait_for_it(make, clock, recorder):
    worker = make(period=600.0)
    worker.start(Order(launch=True), delay=0.0)
    assert recorder.began.acquire(timeout=PATIENCE)
    assert worker.wait(PATIENCE)
    assert len(recorder.orders) == 1
    worker.hurry()  # does not put the period off
    clock.wait_for_sleepers()
    clock.advance(601.0)
    assert recorder.began.acquire(timeout=PATIENCE)
    assert [order.launch for order in recorder.orders] == [True, False]


def test_a_bug_in_a_cycle_ends_only_that_cycle(clock, caplog):
    def broken(order: Order) -> None:
        raise ValueError(order)

    worker = Worker(broken, clock=clock, period=lambda: None)
    order = Order(launch=True)
    worker.start(order, delay=0.0)
    assert order.done.wait(PATIENCE)
    assert order.checked.is_set()
    assert worker.wait(PATIENCE)
    assert worker.submit(Order()) is True
    worker.stop()
    worker.thread.join(PATIENCE)
    assert "ended by a bug" in caplog.text


@pytest.mark.promise(9)
def test_stop_ends_the_thread_and_everybody_who_waits(make, recorder):
    worker = make()
    worker.start(Order(launch=True), delay=3600.0)
    worker.stop()
    assert worker.wait(PATIENCE)
    worker.thread.join(PATIENCE)
    assert not worker.thread.is_alive()
    assert recorder.orders == []


def test_the_thread_is_a_daemon(make):
    assert make().thread.daemon
