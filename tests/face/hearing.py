"""Keeps the events that an Updater tells, and waits for one without sleeping."""

from __future__ import annotations

import threading

from capgo_client.events import EVENT_NAMES


class Heard:
    """Everything that an Updater told since this was built."""

    def __init__(self, updater):
        self.events = []
        self._news = threading.Condition()
        for name in EVENT_NAMES:
            updater.on(name, self._take)

    def _take(self, event):
        with self._news:
            self.events.append(event)
            self._news.notify_all()

    @property
    def names(self):
        """In the order in which they came."""
        with self._news:
            return [event.name for event in self.events]

    def wait(self, name, timeout=5.0):
        """The first event of that name."""

        def found():
            return [event for event in self.events if event.name == name]

        with self._news:
            assert self._news.wait_for(found, timeout), f"no {name} among {[e.name for e in self.events]}"
            return found()[0]
