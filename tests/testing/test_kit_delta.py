"""Manifests: against what Capgo's command line made of the same trees, and by the device's recipe."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import json
import sys
import zipfile
from pathlib import Path

import brotli
import pytest
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from kit_wire import device

from capgo_client.testing import BundleKeys, make_bundle
from capgo_client.testing.bundles import Cipher as BundleCipher

DATA = Path(__file__).parents[1] / "data" / "bundles"
INDEX = json.loads((DATA / "served" / "index.json").read_text(encoding="utf-8"))
PLAIN = json.loads((DATA / "plain.json").read_text(encoding="utf-8"))
LONG = "x = 1\n" * 3000


def tree(version):
    with zipfile.ZipFile(DATA / f"{version}.zip") as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}


def written_by_the_cli(name):
    """File name to (hash, path in the store, SHA-256 of the object)."""
    entries = json.loads((DATA / f"manifest-{name}.realurls.json").read_text(encoding="utf-8"))
    paths = [each["download_url"].partition("/files/read/attachments/")[2].partition("?")[0] for each in entries]
    return {
        each["file_name"]: (
            each["file_hash"],
            path.partition("/apps/org.example.kivyapp/")[2],
            INDEX[path]["sha256"],
        )
        for each, path in zip(entries, paths, strict=True)
    }


def facts(manifest):
    return {each.file_name: (each.file_hash, each.path, hashlib.sha256(each.data).hexdigest()) for each in manifest}


@pytest.fixture(scope="module")
def keys():
    return BundleKeys.generate()


def test_a_plain_manifest_is_the_command_line_s_object_by_object():
    assert facts(make_bundle("1.0.0", tree("v1"), manifest=True).manifest) == written_by_the_cli("v1")


def test_an_encrypted_manifest_has_the_command_line_s_objects_and_paths(monkeypatch, keys):
    known = PLAIN["v1"]
    same = BundleCipher(bytes.fromhex(known["iv_hex"]), bytes.fromhex(known["session_key_hex"]))
    monkeypatch.setattr(BundleCipher, "fresh", classmethod(lambda _: same))
    made = make_bundle("1.0.0", tree("v1"), keys=keys, manifest=True)
    expected = written_by_the_cli("v1.enc")
    session_key = known["bundle_encrypt_stdout"]["ivSessionKey"]
    # We do not have the command line's private key, so its signatures are put in the place of ours.
    theirs = [
        dataclasses.replace(each, file_hash=expected[each.file_name][0], session_key=session_key)
        for each in made.manifest
    ]
    assert facts(theirs) == expected


def test_without_brotli_every_file_keeps_its_name_and_bytes():
    entries = json.loads((DATA / "manifest-v1.nobrotli.json").read_text(encoding="utf-8"))
    made = make_bundle("1.0.0", tree("v1"), manifest=True, brotli=False)
    assert {each.file_name: each.file_hash for each in made.manifest} == {
        each["file_name"]: each["file_hash"] for each in entries
    }
    assert all(tree("v1")[each.file_name] == each.data for each in made.manifest)


@pytest.mark.parametrize(("form", "length"), [("v3", 512), ("v2", 344)])
def test_an_encrypted_entry_opens_by_the_device_s_recipe(keys, form, length):
    made = make_bundle("1.1.0", {"main.py": LONG}, keys=keys, checksum_form=form, manifest=True)
    (entry,) = made.manifest
    public = load_pem_public_key(keys.public_pem.encode())
    vector, wrapped = (base64.b64decode(part) for part in made.session_key.split(":"))
    key = public.recover_data_from_signature(wrapped, padding.PKCS1v15(), None)
    decryptor, unpadder = Cipher(algorithms.AES(key), modes.CBC(vector)).decryptor(), PKCS7(128).unpadder()
    packed = unpadder.update(decryptor.update(entry.data) + decryptor.finalize()) + unpadder.finalize()
    assert (entry.file_name, brotli.decompress(packed)) == ("main.py.br", LONG.encode())
    assert len(entry.file_hash) == length
    signature = bytes.fromhex(entry.file_hash) if form == "v3" else base64.b64decode(entry.file_hash)
    message = public.recover_data_from_signature(signature, padding.PKCS1v15(), None)
    digest = message.hex() if form == "v3" else base64.b64encode(message).decode()
    assert digest == hashlib.sha256(LONG.encode()).hexdigest()


def test_packing_begins_at_8192_bytes_and_has_to_save_more_than_ten():
    noise = b"".join(hashlib.sha512(bytes([number])).digest() for number in range(200))
    files = {"short.txt": b"a" * 8191, "long.txt": b"a" * 8192, "noise.bin": noise, "empty.txt": b""}
    made = make_bundle("1.1.0", files, manifest=True)
    assert [each.file_name for each in made.manifest] == ["short.txt", "long.txt.br", "noise.bin"]
    assert made.manifest[2].data == noise


def test_empty_files_and_what_the_command_line_overlooks_are_not_listed():
    files = {"a.py": "a", "__init__.py": "", "my.github/a.txt": "a", "node_modules/x.js": "x", "sub/": ""}
    assert [each.file_name for each in make_bundle("1.1.0", files, manifest=True).manifest] == ["a.py"]


def test_a_name_with_a_space_and_too_many_files_are_refused():
    with pytest.raises(ValueError, match=r"space.*'a b\.txt'"):
        make_bundle("1.1.0", {"a b.txt": "x"}, manifest=True)
    with pytest.raises(ValueError, match="10000"):
        make_bundle("1.1.0", {f"f{number}": b"x" for number in range(10_001)}, manifest=True)


def test_without_brotli_installed_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "brotli", None)
    with pytest.raises(ImportError, match=r"capgo-client\[delta\]"):
        make_bundle("1.1.0", {"main.py": LONG}, manifest=True)
    assert make_bundle("1.1.0", {"main.py": LONG}, manifest=True, brotli=False).manifest[0].file_name == "main.py"
    assert make_bundle("1.1.0", {"main.py": LONG}).manifest == ()


def test_a_published_manifest_is_offered_beside_the_zip_and_every_file_downloads(service, client, check):
    made = make_bundle("1.1.0", {"main.py": LONG, "a%20b.txt": "percent", "é#?.txt": "odd"}, manifest=True)
    service.publish(made)
    said = check()
    assert zipfile.ZipFile(io.BytesIO(client.get(said["url"]).content)).testzip() is None
    assert {each["file_name"] for each in said["manifest"]} == {"main.py.br", "a%20b.txt", "é#?.txt"}
    for offered, entry in zip(said["manifest"], made.manifest, strict=True):
        assert (offered["file_name"], offered["file_hash"]) == (entry.file_name, entry.file_hash)
        assert client.get(offered["download_url"]).content == entry.data
    assert said["manifest"][1]["download_url"].partition("?")[0].endswith("_a%2520b.txt")


def test_a_bundle_of_the_manifest_alone_has_the_placeholder_address_and_the_zip_s_checksum(service, check):
    made = make_bundle("1.1.0", {"main.py": LONG}, manifest=True)
    service.publish(made, delta_only=True)
    said = check()
    assert (said["url"], said["checksum"]) == ("https://404.capgo.app/no.zip", made.sha256)
    assert len(said["manifest"]) == 1


def test_a_bundle_elsewhere_never_has_a_manifest(service, check):
    service.publish(make_bundle("1.1.0", {"main.py": LONG}, manifest=True), url="https://cdn.example.invalid/b.zip")
    assert "manifest" not in check()


def test_sizes_are_those_of_the_stored_files(service, client):
    made = make_bundle("1.1.0", {"main.py": LONG, "b.txt": "b"}, manifest=True)
    service.publish(made)
    url = service.update_url + "/manifest_size"
    asked = client.post(service.update_url, json=device()).json()["manifest"]
    said = client.post(url, json=device(manifest=[*asked, asked[0], {"file_name": "c"}])).json()
    sizes = {"main.py.br": len(made.manifest[0].data), "b.txt": 1}
    assert {each["file_name"]: each["size"] for each in said.pop("files")} == sizes
    assert said == {"totalSize": sum(sizes.values()), "knownFiles": 2, "unknownFiles": 0}
    nothing = {"totalSize": 0, "knownFiles": 0, "unknownFiles": 0, "files": []}
    assert client.post(url, json=device()).json() == nothing
    assert client.post(url, json=device(platform="linux")).status_code == 400
    assert service.checks == [service.requests[0]]
