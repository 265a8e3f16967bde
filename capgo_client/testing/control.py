"""What a test tells the service to do: publish, end the plan, answer this, misbehave like that."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .backend import ATTACHMENTS, BUILTIN, Backend, Offer, kind_of
from .cases import CASES, Context
from .faults import ENDPOINTS, FAULTS, ActiveFault
from .wire import Reply, Request

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .bundles import MadeBundle

__all__ = ["Control", "Decision", "check_endpoint"]


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
    """What to do with one request: the reply, the reply had there been no Range header, and a fault or none."""

    reply: Reply
    whole: Reply
    fault: ActiveFault | None


class Control:
    """The state behind a service and the orders it takes. Every method may be called from any thread."""

    def __init__(self, *, app_id: str | None) -> None:
        self._lock = threading.Condition()
        self._backend = Backend(app_id=app_id)
        self._faults: list[ActiveFault] = []
        self._scripts: list[_Script] = []

    @property
    def url(self) -> str:
        """The service's address without a path."""
        raise NotImplementedError

    # What it offers

    def publish(
        self,
        bundle: MadeBundle,
        *,
        channel: str = "production",
        url: str = "",
        link: str = "",
        comment: str = "",
        below_native: bool = False,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        """Point a channel at a bundle.

        ``url`` is an address elsewhere instead of our own store. A bundle older than the device's native version is
        withheld, as Capgo does by default; ``below_native`` offers it. ``extra`` keys are added to the answer as
        they are (keys of the future, ``breaking``, a replaced ``checksum``).
        """
        offer = Offer(bundle, url, link, comment, below_native, dict(extra or {}))
        with self._lock:
            self._backend.point(channel, offer)

    def withdraw(self, *, channel: str = "production") -> None:
        """Delete what the channel points at: the answer is ``no_channel``. What is stored stays downloadable."""
        with self._lock:
            self._backend.point(channel, None)

    def want_builtin(self, *, channel: str = "production") -> None:
        """Send devices back to the version inside the installer: the answer is ``already_on_builtin``."""
        with self._lock:
            self._backend.point(channel, BUILTIN)

    def add_channel(self, name: str, *, public: bool = False, allow_self_set: bool = True) -> None:
        """Make a channel; "production" is there from the start, public and self-settable."""
        with self._lock:
            self._backend.add_channel(name, public=public, allow_self_set=allow_self_set)

    def store(self, key: str, data: bytes) -> str:
        """Put a file into the store; return its address."""
        with self._lock:
            self._backend.objects[key] = data
        return f"{self.url}{ATTACHMENTS}{key}"

    def end_plan(self) -> None:
        """The app's plan is over: 429 ``on_premise_app`` everywhere but for downloads."""
        with self._lock:
            self._backend.plan_ended = True

    def restore_plan(self) -> None:
        """The plan is paid again."""
        with self._lock:
            self._backend.plan_ended = False

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

        Args:
            name: Which fault.
            on: ``updates``, ``stats``, ``channel``, ``download`` or ``all``; by default where the fault makes sense.
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
        active = ActiveFault(
            fault,
            on=check_endpoint(on or ("updates" if fault.where == "any" else fault.where)),
            nth=nth,
            times=times,
            probability=probability,
            seed=seed,
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
            fault = next((each for each in self._faults if each.takes(kind)), None)
            reply = self._scripted(kind, request) or self._backend.reply(request, self.url)
            whole = reply
            if fault is not None and "range" in request.headers:
                unranged = {name: value for name, value in request.headers.items() if name != "range"}
                whole = self._backend.reply(replace(request, headers=unranged), self.url)
        return Decision(reply, whole, fault)

    def _scripted(self, kind: str, request: Request) -> Reply | None:
        matching = [each for each in self._scripts if each.on in {"all", kind}]
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


def check_endpoint(name: str) -> str:
    """Raise ValueError unless ``name`` is one of ``ENDPOINTS``; return it."""
    if name not in ENDPOINTS:
        raise ValueError(f"{name!r} is no endpoint; they are: {', '.join(ENDPOINTS)}")
    return name
