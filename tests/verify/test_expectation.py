from __future__ import annotations

import base64
import hashlib

import pytest

from capgo_client.errors import ChecksumError, IntegrityError, SignatureError
from capgo_client.verify.decrypt import Decryptor
from capgo_client.verify.expectation import Cipher, Expectation, expectation, expected_cipher, expected_digest
from capgo_client.verify.keys import KeyRing

V1_SHA256 = "24087a4d4435780bfa7cf530beaa16ecc8d08a3d143b998cdb38d1ad914a3558"
V1_IV, V1_KEY = "274a3c4a1616b56afc8664b0e3dfcd38", "5aa84fa84dc2c06f2bc37d1641f05a68"
DIGEST = hashlib.sha256(b"bundle").digest()
IV, AES = b"i" * 16, b"k" * 16


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def code_of(keys: KeyRing | None, *, checksum: str, session_key: str = "") -> str:
    with pytest.raises(IntegrityError) as caught:
        expectation(keys=keys, session_key=session_key, checksum=checksum)
    assert caught.value.hint
    return caught.value.code


@pytest.fixture
def session_key(publisher):
    return f"{b64(IV)}:{b64(publisher.wrap(AES))}"


@pytest.fixture
def signed(publisher):
    return publisher.wrap(DIGEST).hex()


# --- what the command line wrote


def test_the_command_lines_encrypted_bundle_gives_its_digest_iv_and_key(cli_output, cli_ring):
    out = cli_output["v1"]["bundle_encrypt_stdout"]
    wanted = expectation(keys=cli_ring, session_key=out["ivSessionKey"], checksum=out["checksum"])
    assert wanted.digest.hex() == V1_SHA256
    assert wanted.cipher == Cipher(key=bytes.fromhex(V1_KEY), iv=bytes.fromhex(V1_IV))


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_encrypted_bundles_decrypt_to_the_plain_ones(version, cli_output, cli_ring, bundles):
    out = cli_output[version]["bundle_encrypt_stdout"]
    wanted = expectation(keys=cli_ring, session_key=out["ivSessionKey"], checksum=out["checksum"])
    engine = Decryptor(wanted.cipher)
    plain = engine.update((bundles / f"{version}.enc.zip").read_bytes()) + engine.finish()
    assert plain == (bundles / f"{version}.zip").read_bytes()
    wanted.check(hashlib.sha256(plain).digest())


def test_the_old_base64_form_gives_the_digest_of_the_same_zip(cli_output, cli_ring, bundles):
    out = cli_output["legacy"]["v2_base64_checksum"]["bundle_encrypt_stdout"]
    assert len(out["checksum"]) == 344
    wanted = expectation(keys=cli_ring, session_key=out["ivSessionKey"], checksum=out["checksum"])
    assert wanted.digest.hex() == V1_SHA256
    engine = Decryptor(wanted.cipher)
    plain = engine.update((bundles / "v1.enc-v2format.zip").read_bytes()) + engine.finish()
    assert plain == (bundles / "v1.zip").read_bytes()


def test_the_command_lines_crc32_is_refused_with_and_without_a_key(cli_output, cli_ring):
    crc32 = cli_output["legacy"]["crc32_checksum"]["bundle_zip_stdout"]["checksum"]
    assert code_of(None, checksum=crc32) == "checksum_crc32"
    assert code_of(cli_ring, checksum=crc32) == "unsigned"


# --- no key


@pytest.mark.parametrize("text", [V1_SHA256, V1_SHA256.upper()])
def test_without_a_key_a_plain_sha256_is_expected_in_any_case(text):
    assert expectation(keys=None, session_key="", checksum=text) == Expectation(bytes.fromhex(V1_SHA256), None)


@pytest.mark.parametrize(
    ("checksum", "code"),
    [
        ("", "checksum_required"),
        ("04251369", "checksum_crc32"),
        (V1_SHA256[:-1], "checksum_malformed"),
        (V1_SHA256 + "0", "checksum_malformed"),
        (V1_SHA256[:-1] + "g", "checksum_malformed"),
        (" " + V1_SHA256[1:], "checksum_malformed"),
        (V1_SHA256 + "\n", "checksum_malformed"),
        (V1_SHA256[:-2] + "\u0661\u0662", "checksum_malformed"),
        ("d41d8cd98f00b204e9800998ecf8427e", "checksum_malformed"),
        ("a" * 512, "key_missing"),
        ("A" * 342 + "==", "key_missing"),
        ("a" * 5000, "checksum_malformed"),
    ],
)
def test_without_a_key_nothing_but_a_plain_sha256_will_do(checksum, code):
    assert code_of(None, checksum=checksum) == code


def test_without_a_key_an_encrypted_bundle_is_refused(session_key):
    assert code_of(None, checksum=V1_SHA256, session_key=session_key) == "key_missing"


# --- with a key


def test_with_a_key_both_signed_forms_are_understood(publisher, session_key, signed):
    old = b64(publisher.wrap(base64.b64decode(DIGEST.hex())))
    for checksum in (signed, signed.upper(), old):
        assert expectation(keys=publisher.ring, session_key=session_key, checksum=checksum) == Expectation(
            DIGEST, Cipher(key=AES, iv=IV)
        )


def test_a_signed_bundle_need_not_be_encrypted(publisher, signed):
    assert expectation(keys=publisher.ring, session_key="", checksum=signed) == Expectation(DIGEST, None)


def test_a_4096_bit_key_signs_in_1024_hex_or_684_base64_characters(big_publisher):
    new = big_publisher.wrap(DIGEST).hex()
    old = b64(big_publisher.wrap(base64.b64decode(DIGEST.hex())))
    assert (len(new), len(old)) == (1024, 684)
    assert {expected_digest(keys=big_publisher.ring, checksum=text) for text in (new, old)} == {DIGEST}
    assert code_of(None, checksum=new) == code_of(None, checksum=old) == "key_missing"


@pytest.mark.promise(6)
@pytest.mark.parametrize("checksum", [V1_SHA256, V1_SHA256.upper(), "04251369"])
def test_with_a_key_a_plain_checksum_is_refused_whether_encrypted_or_not(publisher, session_key, checksum):
    assert code_of(publisher.ring, checksum=checksum) == "unsigned"
    assert code_of(publisher.ring, checksum=checksum, session_key=session_key) == "unsigned"


@pytest.mark.promise(6)
def test_with_a_key_a_missing_checksum_is_refused(publisher, session_key):
    assert code_of(publisher.ring, checksum="") == "checksum_required"
    assert code_of(publisher.ring, checksum="", session_key=session_key) == "checksum_required"


@pytest.mark.parametrize(
    ("checksum", "code"),
    [
        ("00" * 255, "signature_length"),
        ("00" * 257, "signature_length"),
        ("0" * 511, "checksum_malformed"),
        ("00" * 256, "signature_invalid"),
        (b64(b"\0" * 256), "signature_invalid"),
        (b64(b"\0" * 255), "signature_length"),
        ("z" * 63, "checksum_malformed"),
        ("é" * 344, "checksum_malformed"),
        ("=" * 344, "checksum_malformed"),
        ("a" * 5000, "checksum_malformed"),
    ],
)
def test_with_a_key_what_is_no_signature_is_named(publisher, checksum, code):
    assert code_of(publisher.ring, checksum=checksum) == code


@pytest.mark.promise(6)
@pytest.mark.parametrize("message", [AES, b"", DIGEST + b"\0", DIGEST[:-1], b"m" * 48, DIGEST.hex().encode()])
def test_a_signed_message_of_another_length_is_no_digest(publisher, message):
    assert code_of(publisher.ring, checksum=publisher.wrap(message).hex()) == "signature_invalid"


@pytest.mark.parametrize(
    "message", [AES, DIGEST, b"\xff" * 48, b"m" * 47, base64.b64decode("ab" * 22), base64.b64decode("ab" * 48)]
)
def test_in_the_old_form_too_only_the_misread_hex_of_a_digest_counts(publisher, message):
    assert code_of(publisher.ring, checksum=b64(publisher.wrap(message))) == "signature_invalid"


@pytest.mark.promise(6)
def test_a_checksum_signed_by_a_stranger_is_refused(publisher, stranger):
    assert code_of(publisher.ring, checksum=stranger.wrap(DIGEST).hex()) == "signature_invalid"


@pytest.mark.promise(6)
def test_a_session_key_wrapped_by_a_stranger_is_refused(publisher, stranger, signed):
    session_key = f"{b64(IV)}:{b64(stranger.wrap(AES))}"
    assert code_of(publisher.ring, checksum=signed, session_key=session_key) == "signature_invalid"


def test_the_two_halves_of_a_session_key_do_not_swap(publisher, signed, session_key):
    iv, wrapped = session_key.split(":")
    assert code_of(publisher.ring, checksum=signed, session_key=f"{wrapped}:{iv}") == "session_key_invalid"


def test_a_wrapped_digest_does_not_pass_for_a_session_key(publisher, signed):
    session_key = f"{b64(IV)}:{b64(publisher.wrap(DIGEST))}"
    assert code_of(publisher.ring, checksum=signed, session_key=session_key) == "session_key_invalid"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda iv, key: iv + key,
        lambda iv, key: f"{iv}:{key}:",
        lambda iv, key: f":{iv}:{key}",
        lambda iv, key: f"{iv}:{key}:{key}",
        lambda iv, key: f":{key}",
        lambda iv, key: f"{iv}:",
        lambda iv, key: ":",
        lambda iv, key: " ",
        lambda iv, key: f" {iv}:{key}",
        lambda iv, key: f"{iv}:{key}\n",
        lambda iv, key: f"{iv[:-2]}:{key}",
        lambda iv, key: f"{iv}:{key[:-1]}",
        lambda iv, key: f"{iv}:{key[:50]}\n{key[50:]}",
        lambda iv, key: f"{iv}:{key}====",
        lambda iv, key: f"{iv}:{key[:-3]}h==",
        lambda iv, key: f"{iv}:{key.replace('/', '_').replace('+', '-')}_",
        lambda iv, key: f"{b64(b'i' * 15)}:{key}",
        lambda iv, key: f"{b64(b'i' * 17)}:{key}",
        lambda iv, key: f"{b64(b'i' * 12)}:{key}",
        lambda iv, key: f"{iv}:é{key[1:]}",
        lambda iv, key: f"{iv}:{key * 20}",
    ],
)
@pytest.mark.promise(6)
def test_a_malformed_session_key_is_refused_not_skipped(publisher, session_key, signed, spoil):
    assert code_of(publisher.ring, checksum=signed, session_key=spoil(*session_key.split(":"))) == "session_key_invalid"


@pytest.mark.parametrize("size", [0, 15, 17, 24, 32])
def test_an_aes_key_of_another_length_is_refused(publisher, signed, size):
    session_key = f"{b64(IV)}:{b64(publisher.wrap(b'k' * size))}"
    assert code_of(publisher.ring, checksum=signed, session_key=session_key) == "session_key_invalid"


def test_a_wrapped_key_of_another_length_than_the_public_key_makes_is_named(publisher, signed):
    assert code_of(publisher.ring, checksum=signed, session_key=f"{b64(IV)}:{b64(b'x' * 128)}") == "signature_length"


def test_an_unusable_key_is_not_no_key(publisher, signed, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric.rsa", None)
    assert code_of(KeyRing([publisher.key]), checksum=signed) == "key_unusable"


def test_without_session_key_there_is_no_cipher(publisher):
    assert expected_cipher(keys=publisher.ring, session_key="") is None


# --- using it


def test_the_right_digest_passes_and_another_does_not():
    wanted = Expectation(digest=DIGEST, cipher=None)
    wanted.check(DIGEST)
    with pytest.raises(ChecksumError) as caught:
        wanted.check(hashlib.sha256(b"other").digest())
    assert caught.value.code == "checksum_fail"


def test_no_repr_shows_a_secret():
    shown = repr(Expectation(digest=DIGEST, cipher=Cipher(key=AES, iv=IV)))
    assert "kkkk" not in shown
    assert AES.hex() not in shown


def test_errors_do_not_repeat_the_texts_of_the_reply(publisher, session_key):
    for keys, key_text in ((None, session_key), (publisher.ring, session_key + ":")):
        with pytest.raises(SignatureError) as caught:
            expectation(keys=keys, session_key=key_text, checksum=V1_SHA256)
        assert session_key.split(":")[1][:40] not in str(caught.value)
