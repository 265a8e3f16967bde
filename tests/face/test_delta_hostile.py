"""What of the hostile manifests must be accepted has the names that it must have (those refused: tests/attacks)."""

from __future__ import annotations

import json
import time

import pytest
from delta_stage import DATA, Stage, contents

from capgo_client.errors import CapgoError
from capgo_client.protocol.updates import classify_update
from capgo_client.seams import Files

CASES = json.loads((DATA / "hostile" / "hostile-manifests.json").read_text("utf-8"))["cases"]
GOOD = b"cc3ad4c4f6564cdc15e099c4bdf82f4633e35c6e5dd464362cc7f46fecb173c6"


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
