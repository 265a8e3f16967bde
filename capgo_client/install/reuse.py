"""Finds files that are here already: in other installs and in the builtin folder. Nothing is trusted by its name.

A sealed record only tells where to look. What stands there is hashed when it is copied, if not before as well.
"""

from __future__ import annotations

import hmac
import os
import stat
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from capgo_client.errors import Cancelled
from capgo_client.install.contents import hashed
from capgo_client.install.seal import SealError, read_list
from capgo_client.install.store import APP
from capgo_client.log import Log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from capgo_client.install.manifest import Wanted
    from capgo_client.install.store import Store
    from capgo_client.seams import Files

__all__ = ["Local", "find_local"]

#: The command line compresses no file below this size, so a shorter one was sent as it is (bundle-formats section 5).
_SMALLEST_COMPRESSED = 8192
#: How much of the builtin folder is looked at: more files than a manifest can list, and a second or two of hashing.
_MAX_BUILTIN_FILES = 20_000
_MAX_BUILTIN_BYTES = 1 << 30
_BYTE_CODE = "__pycache__"

_log = Log("capgo_client.install")


class Local(NamedTuple):
    """A file of the new version that is here: under which name it goes in, where its content stands, how long it is.

    ``sources`` are all places that should have it; the first one did, just now, or is believed to.
    """

    parts: tuple[str, ...]
    sources: tuple[str, ...]
    size: int


class _Place(NamedTuple):
    """Where a file should be and how long: ``name`` is relative to ``folder``, ``/`` between the parts."""

    folder: str
    name: str
    size: int

    @property
    def path(self) -> str:
        return self.folder + self.name.replace("/", os.sep)


def find_local(
    wanted: Sequence[Wanted],
    *,
    store: Store,
    builtin: Path | None,
    files: Files,
    should_stop: Callable[[], bool],
    believe_records: bool = False,
) -> dict[Wanted, Local]:
    """Which of the wanted files are here. Raises Cancelled; a file or folder that cannot be read is passed over.

    With ``believe_records`` no file of an install is read for that: its sealed record says what should be there. That
    is for who hashes it as it is copied, as ``assemble`` does, and comes back without where that disappoints.

    A name that ends in ``.br`` may or may not be the file's own, and the content does not tell. The copy's name does:
    one that is called as the whole entry is a file of that name, one called so without ``.br`` came compressed; one
    of any other name (the file was renamed) goes by whether its own ends in ``.br``. Where copies disagree, or where
    a file would have been compressed that is too small for that, it counts as not here: the server knows.
    """
    index = _Index(files=files, should_stop=should_stop, believe_records=believe_records)
    index.add_installs(store)
    found = index.find(wanted)
    missing = [each for each in wanted if each not in found]
    if missing and builtin is not None:
        index.add_builtin(builtin)
        found.update(index.find(missing))
    return found


class _Index:
    """Where each content should be, by its SHA-256 in hex; what was looked at is not looked at again."""

    def __init__(self, *, files: Files, should_stop: Callable[[], bool], believe_records: bool) -> None:
        self._files = files
        self._should_stop = should_stop
        self._believes = believe_records
        self._places: dict[str, list[_Place]] = {}
        self._seen: dict[str, tuple[int, str] | None] = {}

    def add_installs(self, store: Store) -> None:
        """Every file of every sealed install, as its record has it; none is read."""
        for bundle_id in reversed(store.ids()):
            try:
                records = read_list(store.installs / bundle_id, store.seal(bundle_id), files=self._files)
            except (SealError, OSError, ValueError, TypeError) as exc:
                _log.debug("nothing is taken from install %s: %s", bundle_id, exc)
                continue
            folder = f"{store.installs / bundle_id / APP}{os.sep}"
            for record in records:
                self._add(record.sha256, _Place(folder, record.path, record.size))

    def add_builtin(self, builtin: Path) -> None:
        """Every plain file of the builtin folder, hashed; links and byte code are left out."""
        left, folder = _MAX_BUILTIN_BYTES, f"{builtin}{os.sep}"
        for count, (name, size) in enumerate(_walk(folder, files=self._files)):
            left -= size
            if count >= _MAX_BUILTIN_FILES or left < 0:
                _log.info("the builtin folder is large; not all of it is looked through for files to reuse")
                return
            place = _Place(folder, name, size)
            seen = self._look(place.path)
            if seen is not None:
                self._add(seen[1], place)

    def _add(self, digest: str, place: _Place) -> None:
        self._places.setdefault(digest, []).append(place)

    def find(self, wanted: Sequence[Wanted]) -> dict[Wanted, Local]:
        """Those that are here."""
        found = {}
        for each in wanted:
            local = self._find(each)
            if local is not None:
                found[each] = local
        return found

    def _find(self, wanted: Wanted) -> Local | None:
        digest = wanted.digest.hex()
        places = self._places.get(digest, ())
        for place in places:
            size = place.size if self._believes else self._size(place, digest)
            if size is None:
                continue
            parts = _name(wanted, places, size)
            if parts is None:
                return None
            others = (other.path for other in places if other is not place)
            return Local(parts, (place.path, *others), size)
        return None

    def _size(self, place: _Place, digest: str) -> int | None:
        """How long the file of this SHA-256 is that should be there; None where it is not."""
        seen = self._look(place.path)
        return seen[0] if seen is not None and hmac.compare_digest(seen[1], digest) else None

    def _look(self, path: str) -> tuple[int, str] | None:
        """Size and SHA-256 of the plain file at ``path``; None where there is none."""
        if self._should_stop():
            raise Cancelled("the look for files to reuse was stopped")
        if path not in self._seen:
            try:
                self._seen[path] = self._hash(path)
            except OSError as exc:
                _log.debug("%s cannot be read: %s", path.rpartition(os.sep)[2], exc.strerror)
                self._seen[path] = None
        return self._seen[path]

    def _hash(self, path: str) -> tuple[int, str] | None:
        fd = self._files.open_read(path)
        try:
            found = self._files.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                return None
            size, digest = hashed(fd, size=found.st_size, files=self._files)
        finally:
            self._files.close(fd)
        return size, digest.hex()


def _name(wanted: Wanted, places: Sequence[_Place], size: int) -> tuple[str, ...] | None:
    """Which of its two names the file has, judged by what its copies are called; None where they do not tell."""
    if not wanted.is_open:
        return wanted.raw
    names = {place.name for place in places}
    raw, bare = "/".join(wanted.raw) in names, "/".join(wanted.bare) in names
    if not (raw or bare):
        raw = any(name.endswith(".br") for name in names)
        bare = not all(name.endswith(".br") for name in names)
    if raw == bare or (bare and size < _SMALLEST_COMPRESSED):
        return None
    return wanted.raw if raw else wanted.bare


def _walk(root: str, *, files: Files) -> Iterator[tuple[str, int]]:
    """Name and size of every plain file below ``root`` (a separator at its end); what cannot be listed is left out."""
    folders = [""]
    while folders:
        prefix = folders.pop()
        folder = root + prefix.replace("/", os.sep)
        try:
            entries = sorted(files.scan(folder), key=attrgetter("name"))
        except OSError as exc:
            _log.debug("%s cannot be listed: %s", prefix or "the builtin folder", exc.strerror)
            continue
        for entry in entries:
            try:
                looked = files.lstat(folder + entry.name)
            except OSError:
                continue
            if stat.S_ISDIR(looked.st_mode) and entry.name != _BYTE_CODE:
                folders.append(f"{prefix}{entry.name}/")
            elif stat.S_ISREG(looked.st_mode):
                yield prefix + entry.name, looked.st_size
