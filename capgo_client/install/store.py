"""The folder of installs: where each lives, whether it is sound, who uses it, and how it goes.

::

    installs/<id>/app/        the bundle's files, read-only
                  seal.json   what it is            (install/seal.py)
                  files.json  every file of it
                  lease       locked, shared, by every process that runs from it
                  confirmed   present once it said "ready"
    staging/<id>/             one that is being made; becomes installs/<id> by one rename
    trash/                    what is being removed; nothing in it is ever opened
"""

from __future__ import annotations

import errno
import os
import stat

from capgo_client.errors import StorageError
from capgo_client.install import checked
from capgo_client.install.locks import FileLock
from capgo_client.install.owner import claim, exposed_above, is_owned
from capgo_client.install.seal import SEAL_NAME, Seal, SealError, read_seal
from capgo_client.log import Log
from capgo_client.platforms import system
from capgo_client.seams import below, folder_of, name_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from capgo_client.seams import Files, StrPath

__all__ = ["APP", "LEASE", "Store", "cannot_look", "new_id"]

APP = "app"
LEASE = "lease"
_CONFIRMED = "confirmed"
_INSTALLS, _STAGING, _TRASH, _DOWNLOADS, _STATS = "installs", "staging", "trash", "downloads", "stats"
#: Whoever makes a folder may do everything in it.
_OURS = 0o700
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

_log = Log("capgo_client.install")


def new_id() -> str:
    """A fresh id of ten letters and digits, as Capgo's (reference/plugin-behaviour.md, vocabulary)."""
    return "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in os.urandom(10))


def cannot_look(exc: OSError) -> StorageError:
    """The error for a look at an install that has to be taken another time."""
    return StorageError(f"an install cannot be looked at just now: {exc.strerror}", code="cannot_look")


class Store:
    """What is on disk below ``folder``. It knows nothing of which install is wanted."""

    def __init__(self, folder: StrPath, *, files: Files) -> None:
        #: The same as ``folder``, as text.
        self.root = os.fspath(folder)
        self._files = files
        self._owners: frozenset[int] = frozenset()

    @property
    def folder(self) -> Path:
        """The data directory."""
        return self._path()

    @property
    def installs(self) -> Path:
        """A folder for each install."""
        return self._path(_INSTALLS)

    @property
    def staging(self) -> Path:
        """What is being made."""
        return self._path(_STAGING)

    @property
    def trash(self) -> Path:
        """What is being removed."""
        return self._path(_TRASH)

    @property
    def downloads(self) -> Path:
        """What has come in part."""
        return self._path(_DOWNLOADS)

    @property
    def stats(self) -> Path:
        """The statistics that wait."""
        return self._path(_STATS)

    def _path(self, *names: str) -> Path:
        from pathlib import Path

        return Path(self.root, *names)

    def _at(self, *names: str) -> str:
        """The same as text, for what a start does."""
        return below(self.root, *names)

    def prepare(self) -> None:
        """Make the folders that are missing, private to the user. Raises OSError where that cannot be.

        From here on nothing that belongs to another user counts as sound; StorageError ``data_dir_foreign`` where the
        data directory itself, or a folder of it, is such a thing.

        A data directory that was made is brought to the platter, or a power cut could take away all that was written
        below it since. The folders in it come with the state file, before which nothing in them counts.
        """
        try:
            self._owners = claim(self.root, files=self._files)
        except FileNotFoundError:
            self._make_private(self.root)
            self._owners = claim(self.root, files=self._files)
        needed = [self._at(name) for name in (_INSTALLS, _STAGING, _TRASH, _DOWNLOADS)]
        for folder in [each for each in needed if not self._is_folder(each, self._owners)]:
            self._mkdir(folder)
            if not self._is_folder(folder):
                self._files.unlink(folder)  # a file, or a link: nothing of ours
                self._mkdir(folder)
        stats = self._at(_STATS)
        if not self._is_folder(stats) and self._files.exists(stats):
            self._files.unlink(stats)  # made by whoever writes there first

    def _make_private(self, folder: str) -> None:
        if self._files.exists(folder):
            return
        above = folder_of(folder)
        self._make_private(above)
        self._mkdir(folder)
        self._files.sync_folder(above)

    def _mkdir(self, folder: StrPath) -> None:
        try:
            self._files.mkdir(folder)
        except FileExistsError:
            return  # another process of this app was quicker

    def _is_folder(self, path: StrPath, owners: frozenset[int] = frozenset()) -> bool:
        """Whether it is a folder; one that keeps even us out is opened up, as it was made.

        Raises:
            OSError: that cannot be told.
            StorageError: ``data_dir_foreign``, it belongs to none of ``owners``.
        """
        try:
            found = self._files.lstat(path)
        except FileNotFoundError:
            return False
        mode = found.st_mode
        if stat.S_ISDIR(mode) and not is_owned(found, owners):
            raise StorageError(
                f"{name_of(path)} in the data directory belongs to another user of this machine",
                code="data_dir_foreign",
                hint=f"remove {path}",
            )
        if stat.S_ISDIR(mode) and mode & _OURS != _OURS:
            _log.warning("the folder %s may not be used by its owner; that is set right", name_of(path))
            self._files.chmod(path, _OURS)
        return stat.S_ISDIR(mode)

    def exposed_above(self) -> Path | None:
        """The folder above in which every user may put another data directory in the place of ours; None: nowhere."""
        return exposed_above(self.folder, files=self._files)

    def app_path(self, bundle_id: str) -> Path:
        """The folder that the app opens."""
        return self._path(_INSTALLS, bundle_id, APP)

    def app_text(self, bundle_id: str) -> str:
        """The same as text."""
        return self._at(_INSTALLS, bundle_id, APP)

    def seal(self, bundle_id: str) -> Seal:
        """The sealed record of an install; raises SealError, or OSError where it cannot be read just now."""
        return read_seal(self._at(_INSTALLS, bundle_id), files=self._files)

    def fault(self, bundle_id: str, *, entry: str) -> str:
        """What is wrong with an install at a glance, empty when nothing is; costs the same for any bundle's size.

        Raises StorageError ``cannot_look`` for what says nothing about the install (too many open files).
        """
        # Twice before it is believed: a version is given up for it, and one error of a disk may be the only one.
        return self._glance(bundle_id, entry) and self._glance(bundle_id, entry)

    def _glance(self, bundle_id: str, entry: str) -> str:
        try:
            self.seal(bundle_id)
            app = self.app_text(bundle_id)
            found = self._files.lstat(app)
            if not (stat.S_ISDIR(found.st_mode) and is_owned(found, self._owners)):
                return "its folder is not a folder of ours"
            if entry and not stat.S_ISREG(self._files.lstat(below(app, entry)).st_mode):
                return f"its entry {entry} is not a file"
            if not stat.S_ISREG(self._files.lstat(self._at(_INSTALLS, bundle_id, LEASE)).st_mode):
                return "its lease is not a file"  # without one it cannot be held, and what cannot is not opened
        except SealError as exc:
            return str(exc)
        except OSError as exc:
            if checked.is_passing(exc):
                raise cannot_look(exc) from exc
            return f"{exc.strerror or exc}: {exc.filename}"
        return ""

    def lease(self, bundle_id: str) -> FileLock | None:
        """A shared lock that keeps the install from being removed; None when it is being removed right now.

        Where the file system has no locks the lease is not held, and nothing is lost but the protection from a
        second process.
        """
        lock = FileLock(self._at(_INSTALLS, bundle_id, LEASE), files=self._files, shared=True)
        try:
            return lock if lock.acquire() else None
        except FileNotFoundError:
            return None
        except OSError as exc:
            _log.warning("no lease on the open bundle: %s", exc.strerror)
            return lock

    def mark_confirmed(self, bundle_id: str) -> None:
        """Note beside the files that it said "ready", for the day the state file is lost. Failing is harmless."""
        try:
            mark = self._beside(bundle_id, _CONFIRMED)
            if self._files.exists(mark) and self.confirmed_at(bundle_id) is None:
                _remove_tree(mark, files=self._files)  # a folder, or a link: nothing of ours
            self._files.close(self._files.open_update(mark))
        except OSError as exc:
            _log.debug("the confirmed mark was not written: %s", exc.strerror)

    def unmark_confirmed(self, bundle_id: str) -> None:
        """It is condemned: a rebuilt state must not open it. Failing is harmless."""
        try:
            self._files.unlink(self._beside(bundle_id, _CONFIRMED))
        except OSError as exc:
            _log.debug("the confirmed mark was not removed: %s", exc.strerror)

    def break_seal(self, bundle_id: str) -> None:
        """Take the seal away: what is damaged must never be opened or adopted again. Failing is logged."""
        try:
            self._files.unlink(self._beside(bundle_id, SEAL_NAME))
        except OSError as exc:
            _log.warning("the seal of a damaged install stays: %s", exc.strerror)

    def _beside(self, bundle_id: str, name: str) -> Path:
        """Where a file beside the bundle's own lies; raises OSError where that would lead through a link."""
        folder = self.installs / bundle_id
        if not stat.S_ISDIR(self._files.lstat(folder).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, "the install is not a folder", str(folder))
        return folder / name

    def confirmed_at(self, bundle_id: str) -> float | None:
        """When it last said "ready" for the first time (epoch seconds); None when it never did."""
        try:
            found = self._files.lstat(self._at(_INSTALLS, bundle_id, _CONFIRMED))
        except OSError:
            return None
        return found.st_mtime if stat.S_ISREG(found.st_mode) else None

    def sealed(self) -> Iterator[Seal]:
        """Every install whose seal can be read. Raises OSError where that cannot be told just now."""
        for bundle_id in self._names():
            try:
                yield self.seal(bundle_id)
            except SealError as exc:
                _log.info("install %s is passed over: %s", bundle_id, exc)

    def ids(self) -> tuple[str, ...]:
        """The names of all folders of installs, sound or not."""
        try:
            return self._names()
        except OSError as exc:
            _log.warning("the installs cannot be listed: %s", exc.strerror)
            return ()

    def _names(self) -> tuple[str, ...]:
        try:
            return tuple(sorted(entry.name for entry in self._files.scan(self._at(_INSTALLS))))
        except FileNotFoundError:
            return ()

    def remove(self, bundle_id: str, *, should_stop: Callable[[], bool] = lambda: False) -> bool:
        """Remove an install unless some process runs from it; say whether it is gone from ``installs``.

        It is renamed first, so that a half-removed one is never taken for an install.
        """
        folder, grave = self.installs / bundle_id, self.trash / f"{bundle_id}-{new_id()}"
        try:
            if not self._is_folder(folder):
                if self._files.exists(folder):
                    self._files.unlink(folder)  # a file, or a link, which is not followed: nothing of ours
                return True
            if not self._bury(folder, grave):
                return False
        except OSError as exc:
            _log.warning("install %s could not be removed: %s", bundle_id, exc.strerror)
            return False
        self._empty(grave, should_stop=should_stop)
        return True

    def is_leased(self, bundle_id: str) -> bool:
        """Whether some process runs from it, as far as can be told."""
        lease = FileLock(self.installs / bundle_id / LEASE, files=self._files)
        try:
            return self._files.exists(self.installs / bundle_id / LEASE) and not lease.acquire()
        except OSError:
            return False  # ``remove`` looks again
        finally:
            lease.release()

    def _bury(self, folder: Path, grave: Path) -> bool:
        """Rename an install into the trash; False where some process runs from it."""
        lease = FileLock(folder / LEASE, files=self._files)
        try:
            if self._files.exists(folder / LEASE) and not lease.acquire():
                return False
            if not system.RENAMES_OPEN:
                lease.release()  # from here on the rename itself fails where another process has the lease open
            self._files.rename(folder, grave)
        finally:
            lease.release()
        return True

    def sweep(self, known: frozenset[str], *, should_stop: Callable[[], bool]) -> None:
        """Remove what earlier starts left behind: half-made, half-removed and forgotten installs.

        The caller holds the install lock, so nothing in ``staging`` is being made, and knows the whole state.
        """
        self.clear_up(should_stop=should_stop)
        for bundle_id in self.ids():
            if bundle_id not in known and not should_stop():
                self.remove(bundle_id, should_stop=should_stop)

    def clear_up(self, *, should_stop: Callable[[], bool]) -> None:
        """Empty ``staging`` and ``trash``; the caller holds the install lock."""
        for folder in (self.staging, self.trash):
            for entry in self._scan(folder):
                if not should_stop():
                    self._empty(folder / entry, should_stop=should_stop)

    def drop_downloads(self, *, should_stop: Callable[[], bool]) -> None:
        """Remove what was downloaded and is not going to be installed; the caller holds the install lock."""
        for name in self._scan(self.downloads):
            try:
                _remove_tree(self.downloads / name, files=self._files, should_stop=should_stop)
            except OSError as exc:
                _log.debug("a download could not be removed: %s", exc.strerror)

    def _scan(self, folder: Path) -> tuple[str, ...]:
        try:
            return tuple(entry.name for entry in self._files.scan(folder))
        except OSError:
            return ()

    def _empty(self, path: Path, *, should_stop: Callable[[], bool]) -> None:
        try:
            # That it stands here no more comes first, or a power cut could bring back a half-empty folder there.
            self._files.sync_folder(self.installs)
            _remove_tree(path, files=self._files, should_stop=should_stop)
        except OSError as exc:
            _log.warning("%s could not be removed: %s", path.name, exc.strerror)


def _remove_tree(path: Path, *, files: Files, should_stop: Callable[[], bool] = lambda: False) -> None:
    from capgo_client.install.trees import remove_tree  # the worker's alone

    remove_tree(path, files=files, should_stop=should_stop)
