"""Walking, flushing, locking down and removing whole folders. No link is ever followed."""

from __future__ import annotations

import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from capgo_client.seams import Files

__all__ = ["flush_tree", "remove_tree", "seal_permissions", "walk"]

#: How many files are flushed at once where each needs that, and after how many the next thread is worth its start.
_FLUSHES, _FLUSHED = 8, 25


def walk(root: str | Path, *, files: Files) -> Iterator[tuple[str, bool]]:
    """Everything below ``root`` with whether it is a folder (a link never is); a folder comes after its content."""
    prefix = os.fspath(root) + os.sep
    for entry in files.scan(root):
        path = prefix + entry.name
        is_folder = entry.is_dir(follow_symlinks=False)
        if is_folder:
            yield from walk(path, files=files)
        yield path, is_folder


def flush_tree(root: Path, *, files: Files) -> None:
    """Bring ``root`` and all below it to the platter: in one call where the system has it, else file by file."""
    fd = _open_folder(root, files=files)
    if fd is not None:
        try:
            if files.sync_filesystem(fd):
                return
        finally:
            files.close(fd)
    _flush_each(root, files=files)


def _flush_each(root: Path, *, files: Files) -> None:
    """Flush all files, several at once where there are many since the disk is what is waited for; then the folders."""
    from functools import partial

    from capgo_client.install.hands import Hands

    found = list(walk(root, files=files))
    plain = [path for path, is_folder in found if not is_folder]
    parts = [plain[n : n + _FLUSHED] for n in range(0, len(plain), _FLUSHED)]
    Hands(partial(_flush_files, files=files), most=_FLUSHES).run(parts)
    for path, is_folder in found:
        if is_folder:
            files.sync_folder(path)
    files.sync_folder(root)


def _flush_files(paths: Sequence[str], *, files: Files) -> None:
    for path in paths:
        fd = files.open_read(path) if files.flushes_readers else files.open_update(path)
        try:
            files.fsync(fd)
        finally:
            files.close(fd)


def _open_folder(path: str | Path, *, files: Files) -> int | None:
    try:
        return files.open_folder(path)
    except PermissionError:  # Windows opens no folder; POSIX lets us read what we made
        return None


def seal_permissions(root: Path, *, files: Files) -> None:
    """Make ``root`` and all below it read-only, so that neither the app nor a start's byte code changes a bundle.

    Files were made so where they can be flushed all the same (``Folders.new_file``).
    """
    for path, is_folder in walk(root, files=files):
        if is_folder:
            files.chmod(path, 0o500)
        elif not files.flushes_readers:
            files.chmod(path, 0o500 if files.lstat(path).st_mode & stat.S_IXUSR else 0o400)
    files.chmod(root, 0o500)


def remove_tree(root: str | Path, *, files: Files, should_stop: Callable[[], bool] = lambda: False) -> None:
    """Remove ``root`` and all below it; a link is removed, not followed. Raises OSError at the first that resists."""
    if stat.S_ISDIR(files.lstat(root).st_mode):
        _remove_folder(os.fspath(root), files=files, should_stop=should_stop)
    else:
        files.unlink(root)


def _remove_folder(root: str, *, files: Files, should_stop: Callable[[], bool]) -> None:
    files.chmod(root, 0o700)
    for entry in files.scan(root):
        if should_stop():
            return
        path = f"{root}{os.sep}{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            _remove_folder(path, files=files, should_stop=should_stop)
        else:
            _unlink(path, files=files)
    if not should_stop():
        files.rmdir(root)


def _unlink(path: str, *, files: Files) -> None:
    try:
        files.unlink(path)
    except PermissionError:  # Windows keeps a read-only file until it is writable again
        files.chmod(path, 0o600)
        files.unlink(path)
