"""POST /stats: single events and batches (reference/service-behaviour.md sections 3.3 and 3.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .channel_self import refuse_call
from .event_rules import check_event
from .semver import SemVer, parse_semver
from .validation import APP_ID, Refused, error_reply, parse_json, unknown_error
from .wire import Reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from .apps import App

    #: Find an app that may be served; raises ``UnknownApp``, or ``Refused`` where the plan ended.
    FindApp = Callable[[dict[str, Any]], App]

__all__ = ["UnknownApp", "answer_batch", "answer_event", "check_event_app"]

_OK = {"status": "ok"}
_SERVER_FAILED = 500


class UnknownApp(Refused):
    """The service knows no such app."""


def check_event_app(event: Any, *, thrown: bool) -> str:
    """Check an event's app id, which comes before everything else; return it.

    Raises:
        Refused: As a thrown error (400), or as a refusal with status 200 for all but the first of a batch.
    """
    app_id = event.get("app_id") if isinstance(event, dict) else None
    if isinstance(app_id, str) and APP_ID.fullmatch(app_id):
        return app_id
    message = "App ID must be a reverse domain string" if app_id else "App ID is required"
    # Thrown errors carry moreInfo, refusals do not.
    raise Refused(error_reply(400, "invalid_app_id", message, {}) if thrown else refuse_call("invalid_app_id", message))


def answer_event(event: dict[str, Any], find_app: FindApp) -> Reply:
    """Answer one event whose app id is right.

    Raises:
        Refused: It is bad, or the app is not served.
    """
    fields = check_event(event)
    app = find_app(fields)
    if "action" not in fields:
        raise Refused(unknown_error())
    if _is_only_acknowledged(fields):
        return Reply.of_json(200, _OK)
    # A failure of one file says <version>:<file>.
    if app.knows(fields["version_name"].partition(":")[0]):
        return Reply.of_json(200, _OK)
    named = {name: fields[name] for name in ("app_id", "version_name")}
    return refuse_call("version_not_found", "Version not found", **named)


def answer_batch(events: list[dict[str, Any]], find_app: FindApp) -> Reply:
    """Answer a batch whose app ids are right and the same: one result for each event, in their order.

    Raises:
        Refused: The plan ended; that is said of the whole batch.
    """
    results = [{**_result(event, find_app), "index": index} for index, event in enumerate(events)]
    return Reply.of_json(200, {**_OK, "results": results})


def _result(event: dict[str, Any], find_app: FindApp) -> dict[str, Any]:
    try:
        said = parse_json(answer_event(event, find_app).body)
    except Refused as refused:
        if refused.reply.status == 429 and not isinstance(refused, UnknownApp):  # noqa: PLR2004 - the plan ended
            raise
        said = parse_json(refused.reply.body)
        said.pop("moreInfo", None)
        if refused.reply.status == _SERVER_FAILED:
            said["error"] = "processing_error"
    if "error" not in said:
        return dict(said)
    failed = {"status": "error", "error": said.pop("error"), "message": said.pop("message")}
    return {**failed, "moreInfo": said} if said else failed


def _is_only_acknowledged(fields: dict[str, Any]) -> bool:
    """Old plugins say ``download_fail`` too often: it is neither stored nor looked at."""
    if fields["action"] != "download_fail":
        return False
    plugin = parse_semver(fields.get("plugin_version", ""))
    if plugin is None:
        return True
    return plugin < SemVer(7, 17, 0) and not SemVer(6, 14, 25) <= plugin < SemVer(7, 0, 0)
