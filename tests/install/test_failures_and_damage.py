"""An install that fails at any call leaves nothing that could be opened; damage is seen; what is in use stays."""

from __future__ import annotations

import errno
import stat
from typing import TYPE_CHECKING

import pytest
from installs import a_store, an_archive, an_install

from capgo_client.errors import CapgoError
from capgo_client.install.audit import audit
from capgo_client.seams import Files
from capgo_client.testing import FaultyFiles

if TYPE_CHECKING:
    from pathlib import Path


def never() -> bool:
    return False


def problems(store, seal) -> tuple[str, ...]:
    return audit(store.installs / seal.id, files=Files(), should_stop=never)


@pytest.mark.promise(4)
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EACCES, errno.EMFILE], ids=errno.errorcode.get)
def test_an_install_that_fails_at_any_call_is_a_typed_error_and_leaves_no_half(tmp_path, number):
    archive = an_archive(tmp_path)
    for nth in range(1, 500):
        store = a_store(tmp_path / str(nth))
        files = FaultyFiles()
        files.fail(nth, number)
        try:
            an_install(store, files=files, archive=archive)
        except CapgoError:
            pass
        else:
            if nth > len(files.calls):
                break
        files.heal()
        store.sweep(frozenset(store.ids()), should_stop=never)
        assert list(store.staging.iterdir()) == list(store.trash.iterdir()) == []
        for bundle_id in store.ids():  # the last flush may fail after the rename: then it is whole all the same
            assert audit(store.installs / bundle_id, files=Files(), should_stop=never) == ()
        assert not files.open_descriptors
    assert nth > 40


@pytest.mark.promise(4)
def test_nothing_is_visible_before_it_is_flushed_and_the_parent_is_flushed_after(tmp_path):
    store = a_store(tmp_path)
    files = FaultyFiles()
    an_install(store, files=files)
    kinds = [(call.kind, str(call.path)) for call in files.calls]
    renamed = next(i for i, (kind, path) in enumerate(kinds) if kind == "rename" and "staging" in path)
    before, after = kinds[:renamed], kinds[renamed + 1 :]
    assert any(kind in ("sync_filesystem", "fsync") for kind, _ in before)
    written = max(i for i, (kind, _) in enumerate(kinds) if kind == "write")
    flushed = max(i for i, (kind, _) in enumerate(before) if kind in ("sync_filesystem", "fsync"))
    assert written < flushed < renamed
    assert any(kind == "fsync" for kind, _ in after)


@pytest.mark.promise(4)
def test_without_syncfs_every_file_and_folder_is_flushed_by_itself(tmp_path):
    class NoSyncfs(Files):
        def sync_filesystem(self, fd: int) -> bool:
            return False

    store = a_store(tmp_path)
    files = FaultyFiles(NoSyncfs())
    seal = an_install(store, files=files)
    flushed = files.count("fsync")
    things = sum(1 for _ in (store.installs / seal.id).rglob("*"))
    assert flushed >= things + 1  # and the folder above


def test_a_sealed_bundle_is_read_only_and_keeps_what_is_executable(tmp_path):
    store = a_store(tmp_path)
    seal = an_install(store, {"main.py": "1", "tool": "2"}, modes={"tool": 0o755})
    app = store.app_path(seal.id)
    assert stat.S_IMODE(app.stat().st_mode) == 0o500
    assert stat.S_IMODE((app / "main.py").stat().st_mode) == 0o400
    assert stat.S_IMODE((app / "tool").stat().st_mode) == 0o500


def writable(path: Path) -> Path:
    path.parent.chmod(0o700)
    if path.exists():
        path.chmod(0o600)
    return path


def missing(app: Path) -> None:
    writable(app / "main.py").unlink()


def extra(app: Path) -> None:
    writable(app / "extra.py").write_text("1")


def changed(app: Path) -> None:
    writable(app / "main.py").write_text("print(2)   # longer")


def same_size(app: Path) -> None:
    writable(app / "main.py").write_text("print(9)\n")


def a_link(app: Path) -> None:
    writable(app / "main.py").unlink()
    (app / "main.py").symlink_to("/dev/null")


def a_folder(app: Path) -> None:
    writable(app / "main.py").unlink()
    (app / "main.py").mkdir()


@pytest.mark.promise(3)
@pytest.mark.parametrize("damage", [missing, extra, changed, same_size, a_link, a_folder])
def test_the_full_verify_sees_every_kind_of_damage(tmp_path, damage):
    store = a_store(tmp_path)
    seal = an_install(store)
    assert problems(store, seal) == ()
    damage(store.app_path(seal.id))
    assert problems(store, seal) != ()


@pytest.mark.promise(3)
def test_byte_code_is_removed_and_not_held_against_the_bundle(tmp_path):
    store = a_store(tmp_path)
    seal = an_install(store)
    package = store.app_path(seal.id) / "pkg"
    package.chmod(0o700)
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "x.cpython-311.pyc").write_bytes(b"code")
    assert problems(store, seal) == ()
    assert not (package / "__pycache__").exists()


@pytest.mark.promise(3)
@pytest.mark.parametrize("name", ["seal.json", "files.json"])
def test_a_changed_byte_of_the_record_is_seen(tmp_path, name):
    store = a_store(tmp_path)
    seal = an_install(store)
    path = store.installs / seal.id / name
    data = path.read_bytes()
    for place in range(0, len(data), 7):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        assert problems(store, seal) != (), place
    path.write_bytes(data)
    assert problems(store, seal) == ()


@pytest.mark.promise(9)
def test_an_install_with_a_lease_on_it_is_not_removed_and_goes_when_the_lease_does(tmp_path):
    store = a_store(tmp_path)
    seal = an_install(store)
    lease = store.lease(seal.id)
    assert lease is not None
    assert store.remove(seal.id) is False
    store.sweep(frozenset(), should_stop=never)
    assert problems(store, seal) == ()
    lease.release()
    assert store.remove(seal.id) is True
    assert store.ids() == ()
    assert list(store.trash.iterdir()) == []


@pytest.mark.promise(7)
def test_a_glance_costs_the_same_for_any_number_of_files(tmp_path):
    counts = []
    for number in (3, 300):
        store = a_store(tmp_path / str(number))
        seal = an_install(store, {f"f{i}.txt": "x" for i in range(number)}, archive=None)
        files = FaultyFiles()
        watched = type(store)(store.folder, files=files)
        assert watched.fault(seal.id, entry="f0.txt") == ""
        counts.append(len(files.calls))
    assert counts[0] == counts[1]
