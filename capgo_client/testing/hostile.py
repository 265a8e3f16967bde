"""Archives that no device may install, each wrong in one way (reference/bundle-formats.md section 6).

    HOSTILE_ARCHIVES["traversal"]()   # the zip's bytes, with a harmless main.py beside what is wrong

None can do harm on a device: what lies outside the bundle is named ``capgo_evil…`` and holds a word. A case with
several names has nothing but such ones beside ``main.py``, so it shows that the first of them is refused; the tests
of the library go through them one by one (``HOSTILE_NAMES``).
"""

from __future__ import annotations

import struct
import zlib
from functools import cache, partial
from typing import TYPE_CHECKING

from .raw_zip import (
    DEFLATED,
    FOLDER,
    LINK,
    UTF8,
    RawEntry,
    deflated,
    end_record,
    end_record64,
    raw_zip,
    wide,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["HOSTILE_ARCHIVES", "HOSTILE_NAMES"]

_EVIL = b"evil"
_MAIN = RawEntry(b"main.py")
_ENCRYPTED, _STRONG, _HIDDEN, _PATCHED, _DESCRIPTOR = 0x0001, 0x0041, 0x2000, 0x0020, 0x0008
_DOS_FOLDER = 0x10
#: What the classic end record counts at most.
_MOST = 0xFFFF
_SMALL_CRC = zlib.crc32(b"data")


def _with(*entries: RawEntry) -> Callable[[], bytes]:
    return partial(raw_zip, _MAIN, *entries)


def _named(*names: str | bytes) -> Callable[[], bytes]:
    return _with(*(RawEntry(name if isinstance(name, bytes) else name.encode(), _EVIL) for name in names))


def _link_then_write(link: bytes, target: bytes) -> Callable[[], bytes]:
    return _with(RawEntry(link, target, mode=LINK), RawEntry(link + b"/capgo_evil_link.txt", _EVIL))


def _two_archives() -> bytes:
    """A whole second archive in the comment of the first: readers disagree which one it is."""
    return raw_zip(_MAIN, comment=raw_zip(RawEntry(b"main.py", _EVIL)))


@cache
def _many_folders() -> bytes:
    return _many(50_000, RawEntry(b"00000/", b"", mode=FOLDER))


@cache
def _many_files() -> bytes:
    """One file more than the classic end record can count; each of them holds nothing."""
    return _many(65_536, RawEntry(b"00000.", b""))


def _many(count: int, model: RawEntry) -> bytes:
    """So many entries like ``model``, whose name begins with the five digits of its number."""
    local, central = model.local(), model.central(0)
    head, mark = central[:-10], model.name[5:]
    body = b"".join(b"%b%05d%b" % (local[:-6], number, mark) for number in range(count))
    listed = b"".join(
        b"%b%b%05d%b" % (head, struct.pack("<L", number * len(local)), number, mark) for number in range(count)
    )
    place = (count, len(listed), len(body))
    last = end_record64(*place, at=len(body) + len(listed)) + end_record(0xFFFF, *place[1:])
    return body + listed + (last if count > _MOST else end_record(*place))


@cache
def _bomb() -> bytes:
    """Less than a tenth of a megabyte that unpacks to 80."""
    size = 80 << 20
    packed, crc = _zeros(size)
    return raw_zip(_MAIN, RawEntry(b"zeros.bin", b"", method=DEFLATED, packed=packed, size=size, crc=crc))


@cache
def _understated_bomb() -> bytes:
    """As much, of which its directory admits ten bytes."""
    packed, _ = _zeros(80 << 20)
    return raw_zip(_MAIN, RawEntry(b"zeros.bin", bytes(10), method=DEFLATED, packed=packed))


@cache
def _zeros(size: int) -> tuple[bytes, int]:
    """So many zeros as deflate data, and their CRC-32. Flushed pieces are alike, so one is made and repeated."""
    engine, piece = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS), bytes(1 << 20)
    packed = engine.compress(piece) + engine.flush(zlib.Z_FULL_FLUSH)
    crc = 0
    for _ in range(size >> 20):
        crc = zlib.crc32(piece, crc)
    return packed * (size >> 20) + engine.flush(), crc


def _total_bomb() -> bytes:
    """No file above the limit, all together far above it."""
    packed = deflated(b"12345")
    return raw_zip(
        _MAIN, *(RawEntry(b"%d.bin" % number, b"", method=DEFLATED, packed=packed, size=1 << 30) for number in range(5))
    )


@cache
def _quoted_bomb() -> bytes:
    """Overlapping files that quote each other's headers (D. Fifield, "A better zip bomb"): 30 MB out of 5 KB.

    Each entry is deflate data that begins with a stored block, which holds the header of the next one; from there on
    the two share every byte.
    """
    size, names = 1 << 20, [b"f%02d.bin" % number for number in range(30)]
    packed, content = deflated(bytes(size)), bytes(size)
    records: list[tuple[RawEntry, bytes]] = []
    for name in reversed(names):
        entry = RawEntry(name, content, method=DEFLATED, packed=packed)
        header = entry.local()
        records.insert(0, (entry, header))
        packed = struct.pack("<B2H", 0, len(header), len(header) ^ 0xFFFF) + header + packed
        content = header + content
    return _quoting(records)


def _quoting(records: list[tuple[RawEntry, bytes]]) -> bytes:
    body, central, place = _MAIN.local() + _MAIN.body(), _MAIN.central(0), 0
    place = len(body)
    body += records[0][1] + records[0][0].body()
    for entry, header in records:
        central += entry.central(place)
        place += len(header) + 5
    return body + central + end_record(len(records) + 1, len(central), len(body))


def _overlap_by_one() -> bytes:
    """The last byte of one file is the first of the next one's record."""
    first = RawEntry(b"a.bin", b"123P")
    second = RawEntry(b"b.bin", _EVIL)
    body = first.local() + b"123" + second.local() + second.body()
    central = first.central(0) + second.central(len(first.local()) + 3)
    return body + central + end_record(2, len(central), len(body))


def _directory_in_entry() -> bytes:
    """The directory lies inside the data of the only file."""
    place = len(RawEntry(b"a.bin", b"").local())
    central_size = 46 + len(b"a.bin")
    entry = RawEntry(b"a.bin", b"", size=central_size, packed_size=central_size, crc=0)
    return entry.local() + entry.central(0) + end_record(1, central_size, place)


def _far(place: int) -> Callable[[], bytes]:
    """The second record lies at ``place``, and the first claims to fill everything before it."""
    fixed = 30 + len(b"main.py") + 12
    extra = wide(place - fixed)
    first = RawEntry(b"main.py", b"x", method=DEFLATED, size=1, packed_size=0xFFFFFFFF, extra=extra, crc=0)
    second = RawEntry(b"b.py", b"", offset=0xFFFFFFFF, extra=wide(place))
    body = first.local() + deflated(b"x")
    central = first.central(0) + second.central(0)
    return lambda: body + central + end_record(2, len(central), len(body))


def _lies64() -> bytes:
    """Three entries, of which the ZIP64 end record counts two."""
    plain = raw_zip(_MAIN, RawEntry(b"a.txt"), RawEntry(b"b.txt"))
    (size, offset) = struct.unpack_from("<2L", plain, len(plain) - 10)
    return plain[:-22] + end_record64(2, size, offset, at=len(plain) - 22) + end_record(0xFFFF, size, offset)


def _disagrees64() -> bytes:
    """Two end records, each with a directory of its own."""
    plain = raw_zip(_MAIN)
    (size, offset) = struct.unpack_from("<2L", plain, len(plain) - 10)
    return plain[:-22] + end_record64(1, size, offset, at=len(plain) - 22) + end_record(0xFFFF, size, offset - 1)


def _descriptor(*facts: int) -> bytes:
    return b"PK\7\x08" + struct.pack("<3L", *facts)


def _streamed(after: bytes, **wrong: int) -> RawEntry:
    crc = wrong.get("crc", 0)
    sizes = (wrong.get("packed", 0), wrong.get("size", 0))
    return RawEntry(b"streamed.txt", b"data", flags=UTF8 | _DESCRIPTOR, after=after, local_crc=crc, local_sizes=sizes)


def _second_name(name: bytes) -> bytes:
    """Info-ZIP's Unicode path extra field (APPNOTE.TXT 4.6.9)."""
    content = struct.pack("<BL", 1, zlib.crc32(b"readme.txt")) + name
    return struct.pack("<2H", 0x7075, len(content)) + content


def _aes_extra() -> bytes:
    return struct.pack("<2HH2sBH", 0x9901, 7, 2, b"AE", 3, 0)


#: Every refused way of naming a file, by the case that it belongs to (the keys of ``HOSTILE_ARCHIVES``).
HOSTILE_NAMES: Mapping[str, tuple[str | bytes, ...]] = {
    "traversal": ("../capgo_evil.txt", "..", "../", "../../../../../../capgo_evil.txt"),
    "traversal-inside": ("a/../../capgo_evil.txt", "a/b/../../../capgo_evil.txt", "a/..", "a/../main2.py", "a/./b.py"),
    "traversal-backslash": ("..\\capgo_evil.txt", "a\\..\\..\\capgo_evil.txt", "..\\../capgo_evil.txt", "a/..\\b"),
    "traversal-dots": (".../capgo_evil.txt", "....//capgo_evil.txt", ". ./capgo_evil.txt", ".. /capgo_evil.txt"),
    "traversal-overlong": (
        b"\xc0\xae\xc0\xae/capgo_evil.txt",
        b"..\xc0\xafcapgo_evil.txt",
        b"\xe0\x80\xae\xe0\x80\xae/x",
    ),
    "traversal-fullwidth": (
        "\uff0e\uff0e/capgo_evil.txt",
        "\uff0e\uff0e\uff0fcapgo_evil.txt",
        "..\uff0fcapgo_evil.txt",
        "..\uff3ccapgo_evil.txt",
        "a/\u2025/capgo_evil.txt",
        "a/\u2024\u2024/capgo_evil.txt",
    ),
    "absolute-posix": ("/tmp/capgo_evil_abs.txt", "/capgo_evil.txt"),
    "absolute-drive": ("C:\\capgo_evil.txt", "\\capgo_evil.txt", "\\\\?\\C:\\capgo_evil.txt", "\\\\.\\PhysicalDrive0"),
    "absolute-drive-slash": ("C:/capgo_evil.txt", "c:capgo_evil.txt", "Z:"),
    "absolute-unc": ("//server/share/capgo_evil.txt", "//?/C:/capgo_evil.txt"),
    "absolute-unc-backslash": ("\\\\server\\share\\capgo_evil.txt",),
    "dot-name": (".", "./", ".."),
    "empty-component": ("a//b.txt",),
    "empty-name": ("", "/"),
    "nul-name": ("main.py\0.txt", "\0", "a.py\0", "../capgo_evil.txt\0.png"),
    "control-name": ("a\nb.txt", "a\x1bb.txt", "a\x7fb.txt", "a\u202eb.txt", "a\tb", "a\u2028b", "\ufeffa", "a\x9bb"),
    "bad-utf8-name": (
        b"\xff\xfe",
        b"caf\xe9.txt",
        b"m\0a\0i\0n\0.py\xff",
        b"\xed\xa0\x80.txt",
        b"\xf4\x90\x80\x80.txt",
    ),
    "long-component": ("n" * 300, "a/" + "\u00e9" * 128),
    "long-path": ("/".join(["n" * 200] * 6), "d/" * 64 + "x"),
    "windows-ads": ("main.py:evil", "a<b.txt", "main.py::$DATA", "a/C:/x", "a|b", "a?b", "a*b", 'a"b', "a>b"),
    "windows-reserved": (
        *(
            "CON",
            "nul.txt",
            "aux/x.py",
            "COM1.log",
            "LPT\u00b9",
            "CONIN$",
            "conout$.py",
            "NUL .txt",
            "a/prn",
            "CON.tar.gz",
        ),
        *("COM\u00b2.py", "com\u00b3", "LPT9", "clock$"),
    ),
    "trailing": ("main.py.", "main.py ", "d./x.py", "d /x.py", "NUL.txt ", "a. .", "x..."),
}

#: Every case by name; each makes the archive.
HOSTILE_ARCHIVES: Mapping[str, Callable[[], bytes]] = {
    # Names that are refused by themselves
    **{case: _named(*names) for case, names in HOSTILE_NAMES.items()},
    # Names in another encoding, which nothing tells
    "cp437-name": _with(RawEntry(b"caf\x82.txt", _EVIL, flags=0)),
    "shift-jis-name": _with(RawEntry("\u30c6\u30b9\u30c8.txt".encode("shift-jis"), _EVIL, flags=0)),
    "second-name": _with(RawEntry(b"readme.txt", extra=_second_name(b"../capgo_evil.txt"))),
    "second-name-local": _with(RawEntry(b"readme.txt", local_extra=_second_name(b"../capgo_evil.txt"))),
    # Names that are refused because of another
    "duplicate-names": _with(RawEntry(b"main.py", _EVIL)),
    "duplicate-folder": _with(RawEntry(b"d/", b"", mode=FOLDER), RawEntry(b"d/", b"", mode=FOLDER)),
    "case-collision": _named("MAIN.py"),
    "case-collision-folder": _named("Data/a.txt", "data/b.txt"),
    "unicode-collision": _named("\u00e9.txt", "e\u0301.txt"),
    "compatibility-collision": _named("x2.py", "x\u00b2.py"),
    "fullwidth-collision": _named("\uff4d\uff41\uff49\uff4e.py"),
    "ligature-collision": _named("file.py", "\ufb01le.py"),
    "sharp-s-collision": _named("stra\u00dfe.txt", "STRASSE.txt"),
    "dotless-i-collision": _named("ma\u0131n.py"),
    "dotted-i-collision": _named("MA\u0130N.PY"),
    "kelvin-collision": _named("k.py", "\u212a.py"),
    "long-s-collision": _named("setup.py", "\u017fetup.py"),
    "final-sigma-collision": _named("\u03c3.txt", "\u03c2.txt"),
    "file-and-folder": _named("main.py/inside.txt"),
    "folder-and-file": _with(RawEntry(b"d/", b"", mode=FOLDER), RawEntry(b"d", _EVIL)),
    # Kinds of entries
    "symlink-file": _with(RawEntry(b"secret", b"/etc/passwd", mode=LINK)),
    "symlink-dir-then-write": _link_then_write(b"lnk", b"/tmp"),
    "symlink-relative": _link_then_write(b"up", b"../../.."),
    "symlink-as-folder": _with(RawEntry(b"lnk/", b"", mode=LINK, dos=_DOS_FOLDER)),
    "symlink-deflated": _with(RawEntry(b"lnk", b"/tmp/" * 20, mode=LINK, method=DEFLATED)),
    "special-types": _with(
        RawEntry(b"pipe", b"", mode=0o010644),
        RawEntry(b"device", b"", mode=0o020644),
        RawEntry(b"socket", b"", mode=0o140644),
    ),
    "block-device": _with(RawEntry(b"disk", b"", mode=0o060644)),
    "unknown-type": _with(RawEntry(b"whiteout", b"", mode=0o160644)),
    "file-marked-folder": _with(RawEntry(b"data", _EVIL, mode=0, dos=_DOS_FOLDER)),
    "folder-marked-file": _with(RawEntry(b"data/", b"")),
    "dir-with-data": _with(RawEntry(b"data/", b"12345", mode=FOLDER)),
    "unknown-method": _with(RawEntry(b"a.bin", method=99), RawEntry(b"b.bin", method=93)),
    "encrypted-entry": _with(RawEntry(b"a.bin", flags=UTF8 | _ENCRYPTED)),
    "encrypted-strong": _with(RawEntry(b"a.bin", flags=UTF8 | _STRONG)),
    "encrypted-aes": _with(RawEntry(b"a.bin", flags=UTF8 | _ENCRYPTED, method=99, extra=_aes_extra())),
    "encrypted-directory": _with(RawEntry(b"a.bin", flags=UTF8 | _HIDDEN)),
    "patched-data": _with(RawEntry(b"a.bin", flags=UTF8 | _PATCHED)),
    # Content
    "wrong-crc": partial(raw_zip, RawEntry(b"main.py", crc=1)),
    "wrong-crc-deflated": _with(RawEntry(b"a.txt", method=DEFLATED, crc=1)),
    "corrupt-deflate": partial(raw_zip, RawEntry(b"main.py", packed=b"\xff" * 20, size=11, method=DEFLATED)),
    "cut-deflate": _with(RawEntry(b"a.bin", bytes(100), method=DEFLATED, packed=deflated(bytes(100))[:-1])),
    "junk-after-deflate": _with(RawEntry(b"a.bin", bytes(100), method=DEFLATED, packed=deflated(bytes(100)) + b"PK")),
    "declared-size-long": _with(RawEntry(b"a.bin", bytes(100), method=DEFLATED, size=5000)),
    "declared-size-short": _with(RawEntry(b"a.bin", bytes(100), method=DEFLATED, size=50)),
    "stored-sizes": _with(RawEntry(b"a.bin", b"12345", size=4)),
    "huge-declared-size": _with(RawEntry(b"a.bin", b"12345", method=DEFLATED, size=0xFFFFFFFE)),
    "huge-declared-zip64": _with(RawEntry(b"a.bin", b"12345", method=DEFLATED, size=0xFFFFFFFF, extra=wide(2**63 - 1))),
    "bomb": _bomb,
    "bomb-total": _total_bomb,
    "bomb-understated": _understated_bomb,
    "bomb-quoted": _quoted_bomb,
    # Layout
    "local-central-name-mismatch": _with(RawEntry(b"readme.txt", local_name=b"../capgo_evil.txt")),
    "local-central-crc-mismatch": _with(RawEntry(b"a.txt", local_crc=1)),
    "local-central-size-mismatch": _with(RawEntry(b"a.txt", b"data", local_sizes=(3, 3))),
    "descriptor-lies": _with(_streamed(_descriptor(_SMALL_CRC, 4, 5))),
    "descriptor-missing": _with(_streamed(b"")),
    "descriptor-local-lies": _with(_streamed(_descriptor(_SMALL_CRC, 4, 4), size=9, packed=9)),
    "same-offset": _with(RawEntry(b"other.py", shared=True)),
    "overlap-by-one": _overlap_by_one,
    "directory-in-entry": _directory_in_entry,
    "eocd-lies-count": partial(raw_zip, _MAIN, RawEntry(b"a.txt"), RawEntry(b"b.txt"), count=1),
    "zip64-lies-count": _lies64,
    "zip64-disagrees": _disagrees64,
    "zip64-no-extra": _with(RawEntry(b"a.bin", b"12345", method=DEFLATED, size=0xFFFFFFFF)),
    "zip64-short-extra": _with(
        RawEntry(b"a.bin", b"12345", method=DEFLATED, size=0xFFFFFFFF, packed_size=0xFFFFFFFF, extra=wide(5))
    ),
    "zip64-far-offset": _far(2**62),
    "zip64-impossible-offset": _far(2**63 + 99),
    "cut-extra": _with(RawEntry(b"a.txt", extra=b"\x99\x99\xff\x00x")),
    "multi-disk": lambda: raw_zip(_MAIN)[:-22] + end_record(1, 53, 48, disk=1),
    "multi-disk-entry": _with(RawEntry(b"a.txt", disk=1)),
    "entry-comment": _with(RawEntry(b"a.txt", comment=b"note")),
    "two-eocd": _two_archives,
    "two-archives": lambda: raw_zip(_MAIN) + raw_zip(RawEntry(b"main.py", _EVIL)),
    "prefix-junk": partial(raw_zip, _MAIN, before=b"junk" * 16),
    "suffix-junk": lambda: raw_zip(_MAIN) + b"junk",
    "cut-archive": lambda: raw_zip(_MAIN, RawEntry(b"a.bin", bytes(500)))[:-200],
    "many-empty-dirs": _many_folders,
    "many-files": _many_files,
    "empty": raw_zip,
    "zero-bytes": bytes,
}
