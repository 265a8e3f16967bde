"""Bytes into the plugin's progress events and statistics: monotonic, at most one event for each percent."""

from __future__ import annotations

from capgo_client.events import Event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from capgo_client.bundle import Bundle
    from capgo_client.events import Emitter
    from capgo_client.journal import Journal

__all__ = ["Progress"]

#: The transfer is not the whole way: checking, unpacking and sealing follow (the plugin stops at 90 too).
_TRANSFER_END = 90


class Progress:
    """Called with (bytes so far, bytes in all or None)."""

    def __init__(self, emitter: Emitter, journal: Journal, *, version: str) -> None:
        self._emitter = emitter
        self._journal = journal
        self._version = version
        self._told = -1

    def __call__(self, done: int, total: int | None) -> None:
        """So many bytes of so many; without a total nothing can be told."""
        if total:
            self._tell(min(_TRANSFER_END, done * _TRANSFER_END // total))

    def finished(self, bundle: Bundle) -> None:
        """The bundle is sealed and published."""
        self._tell(100, bundle)
        self._journal.arrived(self._version)
        self._emitter.emit(Event("download_complete", bundle=bundle, version=self._version, percent=100))

    def _tell(self, percent: int, bundle: Bundle | None = None) -> None:
        if percent > self._told:
            self._journal.percent(percent, self._told, self._version)
            self._told = percent
            # While bytes come in, the install lock is held.
            self._emitter.emit(Event("download", bundle=bundle, version=self._version, percent=percent), locked=True)
