"""`capgo-client serve`: a service for anybody who can speak HTTP, from its first line to its end."""

from __future__ import annotations

import errno
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from capgo_client.cli import main
from capgo_client.testing import BundleKeys

#: What a device sends (reference/service-behaviour.md section 7, body D).
BODY = {
    "app_id": "com.example.ok",
    "device_id": "00009a6b-eefe-490a-9c60-8e965132ae51",
    "version_build": "1.0.0",
    "version_code": "1",
    "version_os": "13",
    "version_name": "1.0.0",
    "plugin_version": "8.41.0",
    "is_emulator": False,
    "is_prod": True,
    "platform": "android",
}


def ask(url, *, context=None, timeout=10.0, body=BODY):
    """One update check with nothing but the standard library; the status and what was said."""
    parts = urlsplit(url)
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=timeout, context=context)
    else:
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)
    try:
        connection.request("POST", parts.path, json.dumps(body), {"Content-Type": "application/json"})
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "bundle"
    made.mkdir()
    (made / "main.py").write_text("print('new')\n")
    return made


def test_it_prints_its_urls_and_each_request_with_what_it_answered(serve):
    serving = serve()

    status, said = ask(serving.urls["update_url"])

    assert set(serving.urls) == {"update_url", "stats_url", "channel_url", "offers", "faults"}
    assert status == 200
    row = serving.line()
    assert (row["method"], row["path"], row["endpoint"], row["status"]) == ("POST", "/updates", "updates", 200)
    assert row["answer"] == json.loads(said)["error"]
    assert row["from"] == "com.example.ok 1.0.0"
    assert BODY["device_id"] not in json.dumps(row)


def test_it_offers_a_folder_as_a_version(serve, folder):
    serving = serve("--bundle", folder, "--version", "1.1.0", "--manifest")

    _, said = ask(serving.urls["update_url"])

    offer = json.loads(said)
    assert (serving.urls["offers"], offer["version"]) == ("1.1.0", "1.1.0")
    assert len(offer["checksum"]) == 64
    assert [each["file_name"] for each in offer["manifest"]] == ["main.py"]
    assert serving.line()["answer"] == "offers 1.1.0"


def test_with_a_private_key_the_version_is_signed_and_encrypted(serve, folder, tmp_path):
    keys = BundleKeys.generate()
    pem = keys.private_key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    (tmp_path / "key.pem").write_bytes(pem)

    serving = serve("--bundle", folder, "--version", "1.1.0", "--keys", tmp_path / "key.pem")
    offer = json.loads(ask(serving.urls["update_url"], body={**BODY, "key_id": keys.key_id})[1])

    assert len(offer["checksum"]) == 512  # an RSA-2048 signature in hex
    assert ":" in offer["session_key"]


def test_a_fault_does_what_its_name_says_to_the_request_that_it_is_for(serve):
    serving = serve("--fault", "http-503", "--nth", 2)

    answers = [ask(serving.urls["update_url"])[0] for _ in range(3)]

    assert answers == [200, 503, 200]
    assert [serving.line()["fault"] for _ in range(3)] == ["", "http-503", ""]


def test_several_faults_take_turns_by_endpoint(serve):
    serving = serve("--fault", "empty-reply", "--on", "stats")

    assert ask(serving.urls["update_url"])[0] == 200
    with pytest.raises(http.client.RemoteDisconnected):
        ask(serving.urls["stats_url"])


def test_a_probability_with_a_seed_is_the_same_every_time(serve):
    def statuses():
        serving = serve("--fault", "http-500", "--probability", 0.5, "--seed", 7)
        return [ask(serving.urls["update_url"])[0] for _ in range(12)]

    first = statuses()

    assert first == statuses()
    assert set(first) == {200, 500}


def test_a_peer_takes_the_place_of_the_service(serve):
    serving = serve("--fault", "refused")

    with pytest.raises(ConnectionRefusedError):
        ask(serving.urls["update_url"])


def test_tls_is_believed_by_whoever_reads_the_file_that_it_names(serve):
    serving = serve("--tls")

    trusting = ssl.create_default_context(cafile=serving.urls["ca_file"])

    assert serving.urls["update_url"].startswith("https://")
    assert ask(serving.urls["update_url"], context=trusting)[0] == 200


def test_a_bad_certificate_is_served_over_tls(serve):
    serving = serve("--fault", "certificate-expired")

    trusting = ssl.create_default_context(cafile=serving.urls["ca_file"])

    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        ask(serving.urls["update_url"], context=trusting)


def test_it_listens_on_the_port_that_it_is_told(serve):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    serving = serve("--port", port)

    assert urlsplit(serving.urls["update_url"]).port == port


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signals between processes")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda each: each.name)
def test_it_ends_at_once_and_cleanly_on(serve, number):
    serving = serve("--tls", "--fault", "silence")
    parts = urlsplit(serving.urls["update_url"])
    # A request that hangs does not hold it up.
    context = ssl.create_default_context(cafile=serving.urls["ca_file"])
    connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=10, context=context)
    connection.request("POST", parts.path, json.dumps(BODY), {"Content-Type": "application/json"})
    assert serving.line()["fault"] == "silence"

    began = time.monotonic()
    serving.process.send_signal(number)
    code = serving.process.wait(timeout=10)
    took = time.monotonic() - began

    connection.close()
    assert code == 0
    assert serving.process.stderr.read() == ""
    assert not Path(serving.urls["ca_file"]).exists()
    assert took < 2.0  # it promises one second; the second one is for a busy machine


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signals between processes")
def test_it_ends_on_ctrl_c_even_where_the_shell_turned_that_off(environment):
    code = (
        "import signal, sys, runpy; signal.signal(signal.SIGINT, signal.SIG_IGN); sys.argv = ['x', 'serve', '--json'];"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", f"{code} runpy.run_module('capgo_client', run_name='__main__')"],
        stdout=subprocess.PIPE,
        env=environment,
    )
    try:
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 0
    finally:
        process.kill()
        process.communicate()


def test_it_serves_on_when_nobody_reads_what_it_prints(serve):
    serving = serve()
    serving.process.stdout.close()

    assert [ask(serving.urls["update_url"])[0] for _ in range(3)] == [200, 200, 200]
    serving.process.stdout = None


def test_without_json_it_prints_lines_for_people(environment, folder):
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "capgo_client",
            "serve",
            "--bundle",
            folder,
            "--version",
            "1.1.0",
            "--fault",
            "drip-body",
        ],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        lines = [process.stdout.readline() for _ in range(6)]
    finally:
        process.kill()
        process.communicate()

    assert [line.split()[0] for line in lines[:3]] == ["update_url", "stats_url", "channel_url"]
    assert lines[3].split() == ["offers", "1.1.0"]
    assert lines[4].split(maxsplit=1) == ["fault", "drip-body: Sends the body one byte a second.\n"]


def test_the_list_has_every_fault_with_its_description(command):
    from capgo_client.testing import FAULTS

    listed = command("serve", "--list")

    assert listed.returncode == 0
    words = {line.split()[0]: line for line in listed.stdout.splitlines() if line.startswith("  ")}
    assert set(words) == set(FAULTS)
    assert all(fault.description in words[name] for name, fault in FAULTS.items())
    assert f"{len(FAULTS)} faults" in listed.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--fault", "drop-body"], "did you mean drip-body"),
        (["--fault", "app-crashes"], "not a fault of the service"),
        (["--port", "70000"], "ports go from 0 to 65535"),
        (["--nth", "0"], "counted from 1"),
        (["--probability", "1.5"], "a chance is from 0 to 1"),
        (["--bundle", "."], "belong together"),
        (["--manifest"], "give a --bundle as well"),
        (["--bundle", "nowhere", "--version", "1.1.0"], "no such folder"),
        (["--bundle", ".", "--version", "latest"], "'latest' is not semver"),
        (["--bundle", ".", "--version", "1.1.0", "--keys", "nowhere.pem"], "private key"),
        (["--bundle", ".", "--version", "1.1.0", "--keys", __file__], "private key"),
        (["--fault", "http-500", "--on", "nowhere"], "invalid choice"),
    ],
)
def test_what_it_does_not_understand_ends_with_2_and_a_hint(capsys, arguments, told):
    try:
        code = main(["serve", *arguments])
    except SystemExit as exc:  # argparse
        code = exc.code

    answered = capsys.readouterr()
    assert code == 2
    assert told in answered.err
    assert answered.out == ""


def test_a_taken_port_ends_with_2_and_names_it(command):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answered = command("serve", "--port", port)

    assert answered.returncode == 2
    assert f"--port {port}" in answered.stderr
    assert "Traceback" not in answered.stderr


@pytest.mark.skipif(os.name == "nt", reason="Windows has neither pipes in folders nor links for everybody")
@pytest.mark.parametrize("what", ["is a link that leads to no file", "is neither a file nor a folder"])
@pytest.mark.parametrize("form", [[], ["--json"]], ids=["in words", "as JSON"])
def test_a_folder_that_no_device_would_install_is_not_served(command, tmp_path, what, form):
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "main.py").write_text("print()")
    (folder / "odd").symlink_to("nowhere") if "link" in what else os.mkfifo(folder / "odd")

    answered = command("serve", "--bundle", folder, "--version", "1.1.0", *form)

    assert answered.returncode == 1
    assert f"refused: archive_type: odd {what}" in answered.stderr
    assert answered.stderr.endswith("not served: no device would install this bundle\n")
    if form:
        assert json.loads(answered.stdout)["refused"] == [{"code": "archive_type", "problem": f"odd {what}"}]


def test_an_empty_folder_is_a_mistake(command, tmp_path):
    (tmp_path / "bundle").mkdir()
    answered = command("serve", "--bundle", "bundle", "--version", "1.1.0")
    assert answered.returncode == 2
    assert "there is no file in it" in answered.stderr


def test_a_file_of_the_bundle_that_cannot_be_read_is_named(tmp_path, capsys, monkeypatch):
    (tmp_path / "main.py").write_text("print()")

    def refuse(path, *_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    assert main(["serve", "--bundle", str(tmp_path), "--version", "1.1.0"]) == 2
    assert f"{tmp_path / 'main.py'} cannot be read: Permission denied" in capsys.readouterr().err
