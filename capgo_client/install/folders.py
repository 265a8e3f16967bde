"""The folders of a bundle while it is made, and what a system's refusal of a name means.

Paths are plain texts here: objects for thousands of them cost more than the files themselves.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from capgo_client.errors import ArchiveError

if TYPE_CHECKING:
    from pathlib import Path

    from capgo_client.seams import Files

__all__ = ["Folders"]

#: What a file system says of a name that it cannot keep, and what that is called here.
_NAME_TROUBLE = {
    errno.EEXIST: ("name_collision", "this file system takes it for another name of the bundle"),
    errno.ENAMETOOLONG: ("name_too_long", "it is too long for this file system"),
    errno.EILSEQ: ("name_not_utf8", "this file system cannot write it"),
    errno.EINVAL: ("name_character", "this file system does not allow it"),
}


class Folders:
    """Makes each folder below ``root`` once, private to the user. Names are relative, ``/`` between the parts."""

    def __init__(self, root: Path, *, files: Files) -> None:
        self._files = files
        self._known = {"": os.fspath(root)}

    def make(self, name: str) -> str:
        """Where the folder ``name`` is, made with its parents when it is not there; the root's name is empty."""
        known = self._known.get(name)
        if known is not None:
            return known
        parent, _, own = name.rpartition("/")
        path = f"{self.make(parent)}{os.sep}{own}"
        try:
            self._files.mkdir(path, 0o700)
        except (OSError, UnicodeEncodeError) as exc:
            _name_refused(exc, name)
            raise
        self._known[name] = path
        return path

    def new_file(self, name: str, *, is_executable: bool = False) -> tuple[int, str]:
        """Create the file ``name``, its folder too when it is not there; return its descriptor and where it is.

        It is read-only from the start, but for us by this descriptor, unless it could not be flushed then; that
        ``trees.seal_permissions`` does for it later.
        """
        folder, _, own = name.rpartition("/")
        path = f"{self._known.get(folder) or self.make(folder)}{os.sep}{own}"
        mode = 0o500 if is_executable else 0o400
        try:
            return self._files.open_new(path, mode if self._files.flushes_readers else mode | 0o200), path
        except (OSError, UnicodeEncodeError) as exc:
            _name_refused(exc, name)
            raise


def _name_refused(exc: OSError | UnicodeEncodeError, name: str) -> None:
    """Raise ArchiveError for what a system's refusal of a *name* means; return for what is the disk's trouble."""
    number = exc.errno if isinstance(exc, OSError) else errno.EILSEQ
    if number in _NAME_TROUBLE:
        code, why = _NAME_TROUBLE[number]
        raise ArchiveError(
            f"the file name {name[:80]!a} cannot be kept here: {why}",
            code=code,
            hint="rename the file and pack anew",
        ) from exc
