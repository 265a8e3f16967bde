"""Dates and waits that strangers wrote."""

from __future__ import annotations

import email.utils
import math

from fuzzing import HEADERS, VALUES, edited_text, fuzz
from hypothesis import strategies as st

from capgo_client.life.dates import epoch_of
from capgo_client.protocol.retry_after import MAX_WAIT, limit_ends, retry_after

NOW = 784_111_777.0  # Sun, 06 Nov 1994 08:49:37 GMT
DATES = st.integers(0, 2**33).map(lambda seconds: email.utils.formatdate(seconds, usegmt=True))
BODIES = st.dictionaries(
    st.sampled_from(["retryAfterSeconds", "rateLimitResetAt", "moreInfo"]),
    VALUES | st.dictionaries(st.sampled_from(["retryAfterSeconds", "rateLimitResetAt"]), VALUES, max_size=2),
    max_size=3,
)


@fuzz(quick=40, headers=HEADERS, body=BODIES, date=edited_text(DATES))
def test_a_wait_is_none_or_ahead_and_at_most_a_day(headers, body, date):
    for found in (headers, {"Retry-After": date}):
        for until in (retry_after(found, now=NOW), limit_ends(found, body, now=NOW)):
            assert until is None or NOW < until <= NOW + MAX_WAIT


@fuzz(quick=25, seconds=st.integers(int(NOW) + 1, int(NOW + MAX_WAIT)))
def test_a_date_of_the_mail_standard_is_read_as_the_standard_library_writes_it(seconds):
    assert retry_after({"retry-after": email.utils.formatdate(seconds, usegmt=True)}, now=NOW) == seconds


ISO = st.datetimes().map(lambda moment: moment.isoformat()) | st.datetimes().map(lambda m: m.isoformat() + "Z")


@fuzz(quick=40, text=edited_text(ISO) | st.text(max_size=45))
def test_a_date_of_a_condition_is_a_number_or_nothing(text):
    moment = epoch_of(text)
    assert moment is None or (math.isfinite(moment) and -100_000 < moment < 2.6e11)
