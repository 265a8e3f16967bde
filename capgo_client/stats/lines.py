"""The queue's file as text: one event a line, each guarded by itself, so that damage costs what it hit and no more.

A line is ``<crc> <id> <tries> <json>``, with the CRC-32 over all that follows it. Every line begins with a line
break, so that the torn end of an earlier one never grows together with it, and ends with one, so that no torn
beginning of a later one does (a power cut may leave zeros there). A line whose id begins with ``dropped``
carries a number of events that were given up; all such lines together make the sum.
"""

from __future__ import annotations

import json
import zlib

from capgo_client.values import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Content", "Entry", "encode", "parse"]

_COUNT_ID = b"dropped"
_CRC_LENGTH = 8
_FIELDS = 3


@dataclass(frozen=True, slots=True)
class Entry:
    """One event: ``text`` is JSON in one line, ``tries`` how often the service stumbled over it."""

    id: bytes
    text: bytes
    tries: int = 0

    @property
    def size(self) -> int:
        """About how many bytes it takes on disk."""
        return len(self.text) + len(self.id) + _CRC_LENGTH + 4


@dataclass(frozen=True, slots=True)
class Content:
    """What a file holds, oldest first; how many events were given up before, and how many lines were skipped now."""

    entries: tuple[Entry, ...] = ()
    dropped: int = 0
    damaged: int = 0


def encode(entries: Iterable[Entry], *, dropped: int = 0, by: bytes = b"") -> bytes:
    """The lines for these events, and behind them for those given up; ``by`` tells one such count from others."""
    lines = [_line(entry) for entry in entries]
    if dropped:
        lines.append(_line(Entry(_COUNT_ID + by, b"%d" % dropped)))
    return b"".join(lines)


def parse(data: bytes) -> Content:
    """Every line that is whole, each id once; never raises."""
    found: dict[bytes, Entry] = {}
    counts: dict[bytes, int] = {}
    damaged = 0
    for line in data.split(b"\n"):
        if not line:
            continue
        entry = _entry(line)
        if entry is None:
            damaged += 1
        elif entry.id.startswith(_COUNT_ID):
            counts[entry.id] = max(counts.get(entry.id, 0), int(entry.text))
        else:
            found.setdefault(entry.id, entry)
    return Content(tuple(found.values()), sum(counts.values()), damaged)


def _line(entry: Entry) -> bytes:
    rest = b"%b %d %b" % (entry.id, entry.tries, entry.text)
    return b"\n%08x %b\n" % (zlib.crc32(rest), rest)


def _entry(line: bytes) -> Entry | None:
    crc, space, rest = line[:_CRC_LENGTH], line[_CRC_LENGTH : _CRC_LENGTH + 1], line[_CRC_LENGTH + 1 :]
    if space != b" " or crc != b"%08x" % zlib.crc32(rest):
        return None
    parts = rest.split(b" ", _FIELDS - 1)
    # The sum is no secret: what follows keeps a file that somebody wrote by hand from breaking the batch it is in.
    if len(parts) != _FIELDS or not parts[1].isdigit() or len(parts[1]) > _CRC_LENGTH:
        return None
    event_id, tries, text = parts
    is_sound = _is_count(text) if event_id.startswith(_COUNT_ID) else _is_object(text)
    return Entry(event_id, text, int(tries)) if is_sound else None


def _is_count(text: bytes) -> bool:
    return text.isdigit() and len(text) <= 15  # noqa: PLR2004


def _is_object(text: bytes) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
