"""What a bundle can import and read, where its byte code goes, and that no two versions are mixed."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import pytest

from capgo_client.install.store import APP

ROOT = Path(__file__).resolve().parents[2]

SAYS = """
    import version
    from capgo_client import current_updater
    print("opened", version.VERSION, flush=True)
    {}
    def main():
        current_updater().notify_app_ready()
        {}
"""


def says(at_import="", when_called="pass"):
    return SAYS.format(at_import, when_called)


def said(done, word):
    """The JSON after this word."""
    (line,) = [line for line in done.stdout.splitlines() if line.startswith(f"{word} ")]
    return json.loads(line.partition(" ")[2])


def everything_below(folder):
    return sorted(
        (str(path.relative_to(folder)), stat.S_IMODE(path.lstat().st_mode), path.lstat().st_mtime_ns)
        for path in folder.rglob("*")
    )


def test_resources_are_read_out_of_the_bundle(device):
    read = "print(files('texts').joinpath('hello.txt').read_text('utf-8'))"
    texts = {"texts/__init__.py": '"""Texts."""', "texts/hello.txt": "read from the builtin"}
    device.ship(says("from importlib.resources import files", read), **texts)
    assert "read from the builtin" in device.launch().stdout

    texts["texts/hello.txt"] = "read from the bundle"
    device.bring("1.1.0", says("from importlib.resources import files", read), **texts)
    assert "read from the bundle" in device.launch().stdout


def test_metadata_of_installed_distributions_is_found_as_ever(device):
    read = "print('found', importlib.metadata.version('pytest'))"
    device.bring("1.1.0", says("import importlib.metadata", read))

    assert f"found {pytest.__version__}" in device.launch().stdout


def test_a_bundle_stays_as_it_was_installed_and_its_byte_code_is_kept_below_the_data_directory(device, opened):
    device.bring("1.1.0", says("import pkg.deep"), **{"pkg/deep.py": "X = 1", "pkg/__init__.py": "Y = 2"})
    device.launch()
    (app,) = device.installed()
    before = everything_below(app)

    assert opened(device.launch()) == ["1.1.0"]

    assert everything_below(app) == before
    assert not [name for name, _, _ in before if "__pycache__" in name]
    kept = {path.name.split(".")[0] for path in (device.data / "pycache" / "1.0.0").rglob("*.pyc") if APP in str(path)}
    assert {"main", "version", "deep", "__init__"} <= kept


def test_processes_that_the_app_starts_write_nothing_into_the_bundle_either(device):
    run = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import pkg.deep'], check=True, cwd=FOLDER)"
    folder = "from pathlib import Path; FOLDER = Path(__file__).parent"
    device.bring("1.1.0", says(folder, run), **{"pkg/deep.py": "X = 1", "pkg/__init__.py": "Y = 2"})

    done = device.launch()

    assert done.returncode == 0, done.stderr
    (app,) = device.installed()
    assert [path for path in app.rglob("*") if "__pycache__" in path.name] == []


def test_byte_code_of_versions_that_are_gone_is_removed(device, opened):
    device.bring("1.1.0", says())
    assert opened(device.launch()) == ["1.1.0"]
    prefix = device.data / "pycache" / "1.0.0"
    mirrored = prefix.joinpath(*(device.data / "installs").resolve().parts[1:])
    (here,) = mirrored.iterdir()
    here.rename(mirrored / "GoneForEver")

    device.launch()

    assert [path.name for path in mirrored.iterdir()] == [here.name]


def test_byte_code_of_older_installers_is_removed(device):
    device.bring("1.1.0", says())
    (device.data / "pycache" / "0.9.0" / "deep").mkdir(parents=True)
    (device.data / "pycache" / "0.9.0" / "deep" / "old.pyc").touch()
    os.chmod(device.data, 0o700)

    device.launch()

    assert [path.name for path in (device.data / "pycache").iterdir()] == ["1.0.0"]


def test_an_app_that_chose_a_place_for_its_byte_code_keeps_it(device, tmp_path):
    device.bring("1.1.0", says("import sys", "print('kept in', sys.pycache_prefix)"))

    done = device.launch(PYTHONPYCACHEPREFIX=str(tmp_path / "mine"))

    assert f"kept in {tmp_path / 'mine'}" in done.stdout
    assert not (device.data / "pycache").exists()


def test_the_builtin_keeps_its_own_byte_code(device):
    device.ship(says("import sys", "print('kept in', sys.pycache_prefix)"))

    assert "kept in None" in device.launch().stdout


# ---- one version, and no other ----

ATTEMPT = """
    def attempt(name):
        try:
            __import__(name)
        except ModuleNotFoundError as exc:
            return str(exc)
        return "imported"
"""


def test_modules_that_the_start_file_took_from_the_builtin_are_not_handed_to_another_version(device):
    device.write("sys.path.insert(0, str(Path(__file__).resolve().parent / 'app'))\nimport version, only_there")
    device.ship(says(), **{"only_there.py": "X = 1"})
    device.bring(
        "1.1.0",
        says(
            "import importlib.util, json, sys",
            "print('seen', json.dumps([version.VERSION, importlib.util.find_spec('only_there') is None]))",
        ),
    )

    assert said(device.launch(), "seen") == ["1.1.0", True]


def test_the_builtin_cannot_be_imported_by_the_name_of_its_folder(device):
    names = ("app", "app.version", "app.main")
    device.ship(says(ATTEMPT, f"print('seen', __import__('json').dumps([attempt(each) for each in {names}]))"))
    assert said(device.launch(), "seen") == ["imported"] * 3  # it is its own

    device.bring(
        "1.1.0", says(ATTEMPT, f"print('seen', __import__('json').dumps([attempt(each) for each in {names}]))")
    )
    seen = said(device.launch(), "seen")
    assert seen == ["'app' is a module of the builtin, and another version is open"] * 3


@pytest.mark.skipif(os.name == "nt", reason="not everybody may make links there")
def test_the_builtin_cannot_be_imported_through_a_link_either(device):
    device.ship(says(), **{"only_there.py": "X = 1"})
    names = ["app.only_there", "only_there"]
    device.bring(
        "1.1.0", says(ATTEMPT, f"print('seen', __import__('json').dumps([attempt(each) for each in {names}]))")
    )
    link = device.folder.with_name("link")
    link.symlink_to(device.folder)
    path = os.pathsep.join([str(link), str(link / "app"), str(ROOT)])

    seen = said(device.launch(PYTHONSAFEPATH="1", PYTHONPATH=path), "seen")

    assert seen == [
        "'app' is a module of the builtin, and another version is open",
        "No module named 'only_there'",  # that folder is on the path no more
    ]


def test_the_builtin_cannot_be_imported_by_a_finder_that_knows_where_it_lies(device):
    """As that of an editable install does, which stands behind the one for the import path."""
    device.write("""
        import importlib.abc, importlib.util
        class Editable(importlib.abc.MetaPathFinder):
            def find_spec(self, name, path=None, target=None):
                if name == "plugins":
                    place = Path(__file__).resolve().parent / "app" / "plugins.py"
                    return importlib.util.spec_from_file_location(name, place)
        sys.meta_path.append(Editable())
    """)
    device.ship(says(), **{"plugins.py": "X = 1"})
    device.bring("1.1.0", says(ATTEMPT, "print('seen', __import__('json').dumps(attempt('plugins')))"))

    assert said(device.launch(), "seen") == "'plugins' is a module of the builtin, and another version is open"


def test_a_folder_of_the_same_name_in_the_bundle_is_not_filled_up_from_the_builtin(device):
    """Two folders without __init__.py are one package to Python."""
    device.ship(says(), **{"parts/old.py": "X = 1"})
    call = "print('seen', __import__('json').dumps([attempt('app.mine'), attempt('app.version')]))"
    device.bring("1.1.0", says(ATTEMPT, call), **{"app/mine.py": "X = 1"})

    kept_out = "'app.version' is a module of the builtin, and another version is open"
    assert said(device.launch(), "seen") == ["imported", kept_out]


def test_a_module_of_the_start_file_does_not_take_the_place_of_the_bundles(device, opened):
    (device.folder / "main.py").write_text("print('opened wrong')\ndef main(): pass\n")
    device.write("import main")
    device.bring("1.1.0")

    assert opened(device.launch()) == ["wrong", "1.1.0"]


def test_what_the_installer_brings_beside_the_builtin_can_be_imported(device):
    (device.folder / "beside.py").write_text("ANSWER = 42\n")
    device.bring("1.1.0", says("import beside, json", "print('seen', json.dumps(beside.ANSWER))"))

    assert said(device.launch(), "seen") == 42


def test_without_a_folder_the_builtin_is_what_is_on_the_import_path(device, opened):
    start = device.start.read_text().replace('"1.0.0", app,', '"1.0.0", None,')
    device.start.write_text(start)
    (device.folder / "main.py").write_text("def main():\n    print('opened builtin')\n")
    assert opened(device.launch()) == ["builtin"]

    device.bring("1.1.0")
    assert opened(device.launch()) == ["1.1.0"]


# ---- the app as a program ----


def test_a_module_is_run_as_a_program(device, opened):
    device.run["entry"] = "main"
    program = """
    import json, sys
    import version
    from capgo_client import current_updater
    if __name__ == "__main__":
        print("opened", version.VERSION, flush=True)
        print("seen", json.dumps([sys.modules["__main__"].__file__ == __file__, sys.argv[1:]]))
        current_updater().notify_app_ready()
    """
    device.ship(program)
    done = device.launch("--note", "x")
    assert (opened(done), said(done, "seen"), done.stderr) == (["1.0.0"], [True, ["--note", "x"]], "")

    device.bring("1.1.0", "import nothing_like_it")
    assert opened(device.launch()) == ["1.0.0"]


def test_a_function_leaves_main_and_the_arguments_as_the_start_file_has_them(device):
    call = "print('seen', json.dumps([sys.argv, sys.modules['__main__'].__file__]))"
    device.bring("1.1.0", says("import json, sys", call))

    assert said(device.launch("--note"), "seen") == [[str(device.start), "--note"], str(device.start)]


SPAWNS = """
    import multiprocessing
    import pickle
    import version
    from capgo_client import current_updater

    print("opened", version.VERSION, flush=True)

    class Note:
        def __init__(self, text):
            self.text = text

    def shout(note):
        from pathlib import Path
        return Note(note.text.upper() + " in " + version.VERSION), str(Path(__file__).parent)

    def main():
        updater = current_updater()
        note = pickle.loads(pickle.dumps(Note("hello")))
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            answer, folder = pool.apply(shout, (note,))
        print("spawned", answer.text, folder == str(updater.current.path), flush=True)
        updater.notify_app_ready()
"""


def test_children_that_multiprocessing_spawns_run_the_same_version_and_are_not_counted(device, opened):
    device.options["max_boot_attempts"] = 2
    device.bring("1.1.0", SPAWNS)

    done = device.launch()

    assert "spawned HELLO in 1.1.0 True" in done.stdout, done.stderr
    assert opened(done) == ["1.1.0", "1.1.0"]  # the module itself is imported by the child as well
    (install,) = device.state["installs"]
    assert (install["status"], install["attempts"]) == ("success", 0)
    assert list(device.installed()[0].rglob("__pycache__")) == []


SECOND = """
    import subprocess, sys
    import version
    from capgo_client import current_updater

    def main():
        print("opened", version.VERSION, flush=True)
        if "--again" in sys.argv:
            raise RuntimeError("of the second")
        again = subprocess.run([sys.executable, *sys.argv, "--again"], capture_output=True, text=True)
        print(again.returncode, again.stderr)
        current_updater().notify_app_ready()
"""


def test_a_second_process_of_the_app_neither_counts_nor_condemns(device, opened):
    device.options["max_boot_attempts"] = 1
    device.bring("1.1.0", SECOND)

    done = device.launch()

    assert (opened(done), done.returncode) == (["1.1.0"], 0), done.stderr
    assert "RuntimeError: of the second" in done.stdout
    assert [each["status"] for each in device.state["installs"]] == ["success"]


#: What a start in background mode has no use for (decision 1).
DEAR = ("httpx", "cryptography", "asyncio", "ssl", "zipfile", "brotli", "platformdirs", "subprocess", "runpy", "typing")


def test_the_launcher_brings_nothing_along_that_a_start_has_no_use_for(device):
    script = "import capgo_client.launcher, sys; print(sorted(set(sys.modules)))"

    done = device.launch(command=[sys.executable, "-S", "-c", script])

    assert done.returncode == 0, done.stderr
    assert [name for name in DEAR if f"'{name}'" in done.stdout] == []


def test_where_the_data_directory_cannot_be_written_the_builtin_opens_all_the_same(device, opened):
    device.data.write_text("not a folder")

    done = device.launch()

    assert (opened(done), done.returncode) == (["1.0.0"], 0)
