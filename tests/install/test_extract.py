from __future__ import annotations

import errno
import hashlib
import json
import lzma
import os
import stat
import struct
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from archive_maker import Item, deflate, make_zip

from capgo_client.errors import ArchiveError, Cancelled
from capgo_client.install.archive import Limits
from capgo_client.install.extract import extract
from capgo_client.install.record import FileRecord
from capgo_client.seams import Files
from capgo_client.verify.decrypt import Decryptor
from capgo_client.verify.expectation import expectation
from capgo_client.verify.keys import KeyRing
from capgo_client.verify.pem import parse_public_key

DATA = Path(__file__).parent.parent / "data"
TREE = json.loads((DATA / "bundles" / "tree.json").read_text(encoding="utf-8"))


class Bench:
    """A folder that holds the archive, the target and a bystander; nothing but the target may change."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.target = root / "staging" / "files"
        self.target.mkdir(parents=True)
        (root / "bystander").mkdir()
        (root / "bystander" / "main.py").write_bytes(b"mine")
        self.archive = root / "a.zip"

    def outside(self) -> list[str]:
        names = []
        for folder, folders, files in os.walk(self.root):
            names += [str(Path(folder) / name) for name in (*folders, *files)]
            if Path(folder) == self.target.parent:
                folders.remove(self.target.name)
        return sorted(names)

    def run(self, data: bytes, **options: object) -> tuple[FileRecord, ...]:
        self.archive.write_bytes(data)
        plain = {"files": Files(), "limits": Limits(), "should_stop": lambda: False}
        before = self.outside()
        try:
            return extract(self.archive, self.target, **{**plain, **options})
        finally:
            assert self.outside() == before
            assert (self.root / "bystander" / "main.py").read_bytes() == b"mine"

    def code_of(self, data: bytes, **options: object) -> str:
        with pytest.raises(ArchiveError) as caught:
            self.run(data, **options)
        assert caught.value.hint
        return caught.value.code

    def on_disk(self) -> tuple[FileRecord, ...]:
        """The files there are, read anew."""
        found = []
        for path in self.target.rglob("*"):
            assert not path.is_symlink()
            if path.is_file():
                data = path.read_bytes()
                name = path.relative_to(self.target).as_posix()
                found.append(FileRecord(name, len(data), hashlib.sha256(data).hexdigest()))
        return tuple(sorted(found))

    def folders(self) -> list[str]:
        return sorted(p.relative_to(self.target).as_posix() for p in self.target.rglob("*") if p.is_dir())


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def load(name: str) -> bytes:
    raw = (DATA / "hostile" / name).read_bytes()
    return lzma.decompress(raw) if name.endswith(".xz") else raw


# --- modes and names (what is refused: tests/attacks)


def test_setuid_and_foreign_write_bits_never_reach_the_disk(bench):
    bench.run(load("setuid-mode.zip"))
    assert stat.S_IMODE((bench.target / "tool.sh").stat().st_mode) == 0o500
    assert all(stat.S_IMODE(p.stat().st_mode) & ~0o700 == 0 for p in bench.target.rglob("*"))


def test_a_percent_in_a_name_stays_a_percent(bench):
    bench.run(load("traversal-percent.zip"))
    assert (bench.target / "%2e%2e%2fevil.txt").is_file()


# --- the bundles of the command line


def wanted(version: str) -> tuple[FileRecord, ...]:
    return tuple(sorted(FileRecord(p, f["size"], f["sha256"]) for p, f in TREE[version]["files"].items()))


def check_tree(bench: Bench, version: str) -> None:
    assert bench.on_disk() == wanted(version)
    for path, facts in TREE[version]["files"].items():
        mode = stat.S_IMODE((bench.target / path).stat().st_mode)
        assert mode == (0o500 if int(facts["mode"], 8) & 0o100 else 0o400), path
    parents = {parent.as_posix() for path in TREE[version]["files"] for parent in Path(path).parents} - {"."}
    assert bench.folders() == sorted(parents | set(TREE[version]["empty_folders"]))


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_plain_bundles_come_out_byte_for_byte(bench, version):
    assert bench.run((DATA / "bundles" / f"{version}.zip").read_bytes()) == wanted(version)
    check_tree(bench, version)


@pytest.mark.parametrize("reply", ["updates-v1.json", "updates-v1.enc.json", "updates-v2.json", "updates-v2.enc.json"])
@pytest.mark.promise(3)
def test_bundles_come_out_byte_for_byte_all_the_way_from_the_services_reply(bench, reply):
    answer = json.loads((DATA / "bundles" / reply).read_text(encoding="utf-8"))
    ring = KeyRing([parse_public_key((DATA / "bundles" / "keys" / "capgo_key_v2.pub").read_text())])
    keys = ring if answer["session_key"] else None
    expected = expectation(keys=keys, session_key=answer["session_key"], checksum=answer["checksum"])
    data = (DATA / "bundles" / answer["url"].rpartition("/")[2]).read_bytes()
    if expected.cipher:
        engine = Decryptor(expected.cipher)
        data = engine.update(data) + engine.finish()
    expected.check(hashlib.sha256(data).digest())
    version = "v" + answer["version"][0]
    assert bench.run(data) == wanted(version)
    check_tree(bench, version)


def test_a_folder_at_the_top_is_kept(bench):
    bench.run(make_zip(Item("top/"), Item("top/main.py", b"x"), Item("top/index.html", b"y")))
    assert [r.path for r in bench.on_disk()] == ["top/index.html", "top/main.py"]


# --- content


@pytest.mark.parametrize(
    ("item", "code"),
    [
        (Item("a", b"data", crc=1), "crc_fail"),
        (Item("a", b"data", method=8, crc=1), "crc_fail"),
        (Item("a", b"data", method=8, size=5), "size_mismatch"),
        (Item("a", b"data", method=8, size=3), "size_mismatch"),
        (Item("a", b"data", method=8, size=0), "size_mismatch"),
        (Item("a", b"data", method=8, packed=b"data"), "unzip_fail"),
        (Item("a", b"data", method=8, packed=b""), "unzip_fail"),
        (Item("a", b"data", method=8, packed=deflate(b"data")[:-1]), "unzip_fail"),
        (Item("a", b"data", method=8, packed=deflate(b"data") + b"\0"), "unzip_fail"),
        (Item("a", b"data", method=8, packed=deflate(b"data") + b"\0" * 300_000), "unzip_fail"),
        (Item("a", b"data", method=8, packed=deflate(b"data") * 2), "unzip_fail"),
        (Item("a", b"", method=8, packed=b""), "unzip_fail"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_content_that_is_not_what_was_declared_is_refused(bench, item, code):
    assert bench.code_of(make_zip("first", item)) == code


@pytest.mark.promise(7)
def test_a_bomb_that_declares_little_is_stopped_after_one_step(bench):
    packed = deflate(b"\0" * (50 << 20))
    written = []

    class Counting(Files):
        def write(self, fd: int, data: bytes | memoryview) -> int:
            written.append(len(data))
            return super().write(fd, data)

    bomb = Item("bomb", b"x", method=8, packed=packed, size=10)
    assert bench.code_of(make_zip(bomb), files=Counting()) == "size_mismatch"
    assert written == []


@pytest.mark.parametrize("size", [0, 1, 131_071, 131_072, 131_073, 262_144, 400_000])
@pytest.mark.parametrize("method", [0, 8])
def test_sizes_around_the_step_come_out_whole(bench, size, method):
    noise = b"".join(hashlib.sha256(struct.pack("<L", n)).digest() for n in range(size // 32 + 1))[:size]
    zeros = bytes(size)
    records = bench.run(make_zip(Item("noise", noise, method=method), Item("zeros", zeros, method=method)))
    assert (bench.target / "noise").read_bytes() == noise
    assert (bench.target / "zeros").read_bytes() == zeros
    assert records == bench.on_disk()


def test_short_reads_and_writes_lose_nothing(bench):
    class Slow(Files):
        def pread(self, fd: int, size: int, offset: int) -> bytes:
            return super().pread(fd, min(size, 1001), offset)

        def write(self, fd: int, data: bytes | memoryview) -> int:
            return super().write(fd, data[:777])

    assert bench.run((DATA / "bundles" / "v1.zip").read_bytes(), files=Slow()) == wanted("v1")
    check_tree(bench, "v1")


def test_memory_stays_flat_whatever_the_size(bench):
    size = 48 << 20
    with zipfile.ZipFile(bench.archive, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("big.bin", bytes(size), compresslevel=1)
        archive.writestr(zipfile.ZipInfo("stored.bin"), bytes(size // 4))
    data = bench.archive
    tracemalloc.start()
    try:
        records = extract(data, bench.target, files=Files(), limits=Limits(), should_stop=lambda: False)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [r.size for r in records] == [size, size // 4]
    assert peak < 2 << 20


@pytest.mark.slow
def test_our_own_share_of_5000_small_files_is_well_under_two_seconds(bench):
    items = [Item(f"pkg{n % 50}/sub{n % 7}/m{n}.py", b"x = 1\n" * 20, method=8) for n in range(5000)]
    bench.archive.write_bytes(make_zip(*items))
    begin = os.times().user  # what the kernel takes to create a file is the file system's affair
    records = extract(bench.archive, bench.target, files=Files(), limits=Limits(), should_stop=lambda: False)
    spent = os.times().user - begin
    assert len(records) == 5000
    assert spent < 1.5


# --- the device


def test_it_stops_when_told_between_files_and_inside_one(bench):
    calls = iter(range(10**6))
    with pytest.raises(Cancelled):
        bench.run(make_zip("a", "b", "c", "d"), should_stop=lambda: next(calls) >= 2)
    assert [r.path for r in bench.on_disk()] == ["a", "b"]


def test_it_stops_inside_a_large_file(bench):
    calls = iter(range(10**6))
    with pytest.raises(Cancelled):
        bench.run(make_zip(Item("big", bytes(1 << 20))), should_stop=lambda: next(calls) >= 3)
    assert (bench.target / "big").stat().st_size == 3 * 128 * 1024


class Tracking(Files):
    """Knows which descriptors are open."""

    def __init__(self) -> None:
        self.open: set[int] = set()

    def open_read(self, path: str | os.PathLike[str]) -> int:
        fd = super().open_read(path)
        self.open.add(fd)
        return fd

    def open_new(self, path: str | os.PathLike[str], mode: int = 0o600) -> int:
        fd = super().open_new(path, mode)
        self.open.add(fd)
        return fd

    def close(self, fd: int) -> None:
        super().close(fd)
        self.open.remove(fd)


@pytest.mark.parametrize("name", ["ok-control.zip", "wrong-crc.zip", "corrupt-deflate.zip", "empty.zip"])
def test_no_descriptor_is_left_open(bench, name):
    files = Tracking()
    try:
        bench.run(load(name), files=files)
    except ArchiveError:
        assert name != "ok-control.zip"
    assert files.open == set()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_the_disks_trouble_is_left_as_it_is_and_descriptors_are_closed(bench, number):
    class Full(Tracking):
        def write(self, fd: int, data: bytes | memoryview) -> int:
            raise OSError(number, os.strerror(number))

    files = Full()
    with pytest.raises(OSError) as caught:
        bench.run(make_zip("a"), files=files)
    assert caught.value.errno == number
    assert files.open == set()


@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        (OSError(errno.ENAMETOOLONG, "long"), "name_too_long"),
        (OSError(errno.EEXIST, "twin"), "name_collision"),
        (OSError(errno.EILSEQ, "bytes"), "name_not_utf8"),
        (OSError(errno.EINVAL, "name"), "name_character"),
        (UnicodeEncodeError("ascii", "é", 0, 1, "no"), "name_not_utf8"),
    ],
)
@pytest.mark.parametrize("call", ["mkdir", "open_new"])
def test_a_name_that_this_file_system_cannot_keep_is_the_archives_fault(bench, trouble, code, call):
    def refuse(*_: object) -> None:
        raise trouble

    files = type("Picky", (Files,), {call: refuse})()
    assert bench.code_of(make_zip("d/a"), files=files) == code


def test_a_full_disk_while_making_a_name_is_no_fault_of_the_name(bench):
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    for call in ("mkdir", "open_new"):
        with pytest.raises(OSError, match="full"):
            bench.run(make_zip("d/a"), files=type("Full", (Files,), {call: refuse})())


def test_a_link_that_lies_in_the_way_is_not_followed(bench):
    (bench.target / "main.py").symlink_to(bench.root / "bystander" / "main.py")
    assert bench.code_of(make_zip("main.py")) == "name_collision"


def test_an_archive_behind_a_link_is_not_opened(bench):
    real = bench.root / "real.zip"
    real.write_bytes(make_zip("a"))
    bench.archive.symlink_to(real)
    with pytest.raises(OSError):
        extract(bench.archive, bench.target, files=Files(), limits=Limits(), should_stop=lambda: False)
