"""Bundles as a publisher makes them: zipped, hashed, signed and encrypted (reference/bundle-formats.md 2 to 4)."""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from .archives import FILE_MODE, write_archive
from .delta import ManifestFile, make_manifest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

__all__ = ["BundleKeys", "Cipher", "MadeBundle", "Packing", "make_bundle"]

_KEY_BITS = 2048
_KEY_ID_LENGTH = 20
_BLOCK = 16


@dataclass(frozen=True, slots=True)
class BundleKeys:
    """A publisher's key pair; the device has the public half only."""

    private_key: RSAPrivateKey = field(repr=False)
    #: PKCS#1, as Capgo's command line writes it.
    public_pem: str = field(repr=False)
    #: The same key as SubjectPublicKeyInfo ("BEGIN PUBLIC KEY").
    public_pem_spki: str = field(repr=False)

    @classmethod
    def generate(cls, name: str = "publisher") -> BundleKeys:
        """An RSA-2048 pair. Made once in a process for each ``name``, because that takes a while."""
        return _generate(name)

    @classmethod
    def load(cls, private_pem: str) -> BundleKeys:
        """The pair of a private key that Capgo's command line made (PEM, without a passphrase).

        Raises:
            ValueError: It is not the PEM of an RSA private key.
        """
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            private_key = load_pem_private_key(private_pem.encode(), password=None)
        except TypeError as exc:
            raise ValueError("the private key has a passphrase") from exc
        if not isinstance(private_key, RSAPrivateKey):
            raise ValueError("the private key is not RSA")  # noqa: TRY004 - the text is wrong, not its type
        return _pair(private_key)

    @property
    def key_id(self) -> str:
        """What the device sends as ``key_id``: the first 20 characters of the PKCS#1 PEM's body."""
        return "".join(self.public_pem.splitlines()[1:-1])[:_KEY_ID_LENGTH]

    def sign(self, message: bytes) -> bytes:
        """The raw private operation on a PKCS#1 v1.5 block of type 1, without DigestInfo."""
        return _signed(self.private_key, message)

    def sign_checksum(self, checksum: str, *, form: Literal["v2", "v3"] = "v3") -> str:
        """Sign a hex SHA-256. ``v3`` signs its 32 bytes; ``v2`` is the old form that reads the hex as base64."""
        if form == "v3":
            return self.sign(bytes.fromhex(checksum)).hex()
        return base64.b64encode(self.sign(base64.b64decode(checksum))).decode()


@functools.lru_cache(maxsize=4096)
def _signed(private_key: RSAPrivateKey, message: bytes) -> bytes:
    numbers = private_key.private_numbers()
    modulus = numbers.public_numbers.n
    size = (modulus.bit_length() + 7) // 8
    block = b"\x00\x01" + b"\xff" * (size - 3 - len(message)) + b"\x00" + message
    # Plain arithmetic, because cryptography can sign without DigestInfo only from version 47 on; modulo each prime
    # by itself (RFC 8017 section 5.1.2), which is four times as fast.
    number = int.from_bytes(block, "big")
    first, second = pow(number, numbers.dmp1, numbers.p), pow(number, numbers.dmq1, numbers.q)
    signature = second + numbers.q * ((first - second) * numbers.iqmp % numbers.p)
    return signature.to_bytes(size, "big")


@functools.cache
def _generate(name: str) -> BundleKeys:
    del name  # only tells the pairs apart
    from cryptography.hazmat.primitives.asymmetric import rsa

    return _pair(rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS))


def _pair(private_key: RSAPrivateKey) -> BundleKeys:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public_key = private_key.public_key()
    return BundleKeys(
        private_key,
        public_key.public_bytes(Encoding.PEM, PublicFormat.PKCS1).decode(),
        public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
    )


@dataclass(frozen=True, slots=True)
class MadeBundle:
    """A bundle ready to be published. ``dataclasses.replace`` makes damaged ones of it.

    ``archive`` is what is downloaded (encrypted or not), ``checksum`` and ``session_key`` what the service announces,
    ``plain`` the zip before encryption and ``sha256`` its hex digest, ``files`` what lies in it (without folders).
    """

    version: str
    archive: bytes = field(repr=False)
    checksum: str
    session_key: str = field(repr=False)
    files: Mapping[str, bytes] = field(repr=False)
    plain: bytes = field(repr=False)
    key_id: str = ""
    manifest: tuple[ManifestFile, ...] = field(default=(), repr=False)
    #: Whose signatures it bears.
    keys: BundleKeys | None = field(default=None, repr=False)

    @property
    def sha256(self) -> str:
        """Hex SHA-256 of the plain zip."""
        return hashlib.sha256(self.plain).hexdigest()


def make_bundle(
    version: str,
    files: Mapping[str, bytes | str] | Path,
    *,
    keys: BundleKeys | None = None,
    encrypt: bool = True,
    checksum_form: Literal["v2", "v3"] = "v3",
    modes: Mapping[str, int] | None = None,
    manifest: bool = False,
    brotli: bool = True,
) -> MadeBundle:
    """Make a bundle of ``files`` (path with ``/`` to content, or a folder on disk).

    Without ``keys`` it is a plain zip with a plain SHA-256. With them the checksum is signed, and the zip encrypted
    unless ``encrypt=False``. Text is stored as UTF-8. The same arguments give the same zip on every machine.

    With ``manifest`` the delta form is made too, signed and encrypted like the zip. Files of 8 KiB and more are packed
    unless ``brotli=False``; packing needs the extra ``delta``. Empty files are not in a manifest.

    Raises:
        ValueError: A manifest of a name with a space, or of more than 10,000 files.
        ImportError: ``manifest`` with a file to be packed, and brotli is not installed.
    """
    contents, found = _read_folder(files) if isinstance(files, Path) else _encode(files)
    plain = write_archive(contents, modes={**found, **(modes or {})})
    packing = Packing.fresh(keys, encrypt=encrypt, form=checksum_form)
    kept = {name: data for name, data in contents.items() if not name.endswith("/")}
    entries = packing.manifest(kept, brotli=brotli) if manifest else ()
    return packing.bundle(version, plain, files=kept, manifest=entries)


@dataclass(frozen=True, slots=True)
class Packing:
    """How one bundle is signed and encrypted: one session key for its zip and for all files of its manifest."""

    keys: BundleKeys | None
    cipher: Cipher | None
    form: Literal["v2", "v3"] = "v3"

    @classmethod
    def fresh(cls, keys: BundleKeys | None, *, encrypt: bool = True, form: Literal["v2", "v3"] = "v3") -> Packing:
        """With a session key of its own, where there are keys and ``encrypt`` is on."""
        return cls(keys, Cipher.fresh() if keys is not None and encrypt else None, form)

    @property
    def session_key(self) -> str:
        """What the service announces; empty where nothing is encrypted."""
        return self.cipher.session_key(self.keys) if self.cipher is not None and self.keys is not None else ""

    def sign(self, digest: str) -> str:
        """A hex SHA-256 as it is announced."""
        return digest if self.keys is None else self.keys.sign_checksum(digest, form=self.form)

    def seal(self, data: bytes) -> bytes:
        """Bytes as they are stored."""
        return bytes(data) if self.cipher is None else self.cipher.encrypt(data)

    def manifest(self, files: Mapping[str, bytes], *, brotli: bool) -> tuple[ManifestFile, ...]:
        """The delta form of these files; see ``make_manifest`` for what it raises."""
        return make_manifest(files, sign=self.sign, encrypt=self.seal, session_key=self.session_key, brotli=brotli)

    def bundle(
        self, version: str, plain: bytes, *, files: Mapping[str, bytes], manifest: tuple[ManifestFile, ...] = ()
    ) -> MadeBundle:
        """The bundle whose zip is ``plain``, whatever lies in it."""
        return MadeBundle(
            version,
            self.seal(plain),
            self.sign(hashlib.sha256(plain).hexdigest()),
            self.session_key,
            MappingProxyType(dict(files)),
            plain,
            "" if self.keys is None else self.keys.key_id,
            manifest,
            self.keys,
        )


def _encode(files: Mapping[str, bytes | str]) -> tuple[dict[str, bytes], dict[str, int]]:
    return {name: data.encode() if isinstance(data, str) else bytes(data) for name, data in files.items()}, {}


def _read_folder(folder: Path) -> tuple[dict[str, bytes], dict[str, int]]:
    contents: dict[str, bytes] = {}
    modes: dict[str, int] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir():
            contents[f"{name}/"] = b""
            continue
        contents[name] = path.read_bytes()
        # Windows knows no executable bit, and neither does Capgo's packing there.
        modes[name] = FILE_MODE if os.name == "nt" else stat.S_IFREG | stat.S_IMODE(path.stat().st_mode)
    return contents, modes


@dataclass(frozen=True, slots=True)
class Cipher:
    """AES-128-CBC with PKCS#7 padding; one vector and key for the zip and all files of a version."""

    vector: bytes = field(repr=False)
    key: bytes = field(repr=False)

    @classmethod
    def fresh(cls) -> Cipher:
        """A vector and a key of its own."""
        return cls(os.urandom(_BLOCK), os.urandom(_BLOCK))

    def encrypt(self, plain: bytes, *, padding: bytes | None = None) -> bytes:
        """Encrypt ``plain``; ``padding`` stands at its end instead of the right one."""
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        missing = _BLOCK - len(plain) % _BLOCK
        end = bytes([missing]) * missing if padding is None else padding
        encryptor = Cipher(algorithms.AES(self.key), modes.CBC(self.vector)).encryptor()
        return encryptor.update(plain + end) + encryptor.finalize()

    def session_key(self, keys: BundleKeys) -> str:
        """What the service announces: the vector and the signed key."""
        parts = (self.vector, keys.sign(self.key))
        return ":".join(binascii.b2a_base64(part, newline=False).decode() for part in parts)
