"""Reading a manifest (install/manifest.py): judged whole, and nothing of it taken on trust."""

from __future__ import annotations

import hashlib

import pytest

from capgo_client.errors import ArchiveError, ChecksumError, SignatureError
from capgo_client.install.manifest import MAX_ENTRIES, PathError, read_manifest
from capgo_client.protocol.outcomes import ManifestEntry
from capgo_client.testing import BundleKeys
from capgo_client.verify.keys import KeyRing
from capgo_client.verify.pem import parse_public_key

HASH = hashlib.sha256(b"x").hexdigest()


def entry(name, digest=HASH):
    return ManifestEntry(name, digest, "http://127.0.0.1/x?key=1")


def ring():
    return KeyRing([parse_public_key(BundleKeys.generate().public_pem)])


def test_an_entry_becomes_what_it_must_be_and_what_it_may_be_called():
    plain, either = read_manifest([entry("a/b.py"), entry("c/d.txt.br")], keys=None)
    assert (plain.raw, plain.bare, plain.is_open) == (("a", "b.py"), ("a", "b.py"), False)
    assert (either.raw, either.bare, either.is_open) == (("c", "d.txt.br"), ("c", "d.txt"), True)
    assert plain.digest == hashlib.sha256(b"x").digest()
    assert plain.url == "http://127.0.0.1/x?key=1"


def test_only_one_br_is_taken_off():
    (wanted,) = read_manifest([entry("a.br.br")], keys=None)
    assert wanted.bare == ("a.br",)


@pytest.mark.parametrize("name", ["..br", "a/...br", ".br", "a/.br", "CON.br", "a ..br", "x..br", "../a", "/a", "a//b"])
def test_a_name_is_refused_that_is_bad_with_or_without_its_br(name):
    with pytest.raises(PathError) as caught:
        read_manifest([entry("good"), entry(name)], keys=None)
    assert caught.value.code == "manifest_path_fail"
    assert caught.value.file_name == name


def test_no_file_at_all_is_no_bundle():
    with pytest.raises(ArchiveError) as caught:
        read_manifest([], keys=None)
    assert caught.value.code == "manifest_empty"


def test_as_many_files_as_the_command_line_lists_and_not_one_more():
    assert MAX_ENTRIES == 10_000
    entries = [entry(f"f{n}") for n in range(10_001)]
    assert len(read_manifest(entries[1:], keys=None)) == 10_000
    with pytest.raises(ArchiveError) as caught:
        read_manifest(entries, keys=None)
    assert caught.value.code == "manifest_too_long"


@pytest.mark.parametrize(
    ("digest", "code"), [("", "checksum_required"), ("89abcdef", "checksum_crc32"), ("x" * 64, "checksum_malformed")]
)
def test_a_hash_that_proves_nothing_is_refused(digest, code):
    with pytest.raises(ChecksumError) as caught:
        read_manifest([entry("a", digest)], keys=None)
    assert caught.value.code == code


def test_with_keys_every_hash_is_signed_or_none_counts():
    signed = BundleKeys.generate().sign_checksum(HASH)
    (wanted,) = read_manifest([entry("a", signed)], keys=ring())
    assert wanted.digest.hex() == HASH
    with pytest.raises(SignatureError) as caught:
        read_manifest([entry("a", signed), entry("b", HASH)], keys=ring())
    assert caught.value.code == "unsigned"


def test_a_signature_of_another_key_counts_for_nothing():
    other = BundleKeys.generate("somebody else").sign_checksum(HASH)
    with pytest.raises(SignatureError) as caught:
        read_manifest([entry("a", other)], keys=ring())
    assert caught.value.code == "signature_invalid"
