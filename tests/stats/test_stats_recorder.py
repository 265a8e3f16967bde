"""What the library calls: one write, never an exception, nothing heavy."""

from __future__ import annotations

import errno
import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from pacing import ME, Wire, end, pass_pause, said, until_idle

import capgo_client
from capgo_client.protocol.stats import StatsEvent
from capgo_client.stats.recorder import Stats
from capgo_client.testing import FakeClock, FaultyFiles


@pytest.fixture
def make(tmp_path):
    made = []

    def build(*script, files=None, enabled=lambda: True, identity=lambda: ME, **options):
        wire, clock = Wire(*script), FakeClock()
        stats = Stats(
            tmp_path / "stats",
            files=files or FaultyFiles(),
            clock=clock,
            identity=identity,
            send=wire,
            enabled=enabled,
            **options,
        )
        stats.wire, stats.clock = wire, clock
        made.append(stats)
        return stats

    yield build
    for stats in made:
        stats.stop()
        if stats.thread is not None:
            end(stats.thread)


def sent_by(stats):
    stats.begin()
    pass_pause(stats.clock)
    until_idle(stats.clock)
    return [event for batch in stats.wire.batches for event in batch]


def test_an_event_is_dated_when_it_happens_and_carries_who_it_is_about(make):
    stats = make()
    stats.record("set", version_name="2.0.0", old_version_name="1.9.0", metadata={"k": "v"})
    stats.clock.advance(5000)
    (event,) = sent_by(stats)
    assert event["timestamp"] == 1_735_689_600_000
    wanted = {"action": "set", "version_name": "2.0.0", "old_version_name": "1.9.0", "metadata": {"k": "v"}}
    assert wanted.items() <= event.items()
    assert event["app_id"] == "com.example.notes"


def test_several_events_of_a_moment_are_one_write_in_order(make):
    files = FaultyFiles()
    stats = make(files=files)
    stats.record_all([StatsEvent("app_launch_start", "1.4.0"), StatsEvent("set", "2.0.0", "1.4.0", {"a": "b"})])
    assert files.count("write") == 1
    assert [event["action"] for event in sent_by(stats)] == ["app_launch_start", "set"]


def test_no_events_touch_nothing(make):
    files = FaultyFiles()
    make(files=files).record_all([])
    assert files.calls == []


def test_what_is_turned_off_writes_nothing_and_sends_nothing(make):
    files = FaultyFiles()
    stats = make(files=files, enabled=lambda: False)
    stats.record("set", version_name="2.0.0")
    stats.begin()
    assert files.calls == []
    assert stats.thread is None


def test_turning_off_for_good_forgets_what_waits(make):
    stats = make()
    stats.record("set", version_name="2.0.0")
    assert stats.waiting == 1
    stats.clear()
    assert stats.waiting == 0


def test_the_bound_is_kept_and_what_it_cost_is_told(make):
    stats = make(limit=3)
    for number in range(10):
        stats.record("set", version_name=f"{number}.0.0")
    assert (stats.waiting, stats.dropped) == (3, 7)
    assert [event["version_name"] for event in sent_by(stats)] == ["7.0.0", "8.0.0", "9.0.0"]


def test_an_action_that_does_not_exist_is_a_line_in_the_log_and_takes_no_neighbour_along(make, caplog):
    stats = make()
    with caplog.at_level(logging.ERROR, "capgo_client"):
        stats.record_all([StatsEvent("set", "1.0.0"), StatsEvent("made_up", "2.0.0"), StatsEvent("set", "3.0.0")])
    assert len(caplog.records) == 1
    assert [event["version_name"] for event in sent_by(stats)] == ["1.0.0", "3.0.0"]


class Unprintable:
    def __str__(self):
        raise RuntimeError("no")


def broken_identity():
    raise OSError("no")


@pytest.mark.parametrize("what", ["identity", "metadata", "disk"])
def test_recording_never_raises(make, what, caplog):
    files = FaultyFiles()
    stats = make(files=files, identity=broken_identity if what == "identity" else lambda: ME)
    if what == "disk":
        files.fail(1, errno.EIO, times=None)
    metadata = {"x": Unprintable()} if what == "metadata" else None
    with caplog.at_level(logging.WARNING, "capgo_client"):
        stats.record("set", version_name="2.0.0", metadata=metadata)
    assert len(caplog.records) == 1
    files.heal()
    assert stats.waiting == (1 if what == "disk" else 0)


def test_a_limit_that_the_service_speaks_of_is_told_once_in_a_process(make):
    limit = said(429, {"error": "too_many_requests"})
    stats = make(limit, limit, current=lambda: "2.0.0")
    stats.record("set", version_name="3.0.0")
    stats.begin()
    for _ in range(3):
        pass_pause(stats.clock)
    until_idle(stats.clock)
    assert stats.wire.actions == [["set"], ["set", "rate_limit_reached"], ["set", "rate_limit_reached"]]
    assert stats.wire.batches[-1][1]["version_name"] == "2.0.0"
    stats.limited(version_name="9.0.0")
    assert stats.waiting == 0


def test_the_log_names_neither_the_user_nor_the_device(make, caplog):
    from dataclasses import replace

    secret = replace(ME, custom_id="alice@example.com")
    refusal = said(400, {"error": "missing_device_id", "moreInfo": {"body": {"custom_id": secret.custom_id}}})
    stats = make(refusal, identity=lambda: secret)
    stats.record("set", version_name="2.0.0")
    with caplog.at_level(logging.DEBUG, "capgo_client"):
        sent_by(stats)
    assert "missing_device_id" in caplog.text
    assert secret.custom_id not in caplog.text
    assert ME.device_id not in caplog.text


CHILD = """
import sys
before = set(sys.modules)
source, data = sys.argv[1:]
sys.path.insert(0, source)
from pathlib import Path
from capgo_client.protocol.requests import Identity
from capgo_client.seams import Clock, Files
from capgo_client.stats.recorder import Stats
me = Identity(app_id="a.b", device_id="", version_build="1.0.0", platform="electron")
stats = Stats(Path(data), files=Files(), clock=Clock(), identity=lambda: me, send=print, enabled=lambda: True)
stats.record("set", version_name="1.0.0")
import json
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def test_recording_imports_nothing_heavy(tmp_path):
    source = Path(capgo_client.__file__).resolve().parent.parent
    command = [sys.executable, "-S", "-c", CHILD, str(source), str(tmp_path / "stats")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True, cwd=tmp_path)
    loaded = set(json.loads(done.stdout))
    assert not loaded & {"httpx", "ssl", "asyncio", "typing", "datetime", "random", "cryptography", "zipfile"}
    assert not {name for name in loaded if name.startswith(("capgo_client.net", "capgo_client.protocol.deliveries"))}
    assert "capgo_client.stats.round" not in loaded
