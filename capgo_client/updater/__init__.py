"""The face of the library: checks what it is given, hands it on, and decides nothing."""

from capgo_client.updater.bundles import Verification
from capgo_client.updater.core import Updater, current_updater

__all__ = ["Updater", "Verification", "current_updater"]
