from __future__ import annotations

import errno
import inspect
import os

import pytest

from capgo_client.seams import Files
from capgo_client.testing import FaultyFiles, Stopped
from capgo_client.testing.files import CALLS

#: What Files makes of its own calls; counted through them.
COMPOSED = {"write_all", "read_bytes", "sync_folder", "exists"}


def test_every_public_method_of_files_is_either_counted_or_made_of_counted_ones():
    methods = {name for name, _ in inspect.getmembers(Files, inspect.isfunction) if not name.startswith("_")}
    assert set(CALLS) | COMPOSED == methods
    assert all(getattr(FaultyFiles, name) is not getattr(Files, name) for name in CALLS)
    assert all(getattr(FaultyFiles, name) is getattr(Files, name) for name in COMPOSED)


def test_what_the_system_below_can_is_what_it_can():
    class Lacking(Files):
        preads_at_once = flushes_readers = False

    has = [(files.preads_at_once, files.flushes_readers) for files in (Files(), FaultyFiles(), FaultyFiles(Lacking()))]
    assert has == [has[0], has[0], (False, False)]


def test_it_does_what_files_does_and_writes_each_call_down(tmp_path):
    files = FaultyFiles()
    folder, path, other = (str(tmp_path / name) for name in ("d", "d/a", "d/b"))
    files.mkdir(folder)
    fd = files.open_new(path, mode=0o600)
    files.write_all(fd, b"hello")
    files.fsync(fd)
    files.close(fd)
    files.rename(path, other)
    assert files.read_bytes(other, limit=10) == b"hello"
    assert not files.exists(path)
    assert [entry.name for entry in files.scan(folder)] == ["b"]
    assert files.calls == [
        ("mkdir", folder, ""),
        ("open_new", path, ""),
        ("write", path, ""),
        ("fsync", path, ""),
        ("close", path, ""),
        ("rename", path, other),
        ("open_read", other, ""),
        ("read", other, ""),
        ("read", other, ""),
        ("close", other, ""),
        ("lstat", path, ""),
        ("scan", folder, ""),
    ]
    assert (files.count(), files.count("write"), files.count("open_new", "open_read")) == (12, 1, 2)
    assert files.open_descriptors == {}


def test_the_nth_call_fails_with_the_errno_and_changes_nothing(tmp_path):
    files = FaultyFiles()
    files.fail(2, errno.ENOSPC, kinds=["mkdir"])
    files.mkdir(tmp_path / "one")
    with pytest.raises(OSError, match="No space left") as caught:
        files.mkdir(tmp_path / "two")
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(tmp_path / "two")
    files.mkdir(tmp_path / "three")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "three"]
    assert files.count("mkdir") == 3


def test_counting_for_a_failure_begins_when_it_is_set(tmp_path):
    files = FaultyFiles()
    files.mkdir(tmp_path / "one")
    files.fail(1, errno.EACCES, kinds=["mkdir"])
    with pytest.raises(PermissionError):
        files.mkdir(tmp_path / "two")


def test_of_two_failures_that_both_count_a_call_the_one_set_last_is_raised(tmp_path):
    files = FaultyFiles()
    files.fail(2, errno.EIO, kinds=["mkdir"], times=2)
    files.fail(2, errno.ENOSPC, kinds=["mkdir"])
    files.mkdir(tmp_path / "one")
    for number in (errno.ENOSPC, errno.EIO):
        with pytest.raises(OSError, match="two") as caught:
            files.mkdir(tmp_path / "two")
        assert caught.value.errno == number


def test_a_full_disk_stays_full_until_healed(tmp_path):
    files = FaultyFiles()
    fd = files.open_new(tmp_path / "a")
    files.fail(2, errno.ENOSPC, kinds=["write"], times=None)
    files.write(fd, b"1")
    for _ in range(3):
        with pytest.raises(OSError, match="No space left"):
            files.write(fd, b"2")
    files.heal()
    files.write(fd, b"3")
    files.close(fd)
    assert (tmp_path / "a").read_bytes() == b"13"


def test_a_failure_can_be_for_some_paths_or_rename_targets_only(tmp_path):
    files = FaultyFiles()
    files.fail(1, errno.EIO, path="state.json", kinds=["rename"])
    (tmp_path / "new").write_bytes(b"")
    files.rename(tmp_path / "new", tmp_path / "other")
    with pytest.raises(OSError, match="Input/output"):
        files.rename(tmp_path / "other", tmp_path / "state.json")
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_a_close_that_fails_gives_the_descriptor_back_all_the_same(tmp_path):
    files = FaultyFiles()
    fd = files.open_new(tmp_path / "a")
    files.fail(1, errno.EIO, kinds=["close"])
    with pytest.raises(OSError, match="Input/output"):
        files.close(fd)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    assert files.open_descriptors == {}


@pytest.mark.parametrize("n", [0, 1, 2])
def test_after_so_many_calls_the_disk_is_dead(tmp_path, n):
    files = FaultyFiles()
    files.stop_after(n, kinds=["mkdir"])
    for number in range(n):
        files.mkdir(tmp_path / str(number))
    with pytest.raises(Stopped):
        files.mkdir(tmp_path / "next")
    with pytest.raises(Stopped):
        files.lstat(tmp_path)  # any other call too
    assert len(list(tmp_path.iterdir())) == n
    assert files.count() == n


def test_a_dead_disk_is_not_touched_by_what_cleans_up_but_descriptors_are_given_back(tmp_path):
    files = FaultyFiles()
    files.stop_after(2)
    fd = files.open_new(tmp_path / "a")

    def write_and_clean_up():
        try:
            files.write(fd, b"1")
            files.fsync(fd)
        except Exception:
            files.unlink(tmp_path / "a")
        finally:
            files.close(fd)

    with pytest.raises(Stopped):
        write_and_clean_up()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    assert (tmp_path / "a").read_bytes() == b"1"


def test_an_action_takes_the_place_of_stopping_and_runs_once_before_the_next_call(tmp_path):
    files = FaultyFiles()
    seen = []
    files.stop_after(1, lambda: seen.append((tmp_path / "two").exists()))
    files.mkdir(tmp_path / "one")
    assert seen == []
    files.mkdir(tmp_path / "two")
    files.mkdir(tmp_path / "three")
    assert seen == [False]
    assert (tmp_path / "three").exists()


def test_another_files_can_lie_below(tmp_path):
    inner, outer = FaultyFiles(), None
    outer = FaultyFiles(inner)
    outer.mkdir(tmp_path / "a")
    assert inner.calls == outer.calls == [("mkdir", str(tmp_path / "a"), "")]


def test_a_kind_that_does_not_exist_is_refused_with_those_that_do():
    with pytest.raises(ValueError, match="open_new"):
        FaultyFiles().fail(1, errno.EIO, kinds=["create"])
