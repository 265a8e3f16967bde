"""Reads a zip's directory so strictly that no two readers could see two different bundles in it.

The rules are those of reference/bundle-formats.md section 6; the layout is APPNOTE.TXT's (section numbers below).
What Capgo's command line writes passes all of them (section 2 there). The archive is trusted to nothing although its
checksum held: without a key that only says that it is what somebody announced.
"""

from __future__ import annotations

import stat
import struct
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from capgo_client.errors import ArchiveError
from capgo_client.install.archive_end import Source, damaged, find_directory
from capgo_client.install.names import NameSet, check_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from capgo_client.install.archive_end import Directory
    from capgo_client.seams import Files

__all__ = ["DEFLATED", "STORED", "Entry", "Limits", "read_directory"]

STORED, DEFLATED = 0, 8

_CENTRAL = struct.Struct("<4s4B4HL2L5H2L")  # 4.3.12
_LOCAL = struct.Struct("<4s5HL2L2H")  # 4.3.7
_CENTRAL_MARK, _LOCAL_MARK, _DESCRIPTOR_MARK = b"PK\x01\x02", b"PK\x03\x04", b"PK\x07\x08"

_MAX32 = 0xFFFFFFFF
_FLAG_DESCRIPTOR, _FLAG_UTF8 = 0x0008, 0x0800
_FLAGS_ENCRYPTED = 0x0001 | 0x0040 | 0x2000
_FLAGS_KNOWN = _FLAG_DESCRIPTOR | _FLAG_UTF8 | 0x0006  # the last two bits tell how hard deflate tried
_EXTRA_ZIP64, _EXTRA_UNICODE_NAME = 0x0001, 0x7075
_DOS_FOLDER = 0x10
_LONGEST_DESCRIPTOR = 24
_RATIO_FLOOR = 64 * 1024 * 1024
#: By which option of the Updater a limit can be changed.
_OPTIONS = {"entries": "max_files", "file": "max_file_bytes", "total": "max_bundle_bytes", "ratio": "max_ratio"}


@dataclass(frozen=True, slots=True)
class Limits:
    """What one bundle may cost. Sizes in bytes; folders count as entries.

    ``max_ratio`` (unpacked to packed) is asked only of bundles that unpack to more than 64 MiB: below that a
    harmless file of zeros would break it and a bomb does no harm.
    """

    max_entries: int = 50_000
    max_file: int = 1 << 30
    max_total: int = 4 << 30
    max_ratio: int = 200
    max_directory: int = 16 << 20


class Entry(NamedTuple):
    """A file or folder of the archive: where its data lies and what it must unpack to. ``/`` between the parts.

    Until its local header was read, ``data_offset`` is where that stands: one lean object for each of many thousands.
    """

    path: str
    is_folder: bool
    mode: int
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    data_offset: int

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of its folders and its own."""
        return tuple(self.path.split("/"))

    @property
    def is_executable(self) -> bool:
        """Whether its owner may run it."""
        return bool(self.mode & stat.S_IXUSR)


def read_directory(fd: int, size: int, *, files: Files, limits: Limits) -> tuple[Entry, ...]:
    """Every entry of the archive open at ``fd`` (``size`` bytes), in the directory's order; nothing is unpacked.

    Raises:
        ArchiveError: ``archive_end`` (no end record in the last 22 bytes), ``archive_directory`` (counts, sizes or
            places disagree), ``archive_truncated``, ``archive_empty``, ``archive_local_header`` (differs from the
            directory), ``archive_overlap`` (records are not one behind the other from the first byte on),
            ``archive_encrypted``, ``archive_flags``, ``archive_method``, ``archive_type`` (link, device, ...),
            ``archive_folder_data``, ``archive_extra``, ``size_mismatch``, ``archive_limit_entries``, ``_directory``,
            ``_file``, ``_total``, ``_ratio``, and those of ``check_name`` and ``NameSet``.
    """
    source = Source(fd=fd, size=size, files=files)
    directory = find_directory(source)
    _check_directory(directory, limits)
    entries = list(_walk(source.read(directory.offset, directory.size), directory.count))
    _check_sizes(entries, archive_size=size, limits=limits)
    _check_names(entries)
    return _locate(source, entries, directory.offset)


def _over(limit: str, why: str) -> ArchiveError:
    option = _OPTIONS.get(limit)
    hint = "make the bundle smaller" + (f", or raise Updater({option}=...)" if option else "")
    return ArchiveError(f"the archive is too big: {why}", code=f"archive_limit_{limit}", hint=hint)


def _check_directory(directory: Directory, limits: Limits) -> None:
    if directory.count > limits.max_entries:
        raise _over("entries", f"{directory.count} entries, {limits.max_entries} are allowed")
    if directory.size > limits.max_directory:
        raise _over("directory", f"a directory of {directory.size} bytes, {limits.max_directory} are allowed")
    if directory.count == 0:
        raise damaged("archive_empty", "there is nothing in it")


def _walk(block: bytes, count: int) -> Iterator[Entry]:
    place = 0
    for _ in range(count):
        if len(block) - place < _CENTRAL.size or block[place : place + 4] != _CENTRAL_MARK:
            raise damaged("archive_directory", "its directory holds fewer entries than it says")
        fields = _CENTRAL.unpack_from(block, place)
        name_size, extra_size, comment_size = fields[12:15]
        name_end = place + _CENTRAL.size + name_size
        extra_end = name_end + extra_size
        if comment_size or extra_end > len(block):
            raise damaged("archive_directory", "an entry has a comment, or runs out of the directory")
        yield _central(fields, block[name_end - name_size : name_end], block[name_end:extra_end])
        place = extra_end
    if place != len(block):
        raise damaged("archive_directory", "its directory holds more than the entries it says")


def _central(fields: tuple[int, ...], raw_name: bytes, extra: bytes) -> Entry:
    flags, method = fields[5], fields[6]
    _check_kind(flags, method)
    size, packed, offset = _widen((fields[11], fields[10], fields[18]), extra)
    if fields[15]:
        raise damaged("archive_directory", "an entry lies on another disk")
    name = _decode_name(raw_name, flags)
    is_folder = name.endswith("/")
    mode = _check_type(fields[17], is_folder)
    if is_folder and (size or packed):
        raise damaged("archive_folder_data", "a folder has content")
    if method == STORED and size != packed:
        raise damaged("size_mismatch", "an entry that is stored as it is has two sizes")
    path = name.removesuffix("/")
    check_name(path)
    return Entry(
        path=path,
        is_folder=is_folder,
        mode=mode,
        flags=flags,
        method=method,
        crc=fields[9],
        packed=packed,
        size=size,
        data_offset=offset,
    )


def _check_kind(flags: int, method: int) -> None:
    if flags & _FLAGS_ENCRYPTED:
        raise damaged("archive_encrypted", "an entry is encrypted by the zip program")
    if flags & ~_FLAGS_KNOWN:
        raise damaged("archive_flags", f"an entry has the flags {flags:#06x}")
    if method not in {STORED, DEFLATED}:
        raise damaged("archive_method", f"an entry is packed by method {method}; 0 and 8 are allowed")


def _decode_name(name: bytes, flags: int) -> str:
    try:
        return name.decode("utf-8" if flags & _FLAG_UTF8 else "ascii")
    except UnicodeDecodeError as exc:
        raise damaged("name_not_utf8", f"the file name {name[:80]!r} is not UTF-8, or not marked as such") from exc


def _check_type(attributes: int, is_folder: bool) -> int:  # noqa: FBT001  (both come from one record)
    """The permission bits, at most 0755, of a regular file or folder; other types are refused."""
    mode = attributes >> 16
    kind = stat.S_IFMT(mode)
    if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
        raise damaged("archive_type", "an entry is a link, a device or the like; only files and folders are allowed")
    looks_folder = kind == stat.S_IFDIR or bool(attributes & _DOS_FOLDER)
    contradicted = kind == stat.S_IFREG if is_folder else looks_folder
    if contradicted:
        raise damaged("archive_type", "an entry's name and type disagree on whether it is a folder")
    return mode & 0o755


def _widen(fields: tuple[int, ...], extra: bytes) -> tuple[int, ...]:
    """Replace what does not fit 32 bits by the values of the ZIP64 extra field, which come in this order (4.5.3)."""
    if not extra and _MAX32 not in fields:
        return fields
    wide, needed = _find_extra(extra), fields.count(_MAX32)
    if len(wide) < 8 * needed:
        raise damaged("archive_extra", "a ZIP64 field is too short")
    values = iter(struct.unpack_from(f"<{needed}Q", wide))
    return tuple(next(values) if field == _MAX32 else field for field in fields)


def _find_extra(extra: bytes) -> bytes:
    """The content of the ZIP64 extra field, empty without one; the rest is walked over."""
    wide, place = b"", 0
    while place < len(extra):
        if len(extra) - place < 4:  # noqa: PLR2004  (id and length)
            raise damaged("archive_extra", "an extra field is cut")
        kind, length = struct.unpack_from("<2H", extra, place)
        content = extra[place + 4 : place + 4 + length]
        if len(content) != length or kind == _EXTRA_UNICODE_NAME or (kind == _EXTRA_ZIP64 and wide):
            raise damaged("archive_extra", "an extra field is cut, twice there, or gives a second name")
        wide = content if kind == _EXTRA_ZIP64 else wide
        place += 4 + length
    return wide


def _check_sizes(entries: Sequence[Entry], *, archive_size: int, limits: Limits) -> None:
    biggest, total = max(entry.size for entry in entries), sum(entry.size for entry in entries)
    if biggest > limits.max_file:
        raise _over("file", f"a file of {biggest} bytes, {limits.max_file} are allowed")
    if total > limits.max_total:
        raise _over("total", f"{total} bytes unpacked, {limits.max_total} are allowed")
    if total > _RATIO_FLOOR and total > limits.max_ratio * archive_size:
        raise _over("ratio", f"it unpacks to {total // archive_size} times its size, {limits.max_ratio} are allowed")


def _check_names(entries: Sequence[Entry]) -> None:
    names = NameSet()
    for entry in entries:
        if entry.is_folder:
            names.add_folder(entry.parts)
        else:
            names.add_file(entry.parts)


def _locate(source: Source, entries: list[Entry], end: int) -> tuple[Entry, ...]:
    """Follow the local records from the first byte to the directory: no gap, no overlap, nothing unlisted."""
    order = sorted(range(len(entries)), key=lambda index: entries[index].data_offset)
    starts = [entries[index].data_offset for index in order]
    if starts[0] != 0:
        raise damaged("archive_overlap", "there is something before its first record")
    for index, following in zip(order, chain(starts[1:], (end,)), strict=True):
        entries[index] = entries[index]._replace(data_offset=_read_local(source, entries[index], following))
    return tuple(entries)


def _read_local(source: Source, entry: Entry, following: int) -> int:
    """Hold the local header against the directory; return where the data begins. It must end at ``following``."""
    raw_name = (entry.path + "/" * entry.is_folder).encode()
    fixed = _LOCAL.size + len(raw_name)
    header = source.read(entry.data_offset, fixed)
    mark, _, flags, method, _, _, crc, packed, size, name_size, extra_size = _LOCAL.unpack_from(header)
    same = (mark, flags, method, name_size) == (_LOCAL_MARK, entry.flags, entry.method, len(raw_name))
    if not same or header[_LOCAL.size :] != raw_name:
        raise damaged("archive_local_header", "an entry's own header differs from the directory")
    size, packed = _widen((size, packed), source.read(entry.data_offset + fixed, extra_size))
    found = (crc, packed, size)
    # With a data descriptor the header may leave the three at zero; its writer did not know them yet (4.4.4).
    unknown = bool(flags & _FLAG_DESCRIPTOR) and found == (0, 0, 0)
    if found != (entry.crc, entry.packed, entry.size) and not unknown:
        raise damaged("archive_local_header", "an entry's own sizes or CRC differ from the directory")
    start: int = entry.data_offset + fixed + extra_size
    _check_gap(source, entry, start + entry.packed, following)
    return start


def _check_gap(source: Source, entry: Entry, data_end: int, following: int) -> None:
    """Between the data and the next record there is nothing, or exactly the data descriptor (4.3.9)."""
    gap = following - data_end
    if entry.flags & _FLAG_DESCRIPTOR:
        fits = 0 < gap <= _LONGEST_DESCRIPTOR and source.read(data_end, gap) in _descriptors(entry)
    else:
        fits = gap == 0
    if not fits:
        raise damaged("archive_overlap", "its records overlap or have something between them")


def _descriptors(entry: Entry) -> set[bytes]:
    """The spellings of a descriptor: with or without its mark, sizes of four or eight bytes."""
    wide = struct.pack("<LQQ", entry.crc, entry.packed, entry.size)
    spellings = {wide, _DESCRIPTOR_MARK + wide}
    if max(entry.packed, entry.size) <= _MAX32:
        narrow = struct.pack("<3L", entry.crc, entry.packed, entry.size)
        spellings |= {narrow, _DESCRIPTOR_MARK + narrow}
    return spellings
