"""One launch of the app, in a process of its own, and all that can be seen of it from inside.

What is told is plain data, for it goes through a pipe. Times are readings of the monotonic clock, which parent and
child share.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import select
import signal
import stat
import sys
import threading
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

# Loaded before the first fork, or each launch would load them again, within its time limits.
import capgo_client.arrival
import capgo_client.asking
import capgo_client.manual
import capgo_client.net.client
import capgo_client.stats.round
import capgo_client.upkeep  # noqa: F401
from capgo_client import CapgoError, Updater
from capgo_client.cycle import Cycle
from capgo_client.events import EVENT_NAMES
from capgo_client.install.audit import audit
from capgo_client.protocol.outcomes import Update
from capgo_client.seams import Files
from capgo_client.stats.queue import Queue
from capgo_client.testing import Stopped

HAS_FORK = hasattr(os, "fork") and os.environ.get("FAULTS_FORK", "1") != "0"
#: No launch takes longer than this, whatever is wrong: then its process is ended (seconds).
LIMIT = 40.0
#: What a process ends with that was killed on purpose.
KILLED = 9
#: Nobody needs to read more of one launch.
_MOST_LINES = 150
#: After ``close()`` a thread may need a moment to see that it is over (seconds); what it took is told.
_GOING = 1.0

MANUAL = "manual"


@dataclass(frozen=True)
class Order:
    """How to launch. ``app``: what it does after the start; ``patience``: how long it stays open for a cycle;
    ``linger``: how long after that."""

    mode: str
    app: str = "ready"
    response_timeout: float = 3.0
    direct_timeout: float = 10.0
    ready_timeout: float = 10.0
    patience: float = 10.0
    linger: float = 0.0


@dataclass
class Seen:
    """One launch. ``checks`` are pairs (began, ended), ``left`` the descriptors by what they are (None: not told here).

    ``system``: how much of ``took`` went to the system: disk, CPU, a new thread.
    """

    order: dict = field(default_factory=dict)
    began: float = 0.0
    took: float = -1.0
    system: float = 0.0
    raised: str = ""
    version: str = ""
    bundle_id: str = ""
    status: str = ""
    files: dict | None = None
    problems: list = field(default_factory=list)
    checks: list = field(default_factory=list)
    by_hand: list = field(default_factory=list)
    installed: list = field(default_factory=list)
    queued: str = ""
    failed: str = ""
    killed: bool = False
    lost: str = ""
    over: bool = False
    closed: bool = False
    close_took: float = 0.0
    threads: list = field(default_factory=list)
    threads_took: float = 0.0
    left: list | None = None
    grew: int | None = None
    told: list = field(default_factory=list)
    lines: list = field(default_factory=list)

    def note(self, kind: str, text: str) -> None:
        if len(self.lines) < _MOST_LINES:
            self.lines.append([time.monotonic(), kind, text[:300]])


class _Lines(logging.Handler):
    """The library's log as part of the timeline. A bug that it caught is one of ours all the same."""

    def __init__(self, seen: Seen) -> None:
        super().__init__(logging.INFO)
        self._seen = seen

    def emit(self, record: logging.LogRecord) -> None:
        bug = record.levelno >= logging.ERROR and record.exc_info is not None and record.exc_info[0] is not Stopped
        text = record.getMessage()
        if bug:
            import traceback

            where = traceback.extract_tb(record.exc_info[2])[-1]
            text += f" [{record.exc_info[1]!r} at {Path(where.filename).name}:{where.lineno}]"
        self._seen.note("bug" if bug else record.levelname.lower(), text)


class _System:
    """What a starting thread waits for that no program can be blamed for: the disk, a new thread, the CPU."""

    def __init__(self) -> None:
        self._spent, self._depth = 0.0, 0
        self._me = threading.get_ident()

    def timed(self, call):
        def timed_call(*args, **kwargs):
            if threading.get_ident() != self._me or self._depth:
                return call(*args, **kwargs)
            began, waited, self._depth = time.monotonic(), _waited_for_cpu(), 1
            try:
                return call(*args, **kwargs)
            finally:
                took = time.monotonic() - began - (_waited_for_cpu() - waited)
                self._spent, self._depth = self._spent + took, 0

        return timed_call

    def __enter__(self):
        self._real = Files.fsync, Files.sync_filesystem, threading.Thread.start
        Files.fsync, Files.sync_filesystem, threading.Thread.start = map(self.timed, self._real)
        self._waited = _waited_for_cpu()
        return self

    def __exit__(self, *_):
        Files.fsync, Files.sync_filesystem, threading.Thread.start = self._real
        self.spent = self._spent + _waited_for_cpu() - self._waited


def _waited_for_cpu() -> float:
    """Seconds that this thread was ready to run and did not get to; 0 where the system does not tell."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


class _Watched:
    """The places in the library that are timed or read along; they do what they did."""

    def __init__(self, seen: Seen) -> None:
        self._seen, self._undo = seen, []

    def __enter__(self):
        seen = self._seen
        check, append = Cycle._check, Queue.append

        def timed_check(cycle, order, running):
            span = [time.monotonic(), None]
            seen.checks.append(span)
            try:
                outcome = check(cycle, order, running)
                seen.note("check", f"{outcome.kind} {outcome.code}".strip())
            finally:
                span[1] = time.monotonic()
            return outcome

        def heard_append(queue, texts):
            texts = list(texts)
            append(queue, texts)
            seen.told.extend(text.decode() for text in texts)

        Cycle._check, Queue.append = timed_check, heard_append
        self._undo = [check, append]
        self._logger = logging.getLogger("capgo_client")
        self._handler, self._level = _Lines(seen), self._logger.level
        self._logger.addHandler(self._handler)
        self._logger.setLevel(logging.INFO)
        return self

    def __exit__(self, *_):
        Cycle._check, Queue.append = self._undo
        self._logger.removeHandler(self._handler)
        self._logger.setLevel(self._level)


def content(path) -> dict | None:
    """Every file below a folder by its name, read with nothing of the library's; None for no folder."""
    if path is None:
        return None
    found = {}
    for name in sorted(Path(path).rglob("*")):
        if "__pycache__" not in name.parts and not name.is_dir():
            data = name.read_bytes()
            found[name.relative_to(path).as_posix()] = hashlib.sha256(data).hexdigest()[:16]
    return found


def launch(stage, order: Order, *, at_end=lambda seen: None, at_once=lambda seen: None) -> Seen:
    """Start the app on ``stage`` and let it live as ordered, in this process.

    ``at_once`` is called with what is known before the process kills itself.
    """
    seen = Seen(order=asdict(order))
    files, done = stage.files, len(stage.files.calls)
    with _Watched(seen), _one_death(seen, at_once):
        try:
            _live(stage, order, seen, at_once)
        except Stopped:
            _die(seen, at_once)
        except BaseException as exc:
            seen.lost = f"{type(exc).__name__}: {exc}"
            import traceback

            seen.note("bug", traceback.format_exc()[-280:])
    renames = [Path(call.target) for call in files.calls[done:] if call.kind == "rename"]
    seen.installed = [target.name for target in renames if target.parent.name == "installs"]
    at_end(seen)
    return seen


@contextlib.contextmanager
def _one_death(seen: Seen, at_once):
    """Whichever thread makes the call at which the process is killed: all of them die of it, and at once."""
    before = threading.excepthook

    def hook(args) -> None:
        if isinstance(args.exc_value, Stopped):
            _die(seen, at_once)
        else:
            before(args)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = before


def _die(seen: Seen, at_once) -> None:
    seen.killed = True
    seen.note("kill", "the process is dead")
    at_once(seen)


def _live(stage, order: Order, seen: Seen, at_once) -> None:
    before, resident = _descriptors(), _resident()
    updater = stage.updater(
        auto_update="off" if order.mode == MANUAL else order.mode,
        response_timeout=order.response_timeout,
        direct_timeout=order.direct_timeout,
        app_ready_timeout=order.ready_timeout,
    )
    for name in EVENT_NAMES:
        updater.on(name, lambda event: seen.note("event", f"{event.name} {event.version} {event.error}".strip()))
    system = _System()
    seen.began = time.monotonic()
    try:
        with system:
            seen.began = time.monotonic()
            bundle = Updater.start(updater)
    except Exception as exc:
        seen.raised = f"{type(exc).__name__}: {exc}"
        bundle = None
    finally:
        seen.took, seen.system = time.monotonic() - seen.began, system.spent
    if bundle is not None:
        seen.note("start", f"start() gave {bundle.version} after {seen.took:.3f} s")
        seen.version, seen.bundle_id, seen.status = bundle.version, bundle.id, str(bundle.status.value)
        _look(updater, bundle, seen)
        stage.has_started()
        if _is_dead(stage):
            _die(seen, at_once)
            return
        _behave(stage, updater, order, seen, at_once)
        if _is_dead(stage) and not seen.killed:
            _die(seen, at_once)
        if seen.killed:
            return
    _close(updater, seen, before)
    seen.grew = None if resident is None else _peak() - resident


def _look(updater: Updater, bundle, seen: Seen) -> None:
    """The whole of what opened, at the moment when it did: by its files, and by the library's own full verify."""
    seen.files = content(bundle.path)
    if not bundle.is_builtin:
        # As verify(bundle, full=True), on a disk without faults: what is asked is whether the bundle is whole.
        seen.problems = list(audit(Path(bundle.path).parent, files=Files(), should_stop=lambda: False))


def _is_dead(stage) -> bool:
    return bool(getattr(stage.files, "_stopped", False))


def _behave(stage, updater: Updater, order: Order, seen: Seen, at_once) -> None:
    getattr(sys.modules[__name__], f"_app_{order.app}")(stage, updater, order, seen, at_once)


def _app_ready(stage, updater, order, seen, at_once) -> None:
    updater.notify_app_ready()
    seen.note("app", "says ready")
    _use(updater, order, seen)


def _app_crash(stage, updater, order, seen, at_once) -> None:
    seen.note("app", "crashes")
    updater.report_crash(RuntimeError("on purpose"))
    seen.over = updater.wait(order.patience)


def _app_hang(stage, updater, order, seen, at_once) -> None:
    seen.note("app", "hangs")
    _let_expire(updater, order, seen)


def _app_late(stage, updater, order, seen, at_once) -> None:
    seen.note("app", "is slow")
    _let_expire(updater, order, seen)
    updater.notify_app_ready()
    seen.note("app", "says ready, late")
    _use(updater, order, seen)


def _app_killed(stage, updater, order, seen, at_once) -> None:
    # Not before the first check came to an end, or what it brings would never be reached in background modes.
    seen.over = updater.wait(order.patience)
    _die(seen, at_once)


def _app_stale(stage, updater, order, seen, at_once) -> None:
    """This launch never says ready; the app object of the launch before does, while the next one runs."""
    updater.close()
    second = stage.updater(
        auto_update="off" if order.mode == MANUAL else order.mode,
        response_timeout=order.response_timeout,
        direct_timeout=order.direct_timeout,
        app_ready_timeout=order.ready_timeout,
    )
    again = second.start()
    updater.notify_app_ready()
    seen.note("app", f"the launch before says ready, {again.version} runs")
    _let_expire(second, order, seen)
    second.close()


def _let_expire(updater, order, seen) -> None:
    """Past the ready timer, and past what it leads to."""
    expired = threading.Event()
    updater.on("update_failed", lambda event: expired.set())
    seen.over = updater.wait(order.patience)
    if seen.status != "success":
        expired.wait(order.ready_timeout + 0.3)


def _use(updater, order: Order, seen: Seen) -> None:
    """What the app does once it is open, as its mode demands."""
    if order.mode == MANUAL:
        _by_hand(updater, order, seen)
    seen.over = updater.wait(order.patience)
    if order.mode == "onlyDownload":
        _take_newest(updater, seen)
    time.sleep(order.linger)
    with contextlib.suppress(CapgoError):
        seen.queued = "" if updater.next_bundle is None else updater.next_bundle.version
        failed = updater.failed_update()
        seen.failed = "" if failed is None else failed.version


def _by_hand(updater, order: Order, seen: Seen) -> None:
    began = time.monotonic()
    try:
        latest = updater.get_latest()
    except CapgoError as exc:
        seen.by_hand.append(["get_latest", time.monotonic() - began, exc.code])
        seen.note("by hand", f"get_latest: {exc.code}")
        return
    seen.by_hand.append(["get_latest", time.monotonic() - began, ""])
    if not isinstance(latest, Update):
        return
    began = time.monotonic()
    try:
        updater.set_next(updater.download(latest, timeout=order.patience))
    except CapgoError as exc:
        seen.by_hand.append(["download", time.monotonic() - began, exc.code])
        seen.note("by hand", f"download: {exc.code}")
    else:
        seen.by_hand.append(["download", time.monotonic() - began, ""])


def _take_newest(updater, seen: Seen) -> None:
    try:
        ready = [b for b in updater.bundles() if b.status.value == "pending" and b.id != seen.bundle_id]
        if ready:
            updater.set_next(ready[-1])
    except CapgoError as exc:
        seen.note("by hand", f"set_next: {exc.code}")


def _close(updater, seen: Seen, before) -> None:
    began = time.monotonic()
    updater.close()
    seen.close_took, seen.closed = time.monotonic() - began, True
    seen.note("close", f"close() took {seen.close_took:.3f} s")
    end = time.monotonic() + _GOING
    while (ours := _threads()) and time.monotonic() < end:
        time.sleep(0.005)
    seen.threads, seen.threads_took = ours, time.monotonic() - began - seen.close_took
    after = _descriptors()
    seen.left = None if after is None else sorted(after[fd] for fd in after.keys() - before.keys())


def _threads() -> list:
    names = [thread.name for thread in threading.enumerate()]
    return sorted(name for name in names if name.startswith("capgo-") and not name.startswith("capgo-testing-"))


def _descriptors() -> dict | None:
    """What is open, by number; None where this system does not tell."""
    folder = Path("/proc/self/fd")
    if not folder.is_dir():
        return None
    found = {}
    for name in os.listdir(folder):
        with contextlib.suppress(OSError):  # the one that lists, gone by now
            found[int(name)] = os.readlink(folder / name)
    return found


def _resident() -> int | None:
    """Bytes of this process in memory now; None where this system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None


def _peak() -> int:
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


# ---- in a process of its own ----


def launched(stage, order: Order) -> Seen:
    """One launch, in a fork where the system has them, else here (then memory and descriptors are not its own)."""
    if not HAS_FORK:
        return replace(launch(stage, order), left=None, grew=None)
    read, write = os.pipe()
    child = os.fork()
    if not child:
        _in_child(stage, order, write)
    os.close(write)
    try:
        told = _told(read, child)
    finally:
        os.close(read)
        _, code = os.waitpid(child, 0)
    if not told:
        return Seen(
            order=asdict(order), lost=f"the process ended with {os.waitstatus_to_exitcode(code)} and said nothing"
        )
    return Seen(**json.loads(told))


def _in_child(stage, order: Order, write: int) -> None:
    try:
        _let_go_of_the_parents(write)

        first = threading.Lock()

        def tell(seen: Seen) -> None:
            if not first.acquire(blocking=False):
                time.sleep(LIMIT)  # another thread has told and ends the process
            with os.fdopen(write, "wb", closefd=False) as pipe:
                pipe.write(json.dumps(asdict(seen)).encode())

        def tell_and_die(seen: Seen) -> None:
            tell(seen)
            os._exit(KILLED)

        launch(stage, order, at_end=tell, at_once=tell_and_die)
    finally:
        os._exit(0)


def _let_go_of_the_parents(keep: int) -> None:
    """Let the parent's sockets go, but keep their numbers taken: some object here may still close them."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in _descriptors() or {}:
        with contextlib.suppress(OSError):
            if fd > 2 and fd not in (keep, null) and stat.S_ISSOCK(os.fstat(fd).st_mode):
                os.dup2(null, fd)


def _told(read: int, child: int) -> bytes:
    end, told = time.monotonic() + LIMIT, []
    while True:
        ready, _, _ = select.select([read], [], [], max(0.0, end - time.monotonic()))
        if not ready:
            os.kill(child, signal.SIGKILL)
            return b""
        piece = os.read(read, 1 << 16)
        if not piece:
            return b"".join(told)
        told.append(piece)
