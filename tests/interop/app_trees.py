"""App folders on disk: what is in them, and whether another folder holds the same."""

from __future__ import annotations

import random
import stat

_NOISE = random.Random(20260101)


def noise(size):
    """Bytes that nothing packs."""
    return _NOISE.randbytes(size)


#: Everything that a zip of Capgo's command line carries and a device may be surprised by.
EVERYTHING = {
    "main.py": b"print('hello')\n",
    "run.sh": b"#!/bin/sh\necho run\n",
    "empty.py": b"",
    "pkg/__init__.py": b"",
    "pkg/core.py": b"VALUE = 1\n" * 3000,
    "pkg/deep/er/and/deeper/leaf.txt": b"leaf",
    "pkg/deep/er/tool": b"\x7fELF\x00\x01",
    "assets/noise.bin": noise(3 * 1024 * 1024),
    "assets/two words.txt": b"spaces",
    "assets/with  two  spaces/x y.txt": b"more spaces",
    "assets/\u00fcber/\u65e5\u672c\u8a9e.txt": "\u5185\u5bb9".encode(),
    "assets/\U0001f40d.txt": b"outside the first plane",
    # Decomposed: the name has to come out as it went in.
    "assets/cafe\u0301.txt": b"decomposed",
    "assets/na\u00efve.txt": b"composed",
    "assets/a%20b+c&d=e.txt": b"what URLs care about",
    "assets/q'uote(1)!~.txt": b"what shells care about",
    ".env": b"DOT=1\n",
    ".hidden/.deeper/.file": b"dots",
    "data.txt.br": b"not brotli at all",
    "UPPER/Case.TXT": b"case",
}
EXECUTABLE = ("run.sh", "pkg/deep/er/tool")

#: What a delta can carry of it: a name with a space makes the command line refuse the whole list. The noise is less,
#: for brotli tries hard before it gives up.
LISTED = {name: data[:300_000] for name, data in EVERYTHING.items() if " " not in name}
#: Empty files are in no list (reference/bundle-formats.md section 5).
IN_DELTA = {name: data for name, data in LISTED.items() if data}


def write_tree(folder, files, executable=()):
    """Make ``folder`` hold exactly ``files``; return it."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o755 if name in executable else 0o644)
    return folder


def read_tree(folder):
    """Path to content, of every file below ``folder``."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def executables(folder):
    """The files that their owner may run."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix() for path in files if path.stat().st_mode & stat.S_IXUSR}


def assert_same_files(folder, files):
    """Name by name and byte by byte; a difference is told by its name, not by its bytes."""
    found = read_tree(folder)
    assert sorted(found) == sorted(files)
    assert [name for name, data in files.items() if found[name] != data] == []
