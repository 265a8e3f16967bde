"""What an update would cost, before it is taken: missing files and their sizes (plugin section 1.5, service 1.7)."""

from __future__ import annotations

import os

import pytest

from capgo_client import ConfigError, DownloadSize, IntegrityError, ManifestEntry, MissingFiles
from capgo_client.testing import make_bundle, silent_peer

FILES = {
    "main.py": b"print('same')\n",
    "changed.py": b"print('old')\n",
    "data.bin": bytes(range(256)) * 40,
}
NEW = {**FILES, "changed.py": b"print('new')\n", "more.py": b"# more\n"}


@pytest.fixture
def delta(app):
    """A device that runs FILES; the service offers NEW as a delta."""
    app.publish("1.5.0", FILES)
    updater = app.launch()
    assert updater.wait(20)
    app.close()
    updater = app.launch(update_url="")
    updater.notify_app_ready()
    app.close()
    app.service.publish(make_bundle("1.6.0", NEW, manifest=True))
    return app


def names(entries):
    return sorted(entry.file_name for entry in entries)


def test_what_is_missing_is_told_without_asking_anybody(delta):
    updater = delta.launch(auto_update="off")
    offer = updater.get_latest()
    asked = len(delta.service.requests)
    found = updater.get_missing_bundle_files(offer.manifest, session_key=offer.session_key)
    assert isinstance(found, MissingFiles)
    assert names(found.missing) == ["changed.py", "more.py"]
    assert (found.total, found.missing_count, found.reusable_count) == (4, 2, 2)
    assert len(delta.service.requests) == asked


def test_the_sizes_are_the_services(delta):
    updater = delta.launch(auto_update="off")
    offer = updater.get_latest()
    size = updater.get_bundle_download_size(offer.manifest, version=offer.version)
    assert isinstance(size, DownloadSize)
    assert (size.known_files, size.unknown_files) == (4, 0)
    assert {each.file_name: each.size for each in size.files}["changed.py"] == len(NEW["changed.py"])
    assert size.total_size == sum(each.size for each in size.files)
    sent = delta.service.requests[-1]
    assert (sent.method, sent.path) == ("POST", "/updates/manifest_size")
    assert sent.json["version"] == "1.6.0"
    assert len(sent.json["manifest"]) == 4


def test_the_latest_version_may_tell_what_it_would_cost(delta):
    updater = delta.launch(auto_update="off")
    offer = updater.get_latest(include_bundle_size=True)
    assert names(offer.missing) == ["changed.py", "more.py"]
    assert offer.download_size == len(NEW["changed.py"]) + len(NEW["more.py"])
    assert updater.download(offer).version == "1.6.0"


def test_an_empty_manifest_costs_nothing_and_asks_nobody(delta):
    updater = delta.launch(auto_update="off")
    asked = len(delta.service.requests)
    assert updater.get_bundle_download_size([]) == DownloadSize()
    assert len(delta.service.requests) == asked


def test_a_size_that_cannot_be_had_stands_in_each_file(delta):
    updater = delta.launch(auto_update="off")
    offer = updater.get_latest()
    delta.service.stop()
    size = updater.get_bundle_download_size(offer.manifest)
    assert (size.total_size, size.known_files, size.unknown_files) == (0, 0, 4)
    assert {each.error for each in size.files} == {"request_error"}


@pytest.mark.promise(1)
def test_a_service_that_is_silent_is_not_waited_for(delta):
    updater = delta.launch(auto_update="off", allow_modify_url=True, response_timeout=0.1)
    offer = updater.get_latest()
    with silent_peer() as peer:
        updater.set_update_url(f"{peer.url}/updates")
        size = updater.get_bundle_download_size(offer.manifest)
    assert {each.error for each in size.files} == {"timeout_error"}


def test_a_manifest_that_proves_nothing_is_an_error_of_ours(delta):
    updater = delta.launch(auto_update="off")
    entry = ManifestEntry("../evil.py", "ab" * 32, f"{delta.service.url}/x")
    with pytest.raises(IntegrityError) as caught:
        updater.get_missing_bundle_files([entry])
    assert caught.value.code == "manifest_path_fail"


ASKS = {
    "get_missing_bundle_files": lambda u, manifest: u.get_missing_bundle_files(manifest),
    "get_bundle_download_size": lambda u, manifest: u.get_bundle_download_size(manifest),
    "download": lambda u, manifest: u.download("https://404.capgo.app/no.zip", "1.6.0", manifest=manifest),
}
ENTRY = {"file_name": "x", "file_hash": "ab" * 32, "download_url": "http://127.0.0.1:1/x"}


@pytest.mark.parametrize("ask", ASKS)
@pytest.mark.parametrize(
    "wrong",
    [[{"file_name": "x"}], ["x"], [None], 7, [{**ENTRY, "file_name": 7}], [{**ENTRY, "download_url": "x"}]],
    ids=repr,
)
def test_what_is_no_manifest_is_a_config_error(delta, ask, wrong):
    with pytest.raises(ConfigError):
        ASKS[ask](delta.launch(auto_update="off"), wrong)


def test_a_manifest_may_come_as_plain_mappings(delta):
    updater = delta.launch(auto_update="off")
    offer = updater.get_latest()
    plain = [
        {"file_name": entry.file_name, "file_hash": entry.file_hash, "download_url": entry.download_url}
        for entry in offer.manifest
    ]
    assert updater.get_missing_bundle_files(plain) == updater.get_missing_bundle_files(offer.manifest)
    assert updater.get_bundle_download_size(plain).known_files == 4
    # Only the files, as after an upload without an archive.
    bundle = updater.download("https://404.capgo.app/no.zip", "1.6.0", checksum=offer.checksum, manifest=plain)
    assert (bundle.path / "changed.py").read_bytes() == NEW["changed.py"]


def test_a_damaged_file_counts_as_missing(delta):
    updater = delta.launch(auto_update="off")
    offer = updater.get_latest()
    path = updater.current.path / "main.py"
    os.chmod(path, 0o600)
    path.write_bytes(b"print('evil')\n")
    found = updater.get_missing_bundle_files(offer.manifest)
    assert names(found.missing) == ["changed.py", "main.py", "more.py"]
