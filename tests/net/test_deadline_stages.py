"""Promise P1 on real sockets: whatever stalls, the exchange is over when its time is."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import peers
import pytest
from stopwatch import Stopwatch

from capgo_client.errors import DeadlineExceeded, NetworkError, ReplyError
from capgo_client.net.client import HttpClient
from capgo_client.net.deadline import Scope
from capgo_client.net.transport import DeadlineTransport


def descriptors_open():
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


class HungLookup:
    """A name lookup that never comes back while the test runs."""

    def __init__(self):
        self.release = threading.Event()
        self.calls = 0

    def __call__(self, host, port):
        self.calls += 1
        self.release.wait(60)
        raise OSError("released")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.release.set()


class Stage:
    """A way of stalling: gives (client, url, peer or None) inside a ``with``."""

    def __init__(self, peer, *, slow=False, scheme="http", through_proxy=False, says):
        self.peer = peer
        self.scheme = scheme
        self.through_proxy = through_proxy
        self.says = says
        self.slow = slow

    @contextlib.contextmanager
    def ready(self, authority, interval):
        with self.peer(interval) if self.slow else self.peer() as peer:
            client = HttpClient(
                user_agent="test",
                proxy=f"http://127.0.0.1:{peer.port}" if self.through_proxy else None,
                ssl_context=authority.client,
            )
            url = "https://service.test/" if self.through_proxy else f"{self.scheme}://127.0.0.1:{peer.port}/"
            with client:
                yield client, url, peer if isinstance(peer, peers.Peer) else None


class LookupStage:
    says = "name lookup"

    @contextlib.contextmanager
    def ready(self, authority, interval):
        with (
            HungLookup() as lookup,
            HttpClient(user_agent="test", transport=DeadlineTransport(getaddrinfo=lookup)) as client,
        ):
            yield client, "https://service.test/", None


STAGES = {
    "hung lookup": LookupStage(),
    "black-holed connect": Stage(peers.BlackHole, says="while connecting"),
    "tls silence": Stage(peers.tls_stall, scheme="https", says="TLS handshake"),
    "tls drip": Stage(peers.tls_drip, slow=True, scheme="https", says="TLS handshake"),
    "silence after accept": Stage(peers.silence, says="waiting for the reply"),
    "headers drip": Stage(peers.drip_headers, slow=True, says="waiting for the reply"),
    "body drips": Stage(peers.drip_body, slow=True, says="in the middle of the reply"),
    "proxy hangs": Stage(peers.silence, through_proxy=True, says="waiting for the reply"),
}


def run(stage, seconds, authority, interval):
    """Let the exchange stall; return (error, stopwatch, seconds after which the peer saw the close)."""
    with stage.ready(authority, interval) as (client, url, peer):
        with Stopwatch() as watch, pytest.raises(DeadlineExceeded) as caught:
            client.exchange("POST", url, body=b"{}", scope=Scope(seconds), max_bytes=10**6)
        if peer is None:
            return caught.value, watch, 0
        assert peer.gone.wait(5)
        return caught.value, watch, peer.gone_at - watch.start


@pytest.mark.promise(1)
@pytest.mark.parametrize("name", STAGES)
def test_an_exchange_that_stalls_ends_at_its_deadline_and_the_peer_sees_it(name, authority):
    error, watch, gone = run(STAGES[name], 0.5, authority, 0.05)
    assert 0.5 <= watch.took < 0.5 + watch.grace
    assert gone < 0.5 + watch.grace
    assert STAGES[name].says in str(error)
    assert error.code == "timeout_error"
    assert error.retryable


@pytest.mark.promise(1)
def test_every_stall_ends_within_three_seconds_when_three_seconds_are_allowed(authority):
    results = {}

    def measure(name):
        results[name] = run(STAGES[name], 3.0, authority, 1.0)

    threads = [threading.Thread(target=measure, args=(name,)) for name in STAGES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results.keys() == STAGES.keys()
    for name, (_, watch, gone) in results.items():
        assert 3.0 <= watch.took < 3.0 + watch.grace, name
        assert gone < 3.0 + watch.grace, name


def test_an_upload_that_the_server_does_not_read_ends_at_its_deadline():
    release = threading.Event()
    body = b"a" * 8_000_000
    with peers.Peer(lambda _: release.wait(10), buffer=4096) as peer, HttpClient(user_agent="test") as client:
        with Stopwatch() as watch, pytest.raises(DeadlineExceeded, match="while sending"):
            client.exchange("POST", peer.url, body=body, scope=Scope(0.5), max_bytes=100)
        release.set()
    assert watch.took < 0.5 + watch.grace


def test_an_endless_body_that_is_streamed_ends_at_the_deadline():
    with peers.endless_body() as peer, HttpClient(user_agent="test") as client:

        def drain():
            with client.stream(peer.url, scope=Scope(0.5)) as reply:
                for _ in reply.chunks():
                    pass

        with Stopwatch() as watch, pytest.raises(DeadlineExceeded, match="in the middle of the reply"):
            drain()
        assert 0.5 <= watch.took < 0.5 + watch.grace
        assert peer.gone.wait(5)
        assert peer.gone_at - watch.start < 0.5 + watch.grace


def test_an_endless_body_is_read_no_further_than_the_limit():
    with peers.endless_body() as peer, HttpClient(user_agent="test") as client:
        with pytest.raises(ReplyError) as caught:
            client.exchange("GET", peer.url, scope=Scope(5), max_bytes=1_000_000)
        assert caught.value.code == "reply_too_large"
        assert peer.gone.wait(1)


def test_endless_headers_are_refused_long_before_the_deadline():
    with peers.endless_headers() as peer, HttpClient(user_agent="test") as client:
        with Stopwatch() as watch, pytest.raises(NetworkError):
            client.exchange("GET", peer.url, scope=Scope(30), max_bytes=1_000_000)
        assert watch.took < 1 + watch.grace
        assert peer.gone.wait(1)


def test_a_step_limit_ends_a_silence_within_an_unlimited_exchange():
    with peers.silence() as peer, HttpClient(user_agent="test") as client:
        says = r"Nothing happened for 0\.2 s while waiting for the reply"
        with Stopwatch() as watch, pytest.raises(DeadlineExceeded, match=says):
            client.exchange("GET", peer.url, scope=Scope(None, step=0.2), max_bytes=100)
        assert 0.2 <= watch.took < 0.2 + watch.grace


@pytest.mark.parametrize(
    "sent",
    [b"", b"HTTP/1.1 200 OK\r\nX-Half: ", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"],
    ids=["before headers", "in headers", "after headers"],
)
def test_a_reset_is_a_network_error_wherever_it_happens(sent):
    with peers.reset_after(sent) as peer, HttpClient(user_agent="test") as client:
        threading.Timer(0.05, peer.taken.set).start()
        with pytest.raises(NetworkError) as caught:
            client.exchange("GET", peer.url, scope=Scope(5), max_bytes=100)
        assert caught.value.code == "network_error"
        assert caught.value.retryable


def test_a_refused_connection_is_a_network_error_at_once():
    with peers.silence() as peer:
        port = peer.port
    with (
        HttpClient(user_agent="test") as client,
        Stopwatch() as watch,
        pytest.raises(NetworkError, match="refused"),
    ):
        client.exchange("GET", f"http://127.0.0.1:{port}/", scope=Scope(5), max_bytes=100)
    assert watch.took < watch.grace


@pytest.mark.slow
@pytest.mark.promise(9)
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no /proc to count descriptors with")
def test_a_hundred_silent_exchanges_leave_no_descriptor_and_no_thread():
    with HttpClient(user_agent="test") as client:
        threads, descriptors = threading.active_count(), descriptors_open()
        # The peer lives in this process too: it is gone, with all it had open, before anything is counted again.
        with peers.silence() as peer:
            for _ in range(100):
                with pytest.raises(DeadlineExceeded):
                    client.exchange("GET", peer.url, scope=Scope(0.02), max_bytes=100)
        assert peer.connections > 50
        assert threading.active_count() <= threads
        assert descriptors_open() <= descriptors


@pytest.mark.slow
@pytest.mark.promise(9)
def test_a_hundred_exchanges_on_a_hung_lookup_leave_one_thread_and_ask_once():
    with (
        HungLookup() as lookup,
        HttpClient(user_agent="test", transport=DeadlineTransport(getaddrinfo=lookup)) as client,
    ):
        before = threading.active_count()
        for _ in range(100):
            with pytest.raises(DeadlineExceeded):
                client.exchange("GET", "https://service.test/", scope=Scope(0.02), max_bytes=100)
        assert threading.active_count() <= before + 1
        assert lookup.calls == 1
