"""The faults by name, and the rule that says which requests one of them spoils.

Names are stable: users' tests and the fault report use them. ``FAULTS["drip-body"].description`` is what the report
prints; ``where`` says how to have it: by ``Service.set_fault`` on one or any endpoint, or as a peer of its own.
"""

from __future__ import annotations

import inspect
import random
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from . import misbehaviour as act
from . import spoiling as spoil

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from typing_extensions import Self

__all__ = ["ENDPOINTS", "FAULTS", "ActiveFault", "Fault"]

ENDPOINTS = ("updates", "sizes", "stats", "channel", "download", "all")


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to misbehave.

    ``group`` is the heading of the fault list, ``where`` is ``any`` endpoint, ``updates`` or ``download`` only, or
    ``peer`` (see ``capgo_client.testing.peers``) or ``certificate`` (``Service(certificate=...)``). ``probability`` is
    what it uses when the test names none.
    """

    name: str
    group: str
    description: str
    where: str = "any"
    perform: Callable[..., bool] | None = None
    probability: float | None = None

    @property
    def options(self) -> tuple[str, ...]:
        """Names of what ``set_fault`` takes for it beyond the common ones."""
        if self.perform is None:
            return ()
        fixed = {"code"} if isinstance(self.perform, partial) and "code" in self.perform.keywords else set()
        return tuple(name for name in list(inspect.signature(self.perform).parameters)[1:] if name not in fixed)


def _status(code: int, text: str) -> Fault:
    return Fault(f"http-{code}", "answering", f"Status {code}: {text}.", perform=partial(act.status, code=code))


def _any(name: str, description: str, perform: Callable[..., bool], probability: float | None = None) -> Fault:
    return Fault(name, "answering", description, "any", perform, probability)


def _reply(name: str, description: str, perform: Callable[..., bool]) -> Fault:
    return Fault(name, "answering", description, "updates", perform)


def _bytes(name: str, description: str, perform: Callable[..., bool]) -> Fault:
    return Fault(name, "bytes", description, "download", perform)


def _peer(name: str, description: str) -> Fault:
    return Fault(name, "reaching", description, "peer")


def _certificate(name: str, description: str) -> Fault:
    return Fault(name, "reaching", description, "certificate")


_TRANSPORT = (
    _any("silence", "Takes the request and never answers.", act.silence),
    _any("drip-headers", "Sends the headers one byte a second.", act.drip_headers),
    _any("drip-body", "Sends the body one byte a second.", act.drip_body),
    _any("endless-headers", "Never stops sending headers.", act.endless_headers),
    _any("endless-body", "Never stops sending the body.", act.endless_body),
    _any("reset-before-headers", "Resets the connection after the request.", act.reset_before_headers),
    _any("reset-in-headers", "Resets the connection in the middle of the headers.", act.reset_in_headers),
    _any("reset-after-headers", "Resets the connection between headers and body.", act.reset_after_headers),
    _any("reset-in-body", "Resets the connection in the middle of the body.", act.reset_in_body),
    _any("stall-in-headers", "Falls silent in the middle of the headers.", act.stall_in_headers),
    _any("stall-in-body", "Falls silent in the middle of the body, as when the route is gone.", act.stall_in_body),
    _any("cut-body", "Closes before the announced Content-Length is reached.", act.cut_body),
    _any("empty-reply", "Closes without sending a byte.", act.empty_reply),
)

_STATUSES = (
    _status(400, "the request is wrong"),
    _status(401, "not authorised"),
    _status(403, "forbidden, as by a firewall"),
    _status(404, "nothing there"),
    _status(408, "the request took too long"),
    _status(410, "gone for good"),
    _status(413, "the request is too large"),
    _status(429, "asked too often; retry_after is seconds, a datetime, or any text"),
    _status(451, "blocked for legal reasons"),
    _status(500, "the service failed"),
    _status(501, "not implemented"),
    _status(502, "the gateway got nonsense"),
    _status(503, "unavailable; retry_after as for 429"),
    _status(504, "the gateway waited in vain"),
    _status(505, "HTTP version refused"),
    _status(507, "the service's storage is full"),
    _status(520, "the network in front of the service failed"),
    Fault("random-500", "answering", "Status 500, half of the time.", "any", partial(act.status, code=500), 0.5),
    _any("redirect-loop", "Redirects to itself, for ever.", act.redirect_loop),
    _any(
        "redirect-to-http",
        "Redirects to plain http on another host name.",
        partial(act.redirect_to, location="http://updates.example.invalid/updates"),
    ),
    _any(
        "redirect-to-other-scheme",
        "Redirects to a scheme that is not the web's.",
        partial(act.redirect_to, location="file:///etc/hostname"),
    ),
)

_ANSWERS = (
    _any("html-200", "A captive portal's page, with status 200.", spoil.html_200),
    _any("not-json", "Status 200, and the body is not JSON.", spoil.not_json),
    _any("truncated-json", "Status 200, and the JSON ends too early.", spoil.truncated_json),
    _any("empty-body", "Status 200 without a body.", spoil.empty_body),
    _any("huge-json", "A gigabyte of valid JSON.", spoil.huge_json),
    _any("gzip-bomb", "A megabyte that unpacks to a gigabyte of valid JSON.", spoil.gzip_bomb),
    _any("deep-json", "JSON nested a hundred thousand times.", spoil.deep_json),
    _reply("wrong-types", "The right keys with values of the wrong type, all of them or one.", spoil.wrong_types),
    _reply("nan-json", "NaN where a value should be.", partial(spoil.raw_json, value="NaN")),
    _reply("huge-number", "A number of a hundred thousand digits.", partial(spoil.raw_json, value="9" * 100_000)),
    _reply("lone-surrogate", "Half a character in a text.", partial(spoil.raw_json, value='"1.0.0\\ud800"')),
    Fault("wrong-checksum", "bytes", "Announces another checksum.", "updates", spoil.wrong_checksum),
)

_DOWNLOADS = (
    _bytes("ignore-range", "Sends the whole file with status 200 whatever was asked for.", spoil.ignore_range),
    _bytes("lying-range", "Content-Range or the bytes are not what was asked for.", spoil.lying_range),
    _bytes("flip-bit", "One bit is not as it was.", spoil.flip_bit),
    _bytes("short-body", "The last byte is missing, and Content-Length agrees.", spoil.short_body),
    _bytes("long-body", "A byte too many, and Content-Length agrees.", spoil.long_body),
    _bytes("slow-download", "Sends a thousand bytes a second.", spoil.slow),
)

_PEERS = (
    _peer("refused", "Nobody listens: refused_url()."),
    _peer("black-hole", "Connecting hangs: black_hole()."),
    _peer("silent-peer", "Accepts and never says a byte: silent_peer()."),
    _peer("tls-stall", "Accepts and never shakes hands: tls_stall()."),
    _peer("proxy-hang", "A proxy that takes the request and hangs: hanging_proxy()."),
    _certificate("certificate-expired", 'Service(certificate="expired").'),
    _certificate("certificate-wrong-host", 'Service(certificate="wrong-host").'),
    _certificate("certificate-self-signed", 'Service(certificate="self-signed").'),
)

#: Every fault by its name.
FAULTS: dict[str, Fault] = {fault.name: fault for fault in (*_TRANSPORT, *_STATUSES, *_ANSWERS, *_DOWNLOADS, *_PEERS)}


class ActiveFault:
    """A fault that is set on a service. As a context manager it is taken back at the end of the block."""

    def __init__(
        self,
        fault: Fault,
        *,
        on: str,
        nth: int | None,
        times: int | None,
        probability: float | None,
        seed: int | None,
        options: dict[str, Any],
        remove: Callable[[ActiveFault], None],
    ) -> None:
        self.fault = fault
        self.on = on
        #: How many requests it has spoilt so far.
        self.fired = 0
        self._seen = 0
        self._nth = nth
        self._times = times
        self._probability = fault.probability if probability is None else probability
        self._random = random.Random(seed)
        self._options = options
        self._remove = remove

    def takes(self, kind: str) -> bool:
        """Whether this request is to be spoilt; counts it. The service asks once for each request, under its lock."""
        if self.on not in {"all", kind}:
            return False
        self._seen += 1
        if self._nth is not None and self._seen != self._nth:
            return False
        if self._times is not None and self.fired >= self._times:
            return False
        if self._probability is not None and self._random.random() >= self._probability:
            return False
        self.fired += 1
        return True

    def perform(self, exchange: act.Exchange) -> bool:
        """Misbehave; say whether the connection can go on."""
        if self.fault.perform is None:
            raise TypeError(f"{self.fault.name} cannot be performed on a service")
        return self.fault.perform(exchange, **self._options)

    def remove(self) -> None:
        """Take the fault back."""
        self._remove(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()
