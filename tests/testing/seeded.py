"""The server that section 7 of reference/service-behaviour.md and the recorded conversations were taken from.

``offer(version, ...)`` makes the bundles, so that a replay can give them the recorded checksums.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING

from capgo_client.testing import ChannelRules, FakeClock, MadeBundle, Plan, Service, make_bundle

if TYPE_CHECKING:
    from collections.abc import Callable

APP = "com.example.ok"
DEVICE = "00009a6b-eefe-490a-9c60-8e965132ae51"
OVERRIDDEN = "aaaaaaaa-0000-4000-8000-00000000000"
KEY_ID = "MIIBCgKCAQEA1234567x"
SESSION_KEY = "aXYxMjM0NTY3ODkwMTIzNA==:c2Vzc2lvbmtleQ=="
#: Section 7, row 5: three files that are packed and one that is not.
FILES = {
    "index.html": "<p>hello</p>" * 1000,
    "assets/app.js": "let a = 1;\n" * 1000,
    "assets/img@2x+é.css": "p { color: red }\n" * 1000,
    "assets/tiny.txt": "tiny",
}
PLANS = {
    "com.example.ended": Plan(subscribed=False),
    "com.example.trialover": Plan(subscribed=False),
    "com.example.mau": Plan(over=("mau",)),
    "com.example.bw": Plan(over=("bandwidth",)),
    "com.example.bw2": Plan(over=("bandwidth",)),
    "com.example.credits": Plan(subscribed=False, has_credits=True),
    "com.example.trial": Plan(subscribed=False, on_trial=True),
    "com.example.nocust": Plan(subscribed=False, billed=False),
    "com.example.storage": Plan(over=("storage",)),
}


@functools.cache
def bundle(version: str) -> MadeBundle:
    """The bundle of a version, as the publisher made it."""
    if version in {"1.2.0", "1.2.1"}:
        return make_bundle(version, {name: text + version for name, text in FILES.items()}, manifest=True)
    made = make_bundle(version, {"index.html": version})
    if version == "1.4.0":
        return dataclasses.replace(made, session_key=SESSION_KEY, key_id=KEY_ID)
    return made


def seeded(clock: FakeClock, offer: Callable[[str], MadeBundle] = bundle) -> Service:
    """The server, not started yet. The order of the calls makes the numbers of versions and channels."""
    service = Service(app_id=APP, clock=clock)
    for version in ("1.0.0", "1.361.0", "1.2.0", "1.2.1"):  # 101 to 104
        service.know_version(version)
    service.publish(offer("1.0.0"))
    add_channels(service, offer)
    for last, channel in (("1", "private"), ("2", "noios"), ("3", "noandroid"), ("4", "noelectron")):
        service.override(OVERRIDDEN + last, channel)
    add_apps(service, offer)
    return service


def add_channels(service: Service, offer: Callable[[str], MadeBundle]) -> None:
    """Channels 2 to 25 of the main app; "production" is the first."""
    usual = offer("1.361.0")
    for name in ("beta", "next"):
        service.add_channel(name)
        service.publish(usual, channel=name)
    for name in ("manifest", "manifestonly", "external", "enc", "nobundle", "native", "deleted"):
        service.add_channel(name)
    service.publish(offer("1.2.0"), channel="manifest")
    service.publish(offer("1.2.1"), channel="manifestonly", delta_only=True)
    service.publish(offer("1.3.0"), channel="external", url="https://cdn.example.invalid/b/1.3.0.zip")
    service.publish(offer("1.4.0"), channel="enc")
    service.publish(offer("1.5.0"), channel="nobundle", uploaded=False)
    service.want_builtin(channel="native")
    service.publish(offer("1.7.0"), channel="deleted")
    service.withdraw(channel="deleted")
    add_ruled_channels(service, offer)


def add_ruled_channels(service: Service, offer: Callable[[str], MadeBundle]) -> None:
    ruled = {
        "major": ChannelRules(policy="major"),
        "minor": ChannelRules(policy="minor"),
        "patch": ChannelRules(policy="patch"),
        "vnum": ChannelRules(policy="version_number"),
        "vnumbad": ChannelRules(policy="version_number"),
        "undernative": ChannelRules(),
        "noprod": ChannelRules(allows_prod=False),
        "nodev": ChannelRules(allows_dev=False),
        "nodevice": ChannelRules(allows_devices=False),
        "noemu": ChannelRules(allows_emulators=False),
        "iosonly": ChannelRules(platforms=("ios",)),
        "private": ChannelRules(),
        "noios": ChannelRules(platforms=("android", "electron")),
        "noandroid": ChannelRules(platforms=("ios", "electron")),
        "noelectron": ChannelRules(platforms=("ios", "android")),
    }
    others = {"major": "2.0.0", "vnum": "1.6.0", "vnumbad": "1.6.1", "undernative": "1.0.0"}
    for name, rules in ruled.items():
        service.add_channel(name, allow_self_set=name != "private", rules=rules)
        least = "1.5.0" if name == "vnum" else ""
        service.publish(offer(others.get(name, "1.361.0")), channel=name, min_update_version=least)


def add_apps(service: Service, offer: Callable[[str], MadeBundle]) -> None:
    """The other apps."""
    meta = service.add_app("com.example.meta")
    meta.publish(offer("1.1.0"), link="https://example.invalid/release/1.1.0", comment="Fixes things")
    rollout = service.add_app("com.example.rollout")
    for channel, percent in (("production", 100), ("zero", 0), ("paused", 100), ("half", 50)):
        if channel != "production":
            rollout.add_channel(channel)
        rollout.publish(offer("1.0.0"), channel=channel)
        rollout.roll_out(offer("1.1.0"), percent=percent, channel=channel, paused=channel == "paused")
    for app_id, plan in PLANS.items():
        app = service.add_app(app_id)
        app.publish(offer("1.0.0"))
        app.add_channel("beta")
        app.set_plan(plan)
    service.add_app("com.example.limited").limit()
    noself = service.add_app("com.example.noself", production=False)
    noself.add_channel("production", public=True, allow_self_set=False)
    service.add_app("com.example.nochannel", production=False)
