"""The faults of the bytes that are packed anew: each is wrong in the one way that its name says, and refused for it."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path

import brotli
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from capgo_client.testing import FAULTS, HOSTILE_ARCHIVES, BundleKeys, make_bundle
from capgo_client.testing.arranging import ActiveFault
from capgo_client.testing.repacking import sign_the_hundred
from capgo_client.testing.stage import Stage
from capgo_client.verify.keys import KeyRing
from capgo_client.verify.pem import parse_public_key

FILES = {"main.py": b"print('new')\n" * 50, "data/a.txt": b"a" * 500, "data/b.txt": b"b" * 500}
FIXTURES = Path(__file__).parent.parent / "data" / "hostile"


@pytest.fixture(params=["plain", "signed"])
def keys(request):
    return BundleKeys.generate() if request.param == "signed" else None


@pytest.fixture
def update(service, keys):
    bundle = make_bundle("1.1.0", FILES, keys=keys)
    service.publish(bundle)
    return bundle


def opened(session_key, archive, *, padded=True):
    """What the publisher's key makes of an encrypted archive, with or without taking the padding off."""
    vector, signed = (base64.b64decode(part) for part in session_key.split(":"))
    key = KeyRing((parse_public_key(BundleKeys.generate().public_pem),)).recover(signed)
    engine = Cipher(algorithms.AES(key), modes.CBC(vector)).decryptor()
    plain = engine.update(archive) + engine.finalize()
    return plain[: -plain[-1]] if padded else plain


@dataclass
class Offered:
    said: dict
    archive: bytes

    @property
    def plain(self):
        return opened(self.said["session_key"], self.archive) if self.said["session_key"] else self.archive


@pytest.fixture
def offered(service, client, check):
    def ask(name, **options):
        with service.fault(name, **options):
            said = check()
        return Offered(said, client.get(said["url"]).content)

    return ask


def checksum_fits(offer, keys):
    digest = hashlib.sha256(offer.plain).hexdigest()
    return offer.said["checksum"] == (digest if keys is None else keys.sign_checksum(digest))


def test_a_wrong_key_is_a_stranger_s_and_everything_else_holds(offered, update, keys):
    said = offered("wrong-key").said
    digest = hashlib.sha256(update.plain).hexdigest()
    assert said["version"] == "1.1.0"
    assert said["checksum"] == BundleKeys.generate("stranger").sign_checksum(digest)
    assert said["session_key"] != ""


def test_a_wrong_session_key_is_the_publisher_s_own_but_opens_something_else(offered, update):
    offer = offered("wrong-session-key")
    garbled = opened(offer.said["session_key"], offer.archive, padded=False)
    assert offer.said["checksum"] == BundleKeys.generate().sign_checksum(update.sha256)
    assert not garbled.startswith(b"PK")
    assert len(garbled) == len(update.plain) // 16 * 16 + 16


def test_bad_padding_stands_behind_the_right_archive(offered, update):
    offer = offered("bad-padding")
    plain = opened(offer.said["session_key"], offer.archive, padded=False)
    assert plain[: len(update.plain)] == update.plain
    assert plain[-1] == 0  # PKCS#7 counts from 1


def test_a_truncated_zip_has_a_checksum_that_holds(offered, update, keys):
    offer = offered("truncated-zip", at=0.25)
    assert offer.plain == update.plain[: len(update.plain) // 4]
    assert checksum_fits(offer, keys)


@pytest.mark.parametrize("case", ["traversal", "symlink-file", "empty"])
def test_a_hostile_archive_has_a_checksum_that_holds(offered, update, keys, case):
    offer = offered("hostile-archive", case=case)
    assert offer.plain == HOSTILE_ARCHIVES[case]()
    assert checksum_fits(offer, keys)


def test_nothing_is_spoilt_where_nothing_is_on_offer(service, check):
    regular = check()
    for name in ("wrong-key", "wrong-session-key", "bad-padding", "truncated-zip", "manifest-extra", "brotli-bomb"):
        with service.fault(name):
            assert check() == regular


# Manifests


def listed(said):
    return {each["file_name"]: each for each in said["manifest"]}


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("missing", ["main.py", "data/a.txt"]),
        ("extra", [*FILES, "extra.py"]),
        ("swapped", ["data/a.txt", "main.py", "data/b.txt"]),
        ("renamed", ["renamed/main.py", "data/a.txt", "data/b.txt"]),
        ("duplicated", [*FILES, "main.py"]),
        ("escaping", [*FILES, "../capgo_evil.py"]),
    ],
)
def test_a_manifest_is_wrong_in_one_way_and_its_zip_is_right(offered, update, keys, name, names):
    offer = offered(f"manifest-{name}")
    assert [each["file_name"] for each in offer.said["manifest"]] == names
    assert offer.plain == update.plain
    assert checksum_fits(offer, keys)


@pytest.mark.parametrize("name", ["missing", "extra", "swapped", "renamed", "duplicated", "escaping"])
def test_every_file_of_a_wrong_manifest_is_the_one_that_its_hash_says(offered, update, keys, client, name):
    said = offered(f"manifest-{name}").said
    for each in said["manifest"]:
        data = client.get(each["download_url"]).content
        plain = opened(said["session_key"], data) if said["session_key"] else data
        digest = hashlib.sha256(plain).hexdigest()
        assert each["file_hash"] == (digest if keys is None else keys.sign_checksum(digest))


def test_swapped_entries_have_each_other_s_content(offered, update, keys):
    said = listed(offered("manifest-swapped").said)
    digest = hashlib.sha256(FILES["data/a.txt"]).hexdigest()
    assert said["main.py"]["file_hash"] == (digest if keys is None else keys.sign_checksum(digest))


def test_one_file_of_a_hundred_is_not_to_be_had(offered, update, client):
    sign_the_hundred(update)  # takes a while, and the client here waits for five seconds
    said = listed(offered("manifest-one-of-a-hundred").said)
    statuses = {name: client.get(each["download_url"]).status_code for name, each in said.items()}
    assert len([name for name in statuses if name.startswith("hundred/")]) == 100
    assert {name for name, status in statuses.items() if status != 200} == {"hundred/42.txt"}


def test_a_brotli_bomb_is_the_gigabyte_of_the_fixtures_in_less_than_a_kilobyte(offered, update, client, keys):
    said = offered("brotli-bomb").said
    data = client.get(listed(said)["main.py.br"]["download_url"]).content
    bomb = opened(said["session_key"], data) if keys else data
    assert bomb == (FIXTURES.parent / "bundles" / "served" / "hostile" / "bomb.br").read_bytes()
    assert len(bomb) == 809
    engine, size = brotli.Decompressor(), 0
    piece = engine.process(bomb, output_buffer_limit=1 << 22)
    while piece and size < 1 << 26:  # all of it takes seconds
        size += len(piece)
        piece = engine.process(b"", output_buffer_limit=1 << 22)
    assert size >= 1 << 26


def test_a_bundle_of_one_file_gets_company_so_that_something_can_be_missing(service, check):
    service.publish(make_bundle("1.2.0", {"main.py": "print()"}))
    with service.fault("manifest-missing"):
        assert [each["file_name"] for each in check()["manifest"]] == ["main.py"]
    with service.fault("manifest-swapped"):
        assert [each["file_name"] for each in check()["manifest"]] == ["company.txt", "main.py"]


def test_a_bundle_without_a_zip_stays_without_one(service, check):
    service.publish(make_bundle("1.2.0", FILES, manifest=True, brotli=False), delta_only=True)
    with service.fault("manifest-extra"):
        assert check()["url"] == "https://404.capgo.app/no.zip"


# What a device makes of them


@pytest.fixture
def stage(tmp_path, keys):
    with Stage(tmp_path, keys=keys) as made:
        made.publish("1.1.0", FILES)
        yield made


SEEN_BEFORE = ["wrong-key", "wrong-session-key", "wrong-checksum", "bad-padding"]
SEEN_AFTER = ["truncated-zip", "hostile-archive", "flip-bit", "short-body", "long-body", "lying-range"]


@pytest.mark.parametrize("name", [*SEEN_BEFORE, *SEEN_AFTER])
def test_a_device_takes_nothing_of_it_and_the_right_one_afterwards(stage, name):
    with FAULTS[name].arrange(stage):
        updater = stage.launch()
        assert updater.wait(10)
        assert updater.next_bundle is None
        assert stage.service.downloads or name in SEEN_BEFORE
        stage.end_launch()
    updater = stage.launch()
    assert updater.wait(10)
    assert updater.next_bundle.version == "1.1.0"


@pytest.mark.parametrize("name", ["ignore-range", "lying-range"])
@pytest.mark.parametrize("order", [{}, {"nth": 1}, {"times": 1}])
def test_a_fault_of_ranges_lets_the_download_break_off_first_and_takes_the_next(stage, name, order, monkeypatch):
    struck = []
    perform = ActiveFault.perform

    def noted(self, exchange):
        struck.append(self.fault.name)
        return perform(self, exchange)

    monkeypatch.setattr(ActiveFault, "perform", noted)
    with FAULTS[name].arrange(stage, **order):
        assert stage.launch().wait(10)
    assert "range" not in stage.service.downloads[0].headers
    assert "range" in stage.service.downloads[1].headers
    assert struck[:2] == ["cut-body", name]


@pytest.mark.parametrize("name", ["duplicated", "escaping", "one-of-a-hundred"])
def test_where_a_manifest_is_of_no_use_the_zip_is_taken(stage, name):
    with FAULTS[f"manifest-{name}"].arrange(stage):
        updater = stage.launch()
        assert updater.wait(10)
        stage.end_launch()
        opened = stage.launch(auto_update="off").current
    assert {p.relative_to(opened.path).as_posix() for p in opened.path.rglob("*") if p.is_file()} >= set(FILES)
    assert not [path for path in stage.data_dir.parent.rglob("*") if "capgo_evil" in path.name]
