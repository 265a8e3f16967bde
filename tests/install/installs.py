"""Makes real installs on a real disk, and processes that hold their locks."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from capgo_client.install.archive import Limits
from capgo_client.install.builder import Origin, install_archive
from capgo_client.install.store import Store
from capgo_client.seams import Files
from capgo_client.testing import make_bundle

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = {"main.py": "print(2)\n", "pkg/__init__.py": "", "pkg/data.bin": b"\x00" * 300}
NOW = 1_735_689_600.0


def a_store(folder: Path, files: Files | None = None) -> Store:
    store = Store(folder / "data", files=files or Files())
    store.prepare()
    return store


def an_archive(folder: Path, content=CONTENT, modes=None) -> Path:
    path = folder / "bundle.zip"
    path.write_bytes(make_bundle("2.0.0", content, modes=modes).plain)
    return path


def an_install(
    store: Store,
    content=CONTENT,
    *,
    version="2.0.0",
    native="1.0.0",
    files=None,
    modes=None,
    now=NOW,
    inspect=lambda app, records: None,
    should_stop=lambda: False,
    archive: Path | None = None,
):
    """The seal of a freshly made install."""
    return install_archive(
        store,
        archive or an_archive(store.folder.parent, content, modes),
        origin=Origin(version=version, checksum=f"sum of {version}", native_version=native, sha256="00" * 32),
        files=files or Files(),
        limits=Limits(),
        inspect=inspect,
        now=now,
        should_stop=should_stop,
    )


def everything_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


HOLDER = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
fcntl.flock(fd, fcntl.LOCK_SH if sys.argv[2] == "shared" else fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def held_by_another_process(path: Path, *, shared: bool = False):
    """A process that holds the lock until the block ends; it is given, so that a test can kill it."""
    command = [sys.executable, "-S", "-c", HOLDER, str(path), "shared" if shared else "alone"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"held\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def in_a_forked_child(call) -> int:
    """Run ``call`` in a child; its return value (0 … 255) is given back."""
    pid = os.fork()
    if pid == 0:
        code = 255
        with contextlib.suppress(BaseException):
            code = int(call() or 0)
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
