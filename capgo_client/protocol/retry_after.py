"""When the service wants to be asked again, in epoch seconds.

Sources in the plugin's order (reference/plugin-behaviour.md section 1.6), and the date form that RFC 9110 section
10.2.3 allows and the plugin ignores. The first that can be read decides; a time that is over means "no wait".
"""

from __future__ import annotations

import re
from datetime import datetime, timezone

TYPE_CHECKING = False  # spelled out: importing typing costs the launch path several milliseconds
if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MAX_WAIT", "limit_ends", "retry_after"]

#: The longest wait that a reply can impose, in seconds: a wrong header must not silence a device for a year.
MAX_WAIT = 24 * 3600.0

_SECONDS = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,15})?", re.ASCII)
_TIME = r"(\d\d):(\d\d):(\d\d)"
# Sun, 06 Nov 1994 08:49:37 GMT   and the obsolete   Sunday, 06-Nov-94 08:49:37 GMT
_DATE = re.compile(rf"[A-Za-z]{{3,9}}, (\d\d)[ -]([A-Z][a-z]{{2}})[ -](\d{{4}}|\d\d) {_TIME} (?:GMT|UTC)", re.ASCII)
# Sun Nov  6 08:49:37 1994
_ASCTIME = re.compile(rf"[A-Z][a-z]{{2}} ([A-Z][a-z]{{2}}) ([ \d]\d) {_TIME} (\d{{4}})", re.ASCII)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_CENTURY_PIVOT = 70
_ABSURD = 1e18


def retry_after(headers: Mapping[str, str], *, now: float) -> float | None:
    """What the ``Retry-After`` header says; None where that cannot be read or is not ahead of ``now``."""
    return _bounded(_from_header(headers, now), now)


def limit_ends(headers: Mapping[str, str], reply: Mapping[str, object], *, now: float) -> float | None:
    """When the limit that a 429 speaks of ends: header, then body, then ``X-RateLimit-Reset``; None for no hint."""
    more = reply.get("moreInfo")
    bodies = (more if isinstance(more, dict) else {}, reply)
    sources = [_from_header(headers, now)]
    sources += [_after(now, _amount(body.get("retryAfterSeconds"))) for body in bodies]
    sources += [_from_milliseconds(_amount(body.get("rateLimitResetAt"))) for body in bodies]
    sources.append(_seconds(_header(headers, "x-ratelimit-reset")))
    return _bounded(next((until for until in sources if until is not None), None), now)


def _bounded(until: float | None, now: float) -> float | None:
    return min(until, now + MAX_WAIT) if until is not None and until > now else None


def _from_header(headers: Mapping[str, str], now: float) -> float | None:
    value = _header(headers, "retry-after")
    wait = _seconds(value)
    return _date(value) if wait is None else _after(now, wait)


def _header(headers: Mapping[str, str], name: str) -> str:
    return next((value.strip() for key, value in headers.items() if key.lower() == name), "")


def _seconds(text: str) -> float | None:
    return float(text) if _SECONDS.fullmatch(text) else None


def _amount(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if 0 <= value < _ABSURD else None


def _after(now: float, wait: float | None) -> float | None:
    return None if wait is None else now + wait


def _from_milliseconds(value: float | None) -> float | None:
    return None if value is None else value / 1000.0


def _date(text: str) -> float | None:
    if match := _DATE.fullmatch(text):
        day, month, year, *clock = match.groups()
    elif match := _ASCTIME.fullmatch(text):
        month, day, *clock, year = match.groups()
    else:
        return None
    try:
        hours, minutes, seconds = map(int, clock)
        # A leap second (:60) is a valid date, and not one that datetime knows.
        moment = datetime(
            _year(year), _MONTHS.index(month) + 1, int(day), hours, minutes, min(seconds, 59), tzinfo=timezone.utc
        )
    except ValueError:
        return None
    return moment.timestamp()


def _year(text: str) -> int:
    year = int(text)
    if len(text) > 2:  # noqa: PLR2004
        return year
    return year + (1900 if year >= _CENTURY_PIVOT else 2000)
