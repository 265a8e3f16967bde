"""Archives: fields of entries, whole records and single bytes are wrong. What is unpacked every reader would unpack."""

# ruff: noqa: PT017 - what else can be asserted of an error that need not come?

from __future__ import annotations

import hashlib
import io
import shutil
import struct
import tempfile
import unicodedata
import zipfile
import zlib
from pathlib import Path

from fuzzing import edited, fuzz
from hypothesis import strategies as st

from capgo_client import ArchiveError
from capgo_client.install.archive import Limits
from capgo_client.install.extract import extract
from capgo_client.seams import Files
from capgo_client.testing.hostile import HOSTILE_ARCHIVES, HOSTILE_NAMES
from capgo_client.testing.raw_zip import FILE, FOLDER, LINK, UTF8, RawEntry, deflated, end_record, end_record64, wide

LIMITS = Limits(max_entries=12, max_file=50_000, max_total=60_000, max_directory=4096)
HOSTILE = [name if isinstance(name, bytes) else name.encode() for names in HOSTILE_NAMES.values() for name in names]
NAMES = st.one_of(
    st.sampled_from([b"main.py", b"MAIN.py", b"a/b.txt", b"a/", b"a", b"d/e/f", "é".encode(), "e\u0301".encode()]),
    st.sampled_from(HOSTILE),
    st.text(max_size=6).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.text("aA./\\ :ıiİſKk²2", max_size=6).map(str.encode),
    st.binary(max_size=6),
)
DATA = st.one_of(st.binary(max_size=60), st.integers(0, 60_000).map(bytes))
SIZES = st.one_of(st.none(), st.none(), st.integers(0, 100), st.sampled_from([0xFFFFFFFF, 0xFFFFFFFE, 1 << 31, 49_999]))
WIDE = st.integers(0, 2**64 - 1) | st.sampled_from([0, 1, 2**63, 2**63 - 1, 2**32, 100])
EXTRAS = st.one_of(
    st.just(b""),
    st.just(b""),
    st.lists(WIDE, max_size=4).map(lambda values: wide(*values)),
    st.binary(max_size=12),
    st.just(b"\x75\x70\x09\0\1abcd../x"),
)


GOOD_NAMES = st.one_of(
    st.integers(0, 30).map(lambda number: b"f%d.py" % number),
    st.text("abcÉé/_ıİKßs²", min_size=1, max_size=5).map(lambda text: f"n{text}n".encode()),
    st.sampled_from([b"a/b.txt", b"d/e/f", "é".encode(), "e\u0301".encode()]),
)
#: What may be wrong with an entry, or just rare.
ODDITIES = {
    "name": NAMES,
    "method": st.sampled_from([0, 99]),
    "flags": st.sampled_from([0, UTF8 | 8, 1, 0x2000, 0x840, UTF8 | 6]),
    "mode": st.sampled_from([FOLDER, LINK, 0, 0o106777, 0o010644]),
    "dos": st.just(0x10),
    "packed": st.one_of(st.binary(max_size=20), DATA.map(deflated)),
    "extra": EXTRAS,
    "comment": st.just(b"c"),
    "disk": st.just(1),
    "after": st.sampled_from([b"PK\7\x08" + bytes(12), b"z"]),
    "shared": st.just(True),
    "size": SIZES,
    "packed_size": SIZES,
    "crc": SIZES,
    "offset": SIZES,
    "local_name": NAMES,
    "local_crc": SIZES,
    "local_sizes": st.sampled_from([(0, 0), (1, 1), (0xFFFFFFFF, 0xFFFFFFFF)]),
    "local_extra": EXTRAS,
}
ODD = st.sampled_from(sorted(ODDITIES)).flatmap(lambda key: st.tuples(st.just(key), ODDITIES[key]))


@st.composite
def entries(draw):
    """A sound one, with none to two oddities."""
    name, data, form = draw(GOOD_NAMES), draw(DATA), draw(st.sampled_from(["stored", "deflated", "wide", "streamed"]))
    packed = data if form == "stored" else deflated(data)
    fields = {"mode": draw(st.sampled_from([FILE, 0, 0o100755])), "method": 0 if form == "stored" else 8}
    if form == "wide":
        fields |= {"size": 0xFFFFFFFF, "packed_size": 0xFFFFFFFF, "extra": wide(len(data), len(packed))}
    if form == "streamed":
        after = b"PK\7\x08" + struct.pack("<3L", zlib.crc32(data), len(packed), len(data))
        fields |= {"flags": UTF8 | 8, "after": after, "local_crc": 0, "local_sizes": (0, 0)}
    oddities = draw(st.sampled_from([0, 0, 0, 0, 1, 1, 2]))
    fields |= dict(draw(ODD) for _ in range(oddities))
    return RawEntry(**{"name": name, "data": data, **fields})


@st.composite
def archives(draw):
    body, central, place = bytearray(draw(st.sampled_from([b""] * 9 + [b"junk"]))), bytearray(), 0
    listed = draw(st.lists(entries(), min_size=draw(st.sampled_from([1, 1, 1, 0])), max_size=5))
    for entry in listed:
        if not entry.shared:
            place = len(body)
            body += entry.local() + entry.body() + entry.after
        central += entry.central(place)
    count, size, offset = len(listed), len(central), len(body)
    if draw(st.sampled_from([False, False, True])):
        lie = draw(st.sampled_from([None, None, None, 0, 1, 2]))
        said = [draw(WIDE) if lie == index else right for index, right in enumerate((count, size, offset))]
        last = end_record64(*said, at=len(body) + len(central)) + end_record(0xFFFF, size, offset)
    else:
        last = end_record(draw(st.sampled_from([count] * 9 + [count + 1])) & 0xFFFF, size, offset)
    return bytes(body + central) + last + draw(st.sampled_from([b""] * 9 + [b"\0"]))


def unpacked(root, data):
    """The records, or None; nothing but the target changed, and nothing but our error came."""
    target, archive = root / "in" / "files", root / "a.zip"
    target.mkdir(parents=True)
    archive.write_bytes(data)
    try:
        return extract(archive, target, files=Files(), limits=LIMITS, should_stop=lambda: False)
    except ArchiveError as exc:
        assert exc.code
        assert exc.message.isascii()
        assert exc.message.isprintable()
        return None
    finally:
        assert sorted(path.name for path in root.iterdir()) == ["a.zip", "in"]
        assert [path.name for path in (root / "in").iterdir()] == ["files"]
        assert sum(path.lstat().st_size for path in target.rglob("*") if path.is_file()) <= LIMITS.max_total + (1 << 17)


def judge(target, records, data):
    """What was accepted obeys the rules, by other means than ours: the disk, and the standard library's reader."""
    found = {}
    for path in target.rglob("*"):
        assert not path.is_symlink()
        assert path.is_file() or path.is_dir()
        assert path.stat().st_mode & 0o7077 == 0
        if path.is_file():
            found[path.relative_to(target).as_posix()] = path.read_bytes()
    assert {r.path: (r.size, r.sha256) for r in records} == {
        name: (len(content), hashlib.sha256(content).hexdigest()) for name, content in found.items()
    }
    assert len(found) == len(records) <= LIMITS.max_entries
    assert sum(map(len, found.values())) <= LIMITS.max_total
    folded = {unicodedata.normalize("NFKC", name).casefold() for name in found}
    assert len(folded) == len(found)
    with zipfile.ZipFile(io.BytesIO(data)) as other:
        files = [info for info in other.infolist() if not info.is_dir()]
        assert {info.orig_filename: other.read(info) for info in files} == found
        assert len(files) == len(found)
        lies_gapless(data, other)


def lies_gapless(data, other):
    """Every byte in front of the directory belongs to one record, which repeats what the directory says."""
    listed = sorted(other.infolist(), key=lambda info: info.header_offset)
    assert listed[0].header_offset == 0
    for info, following in zip(listed, [*(each.header_offset for each in listed[1:]), other.start_dir], strict=True):
        place = info.header_offset
        crc, packed, size, name, extra = struct.unpack_from("<3L2H", data, place + 14)
        told = (crc, packed, size)
        streamed = info.flag_bits & 8
        right = (info.CRC, info.compress_size, info.file_size)
        assert all(a in (b, 0xFFFFFFFF) for a, b in zip(told, right, strict=True)) or (streamed and told == (0, 0, 0))
        assert data[place + 30 : place + 30 + name] == info.orig_filename.encode()
        assert following - (place + 30 + name + extra + info.compress_size) in ((12, 16, 20, 24) if streamed else (0,))


@fuzz(
    quick=40,
    data=st.one_of(archives(), archives(), edited(archives())),
    corpus=[
        # ZIP64 offsets beyond what pread can be asked for: OverflowError came out (November 2026).
        {"data": HOSTILE_ARCHIVES["zip64-impossible-offset"]()},
        {"data": HOSTILE_ARCHIVES["bomb-quoted"]()},
        {"data": HOSTILE_ARCHIVES["empty"]()},
    ],
)
def test_an_archive_is_refused_or_every_reader_sees_the_same_in_it(data):
    root = Path(tempfile.mkdtemp(prefix="fuzz"))
    try:
        records = unpacked(root, data)
        if records is not None:
            judge(root / "in" / "files", records, data)
    finally:
        shutil.rmtree(root)
