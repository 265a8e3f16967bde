"""A delta: the files of a new version out of what is here already and what only the server has."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from capgo_client.errors import ArchiveError, StorageError
from capgo_client.fetch.budget import Budget
from capgo_client.fetch.crew import fetch_files
from capgo_client.fetch.one_file import FileOrder
from capgo_client.fetch.partial import require_room
from capgo_client.install.assemble import Piece
from capgo_client.install.bound_empties import empty_pieces
from capgo_client.install.manifest import PathError, read_manifest
from capgo_client.install.reuse import find_local
from capgo_client.install.trees import remove_tree
from capgo_client.verify.expectation import expected_cipher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from capgo_client.fetch.kept import Fetched
    from capgo_client.install.archive import Limits
    from capgo_client.install.manifest import Wanted
    from capgo_client.install.reuse import Local
    from capgo_client.install.store import Store
    from capgo_client.net.client import HttpClient
    from capgo_client.net.deadline import Scope
    from capgo_client.protocol.outcomes import ManifestEntry
    from capgo_client.seams import Clock, Files
    from capgo_client.verify.keys import KeyRing

    Progress = Callable[[int, int | None], None]
    #: Told (action, file name or "") of what the statistics of Capgo know of (reference/plugin-behaviour.md section 5).
    Note = Callable[[str, str], None]

__all__ = ["Delta", "drop_delta", "drop_empty", "sweep_deltas"]

_FOLDER = re.compile(r"[0-9a-f]{64}\.delta")
#: What a file's failure is called in the statistics; everything else is ``download_manifest_file_fail``.
_ACTIONS = {
    "download_manifest_checksum_fail": "download_manifest_checksum_fail",
    "download_manifest_brotli_fail": "download_manifest_brotli_fail",
    "brotli_missing": "download_manifest_brotli_fail",
    "decrypt_fail": "decrypt_fail",
}


@dataclass(frozen=True, slots=True)
class Delta:
    """The parts that a delta needs; it downloads into ``folder``, which is this version's alone."""

    store: Store
    builtin: Path | None
    keys: KeyRing | None
    files: Files
    clock: Clock
    limits: Limits
    max_download: int
    should_stop: Callable[[], bool]

    def missing(self, manifest: Sequence[ManifestEntry], *, session_key: str) -> tuple[ManifestEntry, ...]:
        """The entries that would have to be downloaded; nothing is asked of the network.

        Raises:
            IntegrityError: those of ``read_manifest`` and ``expected_cipher``.
            Cancelled: ``should_stop`` said so.
        """
        wanted = read_manifest(manifest, keys=self.keys, max_files=self.limits.max_entries)
        expected_cipher(keys=self.keys, session_key=session_key)
        here = self._local(wanted, believe_records=False)
        return tuple(entry for entry, each in zip(manifest, wanted, strict=True) if each not in here)

    def gather(
        self,
        manifest: Sequence[ManifestEntry],
        *,
        session_key: str,
        entry: str,
        folder: Path,
        client: HttpClient,
        scope: Scope,
        progress: Progress,
        note: Note,
        believe_records: bool = False,
    ) -> tuple[Piece, ...]:
        """Every file of the new version, on this disk, ready to be put together.

        What was downloaded is verified, and so is what was here already, unless ``believe_records``: then the sealed
        records of the installs are believed, ``assemble`` finds out, and where it raises ``source_changed`` this is
        done again without. Nothing that came is fetched twice for that.

        Raises:
            ArchiveError: those of ``read_manifest``; ``entry_missing``, before anything is downloaded.
            IntegrityError, TransferError, StorageError: as ``fetch_files`` tells.
        """
        try:
            wanted = read_manifest(manifest, keys=self.keys, max_files=self.limits.max_entries)
        except PathError as exc:
            note("manifest_path_fail", exc.file_name)
            raise
        cipher = expected_cipher(keys=self.keys, session_key=session_key)
        _check_entry(wanted, entry)
        here = self._local(wanted, believe_records=believe_records)
        orders = _orders(each for each in wanted if each not in here)
        budget = self._budget(here)
        fetched = fetch_files(
            tuple(orders.values()),
            cipher=cipher,
            session_key=session_key,
            client=client,
            scope=scope,
            files=self.files,
            clock=self.clock,
            folder=folder,
            budget=budget,
            progress=progress,
            should_stop=self.should_stop,
            failed=lambda order, exc: note(_ACTIONS.get(exc.code, "download_manifest_file_fail"), order.name),
        )
        came = dict(zip(orders, fetched, strict=True))
        pieces = tuple(_piece(each, here.get(each), came) for each in wanted)
        return (*pieces, *empty_pieces(pieces, files=self.files))

    def _local(self, wanted: Sequence[Wanted], *, believe_records: bool) -> dict[Wanted, Local]:
        return find_local(
            wanted,
            store=self.store,
            builtin=self.builtin,
            files=self.files,
            should_stop=self.should_stop,
            believe_records=believe_records,
        )

    def _budget(self, here: dict[Wanted, Local]) -> Budget:
        """What is left for the download when the files that are here take their part. Raises ``bundle_too_large``."""
        budget = Budget(
            max_file=self.limits.max_file,
            max_total=self.limits.max_total,
            max_ratio=self.limits.max_ratio,
            max_download=self.max_download,
        )
        taken = sum(local.size for local in here.values())
        budget.spend(taken, above=0)
        require_room(taken, self.store.folder, files=self.files)
        return budget


def _check_entry(wanted: Sequence[Wanted], entry: str) -> None:
    if entry and not any(entry in ("/".join(each.raw), "/".join(each.bare)) for each in wanted):
        raise ArchiveError(
            f"the manifest has no {entry}",
            code="entry_missing",
            hint="upload the folder that holds it; an empty file is left out of a delta",
        )


def _orders(missing: Iterable[Wanted]) -> dict[object, FileOrder]:
    """What to fetch: one of each content, but each file by itself whose name depends on how it comes."""
    return {
        _fetch_key(each): FileOrder(each.file_name, each.url, each.digest, may_inflate=each.is_open) for each in missing
    }


def _fetch_key(wanted: Wanted) -> object:
    return (wanted.digest, wanted.file_name if wanted.is_open else "")


def _piece(wanted: Wanted, local: Local | None, came: dict[object, Fetched]) -> Piece:
    if local is not None:
        return Piece(local.parts, wanted.digest, local.size, local.sources)
    fetched = came[_fetch_key(wanted)]
    parts = wanted.bare if fetched.inflated else wanted.raw
    return Piece(parts, wanted.digest, fetched.size, (fetched.path,))


def sweep_deltas(downloads: Path, *, keep: str, files: Files) -> None:
    """Remove what was downloaded of other deltas than ``keep``. Raises StorageError."""
    try:
        names = [entry.name for entry in files.scan(downloads)]
    except OSError as exc:
        raise StorageError(f"the downloads cannot be listed: {exc.strerror}") from exc
    for name in names:
        if _FOLDER.fullmatch(name) and name != keep:
            drop_delta(downloads / name, files=files)


def drop_delta(folder: Path, *, files: Files) -> None:
    """Remove what was downloaded of one delta; what resists goes with the next sweep."""
    try:
        if files.exists(folder):
            remove_tree(folder, files=files)
    except OSError:
        return


def drop_empty(folder: Path, *, files: Files) -> None:
    """Remove the folder of a delta of which nothing has come."""
    try:
        files.rmdir(folder)
    except OSError:
        return
