"""Run in a process of its own: a crowd of processes of one app, on one data directory, some of which are killed.

Each is a fork that lives for a few random actions; this one looks at the state file all the time, and when the time is
over lets two healthy lives tidy up. Prints one JSON line: what it saw, and what was wrong.
"""

from __future__ import annotations

import collections
import json
import logging
import os
import random
import select
import signal
import sys
import time
from pathlib import Path

# Loaded before the first fork, or each life would load them again.
import capgo_client.arrival
import capgo_client.manual
import capgo_client.net.client
import capgo_client.upkeep  # noqa: F401
from capgo_client import CapgoError, Updater
from capgo_client.install.audit import audit
from capgo_client.install.ledger import FROM_FILE, FROM_OLDER, Ledger
from capgo_client.install.store import Store
from capgo_client.life.state import State
from capgo_client.seams import Files

#: Every life ends within so many seconds, or it hangs.
LIFE = 30.0
#: What the by-hand methods may raise (errors.py); ``start`` and what belongs to it raise nothing.
CODES = {
    "bundle_unknown", "bundle_protected", "bundle_in_use", "bundle_damaged", "failed_before", "install_busy",
    "state_locked", "reload_failed",
}  # fmt: skip


class Bugs(logging.Handler):
    """What the library itself calls a bug in its log."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.told.append(f"{record.getMessage()}: {record.exc_info[1]!r}")


class Life:
    """One process of the app. ``wrong`` is what it held against the others."""

    def __init__(self, order: dict, seed: int) -> None:
        self.order = order
        self.chance = random.Random(seed)
        self.wrong: list[str] = []
        self.codes: list[str] = []
        self.decides = False

    def run(self, actions) -> dict:
        bugs = Bugs()
        logging.getLogger("capgo_client").addHandler(bugs)
        mode = self.chance.choice(("atBackground", "atBackground", "always", "off"))
        self.app = Updater(
            "com.example.notes", "1.0.0", self.order["builtin"], data_dir=self.order["data"], auto_update=mode,
            update_url=self.order["update_url"], stats_url=self.order["stats_url"], channel_url="",
            reload=self.chance.choice((None, lambda bundle: None)),
        )  # fmt: skip
        opened = self.app.start()
        self.decides = self.app._engine.may_write
        for name in actions:
            try:
                getattr(self, name)()
            except CapgoError as exc:
                self.codes.append(exc.code)
                if name not in ("download", "set_next", "set", "reset", "delete") or exc.code not in CODES:
                    self.wrong.append(f"{name} raised {exc!r}")
        current = self.app.current
        for each in {opened, current}:
            if not each.is_builtin:
                problems = audit(each.path.parent, files=Files(), should_stop=lambda: False)
                self.wrong.extend(f"{each.version} was removed or changed under us: {problem}" for problem in problems)
        self.app.close()
        self.wrong.extend(bugs.told)
        return {"opened": opened.version, "ended": current.version, "wrong": self.wrong, "codes": self.codes,
                "decides": self.decides}  # fmt: skip

    def ready(self) -> None:
        self.app.notify_app_ready()

    def crash(self) -> None:
        self.app.report_crash(RuntimeError("on purpose"))

    def cycle(self) -> None:
        self.app.trigger_update_check()
        if not self.app.wait(LIFE):
            self.wrong.append("a cycle did not end")

    def download(self) -> None:
        version = self.chance.choice(sorted(self.order["bundles"]))
        url, checksum = self.order["bundles"][version]
        self.app.download(url, version, checksum=checksum)

    def set_next(self) -> None:
        self.app.set_next(self._any())

    def set(self) -> None:
        self.app.set(self._any())

    def reset(self) -> None:
        self.app.reset(to_last_successful=self.chance.random() < 0.5)

    def delete(self) -> None:
        self.app.delete(self._any())

    def look(self) -> None:
        str(self.app.explain())
        self.app.bundles()

    def _any(self) -> str:
        return self.chance.choice([bundle.id for bundle in self.app.bundles()] or ["builtin"])


ACTIONS = ("ready", "ready", "cycle", "cycle", "crash", "download", "set_next", "set", "reset", "delete", "look")


class Crowd:
    """The lives that run, and what was seen from outside."""

    def __init__(self, order: dict) -> None:
        self.order = order
        self.chance = random.Random(order["seed"])
        self.data = Path(order["data"])
        self.store = Store(self.data, files=Files())
        self.ledger = Ledger(
            self.data, files=Files(), fresh=lambda: State(native_version="1.0.0"), rebuild=lambda: None,
            newer=lambda document: State(native_version="none"),
        )  # fmt: skip
        self.running: dict[int, tuple[int, float, float]] = {}
        self.told = collections.Counter()
        self.wrong: list[str] = []
        self.seen_state = False

    def begin(self, actions=None) -> None:
        read, write = os.pipe()
        seed = self.chance.randrange(1 << 30)
        actions = actions or self.chance.choices(ACTIONS, k=self.chance.randrange(1, 6))
        child = os.fork()
        if not child:
            os.close(read)
            try:
                told = Life(self.order, seed).run(actions)
            except BaseException as exc:
                told = {"wrong": [f"raised {exc!r} in {actions}"]}
            os.write(write, json.dumps(told).encode())
            os._exit(0)
        os.close(write)
        doomed = self.chance.random() < self.order["deaths"]
        now = time.monotonic()
        dies = now + self.chance.expovariate(10.0) if doomed else now + LIFE
        self.running[child] = (read, now, dies)

    def tend(self) -> None:
        """Take leave of those that ended, kill who is to be killed."""
        now = time.monotonic()
        for child, (read, began, dies) in list(self.running.items()):
            if now >= dies:
                os.kill(child, signal.SIGKILL)
                self.told["killed"] += 1
                if now - began >= LIFE:
                    self.wrong.append("a process hangs")
                os.waitpid(child, 0)
            elif os.waitpid(child, os.WNOHANG)[0] == 0:
                continue
            self.told["lives"] += 1
            text = os.read(read, 1 << 16)
            os.close(read)
            del self.running[child]
            if text:
                self._hear(json.loads(text))

    def _hear(self, told: dict) -> None:
        self.last = told
        self.wrong.extend(told["wrong"])
        self.told["decided"] += told.get("decides", False)
        for code in told.get("codes", ()):
            self.told[code] += 1

    def look(self) -> None:
        """The state file parses at each look, and tells of no version twice."""
        loaded = self.ledger.load()
        self.told["looks"] += 1
        if loaded.origin not in (FROM_FILE, FROM_OLDER):
            if self.seen_state:
                self.wrong.append(f"the state was read from {loaded.origin}")
            return
        self.seen_state = True
        state = loaded.state
        known = {install.id for install in state.installs} | {"builtin", ""}
        if not {state.current, state.next, state.fallback, state.previous} <= known:
            self.wrong.append(f"the state points at what it does not know: {state}")
        here = set(self.store.ids())
        twins = collections.Counter((i.version, i.checksum) for i in state.installs if i.id in here)
        self.wrong.extend(f"{name[0]} is installed {n} times" for name, n in twins.items() if n > 1)

    def run(self) -> None:
        end = time.monotonic() + self.order["seconds"]
        while time.monotonic() < end or self.running:
            if time.monotonic() < end and len(self.running) < self.order["processes"]:
                self.begin()
            self.look()
            self.tend()
            select.select([read for read, _, _ in self.running.values()], [], [], 0.003)
        self.settle()

    def settle(self) -> None:
        self.order["deaths"] = 0.0
        for _ in range(3):
            self.begin(["ready", "cycle", "ready"])
            while self.running:
                self.tend()
                select.select([], [], [], 0.003)
        state = self.ledger.load().state
        for name in ("staging", "trash"):
            self.wrong.extend(f"{name}/{path.name} is left over" for path in (self.data / name).iterdir())
        known = {install.id for install in state.installs}
        if set(self.store.ids()) != known:
            self.wrong.append(f"on disk: {self.store.ids()}, known: {sorted(known)}")
        for bundle_id in known:
            problems = audit(self.store.installs / bundle_id, files=Files(), should_stop=lambda: False)
            self.wrong.extend(f"after all: {problem}" for problem in problems)
        bad = {verdict.version for verdict in state.verdicts}
        newest = max(self.order["bundles"])
        if self.last.get("opened") != newest and newest not in bad:
            self.wrong.append(f"{newest} is offered and not condemned, {self.last} opened")


def main() -> None:
    order = json.loads(sys.stdin.readline())
    crowd = Crowd(order)
    crowd.run()
    print(json.dumps({"wrong": crowd.wrong[:20], "told": crowd.told}), flush=True)


if __name__ == "__main__":
    main()
