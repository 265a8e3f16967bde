"""What the owner of one app does in Capgo's console and on its command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .channels import BUILTIN, ChannelRules, Offer, Rollout
from .plans import Plan

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping

    from .apps import App
    from .backend import Backend
    from .bundles import MadeBundle

__all__ = ["Publisher"]

_EVERYBODY = ChannelRules()
_WHOLE_PERCENT = 100


class Publisher:
    """Orders for one app. Every method may be called from any thread and takes effect at once.

    A ``Service`` is the publisher of its main app; ``Service.add_app`` makes further ones.
    """

    def __init__(self, lock: threading.Condition, backend: Backend, app: App) -> None:
        self._lock = lock
        self._backend = backend
        self._app = app

    # Bundles

    def publish(
        self,
        bundle: MadeBundle,
        *,
        channel: str = "production",
        url: str = "",
        link: str = "",
        comment: str = "",
        below_native: bool = False,
        delta_only: bool = False,
        uploaded: bool = True,
        min_update_version: str = "",
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        """Point a channel at a bundle.

        A bundle made with ``manifest=True`` is offered with its manifest and its zip, with ``delta_only`` without the
        zip. ``url`` is an address elsewhere instead of our own store; there is no manifest then. A bundle older than
        the device's native version is withheld, as Capgo does by default; ``below_native`` offers it. ``uploaded``
        False: its files never arrived. ``min_update_version`` is for channels with the policy ``version_number``.
        ``extra`` keys are added to the answer as they are (keys of the future, ``breaking``, another ``checksum``).
        """
        with self._lock:
            self._app.change(channel)
            number = self._app.add_version(bundle.version)
            self._app.note_sizes(bundle, number)
            self._app.note_bundle(bundle)
            offer = Offer(
                bundle,
                number,
                url=url,
                link=link,
                comment=comment,
                below_native=below_native,
                delta_only=delta_only,
                uploaded=uploaded,
                min_update_version=min_update_version,
                extra=dict(extra or {}),
            )
            self._app.change(channel, target=offer)

    @property
    def newest(self) -> MadeBundle | None:
        """What was published last; None before the first."""
        with self._lock:
            return self._app.newest

    def withdraw(self, *, channel: str = "production") -> None:
        """Delete what the channel points at: the answer is ``no_channel``. What is stored stays downloadable."""
        with self._lock:
            self._app.withdraw(channel)

    def want_builtin(self, *, channel: str = "production") -> None:
        """Send devices back to the version inside the installer: the answer is ``already_on_builtin``."""
        with self._lock:
            self._app.change(channel, target=BUILTIN)

    def roll_out(
        self, bundle: MadeBundle, *, percent: float, channel: str = "production", paused: bool = False
    ) -> None:
        """Give a channel a second target for so many of its devices; devices that run it already stay on it.

        Raises:
            ValueError: ``percent`` is not between 0 and 100.
        """
        if not 0 <= percent <= _WHOLE_PERCENT:
            raise ValueError(f"percent is from 0 to 100, not {percent}")
        with self._lock:
            self._app.change(channel)
            offer = Offer(bundle, self._app.add_version(bundle.version))
            self._app.note_sizes(bundle, offer.version_id)
            self._app.note_bundle(bundle)
            self._app.change(channel, rollout=Rollout(offer, round(percent * 100), paused))

    def end_rollout(self, *, channel: str = "production") -> None:
        """Take the second target away."""
        with self._lock:
            self._app.change(channel, rollout=None)

    def know_version(self, version: str) -> None:
        """Make a version known that is offered nowhere, such as one that was offered long ago.

        Matters to stats events only: those of other versions are answered ``version_not_found`` where the app was
        declared by its id. A service without ``app_id`` takes every version for known.
        """
        with self._lock:
            self._app.add_version(version)

    # Channels and devices

    def add_channel(
        self,
        name: str,
        *,
        public: bool = False,
        allow_self_set: bool = True,
        rules: ChannelRules = _EVERYBODY,
    ) -> None:
        """Make a channel that wants nothing yet; "production" is there from the start, public and self-settable."""
        with self._lock:
            self._backend.add_channel(self._app, name, public=public, allow_self_set=allow_self_set, rules=rules)

    def set_rules(self, rules: ChannelRules, *, channel: str = "production") -> None:
        """Say whom a channel serves."""
        with self._lock:
            self._app.change(channel, rules=rules)

    def override(self, device_id: str, channel: str | None) -> None:
        """Tie a device to a channel, even a private one, as in the console; None unties it."""
        with self._lock:
            if channel is None:
                self._app.overrides.pop(device_id.lower(), None)
            else:
                self._app.change(channel)
                self._app.overrides[device_id.lower()] = channel

    # The bill

    def set_plan(self, plan: Plan) -> None:
        """Say what is paid for."""
        with self._lock:
            self._app.plan = plan

    def end_plan(self) -> None:
        """The app's plan is over: 429 ``on_premise_app`` everywhere but for downloads."""
        self.set_plan(Plan(subscribed=False))

    def restore_plan(self) -> None:
        """The plan is paid again. The real service may need a minute to see it, this one does not."""
        self.set_plan(Plan())

    def limit(self, *, limited: bool = True) -> None:
        """Put the app on the operator's own list: 429 ``too_many_requests`` without a reset time."""
        with self._lock:
            self._app.limited = limited
