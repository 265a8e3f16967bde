"""``capgo-client completion``: a script that teaches a shell our commands, options and their choices."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from capgo_client.cli.exits import GOOD
from capgo_client.cli.shells import SCRIPTS
from capgo_client.cli.word_tree import places

if TYPE_CHECKING:
    import argparse

__all__ = ["register", "run"]


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "completion",
        help="print a script that completes our commands in bash, zsh or fish",
        description=(
            'Print a script for your shell. bash: eval "$(capgo-client completion bash)" in ~/.bashrc; zsh: the same'
            " with zsh, after compinit, in ~/.zshrc; fish: capgo-client completion fish | source"
        ),
    )
    parser.add_argument("shell", choices=tuple(SCRIPTS), help="which shell")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print it."""
    from capgo_client.cli import command_parser  # it imports us

    sys.stdout.write(SCRIPTS[args.shell](places(command_parser())))
    return GOOD
