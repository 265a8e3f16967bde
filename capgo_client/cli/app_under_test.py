"""Runs somebody's start file as it is, but with a loopback service, a folder of ours, and a fault or none.

A child process of ``capgo-client simulate``; not meant to be started by hand::

    python -m capgo_client.cli.app_under_test ORDER.json START.py [ARGUMENT ...]

Nothing of the app is changed: only ``Updater`` is, in this process. What it sees goes to the order's report, one JSON
object a line, each written whole, so that a process that is killed leaves a report as well.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import runpy
import signal
import sys
import threading
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from capgo_client import Updater
from capgo_client.errors import CapgoError
from capgo_client.seams import Clock
from capgo_client.testing.files import Stopped

if TYPE_CHECKING:
    from collections.abc import Callable

    from capgo_client.bundle import Bundle
    from capgo_client.testing import Service
    from capgo_client.testing.stage import Stage

__all__ = ["CrashOnOrderError", "Order", "main"]

_URLS = ("update_url", "stats_url", "channel_url")
#: What of the options is worth telling.
_FACTS = (
    "app_id",
    "version",
    "mode",
    "entry",
    "response_timeout",
    "direct_timeout",
    "max_boot_attempts",
)


class CrashOnOrderError(Exception):
    """What a version crashes with that was made to crash."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a launch is to be like.

    ``urls`` and ``proxy`` lead to the service, whose certificate ``authority`` (a PEM file) signed; ``folder`` is the
    device; ``later`` is how many seconds its wall clock is ahead of ours. ``public_key`` takes the place of the app's
    own, where it has one. ``fault`` (with ``seed``) is one that happens on the device, by its name, or "". ``bad``
    says what versions do instead of saying ready: ``crash``, ``hang`` or ``killed``. ``patience`` is how long a check
    may go on after ready (seconds).
    """

    report: str
    folder: str
    urls: dict[str, str]
    public_key: str = field(repr=False)
    proxy: str | None = None
    authority: str = ""
    later: float = 0.0
    fault: str = ""
    seed: int | None = None
    bad: dict[str, str] = field(default_factory=dict)
    patience: float = 5.0

    def write(self, path: Path) -> None:
        """Keep it as a file for the child."""
        path.write_text(json.dumps(asdict(self)), "utf-8")

    @classmethod
    def read(cls, path: Path) -> Order:
        """What ``write`` kept."""
        return cls(**json.loads(path.read_text("utf-8")))


def main(argv: list[str]) -> None:
    """Run the start file as ``python START.py`` would."""
    order, start = Order.read(Path(argv[0])), Path(argv[1])
    sys.argv = argv[1:]
    if not getattr(sys.flags, "safe_path", False):
        sys.path[0] = str(start.resolve().parent)
    with ExitStack() as stack:
        watch = _Watch(order, stack)
        watch.install()
        try:
            runpy.run_path(str(start), run_name="__main__")
        except Stopped:
            watch.die()
        except Exception as exc:
            watch.tell("crashed", error=_named(exc))
            raise
        finally:
            watch.conclude()


class _LaterClock(Clock):
    """The real clock with the wall set ahead: launches are a day apart, so no wait that was ordered outlives one."""

    def __init__(self, later: float) -> None:
        self._later = later

    def wall(self) -> float:
        return super().wall() + self._later


class _Elsewhere:
    """The service as a stage in this process needs it: it runs in the process that started us."""

    def __init__(self, urls: dict[str, str]) -> None:
        self.update_url, self.stats_url, self.channel_url = (urls[name] for name in _URLS)
        self.url = self.update_url.removesuffix("/updates")
        self.has_tls = False


class _Watch:
    """Stands between the app and ``Updater``."""

    def __init__(self, order: Order, stack: ExitStack) -> None:
        self._order = order
        self._report = Path(order.report)
        self._lock = threading.Lock()
        self._concluding = threading.Lock()
        self._clock = Clock()
        self._app_id = ""
        self._ready_one: Updater | None = None
        self._is_concluded = False
        self._stage = self._arrange(stack) if order.fault else None
        self._changes: dict[str, Any] = {**order.urls, "clock": _LaterClock(order.later)}

    def _arrange(self, stack: ExitStack) -> Stage:
        """A stage of this process, for a fault that happens on the device."""
        from capgo_client.testing.faults import FAULTS
        from capgo_client.testing.stage import Stage

        order = self._order
        service = cast("Service", _Elsewhere(order.urls))
        stage = Stage(Path(order.folder), service=service, clock=_LaterClock(order.later))
        stack.enter_context(FAULTS[order.fault].arrange(stage, seed=order.seed))
        return stage

    def tell(self, event: str, **facts: Any) -> None:
        """Add a line to the report."""
        with self._lock, self._report.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"event": event, "at": self._clock.monotonic(), **facts}) + "\n")

    # ---- Updater, in this process ----

    def install(self) -> None:
        """Wrap what is looked at and redirected; where a fault stops a thread, the process dies."""
        threading.excepthook = self._thread_died
        instead: dict[str, Callable[..., Any]] = {
            "__init__": self._build,
            "start": self._start,
            "notify_app_ready": self._ready,
            "report_crash": self._crash,
        }
        for name, wrapper in instead.items():
            setattr(Updater, name, _wrapped(getattr(Updater, name), wrapper))

    def die(self) -> None:
        """End at once, as when the system kills the app."""
        self.tell("ordered", what="killed")
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))

    def _thread_died(self, args: threading.ExceptHookArgs) -> None:
        if isinstance(args.exc_value, Stopped):
            self.die()
        threading.__excepthook__(args)

    def _build(self, original: Callable[..., None], updater: Updater, *args: Any, **options: Any) -> None:
        app_id = str(args[0] if args else options.get("app_id", ""))
        try:
            original(updater, *args, **self._redirected(app_id, options))
        except Exception as exc:
            self.tell("refused", error=_named(exc))
            raise
        config = updater._engine.config  # noqa: SLF001 - what the options came to
        facts = {name: getattr(config, name) for name in _FACTS}
        builtin = str(config.builtin or "")
        self.tell("built", **facts, builtin=builtin, signed=bool(config.keys))

    def _redirected(self, app_id: str, options: dict[str, Any]) -> dict[str, Any]:
        order, ours = self._order, self._ours
        self._app_id = self._app_id or app_id
        folder = Path(order.folder, "data" if app_id == self._app_id else f"data-{app_id}")
        changed = {**options, "data_dir": folder, "proxy": order.proxy}
        # An endpoint that the app turned off stays so, and a clock or a disk of its own as well.
        changed |= {name: ours[name] for name in _URLS if options.get(name) != ""}
        changed |= {name: ours[name] for name in ("clock", "files") if name in ours and options.get(name) is None}
        changed |= {name: ours[name] for name in ("allow_http",) if name in ours}
        if options.get("public_key") is not None:
            changed["public_key"] = order.public_key
        return changed

    @property
    def _ours(self) -> dict[str, Any]:
        """The options that an Updater gets of us, as they are now."""
        return self._changes if self._stage is None else self._stage.options

    def _start(self, original: Callable[..., Bundle], updater: Updater) -> Bundle:
        self.tell("starting")
        began = self._clock.monotonic()
        try:
            bundle = original(updater)
        except Exception as exc:
            self.tell("raised", seconds=self._clock.monotonic() - began, error=_named(exc))
            raise
        seconds = self._clock.monotonic() - began
        self.tell("started", seconds=seconds, version=bundle.version, id=bundle.id, path=str(bundle.path or ""))
        if self._stage is not None:
            self._stage.has_started()
        return bundle

    def _ready(self, original: Callable[..., None], updater: Updater) -> None:
        if updater._closed or updater._engine.session is None:  # noqa: SLF001 - then it has no effect
            original(updater)
            return
        current = updater.current
        bad = "" if current.is_builtin else self._order.bad.get(current.version, "")
        if bad == "killed":
            self.die()
        elif bad:
            self.tell("ordered", what=bad)
            if bad == "crash":
                raise CrashOnOrderError("this version was made to crash by capgo-client simulate")
            return
        original(updater)
        self.tell("ready")
        with self._lock:
            first, self._ready_one = self._ready_one is None, updater
        if first:
            threading.Thread(target=self._follow, name="capgo-simulate", daemon=True).start()

    def _crash(self, original: Callable[..., None], updater: Updater, exc: BaseException) -> None:
        self.tell("reported", error=_named(exc))
        original(updater, exc)

    def _follow(self) -> None:
        """Tell when the check is over that this launch makes; the app may be ended then."""
        updater = self._ready_one
        with contextlib.suppress(CapgoError):  # the app closed it
            if updater is not None and updater.wait(self._order.patience):
                self.conclude()

    def conclude(self) -> None:
        """Tell once what came of the check; whoever comes second waits until it is told."""
        updater = self._ready_one
        with self._concluding:
            if updater is None or self._is_concluded:
                return
            self._is_concluded = True
            said = updater.explain()
            self.tell("idle", answer=said.answer, result=said.result)


def _wrapped(original: Callable[..., Any], instead: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def method(self: Updater, *args: Any, **options: Any) -> Any:
        return instead(original, self, *args, **options)

    return method


def _named(exc: BaseException) -> str:
    return f"{type(exc).__name__}: {exc}"


if __name__ == "__main__":
    main(sys.argv[1:])
