"""More hands for the files of a bundle: the calling thread and, where there is much to do, some more beside it.

Unpacking, hashing, reading, writing and flushing all let go of the interpreter, so threads do take less time than one.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ["Hands", "parts_of", "two"]


class File(Protocol):
    """A file that is to be made."""

    @property
    def path(self) -> str:
        """Relative to the bundle, ``/`` between the parts."""

    @property
    def size(self) -> int:
        """Bytes."""


P = TypeVar("P")
F = TypeVar("F", bound=File)

#: Fewer bytes are done sooner than a thread pays.
_MANY_BYTES = 8 << 20
#: The files of one folder are for one thread, so that two do not wait for each other there, up to this many bytes.
_PART_BYTES = 4 << 20


class Hands(Generic[P]):
    """Has ``do`` called with parts of some work, ``most`` at once; nothing of it goes on when ``run`` has returned."""

    def __init__(self, do: Callable[[P], None], *, most: int) -> None:
        self._do = do
        self._most = most
        self._todo: deque[P] = deque()
        self._errors: list[BaseException] = []

    @property
    def failed(self) -> bool:
        """Whether one of them ended with an error; the others ask this between their steps, and end."""
        return bool(self._errors)

    def run(self, parts: Iterable[P]) -> None:
        """Have all of them done; the calling thread does its share. Raises what the first of them to fail raised."""
        self._todo.extend(parts)
        threads = self._begun(min(self._most, len(self._todo)) - 1)
        self._work()
        for thread in threads:
            self._await(thread)
        if self._errors:
            raise self._errors[0]

    def _begun(self, count: int) -> list[threading.Thread]:
        threads = []
        for number in range(count):
            # A daemon as the worker is: an app that ends does not wait for a bundle.
            thread = threading.Thread(target=self._work, name=f"capgo-hand-{number}", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the process may have no more threads, or is coming to its end
                break
            threads.append(thread)
        return threads

    def _work(self) -> None:
        while not self._errors:
            try:
                part = self._todo.popleft()
            except IndexError:
                return
            try:
                self._do(part)
            except BaseException as exc:  # it is raised to the caller of run()
                self._errors.append(exc)

    def _await(self, thread: threading.Thread) -> None:
        """Wait for its end whatever interrupts us: what it writes to must not be taken away below it."""
        while thread.is_alive():
            try:
                thread.join()
            except BaseException as exc:
                self._errors.append(exc)


def two() -> int:
    """How many hands for what keeps a processor busy; more bring little, for files are mostly created one at a time."""
    return min(2, os.cpu_count() or 1)


def parts_of(files: Sequence[F], *, worth: int) -> list[Sequence[F]]:
    """Parts for one thread each: little is one part; else each is of one folder, in its order and not too long.

    One part too where the files have fewer than ``worth`` bytes on average: what has to be done for one of them must
    take longer than two threads take to hand the interpreter to and fro.
    """
    if sum(file.size for file in files) < max(_MANY_BYTES, worth * len(files)):
        return [files]
    parts: list[Sequence[F]] = []
    latest: dict[str, tuple[list[F], int]] = {}
    for file in files:
        folder = file.path.rpartition("/")[0]
        part, taken = latest.get(folder, ([], _PART_BYTES))
        if taken >= _PART_BYTES:
            part, taken = [], 0
            parts.append(part)
        part.append(file)
        latest[folder] = (part, taken + file.size)
    return parts
