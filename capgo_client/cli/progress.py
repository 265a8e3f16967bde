"""A progress bar, for a person who watches: rich's where it is installed (extra ``cli``), else a line of our own."""

from __future__ import annotations

import contextlib
import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["is_watched", "percentage", "progress"]

_WIDTH = 30
_WHOLE = 100


def is_watched() -> bool:
    """Whether a person sees what is printed as it is printed."""
    return sys.stdout.isatty()


@contextlib.contextmanager
def progress(total: int, *, text: str = "") -> Iterator[Callable[[str], None]]:
    """A bar of so many steps, beginning with ``text``; what is yielded takes one step and says what comes next."""
    try:
        rich = import_module("rich.progress")
    except ImportError:
        with _plain(total, text) as step:
            yield step
        return
    with rich.Progress(transient=True) as bar:
        task = bar.add_task(text, total=total)
        yield lambda text: bar.update(task, advance=1, description=text)


@contextlib.contextmanager
def percentage(text: str) -> Iterator[Callable[[int], None]]:
    """A bar for one thing that takes a while; what is yielded sets it, from 0 to 100."""
    with progress(_WHOLE, text=text) as step:
        done = 0

        def show(percent: int) -> None:
            nonlocal done
            for _ in range(done, min(percent, _WHOLE)):
                step(text)
            done = max(done, percent)

        yield show


@contextlib.contextmanager
def _plain(total: int, text: str) -> Iterator[Callable[[str], None]]:
    done = 0

    def draw(text: str) -> None:
        filled = _WIDTH * done // max(1, total)
        bar = "#" * filled + "." * (_WIDTH - filled)
        sys.stdout.write(f"\r\x1b[K[{bar}] {done}/{total} {text}")
        sys.stdout.flush()

    def step(text: str) -> None:
        nonlocal done
        done += 1
        draw(text)

    try:
        draw(text)
        yield step
    finally:
        sys.stdout.write("\r\x1b[K")
        sys.stdout.flush()
