"""Whose the data directory is (install/owner.py): what is ours is made private, what is not is not opened (P3, P6)."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import stat

import pytest

from capgo_client import StorageError, Updater
from capgo_client.install import owner
from capgo_client.install.store import Store
from capgo_client.seams import Files
from capgo_client.testing import Service, make_bundle

pytestmark = pytest.mark.promise(6)

SOMEBODY = 4242 if os.name == "nt" or os.geteuid() != 4242 else 4243
FILES = {"main.py": "print(1)\n", "data/a.txt": "a"}


class Shown(Files):
    """A file system on which some things belong to somebody else, and on which permissions may be fixed."""

    def __init__(self, foreign=lambda path: False, *, mode=None):
        self.foreign = foreign
        self.mode = mode
        self.made = []

    def lstat(self, path):
        return self._shown(super().lstat(path), str(path).rstrip(os.sep))

    def fstat(self, fd):
        return self._shown(super().fstat(fd), "")

    def open_new(self, path, mode=0o600):
        self.made.append(str(path))
        return super().open_new(path, mode)

    def chmod(self, path, mode):
        if self.mode is None:
            super().chmod(path, mode)

    def _shown(self, found, path):
        values = list(found)
        if self.foreign(path):
            values[stat.ST_UID] = SOMEBODY
        if self.mode is not None and stat.S_ISDIR(found.st_mode):
            values[stat.ST_MODE] = stat.S_IFDIR | self.mode
        return os.stat_result(values)


class Phone:
    """A device with 1.5.0 installed, opened and confirmed."""

    def __init__(self, root, *, like=None):
        self.data = root / "shared" / "data"
        self.builtin = root / "app"
        self.builtin.mkdir()
        self.service = Service()
        self.service.start()
        self.updater = None
        self.service.publish(make_bundle("1.5.0", FILES))
        if like is not None:
            shutil.copytree(like.data, self.data)
            return
        self.start()
        assert self.updater.wait(10)
        assert self.start().version == "1.5.0"
        self.updater.notify_app_ready()
        assert self.updater.wait(10)
        self.end()

    def start(self, files=None):
        self.end()
        self.updater = Updater(
            "com.example.notes", "1.4.0", self.builtin, data_dir=self.data, update_url=self.service.update_url,
            stats_url="", channel_url="", files=files or Files(),
        )  # fmt: skip
        return self.updater.start()

    def end(self):
        if self.updater is not None:
            self.updater.close()

    def below(self):
        return sorted((str(path), path.lstat().st_mode) for path in self.data.rglob("*"))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    made = Phone(tmp_path_factory.mktemp("model"))
    made.service.stop()
    return made


@pytest.fixture
def phone(tmp_path, model):
    made = Phone(tmp_path, like=model)
    yield made
    made.end()
    made.service.stop()


def said(caplog, level):
    return [r.getMessage() for r in caplog.records if r.levelno >= level and r.name.startswith("capgo_client")]


@pytest.mark.parametrize(("mode", "level"), [(0o755, logging.INFO), (0o770, logging.WARNING), (0o777, logging.WARNING)])
def test_a_data_directory_of_ours_that_others_may_use_is_made_private_aloud(phone, caplog, mode, level):
    caplog.set_level(logging.DEBUG, logger="capgo_client")
    phone.data.chmod(mode)
    assert phone.start().version == "1.5.0"
    assert phone.data.stat().st_mode & 0o777 == 0o700
    (line,) = [line for line in said(caplog, level) if "other users" in line]
    assert line.endswith("it is made private")
    caplog.clear()
    assert phone.start().version == "1.5.0"
    assert [line for line in said(caplog, logging.DEBUG) if "other users" in line] == []


def test_all_that_is_made_in_it_is_private_whatever_the_umask(phone):
    before = os.umask(0)
    try:
        phone.service.publish(make_bundle("1.6.0", FILES | {"new.txt": "n" * 5000}))
        phone.start()
        assert phone.updater.wait(10)
        assert phone.updater.next_bundle.version == "1.6.0"
    finally:
        os.umask(before)
    below = [path for path in phone.data.rglob("*") if not path.is_symlink()]
    assert {p.name: oct(p.stat().st_mode) for p in (phone.data, *below) if p.stat().st_mode & 0o077} == {}


def foreign_data(phone):
    """Belongs to somebody else, on the disk where that can be, else as far as anybody can tell."""
    if os.geteuid() == 0:
        os.chown(phone.data, SOMEBODY, SOMEBODY)
        return Files()
    return Shown(lambda path: path == str(phone.data))


def test_a_data_directory_of_another_user_is_neither_opened_nor_changed(phone, caplog):
    files = foreign_data(phone)
    before = phone.below()
    phone.service.publish(make_bundle("1.6.0", FILES))
    assert phone.start(files).is_builtin
    assert phone.updater.wait(10)
    assert "belongs to another user" in phone.updater.explain().why
    (line,) = [line for line in said(caplog, logging.ERROR) if "another user" in line]
    assert "sudo" in line
    with pytest.raises(StorageError) as caught:
        phone.updater.download("http://127.0.0.1:9/x.zip", "1.6.0", checksum="0" * 64)
    assert caught.value.code == "data_dir_foreign"
    with pytest.raises(StorageError):
        phone.updater.get_latest()  # there is no id to ask in the name of
    assert phone.below() == before
    assert phone.service.downloads == []


def test_its_device_id_is_not_ours_either(phone):
    phone.start()
    mine = phone.updater.device_id
    phone.start(foreign_data(phone))
    assert phone.updater.device_id != mine


@pytest.mark.parametrize("name", ["installs", "staging", "downloads", "trash"])
def test_a_folder_of_another_user_in_it_is_not_used(phone, name):
    assert phone.start(Shown(lambda path: path == str(phone.data / name))).is_builtin
    assert name in phone.updater.explain().why
    assert phone.start().version == "1.5.0"


def test_an_install_of_another_user_is_not_opened(phone, caplog):
    assert phone.start(Shown(lambda path: path.endswith(f"{os.sep}app") and "installs" in path)).is_builtin
    assert any("not a folder of ours" in line for line in said(caplog, logging.WARNING))


@pytest.mark.parametrize("mode", [None, 0o771, 0o777])
def test_storage_that_knows_no_owners_and_no_permissions_works_as_ever(phone, mode):
    # As the shared storage of a phone, a stick, or a network share: all belongs to one owner, and chmod does nothing.
    files = Shown(lambda path: True, mode=mode)
    assert phone.start(files).version == "1.5.0"
    phone.service.publish(make_bundle("1.6.0", FILES | {"b.txt": "b"}))
    assert phone.updater.trigger_update_check()
    assert phone.updater.wait(10)
    assert phone.updater.next_bundle.version == "1.6.0"
    probes = [path for path in files.made if ".owner-" in path]
    assert len(probes) == len(set(probes)) >= 1
    assert not any(os.path.exists(path) for path in probes)


def test_a_read_only_disk_whose_owner_is_unknown_is_opened_all_the_same(phone):
    files = Shown(lambda path: path == str(phone.data))

    def read_only(path, mode=0o600):
        raise OSError(errno.EROFS, "Read-only file system")

    files.open_new = read_only
    assert phone.start(files).version == "1.5.0"


def test_where_files_have_no_owners_by_number_nothing_is_looked_at(phone, monkeypatch):
    monkeypatch.setattr(owner.system, "user_id", lambda: None)  # Windows
    assert phone.start(Shown(lambda path: True, mode=0o777)).version == "1.5.0"
    assert Store(phone.data, files=Files()).exposed_above() is None
    assert owner.claim(phone.data, files=None) == frozenset()


@pytest.mark.parametrize(("mode", "found"), [(0o777, True), (0o1777, False), (0o775, False)])
def test_a_folder_above_in_which_everybody_may_rename_is_told_of(phone, caplog, mode, found):
    phone.data.parent.chmod(mode)
    assert phone.start().version == "1.5.0"
    assert phone.updater.wait(10)
    lines = [line for line in said(caplog, logging.WARNING) if "every user" in line]
    assert [str(phone.data.parent) in line for line in lines] == ([True] if found else [])


def test_a_link_to_the_data_directory_is_looked_through(phone, tmp_path):
    real = tmp_path / "on a larger disk"
    phone.data.rename(real)
    phone.data.symlink_to(real)
    real.chmod(0o755)
    assert phone.start().version == "1.5.0"
    assert real.stat().st_mode & 0o777 == 0o700
    assert phone.start(Shown(lambda path: path == str(phone.data))).is_builtin


def test_temporary_names_cannot_be_guessed_and_are_made_exclusively_and_without_following_links(phone, tmp_path):
    files = Shown()
    phone.service.publish(make_bundle("1.6.0", FILES))
    phone.start(files)
    assert phone.updater.wait(10)
    folders = {path.split(f"{os.sep}staging{os.sep}")[1].split(os.sep)[0] for path in files.made if "staging" in path}
    assert all(len(name) >= 10 for name in folders)
    there, link = tmp_path / "there", tmp_path / "link"
    there.write_text("somebody's")
    link.symlink_to(there)
    for path in (there, link):
        with pytest.raises(FileExistsError):
            Files().open_new(path)
    for opening in (Files().open_read, Files().open_update, Files().open_append, Files().open_folder):
        with pytest.raises(OSError, match=r"symbolic|directory"):
            opening(link)
    assert there.read_text() == "somebody's"
