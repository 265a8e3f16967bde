"""Every hostile archive is refused with its own code, through the public face, and nothing of it stays (P6, P7).

Each checksum, and with a key each signature, holds: it is the archive alone that has to be seen through.
"""

from __future__ import annotations

import json
import time
import tracemalloc
from dataclasses import dataclass
from functools import partial

import pytest
from attacked import HOSTILE, contents, fixture

from capgo_client import ArchiveError
from capgo_client.install.archive import Limits
from capgo_client.install.extract import extract
from capgo_client.seams import Files
from capgo_client.testing.hostile import HOSTILE_ARCHIVES, HOSTILE_NAMES
from capgo_client.testing.raw_zip import (
    DEFLATED,
    FOLDER,
    UTF8,
    RawEntry,
    deflated,
    end_record,
    end_record64,
    raw_zip,
    wide,
)

MAIN = RawEntry(b"main.py")


def beside(*entries):
    return partial(raw_zip, MAIN, *entries)


def right64():
    plain = raw_zip(MAIN, RawEntry(b"a.txt"))
    size = 2 * 46 + len(b"main.pya.txt")
    offset = len(plain) - 22 - size
    return plain[:-22] + end_record64(2, size, offset, at=len(plain) - 22) + end_record(0xFFFF, size, offset)


def streamed():
    descriptor = b"PK\7\x08" + (0xADF3F363).to_bytes(4, "little") + bytes([4, 0, 0, 0] * 2)
    return RawEntry(b"s.txt", b"data", flags=UTF8 | 8, after=descriptor, local_crc=0, local_sizes=(0, 0))


ZEROS = bytes(1 << 20)
#: What differs from the hostile ones in just what makes them so; each installs.
TWINS = {
    "fine": beside(RawEntry(b"fine.txt", b"evil")),
    "utf-8": beside(RawEntry("café-テスト.txt".encode(), b"evil")),
    "looks": beside(*(RawEntry(n, b"x") for n in (b"..a/b..c/...d", b"%2e%2e%2fx", b"..%2fx", b"COM10", b"con_.py"))),
    "two": beside(RawEntry("Maßin.py".encode(), b"a"), RawEntry(b"file2.py", b"b"), RawEntry("ı.txt".encode(), b"c")),
    "folder": beside(RawEntry(b"d/", b"", mode=FOLDER, dos=0x10), RawEntry(b"d/x.py"), RawEntry(b"e/y.py")),
    "deflated": beside(RawEntry(b"a.bin", bytes(5000), method=DEFLATED)),
    "small": beside(RawEntry(b"zeros.bin", ZEROS, method=DEFLATED)),
    "nested": beside(
        RawEntry(b"inner.zip", raw_zip(RawEntry(b"../capgo_evil.txt"))), RawEntry(b"i.zip.txt", b"PK\5\6")
    ),
    "extra": beside(RawEntry(b"a.txt", extra=b"\x55\x54\x05\x00\x03abcd", local_extra=b"UT\x01\x00\x03")),
    "wide": beside(
        RawEntry(b"a.bin", b"12345", size=0xFFFFFFFF, packed=deflated(b"12345"), method=DEFLATED, extra=wide(5))
    ),
    "zip64": right64,
    "streamed": beside(streamed()),
    "many": partial(raw_zip, *(RawEntry(b"d%02d/" % n, b"", mode=FOLDER) for n in range(40)), MAIN),
}


@dataclass(frozen=True)
class Row:
    case: str
    code: str
    twin: str = "fine"


#: By hand from what is wrong with each (reference/bundle-formats.md section 6).
ROWS = [
    Row("traversal", "canonical_path_fail", "looks"),
    Row("traversal-inside", "canonical_path_fail", "looks"),
    Row("traversal-backslash", "windows_path_fail", "looks"),
    Row("traversal-dots", "name_trailing", "looks"),
    Row("traversal-overlong", "name_not_utf8", "utf-8"),
    Row("traversal-fullwidth", "canonical_path_fail", "utf-8"),
    Row("absolute-posix", "canonical_path_fail"),
    Row("absolute-drive", "windows_path_fail"),
    Row("absolute-drive-slash", "canonical_path_fail"),
    Row("absolute-unc", "canonical_path_fail"),
    Row("absolute-unc-backslash", "windows_path_fail"),
    Row("dot-name", "canonical_path_fail", "looks"),
    Row("empty-component", "name_empty"),
    Row("empty-name", "name_empty"),
    Row("nul-name", "name_control"),
    Row("control-name", "name_control"),
    Row("bad-utf8-name", "name_not_utf8", "utf-8"),
    Row("long-component", "name_too_long"),
    Row("long-path", "name_too_long"),
    Row("windows-ads", "name_character"),
    Row("windows-reserved", "name_reserved", "looks"),
    Row("trailing", "name_trailing", "looks"),
    Row("cp437-name", "name_not_utf8", "utf-8"),
    Row("shift-jis-name", "name_not_utf8", "utf-8"),
    Row("second-name", "archive_extra", "extra"),
    Row("second-name-local", "archive_extra", "extra"),
    Row("duplicate-names", "name_duplicate", "two"),
    Row("duplicate-folder", "name_duplicate", "folder"),
    Row("case-collision", "name_collision", "two"),
    Row("case-collision-folder", "name_collision", "folder"),
    Row("unicode-collision", "name_collision", "utf-8"),
    Row("compatibility-collision", "name_collision", "two"),
    Row("fullwidth-collision", "name_collision", "two"),
    Row("ligature-collision", "name_collision", "two"),
    Row("sharp-s-collision", "name_collision", "two"),
    Row("dotless-i-collision", "name_collision", "two"),
    Row("dotted-i-collision", "name_collision", "two"),
    Row("kelvin-collision", "name_collision", "two"),
    Row("long-s-collision", "name_collision", "two"),
    Row("final-sigma-collision", "name_collision", "two"),
    Row("file-and-folder", "name_file_and_folder", "folder"),
    Row("folder-and-file", "name_file_and_folder", "folder"),
    Row("symlink-file", "archive_type"),
    Row("symlink-dir-then-write", "archive_type"),
    Row("symlink-relative", "archive_type"),
    Row("symlink-as-folder", "archive_type", "folder"),
    Row("symlink-deflated", "archive_type", "deflated"),
    Row("special-types", "archive_type"),
    Row("block-device", "archive_type"),
    Row("unknown-type", "archive_type"),
    Row("file-marked-folder", "archive_type", "folder"),
    Row("folder-marked-file", "archive_type", "folder"),
    Row("dir-with-data", "archive_folder_data", "folder"),
    Row("unknown-method", "archive_method", "deflated"),
    Row("encrypted-entry", "archive_encrypted"),
    Row("encrypted-strong", "archive_encrypted"),
    Row("encrypted-aes", "archive_encrypted"),
    Row("encrypted-directory", "archive_encrypted"),
    Row("patched-data", "archive_flags"),
    Row("wrong-crc", "crc_fail"),
    Row("wrong-crc-deflated", "crc_fail", "deflated"),
    Row("corrupt-deflate", "unzip_fail", "deflated"),
    Row("cut-deflate", "unzip_fail", "deflated"),
    Row("junk-after-deflate", "unzip_fail", "deflated"),
    Row("declared-size-long", "size_mismatch", "deflated"),
    Row("declared-size-short", "size_mismatch", "deflated"),
    Row("stored-sizes", "size_mismatch"),
    Row("huge-declared-size", "archive_limit_file", "deflated"),
    Row("huge-declared-zip64", "archive_limit_file", "wide"),
    Row("bomb", "archive_limit_ratio", "small"),
    Row("bomb-total", "archive_limit_total", "deflated"),
    Row("bomb-understated", "size_mismatch", "small"),
    Row("bomb-quoted", "archive_overlap", "small"),
    Row("local-central-name-mismatch", "archive_local_header"),
    Row("local-central-crc-mismatch", "archive_local_header"),
    Row("local-central-size-mismatch", "archive_local_header"),
    Row("descriptor-lies", "archive_overlap", "streamed"),
    Row("descriptor-missing", "archive_overlap", "streamed"),
    Row("descriptor-local-lies", "archive_local_header", "streamed"),
    Row("same-offset", "archive_overlap"),
    Row("overlap-by-one", "archive_overlap"),
    Row("directory-in-entry", "archive_overlap", "nested"),
    Row("eocd-lies-count", "archive_directory"),
    Row("zip64-lies-count", "archive_directory", "zip64"),
    Row("zip64-disagrees", "archive_end", "zip64"),
    Row("zip64-no-extra", "archive_extra", "wide"),
    Row("zip64-short-extra", "archive_extra", "wide"),
    Row("zip64-far-offset", "archive_truncated", "wide"),
    Row("zip64-impossible-offset", "archive_truncated", "wide"),
    Row("cut-extra", "archive_extra", "extra"),
    Row("multi-disk", "archive_end"),
    Row("multi-disk-entry", "archive_directory"),
    Row("entry-comment", "archive_directory"),
    Row("two-eocd", "archive_directory", "nested"),
    Row("two-archives", "archive_directory", "nested"),
    Row("prefix-junk", "archive_overlap"),
    Row("suffix-junk", "archive_end"),
    Row("cut-archive", "archive_end"),
    Row("many-empty-dirs", "archive_limit_entries", "many"),
    Row("many-files", "archive_limit_entries", "many"),
    Row("empty", "archive_empty"),
    Row("zero-bytes", "archive_end"),
]
#: Only the content of an entry can show these, so something may have been written by then.
FOUND_LATE = {"crc_fail", "size_mismatch", "unzip_fail"}
#: What these would cost somebody who believes them.
COSTLY = [
    "bomb",
    "bomb-total",
    "bomb-understated",
    "bomb-quoted",
    "many-files",
    "many-empty-dirs",
    "huge-declared-zip64",
]


def test_every_hostile_archive_has_its_row():
    assert [row.case for row in ROWS] == list(HOSTILE_ARCHIVES)
    assert {row.twin for row in ROWS} == set(TWINS)


@pytest.mark.promise(7)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.case)
def test_a_hostile_archive_is_refused_and_nothing_of_it_stays(device, row):
    error = device.refused(device.install, HOSTILE_ARCHIVES[row.case]())
    assert error.code == row.code
    assert isinstance(error, ArchiveError)
    assert error.hint
    assert not error.retryable
    assert row.code in FOUND_LATE or device.files.staged == []


@pytest.mark.parametrize("name", TWINS)
def test_its_harmless_twin_installs(device, name):
    bundle = device.install(TWINS[name]())
    assert device.updater.verify(bundle, full=True).ok
    assert "main.py" in contents(bundle.path)
    device.remove(bundle)


def test_the_version_before_still_works_after_all_of_them(device):
    for row in ROWS[::9]:
        device.refused(device.install, HOSTILE_ARCHIVES[row.case]())
    device.still_works()


@pytest.mark.parametrize(
    ("case", "number"), [(case, number) for case, names in HOSTILE_NAMES.items() for number in range(len(names))]
)
def test_each_spelling_of_a_hostile_name_is_refused(tmp_path, case, number):
    name = HOSTILE_NAMES[case][number]
    encoded = name if isinstance(name, bytes) else name.encode()
    archive, target = tmp_path / "a.zip", tmp_path / "target"
    archive.write_bytes(raw_zip(MAIN, RawEntry(encoded, b"" if encoded.endswith(b"/") else b"x", mode=0)))
    target.mkdir()
    with pytest.raises(ArchiveError) as caught:
        extract(archive, target, files=Files(), limits=Limits(), should_stop=lambda: False)
    codes = {row.case: row.code for row in ROWS}
    assert caught.value.code in {codes[case], ALIASES.get(name)}
    assert list(target.iterdir()) == []


#: Where another rule sees a spelling first; as fitting.
ALIASES = {
    "..\uff3ccapgo_evil.txt": "canonical_path_fail",
    ". ./capgo_evil.txt": "name_trailing",
    "/": "canonical_path_fail",
}


def test_an_archive_in_an_archive_stays_one_file(device):
    bundle = device.install(TWINS["nested"]())
    assert sorted(contents(bundle.path)) == ["i.zip.txt", "inner.zip", "main.py"]
    device.remove(bundle)


def test_names_that_only_look_hostile_are_taken_letter_by_letter(device):
    bundle = device.install(TWINS["looks"]())
    assert sorted(contents(bundle.path)) == ["%2e%2e%2fx", "..%2fx", "..a/b..c/...d", "COM10", "con_.py", "main.py"]
    device.remove(bundle)


@pytest.mark.promise(7)
@pytest.mark.parametrize("case", COSTLY)
def test_a_bomb_costs_neither_memory_nor_disk_nor_time(plain_device, case):
    plain = HOSTILE_ARCHIVES[case]()
    began = time.thread_time()
    tracemalloc.start()
    try:
        plain_device.refused(plain_device.install, plain)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert time.thread_time() - began < 1
    assert peak < 4 << 20
    assert plain_device.files.written < len(plain) + (1 << 20)


#: The collection that was made from the real command line's archives: a code, or how many files are installed.
FIXTURES = {
    "absolute-posix.zip": "canonical_path_fail",
    "absolute-unc.zip": "canonical_path_fail",
    "bad-utf8-name.zip": "name_not_utf8",
    "control-name.zip": "name_control",
    "corrupt-deflate.zip": "unzip_fail",
    "declared-size-long.zip": "size_mismatch",
    "dir-with-data.zip": "archive_folder_data",
    "dot-name.zip": "canonical_path_fail",
    "duplicate-names.zip": "name_duplicate",
    "empty-component.zip": "name_empty",
    "empty-name.zip": "name_empty",
    "empty.zip": "archive_empty",
    "eocd-lies-count.zip": "archive_directory",
    "huge-declared-size.zip": "archive_limit_file",
    "huge-declared-zip64.zip": "archive_limit_file",
    "local-central-crc-mismatch.zip": "archive_local_header",
    "local-central-name-mismatch.zip": "archive_local_header",
    "long-component.zip": "name_too_long",
    "many-empty-dirs.zip.xz": "archive_limit_entries",
    "no-index.zip": 1,
    "nul-name.zip": "name_control",
    "ok-control.zip": 2,
    "ok-cp437-name.zip": "name_not_utf8",
    "ok-data-descriptor.zip": 3,
    "ok-prefix-junk.zip": "archive_overlap",
    "ok-zip64-66000-entries.zip.xz": "archive_limit_entries",
    "same-offset.zip": "archive_overlap",
    "setuid-mode.zip": 4,
    "special-types.zip": "archive_type",
    "symlink-dir-then-write.zip": "archive_type",
    "symlink-file.zip": "archive_type",
    "symlink-relative.zip": "archive_type",
    "traversal-percent.zip": 3,
    "two-eocd.zip": "archive_directory",
    "unicode-collision.zip": "name_collision",
    "unknown-method.zip": "archive_method",
    "windows-ads.zip": "name_character",
    "windows-reserved.zip": "name_reserved",
    "wrong-crc.zip": "crc_fail",
    "zero-bytes.zip": "archive_end",
}


def test_every_fixture_has_a_verdict_that_its_duty_allows():
    cases = {case["file"]: case for case in json.loads((HOSTILE / "hostile.json").read_text("utf-8"))["cases"]}
    assert FIXTURES.keys() == cases.keys()
    assert {path.name for path in HOSTILE.iterdir() if path.suffix != ".json"} == set(FIXTURES)
    for name, case in cases.items():
        if case["verdict"] == "reject":
            assert isinstance(FIXTURES[name], str), name
            assert name.partition(".")[0] in HOSTILE_ARCHIVES
        if case["verdict"].startswith("accept"):
            assert isinstance(FIXTURES[name], int), name


@pytest.mark.promise(7)
@pytest.mark.parametrize("name", FIXTURES)
def test_a_fixture_gets_its_verdict(plain_device, name):
    device = plain_device
    wanted = FIXTURES[name]
    plain = fixture(name)
    if isinstance(wanted, str):
        assert device.refused(device.install, plain).code == wanted
        assert wanted in FOUND_LATE or device.files.staged == []
        return
    bundle = device.install(plain)
    assert len(contents(bundle.path)) == wanted
    assert not any(path.stat().st_mode & 0o7022 for path in bundle.path.rglob("*"))
    device.remove(bundle)
