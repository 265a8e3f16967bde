"""``capgo-client update``: bring what the service offers, now, and queue it for the app's next start."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from capgo_client.bundle import BUILTIN_ID
from capgo_client.cli.answers import add_json, plain, tell
from capgo_client.cli.app_options import INSTALLING, add_app_options, app_values
from capgo_client.cli.check import add_new_device, described
from capgo_client.cli.device import opened, version_of
from capgo_client.cli.durations import seconds
from capgo_client.cli.exits import BAD, GOOD
from capgo_client.cli.interrupts import interruptible
from capgo_client.cli.mistakes import UsageMistake
from capgo_client.cli.progress import is_watched, percentage
from capgo_client.protocol.outcomes import Blocked, Builtin, Update

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from capgo_client.bundle import Bundle
    from capgo_client.cli.device import Device
    from capgo_client.protocol.outcomes import Outcome
    from capgo_client.updater import Updater

__all__ = ["register", "run"]

_CHANGE = "change what the code names: a rule of the channel, or the key that it was uploaded with"


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "update",
        help="fetch, verify and install what the service offers, for the app's next start",
        description=(
            "Fetch, verify and install what the service offers, as the app would, and queue it for the app's next"
            " start. Say which public key the app has, or that it has none: what is installed here is opened there."
        ),
    )
    add_app_options(parser, INSTALLING)
    parser.add_argument("--unsigned", action="store_true", help="the app has no public key")
    parser.add_argument("--channel", default="", metavar="NAME", help="ask for this one, this time")
    parser.add_argument("--no-queue", action="store_true", help="install it, and leave the app at what it opens")
    parser.add_argument(
        "--timeout", type=seconds, default=600.0, metavar="SECONDS", help="for the download; default 600"
    )
    add_new_device(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Update; 1 when a version is there that this device may not have.

    Raises:
        UsageMistake: Nobody said whether there is a public key, or there is no such app.
        CapgoError: It could not be had, or it was refused.
    """
    _check(args)
    with interruptible(), opened(args, may_be_new=args.new_device, dispatch=_at_once) as (updater, device):
        state = device.state
        running = version_of(state, state.next or state.current, builtin=updater.builtin.version)
        outcome = updater.get_latest(args.channel)
        bundle = _take(updater, outcome, args)
        queued = bundle is not None and not args.no_queue and _queue(updater, device, bundle)
    _tell(args, outcome, running=running, bundle=bundle, queued=queued)
    return BAD if isinstance(outcome, Blocked) else GOOD


def _check(args: argparse.Namespace) -> None:
    has_key = bool(app_values(args).get("public_key"))
    if has_key and args.unsigned:
        raise UsageMistake("--unsigned contradicts the public key that was given, perhaps in pyproject.toml")
    if not has_key and not args.unsigned:
        raise UsageMistake(
            "does the app have a public key? give it with --public-key, or say --unsigned: what is installed here"
            " without a key would be opened by an app that demands one"
        )


def _at_once(call: Callable[[], None]) -> None:
    """The progress is told in the thread that fetches, so that none comes after the end."""
    call()


def _take(updater: Updater, outcome: Outcome, args: argparse.Namespace) -> Bundle | None:
    """What was brought; the builtin where the channel wants that; None where there is nothing to bring."""
    if isinstance(outcome, Builtin):
        return updater.builtin
    if not isinstance(outcome, Update):
        return None
    if args.json or not is_watched():
        return updater.download(outcome, timeout=args.timeout)
    with percentage(f"fetching {outcome.version}") as show:
        updater.on("download", lambda event: show(event.percent))
        return updater.download(outcome, timeout=args.timeout)


def _queue(updater: Updater, device: Device, bundle: Bundle) -> bool:
    """Whether the next start opens something else by it."""
    if bundle.id == BUILTIN_ID and device.state.current == BUILTIN_ID and not device.state.next:
        return False
    updater.set_next(bundle)
    return bundle.id != device.state.current


def _tell(args: argparse.Namespace, outcome: Outcome, *, running: str, bundle: Bundle | None, queued: bool) -> None:
    facts = {"id": bundle.id, "version": bundle.version, "path": str(bundle.path or "")} if bundle else None
    lines = [described(outcome, running)]
    if bundle is not None and not bundle.is_builtin:
        lines.append(f"installed: {bundle.version} ({bundle.id}), every file verified")
    if queued and bundle is not None:
        lines.append(f"queued: the app opens {bundle.version} at its next start")
    told = {"kind": outcome.kind, "running": running, "bundle": facts, "queued": queued}
    tell(args, lines, {**_verdict(outcome), **told})
    sys.stdout.flush()


def _verdict(outcome: Outcome) -> dict[str, Any]:
    """Whether all is well, and as every answer says it where it is not: why, and what to do."""
    if not isinstance(outcome, Blocked):
        return {"ok": True}
    hint = "the person has to install the app anew" if outcome.breaking else _CHANGE
    return {"ok": False, "code": outcome.code, "problem": plain(outcome.message or outcome.code), "hint": hint}
