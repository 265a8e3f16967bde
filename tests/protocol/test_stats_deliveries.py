"""What a reply to a batch means: reference/service-behaviour.md sections 0.1, 3.3, 3.4."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capgo_client.protocol.deliveries import Delivery, Item, classify_delivery

NOW = 1_735_689_600.0


def read(status, body, *, count=2, headers=None):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return classify_delivery(status, headers or {}, data, count=count, now=NOW)


def results(*items):
    return {"status": "ok", "results": [{**item, "index": index} for index, item in enumerate(items)]}


def failed(code):
    return {"status": "error", "error": code, "message": "no"}


OK = {"status": "ok"}


def test_a_batch_that_is_taken_has_one_item_for_each_event():
    assert read(200, results(OK, OK)) == Delivery("taken", items=(Item("ok"), Item("ok")))


def test_no_event_is_taken_as_well():
    assert read(200, {"status": "ok", "results": []}, count=0) == Delivery("taken")


def test_a_server_of_ones_own_may_acknowledge_without_results():
    assert read(200, {"status": "ok"}) == Delivery("taken", items=(Item("ok"), Item("ok")))


@pytest.mark.parametrize(
    ("code", "verdict", "plan_ended"),
    [
        ("version_not_found", "ok", False),
        ("invalid_json_body", "drop", False),
        ("semver_error", "drop", False),
        ("missing_device_id", "drop", False),
        ("missing_app_id", "drop", False),
        ("invalid_app_id", "drop", False),
        ("processing_error", "retry", False),
        ("unknown_error", "retry", False),
        ("of_the_future", "retry", False),
        ("on_premise_app", "keep", True),
        ("need_plan_upgrade", "keep", True),
        ("provider_infrastructure_request_blocked", "keep", True),
        ("too_many_requests", "keep", False),
    ],
)
def test_each_item_has_its_own_verdict(code, verdict, plan_ended):
    expected = Delivery("taken", items=(Item("ok"), Item(verdict, code)), plan_ended=plan_ended)
    assert read(200, results(OK, failed(code))) == expected


def test_the_details_of_a_version_that_is_not_found_change_nothing():
    missing = {**failed("version_not_found"), "moreInfo": {"app_id": "a.b", "version_name": "1.0.0"}}
    assert read(200, results(missing, OK)).items == (Item("ok", "version_not_found"), Item("ok"))


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (200, {"error": "mixed_app_ids", "message": "All events in a batch must ..."}, "mixed_app_ids"),
        (200, {"error": "invalid_app_id", "message": "App ID is required"}, "invalid_app_id"),
        (400, {"error": "invalid_app_id", "message": "App ID is required", "moreInfo": {}}, "invalid_app_id"),
        (400, {"error": "invalid_json_body", "message": "Cannot parse body", "moreInfo": {}}, "invalid_json_body"),
        (400, {"error": "semver_error", "message": "Native version", "moreInfo": {}}, "semver_error"),
        (422, {"error": "whatever"}, "whatever"),
        (413, b"<html>too large</html>", "response_error"),
        (413, b"", "response_error"),
    ],
)
def test_a_batch_is_refused_because_of_one_of_its_events(status, body, code):
    delivery = read(status, body)
    assert (delivery.fate, delivery.code, delivery.items) == ("refused", code, ())


LATER = [
    (500, {"error": "unknown_error", "message": "Unknown error", "moreInfo": {}}, "unknown_error"),
    (502, b"<html>", "response_error"),
    (503, b"", "response_error"),
    (520, b"{}", "response_error"),
    (408, b"{}", "response_error"),
    (425, b"{}", "response_error"),
    (401, {"error": "unauthorized"}, "unauthorized"),
    (403, b"<html>firewall</html>", "response_error"),
    (404, {"error": "not_found", "message": "Not found"}, "not_found"),
    # A 400 in nobody's words says nothing of an event: a proxy may not like the request.
    (400, b"<html>Bad Request</html>", "response_error"),
    (400, b"{}", "response_error"),
    (400, [1], "response_error"),
    (422, b"nonsense", "response_error"),
    (301, b"", "response_error"),
    (429, {"error": "too_many_requests", "message": "Too many requests", "moreInfo": {}}, "too_many_requests"),
    (429, b"slow down", "response_error"),
    (204, b"", "parse_error"),
    (200, b"", "parse_error"),
    (200, b"<!doctype html><title>Log in</title>", "parse_error"),
    (200, b'{"status":"ok","results":[{"status"', "parse_error"),
    (200, [OK, OK], "parse_error"),
    (200, {}, "parse_error"),
    (200, {"status": "fine", "results": [OK, OK]}, "parse_error"),
    (200, {"status": ["ok"], "results": []}, "parse_error"),
    (200, {"error": "of_the_future"}, "of_the_future"),
    (200, {"error": 7, "status": "ok"}, "parse_error"),
    (200, {"error": "version_not_found", "message": "Version not found"}, "version_not_found"),
    (200, results(OK), "parse_error"),
    (200, results(OK, OK, OK), "parse_error"),
    (200, {"status": "ok", "results": {"0": OK, "1": OK}}, "parse_error"),
    (200, {"status": "ok", "results": "ok"}, "parse_error"),
    (200, results(OK, {"status": "maybe"}), "parse_error"),
    (200, results(OK, {"status": "error"}), "parse_error"),
    (200, results(OK, {"status": "error", "error": 7}), "parse_error"),
    (200, results(OK, {"status": "ok", "error": "but"}), "parse_error"),
    (200, {"status": "ok", "results": [{"status": "ok", "index": 1}, {"status": "ok", "index": 0}]}, "parse_error"),
    (200, {"status": "ok", "results": [OK, OK]}, "parse_error"),
    (200, {"status": "ok", "results": [OK | {"index": False}, OK | {"index": True}]}, "parse_error"),
    (200, {"status": "ok", "results": [None, {"status": "ok", "index": 1}]}, "parse_error"),
    (200, {"status": "ok", "results": ["ok", "ok"]}, "parse_error"),
    (200, {"status": "ok", "results": [*results(OK, OK)["results"], 7]}, "parse_error"),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "code"), LATER)
def test_a_reply_that_says_nothing_of_the_events_keeps_them_all(status, body, code):
    delivery = read(status, body)
    assert (delivery.fate, delivery.code, delivery.items, delivery.plan_ended) == ("later", code, (), False)


@pytest.mark.parametrize("status", [200, 429, 403])
@pytest.mark.parametrize("code", ["on_premise_app", "need_plan_upgrade", "provider_infrastructure_request_blocked"])
def test_the_end_of_the_plan_keeps_them_all_for_long(status, code):
    for body in ({"error": code}, {"error": code, "message": "On-premise app detected"}):
        delivery = read(status, body)
        assert (delivery.fate, delivery.code, delivery.plan_ended) == ("later", code, True)


@pytest.mark.parametrize(
    ("status", "headers", "body", "retry_at"),
    [
        (429, {"retry-after": "60"}, {"error": "too_many_requests"}, NOW + 60),
        (429, {"retry-after": "Wed, 01 Jan 2025 00:02:00 GMT"}, {"error": "too_many_requests"}, NOW + 120),
        (429, {"retry-after": "9999999"}, {"error": "too_many_requests"}, NOW + 24 * 3600),
        (429, {"retry-after": "soon"}, {"error": "too_many_requests"}, None),
        (429, {}, {"error": "too_many_requests", "moreInfo": {"retryAfterSeconds": 30}}, NOW + 30),
        (429, {"x-ratelimit-reset": "1735689690"}, {"error": "too_many_requests"}, NOW + 90),
        (429, {"retry-after": "60"}, b"no json", NOW + 60),
        (503, {"retry-after": "5"}, b"", NOW + 5),
        (503, {"retry-after": "5"}, {"error": "unknown_error"}, NOW + 5),
        (503, {}, {"error": "unknown_error", "retryAfterSeconds": 5}, None),
    ],
)
def test_the_time_that_the_service_names_is_kept_within_a_day(status, headers, body, retry_at):
    assert read(status, body, headers=headers).retry_at == retry_at


keys = st.sampled_from(["status", "results", "error", "index", "message", "x"])


def nested(inner):
    return st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=5)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8), nested, max_leaves=12
)
words = st.sampled_from(["ok", "error", "version_not_found", "on_premise_app"])
replies = st.one_of(
    st.binary(max_size=60),
    json_values.map(lambda value: json.dumps(value).encode()),
    st.fixed_dictionaries({"status": words, "results": json_values | st.lists(json_values, max_size=3)}).map(
        lambda value: json.dumps(value).encode()
    ),
)


def is_the_services(body, count):
    """Whether ``body`` acknowledges ``count`` events in the service's words, told without the code under test."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return False
    if not isinstance(value, dict) or value.get("status") != "ok" or value.get("error") is not None:
        return False
    listed = value.get("results")
    return listed is None or (
        isinstance(listed, list)
        and len(listed) == count
        and all(
            isinstance(item, dict) and item.get("index") == index and item.get("status") in ("ok", "error")
            for index, item in enumerate(listed)
        )
    )


@given(st.integers(0, 999), st.dictionaries(st.sampled_from(["retry-after"]), st.text()), replies, st.integers(0, 3))
def test_no_reply_raises_and_only_the_services_own_words_take_events(status, headers, body, count):
    delivery = classify_delivery(status, headers, body, count=count, now=NOW)
    assert delivery.fate in ("taken", "refused", "later")
    if delivery.fate == "taken":
        assert 200 <= status < 300
        assert is_the_services(body, count)
        assert len(delivery.items) == count
    else:
        assert delivery.items == ()


def test_a_deep_or_huge_reply_is_only_one_that_cannot_be_read():
    assert read(200, b"[" * 100_000).code == "parse_error"
    assert read(200, b'{"status":"ok","x":"' + b"x" * 2_000_000 + b'"}').fate == "later"
