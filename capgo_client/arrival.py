"""Bringing one bundle, by its files or by its archive, from the offer to the published install."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from capgo_client.delta import Delta, drop_delta, drop_empty, sweep_deltas
from capgo_client.errors import (
    ArchiveError,
    BindingError,
    Cancelled,
    CapgoError,
    ClosedError,
    ReplyError,
    StorageError,
)
from capgo_client.fetch.archive import fetch_archive
from capgo_client.fetch.inflate import can_inflate
from capgo_client.fetch.partial import PartialKey
from capgo_client.install.archive import Limits
from capgo_client.install.builder import Origin, entry_check, install_archive, install_files
from capgo_client.install.locks import install_lock
from capgo_client.install.rebuild import install_of
from capgo_client.log import Log
from capgo_client.service import refuse_real_host
from capgo_client.verify.bound import MAX_RECORD_BYTES, RECORD_NAME, check_bound
from capgo_client.verify.expectation import expectation
from capgo_client.verify.keys import KeyRing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from capgo_client.config import Config
    from capgo_client.delta import Note
    from capgo_client.install.assemble import Piece
    from capgo_client.install.record import FileRecord
    from capgo_client.install.seal import Seal
    from capgo_client.install.store import Store
    from capgo_client.life.state import Install
    from capgo_client.net.deadline import Scope
    from capgo_client.protocol.outcomes import ManifestEntry, Update
    from capgo_client.seams import Clock, Files
    from capgo_client.service import Service

    Progress = Callable[[int, int | None], None]

__all__ = ["STEP_TIMEOUT", "Arrival", "Unfit"]

#: A download waits at most this long for each connect, read or write; its whole length is not limited (decision 13).
STEP_TIMEOUT = 30.0

_log = Log("capgo_client")


class Unfit(Exception):
    """A mark, never shown: what was offered came whole, and cannot be installed here.

    ``proof`` stands for exactly that: the checksum of an archive, the mark of a list of files. It is never the checksum
    for a list, which nobody signed: a list that mixes files of two versions would have the right one refused for ever.
    """

    def __init__(self, cause: ArchiveError | BindingError, *, proof: str) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.proof = proof


@dataclass(frozen=True, slots=True)
class _Run:
    """What ``bring`` was asked for."""

    update: Update
    scope: Scope
    progress: Progress
    should_stop: Callable[[], bool]
    write_down: Callable[[Install], Install]
    note: Note


class Arrival:
    """Makes an install out of an offer. One at a time on a device: the install lock is held from fetch to publish."""

    def __init__(self, config: Config, *, store: Store, service: Service, files: Files, clock: Clock) -> None:
        self._config = config
        self._store = store
        self._service = service
        self._files = files
        self._clock = clock
        self._keys = KeyRing(config.keys) if config.keys else None
        self._limits = Limits(
            max_entries=config.max_files,
            max_file=config.max_file_bytes,
            max_total=config.max_bundle_bytes,
            max_ratio=config.max_ratio,
        )

    def bring(
        self,
        update: Update,
        *,
        scope: Scope,
        progress: Progress,
        should_stop: Callable[[], bool],
        write_down: Callable[[Install], Install],
        on_disk: Callable[[], Install | None] = lambda: None,
        patience: float = 0.0,
        note: Note = lambda action, name: None,  # noqa: ARG005
    ) -> Install:
        """Fetch and install ``update``; it is on disk and whole when this returns, and nothing points at it yet.

        By its files where it is offered so and brotli is here, else by its archive; by that too where the files failed
        (decision 9). Both keep what has come for the next try. Where both fail it is the archive's error that is
        raised, with the other as its context.

        Args:
            update: the offer.
            scope: the time for everything together.
            progress: told (done, in all or None): bytes, or parts of files. It starts anew with the archive.
            should_stop: asked between steps.
            write_down: puts the install into the state while the install lock is still held: a clean-up between the
                two would take it for a leftover.
            on_disk: the install of that very version that another process, or thread, made while we waited for the
                install lock; it is returned as it is, and ``write_down`` is not called.
            patience: how long to wait for another process that installs (seconds).
            note: told (action, file name or "") of each step that Capgo's statistics know.

        Raises:
            CapgoError: TransferError, IntegrityError, StorageError as ``errors`` tells.
            Unfit: every later try would end the same way.
        """
        if not (update.url or update.manifest):
            raise ReplyError(
                f"version {update.version} is offered without an archive and without a manifest",
                code="no_zip",
                retryable=False,
                hint="upload it anew",
            )
        for url in filter(None, (update.url, *(entry.download_url for entry in update.manifest))):
            refuse_real_host(url)
        run = _Run(update, scope, progress, should_stop, write_down, note)
        with install_lock(self._store.folder, files=self._files, patience=patience):
            found = on_disk()
            if found is not None:
                return found
            self._prepare()
            folder = self._delta_folder(update)
            sweep_deltas(self._store.downloads, keep=folder.name, files=self._files)
            install = self._bring(run, folder)
            drop_delta(folder, files=self._files)
            return install

    def _prepare(self) -> None:
        try:
            self._store.prepare()
        except OSError as exc:
            raise StorageError(
                f"the data directory cannot be written: {exc.strerror}", code="state_unwritable"
            ) from exc

    def missing(self, manifest: Sequence[ManifestEntry], *, session_key: str) -> tuple[tuple[ManifestEntry, ...], int]:
        """The files of a manifest that would have to be downloaded, and how many it has in all. Asks nobody.

        Raises:
            IntegrityError: it could not be installed at all.
        """
        missing = self._delta(lambda: False).missing(manifest, session_key=session_key)
        return missing, len(manifest)

    def _bring(self, run: _Run, folder: Path) -> Install:
        update = run.update
        if not update.manifest or (update.url and not can_inflate()):
            return self._by_archive(run)
        try:
            return self._by_files(run, folder)
        except (CapgoError, Unfit) as exc:
            if isinstance(exc, Unfit) or exc.code == "bundle_too_large":
                drop_delta(folder, files=self._files)  # no later try has a use for it
            drop_empty(folder, files=self._files)
            if not update.url or _is_last_word(exc, run):
                raise
            _log.info("the files of %s did not come together (%s); its archive is taken", update.version, exc)
            return self._by_archive(run)

    def _by_files(self, run: _Run, folder: Path) -> Install:
        run.note("download_manifest_start", "")
        pieces = self._gathered(run, folder, believe_records=True)
        run.note("download_manifest_complete", "")
        try:
            install = self._install(run, install_files, pieces)
        except StorageError as exc:
            if exc.code != "source_changed":
                raise
            _log.info("not all is here that the records of the installs say; every file is looked at")
            install = self._install(run, install_files, self._gathered(run, folder, believe_records=False))
        return run.write_down(install)

    def _gathered(self, run: _Run, folder: Path, *, believe_records: bool) -> tuple[Piece, ...]:
        try:
            return self._delta(run.should_stop).gather(
                run.update.manifest,
                session_key=run.update.session_key,
                entry=self._config.entry,
                folder=folder,
                client=self._service.client(),
                scope=run.scope,
                progress=run.progress,
                note=run.note,
                believe_records=believe_records,
            )
        except StorageError as exc:
            if exc.code == "insufficient_disk_space":
                drop_delta(folder, files=self._files)  # others need the room now
            raise

    def _by_archive(self, run: _Run) -> Install:
        update = run.update
        expected = expectation(keys=self._keys, session_key=update.session_key, checksum=update.checksum)
        run.note("download_zip_start", "")
        archive = fetch_archive(
            update.url,
            expectation=expected,
            key=_key(update),
            client=self._service.client(),
            scope=run.scope,
            files=self._files,
            clock=self._clock,
            folder=self._store.downloads,
            max_bytes=self._config.max_download_bytes,
            progress=run.progress,
        )
        run.note("download_zip_complete", "")
        try:
            return run.write_down(self._install(run, install_archive, archive, sha256=expected.digest.hex()))
        finally:
            self._drop(archive)

    def _delta(self, should_stop: Callable[[], bool]) -> Delta:
        return Delta(
            store=self._store,
            builtin=None if self._config.builtin is None else Path(self._config.builtin),
            keys=self._keys,
            files=self._files,
            clock=self._clock,
            limits=self._limits,
            max_download=self._config.max_download_bytes,
            should_stop=should_stop,
        )

    def _delta_folder(self, update: Update) -> Path:
        return self._store.downloads / f"{_key(update).name}.delta"

    def _install(self, run: _Run, make: Callable[..., Seal], content: object, *, sha256: str = "") -> Install:
        """Have ``make`` build an install out of ``content``; ``sha256`` is the archive's."""
        update = run.update
        origin = Origin(
            version=update.version,
            checksum=update.checksum,
            native_version=self._config.version,
            sha256=sha256,
            link=update.link,
            comment=update.comment,
        )
        try:
            seal = make(
                self._store,
                content,
                origin=origin,
                files=self._files,
                limits=self._limits,
                inspect=lambda app, records: self._inspect(app, records, update.version),
                now=self._clock.wall(),
                should_stop=run.should_stop,
            )
        except (ArchiveError, BindingError) as exc:
            proof = update.checksum if make is install_archive else update.list_mark
            raise Unfit(exc, proof=proof) from exc
        return install_of(seal)

    def _inspect(self, app: Path, records: tuple[FileRecord, ...], version: str) -> None:
        """The app's entry file is there, and the bundle's own record, if any, says what the offer said."""
        entry_check(app, self._config.entry, files=self._files)
        own = any(record.path == RECORD_NAME and record.size <= MAX_RECORD_BYTES for record in records)
        check_bound(
            self._files.read_bytes(app / RECORD_NAME, MAX_RECORD_BYTES) if own else None,
            app_id=self._config.app_id,
            version=version,
            files=records,
            require=self._config.require_bound,
            platform=sys.platform,
            app_version=self._config.version,
            python_version=sys.version_info[:3],
        )

    def _drop(self, archive: Path) -> None:
        try:
            self._files.unlink(archive)
        except OSError:
            return  # the next download of another version removes it


def _key(update: Update) -> PartialKey:
    return PartialKey(version=update.version, checksum=update.checksum, session_key=update.session_key)


def _is_last_word(exc: CapgoError | Unfit, run: _Run) -> bool:
    """Whether the archive would meet the same end: it was us who stopped, or the device has no room or no time left."""
    if isinstance(exc, (Cancelled, ClosedError)) or run.should_stop():
        return True
    if isinstance(exc, CapgoError) and exc.code in {"insufficient_disk_space", "low_speed"}:
        return True
    try:
        run.scope.check()
    except CapgoError:
        return True
    return False
