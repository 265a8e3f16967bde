"""``capgo-client rollback``: the version before this one, at the app's next start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capgo_client.bundle import BUILTIN_ID
from capgo_client.cli.answers import add_json, plain, tell
from capgo_client.cli.app_options import DEVICE, add_app_options
from capgo_client.cli.device import opened, version_of
from capgo_client.cli.exits import GOOD
from capgo_client.errors import BundleError

if TYPE_CHECKING:
    import argparse

    from capgo_client.life.state import State

__all__ = ["register", "run"]


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "rollback",
        help="go back to the version before this one, at the app's next start",
        description=(
            "Queue the last version that worked before the one that is open: the app opens it at its next start. The"
            " service may offer the newer one again; with --condemn this device refuses it until the service changes"
            " it, as after a crash."
        ),
    )
    add_app_options(parser, (*DEVICE, "version"))
    parser.add_argument("--condemn", action="store_true", help="never open the one that is open now again")
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Queue the version before.

    Raises:
        UsageMistake: There is no such app.
        BundleError, StorageError: There is none, it cannot be opened, or cannot be written down.
    """
    with opened(args, allow_manual_bundle_error=True) as (updater, device):
        state = device.state
        if state.current == BUILTIN_ID:
            raise BundleError(
                "the builtin is open: nothing stands behind it",
                code="bundle_protected",
                hint="`capgo-client reset` takes back what is queued, and a new installer brings another builtin",
            )
        left, target = plain(version_of(state, state.current)), _before(state)
        bundle = updater.set_next(target)
        if args.condemn:
            updater.set_bundle_error(state.current)
            bundle = updater.set_next(target)  # condemning may have chosen another
    version = plain(bundle.version)
    lines = [f"the app opens {version} ({bundle.id}) at its next start, instead of {left}"]
    lines.append(f"{left} is refused from now on" if args.condemn else f"the service may offer {left} again")
    if state.next and state.next != target:
        lines.append(f"{plain(version_of(state, state.next))} was queued and does not open")
    tell(args, lines, {"ok": True, "id": bundle.id, "version": version, "left": left, "condemned": args.condemn})
    return GOOD


def _before(state: State) -> str:
    """The last one that worked and is not the one that is open."""
    return next((each for each in (state.fallback, state.previous) if each != state.current), BUILTIN_ID)
