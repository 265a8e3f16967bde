"""Fetches one file of a delta and settles what it is: the bytes as they came, or what brotli makes of them."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

from capgo_client.errors import ChecksumError
from capgo_client.fetch.inflate import inflate, unwrap
from capgo_client.fetch.kept import Fetched
from capgo_client.fetch.partial import PartialKey
from capgo_client.fetch.transfer import Patience, Transfer, Wanted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from capgo_client.fetch.budget import Budget
    from capgo_client.fetch.kept import Kept
    from capgo_client.fetch.spool import Spool
    from capgo_client.fetch.transfer import Means
    from capgo_client.verify.expectation import Cipher

__all__ = ["FileOrder", "OneFile"]

#: One retry for what passes by itself. Up to 256 KiB stay in memory, eight threads at a time.
_PATIENCE = Patience(attempts=2, only_after_progress=False, refusals=True, memory=256 * 1024)


@dataclass(frozen=True, slots=True)
class FileOrder:
    """One file to fetch.

    ``name`` is the manifest's, for messages; ``digest`` that of the content. ``may_inflate``: its name ends in
    ``.br``, so it may come compressed.
    """

    name: str
    url: str
    digest: bytes
    may_inflate: bool


class OneFile:
    """Everything about one file while it is fetched. Belongs to one thread."""

    def __init__(
        self,
        order: FileOrder,
        *,
        cipher: Cipher | None,
        session_key: str,
        kept: Kept,
        means: Means,
        budget: Budget,
        progress: Callable[[int, int | None], None],
    ) -> None:
        self._order = order
        self._cipher = cipher
        # A file that may come in two ways has one way for each name; one that may not is the same under any name.
        self._key = PartialKey(order.name if order.may_inflate else "", order.digest.hex(), session_key)
        self._kept = kept
        self._means = means
        self._budget = budget
        self._progress = progress
        self._inflated: Fetched | None = None
        self._size = 0
        self._shown = 0

    def run(self) -> Fetched:
        """The whole file, verified. Raises CapgoError."""
        found = self._kept.find(self._key, self._order.digest, scope=self._means.scope)
        if found is not None:
            self._budget.meter(found.size).add(found.size)
            return found
        partial = self._kept.partial(self._key)
        wanted = Wanted(
            url=self._order.url,
            key=self._key,
            digest=self._order.digest,
            cipher=self._cipher,
            accept=self._accept,
            max_bytes=min(self._budget.max_file, self._budget.max_download),
            progress=self._count,
        )
        transfer = Transfer(wanted, partial, means=self._means, patience=_PATIENCE)
        resume = self._kept.has_partial(self._key)
        data = transfer.run(resume=resume)
        if self._inflated is not None:
            if data is None:
                partial.discard()
            return self._inflated
        return Fetched(self._kept.keep_raw(self._key, data), self._size, inflated=False)

    def _count(self, done: int, total: int | None) -> None:
        """As much of the file is here: what is new of it counts for the download as a whole."""
        new, self._shown = done - self._shown, done
        self._budget.arrived(new)
        self._progress(done, total)

    def _accept(self, digest: bytes, spool: Spool) -> None:
        """Settle what the bytes in ``spool`` are; ``digest`` is theirs.

        The hash decides, not the name: a file may really be called ``x.br`` (reference/bundle-formats.md section 5).
        """
        size = spool.size()
        if hmac.compare_digest(digest, self._order.digest):
            self._budget.meter(size).add(size)
            self._size = size
        elif self._order.may_inflate:
            self._inflate(spool, size)
        else:
            raise self._wrong(digest)

    def _inflate(self, spool: Spool, packed: int) -> None:
        path = self._kept.inflated_path(self._key)
        wrapped = unwrap(spool.in_memory) if spool.in_memory is not None else None
        if wrapped is not None and hmac.compare_digest(hashlib.sha256(wrapped).digest(), self._order.digest):
            pieces: Iterable[bytes] = (wrapped,)
        else:
            pieces = inflate(spool.read(0, packed), name=self._order.name)
        meter = self._budget.meter(packed)
        self._kept.write(path, self._checked(pieces, meter.add))
        self._inflated = Fetched(path, meter.size, inflated=True)

    def _checked(self, pieces: Iterable[bytes], count: Callable[[int], None]) -> Iterator[bytes]:
        """The pieces, counted before they are kept; an error at the end when they are not what they should be."""
        digest = hashlib.sha256()
        for piece in pieces:
            self._means.scope.check()
            count(len(piece))
            digest.update(piece)
            yield piece
        if not hmac.compare_digest(digest.digest(), self._order.digest):
            raise self._wrong(digest.digest())

    def _wrong(self, digest: bytes) -> ChecksumError:
        return ChecksumError(
            f"the SHA-256 of {self._order.name[:80]!a} is {digest.hex()}, announced was {self._order.digest.hex()}",
            code="download_manifest_checksum_fail",
            hint="damaged on the way, or the upload and its manifest do not belong together",
        )
