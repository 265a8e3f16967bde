"""The device's id: made once and kept, for each new one is a new device on the app's bill (decision 15)."""

from __future__ import annotations

import errno
import os

from capgo_client.install import checked
from capgo_client.install.locks import FileLock
from capgo_client.log import Log
from capgo_client.protocol.requests import is_valid_device_id
from capgo_client.values import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from capgo_client.seams import Files

__all__ = ["DeviceId", "device_id", "unkept"]

_NAME = "device-id"
#: So long the first caller waits for another process that changes the state (seconds).
_PATIENCE = 1.0

_log = Log("capgo_client.install")


@dataclass(frozen=True, slots=True)
class DeviceId:
    """``kept`` is false where it could not be written down; then nothing may be asked in its name."""

    value: str
    kept: bool


def device_id(folder: Path, *, files: Files) -> DeviceId:
    """The id kept in ``folder``; made and written when there is none. Never raises."""
    try:
        found = _read(folder / _NAME, files=files)
        return DeviceId(found or _made_once(folder, files=files), kept=True)
    except OSError as exc:
        _log.warning("the device id cannot be kept: %s", exc.strerror)
        return unkept()


def unkept() -> DeviceId:
    """An id for this process alone."""
    return DeviceId(_uuid4(), kept=False)


def _made_once(folder: Path, *, files: Files) -> str:
    """A new id, or the one that another process made while we waited for our turn; raises OSError."""
    lock = FileLock(folder / "state.lock", files=files)
    if not lock.acquire(patience=_PATIENCE):
        raise OSError(errno.EBUSY, "another process holds the state")
    try:
        found = _read(folder / _NAME, files=files)
        if found:
            return found
        made = _uuid4()
        new = folder / f"{_NAME}.new"
        checked.write_synced(new, f"{made}\n".encode("ascii"), files=files)
        checked.put(new, folder / _NAME, files=files)
        files.sync_folder(folder)
        return made
    finally:
        lock.release()


def _read(path: Path, *, files: Files) -> str:
    """The id in the file, empty where there is none; raises OSError where that cannot be told just now."""
    try:
        # Without an id nothing is asked.
        text = checked.twice(lambda: files.read_bytes(path, 64)).decode("ascii").strip()
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as exc:
        if isinstance(exc, OSError) and checked.is_passing(exc):
            raise
        _log.warning("the kept device id cannot be used, so this counts as a new device: %s", exc)
        return ""
    if is_valid_device_id(text):
        return text.lower()
    _log.warning("the kept device id is damaged, so this counts as a new device")
    return ""


def _uuid4() -> str:
    """A random UUID (RFC 9562 section 5.4), without the import of uuid."""
    raw = bytearray(os.urandom(16))
    raw[6] = raw[6] & 0x0F | 0x40
    raw[8] = raw[8] & 0x3F | 0x80
    text = raw.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
