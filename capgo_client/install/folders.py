"""The folders of a bundle while it is made, and what a system's refusal of a name means."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from capgo_client.errors import ArchiveError

if TYPE_CHECKING:
    from pathlib import Path

    from capgo_client.seams import Files

__all__ = ["Folders", "name_refused"]

#: What a file system says of a name that it cannot keep, and what that is called here.
_NAME_TROUBLE = {
    errno.EEXIST: ("name_collision", "this file system takes it for another name of the bundle"),
    errno.ENAMETOOLONG: ("name_too_long", "it is too long for this file system"),
    errno.EILSEQ: ("name_not_utf8", "this file system cannot write it"),
    errno.EINVAL: ("name_character", "this file system does not allow it"),
}


class Folders:
    """Makes each folder below ``root`` once, private to the user."""

    def __init__(self, root: Path, *, files: Files) -> None:
        self._files = files
        self._known: dict[tuple[str, ...], Path] = {(): root}

    def make(self, parts: tuple[str, ...]) -> Path:
        """The folder of these parts, made with its parents when it is not there."""
        known = self._known.get(parts)
        if known is not None:
            return known
        path = self.make(parts[:-1]) / parts[-1]
        try:
            self._files.mkdir(path, 0o700)
        except (OSError, UnicodeEncodeError) as exc:
            name_refused(exc, parts)
            raise
        self._known[parts] = path
        return path


def name_refused(exc: OSError | UnicodeEncodeError, parts: tuple[str, ...]) -> None:
    """Raise ArchiveError for what a system's refusal of a *name* means; return for what is the disk's trouble."""
    number = exc.errno if isinstance(exc, OSError) else errno.EILSEQ
    if number in _NAME_TROUBLE:
        code, why = _NAME_TROUBLE[number]
        raise ArchiveError(
            f"the file name {'/'.join(parts)[:80]!a} cannot be kept here: {why}",
            code=code,
            hint="rename the file and pack anew",
        ) from exc
