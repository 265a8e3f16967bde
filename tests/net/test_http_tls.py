from __future__ import annotations

import datetime as dt
import socket
import ssl

import peers
import pytest
from peers import answer

from capgo_client.errors import NetworkError
from capgo_client.net.client import HttpClient
from capgo_client.net.deadline import Scope
from capgo_client.net.tls import default_context
from capgo_client.net.transport import DeadlineTransport

NOW = dt.datetime.now(dt.timezone.utc)
DAY = dt.timedelta(days=1)


def get(url, **options):
    with HttpClient(user_agent="test", **options) as client:
        return client.exchange("GET", url, scope=Scope(5), max_bytes=2_000_000)


def test_a_server_of_a_trusted_authority_answers(authority):
    body = bytes(range(256)) * 4000
    with peers.web({"/": answer(body=body)}, tls=authority.server) as server:
        assert get(server.url, ssl_context=authority.client).body == body


def test_an_unknown_authority_is_refused_by_default(authority):
    with peers.web({"/": answer(body=b"x")}, tls=authority.server) as server:
        with pytest.raises(NetworkError, match="certificate is not accepted") as caught:
            get(server.url)
        assert server.requests == []
    assert caught.value.code == "tls_error"
    assert "clock" in caught.value.hint


@pytest.mark.parametrize(
    ("start", "end", "says"),
    [(NOW - 3 * DAY, NOW - DAY, "expired"), (NOW + DAY, NOW + 3 * DAY, "not yet valid")],
)
def test_a_certificate_out_of_its_time_is_refused_and_the_hint_names_the_clock(tmp_path, start, end, says):
    authority = peers.Authority(tmp_path, not_before=start, not_after=end)
    with (
        peers.web({"/": answer(body=b"x")}, tls=authority.server) as server,
        pytest.raises(NetworkError, match=says) as caught,
    ):
        get(server.url, ssl_context=authority.client)
    assert caught.value.code == "tls_error"
    assert "clock" in caught.value.hint


def test_a_certificate_for_another_name_is_refused(authority):
    with peers.web({"/": answer(body=b"x")}, tls=authority.server) as server:
        loopback = socket.getaddrinfo("127.0.0.1", server.port, type=socket.SOCK_STREAM)
        transport = DeadlineTransport(ssl_context=authority.client, getaddrinfo=lambda host, port: loopback)
        assert get(f"https://service.test:{server.port}/", transport=transport).body == b"x"
        with pytest.raises(NetworkError, match="certificate is not accepted") as caught:
            get(f"https://evil.test:{server.port}/", transport=transport)
    assert caught.value.code == "tls_error"


def test_a_server_that_speaks_no_tls_is_a_tls_error(authority):
    def script(connection):
        connection.pause(5)
        connection.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with peers.Peer(script) as server, pytest.raises(NetworkError) as caught:
        get(f"https://127.0.0.1:{server.port}/", ssl_context=authority.client)
    assert caught.value.code == "tls_error"


def test_a_server_that_hangs_up_during_the_handshake_is_a_tls_error(authority):
    with peers.Peer(lambda connection: connection.pause(5)) as server, pytest.raises(NetworkError) as caught:
        get(f"https://127.0.0.1:{server.port}/", ssl_context=authority.client)
    assert caught.value.code == "tls_error"


def test_the_default_trust_verifies_names_and_knows_authorities(monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    context = default_context()
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.cert_store_stats()["x509_ca"] > 10


def test_a_certificate_file_named_by_the_environment_replaces_the_default_trust(authority, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_path))
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    with peers.web({"/": answer(body=b"x")}, tls=authority.server) as server:
        assert get(server.url).body == b"x"
    assert default_context().cert_store_stats()["x509_ca"] == 1


def test_a_certificate_list_that_cannot_be_read_is_a_network_error(monkeypatch, tmp_path):
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    damaged = tmp_path / "cacert.pem"
    damaged.write_text("not a certificate")
    monkeypatch.setattr("certifi.where", lambda: str(damaged))
    with pytest.raises(NetworkError) as caught:
        get("https://127.0.0.1:9/")
    assert caught.value.code == "tls_error"
