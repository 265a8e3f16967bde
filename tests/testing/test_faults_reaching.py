"""The faults before HTTP begins: what somebody meets who goes where the stage's options say, and who is spared."""

from __future__ import annotations

import socket
import ssl
import threading
from urllib.parse import urlsplit

import httpx
import pytest
from kit_wire import device

from capgo_client.testing import FAULTS, FaultUnavailableError, Service
from capgo_client.testing.stage import Stage

BLACK_HOLE = FAULTS["black-hole"]
NEEDS_LINUX = pytest.mark.skipif(bool(BLACK_HOLE.unavailable()), reason=BLACK_HOLE.unavailable() or "it works here")


@pytest.fixture(params=["plain", "tls"])
def stage(tmp_path, request):
    with Stage(tmp_path, tls=request.param == "tls") as made:
        yield made


def ask(stage, timeout=5.0):
    """One update check on a connection of its own, as the stage's options say: the status, or how it failed."""
    options = stage.options
    try:
        with httpx.Client(
            trust_env=False,
            verify=options.get("ssl_context", False),
            proxy=options.get("proxy"),
            timeout=timeout,
        ) as client:
            return client.post(options["update_url"], json=device()).status_code
    except httpx.HTTPError as exc:
        return type(exc).__name__


def reason(exc):
    while exc is not None and not isinstance(exc, ssl.SSLCertVerificationError):
        exc = exc.__cause__ or exc.__context__
    return exc.verify_message if exc is not None else ""


#: Fail at once, and hang until the patience is over.
PROMPT = [
    *("refused", "name-unresolved"),
    *("certificate-expired", "certificate-wrong-host", "certificate-self-signed"),
]
HANGING = ["black-hole", "silent-peer", "tls-stall", "proxy-hang"]
MARKED = [pytest.param(name, marks=NEEDS_LINUX if name == "black-hole" else ()) for name in (*PROMPT, *HANGING)]


def is_met(name, stage):
    if name in PROMPT:
        return ask(stage) == "ConnectError"
    return ask(stage, 0.2) in {"ConnectTimeout", "ReadTimeout"}


@pytest.mark.parametrize("name", MARKED)
def test_whoever_goes_where_the_options_say_meets_the_fault_and_afterwards_the_service(stage, name):
    before = dict(stage.options)
    with FAULTS[name].arrange(stage):
        assert is_met(name, stage)
        assert stage.service.checks == []
    assert stage.options == before
    assert ask(stage) == 200


@pytest.mark.parametrize("name", MARKED)
def test_the_second_connection_alone_can_meet_it(stage, name):
    with FAULTS[name].arrange(stage, nth=2):
        assert ask(stage) == 200
        assert is_met(name, stage)
        assert ask(stage) == 200
    assert len(stage.service.checks) == 2


@pytest.mark.parametrize("name", ["refused", "name-unresolved", "certificate-expired"])
def test_a_probability_and_a_seed_give_the_same_draws_again(stage, name):
    runs = []
    for _ in range(2):
        with FAULTS[name].arrange(stage, probability=0.5, seed=3):
            runs.append([ask(stage) == 200 for _ in range(8)])
    assert runs[0] == runs[1]
    assert set(runs[0]) == {True, False}


@pytest.mark.parametrize(
    ("kind", "said"), [("expired", "expired"), ("wrong-host", "mismatch"), ("self-signed", "self-signed certificate")]
)
def test_a_bad_certificate_is_bad_for_the_reason_in_its_name(stage, kind, said):
    with FAULTS[f"certificate-{kind}"].arrange(stage):
        context = stage.options.get("ssl_context")
        with pytest.raises(httpx.ConnectError) as caught, httpx.Client(trust_env=False, verify=context) as client:
            client.post(stage.options["update_url"], json=device())
    assert said in reason(caught.value)


def test_a_name_that_does_not_resolve_says_so_to_this_process_without_asking_anybody(stage, monkeypatch):
    asked = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: asked.append(args))
    with FAULTS["name-unresolved"].arrange(stage):
        host = urlsplit(stage.options["update_url"]).hostname
        assert host.endswith(".capgo-fault.invalid")
        with pytest.raises(socket.gaierror):
            socket.getaddrinfo(host, 443)
        assert asked == []
        socket.getaddrinfo("elsewhere", 443)
    socket.getaddrinfo(host, 443)
    assert asked == [("elsewhere", 443), (host, 443)]


def test_a_lookup_hangs_until_the_fault_is_taken_away(stage):
    ended = threading.Event()

    def look_up(host):
        with pytest.raises(socket.gaierror):
            socket.getaddrinfo(host, 443)
        ended.set()

    with FAULTS["lookup-hangs"].arrange(stage):
        host = urlsplit(stage.options["update_url"]).hostname
        thread = threading.Thread(target=look_up, args=(host,))
        thread.start()
        assert not ended.wait(0.1)
    assert ended.wait(5)
    thread.join()
    assert ask(stage) == 200


def test_a_proxy_can_grant_the_tunnel_before_it_hangs(tmp_path):
    with Stage(tmp_path, tls=True) as stage, FAULTS["proxy-hang"].arrange(stage, connects=True):
        proxy = urlsplit(stage.options["proxy"])
        with socket.create_connection((proxy.hostname, proxy.port), 5) as sock:
            sock.sendall(b"CONNECT 127.0.0.1:443 HTTP/1.1\r\n\r\n")
            assert sock.recv(100).startswith(b"HTTP/1.1 200 ")


def test_the_route_vanishes_in_the_middle_of_a_download_and_not_of_a_check(stage):
    stage.publish("1.1.0")
    with FAULTS["route-vanishes"].arrange(stage):
        assert ask(stage) == 200
        updater = stage.launch()
        stage.service.wait_for_requests(1, on="download")
        assert not updater.wait(0.2)
        stage.end_launch()
    updater = stage.launch()
    assert updater.wait(10)
    assert updater.next_bundle.version == "1.1.0"


def test_an_endpoint_that_is_off_stays_off_and_the_others_keep_their_paths(stage):
    stage.options["channel_url"] = ""
    with FAULTS["refused"].arrange(stage):
        assert stage.options["channel_url"] == ""
        assert urlsplit(stage.options["stats_url"]).path == "/stats"
        assert urlsplit(stage.options["update_url"]).path == "/updates"


def test_two_faults_at_once_count_every_connection_and_leave_nothing_behind(stage):
    connect, lookup = socket.socket.connect_ex, socket.getaddrinfo
    with FAULTS["refused"].arrange(stage, nth=2), FAULTS["refused"].arrange(stage, nth=1):
        assert [ask(stage) for _ in range(3)] == ["ConnectError", "ConnectError", 200]
    assert (socket.socket.connect_ex, socket.getaddrinfo) == (connect, lookup)


def test_other_services_are_reached_while_connections_to_this_one_are_led_astray(stage):
    with Service() as other, FAULTS["refused"].arrange(stage, probability=1.0):
        assert ask(stage) == "ConnectError"
        with httpx.Client(trust_env=False) as client:
            assert client.post(other.update_url, json=device()).status_code == 200


def test_what_cannot_be_had_is_refused_with_the_reason_before_anything_happens(stage):
    with pytest.raises(FaultUnavailableError, match=r"power-cut: .*crash tests"):
        FAULTS["power-cut"].arrange(stage)


def test_a_wrong_option_an_endpoint_that_makes_no_sense_and_wrong_odds_are_refused(stage):
    with pytest.raises(TypeError, match="'refused' takes"):
        FAULTS["refused"].arrange(stage, interval=1)
    with pytest.raises(TypeError, match="takes no endpoint"):
        FAULTS["refused"].arrange(stage, on="updates")
    with pytest.raises(ValueError, match="nth is counted from 1"):
        FAULTS["refused"].arrange(stage, nth=0)
    with pytest.raises(ValueError, match="times is a whole number, not '1'"):
        FAULTS["refused"].arrange(stage, times="1")
    with pytest.raises(ValueError, match="probability is from 0 to 1"):
        FAULTS["silence"].arrange(stage, probability=1.5)
