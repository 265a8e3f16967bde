"""Bringing one bundle: fetch, verify, extract, inspect, seal, publish. Used by the cycle and by ``download()``."""

from __future__ import annotations

import sys

from capgo_client.errors import ArchiveError, BindingError, ReplyError
from capgo_client.fetch.archive import fetch_archive
from capgo_client.fetch.partial import PartialKey
from capgo_client.install.archive import Limits
from capgo_client.install.builder import Origin, entry_check, install_archive
from capgo_client.install.locks import install_lock
from capgo_client.install.rebuild import install_of
from capgo_client.service import refuse_real_host
from capgo_client.verify.bound import RECORD_NAME, check_bound
from capgo_client.verify.expectation import expectation
from capgo_client.verify.keys import KeyRing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from capgo_client.config import Config
    from capgo_client.install.record import FileRecord
    from capgo_client.install.store import Store
    from capgo_client.life.state import Install
    from capgo_client.net.deadline import Scope
    from capgo_client.protocol.outcomes import Update
    from capgo_client.seams import Clock, Files
    from capgo_client.service import Service

    Progress = Callable[[int, int | None], None]

__all__ = ["MAX_DOWNLOAD", "STEP_TIMEOUT", "Arrival", "Unfit"]

#: Capgo's command line refuses uploads above this size (reference/bundle-formats.md section 2).
MAX_DOWNLOAD = 1 << 30
_RECORD_LIMIT = 16 << 20
#: A download waits at most this long for each connect, read or write; its whole length is not limited (decision 13).
STEP_TIMEOUT = 30.0


class Unfit(Exception):
    """A mark, never shown: the bundle is just as its publisher made it, and cannot be installed here."""

    def __init__(self, cause: ArchiveError | BindingError) -> None:
        super().__init__(str(cause))
        self.cause = cause


class Arrival:
    """Makes an install out of an offer. One at a time on a device: the install lock is held from fetch to publish."""

    def __init__(self, config: Config, *, store: Store, service: Service, files: Files, clock: Clock) -> None:
        self._config = config
        self._store = store
        self._service = service
        self._files = files
        self._clock = clock
        self._keys = KeyRing(config.keys) if config.keys else None

    def bring(
        self,
        update: Update,
        *,
        scope: Scope,
        progress: Progress,
        should_stop: Callable[[], bool],
        write_down: Callable[[Install], Install],
        patience: float = 0.0,
    ) -> Install:
        """Fetch and install ``update``; it is on disk and whole when this returns, and nothing points at it yet.

        ``write_down`` puts it into the state while the install lock is still held: a clean-up between the two would
        take it for a leftover.

        Raises:
            CapgoError: TransferError, IntegrityError, StorageError as ``errors`` tells.
            Unfit: every later try would end the same way.
        """
        if not update.url:
            raise ReplyError(
                f"version {update.version} is offered without an archive",
                code="no_zip",
                retryable=False,
                hint="upload it without --delta-only; delta updates are not supported yet",
            )
        refuse_real_host(update.url)
        expected = expectation(keys=self._keys, session_key=update.session_key, checksum=update.checksum)
        with install_lock(self._store.folder, files=self._files, patience=patience):
            self._store.prepare()
            archive = fetch_archive(
                update.url,
                expectation=expected,
                key=PartialKey(version=update.version, checksum=update.checksum, session_key=update.session_key),
                client=self._service.client(),
                scope=scope,
                files=self._files,
                clock=self._clock,
                folder=self._store.downloads,
                max_bytes=MAX_DOWNLOAD,
                progress=progress,
            )
            try:
                return write_down(self._install(archive, update, expected.digest.hex(), should_stop))
            finally:
                self._drop(archive)

    def _install(self, archive: Path, update: Update, sha256: str, should_stop: Callable[[], bool]) -> Install:
        origin = Origin(
            version=update.version,
            checksum=update.checksum,
            native_version=self._config.version,
            sha256=sha256,
            link=update.link,
            comment=update.comment,
        )
        try:
            seal = install_archive(
                self._store,
                archive,
                origin=origin,
                files=self._files,
                limits=Limits(),
                inspect=lambda app, records: self._inspect(app, records, update.version),
                now=self._clock.wall(),
                should_stop=should_stop,
            )
        except (ArchiveError, BindingError) as exc:
            raise Unfit(exc) from exc
        return install_of(seal)

    def _inspect(self, app: Path, records: tuple[FileRecord, ...], version: str) -> None:
        """The app's entry file is there, and the bundle's own record, if any, says what the offer said."""
        entry_check(app, self._config.entry, files=self._files)
        own = any(record.path == RECORD_NAME for record in records)
        check_bound(
            self._files.read_bytes(app / RECORD_NAME, _RECORD_LIMIT) if own else None,
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
