"""Several actors on one data directory, one file-system call at a time, in an order that a test chooses.

An actor is an Updater in a thread of its own. Each of its calls of the file system, and each try for a lock, waits for
its turn; exactly one actor runs between two turns, so the same plan gives the same interleaving every time. What runs
in threads of the library's own (the worker, the ready timer) runs in the actor's here: a turn must mean one actor.

Real locks on real files decide who waits: flock on two handles of one process excludes as it does between processes.
The pauses between two looks at a lock take no time here; an actor that found it taken lets another one run first.
"""

from __future__ import annotations

import contextlib
import threading
from types import SimpleNamespace

from capgo_client import engine, ready, session
from capgo_client.install import leases, locks
from capgo_client.platforms import system
from capgo_client.seams import Files
from capgo_client.testing.files import CALLS
from capgo_client.worker import Worker

#: No step of an actor takes longer; what does hangs (seconds).
PATIENCE = 30.0
#: More turns than any plan can use: beyond them the actors wait for each other for ever.
MOST_TURNS = 60_000

_here = threading.local()


class Killed(BaseException):
    """The actor's process is gone: it runs no further, and nothing that it does on its way out reaches the disk."""


class Turns:
    """Gives the turns. ``plan`` is pairs (how many turns, which actor); where it ends each goes on to its end."""

    def __init__(self, plan, *, look):
        self.actors = []
        self.count = 0
        self.waited = 0
        #: How often another one came to its turn than before.
        self.switches = 0
        self._last = None
        self.plan = list(plan)
        self._look = look
        self._back = threading.Semaphore(0)

    def run(self, actors):
        self.actors = actors
        for actor in actors:
            actor.thread.start()
        left, chosen = 0, actors[0]
        while going := [actor for actor in actors if not actor.finished]:
            if (left <= 0 or chosen.blocked or chosen.finished) and self.plan:
                left, index = self.plan.pop(0)
                chosen = actors[index % len(actors)]
            if chosen.finished or chosen.blocked or chosen.outlives:
                ready = [actor for actor in going if not actor.blocked]
                ready.sort(key=lambda actor: actor.outlives)
                chosen = ready[0] if ready else going[self.count % len(going)]
            self._one(chosen, going)
            left -= 1

    def _one(self, actor, going):
        self.count += 1
        assert self.count < MOST_TURNS, "the actors wait for each other"
        for each in going:
            each.blocked = False  # whatever this one does may free what they wait for
        self.switches += self._last not in (None, actor)
        self._last = actor
        kind = actor.at
        actor.go.release()
        if not self._back.acquire(timeout=PATIENCE):
            raise AssertionError(f"actor {actor.name} hangs after {kind}")
        self.waited += actor.blocked
        self._look(actor, kind)

    def back(self):
        self._back.release()


class Actor:
    """One process of the app, as far as the disk can tell. ``script(actor)`` is what it does."""

    def __init__(self, turns, name, script):
        self.turns = turns
        self.name = name
        self.go = threading.Semaphore(0)
        self.at = ("start", "", "")
        self.blocked = False
        #: It waits for all others to come to their end, for as long as they can.
        self.outlives = False
        self.finished = False
        self.dies_in = None
        self.error = None
        self.updater = None
        #: The folder that it runs from, for as long as nobody may remove it.
        self.runs_from = None
        self.files = TurnFiles(self)
        self._script = script
        self.thread = threading.Thread(target=self._run, name=f"actor-{name}", daemon=True)

    def _run(self):
        _here.actor = self
        self.go.acquire()
        try:
            self._script(self)
        except Killed:
            pass
        except BaseException as exc:
            self.error = exc
        finally:
            self.dies_in = self.dies_in if self.dies_in is None else -1
            self.bury()
            self.finished = True
            self.turns.back()

    def turn(self, *what):
        """Wait for our turn to make this call."""
        if self.dies_in is not None:
            self.dies_in -= 1
            if self.dies_in < 0:
                self.runs_from = None
                raise Killed
        self.at = what
        self.turns.back()
        self.go.acquire()

    def bury(self):
        """What the system does for a process that ended: every lock is free, and nobody runs from anywhere."""
        self.runs_from = None
        if self.updater is not None:
            self._end_updater()
        for fd in list(self.files.open):
            self.files.close(fd)

    def _end_updater(self):
        behind = self.updater._engine
        self.updater._closed = True
        if behind.session is not None:
            behind.session.close()
        leases.let_go(behind.store.root)
        if behind._primary is not None:
            behind._primary.release()
        self.updater = None


class Unflushed(Files):
    """Nothing is flushed: that is another suite's subject, and takes most of the time."""

    def fsync(self, fd):
        pass

    def sync_filesystem(self, fd):
        return True


class TurnFiles(Unflushed):
    """Each call waits for the actor's turn."""

    def __init__(self, actor):
        self.actor = actor
        self.open = set()

    def close(self, fd):
        self.open.discard(fd)
        super().close(fd)


def _in_turn(kind):
    real = getattr(Files, kind)

    def call(self, *args, **kwargs):
        if getattr(_here, "actor", None) is self.actor:  # else it is over, and the interpreter tidies up
            self.actor.turn(kind, *args)
        result = real(self, *args, **kwargs)
        if kind.startswith("open_"):
            self.open.add(result)
        return result

    return call


#: What says or changes nothing that another process could notice needs no turn. (A dead actor's handles do close.)
UNSEEN = {"close", "write", "fsync", "sync_filesystem", "fstat", "seek", "read", "pread", "truncate", "chmod"}
for _kind in CALLS:
    if _kind not in UNSEEN:
        setattr(TurnFiles, _kind, _in_turn(_kind))


def _try_lock(fd, *, shared):
    actor = getattr(_here, "actor", None)
    if actor is not None:
        actor.turn("try_lock")
    return system.try_lock(fd, shared=shared)


class _NoPause:
    """Stands for the event that a lock's poll waits for."""

    def wait(self, timeout):
        if getattr(_here, "actor", None) is not None:
            _here.actor.blocked = True
        _here.now = getattr(_here, "now", 0.0) + timeout
        return False


class _PollClock:
    """The clock beside it: only those pauses take time."""

    def monotonic(self):
        return getattr(_here, "now", 0.0)


class _Inline(threading.Thread):
    """A thread that runs where it is started."""

    def start(self):
        self.run()


class _InlineWorker(Worker):
    """Does its orders in the thread that waits for them."""

    def start(self, order, *, delay):
        self._due = order

    def submit(self, order):
        self._due = order
        return True

    def hurry(self):
        pass

    def wait(self, timeout):
        order, self._due = self._due, None
        if order is not None:
            self._run_order(order)
        return True


class _Timer:
    """A ready timer that runs out when the test says so."""

    def __init__(self, seconds, expired, *, clock):
        self.expired = expired
        self.thread = None

    def start(self):
        pass

    pause = resume = stop = start


@contextlib.contextmanager
def in_turns(monkeypatch):
    """Everything that the library would do in another thread, or in real time, happens in the actor's turn."""
    with monkeypatch.context() as patch:
        patch.setattr(locks, "system", SimpleNamespace(try_lock=_try_lock, unlock=system.unlock))
        patch.setattr(locks, "threading", SimpleNamespace(Event=_NoPause))
        patch.setattr(locks, "Clock", _PollClock)
        patch.setattr(ready, "ReadyTimer", _Timer)
        patch.setattr(session, "threading", SimpleNamespace(
            Thread=_Inline, Lock=threading.Lock, get_ident=threading.get_ident
        ))  # fmt: skip
        patch.setattr(engine, "Worker", _InlineWorker)
        yield
