"""How to spell in semver what a Python developer wrote by habit (PEP 440, a leading v, two numbers).

Each piece of advice that names a version names one that ``versions.parse`` accepts.
"""

from __future__ import annotations

import re

from capgo_client.protocol.text import clean
from capgo_client.protocol.versions import MAX_LENGTH, parse

__all__ = ["advise"]

_GENERAL = 'write three numbers as in "1.4.0", or with a pre-release as in "1.4.0-rc.1"'

# A release of PEP 440, its separators as free as PEP 440 has them.
_PYTHON = re.compile(
    r"(?P<numbers>[0-9]+(?:\.[0-9]+)*)"
    r"(?:[._-]?(?P<stage>alpha|beta|preview|pre|dev|post|rev|rc|a|b|c|r)[._-]?(?P<count>[0-9]*))?"
    r"(?P<tail>[-+][0-9A-Za-z.-]+)?",
    re.ASCII | re.IGNORECASE,
)
_STAGES = {"a": "alpha", "b": "beta", "c": "rc", "pre": "rc", "preview": "rc"}
_AFTER = ("post", "rev", "r")
_WANTED = 3


def advise(text: str) -> str:
    """The fix in words for a ``text`` that is not semver."""
    if not text.strip():
        return f"it is empty; {_GENERAL}"
    if len(text) > MAX_LENGTH:
        return f"it is longer than {MAX_LENGTH} characters; {_GENERAL}"
    bare = text.strip()
    number = bare[1:].lstrip(".") if bare[0] in "vV" else bare
    match = _PYTHON.fullmatch(number)
    return (_of_release(match) if match else "") or _spelled(number, "") or _GENERAL


def _of_release(match: re.Match[str]) -> str:
    numbers = [digits.lstrip("0") or "0" for digits in match["numbers"].split(".")]
    stage = (match["stage"] or "").lower()
    if len(numbers) > _WANTED:
        return _too_many(numbers)
    numbers += ["0"] * (_WANTED - len(numbers))
    if stage in _AFTER:
        return _post_release(numbers)
    core, tail = ".".join(numbers), match["tail"] or ""
    if not stage:
        return _spelled(core + tail, _why(match["numbers"]))
    count = match["count"].lstrip("0") or "0"
    return _spelled(f"{core}-{_STAGES.get(stage, stage)}.{count}", "semver sets a pre-release off with a hyphen")


def _why(numbers: str) -> str:
    return "" if numbers.count(".") == _WANTED - 1 else "semver has exactly three numbers"


def _too_many(numbers: list[str]) -> str:
    core, rest = ".".join(numbers[:_WANTED]), ".".join(numbers[_WANTED:])
    advice = _spelled(core, "semver has exactly three numbers")
    return f'{advice}, or "{core}+{rest}" if the rest need not decide which is newer' if advice else ""


def _post_release(numbers: list[str]) -> str:
    following = ".".join([*numbers[:2], str(int(numbers[2]) + 1)]) if len(numbers[2]) <= MAX_LENGTH else ""
    return _spelled(following, "semver has no post-releases: the next number is the next release")


def _spelled(version: str, why: str) -> str:
    if parse(version) is None:
        return ""
    return f'write "{clean(version, MAX_LENGTH)}"' + (f" ({why})" if why else "")
