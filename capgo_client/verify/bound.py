"""The bundle's own record, ``capgo-bundle.json``: what Capgo's signature does not say (DESIGN decision 10).

Capgo signs a checksum, not a name. Whoever answers for the service may offer an old signed bundle as a new version,
or (in a delta) a signed file under another file's name. The record is a file of the bundle, so the signature covers
it, and it names what it belongs to::

    {
      "schema": 1,
      "app_id": "com.example.notes",
      "version": "1.5.0",
      "files": {"main.py": {"size": 91, "sha256": "<64 lower-case hex>"}, ...},
      "requires_python": ">=3.10,<3.14",
      "platforms": ["linux", "win32"],
      "min_app_version": "1.4.0"
    }

The last three are optional. ``files`` holds every file but the record itself; folders are not listed. A clause of
``requires_python`` is one of ``>= <= < > == !=`` and ``X.Y`` or ``X.Y.Z`` (a missing Z is 0), all clauses must hold.
``platforms`` are names such as ``sys.platform`` gives. ``min_app_version`` is compared with the version of the
installer. A member that schema 1 does not know makes the record malformed: it might be a condition.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from capgo_client.errors import BindingError
from capgo_client.protocol.versions import compare
from capgo_client.verify.requires_python import Clause, fits, parse_clauses

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["MAX_RECORD_BYTES", "RECORD_NAME", "Sealed", "check_bound", "check_seal", "listed_empty", "seal_record"]

RECORD_NAME = "capgo-bundle.json"
#: Room for 50,000 files with paths of 200 characters.
MAX_RECORD_BYTES = 16 * 1024 * 1024

_SCHEMA = 1
_MAX_TEXT = 1024
_MAX_PLATFORMS = 64
_MAX_NUMBER = 10**18
_SHA256_HEX = 64
_LOWER_HEX = frozenset("0123456789abcdef")
_REQUIRED = frozenset({"schema", "app_id", "version", "files"})
_OPTIONAL = frozenset({"requires_python", "platforms", "min_app_version"})
_SHOWN = 3
_SHA256_OF_NOTHING = hashlib.sha256(b"").hexdigest()


class FileFacts(Protocol):
    """What a line of a sealed record tells about a file (the layer above has the class)."""

    @property
    def path(self) -> str:
        """Relative to the bundle, ``/`` between the parts."""

    @property
    def size(self) -> int:
        """Bytes."""

    @property
    def sha256(self) -> str:
        """64 lower-case hex characters."""


@dataclass(frozen=True, slots=True)
class _Record:
    app_id: str
    version: str
    files: dict[str, tuple[int, str]]
    requires_python: tuple[Clause, ...]
    platforms: tuple[str, ...]
    min_app_version: str


@dataclass(frozen=True, slots=True)
class Sealed:
    """What a record says of its bundle; the last three are conditions, empty where there is none."""

    app_id: str
    version: str
    file_count: int
    requires_python: str = ""
    platforms: tuple[str, ...] = ()
    min_app_version: str = ""


def check_seal(text: bytes, *, files: Sequence[FileFacts]) -> Sealed:
    """Hold ``files``, with or without the record's own line, against a record; say what else is in it.

    For whoever publishes: which device, app or version it is meant for is not judged.

    Raises:
        BindingError: ``bound_malformed``, ``bound_schema``, ``bound_files``.
    """
    record = _parse(text)
    _check_own(text, files)
    _check_files(record, files)
    return Sealed(
        app_id=record.app_id,
        version=record.version,
        file_count=len(record.files),
        requires_python=",".join(str(clause) for clause in record.requires_python),
        platforms=record.platforms,
        min_app_version=record.min_app_version,
    )


def check_bound(
    text: bytes | None,
    *,
    app_id: str,
    version: str,
    files: Sequence[FileFacts],
    require: bool,
    platform: str,
    app_version: str,
    python_version: tuple[int, ...],
) -> None:
    """Hold the bundle to its own record. ``text`` is the record's content, None when the bundle has none.

    ``files`` are those found in the bundle, with or without the record's own line. ``app_id``, ``platform``,
    ``app_version`` (of the installer) and ``python_version`` are this device's, ``version`` is what the service said.

    Raises:
        BindingError: ``bound_required``, ``bound_malformed``, ``bound_schema``, ``bound_app``, ``bound_version``,
            ``bound_files``, ``requires_python``, ``platform_unsupported``, ``min_app_version``.
    """
    own = [file for file in files if file.path == RECORD_NAME]
    if text is None:
        if own:
            _refuse("bound_malformed", f"{RECORD_NAME} is in the bundle and could not be read")
        if require:
            _refuse("bound_required", f"the bundle has no {RECORD_NAME}", hint="run `capgo-client seal` before upload")
        return
    record = _parse(text)
    _check_own(text, own)
    _check_names(record, app_id=app_id, version=version)
    _check_files(record, files)
    _check_device(record, platform=platform, app_version=app_version, python_version=python_version)


def seal_record(
    files: Iterable[FileFacts],
    *,
    app_id: str,
    version: str,
    requires_python: str = "",
    platforms: Sequence[str] = (),
    min_app_version: str = "",
) -> bytes:
    """The record's text for these files; the same input gives the same bytes. Empty options are left out.

    Raises:
        BindingError: ``bound_malformed``, a value that ``check_bound`` would not accept.
    """
    listed = {f.path: {"size": f.size, "sha256": f.sha256} for f in sorted(files, key=lambda f: f.path)}
    listed.pop(RECORD_NAME, None)
    document: dict[str, object] = {"schema": _SCHEMA, "app_id": app_id, "version": version, "files": listed}
    if requires_python:
        document["requires_python"] = requires_python
    if platforms:
        document["platforms"] = list(platforms)
    if min_app_version:
        document["min_app_version"] = min_app_version
    try:
        text = json.dumps(document, ensure_ascii=False, indent=1).encode() + b"\n"
    except UnicodeEncodeError as exc:
        raise BindingError("a file name is not valid Unicode", code="bound_malformed") from exc
    _parse(text)
    return text


def listed_empty(text: bytes) -> tuple[str, ...]:
    """The paths that a record lists as empty files; none where it is malformed, which ``check_bound`` will say."""
    try:
        record = _parse(text)
    except BindingError:
        return ()
    return tuple(path for path, facts in record.files.items() if facts == (0, _SHA256_OF_NOTHING))


def _refuse(code: str, message: str, *, hint: str = "") -> NoReturn:
    raise BindingError(message, code=code, hint=hint)


def _malformed(why: str) -> NoReturn:
    _refuse("bound_malformed", f"{RECORD_NAME}: {why}", hint="make it anew with `capgo-client seal`")


def _need(condition: object, why: str) -> None:
    if not condition:
        _malformed(why)


def _parse(text: bytes) -> _Record:
    document = _load(text)
    schema = document.get("schema")
    _need(type(schema) is int and schema >= _SCHEMA, "no schema number")
    if schema != _SCHEMA:
        _refuse("bound_schema", f"{RECORD_NAME} has schema {schema}", hint="needs a newer capgo-client in the app")
    _need(document.keys() >= _REQUIRED, "a member is missing")
    _need(document.keys() <= _REQUIRED | _OPTIONAL, "a member that schema 1 does not know")
    return _Record(
        app_id=_text(document["app_id"], "app_id"),
        version=_text(document["version"], "version"),
        files=_files(document["files"]),
        requires_python=_clauses(document["requires_python"]) if "requires_python" in document else (),
        platforms=_platforms(document["platforms"]) if "platforms" in document else (),
        min_app_version=_version(document["min_app_version"]) if "min_app_version" in document else "",
    )


def _load(text: bytes) -> dict[str, Any]:
    _need(len(text) <= MAX_RECORD_BYTES, f"larger than {MAX_RECORD_BYTES} bytes")
    try:
        document = json.loads(
            text.decode(), object_pairs_hook=_unique, parse_int=_integer, parse_float=_no, parse_constant=_no
        )
    except (ValueError, RecursionError) as exc:
        raise BindingError(
            f"{RECORD_NAME} is not JSON as it should be",
            code="bound_malformed",
            hint="make it with `capgo-client seal`",
        ) from exc
    _need(isinstance(document, dict), "not an object")
    return dict(document)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member twice")
    return members


def _integer(digits: str) -> int:
    # Python 3.10 has no limit of its own, and turning a million digits into a number takes seconds.
    if len(digits) > len(str(_MAX_NUMBER)):
        raise ValueError("a number too long")
    return int(digits)


def _no(token: str) -> NoReturn:
    raise ValueError(f"no {token[:10]} in a record")


def _text(value: object, name: str) -> str:
    if not (isinstance(value, str) and 0 < len(value) <= _MAX_TEXT):
        _malformed(f"{name} is not a text of 1 to {_MAX_TEXT} characters")
    return value


def _clauses(value: object) -> tuple[Clause, ...]:
    try:
        return parse_clauses(_text(value, "requires_python"))
    except ValueError as exc:
        raise BindingError(
            f"{RECORD_NAME}: requires_python is not clauses such as '>=3.10,<3.14'", code="bound_malformed"
        ) from exc


def _version(value: object) -> str:
    version = _text(value, "min_app_version")
    _need(compare(version, version) == 0, "min_app_version is not a semver version")
    return version


def _platforms(value: object) -> tuple[str, ...]:
    if not (isinstance(value, list) and 0 < len(value) <= _MAX_PLATFORMS):
        _malformed("platforms is not a list of names")
    return tuple(_text(name, "platforms") for name in value)


def _files(value: object) -> dict[str, tuple[int, str]]:
    if not isinstance(value, dict):
        _malformed("files is not an object")
    _need(RECORD_NAME not in value, "it lists itself")
    return {_text(path, "a path"): _file(facts) for path, facts in value.items()}


def _file(facts: object) -> tuple[int, str]:
    if not (isinstance(facts, dict) and facts.keys() == {"size", "sha256"}):
        _malformed("a file without exactly size and sha256")
    size, sha256 = facts["size"], facts["sha256"]
    _need(type(size) is int and 0 <= size <= _MAX_NUMBER, "a size is not a whole number")
    _need(isinstance(sha256, str) and len(sha256) == _SHA256_HEX and _LOWER_HEX.issuperset(sha256), "a bad sha256")
    return size, sha256


def _check_own(text: bytes, files: Iterable[FileFacts]) -> None:
    digest = hashlib.sha256(text).hexdigest()
    if not all(hmac.compare_digest(file.sha256, digest) for file in files if file.path == RECORD_NAME):
        _refuse("bound_files", f"{RECORD_NAME} is not the one that was installed")


def _check_names(record: _Record, *, app_id: str, version: str) -> None:
    if record.app_id != app_id:
        _refuse("bound_app", f"the bundle was made for {record.app_id!a}, this app is {app_id!a}")
    if record.version != version:
        _refuse(
            "bound_version",
            f"the bundle says it is {record.version!a}, the service called it {version!a}",
            hint="seal and upload with the same version, or the service offers an old bundle under a new name",
        )


def _check_files(record: _Record, files: Sequence[FileFacts]) -> None:
    found = {file.path: (file.size, file.sha256) for file in files if file.path != RECORD_NAME}
    if found == record.files:
        return
    missing = record.files.keys() - found.keys()
    extra = found.keys() - record.files.keys()
    changed = {path for path in record.files.keys() & found.keys() if record.files[path] != found[path]}
    parts = [_name_some(word, paths) for word, paths in (("missing", missing), ("extra", extra), ("changed", changed))]
    _refuse(
        "bound_files",
        f"the bundle's files are not those of its {RECORD_NAME}: {'; '.join(filter(None, parts))}",
        hint="seal last, just before the upload; a delta leaves out empty files",
    )


def _name_some(word: str, paths: set[str]) -> str:
    if not paths:
        return ""
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return f"{word} {', '.join(ascii(path) for path in sorted(paths)[:_SHOWN])}{more}"


def _check_device(record: _Record, *, platform: str, app_version: str, python_version: tuple[int, ...]) -> None:
    if not fits(record.requires_python, python_version):
        needed = ",".join(str(clause) for clause in record.requires_python)
        running = ".".join(str(number) for number in python_version[:3])
        _refuse("requires_python", f"the bundle needs Python {needed}, this is {running}")
    if record.platforms and platform not in record.platforms:
        names = ", ".join(ascii(name) for name in record.platforms)
        _refuse("platform_unsupported", f"the bundle is for {names}, this is {platform}")
    if not record.min_app_version:
        return
    order = compare(app_version, record.min_app_version)
    if order is None or order < 0:
        _refuse(
            "min_app_version",
            f"the bundle needs the installer's version {record.min_app_version!a} or later, this is {app_version!a}",
            hint="the person has to install the app anew",
        )
