"""Takes the bytes of a download as they come: decrypts, hashes and keeps them in one pass, a chunk at a time."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

from capgo_client.verify.decrypt import Decryptor

if TYPE_CHECKING:
    from capgo_client.fetch.source import Stoppable
    from capgo_client.fetch.spool import Spool
    from capgo_client.verify.expectation import Cipher

__all__ = ["Sink"]

_BLOCK = 16


class Sink:
    """The spool of one download and everything that is known of its content.

    ``wire`` counts the bytes of the file as it is on the server (encrypted or not) that need not be asked for again.
    """

    def __init__(self, spool: Spool, cipher: Cipher | None) -> None:
        self._spool = spool
        self._cipher = cipher
        self._begin()

    def _begin(self) -> None:
        self._hash = hashlib.sha256()
        self._decryptor = Decryptor(self._cipher) if self._cipher is not None else None
        self._iv: bytearray | None = None
        self.wire = 0

    def restart(self) -> None:
        """Drop everything."""
        self._spool.cut(0)
        self._begin()

    def take(self, chunk: bytes) -> None:
        """Take the next bytes from the wire."""
        self.wire += len(chunk)
        if self._iv is not None:
            chunk = self._complete_iv(chunk)
        self._keep(chunk if self._decryptor is None else self._decryptor.update(chunk))

    def finish(self) -> bytes:
        """Take the end of the file; return the SHA-256 of the plain bytes.

        Raises:
            SignatureError: ``decrypt_fail``.
        """
        if self._decryptor is not None:
            self._keep(self._decryptor.finish())
        return self._hash.digest()

    def _keep(self, plain: bytes) -> None:
        self._hash.update(plain)
        self._spool.write(plain)

    def _complete_iv(self, chunk: bytes) -> bytes:
        assert self._iv is not None  # noqa: S101
        assert self._cipher is not None  # noqa: S101
        missing = _BLOCK - len(self._iv)
        self._iv += chunk[:missing]
        if len(self._iv) == _BLOCK:
            self._decryptor = Decryptor(self._cipher, iv=bytes(self._iv))
            self._iv = None
        return chunk[missing:]

    def reload(self, digest: bytes, *, scope: Stoppable) -> bool:
        """Hash what the file holds and get ready to go on after it; True when it is the whole file already.

        Encrypted: the plain bytes are cut to whole blocks, and the cipher goes on from the block before the cut, which
        is asked for again: it is what the first new block was chained to (CBC). Under two blocks nothing is kept.

        Raises:
            StorageError: it cannot be read.
        """
        encrypted = self._cipher is not None
        size = self._spool.size()
        keep = size - size % _BLOCK if encrypted else size
        for part in self._spool.read(0, keep):
            scope.check()
            self._hash.update(part)
        if self._is_whole(digest, keep, size - keep):
            return True
        if encrypted and keep < 2 * _BLOCK:
            self.restart()
            return False
        self._spool.cut(keep)
        if encrypted:
            self._iv = bytearray()
        self.wire = keep - _BLOCK if encrypted else keep
        return False

    def _is_whole(self, digest: bytes, start: int, rest: int) -> bool:
        whole = self._hash.copy()
        for part in self._spool.read(start, rest) if rest else ():
            whole.update(part)
        return hmac.compare_digest(whole.digest(), digest)
