"""What `bundle upload` of Capgo's command line sent, as a version that the service can offer: nothing is made anew."""

from __future__ import annotations

from app_trees import write_tree

from capgo_client.testing import MadeBundle
from capgo_client.testing.delta import ManifestFile


def entries(console):
    """The list as the command line stored it, each entry with its object."""
    session_key = console.version.get("session_key", "")
    return tuple(
        ManifestFile(entry["file_name"], entry["file_hash"], console.objects[entry["s3_path"]], session_key)
        for entry in console.manifest
    )


def uploaded(console):
    """What was uploaded, as a version that the service can offer."""
    row, archive = console.version, console.archive or b""
    return MadeBundle(
        row["name"],
        archive,
        row["checksum"],
        row.get("session_key", ""),
        {},
        archive,
        row.get("key_id", ""),
        manifest=entries(console),
    )


def upload(cli, console, folder, files, version, *options):
    cli.upload(write_tree(folder / version, files), version, console, "--delta", *options)
    return uploaded(console)
