"""The state as a JSON document and back.

``SCHEMA`` grows when an older library could no longer read what a newer one wrote. ``current`` and ``fallback`` keep
their names and meaning in every schema, so that an older library can still open the right bundle, reading only.
"""

from __future__ import annotations

from capgo_client.bundle import BundleStatus
from capgo_client.life.delays import DelayCondition
from capgo_client.life.schedule import Schedule
from capgo_client.life.settings import Settings
from capgo_client.life.state import Install, Launch, State, Verdict
from capgo_client.values import fields, is_value

TYPE_CHECKING = False  # spelled out: importing typing costs the launch path several milliseconds
if TYPE_CHECKING:
    from typing import Any, TypeVar

    T = TypeVar("T")

__all__ = ["SCHEMA", "DocumentError", "from_document", "is_id", "to_document"]

SCHEMA = 1


class DocumentError(ValueError):
    """The document is not one that this library wrote."""


def to_document(state: State) -> dict[str, Any]:
    """The state as plain JSON values."""
    return {"schema": SCHEMA, **_plain(state)}


def _plain(value: Any) -> Any:
    if isinstance(value, BundleStatus):
        return value.value
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if is_value(value):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    return value


def from_document(document: object) -> State:
    """The state out of JSON values; raises DocumentError for anything that ``to_document`` cannot have made."""
    values = _mapping(document)
    schema = values.get("schema")
    if type(schema) is not int or schema != SCHEMA:
        raise DocumentError(f"not of schema {SCHEMA}")
    launch, failed = values.get("launch"), values.get("failed")
    nested = {
        "installs": tuple(_install(item) for item in _list(values.get("installs"))),
        "verdicts": tuple(_read(Verdict, item) for item in _list(values.get("verdicts"))),
        "launch": None if launch is None else _read(Launch, launch),
        "failed": None if failed is None else _install(failed),
        "schedule": _read(Schedule, values.get("schedule")),
        "settings": _settings(values.get("settings", {})),
    }
    plain = {name: value for name, value in values.items() if name not in nested and name != "schema"}
    return _read(State, {**plain, **nested})


def _settings(item: object) -> Settings:
    values = dict(_mapping(item))
    values["delays"] = tuple(_read(DelayCondition, delay) for delay in _list(values.get("delays", [])))
    return _read(Settings, values)


def _install(item: object) -> Install:
    values = dict(_mapping(item))
    status = values.get("status")
    if not isinstance(status, str) or status not in _STATUSES:
        raise DocumentError("a status that Capgo does not know")
    values["status"] = _STATUSES[status]
    install = _read(Install, values)
    if not is_id(install.id):
        raise DocumentError("an id that is not letters and digits")
    return install


def is_id(value: object) -> bool:
    """Whether this can be an install's id: it becomes the name of a folder, so nothing else may pass."""
    return isinstance(value, str) and value.isascii() and value.isalnum()


def _read(cls: type[T], item: object) -> T:
    """Build ``cls`` from a mapping of its fields, with values of the types that they are annotated with.

    A field that a later version of this library added has a default, so a document from before it can be read.
    Messages name no value: a deeply nested one has no repr.
    """
    values = _mapping(item)
    known, needed = _shape(cls)
    if not needed <= values.keys() <= known.keys():
        raise DocumentError(f"{cls.__name__} has fields too many or too few")
    for name, value in values.items():
        if known[name] in _SIMPLE and not _is(value, known[name]):
            raise DocumentError(f"{cls.__name__}.{name} is a {type(value).__name__}, not a {known[name]} in its range")
    return cls(**{name: float(v) if known[name] == "float" else v for name, v in values.items()})


def _shape(cls: type) -> tuple[dict[str, str], frozenset[str]]:
    """The types of its fields, and the names of those that have no default."""
    if cls not in _SHAPES:
        needed = frozenset(each.name for each in fields(cls) if each.is_needed)
        _SHAPES[cls] = ({each.name: each.type for each in fields(cls)}, needed)
    return _SHAPES[cls]


_SHAPES: dict[type, tuple[dict[str, str], frozenset[str]]] = {}
_STATUSES = {status.value: status for status in BundleStatus}
_SIMPLE = {"str": (str,), "int": (int,), "float": (int, float), "bool": (bool,)}
#: No number of ours is larger in either direction; it also keeps out infinities and NaN, which compare as False.
_LARGEST = 1e300


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "bool"
    if isinstance(value, (int, float)):
        lowest = 0 if kind == "int" else -_LARGEST  # every int of ours counts something
        return isinstance(value, _SIMPLE[kind]) and lowest <= value <= _LARGEST
    return isinstance(value, _SIMPLE[kind])


def _mapping(item: object) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise DocumentError(f"a {type(item).__name__} instead of an object")
    return item


def _list(item: object) -> list[Any]:
    if not isinstance(item, list):
        raise DocumentError(f"a {type(item).__name__} instead of a list")
    return item
