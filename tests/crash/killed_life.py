"""Run in a process of its own: one life of an app, killed at its n-th file-system call, for every n until it survives.

Everything is imported once and each life runs in a fork, so that a point costs milliseconds. Prints a JSON line each.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
from pathlib import Path

# Loaded before the first fork, or each life would load them again.
import capgo_client.arrival
import capgo_client.manual
import capgo_client.net.client
import capgo_client.upkeep  # noqa: F401
from capgo_client import Updater
from capgo_client.seams import Files
from capgo_client.testing.files import CALLS

KILLED = 9


class KillingFiles(Files):
    """Ends the process, without any clean-up, on the n-th call of whatever thread."""

    def __init__(self, nth: int) -> None:
        self.left = nth
        self.lock = threading.Lock()

    def count(self) -> None:
        with self.lock:
            self.left -= 1
            if self.left == 0:
                os._exit(KILLED)


def _counted(name: str):
    real = getattr(Files, name)

    def call(self, *args, **kwargs):
        self.count()
        return real(self, *args, **kwargs)

    return call


for _name in CALLS:
    setattr(KillingFiles, _name, _counted(_name))


def updater(order: dict, data: Path, files: Files) -> Updater:
    return Updater(
        "com.example.notes",
        "1.0.0",
        order["builtin"],
        data_dir=data,
        update_url=order["update_url"],
        stats_url="",
        channel_url="",
        auto_update="always",
        public_key=order["key"],
        files=files,
    )


def life(order: dict, data: Path, files: Files, *, crash: bool) -> dict:
    """Open, say ready or crash, let the cycle end, close; tell what opened and whether every file of it is right."""
    with updater(order, data, files) as app:
        bundle = app.start()
        if crash:
            app.report_crash(RuntimeError("on purpose"))
        else:
            app.notify_app_ready()
        over = app.wait(20)
        problems = list(app.verify(bundle).problems)
        left = [str(p) for name in ("staging", "trash") for p in (data / name).iterdir()]
        return {"version": bundle.version, "problems": problems, "left": left, "over": over}


def in_a_fork(work) -> tuple[int, str]:
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        try:
            os.write(write, json.dumps(work()).encode())
        except BaseException as exc:
            os.write(write, json.dumps({"raised": repr(exc)}).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        told = pipe.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), told


def main() -> None:
    order = json.loads(sys.stdin.read())
    data = Path(order["data"])
    for nth in range(order["first"], 5000, order["step"]):
        if data.exists():
            shutil.rmtree(data)
        if order["template"]:
            shutil.copytree(order["template"], data, copy_function=shutil.copy2)
        files = KillingFiles(nth)
        code, told = in_a_fork(lambda files=files: life(order, data, files, crash=order["crash"]))
        point = {"nth": nth, "killed": code == KILLED, "told": told, "after": []}
        for _ in range(2):
            _, seen = in_a_fork(lambda: life(order, data, Files(), crash=False))
            point["after"].append(json.loads(seen))
        print(json.dumps(point), flush=True)
        if code != KILLED:
            return


main()
