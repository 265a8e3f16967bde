"""The lives that are recorded, what they promise while they last, and the healthy ones after the power came back.

A promise is a marker: from there on it has to hold, whatever the power does. Each is made where the app is told so,
by a method that returned:

``may A B``         these versions may open next
``final A B``       one of these runs in the end, when the lives after are healthy
``counted V N``     N starts of V are counted (P5)
``condemned V``     V is held back for good (P5)
``confirmed V``     V said ready and is the one to fall back on
``device ID``       the device is known by this id
``channel A B``     one of these channels is chosen; ``-`` is none
``sent N ID``       the event is in the N-th batch of statistics that the service took
``taken N``         ... and that batch was removed
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from capgo_client import Updater
from capgo_client.install.store import Store
from capgo_client.stats.queue import Queue
from capgo_client.testing.crash.lives import leftovers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from capgo_client.bundle import Bundle
    from capgo_client.seams import Files

__all__ = ["KILLED", "Life", "healthy", "live", "updater"]

_PATIENCE = 20.0
#: How a life ends that was killed on purpose.
KILLED = 9


@dataclass(frozen=True)
class Life:
    """One process of the app: what it does after ``start()``, and the service that it asks.

    ``may`` and ``final`` are promised before it begins, where they are given.
    """

    stage: str
    acts: tuple[str, ...] = ("ready",)
    update_url: str = ""
    stats_url: str = ""
    channel_url: str = ""
    may: str = ""
    final: str = ""
    options: dict[str, Any] = field(default_factory=dict)


def updater(common: dict[str, Any], data: Path, files: Files, **options: Any) -> Updater:
    """The app, as its start file would make it."""
    return Updater(
        **{
            "app_id": "com.example.notes",
            "version": "1.0.0",
            "data_dir": data,
            "files": files,
            "update_url": "",
            "stats_url": "",
            "channel_url": "",
            "trust_env": False,
            **common,
            **options,
        }
    )


def live(life: Life, common: dict[str, Any], data: Path, files: Files, mark: Callable[[str], None]) -> None:
    """One life, to its end."""
    urls = {"update_url": life.update_url, "stats_url": life.stats_url, "channel_url": life.channel_url}
    _count_batches(mark)
    with updater(common, data, files, **urls, **life.options) as app:
        bundle = app.start()
        state = app._engine.ledger.load().state
        install = state.install(bundle.id)
        if install is not None and not install.confirmed:
            mark(f"counted {bundle.version} {install.attempts}")
        for act in life.acts:
            name, _, what = act.partition(":")
            ACTS[name](app, bundle, what, mark)


def healthy(common: dict[str, Any], data: Path, files: Files, **urls: str) -> dict[str, Any]:
    """Start, be ready, let the cycle end; tell what opened, whether every file of it is right, what lies about."""
    with updater(common, data, files, auto_update="always", **urls) as app:
        bundle = app.start()
        problems = list(app.verify(bundle).problems)
        app.notify_app_ready()
        over = app.wait(_PATIENCE)
        # A download may come back although its version runs. It stays, as every partial does while nothing is offered,
        # and makes room for the next.
        left = [name for name in leftovers(app, data) if not name.startswith("downloads/")]
        return {"version": bundle.version, "problems": problems, "left": left, "over": over}


# ---- what an app does ----


def _ready(app: Updater, bundle: Bundle, what: str, mark: Callable[[str], None]) -> None:
    app.notify_app_ready()
    assert app.wait(_PATIENCE)
    if not bundle.is_builtin:
        mark(f"confirmed {bundle.version}")
    queued = app.next_bundle
    mark(f"may {(queued or bundle).version}")


def _crash(app: Updater, bundle: Bundle, what: str, mark: Callable[[str], None]) -> None:
    mark(f"may {bundle.version} {what}")
    mark(f"final {bundle.version} {what}")
    app.report_crash(RuntimeError("on purpose"))
    mark(f"condemned {bundle.version}")
    mark(f"may {what}")
    mark(f"final {what}")
    assert app.wait(_PATIENCE)


def _device(app: Updater, bundle: Bundle, what: str, mark: Callable[[str], None]) -> None:
    mark(f"device {app.device_id}")


def _reset(app: Updater, bundle: Bundle, what: str, mark: Callable[[str], None]) -> None:
    mark(f"may {bundle.version} {what}")
    app.reset(to_last_successful=what != "1.0.0")
    mark(f"may {what}")


def _set(app: Updater, bundle: Bundle, what: str, mark: Callable[[str], None]) -> None:
    mark(f"may {bundle.version} {what}")
    app.set_next(next(each.id for each in app.bundles() if each.version == what))
    mark(f"may {what}")


def _delete(app: Updater, bundle: Bundle, what: str, mark: Callable[[str], None]) -> None:
    app.delete(next(each.id for each in app.bundles() if each.version == what))


def _clutter(app: Updater, bundle: Bundle, what: str, mark: Callable[[str], None]) -> None:
    """Halves of two installs, and one that nobody knows."""
    store = app._engine.store
    install = store.installs / bundle.id
    for place in (store.staging / "halfmade00", store.trash / "halfgone00-x", store.installs / "unknown000"):
        shutil.copytree(install, place)
        (place / "seal.json").unlink()


def _killed(app: Updater, bundle: Bundle, what: str, mark: Callable[[str], None]) -> None:
    """From here on the process ends where it begins to take an install apart."""

    def killed(self: Store, *args: Any, **kwargs: Any) -> None:
        os._exit(KILLED)

    Store._empty = killed  # type: ignore[method-assign]


def _channel(app: Updater, bundle: Bundle, what: str, mark: Callable[[str], None]) -> None:
    before = app.explain().channel
    mark(f"channel {before or '-'} {what or '-'}")
    if what:
        app.set_channel(what)
    else:
        app.unset_channel()
    mark(f"channel {what or '-'}")


def _events(app: Updater, bundle: Bundle, what: str, mark: Callable[[str], None]) -> None:
    for number in range(int(what)):
        app._engine.stats.record("set", version_name=f"1.0.{number}")


def _drained(app: Updater, bundle: Bundle, what: str, mark: Callable[[str], None]) -> None:
    end, never = time.monotonic() + _PATIENCE, threading.Event()
    while app.explain().stats_waiting:
        assert time.monotonic() < end
        never.wait(0.01)


ACTS = {
    "ready": _ready,
    "crash": _crash,
    "device": _device,
    "reset": _reset,
    "set": _set,
    "delete": _delete,
    "clutter": _clutter,
    "killed": _killed,
    "channel": _channel,
    "events": _events,
    "drained": _drained,
}


def _count_batches(mark: Callable[[str], None]) -> None:
    """Each batch that was taken by the service is a promise when its removal returns. (Lives run in forks.)"""
    settle, taken = Queue.settle, []

    def settled(self: Queue, *, done: Any, tried: Any = ()) -> None:
        for each in done:
            mark(f"sent {len(taken) + 1} {each.decode()}")
        settle(self, done=done, tried=tried)
        if done:
            taken.append(done)
            mark(f"taken {len(taken)}")

    Queue.settle = settled  # type: ignore[method-assign]
