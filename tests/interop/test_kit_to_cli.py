"""What the test kit makes, Capgo's command line reads: the kit stands for the real publisher in every other test."""

from __future__ import annotations

import pytest
from app_trees import EVERYTHING, noise
from capgo_cli import CliFailed, Packed

from capgo_client.testing import BundleKeys, make_bundle


@pytest.fixture(scope="module")
def keys():
    return BundleKeys.generate()


@pytest.fixture
def kit_cli(cli, keys):
    """A project with the kit's public key; the private one never leaves this process."""
    cli.configure(publicKey=keys.public_pem)
    cli.public_key_file.write_text(keys.public_pem)
    return cli


def made_by_the_kit(folder, keys, files=EVERYTHING, **options):
    bundle = make_bundle("1.1.0", files, keys=keys, **options)
    path = folder / "made.zip"
    path.write_bytes(bundle.archive)
    return bundle, Packed(path, bundle.checksum, bundle.session_key)


def test_an_encrypted_bundle_of_the_kit_decrypts_to_the_same_zip(kit_cli, keys, tmp_path):
    bundle, packed = made_by_the_kit(tmp_path, keys)
    assert packed.path.read_bytes() != bundle.plain

    assert kit_cli.decrypt(packed) == bundle.plain


@pytest.mark.parametrize("rest", [0, 1, 15])
def test_a_zip_of_any_length_decrypts(kit_cli, keys, tmp_path, rest):
    trees = ({"main.py": noise(size)} for size in range(100, 200))
    files = next(tree for tree in trees if len(make_bundle("1.1.0", tree).plain) % 16 == rest)
    bundle, packed = made_by_the_kit(tmp_path, keys, files)

    assert kit_cli.decrypt(packed) == bundle.plain


def test_the_older_checksum_of_the_kit_is_the_one_of_an_older_plugin(kit_cli, keys, tmp_path):
    kit_cli.install_plugin("7.29.0")
    bundle, packed = made_by_the_kit(tmp_path, keys, checksum_form="v2")

    assert kit_cli.decrypt(packed) == bundle.plain


def test_a_tampered_bundle_of_the_kit_is_refused(kit_cli, keys, tmp_path):
    _, packed = made_by_the_kit(tmp_path, keys)
    data = bytearray(packed.path.read_bytes())
    data[len(data) // 2] ^= 1
    packed.path.write_bytes(data)

    with pytest.raises(CliFailed, match=r"(?i)checksum"):
        kit_cli.decrypt(packed)


def test_a_bundle_of_the_kit_with_the_checksum_of_another_is_refused(kit_cli, keys, tmp_path):
    _, packed = made_by_the_kit(tmp_path, keys)
    other = make_bundle("1.2.0", {"main.py": "other"}, keys=keys)

    with pytest.raises(CliFailed, match=r"(?i)checksum"):
        kit_cli.decrypt(Packed(packed.path, other.checksum, packed.session_key))
