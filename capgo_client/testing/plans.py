"""What the owner of an app paid for, and whether the service still answers (reference/service-behaviour.md 1.5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Literal

    Quota = Literal["mau", "bandwidth", "storage"]

__all__ = ["Plan"]


@dataclass(frozen=True, slots=True)
class Plan:
    """The owner's bill; the default one is paid.

    ``subscribed`` ended subscriptions have it False, ``over`` names the quotas that are used up. Credits, a trial that
    still runs, or no billing customer at all keep the app going whatever the rest says.
    """

    subscribed: bool = True
    on_trial: bool = False
    has_credits: bool = False
    billed: bool = True
    over: tuple[Quota, ...] = ()

    def allows(self, *quotas: Quota) -> bool:
        """Whether the app is served by an endpoint that looks at these quotas."""
        if self.has_credits or self.on_trial or not self.billed:
            return True
        return self.subscribed and not set(self.over).intersection(quotas)
