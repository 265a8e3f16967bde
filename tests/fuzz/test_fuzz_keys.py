"""What proves who made a bundle: session keys, checksums, public keys."""

# ruff: noqa: PT017 - what else can be asserted of an error that need not come?

from __future__ import annotations

import base64
import binascii
import hashlib
from functools import cache

from fuzzing import edited, edited_text, fuzz
from hypothesis import strategies as st

from capgo_client import ChecksumError, ConfigError, SignatureError
from capgo_client.testing import BundleKeys
from capgo_client.testing.bundles import Cipher
from capgo_client.verify.expectation import expectation
from capgo_client.verify.keys import KeyRing
from capgo_client.verify.pem import parse_public_key

DIGEST = hashlib.sha256(b"x").hexdigest()
SIZE = 256


@cache
def pair():
    return BundleKeys.generate()


@cache
def ring():
    return KeyRing([parse_public_key(pair().public_pem)])


@cache
def opened(block):
    """The block's message by arithmetic written down here, None where it is none (RFC 8017 section 8.2.2)."""
    numbers = pair().private_key.public_key().public_numbers()
    if len(block) != SIZE or int.from_bytes(block, "big") >= numbers.n:
        return None
    plain = pow(int.from_bytes(block, "big"), numbers.e, numbers.n).to_bytes(SIZE, "big")
    head, _, message = plain[2:].partition(b"\0")
    good = plain[:2] == b"\0\1" and len(head) >= 8 and set(head) == {0xFF} and len(head) + len(message) == SIZE - 3
    return message if good else None


MESSAGES = st.sampled_from([bytes.fromhex(DIGEST), b"k" * 16, b"", b"\0" * 32, b"m" * 48, base64.b64decode(DIGEST)])
SIGNED = MESSAGES.map(lambda message: pair().sign(message))
CHECKSUMS = st.one_of(
    st.just(DIGEST),
    st.just(DIGEST.upper()),
    SIGNED.map(bytes.hex),
    SIGNED.map(lambda block: base64.b64encode(block).decode()),
    st.text("0123456789abcdefXYZ=+/:é", max_size=80),
)
SESSIONS = st.one_of(
    st.just(""),
    st.just(lambda: Cipher(b"i" * 16, b"k" * 16).session_key(pair())).map(lambda make: make()),
    st.builds(
        lambda iv, block: f"{base64.b64encode(iv).decode()}:{base64.b64encode(block).decode()}",
        st.binary(max_size=20),
        SIGNED,
    ),
    st.text("AB=:+/é\n ", max_size=40),
)


def signed_message(text):
    """The 32 bytes that this checksum stands for under the key, by rules of its own; None for none."""
    for decode in (bytes.fromhex, lambda each: base64.b64decode(each, validate=True)):
        try:
            message = opened(decode(text))
        except (ValueError, binascii.Error):
            continue
        if message is not None and len(message) == 32:
            return message
        if message is not None and len(message) == 48:
            return bytes.fromhex(base64.b64encode(message).decode())
    return None


@fuzz(
    quick=20,
    session=SESSIONS | edited_text(SESSIONS),
    checksum=CHECKSUMS | edited_text(CHECKSUMS),
    trusted=st.booleans(),
    corpus=[{"session": "", "checksum": "é" * 64, "trusted": True}, {"session": ":", "checksum": "", "trusted": True}],
)
def test_only_what_the_key_signed_or_a_whole_plain_sum_is_expected(session, checksum, trusted):
    try:
        expected = expectation(keys=ring() if trusted else None, session_key=session, checksum=checksum)
    except (ChecksumError, SignatureError) as exc:
        assert exc.code
        return
    assert len(expected.digest) == 32
    if not trusted:
        assert expected.digest.hex() == checksum.lower()
        assert expected.cipher is None
        return
    assert expected.digest == signed_message(checksum)
    if session:
        iv, wrapped = session.split(":")
        assert expected.cipher is not None
        assert expected.cipher.iv == base64.b64decode(iv)
        assert expected.cipher.key == opened(base64.b64decode(wrapped))
        assert len(expected.cipher.key) == len(expected.cipher.iv) == 16


def pem_texts():
    return st.sampled_from([pair().public_pem, pair().public_pem_spki, pair().public_pem.replace("\n", "\\n")])


def armoured(label, der):
    return f"-----BEGIN {label}-----\n{base64.b64encode(der).decode()}\n-----END {label}-----\n"


@cache
def der(label):
    text = pair().public_pem if label == "RSA PUBLIC KEY" else pair().public_pem_spki
    return base64.b64decode("".join(text.splitlines()[1:-1]))


def padded(label):
    """Bytes behind the key, or behind its numbers with the outer length put right (PKCS#1)."""
    whole = der("RSA PUBLIC KEY")
    inner = whole[4:]
    grown = st.binary(min_size=1, max_size=4).map(
        lambda more: b"\x30\x82" + len(inner + more).to_bytes(2, "big") + inner + more
    )
    behind = st.binary(min_size=1, max_size=4).map(lambda more: der(label) + more)
    return behind | grown if label == "RSA PUBLIC KEY" else behind


DERS = st.sampled_from(["RSA PUBLIC KEY", "PUBLIC KEY"]).flatmap(
    lambda label: st.builds(armoured, st.just(label), edited(st.just(der(label))) | padded(label))
)


@fuzz(quick=40, text=st.one_of(pem_texts(), edited_text(pem_texts()), DERS, st.text(max_size=60)))
def test_a_public_key_is_one_that_the_crypto_library_reads_alike(text):
    try:
        key = parse_public_key(text)
    except ConfigError as exc:
        assert exc.code in {"key_is_private", "key_malformed", "key_weak"}
        return
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    other = load_der_public_key(key.der)
    assert isinstance(other, RSAPublicKey)
    assert (other.public_numbers().n, other.public_numbers().e) == (key.modulus, key.exponent)
    assert key.modulus.bit_length() in (2048, 3072, 4096)
    assert key.exponent % 2
    assert key.exponent >= 65537
    assert key.key_id == base64.b64encode(key.der).decode()[:20]
    assert parse_public_key(armoured("RSA PUBLIC KEY", key.der)) == key
