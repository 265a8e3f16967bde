"""What a manifest asks for: each file with what it must be and the names it may have. Judged whole, before any cost.

The rules are those of reference/bundle-formats.md section 5. The manifest comes from the service unsigned; what a
signature proves is each hash by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from capgo_client.errors import ArchiveError
from capgo_client.install.names import NameSet, check_name
from capgo_client.verify.expectation import expected_digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from capgo_client.verify.keys import KeyRing

__all__ = ["MAX_ENTRIES", "Entry", "PathError", "Wanted", "read_manifest"]

#: Capgo's command line makes no longer manifest.
MAX_ENTRIES = 10_000
_COMPRESSED = ".br"


class Entry(Protocol):
    """One entry as the service sent it (``protocol.outcomes.ManifestEntry``)."""

    @property
    def file_name(self) -> str:
        """Relative path; ``.br`` at its end may or may not belong to the name."""

    @property
    def file_hash(self) -> str:
        """SHA-256 of the content in one of its forms."""

    @property
    def download_url(self) -> str:
        """Where it is."""


class PathError(ArchiveError):
    """A file name of the manifest is refused; ``file_name`` is that name."""

    code = "manifest_path_fail"

    def __init__(self, message: str, *, file_name: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.file_name = file_name


class Wanted(NamedTuple):
    """One file of the new version.

    ``raw`` is the name as it stands, ``bare`` the one without ``.br``; equal where the name does not end so. Which
    of the two is the file's own is known from how its bytes come, or from a copy that is here already.
    """

    file_name: str
    url: str
    digest: bytes
    raw: tuple[str, ...]
    bare: tuple[str, ...]

    @property
    def is_open(self) -> bool:
        """Whether its name is not known yet."""
        return self.raw != self.bare


def read_manifest(
    entries: Sequence[Entry], *, keys: KeyRing | None, max_files: int = MAX_ENTRIES
) -> tuple[Wanted, ...]:
    """Every file that the manifest asks for; with ``keys`` every hash of it is signed by one of them.

    More than ``max_files`` are refused, and more than ``MAX_ENTRIES`` in any case.

    Raises:
        ArchiveError: ``manifest_empty``, ``manifest_too_long``, ``manifest_duplicate`` (also ``app.js`` brotli'd
            beside a real ``app.js.br``, which Capgo's command line lists under one name).
        PathError: ``manifest_path_fail``: a name that not every system takes for one and the same file inside the
            bundle, also without its ``.br``; or two names that some system takes for one.
        ChecksumError, SignatureError: those of ``expected_digest``.
    """
    if not entries:
        raise ArchiveError("the manifest lists no file", code="manifest_empty", hint="upload the bundle anew")
    allowed = min(max_files, MAX_ENTRIES)
    if len(entries) > allowed:
        raise ArchiveError(
            f"the manifest lists {len(entries)} files, more than the {allowed} allowed",
            code="manifest_too_long",
            hint="upload without --delta, or with fewer files",
        )
    _check_duplicates(entries)
    names = [_names(entry.file_name) for entry in entries]
    _check_collisions(names)
    return tuple(
        Wanted(
            file_name=entry.file_name,
            url=entry.download_url,
            digest=expected_digest(keys=keys, checksum=entry.file_hash),
            raw=raw,
            bare=bare,
        )
        for entry, (raw, bare) in zip(entries, names, strict=True)
    )


def _check_duplicates(entries: Sequence[Entry]) -> None:
    seen: set[str] = set()
    for entry in entries:
        if entry.file_name in seen:
            raise ArchiveError(
                f"the manifest lists {entry.file_name[:80]!a} twice",
                code="manifest_duplicate",
                hint="is there a file beside another whose name only adds .br? rename one of them",
            )
        seen.add(entry.file_name)


def _names(file_name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    try:
        raw = check_name(file_name)
        bare = check_name(file_name.removesuffix(_COMPRESSED)) if file_name.endswith(_COMPRESSED) else raw
    except ArchiveError as exc:
        raise _refused(exc, file_name) from exc
    return raw, bare


def _check_collisions(names: Sequence[tuple[tuple[str, ...], tuple[str, ...]]]) -> None:
    """No two files whose names are known already may be one; the others are checked when theirs are known."""
    known = NameSet()
    for raw, bare in names:
        if raw == bare:
            try:
                known.add_file(raw)
            except ArchiveError as exc:
                raise _refused(exc, "/".join(raw)) from exc


def _refused(exc: ArchiveError, file_name: str) -> PathError:
    return PathError(exc.message, file_name=file_name, hint=exc.hint)
