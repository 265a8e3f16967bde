"""``capgo-client verify-seal``: does a folder, or a zip, hold exactly what its own record says?"""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capgo_client.cli.answers import add_json, tell
from capgo_client.cli.mistakes import UsageMistake
from capgo_client.cli.publishing import source_tree
from capgo_client.errors import ArchiveError, BindingError
from capgo_client.install.archive import Limits
from capgo_client.install.extract import extract
from capgo_client.seams import Files
from capgo_client.verify.bound import MAX_RECORD_BYTES, RECORD_NAME, check_seal

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from capgo_client.install.record import FileRecord
    from capgo_client.verify.bound import Sealed

__all__ = ["register", "run"]

#: What to do about it where the error has no better word.
_ANEW = "mend the folder, seal it again with `capgo-client seal`, and pack it anew"


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Describe the command."""
    parser = subparsers.add_parser(
        "verify-seal",
        help=f"hold a folder or a zip against its {RECORD_NAME}",
        description=(
            "Hold a bundle against its own record, as every device does before it installs one: each file is there,"
            " as long and with the SHA-256 that the record says, and no other is. A zip is opened by the same strict"
            " rules as on a device; an encrypted one cannot be. Ends with 1 when something is wrong."
        ),
    )
    parser.add_argument("bundle", type=Path, metavar="PATH", help="a folder, or a zip that is not encrypted")
    parser.add_argument("--app-id", default="", metavar="ID", help="must be the app that it was made for")
    parser.add_argument("--version", default="", metavar="V", help="must be the version that it was sealed as")
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check; 1 when something is wrong.

    Raises:
        UsageMistake: The path cannot be read.
    """
    try:
        sealed = _checked(args.bundle)
        _hold_to(args, sealed)
    except (ArchiveError, BindingError) as exc:
        tell(args, [f"{exc.code}: {exc}"], _as_document(exc))
        return 1
    tell(args, [_in_words(sealed)], {"ok": True, **asdict(sealed)})
    return 0


def _as_document(exc: ArchiveError | BindingError) -> dict[str, Any]:
    return {"ok": False, "code": exc.code, "problem": exc.message, "hint": exc.hint or _ANEW}


def _hold_to(args: argparse.Namespace, sealed: Sealed) -> None:
    for code, wanted, found, hint in (
        ("bound_app", args.app_id, sealed.app_id, "upload it for that app, or seal it for this one"),
        ("bound_version", args.version, sealed.version, "seal and upload with the same version"),
    ):
        if wanted and wanted != found:
            raise BindingError(f"it was sealed as {_plain(found)}, not {wanted}", code=code, hint=hint)


def _plain(text: str) -> str:
    """Text out of somebody's bundle, so that it can play no tricks on a terminal."""
    return ascii(text)[1:-1]


def _in_words(sealed: Sealed) -> str:
    conditions = [
        f"{name} {_plain(value)}"
        for name, value in (
            ("Python", sealed.requires_python),
            ("on", ", ".join(sealed.platforms)),
            ("installer", sealed.min_app_version and f">={sealed.min_app_version}"),
        )
        if value
    ]
    needs = f"; needs {'; '.join(conditions)}" if conditions else ""
    return f"good: {_plain(sealed.app_id)} {_plain(sealed.version)}, {sealed.file_count} files{needs}"


def _checked(bundle: Path) -> Sealed:
    """What the record says, where all is as it says. Raises ArchiveError, BindingError, UsageMistake."""
    try:
        if bundle.is_dir():
            return _checked_folder(bundle)
        with tempfile.TemporaryDirectory(prefix="capgo-verify-seal-") as folder:
            records = extract(bundle, Path(folder), files=Files(), limits=Limits(), should_stop=lambda: False)
            return _held_against_record(Path(folder), records)
    except OSError as exc:
        raise UsageMistake(f"{exc.filename or bundle} cannot be read: {exc.strerror}") from exc


def _checked_folder(bundle: Path) -> Sealed:
    tree = source_tree(bundle)
    for refusal in tree.refused:
        raise ArchiveError(refusal.why, code=refusal.code)
    return _held_against_record(bundle, tree.records)


def _held_against_record(folder: Path, records: Sequence[FileRecord]) -> Sealed:
    path = folder / RECORD_NAME
    try:
        text = Files().read_bytes(path, MAX_RECORD_BYTES)
    except FileNotFoundError as exc:
        raise BindingError(
            f"there is no {RECORD_NAME}", code="bound_required", hint="make one with `capgo-client seal`"
        ) from exc
    except OSError as exc:
        raise BindingError(f"{RECORD_NAME} cannot be read: {exc.strerror}", code="bound_malformed") from exc
    return check_seal(text, files=records)
