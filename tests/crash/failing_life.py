"""One life on a file system that fails at its n-th call, in a process of its own, and all that it came to.

The runner of the crash tests forks it (``Runner(path=...)``, ``life="failing_life:lived"``).
"""

from __future__ import annotations

import errno
import json
import logging
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capgo_client import CapgoError, Updater
from capgo_client.bundle import BUILTIN_ID
from capgo_client.install import checked
from capgo_client.install.audit import audit
from capgo_client.life.boot import last_confirmed
from capgo_client.life.document import from_document
from capgo_client.seams import Files
from capgo_client.stats.lines import parse
from capgo_client.testing import FaultyFiles
from capgo_client.testing.crash import lives
from capgo_client.testing.crash.lives import BriskClock
from capgo_client.testing.crash.operations import BUILTIN, EVENTS, OPERATIONS, app_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from capgo_client.life.state import State
    from capgo_client.testing.files import Call

    Say = Callable[[str], None]

_CREATING = ("open_new", "open_update", "open_append", "mkdir")
_CHANGING = (*_CREATING, "write", "truncate", "clone", "rename", "unlink", "rmdir", "chmod")
_OPENING = ("open_read", "open_new", "open_update", "open_append", "open_folder", "scan")
_FLUSHING = ("fsync", "sync_filesystem")

#: Which calls give an error at all; what is not named here no system gives. ENOSPC: copy-on-write file systems need
#: room to remove and to rename as well, NFS tells of it as late as at close(). EROFS of a write: the file system was
#: turned read-only by its own error. EINTR: only where Python does not repeat the call by itself, or a slow device
#: lets it through on a path of ours that is not Python's (FICLONE, syncfs); tried on every call that can sleep.
GIVES: dict[int, frozenset[str]] = {
    errno.ENOSPC: frozenset({*_CHANGING, *_FLUSHING, "close"}),
    errno.EIO: frozenset(
        {*_CHANGING, *_OPENING, *_FLUSHING, "read", "pread", "seek", "close", "lstat", "fstat", "free_bytes"}
    ),
    errno.EACCES: frozenset({*_OPENING, "mkdir", "rename", "unlink", "rmdir", "chmod", "lstat", "free_bytes"}),
    errno.EROFS: frozenset({*_CHANGING, "fsync"}),
    errno.EMFILE: frozenset(_OPENING),
    errno.EINTR: frozenset({*_OPENING, *_FLUSHING, "read", "pread", "write", "truncate", "clone", "close"}),
    errno.ENOENT: frozenset(
        {*_OPENING, "mkdir", "rename", "unlink", "rmdir", "chmod", "lstat", "free_bytes"}
    ),
}  # fmt: skip
#: Which calls an error that stays goes on to give: a full disk, one that is gone, one without permission, a read-only
#: one, a process out of descriptors. A call that is interrupted, or a name that is missing, stays so for nobody.
STAYS: dict[int, frozenset[str]] = {
    errno.ENOSPC: frozenset({*_CREATING, "write", "clone"}),
    errno.EIO: GIVES[errno.EIO],
    errno.EACCES: frozenset({*_CHANGING, *_OPENING} - {"write", "truncate", "clone"}),
    errno.EROFS: frozenset(_CHANGING),
    errno.EMFILE: frozenset(_OPENING),
}
_PATIENCE = 20.0
lives._PATIENCE = 4.0  # for statistics that no longer go out; they take half a second
#: Deep enough to tell two loops apart that end in the same function.
_DEPTH = 5


def errors_of(kind: str, *, lasting: bool) -> tuple[int, ...]:
    """What a call of this kind can fail with, in the order in which the points take turns."""
    return tuple(error for error, kinds in (STAYS if lasting else GIVES).items() if kind in kinds)


class FailingFiles(FaultyFiles):
    """Lets the n-th call fail with the ``choice``-th of the errors that its kind gives, once or from there on.

    Which call the n-th is may differ from run to run, as threads do; so it is here that the error is chosen. ``sites``
    writes down where each call comes from.
    """

    def __init__(self, *, nth: int = 0, choice: int = 0, lasting: bool = False, sites: bool = False) -> None:
        super().__init__()
        self._nth = nth
        self._choice = choice
        self._lasting = lasting
        self._wants_sites = sites
        self.hit: dict[str, Any] | None = None
        self.sites: list[tuple[str, str]] = []

    def heal(self) -> None:
        self._nth = 0
        super().heal()

    def _fail_if_due(self, call: Call, args: tuple[Any, ...]) -> None:
        if self._wants_sites:
            self.sites.append((call.kind, _site()))
        if len(self._calls) == self._nth:
            self._strike(call)
        super()._fail_if_due(call, args)

    def _strike(self, call: Call) -> None:
        errors = errors_of(call.kind, lasting=self._lasting)
        if call.kind == "close" and not self._is_written(call.path):
            errors = tuple(error for error in errors if error != errno.ENOSPC)
        if not errors:
            return
        error = errors[self._choice % len(errors)]
        self.hit = {"kind": call.kind, "path": call.path, "error": error, "lasting": self._lasting, "site": _site()}
        if self._lasting:
            self.fail(1, error, kinds=STAYS[error], times=None)
        else:
            self.fail(1, error)

    def _is_written(self, path: str) -> bool:
        """Whether what is closed was opened for writing last."""
        opened = [call.kind for call in self._calls if call.path == path and call.kind in _OPENING]
        return bool(opened) and opened[-1] not in ("open_read", "open_folder")


def _site() -> str:
    """Who makes the call: the innermost functions of the library."""
    frame, found = sys._getframe(1), []
    while frame is not None and len(found) < _DEPTH:
        name = frame.f_code.co_filename
        if "capgo_client/" in name and "capgo_client/testing/" not in name and not name.endswith("seams.py"):
            found.append(f"{Path(name).stem}.{frame.f_code.co_name}:{frame.f_lineno}")
        frame = frame.f_back
    return " < ".join(found)


class _Heard(logging.Handler):
    """What the library logs from INFO on; a record with a traceback is a bug that was caught at the last moment."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []
        self.bugs: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        if record.exc_info:
            self.bugs.append(self.format(record))


def lived(order: dict[str, Any], say: Say) -> dict[str, Any]:
    """Live the operation; tell what an outsider finds. Only errors that the library documents are taken as said."""
    heard, data = _Heard(), Path(order["options"]["data_dir"])
    log = logging.getLogger("capgo_client")
    log.addHandler(heard)
    log.setLevel(logging.INFO)
    threading.excepthook = lambda args: heard.bugs.append(f"a thread died: {args.exc_value!r}")
    arguments = dict(order["files"]["with"])
    glance = arguments.pop("glance", False)
    files = FailingFiles(**arguments)
    operation = OPERATIONS[order["operation"]]
    before = state_on(data)
    good = BUILTIN_ID if before is None else last_confirmed(before)
    told: dict[str, Any] = {"code": "", "wrong": [], "good": names_in(before).get(good, good)}
    with Updater(**order["options"], clock=BriskClock(), files=files, trust_env=False, app_ready_timeout=3600.0) as app:
        bundle = app.start()
        told["version"], told["counted"] = bundle.version, app._engine.session.opened.counted
        say(f"opened {bundle.version}")
        told["wrong"] += _miscounted(app, before, state_on(data))
        try:
            operation.act(app, say)
        except CapgoError as exc:
            told["code"] = exc.code
            say(f"error {exc.code}")
        except TimeoutError as exc:  # of lives.flush(): the statistics were not sent
            # Where the queue could not be read or written once, what waits goes out with the next start or event.
            refused = any(line.startswith("statistics are ") for line in heard.lines)
            if app._engine.behind.tells() and not refused:
                told["wrong"].append(str(exc))
        if not app.wait(_PATIENCE):
            told["wrong"].append(f"the cycle was not over within {_PATIENCE:g} s")
        if operation.tells:
            files.heal()
            _tell_one_more(app, say)
        told["tells"] = app._engine.behind.tells()
        result = app._engine.result
        told["result"] = "" if result is None else result.message
        told["action"], told["result_code"] = ("", "") if result is None else (result.action, result.code)
        told["explained"] = str(app.explain())
    _let_threads_end()
    told["hit"] = files.hit
    told["made"] = len(files.calls)
    files.heal()
    is_given_up = any(" is damaged (" in line for line in heard.lines)
    told["wrong"] += damages(bundle.path, bundle.version, sealed=not bundle.is_builtin and not is_given_up)
    told["open"] = [path for path in files.open_descriptors.values() if not path.endswith("/lease")]
    told["stale"] = [call.kind for call in files.calls if call.path.startswith("<")]
    told["log"], told["bugs"] = list(heard.lines), list(heard.bugs)
    told["sites"] = files.sites
    told["end"] = digest(state_on(data))
    told["marks"] = _marks(data)
    told["later"] = _glance(order["options"]) if glance else None
    return told


def _tell_one_more(app: Updater, say: Say) -> None:
    """The disk is well again: with the next event, all that waited in memory is written."""
    try:
        app.set_custom_id(f"e{EVENTS}")
    except CapgoError as exc:
        say(f"error {exc.code}")
    app.report_memory_warning()
    say(f"e{EVENTS}")


def _marks(data: Path) -> list[str]:
    """The custom ids of the statistics that wait on the disk, in order."""
    try:
        lines = parse((data / "stats" / "events").read_bytes()).entries
    except OSError:
        return []
    return [mark for line in lines if (mark := json.loads(line.text).get("custom_id", ""))]


def _let_threads_end() -> None:
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join(_PATIENCE)


def state_on(data: Path) -> State | None:
    """The state as it lies on the disk; None where there is none that can be read."""
    for name in ("state.json", "state.old"):
        try:
            return from_document(checked.read(data / name, files=Files(), limit=1 << 22))
        except (OSError, ValueError):
            continue
    return None


def names_in(state: State | None) -> dict[str, str]:
    """The version of each id."""
    installs = () if state is None else state.installs
    return {install.id: install.version for install in installs} | {BUILTIN_ID: BUILTIN}


def digest(state: State | None) -> dict[str, Any]:
    """What an operation is about, by versions, for ids are drawn."""
    if state is None:
        return {}
    names = names_in(state)
    return {
        "current": names.get(state.current, state.current),
        "next": names.get(state.next, state.next),
        "fallback": names.get(state.fallback, state.fallback),
        "installs": sorted([i.version, i.status.value, i.attempts] for i in state.installs),
        "verdicts": sorted([v.version, v.hard] for v in state.verdicts),
        "channel": state.settings.channel,
    }


def _miscounted(app: Updater, before: State | None, after: State | None) -> list[str]:
    """P5: what has not proven itself is opened only after its attempt was written down."""
    opened = app._engine.session.opened
    if opened.bundle.is_builtin:
        return []
    install = None if after is None else after.install(opened.bundle.id)
    if install is None:
        return [] if opened.bundle.status.value == "success" else ["what opened is unproven, and not in the state"]
    if install.confirmed:
        return []
    earlier = None if before is None else before.install(opened.bundle.id)
    tried = 0 if earlier is None else earlier.attempts
    if not opened.counted:
        return [f"{install.version} is unproven and was opened without being counted"]
    return [] if install.attempts == tried + 1 else [f"attempts of {install.version}: {tried}, then {install.attempts}"]


def damages(folder: Path | None, version: str, *, sealed: bool) -> list[str]:
    """What differs from what the publisher made; and what a full verify says of it where it is ``sealed``."""
    if folder is None:
        return ["there is no folder to open"]
    wanted = {"main.py": b"print('builtin')\n"} if version == BUILTIN else app_files(version, count=8)
    found = dict(_contents(folder))
    wrong = [f"{name} is not as it was made" for name in wanted if wanted[name] and found.get(name) != wanted[name]]
    wrong += [f"{name} does not belong" for name in found if name not in wanted]
    if sealed:
        wrong += audit(folder.parent, files=Files(), should_stop=lambda: False)
    return wrong


def _contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    for base, _, names in os.walk(folder):
        for name in names:
            path = Path(base) / name
            yield path.relative_to(folder).as_posix(), path.read_bytes()


def _glance(options: dict[str, Any]) -> dict[str, Any]:
    """The next start, on a healthy disk and without a service: what opens, and is it whole."""
    quiet = {**options, "update_url": "", "stats_url": "", "auto_update": "off"}
    with Updater(**quiet, trust_env=False, app_ready_timeout=3600.0) as app:
        bundle = app.start()
        counted = app._engine.session.opened.counted
    wrong = [] if counted else ["the next start was not counted"]
    wrong += damages(bundle.path, bundle.version, sealed=not bundle.is_builtin)
    wrong += [] if state_on(Path(options["data_dir"])) else ["there is no state that can be read"]
    return {"version": bundle.version, "wrong": wrong}
