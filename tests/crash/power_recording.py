"""Runs lives of an app on the recording disk, and says which line of the library asked for each flush."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from power_log import MARK, Entry, read_log

import capgo_client
from capgo_client.seams import Files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["FLUSH", "MarkingFiles", "mounted", "obstacle", "recorded", "site_of"]

#: A marker that begins so names the place that asks for the flush behind it.
FLUSH = "flush:"
_LIBRARY = Path(capgo_client.__file__).parent
_PATIENCE = 10.0
#: How many of the library's frames name a place: who flushes, and for whom.
_DEPTH = 2


class MarkingFiles(Files):
    """The real calls; each flush has a marker before it, and ``syncfs`` is told to the disk instead of the kernel."""

    def __init__(self, disk: Path, *, whole: bool) -> None:
        self._disk = disk
        self._whole = whole
        self._lock = threading.RLock()

    def mark(self, text: str) -> None:
        """Write ``text`` (one line without a slash) into the log."""
        self._tell("mark:" + text.replace("/", "|"))

    def _tell(self, text: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.lstat(f"{self._disk}/{MARK}{text}")

    def fsync(self, fd: int) -> None:
        """Mark, flush."""
        with self._lock:
            kind = "folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file"
            self.mark(f"{FLUSH}{kind} {_place()}")
            super().fsync(fd)

    def sync_filesystem(self, fd: int) -> bool:
        """Mark, tell the disk; or leave it to the caller."""
        if not self._whole:
            return False
        with self._lock:
            self.mark(f"{FLUSH}all {_place()}")
            self._tell("syncfs")
        return True


def _place() -> str:
    """The innermost frames of the library above the seam: ``install.checked:80 write_synced < ...``."""
    frame, found = sys._getframe(2), []
    while frame is not None and len(found) < _DEPTH:
        path = Path(frame.f_code.co_filename)
        if _LIBRARY in path.parents:
            module = ".".join(path.relative_to(_LIBRARY).with_suffix("").parts)
            found.append(f"{module}:{frame.f_lineno} {frame.f_code.co_name}")
        frame = frame.f_back
    return " < ".join(found)


def site_of(entry: Entry) -> str:
    """The place that a marker names; empty for any other entry."""
    return entry.name[len(FLUSH) :] if entry.kind == "mark" and entry.name.startswith(FLUSH) else ""


def obstacle() -> str:
    """Why the recording disk cannot be had here; empty where it can."""
    if not Path("/dev/fuse").exists():
        return "there is no /dev/fuse"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "this user may not open /dev/fuse"
    if shutil.which("fusermount3") is None and shutil.which("fusermount") is None:
        return "there is no fusermount3 (package fuse3)"
    try:
        import mfusepy  # noqa: F401
    except ImportError:
        return "mfusepy is not installed"
    except OSError as exc:
        return f"mfusepy cannot be used: {exc}"
    return ""


@contextlib.contextmanager
def mounted(place: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The disk at the empty folder ``place``; ``log`` has what happened on it when the block is left.

    Raises RuntimeError where it cannot be mounted.
    """
    program = Path(__file__).with_name("power_disk.py")
    server = subprocess.Popen([sys.executable, str(program), str(place), str(log)], stderr=subprocess.PIPE)
    try:
        _wait_for(lambda: os.path.ismount(place), server)
        yield server
    finally:
        _unmount(place)
        try:
            server.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        assert server.stderr is not None
        server.stderr.close()


def _wait_for(condition: Callable[[], bool], server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _PATIENCE
    while not condition():
        if server.poll() is not None or time.monotonic() > end:
            said = server.stderr.read().decode(errors="replace") if server.poll() is not None and server.stderr else ""
            raise RuntimeError(f"the recording disk cannot be mounted: {said.strip()[-500:]}")
        time.sleep(0.005)


def _unmount(place: Path) -> None:
    for command in (["fusermount3", "-u"], ["fusermount3", "-uz"], ["fusermount", "-uz"], ["umount", "-l"]):
        if not os.path.ismount(place) and not _is_dead(place):
            return
        with contextlib.suppress(OSError):
            subprocess.run([*command, str(place)], check=False, capture_output=True, timeout=_PATIENCE)


def _is_dead(place: Path) -> bool:
    try:
        place.stat()
    except OSError:
        return True  # its server is gone, and it is still there
    return False


def recorded(
    folder: Path, live: Callable[[Path, MarkingFiles], None], *, whole: bool, template: Path | None
) -> list[Entry]:
    """The log of ``live(data, files)``; what ``template`` holds is in ``data`` before, and on the platter.

    ``data`` and the folder above it do not exist where there is no template. The first marker is "begin".
    """
    place, log = folder / "disk", folder / "log"
    place.mkdir()
    with mounted(place, log):
        files = MarkingFiles(place, whole=whole)
        data = place / "home" / "data"
        if template is not None:
            data.parent.mkdir(mode=0o700)
            shutil.copytree(template, data)
        files.mark("begin")
        live(data, files)
    return read_log(log)
