from __future__ import annotations

import socket
import threading

import peers
import pytest
from stopwatch import Stopwatch

from capgo_client.errors import Cancelled, DeadlineExceeded, NetworkError
from capgo_client.net.client import HttpClient
from capgo_client.net.connect import connect
from capgo_client.net.deadline import Scope, current_scope
from capgo_client.net.resolver import Address, Resolver
from capgo_client.net.transport import DeadlineTransport


def in_thread(call):
    """Run ``call`` in a thread; return (thread, list that gets the error it raises)."""
    errors = []

    def run():
        try:
            call()
        except Exception as exc:
            errors.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, errors


class TestScope:
    def test_it_gives_what_is_left_and_never_more(self):
        scope = Scope(5)
        first = scope.remaining()
        second = scope.remaining()
        assert 4 < second <= first <= 5

    def test_past_its_end_it_raises(self):
        with pytest.raises(DeadlineExceeded):
            Scope(0).remaining()
        with pytest.raises(DeadlineExceeded):
            Scope(-1).check()

    def test_without_seconds_there_is_no_limit_but_the_step(self):
        assert Scope(None).remaining() is None
        assert Scope(None, step=2.0).remaining() == 2.0
        assert Scope(100, step=2.0).remaining() == 2.0
        assert 0 < Scope(1, step=2.0).remaining() <= 1

    def test_cancelled_it_stays_cancelled(self):
        scope = Scope(5)
        scope.cancel()
        scope.cancel()
        with pytest.raises(Cancelled):
            scope.remaining()

    def test_cancelled_after_its_end_it_is_the_end_that_is_told(self):
        scope = Scope(0)
        scope.cancel()
        scope.cancel()
        with pytest.raises(DeadlineExceeded):
            scope.remaining()
        assert type(scope.expired()) is DeadlineExceeded

    def test_cancelled_in_time_it_stays_so_when_the_end_comes(self):
        scope = Scope(0.05)
        scope.cancel()
        threading.Event().wait(0.06)
        scope.cancel()
        with pytest.raises(Cancelled):
            scope.remaining()

    def test_a_socket_that_comes_after_the_cancel_is_shut_down_at_once(self):
        one, other = socket.socketpair()
        with one, other:
            scope = Scope(5)
            scope.cancel()
            with pytest.raises(Cancelled), scope.operation(one):
                raise AssertionError
            other.settimeout(1)
            assert other.recv(1) == b""

    def test_a_socket_whose_operation_is_over_is_left_alone(self):
        one, other = socket.socketpair()
        with one, other:
            scope = Scope(5)
            with scope.operation(one):
                pass
            scope.cancel()
            one.sendall(b"still open")
            assert other.recv(20) == b"still open"

    def test_a_socket_whose_operation_came_too_late_is_left_alone_too(self):
        one, other = socket.socketpair()
        with one, other:
            scope = Scope(0)
            with pytest.raises(DeadlineExceeded), scope.operation(one):
                raise AssertionError
            scope.cancel()
            one.sendall(b"still open")
            assert other.recv(20) == b"still open"

    def test_a_tls_socket_keeps_its_tls_when_it_is_shut_down(self, authority):
        # Without it the thread that uses the socket would go on in the clear.
        with peers.Peer(lambda connection: connection.hold(), tls=authority.server) as peer:
            plain = socket.create_connection(("127.0.0.1", peer.port))
            with authority.client.wrap_socket(plain, server_hostname="127.0.0.1") as tls:
                scope = Scope(5)
                with scope.operation(tls):
                    scope.cancel()
                assert peer.gone.wait(5)
                assert tls.version() is not None

    def test_each_thread_has_its_own_current_scope_and_they_nest(self):
        outer, inner = Scope(5), Scope(4)
        with outer:
            with inner:
                assert current_scope() is inner
                thread, errors = in_thread(current_scope)
                thread.join()
                assert [type(error) for error in errors] == [RuntimeError]
            assert current_scope() is outer
        with pytest.raises(RuntimeError):
            current_scope()


class TestCancel:
    @pytest.mark.parametrize("stage", ["headers", "body", "tls", "connect", "send"])
    def test_from_another_thread_it_ends_the_exchange_at_once_in_every_stage(self, stage, authority):
        reached = threading.Event()

        def script(connection):
            if stage == "tls":
                connection.pause(5)
                reached.set()
                connection.hold()
            if stage == "send":
                reached.set()
                release.wait(10)
                return
            connection.request()
            if stage == "body":
                connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
            reached.set()
            connection.hold()

        release = threading.Event()
        scope = Scope(30)
        peer = peers.BlackHole() if stage == "connect" else peers.Peer(script, buffer=4096)
        url = f"{'https' if stage == 'tls' else 'http'}://127.0.0.1:{peer.port}/"
        body = b"a" * 8_000_000 if stage == "send" else b"{}"
        with peer, HttpClient(user_agent="test", ssl_context=authority.client) as client:
            thread, errors = in_thread(lambda: client.exchange("POST", url, body=body, scope=scope, max_bytes=100))
            assert stage == "connect" or reached.wait(5)
            with Stopwatch() as watch:
                scope.cancel()
                thread.join(5)
            assert watch.took < watch.grace
            release.set()
            assert stage in {"connect", "send"} or peer.gone.wait(watch.grace)
        assert [type(error) for error in errors] == [Cancelled]

    def test_it_ends_the_wait_for_a_lookup(self):
        asked, release = threading.Event(), threading.Event()

        def getaddrinfo(host, port):
            asked.set()
            release.wait(10)
            return []

        scope = Scope(30)
        with HttpClient(user_agent="test", transport=DeadlineTransport(getaddrinfo=getaddrinfo)) as client:
            thread, errors = in_thread(
                lambda: client.exchange("GET", "https://service.test/", scope=scope, max_bytes=1)
            )
            assert asked.wait(5)
            with Stopwatch() as watch:
                scope.cancel()
                thread.join(5)
            assert watch.took < watch.grace
        release.set()
        assert [type(error) for error in errors] == [Cancelled]

    def test_two_exchanges_over_one_client_are_cancelled_apart(self):
        both = threading.Barrier(3)

        def script(connection):
            connection.request()
            both.wait(5)
            connection.pause(0.2)
            connection.send(peers.answer(body=b"done"))

        scopes = [Scope(30), Scope(30)]
        with peers.Peer(script) as peer, HttpClient(user_agent="test") as client:
            runs = [
                in_thread(lambda scope=scope: client.exchange("GET", peer.url, scope=scope, max_bytes=10))
                for scope in scopes
            ]
            both.wait(5)
            scopes[0].cancel()
            for thread, _ in runs:
                thread.join(5)
        assert [[type(error) for error in errors] for _, errors in runs] == [[Cancelled], []]


def entry(address, port=0):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sockaddr = (address, port, 0, 0) if ":" in address else (address, port)
    return (family, socket.SOCK_STREAM, 6, "", sockaddr)


class TestResolver:
    def test_families_take_turns_and_the_port_is_the_one_asked_for(self):
        found = [entry("2001:db8::1"), entry("2001:db8::2"), entry("192.0.2.1"), entry("2001:db8::3")]
        resolver = Resolver(getaddrinfo=lambda host, port: found)
        assert resolver.resolve("service.test", 443, scope=Scope(5)) == [
            Address(socket.AF_INET6, ("2001:db8::1", 443, 0, 0)),
            Address(socket.AF_INET, ("192.0.2.1", 443)),
            Address(socket.AF_INET6, ("2001:db8::2", 443, 0, 0)),
            Address(socket.AF_INET6, ("2001:db8::3", 443, 0, 0)),
        ]

    def test_at_most_eight_addresses_are_tried(self):
        found = [entry(f"192.0.2.{n}") for n in range(100)]
        resolver = Resolver(getaddrinfo=lambda host, port: found)
        assert len(resolver.resolve("service.test", 443, scope=Scope(5))) == 8

    @pytest.mark.parametrize("literal", ["127.0.0.1", "::1"])
    def test_an_address_needs_no_thread(self, literal):
        resolver = Resolver(getaddrinfo=lambda host, port: pytest.fail("looked up"))
        before = set(threading.enumerate())
        addresses = resolver.resolve(literal, 80, scope=Scope(5))
        assert [address.sockaddr[:2] for address in addresses] == [(literal, 80)]
        assert set(threading.enumerate()) <= before  # threads of other tests may end meanwhile

    @pytest.mark.parametrize(
        "failure",
        [socket.gaierror(-2, "Name or service not known"), OSError(24, "Too many open files"), UnicodeError()],
    )
    def test_a_name_that_does_not_resolve_is_a_network_error(self, failure):
        def getaddrinfo(host, port):
            raise failure

        with pytest.raises(NetworkError, match=r"service\.test does not resolve"):
            Resolver(getaddrinfo=getaddrinfo).resolve("service.test", 80, scope=Scope(5))

    def test_a_name_without_addresses_is_a_network_error(self):
        with pytest.raises(NetworkError):
            Resolver(getaddrinfo=lambda host, port: []).resolve("a.test", 80, scope=Scope(5))

    def test_a_host_over_the_length_of_a_label_is_a_network_error(self):
        with pytest.raises(NetworkError):
            Resolver().resolve("a" * 64 + ".test", 80, scope=Scope(5))

    def test_a_hung_host_does_not_hold_up_another(self):
        release = threading.Event()

        def getaddrinfo(host, port):
            if host == "hung.test":
                release.wait(10)
            return [entry("192.0.2.1")]

        resolver = Resolver(getaddrinfo=getaddrinfo)
        with pytest.raises(DeadlineExceeded):
            resolver.resolve("hung.test", 80, scope=Scope(0.05))
        assert resolver.resolve("fine.test", 80, scope=Scope(5))
        release.set()

    def test_a_lookup_that_ends_late_serves_whoever_joined_it_and_the_next_one_asks_anew(self):
        release, asked, calls = threading.Event(), threading.Event(), []

        def getaddrinfo(host, port):
            calls.append(host)
            asked.set()
            release.wait(10)
            return [entry("192.0.2.1")]

        resolver = Resolver(getaddrinfo=getaddrinfo)
        with pytest.raises(DeadlineExceeded):
            resolver.resolve("slow.test", 80, scope=Scope(0.05))
        found = []
        thread, errors = in_thread(lambda: found.append(resolver.resolve("slow.test", 81, scope=Scope(5))))
        release.set()
        thread.join(5)
        assert found == [[Address(socket.AF_INET, ("192.0.2.1", 81))]]
        assert errors == []
        resolver.resolve("slow.test", 80, scope=Scope(5))
        assert 2 <= len(calls) <= 3


class TestConnect:
    def address(self, port):
        return Address(socket.AF_INET, ("127.0.0.1", port))

    def test_a_black_holed_first_address_costs_a_quarter_of_a_second(self):
        with peers.BlackHole() as hole, peers.silence() as peer:
            addresses = [self.address(hole.port), self.address(peer.port)]
            with Stopwatch() as watch, connect(addresses, scope=Scope(3)) as sock:
                assert sock.getpeername()[1] == peer.port
            assert 0.25 <= watch.took < 0.25 + watch.grace

    def test_a_refused_first_address_costs_nothing(self):
        with peers.silence() as dead:
            port = dead.port
        with peers.silence() as peer:
            addresses = [self.address(port), self.address(peer.port)]
            with Stopwatch() as watch, connect(addresses, scope=Scope(3)) as sock:
                assert sock.getpeername()[1] == peer.port
            assert watch.took < watch.grace

    def test_a_refusal_starts_the_next_address_while_an_earlier_one_hangs(self):
        with peers.silence() as dead:
            port = dead.port
        with peers.BlackHole() as hole, peers.silence() as peer:
            addresses = [self.address(hole.port), self.address(port), self.address(peer.port)]
            with Stopwatch() as watch, connect(addresses, scope=Scope(3)) as sock:
                assert sock.getpeername()[1] == peer.port
            assert 0.25 <= watch.took < 0.25 + watch.grace

    def test_a_slow_first_address_is_not_given_up_for_the_second(self):
        with peers.BlackHole() as hole, peers.BlackHole() as other:
            addresses = [self.address(hole.port), self.address(other.port)]
            with Stopwatch() as watch, pytest.raises(DeadlineExceeded):
                connect(addresses, scope=Scope(0.5))
            assert 0.5 <= watch.took < 0.5 + watch.grace

    def test_when_every_address_refuses_the_error_says_so_at_once(self):
        with peers.silence() as dead:
            port = dead.port
        with Stopwatch() as watch, pytest.raises(NetworkError, match="refused"):
            connect([self.address(port)] * 3, scope=Scope(3))
        assert watch.took < watch.grace

    def test_a_family_that_the_device_does_not_have_is_passed_over(self):
        with peers.silence() as peer:
            addresses = [Address(9999, ("nowhere", 1)), self.address(peer.port)]
            with connect(addresses, scope=Scope(3)) as sock:
                assert sock.getpeername()[1] == peer.port
