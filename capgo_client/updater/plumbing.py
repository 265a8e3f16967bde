"""What every part of the face stands on: the engine, and the questions that each method asks before it uses it."""

from __future__ import annotations

import os

from capgo_client.bundle import Bundle
from capgo_client.errors import CapgoError, ClosedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from capgo_client.asking import Asking
    from capgo_client.engine import Engine
    from capgo_client.manual import Manual
    from capgo_client.session import Session

__all__ = ["Plumbing", "id_of"]


class Plumbing:
    """Holds the engine; built and closed by ``Updater``."""

    _engine: Engine
    _pid: int
    _closed: bool

    @property
    def _is_inert(self) -> bool:
        """Whether this is a forked child's copy: its threads do not exist, and its locks are the parent's."""
        return os.getpid() != self._pid

    @property
    def _session(self) -> Session:
        session = self._engine.session
        if session is None:
            raise CapgoError("no bundle is open yet", code="not_started", hint="call start() first")
        return session

    @property
    def _asking(self) -> Asking:
        from capgo_client.asking import Asking

        return Asking(self._engine)

    @property
    def _manual(self) -> Manual:
        from capgo_client.manual import Manual

        return Manual(self._engine)

    def _require_open(self) -> None:
        if self._closed:
            raise ClosedError("this Updater is closed")


def id_of(bundle: Bundle | str) -> str:
    """The id of a bundle that is named by itself or by its id."""
    return bundle.id if isinstance(bundle, Bundle) else bundle
