"""Walking, flushing, locking down and removing whole folders. No link is ever followed."""

from __future__ import annotations

import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from capgo_client.seams import Files

__all__ = ["flush_tree", "remove_tree", "seal_permissions", "walk"]


def walk(root: Path, *, files: Files) -> Iterator[tuple[Path, bool]]:
    """Everything below ``root`` with whether it is a folder (a link never is); a folder comes after its content."""
    for entry in files.scan(root):
        path = root / entry.name
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
    for path, is_folder in walk(root, files=files):
        _flush_one(path, is_folder=is_folder, files=files)
    _flush_one(root, is_folder=True, files=files)


def _open_folder(path: Path, *, files: Files) -> int | None:
    try:
        return files.open_folder(path)
    except PermissionError:  # Windows opens no folder; POSIX lets us read what we made
        return None


def _flush_one(path: Path, *, is_folder: bool, files: Files) -> None:
    # For writing, because Windows flushes no other handle.
    fd = _open_folder(path, files=files) if is_folder else files.open_update(path)
    if fd is None:
        return
    try:
        files.fsync(fd)
    finally:
        files.close(fd)


def seal_permissions(root: Path, *, files: Files) -> None:
    """Make ``root`` and all below it read-only, so that neither the app nor a start's byte code changes a bundle."""
    for path, is_folder in walk(root, files=files):
        executable = is_folder or stat.S_IMODE(files.lstat(path).st_mode) & 0o100
        files.chmod(path, 0o500 if executable else 0o400)
    files.chmod(root, 0o500)


def remove_tree(root: Path, *, files: Files, should_stop: Callable[[], bool] = lambda: False) -> None:
    """Remove ``root`` and all below it; a link is removed, not followed. Raises OSError at the first that resists."""
    if not stat.S_ISDIR(files.lstat(root).st_mode):
        files.unlink(root)
        return
    files.chmod(root, 0o700)
    for entry in files.scan(root):
        if should_stop():
            return
        path = root / entry.name
        if entry.is_dir(follow_symlinks=False):
            remove_tree(path, files=files, should_stop=should_stop)
        else:
            _unlink(path, files=files)
    if not should_stop():
        files.rmdir(root)


def _unlink(path: Path, *, files: Files) -> None:
    try:
        files.unlink(path)
    except PermissionError:  # Windows keeps a read-only file until it is writable again
        files.chmod(path, 0o600)
        files.unlink(path)
