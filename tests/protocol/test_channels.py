"""Channels: requests by plugin-behaviour.md section 1.4, answers by service-behaviour.md section 2."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capgo_client.errors import ChannelRefused, RateLimited, ReplyError, ServiceError
from capgo_client.protocol.channels import (
    MAX_CHANNELS,
    Channel,
    ChannelStatus,
    channel_body,
    channel_query,
    list_url,
    read_get,
    read_list,
    read_set,
)
from capgo_client.protocol.replies import MAX_SHORT_REPLY_BYTES
from capgo_client.protocol.requests import Identity

RECORDED = json.loads((Path(__file__).parents[1] / "data" / "conversations.json").read_text("utf-8"))
NOW = 1_767_225_600.0
ME = Identity(
    app_id="com.example.notes",
    device_id="00009A6B-EEFE-490A-9C60-8E965132AE51",
    version_build="1.4.0",
    platform="electron",
)
INFO = {
    "platform": "electron",
    "device_id": "00009a6b-eefe-490a-9c60-8e965132ae51",
    "app_id": "com.example.notes",
    "version_build": "1.4.0",
    "version_code": "",
    "version_os": "",
    "version_name": "1.5.0",
    "plugin_version": "8.51.14",
    "is_emulator": False,
    "is_prod": True,
}
OPA = {"error": "on_premise_app", "message": "On-premise app detected"}


def encoded(reply):
    return reply if isinstance(reply, bytes) else json.dumps(reply).encode()


def told_set(reply, status=200, headers=None, channel="beta"):
    return read_set(status, headers or {}, encoded(reply), now=NOW, channel=channel)


def told_get(reply, status=200, headers=None, default=""):
    return read_get(status, headers or {}, encoded(reply), now=NOW, default_channel=default)


def told_list(reply, status=200, headers=None):
    return read_list(status, headers or {}, encoded(reply), now=NOW)


READERS = {"set": told_set, "get": told_get, "list": told_list}
every_reader = pytest.mark.parametrize("read", READERS.values(), ids=READERS.keys())

# --- requests --------------------------------------------------------------------------------------------------------


def test_a_set_is_the_info_object_and_the_channel():
    assert json.loads(channel_body(ME, version_name="1.5.0", channel="beta")) == {**INFO, "channel": "beta"}


def test_a_get_is_the_info_object_with_the_default_channel_and_no_channel():
    body = json.loads(channel_body(replace(ME, default_channel="beta"), version_name="1.5.0"))

    assert body == {**INFO, "defaultChannel": "beta"}


def test_names_of_channels_go_out_as_they_are():
    name = 'bêta "2"\ud800'

    assert json.loads(channel_body(ME, version_name="", channel=name))["channel"] == 'bêta "2"?'


def test_a_list_has_every_field_in_its_query_with_booleans_in_small_letters():
    pairs = parse_qsl(channel_query(ME, version_name="1.5.0"), keep_blank_values=True, strict_parsing=True)

    assert dict(pairs) == {**INFO, "is_emulator": "false", "is_prod": "true"}
    assert len(pairs) == len(INFO)


def test_what_has_a_meaning_in_a_query_is_escaped():
    identity = replace(ME, custom_id="a&b=c d+é#\ud800", default_channel="100%?/")
    pairs = dict(parse_qsl(channel_query(identity, version_name="1.5.0"), keep_blank_values=True))

    assert pairs["custom_id"] == "a&b=c d+é#?"
    assert pairs["defaultChannel"] == "100%?/"


@pytest.mark.parametrize(
    ("url", "start"),
    [
        ("https://c.test/channel_self", "https://c.test/channel_self?platform=electron&"),
        ("https://c.test/c?", "https://c.test/c?platform=electron&"),
        ("https://c.test/c?scenario=a%20b&x", "https://c.test/c?scenario=a%20b&x&platform=electron&"),
        ("https://c.test:8443/c/?a=1#part", "https://c.test:8443/c/?a=1&platform=electron&"),
        ("http://[::1]:80", "http://[::1]:80?platform=electron&"),
    ],
)
def test_a_query_that_the_address_has_is_kept(url, start):
    built = list_url(url, ME, version_name="1.5.0")

    assert built.startswith(start)
    assert not urlsplit(built).fragment
    assert built.endswith(channel_query(ME, version_name="1.5.0"))


# --- what goes well --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        ({"status": "ok", "allowSet": True}, ChannelStatus("beta", "ok", True, "", False)),
        ({"status": "ok"}, ChannelStatus("beta", "ok", True, "", False)),
        ({"status": "ok", "allowSet": False}, ChannelStatus("beta", "ok", False, "", False)),
        ({"status": "ok", "message": "done\n", "error": None}, ChannelStatus("beta", "ok", True, "done", False)),
        ({"status": "ok", "error": ""}, ChannelStatus("beta", "ok", True, "", False)),
        ({"status": "ok", "unset": True}, ChannelStatus("beta", "ok", True, "", True)),
        ({"unset": True, "message": "public"}, ChannelStatus("beta", "", True, "public", True)),
        ({"status": "ok", "unset": "true"}, ChannelStatus("beta", "ok", True, "", False)),
        ({"status": "ok", "unset": False, "later": [1]}, ChannelStatus("beta", "ok", True, "", False)),
    ],
)
def test_a_set_that_was_allowed(reply, status):
    assert told_set(reply) == status


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (
            {"channel": "beta", "status": "override", "allowSet": True},
            ChannelStatus("beta", "override", True, "", False),
        ),
        (
            {"channel": "beta", "status": "override", "allowSet": False, "message": "m"},
            ChannelStatus("beta", "override", False, "m", False),
        ),
        ({"channel": "production", "status": "default"}, ChannelStatus("production", "default", True, "", False)),
        ({"channel": "production"}, ChannelStatus("production", "", True, "", False)),
        ({"channel": "", "status": "default"}, ChannelStatus("", "default", True, "", False)),
    ],
)
def test_a_get_tells_the_channel(reply, status):
    assert told_get(reply) == status


def test_a_list_tells_every_channel_in_its_order():
    reply = [
        {"id": 7, "name": "production", "public": True, "allow_self_set": False},
        {"id": 3, "name": "beta", "public": False, "allow_self_set": True, "later": None},
        {"id": 0},
        {"id": 12, "name": None, "public": None, "allow_self_set": None},
    ]

    assert told_list(reply) == (
        Channel(7, "production", True, False),
        Channel(3, "beta", False, True),
        Channel(0, "", False, False),
        Channel(12, "", False, False),
    )
    assert told_list([]) == ()


@pytest.mark.parametrize("body", [b'{"error":"channel_not_found"}', b'{"error":"x","message":"e: channel_not_found"}'])
def test_a_400_that_knows_no_channel_stands_for_the_default_channel(body):
    assert told_get(body, status=400, default="stable") == ChannelStatus("stable", "default", True, "", False)


def test_without_a_default_channel_or_with_another_status_it_is_a_refusal():
    not_found = {"error": "channel_not_found", "message": "Cannot find channel"}
    for status, default in [(400, ""), (404, "stable"), (200, "stable"), (500, "stable")]:
        with pytest.raises(ServiceError) as caught:
            told_get(not_found, status=status, default=default)
        assert caught.value.code == "channel_not_found"
    with pytest.raises(ServiceError) as caught:
        told_get({"error": "invalid_json_body"}, status=400, default="stable")
    assert caught.value.code == "invalid_json_body"


# --- what the service recorded ---------------------------------------------------------------------------------------

CONVERSATIONS = [case for case in RECORDED if "/channel_self" in case["path"]]


def outcome_of(case):
    """What a recorded reply leads to: a value, or the code of the refusal."""
    reply = case["response"]
    headers = {name.lower(): value for name, value in case["response_headers"].items()}
    try:
        return READERS[{"POST": "set", "PUT": "get", "GET": "list"}[case["method"]]](reply, case["status"], headers)
    except ServiceError as exc:
        return exc


def test_there_are_recorded_conversations_of_every_kind():
    assert {case["method"] for case in CONVERSATIONS} >= {"POST", "PUT", "GET"}


@pytest.mark.parametrize("case", [c for c in CONVERSATIONS if c["method"] != "DELETE"], ids=lambda case: case["name"])
def test_every_recorded_reply_is_understood(case):
    outcome = outcome_of(case)
    reply = case["response"]

    if isinstance(reply, list):
        assert [channel.name for channel in outcome] == [channel["name"] for channel in reply]
    elif "error" in reply:
        assert outcome.code == reply["error"]
        assert outcome.status == case["status"]
    else:
        assert outcome.status == reply["status"]


# --- refusals --------------------------------------------------------------------------------------------------------


@every_reader
@pytest.mark.parametrize(
    "code",
    ["channel_self_set_not_allowed", "public_channel_self_set_not_allowed", "cannot_update_via_private_channel"],
)
@pytest.mark.parametrize("status", [200, 400, 403])
def test_a_channel_that_cannot_be_chosen_is_told_apart(read, code, status):
    with pytest.raises(ChannelRefused) as caught:
        read({"error": code, "message": "This channel does not …", "channel": "other", "app_id": "x"}, status=status)
    error = caught.value
    assert (error.code, error.status, error.message) == (code, status, "This channel does not …")
    assert not error.retryable
    assert error.channel == ("beta" if read is told_set else "")


def test_the_refusal_of_a_public_channel_says_what_to_do():
    with pytest.raises(ChannelRefused) as caught:
        told_set({"error": "public_channel_self_set_not_allowed", "message": "m"})
    assert "unset_channel()" in str(caught.value)


def test_a_refusal_survives_pickling():
    error = ChannelRefused("no", channel="beta", status=200, code="cannot_update_via_private_channel", hint="h")
    again = pickle.loads(pickle.dumps(error))

    assert type(again) is ChannelRefused
    assert (again.channel, again.status, again.code, again.hint) == (error.channel, 200, error.code, "h")
    assert str(again) == "no (h)"
    assert ChannelRefused("no").retryable is False


REFUSALS = [
    # status, code, may it work later
    (200, "channel_not_found", False),
    (200, "cannot_override", False),
    (200, "override_not_allowed", True),  # its storage failed
    (200, "missing_channel", False),
    (200, "channel_self_server_storage_unavailable", False),
    (200, "something_of_tomorrow", False),
    (400, "invalid_json_body", False),
    (400, "invalid_query_parameters", False),
    (400, "missing_device_id", False),
    (400, "semver_error", False),
    (404, "not_found", False),
    (408, "timeout", True),
    (429, "provider_infrastructure_request_blocked", False),
    (429, "on_premise_app", True),
    (200, "on_premise_app", True),
    (429, "need_plan_upgrade", True),
    (500, "unknown_error", True),
    (503, "unknown_error", True),
]


@every_reader
@pytest.mark.parametrize(("status", "code", "retryable"), REFUSALS)
def test_every_other_refusal_is_a_service_error_with_the_services_code(read, status, code, retryable):
    with pytest.raises(ServiceError) as caught:
        read({"error": code, "message": "In words", "moreInfo": {"body": {"custom_id": "secret"}}}, status=status)
    error = caught.value
    assert type(error) is ServiceError
    assert (error.code, error.status, error.message, error.retryable) == (code, status, "In words", retryable)
    assert "secret" not in str(error)


@every_reader
def test_a_refusal_without_words_gets_some(read):
    with pytest.raises(ServiceError, match="the service refuses: on_premise_app"):
        read({"error": "on_premise_app"}, status=429)
    with pytest.raises(ServiceError, match="the service answered with HTTP status 502") as caught:
        read(b"<html>Bad gateway</html>", status=502)
    assert (caught.value.code, caught.value.retryable) == ("response_error", True)
    with pytest.raises(ServiceError, match="HTTP status 302") as caught:
        read(b"", status=302)
    assert (caught.value.code, caught.value.retryable) == ("response_error", False)


def test_codes_and_messages_of_strangers_are_cut_and_cleaned():
    with pytest.raises(ServiceError) as caught:
        told_set({"error": "x\n" * 5000, "message": "m\x1b[31m" * 5000})
    assert len(caught.value.code) <= 64
    assert len(caught.value.message) <= 300
    assert caught.value.code.isprintable()
    assert caught.value.message.isprintable()


@every_reader
@pytest.mark.parametrize(
    ("reply", "headers", "retry_at"),
    [
        ({"error": "too_many_requests", "message": "m"}, {"Retry-After": "60"}, NOW + 60),
        ({"error": "too_many_requests", "moreInfo": {"retryAfterSeconds": 7}}, {}, NOW + 7),
        ({"error": "too_many_requests", "moreInfo": {"rateLimitResetAt": (NOW + 30) * 1000}}, {}, NOW + 30),
        ({"error": "too_many_requests", "moreInfo": {"app_id": "x"}}, {}, None),
        ({"error": "too_many_requests"}, {"retry-after": "1" * 12}, NOW + 86_400),
        (b"slow down", {"retry-after": "5"}, NOW + 5),
    ],
)
def test_too_many_requests_say_when_to_come_back(read, reply, headers, retry_at):
    with pytest.raises(RateLimited) as caught:
        read(reply, status=429, headers=headers)
    error = caught.value
    assert (error.code, error.status, error.retry_at) == ("too_many_requests", 429, retry_at)
    assert error.retryable


# --- no protocol -----------------------------------------------------------------------------------------------------

GARBAGE = {
    "a captive portal": b"<html><title>Welcome</title></html>",
    "nothing": b"",
    "spaces": b"  \r\n",
    "half": b'{"status":"o',
    "null": b"null",
    "text": b'"ok"',
    "a number": b"1",
    "true": b"true",
    "bad UTF-8": b'{"status":"\xff"}',
    "NaN": b'{"status":"ok","x":NaN}',
    "deep": b"[" * 100_000 + b"]" * 100_000,
    "an empty object": b"{}",
    "an error that is no text": b'{"error":{"code":1},"status":"ok"}',
    "an error that is a number": b'{"error":404}',
    "an error that is false": b'{"error":false}',
    "an object without anything known": b'{"version":"1.0.0"}',
    "over a mebibyte": b'{"status":"ok","channel":"beta"}' + b" " * MAX_SHORT_REPLY_BYTES,
    "a list over a mebibyte": b"[]" + b" " * MAX_SHORT_REPLY_BYTES,
}


@every_reader
@pytest.mark.parametrize("body", GARBAGE.values(), ids=GARBAGE.keys())
def test_what_is_not_the_protocol_is_a_reply_error(read, body):
    with pytest.raises(ReplyError) as caught:
        read(body)
    assert caught.value.code == "parse_error"


@pytest.mark.parametrize(
    "reply",
    [
        [],
        [{"status": "ok"}],
        {"status": 1},
        {"status": ["ok"]},
        {"status": "ok\n"},
        {"status": "o" * 65},
        {"status": "ok", "allowSet": "true"},
        {"status": "ok", "allowSet": 1},
    ],
)
def test_wrong_types_in_the_answer_to_a_set_are_refused(reply):
    with pytest.raises(ReplyError):
        told_set(reply)


@pytest.mark.parametrize(
    "reply",
    [
        [],
        {"channel": 5, "status": "override"},
        {"channel": {"name": "beta"}},
        {"channel": "be\0ta"},
        {"channel": "b" * 257},
        {"channel": "beta", "status": 7},
        {"channel": "beta", "status": "override", "allowSet": "false"},
        {"status": None, "allowSet": True},
    ],
)
def test_wrong_types_in_the_answer_to_a_get_are_refused(reply):
    with pytest.raises(ReplyError):
        told_get(reply)


@pytest.mark.parametrize(
    "item",
    [
        None,
        "beta",
        5,
        [],
        {},
        {"name": "beta"},
        {"id": "7", "name": "beta"},
        {"id": None, "name": "beta"},
        {"id": 7.0, "name": "beta"},
        {"id": True, "name": "beta"},
        {"id": 10**30, "name": "beta"},
        {"id": 7, "name": 5},
        {"id": 7, "name": "b\x07"},
        {"id": 7, "name": "b" * 257},
        {"id": 7, "public": "true"},
        {"id": 7, "public": 1},
        {"id": 7, "allow_self_set": "false"},
    ],
)
def test_one_channel_that_is_none_spoils_the_list(item):
    with pytest.raises(ReplyError):
        told_list([{"id": 1, "name": "production"}, item])


def test_a_list_has_at_most_a_thousand_channels():
    most = [{"id": number, "name": str(number)} for number in range(MAX_CHANNELS)]

    assert len(told_list(most)) == 1000
    with pytest.raises(ReplyError, match="more than 1000 channels"):
        told_list([*most, {"id": 1000}])


def test_a_list_under_a_bad_status_is_a_bad_status():
    with pytest.raises(ServiceError) as caught:
        told_list([{"id": 1}], status=500)
    assert (caught.value.code, caught.value.status) == ("response_error", 500)


KEYS = st.sampled_from(["id", "name", "public", "allow_self_set", "channel", "status", "error", "unset", "allowSet"])


def nested(inner):
    return st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    nested,
    max_leaves=8,
)


@every_reader
@given(reply=st.one_of(JSON.map(encoded), st.binary(max_size=30)), status=st.sampled_from([200, 204, 400, 429, 500]))
def test_nothing_but_our_errors_ever_comes_out(read, reply, status):
    try:
        answer = read(reply, status=status)
    except (ServiceError, ReplyError):
        return
    assert status < 300
    assert isinstance(answer, (tuple, ChannelStatus))
