"""Real disks that fill up while an update is installed (P4, P7): the old version stays, the room comes back.

Small volumes of ext4, xfs and btrfs; they need root, loop devices and the tools of each.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import threading
import time

import pytest
from real_disks import KINDS, mounted, why_not

from capgo_client import Updater
from capgo_client.install import leases
from capgo_client.seams import Files
from capgo_client.stats.queue import Queue
from capgo_client.testing import Service, make_bundle

pytestmark = [pytest.mark.promise(4), pytest.mark.promise(7), pytest.mark.slow]

KIBI, MEBI = 1 << 10, 1 << 20
#: 3 MiB that no compression makes smaller, in many files of sizes from nothing to a tenth of it.
_draw = random.Random(8)
MANY = {
    f"part{n // 10}/file{n}.bin": _draw.randbytes(_draw.choice((0, 100, 5_000, 30_000, 150_000))) for n in range(80)
}
MANY["main.py"] = b"print('new')"
SIZE = sum(map(len, MANY.values()))
#: What a file system may keep for itself of what was given back: tables and folders that grew.
BOOKKEEPING = {"ext4": 64 * KIBI, "xfs": 512 * KIBI, "btrfs": 1536 * KIBI}
#: How much is free when the update comes: nearly nothing up to enough.
ROOM = (
    0,
    64 * KIBI,
    512 * KIBI,
    SIZE // 2,
    SIZE + 200 * KIBI,
    SIZE * 3 // 2,
    SIZE * 2 - 400 * KIBI,
    SIZE * 2 + 8 * MEBI,
)
FULL = {"insufficient_disk_space"}


class Blind(Files):
    """A file system that does not tell how much is free: nothing is refused before the disk is really full."""

    def free_bytes(self, path):
        return None


@pytest.fixture(scope="module", params=KINDS)
def volume(request, tmp_path_factory):
    """An empty volume of each kind, for all tests of this module."""
    with volume_of(request.param, tmp_path_factory.mktemp("disks")) as made:
        yield made


@contextlib.contextmanager
def volume_of(kind, folder, *options):
    """Skips with a reason where there can be none."""
    if reason := why_not(kind):
        pytest.skip(reason)
    with contextlib.ExitStack() as stack:
        try:
            made = stack.enter_context(mounted(kind, folder, *options))
        except LookupError as exc:
            pytest.skip(str(exc))
        yield made


@pytest.fixture
def service():
    with Service() as running:
        yield running


class Device:
    """An app whose data lies on the volume; 2.0.0 is installed and proven."""

    def __init__(self, volume, service, folder):
        self.volume = volume
        self.service = service
        self.data = volume.root / "data"
        self.builtin = folder / "app"
        self.builtin.mkdir()
        (self.builtin / "main.py").write_text("print('builtin')")
        self.publish("2.0.0", {"main.py": "print('old')"})
        assert self.life() == ("1.0.0", "")
        assert self.life() == ("2.0.0", "")

    def publish(self, version, files, **options):
        self.service.publish(
            make_bundle(
                version, {**files, "version.txt": version}, manifest=options.pop("manifest", False), brotli=False
            ),
            **options,
        )

    def life(self, files=None):
        """One launch, to its end: what opened, whole, and what the check came to (a code, or nothing)."""
        with Updater(
            "com.example.notes", "1.0.0", self.builtin, data_dir=self.data, update_url=self.service.update_url,
            stats_url=self.service.stats_url, channel_url="", files=files, app_ready_timeout=60,
        ) as app:  # fmt: skip
            bundle = app.start()
            app.notify_app_ready()
            assert app.wait(30)
            assert app.verify(bundle).problems == ()
            result = app._engine.result  # explain() tells it in words
            code = result.code if result.action == "failed" else ""
        leases.let_go(self.data)
        return bundle.version, code

    def left(self):
        names = ("staging", "trash", "downloads")
        return [str(path.relative_to(self.data)) for name in names for path in (self.data / name).rglob("*")]

    def end(self):
        leases.let_go(self.data)
        shutil.rmtree(self.data, ignore_errors=True)
        self.volume.give_back(self.volume.root / "ballast")


@pytest.fixture
def device(volume, service, tmp_path):
    made = Device(volume, service, tmp_path)
    yield made
    made.end()


@pytest.mark.parametrize("files", [Files(), Blind()], ids=["told", "not told"])
@pytest.mark.parametrize("room", ROOM)
def test_an_update_for_which_there_is_no_room_leaves_the_old_version_and_comes_when_there_is(device, room, files):
    device.publish("3.0.0", MANY)
    before = device.volume.free()
    ballast = device.volume.fill(room)
    opened, code = device.life(files)
    assert opened == "2.0.0"
    installed = not code
    assert len(list((device.data / "installs").iterdir())) == 1 + installed
    assert code in {""} | FULL
    assert room < 2 * SIZE or installed
    assert room > SIZE // 2 or not installed
    if not installed:
        opened, code = device.life(files)  # and again: nothing piles up
        assert opened == "2.0.0"
        assert device.left() == []
    device.volume.give_back(ballast)
    if not installed:
        assert before - device.volume.free() <= BOOKKEEPING[device.volume.kind]
    device.life()
    assert device.life()[0] == "3.0.0"
    assert device.left() == []


def test_on_a_disk_without_a_byte_left_the_app_opens_what_it_can_and_loses_no_state(device):
    device.publish("3.0.0", {"main.py": "print('newer')"})
    assert device.life() == ("2.0.0", "")  # 3.0.0 is queued
    ballast = device.volume.fill(0)
    state = (device.data / "state.json").read_bytes()
    opened, _ = device.life()
    assert opened in ("2.0.0", "3.0.0")
    if opened == "2.0.0":
        assert (device.data / "state.json").read_bytes() == state
    device.volume.give_back(ballast)
    device.life()
    assert device.life()[0] == "3.0.0"


ALL = {f"e{number}" for number in range(5)}


def test_statistics_of_a_full_disk_arrive_now_or_when_there_is_room(device):
    """From memory, where the disk takes nothing; an append that a full disk still took cannot be taken out again."""
    service = device.service
    before = len(service.events)

    def marks():
        return marks_in(service.events[before:])

    def kept():
        found = Queue(device.data / "stats", files=Files()).head(100)
        return marks_in(json.loads(entry.text) for entry in found)

    def app():
        return Updater(
            "com.example.notes", "1.0.0", device.builtin, data_dir=device.data, update_url="",
            stats_url=service.stats_url, channel_url="",
        )  # fmt: skip

    ballast = device.volume.fill(0)
    try:
        with app() as first:
            assert first.start().version == "2.0.0"
            for number in range(5):
                first.set_custom_id(f"e{number}")
                first.report_memory_warning()
            first.set_custom_id("")
            first.notify_app_ready()
            assert first.wait(20)
            assert eventually(lambda: {*marks(), *kept()} >= ALL)
    finally:
        device.volume.give_back(ballast)
    with app() as second:
        assert second.start().version == "2.0.0"
        second.notify_app_ready()
        assert eventually(lambda: set(marks()) >= ALL)
    # What the full disk took and could not strike out again comes twice.
    assert max(marks().count(mark) for mark in ALL) <= 2


def marks_in(events):
    return [event["custom_id"] for event in events if event["action"] == "app_memory_warning"]


def eventually(holds):
    end = time.monotonic() + 20
    while not holds() and time.monotonic() < end:
        threading.Event().wait(0.02)
    return holds()


def test_without_a_free_inode_the_old_version_stays_and_the_update_comes_when_there_is_one(service, tmp_path):
    with volume_of("ext4", tmp_path, "-N", "256") as volume:
        device = Device(volume, service, tmp_path)
        try:
            device.publish("3.0.0", MANY)
            crumbs = volume.root / "crumbs"
            crumbs.mkdir()
            for left in (0, 1, 3, 8, 30, 80):
                for n in range(os.statvfs(volume.root).f_favail - left):
                    (crumbs / f"{left}-{n}").touch()
                opened, code = device.life()
                assert opened == "2.0.0"
                assert code in FULL, left
                shutil.rmtree(crumbs)
                crumbs.mkdir()
            device.life()
            assert device.life()[0] == "3.0.0"
            assert device.left() == []
        finally:
            device.end()


def test_a_delta_shares_the_blocks_of_what_did_not_change_where_the_file_system_can(device):
    big = random.Random(9).randbytes(12 * MEBI)
    files = {"main.py": "print('big')", "big.bin": big}
    device.publish("3.0.0", files, manifest=True, delta_only=True)
    device.life()
    assert device.life()[0] == "3.0.0"
    before = device.volume.free()
    device.publish("4.0.0", {**files, "main.py": "print('bigger')"}, manifest=True, delta_only=True)
    assert device.life()[0] == "3.0.0"
    assert device.life()[0] == "4.0.0"
    assert {path.stat().st_size for path in device.data.glob("installs/*/app/big.bin")} == {len(big)}
    assert len(list(device.data.glob("installs/*/app/big.bin"))) == 2
    taken = before - device.volume.free()
    assert taken >= len(big) if device.volume.kind == "ext4" else taken < len(big) // 4  # ext4 has to copy
