"""One life of an app in a process of its own, to be cut off at any moment: run it, tell what was seen.

Started by ``runner`` as ``python -m capgo_client.testing.crash.lives``. It reads an order a line (JSON), lives it in a
fork of itself, so that everything is imported once and a life costs milliseconds, and answers with one line. Where the
system cannot fork, ``--once`` lives the one order in this very process and its caller starts one for each.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Loaded before the first fork, or each life would load them again.
import capgo_client.arrival
import capgo_client.delta
import capgo_client.manual
import capgo_client.net.client
import capgo_client.stats.round
import capgo_client.upkeep  # noqa: F401
from capgo_client import Updater
from capgo_client.seams import Clock, Files
from capgo_client.testing.files import CALLS

from .operations import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Callable

    Say = Callable[[str], None]

__all__ = ["KILLED", "BriskClock", "KillingFiles", "flush", "leftovers", "lived"]

#: The exit code of a life that ended itself at its n-th call, as SIGKILL would have.
KILLED = 86
#: How long a life waits for what goes on behind it (real seconds).
_PATIENCE = 20.0


class BriskClock(Clock):
    """Fifty times as fast for the thread that sends statistics, so that its pauses cost nothing; else the real one."""

    FACTOR = 50.0

    def monotonic(self) -> float:
        """Seconds since some moment."""
        return super().monotonic() * self._factor()

    def wait(self, event: threading.Event, timeout: float | None) -> bool:
        """Wait for ``event``, or until ``timeout`` has passed on this clock."""
        return super().wait(event, None if timeout is None else timeout / self._factor())

    def _factor(self) -> float:
        return self.FACTOR if threading.current_thread().name == "capgo-stats" else 1.0


class KillingFiles(Files):
    """Ends the process without any clean-up in place of its n-th call, whatever thread makes it; 0: never.

    Set ``say`` to hear at which call that was.
    """

    def __init__(self, nth: int = 0) -> None:
        self.nth = nth
        self.count = 0
        self.say: Say = lambda _text: None
        self._lock = threading.Lock()

    def look(self, kind: str = "", place: object = "") -> None:
        """Called before each call."""
        with self._lock:
            self.count += 1
            if self.count == self.nth:
                name = "/".join(Path(place).parts[-2:]) if isinstance(place, (str, os.PathLike)) else ""
                self.say(f"killed before {kind} {name}".rstrip())
                os._exit(KILLED)


def _counted(name: str) -> Callable[..., Any]:
    real = getattr(Files, name)

    def call(self: KillingFiles, *args: Any, **kwargs: Any) -> Any:
        self.look(name, args[0])
        return real(self, *args, **kwargs)

    return call


for _name in CALLS:
    setattr(KillingFiles, _name, _counted(_name))


def lived(order: dict[str, Any], say: Say) -> dict[str, Any]:
    """Live ``order``; return what is to be told at the end. ``say`` tells at once, and what it told outlives a kill."""
    files = _files(order.get("files"))
    if isinstance(files, KillingFiles):
        files.say = say
    with Updater(**order["options"], clock=BriskClock(), files=files, trust_env=False, app_ready_timeout=3600.0) as app:
        bundle = app.start()
        say(f"opened {bundle.version}")
        if order["operation"]:
            OPERATIONS[order["operation"]].act(app, say)
        else:
            _be_healthy(app, say, told_to_somebody=bool(order["options"]["stats_url"]))
        told = {
            "version": bundle.version,
            "problems": list(app.verify(bundle).problems),
            "left": leftovers(app, Path(order["options"]["data_dir"])),
            "device": app.device_id,
            "result": app.explain().result,
        }
    return {**told, "calls": getattr(files, "count", 0)}


def _files(order: dict[str, Any] | None) -> Files:
    """The file system that the order names: a class as ``module:Name``, with its arguments."""
    if not order:
        return Files()
    made: Files = _named(order["make"])(**order.get("with", {}))
    return made


def _named(text: str) -> Any:
    module, _, name = text.partition(":")
    return getattr(importlib.import_module(module), name)


def _be_healthy(app: Updater, say: Say, *, told_to_somebody: bool) -> None:
    app.notify_app_ready()
    if not app.wait(_PATIENCE):
        raise TimeoutError(f"the cycle was not over within {_PATIENCE:g} s")
    say("over")
    if told_to_somebody:
        flush(app)


def flush(app: Updater) -> None:
    """Wait until no statistics wait any more. Raises TimeoutError."""
    clock, never = Clock(), threading.Event()
    end = clock.monotonic() + _PATIENCE
    while waiting := app.explain().stats_waiting:
        if clock.monotonic() > end:
            raise TimeoutError(f"{waiting} events of the statistics were not sent within {_PATIENCE:g} s")
        clock.wait(never, 0.002)


def leftovers(app: Updater, data: Path) -> list[str]:
    """What lies in the data directory and belongs to nothing that is known."""
    known = {bundle.id for bundle in app.bundles()}
    left = [f"{name}/{path.name}" for name in ("staging", "trash", "downloads") for path in (data / name).iterdir()]
    left += [f"installs/{path.name}" for path in (data / "installs").iterdir() if path.name not in known]
    return left + [path.name for path in data.iterdir() if path.suffix == ".new"]


def _answer(order: dict[str, Any], write: Callable[[bytes], object]) -> None:
    """Live, and write what is said while it is said: a line each, the last one with what is told at the end."""

    def say(text: str) -> None:
        write(json.dumps(text).encode("ascii") + b"\n")

    try:
        told = (_named(order["life"]) if order.get("life") else lived)(order, say)
    except BaseException as exc:  # whatever it is, it must reach the one who asked
        told = {"raised": repr(exc), "trace": traceback.format_exc()}
    write(json.dumps(told).encode("ascii") + b"\n")


def _load(order: dict[str, Any]) -> None:
    """Import what the order names before the fork, or each life would do so again."""
    for name in (order.get("life"), (order.get("files") or {}).get("make")):
        if name:
            _named(name)


def _in_a_fork(order: dict[str, Any]) -> dict[str, Any]:
    _load(order)
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        _answer(order, lambda data: os.write(write, data))
        os._exit(0)
    os.close(write)
    timer = None
    if order.get("kill_after") is not None:
        timer = threading.Timer(order["kill_after"], os.kill, (child, signal.SIGKILL))
        timer.start()
    with os.fdopen(read) as pipe:
        lines = [json.loads(line) for line in pipe if line.endswith("\n")]
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if timer is not None:
        timer.cancel()
        timer.join()
    return {"exit": code, "lines": lines}


def main() -> None:
    """Live the orders that come on stdin."""
    if "--once" in sys.argv:
        _answer(json.loads(sys.stdin.readline()), lambda data: (sys.stdout.buffer.write(data), sys.stdout.flush()))
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who asked; it closes our stdin
    gc.freeze()  # or each fork would copy every page that its collector looks at
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_in_a_fork(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    # By its own name, or the classes of this module would be there twice.
    importlib.import_module("capgo_client.testing.crash.lives").main()
