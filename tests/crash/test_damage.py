"""Whatever happened to the files: a start opens a good version, says what it found, and the next cycle mends it.

The rows are in damages.py. `make test` starts once for each row; `make crash` tries every variant of it in each way.
"""

from __future__ import annotations

import logging
import stat

import pytest
from damaged_device import BUILTIN, CURRENT, PREVIOUS, Device, copy_of, make_template, moved_outside, place, snapshot
from damages import DAMAGES, Damage

from capgo_client.errors import BundleError
from capgo_client.install.store import Store
from capgo_client.seams import Files
from capgo_client.testing import Service

ROWS = [
    pytest.param(row, how, id=f"{row.what}: {how}") for rows in DAMAGES.values() for row in rows for how in row.variants
]
#: All of them, but only the first variant of each row outside `make crash`.
FIRST_OF_EACH = [
    pytest.param(row, how, id=each.id, marks=() if how == next(iter(row.variants)) else pytest.mark.slow)
    for each in ROWS
    for row, how in [each.values]
]
pytestmark = [pytest.mark.promise(2), pytest.mark.promise(3)]


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    with Service() as service:
        made = make_template(tmp_path_factory.mktemp("device") / "template", service)
        yield made
        made.end()


@pytest.fixture
def device(template, tmp_path, caplog):
    caplog.set_level(logging.INFO, "capgo_client")
    made = copy_of(template, tmp_path / "device")
    yield made
    made.end()


def damage(device: Device, row: Damage, how: str) -> dict:
    """Do it; give what somebody else's files look like afterwards."""
    row.variants[how](device)
    return snapshot(device.outside)


def warnings(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def is_whole(updater) -> bool:
    return updater.current.is_builtin or bool(updater.verify(updater.current))


@pytest.mark.parametrize(("row", "how"), FIRST_OF_EACH)
def test_a_start_opens_what_the_table_says_and_tells_in_the_log(device, row, how, caplog):
    others = damage(device, row, how)
    caplog.clear()

    updater = device.launch()

    assert updater.current.version == row.opens
    if row.start:
        assert row.says in caplog.text
    elif "stats_url" not in device.options:  # the statistics are written behind the start
        assert warnings(caplog) == []
    hidden = row.full and not row.start
    assert is_whole(updater) is not hidden
    device.close()
    assert snapshot(device.outside) == others


@pytest.mark.slow
@pytest.mark.parametrize(("row", "how"), ROWS)
def test_the_full_verify_sees_what_the_table_says(device, row, how):
    damage(device, row, how)
    updater = device.updater()
    try:
        seen = not updater.verify(device.current_id, full=True)
    except BundleError:
        seen = None  # nobody knows of it any more
    assert seen is row.full or (seen is None and row.opens != CURRENT)


@pytest.mark.slow
@pytest.mark.parametrize(("row", "how"), ROWS)
def test_without_a_network_the_next_start_opens_what_is_sound(device, row, how, caplog):
    others = damage(device, row, how)
    updater = device.launch()
    caplog.clear()

    assert updater.wait(20)

    if row.full and not row.start:
        assert row.says in caplog.text
    for _ in range(2):
        updater = device.launch()
        assert updater.current.version == row.after
        assert is_whole(updater)
        assert updater.failed_update() is None  # the disk failed, not a version
        assert updater.wait(20)
    device.close()
    assert snapshot(device.outside) == others


@pytest.mark.slow
@pytest.mark.parametrize(("row", "how"), ROWS)
def test_a_cycle_with_the_service_brings_everything_back(device, row, how, caplog):
    others = damage(device, row, how)
    before = {} if row.returns or not device.data.is_dir() else snapshot(device.data)
    caplog.clear()

    opened = [device.healthy() for _ in range(3)]

    if row.says:
        assert row.says in caplog.text
    else:
        assert warnings(caplog) == []
    assert snapshot(device.outside) == others
    if not row.returns:
        assert set(opened) == {row.opens}
        assert not before or before.items() <= snapshot(device.data).items()
        return
    assert opened[-1] == CURRENT
    updater = device.launch()
    assert is_whole(updater)
    assert updater.next_bundle is None
    if "files" in device.options or device.undo.__name__ != "<lambda>" or "read-only" in how:
        return
    assert {bundle.id for bundle in updater.bundles()} == {p.name for p in (device.data / "installs").iterdir()}
    if "without permission" not in how:
        assert [*(device.data / "staging").iterdir(), *(device.data / "trash").iterdir()] == []
    if row.mends:
        assert stat.S_ISREG(place(device, row.mends).lstat().st_mode)
    assert opened[0] in (row.opens, BUILTIN)


def test_a_full_verify_includes_what_a_start_would_refuse(device):
    updater = device.updater(entry="app.py")  # the version never had one
    for full in (True, False):
        assert "app.py" in updater.verify(device.current_id, full=full).problems[0]


def test_what_is_done_by_hand_follows_no_link_either(device):
    moved_outside(device, device.install)
    before = snapshot(device.outside)
    updater = device.launch(update_url=device.service.update_url, auto_update="off")
    assert updater.current.version == PREVIOUS

    again = device.updater(update_url=device.service.update_url, auto_update="off")
    brought = again.download(again.get_latest())

    assert again.verify(brought)
    assert brought.id != device.current_id
    assert snapshot(device.outside) == before


@pytest.mark.parametrize("step", ["mark_confirmed", "unmark_confirmed", "break_seal"])
def test_no_mark_is_set_or_removed_through_a_link(device, step):
    moved_outside(device, device.install)
    before = snapshot(device.outside)
    getattr(Store(device.data, files=Files()), step)(device.current_id)
    assert snapshot(device.outside) == before
