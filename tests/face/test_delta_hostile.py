"""Every hostile manifest: what must be refused installs nothing and writes nowhere; what must be accepted installs."""

from __future__ import annotations

import json
import time

import pytest
from delta_stage import DATA, Stage, contents

from capgo_client.arrival import Unfit
from capgo_client.errors import CapgoError
from capgo_client.protocol.outcomes import Failed, Update
from capgo_client.protocol.updates import classify_update
from capgo_client.seams import Files

CASES = json.loads((DATA / "hostile" / "hostile-manifests.json").read_text("utf-8"))["cases"]
GOOD = b"cc3ad4c4f6564cdc15e099c4bdf82f4633e35c6e5dd464362cc7f46fecb173c6"

#: What each refusal is called; the codes are ours but where Capgo has one.
CODES = {
    "path-": "manifest_path_fail",
    "dup-exact": "manifest_duplicate",
    "dup-br": "name_duplicate",
    "dup-case": "manifest_path_fail",
    "hash-crc32": "checksum_crc32",
    "br-truncated": "download_manifest_brotli_fail",
    "br-trailing": "download_manifest_brotli_fail",
    "br-bomb": "bundle_too_large",
    "sig bad-padding": "decrypt_fail",
    "sig not-multiple-of-16": "decrypt_fail",
    "sig empty-payload": "decrypt_fail",
    "sig plain-hash-with-session-key": "unsigned",
    "sig hash-flipped-bit": "signature_invalid",
    "sig hash-by-other-key": "signature_invalid",
    "sig two-colons": "session_key_invalid",
    "sig no-colon": "session_key_invalid",
    "sig hash-as-session-key": "session_key_invalid",
    "sig wrong-content": "download_manifest_checksum_fail",
    "ten-thousand-and-one": "manifest_too_long",
}


@pytest.fixture
def stage(tmp_path):
    stage = Stage(tmp_path)
    stage.serve_fixtures()
    yield stage
    stage.close()


def offer(stage, case):
    """What the update check makes of the case."""
    manifest = case["manifest"]
    if isinstance(manifest, dict) and "generate" in manifest:
        url = f"{stage.depot.base}/hostile/good.py"
        manifest = [
            {"file_name": f"f/{n:05}.py", "file_hash": GOOD.decode(), "download_url": url} for n in range(10_001)
        ]
    reply = {"version": "1.0.0", "url": "https://404.capgo.app/no.zip", "checksum": "", "manifest": manifest}
    reply["session_key"] = case.get("session_key", "")
    body = json.dumps(reply).replace("@BASE@", stage.depot.base)
    if case.get("public_key_configured"):
        stage.trust()
    return classify_update(200, {}, body.encode(), now=0.0)


def everything(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if "downloads/" not in str(path))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_manifest_is_judged_as_it_must_be(stage, tmp_path, case):
    before = everything(tmp_path)
    update = offer(stage, case)
    if case["verdict"] == "accept":
        assert isinstance(update, Update)
        app = stage.bring(update)
        assert set(contents(app).values()) == {stage.depot.objects["/hostile/good.py"]}
        return
    if isinstance(update, Failed):
        assert update.code == "parse_error"
        return
    with pytest.raises((CapgoError, Unfit)) as caught:
        stage.bring(update)
    error = caught.value.cause if isinstance(caught.value, Unfit) else caught.value
    wanted = next((code for name, code in CODES.items() if case["name"].startswith(name)), "manifest_path_fail")
    assert error.code == wanted
    assert [name for name in everything(tmp_path) if name != "data/install.lock"] == before
    if wanted in ("manifest_path_fail", "manifest_duplicate", "manifest_too_long"):
        assert stage.depot.log == []


def test_the_accepted_ones_have_the_names_that_they_must_have(stage):
    by_name = {case["name"]: case for case in CASES}
    assert set(contents(stage.bring(offer(stage, by_name["control"])))) == {"good.py", "pkg/good.py"}
    assert set(contents(stage.bring(offer(stage, by_name["hash-upper"])))) == {"x.py"}


def test_a_file_that_is_really_called_br_keeps_its_name(stage):
    case = next(case for case in CASES if case["name"] == "br-name-raw")
    assert set(contents(stage.bring(offer(stage, case)))) == {"notes.txt.br"}


def test_a_bomb_costs_neither_room_nor_time(stage):
    case = next(case for case in CASES if case["name"] == "br-bomb")
    written = []

    class Counting(Files):
        def write(self, fd, data):
            written.append(len(data))
            return super().write(fd, data)

    stage.files = Counting()
    began = time.monotonic()
    with pytest.raises(CapgoError):
        stage.bring(offer(stage, case))
    assert sum(written) < 80 << 20
    assert time.monotonic() - began < 5
    assert not any(path.is_file() for path in stage.store.downloads.rglob("*"))
