"""What ``start()`` opens, and what can be asked about it (design section 4; decisions 1, 6, 15)."""

from __future__ import annotations

import errno
import logging
import os
import subprocess
import sys
import time

import pytest
from children import environment

from capgo_client import Bundle, BundleStatus, CapgoError, ConfigError
from capgo_client.testing import FaultyFiles

MODES = ("off", "atBackground", "atInstall", "onLaunch", "always", "onlyDownload")
WRITING = ("open_new", "open_update", "mkdir", "rename", "unlink", "rmdir", "write", "truncate", "chmod")


# --- the builtin ----------------------------------------------------------------------------------------------------


def test_the_first_start_opens_the_builtin_with_the_given_version_as_a_good_one(app):
    bundle = app.updater().start()
    assert bundle == Bundle(id="builtin", version="1.4.0", path=app.builtin, status=BundleStatus.SUCCESS)
    assert (bundle.checksum, bundle.downloaded, bundle.is_builtin) == ("", 0.0, True)


def test_builtin_is_known_before_start(app):
    assert app.updater().builtin == Bundle("builtin", "1.4.0", app.builtin, BundleStatus.SUCCESS)


def test_without_a_folder_the_builtin_has_no_path(app):
    bundle = app.updater(builtin=None).start()
    assert bundle == Bundle("builtin", "1.4.0", None, BundleStatus.SUCCESS)


@pytest.mark.promise(2)
def test_a_missing_builtin_folder_is_logged_and_raises_nothing(app, caplog):
    missing = app.builtin / "not-there"
    with caplog.at_level(logging.ERROR, logger="capgo_client"):
        bundle = app.updater(builtin=missing).start()
    assert (bundle.id, bundle.version, bundle.path) == ("builtin", "1.4.0", None)
    assert str(missing) in caplog.text


@pytest.mark.promise(2)
def test_a_builtin_that_is_a_file_is_a_missing_folder(app):
    assert app.updater(builtin=app.builtin / "main.py").start().path is None


# --- start() --------------------------------------------------------------------------------------------------------


def test_start_twice_gives_the_same_bundle_and_asks_once(app):
    updater = app.updater()
    first = updater.start()
    assert updater.start() is first
    assert updater.wait(10)
    assert updater.start() is first
    assert updater.wait(10)
    assert len(app.service.checks) == 1


def test_start_twice_counts_one_boot(app):
    app.queue("1.5.0")
    for _ in range(2):
        updater = app.launch(max_boot_attempts=2, update_url="")
        assert updater.start().version == "1.5.0"
    assert app.launch(max_boot_attempts=2, update_url="").current.is_builtin


@pytest.mark.parametrize("mode", MODES)
def test_a_queued_bundle_is_opened_in_every_mode(app, mode):
    app.queue("1.5.0")
    bundle = app.launch(auto_update=mode).current
    assert (bundle.version, bundle.status) == ("1.5.0", BundleStatus.PENDING)
    assert (bundle.path / "main.py").read_text() == "print('1.5.0')\n"


def test_a_bundle_that_the_app_queued_is_opened_in_every_mode_after_it(app):
    app.install("1.5.0")
    updater = app.launch(auto_update="off")
    updater.set_next("builtin")
    assert updater.current.version == "1.5.0"
    assert app.launch(auto_update="off").current.is_builtin


@pytest.mark.promise(1)
@pytest.mark.parametrize("mode", ["off", "atBackground", "onlyDownload"])
def test_in_background_modes_start_waits_for_no_network(app, mode):
    app.service.set_fault("silence", on="all")
    updater = app.updater(auto_update=mode)
    updater.start()
    # Not one byte was sent: the worker lets the app open first.
    assert app.service.requests == []


@pytest.mark.promise(1)
def test_a_direct_start_waits_no_longer_than_the_check_may_take(app):
    app.install("1.5.0")  # also loads everything that a cycle imports
    app.service.set_fault("silence", on="updates")
    updater = app.updater(auto_update="always", response_timeout=0.4)
    began = time.monotonic()
    assert updater.start().version == "1.5.0"
    assert 0.3 < time.monotonic() - began < 0.4 + 0.1


@pytest.mark.promise(1)
def test_a_direct_start_waits_no_longer_than_check_and_download_may_take_together(app):
    app.install("1.5.0")
    app.publish("1.6.0", {"main.py": "x", "data.bin": _noise(50_000)})
    app.service.set_fault("slow-download")
    updater = app.updater(auto_update="always", response_timeout=0.4, direct_timeout=0.5)
    began = time.monotonic()
    assert updater.start().version == "1.5.0"
    assert time.monotonic() - began < 0.4 + 0.5 + 0.1
    assert app.service.downloads[-1].path.endswith("1.6.0.zip")


# --- what is current, next, to fall back on -------------------------------------------------------------------------


def test_current_raises_before_start(app):
    updater = app.updater()
    with pytest.raises(CapgoError, match="start") as caught:
        _ = updater.current
    assert caught.value.code == "not_started"


def test_on_a_fresh_device_nothing_is_queued_nothing_failed_and_the_builtin_is_the_fallback(app):
    updater = app.launch()
    assert updater.next_bundle is None
    assert updater.failed_update() is None
    assert updater.fallback == updater.builtin
    assert updater.bundles() == ()


def test_next_bundle_is_what_the_next_start_opens(app):
    app.publish("1.5.0")
    updater = app.launch()
    assert updater.wait(10)
    queued = updater.next_bundle
    assert isinstance(queued, Bundle)
    assert (queued.version, queued.status) == ("1.5.0", BundleStatus.PENDING)
    assert updater.current.is_builtin
    updater = app.launch()
    assert updater.current == queued
    assert updater.next_bundle is None


def test_fallback_is_the_last_version_that_said_ready(app):
    app.install("1.5.0")
    app.queue("1.6.0")
    updater = app.launch()
    assert (updater.current.version, updater.fallback.version) == ("1.6.0", "1.5.0")
    updater.notify_app_ready()
    assert (updater.fallback.version, updater.fallback.status) == ("1.6.0", BundleStatus.SUCCESS)


def test_current_is_what_this_process_opened_whatever_becomes_of_it(app):
    app.queue("1.5.0")
    updater = app.launch(update_url="")
    updater.report_crash(ValueError("boom"))
    assert updater.current.version == "1.5.0"
    failed = updater.failed_update()
    assert isinstance(failed, Bundle)
    assert (failed.version, failed.status) == ("1.5.0", BundleStatus.ERROR)
    assert app.launch(update_url="").current.is_builtin


def test_a_failed_update_is_told_to_one_process_as_often_as_it_asks(app):
    app.queue("1.5.0")
    app.launch(update_url="").report_crash(ValueError("boom"))
    updater = app.launch(update_url="")
    assert [updater.failed_update().version for _ in range(2)] == ["1.5.0", "1.5.0"]
    assert app.launch(update_url="").failed_update() is None


# --- development, and the start file --------------------------------------------------------------------------------


def test_the_environment_can_force_the_builtin_without_harm_to_what_is_installed(app, monkeypatch):
    app.install("1.5.0")
    monkeypatch.setenv("CAPGO_CLIENT_FORCE_BUILTIN", "1")
    updater = app.launch(auto_update="always")
    assert updater.current == updater.builtin
    updater.report_crash(ValueError("of the source tree"))
    assert updater.wait(5)
    app.close()
    monkeypatch.delenv("CAPGO_CLIENT_FORCE_BUILTIN")
    updater = app.launch()
    assert updater.current.version == "1.5.0"
    assert updater.failed_update() is None


def test_a_forced_builtin_does_not_use_up_the_tries_of_what_is_queued(app, monkeypatch):
    app.queue("1.5.0")
    monkeypatch.setenv("CAPGO_CLIENT_FORCE_BUILTIN", "1")
    for _ in range(4):
        assert app.launch().current.is_builtin
    app.close()
    monkeypatch.setenv("CAPGO_CLIENT_FORCE_BUILTIN", "0")
    assert app.launch().current.version == "1.5.0"


def _run_start_file(app, path):
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        "import json, os\n"
        "from capgo_client import ConfigError, Updater\n"
        "try:\n"
        "    print(Updater(**json.loads(os.environ['APP'])).start().id)\n"
        "except ConfigError as error:\n"
        "    print('refused', error.message, '|', error.hint)\n"
    )
    command = [sys.executable, str(path)]
    done = subprocess.run(command, env=environment(app), capture_output=True, text=True, timeout=30, check=True)
    return done.stdout.strip()


def test_a_start_file_inside_the_builtin_folder_is_refused_with_how_to_split_it(app):
    said = _run_start_file(app, app.builtin / "start.py")
    message, _, hint = said.partition("|")
    assert message.startswith("refused builtin: the start file start.py lies inside")
    assert "move start.py out of app/" in hint
    assert "stays in app/" in hint


def test_a_start_file_in_a_subfolder_of_the_builtin_is_refused_too(app):
    assert _run_start_file(app, app.builtin / "sub" / "start.py").startswith("refused builtin:")


def test_a_start_file_beside_the_builtin_folder_is_right(app):
    assert _run_start_file(app, app.builtin.parent / "start.py") == "builtin"


def test_a_start_file_that_is_reached_through_a_link_is_seen_where_it_lies(app):
    link = app.builtin.parent / "linked"
    link.symlink_to(app.builtin, target_is_directory=True)
    assert _run_start_file(app, link / "start.py").startswith("refused builtin:")


def test_the_refusal_of_the_start_file_is_a_config_error_in_this_process(app, monkeypatch):
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(app.builtin / "start.py"), raising=False)
    with pytest.raises(ConfigError, match="start file"):
        app.updater()


# --- a read-only system ---------------------------------------------------------------------------------------------


def _read_only():
    files = FaultyFiles()
    files.fail(1, errno.EROFS, kinds=WRITING, times=None)
    return files


@pytest.mark.promise(2)
def test_a_read_only_data_directory_opens_the_builtin_and_asks_nobody(app):
    updater = app.updater(files=_read_only(), auto_update="always")
    assert updater.start().is_builtin
    updater.notify_app_ready()
    assert updater.wait(5)
    assert app.service.requests == []
    assert not app.data.exists()


@pytest.mark.promise(2)
def test_a_read_only_data_directory_opens_the_last_confirmed_version_and_not_an_unproven_one(app):
    app.install("1.5.0")
    app.queue("1.6.0")
    sent = len(app.service.requests)
    for mode in MODES:
        updater = app.launch(files=_read_only(), auto_update=mode)
        assert updater.current.version == "1.5.0"
        updater.report_crash(ValueError("boom"))
        assert updater.wait(5)
    assert len(app.service.requests) == sent
    assert app.launch().current.version == "1.6.0"


@pytest.mark.promise(2)
def test_a_device_id_that_cannot_be_kept_keeps_the_app_from_asking_by_hand_too(app):
    updater = app.updater(files=_read_only())
    updater.start()
    with pytest.raises(CapgoError) as caught:
        updater.get_latest()
    assert "device id" in str(caught.value)
    assert app.service.requests == []


def test_a_given_device_id_needs_no_keeping(app):
    app.publish("1.5.0")
    updater = app.updater(files=_read_only(), device_id="00009a6b-eefe-490a-9c60-8e965132ae51")
    updater.start()
    assert updater.get_latest().kind == "update"


def _noise(size):
    return os.urandom(size)
