"""Who mocks the service with respx in the tests of an app goes on doing so: it answers in the place of our sockets."""

from __future__ import annotations

import json

import pytest
import respx

from capgo_client import RateLimited, Updater, UpToDate

URL = "https://updates.example.com/updates"


@pytest.fixture
def updater(tmp_path):
    options = {"update_url": URL, "stats_url": "", "auto_update": "off", "data_dir": tmp_path}
    with Updater("com.example.notes", "1.4.0", None, **options) as updater:
        updater.start()
        yield updater


@respx.mock
def test_a_route_answers_a_check(updater):
    up_to_date = {"kind": "up_to_date", "error": "no_new_version_available", "message": "No new version available"}
    route = respx.post(URL).respond(200, json=up_to_date)
    assert isinstance(updater.get_latest(), UpToDate)
    asked = json.loads(route.calls.last.request.content)
    assert (asked["app_id"], asked["version_build"]) == ("com.example.notes", "1.4.0")
    assert route.calls.last.request.headers["content-type"] == "application/json"


@respx.mock
def test_a_routes_headers_count(updater):
    respx.post(URL).respond(429, json={"error": "too_many_requests"}, headers={"Retry-After": "120"})
    with pytest.raises(RateLimited):
        updater.get_latest()
