"""Promises P1 and P9 against the system's own resolver, in a network of the test's own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from dead_name_server import RESOLV_CONF, namespaces
from stopwatch import Stopwatch

#: Runs inside the namespaces: asks, and says how that went.
CHILD = r"""
import json, sys, time

sys.path.append(sys.argv[2])
from dead_name_server import dead_name_server, was_asked

server = dead_name_server(sys.argv[1])

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
asked = was_asked(server)
client.close()
print(json.dumps({"outcome": outcome, "took": took, "asked": asked, "end": time.monotonic()}), flush=True)
"""
TESTS = Path(__file__).resolve().parents[1]


@pytest.mark.promise(1)
@pytest.mark.promise(9)
def test_a_name_server_that_never_answers_delays_neither_the_exchange_nor_the_exit(tmp_path):
    command = namespaces()
    if command is None:
        pytest.skip("new network and mount namespaces are not permitted here")
    resolv = tmp_path / "resolv.conf"
    resolv.write_text(RESOLV_CONF)
    process = subprocess.Popen(
        [*command, sys.executable, "-c", CHILD, str(resolv), str(TESTS)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
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
