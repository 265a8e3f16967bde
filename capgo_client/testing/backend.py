"""The service's mind without its sockets: which app is meant, whether it is served, and who answers.

Source: reference/service-behaviour.md sections 0 to 5; each kind of request has a module of its own.
"""

from __future__ import annotations

import functools
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from .apps import App
from .cases import CASES
from .channel_self import OPERATIONS, refuse_call
from .channels import Channel, refuse
from .downloads import ATTACHMENTS, Store
from .limits import ChannelLimits, UnknownAppGuard
from .sizes import answer_sizes
from .stats import UnknownApp, answer_batch, answer_event, check_event_app
from .updates import answer_update
from .validation import Refused, check_channel_call, check_update_call, error_reply, parse_json, read_query
from .wire import Reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from capgo_client.seams import Clock

    from .bundles import MadeBundle
    from .plans import Quota
    from .wire import Request

__all__ = ["Backend", "kind_of"]

_OK = Reply.of_json(200, {"status": "ok"})
_PROVIDER = "provider_infrastructure_request_blocked"
_BLOCKED = "Provider infrastructure requests are blocked"
_BLOCKED_CHECK = {"error": _PROVIDER, "message": CASES[_PROVIDER].message}
_KINDS = {"/updates": "updates", "/updates/manifest_size": "sizes", "/stats": "stats", "/channel_self": "channel"}


def kind_of(request: Request) -> str:
    """Which endpoint a request is for: updates, sizes, stats, channel, download or other."""
    if request.path.startswith(ATTACHMENTS):
        return "download"
    return _KINDS.get(request.path.rstrip("/").removeprefix("/plugin"), "other")


def _address(request: Request) -> str:
    """Who asks; everybody on loopback is one, unless a header says more."""
    for name in ("cf-connecting-ip", "x-forwarded-for", "x-real-ip"):
        if said := request.headers.get(name):
            return said.partition(",")[0].strip()
    return "127.0.0.1"


class Backend:
    """State and replies. Not thread-safe: the service calls it under its lock.

    ``app_id`` None: every app that was not declared is one and the same known app, which is lenient; else that one
    alone is known besides the declared ones.
    """

    def __init__(self, *, app_id: str | None, clock: Clock) -> None:
        self._clock = clock
        self._app_id = app_id
        self.main = App(lenient=app_id is None)
        self.store = Store()
        #: The cloud that the caller seems to sit in: "google", "apple", or none.
        self.provider = ""
        self._apps: dict[str, App] = {} if app_id is None else {app_id: self.main}
        self._channel_ids = 0
        self.forget_callers()
        self.add_channel(self.main, "production", public=True)

    def forget_callers(self) -> None:
        """Start all rate limits anew."""
        self._limits = ChannelLimits(self._clock)
        self._guard = UnknownAppGuard(self._clock)

    def declare(self, app_id: str, app: App) -> None:
        """Make an app known."""
        self._apps[app_id] = app

    def add_channel(self, app: App, name: str, **fields: Any) -> None:
        """Make a channel of an app that wants nothing yet."""
        self._channel_ids += 1
        app.channels[name] = Channel(self._channel_ids, name, **fields)

    def offered(self, request: Request, reply: Reply) -> MadeBundle | None:
        """The bundle that a reply offers, else the one that was published last; None where there is none."""
        asked, said = request.json, parse_json(reply.body) if reply.status == HTTPStatus.OK else {}
        app = self._known(asked.get("app_id")) if isinstance(asked, dict) else self.main
        if app is None:
            return None
        version = said.get("version") if isinstance(said, dict) else None
        return app.bundles.get(version, app.newest) if isinstance(version, str) else app.newest

    def reply(self, request: Request, base_url: str) -> Reply:
        """What the service answers; ``base_url`` goes into the download addresses."""
        if request.method == "OPTIONS":
            return Reply(204)
        try:
            return self._route(request, base_url)
        except Refused as refused:
            return refused.reply

    def _route(self, request: Request, base_url: str) -> Reply:
        kind = kind_of(request)
        posted = request.method == "POST"
        if kind == "updates" and posted:
            return self._updates(request, base_url)
        if kind == "sizes" and posted:
            fields = check_update_call(parse_json(request.body))
            return answer_sizes(self._known(fields["app_id"]), fields)
        if kind == "stats" and posted:
            return self._stats(parse_json(request.body))
        if kind == "channel" and request.method in OPERATIONS:
            return self._channel_self(request)
        if kind == "download":
            return self.store.download(request)
        return _OK if _is_ping(kind, request) else error_reply(404, "not_found", "Not found")

    # The order of the checks differs from endpoint to endpoint (sections 1.2, 1.3, 2.1 and 3.3).

    def _updates(self, request: Request, base_url: str) -> Reply:
        value = parse_json(request.body)
        self._refuse_limited(value, "app_id")
        fields = check_update_call(value)
        address = _address(request)
        if self.provider:
            return Reply.of_json(200, {**_BLOCKED_CHECK, "provider": self.provider, "kind": "blocked"})  # row 1
        if self._guard.is_tripped(address):
            return refuse("on_premise_app_guard", fields)  # row 4
        app = self._known(fields["app_id"])
        if app is None:
            self._guard.count(address, fields["app_id"])
            full = self._guard.is_tripped(address)
            return refuse("on_premise_app_guard" if full else "on_premise_app", fields)  # row 5
        self._check_plan(app, "mau", "bandwidth")  # rows 3 and 6
        return answer_update(app, fields, self.store, base_url)

    def _stats(self, value: Any) -> Reply:
        events = value if isinstance(value, list) else [value]
        if not events:
            return Reply.of_json(200, {"status": "ok", "results": []})
        app_ids = {check_event_app(event, thrown=index == 0) for index, event in enumerate(events)}
        if len(app_ids) > 1:
            return refuse_call("mixed_app_ids", "All events in a batch must have the same app_id")
        self._refuse_limited(events[0], "app_id")
        if self.provider:
            return error_reply(429, _PROVIDER, _BLOCKED)
        answer: Callable[..., Reply] = answer_batch if isinstance(value, list) else answer_event
        return answer(value, functools.partial(self._served, quotas=("mau", "bandwidth")))

    def _channel_self(self, request: Request) -> Reply:
        operation, act = OPERATIONS[request.method]
        value = parse_json(request.body) if request.method in {"POST", "PUT"} else read_query(request.query)
        self._refuse_limited(value, "app_id", "device_id")
        fields = check_channel_call(value, method=request.method)
        self._limits.count_address(_address(request), fields)
        if operation == "set" and not fields.get("channel"):
            return refuse_call("missing_channel", "Cannot find channel in body")
        if self.provider:
            return error_reply(429, _PROVIDER, _BLOCKED, {})
        self._limits.count_device(operation, fields)
        return act(self._served(fields, quotas=("mau",)), fields)

    # Who is served

    def _known(self, app_id: Any) -> App | None:
        known = self._apps.get(app_id) if isinstance(app_id, str) else None
        return self.main if known is None and self._app_id is None else known

    def _served(self, fields: dict[str, Any], *, quotas: tuple[Quota, ...]) -> App:
        app = self._known(fields["app_id"])
        if app is None:
            raise UnknownApp(refuse("on_premise_app", fields))
        self._check_plan(app, *quotas)
        return app

    def _check_plan(self, app: App, *quotas: Quota) -> None:
        if not app.is_paid(self._clock.monotonic(), *quotas):
            raise Refused(refuse("on_premise_app", {}))

    def _refuse_limited(self, value: Any, *named: str) -> None:
        """The operator's own list, looked at before anything is checked."""
        app = self._known(value.get("app_id")) if isinstance(value, dict) else None
        if app is not None and app.limited:
            more = {name: value[name] for name in named if name in value}
            raise Refused(error_reply(429, "too_many_requests", "Too many requests", more))


def _is_ping(kind: str, request: Request) -> bool:
    if request.path.rstrip("/") == "/ok":
        return request.method in {"GET", "POST"}
    return request.method == "GET" and kind in {"updates", "stats"}
