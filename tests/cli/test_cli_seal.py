"""`capgo-client seal` and `verify-seal`: what is written into a bundle; what no device would take is said before."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import tempfile
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capgo_client.cli import command_parser, main
from capgo_client.cli.source_tree import read_source_tree
from capgo_client.errors import ArchiveError
from capgo_client.install.archive import Limits
from capgo_client.install.extract import extract
from capgo_client.install.names import check_name
from capgo_client.seams import Files
from capgo_client.testing import BundleKeys, make_bundle
from capgo_client.testing.archives import write_archive

FILES = {"main.py": b"print('hello')\n", "lib/__init__.py": b"", "lib/code.py": b"x = 1\n", "data/\u00e9.txt": b"aaaa"}
APP = ("--app-id", "com.example.notes", "--version", "1.5.0")
RECORD = "capgo-bundle.json"


def write(folder, files):
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


@pytest.fixture
def tree(tmp_path):
    return write(tmp_path / "bundle", FILES)


class Ran:
    def __init__(self, code, said):
        self.code, self.out, self.err = code, said.out, said.err


@pytest.fixture
def run(capsys):
    """Run a command in this process."""
    command_parser()  # imports every command, before a test spoils what an import needs

    def run(*arguments):
        capsys.readouterr()
        return Ran(main([*map(str, arguments)]), capsys.readouterr())

    return run


@pytest.fixture
def sealed(run, tree):
    """The folder, sealed; with further options."""

    def seal(*options):
        done = run("seal", tree, *APP, *options)
        assert done.code == 0, done.err
        return tree

    return seal


def record_of(folder):
    return json.loads((folder / RECORD).read_bytes())


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ---- what is written ----


def test_each_file_stands_in_the_record_with_its_size_and_its_hash(run, tree):
    done = run("seal", tree, *APP)

    assert (done.code, done.err) == (0, "")
    assert done.out == f"sealed com.example.notes 1.5.0: 4 files, 25 bytes; {RECORD} is part of the bundle now\n"
    assert record_of(tree) == {
        "schema": 1,
        "app_id": "com.example.notes",
        "version": "1.5.0",
        "files": {
            name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in FILES.items()
        },
    }
    assert contents(tree).keys() == {*FILES, RECORD}


def test_json_tells_what_was_sealed_and_what_was_refused(run, tree):
    done = run("seal", tree, *APP, "--json")
    told = {"ok": True, "app_id": "com.example.notes", "version": "1.5.0", "files": 4, "bytes": 25, "notes": []}
    assert (done.code, json.loads(done.out)) == (0, told)

    write(tree, {"con.txt": b"a"})
    done = run("seal", tree, *APP, "--json")
    told = json.loads(done.out)
    assert (done.code, told["ok"], [each["code"] for each in told["refused"]]) == (1, False, ["name_reserved"])


def test_conditions_stand_in_the_record_where_they_were_given(sealed):
    folder = sealed(
        *("--requires-python", ">=3.10,<3.14", "--platform", "linux", "--platform", "win32", "--platform", "linux"),
        *("--min-app-version", "1.4.0"),
    )
    record = record_of(folder)
    assert record["requires_python"] == ">=3.10,<3.14"
    assert record["platforms"] == ["linux", "win32"]
    assert record["min_app_version"] == "1.4.0"


def test_sealing_again_changes_nothing_not_even_the_time_that_a_zip_would_hold(run, sealed):
    path = sealed() / RECORD
    os.utime(path, (1_700_000_000, 1_700_000_000))
    before = path.stat().st_mtime_ns, path.read_bytes()
    assert run("seal", path.parent, *APP).code == 0
    assert (path.stat().st_mtime_ns, path.read_bytes()) == before


def test_sealing_anew_follows_the_files_and_forgets_the_conditions_of_before(run, sealed):
    folder = sealed("--platform", "win32")
    (folder / "lib" / "code.py").unlink()
    write(folder, {"new.py": b"1"})
    assert run("seal", folder, *APP).code == 0
    assert set(record_of(folder)["files"]) == {"main.py", "lib/__init__.py", "data/\u00e9.txt", "new.py"}
    assert "platforms" not in record_of(folder)


def test_the_record_changes_in_one_step_and_a_failure_leaves_the_old_one(run, sealed, monkeypatch):
    folder = sealed()
    before = contents(folder)
    write(folder, {"new.py": b"1"})

    def fail(path, target):
        assert json.loads(path.read_bytes())["files"]["new.py"]["size"] == 1  # whole before it takes its place
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    done = run("seal", folder, *APP)
    assert done.code == 2
    assert "cannot be written: No space left on device" in done.err
    assert contents(folder) == {**before, "new.py": b"1"}


def test_what_a_killed_seal_left_behind_is_taken_away_and_listed_nowhere(run, tree):
    write(tree, {f".{RECORD}.new": b'{"half'})
    assert run("seal", tree, *APP).code == 0
    assert record_of(tree)["files"].keys() == FILES.keys()
    assert contents(tree).keys() == {*FILES, RECORD}
    write(tree, {f".{RECORD}.new": b"{"})  # and it is a file like any other for whoever uploads it as it is
    assert run("verify-seal", tree).out.startswith("bound_files: ")


# ---- what was sealed is what a device takes ----


@pytest.fixture
def device(capgo_service, capgo_updater):
    """Offer a bundle to a device that insists on a record; what it has queued afterwards."""

    def take(bundle, **options):
        capgo_service.publish(bundle)
        updater = capgo_updater(require_bound=True, **options)
        updater.start()
        assert updater.wait(20)
        assert updater.next_bundle is not None, str(updater.explain())
        return updater.next_bundle

    return take


def sealed_for_device(run, tree):
    assert run("seal", tree, "--app-id", "com.example.app", "--version", "1.5.0").code == 0
    return tree


@pytest.mark.parametrize(
    "options", [{}, {"keys": BundleKeys.generate(), "manifest": True}], ids=["plain zip", "encrypted delta"]
)
def test_a_sealed_folder_installs_where_a_record_is_required(run, tree, device, options):
    # In the delta lib/__init__.py is missing, for it is empty: the device makes it of the record.
    bundle = make_bundle("1.5.0", sealed_for_device(run, tree), **options)
    arrived = device(bundle, **({"public_key": options["keys"].public_pem} if options else {}))
    assert contents(arrived.path) == contents(tree)
    assert contents(arrived.path).keys() == {*FILES, RECORD}


def test_the_same_folder_without_its_record_does_not(run, tree, capgo_service, capgo_updater):
    (sealed_for_device(run, tree) / RECORD).unlink()
    capgo_service.publish(make_bundle("1.5.0", tree))
    updater = capgo_updater(require_bound=True)
    updater.start()
    assert updater.wait(20)
    assert updater.explain().result_code == "bound_required"
    assert updater.bundles() == ()


def test_the_zip_of_a_sealed_folder_verifies_too(run, sealed, tmp_path):
    path = tmp_path / "made.zip"
    path.write_bytes(make_bundle("1.5.0", sealed()).archive)
    done = run("verify-seal", path)
    assert (done.code, done.out) == (0, "good: com.example.notes 1.5.0, 4 files\n")


# ---- what is refused ----

REFUSED_NAMES = {
    "a\\b.txt": "windows_path_fail",
    "ab:c.txt": "name_character",
    "CON": "name_reserved",
    "lib/nul.txt": "name_reserved",
    "dot.": "name_trailing",
    "space ": "name_trailing",
    "new\nline": "name_control",
    "right\u202eleft": "name_control",
}


@pytest.mark.skipif(os.name != "posix", reason="such names and such files cannot be made here")
class TestOnPosix:
    @pytest.mark.parametrize("name", REFUSED_NAMES)
    def test_a_name_that_devices_refuse_is_refused_with_their_code(self, run, tree, name):
        write(tree, {name: b"1"})
        with pytest.raises(ArchiveError) as device:
            check_name(name)
        assert device.value.code == REFUSED_NAMES[name]

        done = run("seal", tree, *APP)

        assert done.code == 1
        assert f"refused: {REFUSED_NAMES[name]}: the file name {name!a} is refused" in done.err
        assert not (tree / RECORD).exists()
        assert run("verify-seal", tree).out.startswith(f"{REFUSED_NAMES[name]}: ")

    def test_a_name_that_is_not_utf_8_is_refused(self, run, tree):
        (tree / os.fsdecode(b"\xff.txt")).write_bytes(b"1")
        assert "refused: name_not_utf8: " in run("seal", tree, *APP).err

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            ("Main.py", "main.py"),
            ("data/x", "Data/y"),
            (unicodedata.normalize("NFC", "e\u0301.txt"), "e\u0301.txt"),
            ("Capgo-Bundle.json", "main.py"),
        ],
    )
    def test_names_that_some_systems_take_for_one_are_refused(self, run, tmp_path, first, second):
        folder = write(tmp_path / "colliding", {first: b"1", second: b"2"})
        done = run("seal", folder, *APP)
        assert done.code == 1
        assert "refused: name_collision: " in done.err

    @pytest.mark.parametrize(("name", "code"), [("aux", "name_reserved"), ("Lib", "name_collision")])
    def test_an_empty_folder_has_to_have_a_good_name_too_for_the_zip_holds_it(self, run, tree, name, code):
        (tree / name).mkdir()
        done = run("seal", tree, *APP)
        assert (done.code, f"refused: {code}: " in done.err) == (1, True)

    def test_everything_that_is_wrong_is_told_at_once(self, run, tree):
        write(tree, {"CON": b"", "ab:c": b""})
        (tree / "link").symlink_to("nowhere")
        done = run("seal", tree, *APP)
        assert sum(line.startswith("refused: ") for line in done.err.splitlines()) == 3
        assert done.err.endswith("not sealed: no device would install this bundle\n")

    def test_of_very_much_that_is_wrong_the_first_is_told_and_the_rest_counted(self, run, tree):
        write(tree, {f"{n:02}.": b"" for n in range(25)})
        lines = run("seal", tree, *APP).err.splitlines()
        assert len(lines) == 22
        assert lines[0].startswith("refused: name_trailing: the file name '00.'")
        assert lines[20] == "refused: and 5 more"

    @pytest.mark.parametrize(
        ("target", "says"),
        [
            ("nowhere", "link is a link that leads to no file"),
            ("link", "link is a link that leads to no file"),
            ("lib", "link is a link to a folder, of which a zip and a delta make different things"),
            ("/dev/null", "link is a link that leads to no file"),
        ],
        ids=["dangling", "to itself", "a folder", "a device"],
    )
    def test_a_link_that_leads_to_no_file_is_refused(self, run, tree, target, says):
        (tree / "link").symlink_to(target)
        done = run("seal", tree, *APP)
        assert done.code == 1
        assert f"refused: archive_type: {says}" in done.err
        assert not (tree / RECORD).exists()

    def test_a_link_to_a_file_is_sealed_as_the_file_that_it_will_be(self, run, tree):
        (tree / "link.py").symlink_to("main.py")
        done = run("seal", tree, *APP)
        assert (done.code, done.err) == (0, "note: link.py: a link; what it points at goes into the bundle\n")
        assert record_of(tree)["files"]["link.py"] == record_of(tree)["files"]["main.py"]
        assert run("verify-seal", tree).code == 0

    @pytest.mark.parametrize("name", ["pipe", RECORD])
    def test_a_pipe_is_neither_waited_for_nor_packed(self, run, tree, name):
        os.mkfifo(tree / name)
        assert run("verify-seal", tree).code == 1
        done = run("seal", tree, *APP)
        if name == RECORD:  # it is in the record's place, and is replaced
            assert (done.code, (tree / name).is_file()) == (0, True)
        else:
            assert (done.code, "refused: archive_type: pipe is neither a file nor a folder" in done.err) == (1, True)

    def test_a_folder_in_the_records_place_is_refused(self, run, tree):
        write(tree, {f"{RECORD}/x": b"1"})
        done = run("seal", tree, *APP)
        assert (done.code, "refused: name_file_and_folder: " in done.err) == (1, True)

    @pytest.mark.parametrize("same", [False, True])
    def test_a_link_in_the_records_place_is_replaced_and_its_target_left_alone(self, run, sealed, tmp_path, same):
        folder = sealed()
        precious = (folder / RECORD).read_bytes() if same else b"precious"
        (tmp_path / "elsewhere").write_bytes(precious)
        (folder / RECORD).unlink()
        (folder / RECORD).symlink_to(tmp_path / "elsewhere")
        assert run("seal", folder, *APP).code == 0
        assert not (folder / RECORD).is_symlink()
        assert (tmp_path / "elsewhere").read_bytes() == precious


PART = st.text(st.sampled_from("abAB.~ :\\\t\u00e9\u0301\u00dfs\u212a\u200f|*"), min_size=1, max_size=4).filter(
    lambda part: part not in {".", ".."}
)
NAME = st.one_of(PART, st.sampled_from(["con", "Aux.txt", RECORD.upper(), f"{RECORD}/x", "lpt1 .x", "b" * 255]))


@pytest.mark.skipif(os.name != "posix", reason="such names and such files cannot be made here")
@given(names=st.lists(st.lists(NAME, min_size=1, max_size=3).map("/".join), min_size=1, max_size=4, unique=True))
@settings(max_examples=50, deadline=None)
def test_what_seal_takes_a_device_takes_and_what_it_refuses_a_device_refuses(names):
    with tempfile.TemporaryDirectory() as place:
        folder, unpacked = Path(place, "bundle"), Path(place, "device")
        for name in names:
            with contextlib.suppress(FileExistsError, NotADirectoryError, IsADirectoryError):  # a file and a folder
                write(folder, {name: b"1"})
        if not folder.exists():
            return
        tree = read_source_tree(folder)
        unpacked.mkdir()
        archive = Path(place, "made.zip")
        # The record goes in last, as `seal` writes it last; a folder may be in its place.
        files = {**contents(folder), RECORD: b"{}"}
        folders = {f"{path.relative_to(folder).as_posix()}/": b"" for path in folder.rglob("*") if path.is_dir()}
        archive.write_bytes(write_archive({**folders, **files}))
        if tree.refused:
            with pytest.raises(ArchiveError):
                extract(archive, unpacked, files=Files(), limits=Limits(), should_stop=lambda: False)
            return
        extract(archive, unpacked, files=Files(), limits=Limits(), should_stop=lambda: False)
        assert contents(unpacked).keys() == {RECORD, *(record.path for record in tree.records)}


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        ({"max_entries": 7}, None),  # four files, two folders, the record
        ({"max_entries": 6}, "archive_limit_entries"),
        ({"max_file": 14}, "archive_limit_file"),
        ({"max_total": 24}, "archive_limit_total"),
    ],
)
def test_what_is_over_a_devices_limits_is_refused(run, tree, monkeypatch, limits, code):
    monkeypatch.setattr("capgo_client.cli.source_tree.Limits", lambda: Limits(**limits))
    done = run("seal", tree, *APP)
    assert done.code == (0 if code is None else 1)
    assert code is None or f"refused: {code}: " in done.err


# ---- what is remarked ----


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("lib/.DS_Store", "lib/.DS_Store: Capgo's delta leaves it out, and the record lists it"),
        ("my.github/a.txt", "my.github/a.txt: Capgo's delta leaves it out"),
        ("lib/__pycache__/code.cpython-311.pyc", "code.cpython-311.pyc: byte code; delete it before you seal"),
        ("two words.txt", "two words.txt: Capgo refuses to make a delta with a space in a name"),
        ("main.py.br", "main.py: a delta may have this name twice, with the .br beside it"),
    ],
)
def test_what_goes_wrong_in_a_delta_is_remarked_and_sealed_all_the_same(run, tree, name, says):
    write(tree, {name: b"1"})
    done = run("seal", tree, *APP)
    assert done.code == 0
    assert done.err.count("note: ") == 1
    assert says in done.err
    assert name in record_of(tree)["files"]


def test_an_empty_folder_is_remarked_for_no_record_can_hold_it(run, tree):
    (tree / "empty" / "deeper").mkdir(parents=True)
    done = run("seal", tree, *APP)
    assert (done.code, done.err) == (
        0, "note: empty/deeper: an empty folder; it is in no record, and a delta leaves it out\n",
    )  # fmt: skip


def test_a_remark_about_many_files_is_one_line(run, tree):
    write(tree, {f"lib/__pycache__/{n}.pyc": b"1" for n in range(9)})
    assert run("seal", tree, *APP).err == (
        "note: lib/__pycache__/0.pyc, lib/__pycache__/1.pyc, lib/__pycache__/2.pyc and 6 more:"
        " byte code; delete it before you seal\n"
    )


def test_a_folder_whose_own_path_empties_the_delta_is_remarked(run, tmp_path):
    folder = write(tmp_path / "notes.git" / "app", FILES)
    assert "the folder's own path holds .git" in run("seal", folder, *APP).err


# ---- what a person can get wrong ----


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--app-id", "notes"), "a reverse domain"),
        (("--version", "v1.5.0"), "is not semver"),
        (("--version", "1.5"), "is not semver"),
        (("--requires-python", "~=3.10"), "requires_python is not clauses such as '>=3.10,<3.14'"),
        (("--min-app-version", "1.4"), "min_app_version is not a semver version"),
        (("--platform", "macOS"), "Python calls it darwin"),
        (("--platform", "Windows"), "Python calls it win32"),
        (("--platform", "Linux"), "Python calls it linux"),
        (("--platform", ""), "platforms is not a text"),
    ],
)
def test_options_that_no_device_would_accept_are_a_mistake(run, tree, options, says):
    done = run("seal", tree, *APP, *options)
    assert (done.code, done.out) == (2, "")
    assert says in done.err
    assert not (tree / RECORD).exists()


@pytest.mark.parametrize("command", [("seal", *APP), ("verify-seal",)], ids=["seal", "verify-seal"])
class TestAFolderThatIsNone:
    def test_nothing_is_there(self, run, tmp_path, command):
        done = run(*command, tmp_path / "nowhere")
        assert done.code == 2
        assert str(tmp_path / "nowhere") in done.err

    def test_it_cannot_be_reached(self, run, tree, monkeypatch, command):
        def refuse(path, **_):
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr(Path, "is_dir", refuse)
        done = run(*command, tree)
        assert (done.code, f"{tree} cannot be read: Permission denied" in done.err) == (2, True)

    def test_nothing_is_in_it(self, run, tmp_path, command):
        (tmp_path / "empty" / "deeper").mkdir(parents=True)
        done = run(*command, tmp_path / "empty")
        assert done.code == 2
        assert "there is no file in it; is it the folder that you upload?" in done.err

    def test_a_file_that_cannot_be_read_is_named(self, run, tree, monkeypatch, command):
        opened = Path.open

        def refuse(path, *arguments, **options):
            if path.name == "code.py":
                raise PermissionError(13, "Permission denied", str(path))
            return opened(path, *arguments, **options)

        monkeypatch.setattr(Path, "open", refuse)
        done = run(*command, tree)
        assert done.code == 2
        assert f"{tree / 'lib' / 'code.py'} cannot be read: Permission denied" in done.err

    def test_a_file_whose_disk_fails_is_named_as_well(self, run, tree, monkeypatch, command):
        class Failing(io.BytesIO):
            def read(self, _size):
                raise OSError(5, "Input/output error")

        monkeypatch.setattr(Path, "open", lambda *_: Failing())
        done = run(*command, tree)
        assert done.code == 2
        assert f"{tree / 'data' / 'é.txt'} cannot be read: Input/output error" in done.err


# ---- verify-seal ----


def changed(folder, name="main.py", data=b"evil"):
    (folder / name).write_bytes(data)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (changed, "bound_files: the bundle's files are not those of its capgo-bundle.json: changed 'main.py'"),
        (lambda folder: (folder / "main.py").unlink(), "bound_files: .* missing 'main.py'"),
        (lambda folder: changed(folder, "extra.py"), "bound_files: .* extra 'extra.py'"),
        (lambda folder: (folder / RECORD).unlink(), "bound_required: there is no capgo-bundle.json"),
        (lambda folder: changed(folder, RECORD, b"{}"), "bound_malformed: capgo-bundle.json: no schema number"),
        (lambda folder: changed(folder, RECORD, b'{"schema": 2}'), "bound_schema: capgo-bundle.json has schema 2"),
        (lambda folder: changed(folder, RECORD, b" " * (16 << 20) + b"{"), "bound_malformed: .* larger than"),
    ],
    ids=["changed", "missing", "extra", "no record", "malformed", "newer", "too large"],
)
@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
def test_what_is_not_as_it_was_sealed_is_told_with_its_code(run, sealed, spoil, told, packed):
    path = folder = sealed()
    spoil(folder)
    if packed:
        path = folder.with_name("made.zip")
        path.write_bytes(write_archive(contents(folder)))
    done = run("verify-seal", path)
    assert done.code == 1
    assert re.match(told, done.out)
    document = json.loads(run("verify-seal", path, "--json").out)
    assert (document["ok"], document["code"]) == (False, told.split(":")[0])
    assert document["hint"]
    assert document["hint"] not in document["problem"]


def test_an_archive_that_no_device_opens_is_told_with_its_code(run, sealed, tmp_path):
    path = tmp_path / "made.zip"
    path.write_bytes(make_bundle("1.5.0", sealed(), keys=BundleKeys.generate()).archive)
    done = run("verify-seal", path)
    assert (done.code, done.out.split(":")[0]) == (1, "archive_end")
    path.write_bytes(write_archive({"../main.py": b""}))
    assert run("verify-seal", path).out.startswith("canonical_path_fail: ")


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (APP, ""),
        (("--version", "1.5.1"), "bound_version: it was sealed as 1.5.0, not 1.5.1"),
        (("--app-id", "com.example.other"), "bound_app: it was sealed as com.example.notes, not com.example.other"),
    ],
)
def test_it_can_be_held_to_what_it_is_uploaded_as(run, sealed, options, code):
    done = run("verify-seal", sealed(), *options)
    assert done.code == (1 if code else 0)
    assert done.out.startswith(code or "good: ")


def test_conditions_are_told(run, sealed):
    folder = sealed("--requires-python", ">=3.10", "--platform", "linux", "--min-app-version", "1.4.0")
    assert run("verify-seal", folder).out == (
        "good: com.example.notes 1.5.0, 4 files; needs Python >=3.10.0; on linux; installer >=1.4.0\n"
    )


def test_json_tells_everything(run, sealed):
    assert json.loads(run("verify-seal", sealed("--platform", "linux"), "--json").out) == {
        "ok": True,
        "app_id": "com.example.notes",
        "version": "1.5.0",
        "file_count": 4,
        "requires_python": "",
        "platforms": ["linux"],
        "min_app_version": "",
    }


def test_somebody_elses_record_plays_no_tricks_on_the_terminal(run, sealed):
    folder = sealed()
    record = record_of(folder)
    record["app_id"], record["version"] = "\x1b[2Jgood", "1\n2"
    (folder / RECORD).write_text(json.dumps(record))
    for options in ((), ("--version", "1.0.0")):
        out = run("verify-seal", folder, *options).out
        assert "\x1b" not in out
        assert out.count("\n") == 1


def test_nothing_is_changed_and_nothing_left_behind(command, sealed, tmp_path):
    folder = sealed()
    (tmp_path / "made.zip").write_bytes(make_bundle("1.5.0", folder).archive)
    before = contents(folder)
    done = command("verify-seal", tmp_path / "made.zip")
    assert (done.returncode, done.stderr) == (0, "")
    assert contents(folder) == before
    assert list((tmp_path / "temporary").iterdir()) == []
