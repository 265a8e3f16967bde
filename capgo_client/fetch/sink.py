"""Takes the bytes of a download as they come: decrypts, hashes and writes in one pass, holding no more than a chunk."""

from __future__ import annotations

import errno
import hashlib
from typing import TYPE_CHECKING

from capgo_client.fetch.partial import storage
from capgo_client.verify.decrypt import Decryptor

if TYPE_CHECKING:
    from capgo_client.fetch.source import Stoppable
    from capgo_client.seams import Files
    from capgo_client.verify.expectation import Expectation

__all__ = ["Sink"]

_BLOCK = 16
_READ = 1 << 20


class Sink:
    """An open partial file and everything that is known of its content.

    ``wire`` counts the bytes of the file as it is on the server (encrypted or not) that need not be asked for again.
    """

    def __init__(self, fd: int, expectation: Expectation, *, files: Files) -> None:
        self._fd = fd
        self._files = files
        self._expectation = expectation
        self._begin()

    def _begin(self) -> None:
        cipher = self._expectation.cipher
        self._hash = hashlib.sha256()
        self._decryptor = Decryptor(cipher) if cipher is not None else None
        self._iv: bytearray | None = None
        self.wire = 0

    def restart(self) -> None:
        """Drop everything."""
        with storage():
            self._files.truncate(self._fd, 0)
            self._files.seek(self._fd, 0)
        self._begin()

    def take(self, chunk: bytes) -> None:
        """Take the next bytes from the wire."""
        self.wire += len(chunk)
        if self._iv is not None:
            chunk = self._complete_iv(chunk)
        self._keep(chunk if self._decryptor is None else self._decryptor.update(chunk))

    def finish(self) -> None:
        """Take the end of the file.

        Raises:
            SignatureError: ``decrypt_fail``.
            ChecksumError: ``checksum_fail``.
        """
        if self._decryptor is not None:
            self._keep(self._decryptor.finish())
        self._expectation.check(self._hash.digest())

    def _keep(self, plain: bytes) -> None:
        self._hash.update(plain)
        with storage():
            self._files.write_all(self._fd, plain)

    def _complete_iv(self, chunk: bytes) -> bytes:
        assert self._iv is not None  # noqa: S101
        assert self._expectation.cipher is not None  # noqa: S101
        missing = _BLOCK - len(self._iv)
        self._iv += chunk[:missing]
        if len(self._iv) == _BLOCK:
            self._decryptor = Decryptor(self._expectation.cipher, iv=bytes(self._iv))
            self._iv = None
        return chunk[missing:]

    def reload(self, *, scope: Stoppable) -> bool:
        """Hash what the file holds and get ready to go on after it; True when it is the whole file already.

        Encrypted: the plain bytes are cut to whole blocks, and the cipher goes on from the block before the cut, which
        is asked for again: it is what the first new block was chained to (CBC). Under two blocks nothing is kept.

        Raises:
            StorageError: it cannot be read.
        """
        encrypted = self._expectation.cipher is not None
        with storage():
            size = self._files.fstat(self._fd).st_size
        keep = size - size % _BLOCK if encrypted else size
        self._hash_existing(keep, scope)
        if self._is_whole(size - keep):
            return True
        if encrypted and keep < 2 * _BLOCK:
            self.restart()
            return False
        with storage():
            self._files.truncate(self._fd, keep)
            self._files.seek(self._fd, keep)
        if encrypted:
            self._iv = bytearray()
        self.wire = keep - _BLOCK if encrypted else keep
        return False

    def _hash_existing(self, size: int, scope: Stoppable) -> None:
        with storage():
            self._files.seek(self._fd, 0)
            while size > 0:
                scope.check()
                part = self._files.read(self._fd, min(size, _READ))
                if not part:
                    raise OSError(errno.EIO, "the file became shorter while it was read")
                self._hash.update(part)
                size -= len(part)

    def _is_whole(self, rest: int) -> bool:
        whole = self._hash.copy()
        with storage():
            whole.update(self._files.read(self._fd, rest) if rest else b"")
        return whole.digest() == self._expectation.digest
