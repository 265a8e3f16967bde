"""What a person can get wrong on the command line."""

from __future__ import annotations

__all__ = ["UsageMistake"]


class UsageMistake(Exception):
    """The command was not understood; the text says why and what to write instead. Ends with exit code 2."""
