"""The full verify (install/audit.py), beyond the kinds of damage in test_failures_and_damage.py."""

from __future__ import annotations

import errno
import os

import pytest
from installs import a_store, an_install

from capgo_client.errors import Cancelled, StorageError
from capgo_client.install.audit import audit
from capgo_client.seams import Files
from capgo_client.testing import FaultyFiles


@pytest.fixture
def store(tmp_path):
    return a_store(tmp_path)


def look(store, seal, *, files=None, should_stop=lambda: False):
    return audit(store.installs / seal.id, files=files or Files(), should_stop=should_stop)


def open_for_writing(app):
    for folder, _, names in os.walk(app):
        os.chmod(folder, 0o700)
        for name in names:
            os.chmod(os.path.join(folder, name), 0o600)


def test_each_fault_is_a_sentence_that_names_the_file(store):
    seal = an_install(store, {f"{n}.txt": "12345678" for n in "abcdef"})
    app = store.app_path(seal.id)
    open_for_writing(app)
    (app / "a.txt").unlink()
    (app / "b.txt").write_text("1234567")
    (app / "c.txt").write_text("12345679")
    (app / "d.txt").unlink()
    (app / "d.txt").symlink_to("e.txt")
    (app / "new.txt").write_text("")
    (app / "f.txt").unlink()
    os.mkfifo(app / "f.txt")
    assert set(look(store, seal)) == {
        "a.txt is missing",
        "b.txt has 7 bytes instead of 8",
        "c.txt was changed",
        "d.txt is not a plain file",
        "f.txt is not a plain file",
        "new.txt does not belong",
    }


def test_a_link_to_a_folder_is_not_followed(store, tmp_path):
    seal = an_install(store)
    app = store.app_path(seal.id)
    open_for_writing(app)
    (app / "pkg").rename(tmp_path / "pkg")
    (app / "pkg").symlink_to(tmp_path / "pkg")
    assert set(look(store, seal)) == {"pkg does not belong", "pkg/__init__.py is missing", "pkg/data.bin is missing"}


def test_a_link_in_the_bundles_own_place_is_damage_although_all_behind_it_is_right(store, tmp_path):
    seal = an_install(store)
    app = store.app_path(seal.id)
    os.chmod(app, 0o700)
    app.rename(tmp_path / "app")
    app.symlink_to(tmp_path / "app")
    assert "app/ is not a folder" in look(store, seal)


def test_byte_code_that_the_publisher_packed_goes_and_the_bundle_stays_sound(store):
    seal = an_install(store, {"main.py": "1", "pkg/__pycache__/x.cpython-311.pyc": b"old", "pkg/x.py": "2"})
    assert seal.file_count == 3
    assert look(store, seal) == ()
    assert not (store.app_path(seal.id) / "pkg" / "__pycache__").exists()
    assert look(store, seal) == ()


def test_a_file_that_is_named_like_the_byte_codes_folder_is_held_to_the_list(store):
    seal = an_install(store, {"main.py": "1", "pkg/__pycache__": "a file"})
    assert look(store, seal) == ()
    path = store.app_path(seal.id) / "pkg" / "__pycache__"
    os.chmod(path, 0o600)
    path.write_text("b file")
    assert look(store, seal) == ("pkg/__pycache__ was changed",)


def test_removing_byte_code_leaves_the_permissions_as_they_were(store):
    seal = an_install(store)
    package = store.app_path(seal.id) / "pkg"
    os.chmod(package, 0o700)
    (package / "__pycache__").mkdir()
    os.chmod(package, 0o500)
    assert look(store, seal) == ()
    assert package.stat().st_mode & 0o777 == 0o500


def test_byte_code_that_cannot_be_removed_is_not_held_against_the_bundle(store):
    seal = an_install(store)
    package = store.app_path(seal.id) / "pkg"
    os.chmod(package, 0o700)
    (package / "__pycache__").mkdir()
    files = FaultyFiles()
    files.fail(1, errno.EROFS, kinds=["chmod"], times=None)
    assert look(store, seal, files=files) == ()


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
@pytest.mark.parametrize("kind", ["open_read", "scan", "lstat", "read"])
def test_what_the_process_lacks_is_no_verdict_on_the_install_wherever_it_happens(store, number, kind):
    seal = an_install(store)
    counted = FaultyFiles()
    assert look(store, seal, files=counted) == ()
    assert counted.count(kind) > 0
    for nth in range(1, counted.count(kind) + 1):
        files = FaultyFiles()
        files.fail(nth, number, kinds=[kind])
        with pytest.raises(StorageError) as caught:
            look(store, seal, files=files)
        assert caught.value.code == "cannot_look"
        assert files.open_descriptors == {}


def test_a_file_that_the_disk_cannot_read_is_damage(store):
    seal = an_install(store)
    files = FaultyFiles()
    files.fail(1, errno.EIO, kinds=["read"], path="main.py")
    assert look(store, seal, files=files) == (f"main.py cannot be read: {os.strerror(errno.EIO)}",)


def test_a_verify_stops_when_told_to(store):
    seal = an_install(store)
    with pytest.raises(Cancelled):
        look(store, seal, should_stop=lambda: True)


def test_a_missing_install_is_one_fault(store):
    seal = an_install(store)
    store.remove(seal.id)
    assert len(look(store, seal)) == 1


def test_an_install_that_cannot_be_held_is_not_as_it_was_sealed(store):
    seal = an_install(store)
    lease = store.installs / seal.id / "lease"
    lease.unlink()
    assert look(store, seal) == ("its lease is not a file",)
    lease.mkdir()
    assert look(store, seal) == ("its lease is not a file",)
