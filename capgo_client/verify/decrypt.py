"""AES-128-CBC with PKCS#7 padding, in one pass over bytes as they arrive (reference/bundle-formats.md section 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from capgo_client.errors import SignatureError

if TYPE_CHECKING:
    from capgo_client.verify.expectation import Cipher

__all__ = ["Decryptor"]

_BLOCK_BITS = 128


class Decryptor:
    """Turns the encrypted bytes of one file into its plain ones. Nothing is proven by it: the SHA-256 decides.

    To go on in the middle of a file pass as ``iv`` the 16 encrypted bytes before that place, a multiple of 16.
    """

    def __init__(self, cipher: Cipher, *, iv: bytes | None = None) -> None:
        try:
            from cryptography.hazmat.primitives.ciphers import Cipher as Engine
            from cryptography.hazmat.primitives.ciphers.algorithms import AES
            from cryptography.hazmat.primitives.ciphers.modes import CBC
            from cryptography.hazmat.primitives.padding import PKCS7

            self._engine = Engine(AES(cipher.key), CBC(cipher.iv if iv is None else iv)).decryptor()
            self._padding = PKCS7(_BLOCK_BITS).unpadder()
        except Exception as exc:  # no AES on this device, or a key or IV of a wrong length
            raise _failed(type(exc).__name__) from exc

    def update(self, data: bytes) -> bytes:
        """Take encrypted bytes, any number; return the plain ones that are certain (the last 16 wait)."""
        return self._padding.update(self._engine.update(data))

    def finish(self) -> bytes:
        """The plain bytes that were held back.

        Raises:
            SignatureError: ``decrypt_fail``: the length is zero or no multiple of 16, or the padding is wrong.
        """
        try:
            return self._padding.update(self._engine.finalize()) + self._padding.finalize()
        except ValueError as exc:
            raise _failed("wrong length or padding") from exc


def _failed(why: str) -> SignatureError:
    return SignatureError(
        f"the bundle could not be decrypted: {why}",
        code="decrypt_fail",
        hint="damaged on the way, or encrypted with another session key",
    )
