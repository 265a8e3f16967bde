"""A throw-away certificate authority for ``Service(tls=True)``; its key lives as long as the process."""

from __future__ import annotations

import datetime as dt
import functools
import ipaddress
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .server import LOOPBACK

if TYPE_CHECKING:
    Kind = Literal["valid", "expired", "not-yet-valid", "wrong-host", "self-signed"]

__all__ = ["Certificate", "server_certificate"]

_DAY = dt.timedelta(days=1)
#: First and last day of validity counted from today.
_DAYS = {"expired": (-30, -1), "not-yet-valid": (10, 30)}


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a TLS server needs, and what a client needs to believe it (the authority's own certificate, PEM)."""

    chain_pem: bytes
    key_pem: bytes
    ca_pem: bytes

    def server_context(self) -> ssl.SSLContext:
        """A context to serve with."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.TemporaryDirectory(prefix="capgo-testing-") as folder:
            # The ssl module reads keys from files only.
            path = Path(folder, "server.pem")
            path.write_bytes(self.key_pem + self.chain_pem)
            context.load_cert_chain(path)
        return context

    def client_context(self) -> ssl.SSLContext:
        """A context that trusts this authority and nobody else."""
        return ssl.create_default_context(cadata=self.ca_pem.decode())


@functools.cache
def _authority() -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("capgo_client testing authority")
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        _builder(name, name, key.public_key(), (-1, 30))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return key, builder.sign(key, hashes.SHA256())


@functools.cache
def server_certificate(kind: Kind = "valid") -> Certificate:
    """A certificate for 127.0.0.1 and localhost; ``kind`` says what is wrong with it."""
    ca_key, ca = _authority()
    key = ec.generate_private_key(ec.SECP256R1())
    alone = kind == "self-signed"
    subject = _name("capgo_client testing service")
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in ("localhost", "*.capgo-fault.invalid")]
    names.append(x509.IPAddress(ipaddress.ip_address(LOOPBACK)))
    if kind == "wrong-host":
        names = [x509.DNSName("elsewhere.example.invalid")]
    signer = key if alone else ca_key
    builder = (
        _builder(subject, subject if alone else ca.subject, key.public_key(), _DAYS.get(kind, (-1, 30)))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    certificate = builder.sign(signer, hashes.SHA256())
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem = serialization.Encoding.PEM
    return Certificate(certificate.public_bytes(pem), key_pem, ca.public_bytes(pem))


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: tuple[int, int]
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + days[0] * _DAY)
        .not_valid_after(now + days[1] * _DAY)
    )
