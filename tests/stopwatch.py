"""Times a block beside a thread that only sleeps: what the machine does to that one no program can be blamed for."""

from __future__ import annotations

import os
import threading
import time

#: Whether the suite runs alone, and nothing has to be forgiven.
FLAT = os.environ.get("FLAT_MARGIN") == "1"


class Stopwatch:
    """``took`` is the block's length in seconds; ``grace`` how much later than asked something may be.

    A tenth of a second, and twice (one waking on either side of a connection) the worst that the machine did to the
    sleeper so far. Under ``make timing``, which runs alone, the tenth and nothing else: FLAT_MARGIN=1.
    """

    def __enter__(self):
        self._stop = threading.Event()
        self._worst = 0.0
        self._sleeper = threading.Thread(target=self._sleep)
        self._sleeper.start()
        self.start = time.monotonic()
        return self

    def _sleep(self):
        while not self._stop.is_set():
            start = time.monotonic()
            self._stop.wait(0.01)
            self._worst = max(self._worst, time.monotonic() - start - 0.01)

    @property
    def grace(self):
        return 0.1 if FLAT else 0.1 + 2 * self._worst

    def __exit__(self, *_):
        self.took = time.monotonic() - self.start
        self._stop.set()
        self._sleeper.join()
