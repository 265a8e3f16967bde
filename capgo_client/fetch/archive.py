"""Downloads one archive: network → decrypt → hash → disk in a single pass, going on where an earlier try ended."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from capgo_client.errors import (
    CapgoError,
    ChecksumError,
    DeadlineExceeded,
    IntegrityError,
    NetworkError,
    SignatureError,
)
from capgo_client.fetch.pace import Pace
from capgo_client.fetch.partial import Note, Partial, disk_full, storage
from capgo_client.fetch.ranges import Step, judge
from capgo_client.fetch.refusals import refusal
from capgo_client.fetch.sink import Sink

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from capgo_client.fetch.partial import PartialKey
    from capgo_client.fetch.ranges import Verdict
    from capgo_client.fetch.source import Client, Stoppable, Streamed
    from capgo_client.seams import Clock, Files
    from capgo_client.verify.expectation import Expectation

    Progress = Callable[[int, int | None], None]

__all__ = ["fetch_archive"]

_ATTEMPTS = 3
#: Bytes of free space that are left to the device.
_MARGIN = 8 << 20


def fetch_archive(
    url: str,
    *,
    expectation: Expectation,
    key: PartialKey,
    client: Client,
    scope: Stoppable,
    files: Files,
    clock: Clock,
    folder: Path,
    max_bytes: int,
    progress: Progress,
) -> Path:
    """Return the path of the complete archive: plain bytes whose SHA-256 is the expected one. It is the caller's.

    What was loaded before is used if it belongs to the same file; what is loaded stays when the transfer ends early.
    An archive that is still there from a call whose caller never got to use it is returned at once.

    Args:
        url: where it is; its query goes into no file and no message.
        expectation: what must come out.
        key: names the partial file; those of all other keys are removed.
        client: an ``HttpClient``.
        scope: a ``Scope``; ``cancel()`` keeps what is loaded.
        files: the file system.
        clock: the clock.
        folder: an existing folder for partial files and nothing else.
        max_bytes: longest archive that is accepted.
        progress: told (bytes here, bytes in all or None) after each chunk; the first never goes back within a call.

    Raises:
        NetworkError, DeadlineExceeded, Cancelled: it broke off; the partial stays.
        TransferError: ``low_speed``: under 1 KB/s for a minute; the partial stays.
        ServiceError: the server refuses to send it (not retryable: it has no such file). RateLimited: not now.
        ChecksumError, SignatureError: the bytes are wrong; nothing stays.
        IntegrityError: ``bundle_too_large``; nothing stays.
        StorageError: the device cannot keep it; with ``insufficient_disk_space`` nothing stays.
        ReplyError: the reply breaks the rules of the client (a redirect to http, an encoding, …).
    """
    order = _Order(url, expectation, key, client, scope, files, clock, folder, max_bytes, progress)
    return _Transfer(order).run()


@dataclass(frozen=True, slots=True)
class _Order:
    """What ``fetch_archive`` was asked for."""

    url: str
    expectation: Expectation
    key: PartialKey
    client: Client
    scope: Stoppable
    files: Files
    clock: Clock
    folder: Path
    max_bytes: int
    progress: Progress


def _spoils(exc: CapgoError) -> bool:
    """Whether what was loaded is of no use, or takes room that the device needs."""
    return isinstance(exc, (ChecksumError, SignatureError)) or exc.code in {
        "bundle_too_large",
        "insufficient_disk_space",
    }


class _Transfer:
    def __init__(self, order: _Order) -> None:
        self._order = order
        self._partial = Partial(order.folder, order.key, files=order.files)
        self._note = Note.of(order.url, order.key)
        self._pace = Pace(order.clock)
        self._shown = 0
        self._received = 0
        self._may_go_on = True
        self._is_empty = False

    def run(self) -> Path:
        """Leave the whole archive, verified, under the name that is returned."""
        self._partial.sweep()
        if self._is_complete():
            return self._partial.complete
        try:
            self._fill()
        except CapgoError as exc:
            if self._is_empty or _spoils(exc):
                self._partial.discard()
            raise
        return self._partial.finish()

    def _is_complete(self) -> bool:
        """Whether a complete archive is there that nobody used."""
        with storage():
            if not self._order.files.exists(self._partial.complete):
                return False
        with self._partial.opened(self._partial.complete) as fd:
            whole = self._sink(fd).reload(scope=self._order.scope)
        if not whole:
            self._partial.discard()
        return whole

    def _sink(self, fd: int) -> Sink:
        return Sink(fd, self._order.expectation, files=self._order.files)

    def _fill(self) -> None:
        with self._partial.opened(self._partial.path) as fd:
            sink = self._sink(fd)
            try:
                if not self._reload(sink):
                    self._load(sink)
            finally:
                self._is_empty = sink.wire == 0

    def _reload(self, sink: Sink) -> bool:
        """Use what an earlier call has left; True when that is everything."""
        found = self._partial.read_note()
        if found is None or not found.continues(self._note):
            sink.restart()
            return False
        self._note = found
        if sink.reload(scope=self._order.scope):
            return True
        if found.total is not None and sink.wire >= found.total:
            sink.restart()  # as long as it should be, and wrong
        return False

    def _load(self, sink: Sink) -> None:
        inherited = sink.wire > 0
        try:
            self._load_rest(sink)
        except (ChecksumError, SignatureError):
            # What an earlier call left may have been damaged since (a power cut leaves zeros): the server gets one
            # chance to show that its bytes are right.
            if not inherited or not self._may_go_on:
                raise
            self._start_anew(sink)
            self._load_rest(sink)

    def _load_rest(self, sink: Sink) -> None:
        for attempt in range(1, _ATTEMPTS + 1):
            received = self._received
            try:
                self._attempt(sink)
                break
            except (NetworkError, DeadlineExceeded) as exc:
                progressed = self._received > received
                if attempt == _ATTEMPTS or not (progressed and exc.retryable and self._may_go_on):
                    raise
        sink.finish()

    def _attempt(self, sink: Sink) -> None:
        """One request and its body; a second one without a range when the first cannot be appended."""
        if self._request(sink) is Step.ANEW:
            self._start_anew(sink)
            self._request(sink)

    def _start_anew(self, sink: Sink) -> None:
        self._may_go_on = False
        sink.restart()

    def _request(self, sink: Sink) -> Step:
        start = sink.wire
        headers = {"Range": f"bytes={start}-"} if start else None
        with self._order.client.stream(self._order.url, scope=self._order.scope, headers=headers) as reply:
            verdict = judge(reply.status, reply.headers, start=start, total=self._note.total, etag=self._note.etag)
            if verdict.step is Step.FAILED:
                raise refusal(reply.status, reply.headers, now=self._order.clock.wall())
            if verdict.step in {Step.WHOLE, Step.REST}:
                self._admit(verdict, start if verdict.step is Step.REST else 0)
                if verdict.step is Step.WHOLE and start:
                    sink.restart()
                self._remember(verdict, reply)
                self._read(reply, verdict, sink)
        return verdict.step

    def _admit(self, verdict: Verdict, start: int) -> None:
        """Refuse what is too large for us or for the device before it costs anything."""
        if verdict.total is None:
            return
        if verdict.total > self._order.max_bytes:
            raise self._too_large()
        with storage():
            free = self._order.files.free_bytes(self._order.folder)
        if free is not None and verdict.total - start > free - _MARGIN:
            raise disk_full()

    def _remember(self, verdict: Verdict, reply: Streamed) -> None:
        etag = reply.headers.get("etag", "")[:256]
        if verdict.step is Step.REST:
            etag = etag or self._note.etag
        self._note = replace(self._note, total=verdict.total, etag=etag)
        self._partial.write_note(self._note)

    def _read(self, reply: Streamed, verdict: Verdict, sink: Sink) -> None:
        for chunk in reply.chunks():
            after = sink.wire + len(chunk)
            if verdict.end is not None and after > verdict.end:
                raise NetworkError("The download is longer than the server announced")
            if after > self._order.max_bytes:
                raise self._too_large()
            sink.take(chunk)
            self._received += len(chunk)
            self._shown = max(self._shown, after)
            self._order.progress(self._shown, verdict.total)
            self._pace.count(len(chunk))
        if verdict.total is not None and sink.wire < verdict.total:
            raise NetworkError(f"The download broke off after {sink.wire} of {verdict.total} bytes")

    def _too_large(self) -> IntegrityError:
        message = f"The bundle is larger than the {self._order.max_bytes} bytes allowed"
        return IntegrityError(message, code="bundle_too_large", hint="publish a smaller bundle")
