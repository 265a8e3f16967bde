"""A Kivy ``App`` that keeps itself up to date. Nothing of Kivy is imported before it runs."""

from __future__ import annotations

import contextlib

from capgo_client.errors import BundleError, CapgoError, ClosedError, ConfigError
from capgo_client.launcher import restart, restart_obstacle
from capgo_client.log import Log
from capgo_client.updater import current_updater

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from capgo_client.bundle import Bundle
    from capgo_client.updater import Updater

    class _App:
        """What of ``kivy.app.App`` is used; Kivy brings no types of its own."""

        root: object

        def bind(self, **observers: Callable[..., object]) -> None: ...
        def run(self) -> None: ...
        async def async_run(self, async_lib: str | None = None) -> None: ...
        def stop(self, *_: object) -> None: ...

else:
    _App = object

__all__ = ["LiveUpdates", "on_clock"]

_log = Log("capgo_client.kivy")


def on_clock(deliver: Callable[[], None]) -> None:
    """Have ``deliver`` called in Kivy's own thread, at its next frame: ``Updater(dispatch=on_clock)``."""
    from kivy.clock import Clock

    Clock.schedule_once(lambda _: deliver())


class LiveUpdates(_App):
    """Put it before ``App``: ``class NotesApp(LiveUpdates, App)``.

    It takes the Updater that the launcher started, or starts the one of ``make_updater()``. Then

    * callbacks given to ``updater.on()`` run in Kivy's thread, unless the Updater has a ``dispatch`` of its own;
    * "ready" is said when the first frame is on the screen (``is_ready()`` can ask for more);
    * ``on_pause``, ``on_resume`` and ``on_stop`` tell the Updater, and ``on_memorywarning`` of the window does. They
      are observed from outside: your own methods of these names need not call ``super()``.

    Without an Updater the app opens all the same, with a line in the log.
    """

    _updater: Updater | None = None
    _is_restarting = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        before = cls.__mro__[: cls.__mro__.index(LiveUpdates)]
        if any(base.__module__ == "kivy.app" for base in before):  # its run() would never come to ours: no "ready"
            raise ConfigError(
                f"{cls.__name__}: App stands before LiveUpdates", hint=f"class {cls.__name__}(LiveUpdates, App)"
            )

    # ---- what an app may override ----

    def make_updater(self) -> Updater:
        """The Updater of an app that no launcher opens. Raises CapgoError ``not_started``: there is none."""
        raise _not_started()

    def is_ready(self) -> bool:
        """Whether this version works; asked after each frame that was drawn, until it is true."""
        return True

    # ---- what it may use ----

    @property
    def updater(self) -> Updater:
        """The Updater, from ``build()`` on. Raises CapgoError ``not_started`` where there is none."""
        return self._updater or _running()

    @property
    def can_restart(self) -> bool:
        """Whether ``restart_into_update()`` can work here; phones start apps by themselves."""
        return self._updater is not None and (_changes_in_place(self._updater) or not restart_obstacle())

    def restart_into_update(self, bundle: Bundle | None = None) -> None:
        """Change over to ``bundle``, or to what is queued, whatever delay conditions there are.

        The app stops as ever (``on_stop``), and the same process starts anew. Where the Updater was given a ``reload``
        other than ``launcher.restart``, that changes over instead, and nothing is stopped here.

        Raises:
            BundleError: nothing is ready, or it is damaged or was condemned; see ``Updater.set``.
            CapgoError: ``restart_impossible``.
            StorageError: it cannot be written down.
        """
        updater = self.updater
        wanted = bundle or updater.next_bundle
        if wanted is None:
            raise BundleError("no update is ready", code="bundle_unknown", hint="see updater.next_bundle")
        if _changes_in_place(updater):
            updater.set(wanted)
            return
        obstacle = restart_obstacle()
        if obstacle:
            raise CapgoError(f"the app cannot restart itself: {obstacle}", code="restart_impossible")
        updater._manual.set_next(wanted.id, at_once=True)  # noqa: SLF001 - set() would not let the app stop first
        self._is_restarting = True
        self.stop()

    # ---- running ----

    def run(self) -> None:
        """As Kivy's, with the Updater."""
        self._attend()
        super().run()
        self._leave()

    async def async_run(self, async_lib: str | None = None) -> None:
        """As Kivy's, with the Updater."""
        self._attend()
        await super().async_run(async_lib)
        self._leave()

    def _attend(self) -> None:
        try:
            updater = _started(self)
        except CapgoError as exc:
            if exc.code != "not_started":
                raise
            _log.warning("Live updates: %s, so nothing is updated; %s", exc.message, exc.hint)
            return
        self._updater = updater
        updater._engine.emitter.deliver_by(on_clock)  # noqa: SLF001 - the integration is a part of the face
        self.bind(
            on_start=self._on_started, on_pause=self._on_paused, on_resume=self._on_resumed, on_stop=self._on_stopped
        )

    def _leave(self) -> None:
        if not self._is_restarting:
            return
        self._is_restarting = False
        _close_window()
        try:
            restart()
        except CapgoError as exc:
            _log.error("the update opens at the next start: %s", exc)

    # ---- what Kivy tells; none returns True, which would keep it from the app's own methods ----

    def _on_started(self, *_: object) -> None:
        from kivy.base import EventLoop

        if EventLoop.window is not None:
            EventLoop.window.bind(on_flip=self._on_flip, on_memorywarning=self._on_memorywarning)

    def _on_flip(self, *_: object) -> None:
        """A frame was drawn, and is about to be shown: it is on the screen when the clock ticks next."""
        on_clock(self._on_shown)

    def _on_shown(self) -> None:
        if not self.is_ready():
            return
        from kivy.base import EventLoop

        EventLoop.window.unbind(on_flip=self._on_flip)
        self.updater.notify_app_ready()

    def _on_paused(self, *_: object) -> None:
        with contextlib.suppress(ClosedError):
            self.updater.moved_to_background()

    def _on_resumed(self, *_: object) -> None:
        with contextlib.suppress(ClosedError):
            self.updater.moved_to_foreground()

    def _on_stopped(self, *_: object) -> None:
        self.updater.close()

    def _on_memorywarning(self, *_: Any) -> None:
        self.updater.report_memory_warning()


def _started(app: LiveUpdates) -> Updater:
    """The Updater that runs, else the app's own, started."""
    try:
        return _running()
    except CapgoError:
        updater = app.make_updater()
        updater.start()
        return updater


def _running() -> Updater:
    """Raises CapgoError ``not_started``, also where the last one was closed: that of an app that ran before."""
    updater = current_updater()
    if updater._closed:  # noqa: SLF001 - see LiveUpdates._attend
        raise _not_started()
    return updater


def _not_started() -> CapgoError:
    return CapgoError(
        "no Updater was started in this process",
        code="not_started",
        hint="open the app by capgo_client.launcher.run(), or override make_updater()",
    )


def _close_window() -> None:
    """Where the fresh interpreter is another process, as on Windows, this one waits for it: nobody shall see that."""
    from kivy.base import EventLoop

    if EventLoop.window is not None:
        EventLoop.window.close()


def _changes_in_place(updater: Updater) -> bool:
    """Whether the app has a way of its own to change over while it runs."""
    engine = updater._engine  # noqa: SLF001 - see LiveUpdates._attend
    return engine.session is not None and engine.session.can_switch and engine.reload is not restart
