"""Once a public key is set, no option, no call and no key of a reply turns the checking off again (promise P6)."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

import httpx
import pytest
from besieged import APP_ID, EVIL, GOOD, OURS, STRANGER, Besieged
from depot import Depot
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import capgo_client
from capgo_client import CapgoError, Updater
from capgo_client.protocol.outcomes import Update
from capgo_client.protocol.updates import classify_update
from capgo_client.testing import FakeClock, Service, make_bundle

pytestmark = pytest.mark.promise(6)

#: What says who is updated and where; the rest stands below.
GIVEN = {"app_id", "version", "builtin", "data_dir", "update_url", "stats_url", "channel_url", "public_key"}
#: Every other option at the value by which it lets through the most.
LAX = {
    "auto_update": "always",
    "direct_update": "always",
    "require_bound": False,
    "allow_downgrade": True,
    "default_channel": "production",
    "version_code": "1",
    "install_source": "none",
    "is_emulator": True,
    "is_prod": False,
    "response_timeout": 3.0,
    "app_ready_timeout": 3600.0,
    "direct_timeout": 600.0,
    "max_boot_attempts": 100,
    "max_download_bytes": 1 << 40,
    "max_bundle_bytes": 1 << 40,
    "max_file_bytes": 1 << 40,
    "max_files": 100_000,
    "max_ratio": 100_000,
    "period_check_delay": 600,
    "reset_when_update": False,
    "auto_delete_failed": False,
    "auto_delete_previous": False,
    "allow_modify_url": True,
    "persist_modify_url": True,
    "allow_modify_app_id": True,
    "persist_custom_id": True,
    "allow_manual_bundle_error": True,
    "allow_set_default_channel": True,
    "persist_default_channel_on_reinstall": True,
    "entry": None,
    "device_id": "0f0e0d0c-0b0a-4908-8706-050403020100",
    "custom_id": "tester",
    "reload": lambda bundle: None,
    "dispatch": lambda call: call(),
    "may_download": lambda update: True,
    "transport": None,
    "proxy": None,
    "trust_env": True,
    "ssl_context": None,
    "pinned_keys": None,
    "allow_http": True,
    "clock": FakeClock(),
    "files": None,
}


def test_every_option_stands_in_the_table():
    assert set(inspect.signature(Updater).parameters) == GIVEN | set(LAX)


@pytest.fixture
def made(tmp_path):
    """Build an Updater on a device of its own, with our public key; closed after the test."""
    found = []
    (tmp_path / "app").mkdir()
    with Service() as service:

        def make(**options):
            fixed = {"update_url": service.update_url, "stats_url": "", "channel_url": service.channel_url}
            updater = Updater(
                APP_ID, "1.4.0", tmp_path / "app", data_dir=tmp_path / "data", public_key=OURS.public_pem,
                **{**fixed, **options},
            )  # fmt: skip
            found.append(updater)
            return updater

        make.service = service
        yield make
        for updater in found:
            updater.close()


def test_no_option_by_itself_touches_the_keys(made):
    wanted = made()._engine.config.keys
    assert len(wanted) == 1
    for name, value in LAX.items():
        assert made(**{name: value})._engine.config.keys == wanted, name


@pytest.mark.parametrize("transport", [None, httpx.HTTPTransport], ids=["ours", "the app's own"])
def test_all_options_together_at_their_laxest_install_nothing_unsigned(made, transport):
    options = {**LAX, "transport": transport and transport()}
    made.service.publish(make_bundle("2.0.0", EVIL))
    first = made(**options)
    assert first.start().is_builtin
    assert first.wait(10)
    assert (first.explain().result_code, first.bundles()) == ("unsigned", ())
    first.close()
    made.service.publish(make_bundle("2.0.0", GOOD, keys=OURS))
    second = made(**options)
    second.start()
    assert second.wait(10)
    assert [bundle.version for bundle in second.bundles()] == ["2.0.0"]


def test_no_call_while_the_app_runs_lets_an_unsigned_bundle_in(made):
    made.service.publish(make_bundle("2.0.0", EVIL))
    updater = made(**{**LAX, "auto_update": "off"})
    updater.start()
    updater.set_app_id(APP_ID)
    for setter in (updater.set_update_url, updater.set_stats_url, updater.set_channel_url):
        setter(made.service.update_url)
    updater.set_custom_id("x")
    updater.cancel_delay()
    updater.reset()
    updater.notify_app_ready()
    with pytest.raises(CapgoError) as caught:
        updater.download(updater.get_latest())
    assert caught.value.code == "unsigned"
    assert updater.bundles() == ()


# ---- replies ----

REPLY_KEYS = {
    "version", "url", "checksum", "session_key", "manifest", "link", "comment", "breaking", "error", "kind", "message",
}  # fmt: skip
MANIFEST_KEYS = {"file_name", "file_hash", "download_url"}


def test_every_key_that_is_read_from_a_reply_is_known_here():
    text = (Path(capgo_client.__file__).parent / "protocol" / "updates.py").read_text("utf-8")
    read = set(re.findall(r'(?:field|decoration|boolean|web_url|items)\(\w+, "(\w+)"', text))
    assert read | set(re.findall(r'reply\.get\("(\w+)"', text)) == REPLY_KEYS | MANIFEST_KEYS


@pytest.fixture(scope="module")
def device(tmp_path_factory):
    made = Besieged(tmp_path_factory.mktemp("besieged"))
    yield made
    made.end()


@pytest.fixture(scope="module")
def depot():
    made = Depot()
    yield made
    made.close()


#: What is at hand for somebody who holds the service, and knows our bundles and public key, and no private key.
KNOWN = make_bundle("1.9.0", {"main.py": b"once\n"}, keys=OURS, manifest=True)
EVILS = [make_bundle("2.0.0", EVIL, manifest=True), make_bundle("2.0.0", EVIL, keys=STRANGER, manifest=True)]
CHECKSUMS = st.sampled_from(
    [*(evil.checksum for evil in EVILS), KNOWN.checksum, EVILS[0].sha256[:8], "", None, "0" * 512]
)
SESSION_KEYS = st.sampled_from(["", None, KNOWN.session_key, EVILS[1].session_key, ":", "none"])
#: Never read by us, and nice to have for an attacker.
WISHES = st.dictionaries(
    st.sampled_from(
        ["public_key", "publicKey", "key_id", "verify", "verified", "signature", "signed", "unsigned", "skip_checksum",
         "encrypted", "allow_unsigned", "require_bound", "allow_downgrade", "force", "key", "keys", "algorithm"]
    ),
    st.sampled_from([True, False, None, "", "none", STRANGER.public_pem, OURS.key_id, []]),
    max_size=4,
)  # fmt: skip


@st.composite
def replies(draw, base):
    """An answer to an update check that offers evil code in some form."""
    evil = draw(st.sampled_from([0, 1]))
    manifest = [
        {
            "file_name": draw(st.sampled_from(["main.py", "sitecustomize.py", "main.py.br"])),
            "file_hash": draw(CHECKSUMS),
            "download_url": f"{base}/evil-file",
        }
    ]
    return {
        **draw(WISHES),
        "version": draw(st.sampled_from(["2.0.0", "1.9.0", "2.0.0+signed"])),
        "url": draw(st.sampled_from([f"{base}/evil-{evil}", ""])),
        "checksum": draw(CHECKSUMS),
        "session_key": draw(SESSION_KEYS),
        "manifest": draw(st.sampled_from([manifest, [], None])),
        "link": "", "comment": draw(st.sampled_from(["", "verified"])), "breaking": draw(st.booleans()),
        **draw(st.sampled_from([{}, {"error": ""}, {"kind": ""}, {"message": "ok"}])),
    }  # fmt: skip


def test_no_reply_brings_anything_that_was_not_signed(device, depot):
    for number, evil in enumerate(EVILS):
        depot.objects[f"/evil-{number}"] = evil.archive
    depot.objects["/evil-file"] = EVIL["main.py"]
    offered = []

    @settings(max_examples=120, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(reply=replies(depot.base))
    def each(reply):
        outcome = classify_update(200, {}, json.dumps(reply).encode(), now=0.0)
        if not isinstance(outcome, Update):
            return
        offered.append(outcome)
        with pytest.raises(CapgoError):
            device.updater.download(outcome)
        assert [bundle.id for bundle in device.updater.bundles()] == [device.good.id]

    each()
    assert len(offered) > 20
    assert device.taken(make_bundle("2.0.0", GOOD, keys=OURS)) == GOOD
