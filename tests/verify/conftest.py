from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from capgo_client.verify.keys import KeyRing
from capgo_client.verify.pem import parse_public_key

BUNDLES = Path(__file__).parent.parent / "data" / "bundles"


class Publisher:
    """Holds a private key and wraps as Capgo's command line does, and as it never would."""

    def __init__(self, bits: int = 2048) -> None:
        self.private = rsa.generate_private_key(public_exponent=65537, key_size=bits)
        self.numbers = self.private.private_numbers()
        self.size = bits // 8
        pem = self.private.public_key().public_bytes(Encoding.PEM, PublicFormat.PKCS1)
        self.key = parse_public_key(pem.decode())
        self.ring = KeyRing([self.key])
        self._made: dict[bytes, bytes] = {}

    def wrap(self, message: bytes) -> bytes:
        filling = b"\xff" * (self.size - 3 - len(message))
        return self.raw(b"\0\x01" + filling + b"\0" + message)

    def raw(self, opened: bytes) -> bytes:
        """The block that the public key opens to exactly these bytes."""
        assert len(opened) == self.size
        if opened not in self._made:
            number = pow(int.from_bytes(opened, "big"), self.numbers.d, self.numbers.public_numbers.n)
            self._made[opened] = number.to_bytes(self.size, "big")
        return self._made[opened]


@pytest.fixture(scope="session")
def publisher():
    return Publisher()


@pytest.fixture(scope="session")
def stranger():
    return Publisher()


@pytest.fixture(scope="session")
def big_publisher():
    return Publisher(4096)


@pytest.fixture(scope="session")
def cli_output():
    return json.loads((BUNDLES / "plain.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def cli_ring():
    return KeyRing([parse_public_key((BUNDLES / "keys" / "capgo_key_v2.pub").read_text(encoding="utf-8"))])


@pytest.fixture(scope="session")
def bundles():
    return BUNDLES
