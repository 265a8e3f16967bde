"""Two threads for the files of one bundle (install/hands.py), and what they must not change about an install."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest
from archive_maker import Item, deflate, make_zip
from installs import NOW, a_store, an_install, everything_below

from capgo_client.errors import ArchiveError, Cancelled, CapgoError, StorageError
from capgo_client.install import assemble as assemble_module
from capgo_client.install import extract as extract_module
from capgo_client.install import hands
from capgo_client.install.archive import Limits
from capgo_client.install.assemble import Piece
from capgo_client.install.audit import audit
from capgo_client.install.builder import Origin, install_files
from capgo_client.install.extract import extract
from capgo_client.install.hands import Hands, two
from capgo_client.install.record import FileRecord
from capgo_client.install.trees import flush_tree
from capgo_client.seams import Files
from capgo_client.testing import FaultyFiles, Stopped

DATA = Path(__file__).parent.parent / "data"
EMPTY = ["downloads", "installs", "staging", "trash"]
#: Five folders; in the archive, and so on the disk, the files of each stand apart.
TREE = {f"{folder}/{n}.py": f"{folder}{n}\n" * (40 * n + 1) for n in range(4) for folder in ("a", "b/c", "b", "d", "e")}
PATIENCE = 10.0


@pytest.fixture(autouse=True)
def shared(monkeypatch):
    """Whatever there is to do is shared by two, on every machine."""
    monkeypatch.setattr(hands, "_MANY_BYTES", 0)
    monkeypatch.setattr(extract_module, "_WORTH", 0)
    monkeypatch.setattr(assemble_module, "_WORTH", 0)
    monkeypatch.setattr(hands.os, "cpu_count", lambda: 2)


@pytest.fixture(autouse=True)
def nobody_is_left():
    yield
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("capgo-hand")] == []


def never() -> bool:
    return False


# ---- who does what ----


def parts(files):
    return hands.parts_of(files, worth=0)


def work(*paths, size=1):
    return [FileRecord(path, size, "") for path in paths]


class Workshop:
    """Hands that write down who did what, and wait in their first part until both have one."""

    def __init__(self, *, both=True, most=2):
        self.done = []
        self._both = threading.Barrier(2, timeout=PATIENCE) if both else None
        self._began = threading.local()
        self.hands = Hands(self._do, most=most)

    def _do(self, part):
        if self._both is not None and not getattr(self._began, "yes", False):
            self._began.yes = True
            self._both.wait()
        self.done.append((threading.current_thread().name, [file.path for file in part]))


def test_two_threads_share_the_work_and_the_files_of_a_folder_stay_together_in_order():
    shop = Workshop()
    shop.hands.run(parts(work("a/1", "b/1", "a/2", "x", "b/c/1", "b/2", "y")))
    assert sorted(part for _, part in shop.done) == [["a/1", "a/2"], ["b/1", "b/2"], ["b/c/1"], ["x", "y"]]
    assert {name for name, _ in shop.done} == {threading.current_thread().name, "capgo-hand-0"}


def test_a_folder_with_much_in_it_is_for_both():
    shop = Workshop()
    shop.hands.run(parts(work(*(f"a/{n}" for n in range(4)), size=3 << 20)))
    assert sorted(part for _, part in shop.done) == [["a/0", "a/1"], ["a/2", "a/3"]]


@pytest.mark.parametrize(
    ("count", "size", "worth", "shared"),
    [
        (2, (4 << 20) - 1, 0, False),
        (2, 4 << 20, 0, True),
        (2048, 4096, 4096, True),
        (2049, 4095, 4096, False),
        (20_000, 4095, 4096, False),
        (20_000, 4096, 4096, True),
    ],
)
def test_little_work_is_one_part_and_keeps_its_order_and_so_are_files_that_are_small(
    monkeypatch, count, size, worth, shared
):
    monkeypatch.undo()
    todo = work(*(f"{n % 3}/{n}" for n in range(count)), size=size)
    found = hands.parts_of(todo, worth=worth)
    assert (found == [todo]) is not shared
    assert sorted(file for part in found for file in part) == sorted(todo)


def test_one_part_starts_no_thread(monkeypatch):
    monkeypatch.setattr(hands.threading.Thread, "start", lambda self: pytest.fail("a thread was started"))
    shop = Workshop(both=False)
    shop.hands.run([work("b/1", "a/1", "b/2")])
    assert shop.done == [(threading.current_thread().name, ["b/1", "a/1", "b/2"])]


@pytest.mark.parametrize(("processors", "most"), [(None, 1), (1, 1), (2, 2), (64, 2)])
def test_a_processor_that_is_not_there_has_no_thread(monkeypatch, processors, most):
    monkeypatch.setattr(hands.os, "cpu_count", lambda: processors)
    assert two() == most


def test_one_hand_does_all_by_itself():
    shop = Workshop(both=False, most=1)
    shop.hands.run(parts(work("b/1", "a/1", "b/2")))
    assert shop.done == [(threading.current_thread().name, part) for part in (["b/1", "b/2"], ["a/1"])]


def test_a_thread_that_cannot_be_had_leaves_all_to_the_caller(monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(hands.threading.Thread, "start", refuse)
    shop = Workshop(both=False)
    shop.hands.run(parts(work("a/1", "b/1", "c/1")))
    assert shop.done == [(threading.current_thread().name, [path]) for path in ("a/1", "b/1", "c/1")]


@pytest.mark.parametrize("error", [OSError(errno.EIO, "disk"), Stopped("dead")])
@pytest.mark.parametrize("who", ["caller", "other"])
def test_the_first_error_is_raised_and_the_other_ends_with_it(error, who):
    both = threading.Barrier(2, timeout=PATIENCE)
    failed = threading.Event()
    done = []

    def do(part):
        both.wait()
        is_other = threading.current_thread().name.startswith("capgo-hand")
        if is_other == (who == "other"):
            failed.set()
            raise error
        assert failed.wait(PATIENCE)
        while not crew.failed:
            pass
        done.append(list(part))
        raise Cancelled("because of the other")

    crew = Hands(do, most=2)
    with pytest.raises(type(error)) as caught:
        crew.run(["a", "b", "c", "d"])
    assert caught.value is error
    assert len(done) == 1


def test_who_is_interrupted_while_the_other_works_waits_for_it_all_the_same(monkeypatch):
    both, go_on, ended = threading.Barrier(2, timeout=PATIENCE), threading.Event(), []
    join = threading.Thread.join

    def interrupted(self, timeout=None):
        if self.name.startswith("capgo-hand") and not go_on.is_set():
            go_on.set()
            raise KeyboardInterrupt
        join(self, timeout)

    def do(part):
        both.wait()
        if threading.current_thread().name.startswith("capgo-hand"):
            assert go_on.wait(PATIENCE)
            ended.append(crew.failed)

    monkeypatch.setattr(hands.threading.Thread, "join", interrupted)
    crew = Hands(do, most=2)
    with pytest.raises(KeyboardInterrupt):
        crew.run(["a", "b"])
    assert len(ended) == 1


def test_many_files_are_flushed_by_eight_and_the_folders_after_all_that_lies_in_them(tmp_path):
    class Slow(Files):
        """Has no syncfs, and lets no flush end before eight are under way."""

        def __init__(self):
            self.flushed = []
            self.eight = threading.Barrier(8, timeout=PATIENCE)
            self.began = threading.local()

        def sync_filesystem(self, fd):
            return False

        def fsync(self, fd):
            if stat.S_ISREG(os.fstat(fd).st_mode) and not getattr(self.began, "yes", False):
                self.began.yes = True
                self.eight.wait()
            self.flushed.append(os.fstat(fd).st_ino)

    names = [f"{n % 3}/{n}" for n in range(8 * 25)]
    for name in names:
        (tmp_path / "a" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "a" / name).touch()
    files = Slow()
    flush_tree(tmp_path / "a", files=files)
    folders = [(tmp_path / "a" / name).stat().st_ino for name in ("0", "1", "2", ".")]
    assert sorted(files.flushed[:-4]) == sorted((tmp_path / "a" / name).stat().st_ino for name in names)
    assert sorted(files.flushed[-4:-1]) == sorted(folders[:-1])
    assert files.flushed[-1] == folders[-1]


# ---- an archive ----


def unpacked(tmp_path, data, *, files=None, should_stop=never):
    target = tmp_path / "target"
    target.mkdir()
    (tmp_path / "a.zip").write_bytes(data)
    return extract(tmp_path / "a.zip", target, files=files or Files(), limits=Limits(), should_stop=should_stop), target


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_bundle_comes_out_byte_for_byte(tmp_path, version):
    facts = json.loads((DATA / "bundles" / "tree.json").read_text(encoding="utf-8"))[version]["files"]
    records, target = unpacked(tmp_path, (DATA / "bundles" / f"{version}.zip").read_bytes())
    assert records == tuple(sorted(FileRecord(path, each["size"], each["sha256"]) for path, each in facts.items()))
    for path, each in facts.items():
        assert hashlib.sha256((target / path).read_bytes()).hexdigest() == each["sha256"]


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (Item("b/wrong", b"data", crc=1), "crc_fail"),
        (Item("b/wrong", b"data", method=8, size=3), "size_mismatch"),
        (Item("b/wrong", b"data", method=8, packed=deflate(b"data") + b"\0"), "unzip_fail"),
    ],
)
@pytest.mark.parametrize("place", [0, 7, 19])
def test_one_wrong_file_among_many_is_refused_wherever_it_stands(tmp_path, wrong, code, place):
    items = [Item(name, content.encode(), method=8) for name, content in TREE.items()]
    items.insert(place, wrong)
    files = FaultyFiles()
    with pytest.raises(ArchiveError) as caught:
        unpacked(tmp_path, make_zip(*items), files=files)
    assert caught.value.code == code
    assert files.open_descriptors == {}


def test_when_one_fails_the_other_ends_within_its_part(tmp_path, monkeypatch):
    waits, join = threading.Event(), threading.Thread.join

    def joined(self, timeout=None):
        waits.set()  # whoever called has failed, and waits for the other to end
        join(self, timeout)

    class FailsTheCaller(Files):
        made = 0

        def open_new(self, path, mode=0o600):
            if threading.current_thread() is threading.main_thread():
                raise OSError(errno.EIO, "disk")
            assert waits.wait(PATIENCE)
            self.made += 1
            return super().open_new(path, mode)

    monkeypatch.setattr(hands.threading.Thread, "join", joined)
    files = FailsTheCaller()
    with pytest.raises(OSError, match="disk"):
        unpacked(tmp_path, make_zip(*(f"{folder}/{n}" for folder in "ab" for n in range(50))), files=files)
    assert files.made <= 1


def test_a_system_whose_reads_move_the_position_unpacks_with_one_thread(tmp_path):
    class Moving(Files):
        preads_at_once = False

        def __init__(self):
            self.threads = set()

        def pread(self, fd, size, offset):
            self.threads.add(threading.current_thread().name)
            return super().pread(fd, size, offset)

    files = Moving()
    items = [Item(name, content.encode(), method=8) for name, content in TREE.items()]
    records, _ = unpacked(tmp_path, make_zip(*items), files=files)
    assert len(records) == len(TREE)
    assert files.threads == {threading.current_thread().name}


# ---- an install, of an archive or of files ----


@dataclass
class Making:
    """One way to make an install of TREE."""

    name: str

    def __call__(self, store, folder, *, files=None, should_stop=never):
        if self.name == "archive":
            return an_install(store, TREE, files=files, should_stop=should_stop)
        return install_files(
            store,
            self._pieces(folder),
            origin=Origin(version="2.0.0", checksum="sum", native_version="1.0.0", sha256=""),
            files=files or Files(),
            limits=Limits(),
            inspect=lambda app, records: None,
            now=NOW,
            should_stop=should_stop,
        )

    @staticmethod
    def _pieces(folder):
        sources = folder / "sources"
        sources.mkdir(exist_ok=True)
        pieces = []
        for number, (name, text) in enumerate(TREE.items()):
            path, content = sources / str(number), text.encode()
            path.write_bytes(content)
            digest = hashlib.sha256(content).digest()
            pieces.append(Piece(tuple(name.split("/")), digest, len(content), (str(path),)))
        return pieces


@pytest.fixture(params=["archive", "files"])
def make(request):
    return Making(request.param)


@pytest.fixture
def store(tmp_path):
    return a_store(tmp_path)


def contents(app):
    return {path.relative_to(app).as_posix(): path.read_text() for path in app.rglob("*") if path.is_file()}


def test_what_two_threads_made_is_whole_and_sealed(store, tmp_path, make):
    seal = make(store, tmp_path)
    assert contents(store.app_path(seal.id)) == TREE
    assert audit(store.installs / seal.id, files=Files(), should_stop=never) == ()


@pytest.mark.promise(4)
def test_killed_at_any_call_of_either_thread_there_is_no_install_or_a_whole_one(store, tmp_path, make):
    seen, nth, finished = set(), 0, False
    while not finished:
        nth += 7
        files = FaultyFiles()
        files.stop_after(nth)
        try:
            make(store, tmp_path, files=files)
            finished = True
        except Stopped:
            pass
        seen.add(len(store.ids()))
        for bundle_id in store.ids():
            assert audit(store.installs / bundle_id, files=Files(), should_stop=never) == ()
        store.sweep(frozenset(), should_stop=never)
        assert everything_below(store.folder) == EMPTY
    assert nth > 100
    assert seen == {0, 1}


@pytest.mark.promise(4)
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO], ids=errno.errorcode.get)
def test_failing_at_any_call_of_either_thread_it_is_a_typed_error_and_nothing_is_left(store, tmp_path, make, number):
    kinds = ["open_new", "write", "mkdir", "fsync", "rename", "sync_filesystem", "fstat"]
    counted = FaultyFiles()
    make(store, tmp_path, files=counted)
    store.sweep(frozenset(), should_stop=never)
    for nth in range(1, counted.count(*kinds) + 1, 3):
        files = FaultyFiles()
        files.fail(nth, number, kinds=kinds, path="staging")
        try:
            make(store, tmp_path, files=files)
        except CapgoError as exc:
            assert exc.code in {"insufficient_disk_space", "storage_error", "source_changed"}  # noqa: PT017
        assert files.open_descriptors == {}
        for bundle_id in store.ids():
            assert audit(store.installs / bundle_id, files=Files(), should_stop=never) == ()
        assert everything_below(store.staging) == []


def test_told_to_stop_at_any_moment_both_end_and_nothing_is_published(store, tmp_path, make):
    lock = threading.Lock()
    moment, seal = 0, None
    while seal is None:
        moment += 3
        asked = []

        def stop(asked=asked, moment=moment):
            with lock:
                asked.append(threading.current_thread().name)
                return len(asked) >= moment

        try:
            seal = make(store, tmp_path, should_stop=stop)
        except Cancelled:
            assert everything_below(store.folder) == EMPTY
            assert [name for name in map(str, threading.enumerate()) if "capgo-hand" in name] == []
    assert moment > len(TREE)


def test_a_source_that_disappoints_one_of_them_ends_both(store, tmp_path):
    pieces = Making("files")._pieces(tmp_path)
    (tmp_path / "sources" / "9").write_bytes(b"changed")
    making = Making("files")
    making._pieces = lambda folder: pieces
    with pytest.raises(StorageError) as caught:
        making(store, tmp_path)
    assert caught.value.code == "source_changed"
    assert everything_below(store.folder) == EMPTY
