"""Which statistics each thing that happens raises (reference/plugin-behaviour.md section 5).

``version_name`` of an event is the version that it is about, which may not be the one that runs. Where the two
platforms of the plugin differ, the version that makes the event useful is taken: the one that failed.
"""

from __future__ import annotations

import threading

from capgo_client.protocol.stats import StatsEvent, failure_action

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from capgo_client.bundle import Bundle
    from capgo_client.errors import CapgoError
    from capgo_client.life.settings import News
    from capgo_client.opening import Opened
    from capgo_client.seams import Clock
    from capgo_client.stats.recorder import Stats
    from capgo_client.stats.trace import Trace, Traced

__all__ = ["Journal"]

_TENTH = 10


class Journal:
    """Writes down what happens, in the words of the service. Nothing here raises, and nothing waits for a network."""

    def __init__(
        self, stats: Stats, trace: Trace, *, clock: Clock, began: tuple[float, float], enabled: Callable[[], bool]
    ) -> None:
        self._stats = stats
        self._enabled = enabled
        self._trace = trace
        self._clock = clock
        self._lock = threading.Lock()
        self._began, self._began_wall = began
        self._launched_at = ""
        self._is_ready = False

    # ---- a launch ----

    def launched(self, version: str) -> None:
        """A process began; told once, and before whatever else happens in it."""
        with self._lock:
            if self._launched_at:
                return
            self._launched_at = str(int(self._began_wall * 1000))
            if self._enabled():
                self._tell_launch(version)

    def _tell_launch(self, version: str) -> None:
        metadata = {"launch_started_at": self._launched_at, "source": "plugin_load"}
        died = self._trace.found()
        self._stats.record_all(
            [
                StatsEvent("app_launch_start", version, metadata=metadata),
                *([] if died is None else [_blamed(died)]),
                StatsEvent("app_moved_to_foreground", version),
            ]
        )
        self._trace.leave(started_at=self._launched_at, version=version)

    def ended(self) -> None:
        """The process ends in good order."""
        if self._launched_at:
            self._trace.take_away()

    def opened(self, opened: Opened) -> None:
        """What this start opened, where that is not what the last one did."""
        if opened.given_up:
            self.rolled_back(opened.given_up)
        if opened.before and opened.before != opened.given_up:  # a roll-back is no reset, and no install
            self.switched(opened.bundle, old=opened.before)

    def ready(self, version: str) -> None:
        """The app said so for the first time in this process."""
        with self._lock:
            if self._is_ready:
                return
            self._is_ready = True
        self.launched(version)  # the duration counts from it
        self._tell("app_launch_ready", version, self._duration("notify_app_ready"))

    def timed_out(self, version: str, *, timeout: float) -> None:
        """The ready timer ran out."""
        metadata = {**self._duration("app_ready_timeout"), "timeout_ms": str(int(timeout * 1000))}
        self._tell("app_launch_timeout", version, metadata)

    def _tell(self, action: str, version: str, metadata: dict[str, str] | None = None) -> None:
        """Something that the running version did: its launch is told first, whichever thread is quicker."""
        self.launched(version)
        self._stats.record(action, version_name=version, metadata=metadata)

    def _duration(self, source: str) -> dict[str, str]:
        duration = max(0.0, self._clock.monotonic() - self._began)
        return {
            "launch_started_at": self._launched_at,
            "duration_ms": str(int(duration * 1000)),
            "source": source,
        }

    def crashed(self, version: str, error: BaseException, *, ready: bool) -> None:
        """The app reported a crash: of a version that works, or of one that never came so far."""
        action = "app_crash" if ready else "app_initialization_failure"
        self._tell(action, version, {"exit_reason": type(error).__name__, "source": "report_crash"})

    def short_of_memory(self, version: str) -> None:
        """The system asked the app for memory."""
        self._tell("app_memory_warning", version)

    def moved(self, version: str, *, to_foreground: bool) -> None:
        """The app came to be seen, or ceased to be."""
        self._tell("app_moved_to_foreground" if to_foreground else "app_moved_to_background", version)
        if not to_foreground:
            self._trace.take_away()
        elif self._enabled():
            self._trace.leave(started_at=self._launched_at, version=version)

    def changed(self, news: News, version: str) -> None:
        """The system, or the installer, is another one than last time."""
        for action, metadata in news:
            self._stats.record(action, version_name=version, metadata=metadata)

    # ---- bundles ----

    def switched(self, bundle: Bundle, *, old: str) -> None:
        """Another bundle runs."""
        action = "reset" if bundle.is_builtin else "set"
        self._stats.record(action, version_name=bundle.version, old_version_name=old)

    def set_failed(self, version: str) -> None:
        """A bundle was asked for that cannot be opened."""
        self._stats.record("set_fail", version_name=version)

    def queued(self, version: str, *, old: str) -> None:
        """A bundle opens next."""
        self._stats.record("set_next", version_name=version, old_version_name=old)

    def rolled_back(self, version: str) -> None:
        """A bundle was given up."""
        self._stats.record("update_fail", version_name=version)

    def deleted(self, versions: list[str]) -> None:
        """Bundles are gone from the disk."""
        for version in versions:
            self._stats.record("delete", version_name=version)

    # ---- updates ----

    def check_failed(self, running: str) -> None:
        """The service gave no answer that could be used."""
        self._stats.record("download_fail", version_name=running)

    def limited(self, running: str) -> None:
        """The service asked to be asked less; told once in a process."""
        self._stats.limited(version_name=running)

    def step(self, action: str, version: str, name: str = "") -> None:
        """A step of a download; ``name`` is the file that it is about."""
        self._stats.record(action, version_name=f"{version}:{name}" if name else version)

    def percent(self, percent: int, before: int, version: str) -> None:
        """Each tenth of a download once, when it is passed (as on Android)."""
        for tenth in range(_TENTH, percent + 1, _TENTH):
            if before < tenth < 100:  # noqa: PLR2004
                self._stats.record(f"download_{tenth}", version_name=version)

    def arrived(self, version: str) -> None:
        """A bundle is on disk, whole."""
        self._stats.record("download_complete", version_name=version)

    def download_failed(self, version: str, error: CapgoError, *, running: str) -> None:
        """A bundle could not be had: what was wrong with it, and that."""
        action = failure_action(error.code)
        if action:
            self._stats.record(action, version_name=version)
        self._stats.record("download_fail", version_name=running)


def _blamed(died: Traced) -> StatsEvent:
    """The launch before did not come to an end of its own (as on iOS); told of the version that it ran."""
    metadata = {
        "exit_reason": "unclean_foreground_exit",
        "exit_source": "session_marker",
        "previous_session_id": died.session_id,
        "session_started_at": died.started_at,
    }
    return StatsEvent("app_crash", died.version, metadata=metadata)
