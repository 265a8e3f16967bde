"""Runs one cell: sets the stage, lets the app meet the fault, heals, and sees whether the update arrives after all."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
import threading
import time
import zlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from capgo_client.install.record import FileRecord
from capgo_client.seams import Clock
from capgo_client.testing import FAULTS, BundleKeys
from capgo_client.testing.stage import Stage
from capgo_client.verify.bound import RECORD_NAME, seal_record

from .launch import HAS_FORK, Order, launched

if TYPE_CHECKING:
    from .matrix import Cell

APP_ID = "com.example.app"
APP = {"main.py": "print({version!r})\n", "pkg/__init__.py": "", "pkg/data.bin": "0123456789abcdef" * 400}
#: The next versions of the app: those that a device has, the one on offer, and one that mends the one on offer.
VERSIONS = ("2.0.0", "3.0.0", "4.0.0")
FIX = "9.0.0"
#: Faults for a device without a key, which has only the announced checksum to go by.
UNSIGNED = frozenset({"wrong-checksum", "short-body", "hostile-archive"})
_KILLS = ("killed", "app-killed")
#: What each cell does elsewhere, and where at most: the n-th call, a byte of the state. (`make crash` tries each call.)
_ELSEWHERE = {"killed": {"nth": 90}, "state-truncated": {"at": 600}, "state-flipped": {"at": 600}}
#: How often an app with a fault of its own is started: once to fetch, then once more than
#: a version gets to prove itself.
_STARTS, _MAX_ATTEMPTS = 5, 3
#: Short, where the time is not what is measured; longer than a wait that stops the next start from waiting (0.5 s).
SHORT = {"response_timeout": 0.6, "direct_timeout": 0.7, "ready_timeout": 0.25, "patience": 0.9}
#: A byte each so often: to the time limit as one second is to three.
DRIP = SHORT["response_timeout"] / 3
REAL = {"response_timeout": 3.0, "direct_timeout": 10.0, "ready_timeout": 0.5, "patience": 4.0}
HEALTHY = {"response_timeout": 3.0, "direct_timeout": 10.0, "ready_timeout": 10.0, "patience": 15.0}
#: How many healthy launches may pass until the update is open: one to fetch it, one to open it, and one to spare
#: after a launch whose fault left something to be put right.
RECOVERY = 3
#: A Retry-After, a soft verdict and a back-off are over after so long (seconds).
A_DAY = 25 * 3600.0
#: The next of two launches with the same fault; longer than any back-off after a first failure (seconds).
_HOURS = 2 * 3600.0
#: Statistics are collected for a second before they are sent (seconds).
LINGER = 1.3


@dataclass
class Facts:
    """All that is known of a cell; plain data, for the report. ``before`` and ``after``: ids of installs on disk."""

    fault: str
    mode: str
    state: str
    on: str = ""
    real: bool = False
    group: str = ""
    app: str = "ready"
    began: float = 0.0
    seconds: float = 0.0
    unavailable: str = ""
    error: str = ""
    native: str = ""
    old: str = ""
    candidate: str = ""
    offered: str = ""
    limits: dict = field(default_factory=dict)
    faulty: list = field(default_factory=list)
    healthy: list = field(default_factory=list)
    later: bool = False
    arrived: str = ""
    wanted: str = ""
    before: list = field(default_factory=list)
    after: list = field(default_factory=list)
    disk: dict = field(default_factory=dict)
    disk_at_end: dict = field(default_factory=dict)
    requests: list = field(default_factory=list)
    closes: list = field(default_factory=list)
    untold: list = field(default_factory=list)
    lateness: float = 0.0
    again: bool = False
    published: dict = field(default_factory=dict)
    broken: list = field(default_factory=list)


class Lateness:
    """A thread that only sleeps: what the machine does to that one no program can be blamed for."""

    def __enter__(self):
        self.worst, self._stop = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._sleep, daemon=True)
        self._thread.start()
        return self

    def _sleep(self):
        while not self._stop.is_set():
            start = time.monotonic()
            self._stop.wait(0.01)
            self.worst = max(self.worst, time.monotonic() - start - 0.01)

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()


def run(cell: Cell, templates: Path | None = None) -> Facts:
    """Everything about one cell but the judgement."""
    fault = FAULTS[cell.fault]
    facts = Facts(cell.fault, cell.mode, cell.state, cell.on, cell.real, group=fault.group)
    facts.unavailable = fault.unavailable()
    if not HAS_FORK and cell.fault in _KILLS:
        facts.unavailable = "this system cannot fork, so no launch can be killed without the cell"
    facts.began = time.monotonic()
    if not facts.unavailable:
        with tempfile.TemporaryDirectory(prefix="capgo-faults-", ignore_cleanup_errors=True) as folder:
            try:
                _run(cell, fault, facts, Path(folder), templates)
            except Exception as exc:
                import traceback

                facts.error = f"{exc!r} {''.join(traceback.format_tb(exc.__traceback__)[-3:])}"
    facts.seconds = time.monotonic() - facts.began
    return facts


def _run(cell: Cell, fault, facts: Facts, folder: Path, templates: Path | None) -> None:
    signed = cell.fault not in UNSIGNED
    with stage_in(folder, signed=signed) as stage:
        _read_along(stage, facts)
        _set(stage, facts, None if templates is None else templates / _template_name(cell.state, signed))
        facts.limits = dict(REAL if cell.real else SHORT)
        facts.before = _installs(stage)
        with Lateness() as machine:
            _suffer(cell, fault, stage, facts)
            facts.disk = _left_on_disk(stage)
            facts.after = _installs(stage)
            _recover(cell, stage, facts)
        facts.lateness = machine.worst
        facts.disk_at_end = _left_on_disk(stage)
        facts.requests = [[each.time, f"{each.method} {each.path}"] for each in stage.service.requests]
        facts.closes = list(stage.service.closes)
        facts.untold = _untold(stage, facts)


# ---- the three acts ----


def _template_name(state: str, signed: bool) -> str:
    return state if signed else f"{state}-unsigned"


def _set(stage, facts: Facts, ready_made: Path | None) -> None:
    """Bring the device into ``state`` by real updates, or by a copy of one, and put the next version on offer."""
    here = {"first": 0, "installed": 1, "pending": 2}[facts.state]
    native = facts.native = stage.options["version"]
    facts.old, facts.candidate = (native, *VERSIONS[:1])[min(here, 1)], (native, *VERSIONS)[here]
    facts.offered = VERSIONS[here]
    if ready_made is not None and ready_made.is_dir():
        shutil.copytree(ready_made, stage.data_dir, dirs_exist_ok=True, symlinks=True)
    else:
        for version in VERSIONS[:here]:
            _publish(stage, version)
            confirm = version == VERSIONS[0]
            orders = [Order("atBackground", **HEALTHY)] * (2 if confirm else 1)
            for order in orders:
                seen = launched(stage, order)
                if seen.lost or seen.raised or not seen.over:
                    raise RuntimeError(f"the stage could not be set: {seen}")
    _publish(stage, facts.offered)


def bundle_files(version: str) -> dict:
    """What a version consists of: sealed by its publisher, so that nothing of it can be mixed (promise P6)."""
    files = {name: text.format(version=version).encode() for name, text in APP.items()}
    records = [FileRecord(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in files.items()]
    return {**files, RECORD_NAME: seal_record(app_id=APP_ID, version=version, files=records)}


def files_of(version: str) -> dict:
    """The same, as ``content`` tells it."""
    return as_told(bundle_files(version))


def stage_in(folder: Path, *, signed: bool = True) -> Stage:
    """The device of a cell: the strictest configuration, with a key and bound bundles only, or one without a key."""
    keys = BundleKeys.generate() if signed else None
    return Stage(folder, keys=keys, app_id=APP_ID, require_bound=True)


def as_told(files) -> dict:
    """Contents by name, each short enough for the report."""
    return {name: hashlib.sha256(data).hexdigest()[:16] for name, data in files.items()}


def _publish(stage, version: str) -> None:
    stage.publish(version, bundle_files(version))


def _read_along(stage, facts: Facts) -> None:
    """Write down what is published under each version, by whatever fault."""
    publish = stage.service.publish

    def published(bundle, **options):
        facts.published.setdefault(bundle.version, []).append(as_told(bundle.files))
        return publish(bundle, **options)

    stage.service.publish = published


def template(state: str, folder: Path, signed: bool) -> None:
    """Make the data directory of a device in ``state``, once for all cells."""
    with tempfile.TemporaryDirectory(prefix="capgo-faults-") as place, stage_in(Path(place), signed=signed) as stage:
        _set(stage, Facts("", "", state), None)
        shutil.copytree(stage.data_dir, folder / _template_name(state, signed), symlinks=True)


def _suffer(cell: Cell, fault, stage, facts: Facts) -> None:
    seed = zlib.crc32(cell.name.encode())
    more: dict = {"on": cell.on} if cell.on else {}
    more |= {name: seed % most for name, most in _ELSEWHERE.get(cell.fault, {}).items()}
    if not cell.real and "interval" in fault.options and fault.name.startswith("drip"):
        more["interval"] = DRIP
    if fault.name == "endless-body" and cell.on == "download":
        more["interval"] = 0.01  # or it fills the disk with a gigabyte, the most that a bundle may have
    with fault.arrange(stage, seed=seed, **more):
        facts.app = stage.behaviour
        if facts.app not in ("hang", "late", "stale"):
            facts.limits["ready_timeout"] = HEALTHY["ready_timeout"]  # nobody waits for it
        order = Order(cell.mode, facts.app, linger=LINGER if cell.on == "stats" else 0.0, **facts.limits)
        again = _STARTS if facts.app != "ready" else 2 if cell.direct else 1
        for number in range(again):
            # Hours later, so that no back-off is what keeps a launch from waiting that waited in vain before.
            clock = Shifted(stage.options["clock"], number * _HOURS)
            with stage.replaced(clock=clock):
                facts.faulty.append(asdict(launched(stage, order)))


def _recover(cell: Cell, stage, facts: Facts) -> None:
    """Healthy again: the update that was on offer arrives, or what mends it where it proved bad."""
    stage.behaviour = "ready"
    stage.clock = stage.options["clock"] = Shifted(stage.clock, (len(facts.faulty) - 1) * _HOURS)
    bad = _condemned(facts)
    facts.wanted = FIX if facts.offered in bad else facts.offered
    if facts.wanted == FIX:
        _publish(stage, FIX)
    if _arrives(cell, stage, facts):
        return
    facts.later = True
    stage.clock = stage.options["clock"] = Shifted(stage.clock, A_DAY)
    _arrives(cell, stage, facts)


def _arrives(cell: Cell, stage, facts: Facts) -> bool:
    for _ in range(RECOVERY):
        seen = launched(stage, Order(cell.mode, **HEALTHY))
        facts.healthy.append(asdict(seen))
        if seen.version == facts.wanted:
            facts.arrived = seen.version
            return True
    return False


def _condemned(facts: Facts) -> set:
    """What the app found bad: it was opened on trial, and did not prove itself."""
    tried = [seen["version"] for seen in facts.faulty if seen["status"] == "pending"]
    if facts.app in ("crash", "hang", "stale"):
        return set(tried)
    return {version for version in tried if facts.app == "killed" and tried.count(version) >= _MAX_ATTEMPTS}


class Shifted(Clock):
    """So many seconds after another clock; as fast."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock, self._seconds = clock, seconds

    def wall(self) -> float:
        return self._clock.wall() + self._seconds

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def wait(self, event, timeout):
        return self._clock.wait(event, timeout)


# ---- what is seen from outside ----


def _installs(stage) -> list:
    folder = Path(stage.data_dir) / "installs"
    return sorted(each.name for each in folder.iterdir()) if folder.is_dir() else []


def _left_on_disk(stage) -> dict:
    """Every file of ours beside the installs, with its size."""
    root = Path(stage.data_dir)
    found = {}
    for path in sorted(root.rglob("*")) if root.is_dir() else ():
        name = path.relative_to(root)
        if name.parts[0] != "installs" and not path.is_dir():
            with contextlib.suppress(OSError):
                found[name.as_posix()] = path.lstat().st_size
    return found


def _untold(stage, facts: Facts) -> list:
    """Events of the statistics that are neither told nor waiting on disk."""
    import json

    try:
        waiting = (Path(stage.data_dir) / "stats" / "events").read_text("utf-8", "replace")
    except OSError:
        waiting = ""
    told = [json.dumps(event, sort_keys=True) for event in stage.service.events]
    texts = [text for seen in (*facts.faulty, *facts.healthy) for text in seen["told"]]
    return [t for t in texts if t not in waiting and json.dumps(json.loads(t), sort_keys=True) not in told]
