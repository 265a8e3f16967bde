"""Leases that outlive their Updater: the app may go on running from a bundle after ``close()``.

Kept once for each bundle; let go when the process ends, or when it opens another launch from the same data directory.
"""

from __future__ import annotations

import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from capgo_client.install.locks import FileLock

__all__ = ["keep", "let_go"]

_kept: dict[str, dict[str, FileLock]] = {}
_lock = threading.Lock()


def keep(folder: str, bundle_id: str, lease: FileLock) -> None:
    """Hold ``lease`` from now on; a second one on the same bundle is given back at once."""
    with _lock:
        held = _kept.setdefault(folder, {})
        if bundle_id in held:
            lease.release()
        else:
            held[bundle_id] = lease


def let_go(folder: str) -> None:
    """This process opens anew from ``folder``: what it ran from before is over."""
    with _lock:
        for lease in _kept.pop(folder, {}).values():
            lease.release()
