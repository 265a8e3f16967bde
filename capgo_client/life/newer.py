"""What an older library may read in a newer library's document: which good version to open, and nothing else."""

from __future__ import annotations

from capgo_client.bundle import BUILTIN_ID, BundleStatus
from capgo_client.life.document import is_id
from capgo_client.life.state import Install, State

__all__ = ["from_newer"]


def from_newer(document: object, *, native_version: str) -> State:
    """The fallback of a document of a newer schema, as a state of ours; the builtin where that cannot be made out.

    ``fallback`` and, in ``installs``, ``id``, ``version`` and ``checksum`` keep their meaning in every schema.
    """
    values = document if isinstance(document, dict) else {}
    fallback, installs = values.get("fallback"), values.get("installs")
    for item in installs if isinstance(installs, list) else ():
        if (
            isinstance(item, dict)
            and item.get("id") == fallback
            and _is_text(item, "version", "checksum")
            and is_id(fallback)
        ):
            install = Install(
                id=item["id"], version=item["version"], checksum=item["checksum"], status=BundleStatus.SUCCESS
            )
            return State(native_version=native_version, current=install.id, fallback=install.id, installs=(install,))
    return State(native_version=native_version, current=BUILTIN_ID)


def _is_text(item: dict[str, object], *names: str) -> bool:
    return all(isinstance(item.get(name), str) for name in names)
