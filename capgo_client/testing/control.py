"""What a test tells the service to do: publish, end the plan, answer this, misbehave like that."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from .apps import App
from .arranging import ENDPOINTS, ActiveFault, covers
from .backend import Backend, kind_of
from .cases import CASES, Context
from .chance import Chance
from .downloads import ATTACHMENTS
from .faults import FAULTS
from .publisher import Publisher
from .wire import Reply, Request

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Literal

    from capgo_client.seams import Clock

    from .arranging import Fault
    from .bundles import MadeBundle

__all__ = ["Control", "Decision", "check_endpoint"]

#: Errors that come with status 200, or within a batch, and that only a client's mistake can cause.
_MISTAKES = {
    "invalid_app_id",
    "invalid_json_body",
    "missing_channel",
    "missing_device_id",
    "mixed_app_ids",
    "processing_error",
    "semver_error",
}


@dataclass(slots=True)
class _Script:
    """An answer that replaces the service's own; ``left`` is how often still, None: for good."""

    reply: Reply | None
    case: str
    version: str
    on: str
    left: int | None


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with one request.

    The reply, the reply had there been no Range header, and a fault or none with the bundle that it may spoil.
    """

    reply: Reply
    whole: Reply
    fault: ActiveFault | None
    offer: MadeBundle | None = None


class Control(Publisher):
    """The state behind a service and the orders it takes. Every method may be called from any thread."""

    def __init__(self, *, app_id: str | None, clock: Clock) -> None:
        backend = Backend(app_id=app_id, clock=clock)
        super().__init__(threading.Condition(), backend, backend.main)
        self._refused: list[tuple[Request, Reply]] = []
        self._faults: list[ActiveFault] = []
        self._scripts: list[_Script] = []

    @property
    def url(self) -> str:
        """The service's address without a path."""
        raise NotImplementedError

    # What it knows

    def add_app(self, app_id: str, *, expose_metadata: bool = True, production: bool = True) -> Publisher:
        """Declare a further app with channels, versions and a plan of its own; return who publishes for it.

        It has a channel "production", public and self-settable, unless ``production`` is False. ``expose_metadata``
        False withholds ``link`` and ``comment``, as the service does until the owner allows them.
        """
        app = App(exposes_metadata=expose_metadata)
        with self._lock:
            self._backend.declare(app_id, app)
            if production:
                self._backend.add_channel(app, "production", public=True)
        return Publisher(self._lock, self._backend, app)

    def store(self, key: str, data: bytes) -> str:
        """Put a file into the store; return its address."""
        with self._lock:
            self._backend.store.objects[key] = data
        return f"{self.url}{ATTACHMENTS}{key}"

    def forget_callers(self) -> None:
        """Start every rate limit anew, also that for addresses which asked for many unknown apps."""
        with self._lock:
            self._backend.forget_callers()

    def call_from(self, provider: Literal["google", "apple", ""]) -> None:
        """Take every caller for a machine in that company's data centre, which is blocked; "" for none."""
        with self._lock:
            self._backend.provider = provider

    @property
    def refused(self) -> list[tuple[Request, Reply]]:
        """Requests that the service itself refused because of their form, with what it said.

        A client that speaks well leaves this empty: no 400, no 500, no unknown address, and no item of a batch that
        would have been one of these by itself. Answers that a test ordered are not counted.
        """
        with self._lock:
            return list(self._refused)

    # What it is told to say

    def answer(
        self,
        status: int,
        body: Any = b"",
        *,
        headers: Iterable[tuple[str, str]] = (),
        on: str = "updates",
        times: int | None = None,
    ) -> None:
        """Answer with this: ``times`` requests (None: for good).

        Text and bytes go out as they are, anything else as JSON. Counted answers are used up in the order in which
        they were given, before one that holds for good.
        """
        if isinstance(body, (str, bytes)):
            reply = Reply(status, tuple(headers), body.encode() if isinstance(body, str) else body)
        else:
            reply = Reply.of_json(status, body, headers)
        self._add_script(_Script(reply, "", "", check_endpoint(on), times))

    def reply_case(self, code: str, *, version: str = "2.0.0", on: str = "updates", times: int | None = None) -> None:
        """Answer with a row of the service's tables (``CASES``); ``version`` is the one it names as on offer."""
        if code not in CASES:
            raise ValueError(f"{code!r} is no case; the cases are: {', '.join(CASES)}")
        self._add_script(_Script(None, code, version, check_endpoint(on), times))

    def clear_answers(self) -> None:
        """Forget all answers that were set; speak as the service does again."""
        with self._lock:
            self._scripts.clear()

    def _add_script(self, script: _Script) -> None:
        with self._lock:
            if script.left is None:
                self._scripts = [old for old in self._scripts if old.left is not None or old.on != script.on]
            self._scripts.append(script)

    # Faults

    def set_fault(
        self,
        name: str,
        *,
        on: str | None = None,
        nth: int | None = None,
        times: int | None = None,
        probability: float | None = None,
        seed: int | None = None,
        **options: Any,
    ) -> ActiveFault:
        """Misbehave from now on: ``FAULTS`` has the names.

        Of several that would spoil the same request the one set last does; the others count it all the same.

        Args:
            name: Which fault.
            on: ``updates``, ``stats``, ``channel``, ``sizes``, ``download``, ``plugin`` (all but downloads) or ``all``;
                by default where the fault makes sense.
            nth: Only the n-th such request from now, counted from 1.
            times: Only so many requests.
            probability: Each request with that chance (0 to 1), drawn from ``seed``.
            seed: Makes the draws repeatable.
            **options: The fault's own (``FAULTS[name].options``), such as ``interval`` in seconds.
        """
        fault = FAULTS.get(name)
        if fault is None:
            raise ValueError(f"{name!r} is no fault; the faults are: {', '.join(FAULTS)}")
        if fault.perform is None:
            raise ValueError(f"{name!r} is not a fault of the running service: {fault.description}")
        if unknown := sorted(set(options) - set(fault.options)):
            raise TypeError(f"{name!r} takes {list(fault.options)}, not {unknown}")
        odds = fault.probability if probability is None else probability
        active = ActiveFault(
            fault,
            on=check_endpoint(_usual_endpoint(fault) if on is None else on),
            chance=Chance(nth=nth, times=times, probability=odds, seed=seed),
            options=options,
            remove=self._remove_fault,
        )
        with self._lock:
            self._faults.append(active)
        return active

    #: ``with service.fault("silence"): ...`` reads better than set_fault and is the same.
    fault = set_fault

    def clear_faults(self) -> None:
        """Behave again."""
        with self._lock:
            self._faults.clear()

    def _remove_fault(self, active: ActiveFault) -> None:
        with self._lock:
            self._faults = [each for each in self._faults if each is not active]

    # What comes of it

    def _decide(self, request: Request) -> Decision:
        kind = kind_of(request)
        with self._lock:
            fault = self._striking(kind)
            reply = self._scripted(kind, request) or self._answer(kind, request)
            whole = reply
            if fault is not None and "range" in request.headers:
                unranged = {name: value for name, value in request.headers.items() if name != "range"}
                whole = self._backend.reply(replace(request, headers=unranged), self.url)
            offer = self._backend.offered(request, reply) if fault is not None and kind == "updates" else None
        return Decision(reply, whole, fault, offer)

    def _striking(self, kind: str) -> ActiveFault | None:
        # Each counts every request, so no short cut after the first that takes it.
        taking = [each for each in self._faults if each.takes(kind)]
        if not taking:
            return None
        taking[-1].fired += 1
        return taking[-1]

    def _answer(self, kind: str, request: Request) -> Reply:
        reply = self._backend.reply(request, self.url)
        if kind != "download" and _is_refused_form(reply):
            self._refused.append((request, reply))
        return reply

    def _scripted(self, kind: str, request: Request) -> Reply | None:
        matching = [each for each in self._scripts if covers(each.on, kind)]
        script = next((each for each in matching if each.left is not None), next(iter(matching), None))
        if script is None:
            return None
        if script.left is not None:
            script.left -= 1
            if script.left <= 0:
                self._scripts.remove(script)
        if script.reply is not None:
            return script.reply
        asked = request.json
        context = Context(script.version, request=asked if isinstance(asked, dict) else {})
        return CASES[script.case].reply(context)


def _usual_endpoint(fault: Fault) -> str:
    return "updates" if fault.where == "any" else fault.where


def check_endpoint(name: str) -> str:
    """Raise ValueError unless ``name`` is one of ``ENDPOINTS``; return it."""
    if name not in ENDPOINTS:
        raise ValueError(f"{name!r} is no endpoint; they are: {', '.join(ENDPOINTS)}")
    return name


def _is_refused_form(reply: Reply) -> bool:
    """Whether the service found fault with the request itself, not with what it asks for."""
    if reply.status in {400, 404, 500}:
        return True
    said = json.loads(reply.body) if reply.status == HTTPStatus.OK else {}
    results = said.get("results", []) if isinstance(said, dict) else []
    errors = {each.get("error") for each in (said, *results) if isinstance(each, dict)}
    return not _MISTAKES.isdisjoint(errors)
