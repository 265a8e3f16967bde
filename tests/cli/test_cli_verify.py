"""`capgo-client verify`: tells what is damaged, changes nothing, and needs nothing of the app but its folder."""

from __future__ import annotations

import errno
import json
import os
import shutil

import pytest

from capgo_client import Updater
from capgo_client.cli import main
from capgo_client.cli.verify import LookingFiles
from capgo_client.install import checked
from capgo_client.install.locks import FileLock
from capgo_client.seams import Files
from capgo_client.testing import Service, make_bundle
from capgo_client.testing.files import CALLS

FILES = {"main.py": "print('hello')\n", "lib/code.py": "x = 1\n", "data/a.txt": "aaaa"}
LOOKING = {"open_read", "open_folder", "read", "pread", "seek", "lstat", "fstat", "scan", "close", "free_bytes"}
FLUSHING = {"fsync", "sync_filesystem"}  # they change nothing


class Place:
    """The data directory of an app that runs 1.5.0 and has 1.4.5 to fall back on."""

    def __init__(self, folder):
        self.data = folder
        self.ids = {}

    def app(self, version="1.5.0"):
        return self.install(version) / "app"

    def install(self, version="1.5.0"):
        return self.data / "installs" / self.ids[version]

    def change(self, name="data/a.txt", data=b"aaab"):
        path = self.app() / name
        path.chmod(0o600)
        path.write_bytes(data)

    def seen(self):
        """Everything in it, with the time of each last change."""
        return {
            str(path.relative_to(self.data)): (
                path.lstat().st_mode,
                path.lstat().st_mtime_ns,
                path.read_bytes() if path.is_file() else b"",
            )
            for path in self.data.rglob("*")
        }


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    place = Place(tmp_path_factory.mktemp("template") / "data")
    with Service() as service:
        for version in ("1.4.5", "1.5.0"):
            service.publish(make_bundle(version, {**FILES, "version.txt": version}))
            for _ in range(2):
                with Updater(
                    "com.example.notes", "1.4.0", data_dir=place.data, update_url=service.update_url,
                    stats_url="", channel_url="",
                ) as updater:  # fmt: skip
                    opened = updater.start()
                    place.ids[opened.version] = opened.id
                    updater.notify_app_ready()
                    assert updater.wait(20)
    return place


@pytest.fixture
def place(template, tmp_path):
    made = Place(tmp_path / "data")
    made.ids = template.ids
    shutil.copytree(template.data, made.data)
    return made


@pytest.fixture
def verify(place, capsys):
    """Run it in this process; give the exit code and what it printed. Whatever it found, it changed nothing."""

    def run(*arguments):
        before = place.seen()
        code = main(["verify", "--data-dir", str(place.data), *arguments])
        assert place.seen() == before
        return code, capsys.readouterr().out

    return run


def test_sound_versions_get_a_line_each_and_exit_code_0(command, place):
    done = command("verify", "--data-dir", place.data)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"data directory  {place.data}",
        "state           ok, from the state file",
        f"1.4.5  {place.ids['1.4.5']}  success, the one before: ok",
        f"1.5.0  {place.ids['1.5.0']}  success, current: ok",
        "2 versions, every file compared: all sound.",
    ]


def test_each_problem_gets_a_line_and_the_exit_code_is_1(verify, place):
    place.change()
    (place.app() / "lib").chmod(0o700)
    (place.app() / "lib" / "code.py").unlink()

    code, said = verify()

    assert code == 1
    assert said.splitlines()[3:] == [
        f"1.5.0  {place.ids['1.5.0']}  success, current: DAMAGED",
        "       data/a.txt was changed",
        "       lib/code.py is missing",
        "2 versions, every file compared: 1 damaged. The app mends this by itself when it is started.",
    ]


def test_a_glance_sees_what_a_start_sees_and_no_more(verify, place):
    place.change()
    assert verify("--glance")[0] == 0
    assert verify("--full")[0] == 1
    (place.install() / "lease").unlink()
    code, said = verify("--glance")
    assert code == 1
    assert "a glance, as at each start: 1 damaged" in said


@pytest.mark.parametrize(
    ("bundle", "code", "versions"),
    [("current", 1, ["1.5.0"]), ("1.5.0", 1, ["1.5.0"]), ("1.4.5", 0, ["1.4.5"]), ("builtin", 0, [])],
)
def test_one_version_can_be_asked_for(verify, place, bundle, code, versions):
    place.change()
    found, said = verify("--bundle", place.ids.get(bundle, bundle), "--json")
    assert found == code
    assert [install["version"] for install in json.loads(said)["installs"]] == versions


def test_json_tells_everything(verify, place):
    place.change()
    (place.data / "installs" / "leftover").mkdir()

    code, said = verify("--json")

    assert code == 1
    assert json.loads(said) == {
        "ok": False,
        "full": True,
        "data_dir": str(place.data),
        "state": {"from": "the state file", "ok": True, "problem": ""},
        "current": place.ids["1.5.0"],
        "installs": [
            {
                "id": place.ids["1.4.5"], "version": "1.4.5", "status": "success", "part": "the one before",
                "ok": True, "problems": [],
            },
            {
                "id": place.ids["1.5.0"], "version": "1.5.0", "status": "success", "part": "current",
                "ok": False, "problems": ["data/a.txt was changed"],
            },
        ],
        "left_over": ["leftover"],
    }  # fmt: skip


def test_what_is_left_over_is_told_and_no_damage(verify, place):
    (place.data / "installs" / "leftover").mkdir()
    code, said = verify()
    assert code == 0
    assert "leftover  left over: nothing opens it" in said


# ---- the state ----


def damaged(path):
    path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.parametrize(
    ("names", "origin"),
    [(["state.json"], "the state file's older generation"), (["state.json", "state.old"], "the sealed records")],
)
def test_a_damaged_state_is_damage_and_the_versions_are_found_all_the_same(verify, place, names, origin):
    for name in names:
        damaged(place.data / name)
    code, said = verify()
    assert code == 1
    assert f"DAMAGED: state.json is damaged or missing; the app reads {origin} instead" in said
    assert said.count(": ok") == 2


def test_when_nothing_tells_of_any_version_that_is_damage_too(verify, place):
    for path in [*place.data.glob("state.*"), *place.data.glob("installs/*/seal.json")]:
        damaged(path) if path.suffix != ".lock" else None
    code, said = verify()
    assert code == 1
    assert "nothing is left to rebuild it from" in said
    assert said.count("left over") == 2


def test_a_state_of_a_newer_library_is_no_damage(verify, place):
    for name in ("state.json", "state.old"):
        path = place.data / name
        path.write_bytes(checked.pack({**checked.unpack(path.read_bytes()), "schema": 2}))
    code, said = verify()
    assert code == 0
    assert "from a state file of a newer library (read only)" in said
    assert f"1.5.0  {place.ids['1.5.0']}" in said


def test_an_app_that_runs_the_builtin_is_sound(verify, place):
    for version in ("1.4.5", "1.5.0"):
        place.install(version).rename(place.data.parent / version)
    with Updater("com.example.notes", "1.4.0", data_dir=place.data, update_url="", stats_url="") as updater:
        assert updater.start().is_builtin
    code, said = verify()
    assert code == 0
    assert "current         the builtin" in said


# ---- it changes nothing ----


def test_no_byte_code_is_removed_and_none_is_held_against_the_version(verify, place):
    place.app().chmod(0o700)
    (place.app() / "__pycache__").mkdir()
    (place.app() / "__pycache__" / "main.cpython-311.pyc").write_bytes(b"byte code")
    assert verify()[0] == 0
    assert (place.app() / "__pycache__" / "main.cpython-311.pyc").exists()


def test_no_start_is_counted_and_the_app_may_run_meanwhile(verify, place):
    with Updater("com.example.notes", "1.4.0", data_dir=place.data, update_url="", stats_url="") as updater:
        assert updater.start().version == "1.5.0"
        locks = [FileLock(place.data / name, files=Files()) for name in ("state.lock", "install.lock")]
        assert all(lock.acquire() for lock in locks)  # it waits for none of them
        assert verify()[0] == 0
        for lock in locks:
            lock.release()


def test_a_version_of_another_installer_is_not_forgotten(verify, place):
    """The app's Updater of another version would begin anew; this one has no version at all."""
    assert verify()[0] == 0
    assert {path.name for path in (place.data / "installs").iterdir()} == set(place.ids.values()) - {"builtin"}


@pytest.mark.parametrize("name", sorted(set(CALLS) - LOOKING - FLUSHING))
def test_its_file_system_refuses_whatever_changes_something(name):
    with pytest.raises(OSError) as caught:
        getattr(LookingFiles(), name)("anything", "else")
    assert caught.value.errno == errno.EROFS


@pytest.mark.skipif(os.name != "posix", reason="pipes and links are made here")
def test_it_neither_follows_links_nor_waits_for_pipes(verify, place, tmp_path):
    shutil.move(place.install(), tmp_path / "moved")
    place.install().symlink_to(tmp_path / "moved")
    (place.data / "state.json").unlink()
    os.mkfifo(place.data / "state.json")
    code, said = verify()
    assert code == 1
    assert "its folder is a link, or no folder at all" in said


# ---- what a person can get wrong ----


def mistake(capsys, *arguments):
    assert main(["verify", *map(str, arguments)]) == 2
    return capsys.readouterr().err


def test_a_folder_that_is_not_there_is_a_mistake(capsys, tmp_path):
    assert f"there is no folder {tmp_path / 'nowhere'}" in mistake(capsys, "--data-dir", tmp_path / "nowhere")


def test_a_folder_of_something_else_is_a_mistake(capsys, tmp_path):
    assert "is not the data directory of an app" in mistake(capsys, "--data-dir", tmp_path)


def test_an_unknown_version_is_a_mistake_and_the_known_ones_are_named(capsys, place):
    said = mistake(capsys, "--data-dir", place.data, "--bundle", "../../etc")
    assert f"{place.ids['1.4.5']} (1.4.5), {place.ids['1.5.0']} (1.5.0)" in said


def test_an_app_id_that_is_none_is_a_mistake(capsys):
    assert "reverse domain" in mistake(capsys, "--app-id", "notes")


def test_an_app_id_leads_to_where_its_data_lie_by_default(command, place, tmp_path):
    home = tmp_path / "share"
    (home / "com.example.notes").mkdir(parents=True)
    shutil.copytree(place.data, home / "com.example.notes" / "capgo")
    done = command("verify", "--app-id", "com.example.notes", XDG_DATA_HOME=str(home))
    assert done.returncode == 0, done.stderr
    assert "2 versions" in done.stdout


def test_a_place_has_to_be_named(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert "which app? give --app-id" in mistake(capsys)


def test_a_data_directory_counts_more_than_where_the_app_s_data_lie_by_default(verify):
    assert verify("--app-id", "com.example.other")[0] == 0
