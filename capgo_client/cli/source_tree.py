"""The folder that a developer is about to upload: its files, what no device would install, what a delta leaves out."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from capgo_client.errors import ArchiveError
from capgo_client.install.archive import Limits
from capgo_client.install.names import NameSet, check_name
from capgo_client.install.record import FileRecord
from capgo_client.verify.bound import RECORD_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = ["Refusal", "SourceTree", "read_source_tree"]

#: Capgo's command line leaves files out of a delta whose path holds one of these anywhere
#: (reference/bundle-formats.md section 5); ``.git`` stands for ``.gitignore`` too.
_LEFT_OUT = (
    ".DS_Store",
    ".git",
    "node_modules",
    "package-lock.json",
    "tsconfig.json",
    "tsconfig.app.json",
    "tsconfig.spec.json",
)
_MOST_IN_DELTA = 10_000
_CHUNK = 1 << 20
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something for which no device would install the bundle: the code that a device has for it, and a sentence."""

    code: str
    why: str


@dataclass(frozen=True, slots=True)
class SourceTree:
    """``records``: its files but the record itself, sorted. ``refused``: what no device would install.

    ``remarks``: what Capgo's command line does to it in a delta, and what should not be shipped; a sentence each.
    """

    records: tuple[FileRecord, ...]
    refused: tuple[Refusal, ...]
    remarks: tuple[str, ...]

    @property
    def total_bytes(self) -> int:
        """What its files hold together."""
        return sum(record.size for record in self.records)


def read_source_tree(folder: Path, *, to_seal: bool = True) -> SourceTree:
    """Read every file below ``folder``. Raises OSError with the file's name.

    ``to_seal``: it is about to be sealed, rather than packed as it is. A record changes what a delta does to it.
    """
    reading = _Reading(folder)
    reading.run()
    reading.refused.extend(_over_limits(reading.records, entries=len(reading.records) + 1 + reading.folders))
    records = tuple(sorted(reading.records))
    is_sealed = to_seal or (folder / RECORD_NAME).is_file()
    more = () if to_seal else _remarks_to_pack(folder, records, is_sealed=is_sealed)
    return SourceTree(
        records, tuple(reading.refused), (*reading.remarks(), *_remarks(folder, records, is_sealed=is_sealed), *more)
    )


@dataclass(slots=True)
class _Reading:
    """One walk. A link to a file is the file: that is what Capgo's command line packs."""

    folder: Path
    records: list[FileRecord] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    folders: int = 0
    linked: list[str] = field(default_factory=list)
    bare: list[str] = field(default_factory=list)
    names: NameSet = field(default_factory=NameSet)

    def run(self) -> None:
        self.names.add_file((RECORD_NAME,))
        self._enter(self.folder)

    def remarks(self) -> Iterator[str]:
        if self.linked:
            yield f"{_some(self.linked)}: a link; what it points at goes into the bundle"
        if self.bare:
            yield f"{_some(self.bare)}: an empty folder; it is in no record, and a delta leaves it out"

    def _enter(self, folder: Path) -> bool:
        """Whether there is anything in it."""
        entries = sorted(folder.iterdir())
        for path in entries:
            name = path.relative_to(self.folder).as_posix()
            if name != RECORD_NAME or path.is_dir():
                self._take(path, name)
        return bool(entries)

    def _take(self, path: Path, name: str) -> None:
        mode = path.lstat().st_mode
        try:
            parts = check_name(name)
            if stat.S_ISDIR(mode):
                self._take_folder(path, name, parts)
            elif reason := _unfit(path, mode):
                self.refused.append(Refusal("archive_type", f"{name} {reason}"))
            else:
                self._take_file(path, name, parts)
        except ArchiveError as exc:
            self.refused.append(Refusal(exc.code, f"{exc.message} ({exc.hint})"))

    def _take_folder(self, path: Path, name: str, parts: tuple[str, ...]) -> None:
        self.names.add_folder(parts)
        self.folders += 1
        if not self._enter(path):
            self.bare.append(name)

    def _take_file(self, path: Path, name: str, parts: tuple[str, ...]) -> None:
        self.names.add_file(parts)
        if path.is_symlink():
            self.linked.append(name)
        self.records.append(FileRecord(name, *_facts(path)))


def _unfit(path: Path, mode: int) -> str:
    """Why it can be no file of a bundle; empty where it can."""
    if stat.S_ISREG(mode) or (stat.S_ISLNK(mode) and path.is_file()):
        return ""
    if not stat.S_ISLNK(mode):
        return "is neither a file nor a folder"
    if path.is_dir():
        return "is a link to a folder, of which a zip and a delta make different things: put the folder itself there"
    return "is a link that leads to no file"


def _facts(path: Path) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
    except OSError as exc:
        exc.filename = exc.filename or os.fspath(path)
        raise
    return size, digest.hexdigest()


def _over_limits(records: Iterable[FileRecord], *, entries: int) -> Iterator[Refusal]:
    """What a device's limits keep out; how much it packs to is not known yet."""
    limits, sizes = Limits(), {record.path: record.size for record in records}
    if entries > limits.max_entries:
        yield Refusal("archive_limit_entries", f"{entries} files and folders are more than {limits.max_entries}")
    if big := sorted(path for path, size in sizes.items() if size > limits.max_file):
        yield Refusal("archive_limit_file", f"{_some(big)}: more than {limits.max_file} bytes")
    if sum(sizes.values()) > limits.max_total:
        yield Refusal("archive_limit_total", f"its files hold more than {limits.max_total} bytes together")


def _remarks(folder: Path, records: tuple[FileRecord, ...], *, is_sealed: bool) -> Iterator[str]:
    place = os.fspath(folder.absolute())
    if word := next((word for word in _LEFT_OUT if word in place), ""):
        yield f"the folder's own path holds {word}: if you give --path whole, Capgo's delta leaves out everything in it"
    if len(records) >= _MOST_IN_DELTA:
        yield f"Capgo makes no delta of more than {_MOST_IN_DELTA} files"
    paths = {record.path for record in records}
    lost = "Capgo's delta leaves it out"
    for found, remark in (
        (_left_out(paths), f"{lost}, and the record lists it: devices take the whole zip" if is_sealed else lost),
        ({path for path in paths if " " in path}, "Capgo refuses to make a delta with a space in a name"),
        ({path for path in paths if f"{path}.br" in paths}, "a delta may have this name twice, with the .br beside it"),
        (
            {path for path in paths if "__pycache__" in path.split("/")},
            f"byte code; delete it before you {'seal' if is_sealed else 'pack'}",
        ),
    ):
        if found:
            yield f"{_some(sorted(found))}: {remark}"


def _remarks_to_pack(folder: Path, records: tuple[FileRecord, ...], *, is_sealed: bool) -> Iterator[str]:
    """What a delta cannot carry and a zip can; of a sealed bundle devices make the empty files themselves."""
    empty = [record.path for record in records if not record.size]
    if empty and not is_sealed:
        yield f"{_some(empty)}: empty; Capgo's delta leaves it out, so put a comment in it, or seal the folder first"
    modes = {record.path: (folder / record.path).stat().st_mode for record in records}
    executable = [path for path, mode in modes.items() if mode & stat.S_IXUSR]
    if executable and os.name != "nt":
        yield f"{_some(executable)}: executable; a delta drops that, a zip keeps it"


def _left_out(paths: Iterable[str]) -> set[str]:
    return {path for path in paths if any(word in path for word in _LEFT_OUT)}


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"
