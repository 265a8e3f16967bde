"""The sealed record of an install (install/seal.py)."""

from __future__ import annotations

import errno
import hashlib
import json
from dataclasses import asdict, replace

import pytest
from installs import a_store, an_install

from capgo_client.install import checked
from capgo_client.install.record import FileRecord
from capgo_client.install.seal import SealError, file_list, read_list, read_seal
from capgo_client.seams import Files
from capgo_client.testing import FaultyFiles


@pytest.fixture
def store(tmp_path):
    return a_store(tmp_path)


@pytest.fixture
def seal(store):
    return an_install(store)


@pytest.fixture
def folder(store, seal):
    return store.installs / seal.id


def test_a_seal_says_what_the_install_is(folder, seal):
    assert read_seal(folder, files=Files()) == seal
    assert (seal.id, seal.version, seal.checksum) == (folder.name, "2.0.0", "sum of 2.0.0")
    assert (seal.file_count, seal.total_bytes, seal.native_version) == (3, 309, "1.0.0")


def test_the_list_has_every_file_with_its_size_and_sha_256(folder, seal):
    # Of `printf 'print(2)\n' | sha256sum` and of nothing.
    assert read_list(folder, seal, files=Files())[:2] == (
        FileRecord("main.py", 9, "0111afd387e1ad576083c5039aa542faa2ed4a53d3e128bd03de990f9ea4255f"),
        FileRecord("pkg/__init__.py", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    )


def test_the_seal_names_no_path_outside_and_no_folder_of_this_machine(folder):
    text = (folder / "seal.json").read_text() + (folder / "files.json").read_text()
    assert str(folder.parent) not in text


def test_a_seal_cut_off_at_any_byte_is_refused(folder):
    data = (folder / "seal.json").read_bytes()
    for length in range(len(data)):
        (folder / "seal.json").write_bytes(data[:length])
        with pytest.raises(SealError):
            read_seal(folder, files=Files())


def test_a_seal_with_any_byte_changed_is_refused(folder):
    data = (folder / "seal.json").read_bytes()
    for place in range(len(data)):
        (folder / "seal.json").write_bytes(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
        with pytest.raises(SealError):
            read_seal(folder, files=Files())


def test_a_list_with_any_byte_changed_is_refused(folder, seal):
    data = (folder / "files.json").read_bytes()
    for place in range(0, len(data), 7):
        (folder / "files.json").write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(SealError):
            read_list(folder, seal, files=Files())


def test_a_list_of_another_install_is_refused(store, folder, seal):
    other = an_install(store, {"main.py": "other"})
    (folder / "files.json").write_bytes((store.installs / other.id / "files.json").read_bytes())
    with pytest.raises(SealError):
        read_list(folder, seal, files=Files())


def test_a_seal_of_another_install_is_refused(store, folder):
    other = an_install(store)
    (folder / "seal.json").write_bytes((store.installs / other.id / "seal.json").read_bytes())
    with pytest.raises(SealError, match="belongs to another install"):
        read_seal(folder, files=Files())


@pytest.mark.parametrize("what", ["missing", "folder", "link", "empty", "huge"])
def test_whatever_stands_in_a_seals_place_is_refused(folder, what):
    path = folder / "seal.json"
    kept = path.rename(folder / "kept")
    if what == "folder":
        path.mkdir()
    elif what == "link":
        path.symlink_to(kept)
    elif what == "empty":
        path.write_bytes(b"")
    elif what == "huge":
        path.write_bytes(kept.read_bytes() + b" " * 70_000)
    with pytest.raises(SealError):
        read_seal(folder, files=Files())


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 2}, {"schema": None}, {"id": 5}, {"id": "../../x"}, {"version": 5}, {"checksum": None},
        {"native_version": 1}, {"sealed_at": "today"}, {"sealed_at": True}, {"file_count": 1.5}, {"total_bytes": []},
        {"list_sha256": 1}, {"link": None}, {"comment": {}}, {"sha256": 0}, {"of the future": 1},
    ],
    ids=str,
)  # fmt: skip
def test_a_seal_with_a_value_that_is_none_of_ours_is_refused_whatever_its_sum_says(folder, seal, change):
    (folder / "seal.json").write_bytes(checked.pack({"schema": 1, **asdict(seal), **change}))
    with pytest.raises(SealError):
        read_seal(folder, files=Files())


@pytest.mark.parametrize("document", [[], "text", None, 5, {}, {"schema": 1}], ids=str)
def test_somebody_elses_document_is_no_seal(folder, document):
    (folder / "seal.json").write_bytes(checked.pack(document))
    with pytest.raises(SealError):
        read_seal(folder, files=Files())


@pytest.mark.parametrize("rows", [{}, [1], [["a", 1]], [["a", 1, "x", 2]], "a"], ids=str)
def test_a_list_of_another_shape_is_refused(folder, seal, rows):
    data = json.dumps(rows).encode()
    (folder / "files.json").write_bytes(data)
    with pytest.raises(SealError):
        read_list(folder, replace(seal, list_sha256=hashlib.sha256(data).hexdigest()), files=Files())


def test_too_many_open_files_say_nothing_about_a_seal(folder, seal):
    files = FaultyFiles()
    files.fail(1, errno.EMFILE, kinds=["open_read"], times=2)
    for look in (lambda: read_seal(folder, files=files), lambda: read_list(folder, seal, files=files)):
        with pytest.raises(OSError) as caught:
            look()
        assert caught.value.errno == errno.EMFILE
    assert read_seal(folder, files=files) == seal


def test_a_disk_that_cannot_read_it_says_that_it_is_bad(folder, seal):
    files = FaultyFiles()
    files.fail(1, errno.EIO, kinds=["read"], times=2)
    with pytest.raises(SealError):
        read_seal(folder, files=files)
    with pytest.raises(SealError):
        read_list(folder, seal, files=files)


def test_the_same_files_make_the_same_list():
    records = (FileRecord("a", 1, "00"), FileRecord("ä", 2, "11"))
    assert file_list(records) == file_list(records)
    assert file_list(records)[0] == b'[["a",1,"00"],["\\u00e4",2,"11"]]'
