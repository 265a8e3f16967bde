"""From a verified archive, or from verified files, to an install that can be opened (design decision 5).

Nothing is visible under ``installs`` before it is whole and on the platter: it is built in ``staging``, flushed, and
renamed once.
"""

from __future__ import annotations

import errno
import stat
from dataclasses import dataclass

from capgo_client.errors import ArchiveError, Cancelled, StorageError
from capgo_client.install import checked
from capgo_client.install.assemble import assemble
from capgo_client.install.extract import extract
from capgo_client.install.seal import FILES_NAME, SEAL_NAME, Seal, file_list
from capgo_client.install.store import APP, LEASE, Store, new_id
from capgo_client.install.trees import flush_tree, remove_tree, seal_permissions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from capgo_client.install.archive import Limits
    from capgo_client.install.assemble import Piece
    from capgo_client.install.record import FileRecord
    from capgo_client.seams import Files

    #: Looks at the extracted files before they count as a bundle; raises IntegrityError.
    Inspect = Callable[[Path, tuple[FileRecord, ...]], None]

__all__ = ["Origin", "entry_check", "install_archive", "install_files"]


@dataclass(frozen=True, slots=True)
class Origin:
    """What the seal says about where a bundle came from."""

    version: str
    checksum: str
    native_version: str
    sha256: str
    link: str = ""
    comment: str = ""


def install_archive(
    store: Store,
    archive: Path,
    *,
    origin: Origin,
    files: Files,
    limits: Limits,
    inspect: Inspect,
    now: float,
    should_stop: Callable[[], bool],
) -> Seal:
    """Extract, inspect, seal, flush and publish. Raises IntegrityError, StorageError or Cancelled; leaves nothing."""
    return _build(
        store,
        lambda app: extract(archive, app, files=files, limits=limits, should_stop=should_stop),
        origin=origin,
        files=files,
        inspect=inspect,
        now=now,
        should_stop=should_stop,
    )


def install_files(
    store: Store,
    pieces: Sequence[Piece],
    *,
    origin: Origin,
    files: Files,
    limits: Limits,
    inspect: Inspect,
    now: float,
    should_stop: Callable[[], bool],
) -> Seal:
    """As ``install_archive``, of files that are on this disk."""
    return _build(
        store,
        lambda app: assemble(pieces, app, files=files, limits=limits, should_stop=should_stop),
        origin=origin,
        files=files,
        inspect=inspect,
        now=now,
        should_stop=should_stop,
    )


def _build(
    store: Store,
    fill: Callable[[Path], tuple[FileRecord, ...]],
    *,
    origin: Origin,
    files: Files,
    inspect: Inspect,
    now: float,
    should_stop: Callable[[], bool],
) -> Seal:
    """Have an empty folder filled and make an install of it."""
    bundle_id = new_id()
    stage = store.staging / bundle_id
    published = False
    try:
        files.mkdir(stage)
        files.mkdir(stage / APP)
        records = fill(stage / APP)
        inspect(stage / APP, records)
        seal = _seal(stage, bundle_id, records, origin=origin, files=files, now=now)
        if should_stop():
            raise Cancelled("installing was stopped before the bundle was published")
        _publish(store, stage, bundle_id, files=files)
        published = True
    except OSError as exc:
        raise _translated(exc) from exc
    finally:
        if not published:
            _discard(stage, files=files)
    return seal


def _seal(
    stage: Path, bundle_id: str, records: tuple[FileRecord, ...], *, origin: Origin, files: Files, now: float
) -> Seal:
    listing, digest = file_list(records)
    seal = Seal(
        id=bundle_id,
        version=origin.version,
        checksum=origin.checksum,
        native_version=origin.native_version,
        sealed_at=now,
        file_count=len(records),
        total_bytes=sum(record.size for record in records),
        list_sha256=digest,
        link=origin.link,
        comment=origin.comment,
        sha256=origin.sha256,
    )
    for name, data in ((FILES_NAME, listing), (SEAL_NAME, seal.packed()), (LEASE, b"")):
        fd = files.open_new(stage / name)
        try:
            files.write_all(fd, data)
        finally:
            files.close(fd)
    return seal


def _publish(store: Store, stage: Path, bundle_id: str, *, files: Files) -> None:
    """Only the inner folder becomes read-only: a folder without write permission cannot be renamed everywhere.

    It does so after the flush, which may have to open each file for writing; that a power cut may undo the
    permissions harms nothing.
    """
    flush_tree(stage, files=files)
    seal_permissions(stage / APP, files=files)
    files.rename(stage, store.installs / bundle_id)
    files.sync_folder(store.installs)


def _discard(stage: Path, *, files: Files) -> None:
    try:
        remove_tree(stage, files=files)
    except OSError:
        return  # the next sweep removes what is left in staging


def _translated(exc: OSError) -> StorageError | ArchiveError:
    if checked.is_full(exc):
        return StorageError(
            "the disk is full", code="insufficient_disk_space", hint="the update is tried again when there is room"
        )
    if exc.errno == errno.ENAMETOOLONG:
        return ArchiveError("a path in the bundle is longer than this file system allows", code="name_too_long")
    return StorageError(f"the bundle cannot be written: {exc.strerror or exc}", code="storage_error")


def entry_check(app: Path, entry: str, *, files: Files) -> None:
    """The entry file that the app named must be there. Raises ArchiveError ``entry_missing``."""
    if not entry:
        return
    try:
        is_file = stat.S_ISREG(files.lstat(app / entry).st_mode)
    except OSError:
        is_file = False
    if not is_file:
        raise ArchiveError(
            f"the bundle has no {entry}",
            code="entry_missing",
            hint="upload the folder that holds it; a folder around it is not taken away",
        )
