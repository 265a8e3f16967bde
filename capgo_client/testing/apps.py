"""The apps that the service knows: channels, versions, the plan, and what was set for single devices."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from .channels import Channel, Offer
from .plans import Plan
from .semver import SemVer, parse_semver

if TYPE_CHECKING:
    from .bundles import MadeBundle
    from .plans import Quota

__all__ = ["App", "stores_channels"]

_FIRST_VERSION_ID = 101
_VERDICT_SECONDS = 60.0


@dataclass(slots=True)
class App:
    """One app. ``lenient``: every version counts as one of its bundles where a stats event names it."""

    lenient: bool = False
    exposes_metadata: bool = True
    limited: bool = False
    channels: dict[str, Channel] = field(default_factory=dict)
    #: Undeleted bundles by name, with their numbers.
    versions: dict[str, int] = field(default_factory=dict)
    #: Device id (lower case) to channel: set by the operator, and set by old plugins (section 2.3).
    overrides: dict[str, str] = field(default_factory=dict)
    stored: dict[str, str] = field(default_factory=dict)
    #: Sizes of stored files by version number and hash.
    sizes: dict[tuple[int, str], int] = field(default_factory=dict)
    #: What was published, by version; the last one of each.
    bundles: dict[str, MadeBundle] = field(default_factory=dict)
    newest: MadeBundle | None = None
    _plan: Plan = field(default_factory=Plan)
    _refused_until: float = 0.0
    _numbers: int = _FIRST_VERSION_ID

    @property
    def plan(self) -> Plan:
        """What was paid for. Setting it takes effect at once; the real service may need a minute."""
        return self._plan

    @plan.setter
    def plan(self, plan: Plan) -> None:
        self._plan, self._refused_until = plan, 0.0

    def is_paid(self, now: float, *quotas: Quota) -> bool:
        """Whether the plan allows this call. A no holds for a minute, for every endpoint (section 1.5)."""
        if now < self._refused_until:
            return False
        if self._plan.allows(*quotas):
            return True
        self._refused_until = now + _VERDICT_SECONDS
        return False

    def add_version(self, name: str) -> int:
        """Make a bundle known; return its number. Known ones keep theirs."""
        if name not in self.versions:
            self.versions[name] = self._numbers
            self._numbers += 1
        return self.versions[name]

    def note_bundle(self, bundle: MadeBundle) -> None:
        """Remember what was published, so that a fault can spoil it."""
        self.newest = self.bundles[bundle.version] = bundle

    def knows(self, version: str) -> bool:
        """Whether a stats event may name the version."""
        return version in self.versions or (self.lenient and version not in {"", "unknown"})

    def note_sizes(self, bundle: MadeBundle, number: int) -> None:
        """Remember how large the stored files of a version are."""
        self.sizes.update({(number, each.file_hash): len(each.data) for each in bundle.manifest})

    def change(self, name: str, **changes: Any) -> None:
        """Change a channel's fields.

        Raises:
            KeyError: There is no such channel.
        """
        if name not in self.channels:
            raise KeyError(f"no channel {name!r}; make it first with add_channel()")
        self.channels[name] = replace(self.channels[name], **changes)

    def withdraw(self, name: str) -> None:
        """Delete the bundle that a channel points at: no channel has it any more."""
        self.change(name)
        target = self.channels[name].target
        self.change(name, target=None)
        if not isinstance(target, Offer):
            return
        self.versions.pop(target.bundle.version, None)
        for other in self.channels.values():
            if isinstance(other.target, Offer) and other.target.version_id == target.version_id:
                self.change(other.name, target=None)

    def public_channel(self, platform: str) -> Channel | None:
        """The channel of devices that chose none."""
        return next((each for each in self.channels.values() if each.public and each.serves(platform)), None)

    def channel_for(self, fields: dict[str, Any]) -> Channel | None:
        """Choose as section 1.4 says: an override, what the device asks for, the public channel."""
        device, platform = fields["device_id"], fields["platform"]
        names = [self.overrides.get(device)]
        if stores_channels(fields.get("plugin_version")):
            names.append(self.stored.get(device))
        for name in names:
            # An override may use a channel that the device could not, unless its bundle is gone.
            if name in self.channels and self.channels[name].target is not None:
                return self.channels[name]
        asked = fields.get("defaultChannel")
        if not asked:
            return self.public_channel(platform)
        # What was asked for and cannot be used never falls back to the public one.
        channel = self.channels.get(asked)
        usable = channel is not None and (channel.public or channel.allow_self_set) and channel.serves(platform)
        return channel if usable else None


def stores_channels(plugin_version: str | None) -> bool:
    """Whether the service keeps the channel for such a plugin (section 2.3, "old"). None: the field was not sent."""
    if plugin_version is None:
        return False
    plugin = parse_semver(plugin_version)
    if plugin is None or plugin < SemVer(8, 0, 0) <= replace(plugin, prerelease=""):
        return True
    return plugin.major in {5, 6, 7} and plugin < SemVer(plugin.major, 34, 0)
