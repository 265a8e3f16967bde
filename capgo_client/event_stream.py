"""Events for asyncio apps: ``async for event in updater.events("download", "set"):``."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections import deque
from typing import TYPE_CHECKING

from capgo_client.events import EVENT_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from typing_extensions import Self

    from capgo_client.events import Emitter, Event

__all__ = ["EventStream"]

#: An app that does not read loses the oldest; a whole update makes about a hundred.
_MAX_WAITING = 1000


class EventStream:
    """An asynchronous iterator over events, in the order in which they happened; it ends when the Updater closes.

    It listens from the moment the loop first sees it (``async for``, ``async with`` or ``anext``), and is for one
    reader. What nobody heard before and is retained comes first.
    """

    def __init__(self, emitter: Emitter, names: tuple[str, ...]) -> None:
        unknown = sorted(set(names) - set(EVENT_NAMES))
        if unknown:
            raise ValueError(f"there is no event {unknown[0]!r}; there are {', '.join(EVENT_NAMES)}")
        self._emitter = emitter
        self._names = names or EVENT_NAMES
        self._waiting: deque[Event] = deque(maxlen=_MAX_WAITING)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news: asyncio.Event | None = None
        self._ended = False
        self._stop: Callable[[], object] = lambda: None

    def _begin(self) -> asyncio.Event:
        """Listen, in the loop that runs now, until the stream is closed or its reader has left it."""
        if self._news is None:
            self._loop = asyncio.get_running_loop()
            self._news = asyncio.Event()
            self._stop = weakref.finalize(self, _stop_all, _listening(self._emitter, self._names, weakref.ref(self)))
            self._stop.atexit = False
        return self._news

    def _take(self, event: Event) -> None:
        self._waiting.append(event)
        self._wake()

    def _end(self) -> None:
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        """From whatever thread; a loop that is closed has no reader any more."""
        if self._loop is None or self._news is None:
            return
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._news.set)

    def __aiter__(self) -> Self:
        self._begin()
        return self

    async def __anext__(self) -> Event:
        news = self._begin()
        while not self._waiting:
            if self._ended:
                await self.aclose()
                raise StopAsyncIteration
            news.clear()
            if not self._waiting and not self._ended:
                await self._told(news)
        return self._waiting.popleft()

    async def _told(self, news: asyncio.Event) -> None:
        _awaited.add(self)
        try:
            await news.wait()
        finally:
            _awaited.discard(self)

    async def aclose(self) -> None:
        """Stop to listen."""
        self._ended = True
        self._stop()
        if self._news is not None:
            self._news.set()

    async def __aenter__(self) -> Self:
        self._begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


#: Streams that somebody waits at. The emitter holds none, so that a loop that was left lets go of its stream; but the
#: task that waits may be held by nobody else.
_awaited: set[EventStream] = set()


def _listening(
    emitter: Emitter, names: tuple[str, ...], stream: weakref.ref[EventStream]
) -> tuple[Callable[[], None], ...]:
    """Have a stream told for as long as it is there; returns what ends that."""

    def take(event: Event) -> None:
        reader = stream()
        if reader is not None:
            reader._take(event)  # noqa: SLF001 - a part of the stream

    def end() -> None:
        reader = stream()
        if reader is not None:
            reader._end()  # noqa: SLF001 - a part of the stream

    return (emitter.on_close(end), *(emitter.subscribe(name, take) for name in dict.fromkeys(names)))


def _stop_all(endings: tuple[Callable[[], None], ...]) -> None:
    for end in endings:
        end()
