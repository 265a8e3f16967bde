"""Delay conditions: what holds a bundle that is queued back, and when each condition is met. Pure.

Kinds and rules: reference/plugin-behaviour.md section 6.8. All conditions of a list must be met (AND), they are looked
at on three occasions, and a condition that is met is gone for good. Where the plugin's two platforms differ we take
what is documented: ``background`` asks for the time that was spent in the background (one platform drops it at any
return), and a kind that is not known is left out (the other platform takes it for ``background``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice

from capgo_client.errors import ConfigError
from capgo_client.protocol.text import clean
from capgo_client.protocol.versions import compare
from capgo_client.values import dataclass

TYPE_CHECKING = False  # spelled out: importing typing costs the launch path several milliseconds
if TYPE_CHECKING:
    from typing import Literal

    Source = Literal["killed", "background", "foreground"]

__all__ = ["KINDS", "MAX_CONDITIONS", "MAX_VALUE", "Conditions", "DelayCondition", "conditions", "remaining"]

#: The kinds of condition, in the plugin's spelling.
KINDS = ("background", "kill", "date", "nativeVersion")
#: The most conditions that one list may have.
MAX_CONDITIONS = 100
#: Where a value is cut, in characters; no value of this length means anything but a number.
MAX_VALUE = 256

_MOST = 10**18  # of a number that is given as such
_SHOWN = 40


@dataclass(frozen=True, slots=True)
class DelayCondition:
    """One condition. What ``value`` says depends on ``kind``.

    * ``background``: milliseconds that the app must have been in the background, "" and "0" for any time at all.
    * ``kill``: the app must have been ended and started again; no value.
    * ``date``: the moment that must have passed, as ``2026-07-01T06:00:00Z`` (see ``dates.epoch_of``).
    * ``nativeVersion``: the version of the installer that this device must have, or a newer one.
    """

    kind: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class Conditions:
    """A list of conditions as it is used.

    ``skipped`` are those of no known kind, ``notes`` a sentence for the log about each of them and about each value
    that cannot be read, and so delays nothing.
    """

    kept: tuple[DelayCondition, ...] = ()
    skipped: tuple[DelayCondition, ...] = ()
    notes: tuple[str, ...] = ()


def conditions(items: Iterable[DelayCondition | Mapping[str, object]]) -> Conditions:
    """Take the conditions that an app, or its remote configuration, gives; the same one twice counts once.

    In a mapping ``kind`` and ``value`` count, None is as good as absent, and a whole number is taken for its digits.
    Values are cut at ``MAX_VALUE`` characters.

    Raises:
        ConfigError: no list, more than ``MAX_CONDITIONS``, something else than a condition in it, or a kind or a value
            that is no text.
    """
    kept: dict[DelayCondition, None] = {}
    skipped: dict[DelayCondition, None] = {}
    for item in _listed(items):
        condition = _condition(item)
        (kept if condition.kind in KINDS else skipped)[condition] = None
    notes = [_unknown(condition) for condition in skipped]
    notes += [note for note in map(_doubt, kept) if note]
    return Conditions(tuple(kept), tuple(skipped), tuple(notes))


def remaining(
    conditions: Iterable[DelayCondition], *, source: Source, now: float, background_at: float, native_version: str
) -> tuple[DelayCondition, ...]:
    """What still holds the queued bundle back; empty when nothing does. Never raises.

    Args:
        conditions: those that were left the last time.
        source: the occasion: the app starts (``killed``), leaves for the background, or is back in the foreground.
        now: wall clock, epoch seconds.
        background_at: when the app last went into the background, epoch seconds; 0.0 when that is not known.
        native_version: the builtin's version.

    * ``background`` is met when the app comes back (``foreground``, or ``killed`` with ``background_at`` known: the
      system ended it in the background and the person opens it again) after strictly more than ``value`` milliseconds.
      A clock that was set back gives 0 ms, and so does a value that is no number. Without ``background_at`` it stays.
    * ``kill`` is met at ``killed``.
    * ``date`` is met on any occasion strictly after it; so is one that is empty or cannot be read.
    * ``nativeVersion`` is met on any occasion when ``native_version`` is that version or newer, in the order of semver
      (shorter and longer numbers too, ``v1.2`` is 1.2.0); so is one that is empty or cannot be compared.
    * A kind that is not known holds nothing back.
    """
    return tuple(
        condition
        for condition in conditions
        if _holds(condition, source=source, now=now, background_at=background_at, native_version=native_version)
    )


def _holds(condition: DelayCondition, *, source: Source, now: float, background_at: float, native_version: str) -> bool:
    kind, value = condition.kind, condition.value[:MAX_VALUE]
    if kind == "background":
        returns = source != "background" and background_at > 0
        return not (returns and _milliseconds(now - background_at) > _number(value))
    if kind == "kill":
        return source != "killed"
    if kind == "date":
        moment = _moment(value)
        return moment is not None and not now > moment
    return kind == "nativeVersion" and _is_newer(value, than=native_version)


def _milliseconds(seconds: float) -> float:
    # Rounded: the difference of two clock readings of this size is only good to a fraction of a microsecond.
    return round(seconds * 1000, 2)


def _number(value: str) -> int:
    digits = value.removeprefix("+")
    return int(digits) if digits.isascii() and digits.isdigit() else 0


def _moment(value: str) -> float | None:
    from capgo_client.life.dates import epoch_of  # loads re and datetime: only who sets a date pays for them

    return epoch_of(value)


def _is_newer(value: str, *, than: str) -> bool:
    ours, wanted = _version(than), _version(value)
    if ours is None or wanted is None:
        return False
    if ours[0] != wanted[0]:
        return wanted[0] > ours[0]
    return compare(wanted[1], ours[1]) == 1


def _version(text: str) -> tuple[tuple[int, ...], str] | None:
    """The numbers without zeros at the end, and a semver that stands for the pre-release; None: not comparable."""
    core, dash, prerelease = text.strip().partition("+")[0].partition("-")
    numbers = core[core[:1] in ("v", "V") :].split(".")
    rest = f"0.0.0{dash}{prerelease}"
    if len(text) >= MAX_VALUE or not all(n.isascii() and n.isdigit() for n in numbers) or compare(rest, rest) is None:
        return None
    while numbers and not numbers[-1].strip("0"):
        numbers.pop()
    return tuple(map(int, numbers)), rest


def _listed(items: object) -> list[object]:
    if not isinstance(items, Iterable) or isinstance(items, (str, bytes, Mapping)):
        raise _wrong(f"a list is expected, not {type(items).__name__}")
    found = list(islice(items, MAX_CONDITIONS + 1))
    if len(found) > MAX_CONDITIONS:
        raise _wrong(f"there are more than {MAX_CONDITIONS}")
    return found


def _condition(item: object) -> DelayCondition:
    if isinstance(item, DelayCondition):
        kind, value = _text("kind", item.kind), _text("value", item.value)
    elif isinstance(item, Mapping):
        kind, value = _text("kind", item.get("kind")), _text("value", item.get("value"))
    else:
        raise _wrong(f"{type(item).__name__} is no condition")
    return DelayCondition(kind, "0" if kind == "background" and not value else value)


def _text(name: str, given: object) -> str:
    if given is None:
        return ""
    if name == "value" and isinstance(given, int) and not isinstance(given, bool):
        return str(max(-_MOST, min(given, _MOST)))
    if not isinstance(given, str):
        raise _wrong(f'"{name}" is {type(given).__name__}, not text')
    # It is kept in a file: half a surrogate pair has no place there.
    return given[:MAX_VALUE].encode("utf-8", "replace").decode("utf-8")


def _wrong(what: str) -> ConfigError:
    return ConfigError(
        f"delay conditions: {what}",
        hint='allowed: a list such as [DelayCondition("background", "60000"), {"kind": "kill"}]',
    )


def _unknown(condition: DelayCondition) -> str:
    kind = clean(condition.kind, _SHOWN)
    return f"delay condition of unknown kind {kind!r} is left out; known: {', '.join(KINDS)}"


def _doubt(condition: DelayCondition) -> str:
    kind, value = condition.kind, condition.value
    shown = clean(value, _SHOWN)
    if kind == "background" and not _number(value) and value.strip("0"):
        return f"delay condition background: {shown!r} is no whole number of milliseconds and counts as 0"
    if kind == "date" and _moment(value) is None:
        return f"delay condition date: {shown!r} is no date such as 2026-07-01T06:00:00Z and delays nothing"
    if kind == "nativeVersion" and _version(value) is None:
        return f"delay condition nativeVersion: {shown!r} is no version such as 1.4.0 and delays nothing"
    return ""
