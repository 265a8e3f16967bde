"""What a power cut may leave, case by case, written by hand."""

from __future__ import annotations

import stat

import pytest
from power_log import ROOT, Entry
from power_model import ALL, DATA_ONLY, NAMED, NAMES_ONLY, NOTHING, REMOVALS, ZEROS, Fate, Platter

FILE, FOLDER = stat.S_IFREG | 0o600, stat.S_IFDIR | 0o700


def create(ino, name, folder=ROOT):
    return Entry("create", ino, folder, name, mode=FILE)


def mkdir(ino, name, folder=ROOT):
    return Entry("mkdir", ino, folder, name, mode=FOLDER)


def write(ino, data, offset=0):
    return Entry("write", ino, data=data, offset=offset)


def rename(ino, old, new, folder=ROOT, target=ROOT):
    return Entry("rename", ino, folder, old, target, new)


def fsync(ino):
    return Entry("fsync", ino)


def platter(*entries, then=()):
    """All of ``entries`` are flushed, ``then`` is not."""
    made = Platter()
    for entry in entries:
        made.follow(entry)
    made.flush_all()
    for entry in then:
        made.follow(entry)
    return made


def found(made, seed, salt=""):
    return made.image(Fate(seed, salt=salt)).names()


def possible(made, tries=300):
    return [found(made, seed) for seed in (*NAMED, *range(100, 100 + tries))]


@pytest.mark.parametrize("seed", [*NAMED, 77])
def test_what_was_flushed_is_always_there(seed):
    made = platter(mkdir(2, "d"), create(3, "f", 2), write(3, b"abc"), Entry("chmod", 3, mode=0o400))
    assert found(made, seed) == {"d": None, "d/f": b"abc"}
    assert {path: mode for path, mode, _ in made.image(Fate(seed)).items}["d/f"] == stat.S_IFREG | 0o400


def test_nothing_that_was_not_flushed_survives_with_the_first_seed():
    made = platter(create(2, "a"), write(2, b"old"), then=[write(2, b"new!"), create(3, "b")])
    assert found(made, NOTHING) == {"a": b"old"}
    assert found(made, ALL) == {"a": b"new!", "b": b""}


def test_the_bytes_of_a_file_do_not_bring_its_name():
    made = platter(then=[create(2, "a"), write(2, b"abc"), fsync(2)])
    assert found(made, NOTHING) == {}
    assert found(made, DATA_ONLY) == {}
    assert found(made, NAMES_ONLY) == {"a": b"abc"}


def test_a_name_does_not_bring_the_bytes_of_its_file():
    made = platter(then=[create(2, "a"), write(2, b"abc"), fsync(ROOT)])
    assert found(made, NOTHING) == {"a": b""}
    assert found(made, ZEROS) == {"a": b"\0\0\0"}
    assert found(made, ALL) == {"a": b"abc"}


def test_a_rename_may_be_there_before_what_it_names():
    made = platter(
        create(2, "state"), write(2, b"old"), then=[create(3, "new"), write(3, b"NEW"), rename(3, "new", "state")]
    )
    assert found(made, NAMES_ONLY) == {"state": b""}
    assert found(made, NOTHING) == {"state": b"old"}
    assert found(made, DATA_ONLY) == {"state": b"old"}


def test_a_rename_between_folders_is_in_both_or_in_neither():
    made = platter(mkdir(2, "a"), mkdir(3, "b"), create(4, "x", 2), then=[rename(4, "x", "y", 2, 3)])
    for names in possible(made):
        assert ("a/x" in names) != ("b/y" in names)


@pytest.mark.parametrize("flushed", [2, 3])
def test_a_rename_between_folders_comes_with_either_of_them(flushed):
    made = platter(mkdir(2, "a"), mkdir(3, "b"), create(4, "x", 2), then=[rename(4, "x", "y", 2, 3), fsync(flushed)])
    assert found(made, NOTHING) == {"a": None, "b": None, "b/y": b""}


def test_a_flush_of_one_folder_brings_no_name_in_another():
    made = platter(mkdir(2, "a"), mkdir(3, "b"), then=[create(4, "x", 2), create(5, "y", 3), fsync(2)])
    assert found(made, NOTHING) == {"a": None, "a/x": b"", "b": None}


def test_a_folder_whose_name_is_lost_takes_what_is_below_it():
    made = platter(then=[mkdir(2, "d"), create(3, "f", 2), write(3, b"x"), fsync(3), fsync(2)])
    assert found(made, NOTHING) == {}
    assert found(made, NAMES_ONLY) == {"d": None, "d/f": b"x"}


def test_a_file_may_be_gone_although_the_rename_of_its_folder_before_is_lost():
    made = platter(
        mkdir(2, "installs"), mkdir(3, "trash"), mkdir(4, "id", 2), create(5, "f", 4),
        then=[rename(4, "id", "grave", 2, 3), Entry("unlink", 5, 4, "f")],
    )  # fmt: skip
    assert found(made, REMOVALS) == {"installs": None, "installs/id": None, "trash": None}


def test_of_two_renames_in_a_row_the_second_alone_leaves_no_second_copy():
    made = platter(mkdir(2, "d"), create(3, "f", 2), then=[rename(3, "f", "g", 2, 2), rename(3, "g", "h", 2, 2)])
    seen = possible(made)
    assert all(len(names) == 2 for names in seen)
    assert {"d/f", "d/g", "d/h"} <= {path for names in seen for path in names}


def test_what_was_renamed_for_good_does_not_come_back_where_it_was_made():
    made = platter(
        mkdir(2, "staging"), mkdir(3, "installs"),
        then=[mkdir(4, "id", 2), rename(4, "id", "id", 2, 3), fsync(3)],
    )  # fmt: skip
    assert all(names == {"staging": None, "installs": None, "installs/id": None} for names in possible(made))


def test_one_generation_may_be_renamed_away_before_the_next_has_its_name():
    made = platter(
        create(2, "state"), create(3, "new"),
        then=[rename(2, "state", "old"), rename(3, "new", "state")],
    )  # fmt: skip
    assert {"old": b"", "new": b""} in possible(made)


def test_chance_tears_a_write_at_sectors_and_at_bytes():
    made = platter(create(2, "f"), then=[write(2, b"a" * 1300)])
    seen = {names["f"] for names in possible(made)}
    assert {b"", b"a" * 1300, b"\0" * 1300} <= seen
    assert any(content.rstrip(b"\0") == b"a" * 512 for content in seen)
    assert any(len(content.rstrip(b"\0")) % 512 for content in seen - {b"a" * 1300})
    assert any(content.startswith(b"\0" * 512 + b"a" * 512) for content in seen)


def test_a_write_at_the_end_never_touches_what_was_flushed_before_it():
    made = platter(create(2, "f"), write(2, b"old\n"), then=[write(2, b"next\n", 4)])
    assert all(names["f"].startswith(b"old\n") for names in possible(made))


def test_permissions_may_be_lost_apart_from_the_bytes():
    made = platter(create(2, "f"), then=[write(2, b"x"), Entry("chmod", 2, mode=0o400)])
    modes = {(stat.S_IMODE(image.items[0][1]), image.items[0][2]) for image in map(made.image, map(Fate, range(200)))}
    assert {(0o600, b""), (0o600, b"x"), (0o400, b""), (0o400, b"x")} <= modes


def test_syncfs_brings_everything():
    made = platter(then=[mkdir(2, "d"), create(3, "f", 2), write(3, b"x"), Entry("syncfs")])
    assert found(made, NOTHING) == {"d": None, "d/f": b"x"}


def test_the_same_seed_gives_the_same_fate():
    made = platter(then=[create(n, f"f{n}") for n in range(2, 30)])
    assert found(made, 50, "cut 3") == found(made, 50, "cut 3")
    assert found(made, 50, "cut 3") != found(made, 50, "cut 4")


def test_an_image_is_written_as_it_is(tmp_path):
    made = platter(mkdir(2, "d"), create(3, "f", 2), write(3, b"x"), Entry("chmod", 2, mode=0o500))
    made.image(Fate(ALL)).write_to(tmp_path / "out")
    assert (tmp_path / "out" / "d" / "f").read_bytes() == b"x"
    assert stat.S_IMODE((tmp_path / "out" / "d").stat().st_mode) == 0o500
    (tmp_path / "out" / "d").chmod(0o700)
