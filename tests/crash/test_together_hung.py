"""Decision 6: another process that holds a lock and hangs delays nobody's ``start()`` beyond 50 ms."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from capgo_client import Updater
from capgo_client.install import leases
from capgo_client.testing import Service, make_bundle

pytestmark = [
    pytest.mark.promise(1),
    pytest.mark.promise(9),
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="this system stops no processes"),
]

#: What a start may wait for another process, and what is granted for the waking up after it (seconds).
PATIENCE = 0.050
MARGIN = 0.010
#: Of so many starts the quickest counts: a busy machine delays some, a lock that is waited for delays all.
STARTS = 7

_HOLDER = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
fcntl.flock(fd, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def service():
    with Service() as running:
        yield running


@pytest.fixture
def device(service, tmp_path):
    """1.5.0 is installed and proven, 1.6.0 queued: the next start has something to count."""
    builtin = tmp_path / "app"
    builtin.mkdir()
    (builtin / "main.py").write_text("print('builtin')\n")

    def updater(**options):
        defaults = {"update_url": service.update_url, "stats_url": service.stats_url, "channel_url": ""}
        return Updater("com.example.notes", "1.0.0", builtin, data_dir=tmp_path / "data", **{**defaults, **options})

    for version in ("1.5.0", "1.6.0"):
        service.publish(make_bundle(version, {"main.py": version}))
        with updater() as app:
            app.start()
            app.notify_app_ready()
            assert app.wait(20)
    return updater


def hung(path):
    """A process that took the lock on ``path`` and was stopped."""
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", _HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"held\n"
    process.send_signal(signal.SIGSTOP)
    os.waitpid(process.pid, os.WUNTRACED)
    return process


def quickest(device, data):
    """Seconds of the quickest of some starts, and what it opened."""
    best, opened = 9.0, set()
    for _ in range(STARTS):
        app = device(auto_update="atBackground")
        began = time.monotonic()
        bundle = app.start()
        best = min(best, time.monotonic() - began)
        opened.add(bundle.version)
        app.close()
        leases.let_go(data)
    return best, opened


@pytest.mark.parametrize(
    ("lock", "opens"),
    [
        ("state.lock", {"1.5.0"}),  # nothing can be counted, so the last version that proved itself opens
        ("install.lock", {"1.6.0"}),
        ("primary.lock", {"1.5.0"}),  # a second process: what is current
        ("stats/events.lock", {"1.6.0"}),
        ("stats/sending.lock", {"1.6.0"}),
    ],
)
def test_a_process_that_hangs_with_a_lock_delays_no_start(device, tmp_path, lock, opens):
    data = tmp_path / "data"
    (data / "stats").mkdir(exist_ok=True)
    holder = hung(data / lock)
    try:
        taken, opened = quickest(lambda **options: device(max_boot_attempts=99, **options), data)
    finally:
        holder.kill()
        holder.communicate()
    plain, _ = quickest(lambda **options: device(max_boot_attempts=99, **options), data)
    assert opened == opens
    assert taken < plain + PATIENCE + MARGIN


def test_a_process_that_hangs_while_it_runs_from_a_bundle_delays_no_start_and_keeps_its_files(device, tmp_path):
    data = tmp_path / "data"
    with device(update_url="") as app:
        lease = app.start().path.parent / "lease"
        app.notify_app_ready()
        assert app.wait(20)
    leases.let_go(data)
    holder = subprocess.Popen(
        [sys.executable, "-S", "-c", _HOLDER.replace("LOCK_EX", "LOCK_SH"), str(lease)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert holder.stdout.readline() == b"held\n"
    holder.send_signal(signal.SIGSTOP)
    os.waitpid(holder.pid, os.WUNTRACED)
    try:
        taken, _ = quickest(device, data)
        with device(update_url="", auto_update="off") as app:
            app.start()
            app.reset()
            assert app.wait(20)
        assert (lease.parent / "app" / "main.py").exists()
    finally:
        holder.kill()
        holder.communicate()
    assert taken < quickest(device, data)[0] + MARGIN
