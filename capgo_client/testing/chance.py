"""Which occasions a fault takes: all, the n-th, so many, or each with a probability that a seed makes repeatable."""

from __future__ import annotations

import random
import threading
from typing import Any

__all__ = ["Chance"]


class Chance:
    """Asked once for each occasion (a request, a connection, a file-system call, a launch). Thread-safe.

    Args:
        nth: Only this one, counted from 1.
        times: At most so many.
        probability: Each with that chance, 0 to 1.
        seed: Makes the draws the same on every run.

    Raises:
        ValueError: ``nth`` or ``times`` is below 1, ``probability`` not between 0 and 1, or one of them no number.
    """

    def __init__(
        self,
        *,
        nth: int | None = None,
        times: int | None = None,
        probability: float | None = None,
        seed: int | None = None,
    ) -> None:
        _check_count("nth", nth)
        _check_count("times", times)
        _check_probability(probability)
        _check_whole("seed", seed)
        self.nth = nth
        self.times = times
        self.probability = probability
        self.seed = seed
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._seen = 0
        self._taken = 0

    @property
    def is_certain(self) -> bool:
        """Whether every occasion is taken."""
        return self.nth is None and self.times is None and self.probability is None

    @property
    def taken(self) -> int:
        """How many occasions were taken so far."""
        with self._lock:
            return self._taken

    def takes(self) -> bool:
        """Whether this occasion is taken; counts it."""
        with self._lock:
            self._seen += 1
            if self.nth is not None and self._seen != self.nth:
                return False
            if self.times is not None and self._taken >= self.times:
                return False
            if self.probability is not None and self._random.random() >= self.probability:
                return False
            self._taken += 1
            return True


# Of any type, for it is a test's mistake that is looked for. True is a whole number to Python, and here a slip.


def _check_count(name: str, count: Any) -> None:
    _check_whole(name, count)
    if count is not None and count < 1:
        raise ValueError(f"{name} is counted from 1, not {count}")


def _check_whole(name: str, number: Any) -> None:
    if number is not None and (isinstance(number, bool) or not isinstance(number, int)):
        raise ValueError(f"{name} is a whole number, not {number!r}")


def _check_probability(probability: Any) -> None:
    if probability is not None and (isinstance(probability, bool) or not isinstance(probability, (int, float))):
        raise ValueError(f"probability is a number, not {probability!r}")
    if probability is not None and not 0 <= probability <= 1:
        raise ValueError(f"probability is from 0 to 1, not {probability}")
