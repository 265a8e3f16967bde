from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capgo_client.protocol.retry_after import MAX_WAIT, limit_ends, retry_after

NOW = 784_111_700.0  # Sun, 06 Nov 1994 08:48:20 GMT, 77 seconds before the date that RFC 9110 takes as its example
EXAMPLE = 784_111_777.0


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("120", NOW + 120),
        (" 120 ", NOW + 120),
        ("1.5", NOW + 1.5),
        ("0001", NOW + 1),
        ("0", None),
        ("86400", NOW + 86_400),
        ("86401", NOW + 86_400),
        ("999999999999999", NOW + 86_400),
        ("-1", None),
        ("+5", None),
        ("", None),
        ("soon", None),
        ("NaN", None),
        ("inf", None),
        ("1e3", None),
        ("0x10", None),
        ("5, 5", None),
        ("5;", None),
        ("٥", None),
        ("9" * 5000, None),
    ],
)
def test_seconds_are_counted_from_now_and_nonsense_is_no_hint(value: str, expected: float | None) -> None:
    assert retry_after({"Retry-After": value}, now=NOW) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Sun, 06 Nov 1994 08:49:37 GMT", EXAMPLE),
        ("Sunday, 06-Nov-94 08:49:37 GMT", EXAMPLE),
        ("Sun Nov  6 08:49:37 1994", EXAMPLE),
        ("Sun, 06 Nov 1994 08:49:60 GMT", EXAMPLE + 22),  # a leap second counts as the one before
        ("Wed, 06 Nov 2069 08:49:37 GMT", NOW + MAX_WAIT),
        ("Wednesday, 06-Nov-69 08:49:37 GMT", NOW + MAX_WAIT),
        ("Friday, 06-Nov-70 08:49:37 GMT", None),
        ("Sun, 06 Nov 1994 08:48:20 GMT", None),  # now
        ("Wed, 21 Oct 1992 07:28:00 GMT", None),
        ("Sun, 31 Feb 1995 08:49:37 GMT", None),
        ("Sun, 06 Xxx 1994 08:49:37 GMT", None),
        ("Sun, 06 Nov 1994 25:49:37 GMT", None),
        ("Sun, 06 Nov 0000 08:49:37 GMT", None),
        ("Sun, 06 Nov 1994 08:49:37 PST", None),
        ("Sun, 06 Nov 1994 08:49:37", None),
        ("1994-11-06T08:49:37Z", None),
    ],
)
def test_a_date_of_http_is_read_in_its_three_forms(value: str, expected: float | None) -> None:
    assert retry_after({"Retry-After": value}, now=NOW) == expected


def test_the_name_of_a_header_is_read_in_any_case() -> None:
    for name in ("Retry-After", "retry-after", "RETRY-AFTER"):
        assert retry_after({name: "7"}, now=NOW) == NOW + 7


LATER_MS = (NOW + 50) * 1000
ALL = {
    "moreInfo": {"retryAfterSeconds": 20, "rateLimitResetAt": (NOW + 40) * 1000},
    "retryAfterSeconds": 30,
    "rateLimitResetAt": LATER_MS,
}
RESET = {"X-RateLimit-Reset": str(int(NOW + 60))}


@pytest.mark.parametrize(
    ("headers", "reply", "expected"),
    [
        ({"Retry-After": "10", **RESET}, ALL, 10),
        ({"Retry-After": "Sun, 06 Nov 1994 08:49:37 GMT"}, ALL, 77),
        (RESET, ALL, 20),
        (RESET, {**ALL, "moreInfo": {"rateLimitResetAt": (NOW + 40) * 1000}}, 30),
        (RESET, {**ALL, "moreInfo": {"rateLimitResetAt": (NOW + 40) * 1000}, "retryAfterSeconds": -1}, 40),
        (RESET, {"rateLimitResetAt": LATER_MS}, 50),
        (RESET, {}, 60),
        ({}, {}, None),
    ],
)
def test_the_first_source_that_can_be_read_decides(
    headers: dict[str, str], reply: dict[str, object], expected: float | None
) -> None:
    assert limit_ends(headers, reply, now=NOW) == (None if expected is None else NOW + expected)


@pytest.mark.parametrize("nonsense", ["soon", "-5", "", "NaN"])
def test_a_header_that_makes_no_sense_leaves_the_word_to_the_body(nonsense: str) -> None:
    assert limit_ends({"Retry-After": nonsense}, {"retryAfterSeconds": 30}, now=NOW) == NOW + 30


@pytest.mark.parametrize("headers", [{"Retry-After": "0"}, {"Retry-After": "Wed, 21 Oct 1992 07:28:00 GMT"}])
def test_a_header_that_says_now_is_not_overruled_by_the_body(headers: dict[str, str]) -> None:
    assert limit_ends(headers, {"retryAfterSeconds": 30}, now=NOW) is None


@pytest.mark.parametrize(
    "value", [-1, math.nan, math.inf, -math.inf, 10**400, 1e300, True, "30", None, [], {}, [30], {"seconds": 30}]
)
@pytest.mark.parametrize("key", ["retryAfterSeconds", "rateLimitResetAt", "moreInfo"])
def test_a_value_of_the_body_that_makes_no_sense_is_skipped(key: str, value: object) -> None:
    assert limit_ends(RESET, {key: value}, now=NOW) == NOW + 60
    assert limit_ends(RESET, {"moreInfo": {key: value}}, now=NOW) == NOW + 60


@pytest.mark.parametrize(
    ("headers", "reply"),
    [
        ({}, {"retryAfterSeconds": 10**9}),
        ({}, {"rateLimitResetAt": (NOW + 10**9) * 1000}),
        ({"x-ratelimit-reset": str(int(NOW) + 10**9)}, {}),
    ],
)
def test_no_source_can_ask_for_more_than_a_day(headers: dict[str, str], reply: dict[str, object]) -> None:
    assert limit_ends(headers, reply, now=NOW) == NOW + 24 * 3600


@pytest.mark.parametrize(
    ("headers", "reply"),
    [
        ({}, {"retryAfterSeconds": 0}),
        ({}, {"rateLimitResetAt": (NOW - 1) * 1000}),
        ({"x-ratelimit-reset": str(int(NOW))}, {}),
        ({"x-ratelimit-reset": "60"}, {}),
    ],
)
def test_a_time_that_is_over_is_no_wait(headers: dict[str, str], reply: dict[str, object]) -> None:
    assert limit_ends(headers, reply, now=NOW) is None


@given(
    st.text(max_size=60) | st.floats().map(str) | st.datetimes().map(lambda d: d.strftime("%a, %d %b %Y %H:%M:%S GMT"))
)
def test_whatever_a_header_says_the_wait_is_ahead_and_at_most_a_day(value: str) -> None:
    until = limit_ends({"Retry-After": value, "X-RateLimit-Reset": value}, {"retryAfterSeconds": value}, now=NOW)

    assert until is None or NOW < until <= NOW + MAX_WAIT
