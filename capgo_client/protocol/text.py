"""Text that strangers wrote, made fit for a log line, a screen or a header."""

from __future__ import annotations

__all__ = ["clean", "is_plain"]


def clean(text: str, limit: int, *, keep: str = "") -> str:
    """``text`` without control, format and surrogate characters, at most ``limit`` characters long.

    What is taken out becomes a space, runs of spaces become one; characters in ``keep`` stay as they are.
    """
    cut = text[:limit]
    if not cut.isprintable():  # most are, and asking is many times as fast
        cut = "".join(char if char.isprintable() or char in keep else " " for char in cut)
    return " ".join(word for word in cut.split(" ") if word).strip()


def is_plain(text: str) -> bool:
    """Whether ``text`` holds neither a control character (NUL, line breaks, DEL, C1) nor half a surrogate pair."""
    if text.isprintable():  # most are, and this is a hundred times as fast
        return True
    return not any(char < " " or "\x7f" <= char <= "\x9f" or "\ud800" <= char <= "\udfff" for char in text)
