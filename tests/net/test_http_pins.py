"""Pinned public keys: the right one passes, every other ends the connection before a request is sent (RFC 7469)."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import ssl
import subprocess
from types import SimpleNamespace

import peers
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from peers import answer

from capgo_client import ConfigError, Updater
from capgo_client.addresses import checked_pins
from capgo_client.errors import NetworkError
from capgo_client.net.client import HttpClient
from capgo_client.net.deadline import Scope
from capgo_client.net.pins import check_pin, key_digest
from capgo_client.testing import Service

OTHER = "sha256//" + base64.b64encode(bytes(32)).decode()


@pytest.fixture(scope="module")
def service():
    with Service(tls=True) as service:
        yield service


def pin_of(service) -> str:
    """By cryptography, which the code under test does without."""
    pem = service._tls.chain_pem
    key = x509.load_pem_x509_certificate(pem).public_key()
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return "sha256//" + base64.b64encode(hashlib.sha256(der).digest()).decode()


def asked(service, tmp_path, pins, **options) -> tuple[str, int]:
    """What came of one check, and how many requests the service saw of it."""
    before = len(service.requests)
    with Updater(
        "com.example.notes", "1.0.0", data_dir=tmp_path / "data", update_url=service.update_url, stats_url="",
        channel_url="", ssl_context=service.ssl_context, trust_env=False, pinned_keys=pins, **options,
    ) as updater:  # fmt: skip
        updater.start()
        updater.notify_app_ready()
        assert updater.wait(10)
        return updater.explain().answer_code, len(service.requests) - before


def test_with_its_own_key_pinned_the_service_is_asked(service, tmp_path):
    assert asked(service, tmp_path, {"127.0.0.1": [pin_of(service)]})[1] == 1


def test_one_of_several_is_enough_and_both_spellings_are_understood(service, tmp_path):
    okhttp = pin_of(service).replace("//", "/", 1)
    assert asked(service, tmp_path, {"127.0.0.1": [OTHER, okhttp]})[1] == 1


def test_another_key_ends_it_before_anything_is_sent(service, tmp_path):
    assert asked(service, tmp_path, {"127.0.0.1": [OTHER]}) == ("pin_mismatch", 0)


def test_a_pin_does_not_take_the_place_of_the_authorities(service, tmp_path):
    with Service(certificate="self-signed") as alone:
        code, seen = asked(alone, tmp_path, {"127.0.0.1": [pin_of(alone)]})
    assert (code, seen) == ("tls_error", 0)


def test_hosts_that_are_not_named_are_not_affected(service, tmp_path):
    assert asked(service, tmp_path, {"localhost": [OTHER], "updates.example.com": [OTHER]})[1] == 1


@pytest.mark.promise(6)
def test_through_the_tunnel_of_a_proxy_too_the_key_is_the_servers(authority):
    with (
        peers.web({"/": answer(body=b"through")}, tls=authority.server) as server,
        peers.proxy({"service.test": server.port}) as proxy,
    ):
        pem = ssl.get_server_certificate(("127.0.0.1", server.port)).encode()
        key = x509.load_pem_x509_certificate(pem).public_key()
        der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        seen = len(server.requests)

        def get(digest):
            through = {"proxy": f"http://127.0.0.1:{proxy.port}", "ssl_context": authority.client}
            with HttpClient(user_agent="test", pins={"service.test": {digest}}, **through) as client:
                return client.exchange("GET", "https://service.test/", scope=Scope(5), max_bytes=99).body

        assert get(hashlib.sha256(der).digest()) == b"through"
        with pytest.raises(NetworkError) as caught:
            get(bytes(32))
        assert caught.value.code == "pin_mismatch"
        assert len(server.requests) == seen + 1


@pytest.mark.parametrize("certificate", [None, b"", b"no certificate at all"])
def test_a_server_that_shows_no_key_at_all_does_not_fit_a_pin(certificate):
    shown = SimpleNamespace(getpeercert=lambda *, binary_form: certificate)
    with pytest.raises(NetworkError) as caught:
        check_pin(shown, "Service.test.", {"service.test": {bytes(32)}})
    assert caught.value.code == "pin_mismatch"
    assert "ship the app with its pin" in caught.value.hint


@pytest.mark.parametrize(
    "pins",
    [
        {},
        [],
        "sha256//" + "A" * 44,
        {"example.com": "sha256//" + "A" * 44},
        {"example.com": []},
        {"example.com": ["sha1//AAAA"]},
        {"example.com": ["sha256//AAAA"]},
        {"example.com": ["sha256//" + "!" * 44]},
        {"example.com": [None]},
        {"https://example.com": [OTHER]},
        {"": [OTHER]},
        {".": [OTHER]},
        {"*.example.com": [OTHER]},
        {"bücher.example": [OTHER]},
        {"::1": [OTHER]},
        {"example.com": [OTHER + "AAAA"]},
        {"example.com": ["sha256///" + OTHER[-44:]]},
        {3: [OTHER]},
    ],
)
def test_what_is_no_pin_is_told_when_the_object_is_built(tmp_path, pins):
    with pytest.raises(ConfigError, match="pinned_keys"):
        Updater("com.example.notes", "1.0.0", data_dir=tmp_path, pinned_keys=pins)


def test_with_a_transport_of_the_apps_own_nothing_could_be_checked(tmp_path):
    import httpx

    with pytest.raises(ConfigError, match="pinned_keys"):
        Updater(
            "com.example.notes", "1.0.0", data_dir=tmp_path, pinned_keys={"example.com": [OTHER]},
            transport=httpx.HTTPTransport(),
        )  # fmt: skip


def test_plain_http_does_not_lead_past_a_pin(tmp_path):
    with Service() as plain, Updater(
        "com.example.notes", "1.0.0", data_dir=tmp_path / "data", update_url=plain.update_url, stats_url="",
        channel_url="", allow_http=True, pinned_keys={"127.0.0.1": [OTHER]},
    ) as updater:  # fmt: skip
        updater.start()
        assert updater.wait(10)
        assert updater.explain().answer_code == "pin_mismatch"
        assert plain.requests == []


@pytest.mark.parametrize("spelling", ["sha256/", "sha256//"])
def test_a_digest_that_begins_with_a_slash_is_read_in_both_spellings(spelling):
    digest = b"\xff" * 32  # base64 "////…"
    text = spelling + base64.b64encode(digest).decode()
    assert checked_pins({"example.com": [text]}, has_transport=False) == {"example.com": frozenset({digest})}


def test_a_host_that_is_named_twice_has_the_keys_of_both():
    mine = "sha256//" + base64.b64encode(b"\1" * 32).decode()
    pins = checked_pins({"A.example": [OTHER], "a.example.": [mine]}, has_transport=False)
    assert pins == {"a.example": frozenset({bytes(32), b"\1" * 32})}


# ---- the digest itself ----


def certificate(key) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "n" * 60)])
    now = dt.datetime.now(dt.timezone.utc)
    builder = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now).not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("x" * 40 + ".example")] * 9), critical=False)
    )  # fmt: skip
    return builder.sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())


KEYS = {
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
    "ec": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
}


@pytest.mark.parametrize("make", KEYS.values(), ids=list(KEYS))
def test_the_digest_is_that_of_the_whole_key_info(make):
    key = make()
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert key_digest(certificate(key).public_bytes(Encoding.DER)) == hashlib.sha256(der).digest()


def test_openssl_gives_the_same_as_the_docs_say(tmp_path):
    made = certificate(KEYS["ec"]())
    path = tmp_path / "c.pem"
    path.write_bytes(made.public_bytes(Encoding.PEM))
    pipe = (
        f"openssl x509 -in {path} -pubkey -noout | openssl pkey -pubin -outform der"
        " | openssl dgst -sha256 -binary | openssl base64"
    )
    done = subprocess.run(["sh", "-c", pipe], capture_output=True, text=True, check=False)
    if done.returncode or not done.stdout.strip():
        pytest.skip("the openssl command is missing")
    assert base64.b64decode(done.stdout) == key_digest(made.public_bytes(Encoding.DER))


def test_a_certificate_cut_anywhere_before_its_key_ends_is_refused_and_nothing_else_happens():
    der = certificate(KEYS["ec"]()).public_bytes(Encoding.DER)
    for length in range(0, len(der), 3):
        with pytest.raises(ValueError, match=r"cut short|certificate"):
            key_digest(der[:length])


def _encoded(tag, content):
    size = len(content)
    length = (
        bytes([size]) if size < 128 else b"\x81" + bytes([size]) if size < 256 else b"\x82" + size.to_bytes(2, "big")
    )
    return bytes([tag]) + length + content


#: What openssl may take for a certificate and a careless reader would read otherwise: the pinned key for the one, the
#: attacker's for the other.
TWO_FACED = {
    "indefinite length": lambda pinned: b"\x30\x80" + pinned + b"\0\0",
    "a length not in its shortest form": lambda _: b"\x30\x81\x02\x05\0",
    "a length with leading zeros": lambda _: b"\x30\x84\0\0\0\x02\x05\0",
    "a set for a sequence": lambda _: b"\x31\0",
    "a tag of two bytes": lambda _: b"\x3f\x21\0",
}


@pytest.mark.parametrize("issuer", TWO_FACED.values(), ids=list(TWO_FACED))
@pytest.mark.promise(6)
def test_a_certificate_that_two_readers_could_read_differently_has_no_key(issuer):
    pinned = KEYS["ec"]().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    empty = b"\x30\0"

    def certificate(issuer):
        fields = b"\x02\x01\x01" + empty + issuer + empty + empty + pinned
        return _encoded(0x30, _encoded(0x30, fields) + empty)

    assert key_digest(certificate(empty)) == hashlib.sha256(pinned).digest()
    with pytest.raises(ValueError, match="not a certificate"):
        key_digest(certificate(issuer(pinned)))
