"""The faults of the disk: which calls fail and how, what a kill leaves, what is damaged or gone."""

from __future__ import annotations

import errno
import os
import threading

import pytest

from capgo_client.testing import FAULTS, Stopped
from capgo_client.testing.stage import Stage


@pytest.fixture
def stage(tmp_path):
    with Stage(tmp_path) as made:
        made.publish("1.1.0")
        made.data_dir.mkdir()
        yield made


def write(stage, name="a", count=1):
    """Make a file with so many writes, as the library does: what failed, by call and errno."""
    files, failed = stage.files, []
    fd = -1

    def attempt(kind, *args):
        try:
            return getattr(files, kind)(*args)
        except OSError as exc:
            failed.append((kind, exc.errno))
            return None

    fd = attempt("open_new", stage.data_dir / name)
    if fd is not None:
        for _ in range(count):
            attempt("write", fd, b"x")
        attempt("fsync", fd)
        files.close(fd)
        attempt("rename", stage.data_dir / name, stage.data_dir / f"{name}.there")
        back = attempt("open_read", stage.data_dir / f"{name}.there")
        if back is not None:
            attempt("read", back, 10)
            files.close(back)
    attempt("mkdir", stage.data_dir / f"{name}.d")
    attempt("scan", stage.data_dir)
    return failed


ENOENT = errno.ENOENT
FAILS = {
    "disk-full": [("write", errno.ENOSPC)],
    "read-only": [("open_new", errno.EROFS), ("mkdir", errno.EROFS)],
    "no-permission": [("open_new", errno.EACCES), ("mkdir", errno.EACCES), ("scan", errno.EACCES)],
    "io-error-read": [("read", errno.EIO)],
    "io-error-write": [("write", errno.EIO)],
    "io-error-fsync": [("fsync", errno.EIO)],
    "io-error-rename": [("rename", errno.EIO), ("open_read", ENOENT)],
    "too-many-files": [("open_new", errno.EMFILE), ("scan", errno.EMFILE)],
}


@pytest.mark.parametrize("name", FAILS)
def test_the_calls_in_its_name_fail_and_no_others_and_afterwards_none(stage, name):
    with FAULTS[name].arrange(stage):
        assert write(stage) == FAILS[name]
    assert write(stage, "b") == []


@pytest.mark.parametrize("name", FAILS)
def test_what_lies_outside_the_data_directory_is_no_concern_of_it(stage, name):
    with FAULTS[name].arrange(stage):
        fd = stage.files.open_read(stage.builtin / "main.py")
        assert stage.files.read(fd, 5) == b"print"
        stage.files.close(fd)


@pytest.mark.parametrize(("order", "fails"), [({"times": 2}, 2), ({"nth": 3, "times": 2}, 2), ({"nth": 3}, 1)])
@pytest.mark.parametrize("name", ["io-error-write", "disk-full"])
def test_a_failure_of_the_disk_holds_for_as_many_calls_as_it_is_told(stage, name, order, fails):
    if name == "disk-full" and "times" not in order:
        fails = 3  # a disk that is full stays so
    with FAULTS[name].arrange(stage, **order):
        assert len(write(stage, count=5)) == fails


def test_a_disk_is_full_from_the_nth_write_on_and_an_error_comes_once(stage):
    with FAULTS["disk-full"].arrange(stage, nth=3):
        assert write(stage, count=4) == [("write", errno.ENOSPC)] * 2
    with FAULTS["io-error-write"].arrange(stage, nth=3):
        assert write(stage, "b", count=4) == [("write", errno.EIO)]


def test_calls_fail_with_a_probability_that_a_seed_repeats(stage):
    runs = []
    for name in ("a", "b"):
        with FAULTS["io-error-write"].arrange(stage, probability=0.5, seed=1):
            runs.append(len(write(stage, name, count=60)))
    assert runs[0] == runs[1]
    assert 15 < runs[0] < 45


@pytest.mark.parametrize("name", [name for name in FAILS if name != "disk-full"])
@pytest.mark.parametrize("queued", [False, True], ids=["first launch", "update pending"])
def test_the_app_opens_all_the_same_and_the_update_comes_afterwards(stage, name, queued):
    if queued:
        assert stage.launch().wait(10)
        stage.end_launch()
    with FAULTS[name].arrange(stage):
        updater = stage.launch()
        assert updater.current.version in ("1.0.0", "1.1.0")
        updater.wait(10)
        stage.end_launch()
    for _ in range(2):
        updater = stage.launch()
        assert updater.wait(10)
    assert updater.current.version == "1.1.0"


# Killed


def test_a_kill_ends_the_launch_at_the_nth_call_and_the_next_one_starts_with_free_locks(stage):
    dead = stage.files
    with FAULTS["killed"].arrange(stage, nth=5):
        with pytest.raises(Stopped):
            stage.launch()
        assert len(dead.calls) == 4
    assert stage.files is not dead
    assert stage.options["files"] is stage.files
    with pytest.raises(OSError, match="killed"):
        dead.exists(stage.data_dir)
    updater = stage.launch()
    assert updater.wait(10)
    assert updater.next_bundle.version == "1.1.0"


def test_a_kill_in_the_background_ends_no_test_by_its_thread(stage):
    with FAULTS["killed"].arrange(stage, nth=150):
        updater = stage.launch()
        assert updater.current.version == "1.0.0"
        updater.wait(1)
    assert stage.launch().wait(10)


def test_what_a_killed_process_had_open_is_closed_and_its_threads_write_nothing_more(stage):
    files = stage.files
    fd = files.open_new(stage.data_dir / "open")
    files.kill()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    for call in (lambda: files.write(fd, b"late"), lambda: files.close(fd), lambda: files.mkdir(stage.data_dir / "x")):
        with pytest.raises(OSError, match="killed"):
            call()
    files.heal()
    with pytest.raises(OSError, match="killed"):
        files.lstat(stage.data_dir)
    assert sorted(path.name for path in stage.data_dir.iterdir()) == ["open"]


def test_a_kill_waits_for_the_call_that_is_under_way(stage):
    begun, go_on = threading.Event(), threading.Event()
    files = stage.files
    fd = files.open_new(stage.data_dir / "slow")
    real = files._inner.write

    def slow(fd, data):
        begun.set()
        go_on.wait(5)
        return real(fd, data)

    files._inner.write = slow
    writer = threading.Thread(target=files.write, args=(fd, b"whole"))
    writer.start()
    assert begun.wait(5)
    killer = threading.Thread(target=files.kill)
    killer.start()
    killer.join(0.05)
    assert killer.is_alive()
    go_on.set()
    writer.join(5)
    killer.join(5)
    assert (stage.data_dir / "slow").read_bytes() == b"whole"


# Deleted and damaged


def test_the_data_directory_goes_while_the_app_runs(stage):
    (stage.data_dir / "here").touch()
    with FAULTS["data-deleted"].arrange(stage):
        updater = stage.updater(auto_update="off", stats_url="")
        assert (stage.data_dir / "here").exists()
        assert updater.start().version == "1.0.0"
        assert not (stage.data_dir / "here").exists()
        updater.notify_app_ready()
        stage.end_launch()
    (stage.data_dir.parent / "data").mkdir(exist_ok=True)
    (stage.data_dir / "again").touch()
    assert stage.launch().wait(10)
    assert (stage.data_dir / "again").exists()


def test_the_data_directory_can_go_at_the_nth_call(stage):
    (stage.data_dir / "here").touch()
    with FAULTS["data-deleted"].arrange(stage, nth=3):
        for _ in range(2):
            assert stage.files.exists(stage.data_dir / "here")
        assert not stage.files.exists(stage.data_dir / "here")
    assert stage.data_dir.parent.is_dir()


@pytest.mark.parametrize(
    ("name", "options", "left"),
    [
        ("state-truncated", {}, b"01234"),
        ("state-truncated", {"at": 0}, b""),
        ("state-truncated", {"at": 9}, b"012345678"),
        ("state-flipped", {}, b"01234\xca6789"),
        ("state-flipped", {"at": 0}, b"\xcf123456789"),
        ("state-flipped", {"at": -1}, b"012345678\xc6"),
    ],
)
def test_the_state_file_is_damaged_at_that_byte(stage, name, options, left):
    (stage.data_dir / "state.json").write_bytes(b"0123456789")
    (stage.data_dir / "state.old").write_bytes(b"0123456789")
    with FAULTS[name].arrange(stage, **options):
        assert (stage.data_dir / "state.json").read_bytes() == left
        assert (stage.data_dir / "state.old").read_bytes() == b"0123456789"
    with FAULTS[name].arrange(stage, file="state.old", **options):
        assert (stage.data_dir / "state.old").read_bytes() == left


@pytest.mark.parametrize(("name", "made"), [("state-truncated", b""), ("state-flipped", b"\xff")])
def test_where_there_was_no_state_there_is_a_damaged_one(tmp_path, name, made):
    with Stage(tmp_path) as stage, FAULTS[name].arrange(stage):
        assert (stage.data_dir / "state.json").read_bytes() == made
        assert stage.launch().current.version == "1.0.0"


@pytest.mark.parametrize("name", ["state-truncated", "state-flipped", "data-deleted"])
def test_a_probability_of_nothing_damages_nothing(stage, name):
    (stage.data_dir / "state.json").write_bytes(b"0123456789")
    with FAULTS[name].arrange(stage, probability=0.0):
        stage.has_started()
        assert (stage.data_dir / "state.json").read_bytes() == b"0123456789"
