"""Two hands for the files of a bundle: the calling thread and, where there is much to do, one more beside it.

Unpacking, hashing, reading and writing all let go of the interpreter, so two threads do take less time than one.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["HANDS", "Hands"]


class File(Protocol):
    """A file that is to be made."""

    @property
    def path(self) -> str:
        """Relative to the bundle, ``/`` between the parts."""

    @property
    def size(self) -> int:
        """Bytes."""


T = TypeVar("T", bound=File)

#: More bring little: creating files is the system's work, and mostly one at a time.
HANDS = 2
#: Fewer bytes, in fewer files, are done sooner than a thread pays.
_MANY_BYTES, _MANY_FILES = 8 << 20, 500
#: The files of one folder are for one thread, so that the two do not wait for each other there, up to this many bytes.
_PART_BYTES = 4 << 20


class Hands(Generic[T]):
    """Has ``do`` called with parts of the files; nothing of it goes on when ``run`` has returned or raised."""

    def __init__(self, do: Callable[[Sequence[T]], None], *, most: int = HANDS) -> None:
        self._do = do
        self._most = min(most, os.cpu_count() or 1)
        self._todo: deque[list[T]] = deque()
        self._errors: list[BaseException] = []

    @property
    def failed(self) -> bool:
        """Whether one of them ended with an error; the other asks this between its steps, and ends."""
        return bool(self._errors)

    def run(self, work: Sequence[T]) -> None:
        """Have all of ``work`` done; where there is little of it, in its order and here.

        Raises what the first of them to fail raised.
        """
        if self._most == 1 or (sum(file.size for file in work) < _MANY_BYTES and len(work) < _MANY_FILES):
            self._do(work)
            return
        self._todo.extend(_parts(work))
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


def _parts(work: Sequence[T]) -> list[list[T]]:
    """The work in parts for one thread each: of one folder, in the given order, and not too much at once."""
    parts: list[list[T]] = []
    latest: dict[str, tuple[list[T], int]] = {}
    for file in work:
        folder = file.path.rpartition("/")[0]
        part, taken = latest.get(folder, ([], _PART_BYTES))
        if taken >= _PART_BYTES:
            part, taken = [], 0
            parts.append(part)
        part.append(file)
        latest[folder] = (part, taken + file.size)
    return parts
