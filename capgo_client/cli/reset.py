"""``capgo-client reset``: the version inside the installer, at the app's next start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capgo_client.cli.answers import add_json, plain, tell
from capgo_client.cli.app_options import DEVICE, add_app_options
from capgo_client.cli.device import opened
from capgo_client.cli.exits import GOOD

if TYPE_CHECKING:
    import argparse

__all__ = ["register", "run"]


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "reset",
        help="go back to the version inside the installer, at the app's next start",
        description=(
            "Queue the builtin for the app's next start; what was downloaded stays on disk. The service may offer a"
            " newer version again."
        ),
    )
    add_app_options(parser, (*DEVICE, "version"))
    parser.add_argument(
        "--to-last-successful", action="store_true", help="instead to the last version that said it works"
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Queue it.

    Raises:
        UsageMistake: There is no such app.
        BundleError, StorageError: It cannot be opened, or cannot be written down.
    """
    with opened(args) as (updater, _):
        bundle = updater.reset(to_last_successful=args.to_last_successful)
    version = plain(bundle.version)
    tell(
        args,
        [f"the app opens {version} ({bundle.id}) at its next start"],
        {"ok": True, "id": bundle.id, "version": version},
    )
    return GOOD
