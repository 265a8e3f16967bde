"""Semantic versions as the service demands them: semver 2.0.0, strictly (https://semver.org).

Bounds are those of the service's own parser: 256 characters, numbers up to 2**53 - 1. On the launch path: no regular
expression, no import of weight.
"""

from __future__ import annotations

from capgo_client.values import dataclass, field

__all__ = ["MAX_LENGTH", "Version", "compare", "explain_invalid", "parse"]

#: The longest version, in characters.
MAX_LENGTH = 256
_MAX_NUMBER = 2**53 - 1  # what JavaScript counts exactly

_DIGITS = frozenset("0123456789")
_IDENTIFIER = _DIGITS | frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-")

# A number sorts below a word, as (0, 7, "") below (1, 0, "beta").
_Part = tuple[int, int, str]


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """A version in the order of semver section 11. Build metadata plays no part in it, nor in equality.

    ``rank`` is what makes a pre-release sort below its release; it is derived from ``prerelease``.
    """

    major: int
    minor: int
    patch: int
    rank: tuple[int, tuple[_Part, ...]] = field(repr=False)
    prerelease: str = field(compare=False)
    build: str = field(compare=False)

    def __str__(self) -> str:
        prerelease = f"-{self.prerelease}" if self.prerelease else ""
        build = f"+{self.build}" if self.build else ""
        return f"{self.major}.{self.minor}.{self.patch}{prerelease}{build}"


def parse(text: str) -> Version | None:
    """The version that ``text`` spells; None where it is not semver (``explain_invalid`` says why)."""
    if len(text) > MAX_LENGTH:
        return None
    rest, plus, build = text.partition("+")
    core, dash, prerelease = rest.partition("-")
    numbers = core.split(".")
    if len(numbers) != 3 or not all(_is_core_number(number) for number in numbers):  # noqa: PLR2004
        return None
    words = prerelease.split(".")
    if dash and not all(_is_word(word) and _is_canonical(word) for word in words):
        return None
    if plus and not all(_is_word(word) for word in build.split(".")):
        return None
    major, minor, patch = map(int, numbers)
    rank = (0, tuple(_part(word) for word in words)) if dash else (1, ())
    return Version(major, minor, patch, rank, prerelease, build)


def compare(a: str, b: str) -> int | None:
    """-1, 0 or 1 as ``a`` is older than, equal to or newer than ``b``; None where one of them is not semver."""
    left, right = parse(a), parse(b)
    if left is None or right is None:
        return None
    return (left > right) - (left < right)


def explain_invalid(text: str) -> str:
    """What to write instead, for the developer whose version is refused; "" for one that is valid."""
    from capgo_client.protocol.version_advice import advise  # only a refusal pays for its patterns

    return "" if parse(text) else advise(text)


def _is_number(text: str) -> bool:
    return bool(text) and _DIGITS.issuperset(text)


def _is_canonical(text: str) -> bool:
    return text == "0" or not (text.startswith("0") and _is_number(text))


def _is_core_number(text: str) -> bool:
    return _is_number(text) and _is_canonical(text) and int(text) <= _MAX_NUMBER


def _is_word(text: str) -> bool:
    return bool(text) and _IDENTIFIER.issuperset(text)


def _part(word: str) -> _Part:
    return (0, int(word), "") if _is_number(word) else (1, 0, word)
