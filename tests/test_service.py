"""The calls to the service, over real sockets: what goes out, what bounds them, and what comes of their answers."""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from urllib.parse import parse_qsl, urlsplit

import pytest

from capgo_client.errors import (
    Cancelled,
    ChannelRefused,
    ClosedError,
    ConfigError,
    DeadlineExceeded,
    NetworkError,
    RateLimited,
    ReplyError,
    ServiceError,
)
from capgo_client.net.deadline import Scope
from capgo_client.protocol.channels import Channel, ChannelStatus
from capgo_client.protocol.outcomes import Failed, ManifestEntry, UpToDate
from capgo_client.protocol.requests import Identity
from capgo_client.protocol.sizes import DownloadSize, FileSize
from capgo_client.service import Endpoints, Service
from capgo_client.wire import Wire

NOW = 1_767_225_600.0
MIB = 1024 * 1024
ME = Identity(
    app_id="com.example.notes",
    device_id="00009a6b-eefe-490a-9c60-8e965132ae51",
    version_build="1.4.0",
    platform="electron",
    default_channel="stable",
)
MANIFEST = [ManifestEntry("a.py", "aa", "https://d.test/a"), ManifestEntry("b.py", "bb", "https://d.test/b")]


@dataclass
class Web:
    """A web server that notes every request and answers each with the next of ``replies``."""

    url: str = ""
    replies: list[tuple[int, bytes, dict[str, str]]] = field(default_factory=list)
    requests: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)

    def will_answer(self, reply: object, status: int = 200, **headers: str) -> None:
        body = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
        self.replies.append((status, body, {name.replace("_", "-"): value for name, value in headers.items()}))

    @property
    def only(self) -> tuple[str, str, dict[str, str], bytes]:
        (request,) = self.requests
        return request


@pytest.fixture
def web():
    noted = Web()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            noted.requests.append((self.command, self.path, headers, body))
            status, reply, more = noted.replies.pop(0)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(reply)), **more}.items():
                self.send_header(name, value)
            self.end_headers()
            with suppress(ConnectionError):  # a client that wants no more hangs up
                self.wfile.write(reply)

        do_GET = do_POST = do_PUT = do_DELETE = answer

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    noted.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield noted
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def silent_server():
    """Takes connections into its queue and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield url_of(listener)


def url_of(listener):
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


def config(base, **urls):
    """All that a Service reads of the options."""
    chosen = {"update_url": f"{base}/updates", "stats_url": f"{base}/stats", "channel_url": f"{base}/channel_self"}
    return SimpleNamespace(**{**chosen, **urls}, allow_http=False)


@contextmanager
def calling(base, *, endpoints=None, **urls):
    service = Service(config(base, **urls), Wire(trust_env=False), identity=lambda: ME, endpoints=endpoints)
    try:
        yield service
    finally:
        service.close()


@pytest.fixture
def service(web):
    with calling(web.url) as service:
        yield service


#: Every call, by the name of the method and of the address that it takes.
CALLS = {
    "check": (lambda s, scope: s.check(version_name="1.5.0", scope=scope, now=NOW), "/updates"),
    "set_channel": (
        lambda s, scope: s.set_channel("beta", version_name="1.5.0", scope=scope, now=NOW),
        "/channel_self",
    ),
    "get_channel": (lambda s, scope: s.get_channel(version_name="1.5.0", scope=scope, now=NOW), "/channel_self"),
    "list_channels": (lambda s, scope: s.list_channels(version_name="1.5.0", scope=scope, now=NOW), "/channel_self"),
    "download_size": (
        lambda s, scope: s.download_size(MANIFEST, version="2.0.0", version_name="1.5.0", scope=scope),
        "/updates/manifest_size",
    ),
    "send_stats": (lambda s, scope: s.send_stats(b'[{"action":"set"}]', scope=scope), "/stats"),
}
METHODS = {"get_channel": "PUT", "list_channels": "GET"}
CHANNEL_CALLS = ["set_channel", "get_channel", "list_channels"]
RAISING = [*CHANNEL_CALLS, "send_stats"]


def call(name, service, scope=None):
    return CALLS[name][0](service, scope or Scope(5))


# --- what goes out ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CALLS)
def test_every_call_goes_to_its_address_as_json(name, web, service):
    web.will_answer([] if name == "list_channels" else {"status": "ok"})
    call(name, service)

    method, target, headers, body = web.only
    assert method == METHODS.get(name, "POST")
    assert target.partition("?")[0] == CALLS[name][1]
    assert headers["accept"] == "application/json"
    assert headers["user-agent"].startswith("capgo-client/")
    assert headers.get("content-type") == ("application/json" if body else None)
    assert bool(body) == (method != "GET")


def test_a_channel_is_set_with_the_info_object(web, service):
    web.will_answer({"status": "ok", "allowSet": True})

    assert call("set_channel", service) == ChannelStatus("beta", "ok")
    sent = json.loads(web.only[3])
    assert sent["channel"] == "beta"
    assert sent["defaultChannel"] == "stable"
    assert sent["version_name"] == "1.5.0"


def test_a_channel_is_asked_for_without_naming_one(web, service):
    web.will_answer({"channel": "stable", "status": "default"})

    assert call("get_channel", service) == ChannelStatus("stable", "default")
    assert "channel" not in json.loads(web.only[3])


def test_a_get_that_finds_no_channel_stands_for_the_default_one(web, service):
    web.will_answer({"error": "channel_not_found"}, status=400)

    assert call("get_channel", service) == ChannelStatus("stable", "default")


def test_channels_are_listed_by_a_query_beside_the_one_that_is_there(web):
    with calling(web.url, channel_url=f"{web.url}/channel_self?scenario=a%20b") as service:
        web.will_answer([{"id": 1, "name": "production", "public": True, "allow_self_set": False}])

        assert call("list_channels", service) == (Channel(1, "production", True, False),)
    target = web.only[1]
    assert target.startswith("/channel_self?scenario=a%20b&platform=electron&")
    fields = dict(parse_qsl(urlsplit(target).query))
    assert (fields["is_prod"], fields["is_emulator"], fields["defaultChannel"]) == ("true", "false", "stable")


def test_sizes_are_asked_for_behind_the_address_for_checks(web):
    with calling(web.url, update_url=f"{web.url}/api/updates?scenario=1") as service:
        web.will_answer({"files": [{"file_hash": "aa", "size": 71}, {"file_hash": "bb", "error": "size_unknown"}]})

        assert call("download_size", service) == DownloadSize(
            71,
            1,
            1,
            (
                FileSize("a.py", "aa", "https://d.test/a", 71),
                FileSize("b.py", "bb", "https://d.test/b", None, "size_unknown"),
            ),
        )
    assert web.only[1] == "/api/updates/manifest_size"
    sent = json.loads(web.only[3])
    assert (sent["version"], sent["version_name"], len(sent["manifest"])) == ("2.0.0", "1.5.0", 2)


def test_an_empty_manifest_asks_nobody(web, service):
    assert service.download_size([], version="", version_name="", scope=Scope(5)) == DownloadSize()
    assert web.requests == []


def test_events_go_out_byte_by_byte_and_the_reply_comes_back_whole(web, service):
    web.will_answer({"error": "on_premise_app"}, status=429, Retry_After="9")
    reply = service.send_stats('[{"action":"é"}]'.encode(), scope=Scope(5))

    assert web.only[3] == '[{"action":"é"}]'.encode()
    assert (reply.status, json.loads(reply.body), reply.headers["retry-after"]) == (
        429,
        {"error": "on_premise_app"},
        "9",
    )


# --- where it goes ---------------------------------------------------------------------------------------------------


def test_addresses_can_change_between_calls(web):
    current = [Endpoints(f"{web.url}/u", f"{web.url}/s", f"{web.url}/c")]
    with calling("https://never.invalid", endpoints=lambda: current[0]) as service:
        for _ in CALLS:
            web.will_answer({"status": "ok"})
            web.will_answer({"status": "ok"})
        for name in CALLS:
            if name != "list_channels":
                call(name, service)
        current[0] = Endpoints(f"{web.url}/u2", f"{web.url}/s2", f"{web.url}/c2")
        for name in CALLS:
            if name != "list_channels":
                call(name, service)
    first = ["/u", "/c", "/c", "/u/manifest_size", "/s"]
    assert [target for _, target, _, _ in web.requests] == [*first, "/u2", "/c2", "/c2", "/u2/manifest_size", "/s2"]


@pytest.mark.parametrize(
    ("name", "option"),
    [*((name, "channel_url") for name in CHANNEL_CALLS), ("send_stats", "stats_url"), ("download_size", "update_url")],
)
def test_a_part_that_is_turned_off_is_a_config_error_before_any_request(name, option, web):
    with calling(web.url, **{option: ""}) as service, pytest.raises(ConfigError, match=option) as caught:
        call(name, service)
    assert caught.value.code == "missing_config"
    assert web.requests == []


def test_a_set_needs_a_channel(web, service):
    with pytest.raises(ConfigError) as caught:
        service.set_channel("", version_name="", scope=Scope(5), now=NOW)
    assert caught.value.code == "missing_parameter"
    assert web.requests == []


@pytest.mark.parametrize("name", [*RAISING, "download_size"])
def test_under_test_a_real_host_is_refused_by_every_call(name, monkeypatch):
    monkeypatch.setenv("CAPGO_CLIENT_TESTING", "1")
    with calling("https://plugin.capgo.app") as service, pytest.raises(NetworkError) as caught:
        call(name, service)
    assert caught.value.code == "real_host_refused"


def test_under_test_a_check_of_a_real_host_fails(monkeypatch):
    monkeypatch.setenv("CAPGO_CLIENT_TESTING", "1")
    with calling("https://plugin.eu.capgo.app") as service:
        outcome = call("check", service)
    assert isinstance(outcome, Failed)
    assert outcome.code == "real_host_refused"


# --- what bounds it --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RAISING)
def test_a_silent_server_costs_the_time_allowed_and_no_more(name):
    with silent_server() as base, calling(base) as service:
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            call(name, service, Scope(0.2))
        assert time.monotonic() - began < 1.0


def test_a_silent_server_leaves_every_size_unknown_in_time():
    with silent_server() as base, calling(base) as service:
        began = time.monotonic()
        sizes = call("download_size", service, Scope(0.2))
        assert time.monotonic() - began < 1.0
    assert [file.error for file in sizes.files] == ["timeout_error", "timeout_error"]
    assert (sizes.total_size, sizes.known_files, sizes.unknown_files) == (0, 0, 2)


@pytest.mark.parametrize("name", RAISING)
def test_a_reply_over_a_mebibyte_is_refused(name, web, service):
    web.will_answer(b" " * (MIB + 1))
    with pytest.raises(ReplyError) as caught:
        call(name, service)
    assert caught.value.code == "reply_too_large"


@pytest.mark.parametrize("name", ["set_channel", "get_channel", "send_stats"])
def test_a_reply_of_a_mebibyte_is_read(name, web, service):
    reply = b'{"status":"ok","channel":"beta"}'
    web.will_answer(reply.ljust(MIB))

    assert call(name, service).status in ("ok", 200)


def test_a_check_takes_a_reply_of_twenty_mebibytes(web, service):
    reply = b'{"error":"no_new_version_available","kind":"up_to_date","message":"No new version available"}'
    web.will_answer(reply.ljust(20 * MIB))

    assert isinstance(call("check", service), UpToDate)


def test_the_reply_with_sizes_is_bounded_by_what_was_asked(web, service):
    web.will_answer(b" " * (2 * MIB))

    assert [file.error for file in call("download_size", service).files] == ["response_error"] * 2
    large = [ManifestEntry(f"{n:04}" + "n" * 1000, f"{n:x}", f"https://d.test/{n}") for n in range(1000)]
    files = [{"file_name": e.file_name, "file_hash": e.file_hash, "size": 2} for e in large]
    web.will_answer(json.dumps({"files": files}).encode().ljust(int(1.5 * MIB)))
    assert service.download_size(large, version="", version_name="", scope=Scope(5)).total_size == 2000


# --- what comes of it ------------------------------------------------------------------------------------------------


def test_refusals_of_channels_reach_the_caller(web, service):
    web.will_answer({"error": "public_channel_self_set_not_allowed", "message": "m", "channel": "beta"})
    with pytest.raises(ChannelRefused) as refused:
        call("set_channel", service)
    assert refused.value.channel == "beta"
    web.will_answer({"error": "too_many_requests", "message": "m"}, status=429, Retry_After="60")
    with pytest.raises(RateLimited) as limited:
        call("set_channel", service)
    assert limited.value.retry_at == NOW + 60
    web.will_answer({"error": "on_premise_app", "message": "On-premise app detected"}, status=429)
    with pytest.raises(ServiceError) as ended:
        call("list_channels", service)
    assert (ended.value.code, ended.value.retryable) == ("on_premise_app", True)
    web.will_answer(b"<html>Welcome</html>")
    with pytest.raises(ReplyError):
        call("get_channel", service)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.mark.parametrize("name", CALLS)
def test_a_server_that_is_not_there(name):
    with calling(f"http://127.0.0.1:{free_port()}") as service:
        if name == "check":
            assert call(name, service).code == "network_error"
        elif name == "download_size":
            assert {file.error for file in call(name, service).files} == {"request_error"}
        else:
            with pytest.raises(NetworkError):
                call(name, service)


@pytest.mark.parametrize(("status", "body"), [(500, b"{}"), (429, b'{"error":"on_premise_app"}'), (404, b"")])
def test_a_refusal_of_sizes_is_the_error_of_every_file(status, body, web, service):
    web.will_answer(body, status=status)

    assert {file.error for file in call("download_size", service).files} == {"response_error"}


@pytest.mark.parametrize("name", CHANNEL_CALLS)
def test_close_ends_a_call_that_waits(name):
    with socket.create_server(("127.0.0.1", 0)) as listener, calling(url_of(listener)) as service:
        caught = []

        def wait() -> None:
            try:
                call(name, service, Scope(20))
            except (Cancelled, ClosedError) as exc:
                caught.append(exc)

        waiting = threading.Thread(target=wait)
        waiting.start()
        listener.settimeout(5)
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(5)
            assert connection.recv(1)  # it asks, and now waits for the answer
            service.close()
            waiting.join(5)
        assert not waiting.is_alive()
    assert len(caught) == 1
