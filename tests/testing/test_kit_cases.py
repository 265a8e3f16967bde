"""Every row of sections 0.1 and 1.3, written out by hand from the reference."""

from __future__ import annotations

import time

import pytest
from kit_wire import device

from capgo_client.testing import CASES

MORE = {"app_id": "com.example.ok"}


def blocked(error, message, **details):
    return {"error": error, "message": message, **details, "kind": "blocked"}


def failed(error, message=None, **details):
    said = {"error": error} if message is None else {"error": error, "message": message}
    return {**said, **details, "kind": "failed"}


POLICY = {"major": True, "version": "2.0.0", "old": "1.0.0"}
NATIVE = {"version": "2.0.0", "old": "1.0.0"}
RUNNING = {"version": "2.0.0", "old": "1.5.0"}

EXPECTED = {
    "on_premise_app": (429, {"error": "on_premise_app", "message": "On-premise app detected"}),
    "on_premise_app_guard": (429, {"error": "on_premise_app"}),
    "too_many_requests": (429, {"error": "too_many_requests", "message": "Too many requests", "moreInfo": MORE}),
    "provider_infrastructure_request_blocked_429": (
        429,
        {
            "error": "provider_infrastructure_request_blocked",
            "message": "Provider infrastructure requests are blocked",
        },
    ),
    "provider_infrastructure_request_blocked": (
        200,
        blocked(
            "provider_infrastructure_request_blocked",
            "Update requests from known provider infrastructure are blocked",
            provider="google",
        ),
    ),
    "semver_error": (200, failed("semver_error")),
    "no_channel": (200, failed("no_channel", "no default channel or override")),
    "no_bundle": (200, failed("no_bundle", "Cannot get bundle")),
    "no_new_version_available": (
        200,
        {"error": "no_new_version_available", "message": "No new version available", "kind": "up_to_date"},
    ),
    "disabled_platform_ios": (200, blocked("disabled_platform_ios", "Cannot update, ios it's disabled", **RUNNING)),
    "disabled_platform_android": (
        200,
        blocked("disabled_platform_android", "Cannot update, android is disabled", **RUNNING),
    ),
    "disabled_platform_electron": (
        200,
        blocked("disabled_platform_electron", "Cannot update, electron is disabled", **RUNNING),
    ),
    "disable_auto_update_to_major": (
        200,
        blocked("disable_auto_update_to_major", "Cannot upgrade major version", **POLICY),
    ),
    "disable_auto_update_to_minor": (
        200,
        blocked("disable_auto_update_to_minor", "Cannot upgrade minor version", **POLICY),
    ),
    "disable_auto_update_to_patch": (
        200,
        blocked("disable_auto_update_to_patch", "Cannot upgrade patch version", **POLICY),
    ),
    "misconfigured_channel": (
        200,
        failed("misconfigured_channel", "Channel production is misconfigured", **NATIVE),
    ),
    "disable_auto_update_to_metadata": (
        200,
        blocked(
            "disable_auto_update_to_metadata",
            "Cannot upgrade version, min update version > current version",
            **POLICY,
        ),
    ),
    "disable_auto_update_under_native": (
        200,
        blocked("disable_auto_update_under_native", "Cannot revert under native version", **RUNNING),
    ),
    "disable_prod_build": (200, blocked("disable_prod_build", "Cannot update, prod build is disabled", **RUNNING)),
    "disable_dev_build": (200, blocked("disable_dev_build", "Cannot update, dev build is disabled", **RUNNING)),
    "disable_device": (200, blocked("disable_device", "Cannot update, device is disabled", **RUNNING)),
    "disable_emulator": (200, blocked("disable_emulator", "Cannot update, emulator is disabled", **RUNNING)),
    "already_on_builtin": (
        200,
        {
            "error": "already_on_builtin",
            "message": "Already on builtin",
            "version": "builtin",
            "kind": "up_to_date",
        },
    ),
    "revert_to_builtin_plugin_version_too_old": (
        200,
        failed("revert_to_builtin_plugin_version_too_old", "revert_to_builtin used, but plugin version is too old"),
    ),
    "no_bundle_url": (200, failed("no_bundle_url", "Cannot get bundle url")),
    "no_url_or_manifest": (200, failed("no_url_or_manifest", "No url or manifest")),
    "unsupported_plugin_version": (
        200,
        failed(
            "unsupported_plugin_version",
            "Plugin version 8.41.0 (v4) is no longer supported. Please upgrade to v5.10.0 or later.",
        ),
    ),
    "unknown_error": (500, {"error": "unknown_error", "message": "Unknown error", "moreInfo": {}}),
    "not_found": (404, {"error": "not_found", "message": "Not found"}),
}


@pytest.mark.parametrize("code", EXPECTED)
def test_a_case_is_answered_word_for_word(service, client, code):
    service.reply_case(code)
    reply = client.post(service.update_url, json=device(version_name="1.5.0"))
    assert (reply.status_code, reply.json()) == EXPECTED[code]
    assert "retry-after" not in reply.headers


@pytest.mark.parametrize("code", sorted(set(CASES) - set(EXPECTED)))
def test_the_cases_that_quote_more_of_the_request_keep_status_and_code(service, client, code):
    service.reply_case(code)
    reply = client.post(service.update_url, json=device(key_id="k"))
    assert reply.status_code == CASES[code].status
    assert reply.json()["error"] == (CASES[code].error or code)


def test_a_rate_limit_with_a_known_reset_says_so_in_headers_and_body(service, client):
    service.reply_case("too_many_requests_reset")
    reply = client.post(service.update_url, json=device())
    more = reply.json()["moreInfo"]
    assert reply.status_code == 429
    assert reply.headers["retry-after"] == "60"
    assert 50 < int(reply.headers["x-ratelimit-reset"]) - time.time() < 70
    assert more["retryAfterSeconds"] == 60
    assert 50 < more["rateLimitResetAt"] / 1000 - time.time() < 70


def test_every_numbered_row_of_the_ladder_is_there():
    rows = {int(part.strip()) for case in CASES.values() for part in _numbers(case.row)}
    # 29 is an update, which is not a case but a published bundle.
    assert rows == set(range(1, 29))


def _numbers(row):
    return row.partition("1.3")[2].replace("#", " ").split() if "1.3" in row else []


def test_a_case_is_given_as_often_as_asked_and_then_the_service_speaks_for_itself(service, check):
    service.reply_case("no_bundle", times=2)
    assert [check()["error"] for _ in range(3)] == ["no_bundle", "no_bundle", "no_channel"]


def test_an_unknown_case_is_refused_with_the_list_of_those_known(service):
    with pytest.raises(ValueError, match="no_new_version_available"):
        service.reply_case("no_such_case")


def test_scripted_answers_are_used_up_in_order_before_the_one_for_good(service, client):
    service.answer(503, {"say": "good"})
    service.answer(200, {"say": "first"}, times=1)
    service.answer(418, b"raw", headers=[("X-Said", "yes")], times=1)
    replies = [client.post(service.update_url, json=device()) for _ in range(4)]
    assert [reply.status_code for reply in replies] == [200, 418, 503, 503]
    assert replies[1].content == b"raw"
    assert replies[1].headers["x-said"] == "yes"
    service.clear_answers()
    assert client.post(service.update_url, json=device()).json()["error"] == "no_channel"


def test_an_answer_for_one_endpoint_leaves_the_others_alone(service, client, check):
    service.answer(500, {"error": "x"}, on="stats")
    assert client.post(service.stats_url, json=device(action="set")).status_code == 500
    assert check()["error"] == "no_channel"


def test_an_answer_for_an_endpoint_that_does_not_exist_is_refused(service):
    with pytest.raises(ValueError, match="updates"):
        service.answer(200, on="update")
