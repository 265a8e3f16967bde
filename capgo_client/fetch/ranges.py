"""What the reply to a download, or to the rest of one, lets us do. Pure.

The quirks are those of reference/service-behaviour.md section 4.3: a start at or beyond the end is answered 206 with
an empty body and ``bytes */size`` (elsewhere: 416), a range that the server does not understand with 206 and the whole.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Step", "Verdict", "judge"]

_OK, _PARTIAL, _NOT_SATISFIABLE = 200, 206, 416
_RANGE = re.compile(r"bytes (?:(?P<first>\d{1,18})-(?P<last>\d{1,18})|\*)/(?P<size>\d{1,18})", re.ASCII)
_LENGTH = re.compile(r"\d{1,18}", re.ASCII)


class Step(Enum):
    """What to do with the reply."""

    WHOLE = "the body is the whole file: drop what is there"
    REST = "the body goes on where we asked"
    NOTHING_LEFT = "everything is there already"
    ANEW = "this cannot be appended: ask again for the whole"
    FAILED = "no download at all"


@dataclass(frozen=True, slots=True)
class Verdict:
    """``end`` is the offset after the body's last byte, ``total`` the file's size; None where nothing was said."""

    step: Step
    end: int | None = None
    total: int | None = None


def judge(status: int, headers: Mapping[str, str], *, start: int, total: int | None, etag: str) -> Verdict:
    """Judge the reply's status and headers.

    Args:
        status: of the reply.
        headers: of the reply, names in lower case.
        start: the first byte that was asked for; 0 where no range was asked for.
        total: the size that an earlier reply told, None where none did.
        etag: what an earlier reply told, empty where none did.
    """
    if status == _OK:
        length = _length(headers)
        return Verdict(Step.WHOLE, end=length, total=length)
    if not start:
        return Verdict(Step.FAILED)
    if status == _NOT_SATISFIABLE:
        return Verdict(Step.ANEW)
    if status != _PARTIAL:
        return Verdict(Step.FAILED)
    return _judge_partial(headers, start=start, total=total, etag=etag)


def _judge_partial(headers: Mapping[str, str], *, start: int, total: int | None, etag: str) -> Verdict:
    said = _RANGE.fullmatch(headers.get("content-range", "").strip())
    if said is None:
        return Verdict(Step.ANEW)
    size = int(said["size"])
    told = headers.get("etag", "")
    if (total is not None and size != total) or (etag and told and told != etag):
        return Verdict(Step.ANEW)  # another file stands there now
    if said["first"] is None:
        return Verdict(Step.NOTHING_LEFT if size == start else Step.ANEW, end=size, total=size)
    first, last = int(said["first"]), int(said["last"])
    if first != start or not first <= last < size:
        return Verdict(Step.ANEW)
    return Verdict(Step.REST, end=last + 1, total=size)


def _length(headers: Mapping[str, str]) -> int | None:
    said = headers.get("content-length", "").strip()
    return int(said) if _LENGTH.fullmatch(said) else None
