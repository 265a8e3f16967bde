"""What is measured of ours, one action for each process, in a clean venv: ``bench_child.py ACTION OPTIONS``.

Options are a JSON object. Each action prints what it found out itself as one JSON object: seconds and bytes.
"""

from __future__ import annotations

import gc
import json
import os
import pkgutil
import sys
import threading
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from capgo_client import Updater

PATIENCE = 300.0
PERIOD = 1 / 60

Options = dict[str, Any]


def updater(o: Options, **more: Any) -> Updater:
    """With the defaults, but for where things are; statistics are off."""
    data_dir = Path(o["data_dir"])
    builtin = data_dir.parent / "builtin"
    builtin.mkdir(parents=True, exist_ok=True)
    keys = {"public_key": o["public_key"]} if o.get("public_key") else {}
    return Updater(
        "com.example.bench", "1.0.0", builtin, data_dir=data_dir, update_url=o["url"], stats_url="", **keys, **more
    )


#: What no worker of an app imports.
NOT_THE_WORKERS = {"testing", "cli", "platforms", "__main__"}


def import_worker() -> None:
    """Everything that the worker would import when it first needs it, and more."""
    import brotli  # noqa: F401
    import cryptography.hazmat.primitives.ciphers  # noqa: F401
    import httpx  # noqa: F401

    packages = ["capgo_client"]
    for package in packages:
        for found in pkgutil.iter_modules(import_module(package).__path__):
            if found.name not in NOT_THE_WORKERS:
                import_module(f"{package}.{found.name}")
                packages += [f"{package}.{found.name}"] if found.ispkg else []


def memory(name: str) -> int:
    """``VmRSS``: the memory that is used now; ``VmHWM``: the most so far. Bytes; 0 where the system does not say."""
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            return next((int(line.split()[1]) * 1024 for line in file if line.startswith(name)), 0)
    except OSError:
        return 0


class Idle:
    """The memory of the process before something is done, and how far it went over it since."""

    def __init__(self) -> None:
        gc.collect()
        try:
            Path("/proc/self/clear_refs").write_text("5")  # the most so far is what is used now
        except OSError:
            sys.exit("the peak of memory cannot be read here")
        self.before = memory("VmRSS")

    def over(self) -> dict[str, int]:
        return {"idle": self.before, "over": max(0, memory("VmHWM") - self.before)}


def wait(one: Updater) -> None:
    if not one.wait(PATIENCE):
        sys.exit("the cycle did not end")


def need_queued(one: Updater, version: str) -> None:
    queued = one.next_bundle
    if queued is None or queued.version != version:
        sys.exit(f"not installed: {one.explain()}")


# ---- preparing ----


def install(o: Options) -> Options:
    """Bring each of ``versions`` (address, version) in a life of its own, and say at the next start that it works."""
    if not o["versions"]:
        one = updater({**o, "url": ""})
        one.start()
        one.notify_app_ready()
        one.close()
    for url, version in o["versions"]:
        one = updater({**o, "url": url}, auto_delete_previous=not o.get("keep", False))
        one.start()
        wait(one)
        need_queued(one, version)
        one.close()
        one = updater({**o, "url": ""}, auto_delete_previous=not o.get("keep", False))
        if one.start().version != version:
            sys.exit(f"{version} did not open: {one.explain()}")
        one.notify_app_ready()
        one.close()
    return {}


# ---- measured ----


def update(o: Options) -> Options:
    """One whole cycle: from the trigger to the version being installed and queued, and to the end of the cycle."""
    import_worker()
    one = updater(o)
    queued = threading.Event()
    at: list[float] = []
    one.on("set_next", lambda _: (at.append(time.monotonic()), queued.set()))
    one.start()
    began, cpu, idle = time.monotonic(), time.process_time(), Idle()
    wait(one)
    ended, used = time.monotonic(), time.process_time() - cpu
    if not queued.wait(5):
        sys.exit(f"not installed: {one.explain()}")
    need_queued(one, o["version"])
    over = idle.over()
    return {"own_wall": at[0] - began, "cycle": ended - began, "own_cpu": used, **over, "own_peak": memory("VmHWM")}


def check(o: Options) -> Options:
    """``count`` questions for the latest version over a connection that is kept, after a few that do not count."""
    more: Options = {"auto_update": "off"}  # nobody else asks meanwhile
    if o.get("ca"):
        import ssl

        more["ssl_context"] = ssl.create_default_context(cafile=o["ca"])
    one = updater(o, **more)
    one.start()
    one.notify_app_ready()
    for _ in range(5):
        one.get_latest()
    began, cpu = time.monotonic(), time.process_time()
    for _ in range(o["count"]):
        one.get_latest()
    count = o["count"]
    return {"own_wall": (time.monotonic() - began) / count, "own_cpu": (time.process_time() - cpu) / count}


def verify(o: Options) -> Options:
    """The full verify of what is open."""
    one = updater(o)
    bundle = one.start()
    if bundle.version == "1.0.0":
        sys.exit("the builtin opened, so there is nothing to verify")
    one.verify(bundle, full=False)
    began, cpu, idle = time.monotonic(), time.process_time(), Idle()
    found = one.verify(bundle, full=True)
    told = {"own_wall": time.monotonic() - began, "own_cpu": time.process_time() - cpu, **idle.over()}
    if not found.ok:
        sys.exit(f"damaged: {found.problems[:3]}")
    return told


def clean(o: Options) -> Options:
    """A cycle that brings nothing and clears away what is no longer needed."""
    import_worker()
    one = updater(o)
    one.start()
    before = len(one.bundles())
    began, cpu, idle = time.monotonic(), time.process_time(), Idle()
    wait(one)
    told = {"own_wall": time.monotonic() - began, "own_cpu": time.process_time() - cpu, **idle.over()}
    return {**told, "removed": before - len(one.bundles())}


def blocked(o: Options) -> Options:
    """How long a check keeps the app waiting: ``start()`` in a direct mode, or ``get_latest()``."""
    one = updater(o, auto_update="always" if o["what"] == "start" else True, allow_http=True)
    import_worker()
    began = on_your_marks()
    try:
        one.start() if o["what"] == "start" else one.get_latest()
        said = "opened" if o["what"] == "start" else "an answer"
    except Exception as exc:
        said = type(exc).__name__
    return {"seconds": time.monotonic() - began, "said": said}


def on_your_marks() -> float:
    """Say that all is imported, wait for the start, tell when it was."""
    print("ready", flush=True)
    sys.stdin.readline()
    return time.monotonic()


def frames(busy: float, until: threading.Event | float) -> list[float]:
    """Seconds from frame to frame of an app that draws 60 times a second; a late frame skips those it missed.

    ``busy`` seconds of Python in each frame.
    """
    found: list[float] = []
    end = time.monotonic() + until if isinstance(until, float) else 0.0
    due = last = time.monotonic()
    while time.monotonic() < end if end else not until.is_set():  # type: ignore[union-attr]
        due = max(due + PERIOD, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))
        now = time.monotonic()
        found.append(now - last)
        last = now
        drawn = time.monotonic() + busy
        while time.monotonic() < drawn:
            pass
    return found


def stutter(o: Options) -> Options:
    """Frames without an update, then with one."""
    import_worker()
    one = updater(o)
    still = frames(o["busy"], float(o["still"]))
    one.start()
    done = threading.Event()

    def watch() -> None:
        wait(one)
        done.set()

    threading.Thread(target=watch, daemon=True).start()
    moving = frames(o["busy"], done)
    need_queued(one, o["version"])
    return {"still": still, "moving": moving}


def main() -> None:
    action, options = globals()[sys.argv[1]], json.loads(sys.argv[2])
    print(json.dumps(action(options)), flush=True)
    # What is left is the interpreter's end, which no app waits for.
    os._exit(0)


if __name__ == "__main__":
    main()
