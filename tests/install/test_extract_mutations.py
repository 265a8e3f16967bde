"""Any change to an archive gives the same files or our error: never other files, never another error."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from archive_maker import Item, make_zip
from hypothesis import given, settings
from hypothesis import strategies as st

from capgo_client.errors import ArchiveError
from capgo_client.install.archive import Limits
from capgo_client.install.extract import extract
from capgo_client.seams import Files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from capgo_client.install.record import FileRecord

HOSTILE = Path(__file__).parent.parent / "data" / "hostile"
PLAIN = make_zip(Item("d/"), Item("d/main.py", b"print(1)\n" * 4, method=8, mode=0o100755), Item("é", b"abc"))
ARCHIVES = {
    "plain": PLAIN,
    "zip64": make_zip(Item("a.py", b"xyz" * 5, method=8), Item("b", b"abc"), zip64=True),
    "streamed": (HOSTILE / "ok-data-descriptor.zip").read_bytes(),
}
SMALL = Limits(max_entries=100, max_file=1 << 20, max_total=1 << 20, max_directory=1 << 16)


def outcome(root: Path, data: bytes) -> tuple[FileRecord, ...] | None:
    """The records, None when refused; checks that only the target was written."""
    target, archive = root / "in" / "files", root / "a.zip"
    target.mkdir(parents=True, exist_ok=True)
    archive.write_bytes(data)
    try:
        return extract(archive, target, files=Files(), limits=SMALL, should_stop=lambda: False)
    except ArchiveError:
        return None
    finally:
        assert sorted(p.name for p in root.iterdir()) == ["a.zip", "in"]
        assert [p.name for p in (root / "in").iterdir()] == ["files"]
        if any(target.iterdir()):
            shutil.rmtree(target)


def every_small_change(data: bytes) -> Iterator[bytes]:
    for place in range(len(data)):
        for bit in range(8):
            yield data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]
        yield data[:place] + data[place + 1 :]
        yield data[:place]
        yield data[:place] + b"\0" + data[place:]
        yield data[:place] + data[place : place + 1] + data[place:]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "plain" else pytest.mark.slow) for name in sorted(ARCHIVES)]
)
def test_no_change_of_one_bit_or_byte_gives_other_files(tmp_path, name):
    original = outcome(tmp_path, ARCHIVES[name])
    assert original is not None
    results = {outcome(tmp_path, changed) for changed in every_small_change(ARCHIVES[name])}
    assert results == {original, None}


EDITS = st.lists(
    st.tuples(st.sampled_from(["set", "cut", "put", "copy"]), st.floats(0, 1, exclude_max=True), st.binary(max_size=8)),
    min_size=1,
    max_size=5,
)


def edit(data: bytes, edits: list[tuple[str, float, bytes]]) -> bytes:
    for kind, where, what in edits:
        place = int(where * len(data))
        if kind == "set":
            data = data[:place] + what + data[place + len(what) :]
        elif kind == "cut":
            data = data[:place] + data[place + len(what) :]
        elif kind == "put":
            data = data[:place] + what + data[place:]
        else:
            data = data[:place] + data[max(0, place - 30) :]
    return data


@given(name=st.sampled_from(sorted(ARCHIVES)), edits=EDITS)
@settings(max_examples=400, deadline=None)
def test_several_changes_never_raise_anything_else_nor_write_elsewhere(name, edits):
    with tempfile.TemporaryDirectory() as root:
        records = outcome(Path(root), edit(ARCHIVES[name], edits))
    assert records is None or all(record.size <= SMALL.max_file for record in records)


@given(data=st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_noise_is_refused(data):
    with tempfile.TemporaryDirectory() as root:
        assert outcome(Path(root), data) is None
