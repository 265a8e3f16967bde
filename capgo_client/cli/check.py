"""``capgo-client check``: what does the service offer to this device? Nothing is downloaded, nothing is changed."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from capgo_client.cli.answers import add_json, plain, tell
from capgo_client.cli.app_options import ASKING, add_app_options
from capgo_client.cli.device import opened, version_of
from capgo_client.cli.exits import GOOD
from capgo_client.life import decide
from capgo_client.protocol.outcomes import Blocked, Builtin, Update
from capgo_client.seams import Clock

if TYPE_CHECKING:
    import argparse

    from capgo_client.cli.device import Device
    from capgo_client.protocol.outcomes import Outcome
    from capgo_client.updater import Updater

__all__ = ["add_new_device", "described", "register", "run"]

#: What would name the device, or is of use to nobody.
_KEPT_BACK = ("url", "session_key", "manifest", "missing", "status", "download_size")


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "check",
        help="ask the service what it has for this device; changes nothing",
        description=(
            "Ask the service as the app would, under the id of this device, and say what it answers and what the app"
            " would do about it. Nothing is downloaded. Ends with 3 when it could not be asked."
        ),
    )
    add_app_options(parser, ASKING)
    parser.add_argument("--channel", default="", metavar="NAME", help="ask for this one, this time")
    add_new_device(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def add_new_device(parser: argparse.ArgumentParser) -> None:
    """The option without which no new device comes to be."""
    parser.add_argument(
        "--new-device",
        action="store_true",
        help="where the app never ran here: make a device, which the service counts, and its data directory",
    )


def run(args: argparse.Namespace) -> int:
    """Ask and tell.

    Raises:
        UsageMistake: There is no such app on this machine.
        CapgoError: The service could not be asked, or an option is wrong.
    """
    with opened(args, may_be_new=args.new_device) as (updater, device):
        running = _running(updater, device)
        outcome = updater.get_latest(args.channel)
        would = _would(updater, device, outcome)
    document = {"ok": True, "kind": outcome.kind, "running": running, "would": would, **_facts(outcome)}
    tell(args, [described(outcome, running), *([f"The app would: {would}."] if would else [])], document)
    return GOOD


def _running(updater: Updater, device: Device) -> str:
    """What the check reports: the version that the next start opens."""
    state = device.state
    return version_of(state, state.next or state.current, builtin=updater.builtin.version)


def _would(updater: Updater, device: Device, outcome: Outcome) -> str:
    """What the app's own check would do about it; empty where there is nothing to do."""
    if not isinstance(outcome, Update):
        return ""
    config = updater._engine.config  # noqa: SLF001 - what the options came to
    decision = decide.on_update(
        device.state,
        outcome,
        running_version="",
        builtin_version=config.version,
        allow_downgrade=config.allow_downgrade,
        now=Clock().wall(),
    )
    words = {decide.REFUSE: "refuse it", decide.ALREADY_HERE: "queue it", decide.FETCH: "fetch it"}
    return plain(f"{words.get(decision.action, 'do nothing')}, because {decision.message}")


def _facts(outcome: Outcome) -> dict[str, Any]:
    facts = {name: value for name, value in asdict(outcome).items() if name not in _KEPT_BACK}
    if isinstance(outcome, Update):
        facts |= {"encrypted": bool(outcome.session_key), "zip": bool(outcome.url), "files": len(outcome.manifest)}
    return facts


def described(outcome: Outcome, running: str) -> str:
    """An answer as a sentence."""
    if isinstance(outcome, Update):
        sealed = "encrypted" if outcome.session_key else "not encrypted"
        ways = [*(["a zip"] if outcome.url else []), *([f"{len(outcome.manifest)} files"] if outcome.manifest else [])]
        notes = f": {plain(outcome.comment)}" if outcome.comment else ""
        return f"update: {plain(outcome.version)} for {running} ({' or '.join(ways)}, {sealed}){notes}"
    if isinstance(outcome, Blocked):
        why = plain(outcome.message or outcome.code)
        return f"blocked: {plain(outcome.version) or 'a version'} is kept from this device: {why}"
    if isinstance(outcome, Builtin):
        return "builtin: the channel wants the version that ships inside the installer"
    return f"up to date: {running} is the newest for this device"
