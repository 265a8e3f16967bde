"""This run's ratios against those that were kept: what became worse by more than is allowed. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

#: A quarter: machines and days differ by less, a mistake costs more.
ALLOWED = 0.25


def worse(
    kept: Mapping[str, float], now: Mapping[str, float], *, slack: Mapping[str, float], allowed: float = ALLOWED
) -> list[str]:
    """A sentence for each kept ratio that is beyond what is allowed now; nothing for those not measured now.

    ``slack`` is what a ratio may differ by in any case, by its key; none for most.
    """
    found = []
    for key, before in kept.items():
        if key in now and now[key] > max(before * (1 + allowed), before + slack.get(key, 0.0)):
            by = f"{now[key] / before - 1:.0%} worse" if before else "worse"
            found.append(f"{key}: {now[key]:.3f}, kept is {before:.3f} ({by}, allowed {allowed:.0%})")
    return found


def strangers(kept: Mapping[str, float], now: Mapping[str, float]) -> list[str]:
    """What is measured now and was not kept: it is compared with nothing."""
    return [key for key in now if key not in kept]
