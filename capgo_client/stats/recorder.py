"""What the rest of the library calls when something happened."""

from __future__ import annotations

import threading

from capgo_client.log import Log
from capgo_client.protocol.requests import json_body
from capgo_client.protocol.stats import StatsEvent, event_body
from capgo_client.stats.queue import MAX_EVENTS, Queue
from capgo_client.stats.sender import Sender

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from capgo_client.protocol.requests import Identity
    from capgo_client.seams import Clock, Files
    from capgo_client.stats.sender import Reply

__all__ = ["Stats"]

_log = Log("capgo_client.stats")


class Stats:
    """The statistics of one app on this device. Thread-safe; nothing raises, nothing waits for a network.

    Args:
        folder: for the queue alone; nothing is touched before the first event.
        files: the file system.
        clock: its wall side dates the events.
        identity: who is asking, at the time of the event.
        send: posts a JSON array of events; see ``Sender``.
        enabled: while false nothing is written and nothing sent; what waits stays (``clear`` forgets it).
        current: the version that runs, for the one event raised here.
        limit: the most events kept; the oldest are dropped and counted.
    """

    def __init__(
        self,
        folder: Path,
        *,
        files: Files,
        clock: Clock,
        identity: Callable[[], Identity],
        send: Callable[[bytes], Reply],
        enabled: Callable[[], bool],
        current: Callable[[], str] = lambda: "",
        limit: int = MAX_EVENTS,
    ) -> None:
        self._clock = clock
        self._identity = identity
        self._enabled = enabled
        self._current = current
        self._queue = Queue(folder, files=files, limit=limit)
        self._sender = Sender(self._queue, clock=clock, send=send, enabled=enabled, limited=self.limited)
        self._lock = threading.Lock()
        self._told_of_limit = False

    def record(
        self,
        action: str,
        *,
        version_name: str,
        old_version_name: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Write one event down; see ``StatsEvent``. Costs one short write, and may be called during a launch."""
        self.record_all([StatsEvent(action, version_name, old_version_name, metadata or {})])

    def record_all(self, events: Iterable[StatsEvent]) -> None:
        """Write several events of this moment down, in one write."""
        try:
            if not self._enabled():
                return
            identity, now = self._identity(), self._clock.wall()
            texts = [text for event in events if (text := _text(identity, event, at=now))]
            if texts:
                self._queue.append(texts)
                self._sender.news()
        except Exception:
            _log.exception("an event of the statistics is lost by a bug; the app is not touched by it")

    def limited(self, *, version_name: str = "") -> None:
        """The service answered ``too_many_requests``, to whatever: told once in a process (plugin section 1.6)."""
        with self._lock:
            first, self._told_of_limit = not self._told_of_limit, True
        if first:
            self.record("rate_limit_reached", version_name=version_name or self._current())

    def begin(self) -> None:
        """The app is open: send from now on, in a thread of our own, what earlier processes left first."""
        self._sender.begin()

    def settle(self, timeout: float) -> None:
        """For an app that is about to end: see ``Sender.settle``."""
        self._sender.settle(timeout)

    def stop(self) -> None:
        """Send no further batch; returns at once. What is under way ends with the connection."""
        self._sender.stop()

    def clear(self) -> None:
        """Forget what waits: the app turned statistics off."""
        self._queue.clear()

    @property
    def thread(self) -> threading.Thread | None:
        """The thread that sends; None before there was anything to send."""
        return self._sender.thread

    @property
    def waiting(self) -> int:
        """How many events wait to be sent; reads the file."""
        return self._queue.waiting

    @property
    def dropped(self) -> int:
        """How many events were given up because too many waited, in all processes so far; reads the file."""
        return self._queue.dropped


def _text(identity: Identity, event: StatsEvent, *, at: float) -> bytes:
    """The event as JSON; empty where the service would not know it, which must not take its neighbours along."""
    try:
        body = event_body(
            identity,
            action=event.action,
            version_name=event.version_name,
            old_version_name=event.old_version_name,
            metadata=event.metadata,
            at=at,
        )
    except ValueError:
        _log.exception("an event of the statistics is lost by a bug; the app is not touched by it")
        return b""
    return json_body(body)
