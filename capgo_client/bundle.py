"""Values that name a version of the app's files. They know nothing of how it came here."""

from __future__ import annotations

from enum import Enum

from capgo_client.values import dataclass

TYPE_CHECKING = False  # spelled out: importing typing costs the launch path several milliseconds
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

__all__ = ["BUILTIN_ID", "Bundle", "BundleStatus", "path_of"]

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


class _LatePath:
    """In the place of the slot of ``path``: what was given as text becomes a Path when somebody looks.

    So a start does without pathlib, which costs it half as much as all modules of ours. Many an app only puts the path
    into ``sys.path``.
    """

    def __init__(self, slot: Any) -> None:
        self._slot = slot

    def __get__(self, bundle: Bundle | None, owner: type) -> Any:
        if bundle is None:
            return self
        path = self._slot.__get__(bundle, owner)
        if isinstance(path, str):
            from pathlib import Path

            path = Path(path)
            self._slot.__set__(bundle, path)
        return path

    def __set__(self, bundle: Bundle, path: object) -> None:
        self._slot.__set__(bundle, path)


setattr(Bundle, "path", _LatePath(vars(Bundle)["path"]))  # noqa: B010  (mypy takes it for a field)


def path_of(text: str | None) -> Path | None:
    """A path for a Bundle, which makes it one when somebody looks."""
    return text  # type: ignore[return-value]
