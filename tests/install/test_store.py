"""The folder of installs (install/store.py): at a glance, by lease, and on the way out."""

from __future__ import annotations

import errno
import os

import pytest
from installs import CONTENT, a_store, an_install, everything_below, held_by_another_process

from capgo_client.errors import StorageError
from capgo_client.install import store as store_module
from capgo_client.install.store import Store, new_id
from capgo_client.platforms import windows
from capgo_client.seams import Files
from capgo_client.testing import FaultyFiles


@pytest.fixture
def store(tmp_path):
    return a_store(tmp_path)


def never():
    return False


def glance(store, bundle_id, entry="main.py"):
    return store.fault(bundle_id, entry=entry)


# ---- making the folders ----


def test_the_folders_are_made_private_with_all_above_them_that_are_missing(tmp_path):
    store = Store(tmp_path / "a" / "b" / "data", files=Files())
    store.prepare()
    assert everything_below(store.folder) == ["downloads", "installs", "staging", "trash"]
    for folder in (tmp_path / "a", tmp_path / "a" / "b", store.folder, store.installs, store.trash):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_a_data_directory_that_is_made_is_flushed_into_the_folder_above_it(tmp_path):
    files = FaultyFiles()
    Store(tmp_path / "a" / "data", files=files).prepare()
    order = [(call.kind, call.path[len(str(tmp_path)) :]) for call in files.calls if call.kind in {"mkdir", "fsync"}]
    assert order == [
        ("mkdir", "/a"), ("fsync", ""), ("mkdir", "/a/data"), ("fsync", "/a"), ("mkdir", "/a/data/installs"),
        ("mkdir", "/a/data/staging"), ("mkdir", "/a/data/trash"), ("mkdir", "/a/data/downloads"),
    ]  # fmt: skip


def test_with_all_there_a_start_only_looks(tmp_path):
    a_store(tmp_path)
    files = FaultyFiles()
    a_store(tmp_path, files)
    assert {call.kind for call in files.calls} == {"lstat"}
    assert len(files.calls) == 7  # two of them for the statistics, whose folder others make


@pytest.mark.parametrize("what", ["file", "link", "dangling link"])
def test_what_stands_in_a_folders_place_goes(tmp_path, what):
    data, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    data.mkdir()
    elsewhere.mkdir()
    if what == "file":
        (data / "installs").write_text("x")
    else:
        (data / "installs").symlink_to(elsewhere if what == "link" else tmp_path / "nowhere")
    store = a_store(tmp_path)
    assert store.installs.is_dir()
    assert not store.installs.is_symlink()
    assert elsewhere.is_dir()


def test_another_process_that_is_quicker_with_a_folder_is_no_trouble(tmp_path):
    class Quicker(Files):
        def mkdir(self, path, mode=0o700):
            os.mkdir(path, mode)
            super().mkdir(path, mode)

    store = Store(tmp_path / "data", files=Quicker())
    store.prepare()
    assert everything_below(store.folder) == ["downloads", "installs", "staging", "trash"]


def test_a_file_in_the_data_directorys_place_is_an_error(tmp_path):
    (tmp_path / "data").write_text("x")
    with pytest.raises(OSError) as caught:
        a_store(tmp_path)
    assert caught.value.errno == errno.ENOTDIR
    assert (tmp_path / "data").read_text() == "x"


def test_ids_are_ten_letters_and_digits_and_never_the_same():
    made = {new_id() for _ in range(200)}
    assert len(made) == 200
    assert all(len(one) == 10 and one.isascii() and one.isalnum() for one in made)


# ---- at a glance ----


def test_a_sound_install_has_no_fault(store):
    seal = an_install(store)
    assert glance(store, seal.id) == ""
    assert glance(store, seal.id, entry="") == ""
    assert store.app_path(seal.id).is_dir()


def _unlink(name):
    return lambda folder: (folder / name).unlink()


def _truncate(name):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-1])


def _flip(folder):
    data = bytearray((folder / "seal.json").read_bytes())
    data[40] ^= 1
    (folder / "seal.json").write_bytes(data)


def _to_folder(name):
    def do(folder):
        os.chmod(folder / "app", 0o700)
        (folder / name).unlink()
        (folder / name).mkdir()

    return do


def _to_link(name):
    def do(folder):
        os.chmod(folder / "app", 0o700)
        (folder / name).rename(folder / "moved")
        (folder / name).symlink_to(folder / "moved")

    return do


def _everything(folder):
    folder.rename(folder.parent.parent / "moved")


def _only_entry(folder):
    os.chmod(folder / "app", 0o700)
    (folder / "app" / "main.py").unlink()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_unlink("seal.json"), "the seal cannot be read"),
        (_truncate("seal.json"), "the check sum does not match"),
        (_flip, "the check sum does not match"),
        (_to_folder("seal.json"), "the seal cannot be read"),
        (_to_link("seal.json"), "the seal cannot be read"),
        (_to_link("app"), "its folder is not a folder"),
        (_only_entry, "main.py"),
        (_to_folder("app/main.py"), "its entry main.py is not a file"),
        (_to_link("app/main.py"), "its entry main.py is not a file"),
        (_unlink("lease"), "lease"),
        (_everything, "the seal cannot be read"),
    ],
    ids=["no seal", "short seal", "flipped seal", "folder for a seal", "link for a seal", "link for the app",
         "no entry", "folder for the entry", "link for the entry", "no lease", "all gone"],
)  # fmt: skip
def test_damage_is_seen_at_a_glance(store, damage, words):
    seal = an_install(store)
    damage(store.installs / seal.id)
    assert words in glance(store, seal.id)


def test_a_glance_costs_the_same_for_any_size(tmp_path):
    counts = []
    for number in (1, 200):
        files = FaultyFiles()
        folder = tmp_path / str(number)
        folder.mkdir()
        store = a_store(folder, files)
        content = {"main.py": "x" * 1000 * number, **{f"pkg/{n}.txt": "x" for n in range(number)}}
        seal = an_install(store, content)
        before = len(files.calls)
        assert glance(store, seal.id) == ""
        counts.append(len(files.calls) - before)
    assert counts[0] == counts[1] <= 8


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
@pytest.mark.parametrize("kind", ["open_read", "lstat"])
def test_what_the_process_lacks_is_no_fault_of_the_install(tmp_path, number, kind):
    files = FaultyFiles()
    store = a_store(tmp_path, files)
    seal = an_install(store)
    files.fail(1, number, kinds=[kind])
    with pytest.raises(StorageError) as caught:
        glance(store, seal.id)
    assert (caught.value.code, caught.value.retryable) == ("cannot_look", True)
    assert glance(store, seal.id) == ""


# ---- marks ----


def test_an_install_is_marked_when_it_confirms_itself_and_unmarked_when_condemned(store):
    seal = an_install(store)
    assert store.confirmed_at(seal.id) is None
    store.mark_confirmed(seal.id)
    first = store.confirmed_at(seal.id)
    assert first > 0
    store.mark_confirmed(seal.id)
    assert store.confirmed_at(seal.id) == first
    store.unmark_confirmed(seal.id)
    assert store.confirmed_at(seal.id) is None
    store.unmark_confirmed(seal.id)


def test_a_mark_that_cannot_be_written_harms_nothing(tmp_path):
    files = FaultyFiles()
    store = a_store(tmp_path, files)
    seal = an_install(store)
    files.fail(1, errno.ENOSPC, kinds=["open_update"])
    store.mark_confirmed(seal.id)
    assert store.confirmed_at(seal.id) is None
    files.fail(1, errno.EROFS, kinds=["unlink"], times=2)
    store.mark_confirmed(seal.id)
    store.unmark_confirmed(seal.id)
    store.break_seal(seal.id)
    assert glance(store, seal.id) == ""


def test_a_broken_seal_is_a_fault_from_then_on(store):
    seal = an_install(store)
    store.break_seal(seal.id)
    assert "the seal cannot be read" in glance(store, seal.id)
    assert list(store.sealed()) == []
    assert store.ids() == (seal.id,)


def test_the_sealed_ones_are_told_apart_from_what_else_lies_there(store, caplog):
    good, bad = an_install(store), an_install(store)
    store.break_seal(bad.id)
    (store.installs / "stray.txt").write_text("x")
    assert list(store.sealed()) == [good]
    assert store.ids() == tuple(sorted([good.id, bad.id, "stray.txt"]))


def test_no_folder_of_installs_means_none(store):
    store.installs.rmdir()
    assert store.ids() == ()
    assert list(store.sealed()) == []


def test_a_folder_that_cannot_be_listed_is_not_taken_for_an_empty_one_where_it_matters(tmp_path, caplog):
    files = FaultyFiles()
    store = a_store(tmp_path, files)
    an_install(store)
    files.fail(1, errno.EIO, kinds=["scan"], times=2)
    with pytest.raises(OSError):
        list(store.sealed())
    assert store.ids() == ()
    assert "the installs cannot be listed" in caplog.text


# ---- removing ----


def test_removing_leaves_nothing(store):
    seal = an_install(store)
    assert store.remove(seal.id) is True
    assert everything_below(store.folder) == ["downloads", "installs", "staging", "trash"]
    assert store.remove(seal.id) is True


def test_an_install_is_renamed_into_the_trash_and_that_flushed_before_a_file_of_it_goes(tmp_path):
    files = FaultyFiles()
    store = a_store(tmp_path, files)
    seal = an_install(store)
    start = len(files.calls)
    store.remove(seal.id)
    kinds = [(c.kind, c.path.rpartition("/")[2]) for c in files.calls[start:]]
    rename = kinds.index(("rename", seal.id))
    first_loss = next(n for n, (kind, _) in enumerate(kinds) if kind in {"unlink", "rmdir", "chmod"})
    flushed = [path for kind, path in kinds[rename:first_loss] if kind == "fsync"]
    assert rename < first_loss
    assert flushed == ["installs"]  # a rename is a transaction: it comes with either folder


def test_whichever_call_of_a_removal_fails_no_half_of_an_install_stays_where_it_could_be_opened(tmp_path):
    files = FaultyFiles()
    store = a_store(tmp_path, files)
    nth, done = 0, False
    while not done:
        nth += 1
        seal = an_install(store)
        before = len(files.calls)
        files.fail(nth, errno.EIO)
        gone = store.remove(seal.id)
        done = len(files.calls) - before < nth
        files.heal()
        assert gone is (seal.id not in store.ids())
        if not gone:
            assert glance(store, seal.id) == ""
        store.sweep(frozenset(), should_stop=never)
        assert everything_below(store.folder) == ["downloads", "installs", "staging", "trash"]
        assert files.open_descriptors == {}
    assert nth > 20


def test_a_sweep_removes_what_is_half_made_half_removed_and_forgotten_and_nothing_else(store):
    known, orphan = an_install(store), an_install(store)
    (store.staging / "half" / "app" / "pkg").mkdir(parents=True)
    (store.staging / "half" / "app" / "pkg" / "x.py").write_text("x")
    os.chmod(store.staging / "half" / "app", 0o500)
    (store.trash / "old").mkdir()
    (store.trash / "stray").write_text("x")
    (store.installs / "stray").write_text("x")
    (store.downloads / "keep.part").write_text("x")
    store.sweep(frozenset({known.id}), should_stop=never)
    assert store.ids() == (known.id,)
    assert orphan.id not in store.ids()
    assert everything_below(store.staging) == everything_below(store.trash) == []
    assert everything_below(store.downloads) == ["keep.part"]
    assert glance(store, known.id) == ""


def test_a_sweep_never_takes_what_a_process_runs_from(store):
    seal = an_install(store)
    with held_by_another_process(store.installs / seal.id / "lease", shared=True):
        store.sweep(frozenset(), should_stop=never)
        assert glance(store, seal.id) == ""
    store.sweep(frozenset(), should_stop=never)
    assert store.ids() == ()


def test_a_link_is_removed_and_what_it_points_to_stays(store, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    (store.installs / "link").symlink_to(outside)
    (store.trash / "link").symlink_to(outside)
    (store.staging / "half").mkdir()
    (store.staging / "half" / "link").symlink_to(outside)
    store.sweep(frozenset(), should_stop=never)
    assert everything_below(store.folder) == ["downloads", "installs", "staging", "trash"]
    assert (outside / "precious").read_text() == "x"


def test_clearing_up_leaves_the_installs_alone(store):
    seal = an_install(store)
    (store.trash / "old").mkdir()
    (store.staging / "half").mkdir()
    store.clear_up(should_stop=never)
    assert store.ids() == (seal.id,)
    assert everything_below(store.staging) == everything_below(store.trash) == []


def test_a_removal_that_is_told_to_stop_goes_on_another_time(store):
    seal = an_install(store)
    asked = []

    def soon():
        asked.append(1)
        return len(asked) > 3

    assert store.remove(seal.id, should_stop=soon) is True
    assert len(everything_below(store.trash)) > 1
    store.sweep(frozenset(), should_stop=never)
    assert everything_below(store.trash) == []


class OpenFilesHoldFolders(Files):
    """As Windows: a folder in which a file is open cannot be renamed, and folders cannot be opened."""

    def __init__(self):
        self.open = {}

    def _note(self, fd, path):
        self.open[fd] = str(path)
        return fd

    def open_read(self, path):
        return self._note(super().open_read(path), path)

    def open_update(self, path):
        return self._note(super().open_update(path), path)

    def open_new(self, path, mode=0o600):
        return self._note(super().open_new(path, mode), path)

    def close(self, fd):
        self.open.pop(fd)
        super().close(fd)

    def open_folder(self, path):
        raise PermissionError(errno.EACCES, "a folder cannot be opened", str(path))

    def rename(self, source, target):
        if any(path.startswith(f"{source}/") for path in self.open.values()):
            raise PermissionError(errno.EACCES, "a file in it is open", str(source))
        super().rename(source, target)


def test_where_open_files_hold_folders_an_install_goes_unless_it_is_in_use(tmp_path, monkeypatch):
    monkeypatch.setattr(store_module.system, "RENAMES_OPEN", windows.RENAMES_OPEN)
    store = a_store(tmp_path, OpenFilesHoldFolders())
    seal = an_install(store, files=OpenFilesHoldFolders())
    lease = store.lease(seal.id)
    assert store.remove(seal.id) is False
    assert glance(store, seal.id) == ""
    lease.release()
    assert store.remove(seal.id) is True
    assert everything_below(store.folder) == ["downloads", "installs", "staging", "trash"]


def test_the_content_is_what_was_sealed(store):
    seal = an_install(store)
    found = {
        str(p.relative_to(store.app_path(seal.id))): p.read_bytes()
        for p in store.app_path(seal.id).rglob("*")
        if p.is_file()
    }
    assert found == {name: data.encode() if isinstance(data, str) else data for name, data in CONTENT.items()}
