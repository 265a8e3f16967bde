"""From an archive to an install (install/builder.py, install/trees.py); every errno: test_failures_and_damage.py."""

from __future__ import annotations

import errno
import fcntl
import os
import stat

import pytest
from installs import NOW, a_store, an_archive, an_install, everything_below

from capgo_client.errors import ArchiveError, Cancelled, StorageError
from capgo_client.install.audit import audit
from capgo_client.install.builder import entry_check
from capgo_client.install.trees import flush_tree, remove_tree
from capgo_client.seams import Files
from capgo_client.testing import FaultyFiles, Stopped

EMPTY = ["downloads", "installs", "staging", "trash"]


@pytest.fixture
def store(tmp_path):
    return a_store(tmp_path)


def sound(store, bundle_id):
    return audit(store.installs / bundle_id, files=Files(), should_stop=lambda: False) == ()


def test_an_install_is_one_folder_with_the_files_and_the_record_beside_them(store):
    seal = an_install(store)
    assert everything_below(store.installs / seal.id) == [
        "app", "app/main.py", "app/pkg", "app/pkg/__init__.py", "app/pkg/data.bin", "files.json", "lease", "seal.json",
    ]  # fmt: skip
    assert seal.sealed_at == NOW
    assert everything_below(store.staging) == []


def test_only_the_inner_folder_is_read_only_for_the_outer_one_has_to_move_and_takes_marks(store):
    seal = an_install(store)
    modes = {
        name: stat.S_IMODE((store.installs / seal.id / name).stat().st_mode)
        for name in ("", "app", "app/pkg", "app/pkg/data.bin", "seal.json")
    }
    assert modes == {"": 0o700, "app": 0o500, "app/pkg": 0o500, "app/pkg/data.bin": 0o400, "seal.json": 0o600}


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_has_capgos_own_code(store, error):
    files = FaultyFiles()
    files.fail(1, error, kinds=["write"], times=None)
    with pytest.raises(StorageError) as caught:
        an_install(store, files=files)
    assert (caught.value.code, caught.value.retryable) == ("insufficient_disk_space", True)
    assert everything_below(store.folder) == EMPTY


def test_a_flush_of_the_file_system_that_reports_an_error_is_not_swallowed(store):
    files = FaultyFiles()
    files.fail(1, errno.EIO, kinds=["sync_filesystem"])
    with pytest.raises(StorageError):
        an_install(store, files=files)
    assert everything_below(store.folder) == EMPTY


def test_a_flush_of_one_file_that_reports_an_error_is_not_swallowed_either(store):
    files = FaultyFiles(WithoutSyncfs())
    files.fail(3, errno.EIO, kinds=["fsync"])
    with pytest.raises(StorageError):
        an_install(store, files=files)
    assert everything_below(store.folder) == EMPTY


class WithoutSyncfs(Files):
    def sync_filesystem(self, fd):
        return False


class FlushesForWritingOnly(WithoutSyncfs):
    """As Windows: a handle for reading cannot be flushed, a read-only file not be opened for writing, no folder at all.

    Root may write what is read-only, so the rule is kept by hand.
    """

    flushed: list[str]
    flushes_readers = False

    def __init__(self):
        self.flushed = []
        self.names = {}

    def open_folder(self, path):
        raise PermissionError(errno.EACCES, "a folder cannot be opened", str(path))

    def open_update(self, path):
        if os.path.exists(path) and not os.lstat(path).st_mode & 0o200:
            raise PermissionError(errno.EACCES, "read-only", str(path))
        fd = super().open_update(path)
        self.names[fd] = os.path.basename(path)
        return fd

    def fsync(self, fd):
        if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "not open for writing")
        super().fsync(fd)
        self.flushed.append(self.names[fd])


def test_a_system_that_flushes_only_what_is_open_for_writing_installs_and_flushes_every_file(store):
    files = FlushesForWritingOnly()
    seal = an_install(store, files=files)
    assert sorted(files.flushed) == ["__init__.py", "data.bin", "files.json", "lease", "main.py", "seal.json"]
    assert sound(store, seal.id)
    assert (store.app_path(seal.id) / "main.py").stat().st_mode & 0o777 == 0o400


def test_one_call_flushes_everything_where_the_system_has_it(store):
    class HasSyncfs(Files):
        def sync_filesystem(self, fd):
            return True

    files = FaultyFiles(HasSyncfs())
    an_install(store, files=files)
    assert files.count("sync_filesystem") == 1
    assert [call.path for call in files.calls if call.kind == "fsync"] == [str(store.installs)]


def test_a_folder_is_flushed_after_what_lies_in_it(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_text("x")
    files = FaultyFiles(WithoutSyncfs())
    flush_tree(tmp_path / "a", files=files)
    flushed = [call.path[len(str(tmp_path)) :] for call in files.calls if call.kind == "fsync"]
    assert flushed == ["/a/b/file", "/a/b", "/a"]
    assert files.open_descriptors == {}


def test_a_bundle_that_is_refused_on_inspection_leaves_nothing(store):
    seen = []

    def refuse(app, records):
        seen.append((app.parent.parent == store.staging, [record.path for record in records]))
        raise ArchiveError("no", code="entry_missing")

    with pytest.raises(ArchiveError):
        an_install(store, inspect=refuse)
    assert seen == [(True, ["main.py", "pkg/__init__.py", "pkg/data.bin"])]
    assert everything_below(store.folder) == EMPTY


def test_what_is_no_archive_leaves_nothing(store, tmp_path):
    (tmp_path / "x.zip").write_bytes(b"no zip at all" * 10)
    with pytest.raises(ArchiveError):
        an_install(store, archive=tmp_path / "x.zip")
    assert everything_below(store.folder) == EMPTY


def test_being_told_to_stop_at_any_moment_publishes_nothing(store, tmp_path):
    archive = an_archive(tmp_path)
    moment, seal = 0, None
    while seal is None:
        moment += 1
        asked = []

        def stop(asked=asked, moment=moment):
            asked.append(1)
            return len(asked) >= moment

        try:
            seal = an_install(store, archive=archive, should_stop=stop)
        except Cancelled:
            assert everything_below(store.folder) == EMPTY
    assert moment > 4
    assert sound(store, seal.id)


@pytest.mark.promise(4)
def test_killed_at_any_call_the_install_is_not_there_or_whole_and_a_sweep_removes_the_rest(store, tmp_path):
    archive = an_archive(tmp_path)
    nth, finished, seen = 0, False, set()
    while not finished:
        nth += 1
        files = FaultyFiles()
        files.stop_after(nth)
        try:
            an_install(store, archive=archive, files=files)
            finished = True
        except Stopped:
            pass
        seen.add(len(store.ids()))
        assert all(sound(store, bundle_id) for bundle_id in store.ids())
        store.sweep(frozenset(), should_stop=lambda: False)
        assert everything_below(store.folder) == EMPTY
    assert nth > 35
    assert seen == {0, 1}


def test_the_entry_has_to_be_a_file_where_one_is_asked_for(tmp_path):
    (tmp_path / "main.py").write_text("1")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("main.py")
    entry_check(tmp_path, "main.py", files=Files())
    entry_check(tmp_path, "", files=Files())
    for name in ("folder", "link", "missing.py", "main.py/x"):
        with pytest.raises(ArchiveError) as caught:
            entry_check(tmp_path, name, files=Files())
        assert caught.value.code == "entry_missing"


def test_a_tree_that_is_read_only_is_removed_all_the_same(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "x").write_text("x")
    for path in (tmp_path / "a" / "b" / "x", tmp_path / "a" / "b", tmp_path / "a"):
        os.chmod(path, 0o400 if path.is_file() else 0o500)
    remove_tree(tmp_path / "a", files=Files())
    assert everything_below(tmp_path) == []


def test_a_read_only_file_is_made_writable_where_the_system_wants_that_before_it_goes(tmp_path):
    class WritableFirst(Files):
        def unlink(self, path):
            if not os.lstat(path).st_mode & 0o200:
                raise PermissionError(errno.EACCES, "read-only", str(path))
            super().unlink(path)

    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_text("x")
    os.chmod(tmp_path / "a" / "x", 0o400)
    remove_tree(tmp_path / "a", files=WritableFirst())
    assert everything_below(tmp_path) == []
