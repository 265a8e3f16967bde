"""The device's id: made once and kept, for each new one is a new device on the app's bill (decision 15)."""

from __future__ import annotations

import os
from dataclasses import dataclass

from capgo_client.install import checked
from capgo_client.protocol.requests import is_valid_device_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from capgo_client.seams import Files

__all__ = ["DeviceId", "device_id"]

_NAME = "device-id"


@dataclass(frozen=True, slots=True)
class DeviceId:
    """``kept`` is false where it could not be written down; then nothing may be asked in its name."""

    value: str
    kept: bool


def device_id(folder: Path, *, files: Files) -> DeviceId:
    """The id kept in ``folder``; made and written when there is none. Never raises."""
    found = _read(folder / _NAME, files=files)
    if found:
        return DeviceId(found, kept=True)
    made = _uuid4()
    try:
        checked.write_synced(folder / f"{_NAME}.new", f"{made}\n".encode("ascii"), files=files)
        files.rename(folder / f"{_NAME}.new", folder / _NAME)
        checked.sync_folder(folder, files=files)
    except OSError:
        return DeviceId(made, kept=False)
    # Two processes may have made one each; the one that stayed is everybody's.
    return DeviceId(_read(folder / _NAME, files=files) or made, kept=True)


def _read(path: Path, *, files: Files) -> str:
    try:
        text = files.read_bytes(path, 64).decode("ascii").strip()
    except (OSError, ValueError):
        return ""
    return text.lower() if is_valid_device_id(text) else ""


def _uuid4() -> str:
    """A random UUID (RFC 9562 section 5.4), without the import of uuid."""
    raw = bytearray(os.urandom(16))
    raw[6] = raw[6] & 0x0F | 0x40
    raw[8] = raw[8] & 0x3F | 0x80
    text = raw.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
