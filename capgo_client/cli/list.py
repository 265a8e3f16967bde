"""``capgo-client list``: the versions of an app on this machine, and what each is for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from capgo_client.bundle import BUILTIN_ID
from capgo_client.cli.answers import add_json, plain, tell
from capgo_client.cli.app_options import DEVICE, add_app_options, app_values
from capgo_client.cli.device import find, part_of, version_of
from capgo_client.cli.exits import GOOD

if TYPE_CHECKING:
    import argparse

    from capgo_client.cli.device import Device

__all__ = ["register", "run"]


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "list",
        help="the versions of an app on this machine",
        description="List the versions of an app on this machine, oldest first. It only looks, and asks nobody.",
    )
    add_app_options(parser, DEVICE)
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Look and tell. Raises UsageMistake where there is no such app."""
    device = find(app_values(args))
    rows = _rows(device)
    width = max(len(row["version"]) for row in rows)
    lines = [
        f"{row['version']:<{width}}  {row['id']:<10}  {', '.join(filter(None, (row['status'], row['part'])))}"
        for row in rows
    ]
    tell(args, lines, {"ok": True, "data_dir": str(device.folder), "bundles": rows})
    return GOOD


def _rows(device: Device) -> list[dict[str, Any]]:
    state, here = device.state, set(device.store.ids())
    builtin = {
        "version": plain(version_of(state, BUILTIN_ID)),
        "id": BUILTIN_ID,
        "status": "success",
        "part": part_of(state, None),
        "path": "",
        "installed_at": 0.0,
    }
    installs = sorted(state.installs, key=lambda install: install.installed_at)
    return [builtin] + [
        {
            "version": plain(install.version),
            "id": install.id,
            "status": install.status.value,
            "part": part_of(state, install),
            "path": device.store.app_text(install.id),
            "installed_at": install.installed_at,
        }
        for install in installs
        if install.id in here
    ]
