"""What a fault is, and how it is had: on a service that runs, or on a whole stage (``Fault.arrange``)."""

from __future__ import annotations

import inspect
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from .chance import Chance

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from contextlib import AbstractContextManager
    from types import TracebackType

    from typing_extensions import Self

    from .misbehaviour import Exchange
    from .stage import Stage

    Setting = Callable[..., AbstractContextManager[None]]

__all__ = ["ENDPOINTS", "PLUGIN", "ActiveFault", "Fault", "FaultUnavailableError", "covers"]

#: Everything that speaks for the service itself, in contrast to the store behind it.
PLUGIN = ("updates", "sizes", "stats", "channel")
ENDPOINTS = (*PLUGIN, "download", "plugin", "all")


def covers(on: str, kind: str) -> bool:
    """Whether an order for ``on`` holds for a request of this kind."""
    return on in {"all", kind} or (on == "plugin" and kind in PLUGIN)


class FaultUnavailableError(RuntimeError):
    """The fault cannot be had here; the message says why."""


def _everywhere() -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Fault:
    """One way in which the world goes wrong.

    ``group`` is the heading of the fault list: ``reaching``, ``answering``, ``meaning``, ``bytes``, ``device``,
    ``clock`` or ``app``. ``where`` says how to have it:

    ========================================== =====================================================================
    ``any`` ``updates`` ``download`` ``plugin`` by ``Service.set_fault`` (the endpoint that it is for), or ``arrange``
    ``peer`` ``certificate``                   ``arrange``; or by hand: ``capgo_client.testing.peers``,
                                               ``Service(certificate=...)``
    ``lookup``                                 ``arrange``, in this process: what its name lookups say
    ``files`` ``disk``                         ``arrange``: the file-system calls, or what lies in the data directory
    ``clock`` ``app`` ``process``              ``arrange``: the injected clock, what the app does, another process
    ``suite``                                  not by the kit; ``unavailable()`` says where
    ========================================== =====================================================================

    ``probability`` is what it uses when the test names none.
    """

    name: str
    group: str
    description: str
    where: str = "any"
    perform: Callable[..., bool] | None = None
    probability: float | None = None
    setting: Setting | None = None
    missing: Callable[[], str] = _everywhere

    @property
    def options(self) -> tuple[str, ...]:
        """Names of what ``set_fault`` and ``arrange`` take for it beyond the common ones."""
        if self.perform is not None:
            # What is given beforehand is a default, but for what the fault's name says.
            return _own(self.perform, 1, settled={"code", "change"})
        return () if self.setting is None else _own(self.setting, 2)

    def unavailable(self) -> str:
        """Why it cannot be had on this platform; empty where it can."""
        return self.missing()

    def arrange(
        self,
        stage: Stage,
        *,
        nth: int | None = None,
        times: int | None = None,
        probability: float | None = None,
        seed: int | None = None,
        on: str | None = None,
        **options: Any,
    ) -> AbstractContextManager[None]:
        """Let the launches inside the block meet the fault; afterwards the world is healthy again.

        What counts as one occasion is what the fault is about: a request, a connection, a name lookup, a file-system
        call. Of several that would strike one occasion the one arranged last does; all count it. What cannot be
        divided (a clock, a damaged file, what the app does) is drawn once, on entering.

        Args:
            stage: The app, its device and its service.
            nth: Only the n-th occasion, counted from 1.
            times: At most so many occasions.
            probability: Each occasion with that chance (0 to 1), drawn from ``seed``.
            seed: Makes the draws repeatable.
            on: For faults of the service: the endpoint, see ``Service.set_fault``.
            **options: The fault's own (``options``).

        Raises:
            FaultUnavailableError: It cannot be had here, see ``unavailable()``.
            TypeError: An option that it does not take.
        """
        if reason := self.unavailable():
            raise FaultUnavailableError(f"{self.name}: {reason}")
        if unknown := sorted(set(options) - set(self.options)):
            raise TypeError(f"{self.name!r} takes {list(self.options)}, not {unknown}")
        odds = self.probability if probability is None else probability
        chance = Chance(nth=nth, times=times, probability=odds, seed=seed)
        if self.setting is not None:
            if on is not None:
                raise TypeError(f"{self.name!r} is not a fault of the service, so it takes no endpoint")
            return self.setting(stage, chance, **options)
        drawn = {"nth": nth, "times": times, "probability": probability, "seed": seed}
        return _on_service(self, stage, on=on, **drawn, **options)


@contextmanager
def _on_service(fault: Fault, stage: Stage, **order: Any) -> Iterator[None]:
    with stage.service.fault(fault.name, **order):
        yield


def _own(function: Callable[..., Any], common: int, *, settled: Collection[str] | None = None) -> tuple[str, ...]:
    """The parameters after the common ones, without those ``settled`` (None: all) that a partial gives beforehand."""
    given = set(function.keywords) if isinstance(function, partial) else set()
    fixed = given if settled is None else given.intersection(settled)
    return tuple(name for name in list(inspect.signature(function).parameters)[common:] if name not in fixed)


class ActiveFault:
    """A fault that is set on a service. As a context manager it is taken back at the end of the block."""

    def __init__(
        self,
        fault: Fault,
        *,
        on: str,
        chance: Chance,
        options: dict[str, Any],
        remove: Callable[[ActiveFault], None],
    ) -> None:
        self.fault = fault
        self.on = on
        self._chance = chance
        self._options = options
        self._remove = remove
        #: How many requests it has spoilt so far.
        self.fired = 0

    def takes(self, kind: str) -> bool:
        """Whether it would spoil this request; counts it. The service asks once for each request."""
        return covers(self.on, kind) and self._chance.takes()

    def perform(self, exchange: Exchange) -> bool:
        """Misbehave; say whether the connection can go on."""
        if self.fault.perform is None:
            raise TypeError(f"{self.fault.name} cannot be performed on a service")
        return self.fault.perform(exchange, **self._options)

    def remove(self) -> None:
        """Take the fault back."""
        self._remove(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()
