"""What differs from system to system: locks, flushing, where things live. One file each, chosen once.

``system`` is the module for this machine. Each offers the same names; ``posix`` documents them.
"""

from __future__ import annotations

import sys

if sys.platform == "win32":
    from capgo_client.platforms import windows as system
elif sys.platform in ("darwin", "ios"):
    from capgo_client.platforms import apple as system
elif sys.platform == "android" or hasattr(sys, "getandroidapilevel"):
    from capgo_client.platforms import android as system
else:
    from capgo_client.platforms import linux as system  # type: ignore[no-redef]

__all__ = ["system", "system_name"]


def system_name() -> str:
    """``sys.platform`` as Python 3.13 and later has it: before, Android was a linux.

    For the service, which knows phones. A bundle's own record means ``sys.platform`` as it is, as its format says.
    """
    return "android" if hasattr(sys, "getandroidapilevel") else sys.platform
