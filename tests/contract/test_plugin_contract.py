"""The plugin's own contract tests (reference/plugin-behaviour.md section 11), every row, held against this client.

A row that is departed from on purpose stands in ``DEPARTURES`` with its reason, and a test shows what happens instead.
The plugin's file of RSA vectors is not at hand: equal ones are made with a key of the test kit, and the key id is
taken from a key that Capgo's command line made.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from dataclasses import replace
from pathlib import Path

import pytest

from capgo_client import ConfigError
from capgo_client.errors import ChecksumError, SignatureError
from capgo_client.protocol.updates import classify_update
from capgo_client.testing import BundleKeys, MadeBundle
from capgo_client.verify.expectation import expected_cipher, expected_digest
from capgo_client.verify.keys import KeyRing
from capgo_client.verify.pem import parse_public_key

BUNDLES = Path(__file__).parents[1] / "data" / "bundles"
#: SHA-256 of no bytes at all.
EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

#: Row of the plugin's table: what is done instead, and why.
DEPARTURES = {
    "auto-update.invalid": "raises ConfigError: a typing error shows when the app is built, not in the field",
    "null kind without an error": "null in a reply means absent, on both systems; the rest of the reply counts",
    "legacy error without kind": "classified by the error's code where it is known: no update is no failure",
}


# --- core.json: periodCheckDelay ------------------------------------------------------------------------------------

PERIODS = {
    "period.disabled.zero": (0, 0),
    "period.disabled.negative": (-1, 0),
    "period.below-minimum.one-second": (1, 600),
    "period.below-minimum.just-under": (599, 600),
    "period.minimum": (600, 600),
    "period.above-minimum": (3600, 3600),
    "period.large-value": (2147483647, 2147483647),
}


@pytest.mark.parametrize(("seconds", "normalized"), PERIODS.values(), ids=PERIODS)
def test_a_period_is_normalized(device, seconds, normalized):
    assert device.updater(period_check_delay=seconds)._engine.config.period_check_delay == normalized


def test_even_the_longest_period_can_be_waited_for(device):
    device.publish("1.1.0")
    updater = device.launch(period_check_delay=2147483647)
    assert updater.wait(10)
    assert updater.next_bundle.version == "1.1.0"


# --- core.json: autoUpdateMode --------------------------------------------------------------------------------------

MODES = {  # value: mode, enabled, direct, queues
    "auto-update.false": ("false", "off", False, False, False),
    "auto-update.true": ("true", "atBackground", True, False, True),
    "auto-update.at-background": ("atBackground", "atBackground", True, False, True),
    "auto-update.at-install": ("atInstall", "atInstall", True, True, True),
    "auto-update.on-launch": ("onLaunch", "onLaunch", True, True, True),
    "auto-update.always": ("always", "always", True, True, True),
    "auto-update.only-download": ("onlyDownload", "onlyDownload", True, False, False),
}


@pytest.mark.parametrize("row", MODES)
def test_a_mode_means_what_it_means_to_the_plugin(device, row):
    value, mode, enabled, direct, queues = MODES[row]
    device.publish("1.1.0")
    updater = device.updater(auto_update=value)

    opened = updater.start()
    assert updater.wait(10)

    assert updater._engine.config.mode == mode
    assert updater.auto_update_enabled is enabled
    assert len(device.service.checks) == enabled
    assert opened.version == ("1.1.0" if direct else "1.0.0")
    assert updater._engine.config.queues is queues
    assert (updater.next_bundle is not None) is (queues and not direct)


def test_an_invalid_mode_raises(device):
    assert "auto-update.invalid" in DEPARTURES
    with pytest.raises(ConfigError, match="auto_update"):
        device.updater(auto_update="invalid")


# --- core.json: onLaunchDirectUpdateConsumption ---------------------------------------------------------------------

#: The rows: mode ("false", not direct, is our ``auto_update=True``), whether the first cycle of the process was planned
#: to be direct, whether that uses it up; and what follows for a later cycle of the same process: whether it opens at
#: once what it brings. (atInstall is direct once in a process by a rule of its own, section 7.)
CONSUMPTION = {
    "on-launch.planned": ("onLaunch", True, True, False),
    "on-launch.not-planned": ("onLaunch", False, False, False),
    "always.planned": ("always", True, False, True),
    "at-install.planned": ("atInstall", True, False, False),
    "false.planned": ("true", True, False, False),
    "invalid.planned": ("invalid", True, False, False),
}


DIRECT = ("onLaunch", "always", "atInstall")


def launch_once(device, mode, *, offered, **options):
    """A launch that may open what is offered at once; return its Updater and what it changed over to later."""
    if offered:
        device.publish("1.1.0")
    later = []
    updater = device.launch(auto_update=mode, reload=lambda bundle: later.append(bundle.version), **options)
    assert updater.wait(10)
    updater.notify_app_ready()
    return updater, later


def check_again(device, updater):
    device.publish("1.2.0")
    assert updater.trigger_update_check() == "queued"
    assert updater.wait(10)


@pytest.mark.parametrize(("mode", "planned", "consumed", "again"), CONSUMPTION.values(), ids=CONSUMPTION)
def test_a_later_cycle_is_direct_only_where_nothing_was_used_up(device, mode, planned, consumed, again):
    if mode == "invalid":  # no mode here
        with pytest.raises(ConfigError, match="auto_update"):
            device.updater(auto_update=mode)
        return
    # Nothing is planned where the start asks nobody.
    options = {} if planned else {"update_url": "", "allow_modify_url": True}
    updater, later = launch_once(device, mode, offered=planned, **options)
    if not planned:
        updater.set_update_url(device.service.update_url)

    check_again(device, updater)

    assert later == (["1.2.0"] if again else [])
    assert updater.current.version == ("1.2.0" if again else "1.1.0" if planned and mode in DIRECT else "1.0.0")
    assert (updater.next_bundle is None) is again
    assert not (consumed and again)


@pytest.mark.parametrize("offered", [True, False], ids=["with an update", "without one"])
def test_on_launch_planned_is_consumed_whatever_came_of_it(device, offered):
    updater, later = launch_once(device, "onLaunch", offered=offered)
    assert updater.current.version == ("1.1.0" if offered else "1.0.0")

    check_again(device, updater)

    assert later == []
    assert updater.next_bundle.version == "1.2.0"


def test_on_launch_planned_is_consumed_by_a_failure_too(device):
    device.service.answer(500, times=1)
    updater, later = launch_once(device, "onLaunch", offered=True)
    assert updater.current.version == "1.0.0"

    check_again(device, updater)

    assert (later, updater.next_bundle.version) == ([], "1.2.0")


def test_on_launch_not_planned_consumes_nothing(device):
    # Not planned is the cycle after the first: the next launch is as direct as this one was.
    updater, _ = launch_once(device, "onLaunch", offered=True)
    check_again(device, updater)
    device.publish("1.3.0")

    assert device.launch(auto_update="onLaunch").current.version == "1.3.0"


def test_at_install_goes_by_the_installation_and_not_by_what_on_launch_consumes(device):
    updater, later = launch_once(device, "atInstall", offered=True)
    assert updater.current.version == "1.1.0"
    check_again(device, updater)
    assert (later, updater.next_bundle.version) == ([], "1.2.0")

    device.publish("1.3.0")
    assert device.launch(auto_update="atInstall").current.version == "1.2.0"
    # Another installer: direct once more, although the last launch was not.
    device.publish("2.1.0")
    assert device.launch(auto_update="atInstall", version="2.0.0").current.version == "2.1.0"


# --- core.json: updateResponseKind ----------------------------------------------------------------------------------

KINDS = {
    "up_to_date": "up_to_date",
    "blocked": "blocked",
    "failed": "failed",
    None: "failed",
    "": "failed",
    "update_available": "failed",
}


def classified(reply):
    return classify_update(200, {}, json.dumps(reply).encode(), now=0.0)


@pytest.mark.parametrize(("kind", "meaning"), KINDS.items())
def test_the_kind_of_an_error_is_one_of_three(kind, meaning):
    assert classified({"error": "some_code", "kind": kind}).kind == meaning


@pytest.mark.parametrize("kind", ["up_to_date", "blocked", "failed", "update_available"])
def test_a_kind_alone_is_never_an_update(kind):
    reply = {"kind": kind, "version": "1.1.0", "url": "https://example.com/a.zip", "checksum": "0" * 64}
    assert classified(reply).kind == KINDS[kind]


@pytest.mark.parametrize("nothing", [{"kind": None}, {"error": None}, {"error": None, "kind": None, "manifest": None}])
def test_null_is_absent(nothing):
    assert "null kind without an error" in DEPARTURES
    reply = {"version": "1.1.0", "url": "https://example.com/a.zip", "checksum": "0" * 64, **nothing}
    assert classified(reply).kind == "update"


def test_an_error_of_an_older_server_is_classified_by_its_code():
    assert "legacy error without kind" in DEPARTURES
    assert classified({"error": "no_new_version_available"}).kind == "up_to_date"
    assert classified({"error": "disable_auto_update_to_major"}).kind == "blocked"
    assert classified({"error": "unheard_of"}).kind == "failed"


# --- crypto-rsa.json ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def keys():
    return BundleKeys.generate()


@pytest.fixture
def ring(keys):
    return KeyRing([parse_public_key(keys.public_pem)])


@pytest.mark.parametrize(
    "message",
    [b"\xab" * 16, bytes.fromhex(EMPTY_SHA256)],
    ids=["session-key-16-bytes", "checksum-sha256-32-bytes"],
)
def test_what_the_private_key_wrapped_the_public_key_recovers(keys, ring, message):
    block = keys.sign(message)
    assert len(block) == 256
    assert ring.recover(block) == message


def test_a_session_key_is_recovered_with_its_vector(ring, keys):
    text = f"{b64encode(bytes(16)).decode()}:{b64encode(keys.sign(bytes([0xAB]) * 16)).decode()}"
    cipher = expected_cipher(keys=ring, session_key=text)
    assert (cipher.key, cipher.iv) == (b"\xab" * 16, bytes(16))


def test_a_checksum_of_hex_digits_is_recovered(keys, ring):
    checksum = keys.sign(hashlib.sha256(b"").digest()).hex()
    assert len(checksum) == 512
    assert expected_digest(keys=ring, checksum=checksum).hex() == EMPTY_SHA256


def test_the_key_id_is_the_first_twenty_characters_of_the_keys_base64():
    text = (BUNDLES / "keys" / "capgo_key_v2.pub").read_text("utf-8")
    assert text.splitlines()[1].startswith("MIIBCgKCAQEAuPg7a3Mr")
    assert parse_public_key(text).key_id == "MIIBCgKCAQEAuPg7a3Mr"


def test_a_pem_of_the_command_line_loads_and_what_is_none_does_not(keys, device):
    assert keys.public_pem.startswith("-----BEGIN RSA PUBLIC KEY-----\n")
    device.updater(public_key=keys.public_pem)
    with pytest.raises(ConfigError):
        parse_public_key("not-a-key")
    with pytest.raises(ConfigError):
        device.updater(public_key="not-a-key")


def test_a_checksum_of_255_bytes_is_refused(ring):
    with pytest.raises(SignatureError):
        expected_digest(keys=ring, checksum="00" * 255)


# --- both forms of a signed checksum --------------------------------------------------------------------------------


@pytest.mark.parametrize(("form", "length"), [("v3", 512), ("v2", 344)])
def test_a_signed_checksum_of_either_form_installs(device, keys, form, length):
    bundle = device.publish("1.1.0", {"main.py": "print('new')"}, keys=keys, checksum_form=form)
    assert len(bundle.checksum) == length

    updater = device.launch(public_key=keys.public_pem)
    assert updater.wait(10)

    assert (updater.next_bundle.path / "main.py").read_text() == "print('new')"


def made_by_the_command_line(form):
    """Its encrypted v1, with what it printed for it."""
    printed = json.loads((BUNDLES / "plain.json").read_text("utf-8"))
    if form == "v3":
        said, archive = printed["v1"]["bundle_encrypt_stdout"], "v1.enc.zip"
    else:
        said, archive = printed["legacy"]["v2_base64_checksum"]["bundle_encrypt_stdout"], "v1.enc-v2format.zip"
    data = (BUNDLES / archive).read_bytes()
    return MadeBundle("1.0.0", data, said["checksum"], said["ivSessionKey"], {}, data)


@pytest.mark.parametrize("form", ["v3", "v2"])
def test_what_the_command_line_encrypted_installs_in_either_form(device, service, form):
    service.publish(made_by_the_command_line(form))
    updater = device.launch(version="0.9.0", public_key=BUNDLES / "keys" / "capgo_key_v2.pub")
    assert updater.wait(10)

    folder = updater.next_bundle.path
    wanted = json.loads((BUNDLES / "tree.json").read_text("utf-8"))["v1"]["files"]
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    assert sorted(found) == sorted(wanted)
    for name, path in found.items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == wanted[name]["sha256"], name


@pytest.mark.parametrize("form", ["v3", "v2"])
def test_the_checksum_of_one_form_does_not_pass_for_another_bundle(device, keys, form):
    other = device.publish("1.0.1", {"main.py": "other"}, keys=keys, checksum_form=form)
    bundle = device.publish("1.1.0", {"main.py": "mine"}, keys=keys, checksum_form=form)
    device.service.publish(replace(bundle, checksum=other.checksum))

    updater = device.launch(public_key=keys.public_pem, auto_update="off")
    offered = updater.get_latest()
    with pytest.raises((ChecksumError, SignatureError)):
        updater.download(offered)
    assert updater.bundles() == ()
