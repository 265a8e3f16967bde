"""Semantic versions as the service reads them (reference/service-behaviour.md section 1.2)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import total_ordering

__all__ = ["SemVer", "parse_semver", "repair_build"]

_NUMBER = r"(0|[1-9]\d*)"
_PATTERN = re.compile(
    rf"v?{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?",
    re.ASCII,
)
_SHORT = re.compile(r"v?\d+(?:\.\d+)?", re.ASCII)


@total_ordering
@dataclass(frozen=True, slots=True)
class SemVer:
    """Three numbers and the pre-release part; the build part does not count."""

    major: int
    minor: int
    patch: int
    prerelease: str = ""

    @property
    def core(self) -> tuple[int, int, int]:
        """The three numbers."""
        return (self.major, self.minor, self.patch)

    def __str__(self) -> str:
        return ".".join(map(str, self.core)) + (f"-{self.prerelease}" if self.prerelease else "")

    def __lt__(self, other: SemVer) -> bool:
        return self._key() < other._key()

    def _key(self) -> tuple[object, ...]:
        # Section 11 of semver.org: numbers before words, fewer parts first, and a release after all its previews.
        parts = tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in self.prerelease.split("."))
        return (*self.core, not self.prerelease, parts)


def parse_semver(text: str) -> SemVer | None:
    """Read a full semver; a leading ``v`` is accepted. None where it is none."""
    match = _PATTERN.fullmatch(text)
    if match is None:
        return None
    return SemVer(int(match[1]), int(match[2]), int(match[3]), match[4] or "")


def repair_build(text: str) -> SemVer | None:
    """Read a ``version_build`` as leniently as the service: ``1`` is 1.0.0, ``builtin`` and ``unknown`` are 0.0.0."""
    if text in {"builtin", "unknown"}:
        return SemVer(0, 0, 0)
    if _SHORT.fullmatch(text):
        text += ".0" * (2 - text.count("."))
    return parse_semver(text)
