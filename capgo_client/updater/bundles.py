"""The face's methods for bundles: what there is, and what can be done with it by hand."""

from __future__ import annotations

from capgo_client.updater.plumbing import Plumbing, id_of
from capgo_client.values import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from capgo_client.bundle import Bundle
    from capgo_client.explain import Explanation
    from capgo_client.life.delays import DelayCondition
    from capgo_client.protocol.outcomes import ManifestEntry, Update

__all__ = ["BundleMethods", "Verification"]


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


class BundleMethods(Plumbing):
    """Part of ``Updater``."""

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
        return Verification(self._manual.verify(id_of(bundle), full=full))

    def download(
        self,
        url: str | Update,
        version: str = "",
        *,
        session_key: str = "",
        checksum: str = "",
        manifest: Iterable[ManifestEntry | Mapping[str, object]] = (),
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
            url, version, session_key=session_key, checksum=checksum, manifest=manifest, timeout=timeout
        )

    def set_next(self, bundle: Bundle | str) -> Bundle:
        """Queue a bundle (or ``"builtin"``) for the next start. Raises BundleError, StorageError."""
        self._require_open()
        return self._manual.set_next(id_of(bundle))

    def set(self, bundle: Bundle | str) -> Bundle:
        """Change over to a bundle: now where ``reload`` was given, else at the next start.

        Raises:
            BundleError: unknown, damaged, condemned, or ``reload`` raised (everything is as before then).
            StorageError: it cannot be written down.
        """
        self._require_open()
        return self._manual.set(id_of(bundle))

    def reload(self) -> Bundle:
        """Change over to what is queued, whatever delay conditions there are; else run what is open once more.

        Without a ``reload`` callable what is queued opens at the next start. Raises as ``set``.
        """
        self._require_open()
        return self._manual.reload()

    def reset(self, *, to_last_successful: bool = False, use_pending_bundle: bool = False) -> Bundle:
        """Go back to the builtin, or to the last version that said "ready"; now or at the next start, as ``set``.

        ``use_pending_bundle``: change over to what is queued instead; BundleError where nothing is.
        """
        self._require_open()
        return self._manual.reset(to_last_successful=to_last_successful, use_pending_bundle=use_pending_bundle)

    def set_bundle_error(self, bundle: Bundle | str) -> Bundle:
        """Condemn a bundle for good, as if it had crashed: it never opens again unless the service changes it.

        What is open stays open until the next start.

        Raises:
            ConfigError: ``disabled_by_config``, without ``allow_manual_bundle_error``.
            BundleError: unknown, or the builtin.
            StorageError: it cannot be written down.
        """
        self._require_open()
        return self._manual.set_bundle_error(id_of(bundle))

    def set_multi_delay(self, delay_conditions: Iterable[DelayCondition | Mapping[str, object]]) -> None:
        """Hold back what is queued until all these conditions are met; they take the place of those before.

        Each is a DelayCondition or a mapping with ``kind`` (``background``, ``kill``, ``date``, ``nativeVersion``) and
        ``value``; ``DelayCondition`` says what each means. They are looked at when the app starts, goes to the
        background and comes back. Unknown kinds, and values that cannot be read, delay nothing; the log names them.
        ``set()`` and ``reload()`` do not wait for them.

        Raises:
            ConfigError: no list of conditions.
            StorageError: they cannot be kept.
        """
        self._require_open()
        self._manual.set_multi_delay(delay_conditions)

    def cancel_delay(self) -> None:
        """Drop all delay conditions. Raises StorageError."""
        self._require_open()
        self._manual.set_multi_delay(())

    def delete(self, bundle: Bundle | str) -> None:
        """Remove a bundle from disk. Raises BundleError for the builtin, and for what is open, queued or needed."""
        self._require_open()
        self._manual.delete(id_of(bundle))
