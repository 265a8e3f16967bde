"""Delta manifests as Capgo's command line makes them (reference/bundle-formats.md section 5).

For each file one stored object: the bytes, packed with brotli where that pays, encrypted where the bundle is, and the
entry by which a device asks for it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["ManifestFile", "make_manifest", "pack"]

#: Paths that contain one of these are left out, wherever it stands.
_LEFT_OUT = (
    ".DS_Store",
    ".git",
    ".gitignore",
    "node_modules",
    "package-lock.json",
    "tsconfig.json",
    "tsconfig.app.json",
    "tsconfig.spec.json",
)
_MOST_FILES = 10_000
#: Smaller files are not packed, and packing has to save more than a few bytes.
_PACKED_FROM = 8192
_LEAST_SAVING = 10
#: What JavaScript's encodeURIComponent leaves alone besides letters, digits and ``-_.~``.
_UNRESERVED = "!*'()"


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """One entry. ``dataclasses.replace`` makes damaged ones of it.

    ``file_name`` ends in ``.br`` where the object is packed, ``file_hash`` is the SHA-256 of the original (signed where
    the bundle is), ``data`` the object as it is stored and downloaded.
    """

    file_name: str
    file_hash: str
    data: bytes = field(repr=False)
    session_key: str = field(default="", repr=False)

    @property
    def path(self) -> str:
        """Where the object lies below the app's folder in the store; send it as it is, percent signs and all."""
        folder = f"{self.session_key.encode('ascii').hex()}/" if self.session_key else ""
        digest = hashlib.sha256(self.file_hash.encode()).hexdigest()
        name = "/".join(quote(part, safe=_UNRESERVED) for part in self.file_name.split("/"))
        return f"delta/{folder}{digest}_{name}"


def make_manifest(
    files: Mapping[str, bytes],
    *,
    sign: Callable[[str], str],
    encrypt: Callable[[bytes], bytes],
    session_key: str,
    brotli: bool,
) -> tuple[ManifestFile, ...]:
    """List ``files``: packed, then encrypted by ``encrypt``, their hex SHA-256 wrapped by ``sign``.

    Empty files and what the command line overlooks are left out.

    Raises:
        ValueError: A name with a space, or more than 10,000 files: the command line makes no manifest of them.
        ImportError: Packing needs the extra ``delta``, which is not installed.
    """
    listed = {name: data for name, data in files.items() if data and not any(part in name for part in _LEFT_OUT)}
    if spaced := sorted(name for name in listed if " " in name):
        raise ValueError(f"no manifest can be made of names with a space, as with Capgo's command line: {spaced}")
    if len(listed) > _MOST_FILES:
        raise ValueError(f"{len(listed)} files are more than the {_MOST_FILES} that a manifest may list")
    entries = []
    for name, data in listed.items():
        packed = pack(data) if brotli else None
        stored = encrypt(data if packed is None else packed)
        digest = sign(hashlib.sha256(data).hexdigest())
        entries.append(ManifestFile(name if packed is None else f"{name}.br", digest, stored, session_key))
    return tuple(entries)


def pack(data: bytes) -> bytes | None:
    """Brotli as the command line uses it; None where it leaves the file as it is."""
    if len(data) < _PACKED_FROM:
        return None
    packed: bytes = _brotli().compress(data)
    return packed if len(packed) < len(data) - _LEAST_SAVING else None


def _brotli() -> Any:
    try:
        import brotli  # type: ignore[import-untyped,unused-ignore]
    except ImportError as exc:
        raise ImportError(
            "packing files for a manifest needs brotli: pip install 'capgo-client[delta]', or make the bundle with "
            "brotli=False"
        ) from exc
    return brotli
