"""The sealed record of an install: what it is, and every file of it with size and SHA-256.

It stands beside the files, not among them, in two parts: ``seal.json`` is small and read on every start, ``files.json``
holds the list and is read only by a full verify. The seal carries the list's SHA-256, so neither can change alone.
"""

from __future__ import annotations

import json
import stat

from capgo_client.install import checked
from capgo_client.seams import below, name_of
from capgo_client.values import dataclass, fields

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from capgo_client.install.record import FileRecord
    from capgo_client.seams import Files, StrPath

__all__ = ["FILES_NAME", "SEAL_NAME", "SEAL_SCHEMA", "Seal", "SealError", "file_list", "read_list", "read_seal"]

SEAL_NAME = "seal.json"
FILES_NAME = "files.json"
SEAL_SCHEMA = 1
_SEAL_LIMIT = 64 << 10
_LIST_LIMIT = 64 << 20


class SealError(ValueError):
    """The sealed record is missing, damaged, or of a newer library."""


_KINDS = {"str": (str,), "int": (int,), "float": (int, float)}


@dataclass(frozen=True, slots=True)
class Seal:
    """The small part. ``native_version`` is the installer's version at that time, ``sealed_at`` epoch seconds."""

    id: str
    version: str
    checksum: str
    native_version: str
    sealed_at: float
    file_count: int
    total_bytes: int
    list_sha256: str
    link: str = ""
    comment: str = ""
    sha256: str = ""

    def packed(self) -> bytes:
        """The seal as the bytes of its file."""
        return checked.pack({"schema": SEAL_SCHEMA, **{each.name: getattr(self, each.name) for each in fields(self)}})


def file_list(records: Sequence[FileRecord]) -> tuple[bytes, str]:
    """The bytes of ``files.json`` and their SHA-256."""
    rows = [[record.path, record.size, record.sha256] for record in records]
    data = json.dumps(rows, ensure_ascii=True, separators=(",", ":")).encode("ascii")
    return data, _sha256(data)


def _sha256(data: bytes) -> str:
    import hashlib  # only installing and the full verify come here, and every launch imports this module

    return hashlib.sha256(data).hexdigest()


def read_seal(folder: StrPath, *, files: Files) -> Seal:
    """The seal of the install in ``folder``; raises SealError for a bad one, OSError for one not readable just now."""
    try:
        if not stat.S_ISDIR(files.lstat(folder).st_mode):
            raise SealError("the seal cannot be read: its folder is a link, or no folder at all")
        document = checked.read(below(folder, SEAL_NAME), files=files, limit=_SEAL_LIMIT)
        if not isinstance(document, dict) or document.pop("schema", None) != SEAL_SCHEMA:
            raise SealError("the seal is of another library version")
        seal = Seal(**document)
    except OSError as exc:
        if checked.is_passing(exc):
            raise
        raise SealError(f"the seal cannot be read: {exc.strerror}") from exc
    except (checked.DamagedError, TypeError) as exc:
        raise SealError(f"the seal cannot be read: {exc}") from exc
    if not all(_fits(getattr(seal, f.name), f.type) for f in fields(Seal)) or seal.id != name_of(folder):
        raise SealError("the seal belongs to another install")
    return seal


def _fits(value: object, kind: str) -> bool:
    return isinstance(value, _KINDS[kind]) and not isinstance(value, bool)


def read_list(folder: StrPath, seal: Seal, *, files: Files) -> tuple[FileRecord, ...]:
    """The list that ``seal`` vouches for; raises SealError, or OSError as ``read_seal`` does."""
    from capgo_client.install.record import FileRecord

    try:
        data = files.read_bytes(below(folder, FILES_NAME), _LIST_LIMIT)
        if _sha256(data) != seal.list_sha256:
            raise SealError("the list of files is not the one that was sealed")
        rows = json.loads(data)
        if not isinstance(rows, list):
            raise SealError("the list of files is no list")
        records = tuple(FileRecord(path, size, sha256) for path, size, sha256 in rows)
    except OSError as exc:
        if checked.is_passing(exc):
            raise
        raise SealError(f"the list of files cannot be read: {exc.strerror}") from exc
    except (ValueError, TypeError, RecursionError) as exc:
        raise SealError(f"the list of files cannot be read: {exc}") from exc
    if not all(_fits(r.path, "str") and _fits(r.size, "int") and _fits(r.sha256, "str") for r in records):
        raise SealError("the list of files holds something else")
    return records
