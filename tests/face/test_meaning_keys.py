"""Keys and checksums, through the face (section 4; promises P3, P6)."""

from __future__ import annotations

import binascii
import functools
import hashlib
from dataclasses import replace

import pytest

from capgo_client import BundleStatus, ChecksumError, ConfigError, IntegrityError, SignatureError
from capgo_client.testing import BundleKeys, make_bundle

pytestmark = pytest.mark.promise(6)

FILES = {"main.py": "print('1.5.0')\n", "data/a.txt": "a"}
KEYS = BundleKeys.generate()
OTHER = BundleKeys.generate("somebody else")


def _bundle(kind):
    """A bundle as the service might offer it."""
    return _bundles()[kind]


@functools.cache
def _bundles():
    plain = make_bundle("1.5.0", FILES)
    encrypted = make_bundle("1.5.0", FILES, keys=KEYS)
    signed = make_bundle("1.5.0", FILES, keys=KEYS, encrypt=False)
    crc32 = f"{binascii.crc32(plain.archive):08x}"
    flipped = bytes([encrypted.archive[0] ^ 1]) + encrypted.archive[1:]
    return {
        "plain": plain,
        "plain, upper-case checksum": replace(plain, checksum=plain.checksum.upper()),
        "plain, no checksum": replace(plain, checksum=""),
        "plain, CRC32": replace(plain, checksum=crc32),
        "plain, wrong checksum": replace(plain, checksum=hashlib.sha256(b"other").hexdigest()),
        "plain, nonsense for a checksum": replace(plain, checksum="sha256:abc"),
        "encrypted": encrypted,
        "encrypted, old form": make_bundle("1.5.0", FILES, keys=KEYS, checksum_form="v2"),
        "encrypted, session key stripped": replace(encrypted, session_key=""),
        "encrypted, checksum unsigned": replace(encrypted, checksum=encrypted.sha256),
        "encrypted, checksum stripped": replace(encrypted, checksum=""),
        "encrypted, bits flipped": replace(encrypted, archive=flipped),
        "encrypted, nonsense for a session key": replace(encrypted, session_key="no key at all"),
        "encrypted, session key of another": replace(
            encrypted, session_key=make_bundle("1.5.0", FILES, keys=KEYS).session_key
        ),
        "encrypted for another key": replace(make_bundle("1.5.0", FILES, keys=OTHER), key_id=""),
        "signed plain zip": signed,
        "signed plain zip, old form": make_bundle("1.5.0", FILES, keys=KEYS, encrypt=False, checksum_form="v2"),
        "signed plain zip, other content": replace(signed, archive=make_bundle("1.5.0", {"main.py": "evil"}).archive),
        "signed with another key": replace(make_bundle("1.5.0", FILES, keys=OTHER, encrypt=False), key_id=""),
    }


GOOD = [
    (None, "plain"),
    (None, "plain, upper-case checksum"),
    ("key", "encrypted"),
    ("key", "encrypted, old form"),
    ("key", "signed plain zip"),
    ("key", "signed plain zip, old form"),
    ("spki", "encrypted"),
    ("several", "encrypted"),
    ("several", "encrypted for another key"),
    ("path", "encrypted"),
]
BAD = [
    (None, "plain, no checksum", ChecksumError, "checksum_required"),
    (None, "plain, CRC32", ChecksumError, "checksum_crc32"),
    (None, "plain, wrong checksum", ChecksumError, "checksum_fail"),
    (None, "plain, nonsense for a checksum", ChecksumError, "checksum_malformed"),
    (None, "encrypted", SignatureError, "key_missing"),
    (None, "signed plain zip", SignatureError, "key_missing"),
    (None, "encrypted, checksum unsigned", SignatureError, "key_missing"),
    (None, "encrypted, session key stripped", SignatureError, "key_missing"),
    ("key", "plain", SignatureError, "unsigned"),
    ("key", "plain, CRC32", SignatureError, "unsigned"),
    ("key", "plain, no checksum", ChecksumError, "checksum_required"),
    ("key", "encrypted, checksum unsigned", SignatureError, "unsigned"),
    ("key", "encrypted, checksum stripped", ChecksumError, "checksum_required"),
    ("key", "encrypted, session key stripped", ChecksumError, "checksum_fail"),
    ("key", "encrypted, nonsense for a session key", SignatureError, "session_key_invalid"),
    ("key", "encrypted, session key of another", IntegrityError, None),
    ("key", "encrypted, bits flipped", IntegrityError, None),
    ("key", "encrypted for another key", SignatureError, None),
    ("key", "signed with another key", SignatureError, None),
    ("key", "signed plain zip, other content", ChecksumError, "checksum_fail"),
    ("several", "plain", SignatureError, "unsigned"),
]


def _options(app, key):
    if key is None:
        return {}
    path = app.builtin.parent / "key.pub"
    path.write_text(KEYS.public_pem)
    given = {
        "key": KEYS.public_pem,
        "spki": KEYS.public_pem_spki,
        "several": [KEYS.public_pem, OTHER.public_pem],
        "path": path,
    }
    return {"public_key": given[key]}


@pytest.mark.parametrize(("key", "kind"), GOOD)
def test_what_is_proven_is_installed_and_opened(app, key, kind):
    options = _options(app, key)
    app.service.publish(_bundle(kind))
    updater = app.launch(**options)
    assert updater.wait(10)
    assert updater.next_bundle is not None, str(updater.explain())
    assert updater.next_bundle.checksum == make_bundle("1.5.0", FILES).sha256
    bundle = app.launch(**options, auto_update="off").current
    assert (bundle.path / "main.py").read_text() == FILES["main.py"]
    assert (bundle.path / "data" / "a.txt").read_text() == "a"


@pytest.mark.parametrize(("key", "kind"), GOOD)
def test_what_is_proven_can_be_downloaded_by_hand(app, key, kind):
    app.service.publish(_bundle(kind))
    updater = app.launch(**_options(app, key), auto_update="off")
    bundle = updater.download(updater.get_latest())
    assert (bundle.version, bundle.status) == ("1.5.0", BundleStatus.PENDING)
    assert updater.next_bundle is None


@pytest.mark.parametrize(("key", "kind", "error", "code"), BAD)
def test_what_is_not_proven_raises_by_hand_and_leaves_the_app_as_it_was(app, key, kind, error, code):
    options = _options(app, key)
    app.service.publish(_bundle(kind))
    updater = app.launch(**options, auto_update="off")
    with pytest.raises(error) as caught:
        updater.download(updater.get_latest())
    if code:
        assert caught.value.code == code
    assert updater.bundles() == ()
    assert list((app.data / "installs").iterdir()) == []
    assert list((app.data / "staging").iterdir()) == []


@pytest.mark.parametrize(("key", "kind", "error", "code"), BAD)
@pytest.mark.promise(2)
def test_what_is_not_proven_is_never_opened_in_a_direct_start(app, key, kind, error, code):
    del error, code
    app.service.publish(_bundle(kind))
    updater = app.updater(**_options(app, key), auto_update="always")
    assert updater.start().is_builtin
    assert updater.wait(10)
    assert updater.next_bundle is None
    assert updater.bundles() == ()
    assert "1.5.0" in updater.explain().result


@pytest.mark.parametrize("checksum", [None, "", 5, [], {}])
def test_a_checksum_that_is_null_or_no_text_is_refused(app, checksum):
    app.service.publish(make_bundle("1.5.0", FILES), extra={"checksum": checksum})
    updater = app.launch()
    assert updater.wait(10)
    assert updater.next_bundle is None
    assert updater.bundles() == ()
    assert app.service.downloads == []


def test_a_session_key_that_is_null_is_absent(app):
    app.service.publish(make_bundle("1.5.0", FILES), extra={"session_key": None})
    updater = app.launch()
    assert updater.wait(10)
    assert updater.next_bundle.version == "1.5.0"


def test_what_cannot_be_proven_is_refused_before_a_byte_of_it_is_fetched(app):
    app.service.publish(make_bundle("1.5.0", FILES))
    updater = app.launch(public_key=KEYS.public_pem)
    assert updater.wait(10)
    assert app.service.downloads == []


def test_a_key_that_comes_later_does_not_open_what_was_installed_without_one_as_proven(app):
    # What is installed was right by the rules of its time; whatever is offered from now on needs a signature.
    app.install("1.5.0")
    app.publish("1.6.0")
    updater = app.launch(public_key=KEYS.public_pem)
    assert updater.wait(10)
    assert updater.next_bundle is None


# --- the key id on the wire -----------------------------------------------------------------------------------------


def _sent(app, **options):
    updater = app.launch(**options)
    assert updater.wait(10)
    return app.service.checks[-1].json


def test_one_key_is_named_by_its_id(app):
    assert _sent(app, public_key=KEYS.public_pem)["key_id"] == KEYS.key_id


def test_the_id_of_an_spki_key_is_that_of_its_pkcs1_form(app):
    assert _sent(app, public_key=KEYS.public_pem_spki)["key_id"] == KEYS.key_id


def test_one_key_in_a_list_is_one_key(app):
    assert _sent(app, public_key=[KEYS.public_pem])["key_id"] == KEYS.key_id


def test_with_several_keys_none_is_named(app):
    assert "key_id" not in _sent(app, public_key=[KEYS.public_pem, OTHER.public_pem])


def test_without_a_key_none_is_named(app):
    assert "key_id" not in _sent(app)


# --- an unusable key ------------------------------------------------------------------------------------------------

_BODY = "".join(KEYS.public_pem.splitlines()[1:-1])
UNUSABLE = {
    "empty text": "",
    "blanks": "  \n",
    "nothing in the list": [],
    "empty text in the list": [KEYS.public_pem, ""],
    "None in the list": [None],
    "a number": 5,
    "bytes": KEYS.public_pem.encode(),
    "a path to nothing": "/nowhere/at/all.pub",
    "half of it": "-----BEGIN RSA PUBLIC KEY-----\n" + _BODY[:100] + "\n-----END RSA PUBLIC KEY-----\n",
    "no end": KEYS.public_pem.rpartition("-----END")[0],
    "no base64": "-----BEGIN RSA PUBLIC KEY-----\n!!!!\n-----END RSA PUBLIC KEY-----\n",
    "no body": "-----BEGIN RSA PUBLIC KEY-----\n-----END RSA PUBLIC KEY-----\n",
    "another kind": KEYS.public_pem.replace("RSA PUBLIC KEY", "CERTIFICATE"),
    "a private one": "-----BEGIN RSA PRIVATE KEY-----\n" + _BODY + "\n-----END RSA PRIVATE KEY-----\n",
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_an_unusable_key_is_refused_when_the_updater_is_built_and_never_means_no_key(app, name):
    with pytest.raises(ConfigError) as caught:
        app.updater(public_key=UNUSABLE[name])
    assert "public_key" in str(caught.value)
    assert caught.value.hint
    assert _BODY[20:60] not in str(caught.value)


def test_an_empty_key_file_is_an_unusable_key(app):
    path = app.builtin.parent / "key.pub"
    path.write_text("")
    with pytest.raises(ConfigError):
        app.updater(public_key=path)


def test_a_key_that_passes_the_look_at_construction_and_is_broken_installs_nothing(app):
    # The right shape and length, and an even modulus: no RSA key at all.
    der = bytearray(binascii.a2b_base64(_BODY))
    der[-6] &= 0xFE  # the last byte of the modulus, before the exponent's five
    body = binascii.b2a_base64(bytes(der), newline=False).decode()
    pem = f"-----BEGIN RSA PUBLIC KEY-----\n{body}\n-----END RSA PUBLIC KEY-----\n"
    app.service.publish(replace(_bundle("encrypted"), key_id=""))
    try:
        updater = app.updater(public_key=pem)
    except ConfigError:
        return  # seen even earlier: as good
    assert updater.start().is_builtin
    assert updater.wait(10)
    assert updater.next_bundle is None
    app.service.publish(_bundle("plain"))
    updater = app.launch(public_key=pem)
    assert updater.wait(10)
    assert updater.bundles() == ()
