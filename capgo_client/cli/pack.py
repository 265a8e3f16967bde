"""``capgo-client pack``: a bundle out of a folder, as Capgo's command line makes it, without node.

A zip, an encrypted zip, or a folder for a server of your own: the zip, each file as it is stored for delta updates,
their manifest, and the reply that offers them (reference/bundle-formats.md sections 2 to 5).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capgo_client.cli.answers import add_json, tell
from capgo_client.cli.exits import GOOD
from capgo_client.cli.mistakes import UsageMistake
from capgo_client.cli.publishing import private_key, published_version, source_tree, tell_refusal, tell_remarks
from capgo_client.cli.source_tree import Refusal
from capgo_client.testing import make_bundle

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from capgo_client.testing import MadeBundle

__all__ = ["register", "run"]

_ZIP, _OBJECTS, _MANIFEST, _REPLY = "bundle.zip", "objects", "manifest.json", "update.json"
#: So many characters of an object's SHA-256 are its name.
_NAME_LENGTH = 24


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "pack",
        help="make a zip, an encrypted zip or a manifest folder like Capgo's, without node",
        description=(
            "Pack a folder as Capgo's command line does, and print its checksum and session key. The same files make"
            " the same zip on every machine. Notes tell what a delta update would drop. Ends with 1 when no device"
            " would install it."
        ),
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="what is to be packed")
    parser.add_argument("--version", required=True, metavar="V", help="the version that it is")
    parser.add_argument("--out", type=Path, metavar="PATH", help="the zip, or the folder with --manifest, to be made")
    parser.add_argument("--keys", type=Path, metavar="FILE", help="encrypt and sign with this private key (PEM)")
    parser.add_argument("--no-encrypt", action="store_true", help="with --keys: sign only")
    parser.add_argument("--manifest", action="store_true", help="also file by file, for delta updates: makes a folder")
    parser.add_argument("--no-brotli", action="store_true", help="with --manifest: store every file as it is")
    parser.add_argument("--base-url", metavar="URL", help=f"with --manifest: where it will lie; writes {_REPLY} too")
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Pack; 1 when the folder holds what no device would install (nothing is written then).

    Raises:
        UsageMistake: The options make no sense, or something cannot be read or written.
    """
    _check(args)
    tree = source_tree(args.folder, to_seal=False)
    tell_remarks(tree)
    if tree.refused:
        return tell_refusal(args, "packed", tree.refused)
    try:
        made = _made(args)
    except ValueError as exc:  # Capgo's formats have no room for it
        sys.stderr.write(f"refused: no_room: {exc}\n")
        return tell_refusal(args, "packed", [Refusal("no_room", str(exc))])
    out = _out(args)
    (_write_folder if args.manifest else _write_zip)(args, made, out)
    facts = _facts(made, out)
    lines = [
        f"packed {made.version}: {len(made.files)} files, {len(made.archive)} bytes in {out}",
        *(f"{name:<13} {facts[name]}" for name in ("checksum", "ivSessionKey", "key_id") if facts[name]),
    ]
    tell(args, lines, facts)
    return GOOD


def _check(args: argparse.Namespace) -> None:
    published_version(args.version)
    if not args.manifest and (args.base_url is not None or args.no_brotli):
        raise UsageMistake("--base-url and --no-brotli say how a --manifest is made; give --manifest as well")
    if args.no_encrypt and args.keys is None:
        raise UsageMistake("--no-encrypt says what --keys is for; without keys nothing is encrypted")
    out, folder = _out(args).absolute().resolve(), args.folder.absolute().resolve()
    if out == folder or folder in out.parents:
        raise UsageMistake(f"--out {_out(args)} lies in the folder that is packed: the next bundle would hold this one")


def _out(args: argparse.Namespace) -> Path:
    end = "" if args.manifest else ".zip"
    return Path(args.out or f"{args.folder.absolute().name}-{args.version}{end}")


def _made(args: argparse.Namespace) -> MadeBundle:
    """The bundle. Raises UsageMistake, and ValueError where Capgo's formats have no room for it."""
    keys = private_key(args.keys)
    try:
        return make_bundle(
            args.version,
            args.folder,
            keys=keys,
            encrypt=not args.no_encrypt,
            manifest=args.manifest,
            brotli=not args.no_brotli,
        )
    except ImportError as exc:
        raise UsageMistake("--manifest needs brotli: pip install 'capgo-client[delta]', or give --no-brotli") from exc
    except OSError as exc:
        raise UsageMistake(f"{exc.filename} cannot be read: {exc.strerror}") from exc


def _facts(made: MadeBundle, out: Path) -> dict[str, Any]:
    """By the names that Capgo's command line has for them under its ``--json``, and a few of ours."""
    return {
        "ok": True,
        "bundle": made.version,
        "filename": str(out),
        "checksum": made.checksum,
        "ivSessionKey": made.session_key,
        "key_id": made.key_id,
        "files": len(made.files),
        "bytes": len(made.archive),
        "manifest": len(made.manifest),
    }


# ---- writing ----


def _write_zip(_: argparse.Namespace, made: MadeBundle, out: Path) -> None:
    with _unwritable(out):
        if out.is_dir():
            raise UsageMistake(f"--out {out} is a folder; name the zip")
        with _unfinished(out) as folder:
            (folder / _ZIP).write_bytes(made.archive)
            (folder / _ZIP).replace(out)


def _write_folder(args: argparse.Namespace, made: MadeBundle, out: Path) -> None:
    """All of it, or nothing: half a bundle on a server is one that devices try to fetch."""
    with _unwritable(out):
        if out.exists() and not (out.is_dir() and not any(out.iterdir())):
            raise UsageMistake(f"--out {out} exists already; name a folder that is empty or not there")
        with _unfinished(out) as folder:
            entries = _fill(folder, made, base=(args.base_url or "").rstrip("/"))
            _write_json(folder / _MANIFEST, entries)
            if args.base_url is not None:
                _write_json(folder / _REPLY, _reply(made, entries, args.base_url.rstrip("/")))
            folder.chmod(0o755)
            folder.replace(out)


def _fill(folder: Path, made: MadeBundle, *, base: str) -> list[dict[str, str]]:
    """Write zip and objects; return the manifest's entries."""
    (folder / _ZIP).write_bytes(made.archive)
    (folder / _OBJECTS).mkdir()
    entries = []
    for file in made.manifest:
        end = "" if file.file_name in made.files else ".br"  # a file may be called so without being packed
        name = hashlib.sha256(file.data).hexdigest()[:_NAME_LENGTH] + end
        (folder / _OBJECTS / name).write_bytes(file.data)
        url = f"{base}/{_OBJECTS}/{name}" if base else f"{_OBJECTS}/{name}"
        entries.append({"file_name": file.file_name, "file_hash": file.file_hash, "download_url": url})
    return entries


def _reply(made: MadeBundle, entries: list[dict[str, str]], base: str) -> dict[str, Any]:
    """What a service answers that offers this version (reference/service-behaviour.md section 1.3)."""
    return {
        "version": made.version,
        "url": f"{base}/{_ZIP}",
        "session_key": made.session_key,
        "checksum": made.checksum,
        "manifest": entries,
    }


def _write_json(path: Path, value: object) -> None:
    path.write_text(f"{json.dumps(value, ensure_ascii=False, indent=1)}\n", "utf-8")


@contextlib.contextmanager
def _unfinished(out: Path) -> Iterator[Path]:
    """A folder beside ``out``, on the same disk; gone afterwards, unless it was moved away."""
    folder = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.absolute().parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _unwritable(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise UsageMistake(f"--out {os.fspath(out)} cannot be written: {exc.strerror}") from exc
