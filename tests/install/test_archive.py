from __future__ import annotations

import lzma
import os
import struct
import zipfile
import zlib
from pathlib import Path

import pytest
from archive_maker import (
    DESCRIPTOR,
    FILE,
    FOLDER,
    LINK,
    UTF8,
    Item,
    central_header,
    deflate,
    end_record,
    local_header,
    make_zip,
)

from capgo_client.errors import ArchiveError
from capgo_client.install.archive import Entry, Limits, read_directory
from capgo_client.seams import Files

HOSTILE = Path(__file__).parent.parent / "data" / "hostile"
FOUR_GIB = 0xFFFFFFFF


def wide(*values: int) -> bytes:
    """A ZIP64 extra field."""
    return struct.pack(f"<2H{len(values)}Q", 1, 8 * len(values), *values)


@pytest.fixture
def read(tmp_path):
    def run(data: bytes, *, limits: Limits | None = None, files: Files | None = None) -> tuple[Entry, ...]:
        path = tmp_path / "a.zip"
        path.write_bytes(data)
        fd = os.open(path, os.O_RDONLY)
        try:
            return read_directory(fd, len(data), files=files or Files(), limits=limits or Limits())
        finally:
            os.close(fd)

    return run


@pytest.fixture
def code_of(read):
    def run(data: bytes, **options: object) -> str:
        with pytest.raises(ArchiveError) as caught:
            read(data, **options)
        assert caught.value.hint
        return caught.value.code

    return run


def test_entries_tell_what_the_directory_says(read):
    data = make_zip(Item("d/"), Item("d/x.py", b"print()" * 9, method=8, mode=0o100755), Item("é.txt", b"abc"))
    folder, script, text = read(data)
    assert (folder.path, folder.is_folder, folder.size) == ("d", True, 0)
    assert (script.parts, script.method, script.size, script.is_executable) == (("d", "x.py"), 8, 63, True)
    assert (text.path, text.packed, text.crc, text.is_executable) == ("é.txt", 3, zlib.crc32(b"abc"), False)
    assert data[text.data_offset :].startswith(b"abc")


@pytest.mark.parametrize(
    ("mode", "masked"),
    [(0o106755, 0o755), (0o100777, 0o755), (0o101644, 0o644), (0o100666, 0o644), (0, 0), (0o100100, 0o100)],
)
def test_a_mode_never_grants_setuid_or_writing_by_others(read, mode, masked):
    [entry] = read(make_zip(Item("tool", b"x", mode=mode)))
    assert entry.mode == masked


@pytest.mark.parametrize("host", [0, 3, 10, 19])
def test_what_other_systems_packed_is_read_alike(read, host):
    [entry] = read(make_zip(Item("a", b"x", mode=0, host=host)))
    assert (entry.path, entry.is_folder) == ("a", False)


def test_a_zip_of_the_standard_library_is_read(read, tmp_path):
    with zipfile.ZipFile(tmp_path / "std.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.py", "x" * 100)
        archive.writestr(zipfile.ZipInfo("d/"), "")
        with archive.open("wide.bin", "w", force_zip64=True) as stream:
            stream.write(b"y" * 1000)
        archive.writestr("ü.txt", "z")
    entries = read((tmp_path / "std.zip").read_bytes())
    assert [(e.path, e.size) for e in entries if not e.is_folder] == [("a.py", 100), ("wide.bin", 1000), ("ü.txt", 1)]


# --- the end of the file


def test_an_archive_with_a_zip64_end_record_is_read(read):
    assert [e.path for e in read(make_zip("a", "b", zip64=True))] == ["a", "b"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"count": 3, "here": 3},
        {"disk": 1},
        {"start": 1},
        {"here": 1},
        {"length": 45},
        {"size": 5},
        {"offset": 5},
        {"at": 7},
        {"at": 1 << 63},
        {"disks": 2},
        {"locator_disk": 1},
        {"offset": (1 << 64) - 1},
    ],
    ids=str,
)
def test_a_zip64_end_record_that_is_wrong_anywhere_is_refused(code_of, wrong):
    assert code_of(make_zip("a", "b", zip64=True, end=wrong)) in {"archive_end", "archive_directory"}


@pytest.mark.parametrize(
    ("classic", "fits"),
    [
        ((0xFFFF, FOUR_GIB, FOUR_GIB), True),
        ((2, FOUR_GIB, FOUR_GIB), True),
        ((0xFFFF, 94, 64), True),
        ((3, FOUR_GIB, FOUR_GIB), False),
        ((0xFFFF, 93, 64), False),
        ((0xFFFF, 94, 63), False),
        ((0xFFFF, 0, 0), False),
    ],
)
def test_the_two_end_records_must_agree(read, code_of, classic, fits):
    data = make_zip("a", "b", zip64=True)[:-22] + end_record(*classic)
    if fits:
        assert len(read(data)) == 2
    else:
        assert code_of(data) == "archive_end"


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"disk": 1}, "archive_end"),
        ({"start": 1}, "archive_end"),
        ({"here": 1}, "archive_end"),
        ({"comment": 5}, "archive_end"),
        ({"count": 1, "here": 1}, "archive_directory"),
        ({"count": 3, "here": 3}, "archive_directory"),
        ({"count": 0xFFFF, "here": 0xFFFF}, "archive_limit_entries"),
        ({"count": 0, "here": 0}, "archive_empty"),
        ({"size": 5}, "archive_directory"),
        ({"offset": 0}, "archive_directory"),
        ({"offset": FOUR_GIB}, "archive_directory"),
        ({"size": FOUR_GIB}, "archive_directory"),
    ],
    ids=str,
)
def test_an_end_record_that_is_wrong_anywhere_is_refused(code_of, wrong, code):
    assert code_of(make_zip("a", "b", end=wrong)) == code


def test_nothing_may_follow_the_end_record(code_of):
    assert code_of(make_zip("a", tail=b"\0")) == "archive_end"
    assert code_of(make_zip("a", end={"comment": 4}, tail=b"note")) == "archive_end"
    assert code_of(make_zip("a", tail=make_zip("b"))) == "archive_directory"


@pytest.mark.parametrize("size", [0, 1, 21])
def test_too_few_bytes_are_no_zip(code_of, size):
    assert code_of(make_zip("a")[:size]) == "archive_end"


# --- one record behind the other


@pytest.mark.parametrize(
    "items",
    [
        [Item("a", b"x", before=b"junk")],
        [Item("a", b"x", after=b"\0")],
        [Item("a", b"x"), Item("b", b"y", before=b"gap")],
        [Item("a", b"x"), Item("b", b"y", offset=0)],
        [Item("a", b"x", offset=1)],
        [Item("a", b"x"), Item("b", b"y", offset=FOUR_GIB - 1)],
        [Item("a", b"xyz", size=2, packed_size=2)],
        [Item("a", b"xyz", size=4, packed_size=4)],
        [Item("a", b"xyz", size=1 << 20, packed_size=1 << 20)],
    ],
    ids=["prefix", "suffix", "gap", "shared", "shifted", "far away", "short", "long", "beyond the end"],
)
def test_records_that_overlap_or_leave_a_gap_are_refused(code_of, items):
    assert code_of(make_zip(*items)) == "archive_overlap"


def test_records_may_stand_in_another_order_than_the_directory(read):
    body, directory = b"", b""
    for item in (Item("a", b"x"), Item("b", b"yy")):
        directory = central_header(item, len(body)) + directory
        body += local_header(item) + item.data
    data = body + directory + end_record(2, len(directory), len(body))
    assert [(e.path, e.size, data[e.data_offset]) for e in read(data)] == [("b", 2, ord("y")), ("a", 1, ord("x"))]


CRC = zlib.crc32(b"data")


@pytest.mark.parametrize(
    "descriptor",
    [
        struct.pack("<3L", CRC, 4, 4),
        b"PK\7\x08" + struct.pack("<3L", CRC, 4, 4),
        struct.pack("<LQQ", CRC, 4, 4),
        b"PK\7\x08" + struct.pack("<LQQ", CRC, 4, 4),
    ],
)
def test_a_data_descriptor_of_any_spelling_is_read(read, descriptor):
    unknown = {"crc": 0, "size": 0, "packed_size": 0}
    streamed = Item("s", b"data", flags=UTF8 | DESCRIPTOR, after=descriptor, local=unknown)
    assert [e.path for e in read(make_zip(streamed, "z"))] == ["s", "z"]


@pytest.mark.parametrize(
    ("descriptor", "local"),
    [
        (b"", {"crc": 0, "size": 0, "packed_size": 0}),
        (struct.pack("<3L", CRC, 4, 5), {}),
        (struct.pack("<3L", CRC + 1, 4, 4), {}),
        (b"PK\7\x08" + struct.pack("<3L", CRC, 4, 4) + b"\0", {}),
        (b"PK\7\x09" + struct.pack("<3L", CRC, 4, 4), {}),
        (b"x" * 40, {}),
    ],
)
def test_a_data_descriptor_that_is_missing_or_differs_is_refused(code_of, descriptor, local):
    streamed = Item("s", b"data", flags=UTF8 | DESCRIPTOR, after=descriptor, local=local)
    assert code_of(make_zip(streamed, "z")) == "archive_overlap"


def test_a_descriptor_that_no_flag_announces_is_junk(code_of):
    assert code_of(make_zip(Item("s", b"data", after=struct.pack("<3L", CRC, 4, 4)))) == "archive_overlap"


# --- local header against directory


@pytest.mark.parametrize(
    "local",
    [
        {"name": "../evil"},
        {"name": "sam"},
        {"name": "samE"},
        {"method": 8, "packed": b"data"},
        {"flags": 0},
        {"flags": UTF8 | DESCRIPTOR},
        {"crc": 0},
        {"crc": 0, "size": 0, "packed_size": 0},
        {"size": 5},
        {"packed_size": 5},
    ],
    ids=str,
)
def test_a_local_header_that_differs_from_the_directory_is_refused(code_of, local):
    assert code_of(make_zip(Item("same", b"data", local=local))) == "archive_local_header"


def test_a_descriptor_flag_does_not_excuse_other_sizes(code_of):
    lying = Item("s", b"data", flags=UTF8 | DESCRIPTOR, local={"size": 9}, after=struct.pack("<3L", CRC, 4, 4))
    assert code_of(make_zip(lying)) == "archive_local_header"


def test_a_record_that_is_no_local_header_is_refused(code_of):
    assert code_of(make_zip("a").replace(b"PK\3\4", b"PK\3\5")) == "archive_local_header"


# --- kinds


@pytest.mark.parametrize(
    ("item", "code"),
    [
        (Item("a", b"x", flags=UTF8 | 0x0001), "archive_encrypted"),
        (Item("a", b"x", flags=UTF8 | 0x0040), "archive_encrypted"),
        (Item("a", b"x", flags=UTF8 | 0x2000), "archive_encrypted"),
        (Item("a", b"x", flags=UTF8 | 0x0020), "archive_flags"),
        (Item("a", b"x", flags=UTF8 | 0x0010), "archive_flags"),
        (Item("a", b"x", method=12), "archive_method"),
        (Item("a", b"x", method=14), "archive_method"),
        (Item("a", b"x", method=9), "archive_method"),
        (Item("a", b"x", mode=LINK), "archive_type"),
        (Item("a", b"", mode=0o010644), "archive_type"),
        (Item("a", b"", mode=0o020644), "archive_type"),
        (Item("a", b"", mode=0o060644), "archive_type"),
        (Item("a", b"", mode=0o140644), "archive_type"),
        (Item("a", b"x", mode=LINK, host=0), "archive_type"),
        (Item("a", b"", mode=FOLDER), "archive_type"),
        (Item("a/", b"", mode=FILE), "archive_type"),
        (Item("a/", b"", mode=FILE, dos=0x10), "archive_type"),
        (Item("a", b"x", dos=0x10), "archive_type"),
        (Item("a", b"x", mode=0, dos=0x10), "archive_type"),
        (Item("a/", b"x"), "archive_folder_data"),
        (Item("a/", b"", method=8), "archive_folder_data"),
        (Item("a", b"xyz", size=4), "size_mismatch"),
        (Item("a", b"x", comment=b"note"), "archive_directory"),
        (Item("a", b"x", disk=1), "archive_directory"),
        (Item(b"\xff\xfe", b"x"), "name_not_utf8"),
        (Item(b"caf\x82", b"x", flags=0), "name_not_utf8"),
        (Item("é".encode(), b"x", flags=0), "name_not_utf8"),
        (Item(b"\xed\xa0\x80", b"x"), "name_not_utf8"),
        (Item(b"\xc0\xae\xc0\xae/x", b"x"), "name_not_utf8"),
        (Item("../x", b"x"), "canonical_path_fail"),
        (Item("a\\b", b"x"), "windows_path_fail"),
        (Item("a//", b""), "name_empty"),
        (Item("/", b""), "name_empty"),
        (Item("", b""), "name_empty"),
        (Item("./", b""), "canonical_path_fail"),
        (Item("a", b"x", extra=b"\1"), "archive_extra"),
        (Item("a", b"x", extra=b"\x09\x00\x05\x00abc"), "archive_extra"),
        (Item("a", b"x", extra=struct.pack("<2HBL", 0x7075, 6, 1, 0) + b"b"), "archive_extra"),
        (Item("a", b"x", extra=wide(1) * 2), "archive_extra"),
        (Item("a", b"x", size=FOUR_GIB, packed_size=FOUR_GIB), "archive_extra"),
        (Item("a", b"x", size=FOUR_GIB, packed_size=FOUR_GIB, extra=wide(1)), "archive_extra"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_entry_that_breaks_a_rule_is_refused_by_reason(code_of, item, code):
    assert code_of(make_zip("before", item)) == code


def test_known_extra_fields_are_walked_over(read):
    times = struct.pack("<2HBL", 0x5455, 5, 1, 0)
    assert [e.path for e in read(make_zip(Item("a", b"x", extra=times)))] == ["a"]


def test_sizes_in_a_zip64_field_count(read):
    [entry] = read(make_zip(Item("a", b"xyz", size=FOUR_GIB, packed_size=FOUR_GIB, extra=wide(3, 3))))
    assert (entry.size, entry.packed) == (3, 3)


def test_names_of_one_archive_must_not_collide(code_of):
    assert code_of(make_zip("a", "a")) == "name_duplicate"
    assert code_of(make_zip("a/x", "A/y")) == "name_collision"
    assert code_of(make_zip("a", "a/x")) == "name_file_and_folder"


# --- limits


@pytest.mark.promise(7)
@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (Limits(max_entries=2), "archive_limit_entries"),
        (Limits(max_file=99), "archive_limit_file"),
        (Limits(max_total=149), "archive_limit_total"),
        (Limits(max_directory=100), "archive_limit_directory"),
    ],
)
def test_each_limit_is_held_and_its_exact_value_is_allowed(read, code_of, limits, code):
    data = make_zip(Item("a", b"x" * 100), Item("b", b"x" * 50), Item("d/"))
    assert code_of(data, limits=limits) == code
    exact = Limits(max_entries=3, max_file=100, max_total=150, max_directory=3 * 46 + 4)
    assert len(read(data, limits=exact)) == 3


@pytest.mark.promise(7)
def test_declared_sizes_are_added_up_before_anything_is_read(code_of):
    huge = [Item(f"f{n}", b"x", method=8, size=1 << 30) for n in range(5)]
    assert code_of(make_zip(*huge)) == "archive_limit_total"
    over = Item("f", b"x", method=8, size=FOUR_GIB, extra=wide((1 << 63) - 1))
    assert code_of(make_zip(over)) == "archive_limit_file"


@pytest.mark.promise(7)
def test_the_ratio_is_asked_only_above_64_mib(read, code_of):
    floor = 64 << 20
    small = Item("zeros", b"", method=8, packed=deflate(b"\0" * 1000), size=floor)
    assert read(make_zip(small))[0].size == floor
    assert code_of(make_zip(small, Item("one", b"x"))) == "archive_limit_ratio"
    filling = Item("noise", bytes(1 << 19))
    assert len(read(make_zip(small, filling))) == 2  # 64.5 MiB from 0.5 MiB: 128 times


@pytest.mark.promise(7)
def test_66000_entries_are_counted_by_the_zip64_record(read, code_of):
    data = lzma.decompress((HOSTILE / "ok-zip64-66000-entries.zip.xz").read_bytes())
    assert code_of(data) == "archive_limit_entries"
    assert len(read(data, limits=Limits(max_entries=70_000))) == 66_002


def test_the_entry_limit_counts_folders(read, code_of):
    data = lzma.decompress((HOSTILE / "many-empty-dirs.zip.xz").read_bytes())
    assert code_of(data, limits=Limits(max_entries=20_001)) == "archive_limit_entries"
    assert len(read(data, limits=Limits(max_entries=20_002))) == 20_002


# --- the file itself


def test_reads_that_give_less_than_asked_are_continued(read):
    class Slow(Files):
        def pread(self, fd: int, size: int, offset: int) -> bytes:
            return super().pread(fd, min(size, 7), offset)

    data = make_zip("a", "b")
    assert read(data, files=Slow()) == read(data)


def test_a_file_shorter_than_its_size_is_refused(tmp_path):
    data = make_zip("a")
    (tmp_path / "a.zip").write_bytes(data[:-1])
    fd = os.open(tmp_path / "a.zip", os.O_RDONLY)
    try:
        with pytest.raises(ArchiveError) as caught:
            read_directory(fd, len(data), files=Files(), limits=Limits())
    finally:
        os.close(fd)
    assert caught.value.code == "archive_truncated"
