"""Reading whole files (install/contents.py)."""

from __future__ import annotations

import hashlib
import os

import pytest

from capgo_client.install.contents import hashed
from capgo_client.testing import FaultyFiles


@pytest.mark.parametrize("content", [b"", b"a", bytes(4095), bytes(4096), b"x" * 300_000, os.urandom(1 << 20)])
@pytest.mark.parametrize("told", [0, 1, 4096, 1 << 20, 1 << 40])
def test_all_of_a_file_is_hashed_whatever_was_expected_of_its_size(tmp_path, content, told):
    (tmp_path / "file").write_bytes(content)
    files = FaultyFiles()
    fd = files.open_read(tmp_path / "file")
    assert hashed(fd, size=told, files=files) == (len(content), hashlib.sha256(content).digest())
    files.close(fd)


@pytest.mark.parametrize(("size", "reads"), [(0, 1), (100, 2), (100_000, 2), ((256 << 10) - 1, 2), (512 << 10, 3)])
def test_a_file_of_the_expected_size_takes_one_read_and_another_that_finds_its_end(tmp_path, size, reads):
    (tmp_path / "file").write_bytes(bytes(size))
    files = FaultyFiles()
    fd = files.open_read(tmp_path / "file")
    hashed(fd, size=size, files=files)
    files.close(fd)
    assert files.count("read") == reads
