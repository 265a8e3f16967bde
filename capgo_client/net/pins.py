"""Pinned public keys: which key a host has to show, whatever the authorities say of its certificate.

A pin is the SHA-256 of the SubjectPublicKeyInfo (RFC 7469 section 2.4) of the server's own certificate. The digest of
the key and not of the certificate, so that a certificate that is renewed with the same key still fits.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from capgo_client.errors import NetworkError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Collection, Mapping

__all__ = ["check_pin", "key_digest", "require_tls"]

_INTEGER, _SEQUENCE, _EXPLICIT_VERSION = 0x02, 0x30, 0xA0
#: serialNumber, signature, issuer, validity, subject: what stands before the key in a certificate (RFC 5280 4.1).
_BEFORE_THE_KEY = (_INTEGER, _SEQUENCE, _SEQUENCE, _SEQUENCE, _SEQUENCE)
_LONG_FORM = 0x80


def require_tls(scheme: str, host: str, pins: Mapping[str, Collection[bytes]]) -> None:
    """Refuse to ask a pinned host without TLS (``allow_http``, a URL in a reply): it would have no key to show.

    Raises:
        NetworkError: ``pin_mismatch``.
    """
    if scheme != "https" and _plain(host) in pins:
        raise NetworkError(
            f"{host} has a pinned key, and plain http shows none",
            code="pin_mismatch",
            hint="use https:// URLs for the hosts of pinned_keys",
        )


def check_pin(sock: ssl.SSLSocket, host: str, pins: Mapping[str, Collection[bytes]]) -> None:
    """Hold the server's key against the pins of ``host``; without any for it everything goes.

    Raises:
        NetworkError: ``pin_mismatch``.
    """
    wanted = pins.get(_plain(host))
    if wanted is None:
        return
    certificate = sock.getpeercert(binary_form=True)
    try:
        matches = certificate is not None and key_digest(certificate) in wanted
    except ValueError:
        matches = False
    if not matches:
        raise NetworkError(
            f"{host} shows a public key that is not among those pinned for it",
            code="pin_mismatch",
            hint="something stands in between, or the server has a new key: ship the app with its pin first",
        )


def _plain(host: str) -> str:
    return host.lower().rstrip(".")


def key_digest(certificate: bytes) -> bytes:
    """The SHA-256 of the public key in a DER certificate. Raises ValueError where it cannot be found.

    Strict: an encoding that OpenSSL reads and this reader understood otherwise could show a pinned key to the one and
    use another with the other.
    """
    body = _content(certificate, _SEQUENCE)[0]
    rest = _content(body, _SEQUENCE)[0]
    if rest[:1] == bytes([_EXPLICIT_VERSION]):
        rest = _content(rest, _EXPLICIT_VERSION)[1]
    for tag in _BEFORE_THE_KEY:
        rest = _content(rest, tag)[1]
    after = _content(rest, _SEQUENCE)[1]
    return hashlib.sha256(rest[: len(rest) - len(after)]).digest()


def _content(der: bytes, tag: int) -> tuple[bytes, bytes]:
    """The content of the first DER value, of type ``tag``, and what follows it (X.690 sections 8.1 and 10.1)."""
    if len(der) < 2 or der[0] != tag:  # noqa: PLR2004 - tag and length
        raise ValueError("not a certificate")
    length, start = der[1], 2
    if length >= _LONG_FORM:
        start += length - _LONG_FORM
        length = int.from_bytes(der[2:start], "big")
        if der[2:3] == b"\0" or length < _LONG_FORM:  # indefinite, or not the shortest
            raise ValueError("not a certificate: a length that DER does not have")
    if len(der) < start + length:
        raise ValueError("cut short")
    return der[start : start + length], der[start + length :]
