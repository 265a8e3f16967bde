"""Downloads one archive: network → decrypt → hash → disk in a single pass, going on where an earlier try ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capgo_client.fetch.pace import Pace
from capgo_client.fetch.partial import Partial, Room, storage
from capgo_client.fetch.sink import Sink
from capgo_client.fetch.spool import Spool
from capgo_client.fetch.transfer import Means, Patience, Transfer, Wanted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from capgo_client.fetch.partial import PartialKey
    from capgo_client.fetch.source import Client, Stoppable
    from capgo_client.seams import Clock, Files
    from capgo_client.verify.expectation import Expectation

    Progress = Callable[[int, int | None], None]

__all__ = ["fetch_archive"]

_PATIENCE = Patience(attempts=3, only_after_progress=True)


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
        folder: an existing folder for partial files.
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
    partial = Partial(folder, key, files=files)
    partial.sweep()
    if _is_complete(partial, expectation, files=files, scope=scope):
        return partial.complete
    wanted = Wanted(
        url=url,
        key=key,
        digest=expectation.digest,
        cipher=expectation.cipher,
        accept=lambda digest, _: expectation.check(digest),
        max_bytes=max_bytes,
        progress=progress,
    )
    room = Room(folder, files=files)
    means = Means(client=client, scope=scope, files=files, clock=clock, room=room, pace=Pace(clock))
    Transfer(wanted, partial, means=means, patience=_PATIENCE).run(resume=True)
    return partial.finish()


def _is_complete(partial: Partial, expectation: Expectation, *, files: Files, scope: Stoppable) -> bool:
    """Whether a complete archive is there that nobody used."""
    with storage():
        if not files.exists(partial.complete):
            return False
    spool = Spool(partial, files=files)
    spool.open(partial.complete)
    try:
        whole = Sink(spool, expectation.cipher).reload(expectation.digest, scope=scope)
    finally:
        spool.close()
    if not whole:
        partial.discard()
    return whole
