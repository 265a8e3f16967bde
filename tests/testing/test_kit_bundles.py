"""Bundles against reference/bundle-formats.md: read back with the device's recipe, and the zip byte by byte."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import struct
import zipfile
import zlib

import pytest
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from capgo_client.testing import BundleKeys, make_bundle

FILES = {"main.py": "print('é')", "assets/i18n/été.json": b"{}", "assets/empty.txt": b"", "emptydir/": b""}
CLI_PEM = """-----BEGIN RSA PUBLIC KEY-----
MIIBCgKCAQEAuPg7a3Mr8AFuzoC9nlZ/TYw/zCdqPYYuPJSlsVTVibtoq3vUll5/
3V/KWt3vIFz6TyKJpinpFoHZL0Q7oFQpiU+N95e1PWAVkOuGQWiq0w9GdONMRYlX
fwRerjWdif8MNFjgs58vjdMukQ68hHc03QXxQNUWqSm8wIGIj+mkiDWv+iDln2vX
AGZGFu4O/IIB91f0DzggB6PBBTAS9O8EERHQJ6WgsYKjFtlimBK4/Xjw0wP2B/AQ
aiQC1Ti8X6HIsXXNWKiQ6v7EXef42UUmNWLAUmBTiIbknRk2p+3vOwPQVRLyOafR
xmq61vxv0cA6gL/j5itSHf+1/aY+QQM8EwIDAQAB
-----END RSA PUBLIC KEY-----
"""


@pytest.fixture(scope="module")
def keys():
    return BundleKeys.generate()


def recover(keys, signature):
    """What a device does with anything the publisher signed (section 4)."""
    public = load_pem_public_key(keys.public_pem.encode())
    return public.recover_data_from_signature(signature, padding.PKCS1v15(), None)


def decrypt(keys, bundle):
    vector, wrapped = (base64.b64decode(part) for part in bundle.session_key.split(":"))
    key = recover(keys, wrapped)
    assert (len(vector), len(key), len(wrapped)) == (16, 16, 256)
    decryptor = Cipher(algorithms.AES(key), modes.CBC(vector)).decryptor()
    unpadder = PKCS7(128).unpadder()
    padded = decryptor.update(bundle.archive) + decryptor.finalize()
    return unpadder.update(padded) + unpadder.finalize()


def test_a_plain_bundle_is_its_zip_and_the_zip_s_sha256():
    bundle = make_bundle("1.1.0", FILES)
    assert (bundle.version, bundle.session_key, bundle.key_id) == ("1.1.0", "", "")
    assert bundle.checksum == hashlib.sha256(bundle.archive).hexdigest() == bundle.sha256
    assert bundle.plain == bundle.archive
    assert bundle.files == {
        "main.py": "print('é')".encode(),
        "assets/i18n/été.json": b"{}",
        "assets/empty.txt": b"",
    }


def test_an_encrypted_bundle_decrypts_by_the_device_s_recipe(keys):
    bundle = make_bundle("1.1.0", FILES, keys=keys)
    assert decrypt(keys, bundle) == bundle.plain
    assert len(bundle.archive) == (len(bundle.plain) // 16 + 1) * 16
    assert len(bundle.session_key) == 369
    assert bundle.key_id == keys.key_id


def test_a_zip_that_fills_its_last_block_gets_a_whole_block_of_padding(keys):
    contents = [bytes(range(length)) for length in range(1, 33)]
    full = next(data for data in contents if len(make_bundle("1.1.0", {"a": data}).plain) % 16 == 0)
    bundle = make_bundle("1.1.0", {"a": full}, keys=keys)
    assert len(bundle.archive) == len(bundle.plain) + 16
    assert decrypt(keys, bundle) == bundle.plain


def test_the_checksum_is_the_signed_digest_of_the_plain_zip_in_512_hex_characters(keys):
    bundle = make_bundle("1.1.0", FILES, keys=keys)
    assert len(bundle.checksum) == 512
    assert bundle.checksum == bundle.checksum.lower()
    assert recover(keys, bytes.fromhex(bundle.checksum)) == hashlib.sha256(bundle.plain).digest()


def test_the_old_checksum_form_signs_the_hex_read_as_base64(keys):
    bundle = make_bundle("1.1.0", FILES, keys=keys, checksum_form="v2")
    assert (len(bundle.checksum), bundle.checksum[-2:]) == (344, "==")
    message = recover(keys, base64.b64decode(bundle.checksum))
    assert len(message) == 48
    assert base64.b64encode(message).decode() == hashlib.sha256(bundle.plain).hexdigest()


def test_a_signed_bundle_that_is_not_encrypted_has_no_session_key(keys):
    bundle = make_bundle("1.1.0", FILES, keys=keys, encrypt=False)
    assert bundle.archive == bundle.plain
    assert bundle.session_key == ""
    assert recover(keys, bytes.fromhex(bundle.checksum)) == hashlib.sha256(bundle.archive).digest()


def test_signing_is_deterministic_and_encrypting_is_not(keys):
    first, second = (make_bundle("1.1.0", FILES, keys=keys) for _ in range(2))
    assert first.checksum == second.checksum
    assert first.plain == second.plain
    assert first.session_key != second.session_key
    assert first.archive != second.archive


def test_keys_are_made_once_for_each_name():
    keys = BundleKeys.generate()
    assert BundleKeys.generate() is keys
    stranger = BundleKeys.generate("stranger")
    assert stranger.public_pem != keys.public_pem
    assert keys.public_pem.startswith("-----BEGIN RSA PUBLIC KEY-----\nMIIBCgKCAQEA")
    assert keys.public_pem_spki.startswith("-----BEGIN PUBLIC KEY-----\n")
    loaded = [load_pem_public_key(pem.encode()) for pem in (keys.public_pem, keys.public_pem_spki)]
    assert loaded[0].public_numbers() == loaded[1].public_numbers()


def test_no_secret_shows_in_a_repr(keys):
    shown = repr(keys) + repr(make_bundle("1.1.0", FILES, keys=keys))
    assert "BEGIN" not in shown
    assert "session_key" not in shown


def test_the_key_id_is_the_one_that_capgo_s_command_line_computes(keys):
    made = dataclasses.replace(keys, public_pem=CLI_PEM)
    assert made.key_id == "MIIBCgKCAQEAuPg7a3Mr"
    assert keys.key_id.startswith("MIIBCgKCAQEA")
    assert len(keys.key_id) == 20


def test_names_are_in_the_command_line_s_order_with_entries_for_folders():
    names = zipfile.ZipFile(io.BytesIO(make_bundle("1.1.0", FILES).archive)).namelist()
    assert names == [
        "assets/",
        "assets/empty.txt",
        "assets/i18n/",
        "assets/i18n/été.json",
        "emptydir/",
        "main.py",
    ]


def test_every_entry_has_the_flags_versions_and_modes_of_the_command_line():
    archive = make_bundle("1.1.0", FILES, modes={"main.py": 0o100755}).archive
    entries = {entry.filename: entry for entry in zipfile.ZipFile(io.BytesIO(archive)).infolist()}
    facts = {
        name: (entry.compress_type, entry.extract_version, entry.external_attr >> 16, entry.external_attr & 0xFFFF)
        for name, entry in entries.items()
    }
    assert facts == {
        "assets/": (0, 10, 0o040755, 0x10),
        "assets/empty.txt": (0, 10, 0o100644, 0),
        "assets/i18n/": (0, 10, 0o040755, 0x10),
        "assets/i18n/été.json": (8, 20, 0o100644, 0),
        "emptydir/": (0, 10, 0o040755, 0x10),
        "main.py": (8, 20, 0o100755, 0),
    }
    for entry in entries.values():
        assert (entry.create_system, entry.create_version, entry.flag_bits) == (3, 20, 0x0800)
        assert (entry.extra, entry.comment, entry.internal_attr) == (b"", b"", 0)
        assert entry.date_time == (2025, 1, 1, 0, 0, 0)


def test_a_small_archive_is_the_expected_bytes_throughout():
    data = b"hello"
    packer = zlib.compressobj(-1, zlib.DEFLATED, -15)
    packed = packer.compress(data) + packer.flush()
    crc = 0x3610A686  # CRC-32 of "hello"
    common = struct.pack("<HHHHH", 20, 0x0800, 8, 0, 0x5A21) + struct.pack("<III", crc, len(packed), 5)
    common += struct.pack("<HH", 5, 0)
    local = b"PK\x03\x04" + common + b"a.txt" + packed
    central = b"PK\x01\x02\x14\x03" + common + struct.pack("<HHHII", 0, 0, 0, 0o100644 << 16, 0) + b"a.txt"
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(central), len(local), 0)
    assert make_bundle("1.1.0", {"a.txt": data}).archive == local + central + end


def test_data_that_deflate_cannot_shrink_is_deflated_all_the_same():
    noise = hashlib.sha512(b"seed").digest()
    entry = zipfile.ZipFile(io.BytesIO(make_bundle("1.1.0", {"noise": noise}).archive)).infolist()[0]
    assert entry.compress_type == 8
    assert entry.compress_size > entry.file_size == 64


def test_every_file_reads_back_as_it_was():
    with zipfile.ZipFile(io.BytesIO(make_bundle("1.1.0", FILES).archive)) as archive:
        assert archive.testzip() is None
        assert archive.read("main.py") == "print('é')".encode()
        assert archive.read("assets/empty.txt") == b""


def test_a_folder_on_disk_is_packed_with_its_empty_folders_and_executable_bits(tmp_path):
    (tmp_path / "sub" / "empty").mkdir(parents=True)
    (tmp_path / "sub" / "run.sh").write_text("#!/bin/sh\n")
    (tmp_path / "sub" / "run.sh").chmod(0o755)
    (tmp_path / "a.txt").write_bytes(b"a")
    (tmp_path / "a.txt").chmod(0o640)
    bundle = make_bundle("1.1.0", tmp_path)
    entries = {entry.filename: entry for entry in zipfile.ZipFile(io.BytesIO(bundle.archive)).infolist()}
    assert list(entries) == ["a.txt", "sub/", "sub/empty/", "sub/run.sh"]
    assert entries["sub/run.sh"].external_attr >> 16 == 0o100755
    assert entries["a.txt"].external_attr >> 16 == 0o100640
    assert bundle.files == {"a.txt": b"a", "sub/run.sh": b"#!/bin/sh\n"}


def test_more_entries_than_a_zip_without_zip64_can_hold_are_refused():
    with pytest.raises(ValueError, match="ZIP64"):
        make_bundle("1.1.0", {f"f{number}": b"" for number in range(65_536)})
