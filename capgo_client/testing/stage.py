"""One app on one device with one service: what a fault acts on, launch after launch.

    with Stage(tmp_path) as stage:
        stage.publish("1.1.0")
        with FAULTS["drip-body"].arrange(stage):
            updater = stage.launch()          # starts, then does what ``stage.behaviour`` says
            assert updater.current.version == "1.0.0"
        stage.launch()                        # the world is healthy again

The faults change what the next ``Updater`` is given (``options``), the file system and the clock underneath it
(``files``, ``clock``), what lies in ``data_dir``, what ``service`` says, and what the app does (``behaviour``).
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any

from capgo_client import Updater
from capgo_client.install.ledger import Ledger
from capgo_client.install.rebuild import rebuilt
from capgo_client.install.store import Store
from capgo_client.life.newer import from_newer
from capgo_client.life.state import State
from capgo_client.seams import Clock, Files

from .bundles import make_bundle
from .clock import FakeClock
from .files import FaultyFiles, Stopped
from .service import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self

    from capgo_client.bundle import Bundle

    from .bundles import BundleKeys, MadeBundle

__all__ = ["BEHAVIOURS", "CrashedOnPurpose", "Stage", "StagedUpdater"]

#: What an app can do after ``start()``: say ready, crash first, neither, be killed first, say it after the ready
#: timer, or hear it said by the launch before only.
BEHAVIOURS = ("ready", "crash", "hang", "killed", "late", "stale")
#: How much later than the ready timer the late app says so (seconds).
_TOO_LATE = 1.0
_LOCK_PATIENCE = 5.0
#: Real seconds that the ready timer's thread gets to notice that fake ones have passed, and between two looks.
_TIMER_PATIENCE, _GLANCE = 0.3, 0.005


class CrashedOnPurpose(Exception):
    """What the app of a stage crashes with."""


class StagedUpdater(Updater):
    """An Updater that tells its stage when ``start()`` has returned."""

    def __init__(self, stage: Stage, **options: Any) -> None:
        super().__init__(**options)
        self._stage = stage

    def start(self) -> Bundle:
        """As ``Updater.start``; what was to happen while the app runs happens after it."""
        bundle = super().start()
        self._stage.has_started()
        return bundle


class Stage:
    """One app, one device, one service. Use it as a context manager, or call ``close``.

    Args:
        folder: An empty folder for the device; ``data`` and ``app`` (the builtin) are made in it.
        service: A running service; without one the stage makes its own and stops it at the end.
        tls: The service that it makes speaks https.
        keys: The publisher's: bundles are signed with them, and the device has the public half.
        clock: What the device goes by; the real clock by default. A ``FakeClock`` is moved, any other one shifted.
        behaviour: What the app does, one of ``BEHAVIOURS``.
        **options: For every ``Updater``, over the defaults.
    """

    def __init__(
        self,
        folder: Path,
        *,
        service: Service | None = None,
        tls: bool = False,
        keys: BundleKeys | None = None,
        clock: Clock | None = None,
        behaviour: str = "ready",
        **options: Any,
    ) -> None:
        self._own = contextlib.ExitStack()
        self.service: Service = service or self._own.enter_context(Service(tls=tls))
        self.data_dir: Path = folder / "data"
        self.builtin: Path = folder / "app"
        self.keys = keys
        self.behaviour = behaviour
        self.files = FaultyFiles()
        self.clock: Clock = clock or Clock()
        #: What the next ``Updater`` gets. Change it at will; a fault changes it for as long as it is arranged.
        self.options: dict[str, Any] = {**self._defaults(), **options}
        #: Every ``Updater`` that was made and not closed by the stage yet, oldest first.
        self.made: list[StagedUpdater] = []
        self._before: StagedUpdater | None = None
        self._while_running: list[Callable[[], object]] = []
        self._lock = threading.Lock()
        if not self.builtin.exists():
            self.builtin.mkdir(parents=True)
            (self.builtin / "main.py").write_text("print('builtin')\n", "utf-8")

    def _defaults(self) -> dict[str, Any]:
        service = self.service
        return {
            "app_id": "com.example.app",
            "version": "1.0.0",
            "builtin": self.builtin,
            "update_url": service.update_url,
            "stats_url": service.stats_url,
            "channel_url": service.channel_url,
            "data_dir": self.data_dir,
            "files": self.files,
            "clock": self.clock,
            "trust_env": False,
            **({"ssl_context": service.ssl_context} if service.has_tls else {}),
            **({"public_key": self.keys.public_pem} if self.keys else {}),
        }

    # The publisher

    def publish(
        self, version: str, files: Mapping[str, bytes | str] | None = None, *, manifest: bool = False, **options: Any
    ) -> MadeBundle:
        """Put a bundle on the channel, signed where the stage has keys; return it."""
        contents = files or {"main.py": f"print('{version}')\n"}
        bundle = make_bundle(version, contents, keys=self.keys, manifest=manifest, brotli=False)
        self.service.publish(bundle, **options)
        return bundle

    # The device

    def updater(self, **more: Any) -> StagedUpdater:
        """An Updater of this app on this device, not started; ``more`` goes over ``options``."""
        made = StagedUpdater(self, **{**self.options, **more})
        self.made.append(made)
        return made

    def launch(self, **more: Any) -> StagedUpdater:
        """Close what runs, start anew, and let the app do what ``behaviour`` says."""
        self.end_launch()
        updater = self.updater(**more)
        updater.start()
        self.behave(updater)
        return updater

    def behave(self, updater: StagedUpdater) -> None:
        """Do what ``behaviour`` says an app does after ``start()``.

        ``late`` lets the ready timer pass first: at once on a ``FakeClock``, in real time else. ``killed`` leaves the
        Updater without ``close()``, and the system takes its files and locks back (``bury``).
        """
        if self.behaviour not in BEHAVIOURS:
            raise ValueError(f"{self.behaviour!r} is not what an app does; that is one of {', '.join(BEHAVIOURS)}")
        if self.behaviour == "ready":
            updater.notify_app_ready()
        elif self.behaviour == "crash":
            updater.report_crash(CrashedOnPurpose("the app crashed before it was ready"))
        elif self.behaviour == "killed":
            self.bury()
        elif self.behaviour == "late":
            self._let_ready_timer_pass(updater)
            updater.notify_app_ready()
        elif self.behaviour == "stale" and self._before is not None:
            with contextlib.suppress(Exception):
                self._before.notify_app_ready()

    def end_launch(self) -> None:
        """Close every Updater that was made."""
        while self.made:
            self._before = self.made.pop()
            with contextlib.suppress(Stopped):
                self._before.close()

    def bury(self) -> None:
        """End the launch as a kill does: nothing of it reaches the disk any more, and its files and locks are free.

        The next launch gets a file system of its own.
        """
        self.files.kill()
        self.end_launch()
        self.files = FaultyFiles()
        self.options["files"] = self.files

    def remember(self, step: Callable[[State], State]) -> None:
        """Change what the device has written down, as the library's own code would; between launches."""
        store = Store(self.data_dir, files=Files())
        store.prepare()
        version = str(self.options["version"])
        ledger = Ledger(
            self.data_dir,
            files=Files(),
            fresh=lambda: State(native_version=version),
            rebuild=lambda: rebuilt(store),
            newer=lambda document: from_newer(document, native_version=version),
        )
        ledger.change(step, patience=_LOCK_PATIENCE)

    def _let_ready_timer_pass(self, updater: StagedUpdater) -> None:
        seconds = float(self.options.get("app_ready_timeout", 10.0)) + _TOO_LATE
        if not isinstance(self.clock, FakeClock):
            self.clock.wait(threading.Event(), seconds)
            return
        self.clock.advance(seconds)
        # The timer is a thread of its own. A version that has confirmed itself before has none, and does not fail.
        end = time.monotonic() + _TIMER_PATIENCE
        while updater.failed_update() is None and time.monotonic() < end:
            threading.Event().wait(_GLANCE)

    # What happens while the app runs

    @contextlib.contextmanager
    def while_running(self, action: Callable[[], object]) -> Iterator[None]:
        """Call ``action`` each time that ``start()`` has returned inside the block."""
        with self._lock:
            self._while_running.append(action)
        try:
            yield
        finally:
            with self._lock:
                self._while_running.remove(action)

    def has_started(self) -> None:
        """``StagedUpdater`` calls this when ``start()`` has returned."""
        with self._lock:
            actions = list(self._while_running)
        for action in actions:
            action()

    @contextlib.contextmanager
    def replaced(self, **options: Any) -> Iterator[None]:
        """Give the Updaters that are made inside the block these options."""
        before = {name: self.options[name] for name in options if name in self.options}
        self.options.update(options)
        try:
            yield
        finally:
            for name in options:
                self.options.pop(name, None)
            self.options.update(before)

    # Its end

    def close(self) -> None:
        """End the launch, and the service where the stage made it. Idempotent."""
        self.end_launch()
        self._own.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
