"""Fetches the files of a delta, eight at a time, and leaves no thread behind."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from capgo_client.errors import Cancelled, CapgoError, StorageError
from capgo_client.fetch.kept import Kept
from capgo_client.fetch.one_file import OneFile
from capgo_client.fetch.pace import Pace
from capgo_client.fetch.partial import Room
from capgo_client.fetch.transfer import Means

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from capgo_client.fetch.budget import Budget
    from capgo_client.fetch.kept import Fetched
    from capgo_client.fetch.one_file import FileOrder
    from capgo_client.fetch.source import Branching, Client
    from capgo_client.seams import Clock, Files
    from capgo_client.verify.expectation import Cipher

__all__ = ["THREADS", "fetch_files"]

#: As many connections as the HTTP client keeps alive.
THREADS = 8
#: What one file counts for in the progress: its own bytes are told in parts of this.
_PARTS = 1000
#: What a request and the head of its reply cost, so that many tiny files are not taken for a slow line.
_HEAD = 1024
#: How long nothing may be heard before it is asked again whether to stop (seconds).
_LOOK = 0.05


def fetch_files(
    orders: Sequence[FileOrder],
    *,
    cipher: Cipher | None,
    session_key: str,
    client: Client,
    scope: Branching,
    files: Files,
    clock: Clock,
    folder: Path,
    budget: Budget,
    progress: Callable[[int, int | None], None],
    should_stop: Callable[[], bool],
    failed: Callable[[FileOrder, CapgoError], None],
) -> tuple[Fetched, ...]:
    """Fetch every file; the answers stand in the order of ``orders``. Nothing is fetched that ``folder`` has.

    What has come stays in ``folder`` whatever happens, and a later call goes on from there. The first file that
    fails for good ends the others.

    Args:
        orders: what to fetch.
        cipher: what all of them are encrypted with.
        session_key: names the cipher, so that no partial is used under another one.
        client: an ``HttpClient``; its connections are shared.
        scope: a ``Scope``; ``cancel()`` ends everything at once.
        files: the file system.
        clock: the clock.
        folder: of this delta alone; made when it is missing.
        budget: what they may cost together.
        progress: told (parts done, parts in all), in the calling thread; the first never goes back.
        should_stop: asked between steps.
        failed: told of the file that failed, in the calling thread, before its error is raised.

    Raises:
        TransferError, IntegrityError, StorageError: as ``fetch_archive``; and ``download_manifest_checksum_fail``,
            ``download_manifest_brotli_fail``, ``brotli_missing``.
    """
    if not orders:
        progress(1, 1)
        return ()
    room = Room(folder, files=files)
    kept = Kept(folder, files=files, room=room)
    with scope.branch() as branch:
        means = Means(client=client, scope=branch, files=files, clock=clock, room=room, pace=Pace(clock))
        crew = _Crew(orders, means=means, kept=kept, cipher=cipher, session_key=session_key, budget=budget)
        try:
            return crew.run(progress=progress, failed=failed, should_stop=should_stop)
        finally:
            branch.cancel()
            crew.leave()


@dataclass(frozen=True, slots=True)
class _Step:
    """News of one file: how much of it is here, or that it is whole, or why not."""

    index: int
    parts: int = 0
    fetched: Fetched | None = None
    error: BaseException | None = None


class _Crew:
    def __init__(
        self,
        orders: Sequence[FileOrder],
        *,
        means: Means,
        kept: Kept,
        cipher: Cipher | None,
        session_key: str,
        budget: Budget,
    ) -> None:
        self._orders = orders
        self._means = means
        self._kept = kept
        self._cipher = cipher
        self._session_key = session_key
        self._budget = budget
        self._todo = deque(range(len(orders)))
        self._news: queue.SimpleQueue[_Step | None] = queue.SimpleQueue()
        # What nobody need be woken for: it is found at the next news, or the next look.
        self._whole: deque[_Step] = deque()
        self._threads: list[threading.Thread] = []
        self._over = False

    def run(
        self,
        *,
        progress: Callable[[int, int | None], None],
        failed: Callable[[FileOrder, CapgoError], None],
        should_stop: Callable[[], bool],
    ) -> tuple[Fetched, ...]:
        self._start()
        done: dict[int, Fetched] = {}
        parts = [0] * len(self._orders)
        shown = 0
        for steps in self._heard(should_stop):
            for step in steps:
                if step.error is not None:
                    if isinstance(step.error, CapgoError) and not isinstance(step.error, Cancelled):
                        failed(self._orders[step.index], step.error)
                    raise step.error
                shown += max(0, step.parts - parts[step.index])
                parts[step.index] = max(parts[step.index], step.parts)
                if step.fetched is not None:
                    done[step.index] = step.fetched
            progress(shown, len(parts) * _PARTS)
        return tuple(done[index] for index in range(len(self._orders)))

    def leave(self) -> None:
        """Wait until every thread is gone; the scope was ended before, so that is soon."""
        self._over = True
        for thread in self._threads:
            thread.join()

    def _start(self) -> None:
        for _ in range(min(THREADS, len(self._orders))):
            thread = threading.Thread(target=self._work, name="capgo-fetch", daemon=True)
            with contextlib.suppress(RuntimeError):  # no more threads here just now: fewer will do
                thread.start()
                self._threads.append(thread)
        if not self._threads:
            raise StorageError("no thread can be started just now", code="no_threads")

    def _heard(self, should_stop: Callable[[], bool]) -> Iterator[list[_Step]]:
        """What the threads tell, until the last of them is done."""
        at_work = len(self._threads)
        while at_work:
            if should_stop():
                raise Cancelled("the download was ended from this side")
            steps = []
            with contextlib.suppress(queue.Empty):
                step = self._news.get(timeout=_LOOK)
                if step is None:
                    at_work -= 1
                else:
                    steps.append(step)
            while self._whole:
                steps.append(self._whole.popleft())
            if steps:
                yield steps

    def _work(self) -> None:
        index = 0
        try:
            while not self._over:
                try:
                    index = self._todo.popleft()
                except IndexError:
                    return
                self._whole.append(_Step(index, _PARTS, fetched=self._fetch(index)))
        except BaseException as exc:  # it is the calling thread's to raise, whatever it is
            self._news.put(_Step(index, error=exc))
        finally:
            self._news.put(None)

    def _fetch(self, index: int) -> Fetched:
        self._means.scope.check()

        def tell(done: int, total: int | None) -> None:
            if total and done < total:  # the end is told when the file is whole
                self._news.put(_Step(index, done * _PARTS // total))

        fetched = OneFile(
            self._orders[index],
            cipher=self._cipher,
            session_key=self._session_key,
            kept=self._kept,
            means=self._means,
            budget=self._budget,
            progress=tell,
        ).run()
        self._means.pace.count(_HEAD)
        return fetched
