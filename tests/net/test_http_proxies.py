from __future__ import annotations

import base64
import ssl

import peers
import pytest
from peers import answer

from capgo_client.errors import ConfigError, NetworkError
from capgo_client.net.client import HttpClient
from capgo_client.net.deadline import Scope
from capgo_client.net.proxies import Proxy, ProxyRules
from capgo_client.net.resolver import Lookups
from capgo_client.net.transport import DeadlineTransport


def get(url, **options):
    with HttpClient(user_agent="test", **options) as client:
        return client.exchange("GET", url, scope=Scope(5), max_bytes=1000)


def choose(host, *, scheme="https", port=443, explicit=None, trust_env=True):
    rules = ProxyRules(explicit=explicit, trust_env=trust_env, lookups=Lookups())
    return rules.choose(scheme=scheme, host=host, port=port, scope=Scope(5))


def test_plain_http_goes_to_the_proxy_with_an_absolute_uri():
    with peers.web({"/a": answer(body=b"through")}) as server, peers.proxy({"service.test": server.port}) as proxy:
        url = "http://service.test/a?b=c"
        reply = get(url, proxy=f"http://127.0.0.1:{proxy.port}", allow_http=True)
        assert reply.body == b"through"
        assert proxy.requests[0][0].startswith(b"GET http://service.test/a?b=c HTTP/1.1\r\n")


def test_https_goes_through_a_tunnel_and_is_verified_end_to_end(authority):
    with (
        peers.web({"/": answer(body=b"through")}, tls=authority.server) as server,
        peers.proxy({"service.test": server.port}) as proxy,
    ):
        where = f"http://127.0.0.1:{proxy.port}"
        assert get("https://service.test/?key=1", proxy=where, ssl_context=authority.client).body == b"through"
        assert proxy.requests[0][0].startswith(b"CONNECT service.test:443 HTTP/1.1\r\n")
        with pytest.raises(NetworkError) as caught:
            get("https://service.test/", proxy=where)
        assert caught.value.code == "tls_error"


def test_user_and_password_of_the_proxy_are_sent_to_it_and_to_nobody_else(authority):
    with (
        peers.web({"/": answer(body=b"x")}, tls=authority.server) as server,
        peers.proxy({"service.test": server.port}) as proxy,
    ):
        get("https://service.test/", proxy=f"http://me:p%40ss@127.0.0.1:{proxy.port}", ssl_context=authority.client)
        expected = b"Proxy-Authorization: Basic " + base64.b64encode(b"me:p@ss")
        assert expected in proxy.requests[0][0]
        assert b"Proxy-Authorization" not in server.requests[0][0]


def test_a_proxy_that_refuses_is_named_as_the_reason():
    refusal = answer(407, reason="Proxy Authentication Required")
    with peers.proxy(refuse=refusal) as proxy, pytest.raises(NetworkError, match="407") as caught:
        get("https://service.test/", proxy=f"http://127.0.0.1:{proxy.port}")
    assert caught.value.code == "proxy_error"


def test_a_dead_proxy_is_a_network_error():
    with peers.silence() as peer:
        port = peer.port
    with pytest.raises(NetworkError):
        get("https://service.test/", proxy=f"http://127.0.0.1:{port}")


def test_a_tunnel_whose_handshake_fails_does_not_stay_in_the_pool(authority):
    with (
        peers.web({"/": answer(body=b"x")}, tls=authority.server) as server,
        peers.proxy({"service.test": server.port}) as proxy,
    ):
        transport = DeadlineTransport(proxy=f"http://127.0.0.1:{proxy.port}", ssl_context=ssl.create_default_context())
        with HttpClient(user_agent="test", transport=transport) as client:
            for _ in range(3):
                with pytest.raises(NetworkError):
                    client.exchange("GET", "https://service.test/", scope=Scope(5), max_bytes=10)
            assert [len(pool.connections) for pool in transport._pools.values()] == [0]


def test_the_environment_names_the_proxy(authority, monkeypatch):
    with (
        peers.web({"/": answer(body=b"through")}, tls=authority.server) as server,
        peers.proxy({"service.test": server.port}) as proxy,
    ):
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        assert get("https://service.test/", ssl_context=authority.client).body == b"through"


@pytest.mark.parametrize("exempt", ["service.test", ".test", "*", "other.test, service.test", "service.test:443"])
def test_hosts_that_no_proxy_names_are_asked_directly(monkeypatch, exempt):
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test:3128")
    monkeypatch.setenv("NO_PROXY", exempt)
    assert choose("service.test") is None


def test_hosts_that_no_proxy_does_not_name_go_to_the_proxy(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test:3128")
    monkeypatch.setenv("NO_PROXY", "other.test,service.test:8443,ice.test")
    assert choose("service.test") == Proxy("proxy.test", 3128)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "::1"])
def test_loopback_never_goes_to_a_proxy_of_the_environment(monkeypatch, host):
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test:3128")
    assert choose(host) is None


def test_all_proxy_serves_what_has_no_proxy_of_its_own(monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "http://all.test:1")
    monkeypatch.setenv("HTTP_PROXY", "plain.test:2")
    assert choose("service.test") == Proxy("all.test", 1)
    assert choose("service.test", scheme="http", port=80) == Proxy("plain.test", 2)


def test_the_environment_is_not_asked_when_it_is_not_trusted_or_a_proxy_is_given(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test:3128")
    assert choose("service.test", trust_env=False) is None
    assert choose("service.test", explicit="http://mine.test:8080") == Proxy("mine.test", 8080)
    assert choose("127.0.0.1", explicit="http://mine.test:8080") == Proxy("mine.test", 8080)


@pytest.mark.parametrize(
    "text", ["socks5://u:hunter2@proxy.test:1080", "https://proxy.test", "http://", "http://a:b:c"]
)
def test_a_proxy_that_cannot_be_used_is_told_by_who_named_it(monkeypatch, text):
    with pytest.raises(ConfigError) as given:
        HttpClient(user_agent="test", proxy=text)
    monkeypatch.setenv("HTTPS_PROXY", text)
    with pytest.raises(NetworkError) as found:
        choose("service.test")
    assert found.value.code == "proxy_error"
    assert "hunter2" not in str(given.value) + str(found.value)


def test_a_proxy_never_shows_its_password():
    assert "hunter2" not in repr(Proxy.parse("http://me:hunter2@proxy.test:3128"))
