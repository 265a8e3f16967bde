"""What the next start will open, found out the way a start does, and without one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from capgo_client.bundle import BUILTIN_ID
from capgo_client.errors import StorageError
from capgo_client.life import boot
from capgo_client.seams import Clock

if TYPE_CHECKING:
    from capgo_client.cli.device import Device
    from capgo_client.config import Config

__all__ = ["next_start"]


def next_start(device: Device, config: Config) -> tuple[str, str]:
    """The id of what opens, and why; counts nothing and writes nothing."""
    if os.environ.get("CAPGO_CLIENT_FORCE_BUILTIN") == "1":
        return BUILTIN_ID, "CAPGO_CLIENT_FORCE_BUILTIN is set"
    now = Clock().wall()
    state, _ = boot.arrived(
        device.state,
        native_version=config.version,
        now=now,
        reset_when_update=config.reset_when_update,
        keep_channel=config.persist_default_channel_on_reinstall,
    )
    unusable: set[str] = set()
    while True:
        choice = boot.choice(state, max_attempts=config.max_boot_attempts, now=now, unusable=frozenset(unusable))
        if choice.bundle_id == BUILTIN_ID or _is_sound(device, choice.bundle_id, config.entry):
            return choice.bundle_id, choice.why
        unusable.add(choice.bundle_id)


def _is_sound(device: Device, bundle_id: str, entry: str) -> bool:
    try:
        return not device.store.fault(bundle_id, entry=entry)
    except StorageError:
        return False
