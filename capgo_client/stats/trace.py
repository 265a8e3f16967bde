"""A mark that lies on the disk while the app is in front: found at the next start, the process died there.

The plugin's "unclean foreground exit" on iOS (reference/plugin-behaviour.md section 5). A process that is ended in the
background, or ends by itself, takes its mark away; only one that was killed or crashed leaves it.
"""

from __future__ import annotations

import json
import os

from capgo_client.log import Log
from capgo_client.values import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from capgo_client.seams import Files

__all__ = ["Trace", "Traced"]

_LIMIT = 1024

_log = Log("capgo_client.stats")


@dataclass(frozen=True, slots=True)
class Traced:
    """A launch: its random name, when it began (epoch milliseconds) and the version that it ran."""

    session_id: str
    started_at: str
    version: str


class Trace:
    """The mark of this process and of the one before. Nothing raises on what the disk does."""

    def __init__(self, folder: Path, *, files: Files) -> None:
        self._folder = folder
        self._path = folder / "in-front"
        self._files = files
        self._session_id = os.urandom(8).hex()

    def found(self) -> Traced | None:
        """What a process left that died in front of the person; None where none did, or it cannot be told."""
        try:
            values = json.loads(self._files.read_bytes(self._path, _LIMIT))
            found = Traced(**values)
        except (OSError, ValueError, TypeError, RecursionError):
            return None
        is_sound = all(isinstance(text, str) for text in (found.session_id, found.started_at, found.version))
        return found if is_sound and found.session_id != self._session_id else None

    def leave(self, *, started_at: str, version: str) -> None:
        """The app is in front. One small file, not flushed."""
        text = json.dumps({"session_id": self._session_id, "started_at": started_at, "version": version})
        try:
            if not self._files.exists(self._folder):
                self._files.mkdir(self._folder)
            fd = self._files.open_update(self._path)
            try:
                self._files.truncate(fd, 0)
                self._files.write_all(fd, text.encode("utf-8", "replace"))
            finally:
                self._files.close(fd)
        except OSError as exc:
            _log.debug("no mark of this launch: %s", exc.strerror)

    def take_away(self) -> None:
        """The app is no longer in front, or ends."""
        try:
            self._files.unlink(self._path)
        except OSError:
            return  # it was not there, or stays: at worst the next start takes this one for a crash
