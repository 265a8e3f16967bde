"""What fetching needs from the rest: somebody who streams a URL, and a way to hear that it should stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager

__all__ = ["Branch", "Branching", "Client", "Stoppable", "Streamed"]


class Streamed(Protocol):
    """A reply whose body is still to be read; header names are in lower case."""

    @property
    def status(self) -> int:
        """The HTTP status."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers."""

    def chunks(self) -> Iterator[bytes]:
        """The body, as it comes; raises TransferError when it breaks off."""


class Client(Protocol):
    """The part of ``net.client.HttpClient`` that fetching uses."""

    def stream(
        self, url: str, *, scope: Any, headers: Mapping[str, str] | None = None
    ) -> AbstractContextManager[Streamed]:
        """GET ``url``; raises CapgoError."""


class Stoppable(Protocol):
    """The part of ``net.deadline.Scope`` that fetching uses."""

    def check(self) -> None:
        """Raise Cancelled or DeadlineExceeded when the work should stop."""


class Branching(Stoppable, Protocol):
    """The part of ``net.deadline.Scope`` that fetching in several threads uses."""

    def branch(self) -> AbstractContextManager[Branch]:
        """A scope that ends with this one and can be ended alone."""


class Branch(Stoppable, Protocol):
    """One that can be ended from here."""

    def cancel(self) -> None:
        """Let everything that runs in it raise Cancelled."""
