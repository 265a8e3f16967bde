"""The device's id (install/device.py): made once, for each new one is a new device on the app's bill."""

from __future__ import annotations

import errno
import re
import threading

import pytest
from installs import held_by_another_process

from capgo_client.install import device as device_module
from capgo_client.install.device import device_id
from capgo_client.seams import Files
from capgo_client.testing import FaultyFiles

UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
KEPT = "1b4e28ba-2fa1-41d2-883f-0016d3cca427"


def test_it_is_a_random_uuid_of_version_4(tmp_path):
    made = set()
    for number in range(50):
        folder = tmp_path / str(number)
        folder.mkdir()
        made.add(device_id(folder, files=Files()).value)
    assert len(made) == 50
    assert all(UUID4.fullmatch(one) for one in made)


def test_it_is_made_once_and_kept(tmp_path):
    first = device_id(tmp_path, files=Files())
    assert first.kept
    assert (tmp_path / "device-id").read_text() == f"{first.value}\n"
    files = FaultyFiles()
    assert device_id(tmp_path, files=files) == first
    assert files.count("write", "rename", "open_update") == 0


def test_it_is_on_the_platter_before_anything_is_asked_in_its_name(tmp_path):
    files = FaultyFiles()
    device_id(tmp_path, files=files)
    order = [call.kind for call in files.calls if call.kind in {"write", "fsync", "rename"}]
    assert order == ["write", "fsync", "rename", "fsync"]


def test_one_in_capitals_with_a_newline_is_read_as_the_service_knows_it(tmp_path):
    (tmp_path / "device-id").write_text(KEPT.upper() + "\r\n")
    assert device_id(tmp_path, files=Files()).value == KEPT


DAMAGED = [b"", KEPT[:-1].encode(), b"x" * 36, b"\xff" * 36, b"a" * 1000, b"../../etc"]


@pytest.mark.parametrize("content", DAMAGED, ids=repr)
def test_a_damaged_one_is_replaced_and_the_log_says_so(tmp_path, content, caplog):
    (tmp_path / "device-id").write_bytes(content)
    found = device_id(tmp_path, files=Files())
    assert found.kept
    assert UUID4.fullmatch(found.value)
    assert device_id(tmp_path, files=Files()) == found
    assert "counts as a new device" in caplog.text


@pytest.mark.parametrize("what", ["folder", "link"])
def test_what_stands_in_its_place_is_replaced(tmp_path, what):
    path = tmp_path / "device-id"
    if what == "folder":
        path.mkdir()
    else:
        path.symlink_to("nowhere")
    found = device_id(tmp_path, files=Files())
    assert found.kept
    assert device_id(tmp_path, files=Files()) == found


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_one_that_cannot_be_read_just_now_is_not_replaced(tmp_path, number):
    (tmp_path / "device-id").write_text(KEPT)
    files = FaultyFiles()
    files.fail(1, number, kinds=["open_read"], times=2)
    found = device_id(tmp_path, files=files)
    assert not found.kept
    assert found.value != KEPT
    files.heal()
    assert device_id(tmp_path, files=files).value == KEPT


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO])
def test_whichever_call_fails_nothing_raises_and_what_is_said_to_be_kept_is(tmp_path, number):
    nth, calls = 0, 1
    while nth <= calls:
        nth += 1
        folder = tmp_path / str(nth)
        folder.mkdir()
        files = FaultyFiles()
        files.fail(nth, number)
        found = device_id(folder, files=files)
        calls = len(files.calls)
        assert UUID4.fullmatch(found.value)
        assert files.open_descriptors == {}
        if found.kept:
            assert device_id(folder, files=Files()) == found
    assert nth > 8


def test_a_folder_that_is_missing_keeps_nothing(tmp_path):
    assert not device_id(tmp_path / "missing", files=Files()).kept


def test_of_many_that_ask_at_once_all_get_the_same(tmp_path):
    found, together = [], threading.Barrier(8)

    def ask():
        together.wait()
        found.append(device_id(tmp_path, files=Files()))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert found[0].kept


def test_while_another_process_holds_the_state_none_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(device_module, "_PATIENCE", 0.02)
    with held_by_another_process(tmp_path / "state.lock"):
        assert not device_id(tmp_path, files=Files()).kept
    assert not (tmp_path / "device-id").exists()
    assert device_id(tmp_path, files=Files()).kept
