"""What ``doctor`` finds: its form, and what can be said of the way to the service without being a device of it."""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from capgo_client.cli.answers import plain
from capgo_client.errors import CapgoError
from capgo_client.net.deadline import Scope
from capgo_client.seams import Clock
from capgo_client.service import refuse_real_host

if TYPE_CHECKING:
    from collections.abc import Iterator

    from capgo_client.net.client import Reply
    from capgo_client.updater import Updater

__all__ = ["FAIL", "NOTE", "OK", "Finding", "findings_of_service"]

OK, NOTE, FAIL = "ok", "note", "FAIL"
#: A clock that is further off than this does harm: certificates, waits that were ordered (seconds).
_CLOCK_MAY_BE_OFF = 300.0
_ENOUGH = 1 << 20


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: ``verdict`` is ok, note or FAIL; ``remedy`` what to do about it, or empty."""

    what: str
    verdict: str
    words: str
    remedy: str = ""

    def lines(self) -> list[str]:
        """For a person."""
        first = f"{self.verdict:<4}  {self.what:<10}  {self.words}"
        return [first, f"{'':<18}{self.remedy}"] if self.remedy and self.verdict != OK else [first]


def findings_of_service(updater: Updater) -> Iterator[Finding]:
    """Each endpoint, and the clock by what one of them says. An empty GET: no device is named, so none is counted."""
    endpoints = updater._engine.presence.endpoints  # noqa: SLF001 - what the options and the app's choices came to
    seen: set[str] = set()
    for name, url in (("updates", endpoints.update), ("statistics", endpoints.stats), ("channels", endpoints.channel)):
        if not url:
            yield Finding("service", NOTE, f"{name} are turned off")
            continue
        parts = urlsplit(url)
        if parts.netloc not in seen:
            yield from _visited(updater, url, f"{parts.scheme}://{parts.hostname}", with_clock=not seen)
            seen.add(parts.netloc)


def _visited(updater: Updater, url: str, where: str, *, with_clock: bool) -> Iterator[Finding]:
    clock = Clock()
    before = clock.monotonic()
    engine = updater._engine  # noqa: SLF001 - the same client, proxy and trust that the app's checks have
    try:
        refuse_real_host(url)
        with Scope(engine.config.response_timeout) as scope:
            reply = engine.service.client().exchange("GET", url, scope=scope, max_bytes=_ENOUGH)
    except CapgoError as exc:
        yield Finding("service", FAIL, f"{where}: {plain(exc.message)} [{exc.code}]", exc.hint)
        return
    took = clock.monotonic() - before
    yield Finding("service", OK, f"{where} answers (HTTP {reply.status}) in {took:.2f} s")
    if with_clock:
        yield from _clock(reply, clock.wall())


def _clock(reply: Reply, now: float) -> Iterator[Finding]:
    try:
        there = parsedate_to_datetime(reply.headers.get("date", "")).timestamp()
    except ValueError:
        yield Finding("clock", NOTE, "the service does not say what time it is")
        return
    off = now - there
    if abs(off) > _CLOCK_MAY_BE_OFF:
        side = "ahead of" if off > 0 else "behind"
        words = f"this device is {abs(off):.0f} s {side} the service"
        yield Finding("clock", FAIL, words, "set it: certificates and waiting times go by it")
    else:
        yield Finding("clock", OK, "the same as the service's")
