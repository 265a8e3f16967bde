"""An install that changed on disk: seen at a glance, or by the full verify behind the start (promise P3)."""

from __future__ import annotations

import os

import pytest

from capgo_client import BundleError, ChecksumError
from capgo_client.install.trees import remove_tree
from capgo_client.seams import Files
from capgo_client.testing import FaultyFiles

pytestmark = pytest.mark.promise(3)

FILES = {"main.py": "print('1.5.0')\n", "data/a.txt": "aaaa", "lib/b.py": "B = 1\n"}


def _open_for_writing(path):
    for folder in (path.parent, path):
        if folder.exists():
            folder.chmod(0o700)


def _rewrite(path, text):
    _open_for_writing(path)
    path.write_text(text)


def _remove(path):
    _open_for_writing(path)
    if path.is_dir():
        remove_tree(path, files=Files())  # also what is read-only
    else:
        path.unlink()


@pytest.fixture
def bundle(app):
    """1.5.0, proven, over a proven 1.4.5."""
    app.install("1.4.5")
    app.install("1.5.0", FILES)
    found = app.launch(update_url="").current
    app.close()
    return found


# --- at a glance ----------------------------------------------------------------------------------------------------

_AT_ONCE = {
    "the whole install": lambda bundle: _remove(bundle.path.parent),
    "the folder of files": lambda bundle: _remove(bundle.path),
    "the seal": lambda bundle: _remove(bundle.path.parent / "seal.json"),
    "a byte of the seal": lambda bundle: _rewrite(
        bundle.path.parent / "seal.json", (bundle.path.parent / "seal.json").read_text().replace("1.5.0", "1.9.0")
    ),
    "the entry": lambda bundle: _remove(bundle.path / "main.py"),
    "the lease": lambda bundle: _remove(bundle.path.parent / "lease"),
}


@pytest.mark.parametrize("what", _AT_ONCE)
def test_what_a_glance_sees_opens_the_version_before_at_once(app, bundle, what):
    _AT_ONCE[what](bundle)
    updater = app.launch(update_url="", entry="main.py")
    assert updater.current.version == "1.4.5"
    assert updater.failed_update() is None  # the disk failed, not the version


@pytest.mark.parametrize("what", _AT_ONCE)
def test_what_was_damaged_is_fetched_anew_when_it_is_offered_still(app, bundle, what):
    _AT_ONCE[what](bundle)
    updater = app.launch(entry="main.py")
    assert updater.wait(10)
    assert updater.next_bundle.version == "1.5.0"
    updater = app.launch(update_url="", entry="main.py")
    assert updater.verify(updater.current, full=True)
    assert (updater.current.path / "data" / "a.txt").read_text() == "aaaa"


@pytest.mark.promise(2)
def test_when_everything_is_damaged_the_builtin_opens(app, bundle):
    for folder in bundle.path.parent.parent.iterdir():
        _remove(folder)
    assert app.launch(update_url="").current.is_builtin


@pytest.mark.promise(2)
def test_when_the_data_directory_is_gone_the_builtin_opens_and_updates_go_on(app, bundle):
    _remove(app.data)
    updater = app.launch()
    assert updater.current.is_builtin
    assert updater.wait(10)
    assert updater.next_bundle.version == "1.5.0"
    assert not bundle.path.exists()


@pytest.mark.promise(2)
def test_when_the_data_directory_goes_while_the_app_runs_nothing_raises(app, bundle):
    updater = app.launch(update_url="")
    # In one step: while they are removed one by one, what runs may add another.
    app.data.rename(app.data.with_name("gone"))
    _remove(app.data.with_name("gone"))
    updater.notify_app_ready()
    updater.report_crash(ValueError("boom"))
    assert updater.wait(10)
    assert updater.current == bundle
    updater.close()
    assert app.launch(update_url="").current.is_builtin


# --- the full verify ------------------------------------------------------------------------------------------------

_HIDDEN = {
    "a changed file of the same size": lambda bundle: _rewrite(bundle.path / "data" / "a.txt", "aaab"),
    "a longer file": lambda bundle: _rewrite(bundle.path / "data" / "a.txt", "aaaaa"),
    "a missing file": lambda bundle: _remove(bundle.path / "data" / "a.txt"),
    "a file too many": lambda bundle: _rewrite(bundle.path / "data" / "extra.py", "evil"),
    "a changed list": lambda bundle: _rewrite(bundle.path.parent / "files.json", "[]"),
    "a link in place of a file": lambda bundle: (
        _remove(bundle.path / "data" / "a.txt"),
        (bundle.path / "data" / "a.txt").symlink_to(bundle.path / "main.py"),
    ),
}


@pytest.mark.parametrize("what", _HIDDEN)
def test_what_only_a_full_verify_sees_is_found_behind_the_start(app, bundle, what):
    _HIDDEN[what](bundle)
    updater = app.launch(update_url="")
    assert updater.current.version == "1.5.0"
    assert updater.wait(10)
    assert updater.current.version == "1.5.0"  # it runs already
    updater = app.launch(update_url="")
    assert updater.current.version == "1.4.5"
    assert updater.failed_update() is None


@pytest.mark.parametrize("what", _HIDDEN)
def test_after_that_the_version_arrives_again(app, bundle, what):
    _HIDDEN[what](bundle)
    assert app.launch(update_url="").wait(10)
    updater = app.launch()
    assert updater.current.version == "1.4.5"
    assert updater.wait(10)
    assert updater.next_bundle.version == "1.5.0"
    updater = app.launch(update_url="")
    assert (updater.current.path / "data" / "a.txt").read_text() == "aaaa"
    assert updater.verify(updater.current, full=True)


@pytest.mark.parametrize("what", _HIDDEN)
def test_verify_by_hand_names_what_is_wrong(app, bundle, what):
    _HIDDEN[what](bundle)
    updater = app.updater(update_url="")
    assert updater.verify(bundle, full=False)
    found = updater.verify(bundle, full=True)
    assert not found
    assert not found.ok
    assert found.problems
    if "list" not in what:
        assert all("data/" in problem for problem in found.problems)


def test_verify_finds_nothing_wrong_with_a_whole_install(app, bundle):
    updater = app.updater(update_url="")
    for full in (True, False):
        found = updater.verify(bundle, full=full)
        assert found
        assert found.problems == ()
    assert updater.verify(bundle.id)
    assert updater.verify("builtin")


def test_verify_at_a_glance_sees_a_missing_seal(app, bundle):
    _remove(bundle.path.parent / "seal.json")
    found = app.updater(update_url="").verify(bundle, full=False)
    assert not found
    assert "seal" in found.problems[0]


def test_verify_of_an_unknown_bundle_is_an_error(app):
    with pytest.raises(BundleError) as caught:
        app.updater(update_url="").verify("nosuchidxx")
    assert caught.value.code == "bundle_unknown"


def test_byte_code_that_a_start_wrote_is_removed_and_not_held_against_the_bundle(app, bundle):
    for folder in (bundle.path, bundle.path / "lib"):
        folder.chmod(0o700)
        (folder / "__pycache__").mkdir()
        (folder / "__pycache__" / "x.cpython-311.pyc").write_bytes(b"byte code")
    updater = app.launch(update_url="")
    assert updater.wait(10)
    assert updater.verify(bundle, full=True)
    assert list(bundle.path.rglob("__pycache__")) == []
    assert app.launch(update_url="").current.version == "1.5.0"


def test_a_folder_named_so_that_the_publisher_sent_belongs_to_the_bundle(app):
    app.install("1.5.0", {"main.py": "x", "__pycache__/main.cpython-311.pyc": "sent"})
    updater = app.launch(update_url="")
    assert updater.wait(10)
    assert app.launch(update_url="").current.version == "1.5.0"


def test_the_full_verify_runs_behind_the_start_and_not_in_it(app, bundle):
    files = FaultyFiles()
    updater = app.updater(update_url="", files=files)
    updater.start()
    opened = {call.path for call in files.calls if call.kind == "open_read"}
    assert not any(path.startswith(str(bundle.path)) for path in opened)
    assert updater.wait(10)
    opened = {call.path for call in files.calls if call.kind == "open_read"}
    assert {str(bundle.path / name) for name in FILES} <= opened


def test_files_are_read_only_so_that_the_app_does_not_damage_them_by_accident(app, bundle):
    modes = {path.name: path.stat().st_mode & 0o222 for path in bundle.path.rglob("*")}
    assert modes
    assert set(modes.values()) == {0}
    assert not bundle.path.stat().st_mode & 0o222
    assert os.access(app.data, os.W_OK)


def test_a_partial_that_was_damaged_on_disk_is_never_installed(app):
    app.publish("1.5.0", {"main.py": "x", "data.bin": os.urandom(100_000)})
    app.service.set_fault("cut-body", on="download", at=0.5)
    assert app.launch().wait(10)
    app.service.clear_faults()
    (partial,) = (app.data / "downloads").glob("*.part")
    damaged = bytearray(partial.read_bytes())
    damaged[1000] ^= 1
    partial.write_bytes(damaged)
    updater = app.launch(auto_update="off")
    try:
        found = updater.download(updater.get_latest())
    except ChecksumError:
        found = updater.download(updater.get_latest())
    assert updater.verify(found, full=True)
