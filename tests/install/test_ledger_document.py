"""The small documents that notice damage (install/checked.py)."""

from __future__ import annotations

import errno
import os
import zlib

import pytest

from capgo_client.install import checked
from capgo_client.seams import Files
from capgo_client.testing import FaultyFiles

DOCUMENT = {"schema": 1, "current": "builtin", "text": "ä\u2028", "installs": [1, 2.5, None, True]}
PACKED = checked.pack(DOCUMENT)


def test_a_document_is_its_crc_32_a_space_one_line_of_ascii_json_and_a_newline():
    assert checked.pack([]) == b"0d4cbb29 []\n"
    assert checked.pack({"a": 1}) == b'561bacaf {"a":1}\n'
    assert PACKED.isascii()
    assert PACKED.count(b"\n") == 1


def test_what_was_packed_comes_back():
    assert checked.unpack(PACKED) == DOCUMENT


@pytest.mark.parametrize("length", range(len(PACKED)))
def test_a_document_cut_off_at_any_byte_is_damaged(length):
    with pytest.raises(checked.DamagedError):
        checked.unpack(PACKED[:length])


@pytest.mark.parametrize("place", range(len(PACKED)))
def test_a_document_with_any_byte_changed_is_damaged(place):
    for other in (PACKED[place] ^ 1, PACKED[place] ^ 0x20, PACKED[place] ^ 0x80, 0):
        with pytest.raises(checked.DamagedError):
            checked.unpack(PACKED[:place] + bytes([other]) + PACKED[place + 1 :])


@pytest.mark.parametrize("more", [b"\n", b" ", b"x", PACKED], ids=["newline", "space", "letter", "itself"])
def test_a_document_with_something_behind_it_is_damaged(more):
    with pytest.raises(checked.DamagedError):
        checked.unpack(PACKED + more)


@pytest.mark.parametrize("text", [b"{,}", b"", b"\xff", b"[" * 200_000], ids=["wrong", "empty", "binary", "deep"])
def test_a_right_sum_over_what_is_no_json_is_damage_too(text):
    with pytest.raises(checked.DamagedError):
        checked.unpack(b"%08x %b\n" % (zlib.crc32(text), text))


def test_a_file_above_the_limit_is_not_read(tmp_path):
    path = tmp_path / "big"
    path.write_bytes(PACKED)
    with pytest.raises(OSError) as caught:
        checked.read(path, files=Files(), limit=len(PACKED) - 1)
    assert caught.value.errno == errno.EFBIG
    assert checked.read(path, files=Files(), limit=len(PACKED)) == DOCUMENT


def test_a_link_in_a_documents_place_is_not_followed(tmp_path):
    (tmp_path / "real").write_bytes(PACKED)
    (tmp_path / "document").symlink_to("real")
    with pytest.raises(OSError) as caught:
        checked.read(tmp_path / "document", files=Files(), limit=1000)
    assert caught.value.errno == errno.ELOOP


def test_a_pipe_in_a_documents_place_does_not_hold_up_the_reader(tmp_path):
    os.mkfifo(tmp_path / "document")
    with pytest.raises(checked.DamagedError):
        checked.read(tmp_path / "document", files=Files(), limit=1000)


def test_a_new_file_is_flushed_before_it_is_closed_and_private(tmp_path):
    files = FaultyFiles()
    checked.write_synced(tmp_path / "new", b"abc", files=files)
    assert [call.kind for call in files.calls if call.kind in {"open_new", "write", "fsync", "close"}] == [
        "open_new", "write", "fsync", "close",
    ]  # fmt: skip
    assert (tmp_path / "new").read_bytes() == b"abc"
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("what", ["file", "link", "folder"])
def test_what_stands_in_a_new_files_way_goes(tmp_path, what):
    path, elsewhere = tmp_path / "new", tmp_path / "elsewhere"
    elsewhere.write_text("not ours")
    if what == "folder":
        path.mkdir()
        (path / "x").write_text("x")
    elif what == "link":
        path.symlink_to(elsewhere)
    else:
        path.write_text("a longer leftover of a start that was killed")
    checked.write_synced(path, b"abc", files=Files())
    assert path.read_bytes() == b"abc"
    assert elsewhere.read_text() == "not ours"


def test_put_replaces_a_file_a_link_and_even_a_folder(tmp_path):
    for name in ("file", "link", "folder"):
        (tmp_path / "new").write_bytes(b"abc")
        target = tmp_path / name
        if name == "folder":
            (target / "deep").mkdir(parents=True)
            (target / "deep" / "x").write_text("x")
        elif name == "link":
            target.symlink_to(tmp_path / "file")
        else:
            target.write_text("old")
        checked.put(tmp_path / "new", target, files=Files())
        assert target.is_file()
        assert not target.is_symlink()
        assert target.read_bytes() == b"abc"


def test_put_tells_when_the_rename_failed_for_another_reason(tmp_path):
    (tmp_path / "new").write_bytes(b"abc")
    (tmp_path / "old").write_bytes(b"good")
    files = FaultyFiles()
    files.fail(1, errno.EIO, kinds=["rename"])
    with pytest.raises(OSError) as caught:
        checked.put(tmp_path / "new", tmp_path / "old", files=files)
    assert caught.value.errno == errno.EIO
    assert (tmp_path / "old").read_bytes() == b"good"


def test_a_system_that_opens_no_folders_is_not_asked_to_flush_one(tmp_path):
    files = FaultyFiles()
    files.fail(1, errno.EACCES, kinds=["open_folder"])
    files.sync_folder(tmp_path)
    assert files.count("fsync") == 0


def test_an_error_in_flushing_a_folder_is_not_swallowed(tmp_path):
    files = FaultyFiles()
    files.fail(1, errno.EIO, kinds=["fsync"])
    with pytest.raises(OSError) as caught:
        files.sync_folder(tmp_path)
    assert caught.value.errno == errno.EIO
    assert not files.open_descriptors


@pytest.mark.parametrize(
    ("number", "passing"),
    [(errno.EMFILE, True), (errno.ENFILE, True), (errno.ENOMEM, True), (errno.EIO, False), (errno.EACCES, False),
     (errno.ENOENT, False), (errno.EISDIR, False), (errno.ELOOP, False)],
)  # fmt: skip
def test_only_what_the_process_lacks_is_passing_trouble(number, passing):
    assert checked.is_passing(OSError(number, "x")) is passing
