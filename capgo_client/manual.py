"""What an app does by hand with bundles: look at them, download, queue, switch, hold back, remove."""

from __future__ import annotations

from capgo_client.bundle import BUILTIN_ID
from capgo_client.errors import BundleError, ConfigError, UpdateRefused
from capgo_client.events import Event
from capgo_client.explain import explained
from capgo_client.install.audit import audit
from capgo_client.install.locks import install_lock
from capgo_client.life import boot, decide, retention
from capgo_client.life.delays import DelayCondition, conditions
from capgo_client.log import Log
from capgo_client.options import checked_manifest
from capgo_client.protocol.outcomes import NO_ZIP_URL, Update
from capgo_client.protocol.text import is_plain
from capgo_client.protocol.versions import MAX_LENGTH
from capgo_client.values import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from capgo_client.bundle import Bundle
    from capgo_client.engine import Engine
    from capgo_client.explain import Explanation
    from capgo_client.life.state import Install, State
    from capgo_client.protocol.outcomes import ManifestEntry

__all__ = ["Manual"]

#: How long a call of the app waits for the state lock (seconds).
PATIENCE = 2.0

_log = Log("capgo_client")


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
            channel=self._engine.presence.channel,
            stats_waiting=self._engine.stats.waiting,
            stats_dropped=self._engine.stats.dropped,
        )

    def verify(self, bundle_id: str, *, full: bool) -> tuple[str, ...]:
        """What is wrong with a bundle; nothing ever is with the builtin, of which we have no record."""
        if bundle_id == BUILTIN_ID:
            return ()
        self._install(bundle_id)
        engine = self._engine
        fault = engine.store.fault(bundle_id, entry=self._config.entry)
        problems: tuple[str, ...] = ()
        if full:
            folder = engine.store.installs / bundle_id
            problems = audit(folder, files=engine.files, should_stop=engine.cycle.should_stop)
        return problems or ((fault,) if fault else ())  # what a start would refuse is not sound either

    # ---- fetching ----

    def download(
        self,
        url: str | Update,
        version: str,
        *,
        session_key: str,
        checksum: str,
        manifest: Iterable[ManifestEntry | Mapping[str, object]],
        timeout: float,
    ) -> Bundle:
        """Bring one version."""
        update = (
            url if isinstance(url, Update) else _offer(url, version, session_key, checksum, checked_manifest(manifest))
        )
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

    def set_next(self, bundle_id: str, *, at_once: bool = False) -> Bundle:
        """Queue it; ``at_once``: whatever delay conditions there are."""
        self._require_usable(bundle_id)
        state = self._change(lambda state: decide.queued(state, bundle_id, by_app=True, at_once=at_once))
        if bundle_id != BUILTIN_ID and state.install(bundle_id) is None:
            raise _unknown(bundle_id)  # another process was quicker to remove it
        bundle = self._opening.bundle(state, bundle_id)
        self._engine.journal.queued(bundle.version, old=self._engine.running().version)
        self._engine.emitter.emit(Event("set_next", bundle=bundle, version=bundle.version))
        return bundle

    def set(self, bundle_id: str) -> Bundle:
        """Switch to it, or have it open at the next start where the app gave no ``reload``."""
        session = self._engine.session
        try:
            if session is None or not session.can_switch:
                return self.set_next(bundle_id, at_once=True)
            self._require_usable(bundle_id)
        except BundleError:
            install = self._state.install(bundle_id)
            self._engine.journal.set_failed(bundle_id if install is None else install.version)
            raise
        return session.switch(bundle_id)

    def reload(self) -> Bundle:
        """The queued one now, else what runs once more."""
        queued, session = self._state.next, self._engine.session
        if queued:
            return self.set(queued)
        running = self._engine.running().bundle_id
        if session is None or not session.can_switch:
            return self._opening.bundle(self._state, running)
        return session.switch(running)

    def reset(self, *, to_last_successful: bool, use_pending_bundle: bool) -> Bundle:
        """Back to a good one."""
        if use_pending_bundle:
            queued = self._state.next
            if not queued:
                raise BundleError("no bundle is queued", code="bundle_unknown", hint="set_next() queues one")
            return self.set(queued)
        return self.set(self._state.fallback if to_last_successful else BUILTIN_ID)

    def set_bundle_error(self, bundle_id: str) -> Bundle:
        """Condemn it."""
        if not self._config.allow_manual_bundle_error:
            raise ConfigError(
                "set_bundle_error() is not permitted",
                code="disabled_by_config",
                hint="Updater(allow_manual_bundle_error=True)",
            )
        if bundle_id == BUILTIN_ID:
            raise BundleError("the builtin cannot be condemned: nothing stands behind it", code="bundle_protected")
        self._install(bundle_id)
        now = self._engine.clock.wall()
        state = self._change(lambda state: boot.refused(state, bundle_id, now=now))
        self._engine.store.unmark_confirmed(bundle_id)
        return self._opening.bundle(state, bundle_id)

    def set_multi_delay(self, items: Iterable[DelayCondition | Mapping[str, object]]) -> tuple[DelayCondition, ...]:
        """Keep the conditions that can be understood."""
        given = conditions(items)
        for note in given.notes:
            _log.warning("set_multi_delay: %s", note)
        self._engine.presence.keep(lambda settings: replace(settings, delays=given.kept))
        return given.kept

    def delete(self, bundle_id: str) -> None:
        """Remove it, unless something needs it."""
        if bundle_id == BUILTIN_ID:
            raise BundleError("the builtin ships with the installer and cannot be deleted", code="bundle_protected")
        install = self._install(bundle_id)
        self._require_expendable(self._state, bundle_id)
        engine = self._engine
        with install_lock(engine.store.folder, files=engine.files, patience=PATIENCE):
            # Forgotten first: killed in between, it is there again after the next start, rather than known and gone.
            self._change(lambda state: self._without(state, bundle_id))
            engine.store.remove(bundle_id)
        engine.journal.deleted([install.version])

    def _without(self, state: State, bundle_id: str) -> State:
        """Looked at under the state lock: nobody queues, opens or proves it in between."""
        self._require_expendable(state, bundle_id)
        if self._engine.store.is_leased(bundle_id):
            raise BundleError(f"another process runs from bundle {bundle_id}", code="bundle_in_use")
        return retention.forgotten(state, frozenset({bundle_id}))

    def _require_expendable(self, state: State, bundle_id: str) -> None:
        session = self._engine.session
        running = "" if session is None else session.opened.bundle.id
        if bundle_id in (state.current, state.next, state.fallback, running):
            raise BundleError(
                f"bundle {bundle_id} is open, queued, or the one to fall back on",
                code="bundle_protected",
                hint="set another one first",
            )

    def _change(self, step: Callable[[State], State]) -> State:
        return self._engine.ledger.change(step, patience=PATIENCE)

    def _install(self, bundle_id: str) -> Install:
        install = self._state.install(bundle_id)
        if install is None:
            raise _unknown(bundle_id)
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


def _unknown(bundle_id: str) -> BundleError:
    return BundleError(f"there is no bundle {bundle_id!r}", code="bundle_unknown", hint="see bundles()")


def _offer(url: str, version: str, session_key: str, checksum: str, manifest: tuple[ManifestEntry, ...]) -> Update:
    texts: tuple[object, ...] = (url, version, session_key, checksum)
    if not all(isinstance(text, str) for text in texts) or not 0 < len(version) <= MAX_LENGTH or not is_plain(version):
        raise ConfigError("download: url, version, session_key and checksum are texts, and version is not empty")
    archive = "" if url == NO_ZIP_URL else url
    return Update(version=version, url=archive, session_key=session_key, checksum=checksum, manifest=manifest)
