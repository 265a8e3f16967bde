"""The versions that a simulation offers: the app's own builtin again, under the next numbers."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capgo_client.protocol.versions import parse
from capgo_client.testing import make_bundle
from capgo_client.verify.bound import RECORD_NAME, seal_record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from capgo_client.testing import BundleKeys, MadeBundle

__all__ = ["Shelf"]

#: What tells one version from the next; nothing reads it.
_MARK = "capgo-simulated-version.txt"
_CACHE = "__pycache__"


@dataclass(frozen=True, slots=True)
class _Entry:
    path: str
    size: int
    sha256: str


class Shelf:
    """Makes versions of an app from what its Updater was built with, each newer than the one before.

    ``facts`` are those of ``Launched``. Signed with ``keys`` where the app wants signatures.
    """

    def __init__(self, facts: Mapping[str, Any], keys: BundleKeys) -> None:
        self._facts = facts
        self._keys = keys if facts["signed"] else None
        self._folder = Path(facts["builtin"]) if facts["builtin"] else None
        self._made: dict[str, MadeBundle] = {}
        self._own = _files(self._folder) if self._folder is not None and self._folder.is_dir() else {}

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to make versions of: the app has no builtin folder."""
        return not self._own

    def next(self) -> MadeBundle:
        """One more version."""
        began = parse(self._facts["version"])
        if began is None:
            raise ValueError(f"{self._facts['version']!r} is not semver")
        version = f"{began.major}.{began.minor}.{began.patch + len(self._made) + 1}"
        files = {**self._own, _MARK: f"{version}\n".encode()}
        # With a record of its own, because without one nobody can see that two files of a version changed places.
        entries = [_Entry(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in files.items()]
        files[RECORD_NAME] = seal_record(entries, app_id=self._facts["app_id"], version=version)
        self._made[version] = make_bundle(version, files, keys=self._keys)
        return self._made[version]

    def is_whole(self, version: str, folder: str) -> bool:
        """Whether the folder holds what was published as this version, byte for byte, and nothing else.

        A fault may have offered one of ours under another number.
        """
        candidates = [self._made[version]] if version in self._made else list(self._made.values())
        found = _files(Path(folder))
        return any(found == dict(made.files) for made in candidates)


def _files(folder: Path) -> dict[str, bytes]:
    """Everything but what Python caches."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    named = ((path.relative_to(folder), path) for path in found)
    return {name.as_posix(): path.read_bytes() for name, path in named if _CACHE not in name.parts}
