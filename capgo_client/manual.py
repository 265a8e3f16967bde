"""What an app does by hand: look at bundles, ask, download, queue, switch, remove."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace

from capgo_client.bundle import BUILTIN_ID
from capgo_client.config import checked_custom_id
from capgo_client.errors import (
    BundleError,
    CapgoError,
    ConfigError,
    DeadlineExceeded,
    RateLimited,
    StorageError,
    UpdateRefused,
)
from capgo_client.explain import explained
from capgo_client.install.audit import audit
from capgo_client.install.locks import install_lock
from capgo_client.life import decide, retention
from capgo_client.protocol.outcomes import Failed, Limited, Outcome, PlanEnded, Update
from capgo_client.protocol.text import is_plain
from capgo_client.protocol.versions import MAX_LENGTH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from capgo_client.bundle import Bundle
    from capgo_client.engine import Engine
    from capgo_client.explain import Explanation
    from capgo_client.life.state import Install, State
    from capgo_client.protocol.outcomes import ManifestEntry

__all__ = ["Manual"]

#: How long a call of the app waits for the state lock (seconds).
PATIENCE = 2.0

_log = logging.getLogger("capgo_client")


class Manual:
    """The methods of the face that are more than one line; made anew for each call."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._config = engine.config
        self._opening = engine.opening

    @property
    def _state(self) -> State:
        return self._engine.ledger.load().state

    # ---- looking ----

    def next_bundle(self) -> Bundle | None:
        """What is queued."""
        state = self._state
        return self._opening.bundle(state, state.next) if state.next else None

    def fallback(self) -> Bundle:
        """What a roll-back would open."""
        state = self._state
        return self._opening.bundle(state, state.fallback)

    def bundles(self) -> tuple[Bundle, ...]:
        """All that is on disk and known."""
        known = sorted(self._state.installs, key=lambda install: install.installed_at)
        here = set(self._engine.store.ids())
        return tuple(self._opening.bundle_of(install) for install in known if install.id in here)

    def failed_update(self) -> Bundle | None:
        """The last roll-back; remembered by this process, forgotten by the document once it was told."""
        engine = self._engine
        state = self._state
        if state.failed is not None:
            engine.told_failure = state.failed
            if engine.may_write:
                engine.ledger.change(lambda state: replace(state, failed=None), patience=PATIENCE)
        return None if engine.told_failure is None else self._opening.bundle_of(engine.told_failure)

    def explain(self) -> Explanation:
        """What was decided, and why."""
        state, session = self._state, self._engine.session
        return explained(
            state,
            opened=None if session is None else session.opened,
            queued=self._opening.bundle(state, state.next).version if state.next else "",
            fallback=self._opening.bundle(state, state.fallback),
            result=self._engine.result,
            now=self._engine.clock.wall(),
        )

    def verify(self, bundle_id: str, *, full: bool) -> tuple[str, ...]:
        """What is wrong with a bundle; nothing ever is with the builtin, of which we have no record."""
        if bundle_id == BUILTIN_ID:
            return ()
        self._install(bundle_id)
        engine = self._engine
        if not full:
            fault = engine.store.fault(bundle_id, entry=self._config.entry)
            return (fault,) if fault else ()
        return audit(engine.store.installs / bundle_id, files=engine.files, should_stop=engine.cycle.should_stop)

    # ---- asking ----

    def get_latest(self, channel: str) -> Outcome:
        """One check, in the caller's time."""
        plan = self._state.schedule
        now = self._engine.clock.wall()
        if plan.retry_after > now >= plan.written_at:
            raise RateLimited("the service asked to wait", retry_at=plan.retry_after, status=0)
        if not self._config.update_url:
            raise ConfigError("update_url is empty, so there is nothing to ask", code="missing_config")
        if not self._engine.device.kept:
            raise StorageError(
                "the device id cannot be kept, so each check would count as a new device",
                code="no_id",
                hint="make data_dir writable, or give device_id",
            )
        outcome = self._bounded(lambda: self._check(channel))
        _raise_for(outcome)
        return outcome

    def _check(self, channel: str) -> Outcome:
        from capgo_client.net.deadline import Scope

        engine = self._engine
        return engine.service.check(
            version_name=engine.running().version,
            scope=Scope(self._config.response_timeout),
            now=engine.clock.wall(),
            channel=channel,
        )

    def _bounded(self, call: Callable[[], Outcome]) -> Outcome:
        """Run ``call``; with the app's own transport, which knows no deadline of ours, bound at least the return."""
        if not self._engine.has_own_transport:
            return call()
        answer: list[Outcome] = []
        thread = threading.Thread(target=lambda: answer.append(call()), name="capgo-check", daemon=True)
        thread.start()
        thread.join(self._config.response_timeout)
        if not answer:
            raise DeadlineExceeded(f"no answer within {self._config.response_timeout:g} s")
        return answer[0]

    def download(
        self,
        url: str | Update,
        version: str,
        *,
        session_key: str,
        checksum: str,
        manifest: tuple[ManifestEntry, ...],
        timeout: float,
    ) -> Bundle:
        """Bring one version."""
        update = url if isinstance(url, Update) else _offer(url, version, session_key, checksum, manifest)
        engine = self._engine
        decision = decide.on_update(
            self._state,
            update,
            running_version="",
            builtin_version=self._config.version,
            allow_downgrade=self._config.allow_downgrade,
            now=engine.clock.wall(),
        )
        if decision.action == decide.REFUSE:
            raise UpdateRefused(decision.message, code=decision.code)
        if decision.action == decide.ALREADY_HERE:
            if not engine.store.fault(decision.bundle_id, entry=self._config.entry):
                return self._opening.bundle(self._state, decision.bundle_id)
            engine.store.break_seal(decision.bundle_id)
        install = engine.cycle.bring(update, by_app=True, seconds=timeout, patience=timeout)
        return self._opening.bundle_of(install)

    # ---- changing ----

    def set_next(self, bundle_id: str) -> Bundle:
        """Queue it."""
        self._require_usable(bundle_id)
        state = self._change(lambda state: decide.queued(state, bundle_id, by_app=True))
        from capgo_client.events import Event

        bundle = self._opening.bundle(state, bundle_id)
        self._engine.emitter.emit(Event("set_next", bundle=bundle, version=bundle.version))
        return bundle

    def set(self, bundle_id: str) -> Bundle:
        """Switch to it, or queue it where the app gave no ``reload``."""
        session = self._engine.session
        if session is None or not session.can_switch:
            return self.set_next(bundle_id)
        self._require_usable(bundle_id)
        return session.switch(bundle_id)

    def reset(self, *, to_last_successful: bool) -> Bundle:
        """Back to a good one."""
        return self.set(self._state.fallback if to_last_successful else BUILTIN_ID)

    def delete(self, bundle_id: str) -> None:
        """Remove it, unless something needs it."""
        if bundle_id == BUILTIN_ID:
            raise BundleError("the builtin ships with the installer and cannot be deleted", code="bundle_protected")
        self._install(bundle_id)
        state, session = self._state, self._engine.session
        running = "" if session is None else session.opened.bundle.id
        if bundle_id in (state.current, state.next, state.fallback, running):
            raise BundleError(
                f"bundle {bundle_id} is open, queued, or the one to fall back on",
                code="bundle_protected",
                hint="set another one first",
            )
        with install_lock(self._engine.store.folder, files=self._engine.files, patience=PATIENCE):
            if not self._engine.store.remove(bundle_id):
                raise BundleError(f"another process runs from bundle {bundle_id}", code="bundle_in_use")
            self._change(lambda state: retention.forgotten(state, frozenset({bundle_id})))

    def set_custom_id(self, custom_id: str) -> None:
        """For this process."""
        self._engine.custom_id = checked_custom_id(custom_id)

    def _change(self, step: Callable[[State], State]) -> State:
        return self._engine.ledger.change(step, patience=PATIENCE)

    def _install(self, bundle_id: str) -> Install:
        install = self._state.install(bundle_id)
        if install is None:
            raise BundleError(f"there is no bundle {bundle_id!r}", code="bundle_unknown", hint="see bundles()")
        return install

    def _require_usable(self, bundle_id: str) -> None:
        if bundle_id == BUILTIN_ID:
            return
        install = self._install(bundle_id)
        if install.status.value == "error":
            raise BundleError(f"{install.version} failed on this device before", code="failed_before")
        fault = self._engine.store.fault(bundle_id, entry=self._config.entry)
        if fault:
            raise BundleError(f"{install.version} cannot be opened: {fault}", code="bundle_damaged")


def _offer(url: str, version: str, session_key: str, checksum: str, manifest: tuple[ManifestEntry, ...]) -> Update:
    texts: tuple[object, ...] = (url, version, session_key, checksum)
    if not all(isinstance(text, str) for text in texts) or not 0 < len(version) <= MAX_LENGTH or not is_plain(version):
        raise ConfigError("download: url, version, session_key and checksum are texts, and version is not empty")
    return Update(version=version, url=url, session_key=session_key, checksum=checksum, manifest=manifest)


def _raise_for(outcome: Outcome) -> None:
    """Turn the outcomes that are no answer into errors."""
    from capgo_client.errors import error_of

    if isinstance(outcome, Limited):
        raise RateLimited(outcome.message, retry_at=outcome.retry_at, status=outcome.status, code=outcome.code)
    if isinstance(outcome, (PlanEnded, Failed)):
        error: CapgoError = error_of(outcome.code, outcome.message, status=outcome.status)
        raise error
