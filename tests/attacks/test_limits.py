"""What a bundle may cost is the app's to say; it is asked before anything is written, and counted while it is (P7)."""

from __future__ import annotations

import threading

import pytest
from attacked import contents, sha256
from depot import send

from capgo_client import ConfigError, IntegrityError, NetworkError
from capgo_client.fetch.inflate import can_inflate
from capgo_client.protocol.outcomes import ManifestEntry
from capgo_client.testing.raw_zip import DEFLATED, RawEntry, deflated, raw_zip

NAMES = ["max_download_bytes", "max_bundle_bytes", "max_file_bytes", "max_files", "max_ratio"]
HIGHEST = {"max_files": 100_000, "max_ratio": 100_000}
MIB = 1 << 20


@pytest.fixture
def limited(plain_device):
    """The device with other limits, for one test."""

    def change(**limits):
        plain_device.relaunch(**limits)
        return plain_device

    yield change
    plain_device.depot.scripts.clear()
    plain_device.depot.objects.clear()
    for name in NAMES:
        plain_device.options.pop(name, None)
    plain_device.relaunch()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [0, -1, 1.5, "10", None, True, 2**63])
def test_a_limit_is_a_whole_number_in_its_range_or_the_updater_is_not_built(limited, name, value):
    with pytest.raises(ConfigError) as caught:
        limited(**{name: value})
    assert caught.value.message.startswith(f"{name}: ")
    assert str(HIGHEST.get(name, 1 << 40)) in caught.value.hint


@pytest.mark.parametrize("name", NAMES)
def test_the_lowest_and_the_highest_are_taken(limited, name):
    limited(**{name: 1})
    limited(**{name: HIGHEST.get(name, 1 << 40)})


PLAIN = raw_zip(RawEntry(b"main.py", b"x" * 1000), RawEntry(b"d/a.bin", bytes(500), method=DEFLATED))


@pytest.mark.promise(7)
@pytest.mark.parametrize(
    ("limits", "code", "exact"),
    [
        ({"max_file_bytes": 999}, "archive_limit_file", {"max_file_bytes": 1000}),
        ({"max_bundle_bytes": 1499}, "archive_limit_total", {"max_bundle_bytes": 1500}),
        ({"max_files": 1}, "archive_limit_entries", {"max_files": 2}),
        ({"max_download_bytes": len(PLAIN) - 1}, "bundle_too_large", {"max_download_bytes": len(PLAIN)}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bundle_above_a_limit_is_refused_before_anything_is_written_and_one_just_below_installs(
    limited, limits, code, exact
):
    device = limited(**limits)
    error = device.refused(device.install, PLAIN)
    assert error.code == code
    assert next(iter(limits)) in error.hint
    assert device.files.staged == []
    device = limited(**exact)
    device.remove(device.install(PLAIN))


def test_the_ratio_is_asked_of_what_unpacks_to_more_than_64_mib(limited):
    size = 65 * MIB
    lying = RawEntry(b"z.bin", b"", method=DEFLATED, packed=deflated(bytes(MIB)) + bytes(MIB), size=size)
    device = limited(max_ratio=60)
    assert device.refused(device.install, raw_zip(RawEntry(b"main.py"), lying)).code == "archive_limit_ratio"
    assert device.files.staged == []
    device = limited(max_ratio=70)
    assert device.refused(device.install, raw_zip(RawEntry(b"main.py"), lying)).code == "unzip_fail"


@pytest.mark.promise(7)
def test_a_directory_that_lies_is_found_out_while_it_is_unpacked(limited):
    """It admits ten bytes, so no limit is broken by what it says; there are eight megabytes."""
    device = limited(max_bundle_bytes=10_000)
    small = RawEntry(b"z.bin", bytes(10), method=DEFLATED, packed=deflated(bytes(8 * MIB)))
    plain = raw_zip(RawEntry(b"main.py"), small)
    assert device.refused(device.install, plain).code == "size_mismatch"
    assert device.files.written < 3 * len(plain)


# ---- what is announced on the way ----


def listed(device, name, content, *, served=None):
    url = device.depot.put(f"/o/{name}", content if served is None else served)
    return ManifestEntry(name, sha256(content), url)


def bring(device, *entries):
    device.made += 1
    return device.updater.download("", f"3.0.{device.made}", manifest=entries)


def test_a_length_above_the_limit_is_refused_before_the_first_byte(limited):
    device = limited(max_download_bytes=5000)
    asked = threading.Event()

    def behave(handler, data):
        asked.set()
        handler.send_response(200)
        handler.send_header("Content-Length", "5001")
        handler.end_headers()
        handler.wfile.flush()
        handler.connection.recv(1)  # until the client hangs up: it does so without having seen a byte of the body
        handler.close_connection = True

    device.depot.scripts["/big.zip"] = [behave]
    url = device.depot.put("/big.zip", b"")
    error = device.refused(device.updater.download, url, "4.0.0", checksum="a" * 64)
    assert asked.is_set()
    assert error.code == "bundle_too_large"
    assert device.files.written < 20_000  # state and note


def endless(handler, data):
    """No length, and no end."""
    handler.send_response(200)
    handler.send_header("Connection", "close")
    handler.end_headers()
    handler.close_connection = True
    for _ in range(1000):
        handler.wfile.write(bytes(64 << 10))


@pytest.mark.promise(7)
def test_a_body_without_a_length_ends_at_the_limit(limited):
    device = limited(max_download_bytes=300_000)
    device.depot.scripts["/endless.zip"] = [endless]
    url = device.depot.put("/endless.zip", b"")
    error = device.refused(device.updater.download, url, "4.0.1", checksum="a" * 64)
    assert error.code == "bundle_too_large"
    assert device.files.written < 400_000


def test_more_than_the_announced_length_is_not_read(limited):
    device = limited()
    short = sha256(PLAIN)

    def behave(handler, data):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(PLAIN)))
        handler.end_headers()
        handler.wfile.write(PLAIN + b"more" * 1000)
        handler.close_connection = True

    device.depot.scripts["/more.zip"] = [behave]
    bundle = device.updater.download(device.depot.put("/more.zip", b""), "4.0.2", checksum=short)
    assert sorted(contents(bundle.path)) == ["d/a.bin", "main.py"]
    device.remove(bundle)


def test_less_than_the_announced_length_is_no_bundle(limited):
    device = limited()

    def behave(handler, data):
        send(handler, PLAIN, stop=100)

    device.depot.scripts["/less.zip"] = [behave] * 3
    url = device.depot.put("/less.zip", b"")
    with pytest.raises(NetworkError):
        device.updater.download(url, "4.0.3", checksum=sha256(PLAIN))
    assert [path.name for path in (device.data / "staging").iterdir()] == []
    device.depot.scripts.clear()
    device.depot.put("/less.zip", PLAIN)
    device.remove(device.updater.download(url, "4.0.3", checksum=sha256(PLAIN)))  # what had come is of use


# ---- deltas ----


@pytest.mark.promise(7)
def test_a_manifest_with_too_many_files_asks_for_none_of_them(limited):
    device = limited(max_files=2)
    entries = [listed(device, f"{n}.py", b"%d" % n) for n in range(3)]
    device.depot.log.clear()
    error = device.refused(bring, device, *entries)
    assert error.code == "manifest_too_long"
    assert device.depot.log == []
    device.remove(bring(device, *entries[:2]))


@pytest.mark.parametrize(
    ("limits", "exact"),
    [
        ({"max_file_bytes": 2999}, {"max_file_bytes": 3000}),
        ({"max_bundle_bytes": 8999}, {"max_bundle_bytes": 9000}),
        ({"max_download_bytes": 8999}, {"max_download_bytes": 9000}),
    ],
    ids=["file", "bundle", "download"],
)
def test_what_the_files_of_a_manifest_really_are_counts(limited, limits, exact):
    """A manifest says no sizes that anything could rest on."""
    device = limited(**limits)
    entries = [listed(device, f"{n}.py", bytes([n]) * 3000) for n in range(3)]
    error = device.refused(bring, device, *entries)
    assert error.code == "bundle_too_large"
    assert next(iter(limits)) in error.hint
    device = limited(**exact)
    device.remove(bring(device, *entries))


@pytest.mark.promise(7)
def test_files_without_an_end_stop_at_the_limit_of_the_whole_download(limited):
    """Eight at a time, each below the limit of a file: they are counted together, and before any of them is whole."""
    device = limited(max_download_bytes=2 * MIB, max_file_bytes=2 * MIB)
    names = [f"{n}.py" for n in range(8)]
    entries = [listed(device, name, name.encode(), served=b"") for name in names]
    device.depot.scripts.update({f"/o/{name}": [endless] * 4 for name in names})
    error = device.refused(bring, device, *entries)
    assert error.code == "bundle_too_large"
    assert device.files.written < 4 * MIB


@pytest.mark.skipif(not can_inflate(), reason="needs the extra delta")
@pytest.mark.promise(7)
def test_brotli_that_grows_is_counted_while_it_does(limited):
    import brotli

    device = limited(max_file_bytes=1_000_000)
    bomb = brotli.compress(bytes(30 * MIB), quality=4)
    entry = listed(device, "a.bin.br", bytes(30 * MIB), served=bomb)
    error = device.refused(bring, device, entry)
    assert (type(error), error.code) == (IntegrityError, "bundle_too_large")
    assert device.files.written < 1_300_000
    device = limited(max_file_bytes=30 * MIB)
    device.remove(bring(device, entry))
