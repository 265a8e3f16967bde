"""Statistics over a real socket to a service that misbehaves, and out of a process that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pacing import ME, end, next_pause, pass_pause, until_idle

import capgo_client
from capgo_client.errors import Cancelled
from capgo_client.net.client import HttpClient
from capgo_client.net.deadline import Scope
from capgo_client.seams import Files
from capgo_client.stats.recorder import Stats
from capgo_client.testing import FakeClock, Service


class Device:
    """Stats with a real HTTP client on a fake clock."""

    def __init__(self, folder, url, **options):
        self.client, self.clock = HttpClient(user_agent="test"), FakeClock()
        self.url, self.errors = url, []
        self.stats = Stats(
            folder,
            files=Files(),
            clock=self.clock,
            identity=lambda: ME,
            send=self.send,
            enabled=lambda: True,
            **options,
        )

    def send(self, body):
        try:
            return self.client.exchange("POST", self.url, body=body, scope=Scope(5.0), max_bytes=1_000_000)
        except Exception as exc:
            self.errors.append(exc)
            raise

    def put(self, *names):
        for name in names:
            self.stats.record("set", version_name=name)

    def begin(self):
        self.stats.begin()
        pass_pause(self.clock)

    def close(self):
        self.stats.stop()
        self.client.close()
        if self.stats.thread is not None:
            end(self.stats.thread)


@pytest.fixture
def service():
    with Service(app_id=ME.app_id) as running:
        yield running


@pytest.fixture
def device(tmp_path, service, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    made = []

    def make(**options):
        made.append(Device(tmp_path / "stats", service.stats_url, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


def sent(service):
    return [event["version_name"] for event in service.events]


def batches(service):
    return [[event["version_name"] for event in request.json] for request in service.requests]


def names(count):
    return [f"{number}.0.0" for number in range(count)]


@pytest.mark.promise(10)
def test_what_was_raised_offline_arrives_later_in_order_and_once(device, service):
    d = device()
    service.stop()
    d.put(*names(5))
    d.begin()
    for _ in range(3):
        pass_pause(d.clock)
    next_pause(d.clock)
    assert len(d.errors) == 4
    service.start()
    pass_pause(d.clock)
    until_idle(d.clock)
    assert sent(service) == names(5)
    assert d.stats.waiting == 0


@pytest.mark.promise(10)
@pytest.mark.parametrize(
    "fault", ["reset-before-headers", "reset-in-body", "empty-reply", "cut-body", "truncated-json"]
)
def test_a_lost_reply_repeats_its_batch_and_nothing_else(device, service, fault):
    d = device()
    d.put(*names(250))
    with service.fault(fault, on="stats", nth=1):
        d.begin()
        pass_pause(d.clock)
        until_idle(d.clock)
    assert batches(service) == [names(200), names(200), names(250)[200:]]


@pytest.mark.parametrize(
    "fault",
    ["html-200", "not-json", "empty-body", "deep-json", "http-500", "http-503", "http-403", "http-404", "http-408",
     "http-429", "redirect-loop", "gzip-bomb"],
)  # fmt: skip
def test_a_service_that_talks_nonsense_loses_nothing(device, service, fault):
    d = device()
    d.put("1.0.0", "2.0.0")
    with service.fault(fault, on="stats"):
        d.begin()
        next_pause(d.clock)
    assert d.stats.waiting >= 2
    pass_pause(d.clock)
    until_idle(d.clock)
    assert batches(service)[-1][:2] == ["1.0.0", "2.0.0"]
    assert d.stats.waiting == 0


def test_when_the_plan_ends_everything_waits_within_the_bound_and_arrives_when_it_is_paid(device, service):
    d = device(limit=50)
    service.end_plan()
    d.put(*names(40))
    d.begin()
    assert next_pause(d.clock) >= 900
    d.put(*[f"9.0.{number}" for number in range(40)])
    assert (d.stats.waiting, d.stats.dropped) == (50, 30)
    service.restore_plan()
    before = len(service.requests)
    pass_pause(d.clock)
    until_idle(d.clock)
    assert batches(service)[before:] == [names(40)[30:] + [f"9.0.{number}" for number in range(40)]]
    assert (d.stats.waiting, d.stats.dropped) == (0, 30)


def test_of_ten_thousand_events_raised_offline_the_newest_arrive_in_order(device, service):
    d = device()
    d.put(*names(10_000))
    assert (d.stats.waiting, d.stats.dropped) == (1000, 9000)
    d.begin()
    until_idle(d.clock)
    assert [len(batch) for batch in batches(service)] == [200] * 5
    assert sent(service) == names(10_000)[9000:]
    assert (d.stats.waiting, d.stats.dropped) == (0, 9000)


def test_stop_and_close_return_at_once_while_a_reply_hangs_and_nothing_is_lost(device, service):
    d = device()
    d.put("1.0.0")
    with service.fault("silence", on="stats", times=1):
        d.begin()
        service.wait_for_requests(1, on="stats")
        began = time.monotonic()
        d.stats.stop()
        assert time.monotonic() - began < 0.2
        d.client.close()
        end(d.stats.thread)
        assert time.monotonic() - began < 1.0
    assert isinstance(d.errors[0], Cancelled)
    again = device()
    again.begin()
    until_idle(again.clock)
    assert sent(service) == ["1.0.0", "1.0.0"]


CHILD = """
import sys
source, data = sys.argv[1:]
sys.path.insert(0, source)
from pathlib import Path
from capgo_client.protocol.requests import Identity
from capgo_client.seams import Clock, Files
from capgo_client.stats.recorder import Stats
me = Identity(app_id="com.example.notes", device_id="01234567-89ab-cdef-0123-456789abcdef", version_build="1.4.0",
              platform="electron", version_os="6.8.0")
stats = Stats(Path(data), files=Files(), clock=Clock(), identity=lambda: me, send=print, enabled=lambda: True)
for number in range(30):
    stats.record("set", version_name=f"{number}.0.0")
    print(number, flush=True)
sys.stdin.read()
"""


@pytest.mark.promise(10)
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no such signal")
def test_a_process_that_is_killed_loses_nothing_that_it_recorded(device, service, tmp_path):
    source = Path(capgo_client.__file__).resolve().parent.parent
    command = [sys.executable, "-S", "-c", CHILD, str(source), str(tmp_path / "stats")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        for number in range(30):
            assert child.stdout.readline().strip() == str(number)
        os.kill(child.pid, signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    d = device()
    d.put("99.0.0")
    d.begin()
    until_idle(d.clock)
    assert sent(service) == [*names(30), "99.0.0"]
