"""The Updater itself: its options, how a start begins and how it ends."""

from __future__ import annotations

import atexit
import os
import threading
import weakref

from capgo_client.config import CHANNEL_URL, STATS_URL, UPDATE_URL, configure
from capgo_client.engine import Engine
from capgo_client.errors import CapgoError, ConfigError
from capgo_client.install.locks import abandon_exclusive
from capgo_client.log import Log
from capgo_client.seams import Clock, Files
from capgo_client.updater.asking import AskingMethods
from capgo_client.updater.bundles import BundleMethods
from capgo_client.updater.choices import ChoiceMethods
from capgo_client.wire import Wire
from capgo_client.worker import Order

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Collection, Mapping
    from types import TracebackType

    import httpx
    from typing_extensions import Self

    from capgo_client.bundle import Bundle
    from capgo_client.config import PublicKeys
    from capgo_client.events import Dispatch
    from capgo_client.life.verdicts import AllowDowngrade
    from capgo_client.protocol.outcomes import Update
    from capgo_client.session import Reload

__all__ = ["Updater", "current_updater"]

_log = Log("capgo_client")


class Updater(BundleMethods, AskingMethods, ChoiceMethods):
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
        version_code: the installer's build number, as the statistics show it.
        install_source: which shop installed the app, as in ``"google_play"``; up to 64 characters.
        is_emulator: whether this is no real device; channels can shut emulators out.
        is_prod: whether this is a production build; channels can shut either kind out.
        response_timeout: seconds for a whole check, name lookup to last byte; at most 3.
        app_ready_timeout: seconds in the foreground within which a new version has to say ``notify_app_ready()``.
        direct_timeout: seconds that ``start()`` may spend from download to seal in a direct mode.
        max_boot_attempts: starts that a new version gets to say so.
        max_download_bytes: what one update may take on the way: its archive, or all files that a delta fetches.
        max_bundle_bytes: what one bundle may take on disk, unpacked.
        max_file_bytes: what one file of it may take.
        max_files: files and folders that one bundle may have.
        max_ratio: how many times its packed size a bundle may unpack to; asked only above 64 MiB.
        period_check_delay: seconds between checks while the app runs: 0 for none, else at least 600.
        reset_when_update: a new installer drops what was downloaded under the old one.
        auto_delete_failed: remove the files of a version that was rolled back; it stays condemned either way.
        auto_delete_previous: remove what is neither open, queued, nor one of the two versions to fall back on.
        allow_modify_url: permit ``set_update_url()``, ``set_stats_url()`` and ``set_channel_url()``;
            ``persist_modify_url`` keeps what they set for the next starts.
        allow_modify_app_id: permit ``set_app_id()``, for this process.
        persist_custom_id: keep what ``set_custom_id()`` sets.
        allow_manual_bundle_error: permit ``set_bundle_error()``.
        allow_set_default_channel: permit ``set_channel()``.
        persist_default_channel_on_reinstall: False drops the stored channel when a new installer starts, and when the
            data directory was copied or restored from a backup.
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
        pinned_keys: for a host, the public keys of which its certificate must hold one (``sha256//…`` as curl's
            ``--pinnedpubkey``); above what ``ssl_context`` demands.
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
        version_code: str = "",
        install_source: str = "",
        is_emulator: bool = False,
        is_prod: bool = True,
        update_url: str = UPDATE_URL,
        stats_url: str = STATS_URL,
        channel_url: str = CHANNEL_URL,
        response_timeout: float = 3.0,
        app_ready_timeout: float = 10.0,
        direct_timeout: float = 10.0,
        max_boot_attempts: int = 3,
        max_download_bytes: int = 1_073_741_824,
        max_bundle_bytes: int = 4_294_967_296,
        max_file_bytes: int = 1_073_741_824,
        max_files: int = 50_000,
        max_ratio: int = 200,
        period_check_delay: float = 0.0,
        reset_when_update: bool = True,
        auto_delete_failed: bool = True,
        auto_delete_previous: bool = True,
        allow_modify_url: bool = False,
        persist_modify_url: bool = False,
        allow_modify_app_id: bool = False,
        persist_custom_id: bool = False,
        allow_manual_bundle_error: bool = False,
        allow_set_default_channel: bool = True,
        persist_default_channel_on_reinstall: bool = True,
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
        pinned_keys: Mapping[str, Collection[str]] | None = None,
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
            texts={"default_channel": default_channel, "version_code": version_code, "install_source": install_source},
            numbers={
                "max_boot_attempts": max_boot_attempts,
                "max_download_bytes": max_download_bytes,
                "max_bundle_bytes": max_bundle_bytes,
                "max_file_bytes": max_file_bytes,
                "max_files": max_files,
                "max_ratio": max_ratio,
            },
            require_bound=require_bound,
            reset_when_update=reset_when_update,
            is_emulator=is_emulator,
            is_prod=is_prod,
            auto_delete_failed=auto_delete_failed,
            auto_delete_previous=auto_delete_previous,
            allow_modify_url=allow_modify_url,
            persist_modify_url=persist_modify_url,
            allow_modify_app_id=allow_modify_app_id,
            persist_custom_id=persist_custom_id,
            allow_manual_bundle_error=allow_manual_bundle_error,
            allow_set_default_channel=allow_set_default_channel,
            persist_default_channel_on_reinstall=persist_default_channel_on_reinstall,
        )
        _need_callables(reload=reload, dispatch=dispatch, may_download=may_download)
        self._engine = Engine(
            config,
            clock=clock or Clock(),
            files=files or Files(),
            wire=_wire(
                transport=transport, proxy=proxy, trust_env=trust_env, ssl_context=ssl_context, pinned_keys=pinned_keys
            ),
            reload=reload,
            dispatch=dispatch,
            may_download=may_download,
        )
        self._pid, self._start_lock, self._closed = os.getpid(), threading.Lock(), False
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

    def report_memory_warning(self) -> None:
        """The system asked the app for memory (Kivy's ``on_memorywarning``): a statistic, and nothing else."""
        if self._is_inert or self._closed or self._engine.session is None:
            return
        self._engine.journal.short_of_memory(self._engine.session.opened.bundle.version)

    def moved_to_background(self) -> None:
        """The app is no longer seen: the ready timer pauses; a queued version is applied where ``reload`` was given."""
        self._require_open()
        if self._is_inert or self._engine.session is None:
            return
        self._session.paused()
        self._engine.behind.moved(to_foreground=False)
        if self._engine.config.queues:
            self._engine.apply_queued()

    def moved_to_foreground(self) -> None:
        """The app is seen again: the ready timer goes on, and the service is asked unless the back-off runs."""
        self._require_open()
        if self._is_inert or self._engine.session is None:
            return
        self._session.resumed()
        self._engine.behind.moved(to_foreground=True)
        if self._engine.checks:
            self._engine.submit(Order())

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until no cycle runs or is due, starting one that is only delayed; False after ``timeout`` seconds.

        Statistics that are being collected are sent now, and waited for a second at most: a script that calls this
        before it ends has told what it had to tell. The outcome of that does not change what is returned.
        """
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


def _wire(
    *,
    transport: httpx.BaseTransport | None,
    proxy: str | None,
    trust_env: bool,
    ssl_context: ssl.SSLContext | None,
    pinned_keys: Mapping[str, Collection[str]] | None,
) -> Wire:
    pins: Mapping[str, Collection[bytes]] | None = None
    if proxy is not None or pinned_keys is not None:
        from capgo_client.addresses import checked_pins, checked_proxy

        proxy = checked_proxy(proxy)
        pins = checked_pins(pinned_keys, has_transport=transport is not None)
    return Wire(transport=transport, proxy=proxy, trust_env=trust_env, ssl_context=ssl_context, pins=pins)


def _need_callables(**given: object) -> None:
    for name, value in given.items():
        if value is not None and not callable(value):
            raise ConfigError(f"{name}: {value!r} cannot be called", hint="allowed: a callable, or None")


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
    abandon_exclusive()
    _engines.clear()  # closing them at the child's exit would unlock what the parent holds


def _at_exit() -> None:
    """What still runs is told to end; nothing is waited for but a moment."""
    for engine in list(_engines):
        try:
            engine.close(at_exit=True)
        except Exception:
            _log.debug("closing at exit failed", exc_info=True)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(_at_exit)
