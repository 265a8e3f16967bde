"""Manifests: whatever the service lists, what is taken are files inside the bundle, each under one name."""

# ruff: noqa: PT017 - what else can be asserted of an error that need not come?

from __future__ import annotations

import ntpath
import sys
import unicodedata
from pathlib import PurePosixPath, PureWindowsPath

from fuzzing import SCALARS, documents, edited_text, fuzz
from hypothesis import strategies as st

from capgo_client import CapgoError
from capgo_client.install.archive import Limits
from capgo_client.install.assemble import Piece, _check
from capgo_client.install.manifest import read_manifest
from capgo_client.install.names import check_name
from capgo_client.protocol.updates import entries_of
from capgo_client.testing.hostile import HOSTILE_NAMES

TEXT_NAMES = [name for names in HOSTILE_NAMES.values() for name in names if isinstance(name, str)]
NAMES = st.one_of(
    st.sampled_from(["main.py", "a/b.txt.br", "a.br", "MAIN.py", "x/y/z", *TEXT_NAMES]),
    st.sampled_from(TEXT_NAMES).map(lambda name: f"{name}.br"),
    st.text("abA./\\: ıİſK²éÉ\u0301br", max_size=10),
    st.text(max_size=8),
)
HASHES = st.sampled_from(["a" * 64, "B" * 64, "c" * 64, "a" * 63, "", "0" * 8, "f" * 512])
ENTRIES = st.one_of(
    st.fixed_dictionaries(
        {"file_name": NAMES | edited_text(NAMES), "file_hash": HASHES, "download_url": st.just("https://h/x")}
    ),
    documents({"file_name": "main.py", "file_hash": "a" * 64, "download_url": "https://h/x"}),
    SCALARS,
)


def is_reserved(path):
    """By Windows; the newer of the two ways knows more."""
    return ntpath.isreserved(path) if sys.version_info >= (3, 13) else PureWindowsPath(path).is_reserved()


def is_inside(parts):
    """By the standard library's idea of paths on both systems."""
    path = "/".join(parts)
    assert path == unicodedata.normalize("NFC", path) or path  # spelled as it came
    assert not PurePosixPath(path).is_absolute()
    assert PurePosixPath(path).parts == tuple(parts)
    windows = PureWindowsPath(path)
    assert not windows.drive
    assert not windows.root
    assert windows.parts == tuple(parts)
    assert not is_reserved(path)
    assert not {".", ".."} & set(parts)
    assert not any(ord(char) < 32 for char in path)
    assert len(path.encode()) <= 1024
    assert not {part[-1] for part in parts} & {".", " "}


@fuzz(quick=40, listed=st.lists(ENTRIES, max_size=5))
def test_a_manifest_is_refused_or_names_files_inside_the_bundle(listed):
    try:
        wanted = read_manifest(entries_of(listed), keys=None, max_files=4)
    except CapgoError as exc:
        assert exc.code
        assert exc.message.isascii()
        return
    assert len(wanted) == len(listed) <= 4
    assert len({each.file_name for each in wanted}) == len(wanted)
    for each in wanted:
        assert len(each.digest) == 32
        is_inside(each.raw)
        is_inside(each.bare)
        assert "/".join(each.raw) == each.file_name
    fixed = [unicodedata.normalize("NFKC", "/".join(e.raw)).casefold() for e in wanted if not e.is_open]
    assert len(set(fixed)) == len(fixed)


@fuzz(quick=40, name=NAMES | edited_text(NAMES) | st.text())
def test_a_name_is_refused_or_inside_on_every_system(name):
    try:
        parts = check_name(name)
    except CapgoError as exc:
        assert exc.message.isascii()
        assert len(exc.message) < 1000
        return
    is_inside(parts)


@fuzz(quick=30, names=st.lists(NAMES, min_size=2, max_size=5))
def test_no_two_files_of_a_bundle_are_one_anywhere(names):
    pieces = []
    for name in names:
        try:
            pieces.append(Piece(check_name(name), b"d" * 32, 1, ()))
        except CapgoError:
            continue
    try:
        _check(pieces, Limits())
    except CapgoError as exc:
        assert exc.code in {"name_duplicate", "name_collision", "name_file_and_folder"}
        return
    paths = ["/".join(piece.parts) for piece in pieces]
    for fold in (str.lower, str.upper, str.casefold, lambda each: unicodedata.normalize("NFKC", each)):
        assert len({fold(path) for path in paths}) == len(paths)
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        folded = {unicodedata.normalize(form, path).casefold() for path in paths}
        assert len(folded) == len(paths)
        assert not any(other.startswith(path + "/") for path in folded for other in folded)
