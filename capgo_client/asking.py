"""What an app asks the service in its own time: the latest version, channels, sizes. Each call is bounded."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

from capgo_client.errors import (
    CapgoError,
    ChannelRefused,
    ConfigError,
    DeadlineExceeded,
    RateLimited,
    StorageError,
)
from capgo_client.events import Event
from capgo_client.log import Log
from capgo_client.options import checked_channel, checked_manifest
from capgo_client.protocol.channels import ChannelStatus
from capgo_client.protocol.outcomes import Failed, Limited, ManifestEntry, Outcome, PlanEnded, Update
from capgo_client.worker import Order

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import TypeVar

    from capgo_client.engine import Engine
    from capgo_client.net.deadline import Scope
    from capgo_client.protocol.channels import Channel
    from capgo_client.protocol.sizes import DownloadSize

    T = TypeVar("T")

__all__ = ["Asking", "MissingFiles"]

_PUBLIC = "public_channel_self_set_not_allowed"

_log = Log("capgo_client")


@dataclass(frozen=True, slots=True)
class MissingFiles:
    """What of a manifest this device lacks: ``missing`` of ``total`` files would have to be downloaded."""

    missing: tuple[ManifestEntry, ...]
    total: int

    @property
    def missing_count(self) -> int:
        """How many would have to be downloaded."""
        return len(self.missing)

    @property
    def reusable_count(self) -> int:
        """How many are on this device already."""
        return self.total - len(self.missing)


class Asking:
    """The methods of the face that ask; made anew for each call."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._config = engine.config
        self._now = engine.clock.wall()

    # ---- the latest version ----

    def get_latest(self, channel: str, *, include_bundle_size: bool) -> Outcome:
        """One check."""
        if not self._engine.presence.endpoints.update:
            raise ConfigError("update_url is empty, so there is nothing to ask", code="missing_config")
        self._require_leave()
        outcome = self._bounded(lambda scope: self._check(channel, scope))
        _raise_for(outcome)
        if not include_bundle_size or not isinstance(outcome, Update):
            return outcome
        missing = self.missing(outcome.manifest, session_key=outcome.session_key).missing
        sizes = self.download_size(missing, version=outcome.version)
        return replace(outcome, missing=missing, download_size=sizes.total_size)

    def _check(self, channel: str, scope: Scope) -> Outcome:
        return self._engine.service.check(
            version_name=self._engine.running().version, scope=scope, now=self._now, channel=channel
        )

    # ---- channels ----

    def set_channel(self, channel: str, *, trigger_auto_update: bool) -> ChannelStatus:
        """Ask whether this device may choose it; keep the choice."""
        if not self._config.allow_set_default_channel:
            raise ConfigError(
                "set_channel() is not permitted",
                code="disabled_by_config",
                hint="Updater(allow_set_default_channel=True)",
            )
        name = checked_channel(channel)
        self._require_leave()
        try:
            status = self._bounded(
                lambda scope: self._engine.service.set_channel(
                    name, version_name=self._engine.running().version, scope=scope, now=self._now
                )
            )
        except ChannelRefused as exc:
            self._refused(exc, name)
            raise
        self._engine.presence.set_channel("" if status.unset else name)
        self._trigger(wanted=trigger_auto_update)
        return status

    def _refused(self, exc: ChannelRefused, channel: str) -> None:
        """Tell the app; a public channel is had by asking for none."""
        self._engine.emitter.emit(Event("channel_private", channel=channel, error=exc.code, message=exc.message))
        if exc.code != _PUBLIC:
            return
        try:
            self._engine.presence.set_channel("")
        except StorageError as storage:
            _log.warning("the stored channel could not be forgotten: %s", storage)

    def unset_channel(self, *, trigger_auto_update: bool) -> ChannelStatus:
        """Forget the choice; the service is not asked, for it knows of none (service-behaviour section 2.3)."""
        self._engine.presence.set_channel("")
        self._trigger(wanted=trigger_auto_update)
        return ChannelStatus(channel=self._config.default_channel, status="ok", unset=True)

    def get_channel(self) -> ChannelStatus:
        """Ask, and keep nothing (decision 15)."""
        self._require_leave()
        return self._bounded(
            lambda scope: self._engine.service.get_channel(
                version_name=self._engine.running().version, scope=scope, now=self._now
            )
        )

    def list_channels(self) -> tuple[Channel, ...]:
        """Ask which there are."""
        self._require_leave()
        return self._bounded(
            lambda scope: self._engine.service.list_channels(
                version_name=self._engine.running().version, scope=scope, now=self._now
            )
        )

    def _trigger(self, *, wanted: bool) -> None:
        if wanted and self._engine.checks:
            self._engine.submit(Order(by_app=True))

    # ---- what a delta update would take ----

    def missing(self, manifest: Iterable[ManifestEntry | Mapping[str, object]], *, session_key: str) -> MissingFiles:
        """Look at the disk; nobody is asked."""
        from capgo_client.arrival import Arrival

        engine = self._engine
        arrival = Arrival(
            self._config, store=engine.store, service=engine.service, files=engine.files, clock=engine.clock
        )
        missing, total = arrival.missing(checked_manifest(manifest), session_key=session_key)
        return MissingFiles(missing, total)

    def download_size(self, manifest: Iterable[ManifestEntry | Mapping[str, object]], *, version: str) -> DownloadSize:
        """Ask how large the files are; what cannot be told stands in the answer."""
        entries = checked_manifest(manifest)
        self._engine.presence.refreshed()
        return self._bounded(
            lambda scope: self._engine.service.download_size(
                entries, version=version, version_name=self._engine.running().version, scope=scope
            )
        )

    # ---- what every question needs ----

    def _require_leave(self) -> None:
        """Raise where nothing may be sent: the service asked to wait, or a question would count as a new device."""
        state = self._engine.ledger.load().state
        self._engine.presence.learn(state)  # another process of the app may have chosen a channel meanwhile
        plan = state.schedule
        if plan.retry_after > self._now >= plan.written_at:
            raise RateLimited("the service asked to wait", retry_at=plan.retry_after, status=0)
        if not self._engine.presence.device.kept:
            raise StorageError(
                "the device id cannot be kept, so each check would count as a new device",
                code="no_id",
                hint="make data_dir writable, or give device_id",
            )

    def _bounded(self, call: Callable[[Scope], T]) -> T:
        """Run ``call``; with the app's own transport, which knows no deadline of ours, bound at least the return."""
        from capgo_client.net.deadline import Scope

        scope = Scope(self._config.response_timeout)
        if self._engine.wire.transport is None:
            return call(scope)
        answer: list[T] = []
        error: list[CapgoError] = []

        def run() -> None:
            try:
                answer.append(call(scope))
            except CapgoError as exc:
                error.append(exc)

        thread = threading.Thread(target=run, name="capgo-check", daemon=True)
        thread.start()
        thread.join(self._config.response_timeout)
        if error:
            raise error[0]
        if not answer:
            raise DeadlineExceeded(f"no answer within {self._config.response_timeout:g} s")
        return answer[0]


def _raise_for(outcome: Outcome) -> None:
    """Turn the outcomes that are no answer into errors."""
    from capgo_client.errors import error_of

    if isinstance(outcome, Limited):
        raise RateLimited(outcome.message, retry_at=outcome.retry_at, status=outcome.status, code=outcome.code)
    if isinstance(outcome, (PlanEnded, Failed)):
        error: CapgoError = error_of(outcome.code, outcome.message, status=outcome.status)
        raise error
