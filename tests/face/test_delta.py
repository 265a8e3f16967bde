"""Delta updates as an app sees them: published, found, brought by their files, opened."""

from __future__ import annotations

import dataclasses
import json
import sys
import threading
import time
import zipfile

import pytest
from delta_stage import BUNDLES, PUBLIC_KEY, contents, hashes, tree

from capgo_client.errors import CapgoError
from capgo_client.testing import make_bundle
from capgo_client.testing.delta import ManifestFile

CODE = {f"pkg/m{n}.py": f"x = {n}\n" * (40 if n % 2 else 2000) for n in range(12)}
V2 = {"main.py": "print(2)\n", "pkg/__init__.py": "# a package\n", "assets/names.br": "Breton\n", **CODE}
V3 = {**V2, "main.py": "print(3)\n", "pkg/m1.py": "x = 'changed'\n"}


def published(app, version, files, **options):
    keys = options.pop("keys", None)
    bundle = make_bundle(version, files, keys=keys, manifest=True)
    app.service.publish(bundle, **options)
    return bundle


def opened(app, version, **options):
    """Let one launch bring it and the next open it; the folder that the app gets."""
    first = app.launch(**options)
    assert first.wait(20)
    assert first.next_bundle is not None, str(first.explain())
    second = app.launch(**options)
    assert second.current.version == version
    second.notify_app_ready()
    assert second.wait(20)
    assert second.verify(second.current, full=True).problems == ()
    return second.current.path


def names_asked(app):
    """The names of the files that were downloaded, without what stands before them in the store."""
    return sorted(request.path.rpartition("_")[2] for request in app.service.downloads)


@pytest.mark.parametrize("signed", [False, True], ids=["plain", "signed and encrypted"])
class TestOneAfterTheOther:
    def options(self, app, signed):
        return {"public_key": app.keys.public_pem} if signed else {}

    def test_only_what_changed_is_downloaded_and_the_rest_is_what_it_was(self, app, signed):
        options, keys = self.options(app, signed), app.keys if signed else None
        published(app, "2.0.0", V2, keys=keys)
        assert contents(opened(app, "2.0.0", **options)) == {name: data.encode() for name, data in V2.items()}
        before = len(app.service.downloads)
        published(app, "3.0.0", V3, keys=keys)
        assert contents(opened(app, "3.0.0", **options)) == {name: data.encode() for name, data in V3.items()}
        assert len(app.service.downloads) - before == 2

    def test_a_version_without_an_archive_installs_too(self, app, signed):
        published(app, "2.0.0", V2, keys=app.keys if signed else None, delta_only=True)
        path = opened(app, "2.0.0", **self.options(app, signed))
        assert contents(path) == {name: data.encode() for name, data in V2.items()}

    def test_what_came_as_an_archive_is_used_for_the_next(self, app, signed):
        options, keys = self.options(app, signed), app.keys if signed else None
        app.service.publish(make_bundle("2.0.0", V2, keys=keys))
        opened(app, "2.0.0", **options)
        assert len(app.service.downloads) == 1
        published(app, "3.0.0", V3, keys=keys)
        opened(app, "3.0.0", **options)
        assert len(app.service.downloads) == 3

    def test_a_wrong_file_makes_it_the_archive(self, app, signed):
        keys = app.keys if signed else None
        bundle = make_bundle("2.0.0", V2, keys=keys, manifest=True)
        bad = dataclasses.replace(bundle.manifest[0], data=bundle.manifest[1].data)
        app.service.publish(dataclasses.replace(bundle, manifest=(bad, *bundle.manifest[1:])))
        path = opened(app, "2.0.0", **self.options(app, signed))
        assert contents(path) == {name: data.encode() for name, data in V2.items()}
        assert any(request.path.endswith(".zip") for request in app.service.downloads)


def test_the_builtin_files_are_not_downloaded(app):
    (app.builtin / "main.py").write_text(V2["main.py"])
    (app.builtin / "elsewhere.py").write_text(V2["pkg/m0.py"])
    published(app, "2.0.0", V2)
    opened(app, "2.0.0")
    assert len(app.service.downloads) == len(V2) - 2
    assert "main.py" not in names_asked(app)


def test_without_brotli_it_is_the_archive(app, monkeypatch):
    published(app, "2.0.0", V2)
    monkeypatch.setitem(sys.modules, "brotli", None)
    opened(app, "2.0.0")
    assert [request.path.endswith(".zip") for request in app.service.downloads] == [True]


def test_without_brotli_and_without_an_archive_it_is_an_outcome_with_a_code(app, monkeypatch):
    published(app, "2.0.0", V2, delta_only=True)
    monkeypatch.setitem(sys.modules, "brotli", None)
    updater = app.launch()
    assert updater.wait(20)
    assert updater.current.version == updater.builtin.version
    assert updater.next_bundle is None
    assert "install capgo-client[delta]" in str(updater.explain())


@pytest.mark.parametrize(
    "manifest",
    [
        [{"file_name": "../x", "file_hash": "0" * 64, "download_url": "http://127.0.0.1:1/x"}],
        [{"file_name": "x", "file_hash": "0" * 8, "download_url": "http://127.0.0.1:1/x"}],
        [{"file_name": "x", "file_hash": 5, "download_url": "http://127.0.0.1:1/x"}],
        [{"file_name": "x"}],
        {"file_name": "x"},
        ["x"],
        "x",
        [{"file_name": "\ud800", "file_hash": "0" * 64, "download_url": "http://127.0.0.1:1/x"}],
        [{"file_name": "x", "file_hash": "0" * 64, "download_url": "file:///etc/passwd"}],
        [{"file_name": "x", "file_hash": "0" * 64, "download_url": "http://127.0.0.1:1/x"}],
    ],
    ids=["path", "crc", "number", "half", "object", "texts", "text", "surrogate", "scheme", "nobody there"],
)
def test_a_malformed_manifest_is_an_outcome_and_the_app_goes_on(app, manifest):
    app.service.publish(make_bundle("2.0.0", V2), extra={"manifest": manifest, "url": "https://404.capgo.app/no.zip"})
    updater = app.launch()
    assert updater.wait(20)
    assert updater.current.version == updater.builtin.version
    assert updater.next_bundle is None
    app.publish("2.0.1")
    assert app.launch().wait(20)
    assert app.launch().current.version == "2.0.1"


def fixture_bundle(version, name):
    """What Capgo's command line made, as the kit publishes it."""
    offer = json.loads((BUNDLES / f"updates-{name.removesuffix('.nobrotli')}.json").read_text("utf-8"))
    entries = json.loads((BUNDLES / f"manifest-{name}.json").read_text("utf-8"))
    with zipfile.ZipFile(BUNDLES / "v1.zip") as archive:
        big = archive.read("assets/big.dat")

    def data(entry):
        path = BUNDLES / "served" / entry["download_url"].removeprefix("@BASE@/")
        return path.read_bytes() if path.exists() else big

    session = offer["session_key"]
    return dataclasses.replace(
        make_bundle(version, {"x": b"x"}),
        archive=(BUNDLES / f"{name.removesuffix('.nobrotli')}.zip").read_bytes(),
        checksum=offer["checksum"],
        session_key=session,
        manifest=tuple(ManifestFile(e["file_name"], e["file_hash"], data(e), session) for e in entries),
    )


@pytest.mark.parametrize("kind", ["", ".enc"], ids=["plain", "signed and encrypted"])
def test_what_capgos_command_line_made_installs_byte_for_byte_one_version_after_the_other(app, kind):
    options = {"public_key": PUBLIC_KEY} if kind else {}
    app.service.publish(fixture_bundle("2.0.0", f"v1{kind}"), delta_only=True)
    assert hashes(contents(opened(app, "2.0.0", **options))) == tree("v1")
    before = len(app.service.downloads)
    app.service.publish(fixture_bundle("3.0.0", f"v2{kind}"), delta_only=True)
    assert hashes(contents(opened(app, "3.0.0", **options))) == tree("v2")
    assert len(app.service.downloads) - before == 2


def test_what_would_be_downloaded_can_be_asked_for_and_costs_nothing(app):
    published(app, "2.0.0", V2)
    opened(app, "2.0.0")
    published(app, "3.0.0", V3)
    updater = app.launch(auto_update="off")
    before = len(app.service.downloads)
    update = updater.get_latest()
    found = updater.get_missing_bundle_files(update.manifest, session_key=update.session_key)
    assert {entry.file_name for entry in found.missing} == {"main.py", "pkg/m1.py"}
    assert found.total == len(V3)
    assert len(app.service.downloads) == before


def test_a_delta_by_hand(app):
    published(app, "2.0.0", V2, delta_only=True)
    updater = app.launch(auto_update="off")
    bundle = updater.download(updater.get_latest())
    assert contents(bundle.path) == {name: data.encode() for name, data in V2.items()}


def test_a_delta_by_hand_that_fails_says_why(app):
    bundle = make_bundle("2.0.0", V2, manifest=True)
    bad = dataclasses.replace(bundle.manifest[0], data=b"wrong")
    app.service.publish(dataclasses.replace(bundle, manifest=(bad, *bundle.manifest[1:])), delta_only=True)
    updater = app.launch(auto_update="off")
    with pytest.raises(CapgoError) as caught:
        updater.download(updater.get_latest())
    assert caught.value.code in ("download_manifest_checksum_fail", "download_manifest_brotli_fail")


@pytest.mark.promise(9)
def test_closing_in_the_middle_leaves_no_thread(app):
    published(app, "2.0.0", V2)
    app.service.set_fault("silence", on="download")
    updater = app.launch()
    updater.trigger_update_check()
    app.service.wait_for_requests(8, on="download")
    began = time.monotonic()
    updater.close()
    assert time.monotonic() - began < 0.3
    for thread in threading.enumerate():
        if thread.name == "capgo-fetch":
            thread.join(1)
            assert not thread.is_alive()
