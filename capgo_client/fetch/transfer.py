"""One file over the network: request, resume, decrypt, hash, keep, and what is done when it breaks off."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from capgo_client.errors import (
    CapgoError,
    ChecksumError,
    DeadlineExceeded,
    IntegrityError,
    NetworkError,
    RateLimited,
    ServiceError,
    SignatureError,
)
from capgo_client.fetch.partial import Note
from capgo_client.fetch.ranges import Step, judge
from capgo_client.fetch.refusals import refusal
from capgo_client.fetch.sink import Sink
from capgo_client.fetch.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable

    from capgo_client.fetch.pace import Pace
    from capgo_client.fetch.partial import Partial, PartialKey, Room
    from capgo_client.fetch.ranges import Verdict
    from capgo_client.fetch.source import Client, Stoppable, Streamed
    from capgo_client.seams import Clock, Files
    from capgo_client.verify.expectation import Cipher

    Progress = Callable[[int, int | None], None]
    #: Judges the SHA-256 of what came, and may look at the bytes themselves; raises IntegrityError.
    Accept = Callable[[bytes, Spool], None]

__all__ = ["Means", "Patience", "Transfer", "Wanted"]


@dataclass(frozen=True, slots=True)
class Means:
    """By what everything is fetched."""

    client: Client
    scope: Stoppable
    files: Files
    clock: Clock
    room: Room
    pace: Pace


@dataclass(frozen=True, slots=True)
class Wanted:
    """One file: where it is, what it must be, and how it may come.

    ``digest`` is that of the plain bytes where they come as they are; ``accept`` decides. ``max_bytes`` is the longest
    reply accepted.
    """

    url: str
    key: PartialKey
    digest: bytes
    cipher: Cipher | None
    accept: Accept
    max_bytes: int
    progress: Progress


@dataclass(frozen=True, slots=True)
class Patience:
    """How often a broken transfer is taken up again within one call.

    ``refusals``: also where the server answered that it cannot just now (5xx). ``memory``: files of up to so many
    bytes are kept in memory until they are whole.
    """

    attempts: int
    only_after_progress: bool
    refusals: bool = False
    memory: int = 0

    def allows(self, exc: CapgoError, *, progressed: bool) -> bool:
        """Whether what failed with ``exc`` may be tried once more."""
        passing: tuple[type[CapgoError], ...] = (NetworkError, DeadlineExceeded)
        if self.refusals and not isinstance(exc, RateLimited):
            passing = (*passing, ServiceError)
        return isinstance(exc, passing) and exc.retryable and (progressed or not self.only_after_progress)


def _spoils(exc: CapgoError) -> bool:
    """Whether what was loaded is of no use, or takes room that the device needs."""
    return isinstance(exc, (ChecksumError, SignatureError)) or exc.code in {
        "bundle_too_large",
        "insufficient_disk_space",
    }


class Transfer:
    """Fetches one file, going on where an earlier try ended."""

    def __init__(self, wanted: Wanted, partial: Partial, *, means: Means, patience: Patience) -> None:
        self._wanted = wanted
        self._means = means
        self._patience = patience
        self._partial = partial
        self._total: int | None = None
        self._etag = ""
        self._spool = Spool(partial, files=means.files, memory=patience.memory)
        self._shown = 0
        self._received = 0
        self._may_go_on = True
        self._is_empty = False

    def run(self, *, resume: bool) -> bytes | None:
        """Get the whole file and have it accepted; what was loaded stays when it ends early, unless it is of no use.

        Args:
            resume: whether there may be something of an earlier call.

        Returns:
            The bytes, where they never became a file; else None, and they are in the partial file.
        """
        try:
            self._fill(resume=resume)
        except CapgoError as exc:
            if self._is_empty or _spoils(exc):
                self._spool.close()  # Windows removes no open file
                self._partial.discard()
            raise
        else:
            return self._spool.in_memory
        finally:
            self._spool.close()

    def _fill(self, *, resume: bool) -> None:
        if resume or not self._patience.memory:
            self._spool.open()
        sink = Sink(self._spool, self._wanted.cipher)
        try:
            if not (resume and self._reload(sink)):
                self._load(sink)
        finally:
            self._is_empty = sink.wire == 0

    def _reload(self, sink: Sink) -> bool:
        """Use what an earlier call has left; True when that is everything."""
        found = self._partial.read_note()
        if found is None or not found.continues(self._note()):
            sink.restart()
            return False
        self._total, self._etag = found.total, found.etag
        if sink.reload(self._wanted.digest, scope=self._means.scope):
            self._wanted.accept(self._wanted.digest, self._spool)
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
        for attempt in range(1, self._patience.attempts + 1):
            received = self._received
            try:
                self._attempt(sink)
                break
            except CapgoError as exc:
                may_retry = self._may_go_on and self._patience.allows(exc, progressed=self._received > received)
                if attempt == self._patience.attempts or not may_retry:
                    raise
                self._means.scope.check()
        self._wanted.accept(sink.finish(), self._spool)

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
        with self._means.client.stream(self._wanted.url, scope=self._means.scope, headers=headers) as reply:
            verdict = judge(reply.status, reply.headers, start=start, total=self._total, etag=self._etag)
            if verdict.step is Step.FAILED:
                raise refusal(reply.status, reply.headers, now=self._means.clock.wall())
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
        if verdict.total > self._wanted.max_bytes:
            raise self._too_large()
        self._means.room.require(verdict.total - start)

    def _remember(self, verdict: Verdict, reply: Streamed) -> None:
        etag = reply.headers.get("etag", "")[:256]
        if verdict.step is Step.REST:
            etag = etag or self._etag
        self._total, self._etag = verdict.total, etag
        self._spool.note(self._note)

    def _note(self) -> Note:
        """What is known of the file. Made when it is asked for: small files never come to be written down."""
        return replace(Note.of(self._wanted.url, self._wanted.key), total=self._total, etag=self._etag)

    def _read(self, reply: Streamed, verdict: Verdict, sink: Sink) -> None:
        for chunk in reply.chunks():
            after = sink.wire + len(chunk)
            if verdict.end is not None and after > verdict.end:
                raise NetworkError("The download is longer than the server announced")
            if after > self._wanted.max_bytes:
                raise self._too_large()
            sink.take(chunk)
            self._received += len(chunk)
            self._shown = max(self._shown, after)
            self._wanted.progress(self._shown, verdict.total)
            self._means.pace.count(len(chunk))
        if verdict.total is not None and sink.wire < verdict.total:
            raise NetworkError(f"The download broke off after {sink.wire} of {verdict.total} bytes")

    def _too_large(self) -> IntegrityError:
        message = f"The bundle is larger than the {self._wanted.max_bytes} bytes allowed"
        hint = "publish a smaller bundle, or raise Updater(max_download_bytes=..., max_file_bytes=...)"
        return IntegrityError(message, code="bundle_too_large", hint=hint)
