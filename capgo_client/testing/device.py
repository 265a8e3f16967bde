"""What goes wrong on the device's disk: calls that fail, a process that is killed, files that are damaged or gone.

Each takes the stage and the chance, and is a context manager. Calls fail through ``FaultyFiles``; what lies on the
disk is really changed, past the seam, as somebody else would. ``faults`` lists them.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from .files import Stopped

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from .chance import Chance
    from .stage import Stage

__all__: list[str] = []

#: What fails while a folder may not be written to, and while it may not be looked at either.
CHANGING = (
    *("open_new", "open_update", "open_append", "write", "truncate", "clone"),
    *("mkdir", "rename", "unlink", "rmdir", "chmod"),
)
LOOKING = ("open_read", "open_folder", "scan")
OPENING = ("open_read", "open_new", "open_update", "open_append", "open_folder", "scan")
READING = ("read", "pread")
FLUSHING = ("fsync", "sync_filesystem")
#: A call by which a launch is well under way, and the app's data are about to be changed.
_EARLY_CALL = 10


@contextmanager
def failing(
    stage: Stage, chance: Chance, *, error: int, kinds: Collection[str] = (), lasting: bool = False
) -> Iterator[None]:
    """Calls below the data directory fail: all of them, or as the chance says; ``lasting``: all from the n-th on."""
    files = stage.files
    once = chance.nth is not None and not lasting
    files.fail(
        chance.nth or 1,
        error,
        kinds=kinds,
        path=str(stage.data_dir),
        times=1 if once and chance.times is None else chance.times,
        probability=chance.probability,
        seed=chance.seed,
    )
    try:
        yield
    finally:
        files.heal()


@contextmanager
def killed(stage: Stage, chance: Chance) -> Iterator[None]:
    """The process ends at the n-th call: ``Stopped`` there, and nothing of this launch reaches the disk afterwards."""
    stage.files.stop_after((chance.nth or _EARLY_CALL) - 1)
    with _quiet_deaths():
        try:
            yield
        finally:
            stage.bury()


@contextmanager
def _quiet_deaths() -> Iterator[None]:
    """A thread that dies of the kill dies without a word, as the real one does."""
    speak = threading.excepthook

    def hook(args: threading.ExceptHookArgs) -> None:
        if not isinstance(args.exc_value, Stopped):
            speak(args)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = speak


@contextmanager
def deleted(stage: Stage, chance: Chance) -> Iterator[None]:
    """The data directory goes as soon as ``start()`` has returned, or at the n-th file-system call."""
    if chance.nth is not None:
        files = stage.files
        files.stop_after(chance.nth - 1, lambda: remove_folder(stage.data_dir))
        try:
            yield
        finally:
            files.heal()
        return

    def delete() -> None:
        if chance.takes():
            remove_folder(stage.data_dir)

    with stage.while_running(delete):
        yield


def remove_folder(folder: Path) -> None:
    """Remove a folder in one step: while it is emptied one by one, what runs may add another."""
    with contextlib.suppress(FileNotFoundError):
        aside = Path(tempfile.mkdtemp(prefix="gone-", dir=folder.parent))
        folder.rename(aside / "data")
    for path in aside.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o700)
    shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def damaged(
    stage: Stage, chance: Chance, *, how: str, at: int | None = None, file: str = "state.json"
) -> Iterator[None]:
    """A file in the data directory is cut at a byte, or a byte of it turned over, before the launch.

    ``at`` counts from the start, or from the end where it is negative; by default it is the middle. A file that does
    not exist yet is made: empty, or one byte that is no JSON. What the library makes of it stays.
    """
    if chance.takes():
        path = stage.data_dir / file
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        data = path.read_bytes() if path.exists() else b""
        place = min(max(len(data) // 2 if at is None else at + (len(data) if at < 0 else 0), 0), max(len(data) - 1, 0))
        changed = data[:place] if how == "cut" else data[:place] + _turned(data[place : place + 1]) + data[place + 1 :]
        path.write_bytes(changed)
    yield


def _turned(byte: bytes) -> bytes:
    return bytes([byte[0] ^ 0xFF]) if byte else b"\xff"
