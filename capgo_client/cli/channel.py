"""``capgo-client channel``: which channel this device follows, and which it may."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from capgo_client.cli.answers import add_json, plain, tell
from capgo_client.cli.app_options import ASKING, add_app_options
from capgo_client.cli.device import opened
from capgo_client.cli.exits import GOOD

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from capgo_client.protocol.channels import Channel, ChannelStatus

__all__ = ["register"]


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command and what can be done with it."""
    parser = subparsers.add_parser(
        "channel",
        help="the channel of this device: get, set, unset, list",
        description="Ask or choose which channel this device takes its updates from.",
    )
    actions = parser.add_subparsers(title="what to do", metavar="ACTION", required=True)
    _add(actions, "get", "ask the service which channel this device is on; keeps nothing", _get)
    chosen = _add(actions, "set", "follow a channel from now on, if it lets devices choose it", _set)
    chosen.add_argument("name", metavar="NAME", help="as `channel list` shows it")
    _add(actions, "unset", "forget what was set; asks nobody", _unset)
    _add(actions, "list", "the channels that this device may choose, or gets by itself", _list)


def _add(
    actions: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    words: str,
    run: Callable[[argparse.Namespace], int],
) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=words, description=f"{words[0].upper()}{words[1:]}.")
    add_app_options(parser, ASKING)
    add_json(parser)
    parser.set_defaults(run=run)
    return parser


def _get(args: argparse.Namespace) -> int:
    with opened(args) as (updater, _):
        status = updater.get_channel()
    return _tell(args, status, f"{plain(status.channel) or 'none'} ({plain(status.status)})")


def _set(args: argparse.Namespace) -> int:
    with opened(args) as (updater, _):
        status = updater.set_channel(args.name)
    if status.unset:
        return _tell(args, status, "the service wants this device to ask for no channel; nothing is kept")
    return _tell(args, status, f"this device follows {plain(status.channel)} from now on")


def _unset(args: argparse.Namespace) -> int:
    with opened(args) as (updater, _):
        status = updater.unset_channel()
    return _tell(args, status, f"this device follows {status.channel or 'the public channel'} again")


def _list(args: argparse.Namespace) -> int:
    with opened(args) as (updater, _):
        channels = updater.list_channels()
    lines = [f"{plain(channel.name)}  {_rights(channel)}" for channel in channels]
    tell(args, lines or ["no channel"], {"ok": True, "channels": [asdict(channel) for channel in channels]})
    return GOOD


def _rights(channel: Channel) -> str:
    words = (("public", channel.public), ("devices may choose it", channel.allow_self_set))
    return ", ".join(word for word, holds in words if holds)


def _tell(args: argparse.Namespace, status: ChannelStatus, words: str) -> int:
    message = [plain(status.message)] if status.message else []
    tell(args, [words, *message], {"ok": True, **asdict(status)})
    return GOOD
