"""`bundle upload --delta` of Capgo's command line, to an API and a file store on loopback.

The list of files, the objects and the answer that a device gets are exactly what the command line sent: this
client installs the version from them, and the test kit makes the same of the same files.
"""

from __future__ import annotations

import re

import pytest
from app_trees import EVERYTHING, IN_DELTA, LISTED, assert_same_files, noise, write_tree
from capgo_cli import APP_ID, CliFailed
from console import ORG, Console
from uploads import upload, uploaded

from capgo_client.testing import make_bundle

pytest.importorskip("brotli", reason="deltas need the extra delta")


def fetched(service):
    return [request.path for request in service.downloads]


def test_a_plain_delta_installs(cli, console, service, device, tmp_path):
    bundle = upload(cli, console, tmp_path, LISTED, "1.1.0", "--no-key")
    assert bundle.session_key == ""
    assert "pkg/core.py.br" in [entry.file_name for entry in bundle.manifest]

    service.publish(bundle, delta_only=True)

    assert_same_files(device().install("1.1.0"), IN_DELTA)
    assert len(fetched(service)) == len(IN_DELTA)


def test_an_encrypted_delta_installs(signing_cli, console, service, device, tmp_path):
    bundle = upload(signing_cli, console, tmp_path, LISTED, "1.1.0")
    assert bundle.session_key.count(":") == 1
    assert all(re.fullmatch("[0-9a-f]{512}", entry.file_hash) for entry in bundle.manifest)

    service.publish(bundle, delta_only=True)

    assert_same_files(device(public_key=signing_cli.configured_key).install("1.1.0"), IN_DELTA)
    assert service.checks[0].json["key_id"] == bundle.key_id


def test_an_encrypted_delta_with_the_older_hashes_installs(signing_cli, console, service, device, tmp_path):
    signing_cli.install_plugin("7.29.0")
    bundle = upload(signing_cli, console, tmp_path, LISTED, "1.1.0")
    assert all(re.fullmatch("[A-Za-z0-9+/]{342}==", entry.file_hash) for entry in bundle.manifest)

    service.publish(bundle, delta_only=True)

    assert_same_files(device(public_key=signing_cli.configured_key).install("1.1.0"), IN_DELTA)


def test_a_version_that_the_command_line_uploaded_whole_installs(signing_cli, console, service, device, tmp_path):
    signing_cli.upload(write_tree(tmp_path / "www", EVERYTHING), "1.1.0", console, "--no-delta")
    assert console.manifest == []

    service.publish(uploaded(console))

    assert_same_files(device(public_key=signing_cli.configured_key).install("1.1.0"), EVERYTHING)


def test_only_what_changed_between_two_uploads_is_fetched(cli, console, service, device, tmp_path):
    phone = device()
    service.publish(upload(cli, console, tmp_path, IN_DELTA, "1.1.0", "--no-key"), delta_only=True)
    phone.install("1.1.0")
    before = len(fetched(service))

    changed = {**IN_DELTA, "main.py": b"print('changed')\n", "new/place.txt": IN_DELTA["UPPER/Case.TXT"]}
    del changed["UPPER/Case.TXT"]
    with Console() as second:
        service.publish(upload(cli, second, tmp_path, changed, "1.2.0", "--no-key"), delta_only=True)

    assert_same_files(phone.install("1.2.0"), changed)
    assert [path.rsplit("_", 1)[1] for path in fetched(service)[before:]] == ["main.py"]


def test_a_tampered_object_is_refused(signing_cli, console, service, device, tmp_path):
    files = {"main.py": b"print(1)\n" * 20, "other.py": b"print(2)\n"}
    signing_cli.upload(write_tree(tmp_path / "www", files), "1.1.0", console, "--delta")
    path = next(entry["s3_path"] for entry in console.manifest if entry["file_name"] == "main.py")
    console.objects[path] = bytes([console.objects[path][0] ^ 1]) + console.objects[path][1:]

    service.publish(uploaded(console), delta_only=True)

    assert device(public_key=signing_cli.configured_key).refusal() == "download_manifest_checksum_fail"


def test_the_kit_makes_the_same_list_and_the_same_objects(cli, console, tmp_path):
    # Where packing begins, and where it does not pay by a few bytes.
    edges = {f"edge/{size}.txt": b"a" * size for size in (8191, 8192)}
    edges |= {f"edge/{zeros}": noise(8192) + bytes(zeros) for zeros in range(30, 46)}
    files = {**LISTED, **edges, "my.github/a.txt": b"1", "pkg/.gitkeep": b"1", "pkg/node_modules/b.js": b"1"}
    ours = make_bundle("1.1.0", files, manifest=True).manifest
    theirs = upload(cli, console, tmp_path, files, "1.1.0", "--no-key").manifest
    edges = {entry.file_name for entry in theirs if entry.file_name.startswith("edge/")}
    assert {"edge/8191.txt", "edge/8192.txt.br"} <= edges
    assert {name.endswith(".br") for name in edges if ".txt" not in name} == {True, False}

    assert sorted(ours, key=lambda entry: entry.file_name) == sorted(theirs, key=lambda entry: entry.file_name)


@pytest.mark.parametrize("options", [("--no-key",), ()], ids=["plain", "encrypted"])
def test_the_kit_stores_objects_where_the_command_line_does(signing_cli, console, tmp_path, options):
    bundle = upload(signing_cli, console, tmp_path, LISTED, "1.1.0", *options)

    paths = {entry["file_name"]: entry["s3_path"] for entry in console.manifest}
    assert {entry.file_name: f"orgs/{ORG}/apps/{APP_ID}/{entry.path}" for entry in bundle.manifest} == paths


def test_both_refuse_a_list_with_a_space_in_a_name(cli, console, tmp_path):
    files = {"two words.txt": b"1"}

    with pytest.raises(CliFailed, match=r"two words\.txt"):
        upload(cli, console, tmp_path, files, "1.1.0", "--no-key")
    with pytest.raises(ValueError, match=r"two words\.txt"):
        make_bundle("1.1.0", files, manifest=True)


def test_neither_lists_an_empty_file(cli, console, tmp_path):
    files = {"main.py": b"1", "empty.py": b""}

    theirs = upload(cli, console, tmp_path, files, "1.1.0", "--no-key").manifest

    assert [entry.file_name for entry in theirs] == ["main.py"]
    assert [entry.file_name for entry in make_bundle("1.1.0", files, manifest=True).manifest] == ["main.py"]
