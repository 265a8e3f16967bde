"""Sealed bundles through Capgo's own command line, and what a hostile service makes of what was published.

The service here holds what every service holds (zips, lists, checksums, session keys) and the public key, which ships
in every installer; never the private one. Each attack meets two devices: one that insists on the record, and the twin
that has none to go by, which shows what Capgo's own format lets through.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from app_trees import EVERYTHING, EXECUTABLE, LISTED, assert_same_files, executables, read_tree, write_tree
from capgo_cli import APP_ID, CapgoCli, CliFailed
from console import Console
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from uploads import uploaded

from capgo_client import Updater
from capgo_client.cli import main
from capgo_client.testing import Service
from capgo_client.testing.bundles import Cipher as Encryption
from capgo_client.verify.expectation import expected_cipher
from capgo_client.verify.keys import KeyRing
from capgo_client.verify.pem import parse_public_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from capgo_client.testing import MadeBundle

pytest.importorskip("brotli", reason="deltas need the extra delta")

RECORD = "capgo-bundle.json"
OTHER_APP = "com.example.drawings"
#: Two releases. Both have the same name for different content, each has a file of its own, and one is empty.
OLD = {
    "main.py": b"print('old, with a hole')\n" * 10,
    "pkg/__init__.py": b"",
    "pkg/login.py": b"ASK = 'the password'\n",
    "pkg/legacy.py": b"OLD = 1\n" * 2000,
    "rights.txt": b"nobody may\n",
    "guests.txt": b"everybody may\n",
}
NEW = {**OLD, "main.py": b"print('new, mended')\n" * 10, "pkg/check.py": b"CHECK = 1\n"}
del NEW["pkg/legacy.py"]


def seal(folder, version, *options, app_id=APP_ID):
    assert main(["seal", str(folder), "--app-id", app_id, "--version", version, *options]) == 0
    return folder


# ---- what is sealed arrives, byte for byte ----


def test_a_sealed_zip_installs_where_a_record_is_required(signing_cli, published, device, tmp_path):
    tree = seal(write_tree(tmp_path / "www", EVERYTHING, EXECUTABLE), "1.1.0", "--requires-python", ">=3.10")
    zipped = signing_cli.zip(tree, "1.1.0")
    assert main(["verify-seal", str(zipped.path), "--app-id", APP_ID, "--version", "1.1.0"]) == 0

    published(signing_cli.encrypt(zipped), "1.1.0")
    folder = device(public_key=signing_cli.configured_key, require_bound=True).install("1.1.0")

    assert_same_files(folder, read_tree(tree))
    assert set(read_tree(folder)) == {*EVERYTHING, RECORD}
    assert executables(folder) == set(EXECUTABLE)


def test_a_sealed_delta_installs_with_the_empty_files_that_the_list_leaves_out(
    signing_cli, console, service, device, tmp_path
):
    tree = seal(write_tree(tmp_path / "www", LISTED), "1.1.0")
    signing_cli.upload(tree, "1.1.0", console, "--delta")
    bundle = uploaded(console)
    assert LISTED["pkg/__init__.py"] == b""
    assert "pkg/__init__.py" not in {entry.file_name for entry in bundle.manifest}

    service.publish(bundle, delta_only=True)
    folder = device(public_key=signing_cli.configured_key, require_bound=True).install("1.1.0")

    assert_same_files(folder, read_tree(tree))
    assert (folder / "pkg" / "__init__.py").read_bytes() == b""


def test_a_link_to_a_file_arrives_as_the_file_that_was_sealed(signing_cli, console, service, device, tmp_path):
    tree = write_tree(tmp_path / "www", {"main.py": b"print(1)\n"})
    (tree / "link.py").symlink_to("main.py")
    seal(tree, "1.1.0")
    signing_cli.upload(tree, "1.1.0", console, "--delta")
    bundle = uploaded(console)

    phone = device(public_key=signing_cli.configured_key, require_bound=True)
    service.publish(bundle, delta_only=True)
    assert_same_files(phone.install("1.1.0"), read_tree(tree))
    service.publish(replace(bundle, manifest=()))
    again = Victim(service, tmp_path / "again", public_key=signing_cli.configured_key, require_bound=True)
    assert again.launch().queued == "1.1.0"


def test_the_zip_of_the_recipe_verifies(cli, tmp_path):
    tree = seal(write_tree(tmp_path / "www", {"main.py": b"1"}), "1.1.0")
    cli.run("bundle", "zip", APP_ID, "--bundle", "1.1.0", "--path", tree, "--name", "notes.zip", "--no-code-check")
    zipped = str(cli.folder / "notes.zip")
    assert main(["verify-seal", zipped, "--app-id", APP_ID, "--version", "1.1.0"]) == 0
    assert main(["verify-seal", zipped, "--app-id", APP_ID, "--version", "1.1.1"]) == 1


def test_what_seal_refuses_the_command_line_cannot_pack_either(cli, tmp_path, capsys):
    tree = write_tree(tmp_path / "www", {"main.py": b"1"})
    (tree / "link").symlink_to("nowhere")
    assert main(["seal", str(tree), "--app-id", APP_ID, "--version", "1.1.0"]) == 1
    assert "leads to no file" in capsys.readouterr().err
    with pytest.raises(CliFailed):
        cli.zip(tree, "1.1.0")


# ---- what was published ----


@dataclass(frozen=True)
class Published:
    """Both releases as Capgo's command line uploaded them, zip and list, signed and encrypted."""

    public_key: str
    old: MadeBundle
    new: MadeBundle


@pytest.fixture(scope="module")
def publish(keyed, tmp_path_factory):
    """Upload both releases, with or without their record."""

    def publish(*, record):
        folder = tmp_path_factory.mktemp("sealed" if record else "bare")
        project = CapgoCli(folder / "project")
        project.adopt_keys(keyed)
        made = []
        for version, files in (("1.1.0", OLD), ("1.2.0", NEW)):
            tree = write_tree(folder / version, files)
            if record:
                seal(tree, version)
            with Console() as console:
                project.upload(tree, version, console, "--delta")
                made.append(uploaded(console))
        return Published(project.configured_key, *made)

    return publish


@pytest.fixture(scope="module")
def sealed(publish):
    return publish(record=True)


@pytest.fixture(scope="module")
def bare(publish):
    return publish(record=False)


# ---- what a hostile service makes of it ----


def entry(bundle, name):
    return next(entry for entry in bundle.manifest if entry.file_name in {name, f"{name}.br"})


def moved(bundle, name, target, published):
    """An entry of one version, encrypted as if it were one of another: the public key opens both session keys."""
    ring = KeyRing((parse_public_key(published.public_key),))
    found = entry(bundle, name)
    ours, theirs = (expected_cipher(keys=ring, session_key=each.session_key) for each in (bundle, target))
    decryptor = Cipher(algorithms.AES(ours.key), modes.CBC(ours.iv)).decryptor()
    plain = decryptor.update(found.data) + decryptor.finalize()
    data = Encryption(theirs.iv, theirs.key).encrypt(plain[: -plain[-1]])
    return replace(found, data=data, session_key=target.session_key)


def relabelled_zip(published):
    return replace(published.old, version="1.3.0", manifest=())


def relabelled_list(published):
    return replace(published.old, version="1.3.0")


def mixed(published):
    new, back = published.new, moved(published.old, "main.py", published.new, published)
    return replace(new, manifest=(*(each for each in new.manifest if each.file_name != back.file_name), back))


def exchanged(published):
    new = published.new
    first, second = entry(new, "rights.txt"), entry(new, "guests.txt")
    rest = tuple(each for each in new.manifest if each not in (first, second))
    swapped = (replace(first, file_name=second.file_name), replace(second, file_name=first.file_name))
    return replace(new, manifest=(*rest, *swapped))


def dropped(published):
    new = published.new
    return replace(new, manifest=tuple(each for each in new.manifest if each.file_name != "pkg/check.py"))


def added(published):
    new = published.new
    return replace(new, manifest=(*new.manifest, moved(published.old, "pkg/legacy.py", new, published)))


def unsealed(published):
    new = published.new
    return replace(new, manifest=tuple(each for each in new.manifest if each.file_name.removesuffix(".br") != RECORD))


def as_it_is(published):
    return published.new


def as_a_zip(published):
    return replace(published.new, manifest=())


NO_EMPTIES = {name: data for name, data in NEW.items() if data}
OLD_LISTED = {name: data for name, data in OLD.items() if data}


@dataclass(frozen=True)
class Attack:
    """``opened`` is what the twin without a record opens; ``runs`` what both devices ran before."""

    name: str
    make: Callable
    code: str
    version: str
    opened: dict
    runs: str = "old"
    by_list: bool = True
    options: tuple = ()


ATTACKS = (
    # No downgrade is allowed, and the hole of the old version is open again all the same.
    Attack(
        "relabel a zip", relabelled_zip, "bound_version", "1.3.0", OLD, "new", by_list=False,
        options=(("allow_downgrade", False),),
    ),
    Attack(
        "relabel a list", relabelled_list, "bound_version", "1.3.0", OLD_LISTED, "new",
        options=(("allow_downgrade", False),),
    ),
    Attack("mix", mixed, "bound_files", "1.2.0", {**NO_EMPTIES, "main.py": OLD["main.py"]}),
    Attack(
        "exchange", exchanged, "bound_files", "1.2.0",
        {**NO_EMPTIES, "rights.txt": NEW["guests.txt"], "guests.txt": NEW["rights.txt"]},
    ),
    Attack("drop", dropped, "bound_files", "1.2.0", {n: d for n, d in NO_EMPTIES.items() if n != "pkg/check.py"}),
    Attack("add", added, "bound_files", "1.2.0", {**NO_EMPTIES, "pkg/legacy.py": OLD["pkg/legacy.py"]}),
    Attack("zip to another app", as_a_zip, "bound_app", "1.2.0", NEW, "", by_list=False, options=(("app", OTHER_APP),)),
    Attack("list to another app", as_it_is, "bound_app", "1.2.0", NO_EMPTIES, "", options=(("app", OTHER_APP),)),
)  # fmt: skip


class Victim:
    """One device. What it runs is brought by a real update."""

    def __init__(self, service, folder, *, app=APP_ID, version="1.0.0", **options):
        self.data = folder / "data"
        self._app = app
        self._builtin = folder / "app"
        self._builtin.mkdir(parents=True)
        self._options = {
            "version": version,
            "builtin": self._builtin,
            "data_dir": self.data,
            "update_url": service.update_url,
            "stats_url": service.stats_url,
            "channel_url": service.channel_url,
            "trust_env": False,
            **options,
        }
        self._service = service

    def launch(self):
        """One start; what it opened, what it has queued, and the code of what was not done."""
        with Updater(self._app, **self._options) as updater:
            opened = updater.start()
            assert updater.verify(opened).problems == ()
            updater.notify_app_ready()
            assert updater.wait(60)
            queued = updater.next_bundle
            return SimpleNamespace(
                opened=opened.version,
                path=opened.path,
                queued=None if queued is None else queued.version,
                code=updater.explain().result_code,
                bundles=tuple(bundle.version for bundle in updater.bundles()),
            )

    def run(self, bundle):
        """Bring ``bundle`` and open it."""
        self._service.publish(bundle)
        assert self.launch().queued == bundle.version
        assert self.launch().opened == bundle.version

    def left(self):
        """What lies about besides installed versions."""
        return [str(path) for place in ("staging", "downloads", "trash") for path in (self.data / place).rglob("*")]


@pytest.fixture
def victim(tmp_path):
    """A device that runs what the attack begins from, and its service."""
    running = []

    def make(published, attack, **options):
        options = {**dict(attack.options), **options}
        service = Service(app_id=options.get("app", APP_ID))
        service.start()
        running.append(service)
        device = Victim(service, tmp_path / f"device{len(running)}", public_key=published.public_key, **options)
        if attack.runs:
            device.run(getattr(published, attack.runs))
        return device, service

    yield make
    for service in running:
        service.stop()


@pytest.mark.promise(6)
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_a_sealed_version_is_refused_and_the_one_before_opens(attack, sealed, victim):
    device, service = victim(sealed, attack, require_bound=True)
    before = device.launch()
    service.publish(attack.make(sealed), delta_only=attack.by_list)

    seen = device.launch()

    assert (seen.code, seen.queued, seen.bundles) == (attack.code, None, before.bundles)
    assert device.left() == []
    after = device.launch()
    assert (after.opened, read_tree(after.path)) == (before.opened, read_tree(before.path))
    assert after.code == "failed_before"  # it is not fetched again
    if attack.runs == "old":  # and the right one, of the same version and checksum, it still takes
        service.publish(sealed.new, delta_only=True)
        assert device.launch().queued == "1.2.0"


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_without_a_record_capgos_own_format_lets_it_through(attack, bare, victim):
    device, service = victim(bare, attack)
    service.publish(attack.make(bare), delta_only=attack.by_list)

    assert device.launch().queued == attack.version
    seen = device.launch()

    assert (seen.opened, read_tree(seen.path)) == (attack.version, attack.opened)


PLAIN = Attack("plain", as_it_is, "", "1.2.0", NEW)


def test_leaving_the_record_out_of_a_list_is_refused_only_where_one_is_required(sealed, victim):
    strict, service = victim(sealed, PLAIN, require_bound=True)
    service.publish(unsealed(sealed), delta_only=True)
    seen = strict.launch()
    assert (seen.code, seen.opened, seen.queued) == ("bound_required", "1.1.0", None)
    assert strict.left() == []

    lenient, service = victim(sealed, PLAIN)
    service.publish(unsealed(sealed), delta_only=True)
    assert lenient.launch().queued == "1.2.0"
    seen = lenient.launch()
    assert (seen.opened, read_tree(seen.path)) == ("1.2.0", NO_EMPTIES)


@pytest.mark.parametrize("kind", ["sealed", "bare"])
@pytest.mark.parametrize(
    "case",
    [
        ("above_builtin", "1.0.0", ""),  # a channel may go back, and so may whoever answers for the service
        ("above_builtin", "1.1.5", "downgrade_refused"),
        (False, "1.0.0", "downgrade_refused"),
        (True, "1.1.5", ""),
    ],
)
def test_an_old_version_under_its_own_name_is_a_matter_of_allow_downgrade(request, victim, kind, case):
    allow, builtin, code = case
    published = request.getfixturevalue(kind)
    options = {"allow_downgrade": allow, "version": builtin, "require_bound": kind == "sealed"}
    device, service = victim(published, replace(PLAIN, runs="new"), **options)
    service.publish(published.old, below_native=True)

    seen = device.launch()

    assert (seen.code, seen.queued) == (code, None if code else "1.1.0")
    assert device.left() == []
    assert device.launch().opened == ("1.2.0" if code else "1.1.0")


def test_the_same_answer_for_ever_is_no_refusal_but_the_device_stays_where_it_is(sealed, victim):
    # A freeze: nothing in a record can tell that there is something newer.
    device, service = victim(sealed, PLAIN, require_bound=True)
    service.publish(sealed.old)
    seen = [device.launch() for _ in range(3)]
    assert {(each.code, each.queued, each.opened) for each in seen} == {("no_new_version_available", None, "1.1.0")}
