"""Where Python keeps the byte code of what a bundle imports: below the data directory, never in the bundle."""

from __future__ import annotations

import contextlib
import os
import sys

from capgo_client.install.trees import remove_tree
from capgo_client.seams import below, folder_of, name_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container

    from capgo_client.install.store import Store
    from capgo_client.seams import Files

__all__ = ["keep_apart", "sweep"]

_VARIABLE = "PYTHONPYCACHEPREFIX"
_FOLDER = "pycache"


def keep_apart(store: Store, *, version: str) -> str:
    """From here on byte code is kept elsewhere, by this process and by those that it starts; returns where.

    An app that chose a place of its own keeps it; empty then. There is one folder for each installer's ``version``.
    """
    if sys.pycache_prefix is not None:
        return ""
    sys.pycache_prefix = below(store.root, _FOLDER, version)
    os.environ[_VARIABLE] = sys.pycache_prefix
    return sys.pycache_prefix


def sweep(prefix: str, app: str, *, store: Store, files: Files) -> None:
    """Remove what older installers, and bundles that are gone, left below ``prefix``; ``app`` is the open bundle."""
    # Python repeats the whole path of a source file below the prefix (importlib.util.cache_from_source).
    mirror = below(prefix, os.path.splitdrive(os.path.abspath(app))[1].lstrip("/\\"))
    _keep_only({name_of(prefix)}, folder_of(prefix), files=files)
    with contextlib.suppress(OSError):
        _keep_only(frozenset(store.ids()), folder_of(folder_of(mirror)), files=files)


def _keep_only(known: Container[str], folder: str, *, files: Files) -> None:
    """Byte code is worth nothing: what resists stays."""
    with contextlib.suppress(OSError):
        for entry in files.scan(folder):
            if entry.name not in known:
                remove_tree(below(folder, entry.name), files=files)
