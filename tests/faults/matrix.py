"""Which cells there are: every fault in every mode, in every state that the device can be in."""

from __future__ import annotations

from dataclasses import dataclass

from capgo_client.testing import FAULTS

#: Capgo's modes, and "off" with an app that asks, downloads and queues by hand.
MODES = ("atBackground", "always", "onLaunch", "atInstall", "onlyDownload", "manual")
#: The device was never updated; runs an update; has a further one queued.
STATES = ("first", "installed", "pending")

#: Modes that differ in what a fault can hurt: a start that waits for nobody, one that always does, and the app's own
#: hands. The fixed subset that every change is held to, each in the state where most is at stake.
_CI = (("atBackground", "pending"), ("always", "installed"), ("manual", "first"))
#: A mode of each of these kinds.
_ONE_OF_EACH = tuple(mode for mode, _ in _CI)
#: Statistics are sent behind every mode's back in the same way.
_STATS = (("atBackground", "installed"),)
#: The faults that hang are also tried with the time limits that an app has by default.
_REAL_TIME = ("silence", "drip-headers", "drip-body", "black-hole", "tls-stall", "lookup-hangs", "proxy-hang")
#: What `make test` tries: a fault of each kind.
_SMOKE = (
    *(("silence", "always"), ("http-503", "manual"), ("html-200", "atBackground"), ("flip-bit", "always")),
    *(("random-500", "manual"), ("read-only", "atBackground"), ("clock-back", "always"), ("app-crashes", "always")),
)


@dataclass(frozen=True)
class Cell:
    """One square. ``on``: the endpoint, where it is not the fault's own; ``real``: with the time limits by default."""

    fault: str
    mode: str
    state: str
    on: str = ""
    real: bool = False

    @property
    def name(self) -> str:
        parts = (self.fault, self.on, self.mode, self.state, "real" if self.real else "")
        return "-".join(part for part in parts if part)

    @property
    def direct(self) -> bool:
        """Whether its mode lets a start wait at all."""
        return self.mode in ("always", "onLaunch", "atInstall")


def cells(which: str) -> list[Cell]:
    """``all``, ``ci`` or ``smoke``."""
    if which == "smoke":
        return [Cell(fault, mode, dict(_CI)[mode]) for fault, mode in _SMOKE]
    if which == "ci":
        return [*_square(_CI, download=_CI[:2]), *_real()]
    if which == "all":
        every = tuple((mode, state) for mode in MODES for state in STATES)
        return [*_square(every, download=[each for each in every if each[0] in _ONE_OF_EACH]), *_real()]
    raise ValueError(f"{which!r}: there are all, ci and smoke")


def _square(squares, *, download) -> list[Cell]:
    found = [Cell(fault, mode, state) for fault in FAULTS for mode, state in squares]
    anywhere = [fault.name for fault in FAULTS.values() if fault.where == "any"]
    found += [Cell(fault, mode, state, on="download") for fault in anywhere for mode, state in download]
    return found + [Cell(fault, mode, state, on="stats") for fault in anywhere for mode, state in _STATS]


def _real() -> list[Cell]:
    return [Cell(fault, "always", "installed", real=True) for fault in _REAL_TIME if fault in FAULTS]
