"""Dates as an app or its remote configuration writes them in a delay condition.

Every form that either platform of the plugin reads (reference/plugin-behaviour.md section 6.8). Written out, because
``datetime.fromisoformat`` of Python 3.10 knows few of them, and later ones too many. Imported only when there is a
date to read: it loads ``re`` and ``datetime``.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

__all__ = ["epoch_of"]

_LONGEST = 40
_FIRST_YEAR = 1970
_FORM = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:(Z)|([+-])([01]\d|2[0-3])(?::?([0-5]\d))?)?",
    re.ASCII,
)


def epoch_of(text: str) -> float | None:
    """Seconds since 1970 for ``YYYY-MM-DDThh:mm:ss[.f…][Z|±hh:mm|±hhmm|±hh]``; None for anything else.

    Without an offset it is this device's local time. One to nine digits of a second, years 1970 to 9999, a real day
    of the calendar, no leap second, nothing before or after. An hour that local time skips or has twice is read as
    Python's ``datetime`` reads it: with the offset before the change.
    """
    match = _FORM.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(match[i]) for i in range(1, 7))
    if year < _FIRST_YEAR:
        return None
    try:
        moment = datetime(year, month, day, hour, minute, second)  # noqa: DTZ001 - the zone is worked out below
    except ValueError:
        return None
    fraction = float(f"0.{match[7] or 0}")
    if match[8] or match[9]:
        return _utc(moment) - _offset(match) + fraction
    return _local(moment) + fraction


def _utc(moment: datetime) -> float:
    return moment.replace(tzinfo=timezone.utc).timestamp()


def _offset(match: re.Match[str]) -> float:
    seconds = timedelta(hours=int(match[10] or 0), minutes=int(match[11] or 0)).total_seconds()
    return -seconds if match[9] == "-" else seconds


def _local(moment: datetime) -> float:
    try:
        return moment.timestamp()
    except (ValueError, OverflowError, OSError):
        # The last hours of 9999 ("never") and, on some systems, the first of 1970: their zone cannot be worked out.
        return _utc(moment)
