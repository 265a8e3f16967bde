"""``capgo-client current``: which version the app opened last, and which one waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capgo_client.cli.answers import add_json, plain, tell
from capgo_client.cli.app_options import DEVICE, add_app_options, app_values
from capgo_client.cli.device import find, version_of
from capgo_client.cli.exits import GOOD

if TYPE_CHECKING:
    import argparse

__all__ = ["register", "run"]


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "current",
        help="the version that the app opened last, and what waits for its next start",
        description="Print the version that the app opened last, and what waits for its next start. It only looks.",
    )
    add_app_options(parser, DEVICE)
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Look and tell. Raises UsageMistake where there is no such app."""
    device = find(app_values(args))
    state = device.state
    version = plain(version_of(state, state.current))
    queued = plain(version_of(state, state.next)) if state.next else ""
    install = state.install(state.current)
    status = "success" if install is None else install.status.value
    lines = [f"{version} ({state.current}), {status}"]
    if queued:
        held = ", held back for now" if state.is_held_back else ""
        lines.append(f"queued: {queued} ({state.next}){held}")
    document = {
        "ok": True,
        "id": state.current,
        "version": version,
        "status": status,
        "path": "" if install is None else device.store.app_text(install.id),
        "queued": {"id": state.next, "version": queued} if state.next else None,
    }
    tell(args, lines, document)
    return GOOD
