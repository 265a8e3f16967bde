"""The face of the library: checks what it is given, hands it on, and decides nothing."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import weakref
from dataclasses import dataclass

from capgo_client.bundle import Bundle
from capgo_client.config import CHANNEL_URL, STATS_URL, UPDATE_URL, checked_proxy, configure
from capgo_client.engine import Engine
from capgo_client.errors import CapgoError, ClosedError, ConfigError
from capgo_client.seams import Clock, Files
from capgo_client.service import Wire
from capgo_client.worker import Order

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable
    from types import TracebackType
    from typing import Literal

    import httpx
    from typing_extensions import Self

    from capgo_client.config import PublicKeys
    from capgo_client.events import Callback, Dispatch
    from capgo_client.explain import Explanation
    from capgo_client.life.verdicts import AllowDowngrade
    from capgo_client.manual import Manual
    from capgo_client.protocol.outcomes import ManifestEntry, Outcome, Update
    from capgo_client.session import Reload, Session

__all__ = ["Updater", "Verification", "current_updater"]

_log = logging.getLogger("capgo_client")


@dataclass(frozen=True, slots=True)
class Verification:
    """What ``verify()`` found: true in a condition when nothing is wrong; else ``problems`` names each."""

    problems: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def __bool__(self) -> bool:
        return self.ok


class Updater:
    """Keeps an app up to date from Capgo's live-update service, and keeps it opening whatever happens.

    Every method may be called from any thread; every argument is checked here, so that nothing later raises for it.

    Args:
        app_id: the app's id in Capgo, a reverse domain as in ``com.example.notes``.
        version: of the code inside the installer, semver; the builtin's version.
        builtin: the folder that ships with the app, None where there is none. The start file lies outside it.
        auto_update: Capgo's mode: ``"off"``, ``"atBackground"`` (download behind the app's back, open at the next
            start), ``"atInstall"``, ``"onLaunch"`` and ``"always"`` (``start()`` waits: the first start of an
            installer, the first check of each process, every check), ``"onlyDownload"`` (never queue by itself);
            True is ``"atBackground"``, False ``"off"``.
        direct_update: deprecated in Capgo; counts where ``auto_update`` is True.
        public_key: PEM text, a path, or several of either: from then on nothing unsigned is installed.
        require_bound: refuse bundles without a record of their own (``capgo-bundle.json``).
        allow_downgrade: ``"above_builtin"``: nothing older than the builtin; False: nothing older than the newest
            version that worked here, nor back to the builtin; True: whatever the channel says.
        default_channel: asked for instead of the app's public channel.
        update_url: and ``stats_url``, ``channel_url``: the service's endpoints; an empty text turns one off.
        response_timeout: seconds for a whole check, name lookup to last byte; at most 3.
        app_ready_timeout: seconds in the foreground within which a new version has to say ``notify_app_ready()``.
        direct_timeout: seconds that ``start()`` may spend from download to seal in a direct mode.
        max_boot_attempts: starts that a new version gets to say so.
        period_check_delay: seconds between checks while the app runs: 0 for none, else at least 600.
        reset_when_update: a new installer drops what was downloaded under the old one.
        entry: a file that every bundle must have, as in ``"main.py"``.
        data_dir: where everything is kept; by default this user's data folder of the app.
        device_id: a UUID; by default made once and kept.
        custom_id: the publisher's own name for this device, up to 36 characters.
        reload: changes the running app over to another bundle; called with the Bundle if it takes an argument.
        dispatch: runs a callable where the app wants its callbacks (Kivy's ``Clock.schedule_once``, Qt, asyncio).
        may_download: asked with the offer before a download; False keeps it for another time (metered network).
        transport: an httpx transport to use instead of ours; then only the return of a check is bounded.
        proxy: URL of an HTTP proxy; by default the environment's.
        trust_env: whether the environment's proxies and certificate paths count.
        ssl_context: whom to trust instead of the system's authorities.
        allow_http: permit plain http beyond loopback.
        clock: and ``files``: the seams, for tests.

    Raises:
        ConfigError: an option is wrong.
    """

    def __init__(
        self,
        app_id: str,
        version: str,
        builtin: str | os.PathLike[str] | None = None,
        *,
        auto_update: bool | str = "atBackground",
        direct_update: bool | str = False,
        public_key: PublicKeys | None = None,
        require_bound: bool = False,
        allow_downgrade: AllowDowngrade = "above_builtin",
        default_channel: str = "",
        update_url: str = UPDATE_URL,
        stats_url: str = STATS_URL,
        channel_url: str = CHANNEL_URL,
        response_timeout: float = 3.0,
        app_ready_timeout: float = 10.0,
        direct_timeout: float = 10.0,
        max_boot_attempts: int = 3,
        period_check_delay: float = 0.0,
        reset_when_update: bool = True,
        entry: str | None = None,
        data_dir: str | os.PathLike[str] | None = None,
        device_id: str | None = None,
        custom_id: str = "",
        reload: Reload | None = None,
        dispatch: Dispatch | None = None,
        may_download: Callable[[Update], bool] | None = None,
        transport: httpx.BaseTransport | None = None,
        proxy: str | None = None,
        trust_env: bool = True,
        ssl_context: ssl.SSLContext | None = None,
        allow_http: bool = False,
        clock: Clock | None = None,
        files: Files | None = None,
    ) -> None:
        config = configure(
            app_id=app_id,
            version=version,
            builtin=builtin,
            auto_update=auto_update,
            direct_update=direct_update,
            public_key=public_key,
            allow_downgrade=allow_downgrade,
            data_dir=data_dir,
            device_id=device_id,
            custom_id=custom_id,
            entry=entry,
            allow_http=allow_http,
            urls={"update_url": update_url, "stats_url": stats_url, "channel_url": channel_url},
            seconds={
                "response_timeout": response_timeout,
                "app_ready_timeout": app_ready_timeout,
                "direct_timeout": direct_timeout,
                "period_check_delay": period_check_delay,
            },
            max_boot_attempts=max_boot_attempts,
            default_channel=default_channel,
            require_bound=require_bound,
            reset_when_update=reset_when_update,
        )
        for name, value in (("reload", reload), ("dispatch", dispatch), ("may_download", may_download)):
            if value is not None and not callable(value):
                raise ConfigError(f"{name}: {value!r} cannot be called", hint="allowed: a callable, or None")
        self._engine = Engine(
            config,
            clock=clock or Clock(),
            files=files or Files(),
            wire=Wire(transport=transport, proxy=checked_proxy(proxy), trust_env=trust_env, ssl_context=ssl_context),
            reload=reload,
            dispatch=dispatch,
            may_download=may_download,
        )
        self._pid = os.getpid()
        self._start_lock = threading.Lock()
        self._closed = False
        _engines.add(self._engine)

    # ---- opening ----

    def start(self) -> Bundle:
        """Open a version of the app; the same Bundle when called again. Nothing the world does raises here.

        Returns at once in background modes. In a direct mode at most ``response_timeout`` for the check and
        ``direct_timeout`` for the download later, each plus at most 0.1 s.

        Raises:
            ClosedError: after ``close()``.
        """
        if self._is_inert:
            return self._session.opened.bundle if self._engine.session else self._engine.opening.builtin()
        self._require_open()
        with self._start_lock:
            session = self._engine.session
            if session is None:
                session = self._engine.start()
                _set_current(self)
            return session.opened.bundle

    def notify_app_ready(self) -> None:
        """This version works. Idempotent, from any thread; without effect before ``start()`` and after ``close()``."""
        if self._is_inert or self._closed or self._engine.session is None:
            return
        self._engine.session.ready()
        self._engine.hurry()

    def report_crash(self, exc: BaseException) -> None:
        """The app crashed: a version that never said "ready" is rolled back for good, a proven one after three."""
        if self._is_inert or self._closed or self._engine.session is None:
            return
        self._engine.session.crashed(exc)

    def moved_to_background(self) -> None:
        """The app is no longer seen: the ready timer pauses; a queued version is applied where ``reload`` was given."""
        self._require_open()
        if self._is_inert or self._engine.session is None:
            return
        self._session.paused()
        if self._engine.config.queues:
            self._engine.apply_queued()

    def moved_to_foreground(self) -> None:
        """The app is seen again: the ready timer goes on, and the service is asked unless the back-off runs."""
        self._require_open()
        if self._is_inert or self._engine.session is None:
            return
        self._session.resumed()
        if self._engine.config.checks:
            self._engine.submit(Order())

    # ---- what there is ----

    @property
    def current(self) -> Bundle:
        """What this process opened. Raises CapgoError ``not_started`` before ``start()``."""
        return self._session.opened.bundle

    @property
    def next_bundle(self) -> Bundle | None:
        """What is queued for the next start; None when nothing is."""
        return self._manual.next_bundle()

    @property
    def fallback(self) -> Bundle:
        """The last version that said "ready"; the builtin before any did."""
        return self._manual.fallback()

    @property
    def builtin(self) -> Bundle:
        """The version that ships inside the installer."""
        return self._engine.opening.builtin()

    @property
    def device_id(self) -> str:
        """This device's id as the service knows it: a UUID, made once and kept."""
        return self._engine.device.value

    def bundles(self) -> tuple[Bundle, ...]:
        """Every downloaded version that is on disk, oldest first. The builtin is not among them."""
        self._require_open()
        return self._manual.bundles()

    def failed_update(self) -> Bundle | None:
        """The version that was last rolled back. It is told to one process only, as often as that one asks."""
        self._require_open()
        return self._manual.failed_update()

    def explain(self) -> Explanation:
        """What was decided, why, from which record or reply, and what would change it; ``str()`` gives sentences."""
        return self._manual.explain()

    def verify(self, bundle: Bundle | str, *, full: bool = True) -> Verification:
        """Look a bundle over: at a glance, or with ``full`` every file of it. Raises BundleError for unknown ones."""
        self._require_open()
        return Verification(self._manual.verify(_id(bundle), full=full))

    # ---- doing by hand what the modes do by themselves ----

    def get_latest(self, channel: str = "") -> Outcome:
        """Ask the service now: an Update, UpToDate, Blocked or Builtin outcome. Blocks for ``response_timeout``.

        Raises:
            RateLimited: it asked to wait; also when an earlier answer did, and then nothing is sent.
            ServiceError: it answered with an error; ``on_premise_app`` for "plan ended" and its look-alikes.
            TransferError: no answer (time-out, no network).
            ReplyError: what answered is not the service.
        """
        self._require_open()
        return self._manual.get_latest(channel)

    def download(
        self,
        url: str | Update,
        version: str = "",
        *,
        session_key: str = "",
        checksum: str = "",
        manifest: Iterable[ManifestEntry] = (),
        timeout: float = 600.0,
    ) -> Bundle:
        """Fetch, verify and install a version, without queueing it. Blocks for at most ``timeout`` seconds.

        Takes an Update as ``get_latest()`` gives it, or its parts. What is on disk already is returned as it is.

        Raises:
            UpdateRefused: it failed on this device before, or goes back too far.
            TransferError, IntegrityError, StorageError: see ``errors``.
        """
        self._require_open()
        return self._manual.download(
            url, version, session_key=session_key, checksum=checksum, manifest=tuple(manifest), timeout=timeout
        )

    def set_next(self, bundle: Bundle | str) -> Bundle:
        """Queue a bundle (or ``"builtin"``) for the next start. Raises BundleError, StorageError."""
        self._require_open()
        return self._manual.set_next(_id(bundle))

    def set(self, bundle: Bundle | str) -> Bundle:
        """Change over to a bundle: now where ``reload`` was given, else at the next start.

        Raises:
            BundleError: unknown, damaged, condemned, or ``reload`` raised (everything is as before then).
            StorageError: it cannot be written down.
        """
        self._require_open()
        return self._manual.set(_id(bundle))

    def reset(self, *, to_last_successful: bool = False) -> Bundle:
        """Go back to the builtin, or to the last version that said "ready"; now or at the next start, as ``set``."""
        self._require_open()
        return self._manual.reset(to_last_successful=to_last_successful)

    def delete(self, bundle: Bundle | str) -> None:
        """Remove a bundle from disk. Raises BundleError for the builtin, and for what is open, queued or needed."""
        self._require_open()
        self._manual.delete(_id(bundle))

    def trigger_update_check(self) -> Literal["queued", "already_running", "unavailable"]:
        """Run a cycle now, in the background; in mode "off" it downloads without queueing."""
        self._require_open()
        if self._is_inert:
            return "unavailable"
        return self._engine.submit(Order(by_app=True))

    def set_custom_id(self, custom_id: str) -> None:
        """The publisher's own name for this device, for this process; an empty text clears it. Raises ConfigError."""
        self._require_open()
        self._manual.set_custom_id(custom_id)

    def on(self, event: str, callback: Callback) -> Callable[[], None]:
        """Call ``callback`` with each Event of that name; returns what ends it. Raises ConfigError."""
        self._require_open()
        try:
            return self._engine.emitter.subscribe(event, callback)
        except ValueError as exc:
            raise ConfigError(f"on: {exc}") from exc

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until no cycle runs or is due, starting one that is only delayed; False after ``timeout`` seconds."""
        self._require_open()
        return True if self._is_inert else self._engine.wait(timeout)

    # ---- the end ----

    def close(self) -> None:
        """Stop everything within 0.2 s. Idempotent; the lease on the open bundle stays until the process ends."""
        if self._closed or self._is_inert:
            return
        self._closed = True
        self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Leaving by sys.exit() or Ctrl-C is no crash.
        session = self._engine.session
        if isinstance(exc, Exception) and session is not None and not session.is_ready:
            self.report_crash(exc)
        self.close()

    @property
    def _is_inert(self) -> bool:
        """Whether this is a forked child's copy: its threads do not exist, and its locks are the parent's."""
        return os.getpid() != self._pid

    @property
    def _session(self) -> Session:
        session = self._engine.session
        if session is None:
            raise CapgoError("no bundle is open yet", code="not_started", hint="call start() first")
        return session

    @property
    def _manual(self) -> Manual:
        from capgo_client.manual import Manual

        return Manual(self._engine)

    def _require_open(self) -> None:
        if self._closed:
            raise ClosedError("this Updater is closed")


def _id(bundle: Bundle | str) -> str:
    return bundle.id if isinstance(bundle, Bundle) else bundle


_engines: weakref.WeakSet[Engine] = weakref.WeakSet()
_current: list[Updater] = []


def _set_current(updater: Updater) -> None:
    _current[:] = [updater]


def current_updater() -> Updater:
    """The Updater that was started last in this process: how code inside a bundle reaches it.

    Raises:
        CapgoError: ``not_started``, none was.
    """
    if not _current:
        raise CapgoError("no Updater was started in this process", code="not_started", hint="call start() first")
    return _current[0]


def _after_fork_in_child() -> None:
    for engine in list(_engines):
        engine.abandon()
    _engines.clear()  # closing them at the child's exit would unlock what the parent holds


def _at_exit() -> None:
    """What still runs is told to end; nothing is waited for but a moment."""
    for engine in list(_engines):
        try:
            engine.close()
        except Exception:
            _log.debug("closing at exit failed", exc_info=True)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(_at_exit)
