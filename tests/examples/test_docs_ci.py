"""The release jobs of docs/ci.md, their lines carried out in a project that `capgo-client new` made.

What goes to a registry or to Capgo is left out: pip, npm and `npx @capgo/cli` (make interop knows its options).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import snippets
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from capgo_client.cli import main
from capgo_client.testing import BundleKeys

yaml = pytest.importorskip("yaml", reason="pyyaml is not installed")

ROOT = Path(__file__).resolve().parents[2]
JOBS = {block.title: yaml.safe_load(block.text) for block in snippets.blocks("docs/ci.md", "yaml")}
ELSEWHERE = ("pip ", "npm ", "npx ")


def left(script: str) -> str:
    """A script without the commands that go elsewhere; a file that one of them would have made is not looked at."""
    lines = script.replace("\\\n", " ").splitlines()
    return "\n".join(line for line in lines if not line.strip().startswith(ELSEWHERE) and "notes.zip --app" not in line)


@pytest.fixture
def project(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "notes"
    assert main(["new", str(folder)]) == 0
    capsys.readouterr()
    key = BundleKeys.generate().private_key
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    (tmp_path / "key.pem").write_bytes(pem)
    (folder / "app" / "__pycache__").mkdir()
    (folder / "app" / "__pycache__" / "main.cpython-311.pyc").write_bytes(b"left over")
    (tmp_path / "capgo-client").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m capgo_client "$@"\n')
    (tmp_path / "capgo-client").chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path), os.environ.get("PATH", os.defpath)]))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return folder


def carry_out(script, folder, **variables):
    done = subprocess.run(
        ["bash", "-ec", script],
        cwd=folder,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def sealed_as(folder, version):
    record = json.loads((folder / "dist" / "capgo-bundle.json").read_text("utf-8"))
    assert (record["app_id"], record["version"]) == ("com.example.notes", version)
    assert "main.py" in record["files"]
    assert not list((folder / "dist").rglob("*.pyc"))


def test_the_release_of_github_seals_what_it_uploads(project):
    steps = JOBS[".github/workflows/release.yml"]["jobs"]["upload"]["steps"]
    for script in (left(step["run"]) for step in steps if "run" in step):
        carry_out(script, project, VERSION="v1.4.1", CAPGO_KEY="PEM")

    sealed_as(project, "1.4.1")
    assert (project / ".capgo_key_v2").read_text() == "PEM\n"


def test_the_release_of_gitlab_ends_with_a_sealed_and_encrypted_zip(project):
    script = "\n".join(JOBS[".gitlab-ci.yml"]["release"]["script"])
    said = carry_out(left(script), project, CI_COMMIT_TAG="v1.4.1", CAPGO_KEY_FILE=str(project.parent / "key.pem"))

    sealed_as(project, "1.4.1")
    assert "ivSessionKey" in said
    assert JOBS[".gitlab-ci.yml"]["release"]["artifacts"]["paths"] == ["notes.zip"]
    assert (project / "notes.zip").stat().st_size > 500
    assert not zipfile.is_zipfile(project / "notes.zip")  # it is encrypted
