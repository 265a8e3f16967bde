from __future__ import annotations

import itertools

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher as Engine
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from hypothesis import given, settings
from hypothesis import strategies as st

from capgo_client.errors import SignatureError
from capgo_client.verify.decrypt import Decryptor
from capgo_client.verify.expectation import Cipher

CIPHER = Cipher(key=b"k" * 16, iv=b"i" * 16)


def encrypt_raw(padded: bytes) -> bytes:
    engine = Engine(AES(CIPHER.key), CBC(CIPHER.iv)).encryptor()
    return engine.update(padded) + engine.finalize()


def encrypt(plain: bytes) -> bytes:
    filling = 16 - len(plain) % 16
    return encrypt_raw(plain + bytes([filling]) * filling)


def decrypt(*pieces: bytes) -> bytes:
    engine = Decryptor(CIPHER)
    return b"".join([engine.update(piece) for piece in pieces]) + engine.finish()


@given(plain=st.binary(max_size=200), cuts=st.lists(st.integers(0, 220), max_size=6))
@settings(max_examples=80, deadline=None)
def test_bytes_come_back_however_they_arrive(plain, cuts):
    data = encrypt(plain)
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    assert decrypt(*(data[a:b] for a, b in itertools.pairwise(places))) == plain


def test_a_known_vector_comes_out():
    # NIST SP 800-38A F.2.1 (CBC-AES128), first block, followed by a block of padding
    cipher = Cipher(
        key=bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c"), iv=bytes.fromhex("000102030405060708090a0b0c0d0e0f")
    )
    engine = Engine(AES(cipher.key), CBC(cipher.iv)).encryptor()
    data = engine.update(bytes.fromhex("6bc1bee22e409f96e93d7e117393172a") + b"\x10" * 16)
    assert data[:16].hex() == "7649abac8119b246cee98e9b12e9197d"
    decryptor = Decryptor(cipher)
    assert (decryptor.update(data) + decryptor.finish()).hex() == "6bc1bee22e409f96e93d7e117393172a"


def test_decryption_goes_on_in_the_middle_of_a_file():
    plain = bytes(range(256)) * 4
    data = encrypt(plain)
    engine = Decryptor(CIPHER, iv=data[496:512])
    assert engine.update(data[512:]) + engine.finish() == plain[512:]


@pytest.mark.parametrize("size", [0, 1, 15, 17, 31, 33])
def test_a_length_that_is_no_number_of_blocks_fails(size):
    with pytest.raises(SignatureError) as caught:
        decrypt(encrypt(b"x" * 40)[:size] or b"")
    assert caught.value.code == "decrypt_fail"


def test_a_file_that_lost_its_last_block_fails():
    with pytest.raises(SignatureError) as caught:
        decrypt(encrypt(b"x" * 40)[:-16])
    assert caught.value.code == "decrypt_fail"


@pytest.mark.parametrize(
    "last",
    [
        b"x" * 15 + b"\0",
        b"x" * 15 + b"\x11",
        b"x" * 15 + b"\xff",
        b"x" * 14 + b"\x01\x02",
        b"x" * 12 + b"\x04\x03\x04\x04",
        b"\x0f" + b"\x10" * 15,
    ],
)
def test_padding_that_is_not_pkcs7_fails(last):
    with pytest.raises(SignatureError) as caught:
        decrypt(encrypt_raw(b"y" * 16 + last))
    assert caught.value.code == "decrypt_fail"


def test_another_key_fails_or_gives_other_bytes():
    engine = Decryptor(Cipher(key=b"K" * 16, iv=CIPHER.iv))
    plain = b"x" * 40
    out = engine.update(encrypt(plain))
    assert out != plain[: len(out)]


@pytest.mark.parametrize(("key", "iv"), [(b"k" * 15, b"i" * 16), (b"k" * 16, b"i" * 15), (b"", b"")])
def test_a_key_or_iv_of_another_length_fails(key, iv):
    with pytest.raises(SignatureError) as caught:
        Decryptor(Cipher(key=key, iv=iv))
    assert caught.value.code == "decrypt_fail"
