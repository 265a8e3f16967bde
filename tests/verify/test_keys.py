from __future__ import annotations

import sys

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from capgo_client.errors import SignatureError
from capgo_client.verify import keys as keys_module
from capgo_client.verify.keys import KeyRing
from capgo_client.verify.pem import PublicKeyText

# reference/plugin-behaviour.md section 11, crypto-rsa
SESSION_KEY = b"\xab" * 16
EMPTY_SHA256 = bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
SIZE = 256


def code_of(ring: KeyRing, block: bytes) -> str:
    with pytest.raises(SignatureError) as caught:
        ring.recover(block)
    return caught.value.code


@pytest.mark.parametrize("message", [SESSION_KEY, EMPTY_SHA256, b"", b"\0", b"\0\xff\0", bytes(range(48)), b"m" * 245])
def test_what_the_publisher_wrapped_comes_back(publisher, message):
    assert publisher.ring.recover(publisher.wrap(message)) == message


def test_the_session_keys_of_the_command_line_come_back(cli_output, cli_ring):
    import base64

    wrapped = cli_output["v1"]["bundle_encrypt_stdout"]["ivSessionKey"].split(":")[1]
    assert cli_ring.recover(base64.b64decode(wrapped)).hex() == "5aa84fa84dc2c06f2bc37d1641f05a68"


# The digest that every malformed block below carries where a lax reader would find it.
TAIL = b"\0" + EMPTY_SHA256
FULL = SIZE - 2 - len(TAIL)


MISPADDED = pytest.mark.parametrize(
    "opened",
    [
        b"\0\x01" + b"\xff" * 7 + b"\0" + b"x" * (SIZE - 10),
        b"\0\x01" + b"\0" + b"x" * (SIZE - 3),
        b"\0\x01" + b"\xff" * 7 + b"\xfe" + b"\xff" * (FULL - 8) + TAIL,
        b"\0\x01" + b"\xff" * (FULL - 1) + b"\xfe" + TAIL,
        b"\0\x01" + b"\x01" * FULL + TAIL,
        b"\0\x02" + b"\xff" * FULL + TAIL,
        b"\0\x02" + b"\x17" * FULL + TAIL,
        b"\0\x00" + b"\xff" * FULL + TAIL,
        b"\0\x00" + b"\0" * FULL + TAIL,
        b"\x01\x01" + b"\xff" * FULL + TAIL,
        b"\0\x01" + b"\xff" * (SIZE - 2),
        b"\0" * SIZE,
        b"\0" * (SIZE - 1) + b"\x01",
    ],
    ids=[
        "seven FF",
        "no FF",
        "the eighth is FE",
        "the last is FE",
        "01 for FF",
        "type 2 of FF",
        "type 2",
        "type 0 of FF",
        "type 0",
        "first byte 1",
        "no separator",
        "zero",
        "one",
    ],
)


@MISPADDED
@pytest.mark.promise(6)
def test_a_block_that_is_not_padded_exactly_so_proves_nothing(publisher, opened):
    if opened[0]:  # only numbers below the modulus can be wrapped; its top bit is set, so 01.. is below
        assert int.from_bytes(opened, "big") < publisher.key.modulus
    assert code_of(publisher.ring, publisher.raw(opened)) == "signature_invalid"


@MISPADDED
def test_the_two_readers_agree_on_each_refusal_by_themselves(publisher, opened):
    block = publisher.raw(opened)
    [loaded] = publisher.ring._load()
    assert keys_module._open_block(publisher.key, block) is None
    assert keys_module._recover_by_library(loaded, block) is None


def test_eight_ff_are_enough(publisher):
    message = b"x" * (SIZE - 11)
    assert publisher.ring.recover(publisher.raw(b"\0\x01" + b"\xff" * 8 + b"\0" + message)) == message


@pytest.mark.parametrize("size", [0, 1, 32, 255, 257, 384, 512])
def test_a_block_of_another_length_is_named_as_such(publisher, size):
    assert code_of(publisher.ring, b"\0" * size) == "signature_length"


def test_a_number_above_the_modulus_is_no_second_spelling_of_a_block():
    # Exponent 1 opens a block to itself, so that both spellings can be written down.
    key = PublicKeyText(der=b"", modulus=(1 << 2047) + 1, exponent=1)
    block = b"\0\x01" + b"\xff" * FULL + TAIL
    again = (int.from_bytes(block, "big") + key.modulus).to_bytes(SIZE, "big")
    assert keys_module._open_block(key, block) == EMPTY_SHA256
    assert keys_module._open_block(key, again) is None


def test_the_library_refuses_a_number_above_the_modulus_too(publisher):
    [loaded] = publisher.ring._load()
    assert keys_module._recover_by_library(loaded, (publisher.key.modulus + 1).to_bytes(SIZE, "big")) is None


@pytest.mark.promise(6)
def test_another_publishers_block_is_refused(publisher, stranger):
    assert code_of(publisher.ring, stranger.wrap(EMPTY_SHA256)) == "signature_invalid"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, SIZE * 8 - 1))
def test_no_single_bit_of_a_block_may_change(publisher, place):
    block = bytearray(publisher.wrap(EMPTY_SHA256))
    block[place // 8] ^= 1 << place % 8
    assert code_of(publisher.ring, bytes(block)) == "signature_invalid"


def test_any_key_of_a_ring_may_have_signed(publisher, stranger):
    ring = KeyRing([stranger.key, publisher.key])
    assert ring.recover(publisher.wrap(b"mine")) == b"mine"
    assert ring.recover(stranger.wrap(b"theirs")) == b"theirs"
    assert ring.block_sizes == {256}


def test_keys_of_two_sizes_live_in_one_ring(publisher, big_publisher):
    ring = KeyRing([publisher.key, big_publisher.key])
    assert ring.block_sizes == {256, 512}
    assert ring.recover(big_publisher.wrap(EMPTY_SHA256)) == EMPTY_SHA256
    assert ring.recover(publisher.wrap(EMPTY_SHA256)) == EMPTY_SHA256
    assert code_of(ring, b"\0" * 384) == "signature_length"


def test_a_ring_without_keys_cannot_be_built():
    with pytest.raises(ValueError, match="at least one key"):
        KeyRing([])


def test_the_repr_names_keys_by_their_id(publisher):
    assert repr(publisher.ring) == f"KeyRing({publisher.key.key_id})"


@pytest.mark.promise(6)
def test_without_cryptography_nothing_is_recovered(publisher, monkeypatch):
    block = publisher.wrap(EMPTY_SHA256)
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric.rsa", None)
    assert code_of(KeyRing([publisher.key]), block) == "key_unusable"


@pytest.mark.parametrize("trouble", [UnsupportedAlgorithm("no RSA"), ValueError("no"), RuntimeError("broken")])
@pytest.mark.promise(6)
def test_a_key_that_cryptography_does_not_load_is_unusable_not_absent(publisher, monkeypatch, trouble):
    def refuse(_self: object, _backend: object = None) -> None:
        raise trouble

    block = publisher.wrap(EMPTY_SHA256)
    numbers = type("Numbers", (), {"__init__": lambda *_: None, "public_key": refuse})
    monkeypatch.setattr("cryptography.hazmat.primitives.asymmetric.rsa.RSAPublicNumbers", numbers)
    assert code_of(KeyRing([publisher.key]), block) == "key_unusable"


def test_a_failure_while_recovering_is_unusable_too(publisher):
    class Broken:
        def recover_data_from_signature(self, *_: object) -> bytes:
            raise UnsupportedAlgorithm("PKCS1v15 is switched off")

    ring = KeyRing([publisher.key])
    ring._loaded = (Broken(),)
    assert code_of(ring, publisher.wrap(EMPTY_SHA256)) == "key_unusable"


def test_a_library_that_says_something_else_than_our_own_reading_is_not_believed(publisher):
    class Lying:
        def recover_data_from_signature(self, *_: object) -> bytes:
            return b"\0" * 32

    ring = KeyRing([publisher.key])
    ring._loaded = (Lying(),)
    assert code_of(ring, publisher.wrap(EMPTY_SHA256)) == "signature_invalid"


def test_one_unusable_key_spoils_the_ring(publisher, monkeypatch):
    class Half:
        def __init__(self, e: int, n: int) -> None:
            self.e, self.n = e, n

        def public_key(self) -> object:
            if self.n != publisher.key.modulus:
                raise UnsupportedAlgorithm("not this one")
            return RSAPublicNumbers(self.e, self.n).public_key()

    other = PublicKeyText(der=b"", modulus=publisher.key.modulus + 2, exponent=65537)
    monkeypatch.setattr("cryptography.hazmat.primitives.asymmetric.rsa.RSAPublicNumbers", Half)
    assert code_of(KeyRing([publisher.key, other]), publisher.wrap(b"x")) == "key_unusable"
