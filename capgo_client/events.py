"""What the app can listen to, and how it is told.

Names are the plugin's in snake_case (reference/plugin-behaviour.md section 4.2). A callback never runs under a lock of
ours; it runs where ``dispatch`` puts it (Kivy's Clock, Qt, an asyncio loop), else on a thread of ours (decision 12).
"""

from __future__ import annotations

import threading
from collections import deque

from capgo_client.log import Log
from capgo_client.values import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from capgo_client.bundle import Bundle

    Callback = Callable[["Event"], object]
    Dispatch = Callable[[Callable[[], None]], object]

__all__ = ["EVENT_NAMES", "RETAINED", "Emitter", "Event"]

EVENT_NAMES = (
    "app_ready",
    "app_reloaded",
    "breaking_available",
    "channel_private",
    "download",
    "download_complete",
    "download_failed",
    "major_available",
    "no_need_update",
    "set",
    "set_next",
    "update_available",
    "update_check_result",
    "update_failed",
)
#: What nobody listened to is kept, the last of each name, and told to the first who listens later. The plugin retains
#: the first two everywhere, the third on iOS: without it an app that decides itself could miss what it waits for.
RETAINED = frozenset({"app_ready", "set", "update_available"})

_log = Log("capgo_client.events")


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. ``percent`` counts 0 - 100; fields that an event does not use keep their default.

    ``kind`` and ``error`` are an outcome's kind and code, ``status_code`` the HTTP status it came with (0: none came),
    ``message`` is prose for a person, ``status`` that of ``app_ready``: what the update cycle came to.
    """

    name: str
    bundle: Bundle | None = None
    version: str = ""
    percent: int = 0
    kind: str = ""
    error: str = ""
    message: str = ""
    status: str = ""
    status_code: int = 0
    channel: str = ""


class Emitter:
    """Keeps the subscriptions and delivers in order; a callback that raises is logged and harms nobody."""

    def __init__(self, dispatch: Dispatch | None = None) -> None:
        self._dispatch = dispatch
        self._lock = threading.Lock()
        self._callbacks: dict[str, list[Callback]] = {name: [] for name in EVENT_NAMES}
        self._observers: dict[str, list[Callback]] = {name: [] for name in EVENT_NAMES}
        self._waiting: deque[tuple[Callback, Event]] = deque()
        self._news = threading.Event()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._retained: dict[str, Event] = {}
        self._at_close: list[Callable[[], None]] = []

    def deliver_by(self, dispatch: Dispatch) -> None:
        """Have callbacks run by ``dispatch`` from here on, where the app gave none of its own."""
        if self._dispatch is None:
            self._dispatch = dispatch

    def subscribe(self, name: str, callback: Callback) -> Callable[[], None]:
        """Call ``callback`` with each event of that name; returns what ends it. Raises ValueError for unknown names."""
        if name not in self._callbacks:
            raise ValueError(f"there is no event {name!r}; there are {', '.join(EVENT_NAMES)}")
        with self._lock:
            self._callbacks[name].append(callback)
            missed = self._retained.pop(name, None)
        if missed is not None:
            self.emit(missed, again=True)
        return lambda: self._end(self._callbacks[name], callback)

    def observe(self, name: str, callback: Callback) -> Callable[[], None]:
        """As ``subscribe``, for parts of the library: told first, and what is kept for the app's listeners stays so."""
        with self._lock:
            self._observers[name].append(callback)
        return lambda: self._end(self._observers[name], callback)

    def _end(self, listeners: list[Any], callback: object) -> None:
        with self._lock:
            if callback in listeners:
                listeners.remove(callback)

    def unsubscribe_all(self) -> None:
        """End every subscription, and forget what was kept for late listeners."""
        with self._lock:
            for callbacks in self._callbacks.values():
                callbacks.clear()
            self._retained.clear()
            ended = tuple(self._at_close)
            self._at_close.clear()
        for call in ended:
            call()

    def on_close(self, ended: Callable[[], None]) -> Callable[[], None]:
        """Call ``ended`` when nothing more will be delivered; at once when that is so. Returns what takes it back."""
        with self._lock:
            if not self._closed:
                self._at_close.append(ended)
                return lambda: self._end(self._at_close, ended)
        ended()
        return lambda: None

    def emit(self, event: Event, *, locked: bool = False, again: bool = False) -> None:
        """Have ``event`` delivered; returns at once. ``again``: it was kept, and observers heard it then.

        ``locked`` says that the caller holds a lock that the app could need: then also ``dispatch``, which may well
        call back at once, is called on a thread of ours.
        """
        apart = locked or self._dispatch is None
        with self._lock:
            callbacks = tuple(self._callbacks[event.name])
            if not callbacks and event.name in RETAINED:
                self._retained[event.name] = event
            callbacks = callbacks if again else (*self._observers[event.name], *callbacks)
            if self._closed or not callbacks:
                return
            self._waiting.extend((callback, event) for callback in callbacks)
            if apart and self._thread is None:
                self._thread = threading.Thread(target=self._deliver_for_ever, name="capgo-events", daemon=True)
                self._thread.start()
        if apart:
            self._news.set()
        else:
            self._hand_over()

    def _hand_over(self) -> None:
        try:
            if self._dispatch is None:
                self._deliver()
            else:
                self._dispatch(self._deliver)
        except Exception:
            _log.exception("dispatch raised; the event is delivered with the next one")

    def _deliver(self) -> None:
        while True:
            try:
                callback, event = self._waiting.popleft()
            except IndexError:
                return
            try:
                callback(event)
            except Exception:
                _log.exception("a callback for %s raised", event.name)

    def _deliver_for_ever(self) -> None:
        while not self._closed:
            self._news.wait()
            self._news.clear()
            self._hand_over()

    def close(self) -> None:
        """Deliver nothing more; the thread ends by itself."""
        with self._lock:
            self._closed = True
            self._waiting.clear()
            self._retained.clear()
            ended = tuple(self._at_close)
            self._at_close.clear()
        self._news.set()
        for call in ended:
            call()

    @property
    def thread(self) -> threading.Thread | None:
        """The delivering thread, where there is one."""
        return self._thread
