"""When a download is too slow to be worth its battery (DESIGN decision 13)."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from capgo_client.errors import TransferError

if TYPE_CHECKING:
    from capgo_client.seams import Clock

__all__ = ["Pace"]

_SECONDS = 60.0
_BYTES_PER_SECOND = 1024


class Pace:
    """Ends what stays under 1 KB/s for a minute; silence is the scope's business. Several threads may share one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._since = clock.monotonic()
        self._bytes = 0

    def count(self, size: int) -> None:
        """Note ``size`` bytes that have just come.

        Raises:
            TransferError: ``low_speed``.
        """
        with self._lock:
            self._bytes += size
            passed = self._clock.monotonic() - self._since
            if passed < _SECONDS:
                return
            if self._bytes < passed * _BYTES_PER_SECOND:
                message = f"The download came at {self._bytes / passed:.0f} bytes per second for {passed:.0f} s"
                raise TransferError(message, code="low_speed", hint="it goes on from there at the next check")
            self._since += passed
            self._bytes = 0
