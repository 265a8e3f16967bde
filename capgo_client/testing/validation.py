"""What the service checks of a request, in its order and with its words.

Source: reference/service-behaviour.md sections 1.1, 1.2 and 2.1. Each function raises ``Refused`` with the reply.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NoReturn

from .semver import parse_semver, repair_build
from .wire import Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = [
    "APP_ID",
    "Refused",
    "app_id_issue",
    "boolean_issue",
    "check_build",
    "check_channel_call",
    "check_fields",
    "check_ids",
    "check_update_call",
    "device_id_issue",
    "error_reply",
    "optional_issue",
    "parse_json",
    "read_query",
    "unknown_error",
    "version_issue",
]

#: Capgo's pattern of an app id (JavaScript's ``\\w`` is ASCII).
APP_ID = re.compile(r"[a-z0-9]+(\.[\w-]+)+", re.ASCII | re.IGNORECASE)
_DEVICE_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_PLATFORMS = ("ios", "android", "electron")
_QUERY_FIELDS = {
    "app_id",
    "channel",
    "custom_id",
    "defaultChannel",
    "device_id",
    "install_source",
    "key_id",
    "platform",
    "plugin_version",
    "version_build",
    "version_name",
    "version_os",
}
_MISSING = object()


class Refused(Exception):
    """The request is refused; ``reply`` is what the service says."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


def error_reply(status: int, error: str, message: str, more: Any = _MISSING) -> Reply:
    """An error as the service throws it; details stand below ``moreInfo``."""
    body = {"error": error, "message": message}
    return Reply.of_json(status, body if more is _MISSING else {**body, "moreInfo": more})


def unknown_error() -> Reply:
    """What the service says when it fails itself."""
    return error_reply(500, "unknown_error", "Unknown error", {})


def parse_json(body: bytes) -> Any:
    """Read a body as the service does, whatever its Content-Type."""
    try:
        return json.loads(body, parse_constant=_no_constant)
    except ValueError as exc:
        raise Refused(error_reply(400, "invalid_json_parse_body", "Invalid JSON body", {"e": {}})) from exc


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def check_update_call(value: Any) -> dict[str, Any]:
    """Check the body of POST /updates; return it with device id and native version in the service's own form."""
    if value is None:
        raise Refused(unknown_error())
    fields = check_ids(value, "invalid_json_body", needs_device=True)
    build = check_build(fields)
    check_fields(fields, _update_issues, "invalid_json_body")
    name = fields["version_name"]
    return {
        **fields,
        "device_id": fields["device_id"].lower(),
        "version_build": build,
        "version_name": build if name == "builtin" else name,
    }


def check_channel_call(value: Any, *, method: str) -> dict[str, Any]:
    """Check a call of /channel_self: a JSON body (POST, PUT) or the fields of the query (DELETE, GET)."""
    code = "invalid_json_body" if method in {"POST", "PUT"} else "invalid_query_parameters"
    lists = method == "GET"
    if value is None:
        raise Refused(unknown_error())
    fields = check_ids(value, code, needs_device=not lists)
    check_build(fields)
    check_fields(fields, _list_issues if lists else _channel_issues, code)
    return fields if lists else {**fields, "device_id": fields["device_id"].lower()}


def read_query(query: dict[str, str]) -> dict[str, Any]:
    """Read the query of DELETE and GET /channel_self: a boolean is the text ``true`` or false, ``is_prod`` true."""
    known: dict[str, Any] = {name: text for name, text in query.items() if name in _QUERY_FIELDS}
    if not query:
        return known
    return {
        **known,
        "is_emulator": query.get("is_emulator") == "true",
        "is_prod": query.get("is_prod", "true") == "true",
    }


def check_ids(value: Any, code: str, *, needs_device: bool) -> dict[str, Any]:
    """Check that there is something, and the ids in it; return it as fields. ``code`` is the error of an empty body."""
    if value in ({}, []):
        raise Refused(error_reply(400, code, "Cannot parse body", {"body": value}))
    fields: dict[str, Any] = value if isinstance(value, dict) else {}
    if needs_device and not fields.get("device_id"):
        raise Refused(error_reply(400, "missing_device_id", "Cannot find device_id", {"body": value}))
    if not fields.get("app_id"):
        raise Refused(error_reply(400, "missing_app_id", "Cannot find app_id", {"body": value}))
    if not isinstance(fields.get("device_id") or "", str):
        raise Refused(unknown_error())
    return fields


def check_build(fields: dict[str, Any]) -> str:
    """Check ``version_build``; return it repaired, empty where it is missing."""
    given = fields.get("version_build") or ""
    if not isinstance(given, str):
        raise Refused(unknown_error())
    repaired = repair_build(given)
    if given and repaired is None:
        message = (
            f"Native version: {given} doesn't follow semver convention, please check "
            "https://capgo.app/semver_tester/ to learn more about semver usage in Capgo"
        )
        raise Refused(error_reply(400, "semver_error", message, {"version_build": given}))
    return str(repaired) if repaired else ""


def check_fields(fields: dict[str, Any], rules: Callable[[dict[str, Any]], _Issues], code: str) -> None:
    """Refuse with all issues that ``rules`` finds, if any."""
    issues = [{"message": message, "path": [name], "code": "custom"} for name, message in rules(fields) if message]
    if issues:
        result = {"success": False, "error": {"name": "SchemaError", "issues": issues}}
        raise Refused(error_reply(400, code, "Cannot parse body", {"parseResult": result}))


if TYPE_CHECKING:
    _Issues = Iterable[tuple[str, str]]


def _update_issues(fields: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield from _identity_issues(fields, may_be_empty=False)
    yield "is_emulator", boolean_issue(fields, "is_emulator")
    yield "is_prod", boolean_issue(fields, "is_prod")
    yield "platform", _platform_issue(fields)
    yield "plugin_version", _plugin_version_issue(fields)
    for name, limit in (("defaultChannel", None), ("install_source", 64), ("key_id", 20)):
        yield name, optional_issue(fields, name, limit)


def _channel_issues(fields: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield from _identity_issues(fields, may_be_empty=True)
    yield "platform", _platform_issue(fields)
    for name in ("defaultChannel", "channel", "plugin_version"):
        yield name, optional_issue(fields, name, None)
    yield "install_source", optional_issue(fields, "install_source", 64)
    yield "key_id", optional_issue(fields, "key_id", 20)


def _list_issues(fields: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "app_id", app_id_issue(fields)
    yield "platform", _platform_issue(fields)


def _identity_issues(fields: dict[str, Any], *, may_be_empty: bool) -> Iterator[tuple[str, str]]:
    yield "app_id", app_id_issue(fields)
    yield "device_id", device_id_issue(fields)
    yield "version_name", version_issue(fields, "version_name", "Version name", may_be_empty=may_be_empty)
    yield "version_build", version_issue(fields, "version_build", "Version build", may_be_empty=may_be_empty)


def app_id_issue(fields: dict[str, Any]) -> str:
    """What is wrong with the app id; empty for nothing, as in all functions below."""
    value = fields["app_id"]
    if not isinstance(value, str):
        return "App ID must be a string"
    return "" if APP_ID.fullmatch(value) else "App ID must be a reverse domain string"


def device_id_issue(fields: dict[str, Any]) -> str:
    """What is wrong with the device id, which is a text."""
    value = fields["device_id"]
    if len(value) > len("00000000-0000-0000-0000-000000000000"):
        return "String must contain at most 36 character(s)"
    return "" if _DEVICE_ID.fullmatch(value) else "Device ID must be a valid UUID string"


def version_issue(fields: dict[str, Any], name: str, label: str, *, may_be_empty: bool) -> str:
    """What is wrong with a required text; ``label`` is its name in the message."""
    value = fields.get(name, _MISSING)
    if value is _MISSING or (value == "" and not may_be_empty):
        return f"{label} is required"
    return "" if isinstance(value, str) else f"{label} must be a string"


def _platform_issue(fields: dict[str, Any]) -> str:
    if "platform" not in fields:
        return "Platform is required"
    return "" if fields["platform"] in _PLATFORMS else "Platform is not supported or invalid"


def _plugin_version_issue(fields: dict[str, Any]) -> str:
    if "plugin_version" not in fields:
        return "plugin_version is required"
    value = fields["plugin_version"]
    return "" if isinstance(value, str) and parse_semver(value) else "Plugin version is invalid"


def boolean_issue(fields: dict[str, Any], name: str) -> str:
    """What is wrong with an optional boolean, which may be null."""
    return "" if fields.get(name) is None or isinstance(fields[name], bool) else f"{name} must be a boolean"


def optional_issue(fields: dict[str, Any], name: str, limit: int | None) -> str:
    """What is wrong with an optional text of at most ``limit`` characters; null is."""
    value = fields.get(name, "")
    if not isinstance(value, str):
        return f"{name} must be a string"
    return f"String must contain at most {limit} character(s)" if limit is not None and len(value) > limit else ""
