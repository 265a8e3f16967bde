"""Threads that work for one scope take turns (net/deadline.py): one runs, the others wait for the network."""

from __future__ import annotations

import contextlib
import socket
import threading

import httpx
import peers
import pytest
from peers import answer

from capgo_client.errors import Cancelled
from capgo_client.net.client import HttpClient
from capgo_client.net.deadline import Scope
from capgo_client.net.transport import DeadlineTransport


def test_one_thread_at_a_time_has_its_turn():
    scope, inside, together = Scope(20), [], []

    def work():
        for _ in range(200):
            with scope.in_turn():
                inside.append(1)
                together.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert together == [1] * 800


def test_a_turn_is_over_when_its_block_fails():
    scope = Scope(5)
    with pytest.raises(ZeroDivisionError), scope.in_turn():
        raise ZeroDivisionError
    with scope.in_turn():
        pass


def test_a_branch_has_turns_of_its_own():
    scope = Scope(5)
    with scope.in_turn(), scope.branch() as branch, branch.in_turn():
        pass


def test_whoever_has_no_turn_gives_none_away():
    scope, taken, leave = Scope(20), threading.Event(), threading.Event()
    intruded = threading.Event()

    def hold():
        with scope.in_turn():
            taken.set()
            leave.wait(20)

    def intrude():
        with scope.in_turn():
            intruded.set()

    holder, intruder = threading.Thread(target=hold), threading.Thread(target=intrude)
    holder.start()
    assert taken.wait(20)
    with scope.waiting():
        intruder.start()
        assert not intruded.wait(0.05)
    leave.set()
    assert intruded.wait(20)
    holder.join(20)
    intruder.join(20)


@contextlib.contextmanager
def hanging(stage, authority):
    """A client, a URL at which an exchange hangs in ``stage``, and an event that says that it does."""
    reached, release = threading.Event(), threading.Event()

    def script(connection):
        if stage != "tls":
            connection.request()
        if stage == "body":
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        reached.set()
        connection.hold()

    def getaddrinfo(host, port):
        reached.set()
        release.wait(20)
        return []

    def handle(request):
        if request.url.host == "hung.test":
            reached.set()
            release.wait(20)
        return httpx.Response(200, content=b"fine")

    with contextlib.ExitStack() as stack:
        stack.callback(release.set)
        if stage == "lookup":
            yield DeadlineTransport(getaddrinfo=getaddrinfo), "https://hung.test/", reached
        elif stage == "the app's own transport":
            yield httpx.MockTransport(handle), "https://hung.test/", reached
        elif stage == "connect":
            hole = stack.enter_context(peers.BlackHole())
            reached.set()
            yield None, f"http://127.0.0.1:{hole.port}/", reached
        else:
            peer = stack.enter_context(peers.Peer(script))
            scheme = "https" if stage == "tls" else "http"
            yield DeadlineTransport(ssl_context=authority.client), f"{scheme}://127.0.0.1:{peer.port}/", reached


@pytest.mark.parametrize("stage", ["lookup", "connect", "tls", "headers", "body", "the app's own transport"])
def test_one_that_waits_for_the_network_holds_up_no_other(stage, authority):
    errors = []
    with (
        hanging(stage, authority) as (transport, url, reached),
        peers.web({"/": answer(body=b"fine")}) as server,
        HttpClient(user_agent="test", transport=transport) as client,
        Scope(20).branch() as scope,
    ):

        def hang():
            with pytest.raises(Cancelled) as caught, scope.in_turn():
                client.exchange("GET", url, scope=scope, max_bytes=10)
            errors.append(caught.value)

        thread = threading.Thread(target=hang)
        thread.start()
        assert reached.wait(20)
        with scope.in_turn():
            assert client.exchange("GET", server.url, scope=scope, max_bytes=10).body == b"fine"
        scope.cancel()
    thread.join(20)
    assert len(errors) == 1


def test_after_a_wait_the_turn_is_had_again():
    scope = Scope(20)
    one, other = socket.socketpair()
    with one, other, scope.in_turn():
        with scope.operation(one), scope.waiting():
            pass
        entered = threading.Event()

        def enter():
            with scope.in_turn():
                entered.set()

        thread = threading.Thread(target=enter)
        thread.start()
        assert not entered.wait(0.05)
    assert entered.wait(20)
    thread.join(20)
