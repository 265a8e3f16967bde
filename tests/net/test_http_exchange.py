from __future__ import annotations

import gzip
import logging
import threading

import httpx
import peers
import pytest
from peers import answer
from stopwatch import Stopwatch

from capgo_client.errors import Cancelled, ClosedError, DeadlineExceeded, NetworkError, ReplyError
from capgo_client.net.client import HttpClient, redact
from capgo_client.net.deadline import Scope


@pytest.fixture
def client():
    with HttpClient(user_agent="capgo-client-test/1") as client:
        yield client


def test_a_post_sends_its_body_and_headers_and_returns_the_whole_reply(client):
    with peers.web(
        {"/updates": answer(429, b'{"error":"x"}', reason="Too Many", X_One="1", Retry_After="30")}
    ) as server:
        reply = client.exchange(
            "POST",
            server.url + "updates",
            body=b'{"a":1}',
            headers={"Content-Type": "application/json"},
            scope=Scope(5),
            max_bytes=1000,
        )
        head, body = server.requests[0]
    assert reply.status == 429
    assert reply.body == b'{"error":"x"}'
    assert reply.headers["x-one"] == "1"
    assert reply.headers["retry-after"] == "30"
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /updates HTTP/1.1"
    assert "User-Agent: capgo-client-test/1" in lines
    assert "Content-Type: application/json" in lines
    assert "Accept-Encoding: identity" in lines
    assert "Content-Length: 7" in lines
    assert body == b'{"a":1}'


def test_one_connection_serves_several_exchanges_and_is_closed_with_the_client():
    with peers.web({"/": answer(body=b"hello")}) as server:
        with HttpClient(user_agent="test") as client:
            for _ in range(3):
                assert client.exchange("GET", server.url, scope=Scope(5), max_bytes=10).body == b"hello"
            assert server.connections == 1
            assert not server.gone.is_set()
        assert server.gone.wait(1)


def test_a_connection_that_the_server_closed_in_between_is_not_used_again(client):
    def script(connection):
        connection.request()
        connection.send(answer(body=b"once"))

    with peers.Peer(script) as server:
        assert client.exchange("GET", server.url, scope=Scope(5), max_bytes=10).body == b"once"
        assert server.gone.wait(5)
        assert client.exchange("GET", server.url, scope=Scope(5), max_bytes=10).body == b"once"
        assert server.connections == 2


@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_kept_connection_that_ends_just_as_it_is_used_costs_no_exchange(client, end):
    bodies = []

    def script(connection):
        bodies.append(connection.request()[1])
        connection.send(answer(body=b"fine"))
        bodies.append(connection.request()[1])
        if end == "reset":
            connection.reset()

    with peers.Peer(script) as server:
        for body in (b"1", b"2"):
            reply = client.exchange("POST", server.url, body=body, scope=Scope(5), max_bytes=10)
            assert reply.body == b"fine"
        assert server.connections == 2
    assert bodies == [b"1", b"2", b"2"]


def test_a_kept_connection_that_ends_in_the_middle_of_a_reply_is_not_asked_again(client):
    def script(connection):
        connection.request()
        connection.send(answer(body=b"fine"))
        connection.request()
        connection.send(b"HTTP/1.1 2")

    with peers.Peer(script) as server:
        assert client.exchange("GET", server.url, scope=Scope(5), max_bytes=10).body == b"fine"
        with pytest.raises(NetworkError):
            client.exchange("GET", server.url, scope=Scope(5), max_bytes=10)
        assert server.connections == 1


def test_escapes_and_reserved_characters_in_a_url_go_out_as_they_are(client):
    # reference/service-behaviour.md section 4.1: neither decoded nor encoded twice, the key is not encoded.
    target = "files/read/a%40b%2Bc%C3%A9%2Fd.zip?key=ab+/c==&device_id=00-11"
    with peers.web({}) as server:
        client.exchange("GET", server.url + target, scope=Scope(5), max_bytes=1000)
        assert server.requests[0][0].split(b" ")[1].decode() == "/" + target


def test_cookies_are_not_kept(client):
    with peers.web({"/": answer(Set_Cookie="a=b")}) as server:
        for _ in range(2):
            client.exchange("GET", server.url, scope=Scope(5), max_bytes=10)
        assert all(b"cookie" not in head.lower() for head, _ in server.requests)


@pytest.mark.parametrize("extra", [{}, {"Content_Length": None}], ids=["announced", "found out while reading"])
def test_a_reply_over_the_limit_is_refused(client, extra):
    def script(connection):
        connection.request()
        connection.send(answer(body=b"a" * 1001, **extra))

    with peers.Peer(script) as server, pytest.raises(ReplyError) as caught:
        client.exchange("GET", server.url, scope=Scope(5), max_bytes=1000)
    assert caught.value.code == "reply_too_large"


def test_a_reply_of_exactly_the_limit_passes(client):
    with peers.web({"/": answer(body=b"a" * 1000)}) as server:
        assert len(client.exchange("GET", server.url, scope=Scope(5), max_bytes=1000).body) == 1000


def test_a_reply_announced_as_too_long_is_refused_without_waiting_for_it(client):
    def script(connection):
        connection.request()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        connection.hold()

    with peers.Peer(script) as server, pytest.raises(ReplyError) as caught:
        client.exchange("GET", server.url, scope=Scope(5), max_bytes=1000)
    assert caught.value.code == "reply_too_large"


def test_a_body_shorter_than_announced_is_a_network_error(client):
    def script(connection):
        connection.request()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")

    with peers.Peer(script) as server, pytest.raises(NetworkError):
        client.exchange("GET", server.url, scope=Scope(5), max_bytes=1000)


def test_something_that_is_not_http_is_a_network_error(client):
    def script(connection):
        connection.request()
        connection.send(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")

    with peers.Peer(script) as server, pytest.raises(NetworkError):
        client.exchange("GET", server.url, scope=Scope(5), max_bytes=1000)


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "gzip, identity"])
def test_an_encoded_reply_is_refused_whatever_its_size_when_unpacked(client, encoding):
    bomb = gzip.compress(b"\0" * 1_000_000)
    with peers.web({"/": answer(body=bomb, Content_Encoding=encoding)}) as server, pytest.raises(ReplyError) as caught:
        client.exchange("GET", server.url, scope=Scope(5), max_bytes=10**6)
    assert caught.value.code == "unsupported_encoding"


def test_a_reply_that_says_identity_passes(client):
    with peers.web({"/": answer(body=b"x", Content_Encoding="Identity")}) as server:
        assert client.exchange("GET", server.url, scope=Scope(5), max_bytes=10).body == b"x"


def test_a_download_is_streamed_and_starts_before_its_end_was_sent(client):
    first_seen = threading.Event()

    def script(connection):
        connection.request()
        connection.send(b'HTTP/1.1 206 Partial Content\r\nContent-Length: 8\r\nETag: "e"\r\n\r\nabcd')
        first_seen.wait(5)
        connection.send(b"efgh")
        connection.hold()

    with (
        peers.Peer(script) as server,
        client.stream(server.url, headers={"Range": "bytes=2-"}, scope=Scope(5)) as reply,
    ):
        assert reply.status == 206
        assert reply.headers["etag"] == '"e"'
        chunks = reply.chunks()
        assert next(chunks) == b"abcd"
        first_seen.set()
        assert b"".join(chunks) == b"efgh"


def test_leaving_a_download_early_closes_its_connection(client):
    with peers.endless_body() as server:
        with client.stream(server.url, scope=Scope(5)) as reply:
            assert next(reply.chunks())
        assert server.gone.wait(1)


def test_plain_http_to_another_device_is_refused_before_anything_is_sent(client):
    for url in ("http://192.0.2.1/", "http://service.test/", "http://127.0.0.1.service.test/", "http://[2001:db8::1]/"):
        with pytest.raises(NetworkError) as caught:
            client.exchange("GET", url + "?secret=1", scope=Scope(5), max_bytes=10)
        assert caught.value.code == "insecure_url"
        assert caught.value.hint
        assert not caught.value.retryable
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["", "nonsense", "https://", "https:///path", "http://[::1", "https://a:99999/", "ftp://a/"]
)
def test_a_url_that_cannot_be_used_is_a_network_error(client, url):
    with pytest.raises(NetworkError) as caught:
        client.exchange("GET", url, scope=Scope(5), max_bytes=10)
    assert caught.value.code == "invalid_url"


def test_an_unprintable_header_value_is_a_network_error(client):
    with peers.web({}) as server, pytest.raises(NetworkError):
        client.exchange("GET", server.url, headers={"X-Bad": "a\r\nb"}, scope=Scope(5), max_bytes=10)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://a.example/b/c.zip?key=secret&device_id=1#f", "https://a.example/b/c.zip"),
        ("https://user:pw@a.example:8443/", "https://a.example:8443/"),
        ("http://[::1]:80/x", "http://[::1]/x"),
        ("http://[::1", "(unreadable URL)"),
    ],
)
def test_what_is_shown_of_a_url_has_no_secrets(url, shown):
    assert redact(url) == shown


def test_no_log_line_shows_a_query(client, caplog):
    caplog.set_level(logging.DEBUG)
    with peers.web({"/": answer(body=b"x")}) as server:
        client.exchange("GET", server.url + "?key=sesame", scope=Scope(5), max_bytes=10)
    assert "sesame" not in caplog.text


class TestRedirects:
    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_a_get_follows(self, client, status):
        routes = {"/": answer(status, Location="/there?x=1"), "/there": answer(body=b"found")}
        with peers.web(routes) as server:
            assert client.exchange("GET", server.url, scope=Scope(5), max_bytes=10).body == b"found"
            assert server.requests[1][0].startswith(b"GET /there?x=1 HTTP/1.1")

    @pytest.mark.parametrize("status", [307, 308])
    def test_a_post_is_sent_again_where_the_status_says_so(self, client, status):
        routes = {"/": answer(status, Location="/there"), "/there": lambda _, body: answer(body=body)}
        with peers.web(routes) as server:
            reply = client.exchange("POST", server.url, body=b"again", scope=Scope(5), max_bytes=10)
            assert reply.body == b"again"
            assert server.requests[1][0].startswith(b"POST /there")

    @pytest.mark.parametrize("status", [301, 302, 303])
    def test_a_post_is_never_turned_into_a_get(self, client, status):
        routes = {"/": answer(status, Location="/there"), "/there": answer(body=b"found")}
        with peers.web(routes) as server:
            with pytest.raises(ReplyError) as caught:
                client.exchange("POST", server.url, body=b"{}", scope=Scope(5), max_bytes=10)
            assert caught.value.code == "redirect_refused"
            assert len(server.requests) == 1

    def test_five_are_followed_and_not_six(self, client):
        routes = {f"/{n}": answer(302, Location=f"/{n + 1}") for n in range(6)} | {"/6": answer(body=b"end")}
        with peers.web(routes) as server:
            assert client.exchange("GET", server.url + "1", scope=Scope(5), max_bytes=10).body == b"end"
            with pytest.raises(ReplyError) as caught:
                client.exchange("GET", server.url + "0", scope=Scope(5), max_bytes=10)
            assert caught.value.code == "redirect_refused"

    def test_a_loop_ends(self, client):
        with peers.web({"/": answer(302, Location="/")}) as server:
            with pytest.raises(ReplyError):
                client.exchange("GET", server.url, scope=Scope(5), max_bytes=10)
            assert len(server.requests) == 6

    def test_a_chain_shares_one_deadline(self, client):
        def slow(connection):
            connection.request()
            connection.pause(0.15)
            connection.send(answer(302, Location="/"))
            connection.hold()

        with peers.Peer(slow) as server, pytest.raises(DeadlineExceeded):
            client.exchange("GET", server.url, scope=Scope(0.4), max_bytes=10)

    @pytest.mark.parametrize(
        "target", ["ftp://127.0.0.1/x", "file:///etc/passwd", "javascript:alert(1)", "http://[::1"]
    )
    def test_another_scheme_is_refused(self, client, target):
        with peers.web({"/": answer(302, Location=target)}) as server, pytest.raises(ReplyError) as caught:
            client.exchange("GET", server.url, scope=Scope(5), max_bytes=10)
        assert caught.value.code == "redirect_refused"

    def test_plain_http_on_another_device_is_refused(self, client):
        with peers.web({"/": answer(302, Location="http://192.0.2.1/login")}) as server:
            with pytest.raises(NetworkError) as caught:
                client.exchange("GET", server.url, scope=Scope(5), max_bytes=10)
            assert caught.value.code == "insecure_url"

    def test_one_without_a_target_is_refused(self, client):
        with peers.web({"/": answer(302)}) as server, pytest.raises(ReplyError) as caught:
            client.exchange("GET", server.url, scope=Scope(5), max_bytes=10)
        assert caught.value.code == "redirect_refused"

    def test_from_https_to_http_is_refused_even_on_this_device(self, authority):
        with (
            peers.web({"/": answer(body=b"plain")}) as plain,
            peers.web({"/": answer(302, Location=plain.url)}, tls=authority.server) as server,
            HttpClient(user_agent="test", ssl_context=authority.client, allow_http=True) as client,
        ):
            with pytest.raises(ReplyError) as caught:
                client.exchange("GET", server.url, scope=Scope(5), max_bytes=10)
            assert caught.value.code == "redirect_refused"
            assert plain.requests == []

    def test_private_headers_stay_with_their_origin(self, client):
        with (
            peers.web({"/": answer(body=b"x")}) as other,
            peers.web({"/": answer(307, Location=other.url)}) as server,
        ):
            client.exchange(
                "GET", server.url, headers={"Authorization": "s", "X-Kept": "k"}, scope=Scope(5), max_bytes=10
            )
            assert b"Authorization" in server.requests[0][0]
            assert b"Authorization" not in other.requests[0][0]
            assert b"X-Kept: k" in other.requests[0][0]


class TestHeaders:
    def test_what_comes_several_times_is_one_list(self, client):
        reply = b"HTTP/1.1 200 OK\r\nX-A: one\r\nVary: x\r\nx-a: two, three\r\nContent-Length: 0\r\n\r\n"
        with peers.web({"/": reply}) as server:
            headers = client.exchange("GET", server.url, scope=Scope(5), max_bytes=10).headers
        assert headers == {"x-a": "one, two, three", "vary": "x", "content-length": "0"}

    @pytest.mark.parametrize(("raw", "text"), [(b"caf\xc3\xa9", "caf\u00e9"), (b"caf\xe9", "caf\u00e9")])
    def test_what_is_not_ascii_is_read_as_utf_8_and_else_as_latin_1(self, client, raw, text):
        reply = b"HTTP/1.1 200 OK\r\nX-A: " + raw + b"\r\nContent-Length: 0\r\n\r\n"
        with peers.web({"/": reply}) as server:
            assert client.exchange("GET", server.url, scope=Scope(5), max_bytes=10).headers["x-a"] == text

    @pytest.mark.parametrize(
        ("method", "body", "said"),
        [("POST", b"four", b"4"), ("POST", b"", b"0"), ("PUT", None, b"0"), ("GET", None, None)],
    )
    def test_the_length_of_a_body_is_told_where_the_method_may_have_one(self, client, method, body, said):
        with peers.web({"/": answer(body=b"x")}) as server:
            client.exchange(method, server.url, body=body, scope=Scope(5), max_bytes=10)
            head = server.requests[0][0]
        lengths = [line.split(b": ")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")]
        assert lengths == ([] if said is None else [said])


class TestTransportOfTheApp:
    def test_a_mock_transport_answers(self):
        def handle(request):
            assert request.headers["user-agent"] == "test"
            return httpx.Response(201, headers={"X-A": "1"}, content=b"mock " + request.content)

        with HttpClient(user_agent="test", transport=httpx.MockTransport(handle)) as client:
            reply = client.exchange("POST", "https://service.test/", body=b"b", scope=Scope(5), max_bytes=100)
            assert (reply.status, reply.body, reply.headers["x-a"]) == (201, b"mock b", "1")
            with client.stream("https://service.test/", scope=Scope(5)) as stream:
                assert b"".join(stream.chunks()) == b"mock "

    def test_its_redirects_and_limits_are_ours_too(self):
        def handle(request):
            if request.url.path == "/":
                return httpx.Response(302, headers={"Location": "/next"})
            return httpx.Response(200, content=b"a" * 11)

        with HttpClient(user_agent="test", transport=httpx.MockTransport(handle)) as client:
            with pytest.raises(ReplyError) as caught:
                client.exchange("GET", "https://service.test/", scope=Scope(5), max_bytes=10)
            assert caught.value.code == "reply_too_large"

    @pytest.mark.parametrize(
        ("raised", "expected"),
        [
            (httpx.ReadTimeout("slow"), DeadlineExceeded),
            (httpx.ConnectError("no"), NetworkError),
            (OSError("no"), NetworkError),
            (ValueError("no"), NetworkError),
            (Cancelled("ours"), Cancelled),
        ],
    )
    def test_whatever_it_raises_becomes_one_of_our_errors(self, raised, expected):
        def handle(_):
            raise raised

        with (
            HttpClient(user_agent="test", transport=httpx.MockTransport(handle)) as client,
            pytest.raises(expected),
        ):
            client.exchange("GET", "https://service.test/", scope=Scope(5), max_bytes=10)

    def test_a_real_httpx_transport_works(self):
        with (
            peers.web({"/": answer(body=b"real")}) as server,
            HttpClient(user_agent="test", transport=httpx.HTTPTransport()) as client,
        ):
            assert client.exchange("GET", server.url, scope=Scope(5), max_bytes=10).body == b"real"

    def test_a_reply_that_it_gives_too_late_counts_as_late(self):
        scope = Scope(0.05)

        def handle(_):
            while True:
                try:
                    scope.check()
                except DeadlineExceeded:
                    return httpx.Response(200, content=b"late")

        with (
            HttpClient(user_agent="test", transport=httpx.MockTransport(handle)) as client,
            pytest.raises(DeadlineExceeded),
        ):
            client.exchange("GET", "https://service.test/", scope=scope, max_bytes=10)


class TestClose:
    def test_after_it_every_method_says_so(self, client):
        client.close()
        client.close()
        with pytest.raises(ClosedError):
            client.exchange("GET", "https://service.test/", scope=Scope(5), max_bytes=10)
        with pytest.raises(ClosedError), client.stream("https://service.test/", scope=Scope(5)):
            pass

    @pytest.mark.promise(9)
    def test_it_ends_an_exchange_that_runs_in_another_thread(self, client):
        asked = threading.Event()
        errors = []

        def script(connection):
            connection.request()
            asked.set()
            connection.hold()

        def exchange():
            with pytest.raises(Cancelled) as caught:
                client.exchange("GET", server.url, scope=Scope(30), max_bytes=10)
            errors.append(caught.value)

        with peers.Peer(script) as server:
            thread = threading.Thread(target=exchange)
            thread.start()
            assert asked.wait(5)
            with Stopwatch() as watch:
                client.close()
                thread.join(5)
            assert watch.took < watch.grace
            assert server.gone.wait(watch.grace)
        assert [error.code for error in errors] == ["cancelled"]

    def test_a_transport_of_the_app_is_closed_by_the_last_exchange_to_leave_it(self):
        entered, leave, events = threading.Event(), threading.Event(), []

        class Slow(httpx.BaseTransport):
            def handle_request(self, request):
                entered.set()
                leave.wait(10)
                events.append("answered")
                return httpx.Response(200)

            def close(self):
                events.append("closed")

        def exchange():
            with pytest.raises(Cancelled):
                client.exchange("GET", "https://service.test/", scope=Scope(30), max_bytes=10)

        client = HttpClient(user_agent="test", transport=Slow())
        thread = threading.Thread(target=exchange)
        thread.start()
        assert entered.wait(5)
        client.close()
        assert events == []
        leave.set()
        thread.join(5)
        assert events == ["answered", "closed"]
