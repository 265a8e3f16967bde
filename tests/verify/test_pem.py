from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from capgo_client.errors import ConfigError
from capgo_client.verify.pem import parse_public_key

ROOT = Path(__file__).parent.parent.parent
CLI_KEY_ID = "MIIBCgKCAQEAuPg7a3Mr"


def tlv(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(digits)]) + digits + content


def integer(number: int) -> bytes:
    return tlv(2, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def armour(der: bytes, label: str = "RSA PUBLIC KEY") -> str:
    body = base64.encodebytes(der).decode()
    return f"-----BEGIN {label}-----\n{body}-----END {label}-----\n"


def rsa_der(modulus: int, exponent: int = 65537) -> bytes:
    return tlv(0x30, integer(modulus) + integer(exponent))


def spki(key: bytes, algorithm: str = "300d06092a864886f70d0101010500") -> bytes:
    return tlv(0x30, bytes.fromhex(algorithm) + tlv(3, b"\0" + key))


def odd(bits: int) -> int:
    return (1 << (bits - 1)) | 0x1234567 << 40 | 1


def code_of(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_public_key(text)
    return caught.value.code


@pytest.fixture
def cli_pem(bundles):
    return (bundles / "keys" / "capgo_key_v2.pub").read_text(encoding="utf-8")


def test_the_key_that_the_command_line_wrote_gives_the_id_that_it_printed(cli_pem):
    key = parse_public_key(cli_pem)
    assert (key.key_id, key.exponent, key.size) == (CLI_KEY_ID, 65537, 256)


def test_the_key_in_the_capacitor_config_is_the_key_in_the_file(cli_pem, bundles):
    config = json.loads((bundles / "keys" / "capacitor.config.json").read_text(encoding="utf-8"))
    assert parse_public_key(config["plugins"]["CapacitorUpdater"]["publicKey"]) == parse_public_key(cli_pem)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda t: t.replace("\n", "\r\n"),
        lambda t: t.rstrip("\n"),
        lambda t: t.replace("\n", "\\n"),
        lambda t: t.replace("\n", "\\r\\n"),
        lambda t: "\ufeff" + t,
        lambda t: "\n\n  " + t + "\n\n",
        lambda t: "-----BEGIN RSA PUBLIC KEY-----\n" + "".join(t.splitlines()[1:-1]) + "\n-----END RSA PUBLIC KEY-----",
        lambda t: "-----BEGIN RSA PUBLIC KEY-----" + "".join(t.splitlines()[1:-1]) + "-----END RSA PUBLIC KEY-----",
    ],
    ids=["crlf", "no-last-newline", "escaped", "escaped-crlf", "bom", "padded", "one-line", "no-lines"],
)
def test_the_usual_ways_of_carrying_a_key_about_do_not_change_it(cli_pem, spoil):
    assert parse_public_key(spoil(cli_pem)) == parse_public_key(cli_pem)


def test_an_spki_key_is_the_same_key_with_the_same_id(publisher):
    text = publisher.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    assert text.startswith("-----BEGIN PUBLIC KEY-----")
    assert parse_public_key(text) == publisher.key


def test_modulus_and_exponent_are_those_of_the_key(publisher):
    numbers = publisher.numbers.public_numbers
    assert (publisher.key.modulus, publisher.key.exponent) == (numbers.n, numbers.e)


@pytest.mark.parametrize(("bits", "size"), [(2048, 256), (3072, 384), (4096, 512)])
def test_three_sizes_are_accepted(bits, size):
    assert parse_public_key(armour(rsa_der(odd(bits)))).size == size


@pytest.mark.parametrize("bits", [512, 1024, 2040, 2047, 2049, 2056, 8192])
def test_other_sizes_are_weak(bits):
    assert code_of(armour(rsa_der(odd(bits)))) == "key_weak"


def test_an_even_modulus_is_weak():
    assert code_of(armour(rsa_der(odd(2048) + 1))) == "key_weak"


@pytest.mark.parametrize("exponent", [0, 1, 3, 17, 65535, 65536, 65538, (1 << 32) + 1, (1 << 2000) + 1])
def test_exponents_that_are_small_even_or_huge_are_weak(exponent):
    assert code_of(armour(rsa_der(odd(2048), exponent))) == "key_weak"


def test_an_odd_exponent_above_65537_is_accepted():
    assert parse_public_key(armour(rsa_der(odd(2048), 65539))).exponent == 65539


@pytest.mark.parametrize(
    ("form", "encryption"),
    [
        (PrivateFormat.TraditionalOpenSSL, NoEncryption()),
        (PrivateFormat.PKCS8, NoEncryption()),
        (PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")),
        (PrivateFormat.OpenSSH, NoEncryption()),
    ],
)
def test_a_private_key_is_refused_loudly_and_not_repeated(publisher, form, encryption):
    text = publisher.private.private_bytes(Encoding.PEM, form, encryption).decode()
    with pytest.raises(ConfigError, match="PRIVATE key: keep it off devices") as caught:
        parse_public_key(text)
    assert caught.value.code == "key_is_private"
    assert text.splitlines()[1] not in str(caught.value)


def test_a_private_key_under_a_public_label_is_still_private(publisher):
    der = publisher.private.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    assert code_of(armour(der)) == "key_is_private"


@pytest.mark.parametrize(
    "key", [ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()], ids=["ec", "ed25519"]
)
def test_keys_of_another_kind_are_refused(key):
    text = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    with pytest.raises(ConfigError, match="not an RSA key"):
        parse_public_key(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no PEM text"),
        ("not-a-key", "no PEM text"),
        ("keys/capgo_key_v2.pub", "no PEM text"),
        ("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----", "certificate"),
        ("ssh-rsa AAAAB3NzaC1yc2E= me@here", "SSH"),
        ("x" * 20_000, "too many"),
        ("-----BEGIN RSA PUBLIC KEY-----\n-----END RSA PUBLIC KEY-----", "not base64"),
        ("-----BEGIN RSA PUBLIC KEY-----\nM!IB\n-----END RSA PUBLIC KEY-----", "not base64"),
        ("-----BEGIN RSA PUBLIC KEY-----\nMIIBC\n-----END RSA PUBLIC KEY-----", "not base64"),
        ("-----BEGIN RSA PUBLIC KEY-----\nMIIBé===\n-----END RSA PUBLIC KEY-----", "not base64"),
        ("-----BEGIN RSA PUBLIC KEY-----\nMI==\n-----END RSA PUBLIC KEY-----", "RSA public key|canonical"),
        ("-----BEGIN RSA PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----", "no PEM text"),
    ],
)
def test_what_is_no_key_is_refused_with_what_it_is(text, says):
    with pytest.raises(ConfigError, match=says) as caught:
        parse_public_key(text)
    assert caught.value.code == "key_malformed"
    assert "capgo_key_v2.pub" in caught.value.hint


def test_two_keys_in_one_text_are_refused_with_advice(cli_pem):
    with pytest.raises(ConfigError, match="several keys as a list"):
        parse_public_key(cli_pem + cli_pem)


@pytest.mark.parametrize(
    "der",
    [
        rsa_der(odd(2048)) + b"\0",
        rsa_der(odd(2048))[:-1],
        tlv(0x30, integer(odd(2048))),
        tlv(0x30, integer(odd(2048)) + integer(65537) + integer(5)),
        tlv(0x31, integer(odd(2048)) + integer(65537)),
        tlv(0x30, tlv(4, b"\1" * 256) + integer(65537)),
        tlv(0x30, tlv(2, b"\xff" + b"\1" * 255) + integer(65537)),
        tlv(0x30, tlv(2, b"\0\1" + b"\1" * 254) + integer(65537)),
        tlv(0x30, tlv(2, b"") + integer(65537)),
        b"\x30\x80" + integer(odd(2048)) + integer(65537) + b"\0\0",
        b"\x30\x83\x00" + (len(rsa_der(odd(2048))) - 4).to_bytes(2, "big") + rsa_der(odd(2048))[4:],
        tlv(0x30, b"\x02\x81\x05" + b"\1" * 5 + integer(65537)),
        b"\x30",
        b"\x30\x82",
        b"\x30\xff" + b"\xff" * 200,
        spki(rsa_der(odd(2048))),
    ],
    ids=[
        "trailing byte",
        "cut",
        "one number",
        "three numbers",
        "a set",
        "octets for a number",
        "negative",
        "padded number",
        "empty number",
        "indefinite length",
        "long length with zero",
        "long form for a short length",
        "tag only",
        "length cut",
        "absurd length",
        "spki under the pkcs1 label",
    ],
)
def test_der_that_is_not_exactly_one_rsa_key_is_malformed(der):
    assert code_of(armour(der)) == "key_malformed"


@pytest.mark.parametrize(
    "der",
    [
        spki(rsa_der(odd(2048))) + b"\0",
        tlv(0x30, bytes.fromhex("300d06092a864886f70d0101010500") + tlv(3, b"\1" + rsa_der(odd(2048)))),
        tlv(0x30, bytes.fromhex("300d06092a864886f70d0101010500") + tlv(3, b"")),
        tlv(0x30, bytes.fromhex("300d06092a864886f70d0101010500") + tlv(3, b"\0" + rsa_der(odd(2048))) + b"\5\0"),
        spki(rsa_der(odd(2048)), "300b06092a864886f70d01010a"),
        rsa_der(odd(2048)),
    ],
    ids=["trailing byte", "unused bits", "empty bits", "third member", "RSA-PSS", "pkcs1 under the spki label"],
)
def test_spki_that_does_not_hold_exactly_one_rsa_key_is_malformed(der):
    assert code_of(armour(der, "PUBLIC KEY")) == "key_malformed"


def test_reading_a_key_loads_nothing_heavy(cli_pem):
    script = (
        "import sys; from capgo_client.verify.pem import parse_public_key\n"
        "parse_public_key(sys.stdin.read())\n"
        "print([m for m in ('cryptography', 'ssl', 'httpx', 'typing', 'base64') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, input=cli_pem, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
