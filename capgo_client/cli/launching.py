"""One launch of somebody's app in a process of its own: started, watched, and ended."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import capgo_client
from capgo_client.seams import Clock

if TYPE_CHECKING:
    from capgo_client.cli.app_under_test import Order

__all__ = ["App", "Launched"]

#: How often a running app is looked at (seconds).
_GLANCE = 0.05
#: An app that is done with its check gets this long to end by itself (seconds).
_MOMENT = 0.5
#: And so long between being asked to end and being made to.
_POLITE = 2.0
_TAIL = 64 * 1024

#: No window, no sound, no arguments of ours taken for its own; what the user has set stays.
_HEADLESS = {
    # Kivy draws by OpenGL, which SDL's dummy driver has not; other apps are content with either.
    "SDL_VIDEODRIVER": "offscreen,dummy",
    "SDL_AUDIODRIVER": "dummy",
    "PYGAME_HIDE_SUPPORT_PROMPT": "1",
    "QT_QPA_PLATFORM": "offscreen",
    "KIVY_NO_ARGS": "1",
    "KIVY_GL_BACKEND": "mock",
    "MPLBACKEND": "Agg",
}


@dataclass(frozen=True, slots=True)
class Launched:
    """What a launch did, as its report and its process tell.

    ``facts`` are the options of the first Updater that was built ({} when none was), ``refused`` why one could not be.
    ``version`` (and ``bundle_id``, ``path``) is what opened, "" when nothing did; ``seconds`` what the slowest
    ``start()`` took, None when none returned; ``started_at`` is a monotonic reading. ``raised`` came out of
    ``start()``, ``crashed`` out of the app; ``reported``: the library was told of a crash. ``ordered`` is what a bad
    version did on our order, ``reopened`` which version a launcher opened in the place of one that crashed so.
    ``answer`` and ``result`` are what ``explain()`` said of the check. ``ended`` is ``itself``, ``us`` (it was ready)
    or ``time-out``. ``said`` is the last line on its stderr.
    """

    facts: dict[str, Any]
    refused: str
    starting: bool
    version: str
    bundle_id: str
    path: str
    seconds: float | None
    started_at: float
    raised: str
    ready: bool
    ordered: str
    reopened: str
    reported: bool
    crashed: str
    answer: str
    result: str
    exit_code: int
    ended: str
    took: float
    said: str = field(repr=False)

    @property
    def is_builtin(self) -> bool:
        """Whether the version inside the installer opened."""
        return self.bundle_id == "builtin"


@dataclass(frozen=True, slots=True)
class App:
    """Somebody's start file with its arguments; ``folder`` is ours, for orders, reports and what the app prints."""

    path: Path
    arguments: tuple[str, ...]
    folder: Path

    def launch(self, order: Order, *, timeout: float) -> Launched:
        """Run it: until it ends, until it was ready and its check is over, or until the time-out (seconds)."""
        order.write(self.folder / "order.json")
        report = Path(order.report)
        clock = Clock()
        began = clock.monotonic()
        with (self.folder / "stderr.txt").open("w+b") as errors:
            process = self._begin(errors.fileno(), order.authority)
            try:
                ended = _watch(process, report, patience=order.patience, until=began + timeout, clock=clock)
            finally:
                _end(process)
            said = _last_line(self.folder / "stderr.txt")
        return _launched(_read(report), process.returncode, ended, clock.monotonic() - began, said)

    def _begin(self, errors: int, authority: str) -> subprocess.Popen[bytes]:
        module = "capgo_client.cli.app_under_test"
        return subprocess.Popen(  # noqa: S603 - running the user's own app is the point
            [sys.executable, "-m", module, str(self.folder / "order.json"), str(self.path), *self.arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env=self._environment() | ({"SSL_CERT_FILE": authority} if authority else {}),
            # A group of its own: Ctrl-C is ours to handle, and what the app starts ends with it.
            start_new_session=os.name != "nt",
        )

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        kept.pop("CAPGO_CLIENT_FORCE_BUILTIN", None)
        root = Path(capgo_client.__file__).parents[1]
        if root.name not in {"site-packages", "dist-packages"}:
            # A source tree; what is installed is found anyway, and must not come before the standard library.
            kept["PYTHONPATH"] = os.pathsep.join([*filter(None, [kept.get("PYTHONPATH")]), str(root)])
        return {
            **_HEADLESS,
            **kept,
            # The user's folders stay as they are, and Capgo's own hosts are refused.
            "PYTHONPYCACHEPREFIX": str(self.folder / "pycache"),
            "CAPGO_CLIENT_TESTING": "1",
        }


def _watch(process: subprocess.Popen[bytes], report: Path, *, patience: float, until: float, clock: Clock) -> str:
    """Wait for one of the three ends; say which."""
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GLANCE)
            return "itself"
        seen = {event["event"]: event["at"] for event in _read(report)}
        now = clock.monotonic()
        if "ready" in seen and now > min(seen.get("idle", now) + _MOMENT, seen["ready"] + patience + _MOMENT):
            return "us"
        if _has_obeyed(seen, now, patience):
            return "us"
        if now > until:
            return "us" if "ready" in seen else "time-out"


def _has_obeyed(seen: dict[str, float], now: float, patience: float) -> bool:
    """Whether a version did what was ordered and nothing opens in its place, as it may after a crash that was told."""
    ordered = seen.get("ordered", math.inf)
    if seen.get("starting", 0.0) > ordered:
        return False
    return now > ordered + (patience if seen.get("reported", 0.0) >= ordered else _MOMENT)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End what still runs of it, first politely; whatever it has started goes with it."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_POLITE)
    if os.name == "nt":
        process.kill()
    else:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _read(report: Path) -> list[dict[str, Any]]:
    """The lines so far; one that is being written is not there yet."""
    try:
        text = report.read_text("utf-8")
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def _last_line(path: Path) -> str:
    text = path.read_bytes()[-_TAIL:].decode("utf-8", "replace").strip()
    return text.splitlines()[-1] if text else ""


def _launched(events: list[dict[str, Any]], exit_code: int, ended: str, took: float, said: str) -> Launched:
    def of(name: str) -> list[dict[str, Any]]:
        return [event for event in events if event["event"] == name]

    def last(name: str, fact: str) -> str:
        return str(of(name)[-1][fact]) if of(name) else ""

    times = [event["seconds"] for event in (*of("started"), *of("raised"))]
    ordered_at = of("ordered")[0]["at"] if of("ordered") else math.inf
    opened: dict[str, Any] = next((event for event in reversed(of("started")) if event["at"] <= ordered_at), {})
    return Launched(
        facts={name: value for name, value in of("built")[0].items() if name not in {"event", "at"}}
        if of("built")
        else {},
        refused=last("refused", "error"),
        starting=bool(of("starting")),
        version=opened.get("version", ""),
        bundle_id=opened.get("id", ""),
        path=opened.get("path", ""),
        seconds=max(times, default=None),
        started_at=of("started")[0]["at"] if of("started") else math.inf,
        raised=last("raised", "error"),
        ready=bool(of("ready")),
        ordered=last("ordered", "what"),
        reopened=next((event["version"] for event in of("started") if event["at"] > ordered_at), ""),
        reported=bool(of("reported")),
        crashed=last("crashed", "error"),
        answer=last("idle", "answer"),
        result=last("idle", "result"),
        exit_code=exit_code,
        ended=ended,
        took=took,
        said=said,
    )
