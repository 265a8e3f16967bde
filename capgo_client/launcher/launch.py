"""One launch of an app out of a bundle: counted, watched, and taken back where it crashes before it is proven."""

from __future__ import annotations

import contextlib
import os
import sys

from capgo_client.bundle import BundleStatus
from capgo_client.errors import CapgoError, ConfigError
from capgo_client.launcher import bytecode
from capgo_client.launcher.entry import parsed
from capgo_client.launcher.fresh import FreshStart
from capgo_client.log import Log
from capgo_client.options import seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from capgo_client.engine import Engine
    from capgo_client.launcher.entry import Entry
    from capgo_client.ready import ReadyTimer
    from capgo_client.updater import Updater

__all__ = ["Launch", "prepared", "restart", "restart_obstacle", "run"]

_log = Log("capgo_client.launcher")
#: How this process was started; noted by the first ``run()``.
_noted: list[FreshStart] = []


def run(updater: Updater, entry: str, *, ready_after: float | None = None, reopen: bool = True) -> object:
    """Start the updater and run ``entry`` out of the version that it opens; then close the updater.

    A crash is an exception that leaves the entry, or a version without such an entry; before "ready" also an exit with
    a code other than 0. It is reported. Where that rolled the version back, and it had not said "ready" in this launch,
    the good version opens in the same process start, in a fresh interpreter, once. Ctrl-C and exit code 0 are none.

    Args:
        updater: not closed yet.
        entry: ``"module:function"``, called without arguments, or ``"module"``, run as ``python -m module`` would; it
            is looked for in the bundle's folder and nowhere else.
        ready_after: for an app that has no moment to say ``notify_app_ready()``: after so many seconds, or when it
            ends well before, it has proven itself. Below ``app_ready_timeout``.
        reopen: False: after a roll-back the process ends with the exception; the good version opens at the next start.

    Returns:
        What the function returned; None for a module.

    Raises:
        ConfigError: ``entry`` or ``ready_after`` is wrong, or the builtin has no such entry.
        Exception: what the app raised, where nothing else could be opened.
    """
    return prepared(updater, entry, ready_after=ready_after, reopen=reopen).run()


def prepared(updater: Updater, entry: str, *, ready_after: float | None, reopen: bool = True) -> Launch:
    """What ``run`` will do, with the options of ``run``; nothing was started yet. Raises ConfigError."""
    what = parsed(entry)
    engine = updater._engine  # noqa: SLF001 - the launcher is a part of the face
    patience = _checked(ready_after, engine)
    if not _noted:
        _noted.append(FreshStart())
    return Launch(updater, what, fresh=_noted[0], ready_after=patience, reopen=reopen)


def restart(*_: object) -> None:
    """Start this process once more, in a fresh interpreter: ``Updater(reload=restart)``.

    With it ``updater.set()`` and ``updater.reload()`` change over at once, and a version that hangs is replaced as soon
    as the ready timer runs out. Does not return.

    Raises:
        CapgoError: ``restart_impossible``, as on phones; or ``not_started``.
    """
    from capgo_client.updater import current_updater

    fresh = _noted[0] if _noted else FreshStart()
    updater = current_updater()
    if not fresh.obstacle:
        updater.close()  # the fresh interpreter is the one that counts
    os._exit(fresh.go(after_crash=False))


def restart_obstacle() -> str:
    """Why ``restart()`` is not possible here; empty where it is, so that an app can offer it or leave it out."""
    return (_noted[0] if _noted else FreshStart()).obstacle


def _checked(ready_after: float | None, engine: Engine) -> float | None:
    if ready_after is None:
        return None
    limit = engine.config.app_ready_timeout
    if seconds("ready_after", ready_after, high=limit) == limit:
        raise ConfigError(
            f"ready_after: {ready_after:g} s is when the version is rolled back", hint=f"allowed: less than {limit:g}"
        )
    return float(ready_after)


class Launch:
    """From ``start()`` to the end of the entry, once."""

    def __init__(
        self, updater: Updater, entry: Entry, *, fresh: FreshStart, ready_after: float | None, reopen: bool
    ) -> None:
        self._updater = updater
        self._engine = updater._engine  # noqa: SLF001 - see run()
        self._entry = entry
        self._fresh = fresh
        self._ready_after = ready_after
        self._reopen = reopen

    def run(self) -> object:
        """Open, run, judge how it ended, and close the updater; as the function ``run`` says."""
        try:
            return self._run()
        finally:
            self._updater.close()

    def _run(self) -> object:
        self._updater.start()
        timer = self._ready_timer()
        try:
            result = self._opened()()
        except BaseException as exc:
            self._ended(exc)
            raise
        else:
            self._worked()
            return result
        finally:
            if timer is not None:
                timer.stop()

    def _opened(self) -> Callable[[], object]:
        config, bundle = self._engine.config, self._updater.current
        if not bundle.is_builtin:
            prefix = bytecode.keep_apart(self._engine.store, version=config.version)
            if prefix and self._engine.may_write:
                bytecode.sweep(prefix, str(bundle.path), store=self._engine.store, files=self._engine.files)
        elif self._engine.opening.misses_builtin:
            raise ConfigError(
                f"the builtin folder {config.builtin} is missing", hint="ship it with the app: this install is broken"
            )
        return self._entry.opened(bundle, builtin=config.builtin)

    def _ready_timer(self) -> ReadyTimer | None:
        if self._ready_after is None:
            return None
        from capgo_client.ready import ReadyTimer

        timer = ReadyTimer(self._ready_after, self._updater.notify_app_ready, clock=self._engine.clock)
        timer.start()
        return timer

    @property
    def _is_ready(self) -> bool:
        session = self._engine.session
        return session is not None and session.is_ready

    def _worked(self) -> None:
        if self._ready_after is not None:
            self._updater.notify_app_ready()

    def _ended(self, exc: BaseException) -> None:
        """Judge an ending by exception; does not return where another version opens instead."""
        if isinstance(exc, SystemExit) and _is_success(exc.code):
            self._worked()
            return
        was_ready = self._is_ready
        if isinstance(exc, KeyboardInterrupt) or (was_ready and isinstance(exc, SystemExit)):
            return
        self._updater.report_crash(exc)
        was_rolled_back = self._updater.current.status is BundleStatus.ERROR
        if was_rolled_back and not was_ready and self._reopen:
            self._open_good_one(exc)

    def _open_good_one(self, exc: BaseException) -> None:
        """In a fresh interpreter, unless this one is that already."""
        version = self._updater.current.version
        obstacle = "it did so once in this start" if self._fresh.is_second else self._fresh.obstacle
        if obstacle:
            _log.error("%s crashed; the good version opens at the next start, because %s", version, obstacle)
            return
        _log.error("%s crashed before it was ready; the good version opens now", version)
        _show(exc)
        self._updater.close()
        try:
            code = self._fresh.go(after_crash=True)
        except CapgoError as failure:
            _log.error("%s", failure)
            return
        _exit(code, exc)


def _is_success(code: object) -> bool:
    """Whether Python makes 0 of it: an empty text is a text, and ends with 1."""
    return code is None or (isinstance(code, int) and code == 0)


def _show(exc: BaseException) -> None:
    """As Python does at the end of a process; the app's own hook sends it to where crashes are collected."""
    with contextlib.suppress(Exception, SystemExit):
        if not isinstance(exc, SystemExit):
            sys.excepthook(type(exc), exc, exc.__traceback__)
        elif not isinstance(exc.code, int):
            sys.stderr.write(f"{exc.code}\n")


def _exit(code: int, exc: BaseException) -> NoReturn:
    raise SystemExit(code) from exc
