"""Every byte of what is written down, lost or changed: each time a start opens a good version, and nothing raises.

`make test` tries every 37th place, `make crash` each.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from damaged_device import BUILTIN, CURRENT, PREVIOUS, Device, copy_of, gone, make_template

from capgo_client.install import checked
from capgo_client.install.device import device_id
from capgo_client.protocol.requests import is_valid_device_id
from capgo_client.seams import Files
from capgo_client.testing import Service

pytestmark = [pytest.mark.promise(2), pytest.mark.promise(3)]

#: A file system that never waits for a disk, where there is one: thousands of starts are made here.
IN_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK | os.X_OK) else None
STEP = 1 if os.environ.get("CRASH_STEP") == "1" else 37


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    with Service() as service:
        made = make_template(tmp_path_factory.mktemp("device") / "template", service)
        yield made
        made.end()


@pytest.fixture
def device(template, caplog):
    caplog.set_level(logging.CRITICAL, "capgo_client")  # test_damage.py reads the log; ten thousand lines take time
    with tempfile.TemporaryDirectory(dir=IN_MEMORY, ignore_cleanup_errors=True) as folder:
        made = copy_of(template, Path(folder) / "device")
        yield made
        made.end()
        gone(made.folder)


Change = Callable[[bytes, int], bytes]


def shortened(data: bytes, at: int) -> bytes:
    return data[:at]


def with_a_bit_turned(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ (1 << at % 8)]) + data[at + 1 :]


def with_another_byte(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([ord(" ") if data[at] != ord(" ") else 0]) + data[at + 1 :]


CHANGES = (shortened, with_a_bit_turned, pytest.param(with_another_byte, marks=pytest.mark.slow))


def places(data: bytes) -> range:
    return range(0, len(data), STEP)


class Records:
    """The small files of the data directory, to be put back as they were before each damage."""

    def __init__(self, device: Device) -> None:
        self.kept = {path: path.read_bytes() for path in device.data.glob("state.*") if path.suffix != ".lock"}
        self.kept[device.install / "seal.json"] = (device.install / "seal.json").read_bytes()

    def restore(self) -> None:
        for path, data in self.kept.items():
            path.write_bytes(data)


class NoFlush(Files):
    """The power stays on here; thousands of starts need not wait for the platter."""

    def fsync(self, fd: int) -> None:
        del fd

    def sync_filesystem(self, fd: int) -> bool:
        del fd
        return True


def opened(device: Device) -> str:
    updater = device.launch(files=NoFlush())
    version = updater.current.version
    device.close()
    return version


def is_whole(path: Path) -> bool:
    return isinstance(checked.unpack(path.read_bytes()), dict)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(
    ("names", "opens"),
    [
        (("state.json",), CURRENT),
        (("state.old",), CURRENT),
        (("state.json", "state.old"), CURRENT),
        (("@/seal.json",), PREVIOUS),
        (("state.json", "state.old", "@/seal.json"), PREVIOUS),
    ],
    ids=" ".join,
)
def test_a_start_opens_the_best_version_that_is_left(device, names, opens, change):
    records = Records(device)
    damaged = [device.install / name[2:] if name.startswith("@/") else device.data / name for name in names]
    for at in places(min((records.kept[path] for path in damaged), key=len)):
        if names == ("state.old",) and at // STEP % 7:
            continue  # nobody reads it
        records.restore()
        for path in damaged:
            path.write_bytes(change(records.kept[path], at))
        assert opened(device) == opens, at
        assert is_whole(device.data / "state.json"), at
        if at // STEP % 7 == 0:
            assert opened(device) == opens, at
    assert len(list((device.data / "installs").iterdir())) == 2  # only a worker removes what is damaged


@pytest.mark.parametrize("change", CHANGES)
def test_when_every_record_is_damaged_the_builtin_opens(device, change):
    records = Records(device)
    kept = {path: path.read_bytes() for path in (device.data / "installs").glob("*/seal.json")}
    kept |= {device.data / name: records.kept[device.data / name] for name in STATES}
    for at in places(min(kept.values(), key=len)):  # the seals differ in length: a size has one digit more
        records.restore()
        for path, data in kept.items():
            path.write_bytes(change(data, at))
        assert opened(device) == BUILTIN, at


STATES = ("state.json", "state.old")


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", ["seal.json", "files.json"])
def test_the_full_verify_sees_any_change_of_a_sealed_record(device, name, change):
    path = device.install / name
    data = path.read_bytes()
    updater = device.updater()
    for at in places(data):
        path.write_bytes(change(data, at))
        assert not updater.verify(device.current_id, full=True), at
        assert bool(updater.verify(device.current_id, full=False)) is (name == "files.json"), at
    path.write_bytes(data)
    assert updater.verify(device.current_id, full=True)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", ["main.py", "data/a.txt", "lib/deep/more.py", "version.txt"])
def test_the_full_verify_sees_any_change_of_a_file(device, name, change):
    path = device.app / name
    data = path.read_bytes()
    path.chmod(0o600)
    updater = device.updater()
    for at in range(len(data)):
        path.write_bytes(change(data, at))
        found = updater.verify(device.current_id, full=True)
        assert [problem.split(" ")[0] for problem in found.problems] == [name], at
    path.write_bytes(data)
    assert updater.verify(device.current_id, full=True)


@pytest.mark.parametrize("change", CHANGES)
def test_a_device_id_of_which_any_byte_changed_is_a_valid_one_still(device, change):
    path = device.data / "device-id"
    data = path.read_bytes()
    for at in range(len(data)):
        path.write_bytes(change(data, at))
        found = device_id(device.data, files=Files())
        assert found.kept, at
        assert is_valid_device_id(found.value), at
        assert device_id(device.data, files=Files()) == found, at  # and kept from then on
