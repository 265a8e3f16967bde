"""The attacks on an update system that The Update Framework lists, one after the other, on a service in wrong hands.

https://theupdateframework.io/docs/security/. Each is followed by its harmless twin, which installs. The device trusts
one public key; what the attacker holds stands in SECURITY.md beside each test.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from besieged import APP_ID, EVIL, GOOD, OURS, RETIRED, STRANGER, Besieged, bound
from depot import Depot, cut, send

from capgo_client import BindingError, SignatureError, UpdateRefused
from capgo_client.testing import make_bundle
from capgo_client.verify.bound import RECORD_NAME

pytest.importorskip("brotli", reason="deltas need the extra delta")
pytestmark = pytest.mark.promise(6)

DAY = 24 * 3600.0
CHANNEL = {"zip": {"manifest": False}, "files": {"manifest": True}}


@pytest.fixture(scope="module")
def device(tmp_path_factory):
    """One device for all tests here; each leaves it as it was."""
    made = Besieged(tmp_path_factory.mktemp("besieged"))
    yield made
    made.end()


@pytest.fixture(autouse=True)
def _as_before(device):
    if device.updater._closed or device.updater._engine.config.allow_downgrade != "above_builtin":
        device.relaunch()
    yield
    device.service.clear_faults()
    device.is_as_before()


@pytest.fixture
def mirror():
    made = Depot()
    yield made
    made.close()


# ---- arbitrary software: code that the publisher never signed ----


@pytest.mark.parametrize("form", CHANNEL)
@pytest.mark.parametrize(
    ("signer", "code"), [(None, "unsigned"), (STRANGER, "signature_invalid")], ids=["unsigned", "a stranger's"]
)
def test_arbitrary_software_is_not_installed(device, form, signer, code):
    version, delta = device.name(), CHANNEL[form]
    error = device.refused(make_bundle(version, EVIL, keys=signer, **delta), delta_only=form == "files")
    assert (error.code, type(error)) == (code, SignatureError)
    assert device.taken(make_bundle(version, EVIL, keys=OURS, **delta), delta_only=form == "files") == EVIL


def test_a_signature_that_was_made_for_other_bytes_proves_nothing_of_these(device):
    version = device.name()
    ours, evil = (make_bundle(version, files, keys=OURS, encrypt=False) for files in (GOOD, EVIL))
    assert device.refused(replace(ours, archive=evil.archive)).code == "checksum_fail"
    assert device.taken(ours) == GOOD


def test_a_file_of_a_manifest_under_the_signature_of_another_is_not_installed(device):
    files = {"main.py": b"print('new')\n", "data/a.txt": b"n" * 300}  # of what is here nothing is downloaded
    made = make_bundle(device.name(), files, keys=OURS, manifest=True)
    first, *others = made.manifest
    swapped = (replace(first, data=others[0].data), *others)
    error = device.refused(replace(made, manifest=swapped), delta_only=True, kept="downloads")
    assert error.code == "download_manifest_checksum_fail"
    assert [p for p in (device.data / "downloads").rglob("*") if p.is_file() and p.read_bytes() != b"n" * 300] == []
    assert device.taken(made, delta_only=True) == files


# ---- endless data ----


@pytest.mark.promise(7)
def test_endless_data_ends_where_the_device_says_and_takes_no_more_room(device, mirror):
    sent, limit = [0], 1 << 20
    device.relaunch(max_download_bytes=limit)
    bundle = make_bundle(device.name(), GOOD, keys=OURS)

    def endless(handler, _):
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        while True:
            handler.wfile.write(b"10000\r\n" + bytes(65536) + b"\r\n")
            sent[0] += 65536

    mirror.scripts["/x.zip"] = [endless, endless]
    error = device.refused(bundle, url=mirror.put("/x.zip", bundle.archive))
    assert error.code == "bundle_too_large"
    assert sent[0] < 16 * limit  # what the system's own buffers hold in between is the rest
    assert device.taken(bundle) == GOOD
    device.relaunch()


@pytest.mark.promise(7)
@pytest.mark.parametrize("fault", ["huge-json", "gzip-bomb", "endless-headers"])
def test_an_endless_answer_to_a_check_is_given_up_at_once(device, fault):
    device.service.set_fault(fault, on="updates")
    device.ask()
    assert device.updater.explain().answer == "failed"


# ---- slow retrieval ----


@pytest.mark.promise(7)
def test_slow_retrieval_ends_after_a_minute_and_goes_on_from_there(device, mirror):
    bundle = make_bundle(device.name(), {**GOOD, "big.bin": bytes(range(256)) * 400}, keys=OURS)
    size, step = len(bundle.archive), 100
    asked = []

    def drip(handler, data):
        handler.send_response(200)
        handler.send_header("Content-Length", str(size))
        handler.send_header("ETag", '"e"')
        handler.end_headers()
        for start in range(0, 10 * step, step):
            device.clock.advance(10)
            handler.wfile.write(data[start : start + step])
            handler.wfile.flush()
        handler.connection.settimeout(5)
        assert handler.connection.recv(1) == b""  # it was the device that hung up

    def rest(handler, data):
        asked.append(handler.headers.get("Range"))
        send(handler, data, asked[0])

    mirror.scripts["/x.zip"] = [drip, rest]
    device.offer(bundle, url=mirror.put("/x.zip", bundle.archive))
    device.ask()
    assert device.updater.explain().result_code == "low_speed"
    assert device.left(but="downloads") == []
    assert [0 < path.stat().st_size < size for path in device.left() if path.suffix == ".part"] == [True]
    assert "big.bin" in device.taken(bundle, url=f"{mirror.base}/x.zip?key=7")
    assert asked[0].startswith("bytes=")


# ---- rollback: an older version that the publisher did sign ----


@pytest.mark.parametrize(
    ("allow", "version", "code"),
    [
        ("above_builtin", "1.3.9", "downgrade_refused"),
        ("above_builtin", "1.4.1", ""),
        (False, "1.3.9", "downgrade_refused"),
        (False, "1.4.1", "downgrade_refused"),
        (False, "1.6.0", ""),
        (True, "1.3.9", ""),
        (True, "1.4.1", ""),
    ],
)
def test_rollback_to_an_older_signed_version_goes_as_far_as_allow_downgrade(device, allow, version, code):
    device.relaunch(allow_downgrade=allow)
    old = make_bundle(version, bound(GOOD, version), keys=OURS)
    if not code:
        assert RECORD_NAME in device.taken(old)
        return
    before = len(device.service.downloads)
    error = device.refused(old)
    assert (error.code, type(error)) == (code, UpdateRefused)
    assert len(device.service.downloads) == before
    device.relaunch(allow_downgrade=True)
    assert RECORD_NAME in device.taken(old)


# ---- freeze: the same answer for ever ----


def test_freeze_by_repeating_that_nothing_is_new_is_seen_by_the_age_of_that_answer(device):
    device.refused(make_bundle("1.3.9", GOOD, keys=OURS))  # whatever it said before, it is another answer
    device.calm()
    for _ in range(5):
        device.ask()
        device.clock.advance(30 * DAY)
    told = device.updater.explain()
    assert told.answer == "up_to_date"
    # Fresh every time, so these two show nothing.
    assert (told.answer_age, told.good_answer_age) == (30 * DAY, 30 * DAY)
    assert told.same_answer_age == 150 * DAY
    assert "That answer has been the same for 150 days." in str(told)


def test_freeze_by_keeping_every_answer_back_is_seen_by_the_age_of_the_last_good_one(device):
    device.calm()
    device.ask()
    device.service.set_fault("empty-reply", on="updates")
    for _ in range(3):
        device.clock.advance(30 * DAY)
        device.relaunch()
        assert device.updater.wait(10)
    told = device.updater.explain()
    assert (told.answer, told.answer_age, told.good_answer_age) == ("failed", 0.0, 90 * DAY)
    assert "The last answer that could be used is 90 days old." in str(told)


def test_freeze_on_an_offer_that_is_refused_for_ever_is_seen_too(device):
    device.calm()
    device.ask()  # whatever it said before, what follows is another answer
    for _ in range(3):
        device.refused(make_bundle("1.3.9", GOOD, keys=OURS))
        device.clock.advance(30 * DAY)
    assert device.updater.explain().same_answer_age == 90 * DAY


# ---- mix and match, extraneous and missing files: signed files of several versions in one manifest ----

NEWER = {"main.py": b"print('newer')\n", "data/a.txt": b"b" * 300}


def mixed(version, *, record, change):
    """A manifest of signed files that the publisher never put together."""
    older, newer = (
        make_bundle(version, bound(files, version) if record else files, keys=OURS, encrypt=False, manifest=True)
        for files in ({**GOOD, "gone.py": b"old\n"}, NEWER)
    )
    old = {entry.file_name: entry for entry in older.manifest}
    new = {entry.file_name: entry for entry in newer.manifest}
    entries = {
        "mixed": {**new, "data/a.txt": old["data/a.txt"]},
        "one too many": {**new, "gone.py": old["gone.py"]},
        "one too few": {name: entry for name, entry in new.items() if name != "data/a.txt"},
        "renamed": {**new, "data/a.txt": replace(old["main.py"], file_name="data/a.txt")},
    }[change]
    return replace(newer, manifest=tuple(entries.values())), newer


CHANGES = ["mixed", "one too many", "one too few", "renamed"]


@pytest.mark.parametrize("change", CHANGES)
def test_mix_and_match_of_signed_files_does_not_fit_the_record_of_a_sealed_bundle(device, change):
    wrong, right = mixed(device.name(), record=True, change=change)
    error = device.refused(wrong, delta_only=True)
    assert (error.code, type(error)) == ("bound_files", BindingError)
    # The very list is remembered as hopeless, and the right one of the same version is not.
    assert device.taken(right, delta_only=True) == bound(NEWER, right.version)


@pytest.mark.parametrize("change", CHANGES)
def test_mix_and_match_gets_through_where_no_record_seals_the_bundle(device, change):
    # Capgo signs each file and never the list of them. Documented: SECURITY.md and docs/bound-bundles.md.
    wrong, _ = mixed(device.name(), record=False, change=change)
    installed = device.taken(wrong, delta_only=True)
    assert installed != NEWER
    assert set(installed.values()) <= {*GOOD.values(), *NEWER.values(), b"old\n"}  # and yet all of it was signed


@pytest.mark.parametrize("change", CHANGES)
def test_mix_and_match_without_the_record_is_refused_by_who_requires_one(device, change):
    wrong, _ = mixed(device.name(), record=False, change=change)
    device.relaunch(require_bound=True)
    assert device.refused(wrong, delta_only=True).code == "bound_required"
    device.relaunch()


def test_extraneous_files_that_nobody_signed_are_refused_with_or_without_a_record(device):
    version = device.name()
    right = make_bundle(version, GOOD, keys=OURS, encrypt=False, manifest=True)
    (evil,) = make_bundle(version, {"sitecustomize.py": b"import evil\n"}, manifest=True).manifest
    assert device.refused(replace(right, manifest=(*right.manifest, evil)), delta_only=True).code == "unsigned"
    assert device.taken(right, delta_only=True) == GOOD


# ---- relabelling, and wrong software: a whole bundle that the publisher signed for something else ----


def test_relabelling_an_old_bundle_does_not_fit_its_record(device):
    old = make_bundle("1.4.5", bound(GOOD, "1.4.5"), keys=OURS)
    error = device.refused(replace(old, version=device.name()))
    assert (error.code, type(error)) == ("bound_version", BindingError)
    assert RECORD_NAME in device.taken(old)


def test_relabelling_gets_through_where_no_record_names_the_version(device):
    # Capgo signs a checksum and no name. Documented: SECURITY.md and docs/bound-bundles.md.
    old = make_bundle("1.4.5", GOOD, keys=OURS)
    device.relaunch(allow_downgrade=False)
    assert device.taken(replace(old, version=device.name())) == GOOD


def test_wrong_software_signed_with_the_same_key_does_not_fit_its_record(device):
    version = device.name()
    other = make_bundle(version, bound(GOOD, version, app_id="com.example.admin"), keys=OURS)
    assert device.refused(other).code == "bound_app"
    assert RECORD_NAME in device.taken(make_bundle(version, bound(GOOD, version, app_id=APP_ID), keys=OURS))


def test_wrong_software_and_relabelling_without_a_record_are_refused_by_who_requires_one(device):
    device.relaunch(require_bound=True)
    version = device.name()
    assert device.refused(make_bundle(version, GOOD, keys=OURS)).code == "bound_required"
    assert RECORD_NAME in device.taken(make_bundle(version, bound(GOOD, version), keys=OURS))
    device.relaunch()


# ---- key compromise ----


def test_key_compromise_two_keys_are_accepted_while_one_takes_over_from_the_other(device):
    device.relaunch(public_key=[RETIRED.public_pem, OURS.public_pem])
    for keys in (RETIRED, OURS):
        assert device.taken(make_bundle(device.name(), GOOD, keys=keys)) == GOOD
    assert device.refused(make_bundle(device.name(), GOOD, keys=STRANGER)).code == "signature_invalid"
    device.relaunch()


@pytest.mark.parametrize("form", CHANNEL)
def test_key_compromise_a_retired_key_signs_nothing_more(device, form):
    version, delta = device.name(), CHANNEL[form]
    error = device.refused(make_bundle(version, EVIL, keys=RETIRED, **delta), delta_only=form == "files")
    assert (error.code, type(error)) == ("signature_invalid", SignatureError)


def test_key_compromise_what_was_installed_under_the_retired_key_stays(tmp_path):
    device = Besieged(tmp_path)
    try:
        device.relaunch(public_key=STRANGER.public_pem)  # the publisher's next installer trusts another key
        assert device.updater.verify(device.good, full=True).ok
        assert device.refused(make_bundle("1.6.0", GOOD, keys=OURS)).code == "signature_invalid"
        assert device.taken(make_bundle("1.6.0", GOOD, keys=STRANGER)) == GOOD
    finally:
        device.end()


# ---- malicious mirror: the host of the downloads is in other hands than the service ----


def test_a_malicious_mirror_can_send_what_it_likes_and_only_the_signed_bytes_are_installed(device, mirror):
    version = device.name()
    bundle = make_bundle(version, GOOD, keys=OURS)
    url = mirror.put("/x.zip", bundle.archive)
    evil = make_bundle(version, EVIL, keys=STRANGER).archive
    older = make_bundle("1.4.1", GOOD, keys=OURS).archive
    for served in (evil, older, b"", bundle.archive[:-16], bundle.archive + bytes(16)):
        mirror.objects["/x.zip"] = served
        assert device.refused(bundle, url=url).code in {"checksum_fail", "decrypt_fail", "size_mismatch"}
    mirror.objects["/x.zip"] = bundle.archive
    assert device.taken(bundle, url=url) == GOOD


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("http://updates.example.invalid/x.zip", "insecure_url"),
        ("file:///etc/passwd", "redirect_refused"),
        ("/x.zip", "redirect_refused"),
    ],
)
def test_a_malicious_mirror_sends_nobody_where_he_should_not_go(device, mirror, target, code):
    bundle = make_bundle(device.name(), GOOD, keys=OURS)

    def redirect(handler, _):
        handler.send_response(302)
        handler.send_header("Location", target)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    mirror.scripts["/x.zip"] = [redirect] * 20
    assert device.refused(bundle, url=mirror.put("/x.zip", bundle.archive)).code == code
    assert len(mirror.log) <= 12  # twice, and five hops each at most


def test_a_malicious_mirror_learns_no_more_than_which_app_on_what_system_asks(device, mirror):
    device.relaunch(custom_id="jane@example.org")
    bundle = make_bundle(device.name(), GOOD, keys=OURS)
    heard = []

    def listen(handler, data):
        heard.append(dict(handler.headers.items()))
        if len(heard) == 1:
            cut(len(data) // 2)(handler, data)
        else:
            handler.send_header = _with_cookie(handler.send_header)
            send(handler, data, handler.headers.get("Range"))

    mirror.scripts["/x.zip"] = [listen] * 4
    mirror.objects["/x.zip"] = bundle.archive
    assert device.taken(bundle, url=f"{mirror.base}/x.zip") == GOOD
    assert len(heard) == 2
    for headers in heard:
        known = {"Host", "User-Agent", "Accept", "Accept-Encoding", "Connection", "Range", "If-Range", "If-Match"}
        assert {name.title() for name in headers} <= known
        text = " ".join(headers.values())
        for secret in ("jane@example.org", device.updater.device_id, OURS.key_id, bundle.session_key):
            assert secret not in text
    device.relaunch()


def _with_cookie(send_header):
    def send(name, value):
        send_header(name, value)
        if name == "ETag":
            send_header("Set-Cookie", "id=1")

    return send
