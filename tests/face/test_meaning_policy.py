"""Which offered versions this device takes: age, entry file, own record, platform (section 4; decisions 10, 11)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import pytest

from capgo_client import ArchiveError, BindingError, UpdateRefused
from capgo_client.testing import make_bundle
from capgo_client.verify.bound import RECORD_NAME, seal_record


def _offer(app, version, **options):
    """Offer a version (also one below the installer's); what the device has queued after one launch."""
    app.publish(version, below_native=True)
    updater = app.launch(**options)
    assert updater.wait(10)
    queued = updater.next_bundle
    return None if queued is None else queued.version


# --- allow_downgrade ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("allow", "version", "taken"),
    [
        ("above_builtin", "1.3.9", False),
        ("above_builtin", "1.4.0-rc.1", False),
        ("above_builtin", "1.4.0", True),
        ("above_builtin", "1.5.0", True),
        ("above_builtin", "1.7.0", True),
        (False, "1.3.9", False),
        (False, "1.5.0", False),
        (False, "1.6.0-rc.1", False),
        (False, "1.7.0", True),
        (True, "1.3.9", True),
        (True, "1.5.0", True),
        (True, "1.7.0", True),
        (True, "summer", True),
    ],
)
def test_what_may_be_installed_while_1_6_0_runs(app, allow, version, taken):
    app.install("1.6.0", allow_downgrade=allow)
    assert _offer(app, version, allow_downgrade=allow) == (version if taken else None)
    assert app.launch(allow_downgrade=allow, update_url="").current.version == (version if taken else "1.6.0")
    assert len(app.service.downloads) == (2 if taken else 1)


def test_what_was_rolled_back_still_counts_for_no_age(app):
    # The newest version that *worked* is the floor, not the newest that was tried.
    app.install("1.6.0", allow_downgrade=False)
    app.queue("1.9.0", allow_downgrade=False)
    app.launch(update_url="", allow_downgrade=False).report_crash(ValueError("boom"))
    assert _offer(app, "1.7.0", allow_downgrade=False) == "1.7.0"


@pytest.mark.parametrize("allow", ["above_builtin", False])
def test_what_cannot_be_compared_is_refused_and_explained(app, allow):
    assert _offer(app, "summer", allow_downgrade=allow) is None
    updater = app.updater(allow_downgrade=allow)
    assert app.service.downloads == []
    updater.start()
    with pytest.raises(UpdateRefused) as caught:
        updater.download("http://127.0.0.1:9/x.zip", "summer", checksum="0" * 64)
    assert caught.value.code == "version_not_comparable"


def test_what_is_older_than_the_builtin_is_refused_by_hand_too(app):
    app.publish("1.3.0", below_native=True)
    updater = app.launch(auto_update="off")
    with pytest.raises(UpdateRefused) as caught:
        updater.download(updater.get_latest())
    assert caught.value.code == "downgrade_refused"
    assert "1.3.0 is older than 1.4.0" in str(caught.value)


def test_the_builtins_own_version_may_come_as_a_bundle(app):
    app.install("1.5.0")
    assert _offer(app, "1.4.0") == "1.4.0"


def test_moving_a_channel_back_to_an_earlier_bundle_works(app):
    app.install("1.5.0")
    app.install("1.6.0")
    assert _offer(app, "1.5.0") == "1.5.0"
    assert app.launch(update_url="").current.version == "1.5.0"


@pytest.mark.parametrize(("allow", "expected"), [("above_builtin", "1.4.0"), (True, "1.4.0"), (False, "1.5.0")])
def test_back_to_the_builtin_is_an_order_that_allow_downgrade_false_refuses(app, allow, expected):
    app.install("1.5.0", allow_downgrade=allow)
    app.service.want_builtin()
    updater = app.launch(allow_downgrade=allow)
    assert updater.wait(10)
    assert updater.current.version == "1.5.0"
    assert app.launch(allow_downgrade=allow, update_url="").current.version == expected


def test_back_to_the_builtin_on_the_builtin_is_no_news(app):
    app.service.want_builtin()
    updater = app.launch()
    assert updater.wait(10)
    assert updater.next_bundle is None


def test_back_to_the_builtin_takes_back_what_is_queued(app):
    app.publish("1.5.0")
    updater = app.launch()
    assert updater.wait(10)
    assert updater.next_bundle.version == "1.5.0"
    app.service.want_builtin()
    assert updater.trigger_update_check() == "queued"
    assert updater.wait(10)
    assert app.launch(update_url="").current.is_builtin


def test_a_direct_start_goes_back_to_the_builtin_at_once(app):
    app.install("1.5.0")
    app.service.want_builtin()
    assert app.launch(auto_update="always").current.is_builtin


def test_a_queue_that_the_channel_went_back_on_is_dropped(app):
    app.install("1.5.0")
    first = app.launch()
    app.publish("1.6.0")
    assert first.wait(10)
    assert first.next_bundle.version == "1.6.0"
    app.publish("1.5.0")
    assert first.trigger_update_check() == "queued"
    assert first.wait(10)
    assert first.next_bundle is None
    assert app.launch(update_url="").current.version == "1.5.0"


# --- the entry file -------------------------------------------------------------------------------------------------


def test_a_bundle_without_the_entry_file_is_refused(app):
    app.publish("1.5.0", {"other.py": "x"})
    updater = app.launch(entry="main.py", auto_update="off")
    with pytest.raises(ArchiveError) as caught:
        updater.download(updater.get_latest())
    assert caught.value.code == "entry_missing"
    assert "main.py" in str(caught.value)
    assert updater.bundles() == ()


def test_a_bundle_whose_files_lie_in_a_folder_of_their_own_has_no_entry_file(app):
    app.publish("1.5.0", {"dist/main.py": "x"})
    updater = app.launch(entry="main.py")
    assert updater.wait(10)
    assert updater.next_bundle is None
    assert updater.explain().result.startswith("1.5.0: the bundle has no main.py")


def test_what_cannot_be_installed_here_is_not_fetched_again_at_every_start(app):
    app.publish("1.5.0", {"other.py": "x"})
    for _ in range(3):
        assert app.launch(entry="main.py").wait(10)
    assert len(app.service.downloads) == 1
    app.publish("1.5.1", {"main.py": "x"})
    updater = app.launch(entry="main.py")
    assert updater.wait(10)
    assert updater.next_bundle.version == "1.5.1"


@pytest.mark.promise(3)
def test_an_entry_file_that_vanished_keeps_a_version_from_being_opened(app):
    app.install("1.5.0", entry="main.py")
    bundle = app.launch(update_url="", entry="main.py").current
    bundle.path.chmod(0o700)
    (bundle.path / "main.py").unlink()
    assert app.launch(update_url="", entry="main.py").current.is_builtin


# --- the bundle's own record ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Fact:
    path: str
    size: int
    sha256: str


def _bound(files, *, app_id="com.example.notes", version="1.5.0", **options):
    facts = [_Fact(name, len(text), hashlib.sha256(text.encode()).hexdigest()) for name, text in files.items()]
    return {**files, RECORD_NAME: seal_record(facts, app_id=app_id, version=version, **options)}


FILES = {"main.py": "print(1)\n", "data/a.txt": "a"}


def _bring(app, files, **options):
    app.service.publish(make_bundle("1.5.0", files))
    updater = app.launch(auto_update="off", **options)
    return updater.download(updater.get_latest())


@pytest.mark.promise(6)
@pytest.mark.parametrize("require", [True, False])
def test_a_bundle_that_says_what_it_is_is_installed(app, require):
    bundle = _bring(app, _bound(FILES), require_bound=require)
    assert bundle.version == "1.5.0"
    assert (bundle.path / RECORD_NAME).exists()


@pytest.mark.promise(6)
def test_a_bundle_without_a_record_is_refused_where_one_is_required(app):
    with pytest.raises(BindingError) as caught:
        _bring(app, FILES, require_bound=True)
    assert caught.value.code == "bound_required"
    assert "capgo-client seal" in caught.value.hint


def test_a_bundle_without_a_record_is_fine_where_none_is_required(app):
    assert _bring(app, FILES).version == "1.5.0"


@pytest.mark.promise(6)
@pytest.mark.parametrize("require", [True, False])
@pytest.mark.parametrize(
    ("files", "code"),
    [
        (_bound(FILES, version="1.4.9"), "bound_version"),
        (_bound(FILES, app_id="com.example.other"), "bound_app"),
        ({**_bound(FILES), "extra.py": "x"}, "bound_files"),
        ({**_bound(FILES), "main.py": "evil"}, "bound_files"),
        ({name: text for name, text in _bound(FILES).items() if name != "data/a.txt"}, "bound_files"),
        ({**FILES, RECORD_NAME: "{}"}, "bound_malformed"),
        ({**FILES, RECORD_NAME: "not json"}, "bound_malformed"),
        (_bound(FILES, requires_python="<3.5"), "requires_python"),
        (_bound(FILES, platforms=["amiga"]), "platform_unsupported"),
        (_bound(FILES, min_app_version="1.4.1"), "min_app_version"),
    ],
)
def test_a_record_is_always_enforced(app, require, files, code):
    with pytest.raises(BindingError) as caught:
        _bring(app, files, require_bound=require)
    assert caught.value.code == code


@pytest.mark.promise(6)
def test_a_relabelled_bundle_is_never_opened(app):
    # Right signature, old content under a new name: what a hostile service could do without the record.
    app.service.publish(make_bundle("1.9.0", _bound(FILES, version="1.5.0"), keys=app.keys))
    options = {"public_key": app.keys.public_pem, "require_bound": True}
    updater = app.updater(**options, auto_update="always")
    assert updater.start().is_builtin
    assert updater.wait(10)
    assert updater.bundles() == ()
    assert "1.5.0" in updater.explain().result


def test_a_record_fits_the_same_app_where_all_of_it_holds(app):
    files = _bound(FILES, requires_python=">=3.10", platforms=["linux", "win32", "darwin"], min_app_version="1.4.0")
    assert _bring(app, files, require_bound=True).version == "1.5.0"
