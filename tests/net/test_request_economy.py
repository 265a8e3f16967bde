"""What an exchange does without: calls of the system, looks at its connections, imports (net/backend.py)."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import peers
import pytest
from peers import answer
from stopwatch import Stopwatch

import capgo_client
from capgo_client.errors import DeadlineExceeded
from capgo_client.net.backend import _Stream
from capgo_client.net.client import HttpClient
from capgo_client.net.deadline import Scope


@pytest.fixture
def pair():
    """A stream of ours and the socket at its other end, which never waits."""
    one, other = socket.socketpair()
    other.setblocking(False)
    stream = _Stream(one, pins={})
    yield stream, other
    stream.close()
    other.close()


class TestSending:
    def test_head_and_body_go_out_together_when_the_reply_is_awaited(self, pair):
        stream, other = pair
        stream.write(b"head ")
        stream.write(b"body")
        with pytest.raises(BlockingIOError):
            other.recv(100)
        with Scope(0.05), pytest.raises(DeadlineExceeded):
            stream.read(100)
        assert other.recv(100) == b"head body"
        with pytest.raises(BlockingIOError):
            other.recv(100)

    def test_nothing_is_sent_twice(self, pair):
        stream, other = pair
        stream.write(b"request")
        other.send(b"one")
        with Scope(5):
            assert stream.read(100) == b"one"
            other.send(b"two")
            assert stream.read(100) == b"two"
        assert other.recv(100) == b"request"

    def test_a_long_body_is_not_held_back(self, pair):
        stream, other = pair
        with Scope(5):
            stream.write(b"head ")
            stream.write(b"b" * 70_000)
        came = b""
        while len(came) < 70_005:
            came += other.recv(100_000)
        assert came == b"head " + b"b" * 70_000

    def test_what_the_server_said_before_it_hung_up_counts_although_the_request_cannot_be_sent(self, pair):
        stream, other = pair
        other.send(b"HTTP/1.1 413 Too Large\r\n\r\n")
        other.close()
        stream.write(b"request")
        with Scope(5):
            assert stream.read(100) == b"HTTP/1.1 413 Too Large\r\n\r\n"


class TestKeptConnections:
    def test_each_exchange_over_one_has_the_time_of_its_own_scope(self):
        def script(connection):
            connection.request()
            connection.send(answer(body=b"one"))
            connection.request()
            connection.hold()

        with peers.Peer(script) as server, HttpClient(user_agent="test") as client:
            assert client.exchange("GET", server.url, scope=Scope(None, step=20.0), max_bytes=10).body == b"one"
            with Stopwatch() as watch, pytest.raises(DeadlineExceeded) as caught:
                client.exchange("GET", server.url, scope=Scope(0.1), max_bytes=10)
        assert watch.took < 0.1 + watch.grace
        assert "waiting for the reply" in str(caught.value)

    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_one_that_the_server_closed_without_a_word_is_replaced_unasked(self, method):
        def script(connection):
            connection.request()
            connection.send(answer(body=b"one"))

        with peers.Peer(script) as server, HttpClient(user_agent="test") as client:
            for _ in range(5):
                assert client.exchange(method, server.url, scope=Scope(5), max_bytes=10).body == b"one"


def test_without_a_transport_of_the_app_httpx_is_not_imported():
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from capgo_client.net.client import HttpClient;"
        "HttpClient(user_agent='x').close(); print(sorted({'httpx', 'urllib.request'} & set(sys.modules)))"
    )
    source = Path(capgo_client.__file__).resolve().parent.parent
    done = subprocess.run([sys.executable, "-c", code, str(source)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
