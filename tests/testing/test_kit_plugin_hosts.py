"""Capgo's real hosts: refused in every test, whoever calls them; and mocked by the routes for respx."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import respx

import capgo_client
from capgo_client import Updater
from capgo_client.errors import CapgoError, NetworkError
from capgo_client.service import is_out_of_bounds
from capgo_client.testing import BundleKeys, make_bundle, respx_routes
from capgo_client.testing.in_process import ROUTES

ROOT = Path(capgo_client.__file__).parents[1]
REAL = "https://plugin.capgo.app"

pytestmark = pytest.mark.usefixtures("_under_the_plugin")


@pytest.fixture
def _under_the_plugin(monkeypatch):
    monkeypatch.setenv("CAPGO_CLIENT_TESTING", "1")


@pytest.fixture
def default_app(tmp_path):
    """Makes an app that asks where Capgo is: nothing is said about addresses."""
    made = []

    def make(**options):
        given = {"data_dir": tmp_path / "data", "auto_update": "off", "trust_env": False, **options}
        made.append(Updater("com.example.notes", "1.4.0", None, **given))
        made[-1].start()
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def lookups(monkeypatch):
    """Host names that were looked up; each look-up fails, so that nobody is reached where the guard is broken."""
    names = []

    def fail(host, *args, **kwargs):
        names.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "no look-ups in this test")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    return names


class Recorder(httpx.BaseTransport):
    """The app's own transport; it would call anybody."""

    def __init__(self):
        self.called = []

    def handle_request(self, request):
        self.called.append(str(request.url))
        return httpx.Response(200, json={})


# --- refused ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "https://plugin.capgo.app/updates",
        "https://plugin.eu.capgo.app/updates",
        "https://api.capgo.app/updates",
        "https://capgo.app/updates",
        "https://plugin.usecapgo.com/updates",
        "https://PLUGIN.Capgo.App/updates",
        "https://plugin.capgo.app./updates",
        "https://plugin.capgo.app:8443/updates",
        "https://somebody:secret@plugin.capgo.app/updates",
    ],
)
def test_every_spelling_of_every_host_is_refused_before_anything_is_sent(default_app, url):
    transport = Recorder()
    with pytest.raises(NetworkError) as caught:
        default_app(update_url=url, transport=transport).get_latest()
    assert caught.value.code == "real_host_refused"
    assert "secret" not in str(caught.value)
    assert transport.called == []


@pytest.mark.parametrize("url", ["https://notcapgo.app/updates", "https://capgo.app.example.com/updates"])
def test_other_hosts_are_the_tests_own_business(default_app, url):
    transport = Recorder()
    with pytest.raises(CapgoError) as caught:
        default_app(update_url=url, transport=transport).get_latest()
    assert caught.value.code != "real_host_refused"
    assert transport.called == [url]


def test_the_error_says_what_would_have_happened_and_what_to_do(default_app):
    with pytest.raises(NetworkError) as caught:
        default_app().get_latest()
    for words in ("plugin.capgo.app", "would count as a device", "capgo_updater", "capgo_service", "capgo_respx"):
        assert words in str(caught.value)


@pytest.mark.parametrize("method", ["list_channels", "get_channel", "get_latest"])
def test_every_method_that_asks_is_refused(default_app, method):
    with pytest.raises(NetworkError) as caught:
        getattr(default_app(), method)()
    assert caught.value.code == "real_host_refused"


def test_an_app_opens_all_the_same_and_can_tell_why_there_was_no_answer(default_app):
    updater = default_app(auto_update="always")
    assert updater.current.version == "1.4.0"
    assert updater.wait(10)
    assert updater.explain().answer_code == "real_host_refused"


@pytest.mark.parametrize("own_transport", [False, True])
def test_a_redirect_to_a_real_host_is_not_followed(default_app, capgo_service, own_transport):
    capgo_service.answer(307, headers=[("Location", f"{REAL}/updates")])
    transport = httpx.HTTPTransport() if own_transport else None
    with pytest.raises(NetworkError) as caught:
        default_app(update_url=capgo_service.update_url, transport=transport).get_latest()
    assert caught.value.code == "real_host_refused"
    assert len(capgo_service.requests) == 1


@pytest.mark.parametrize("redirected", [False, True])
def test_a_download_from_a_real_host_is_refused(default_app, capgo_service, redirected):
    url = f"{REAL}/files/read/attachments/a.zip"
    if redirected:
        capgo_service.answer(302, headers=[("Location", url)], on="download")
        url = f"{capgo_service.url}/files/read/attachments/a.zip"
    capgo_service.publish(make_bundle("1.4.1", {"main.py": "x"}), url=url)
    at_once = {"dispatch": lambda deliver: deliver()}  # so that wait() has seen them all
    updater = default_app(update_url=capgo_service.update_url, auto_update="atBackground", **at_once)
    failed = []
    updater.on("download_failed", failed.append)
    assert updater.wait(10)
    assert updater.next_bundle is None
    assert [event.error for event in failed] == ["real_host_refused"]
    assert len(capgo_service.downloads) == redirected


def test_a_process_that_a_test_starts_is_refused_too(tmp_path):
    script = (
        "from capgo_client import Updater\n"
        f"with Updater('com.example.notes', '1.4.0', None, data_dir={str(tmp_path)!r}) as updater:\n"
        "    updater.start()\n"
        "    assert updater.wait(10)\n"
        "    print(updater.explain().answer_code)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("real_host_refused\n", "")


# --- mocked ----------------------------------------------------------------------------------------------------------


@respx.mock
@pytest.mark.parametrize("manifest", [False, True])
def test_a_whole_update_comes_from_the_real_addresses(default_app, manifest):
    keys = BundleKeys.generate()
    service = respx_routes()
    files = {"main.py": "print('new')\n" * 2000, "a/b@c+d.txt": "text"}
    service.publish(make_bundle("1.4.1", files, keys=keys, manifest=manifest), delta_only=manifest)
    updater = default_app(auto_update="always", public_key=keys.public_pem)
    updater.notify_app_ready()
    assert updater.wait(10)
    assert {name: (updater.current.path / name).read_text() for name in files} == files
    assert service.refused == []
    assert {request.headers["host"] for request in service.requests} == {"plugin.capgo.app"}
    assert len(service.downloads) == (2 if manifest else 1)


@respx.mock
def test_channels_and_statistics_are_answered_too(default_app):
    service = respx_routes()
    service.add_channel("beta")
    updater = default_app(auto_update="atBackground")
    updater.notify_app_ready()
    assert updater.set_channel("beta").channel == "beta"
    assert {each.name for each in updater.list_channels()} == {"beta", "production"}
    service.wait_for_requests(1, timeout=10, on="stats")
    assert {event["app_id"] for event in service.events} == {"com.example.notes"}
    assert {request.method for request in service.requests if request.path == "/channel_self"} == {"POST", "GET"}
    assert service.refused == []


def test_every_endpoint_has_a_route_by_name_with_every_method_at_every_host(capgo_respx, capgo_service):
    asked = {
        "capgo_updates": [("POST", "/updates"), ("GET", "/updates"), ("POST", "/plugin/updates?x=1")],
        "capgo_sizes": [("POST", "/updates/manifest_size")],
        "capgo_stats": [("POST", "/stats"), ("GET", "/plugin/stats")],
        "capgo_channel_self": [(method, "/channel_self") for method in ("POST", "PUT", "GET", "DELETE", "OPTIONS")],
        "capgo_downloads": [
            ("GET", "/files/read/attachments/orgs/1/%40a.zip?key=a+b/=="),
            ("HEAD", "/files/read/attachments/b"),
        ],
        "capgo_ok": [("GET", "/ok")],
    }
    assert set(asked) == set(ROUTES)
    client = httpx.Client(verify=False, trust_env=False)
    for base in (REAL, "https://plugin.eu.capgo.app", "https://plugin.usecapgo.com", capgo_service.url):
        for name, calls in asked.items():
            for method, target in calls:
                before = capgo_respx[name].call_count
                reply = client.request(method, f"{base}{target}")
                assert capgo_respx[name].call_count == before + 1
                assert capgo_service.requests[-1].target == target
                assert reply.headers.get("content-type", "") == ("" if method == "OPTIONS" else "application/json")
    assert capgo_service.connections == 0  # nothing went through its socket


@pytest.mark.parametrize("url", ["https://example.com/updates", f"{REAL}/updates/else", "https://notcapgo.app/ok"])
def test_what_is_not_capgos_is_mocked_by_the_test_or_not_at_all(capgo_respx, url):
    with pytest.raises(AssertionError, match="not mocked"):
        httpx.post(url)
    route = capgo_respx.post(url).respond(204)
    assert httpx.post(url).status_code == 204
    assert route.called


def test_a_route_of_the_tests_own_takes_the_place_of_ours(capgo_respx, default_app):
    capgo_respx["capgo_updates"].respond(503)
    with pytest.raises(CapgoError) as caught:
        default_app().get_latest()
    assert caught.value.code == "response_error"


def test_routes_that_nobody_calls_fail_no_test():
    with respx.mock(assert_all_called=True) as router:
        respx_routes(router)
    router = respx.mock(assert_all_called=True)
    respx_routes(router)
    router.get("https://example.com/").respond(200)  # for routes of the test's own the promise holds
    with pytest.raises(AssertionError):
        router.assert_all_called()


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("silence", "timeout_error"),
        ("drip-body", "timeout_error"),
        ("reset-in-body", "network_error"),
        ("empty-reply", "network_error"),
        ("cut-body", "network_error"),
        ("endless-headers", "network_error"),
        ("endless-body", "reply_too_large"),
        ("huge-json", "reply_too_large"),
        ("http-503", "response_error"),
        ("redirect-loop", "redirect_refused"),
        ("html-200", "parse_error"),
        ("plan-ended", "on_premise_app"),
    ],
)
def test_a_fault_means_the_same_as_in_a_real_network_but_for_the_wait(
    capgo_respx, capgo_service, default_app, fault, code
):
    capgo_service.set_fault(fault)
    updater = default_app(auto_update="atBackground")
    assert updater.wait(10)
    assert updater.explain().answer_code == code


def test_the_hosts_are_refused_again_when_the_router_is_not_active(default_app):
    router = respx.mock(assert_all_called=False)
    respx_routes(router)
    updater = default_app()
    with router:
        respx_routes(router).publish(make_bundle("1.4.1", {"main.py": "x"}))
        assert updater.get_latest().version == "1.4.1"
    with pytest.raises(NetworkError) as caught:
        updater.get_latest()
    assert caught.value.code == "real_host_refused"


def test_a_router_that_mocks_something_else_lifts_nothing(default_app):
    with respx.mock(using="httpx", assert_all_called=False) as router:
        respx_routes(router)  # around httpx.Client, which the library does not use
        with pytest.raises(NetworkError) as caught:
            default_app().get_latest()
        assert caught.value.code == "real_host_refused"
    with respx.mock(assert_all_called=False), pytest.raises(NetworkError) as caught:
        default_app().get_latest()
    assert caught.value.code == "real_host_refused"


@pytest.mark.parametrize("mocked_before", [False, True])
def test_routes_of_an_earlier_test_lift_nothing_in_the_router_that_both_use(default_app, lookups, mocked_before):
    if mocked_before:
        with respx.mock:
            respx_routes()
            assert not is_out_of_bounds(REAL)
    with respx.mock:
        respx.route(host="api.example.com").respond(200)
        respx.route().pass_through()
        with pytest.raises(NetworkError) as caught:
            default_app(stats_url="").get_latest()
        httpx.get("https://api.example.com")  # which the router wants called
        with pytest.raises(httpx.ConnectError):
            httpx.get("https://passes.example.com")
    assert caught.value.code == "real_host_refused"
    assert lookups == ["passes.example.com"]


def everything(router):
    router.route().pass_through()


def one_host(router):
    router.route(host="plugin.capgo.app").pass_through()


def one_method(router):
    router.get(url__startswith=f"{REAL}/channel_self").pass_through()


@pytest.mark.parametrize("let_through", [everything, one_host, one_method])
def test_a_route_before_ours_that_lets_calls_through_keeps_the_guard_up(default_app, lookups, let_through):
    with respx.mock(assert_all_called=False) as router:
        let_through(router)
        respx_routes(router)
        with pytest.raises(NetworkError) as caught:
            default_app().get_latest()
    assert caught.value.code == "real_host_refused"
    assert lookups == []


def test_a_router_that_was_active_first_and_lets_calls_through_keeps_the_guard_up(lookups):
    with respx.mock(assert_all_called=False) as first, respx.mock(assert_all_called=False) as second:
        everything(first)
        respx_routes(second)
        assert is_out_of_bounds(REAL)
        first.routes.clear()
        assert not is_out_of_bounds(REAL)
    assert lookups == []


def test_a_route_of_ours_that_is_made_to_let_calls_through_puts_the_guard_up(capgo_respx):
    assert not is_out_of_bounds(f"{REAL}/updates")
    capgo_respx["capgo_stats"].pass_through()
    assert is_out_of_bounds(f"{REAL}/updates")
    capgo_respx["capgo_stats"].respond(502)
    assert not is_out_of_bounds(f"{REAL}/updates")


def test_what_is_let_through_elsewhere_or_behind_our_routes_is_the_tests_own_business(default_app, lookups):
    with respx.mock(assert_all_called=False) as router:
        router.route(host="127.0.0.1").pass_through()
        service = respx_routes(router)
        router.route().pass_through()
        service.publish(make_bundle("1.4.1", {"main.py": "x"}))
        assert default_app().get_latest().version == "1.4.1"
        assert default_app(update_url="https://plugin.capgo.app.:8443/updates").get_latest().version == "1.4.1"
    assert lookups == []


def test_an_address_that_no_route_of_ours_has_is_refused_where_it_would_be_let_through(default_app, lookups):
    with respx.mock(assert_all_called=False) as router:
        respx_routes(router)
        router.route().pass_through()
        with pytest.raises(NetworkError) as caught:
            default_app(update_url=f"{REAL}/v2/updates").get_latest()
    assert caught.value.code == "real_host_refused"
    assert lookups == []


def test_a_download_that_no_route_of_ours_has_is_refused_where_it_would_be_let_through(default_app, lookups):
    with respx.mock(assert_all_called=False) as router:
        service = respx_routes(router)
        router.route().pass_through()
        service.publish(make_bundle("1.4.1", {"main.py": "x"}), url="https://files.capgo.app/somewhere/a.zip")
        updater = default_app(auto_update="atBackground", dispatch=lambda deliver: deliver())
        failed = []
        updater.on("download_failed", failed.append)
        assert updater.wait(10)
    assert [event.error for event in failed] == ["real_host_refused"]
    assert lookups == []


@pytest.mark.parametrize("url", ["https://a b.capgo.app/updates", f"{REAL}/\0"])
def test_what_is_no_address_is_mocked_by_nobody(capgo_respx, url):
    assert is_out_of_bounds(url)


def test_an_own_transport_is_refused_even_while_the_routes_are_active(capgo_respx, default_app):
    transport = Recorder()
    with pytest.raises(NetworkError) as caught:
        default_app(transport=transport).get_latest()
    assert caught.value.code == "real_host_refused"
    assert transport.called == []
