"""The state file (install/ledger.py): replaced whole, one generation kept, rebuilt when both are lost."""

from __future__ import annotations

import errno
import json
import logging
import threading
import time
from dataclasses import replace

import pytest
from installs import a_store, an_install, held_by_another_process, in_a_forked_child

from capgo_client.bundle import BundleStatus
from capgo_client.errors import StorageError
from capgo_client.install import checked
from capgo_client.install.ledger import (
    FROM_FILE,
    FROM_NOTHING,
    FROM_OLDER,
    FROM_SEALS,
    NEWER_SCHEMA,
    Ledger,
    LockBusyError,
)
from capgo_client.install.locks import abandon_exclusive
from capgo_client.install.rebuild import rebuilt
from capgo_client.life.newer import from_newer
from capgo_client.life.state import Install, State
from capgo_client.testing import FaultyFiles

FRESH = State(native_version="1.0.0")
ONE = replace(FRESH, newest_confirmed="1.1.0")
TWO = replace(FRESH, newest_confirmed="1.2.0")


class Place:
    def __init__(self, folder):
        self.files = FaultyFiles()
        self.store = a_store(folder)
        self.folder = self.store.folder
        self.ledger = self.another()

    def another(self):
        return Ledger(
            self.folder,
            files=self.files,
            fresh=lambda: FRESH,
            rebuild=lambda: rebuilt(self.store),
            newer=lambda document: from_newer(document, native_version="1.0.0"),
        )

    def write(self, *states):
        for state in states:
            self.ledger.change(lambda _, state=state: state, patience=1)

    def path(self, name):
        return self.folder / name


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def damage(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_a_first_start_finds_nothing(place):
    loaded = place.ledger.load()
    assert (loaded.state, loaded.origin, loaded.writable) == (FRESH, FROM_NOTHING, True)
    assert not place.path("state.json").exists()


def test_what_was_written_is_read(place):
    place.write(ONE)
    assert (place.ledger.load().state, place.ledger.load().origin) == (ONE, FROM_FILE)


def test_one_older_generation_is_kept(place):
    place.write(ONE, TWO)
    assert place.ledger.load().state == TWO
    place.path("state.json").unlink()
    loaded = place.ledger.load()
    assert (loaded.state, loaded.origin, loaded.writable) == (ONE, FROM_OLDER, True)


def test_a_damaged_document_is_passed_over_and_the_log_says_so(place, caplog):
    place.write(ONE, TWO)
    damage(place.path("state.json"))
    with caplog.at_level(logging.WARNING, "capgo_client"):
        assert place.ledger.load().state == ONE
    assert "state.json cannot be used: the check sum does not match" in caplog.text


def test_a_damaged_document_never_takes_the_place_of_the_good_older_one(place):
    place.write(ONE, TWO)
    damage(place.path("state.json"))
    # Killed, as it were, before the new one is there.
    place.files.fail(1, errno.EIO, kinds=["rename"], path="state.new")
    with pytest.raises(StorageError):
        place.write(replace(FRESH, newest_confirmed="1.3.0"))
    assert place.ledger.load().state == ONE


def test_after_damage_the_next_change_makes_it_whole_again(place):
    place.write(ONE, TWO)
    damage(place.path("state.json"))
    three = replace(FRESH, newest_confirmed="1.3.0")
    place.write(three)
    assert (place.ledger.load().state, place.ledger.load().origin) == (three, FROM_FILE)
    place.path("state.json").unlink()
    assert place.ledger.load().state == ONE


@pytest.mark.parametrize("name", ["state.json", "state.old", "state.new"])
@pytest.mark.parametrize("what", ["folder", "link", "other json", "empty", "pipe"])
def test_whatever_stands_where_a_document_should_the_next_change_replaces_it(place, name, what):
    place.write(ONE, TWO)
    path = place.path(name)
    path.unlink(missing_ok=True)
    if what == "folder":
        path.mkdir()
        (path / "x").write_text("x")
    elif what == "link":
        path.symlink_to("/etc/hostname")
    elif what == "pipe":
        import os

        os.mkfifo(path)
    else:
        path.write_text("" if what == "empty" else json.dumps({"name": "somebody else's", "schema": 1}))
    assert place.ledger.load().state == (ONE if name == "state.json" else TWO)
    three, four = (replace(FRESH, newest_confirmed=f"1.{n}.0") for n in (3, 4))
    place.write(three, four)
    assert place.ledger.load().state == four
    place.path("state.json").unlink()
    assert place.ledger.load().state == three


def test_with_both_lost_the_state_is_rebuilt_from_the_installs_that_had_confirmed_themselves(place, caplog):
    good, never_ready = an_install(place.store), an_install(place.store, version="3.0.0")
    place.store.mark_confirmed(good.id)
    place.write(ONE, TWO)
    damage(place.path("state.json"))
    damage(place.path("state.old"))
    with caplog.at_level(logging.WARNING, "capgo_client"):
        loaded = place.ledger.load()
    assert loaded.origin == FROM_SEALS
    assert (loaded.state.current, loaded.state.fallback) == (good.id, good.id)
    assert [install.status for install in loaded.state.installs] == [BundleStatus.SUCCESS]
    assert loaded.state.install(never_ready.id) is None
    assert "rebuilt from their sealed records" in caplog.text


def test_a_change_that_changes_nothing_writes_nothing(place):
    place.write(ONE)
    before = place.path("state.json").stat()
    place.files.heal()
    count = place.files.count("write", "rename", "open_new", "unlink", "fsync")
    place.ledger.change(lambda state: state, patience=1)
    place.ledger.change(replace, patience=1)
    assert place.files.count("write", "rename", "open_new", "unlink", "fsync") == count
    assert place.path("state.json").stat().st_mtime_ns == before.st_mtime_ns
    assert not place.path("state.old").exists()


def test_the_new_document_is_on_the_platter_before_it_takes_the_others_place_and_the_folder_after_it(place):
    place.write(ONE)
    start = len(place.files.calls)
    place.write(TWO)
    wanted = {"open_new", "write", "fsync", "rename"}
    seen = [
        (call.kind, call.path.rpartition("/")[2], call.target.rpartition("/")[2])
        for call in place.files.calls[start:]
        if call.kind in wanted
    ]
    assert seen == [
        ("open_new", "state.new", ""),
        ("write", "state.new", ""),
        ("fsync", "state.new", ""),
        ("rename", "state.json", "state.old"),
        ("rename", "state.new", "state.json"),
        ("fsync", "data", ""),
    ]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EACCES, errno.EMFILE])
def test_whichever_call_of_a_change_fails_the_old_or_the_new_state_stands_and_the_error_is_ours(tmp_path, number):
    place = Place(tmp_path)
    place.write(FRESH)
    state, nth = FRESH, 0
    failed = True
    while failed:
        nth += 1
        wanted = replace(FRESH, newest_confirmed=f"1.{nth}.0")
        before = len(place.files.calls)
        place.files.fail(nth, number)
        try:
            place.ledger.change(lambda _, wanted=wanted: wanted, patience=1)
            failed = len(place.files.calls) - before >= nth  # a close that failed harms nothing
        except StorageError:
            failed = True
        place.files.heal()
        assert place.files.open_descriptors == {}
        now = place.ledger.load().state
        assert now in (state, wanted)
        place.write(now, wanted)
        state = wanted
        assert place.ledger.load().state == wanted
    assert nth > 15


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_a_document_that_cannot_be_read_just_now_is_not_replaced(place, number):
    place.write(ONE, TWO)
    place.files.fail(1, number, kinds=["open_read"], path="state.json", times=None)
    loaded = place.ledger.load()
    assert (loaded.state, loaded.writable) == (ONE, False)
    with pytest.raises(StorageError) as caught:
        place.write(replace(FRESH, newest_confirmed="9.9.9"))
    assert caught.value.code == "state_unreadable"
    place.files.heal()
    assert place.ledger.load().state == TWO


def test_installs_that_cannot_be_listed_just_now_are_not_taken_for_none(place):
    seal = an_install(place.store)
    place.store.mark_confirmed(seal.id)
    store_files = FaultyFiles()
    store = a_store(place.folder.parent, store_files)
    ledger = Ledger(place.folder, files=place.files, fresh=lambda: FRESH, rebuild=lambda: rebuilt(store), newer=None)
    store_files.fail(1, errno.EMFILE, kinds=["scan"])
    loaded = ledger.load()
    assert (loaded.state, loaded.writable) == (FRESH, False)
    assert ledger.load().state.current == seal.id


def newer_document(fallback):
    return {
        "schema": 2,
        "fallback": fallback,
        "installs": [{"id": fallback, "version": "2.0.0", "checksum": "c", "of_the_future": {}}],
        "and": ["what", "we", "do", "not", "know"],
    }


def test_a_newer_librarys_document_is_read_for_its_fallback_and_never_written(place):
    seal = an_install(place.store)
    path = place.path("state.json")
    path.write_bytes(checked.pack(newer_document(seal.id)))
    written = path.read_bytes()
    loaded = place.ledger.load()
    assert (loaded.origin, loaded.writable) == (NEWER_SCHEMA, False)
    assert (loaded.state.current, loaded.state.install(seal.id).version) == (seal.id, "2.0.0")
    with pytest.raises(StorageError) as caught:
        place.write(ONE)
    assert caught.value.code == "state_newer"
    assert path.read_bytes() == written
    assert not place.path("state.old").exists()


def test_a_newer_librarys_older_generation_is_not_written_over_either(place):
    place.path("state.json").write_bytes(b"torn")
    place.path("state.old").write_bytes(checked.pack(newer_document("abc")))
    with pytest.raises(StorageError):
        place.write(ONE)
    assert place.path("state.json").read_bytes() == b"torn"


def test_the_document_holds_relative_names_only(place):
    seal = an_install(place.store)
    install = Install(id=seal.id, version="2.0.0", checksum="c")
    place.write(replace(FRESH, current=seal.id).with_install(install))
    assert str(place.folder).encode() not in place.path("state.json").read_bytes()
    assert b"/" not in place.path("state.json").read_bytes()


def test_a_lock_that_another_process_holds_is_given_up_in_time(place):
    place.write(ONE)
    with held_by_another_process(place.path("state.lock")):
        began = time.monotonic()
        with pytest.raises(LockBusyError) as caught:
            place.ledger.change(lambda _: TWO, patience=0.05)
        assert 0.045 <= time.monotonic() - began < 0.25
    assert caught.value.code == "state_locked"
    assert place.ledger.load().state == ONE


def test_reading_needs_no_lock(place):
    place.write(ONE)
    with held_by_another_process(place.path("state.lock")):
        assert place.ledger.load().state == ONE


def test_a_thread_of_this_process_that_holds_the_lock_is_waited_for_in_the_same_way(place):
    inside, leave = threading.Event(), threading.Event()

    def slow(state):
        inside.set()
        leave.wait(5)
        return state

    thread = threading.Thread(target=place.ledger.change, args=(slow,), kwargs={"patience": 1})
    thread.start()
    assert inside.wait(5)
    with pytest.raises(LockBusyError):
        place.ledger.change(lambda _: TWO, patience=0.02)
    with pytest.raises(LockBusyError):
        place.another().change(lambda _: TWO, patience=0.02)
    leave.set()
    thread.join(5)
    place.write(TWO)
    assert place.ledger.load().state == TWO


def test_a_step_that_raises_changes_nothing_and_keeps_no_lock(place):
    place.write(ONE)
    with pytest.raises(ZeroDivisionError):
        place.ledger.change(lambda _: 1 / 0, patience=1)
    place.another().change(lambda _: TWO, patience=0)
    assert place.ledger.load().state == TWO


def test_no_change_of_many_processes_is_lost(place):
    def add(_):
        for _ in range(10):
            place.another().change(
                lambda state: replace(state, newest_confirmed=state.newest_confirmed + "x"), patience=20
            )

    threads = [threading.Thread(target=in_a_forked_child_quietly, args=(add,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    add(None)
    assert place.ledger.load().state.newest_confirmed == "x" * 30


def in_a_forked_child_quietly(call):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert in_a_forked_child(lambda: call(None)) == 0


def test_a_forked_childs_copy_of_the_lock_is_let_go_without_unlocking_the_parents(place):
    with place.ledger.locked(patience=1):

        def child():
            abandon_exclusive()
            try:
                place.another().change(lambda _: TWO, patience=0.02)
            except LockBusyError:
                return 7
            return 0

        assert in_a_forked_child(child) == 7
        with pytest.raises(LockBusyError):
            place.another().change(lambda _: TWO, patience=0)
