"""What must come out of a download before anything of it is used: a SHA-256, and how to decrypt on the way.

The two texts come from the service's reply and are trusted in nothing but what a signature proves. Rules: DESIGN
"Keys and checksums"; forms: reference/bundle-formats.md sections 3 and 4. Where the plugin accepts a plain checksum
although a key is set (reference/plugin-behaviour.md section 9, weakness 20), we refuse.
"""

from __future__ import annotations

import binascii
import hmac
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from capgo_client.errors import ChecksumError, SignatureError

if TYPE_CHECKING:
    from capgo_client.verify.keys import KeyRing

__all__ = ["Cipher", "Expectation", "expectation", "expected_cipher", "expected_digest"]

_SHA256_BYTES, _SHA256_HEX = 32, 64
_CRC32_HEX = 8
_MISREAD_BYTES = 48  # 64 hex characters taken for base64: the old form
_AES_BYTES = 16
_MAX_TEXT = 4096
_HEX = frozenset("0123456789abcdefABCDEF")
#: Base64 and hex lengths of blocks of 256, 384 and 512 bytes: what a signed checksum looks like without the key.
_SIGNED_LENGTHS = frozenset({344, 512, 684, 768, 1024})


@dataclass(frozen=True, slots=True)
class Cipher:
    """AES-128-CBC key and initialisation vector, 16 bytes each; neither shows in the repr."""

    key: bytes = field(repr=False)
    iv: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Expectation:
    """The SHA-256 of the plain bytes, and the cipher they arrive in (None: they arrive plain)."""

    digest: bytes
    cipher: Cipher | None

    def check(self, digest: bytes) -> None:
        """Compare in constant time.

        Raises:
            ChecksumError: ``checksum_fail``, the bytes are not the announced ones.
        """
        if not hmac.compare_digest(self.digest, digest):
            raise ChecksumError(
                f"SHA-256 is {digest.hex()}, announced was {self.digest.hex()}",
                hint="damaged on the way, or the upload and its checksum do not belong together",
            )


def expectation(*, keys: KeyRing | None, session_key: str, checksum: str) -> Expectation:
    """What the reply demands of the download; empty texts mean absent.

    Raises:
        ChecksumError: ``checksum_required``, ``checksum_crc32``, ``checksum_malformed``.
        SignatureError: ``unsigned``, ``key_missing``, ``session_key_invalid``, and those of ``KeyRing.recover``.
    """
    cipher = expected_cipher(keys=keys, session_key=session_key)
    return Expectation(digest=expected_digest(keys=keys, checksum=checksum), cipher=cipher)


def expected_cipher(*, keys: KeyRing | None, session_key: str) -> Cipher | None:
    """The cipher that ``session_key`` wraps; None for an empty one (a signed plain bundle, or no keys at all).

    Raises:
        SignatureError: ``key_missing``, ``session_key_invalid``, and those of ``KeyRing.recover``.
    """
    if not session_key:
        return None
    if keys is None:
        raise _key_missing("the bundle is encrypted")
    if len(session_key) > _MAX_TEXT or session_key.count(":") != 1:
        raise _session_key_invalid("it is not two texts with one colon between them")
    iv, wrapped = (_decode_base64(part) for part in session_key.split(":"))
    if iv is None or wrapped is None:
        raise _session_key_invalid("it is not base64")
    if len(iv) != _AES_BYTES:
        raise _session_key_invalid(f"its IV has {len(iv)} bytes, not 16")
    key = keys.recover(wrapped)
    if len(key) != _AES_BYTES:
        raise _session_key_invalid(f"the AES key in it has {len(key)} bytes, not 16")
    return Cipher(key=key, iv=iv)


def expected_digest(*, keys: KeyRing | None, checksum: str) -> bytes:
    """The 32 bytes that ``checksum`` (of a bundle, or of one file in a manifest) stands for.

    Raises:
        ChecksumError: ``checksum_required``, ``checksum_crc32``, ``checksum_malformed``.
        SignatureError: ``unsigned``, ``key_missing``, and those of ``KeyRing.recover``.
    """
    if not checksum:
        raise ChecksumError(
            "the service announced no checksum", code="checksum_required", hint="upload with a current @capgo/cli"
        )
    if len(checksum) > _MAX_TEXT:
        raise _checksum_malformed(checksum)
    return _plain_digest(checksum) if keys is None else _signed_digest(keys, checksum)


def _plain_digest(checksum: str) -> bytes:
    if _is_hex(checksum) and len(checksum) == _SHA256_HEX:
        return bytes.fromhex(checksum)
    if _is_hex(checksum) and len(checksum) == _CRC32_HEX:
        raise ChecksumError(
            "the announced checksum is a CRC32, which proves nothing",
            code="checksum_crc32",
            hint="upload with a current @capgo/cli and without --force-crc32-checksum",
        )
    if len(checksum) in _SIGNED_LENGTHS:
        raise _key_missing("the checksum is signed")
    raise _checksum_malformed(checksum)


def _signed_digest(keys: KeyRing, checksum: str) -> bytes:
    if not _is_hex(checksum):
        return _misread_digest(keys, checksum)
    if len(checksum) in {_SHA256_HEX, _CRC32_HEX}:
        raise SignatureError(
            "the checksum is not signed, and this app has a public key",
            code="unsigned",
            hint="upload with --key-v2 and the private key that belongs to it",
        )
    if len(checksum) % 2:
        raise _checksum_malformed(checksum)
    digest = keys.recover(bytes.fromhex(checksum))
    if len(digest) != _SHA256_BYTES:
        raise _not_a_digest(digest)
    return digest


def _misread_digest(keys: KeyRing, checksum: str) -> bytes:
    """The old form: the hex text was taken for base64 before it was wrapped; taking it back gives the hex text."""
    block = _decode_base64(checksum)
    if block is None:
        raise _checksum_malformed(checksum)
    misread = keys.recover(block)
    text = binascii.b2a_base64(misread, newline=False).decode("ascii")
    if len(misread) != _MISREAD_BYTES or not _is_hex(text):
        raise _not_a_digest(misread)
    return bytes.fromhex(text)


def _is_hex(text: str) -> bool:
    return _HEX.issuperset(text)


def _decode_base64(text: str) -> bytes | None:
    """Canonical base64 of at least one byte, standard alphabet, padded; None for anything else."""
    try:
        data = binascii.a2b_base64(text)
    except ValueError:  # binascii.Error is one; so is what a non-ASCII character raises
        return None
    return data if data and binascii.b2a_base64(data, newline=False) == text.encode("ascii", "replace") else None


def _session_key_invalid(why: str) -> SignatureError:
    return SignatureError(
        f"the session key cannot be used: {why}",
        code="session_key_invalid",
        hint="encrypt and upload the bundle anew",
    )


def _key_missing(what: str) -> SignatureError:
    return SignatureError(
        f"{what}, and this app has no public key",
        code="key_missing",
        hint="give Updater(public_key=...) the text of .capgo_key_v2.pub",
    )


def _checksum_malformed(checksum: str) -> ChecksumError:
    return ChecksumError(
        f"the announced checksum ({len(checksum)} characters) has no known form",
        code="checksum_malformed",
        hint="a plain one is 64 hex characters, a signed one 512 (2048-bit key)",
    )


def _not_a_digest(message: bytes) -> SignatureError:
    # A wrapped session key is 16 bytes in the same kind of block: the length keeps one from passing for the other.
    return SignatureError(
        f"what was signed ({len(message)} bytes) is not a SHA-256",
        code="signature_invalid",
        hint="encrypt and upload the bundle anew",
    )
