"""Putting the files of a version together out of copies (install/assemble.py)."""

from __future__ import annotations

import errno
import hashlib
import os

import pytest

from capgo_client.errors import ArchiveError, Cancelled, StorageError
from capgo_client.install.archive import Limits
from capgo_client.install.assemble import Piece, assemble
from capgo_client.install.record import FileRecord
from capgo_client.seams import Files
from capgo_client.testing.files import FaultyFiles

MIB = 1 << 20


class Shop:
    def __init__(self, folder):
        self.folder = folder
        self.target = folder / "target"
        self.target.mkdir()
        self.files = Files()
        self.limits = Limits()
        self.stop = lambda: False

    def piece(self, name, content, *sources):
        paths = []
        for n, data in enumerate(sources or (content,)):
            path = self.folder / f"{name.replace('/', '-')}.{n}"
            if data is not None:
                path.write_bytes(data)
            paths.append(path)
        return Piece(tuple(name.split("/")), hashlib.sha256(content).digest(), len(content), tuple(paths))

    def assemble(self, *pieces):
        return assemble(pieces, self.target, files=self.files, limits=self.limits, should_stop=self.stop)

    def refused(self, kind, *pieces):
        with pytest.raises(kind) as caught:
            self.assemble(*pieces)
        return caught.value


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path)


class Cloning(Files):
    """A file system that shares blocks, or what looks like it from here."""

    clones = 0
    spoil = b""

    def clone(self, source, target):
        self.clones += 1
        os.write(target, self.spoil or os.pread(source, 1 << 30, 0))
        return True


def test_every_piece_goes_in_under_its_name_and_is_recorded(shop):
    records = shop.assemble(shop.piece("pkg/sub/b.py", b"b"), shop.piece("a.py", b"a"), shop.piece("c", b""))
    assert records == (
        FileRecord("a.py", 1, hashlib.sha256(b"a").hexdigest()),
        FileRecord("c", 0, hashlib.sha256(b"").hexdigest()),
        FileRecord("pkg/sub/b.py", 1, hashlib.sha256(b"b").hexdigest()),
    )
    assert (shop.target / "pkg/sub/b.py").read_bytes() == b"b"
    assert {path.stat().st_mode & 0o777 for path in shop.target.rglob("*.py")} == {0o400}


@pytest.mark.parametrize("cloning", [False, True])
@pytest.mark.parametrize("first", [b"wrong", b"content and more", b"", None])
def test_a_source_that_is_not_what_it_should_be_gives_way_to_the_next(shop, first, cloning):
    shop.files = Cloning() if cloning else Files()
    shop.assemble(shop.piece("a", b"content", first, b"content"))
    assert (shop.target / "a").read_bytes() == b"content"


def test_without_any_good_source_it_ends_with_a_code(shop):
    assert shop.refused(StorageError, shop.piece("a", b"content", b"wrong", None)).code == "source_changed"


def test_links_and_pipes_are_no_sources(shop):
    piece = shop.piece("a", b"content", None, None)
    (shop.folder / "real").write_bytes(b"content")
    piece.sources[0].symlink_to(shop.folder / "real")
    os.mkfifo(piece.sources[1])
    assert shop.refused(StorageError, piece).code == "source_changed"


def test_a_clone_is_read_back_and_not_believed(shop):
    shop.files = Cloning()
    shop.files.spoil = b"c0ntent"
    assert shop.refused(StorageError, shop.piece("a", b"content")).code == "source_changed"


def test_cloning_is_tried_once_where_it_does_not_work(shop):
    files = shop.files = FaultyFiles()
    files._inner.clone = lambda source, target: False
    shop.assemble(*(shop.piece(f"f{n}", b"%d" % n) for n in range(10)))
    assert files.count("clone") == 1


def test_cloning_goes_on_where_it_works_and_needs_no_room(shop):
    class Full(Cloning):
        def free_bytes(self, path):
            return 0

    shop.files = Full()
    shop.assemble(*(shop.piece(f"f{n}", b"%d" % n) for n in range(10)))
    assert shop.files.clones == 10


def test_room_for_everything_is_there_before_the_first_byte(shop):
    class Nearly(Files):
        def clone(self, source, target):
            return False

        def free_bytes(self, path):
            return 8 * MIB + 9

    shop.files = Nearly()
    error = shop.refused(StorageError, shop.piece("a", b"12345"), shop.piece("b", b"12345"))
    assert error.code == "insufficient_disk_space"
    assert (shop.target / "a").read_bytes() == b""


def test_a_read_error_counts_against_the_source_and_a_write_error_against_the_disk(shop):
    shop.files = FaultyFiles()
    shop.files.fail(1, errno.EIO, kinds=["read"])
    shop.assemble(shop.piece("a", b"content", b"content", b"content"))
    assert (shop.target / "a").read_bytes() == b"content"
    shop.files.fail(1, errno.EIO, kinds=["write"])
    with pytest.raises(OSError, match=r"Input/output|I/O"):
        shop.assemble(shop.piece("b", b"content"))


def test_two_pieces_of_one_name_are_refused_before_anything_is_written(shop):
    error = shop.refused(ArchiveError, shop.piece("a", b"1"), shop.piece("a", b"2"))
    assert error.code == "name_duplicate"
    assert list(shop.target.iterdir()) == []


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (Limits(max_entries=1), "archive_limit_entries"),
        (Limits(max_file=2), "archive_limit_file"),
        (Limits(max_total=5), "archive_limit_total"),
    ],
)
def test_what_breaks_a_limit_is_refused_before_anything_is_written(shop, limits, code):
    shop.limits = limits
    assert shop.refused(ArchiveError, shop.piece("a", b"123"), shop.piece("b", b"123")).code == code
    assert list(shop.target.iterdir()) == []


def test_it_can_be_stopped_between_files(shop):
    shop.stop = iter([False, True]).__next__
    shop.refused(Cancelled, shop.piece("a", b"1"), shop.piece("b", b"2"))


def test_a_source_that_grows_meanwhile_is_not_copied_without_end(shop):
    class Growing(Files):
        reads = 0

        def clone(self, source, target):
            return False

        def read(self, fd, size):
            self.reads += 1
            return b"x" * size

    shop.files = Growing()
    shop.refused(StorageError, shop.piece("a", b"content"))
    assert shop.files.reads < 5
