"""Channels: whom they serve, what they want, and the rules that withhold it.

Source: reference/service-behaviour.md sections 1.3 (numbers in comments are its rows) and 1.4.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .cases import CASES, Context
from .semver import SemVer, parse_semver
from .validation import Refused, unknown_error

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Literal

    from .bundles import MadeBundle
    from .wire import Reply

    Policy = Literal["none", "major", "minor", "patch", "version_number"]

__all__ = ["BUILTIN", "PLATFORMS", "Channel", "ChannelRules", "Offer", "Rollout", "refuse"]

#: What a channel wants when it has no bundle of its own: the version inside the installer.
BUILTIN = "builtin"
PLATFORMS = ("ios", "android", "electron")
_WHOLE = 10_000


@dataclass(frozen=True, slots=True)
class Offer:
    """A bundle that a channel points at, with what the publisher said of it."""

    bundle: MadeBundle
    version_id: int
    url: str = ""
    link: str = ""
    comment: str = ""
    below_native: bool = False
    delta_only: bool = False
    uploaded: bool = True
    min_update_version: str = ""
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rollout:
    """A channel's second target, for ``share`` ten-thousandths of the devices."""

    offer: Offer
    share: int
    paused: bool = False


@dataclass(frozen=True, slots=True)
class ChannelRules:
    """Whom a channel serves; the default is everybody, but no bundle below the device's native version.

    ``policy`` names what may not change against the native version (``version_number``: the bundle's own
    ``min_update_version`` decides). ``platforms`` are those that the channel is enabled for.
    """

    policy: Policy = "none"
    protects_native: bool = True
    platforms: tuple[str, ...] = PLATFORMS
    allows_prod: bool = True
    allows_dev: bool = True
    allows_devices: bool = True
    allows_emulators: bool = True

    def lists(self, fields: dict[str, Any]) -> bool:
        """Whether a list of channels shows the channel to this device (section 2.4)."""
        kind = self.allows_emulators if fields.get("is_emulator") else self.allows_devices
        build = self.allows_prod if fields.get("is_prod") else self.allows_dev
        return fields["platform"] in self.platforms and kind and build


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel; ``target`` is an offer, ``BUILTIN``, or None where there is nothing or it was deleted."""

    id: int
    name: str
    public: bool = False
    allow_self_set: bool = True
    rules: ChannelRules = ChannelRules()
    target: Offer | str | None = None
    rollout: Rollout | None = None

    def serves(self, platform: str) -> bool:
        """Whether the channel is enabled for the platform."""
        return platform in self.rules.platforms

    def target_for(self, app_id: str, fields: dict[str, Any]) -> Offer | str | None:
        """The target that this device gets.

        The real service draws once for each device and remembers the draw; here the draw follows from the names, so
        that a test sees the same every time.
        """
        if self.rollout is None:
            return self.target
        version = self.rollout.offer.bundle.version
        if fields["version_name"] == version:
            return self.rollout.offer
        drawn = hashlib.sha256("\n".join((app_id, self.name, fields["device_id"], version)).encode()).digest()
        chosen = int.from_bytes(drawn[:8], "big") % _WHOLE >= _WHOLE - self.rollout.share
        return self.rollout.offer if chosen and not self.rollout.paused else self.target

    def withholds(self, target: Offer | str, fields: dict[str, Any]) -> Reply | None:
        """The refusal that keeps ``target`` from this device; None where it may have it."""
        version = target if isinstance(target, str) else target.bundle.version
        code = next(self._refusals(target, fields), "")
        return refuse(code, fields, version=version, channel=self.name) if code else None

    def _refusals(self, target: Offer | str, fields: dict[str, Any]) -> Iterator[str]:
        platform = fields["platform"]
        if platform not in self.rules.platforms:
            yield f"disabled_platform_{platform}"  # 13
        if not isinstance(target, str):
            yield from self._policy_refusals(target, fields["version_build"])
        rules, is_prod = self.rules, fields.get("is_prod") is not False
        if is_prod and not rules.allows_prod:
            yield "disable_prod_build"  # 21
        if not is_prod and not rules.allows_dev:
            yield "disable_dev_build"  # 22
        if not fields.get("is_emulator") and not rules.allows_devices:
            yield "disable_device"  # 23
        if fields.get("is_emulator") and not rules.allows_emulators:
            yield "disable_emulator"  # 24

    def _policy_refusals(self, offer: Offer, build: str) -> Iterator[str]:
        native, policy = _comparable(build), self.rules.policy
        if policy == "version_number":
            if not offer.min_update_version:
                yield "misconfigured_channel"  # 18
            elif _comparable(offer.min_update_version) > native:
                yield "disable_auto_update_to_metadata"  # 19
        protects = self.rules.protects_native and not offer.below_native
        if policy in {"none", "version_number"} and not protects:
            return
        target = _comparable(offer.bundle.version)
        # 14 looks upward only, 16 and 17 both ways.
        if policy == "major" and target.major > native.major:
            yield "disable_auto_update_to_major"
        if policy == "minor" and target.core[:2] != native.core[:2]:
            yield "disable_auto_update_to_minor"
        if policy == "patch" and target.core != native.core:
            yield "disable_auto_update_to_patch"
        if protects and target < native:
            yield "disable_auto_update_under_native"  # 20


def refuse(code: str, fields: dict[str, Any], *, version: str = "", channel: str = "") -> Reply:
    """A row of the tables as the answer to this request."""
    return CASES[code].reply(Context(version, channel, request=fields))


def _comparable(version: str) -> SemVer:
    parsed = parse_semver(version)
    if parsed is None:
        # A bundle whose name is no semver, on a channel that has to compare it.
        raise Refused(unknown_error())
    return parsed
