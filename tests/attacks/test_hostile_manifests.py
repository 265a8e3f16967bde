"""Every hostile manifest is refused, through the public face, and nothing of it stays (P6, P7).

What the service lists is not signed as a whole, only each hash by itself; so everything but the hashes is a stranger's.
"""

from __future__ import annotations

import json

import pytest
from attacked import DATA, contents, manifest_cases, sha256

from capgo_client import CapgoError
from capgo_client.fetch.inflate import can_inflate
from capgo_client.protocol.outcomes import Failed, ManifestEntry, Update
from capgo_client.protocol.updates import classify_update
from capgo_client.testing.hostile import HOSTILE_NAMES

CASES = manifest_cases()
SERVED = DATA / "bundles" / "served" / "hostile"
PUBLIC_KEY = (DATA / "bundles" / "keys" / "capgo_key_v2.pub").read_text()
GOOD = "cc3ad4c4f6564cdc15e099c4bdf82f4633e35c6e5dd464362cc7f46fecb173c6"
PATH = "manifest_path_fail"

#: By hand from what is wrong with each; the reply itself is refused where it says "parse_error".
CODES = {
    "path-": PATH,
    "path-09": "parse_error",
    "path-14": "parse_error",
    "name-not-string": "parse_error",
    "not-a-list": "parse_error",
    "dup-exact": "manifest_duplicate",
    "dup-br": "name_duplicate",
    "dup-case": PATH,
    "hash-crc32": "checksum_crc32",
    "hash-": "parse_error",
    "url-": "parse_error",
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
#: Nothing has to be asked of the network to see these.
SEEN_AT_ONCE = {PATH, "manifest_duplicate", "manifest_too_long", "checksum_crc32", "checksum_malformed", "unsigned"}

pytestmark = pytest.mark.skipif(not can_inflate(), reason="needs the extra delta")


def wanted(name):
    return CODES[max((each for each in CODES if name.startswith(each)), key=len)]


@pytest.fixture(scope="module")
def keyed(plain_device):
    """The device with the key of the fixtures' publisher, or without."""
    for path in SERVED.iterdir():
        plain_device.depot.objects[f"/hostile/{path.name.removesuffix('_')}"] = path.read_bytes()
    plain_device.depot.kept = dict(plain_device.depot.objects)

    def use(key):
        if plain_device.options["public_key"] != key:
            plain_device.relaunch(public_key=key)
        plain_device.depot.log.clear()
        plain_device.depot.objects.update(plain_device.depot.kept)
        return plain_device

    yield use
    use(None)


def offer(device, manifest, session_key=""):
    """What an update check would make of it."""
    device.made += 1
    reply = {
        "version": f"5.0.{device.made}",
        "url": "https://404.capgo.app/no.zip",
        "checksum": "",
        "manifest": manifest,
    }
    body = json.dumps({**reply, "session_key": session_key}).replace("@BASE@", device.depot.base)
    return classify_update(200, {}, body.encode(), now=0.0)


def entries_of(device, case):
    if not (isinstance(case["manifest"], dict) and "generate" in case["manifest"]):
        return case["manifest"]
    url = f"{device.depot.base}/hostile/good.py"
    return [{"file_name": f"f/{n:05}.py", "file_hash": GOOD, "download_url": url} for n in range(10_001)]


@pytest.mark.promise(6)
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case["verdict"] != "accept"])
def test_a_hostile_manifest_is_refused_and_nothing_of_it_stays(keyed, name):
    case = CASES[name]
    device = keyed(PUBLIC_KEY if case.get("public_key_configured") else None)
    update = offer(device, entries_of(device, case), case.get("session_key", ""))
    if isinstance(update, Failed):
        assert update.code == wanted(name) == "parse_error"
        return
    error = device.refused(device.updater.download, update)
    assert error.code == wanted(name)
    assert device.files.staged == [] or error.code == "name_duplicate"
    assert device.depot.log == [] or error.code not in SEEN_AT_ONCE


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case["verdict"] == "accept"])
def test_a_harmless_manifest_of_the_same_kind_installs(keyed, name):
    case = CASES[name]
    device = keyed(PUBLIC_KEY if case.get("public_key_configured") else None)
    update = offer(device, case["manifest"], case.get("session_key", ""))
    bundle = device.updater.download(update)
    assert {sha256(content) for content in contents(bundle.path).values()} == {GOOD}
    device.remove(bundle)


def listed(device, *names):
    url = device.depot.put("/hostile/good.py", device.depot.kept["/hostile/good.py"])
    return [{"file_name": name, "file_hash": GOOD, "download_url": url} for name in names]


TEXTS = {case: [name for name in names if isinstance(name, str)] for case, names in HOSTILE_NAMES.items()}


@pytest.mark.promise(6)
@pytest.mark.parametrize("case", [case for case, names in TEXTS.items() if names])
@pytest.mark.parametrize("suffix", ["", ".br"], ids=["raw", "packed"])
def test_a_hostile_name_in_a_manifest_is_refused_in_each_spelling(keyed, case, suffix):
    device = keyed(None)
    for name in TEXTS[case]:
        update = offer(device, listed(device, "main.py", name + suffix))
        if isinstance(update, Failed):
            assert update.code == "parse_error"
            continue
        error = device.refused(device.updater.download, update)
        assert error.code == PATH, ascii(name)
    assert device.depot.log == []


@pytest.mark.parametrize(
    "names",
    [
        ("main.py", "MAIN.py"),
        ("Data/a", "data/b"),
        ("\u00e9.py", "e\u0301.py"),
        ("x2.py", "x\u00b2.py"),
        ("ma\u0131n.py", "MAIN.py"),
        ("k", "\u212a"),
        ("stra\u00dfe", "STRASSE"),
        ("a", "a/b"),
        ("a/b/c", "a/b"),
    ],
    ids=ascii,
)
def test_two_names_that_are_one_file_somewhere_are_refused(keyed, names):
    device = keyed(None)
    error = device.refused(device.updater.download, offer(device, listed(device, *names)))
    assert error.code == PATH
    assert device.depot.log == []
    device.remove(device.updater.download(offer(device, listed(device, names[0], "other.py"))))


@pytest.mark.parametrize("names", [("a.py.br", "A.py"), ("a.br.br", "a.br/x"), ("a.py.br", "a.py")])
def test_two_names_that_become_one_by_unpacking_are_refused(keyed, names):
    """``x.br`` may hold brotli and then be ``x``: which of the two is known only when it is here."""
    import brotli

    device = keyed(None)
    packed, plain = listed(device, *names)
    content = device.depot.kept["/hostile/good.py"]
    packed["download_url"] = device.depot.put("/packed", brotli.compress(content))
    error = device.refused(device.updater.download, offer(device, [packed, plain]))
    assert error.code in {"name_collision", "name_file_and_folder", "name_duplicate"}


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://h/x", "javascript:alert(1)", "//h/x", "/etc/passwd", "http:x"]
)
def test_a_file_comes_from_the_web_or_not_at_all(keyed, url):
    device = keyed(None)
    update = offer(device, [{"file_name": "main.py", "file_hash": GOOD, "download_url": url}])
    assert isinstance(update, Failed)
    assert update.code == "parse_error"


def test_what_is_handed_to_download_by_the_app_is_judged_alike(keyed):
    device = keyed(None)
    entry = ManifestEntry("../capgo_evil.txt", GOOD, f"{device.depot.base}/hostile/good.py")
    update = Update(version="6.0.0", manifest=(entry,))
    assert device.refused(device.updater.download, update).code == PATH
    with pytest.raises(CapgoError):
        device.updater.download("", "6.0.1", manifest=[{"file_name": "../x"}])
    device.still_works()
