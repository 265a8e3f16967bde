"""Locks between processes, and the leases that outlive an Updater (install/locks.py, install/leases.py)."""

from __future__ import annotations

import errno
import gc
import os
import signal
import time

import pytest
from installs import a_store, an_install, held_by_another_process, in_a_forked_child

from capgo_client.errors import StorageError
from capgo_client.install import leases
from capgo_client.install.locks import FileLock, install_lock
from capgo_client.seams import Files
from capgo_client.testing import FaultyFiles


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.lock"


def lock(path, *, shared=False, files=None):
    return FileLock(path, files=files or Files(), shared=shared)


def test_two_handles_in_one_process_exclude_each_other(path):
    one, other = lock(path), lock(path)
    assert one.acquire()
    assert one.held
    assert not other.acquire()
    assert not other.held
    one.release()
    assert other.acquire()
    other.release()


def test_shared_ones_tolerate_each_other_and_exclude_the_other_kind(path):
    path.touch()
    one, two, alone = lock(path, shared=True), lock(path, shared=True), lock(path)
    assert one.acquire()
    assert two.acquire()
    assert not alone.acquire()
    one.release()
    assert not alone.acquire()
    two.release()
    assert alone.acquire()
    assert not one.acquire()
    alone.release()


def test_a_shared_lock_on_what_is_gone_is_none(path):
    with pytest.raises(FileNotFoundError):
        lock(path, shared=True).acquire()
    assert not path.exists()


def test_another_process_excludes_us_and_its_death_lets_go(path):
    ours = lock(path)
    with held_by_another_process(path) as process:
        assert not ours.acquire()
        assert not ours.acquire(patience=0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert ours.acquire(patience=1)
    ours.release()


def test_patience_is_kept_and_not_much_more(path):
    with held_by_another_process(path):
        began = time.monotonic()
        assert not lock(path).acquire(patience=0.05)
        assert 0.045 <= time.monotonic() - began < 0.2


def test_releasing_twice_or_without_holding_does_nothing(path):
    ours, other = lock(path), lock(path)
    ours.release()
    assert ours.acquire()
    ours.release()
    assert other.acquire()
    ours.release()
    assert not ours.acquire()
    other.release()


def test_closing_some_other_handle_of_the_file_does_not_drop_the_lock(path):
    ours = lock(path)
    assert ours.acquire()
    os.close(os.open(path, os.O_RDWR))
    assert not lock(path).acquire()
    ours.release()


def test_no_handle_is_left_after_a_vain_attempt_or_a_release(path):
    files = FaultyFiles()
    ours = lock(path, files=files)
    with held_by_another_process(path):
        assert not ours.acquire()
    assert files.open_descriptors == {}
    assert ours.acquire()
    assert list(files.open_descriptors.values()) == [str(path)]
    ours.release()
    assert files.open_descriptors == {}


def test_an_error_on_the_way_out_is_not_the_callers_trouble(path):
    files = FaultyFiles()
    ours = lock(path, files=files)
    assert ours.acquire()
    files.fail(1, errno.EIO, kinds=["close"])
    ours.release()
    assert lock(path).acquire()


def test_the_lock_file_is_never_written(path):
    path.write_bytes(b"not a byte of it")
    ours = lock(path)
    assert ours.acquire()
    ours.release()
    assert path.read_bytes() == b"not a byte of it"


def test_abandoning_in_a_forked_child_leaves_the_parents_lock(path):
    ours = lock(path)
    assert ours.acquire()

    def child():
        ours.abandon()
        return 0 if not ours.held and not lock(path).acquire() else 1

    assert in_a_forked_child(child) == 0
    assert not lock(path).acquire()
    ours.release()
    assert lock(path).acquire()


def test_releasing_in_a_forked_child_leaves_the_parents_lock_too(path):
    ours = lock(path)
    assert ours.acquire()
    assert in_a_forked_child(ours.release) == 0
    assert not lock(path).acquire()
    ours.release()


def test_a_parent_that_releases_is_free_although_a_child_inherited_the_handle(path):
    ours = lock(path)
    assert ours.acquire()
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    try:
        ours.release()
        assert lock(path).acquire()
    finally:
        os.close(writer)
        os.close(reader)
        os.waitpid(pid, 0)


def test_the_install_lock_tells_who_is_in_the_way(tmp_path):
    with (
        held_by_another_process(tmp_path / "install.lock"),
        pytest.raises(StorageError) as caught,
        install_lock(tmp_path, files=Files(), patience=0),
    ):
        pytest.fail("it was taken")
    assert caught.value.code == "install_busy"
    with install_lock(tmp_path, files=Files(), patience=0):
        assert not lock(tmp_path / "install.lock").acquire()
    assert lock(tmp_path / "install.lock").acquire()


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC, errno.EMFILE])
def test_a_disk_that_takes_no_lock_is_an_error_of_ours(tmp_path, number):
    files = FaultyFiles()
    files.fail(1, number, kinds=["open_update"])
    with pytest.raises(StorageError) as caught, install_lock(tmp_path, files=files, patience=0):
        pytest.fail("it was taken")
    assert caught.value.code == "state_unwritable"


# ---- leases ----


@pytest.fixture
def store(tmp_path):
    store = a_store(tmp_path)
    yield store
    leases.let_go(store.folder)


def never():
    return False


def test_an_install_that_another_process_runs_from_is_not_removed(store):
    seal = an_install(store)
    with held_by_another_process(store.installs / seal.id / "lease", shared=True):
        assert store.remove(seal.id) is False
        store.sweep(frozenset(), should_stop=never)
        assert store.fault(seal.id, entry="main.py") == ""
    assert store.remove(seal.id) is True


def test_an_install_that_this_process_runs_from_is_not_removed(store):
    seal = an_install(store)
    lease = store.lease(seal.id)
    assert store.remove(seal.id) is False
    lease.release()
    assert store.remove(seal.id) is True


def test_many_processes_may_run_from_one_install(store):
    seal = an_install(store)
    with held_by_another_process(store.installs / seal.id / "lease", shared=True):
        lease = store.lease(seal.id)
        assert lease.held
    assert store.remove(seal.id) is False
    lease.release()


def test_no_lease_is_had_on_what_is_being_removed(store):
    seal = an_install(store)
    with held_by_another_process(store.installs / seal.id / "lease"):
        assert store.lease(seal.id) is None
    store.remove(seal.id)
    assert store.lease(seal.id) is None


def test_where_the_file_system_has_no_locks_the_bundle_opens_all_the_same(tmp_path, caplog):
    files = FaultyFiles()
    store = a_store(tmp_path, files)
    seal = an_install(store)
    files.fail(1, errno.EACCES, kinds=["open_read"], path="lease")
    lease = store.lease(seal.id)
    assert not lease.held
    assert "no lease on the open bundle" in caplog.text
    lease.release()


def test_a_kept_lease_goes_on_until_the_process_opens_anew(store):
    seal = an_install(store)
    leases.keep(store.folder, seal.id, store.lease(seal.id))
    gc.collect()
    assert store.remove(seal.id) is False
    leases.let_go(store.folder)
    assert store.remove(seal.id) is True


def test_of_leases_on_one_bundle_only_one_is_kept(store):
    files = FaultyFiles()
    store = a_store(store.folder.parent, files)
    seal = an_install(store)
    for _ in range(5):
        leases.keep(store.folder, seal.id, store.lease(seal.id))
    assert [path.rpartition("/")[2] for path in files.open_descriptors.values()] == ["lease"]
    leases.let_go(store.folder)
    assert files.open_descriptors == {}


def test_letting_go_in_one_data_directory_keeps_the_leases_in_another(store, tmp_path):
    other = a_store(tmp_path / "other") if (tmp_path / "other").mkdir() is None else None
    seal = an_install(other)
    leases.keep(other.folder, seal.id, other.lease(seal.id))
    leases.let_go(store.folder)
    assert other.remove(seal.id) is False
    leases.let_go(other.folder)
    assert other.remove(seal.id) is True
