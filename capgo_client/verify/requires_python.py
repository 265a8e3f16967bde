"""``requires_python``: the few clauses of PEP 440 that a bundle needs, so that no dependency has to judge them."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

__all__ = ["Clause", "fits", "parse_clauses"]

_OPERATORS: dict[str, Any] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
_PARTS = (2, 3)
_MAX_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Clause:
    """One comparison with a Python version of three numbers."""

    sign: str
    numbers: tuple[int, ...]

    def __str__(self) -> str:
        return self.sign + ".".join(str(number) for number in self.numbers)

    def holds(self, running: tuple[int, ...]) -> bool:
        """Whether the running Python's three numbers satisfy it."""
        return bool(_OPERATORS[self.sign](running, self.numbers))


def parse_clauses(text: str) -> tuple[Clause, ...]:
    """Read clauses of ``>= <= == != > <`` with ``X.Y`` or ``X.Y.Z``, separated by commas; else raise ValueError."""
    return tuple(_parse_clause(part.strip()) for part in text.split(","))


def fits(clauses: tuple[Clause, ...], running: tuple[int, ...]) -> bool:
    """Whether all clauses hold for a version such as ``sys.version_info[:3]``."""
    return all(clause.holds(_pad(running)) for clause in clauses)


def _parse_clause(text: str) -> Clause:
    sign = next((sign for sign in _OPERATORS if text.startswith(sign)), "")
    numbers = text[len(sign) :].strip().split(".")
    plain = all(n.isascii() and n.isdigit() and len(n) <= _MAX_DIGITS for n in numbers)
    if not sign or not plain or len(numbers) not in _PARTS:
        raise ValueError("not a clause such as >=3.10")
    return Clause(sign=sign, numbers=_pad(tuple(int(number) for number in numbers)))


def _pad(numbers: tuple[int, ...]) -> tuple[int, ...]:
    return (*numbers, 0, 0, 0)[:3]
