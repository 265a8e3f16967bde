"""A bundle that its own record refuses: the code in every place where an app looks for it, once, and nothing kept."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace

import pytest

from capgo_client.install.record import FileRecord
from capgo_client.protocol.outcomes import ManifestEntry, Update
from capgo_client.testing import make_bundle
from capgo_client.verify.bound import MAX_RECORD_BYTES, RECORD_NAME, seal_record

pytest.importorskip("brotli", reason="deltas need the extra delta")

FILES = {"main.py": b"print(1)\n", "data/a.txt": b"a"}
PLACES = ("staging", "downloads", "trash", "installs")


def sealed(files, version, *, app_id="com.example.notes", **conditions):
    facts = [FileRecord(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in files.items()]
    return {**files, RECORD_NAME: seal_record(facts, app_id=app_id, version=version, **conditions)}


def with_record(**changes):
    document = json.loads(sealed(FILES, "1.5.0")[RECORD_NAME])
    return {**FILES, RECORD_NAME: json.dumps({**document, **changes}).encode()}


@dataclass(frozen=True)
class Row:
    code: str
    files: dict

    def __str__(self):
        return self.code


ROWS = (
    Row("bound_required", FILES),
    Row("bound_malformed", with_record(comment="a member that schema 1 does not know")),
    Row("bound_schema", with_record(schema=2)),
    Row("bound_app", sealed(FILES, "1.5.0", app_id="com.example.other")),
    Row("bound_version", sealed(FILES, "1.4.9")),
    Row("bound_files", {**sealed(FILES, "1.5.0"), "extra.py": b"x"}),
    Row("requires_python", sealed(FILES, "1.5.0", requires_python="<3.5")),
    Row("platform_unsupported", sealed(FILES, "1.5.0", platforms=["amiga"])),
    Row("min_app_version", sealed(FILES, "1.5.0", min_app_version="1.4.1")),
)


class Device:
    """One device that trusts one publisher and insists on records."""

    def __init__(self, app):
        self.app = app
        self.options = {"public_key": app.keys.public_pem, "require_bound": True}
        self.failures = []

    def offer(self, version, files, *, by_files):
        bundle = make_bundle(version, files, keys=self.app.keys, manifest=by_files)
        self.app.service.publish(bundle, delta_only=by_files)

    def launch(self):
        """One start and its check; what explain() says of it."""
        self.app.close()
        at_once = {"dispatch": lambda deliver: deliver()}  # so that wait() has seen them all
        updater = self.app.updater(**self.options, **at_once)
        updater.on("download_failed", lambda event: self.failures.append((event.version, event.error)))
        updater.start()
        assert updater.wait(20)
        self.queued = updater.next_bundle and updater.next_bundle.version
        return updater.explain()

    @property
    def downloads(self):
        return len(self.app.service.downloads)

    def left(self):
        return [str(path) for place in PLACES for path in (self.app.data / place).rglob("*")]


@pytest.fixture
def device(app):
    return Device(app)


@pytest.mark.promise(6)
@pytest.mark.parametrize("by_files", [False, True], ids=["zip", "delta"])
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_each_condition_has_its_code_is_told_once_and_leaves_nothing(device, row, by_files):
    device.offer("1.5.0", row.files, by_files=by_files)

    told = device.launch()

    assert (told.answer, told.result_code, device.queued) == ("update", row.code, None)
    assert f"[{row.code}]" in str(told)
    assert "is not fetched again" in told.remedy
    assert device.failures == [("1.5.0", row.code)]
    assert device.left() == []
    fetched = device.downloads
    assert fetched > 0
    assert device.launch().result_code == "failed_before"
    assert (device.downloads, len(device.failures)) == (fetched, 1)


@pytest.mark.promise(6)
@pytest.mark.parametrize("by_files", [False, True], ids=["zip", "delta"])
def test_the_harmless_twin_of_all_of_them_is_installed(device, by_files):
    files = sealed(FILES, "1.5.0", requires_python=">=3.10", platforms=["linux", "darwin", "win32"])
    device.offer("1.5.0", files, by_files=by_files)
    device.launch()
    assert device.queued == "1.5.0"


def without(name):
    return lambda bundle: replace(bundle, manifest=tuple(e for e in bundle.manifest if e.file_name != name))


@pytest.mark.promise(6)
@pytest.mark.parametrize(
    ("name", "code"), [("data/a.txt", "bound_files"), (RECORD_NAME, "bound_required")], ids=["a file", "the record"]
)
def test_a_spoilt_list_does_not_turn_the_device_against_the_right_one(device, name, code):
    # Whoever spoils a list sends the right checksum beside it, for nobody signs the two together.
    files = sealed(FILES, "1.5.0")
    bundle = make_bundle("1.5.0", files, keys=device.app.keys, manifest=True)
    device.app.service.publish(without(name)(bundle), delta_only=True)
    assert device.launch().result_code == code
    assert device.launch().result_code == "failed_before"

    device.app.service.publish(bundle, delta_only=True)
    device.launch()

    assert device.queued == "1.5.0"


@pytest.mark.promise(6)
@pytest.mark.parametrize("alone_before", [False, True], ids=["at once", "refused before without the archive"])
def test_with_an_archive_beside_it_a_spoilt_list_only_costs_the_download(device, alone_before):
    bundle = make_bundle("1.5.0", sealed(FILES, "1.5.0"), keys=device.app.keys, manifest=True)
    if alone_before:
        device.app.service.publish(without("data/a.txt")(bundle), delta_only=True)
        assert device.launch().result_code == "bound_files"
    device.app.service.publish(without("data/a.txt")(bundle))
    device.launch()
    assert device.queued == "1.5.0"
    assert [path for path in device.left() if "downloads" in path] == []


def test_a_list_is_known_again_in_any_order_and_in_any_process():
    entries = tuple(ManifestEntry(name, name * 64, f"http://{name}/") for name in "fedcba")
    mark = Update(version="1.5.0", manifest=entries, status=200).list_mark
    expected = hashlib.sha256("".join(f"{name}\n{name * 64}\n" for name in "abcdef").encode()).hexdigest()
    assert mark == f"files:{expected}"
    assert Update(version="1.5.0", manifest=entries[::-1], status=200).list_mark == mark
    assert Update(version="1.5.0", manifest=entries[1:], status=200).list_mark != mark


@pytest.mark.promise(6)
def test_a_record_of_any_size_has_a_code_and_is_not_fetched_again(device):
    device.offer("1.5.0", {**FILES, RECORD_NAME: b" " * (MAX_RECORD_BYTES + 1)}, by_files=False)
    assert device.launch().result_code == "bound_malformed"
    assert device.launch().result_code == "failed_before"
    assert device.left() == []
