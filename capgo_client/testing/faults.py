"""The faults by name: everything of the fault list, each alone.

    with FAULTS["disk-full"].arrange(stage, nth=3):   # a whole stage: network, disk, clock, app
        stage.launch()
    with service.fault("drip-body", on="download"):   # a service alone: those with ``perform``
        ...

Names are stable: users' tests and the fault report use them. ``FAULTS["drip-body"].description`` is what the report
prints; ``where`` says how to have it (see ``Fault``).
"""

from __future__ import annotations

import errno
from functools import partial
from typing import TYPE_CHECKING

from . import device, launches, reaching
from . import misbehaviour as act
from .arranging import ENDPOINTS, ActiveFault, Fault, FaultUnavailableError
from .peers import black_hole, black_hole_missing, refused_url, silent_peer
from .service_faults import ANSWERING, BYTES, MEANING

if TYPE_CHECKING:
    from .arranging import Setting
    from .tls import Kind

__all__ = ["ENDPOINTS", "FAULTS", "ActiveFault", "Fault", "FaultUnavailableError"]


def _peer(name: str, description: str, setting: Setting, *, where: str = "peer") -> Fault:
    return Fault(name, "reaching", description, where, setting=setting)


def _certificate(kind: Kind, description: str) -> Fault:
    setting = partial(reaching.bad_certificate, kind=kind)
    return Fault(f"certificate-{kind}", "reaching", description, "certificate", setting=setting)


def _failing(name: str, description: str, error: int, kinds: tuple[str, ...], *, lasting: bool = False) -> Fault:
    setting = partial(device.failing, error=error, kinds=kinds, lasting=lasting)
    return Fault(name, "device", description, "files", setting=setting)


def _clock(name: str, description: str, seconds: float, *, running: bool = False) -> Fault:
    return Fault(
        name, "clock", description, "clock", setting=partial(launches.clock_set, seconds=seconds, running=running)
    )


def _app(name: str, description: str, does: str) -> Fault:
    return Fault(name, "app", description, "app", setting=partial(launches.app_that, does=does))


_REACHING = (
    _peer("name-unresolved", "The name does not resolve.", partial(reaching.lookup, hang=False), where="lookup"),
    _peer("lookup-hangs", "The name lookup hangs.", partial(reaching.lookup, hang=True), where="lookup"),
    _peer("refused", "Nobody listens: refused_url().", partial(reaching.peer_instead, make=refused_url)),
    Fault(
        "black-hole",
        "reaching",
        "Connecting hangs: black_hole().",
        "peer",
        setting=partial(reaching.peer_instead, make=black_hole),
        missing=black_hole_missing,
    ),
    _peer(
        "silent-peer",
        "Accepts and never says a byte: silent_peer().",
        partial(reaching.peer_instead, make=silent_peer),
    ),
    _peer("tls-stall", "Accepts and never shakes hands: tls_stall().", reaching.stalled_tls),
    _peer("proxy-hang", "A proxy that takes the request and hangs: hanging_proxy().", reaching.hanging_proxy_between),
    _certificate("expired", 'Service(certificate="expired").'),
    _certificate("wrong-host", 'Service(certificate="wrong-host").'),
    _certificate("self-signed", 'Service(certificate="self-signed").'),
    Fault(
        "route-vanishes",
        "reaching",
        "Falls silent in the middle of a download, as when the route is gone.",
        "download",
        act.stall_in_body,
    ),
)

_FAILED = Fault(
    "failed-version",
    "meaning",
    "The version on offer crashed on this device before.",
    "disk",
    setting=launches.failed_before,
)

_DISK = (
    _failing("disk-full", "The disk is full from the n-th write on.", errno.ENOSPC, ("write", "clone"), lasting=True),
    _failing("read-only", "The data directory is read-only.", errno.EROFS, device.CHANGING),
    _failing(
        "no-permission",
        "The data directory belongs to somebody else.",
        errno.EACCES,
        (*device.CHANGING, *device.LOOKING),
    ),
    _failing("io-error-read", "Reading fails.", errno.EIO, device.READING),
    _failing("io-error-write", "Writing fails.", errno.EIO, ("write",)),
    _failing("io-error-fsync", "Flushing to the platter fails.", errno.EIO, device.FLUSHING),
    _failing("io-error-rename", "Renaming fails.", errno.EIO, ("rename",)),
    _failing("too-many-files", "No file can be opened: the process has too many open.", errno.EMFILE, device.OPENING),
    Fault(
        "data-deleted",
        "device",
        "The data directory is removed while the app runs, or at the n-th file-system call.",
        "disk",
        setting=device.deleted,
    ),
    Fault(
        "state-truncated",
        "device",
        "The state file ends at the byte `at`.",
        "disk",
        setting=partial(device.damaged, how="cut"),
    ),
    Fault(
        "state-flipped",
        "device",
        "The byte `at` of the state file is turned over.",
        "disk",
        setting=partial(device.damaged, how="turn"),
    ),
    Fault("killed", "device", "The process is killed at the n-th file-system call.", "files", setting=device.killed),
    Fault(
        "power-cut",
        "device",
        "The power goes after the n-th file-system call: what was not flushed is lost.",
        "suite",
        missing=lambda: "what a disk loses without power is played through by the library's own crash tests only",
    ),
    Fault(
        "two-processes",
        "device",
        "Another process of the app has the data directory open.",
        "process",
        setting=launches.second_process,
    ),
)

_CLOCKS = (
    _clock("clock-back", "The clock was set back a year before the start.", -launches.YEAR),
    _clock("clock-forward", "The clock was set forward a year before the start.", launches.YEAR),
    _clock("clock-back-running", "The clock is set back a year while the app runs.", -launches.YEAR, running=True),
    _clock("clock-forward-running", "The clock is set forward a year while the app runs.", launches.YEAR, running=True),
)

_APPS = (
    _app("app-crashes", "The app crashes before it says ready.", "crash"),
    _app("app-hangs", "The app never says ready.", "hang"),
    _app("app-killed", "The app is killed before it says ready.", "killed"),
    _app("app-late", "The app says ready after the ready timer.", "late"),
    _app("app-stale", "Ready is said by the launch before only.", "stale"),
)

_ALL = (
    *(*_REACHING, *ANSWERING, *MEANING, _FAILED),
    *(*BYTES, *_DISK, *_CLOCKS, *_APPS),
)

#: Every fault by its name, in the order of the fault list.
FAULTS: dict[str, Fault] = {fault.name: fault for fault in _ALL}
