"""The full verify of an install: every file hashed, nothing missing, nothing extra (promise P3)."""

from __future__ import annotations

import os
import stat
from operator import attrgetter

from capgo_client.errors import Cancelled
from capgo_client.install.checked import is_passing
from capgo_client.install.contents import hashed
from capgo_client.install.seal import SealError, read_list, read_seal
from capgo_client.install.store import APP, LEASE, cannot_look
from capgo_client.install.trees import remove_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from capgo_client.install.record import FileRecord
    from capgo_client.seams import Files

__all__ = ["audit"]

#: What Python itself writes beside a module that it imports; removed, never held against the bundle, not even where
#: the publisher packed some: Python makes it anew of the module, or does without.
_BYTE_CODE = "__pycache__"


def audit(folder: Path, *, files: Files, should_stop: Callable[[], bool]) -> tuple[str, ...]:
    """What is wrong with the install in ``folder``, one sentence each; empty when it is as it was sealed.

    Byte code is removed. Raises Cancelled, and StorageError ``cannot_look`` for what says nothing about the install.
    """
    try:
        return _problems(folder, files=files, should_stop=should_stop)
    except SealError as exc:
        return (str(exc),)
    except OSError as exc:
        raise cannot_look(exc) from exc


def _problems(folder: Path, *, files: Files, should_stop: Callable[[], bool]) -> tuple[str, ...]:
    """As ``audit``; raises SealError, and OSError where ``is_passing``."""
    records = read_list(folder, read_seal(folder, files=files), files=files)
    problems: list[str] = []
    if not _is_file(folder / LEASE, files=files):
        problems.append("its lease is not a file")
    expected = {record.path: record for record in records if _BYTE_CODE not in record.path.split("/")[:-1]}
    for name, path, is_plain in _files_below(os.fspath(folder / APP), "", problems, files=files):
        record = expected.pop(name, None)
        if should_stop():
            raise Cancelled("the verify was stopped")
        if record is None:
            fault = f"{name} does not belong"
        else:
            fault = _fault(path, record, files=files) if is_plain else f"{name} is not a plain file"
        if fault:
            problems.append(fault)
    problems.extend(f"{path} is missing" for path in sorted(expected))
    return tuple(problems)


def _is_file(path: Path, *, files: Files) -> bool:
    """Whether a plain file is there; raises OSError where ``is_passing``."""
    try:
        return stat.S_ISREG(files.lstat(path).st_mode)
    except OSError as exc:
        if is_passing(exc):
            raise
        return False


def _files_below(folder: str, prefix: str, problems: list[str], *, files: Files) -> Iterator[tuple[str, str, bool]]:
    """Name and path of all below but folders, and whether it is a plain file; what cannot be listed is a problem."""
    try:
        if not stat.S_ISDIR(files.lstat(folder).st_mode):
            problems.append(f"{prefix or 'app/'} is not a folder")
            return
        entries = sorted(files.scan(folder), key=attrgetter("name"))
    except OSError as exc:
        if is_passing(exc):
            raise
        problems.append(f"{prefix or 'the folder'} cannot be read: {exc.strerror}")
        return
    for entry in entries:
        path = f"{folder}{os.sep}{entry.name}"
        if not entry.is_dir(follow_symlinks=False):
            yield prefix + entry.name, path, entry.is_file(follow_symlinks=False)
        elif entry.name != _BYTE_CODE:
            yield from _files_below(path, f"{prefix}{entry.name}/", problems, files=files)
        else:
            _drop_byte_code(folder, path, files=files)


def _drop_byte_code(parent: str, folder: str, *, files: Files) -> None:
    try:
        mode = stat.S_IMODE(files.lstat(parent).st_mode)
        files.chmod(parent, 0o700)
        try:
            remove_tree(folder, files=files)
        finally:
            files.chmod(parent, mode)
    except OSError:
        return  # it does no harm where it is


def _fault(path: str, record: FileRecord, *, files: Files) -> str:
    try:
        found = _digest(path, record.size, files=files)
    except OSError as exc:
        if is_passing(exc):
            raise
        return f"{record.path} cannot be read: {exc.strerror}"
    if found is None:
        return f"{record.path} is not a plain file"
    size, digest = found
    if size != record.size:
        return f"{record.path} has {size} bytes instead of {record.size}"
    return "" if digest == record.sha256 else f"{record.path} was changed"


def _digest(path: str, size: int, *, files: Files) -> tuple[int, str] | None:
    """Size and SHA-256 of a plain file that should have ``size`` bytes; None where something else is there."""
    fd = files.open_read(path)
    try:
        if not stat.S_ISREG(files.fstat(fd).st_mode):
            return None
        found_size, digest = hashed(fd, size=size, files=files)
    finally:
        files.close(fd)
    return found_size, digest.hex()
