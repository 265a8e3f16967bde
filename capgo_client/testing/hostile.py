"""Archives that no device may install, each wrong in one way (reference/bundle-formats.md section 6).

    HOSTILE_ARCHIVES["traversal"]()   # the zip's bytes, with a harmless main.py beside what is wrong

Written field by field, because no zip library writes what these hold. None can do harm on a device: what lies outside
the bundle is named ``capgo_evil…`` and holds a word.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["HOSTILE_ARCHIVES"]

_FILE, _LINK, _FOLDER = 0o100644, 0o120777, 0o040755
_STORED, _DEFLATED = 0, 8
_UTF8, _ENCRYPTED = 0x0800, 0x0001
_DATE = 0x5A21
_EVIL = b"evil"


@dataclass(frozen=True, slots=True)
class _Entry:
    """One entry; None means "what is right", ``local_…`` is for the local header alone."""

    name: bytes
    data: bytes = b"print('x')\n"
    mode: int = _FILE
    method: int = _STORED
    flags: int = _UTF8
    packed: bytes | None = None
    size: int | None = None
    crc: int | None = None
    extra: bytes = b""
    local_name: bytes | None = None
    local_crc: int | None = None
    shared: bool = False

    def body(self) -> bytes:
        if self.packed is not None:
            return self.packed
        return _deflated(self.data) if self.method == _DEFLATED else self.data

    def facts(self, crc: int | None = None) -> tuple[int, int, int]:
        right = zlib.crc32(self.data) if self.crc is None else self.crc
        size = len(self.data) if self.size is None else self.size
        return (right if crc is None else crc), len(self.body()), size

    def local(self) -> bytes:
        name = self.name if self.local_name is None else self.local_name
        lengths = (len(name), len(self.extra))
        fields = (20, self.flags, self.method, 0, _DATE, *self.facts(self.local_crc), *lengths)
        return struct.pack("<4s5H3L2H", b"PK\3\4", *fields) + name + self.extra + self.body()

    def central(self, offset: int) -> bytes:
        sizes = (*self.facts(), len(self.name), len(self.extra))
        start = struct.pack("<4s2B5H3L2H", b"PK\1\2", 20, 3, 20, self.flags, self.method, 0, _DATE, *sizes)
        return start + struct.pack("<3H2L", 0, 0, 0, self.mode << 16, offset) + self.name + self.extra


def _deflated(data: bytes) -> bytes:
    engine = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return engine.compress(data) + engine.flush()


def _zip(*entries: _Entry, count: int | None = None, comment: bytes = b"", before: bytes = b"") -> bytes:
    body, central, place = bytearray(before), bytearray(), len(before)
    for entry in entries:
        if not entry.shared:  # else it points at the record of the one before
            place = len(body)
            body += entry.local()
        central += entry.central(place)
    said = len(entries) if count is None else count
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, said, said, len(central), len(body), len(comment))
    return bytes(body + central) + end + comment


_MAIN = _Entry(b"main.py")


def _with(*entries: _Entry) -> Callable[[], bytes]:
    return partial(_zip, _MAIN, *entries)


def _named(*names: str | bytes) -> Callable[[], bytes]:
    return _with(*(_Entry(name if isinstance(name, bytes) else name.encode(), _EVIL) for name in names))


def _link_then_write(link: bytes, target: bytes) -> Callable[[], bytes]:
    return _with(_Entry(link, target, mode=_LINK), _Entry(link + b"/capgo_evil_link.txt", _EVIL))


def _two_archives() -> bytes:
    """A whole second archive in the comment of the first: readers disagree which one it is."""
    return _zip(_MAIN, comment=_zip(_Entry(b"main.py", _EVIL)))


@cache
def _many_folders() -> bytes:
    return _zip(_MAIN, *(_Entry(b"d%05d/" % number, b"", mode=_FOLDER) for number in range(50_000)))


@cache
def _bomb() -> bytes:
    """Less than a tenth of a megabyte that unpacks to 80."""
    size = 80 << 20
    engine = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    piece, packed, crc = bytes(1 << 20), bytearray(), 0
    for _ in range(size >> 20):
        packed += engine.compress(piece)
        crc = zlib.crc32(piece, crc)
    packed += engine.flush()
    return _zip(_MAIN, _Entry(b"zeros.bin", b"", method=_DEFLATED, packed=bytes(packed), size=size, crc=crc))


_ZIP64 = struct.pack("<2HQ", 1, 8, 2**63 - 1)
_RESERVED = ("CON", "nul.txt", "aux/x.py", "COM1.log", "LPT\u00b9", "CONIN$", "conout$.py")

#: Every case by name; each makes the archive.
HOSTILE_ARCHIVES: Mapping[str, Callable[[], bytes]] = {
    # Names
    "traversal": _named("../capgo_evil.txt"),
    "traversal-inside": _named("a/../../capgo_evil.txt"),
    "traversal-backslash": _named("..\\capgo_evil.txt"),
    "absolute-posix": _named("/tmp/capgo_evil_abs.txt"),
    "absolute-drive": _named("C:\\capgo_evil.txt"),
    "absolute-unc": _named("//server/share/capgo_evil.txt"),
    "dot-name": _named(".", "./", ".."),
    "empty-component": _named("a//b.txt"),
    "empty-name": _named("", "/"),
    "nul-name": _named("main.py\0.txt"),
    "control-name": _named("a\nb.txt", "a\x1bb.txt", "a\x7fb.txt", "a\u202eb.txt"),
    "bad-utf8-name": _named(b"\xff\xfe"),
    "cp437-name": _with(_Entry(b"caf\x82.txt", _EVIL, flags=0)),
    "long-component": _named("n" * 300),
    "windows-ads": _named("main.py:evil", "a<b.txt"),
    "windows-reserved": _named(*_RESERVED),
    "duplicate-names": _with(_Entry(b"main.py", _EVIL)),
    "unicode-collision": _named("\u00e9.txt", "e\u0301.txt"),
    "case-collision": _named("MAIN.py"),
    "file-and-folder": _named("main.py/inside.txt"),
    # Kinds of entries
    "symlink-file": _with(_Entry(b"secret", b"/etc/passwd", mode=_LINK)),
    "symlink-dir-then-write": _link_then_write(b"lnk", b"/tmp"),
    "symlink-relative": _link_then_write(b"up", b"../../.."),
    "special-types": _with(
        _Entry(b"pipe", b"", mode=0o010644),
        _Entry(b"device", b"", mode=0o020644),
        _Entry(b"socket", b"", mode=0o140644),
    ),
    "dir-with-data": _with(_Entry(b"data/", b"12345", mode=_FOLDER)),
    "unknown-method": _with(_Entry(b"a.bin", method=99), _Entry(b"b.bin", method=93)),
    "encrypted-entry": _with(_Entry(b"a.bin", flags=_UTF8 | _ENCRYPTED)),
    # Content
    "wrong-crc": partial(_zip, _Entry(b"main.py", crc=1)),
    "corrupt-deflate": partial(_zip, _Entry(b"main.py", packed=b"\xff" * 20, size=11, method=_DEFLATED)),
    "declared-size-long": _with(_Entry(b"a.bin", bytes(100), method=_DEFLATED, size=5000)),
    "declared-size-short": _with(_Entry(b"a.bin", bytes(100), method=_DEFLATED, size=50)),
    "huge-declared-size": _with(_Entry(b"a.bin", b"12345", method=_DEFLATED, size=0xFFFFFFFE)),
    "huge-declared-zip64": _with(_Entry(b"a.bin", b"12345", method=_DEFLATED, size=0xFFFFFFFF, extra=_ZIP64)),
    "bomb": _bomb,
    # Layout
    "local-central-name-mismatch": _with(_Entry(b"readme.txt", local_name=b"../capgo_evil.txt")),
    "local-central-crc-mismatch": _with(_Entry(b"a.txt", local_crc=1)),
    "same-offset": _with(_Entry(b"other.py", shared=True)),
    "eocd-lies-count": partial(_zip, _MAIN, _Entry(b"a.txt"), _Entry(b"b.txt"), count=1),
    "two-eocd": _two_archives,
    "prefix-junk": partial(_zip, _MAIN, before=b"junk" * 16),
    "many-empty-dirs": _many_folders,
    "empty": _zip,
    "zero-bytes": bytes,
}
