"""What Capgo's command line makes, this client installs, byte for byte."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace

import pytest
from app_trees import EVERYTHING, EXECUTABLE, assert_same_files, executables, write_tree
from capgo_cli import ENTRY


@pytest.fixture
def tree(tmp_path):
    folder = write_tree(tmp_path / "www", EVERYTHING, EXECUTABLE)
    (folder / "assets" / "nothing").mkdir()
    return folder


def test_the_command_line_is_the_pinned_one():
    assert '"version": "8.68.1"' in (ENTRY.parents[1] / "package.json").read_text("utf-8")


def test_a_plain_zip_installs(cli, published, device, tree):
    packed = cli.zip(tree, "1.1.0")
    assert packed.checksum == hashlib.sha256(packed.path.read_bytes()).hexdigest()

    published(packed, "1.1.0")
    folder = device().install("1.1.0")

    assert_same_files(folder, EVERYTHING)
    assert executables(folder) == set(EXECUTABLE)


def test_an_encrypted_zip_with_the_checksum_of_today_installs(signing_cli, published, device, tree):
    packed = signing_cli.encrypt(signing_cli.zip(tree, "1.1.0"))
    assert re.fullmatch("[0-9a-f]{512}", packed.checksum)

    published(packed, "1.1.0")
    folder = device(public_key=signing_cli.configured_key).install("1.1.0")

    assert_same_files(folder, EVERYTHING)
    assert executables(folder) == set(EXECUTABLE)


def test_an_encrypted_zip_with_the_checksum_that_no_plugin_reads_installs(signing_cli, published, device, tree):
    zipped = signing_cli.zip(tree, "1.1.0")
    signing_cli.install_plugin(None)  # as in a Python project; nothing warns of what follows
    packed = signing_cli.encrypt(zipped)
    assert re.fullmatch("[A-Za-z0-9+/]{342}==", packed.checksum)

    published(packed, "1.1.0")

    assert_same_files(device(public_key=signing_cli.configured_key).install("1.1.0"), EVERYTHING)


@pytest.mark.parametrize("plugin", ["5.29.0", "6.29.0", "7.29.0"])
def test_the_checksum_for_an_old_plugin_installs(signing_cli, published, device, tmp_path, plugin):
    files = {"main.py": b"print(1)\n"}
    zipped = signing_cli.zip(write_tree(tmp_path / "small", files), "1.1.0")
    signing_cli.install_plugin(plugin)
    packed = signing_cli.encrypt(zipped)
    assert len(packed.checksum) == 344

    published(packed, "1.1.0")

    assert_same_files(device(public_key=signing_cli.configured_key).install("1.1.0"), files)


def test_the_key_is_taken_as_a_file_too(signing_cli, published, device, tmp_path):
    files = {"main.py": b"print(1)\n"}
    packed = signing_cli.encrypt(signing_cli.zip(write_tree(tmp_path / "small", files), "1.1.0"))
    assert signing_cli.public_key_file.read_text().startswith("-----BEGIN RSA PUBLIC KEY-----\n")

    published(packed, "1.1.0")

    assert_same_files(device(public_key=signing_cli.public_key_file).install("1.1.0"), files)


@pytest.mark.parametrize("where", ["the first block", "the middle", "the last byte"])
def test_a_tampered_encrypted_zip_is_refused(signing_cli, published, device, tmp_path, where):
    tree = write_tree(tmp_path / "small", {"main.py": b"print(1)\n" * 50})
    packed = signing_cli.encrypt(signing_cli.zip(tree, "1.1.0"))
    data = bytearray(packed.path.read_bytes())
    data[{"the first block": 0, "the middle": len(data) // 2, "the last byte": -1}[where]] ^= 1
    packed.path.write_bytes(data)

    published(packed, "1.1.0")

    assert device(public_key=signing_cli.configured_key).refusal() in {"checksum_fail", "decrypt_fail"}


def test_the_checksum_of_another_zip_is_refused(signing_cli, published, device, tmp_path):
    one, other = (
        signing_cli.encrypt(signing_cli.zip(write_tree(tmp_path / text, {"main.py": text.encode()}), version))
        for text, version in (("one", "1.1.0"), ("other", "1.2.0"))
    )

    published(replace(one, checksum=other.checksum), "1.1.0")

    assert device(public_key=signing_cli.configured_key).refusal() == "checksum_fail"


def test_a_zip_of_another_publisher_is_refused(signing_cli, published, device, tmp_path):
    packed = signing_cli.encrypt(signing_cli.zip(write_tree(tmp_path / "small", {"main.py": b"1"}), "1.1.0"))
    signing_cli.run("key", "create", "--force")

    published(packed, "1.1.0")

    assert device(public_key=signing_cli.configured_key).refusal() == "signature_invalid"
