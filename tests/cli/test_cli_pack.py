"""`capgo-client pack`: what it writes installs, and is what Capgo's own command line wrote of the same folder."""

from __future__ import annotations

import base64
import json
import struct
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_public_key,
)

from capgo_client import Updater
from capgo_client.cli import main
from capgo_client.errors import CapgoError
from capgo_client.testing import BundleKeys
from capgo_client.testing.bundles import Cipher

DATA = Path(__file__).parents[1] / "data" / "bundles"
PLAIN = json.loads((DATA / "plain.json").read_text("utf-8"))
FILES = {"main.py": b"print('hello')\n" * 2000, "lib/code.py": b"x = 1\n", "data/\u00e9.txt": b"aaaa"}
APP = "com.example.notes"


def write(folder, files):
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def keys():
    return BundleKeys.generate()


@pytest.fixture
def key_file(keys, tmp_path):
    """The private half, as Capgo's command line keeps it."""
    path = tmp_path / "private.pem"
    path.write_bytes(keys.private_key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
    return path


@pytest.fixture
def pack(capsys, tmp_path):
    """Pack with --json; gives the exit code, the document (None where none was printed) and the remarks."""

    def run(folder, *arguments, version="1.5.0"):
        capsys.readouterr()
        code = main(["pack", str(folder), "--version", version, "--json", *map(str, arguments)])
        said = capsys.readouterr()
        return code, json.loads(said.out) if said.out else None, said.err

    return run


@pytest.fixture
def served(tmp_path):
    """A plain file server on loopback, as anybody has one: its URL, and its folder."""
    folder = tmp_path / "www"
    folder.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", folder
        server.shutdown()
        thread.join()


@pytest.fixture
def installs(tmp_path):
    """Install what is offered, through the public client; gives the installed files."""

    def run(offer, **options):
        entries = offer.get("manifest") or ()
        with Updater(APP, "1.0.0", data_dir=tmp_path / "device", auto_update="off", stats_url="", **options) as updater:
            updater.start()
            bundle = updater.download(
                offer["url"],
                offer["version"],
                checksum=offer["checksum"],
                session_key=offer["session_key"],
                manifest=entries,
                timeout=20,
            )
            updater.set_next(bundle)
        with Updater(APP, "1.0.0", data_dir=tmp_path / "device", auto_update="off", stats_url="", **options) as updater:
            return contents(updater.start().path)

    return run


# ---- it installs ----


@pytest.mark.parametrize("options", [(), ("--no-encrypt",), ("plain",)], ids=["encrypted", "signed", "plain"])
def test_a_zip_installs_as_it_was(pack, served, installs, tmp_path, keys, key_file, options):  # noqa: PLR0917
    url, www = served
    tree = write(tmp_path / "app", {**FILES, "lib/__init__.py": b""})
    signing = () if "plain" in options else ("--keys", key_file, *options)
    code, told, _ = pack(tree, "--out", www / "b.zip", *signing)
    assert code == 0
    offer = {
        "url": f"{url}/b.zip",
        "version": "1.5.0",
        "checksum": told["checksum"],
        "session_key": told["ivSessionKey"],
    }
    key = {} if "plain" in options else {"public_key": keys.public_pem}
    assert installs(offer, **key) == {**FILES, "lib/__init__.py": b""}


@pytest.mark.parametrize("signed", [True, False])
def test_a_manifest_folder_is_served_as_it_lies_and_installs_file_by_file(  # noqa: PLR0917
    pack, served, installs, tmp_path, keys, key_file, signed
):
    url, www = served
    tree = write(tmp_path / "app", FILES)
    code, told, _ = pack(
        tree, "--manifest", "--out", www / "v", "--base-url", f"{url}/v/", *(("--keys", key_file) if signed else ())
    )
    assert (code, told["manifest"]) == (0, 3)
    offer = json.loads((www / "v" / "update.json").read_text("utf-8"))
    assert [each["file_name"] for each in offer["manifest"]] == ["data/\u00e9.txt", "lib/code.py", "main.py.br"]
    (www / "v" / "bundle.zip").unlink()  # so that nothing but its files can have brought it
    assert installs(offer, **({"public_key": keys.public_pem} if signed else {})) == FILES


def test_an_offer_of_it_falls_back_on_its_zip(pack, served, installs, tmp_path):
    url, www = served
    tree = write(tmp_path / "app", FILES)
    pack(tree, "--manifest", "--out", www / "v", "--base-url", f"{url}/v")
    next((www / "v" / "objects").iterdir()).unlink()
    assert installs(json.loads((www / "v" / "update.json").read_text("utf-8"))) == FILES


def test_another_key_does_not_open_it(pack, served, installs, tmp_path, key_file):
    url, www = served
    _, told, _ = pack(write(tmp_path / "app", FILES), "--out", www / "b.zip", "--keys", key_file)
    offer = {
        "url": f"{url}/b.zip",
        "version": "1.5.0",
        "checksum": told["checksum"],
        "session_key": told["ivSessionKey"],
    }
    with pytest.raises(CapgoError) as caught:
        installs(offer, public_key=BundleKeys.generate("another").public_pem)
    assert caught.value.code == "signature_invalid"


def test_empty_files_of_a_sealed_folder_come_with_its_manifest(pack, served, installs, tmp_path, capsys):
    url, www = served
    tree = write(tmp_path / "app", {**FILES, "lib/__init__.py": b""})
    assert main(["seal", str(tree), "--app-id", APP, "--version", "1.5.0"]) == 0
    _, _, said = pack(tree, "--manifest", "--out", www / "v", "--base-url", f"{url}/v")
    assert "empty" not in said
    (www / "v" / "bundle.zip").unlink()
    assert installs(json.loads((www / "v" / "update.json").read_text("utf-8")))["lib/__init__.py"] == b""


# ---- it is what Capgo's command line writes ----


@pytest.fixture
def their_tree(tmp_path):
    """The folder of which Capgo's command line made the zip in tests/data."""
    folder = tmp_path / "theirs"
    with zipfile.ZipFile(DATA / "v1.zip") as archive:
        for info in archive.infolist():
            path = folder / info.filename
            if info.is_dir():
                path.mkdir(parents=True, exist_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(archive.read(info))
            path.chmod(info.external_attr >> 16 & 0o777)
    return folder


def central(path):
    """The central directory, record by record: all fields but time, date, packed size and offset; and the packed data.

    The time is that of each file there and a fixed one here; the packed size follows from the library that packs.
    """
    data = path.read_bytes()
    count, _, start = struct.unpack("<H2I", data[-12:-2])
    rows, at = {}, start
    for _ in range(count):
        fields = struct.unpack("<4s6H3I5H2I", data[at : at + 46])
        name_length = fields[10]
        name = data[at + 46 : at + 46 + name_length].decode("utf-8")
        rows[name] = (*fields[:5], fields[7], *fields[9:16])
        at += 46 + name_length + fields[11] + fields[12]
    return rows


def test_a_zip_has_the_records_of_capgo_s_command_line(pack, their_tree, tmp_path):
    assert pack(their_tree, "--out", tmp_path / "ours.zip", version="1.0.0")[0] == 0
    ours, theirs = central(tmp_path / "ours.zip"), central(DATA / "v1.zip")
    assert list(ours) == list(theirs)
    assert ours == theirs
    assert len(theirs) > 17


def test_a_manifest_folder_has_the_manifest_and_the_objects_of_capgo_s_command_line(pack, their_tree, tmp_path):
    out = tmp_path / "out"
    assert pack(their_tree, "--manifest", "--base-url", "@BASE@", "--out", out, version="1.0.0")[0] == 0
    by_name = lambda entries: sorted(entries, key=lambda each: each["file_name"])  # noqa: E731
    ours = json.loads((out / "manifest.json").read_text("utf-8"))
    assert by_name(ours) == by_name(json.loads((DATA / "manifest-v1.json").read_text("utf-8")))
    for entry in ours:
        name = entry["download_url"].rpartition("/")[2]
        assert (out / "objects" / name).read_bytes() == (DATA / "served" / "objects" / name).read_bytes()


def test_without_brotli_a_manifest_is_capgo_s_with_brotli_turned_off(pack, their_tree, tmp_path):
    out = tmp_path / "out"
    pack(their_tree, "--manifest", "--no-brotli", "--out", out, version="1.0.0")
    theirs = json.loads((DATA / "manifest-v1.nobrotli.json").read_text("utf-8"))
    facts = lambda entries: {(each["file_name"], each["file_hash"]) for each in entries}  # noqa: E731
    assert facts(json.loads((out / "manifest.json").read_text("utf-8"))) == facts(theirs)


def test_encrypted_objects_are_capgo_s_under_the_same_session_key(pack, their_tree, tmp_path, key_file, monkeypatch):
    known = PLAIN["v1"]
    same = Cipher(bytes.fromhex(known["iv_hex"]), bytes.fromhex(known["session_key_hex"]))
    monkeypatch.setattr(Cipher, "fresh", classmethod(lambda _: same))
    out = tmp_path / "out"
    pack(their_tree, "--manifest", "--keys", key_file, "--out", out, version="1.0.0")
    theirs = json.loads((DATA / "manifest-v1.enc.json").read_text("utf-8"))
    named = {each["file_name"]: each["download_url"].rpartition("/")[2] for each in theirs}
    ours = json.loads((out / "manifest.json").read_text("utf-8"))
    assert {each["file_name"]: each["download_url"].rpartition("/")[2] for each in ours} == named


def test_checksum_and_session_key_have_the_form_of_capgo_s(pack, tmp_path, keys, key_file):
    _, told, _ = pack(write(tmp_path / "app", FILES), "--out", tmp_path / "b.zip", "--keys", key_file)
    theirs = PLAIN["v1"]["bundle_encrypt_stdout"]
    assert {name: len(told[name]) for name in ("checksum", "ivSessionKey")} == {
        name: len(theirs[name]) for name in ("checksum", "ivSessionKey")
    }
    public = load_pem_public_key(keys.public_pem.encode())
    wrapped = base64.b64decode(told["ivSessionKey"].split(":")[1])
    assert len(public.recover_data_from_signature(wrapped, padding.PKCS1v15(), None)) == 16
    assert told["key_id"] == keys.key_id


def test_the_same_files_make_the_same_zip(pack, tmp_path):
    one, other = (write(tmp_path / name, FILES) for name in ("one", "other"))
    assert (
        pack(one, "--out", tmp_path / "1.zip")[1]["checksum"] == pack(other, "--out", tmp_path / "2.zip")[1]["checksum"]
    )


# ---- what a delta drops, and what no device takes ----


@pytest.mark.parametrize(
    ("name", "data", "mode", "said"),
    [
        ("lib/__init__.py", b"", 0o644, "lib/__init__.py: empty; Capgo's delta leaves it out"),
        ("my notes.txt", b"a", 0o644, "my notes.txt: Capgo refuses to make a delta with a space in a name"),
        ("tool.sh", b"#!/bin/sh\n", 0o755, "tool.sh: executable; a delta drops that"),
        ("lib/.gitkeep", b"a", 0o644, "lib/.gitkeep: Capgo's delta leaves it out\n"),
    ],
)
def test_what_a_delta_drops_is_said(pack, tmp_path, name, data, mode, said):  # noqa: PLR0917
    tree = write(tmp_path / "app", {**FILES, name: data})
    (tree / name).chmod(mode)
    code, _, remarks = pack(tree, "--out", tmp_path / "b.zip")
    assert code == 0
    assert f"note: {said}" in remarks
    assert remarks.count("note:") == 1


def test_of_a_clean_folder_nothing_is_said(pack, tmp_path):
    assert pack(write(tmp_path / "app", FILES), "--out", tmp_path / "b.zip")[2] == ""


def test_no_manifest_is_made_of_a_name_with_a_space(pack, tmp_path):
    tree = write(tmp_path / "app", {**FILES, "my notes.txt": b"a"})
    code, told, said = pack(tree, "--manifest", "--out", tmp_path / "out")
    assert (code, told["ok"], [each["code"] for each in told["refused"]]) == (1, False, ["no_room"])
    assert "names with a space" in said
    assert not (tmp_path / "out").exists()


def test_what_no_device_would_install_is_not_packed(pack, tmp_path):
    tree = write(tmp_path / "app", {**FILES, "con.txt": b"a"})
    code, told, said = pack(tree, "--out", tmp_path / "b.zip")
    assert (code, told["ok"], [each["code"] for each in told["refused"]]) == (1, False, ["name_reserved"])
    assert "not packed" in said
    assert not (tmp_path / "b.zip").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("--base-url", "https://example.com"),
        ("--no-brotli",),
        ("--no-encrypt",),
        ("--out", "app/b.zip"),
        ("--out", "app"),
        ("--out", "nowhere/b.zip"),
        ("--manifest", "--out", "full"),
        ("--keys", "public.pem"),
    ],
    ids=" ".join,
)
def test_what_makes_no_sense_is_a_mistake_and_writes_nothing(pack, tmp_path, monkeypatch, keys, arguments):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "app", FILES)
    write(tmp_path / "full", {"a": b"a"})
    (tmp_path / "public.pem").write_text(keys.public_pem)
    before = contents(tmp_path)
    code, told, said = pack("app", *arguments)
    assert (code, told) == (2, None)
    assert said.startswith("capgo-client: ")
    assert contents(tmp_path) == before


def test_it_says_in_words_where_it_is_and_what_to_give_the_service(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "app", FILES)
    assert main(["pack", "app", "--version", "1.5.0"]) == 0
    lines = capsys.readouterr().out.splitlines()
    size = (tmp_path / "app-1.5.0.zip").stat().st_size
    assert lines[0] == f"packed 1.5.0: 3 files, {size} bytes in app-1.5.0.zip"
    assert [line.split()[0] for line in lines[1:]] == ["checksum"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["app", "app-1.5.0.zip"]
