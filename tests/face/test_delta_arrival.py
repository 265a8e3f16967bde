"""Bringing a version by its files: what is taken from where, when the archive takes over, and what is left behind."""

from __future__ import annotations

import errno
import hashlib
import json
import sys
import threading
import time
import tracemalloc

import brotli
import pytest
from delta_stage import BUNDLES, Stage, contents, hashes, tree
from depot import cut, hang, hang_up, refuse

from capgo_client.arrival import Unfit
from capgo_client.delta import Delta
from capgo_client.errors import (
    ArchiveError,
    BindingError,
    Cancelled,
    CapgoError,
    ChecksumError,
    DeadlineExceeded,
    IntegrityError,
    NetworkError,
    ReplyError,
    ServiceError,
    SignatureError,
    StorageError,
    TransferError,
)
from capgo_client.install.archive import Limits
from capgo_client.install.audit import audit
from capgo_client.install.record import FileRecord
from capgo_client.install.store import Store
from capgo_client.net.deadline import Scope
from capgo_client.protocol.outcomes import ManifestEntry
from capgo_client.seams import Clock, Files
from capgo_client.testing.files import FaultyFiles
from capgo_client.verify.bound import seal_record

V1_SESSION = json.loads((BUNDLES / "updates-v1.enc.json").read_text("utf-8"))["session_key"]
V2_SESSION = json.loads((BUNDLES / "updates-v2.enc.json").read_text("utf-8"))["session_key"]
TEXT = b"print('hello')\n" * 1000
FILES = {"main.py": b"main", "b.py": b"b"}


@pytest.fixture
def stage(tmp_path):
    stage = Stage(tmp_path)
    yield stage
    stage.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "capgo-fetch"]


@pytest.fixture
def fixtures(stage):
    stage.serve_fixtures()
    return stage


def refused(stage, update, kind=CapgoError):
    with pytest.raises(kind) as caught:
        stage.bring(update)
    return caught.value


class TestWhatCapgosCommandLineMade:
    @pytest.mark.parametrize("name", ["v1", "v2", "v1.nobrotli"])
    def test_a_plain_manifest_installs_byte_for_byte(self, fixtures, name):
        app = fixtures.bring(fixtures.update("1.0.0", fixtures.manifest(name)))
        assert hashes(contents(app)) == tree(name[:2])

    @pytest.mark.parametrize(
        ("name", "session"), [("v1.enc", V1_SESSION), ("v2.enc", V2_SESSION), ("v1.enc-v2format", V1_SESSION)]
    )
    def test_an_encrypted_one_does_too_with_either_form_of_hash(self, fixtures, name, session):
        fixtures.trust()
        app = fixtures.bring(fixtures.update("1.0.0", fixtures.manifest(name), session_key=session))
        assert hashes(contents(app)) == tree(name[:2])

    def test_percent_signs_in_a_name_are_taken_as_they_are(self, fixtures):
        app = fixtures.bring(fixtures.update("1.0.0", fixtures.manifest("v1.old-cli-percent")))
        names = set(contents(app))
        assert "assets/e%CC%81-nfd.txt" in names
        assert "assets/sym%2520bol%2Bplus%23hash%26amp.txt" in names
        assert len(names) == len(tree("v1"))
        assert sorted(hashes(contents(app)).values()) == sorted(tree("v1").values())

    @pytest.mark.parametrize(("name", "session"), [("v1", ""), ("v1.enc", V1_SESSION)])
    def test_the_addresses_of_the_real_service_reach_it_byte_for_byte(self, fixtures, name, session):
        if session:
            fixtures.trust()
        manifest = fixtures.manifest(f"{name}.realurls")
        plain = {entry.file_name: entry.download_url for entry in fixtures.manifest(name)}
        for entry in manifest:
            short = plain[entry.file_name].removeprefix(fixtures.depot.base)
            path = entry.download_url.removeprefix(fixtures.depot.base).partition("?")[0]
            fixtures.depot.objects[path] = fixtures.depot.objects[short]
        app = fixtures.bring(fixtures.update("1.0.0", manifest, session_key=session))
        assert hashes(contents(app)) == tree("v1")
        assert fixtures.depot.asked == sorted(
            entry.download_url.removeprefix(fixtures.depot.base).partition("?")[0] for entry in manifest
        )

    def test_from_the_first_version_to_the_second_only_what_changed_is_fetched(self, fixtures):
        fixtures.bring(fixtures.update("1.0.0", fixtures.manifest("v1")))
        fixtures.depot.log.clear()
        app = fixtures.bring(fixtures.update("2.0.0", fixtures.manifest("v2")))
        assert hashes(contents(app)) == tree("v2")
        # Changed: app.kv; new: added_in_v2.py. The renamed file and data.txt.br are here.
        assert fixtures.depot.asked == ["/objects/347693c95d8023415587b4cb.br", "/objects/99a44edef0586e0ecc29c948"]

    def test_it_is_the_same_with_keys_although_nothing_on_the_server_is_shared(self, fixtures):
        fixtures.trust()
        fixtures.bring(fixtures.update("1.0.0", fixtures.manifest("v1.enc"), session_key=V1_SESSION))
        fixtures.depot.log.clear()
        app = fixtures.bring(fixtures.update("2.0.0", fixtures.manifest("v2.enc"), session_key=V2_SESSION))
        assert hashes(contents(app)) == tree("v2")
        assert len(fixtures.depot.log) == 2

    def test_the_same_from_an_archive_and_from_the_builtin(self, fixtures):
        import zipfile

        with zipfile.ZipFile(BUNDLES / "v1.zip") as archive:
            archive.extractall(fixtures.builtin)
        app = fixtures.bring(fixtures.update("2.0.0", fixtures.manifest("v2")))
        assert hashes(contents(app)) == tree("v2")
        assert len(fixtures.depot.log) == 2

    def test_a_file_without_execute_permission_is_what_a_delta_brings(self, fixtures):
        app = fixtures.bring(fixtures.update("1.0.0", fixtures.manifest("v1")))
        assert {path.stat().st_mode & 0o777 for path in app.rglob("*") if path.is_file()} == {0o400}
        assert {path.stat().st_mode & 0o777 for path in app.rglob("*") if path.is_dir()} == {0o500}

    def test_the_install_says_what_the_service_said_and_names_no_archive(self, fixtures):
        fixtures.bring(fixtures.update("1.0.0", fixtures.manifest("v1"), checksum="as announced"))
        (install,) = fixtures.installed
        assert (install.version, install.checksum, install.sha256) == ("1.0.0", "as announced", "")


class TestReuse:
    def test_a_damaged_local_file_is_fetched_instead(self, stage):
        first = stage.bring(stage.update("1.0.0", [stage.entry("a.py", b"a"), stage.entry("b.py", b"b")]))
        (first / "a.py").chmod(0o600)
        (first / "a.py").write_bytes(b"x")
        stage.depot.log.clear()
        again = stage.bring(
            stage.update("1.1.0", [stage.entry("a.py", b"a", path="/new/a"), stage.entry("b.py", b"b")])
        )
        assert contents(again) == {"a.py": b"a", "b.py": b"b"}
        assert stage.depot.asked == ["/new/a"]

    def test_where_a_record_is_not_kept_every_file_is_looked_at_and_nothing_fetched_twice(self, stage):
        names = [f"pkg/{n}.py" for n in range(5)]
        first = stage.bring(stage.update("1.0.0", [stage.entry(name, name.encode()) for name in names]))
        for name, spoil in (
            ("pkg/1.py", lambda path: path.write_bytes(b"x")),
            ("pkg/3.py", lambda path: path.unlink()),
        ):
            (first / "pkg").chmod(0o700)
            (first / name).chmod(0o600)
            spoil(first / name)
        stage.depot.log.clear()
        stage.notes.clear()
        manifest = [stage.entry(name, name.encode(), path=f"/again/{name}") for name in names]
        app = stage.bring(stage.update("1.1.0", [*manifest, stage.entry("new.py", b"new", path="/new.py")]))
        assert contents(app) == {**{name: name.encode() for name in names}, "new.py": b"new"}
        assert sorted(stage.depot.asked) == ["/again/pkg/1.py", "/again/pkg/3.py", "/new.py"]
        assert [action for action, _ in stage.notes] == ["download_manifest_start", "download_manifest_complete"]

    def test_each_local_file_is_read_once_where_the_records_are_kept(self, stage):
        names = [f"{n}.py" for n in range(5)]
        stage.bring(stage.update("1.0.0", [stage.entry(name, name.encode()) for name in names]))
        stage.files = FaultyFiles()
        stage.bring(stage.update("1.1.0", [stage.entry(name, name.encode()) for name in names]))
        read = [call.path for call in stage.files.calls if call.kind == "open_read" and call.path.endswith(".py")]
        assert sorted(path.rpartition("/")[2] for path in read) == names

    def test_what_is_missing_is_told_by_a_look_at_every_file(self, stage):
        entries = [stage.entry("a.py", b"a"), stage.entry("b.py", b"b")]
        first = stage.bring(stage.update("1.0.0", entries))
        (first / "a.py").chmod(0o600)
        (first / "a.py").write_bytes(b"x")
        assert stage.arrival().missing(entries, session_key="") == ((entries[0],), 2)

    def test_a_sound_copy_elsewhere_makes_up_for_a_damaged_one(self, stage):
        first = stage.bring(stage.update("1.0.0", [stage.entry("a.py", b"a"), stage.entry("copy.py", b"a")]))
        for name in ("a.py", "copy.py"):
            (first / name).chmod(0o600)
        (first / "a.py").write_bytes(b"x")
        stage.depot.log.clear()
        assert contents(stage.bring(stage.update("1.1.0", [stage.entry("a.py", b"a")]))) == {"a.py": b"a"}
        assert stage.depot.log == []

    def test_a_renamed_file_is_copied(self, stage):
        stage.bring(stage.update("1.0.0", [stage.entry("old/name.py", TEXT)]))
        stage.depot.log.clear()
        assert contents(stage.bring(stage.update("1.1.0", [stage.entry("new.py", TEXT)]))) == {"new.py": TEXT}
        assert stage.depot.log == []

    def test_copies_share_no_inode_with_what_they_were_made_of(self, stage):
        (stage.builtin / "b.py").write_bytes(b"b")
        first = stage.bring(stage.update("1.0.0", [stage.entry("a.py", b"a")]))
        second = stage.bring(stage.update("1.1.0", [stage.entry("a.py", b"a"), stage.entry("b.py", b"b")]))
        assert (first / "a.py").stat().st_ino != (second / "a.py").stat().st_ino
        assert (second / "a.py").stat().st_nlink == (second / "b.py").stat().st_nlink == 1

    def test_one_content_under_many_names_is_fetched_once(self, stage):
        manifest = [stage.entry(f"f{n}.txt", b"same") for n in range(20)]
        app = stage.bring(stage.update("1.0.0", manifest))
        assert contents(app) == {f"f{n}.txt": b"same" for n in range(20)}
        assert len(stage.depot.log) == 1

    def test_links_in_the_builtin_are_not_followed(self, stage, tmp_path):
        (tmp_path / "outside").mkdir()
        (tmp_path / "outside" / "secret").write_bytes(b"a")
        (stage.builtin / "link").symlink_to(tmp_path / "outside")
        (stage.builtin / "file").symlink_to(tmp_path / "outside" / "secret")
        stage.bring(stage.update("1.0.0", [stage.entry("a.py", b"a")]))
        assert len(stage.depot.log) == 1

    @pytest.mark.parametrize("builtin", [None, "missing"])
    def test_no_builtin_folder_is_no_trouble(self, stage, builtin):
        stage.config.builtin = builtin and stage.builtin / "missing"
        assert contents(stage.bring(stage.update("1.0.0", [stage.entry("a.py", b"a")]))) == {"a.py": b"a"}

    def test_nothing_to_fetch_asks_nobody_and_ends_at_its_end(self, stage):
        (stage.builtin / "a.py").write_bytes(b"a")
        stage.bring(stage.update("1.0.0", [stage.entry("b.py", b"a")]))
        assert stage.depot.log == []
        assert stage.shown == [(1, 1)]


class TestNamesThatEndInBr:
    def bring_both(self, stage, first, second):
        stage.bring(stage.update("1.0.0", first))
        stage.depot.log.clear()
        return contents(stage.bring(stage.update("1.1.0", second)))

    def test_a_copy_of_the_full_name_keeps_it(self, stage):
        entry = stage.entry("messages.br", b"really called so")
        assert self.bring_both(stage, [entry], [entry]) == {"messages.br": b"really called so"}
        assert stage.depot.log == []

    def test_a_copy_of_the_shorter_name_takes_it(self, stage):
        entry = stage.entry("a.py.br", TEXT, served=brotli.compress(TEXT))
        assert self.bring_both(stage, [entry], [entry]) == {"a.py": TEXT}
        assert stage.depot.log == []

    def test_a_renamed_one_goes_by_what_its_copies_are_called(self, stage):
        first = [stage.entry("old.py.br", TEXT, served=brotli.compress(TEXT)), stage.entry("old.br", b"raw")]
        second = [stage.entry("new.py.br", TEXT, served=brotli.compress(TEXT)), stage.entry("new.br", b"raw")]
        assert self.bring_both(stage, first, second) == {"new.py": TEXT, "new.br": b"raw"}
        assert stage.depot.log == []

    def test_one_too_small_to_be_compressed_is_asked_for(self, stage):
        # The publisher renamed it: same content, and now really called .br.
        found = self.bring_both(stage, [stage.entry("x", b"raw")], [stage.entry("x.br", b"raw")])
        assert found == {"x.br": b"raw"}
        assert len(stage.depot.log) == 1

    def test_copies_that_disagree_are_settled_by_the_server(self, stage):
        first = [stage.entry("a.py", TEXT), stage.entry("a.py.br", TEXT)]
        second = [stage.entry("a.py.br", TEXT, served=brotli.compress(TEXT))]
        with pytest.raises(KeyError):
            _ = self.bring_both(stage, first[1:], first)["a"]
        assert contents(stage.bring(stage.update("1.2.0", second))) == {"a.py": TEXT}


class TestTheWholeSet:
    def test_two_entries_of_one_name_are_refused_before_anything_is_fetched(self, stage):
        # Capgo's command line lists app.js, which it compressed, and a real app.js.br under one name.
        update = stage.update("1.0.0", [stage.entry("app.js.br", TEXT), stage.entry("app.js.br", b"other")])
        assert refused(stage, update, ArchiveError).code == "manifest_duplicate"
        assert stage.depot.log == []

    @pytest.mark.parametrize(
        "names",
        [
            ("readme.txt", "README.txt"),
            ("é.txt", "e\u0301.txt"),
            ("a/x.py", "A/y.py"),
            ("stra\u00dfe", "STRASSE"),
            ("a", "a/b"),
        ],
    )
    def test_two_names_that_some_system_takes_for_one_are_refused_too(self, stage, names):
        update = stage.update("1.0.0", [stage.entry(name, name.encode()) for name in names])
        assert refused(stage, update, ArchiveError).code == "manifest_path_fail"
        assert stage.notes[-1] == ("manifest_path_fail", stage.notes[-1][1])
        assert stage.depot.log == []

    def test_two_that_turn_out_to_be_one_are_refused_when_that_is_known(self, stage):
        update = stage.update(
            "1.0.0", [stage.entry("app.js", b"raw"), stage.entry("app.js.br", TEXT, served=brotli.compress(TEXT))]
        )
        assert refused(stage, update, Unfit).cause.code == "name_duplicate"
        assert list(stage.store.installs.iterdir()) == []

    def test_a_name_and_the_same_with_br_are_two_where_they_are(self, stage):
        update = stage.update("1.0.0", [stage.entry("app.js", b"raw"), stage.entry("app.js.br", b"other")])
        assert contents(stage.bring(update)) == {"app.js": b"raw", "app.js.br": b"other"}

    def test_swapped_hashes_are_seen(self, stage):
        a, b = stage.entry("a.py", b"a"), stage.entry("b.py", b"b")
        swapped = [
            ManifestEntry(a.file_name, b.file_hash, a.download_url),
            ManifestEntry(b.file_name, a.file_hash, b.download_url),
        ]
        assert refused(stage, stage.update("1.0.0", swapped), ChecksumError).code == "download_manifest_checksum_fail"

    def test_names_with_spaces_and_any_letters_install_and_stay_as_they_are(self, stage):
        files = {"a file.txt": b"1", "e\u0301/日本.txt": b"2", "😀": b"3", "a%20b": b"4"}
        app = stage.bring(stage.update("1.0.0", [stage.entry(name, data) for name, data in files.items()]))
        assert contents(app) == files

    def test_ten_thousand_and_one_files_are_too_many(self, stage):
        entry = stage.entry("f", b"x")
        manifest = [ManifestEntry(f"f/{n}", entry.file_hash, entry.download_url) for n in range(10_001)]
        assert refused(stage, stage.update("1.0.0", manifest), ArchiveError).code == "manifest_too_long"
        assert stage.depot.log == []

    def test_no_entry_file_is_seen_before_anything_is_fetched(self, stage):
        stage.config.entry = "main.py"
        assert refused(stage, stage.update("1.0.0", [stage.entry("other.py", b"x")])).code == "entry_missing"
        assert stage.depot.log == []

    def test_an_entry_file_that_comes_compressed_is_one(self, stage):
        stage.config.entry = "main.py"
        entry = stage.entry("main.py.br", TEXT, served=brotli.compress(TEXT))
        assert contents(stage.bring(stage.update("1.0.0", [entry]))) == {"main.py": TEXT}


class TestBoundBundles:
    def sealed(self, stage, files, *, version="1.0.0", listed=None):
        records = [FileRecord(n, len(d), hashlib.sha256(d).hexdigest()) for n, d in (listed or files).items()]
        text = seal_record(records, app_id=stage.config.app_id, version=version)
        return [stage.entry(name, data) for name, data in {**files, "capgo-bundle.json": text}.items() if data]

    def test_the_empty_files_that_a_manifest_leaves_out_are_made_of_the_record(self, stage):
        files = {"main.py": b"1", "pkg/__init__.py": b"", "pkg/a.py": b"2"}
        stage.config.require_bound = True
        app = stage.bring(stage.update("1.0.0", self.sealed(stage, files)))
        found = contents(app)
        del found["capgo-bundle.json"]
        assert found == files

    @pytest.mark.parametrize(
        "listed", [{"main.py": b"1", "gone.py": b"2"}, {"main.py": b"other"}, {"main.py": b"1", "../x": b""}]
    )
    def test_a_set_of_files_that_is_not_the_records_is_refused(self, stage, listed):
        manifest = self.sealed(stage, {"main.py": b"1"}, listed=listed)
        refused(stage, stage.update("1.0.0", manifest), (Unfit, ArchiveError))
        assert list(stage.store.installs.iterdir()) == []

    def test_an_old_bundle_under_a_new_name_is_refused(self, stage):
        manifest = self.sealed(stage, {"main.py": b"1"}, version="0.9.0")
        assert isinstance(refused(stage, stage.update("1.0.0", manifest), Unfit).cause, BindingError)


class TestTheArchiveTakesOver:
    def offer(self, stage, *, spoil=None, files=None):
        url, checksum = stage.zipped(files or FILES)
        manifest = [stage.entry(name, data) for name, data in FILES.items()]
        if spoil is not None:
            stage.depot.scripts[f"/o/{len(stage.depot.objects) - 1}"] = spoil
        return stage.update("1.0.0", manifest, url=url, checksum=checksum)

    @pytest.mark.parametrize(
        "spoil",
        [
            [refuse(404)],
            [refuse(500), refuse(500)],
            [hang_up] * 8,  # on a connection that was kept it is asked again at once, for nothing was sent
            [refuse(429, Retry_After=60)],
            [lambda handler, data: cut(1)(handler, b"wrong"), lambda handler, data: cut(1)(handler, b"wrong")],
        ],
        ids=["missing", "out of order", "hangs up", "too many", "cut off"],
    )
    def test_when_a_file_cannot_be_had(self, stage, spoil):
        assert contents(stage.bring(self.offer(stage, spoil=spoil))) == FILES
        assert "/made.zip" in stage.depot.asked
        assert [action for action, _ in stage.notes] == [
            "download_manifest_start",
            "download_manifest_file_fail",
            "download_zip_start",
            "download_zip_complete",
        ]
        assert stage.installed[0].sha256 == stage.installed[0].checksum

    def test_when_one_of_a_hundred_files_is_wrong(self, stage):
        files = {f"f{n}.py": b"%d" % n for n in range(100)}
        url, checksum = stage.zipped(files)
        manifest = [stage.entry(name, data) for name, data in files.items()]
        stage.depot.objects["/o/58"] = b"wrong"
        app = stage.bring(stage.update("1.0.0", manifest, url=url, checksum=checksum))
        assert contents(app) == files
        assert ("download_manifest_checksum_fail", "f57.py") in stage.notes

    @pytest.mark.parametrize("name", ["../b.py", "main.py", "CON", "a\\b"])
    def test_when_the_manifest_breaks_the_rules(self, stage, name):
        update = self.offer(stage)
        bad = ManifestEntry(name, update.manifest[0].file_hash, update.manifest[0].download_url)
        update = stage.update("1.0.0", [*update.manifest, bad], url=update.url, checksum=update.checksum)
        assert contents(stage.bring(update)) == FILES
        assert stage.depot.asked == ["/made.zip"]

    def test_when_there_is_no_brotli(self, stage, monkeypatch):
        monkeypatch.setitem(sys.modules, "brotli", None)
        assert contents(stage.bring(self.offer(stage))) == FILES
        assert stage.depot.asked == ["/made.zip"]
        assert [action for action, _ in stage.notes] == ["download_zip_start", "download_zip_complete"]

    def test_when_the_files_do_not_fit_together_here(self, stage):
        stage.config.require_bound = True
        record = seal_record(
            [FileRecord("main.py", 1, hashlib.sha256(b"1").hexdigest())],
            app_id=stage.config.app_id,
            version="1.0.0",
        )
        url, checksum = stage.zipped({"main.py": b"1", "capgo-bundle.json": record})
        update = stage.update("1.0.0", [stage.entry("main.py", b"1")], url=url, checksum=checksum)
        assert set(contents(stage.bring(update))) == {"main.py", "capgo-bundle.json"}

    def test_when_both_fail_the_archives_error_is_raised_with_the_other_behind_it(self, stage):
        update = self.offer(stage, spoil=[refuse(404)])
        stage.depot.objects["/made.zip"] = b"no zip"
        error = refused(stage, update, ChecksumError)
        assert error.code == "checksum_fail"
        assert isinstance(error.__context__, ServiceError)

    def test_without_an_archive_the_files_error_is_raised(self, stage):
        update = self.offer(stage, spoil=[refuse(404)])
        manifest_only = stage.update("1.0.0", update.manifest, checksum=update.checksum)
        assert refused(stage, manifest_only, ServiceError).code == "not_found"

    def test_without_an_archive_and_without_brotli_there_is_a_code(self, stage, monkeypatch):
        monkeypatch.setitem(sys.modules, "brotli", None)
        update = stage.update("1.0.0", [stage.entry("a.py.br", TEXT, served=brotli.compress(TEXT))])
        assert refused(stage, update, TransferError).code == "brotli_missing"

    def test_without_an_archive_and_without_brotli_plain_files_install(self, stage, monkeypatch):
        monkeypatch.setitem(sys.modules, "brotli", None)
        assert contents(stage.bring(stage.update("1.0.0", [stage.entry("a.py", b"a")]))) == {"a.py": b"a"}

    def test_without_either_there_is_nothing_to_bring(self, stage):
        assert refused(stage, stage.update("1.0.0", []), ReplyError).code == "no_zip"

    def test_not_when_the_device_has_no_room(self, stage):
        class Full(Files):
            def free_bytes(self, path):
                return 1 << 20

        stage.files = Full()
        assert refused(stage, self.offer(stage), StorageError).code == "insufficient_disk_space"
        assert "/made.zip" not in stage.depot.asked
        assert list(stage.store.downloads.iterdir()) == []

    def test_what_came_gives_its_room_back_when_the_device_is_full(self, stage):
        class Full(Files):
            def free_bytes(self, path):
                return 1 << 20

        def when_the_other_is_here(handler, data):
            end, never = time.monotonic() + 10, threading.Event()
            while not any(stage.store.downloads.rglob("*.raw")) and time.monotonic() < end:
                never.wait(0.005)
            refuse(500)(handler, data)

        manifest = [stage.entry("a", b"a"), stage.entry("b", b"b")]
        stage.depot.scripts["/o/1"] = [when_the_other_is_here, refuse(500)]
        refused(stage, stage.update("1.0.0", manifest), ServiceError)
        assert list(stage.store.downloads.iterdir())
        stage.files = Full()
        assert refused(stage, stage.update("1.0.0", manifest), StorageError).code == "insufficient_disk_space"
        assert list(stage.store.downloads.iterdir()) == []

    def test_not_when_the_time_is_over(self, stage):
        update = self.offer(stage)
        seen, release = threading.Semaphore(0), threading.Event()
        for n in (1, 2):
            stage.depot.scripts[f"/o/{n}"] = [hang(seen, release)]
        stage.scope = Scope(0.3)
        refused(stage, update, DeadlineExceeded)
        release.set()
        assert "/made.zip" not in stage.depot.asked

    @pytest.mark.parametrize("how", ["scope", "client", "word"])
    def test_not_when_it_was_ended_from_this_side_which_takes_a_fifth_of_a_second(self, stage, how):
        update = self.offer(stage)
        seen, release, told = threading.Semaphore(0), threading.Event(), threading.Event()
        stage.stop = told.is_set
        for n in (1, 2):
            stage.depot.scripts[f"/o/{n}"] = [hang(seen, release)]
        errors = []

        def run():
            errors.append((refused(stage, update, Cancelled), time.monotonic()))

        thread = threading.Thread(target=run)
        thread.start()
        for _ in range(2):
            assert seen.acquire(timeout=20)
        began = time.monotonic()
        {"scope": stage.scope.cancel, "client": stage.client.close, "word": told.set}[how]()
        thread.join(10)
        release.set()
        assert errors[0][1] - began < 0.2
        assert "/made.zip" not in stage.depot.asked


class TestKeys:
    def test_with_a_key_an_unsigned_hash_is_refused_whatever_else_is_said(self, stage):
        stage.trust()
        assert refused(stage, stage.update("1.0.0", [stage.entry("a.py", b"a")]), SignatureError).code == "unsigned"
        assert stage.depot.log == []

    def test_without_a_key_a_signed_one_is(self, fixtures):
        update = fixtures.update("1.0.0", fixtures.manifest("v1.enc"))
        assert refused(fixtures, update, SignatureError).code == "key_missing"

    def test_without_a_key_a_session_key_is(self, fixtures):
        update = fixtures.update("1.0.0", fixtures.manifest("v1"), session_key=V1_SESSION)
        assert refused(fixtures, update, SignatureError).code == "key_missing"
        assert fixtures.depot.log == []

    def test_files_of_another_session_do_not_pass(self, fixtures):
        fixtures.trust()
        update = fixtures.update("1.0.0", fixtures.manifest("v1.enc"), session_key=V2_SESSION)
        refused(fixtures, update, (SignatureError, ChecksumError))
        assert list(fixtures.store.installs.iterdir()) == []


class TestGoingOn:
    def broken_off(self, stage):
        """Twenty files of which the last is refused: more than are asked for at once, so some have come by then."""
        manifest = [stage.entry(f"f{n}", b"%d" % n) for n in range(20)]
        stage.depot.scripts["/o/19"] = [refuse(500), refuse(500)]
        refused(stage, stage.update("1.0.0", manifest), ServiceError)
        return manifest

    def test_what_came_before_a_failure_is_not_fetched_again(self, stage):
        manifest = self.broken_off(stage)
        kept = len(list(stage.store.downloads.glob("*/*.raw")))
        assert kept > 8
        stage.depot.log.clear()
        stage.bring(stage.update("1.0.0", manifest))
        # A connection that the first failure cut off may cost one of them a second try.
        assert len(set(stage.depot.asked)) == 20 - kept
        assert "/o/19" in stage.depot.asked

    def test_a_large_file_goes_on_where_it_broke_off(self, fixtures):
        manifest = fixtures.manifest("v1.nobrotli")
        big = "/objects/5ceb78b335aabf6a571c9b11"
        fixtures.depot.scripts[big] = [cut(1_000_000), cut(2_000_000)]
        refused(fixtures, fixtures.update("1.0.0", manifest), NetworkError)
        app = fixtures.bring(fixtures.update("1.0.0", manifest))
        assert hashes(contents(app)) == tree("v1")
        assert fixtures.depot.ranges(big) == [None, "bytes=1000000-", "bytes=2000000-"]

    def test_it_goes_when_another_version_is_wanted(self, stage):
        self.broken_off(stage)
        assert len(list(stage.store.downloads.iterdir())) == 1
        stage.bring(stage.update("1.1.0", [stage.entry("c", b"c")]))

    def test_it_goes_when_the_archive_took_over(self, stage):
        url, checksum = stage.zipped({"a": b"a"})
        manifest = [stage.entry("a", b"a"), stage.entry("b", b"b")]
        stage.depot.scripts["/o/2"] = [refuse(404)]
        stage.bring(stage.update("1.0.0", manifest, url=url, checksum=checksum))


class TestDiskTrouble:
    @pytest.mark.slow
    def test_a_failure_at_any_call_is_a_typed_error_and_leaves_nothing_half(self, stage, tmp_path):
        manifest = [
            stage.entry("a.py", b"a"),
            stage.entry("pkg/b.py.br", TEXT, served=brotli.compress(TEXT)),
            stage.entry("big.bin", bytes(range(256)) * 1200),
        ]
        (stage.builtin / "c.py").write_bytes(b"c")
        manifest.append(stage.entry("c.py", b"c"))
        for nth in range(1, 400):
            files = stage.files = FaultyFiles()
            stage.store = Store(tmp_path / f"data{nth}", files=files)
            Store(stage.store.folder, files=Files()).prepare()
            files.fail(nth, errno.EIO)
            stage.installed.clear()
            try:
                stage.bring(stage.update("1.0.0", manifest))
            except (CapgoError, OSError):  # the store's own preparation speaks of the system
                assert not stage.installed
            assert not files.open_descriptors, nth
            for install in stage.store.installs.iterdir():
                assert audit(install, files=Files(), should_stop=lambda: False) == ()
            if nth > len(files.calls):
                break
        assert 60 < nth < 399


def test_what_is_here_counts_into_the_limit_before_anything_is_fetched(stage):
    (stage.builtin / "a.py").write_bytes(b"x" * 600)
    delta = Delta(
        store=stage.store,
        builtin=stage.builtin,
        keys=None,
        files=stage.files,
        clock=Clock(),
        limits=Limits(max_total=1000),
        max_download=1 << 30,
        should_stop=lambda: False,
    )
    with pytest.raises(IntegrityError) as caught:
        delta.gather(
            [stage.entry("a.py", b"x" * 600), stage.entry("copy.py", b"x" * 600), stage.entry("b.py", b"b")],
            session_key="",
            entry="",
            folder=stage.store.downloads / "d",
            client=stage.client,
            scope=stage.scope,
            progress=lambda done, total: None,
            note=lambda action, name: None,
        )
    assert caught.value.code == "bundle_too_large"
    assert stage.depot.log == []


def test_missing_tells_what_would_be_fetched_and_asks_nobody(stage):
    (stage.builtin / "a.py").write_bytes(b"a")
    manifest = [stage.entry("a.py", b"a"), stage.entry("b.py", b"b"), stage.entry("n.br", b"a")]
    missing, total = stage.arrival().missing(manifest, session_key="")
    assert missing == (manifest[1], manifest[2])
    assert total == 3
    assert stage.depot.log == []


def test_missing_refuses_what_could_not_be_installed(stage):
    with pytest.raises(ArchiveError):
        stage.arrival().missing([stage.entry("../a", b"a")], session_key="")


def test_memory_stays_flat_for_a_large_file(stage):
    chunk = hashlib.sha256(b"x").digest() * 2048  # 64 KiB
    content = b"".join(hashlib.sha256(b"%d" % n).digest() * 2048 for n in range(700))
    assert len(chunk) == 65536
    entry = stage.entry("big.bin", content)
    packed = stage.entry("packed.bin.br", content[:-1], served=brotli.compress(content[:-1], quality=1))
    tracemalloc.start()
    try:
        app = stage.bring(stage.update("1.0.0", [entry, packed]))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (app / "big.bin").stat().st_size == 700 * 65536
    assert peak < 16 << 20
