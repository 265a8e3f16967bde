"""Every answer of the service that is no update, by name (reference/service-behaviour.md sections 0.1, 1.2, 1.3).

The name is the service's own error code. Where one code has two forms, the rarer has a suffix::

    on_premise_app            429 with a message: unknown app, plan ended, over quota, database failure
    on_premise_app_guard      429 without one: the caller's address asked for too many unknown apps
    too_many_requests         429 without any reset time
    too_many_requests_reset   429 with Retry-After and X-RateLimit-Reset
    semver_error_request      400, thrown while the request is read; plain semver_error is row 7 of section 1.3
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .wire import Reply

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CASES", "Case", "Context"]

_RETRY_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Context:
    """What a reply quotes: ``version`` is the one on offer, the rest comes from the request."""

    version: str = "2.0.0"
    channel: str = "production"
    request: dict[str, Any] = field(default_factory=dict)

    def quote(self, name: str, default: str) -> str:
        """A field of the request."""
        return str(self.request.get(name, default))


@dataclass(frozen=True, slots=True)
class Case:
    """One row. ``old`` names the request's field that the reply repeats under that key."""

    code: str
    status: int
    message: str | None = None
    kind: str | None = None
    row: str = ""
    error: str = ""
    old: str = ""
    major: bool = False
    more: bool = False
    extra: tuple[str, ...] = ()

    def reply(self, context: Context) -> Reply:
        """The answer as bytes and headers; ``context`` fills in what it quotes."""
        body: dict[str, Any] = {"error": self.error or self.code}
        if self.message is not None:
            body["message"] = self._message(context)
        if self.major:
            body["major"] = True
        if self.old:
            body["version"] = context.version
            body["old"] = context.quote(self.old, "1.0.0")
        body.update({name: _EXTRAS[name](context) for name in self.extra})
        if self.more:
            body["moreInfo"] = _more_info(self, context)
        if self.kind is not None:
            body["kind"] = self.kind
        return Reply.of_json(self.status, body, self._headers())

    def _message(self, context: Context) -> str:
        plugin = context.quote("plugin_version", "4.15.0")
        filled = (self.message or "").replace("{channel}", context.channel).replace("{plugin}", plugin)
        return filled.replace("{build}", context.quote("version_build", "abc"))

    def _headers(self) -> tuple[tuple[str, str], ...]:
        if self.code != "too_many_requests_reset":
            return ()
        reset = int(time.time()) + _RETRY_SECONDS
        return (("Retry-After", str(_RETRY_SECONDS)), ("X-RateLimit-Reset", str(reset)))


_EXTRAS: dict[str, Callable[[Context], Any]] = {
    "provider": lambda _: "google",
    "version": lambda _: "builtin",
    "deviceKeyId": lambda context: context.quote("key_id", "MIIBCgKCAQEAOTHERKEY"),
    "bundleKeyId": lambda _: "MIIBCgKCAQEA1234567x",
    "body": lambda context: context.request,
}


def _more_info(case: Case, context: Context) -> dict[str, Any]:
    app_id = {"app_id": context.quote("app_id", "com.example.app")}
    if case.code == "too_many_requests":
        return app_id
    if case.code == "too_many_requests_reset":
        reset = int((time.time() + _RETRY_SECONDS) * 1000)
        device = {"device_id": context.quote("device_id", "")}
        return {**app_id, **device, "rateLimitResetAt": reset, "retryAfterSeconds": _RETRY_SECONDS}
    if case.code == "invalid_json_parse_body":
        return {"e": {}}
    if case.code == "semver_error_request":
        return {"version_build": context.quote("version_build", "abc")}
    return {"body": context.request} if case.status == 400 else {}  # noqa: PLR2004 - a bad request


def _blocked(code: str, row: int, message: str, *, old: str = "", major: bool = False, **rest: Any) -> Case:
    return Case(code, 200, message, "blocked", f"1.3 #{row}", old=old, major=major, **rest)


def _failed(code: str, row: int, message: str | None, **rest: Any) -> Case:
    return Case(code, 200, message, "failed", f"1.3 #{row}", **rest)


_ON_PREMISE = "On-premise app detected"
_BUILD, _NAME = "version_build", "version_name"
_PROVIDER = "provider_infrastructure_request_blocked"

_ROWS = (
    # Section 0.1: every 429.
    Case("on_premise_app", 429, _ON_PREMISE, row="0.1, 1.3 #2 #3 #5 #6"),
    Case("on_premise_app_guard", 429, row="0.1, 1.3 #4", error="on_premise_app"),
    Case("too_many_requests", 429, "Too many requests", row="0.1", more=True),
    Case("too_many_requests_reset", 429, "Too many requests", row="0.1", error="too_many_requests", more=True),
    Case(f"{_PROVIDER}_429", 429, "Provider infrastructure requests are blocked", row="0.1", error=_PROVIDER),
    Case("need_plan_upgrade", 429, "Need plan upgrade", row="0.1, old back ends"),
    # Section 1.3: refusals with status 200.
    _blocked(_PROVIDER, 1, "Update requests from known provider infrastructure are blocked", extra=("provider",)),
    _failed("unknown_version_build", 7, None, extra=("body",)),
    _failed("semver_error", 7, None),
    _failed(
        "unsupported_plugin_version",
        8,
        "Plugin version {plugin} (v4) is no longer supported. Please upgrade to v5.10.0 or later.",
    ),
    _failed("no_channel", 9, "no default channel or override"),
    _failed("no_bundle", 10, "Cannot get bundle"),
    _blocked(
        "key_id_mismatch",
        11,
        "Device encryption key does not match bundle encryption key. The device may have a different public key than "
        "the one used to encrypt this bundle.",
        extra=("deviceKeyId", "bundleKeyId"),
    ),
    Case("no_new_version_available", 200, "No new version available", "up_to_date", "1.3 #12"),
    _blocked("disabled_platform_ios", 13, "Cannot update, ios it's disabled", old=_NAME),
    _blocked("disabled_platform_android", 13, "Cannot update, android is disabled", old=_NAME),
    _blocked("disabled_platform_electron", 13, "Cannot update, electron is disabled", old=_NAME),
    _blocked("disable_auto_update_to_major", 14, "Cannot upgrade major version", old=_BUILD, major=True),
    _blocked("cannot_update_via_private_channel", 15, "Cannot update via a private channel."),
    _blocked("disable_auto_update_to_minor", 16, "Cannot upgrade minor version", old=_BUILD, major=True),
    _blocked("disable_auto_update_to_patch", 17, "Cannot upgrade patch version", old=_BUILD, major=True),
    _failed("misconfigured_channel", 18, "Channel {channel} is misconfigured", old=_BUILD),
    _blocked(
        "disable_auto_update_to_metadata",
        19,
        "Cannot upgrade version, min update version > current version",
        old=_BUILD,
        major=True,
    ),
    _blocked("disable_auto_update_under_native", 20, "Cannot revert under native version", old=_NAME),
    _blocked("disable_prod_build", 21, "Cannot update, prod build is disabled", old=_NAME),
    _blocked("disable_dev_build", 22, "Cannot update, dev build is disabled", old=_NAME),
    _blocked("disable_device", 23, "Cannot update, device is disabled", old=_NAME),
    _blocked("disable_emulator", 24, "Cannot update, emulator is disabled", old=_NAME),
    Case("already_on_builtin", 200, "Already on builtin", "up_to_date", "1.3 #25", extra=("version",)),
    _failed("revert_to_builtin_plugin_version_too_old", 26, "revert_to_builtin used, but plugin version is too old"),
    _failed("no_bundle_url", 27, "Cannot get bundle url"),
    _failed("no_url_or_manifest", 28, "No url or manifest"),
    _failed("missing_info", 28, "Cannot find device_id or app_id"),
    _failed("null_channel_data", 28, "channel data still null"),
    # Section 1.2: thrown while the request is read, and section 0.
    Case("invalid_json_parse_body", 400, "Invalid JSON body", row="1.2 #1", more=True),
    Case("invalid_json_body", 400, "Cannot parse body", row="1.2 #3", more=True),
    Case("missing_device_id", 400, "Cannot find device_id", row="1.2 #4", more=True),
    Case("missing_app_id", 400, "Cannot find app_id", row="1.2 #4", more=True),
    Case(
        "semver_error_request",
        400,
        "Native version: {build} doesn't follow semver convention, please check https://capgo.app/semver_tester/ to "
        "learn more about semver usage in Capgo",
        row="1.2 #5",
        error="semver_error",
        more=True,
    ),
    Case("unknown_error", 500, "Unknown error", row="0", more=True),
    Case("not_found", 404, "Not found", row="0"),
)

#: All cases by name, in the order of the tables.
CASES: dict[str, Case] = {case.code: case for case in _ROWS}
