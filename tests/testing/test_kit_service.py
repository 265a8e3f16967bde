"""The server itself: keep-alive, TLS, what it records, and that nothing is left when it stops."""

from __future__ import annotations

import gc
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from kit_wire import RawClient, device, offered

from capgo_client.testing import Service, make_bundle


def kit_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("capgo-testing")]


def open_descriptors():
    """Empty where the system does not tell."""
    folder = Path("/proc/self/fd")
    return sorted(path.name for path in folder.iterdir() if path.exists()) if folder.is_dir() else []


def test_addresses_are_on_loopback_below_one_port(service):
    assert service.url.startswith("http://127.0.0.1:")
    assert service.update_url == service.url + "/updates"
    assert service.stats_url == service.url + "/stats"
    assert service.channel_url == service.url + "/channel_self"


def test_one_connection_serves_many_requests_in_turn(service, raw):
    connection = raw()
    for _ in range(3):
        connection.get("/ok")
        head, body = connection.read_reply()
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert body == b'{"status":"ok"}'
    assert service.connections == 1


def test_two_requests_sent_at_once_are_both_answered(raw):
    connection = raw()
    connection.sock.sendall(b"GET /ok HTTP/1.1\r\nHost: h\r\n\r\n" * 2)
    assert connection.read_reply()[1] == connection.read_reply()[1] == b'{"status":"ok"}'


def test_connection_close_is_honoured(raw):
    connection = raw()
    connection.get("/ok", "Connection: close")
    assert connection.read_all().endswith(b'Connection: close\r\n\r\n{"status":"ok"}')


def test_a_chunked_request_is_read(service, client):
    client.post(service.stats_url, content=iter([b'{"app_id":"com.exa', b'mple.ok","device_id":"d","action":"set"}']))
    assert service.events == [{"app_id": "com.example.ok", "device_id": "d", "action": "set"}]


def test_what_is_not_http_is_dropped_without_a_word(service, raw):
    connection = raw()
    connection.sock.sendall(b"a" * 300_000)
    assert connection.read_to_any_end() == b""
    assert service.requests == []


def test_requests_are_recorded_with_method_path_headers_body_and_time(service, client):
    before = time.monotonic()
    client.post(service.update_url + "?x=1", json=device(), headers={"X-Mine": "yes"})
    client.get(service.url + "/ok")
    first, second = service.requests
    assert (first.method, first.path, first.query, first.json) == ("POST", "/updates", {"x": "1"}, device())
    assert first.headers["x-mine"] == "yes"
    assert before <= first.time <= second.time <= time.monotonic()
    assert service.checks == [first]
    assert second.json is None


def test_the_list_of_requests_is_a_copy(service, client):
    client.get(service.url + "/ok")
    service.requests.clear()
    assert len(service.requests) == 1


def test_waiting_for_requests_returns_when_they_come_and_says_how_many_did_not(service, client):
    with pytest.raises(TimeoutError, match="0 of 1 requests"):
        service.wait_for_requests(1, timeout=0.01)
    sender = threading.Thread(target=lambda: client.get(service.url + "/ok"))
    sender.start()
    assert [each.path for each in service.wait_for_requests(1)] == ["/ok"]
    sender.join()
    with pytest.raises(TimeoutError, match="updates"):
        service.wait_for_requests(1, timeout=0.01, on="updates")


def test_many_clients_at_once_are_all_answered_and_recorded(service, check):
    service.publish(make_bundle("1.1.0", {"a": "b"}))
    said = []
    threads = [threading.Thread(target=lambda: said.append(check()["version"])) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert said == ["1.1.0"] * 16
    assert len(service.checks) == 16


def test_the_close_of_the_other_side_is_recorded_when_it_happens(service, raw):
    connection = raw()
    with service.fault("silence"):
        connection.check()
        service.wait_for_requests(1)
        before = time.monotonic()
        connection.close()
        closed = service.wait_for_close()
    assert len(closed) == 1
    assert 0 <= closed[0] - before < 0.1


def test_a_close_from_this_side_is_not_recorded_as_theirs(service, raw):
    connection = raw()
    connection.get("/ok", "Connection: close")
    connection.read_all()
    with pytest.raises(TimeoutError, match="0 of 1 connections"):
        service.wait_for_close(timeout=0.05)


def test_https_is_trusted_with_the_service_s_own_authority_only():
    with Service(tls=True) as service:
        assert service.url.startswith("https://127.0.0.1:")
        for verify in (service.ssl_context, ssl.create_default_context(cafile=str(service.ca_path))):
            with httpx.Client(verify=verify, trust_env=False) as client:
                assert client.get(service.url + "/ok").json() == {"status": "ok"}
                assert client.get(service.url.replace("127.0.0.1", "localhost") + "/ok").status_code == 200
        with httpx.Client(trust_env=False) as stranger, pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY"):
            stranger.get(service.url + "/ok")
        path = service.ca_path
    assert not path.exists()


@pytest.mark.parametrize(
    ("kind", "complaint"),
    [
        ("expired", "certificate has expired"),
        ("not-yet-valid", "not yet valid"),
        ("wrong-host", "IP address mismatch"),
        ("self-signed", "self-signed certificate"),
    ],
)
def test_a_bad_certificate_is_bad_in_the_way_it_was_asked_for(kind, complaint):
    with (
        Service(certificate=kind) as service,
        httpx.Client(verify=service.ssl_context, trust_env=False) as client,
        pytest.raises(httpx.ConnectError, match=complaint),
    ):
        client.get(service.url + "/ok")


def test_a_service_without_tls_says_so_when_asked_for_its_authority(service):
    with pytest.raises(RuntimeError, match="tls=True"):
        _ = service.ssl_context


def test_a_service_that_does_not_run_says_how_to_start_it():
    with pytest.raises(RuntimeError, match="start"):
        _ = Service().url


def test_stop_ends_every_wait_at_once_and_leaves_no_thread_and_no_descriptor():
    gc.collect()
    before = open_descriptors()
    with Service() as service:
        port = int(service.url.rpartition(":")[2])
        service.publish(make_bundle("1.1.0", {"a": "b"}))
        connections = []
        for name in ("silence", "drip-headers", "drip-body", "endless-body", "endless-headers", "stall-in-body"):
            with service.fault(name):
                connections.append(RawClient(port))
                connections[-1].check()
                service.wait_for_requests(len(connections))
        connections.append(RawClient(port))  # and one that never says a word
        started = time.monotonic()
        service.stop()
        took = time.monotonic() - started
        assert kit_threads() == []
    for connection in connections:
        connection.close()
    assert took < 1
    assert open_descriptors() == before


def test_a_stopped_service_refuses_connections_and_comes_back_at_the_same_address(service, client, check):
    service.publish(make_bundle("1.1.0", {"a": "b"}))
    url = service.url
    service.stop()
    assert service.url == url
    with pytest.raises(httpx.ConnectError):
        client.get(url + "/ok")
    service.start()
    assert service.url == url
    assert offered(check()) == "1.1.0"
    assert len(service.checks) == 1


def test_stop_and_start_twice_change_nothing():
    service = Service()
    service.start()
    url = service.url
    service.start()
    assert service.url == url
    service.stop()
    service.stop()
    assert kit_threads() == []


def test_nothing_is_written_to_stderr_when_clients_misbehave_and_no_resource_is_leaked():
    script = """
import contextlib
import socket
from capgo_client.testing import Service
with Service() as service:
    port = int(service.url.rpartition(":")[2])
    cut = b"GET / HTTP/1.1\\r\\nContent-Length: 9\\r\\n\\r\\n"
    for words in (b"", b"GET", b"GET /ok HTTP/1.1\\r\\n\\r\\n", b"\\x16\\x03\\x01\\x00", cut):
        sock = socket.create_connection(("127.0.0.1", port))
        sock.sendall(words)
        sock.close()
    with service.fault("endless-body"):
        sock = socket.create_connection(("127.0.0.1", port))
        sock.sendall(b"POST /updates HTTP/1.1\\r\\nContent-Length: 2\\r\\n\\r\\n{}")
        sock.recv(10)
        sock.close()
    service.wait_for_close(5)
with Service(tls=True) as service:
    sock = socket.create_connection(("127.0.0.1", int(service.url.rpartition(":")[2])))
    sock.sendall(b"no hello")
    with contextlib.suppress(ConnectionResetError):
        sock.recv(100)
    sock.close()
"""
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
