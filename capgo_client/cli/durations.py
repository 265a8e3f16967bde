"""Seconds, as an option takes them."""

from __future__ import annotations

import argparse
import math

__all__ = ["seconds", "seconds_or_none_at_all"]


def seconds(text: str) -> float:
    """A time that ends, and is one. Raises ArgumentTypeError, which argparse tells with the option's name."""
    number = _finite(text)
    if number is None or number <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not possible; a number of seconds, more than 0")
    return number


def seconds_or_none_at_all(text: str) -> float:
    """The same, where 0 is allowed too. Raises ArgumentTypeError."""
    number = _finite(text)
    if number is None or number < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not possible; a number of seconds, 0 or more")
    return number


def _finite(text: str) -> float | None:
    """The number; None where it is none, or has no end: nothing is ever later than nan."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
