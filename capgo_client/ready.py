"""The ready timer: a version that does not say "ready" in time is taken back at once (promise P5)."""

from __future__ import annotations

import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from capgo_client.seams import Clock

__all__ = ["ReadyTimer"]


class ReadyTimer:
    """Counts the seconds that the app spends in the foreground without saying "ready"; then calls ``expired``.

    In the background it pauses: the system may have stopped the app there, which proves nothing against it.
    """

    def __init__(self, seconds: float, expired: Callable[[], None], *, clock: Clock) -> None:
        self._left = seconds
        self._expired = expired
        self._clock = clock
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._paused = False
        self._over = False
        self.thread = threading.Thread(target=self._run, name="capgo-ready", daemon=True)

    def start(self) -> None:
        """Start to count."""
        self.thread.start()

    def pause(self) -> None:
        """The app went to the background."""
        self._set(paused=True)

    def resume(self) -> None:
        """The app came back to the foreground."""
        self._set(paused=False)

    def stop(self) -> None:
        """It said "ready", or the Updater closed. The thread ends by itself."""
        with self._lock:
            self._over = True
        self._changed.set()

    def _set(self, *, paused: bool) -> None:
        with self._lock:
            self._paused = paused
        self._changed.set()

    def _run(self) -> None:
        while self._left > 0:
            with self._lock:
                paused, over = self._paused, self._over
                self._changed.clear()
            if over:
                return
            began = self._clock.monotonic()
            changed = self._clock.wait(self._changed, None if paused else self._left)
            if not paused:
                self._left = 0.0 if not changed else self._left - (self._clock.monotonic() - began)
        with self._lock:
            if self._over:
                return
        self._expired()
