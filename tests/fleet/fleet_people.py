"""Who holds the devices: how often they open the app, for how long, over what network, what a bad release does."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleet_story import DAY, HOUR

if TYPE_CHECKING:
    from random import Random

#: What a bad release does to an app that opens it.
WORKS, CRASHES, HANGS, DIES, CRASHES_LATER = "works", "crashes", "hangs", "dies", "crashes later"
_FATES = ((0.60, WORKS), (0.75, CRASHES), (0.85, HANGS), (0.95, DIES), (1.01, CRASHES_LATER))

KIOSKS = 0.02
DIRECT = 0.25
SLOW = 0.10
DRAWER = 0.03
#: The share of checks that a device cannot even send.
NO_NETWORK = 0.003
#: The share of downloads that fail half-way.
DOWNLOAD_FAILS = 0.03
#: Nobody who uses the app leaves it closed for longer (seconds).
LONGEST_PAUSE = 16 * HOUR


@dataclass(frozen=True, slots=True)
class Person:
    """The habits of one device's owner. ``pause`` is the mean time between launches in the busy hours (seconds).

    ``period`` is the app's period_check_delay (seconds, 0 for none); ``switches``: mode "always" with a ``reload``.
    """

    kiosk: bool
    direct: bool
    switches: bool
    period: float
    pause: float
    stay: float
    ready: float
    lag: float
    download: float
    fate: str
    drawer: tuple[float, float]


def person(chance: Random, *, bad_at: float, fix_at: float) -> Person:
    """Draw one."""
    kiosk = chance.random() < KIOSKS
    slow = chance.random() < SLOW
    draw = chance.random()
    fate = next(fate for below, fate in _FATES if draw < below)
    direct = chance.random() < DIRECT or kiosk  # what changes over while it runs (mode "always") waits at a start too
    drawer = (math.inf, 0.0)
    if not kiosk and chance.random() < DRAWER:
        asleep = bad_at + chance.random() * (fix_at - bad_at)
        drawer = (asleep, fix_at + 6 * HOUR + chance.random() * 6 * HOUR)
    return Person(
        kiosk=kiosk,
        direct=direct,
        switches=kiosk,
        period=(600.0 if chance.random() < 0.1 else HOUR) if kiosk else (HOUR if chance.random() < 0.3 else 0.0),
        pause=DAY / 1.3 * chance.lognormvariate(0.0, 0.5),
        stay=chance.uniform(120.0, 900.0),
        ready=chance.uniform(0.3, 2.5),
        lag=chance.uniform(0.4, 1.6) if slow else chance.uniform(0.05, 0.4),
        download=chance.uniform(30.0, 150.0) if slow else chance.uniform(2.0, 40.0),
        fate=fate,
        drawer=drawer,
    )


def rhythm(at: float) -> float:
    """How busy the hour is, in (0, 1]: asleep from midnight to six, the same all day from nine to ten at night."""
    hour = at % DAY / HOUR
    if hour < 6:
        return 0.15
    if hour < 9:
        return 0.15 + 0.85 * (hour - 6) / 3
    return 1.0 if hour < 22 else 1.0 - 0.85 * (hour - 22) / 2


def next_launch(someone: Person, at: float, chance: Random) -> float:
    """When the person opens the app next, after ``at`` (seconds since the first midnight)."""
    latest = at + LONGEST_PAUSE * chance.uniform(0.8, 1.2)
    when = at
    while True:
        when += chance.expovariate(1.0) * someone.pause
        if when >= latest or chance.random() < rhythm(when):
            break
    when = min(when, latest)
    asleep, awake = someone.drawer
    return awake if asleep <= when < awake else when
