"""Promises P1 and P9 against the system's own resolver, in a network of the test's own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time

import pytest
from stopwatch import Stopwatch

#: Runs inside new network and mount namespaces: raises loopback, replaces resolv.conf, asks.
CHILD = r"""
import fcntl, json, socket, struct, subprocess, sys, time

control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
fcntl.ioctl(control, 0x8914, struct.pack("16sh14x", b"lo", 0x1 | 0x40))  # SIOCSIFFLAGS: up, running
subprocess.run(["mount", "--bind", sys.argv[1], "/etc/resolv.conf"], check=True)
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))

from capgo_client.errors import DeadlineExceeded
from capgo_client.net.client import HttpClient
from capgo_client.net.deadline import Scope

client = HttpClient(user_agent="test")
start = time.monotonic()
try:
    client.exchange("GET", "https://service.test/", scope=Scope(3.0), max_bytes=100)
except DeadlineExceeded as exc:
    outcome = str(exc)
took = time.monotonic() - start
server.settimeout(0)
asked = bool(server.recv(512))
client.close()
print(json.dumps({"outcome": outcome, "took": took, "asked": asked, "end": time.monotonic()}), flush=True)
"""


def unshare():
    """The command that makes the namespaces, as far as this system permits; None where it does not."""
    program = shutil.which("unshare")
    if program is None or sys.platform != "linux":
        return None
    for options in (["-n", "-m"], ["-r", "-n", "-m"]):
        if subprocess.run([program, *options, "true"], capture_output=True, check=False).returncode == 0:
            return [program, *options]
    return None


@pytest.mark.promise(1)
@pytest.mark.promise(9)
def test_a_name_server_that_never_answers_delays_neither_the_exchange_nor_the_exit(tmp_path):
    command = unshare()
    if command is None:
        pytest.skip("new network and mount namespaces are not permitted here")
    resolv = tmp_path / "resolv.conf"
    resolv.write_text("nameserver 127.0.0.1\noptions timeout:5 attempts:2\n")
    process = subprocess.Popen(
        [*command, sys.executable, "-c", CHILD, str(resolv)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with Stopwatch() as watch, process:
        line = process.stdout.readline()
        process.wait(30)
        ended = time.monotonic()
        assert line, process.stderr.read()
    report = json.loads(line)
    assert report["asked"], "the system did not ask the dead name server, so this run proved nothing"
    assert "name lookup" in report["outcome"]
    assert 3.0 <= report["took"] < 3.0 + watch.grace
    assert ended - report["end"] < 0.1 + watch.grace
