"""The RSA half of Capgo's encryption "V2": what the publisher's private key wrapped, the public key recovers.

PKCS#1 v1.5 block type 1 without DigestInfo (reference/bundle-formats.md section 4; the block: RFC 8017 section 9.2).
Each block is opened twice, by cryptography and by the few lines below, and both must give the same bytes: the one is
reviewed code, the other is strict by construction whatever backend cryptography was built on. Opening one block both
ways costs a fraction of a millisecond. There is no fallback from one to the other: a key that cannot be used
means no installs, never "no key".
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from capgo_client.errors import SignatureError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    from capgo_client.verify.pem import PublicKeyText

__all__ = ["KeyRing"]

_MIN_PADDING = 8


class KeyRing:
    """The public keys of which any one may have signed; cryptography is loaded when the first block is opened."""

    def __init__(self, keys: Sequence[PublicKeyText]) -> None:
        if not keys:
            raise ValueError("a key ring needs at least one key; no keys is None")
        self._keys = tuple(keys)
        self._loaded: tuple[RSAPublicKey, ...] | None = None

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(key.key_id for key in self._keys)})"

    @property
    def block_sizes(self) -> frozenset[int]:
        """The lengths in bytes that a wrapped block may have: 256, 384 or 512, one for each size of key."""
        return frozenset(key.size for key in self._keys)

    def recover(self, block: bytes) -> bytes:
        """The message that a private key of this ring wrapped into ``block``.

        Raises:
            SignatureError: ``signature_length`` (no key of the ring makes blocks of that length),
                ``signature_invalid`` (none of them made this one), ``key_unusable`` (cryptography is missing,
                broken, or refuses a key of the ring).
        """
        if len(block) not in self.block_sizes:
            raise SignatureError(
                f"a signed value of {len(block)} bytes, where the public key makes {sorted(self.block_sizes)}",
                code="signature_length",
                hint="the bundle was signed with a key of another size",
            )
        for text, key in zip(self._keys, self._load(), strict=True):
            if text.size == len(block) and (message := _recover_both_ways(text, key, block)) is not None:
                return message
        raise SignatureError(
            "the signed value was not made with the private key that belongs to the public key",
            code="signature_invalid",
            hint="publish with the key pair whose public half is in the app",
        )

    def _load(self) -> tuple[RSAPublicKey, ...]:
        if self._loaded is None:
            self._loaded = tuple(_load_key(text) for text in self._keys)
        return self._loaded


def _unusable(exc: BaseException) -> SignatureError:
    return SignatureError(
        f"the public key cannot be used: {type(exc).__name__} in cryptography",
        code="key_unusable",
        hint="nothing is installed until cryptography >= 3.4.8 works on this device",
    )


def _load_key(text: PublicKeyText) -> RSAPublicKey:
    try:
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

        return RSAPublicNumbers(text.exponent, text.modulus).public_key()
    except Exception as exc:  # whatever a crypto library does wrong, the answer is the same
        raise _unusable(exc) from exc


def _recover_both_ways(text: PublicKeyText, key: RSAPublicKey, block: bytes) -> bytes | None:
    ours, theirs = _open_block(text, block), _recover_by_library(key, block)
    if ours is None or theirs is None or not hmac.compare_digest(ours, theirs):
        return None
    return ours


def _recover_by_library(key: RSAPublicKey, block: bytes) -> bytes | None:
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

        try:
            return key.recover_data_from_signature(block, PKCS1v15(), None)
        except InvalidSignature:
            return None
    except Exception as exc:
        raise _unusable(exc) from exc


def _open_block(text: PublicKeyText, block: bytes) -> bytes | None:
    """``00 01``, at least eight ``FF``, ``00``, message: exactly that, or None (RFC 8017 section 9.2)."""
    number = int.from_bytes(block, "big")
    if number >= text.modulus:
        return None
    opened = pow(number, text.exponent, text.modulus).to_bytes(text.size, "big")
    filling, separator, message = opened[2:].partition(b"\0")
    if opened[:2] != b"\0\x01" or not separator:
        return None
    return message if len(filling) >= _MIN_PADDING and not filling.strip(b"\xff") else None
