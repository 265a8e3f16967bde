"""One error of the disk, and no second: what is on it is neither given up nor replaced by something older."""

from __future__ import annotations

import errno

import pytest

from capgo_client import StorageError
from capgo_client.install.device import device_id
from capgo_client.install.ledger import FROM_FILE, Ledger
from capgo_client.life.state import State
from capgo_client.testing import FaultyFiles

pytestmark = pytest.mark.promise(5)

PASSING = [errno.EIO, errno.EACCES, errno.EMFILE, errno.EINTR, errno.ENOENT]


def a_ledger(folder, files) -> Ledger:
    return Ledger(
        folder,
        files=files,
        fresh=lambda: State(native_version="1.0.0"),
        rebuild=lambda: None,
        newer=lambda _document: State(native_version="1.0.0"),
    )


@pytest.fixture
def files(tmp_path) -> FaultyFiles:
    """On a folder where the state was changed twice, and which knows its device."""
    files = FaultyFiles()
    for version in ("2.0.0", "3.0.0"):
        a_ledger(tmp_path, files).change(lambda _state, v=version: State(native_version=v), patience=1.0)
    device_id(tmp_path, files=files)
    return files


@pytest.mark.parametrize("error", PASSING, ids=errno.errorcode.get)
def test_one_error_does_not_bring_the_older_generation_of_the_state_back(tmp_path, files, error):
    files.fail(1, error, kinds=("open_read",), path="state.json")
    loaded = a_ledger(tmp_path, files).load()
    assert (loaded.state.native_version, loaded.origin, loaded.writable) == ("3.0.0", FROM_FILE, True)


@pytest.mark.parametrize("error", PASSING, ids=errno.errorcode.get)
def test_one_error_makes_no_other_device_of_it(tmp_path, files, error):
    known = device_id(tmp_path, files=files)
    files.fail(1, error, kinds=("open_read",), path="device-id")
    assert device_id(tmp_path, files=files) == known
    assert known.kept


def test_what_would_change_nothing_of_a_state_that_cannot_be_read_is_an_error(tmp_path, files):
    files.fail(1, errno.EMFILE, kinds=("open_read",), times=None)
    with pytest.raises(StorageError) as caught:
        a_ledger(tmp_path, files).change(lambda state: state, patience=1.0)
    assert caught.value.code == "state_unreadable"
    files.heal()
    assert a_ledger(tmp_path, files).load().state.native_version == "3.0.0"
