"""Reads the publisher's public key without cryptography: the launch path checks it and must stay light.

Two spellings of an RSA public key are understood (reference/plugin-behaviour.md section 9, bundle-formats.md
section 4): PKCS#1 (``RSA PUBLIC KEY``), which Capgo's command line writes, and SPKI (``PUBLIC KEY``), which
everything else writes. The second is turned into the first before ``key_id`` is computed, for the service compares
that id.
"""

from __future__ import annotations

import binascii
from dataclasses import dataclass

from capgo_client.errors import ConfigError

__all__ = ["PublicKeyText", "parse_public_key"]

_MAX_TEXT = 16 * 1024
_MODULUS_BITS = (2048, 3072, 4096)
_MIN_EXPONENT = 65537
_MAX_EXPONENT_BITS = 32
_KEY_ID_LENGTH = 20
_BASE64 = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=")
_HINT = "give the text of .capgo_key_v2.pub, which `npx @capgo/cli key create` wrote"

_INTEGER, _BIT_STRING, _SEQUENCE = 0x02, 0x03, 0x30
#: AlgorithmIdentifier of rsaEncryption with its NULL (RFC 3279 section 2.3.1), whole.
_RSA_ALGORITHM = bytes.fromhex("06092a864886f70d0101010500")


@dataclass(frozen=True, slots=True)
class PublicKeyText:
    """An RSA public key as it was given: ``der`` is its PKCS#1 form, which is canonical."""

    der: bytes
    modulus: int
    exponent: int

    @property
    def size(self) -> int:
        """Bytes of the modulus, and so of every block signed with the key: 256, 384 or 512."""
        return (self.modulus.bit_length() + 7) // 8

    @property
    def key_id(self) -> str:
        """The 20 characters by which the service knows the key (reference/bundle-formats.md section 4)."""
        return binascii.b2a_base64(self.der, newline=False)[:_KEY_ID_LENGTH].decode("ascii")


def parse_public_key(text: str) -> PublicKeyText:
    r"""Read one PEM public key: CRLF, a one-line body and two-character ``\n`` escapes are understood.

    Raises:
        ConfigError: ``key_is_private``, ``key_malformed`` (not one PKCS#1 or SPKI RSA public key) or ``key_weak``
            (modulus other than 2048, 3072 or 4096 bits, or an exponent that is even, below 65537 or above 32 bits).
    """
    label, der = _decode_armour(text)
    if label == "PUBLIC KEY":
        der = _unwrap_spki(der)
    modulus, exponent = _read_rsa_key(der)
    _refuse_weak(modulus, exponent)
    return PublicKeyText(der=der, modulus=modulus, exponent=exponent)


def _malformed(message: str) -> ConfigError:
    return ConfigError(f"public_key: {message}", code="key_malformed", hint=_HINT)


def _private() -> ConfigError:
    # The text is never repeated in a message: it may be the very secret that must not reach a log.
    return ConfigError(
        "public_key: this is the PRIVATE key: keep it off devices",
        code="key_is_private",
        hint="whoever holds it can publish code to every device; " + _HINT,
    )


def _decode_armour(text: str) -> tuple[str, bytes]:
    if "PRIVATE KEY" in text:
        raise _private()
    if len(text) > _MAX_TEXT:
        raise _malformed(f"{len(text)} characters are too many for one key")
    label, body = _split_armour(text.replace("\\r", "\n").replace("\\n", "\n").strip("\ufeff \t\r\n"))
    return label, _decode_base64("".join(body.split()))


def _split_armour(text: str) -> tuple[str, str]:
    for label in ("RSA PUBLIC KEY", "PUBLIC KEY"):
        head, foot = f"-----BEGIN {label}-----", f"-----END {label}-----"
        if text.startswith(head) and text.endswith(foot):
            return label, text[len(head) : -len(foot)]
    if "CERTIFICATE" in text:
        raise _malformed("this is a certificate, not a public key")
    if text.startswith("ssh-") or "SSH2" in text or "OPENSSH" in text:
        raise _malformed("this is an SSH key, not a PEM public key")
    raise _malformed("no PEM text from '-----BEGIN RSA PUBLIC KEY-----' (or 'PUBLIC KEY') to its END line")


def _decode_base64(body: str) -> bytes:
    if "-" in body:
        raise _malformed("more than one key in one text; give several keys as a list of texts")
    if not body or not _BASE64.issuperset(body):
        raise _malformed("the body is not base64")
    try:
        der = binascii.a2b_base64(body)
    except binascii.Error as exc:
        raise _malformed("the body is not base64; was it cut?") from exc
    # a2b_base64 skips what it does not like (its strict mode needs Python 3.11): only the canonical text comes back.
    if binascii.b2a_base64(der, newline=False).decode("ascii") != body:
        raise _malformed("the body is not canonical base64")
    return der


def _read_value(der: bytes, tag: int) -> tuple[bytes, bytes]:
    """Take one DER value of type ``tag`` off the front; return its content and what follows it (X.690 8.1, 10.1)."""
    if len(der) < 2 or der[0] != tag:  # noqa: PLR2004  (tag and length)
        raise _malformed("the content is not an RSA public key")
    length, start = der[1], 2
    if length >= 0x80:  # noqa: PLR2004  (long form)
        start += length & 0x7F
        digits = der[2:start]
        length = int.from_bytes(digits, "big")
        minimal = len(digits) == start - 2 > 0 and digits[0] != 0 and length >= 0x80  # noqa: PLR2004
        if not minimal:
            raise _malformed("the content has a wrong length field; was it cut?")
    if len(der) < start + length:
        raise _malformed("the content is shorter than it says; was it cut?")
    return der[start : start + length], der[start + length :]


def _read_integer(der: bytes) -> tuple[int, bytes]:
    content, rest = _read_value(der, _INTEGER)
    padded = len(content) > 1 and content[0] == 0 and content[1] < 0x80  # noqa: PLR2004
    if not content or content[0] >= 0x80 or padded:  # noqa: PLR2004
        raise _malformed("a number in it is negative or not in its shortest form")
    return int.from_bytes(content, "big"), rest


def _unwrap_spki(der: bytes) -> bytes:
    """The PKCS#1 key inside a SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7)."""
    content, rest = _read_value(der, _SEQUENCE)
    algorithm, tail = _read_value(content, _SEQUENCE)
    if algorithm != _RSA_ALGORITHM:
        raise _malformed("not an RSA key; Capgo signs with RSA")
    bits, end = _read_value(tail, _BIT_STRING)
    if rest or end or bits[:1] != b"\0":
        raise _malformed("unknown bytes around the key")
    return bits[1:]


def _read_rsa_key(der: bytes) -> tuple[int, int]:
    """RSAPublicKey ::= SEQUENCE { modulus, publicExponent } (RFC 8017 appendix A.1.1)."""
    content, rest = _read_value(der, _SEQUENCE)
    if content.startswith(b"\x02\x01\x00\x02"):  # version 0, then numbers: RSAPrivateKey under a public label
        raise _private()
    modulus, content = _read_integer(content)
    exponent, content = _read_integer(content)
    if rest or content:
        raise _malformed("unknown bytes after the key")
    return modulus, exponent


def _refuse_weak(modulus: int, exponent: int) -> None:
    if modulus.bit_length() not in _MODULUS_BITS or modulus % 2 == 0:
        what = f"a modulus of {modulus.bit_length()} bits; 2048, 3072 or 4096 (and odd) are allowed"
    elif exponent < _MIN_EXPONENT or exponent % 2 == 0 or exponent.bit_length() > _MAX_EXPONENT_BITS:
        what = "its exponent; 65537 is what Capgo uses, odd ones from there to 32 bits are allowed"
    else:
        return
    raise ConfigError(f"public_key: weak because of {what}", code="key_weak", hint=_HINT)
