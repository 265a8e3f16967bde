"""What is here already (install/reuse.py), and what a name that ends in .br means then."""

from __future__ import annotations

import hashlib
import os

import pytest
from installs import a_store, an_install

from capgo_client.errors import Cancelled
from capgo_client.install import reuse
from capgo_client.install.manifest import read_manifest
from capgo_client.install.reuse import find_local
from capgo_client.protocol.outcomes import ManifestEntry
from capgo_client.seams import Files
from capgo_client.testing.files import FaultyFiles

BIG = b"x" * 8192
SMALL = b"x" * 8191


@pytest.fixture
def store(tmp_path):
    return a_store(tmp_path)


def wanted(name, content):
    entry = ManifestEntry(name, hashlib.sha256(content).hexdigest(), "http://127.0.0.1/x")
    return read_manifest([entry], keys=None)[0]


def find(store, *wants, builtin=None, files=None, should_stop=lambda: False, **options):
    files = files or Files()
    return find_local(wants, store=store, builtin=builtin, files=files, should_stop=should_stop, **options)


@pytest.mark.parametrize(
    ("here", "entry", "content", "name"),
    [
        # the name without .br, or the whole one: as the copy is called
        (["a.py"], "a.py.br", BIG, "a.py"),
        (["a.br"], "a.br", BIG, "a.br"),
        (["a.br"], "a.br", SMALL, "a.br"),
        # renamed: as the copies' own names end
        (["old.py"], "new.py.br", BIG, "new.py"),
        (["old.br"], "new.br", BIG, "new.br"),
        (["old.br"], "new.br", SMALL, "new.br"),
        (["x.br", "y.br"], "new.br", BIG, "new.br"),
        (["x", "y"], "new.br", BIG, "new"),
        # the exact name counts more than others
        (["a.py", "x.br"], "a.py.br", BIG, "a.py"),
        (["a.br", "x"], "a.br", BIG, "a.br"),
        # nobody knows
        (["a.py", "a.py.br"], "a.py.br", BIG, None),
        (["x.py", "y.br"], "new.br", BIG, None),
        (["a.py"], "a.py.br", SMALL, None),
        (["old.py"], "new.py.br", SMALL, None),
        # no question at all
        (["anything.br"], "a.py", BIG, "a.py"),
        (["a.py"], "a.py", b"", "a.py"),
    ],
)
def test_a_copys_name_tells_what_the_entrys_name_means(store, here, entry, content, name):
    an_install(store, dict.fromkeys(here, content))
    want = wanted(entry, content)
    found = find(store, want)
    assert (found and "/".join(found[want].parts)) == (name or {})


def test_what_is_found_was_read_just_now_and_stands_first(store):
    seal = an_install(store, {"a.py": BIG, "b.py": BIG})
    app = store.app_path(seal.id)
    (app / "a.py").chmod(0o600)
    (app / "a.py").write_bytes(b"changed")
    want = wanted("new.py", BIG)
    found = find(store, want)[want]
    assert found.sources[0] == str(app / "b.py")
    assert found.size == len(BIG)


def test_an_install_whose_record_is_damaged_is_passed_over(store):
    bad, good = an_install(store, {"a.py": b"a"}), an_install(store, {"b.py": b"b"})
    (store.installs / bad.id / "files.json").write_bytes(b"[]")
    assert [want.file_name for want in find(store, wanted("a.py", b"a"), wanted("b.py", b"b"))] == ["b.py"]
    assert good.id in store.ids()


def test_the_builtin_is_not_looked_at_while_nothing_is_missing(store, tmp_path):
    an_install(store, {"a.py": b"a"})
    files = FaultyFiles()
    find(store, wanted("a.py", b"a"), builtin=tmp_path / "app", files=files)
    assert not [call for call in files.calls if str(tmp_path / "app") in call.path]


def test_each_builtin_file_is_hashed_once_however_many_are_missing(store, tmp_path):
    app = tmp_path / "app"
    (app / "pkg").mkdir(parents=True)
    for n in range(5):
        (app / "pkg" / f"f{n}").write_bytes(b"%d" % n)
    files = FaultyFiles()
    found = find(store, *(wanted(f"g{n}", b"%d" % n) for n in range(9)), builtin=app, files=files)
    assert len(found) == 5
    assert files.count("open_read") == 5


def test_byte_code_links_and_pipes_in_the_builtin_are_left_out(store, tmp_path):
    app = tmp_path / "app"
    (app / "__pycache__").mkdir(parents=True)
    (app / "__pycache__" / "x.pyc").write_bytes(b"a")
    (tmp_path / "outside").write_bytes(b"a")
    (app / "link").symlink_to(tmp_path / "outside")
    os.mkfifo(app / "pipe")
    assert find(store, wanted("a", b"a"), builtin=app) == {}


def test_a_builtin_that_is_too_large_is_looked_at_in_part(store, tmp_path, monkeypatch):
    app = tmp_path / "app"
    app.mkdir()
    for n in range(10):
        (app / f"f{n}").write_bytes(b"%d" % n * 10)
    wants = [wanted(f"f{n}", b"%d" % n * 10) for n in range(10)]
    monkeypatch.setattr(reuse, "_MAX_BUILTIN_FILES", 4)
    assert len(find(store, *wants, builtin=app)) == 4
    monkeypatch.setattr(reuse, "_MAX_BUILTIN_BYTES", 35)
    assert len(find(store, *wants, builtin=app)) == 3


def test_what_cannot_be_read_is_not_here(store, tmp_path):
    app = tmp_path / "app"
    app.mkdir()
    (app / "a").write_bytes(b"a")
    for kind in ("open_read", "read", "fstat", "lstat", "scan"):
        files = FaultyFiles()
        files.fail(1, 5, kinds=[kind], path=str(app))
        assert find(store, wanted("a", b"a"), builtin=app, files=files) == {}, kind
        assert not files.open_descriptors


def test_records_that_are_believed_cost_no_look_at_a_file_of_an_install(store, tmp_path):
    seal = an_install(store, {"pkg/a.py": BIG, "pkg/b.py": BIG})
    app = tmp_path / "app"
    app.mkdir()
    (app / "c.py").write_bytes(b"c")
    files = FaultyFiles()
    wants = [wanted("new/a.py.br", BIG), wanted("c.py", b"c"), wanted("d.py", b"d")]
    found = find(store, *wants, builtin=app, files=files, believe_records=True)
    here = store.app_path(seal.id)
    assert found[wants[0]].sources == (str(here / "pkg" / "a.py"), str(here / "pkg" / "b.py"))
    assert (found[wants[0]].parts, found[wants[0]].size) == (("new", "a.py"), 8192)
    assert found[wants[1]].sources == (str(app / "c.py"),)
    assert len(found) == 2
    read = {os.path.basename(call.path) for call in files.calls if call.kind == "open_read"}
    assert read == {"files.json", "c.py"}


def test_the_builtin_has_no_record_and_is_never_believed(store, tmp_path):
    app = tmp_path / "app"
    app.mkdir()
    (app / "a.py").write_bytes(b"other")
    assert find(store, wanted("a.py", b"a"), builtin=app, believe_records=True) == {}


def test_the_look_can_be_stopped(store, tmp_path):
    an_install(store, {"a.py": b"a"})
    with pytest.raises(Cancelled):
        find(store, wanted("a.py", b"a"), should_stop=lambda: True)
