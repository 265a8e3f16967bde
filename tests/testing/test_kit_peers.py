from __future__ import annotations

import socket
import sys
import time
from urllib.parse import urlsplit

import httpx
import pytest
from kit_wire import device

from capgo_client.testing import Service, black_hole, hanging_proxy, refused_url, silent_peer, tls_stall
from capgo_client.testing.peers import forwarding_proxy


def connect(url, timeout=5.0):
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname, parts.port), timeout=timeout)


@pytest.mark.parametrize(("make", "scheme"), [(silent_peer, "http"), (tls_stall, "https"), (hanging_proxy, "http")])
def test_a_silent_peer_takes_everything_and_says_nothing(make, scheme):
    with make() as peer:
        assert peer.url == f"{scheme}://127.0.0.1:{peer.port}"
        with connect(peer.url, timeout=0.05) as sock:
            sock.sendall(b"CONNECT example.com:443 HTTP/1.1\r\n\r\n")
            with pytest.raises(TimeoutError):
                sock.recv(1)
        assert peer.connections == 1


@pytest.mark.parametrize("make", [silent_peer, tls_stall, hanging_proxy])
def test_a_peer_writes_down_when_the_other_side_left(make):
    with make() as peer:
        first, second = connect(peer.url), connect(peer.url)
        peer.wait_for_connection(2)
        assert peer.closes == []
        first.sendall(b"some bytes that nobody reads")
        before = time.monotonic()
        first.close()
        assert 0 <= peer.wait_for_close()[0] - before < 0.1
        second.close()
        assert len(peer.wait_for_close(2)) == 2


def test_waiting_for_what_does_not_come_says_what_did():
    with silent_peer() as peer:
        with pytest.raises(TimeoutError, match="0 of 1 connections came"):
            peer.wait_for_connection(timeout=0.01)
        with pytest.raises(TimeoutError, match="0 of 2 connections were closed"):
            peer.wait_for_close(2, timeout=0.01)


def test_stopping_a_peer_ends_its_connections_at_once_and_counts_as_nobody_s_close():
    peer = silent_peer()
    with connect(peer.url) as sock:
        peer.wait_for_connection()
        peer.stop()
        assert sock.recv(1) == b""
    assert peer.closes == []
    peer.stop()


def test_a_proxy_that_grants_the_tunnel_hangs_after_it():
    with hanging_proxy(connects=True) as peer, connect(peer.url, timeout=0.05) as sock:
        sock.sendall(b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n")
        assert sock.recv(100) == b"HTTP/1.1 200 Connection established\r\n\r\n"
        sock.sendall(b"\x16\x03\x01")
        with pytest.raises(TimeoutError):
            sock.recv(1)


@pytest.mark.parametrize("tls", [False, True])
def test_a_proxy_that_works_brings_requests_to_the_service_and_answers_back(tls):
    with Service(tls=tls) as service, forwarding_proxy() as proxy:
        context = service.ssl_context if tls else False
        with httpx.Client(trust_env=False, verify=context, proxy=proxy.url, timeout=5) as client:
            for _ in range(2):
                assert client.get(f"{service.url}/ok?a=1").json() == {"status": "ok"}
            assert client.post(service.update_url, json=device()).json()["error"] == "no_channel"
        assert [each.target for each in service.requests] == ["/ok?a=1", "/ok?a=1", "/updates"]
        assert service.checks[0].json == device()
        assert proxy.connections >= 1


def test_a_client_that_wants_tls_waits_in_vain():
    with (
        tls_stall() as peer,
        httpx.Client(trust_env=False, verify=False, timeout=0.1) as client,
        pytest.raises(httpx.ConnectTimeout),
    ):
        client.get(peer.url)


def test_nobody_listens_at_the_refused_address():
    with refused_url() as url, pytest.raises(ConnectionRefusedError):
        connect(url)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems refuse where Linux drops")
def test_connecting_to_the_black_hole_hangs():
    with black_hole() as hole:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                connect(hole.url, timeout=0.1)


@pytest.mark.skipif(sys.platform.startswith("linux"), reason="it works here")
def test_the_black_hole_says_where_it_works():
    with pytest.raises(RuntimeError, match="Linux"):
        black_hole()
