"""Values that name a version of the app's files. They know nothing of how it came here."""

from __future__ import annotations

from enum import Enum

from capgo_client.values import dataclass

TYPE_CHECKING = False  # spelled out: importing typing costs the launch path several milliseconds
if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["BUILTIN_ID", "Bundle", "BundleStatus"]

#: Capgo's id of the version that ships inside the installer (reference/plugin-behaviour.md section 6.1).
BUILTIN_ID = "builtin"


class BundleStatus(str, Enum):
    """Capgo's status words (reference/plugin-behaviour.md section 6.1)."""

    PENDING = "pending"
    DOWNLOADING = "downloading"
    SUCCESS = "success"
    ERROR = "error"
    DELETING = "deleting"
    DELETED = "deleted"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Bundle:
    """A version of the app's files.

    ``id`` is ours (``"builtin"`` or ten letters and digits), ``version`` is the name the service knows it by,
    ``path`` the folder to open the app from (None only for a builtin without a folder), ``checksum`` the SHA-256
    of the archive it came in (empty for the builtin), ``downloaded`` the epoch seconds of its installation
    (0.0 for the builtin). ``link`` and ``comment`` are the publisher's release notes, empty when there are none.
    """

    id: str
    version: str
    path: Path | None
    status: BundleStatus
    checksum: str = ""
    downloaded: float = 0.0
    link: str = ""
    comment: str = ""

    @property
    def is_builtin(self) -> bool:
        """Whether this is the version that ships inside the installer."""
        return self.id == BUILTIN_ID
