"""`capgo-client new`: what it writes runs, and its own tests pass."""

from __future__ import annotations

import configparser
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from capgo_client.cli import main
from capgo_client.cli.skeleton import FILES, KIVY_FILES

ROOT = Path(__file__).resolve().parents[2]
#: The plugin is registered by the installed package; where only the source tree is there, the project names it.
PLUGIN = """
def pytest_configure(config):
    from capgo_client.testing import pytest_plugin
    if not config.pluginmanager.is_registered(pytest_plugin):
        config.pluginmanager.register(pytest_plugin, "capgo")
"""


def run(folder, *command, **more):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environment | {"PYTHONPATH": str(ROOT)} | more,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def project(tmp_path, capsys):
    return made(tmp_path / "My notes", capsys)


def made(folder, capsys, *options):
    assert main(["new", str(folder), "--version", "2.3.4", *options]) == 0
    capsys.readouterr()
    return folder


def test_it_says_what_to_do_next(tmp_path, capsys):
    assert main(["new", str(tmp_path / "notes")]) == 0

    said = capsys.readouterr().out
    assert "python start.py" in said
    assert all(name in said for name in FILES)


@pytest.mark.slow
def test_json_names_the_files(tmp_path, capsys):
    assert main(["new", str(tmp_path / "notes"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["ok"], told["app_id"]) == (True, "com.example.notes")
    assert all((tmp_path / "notes" / name).is_file() for name in told["files"])


@pytest.mark.slow
def test_the_tests_of_a_new_project_pass_in_a_process_of_their_own(project):
    (project / "conftest.py").write_text(PLUGIN)

    done = run(
        project,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:randomly",
        "-p",
        "no:xdist",
        "-p",
        "no:cacheprovider",
        "--basetemp=base",
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 passed" in done.stdout


def test_its_start_file_opens_the_app(project, tmp_path):
    done = run(project, "start.py", XDG_DATA_HOME=str(tmp_path / "home"), HOME=str(tmp_path / "home"))

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Hello. This is version 2.3.4.")


@pytest.mark.parametrize("options", [(), ("--kivy",)], ids=["plain", "kivy"])
def test_names_and_versions_are_filled_in(tmp_path, capsys, options):
    project = made(tmp_path / "My notes", capsys, *options)
    texts = {path.name: path.read_text("utf-8") for path in project.rglob("*.*")}

    assert [name for name, text in texts.items() if "@" in text.replace("@capgo", "").replace("@pytest", "")] == []
    assert '"com.example.my-notes"' in texts["start.py"]
    assert 'version = "2.3.4"' in texts["pyproject.toml"]


def test_the_commands_know_in_its_folder_which_app_is_meant(project):
    own = str(project.parent / "home")

    done = run(project, "-m", "capgo_client", "doctor", "--update-url", "", XDG_DATA_HOME=own, HOME=own)

    assert "com.example.my-notes" in done.stdout, done.stdout + done.stderr


def test_the_page_shows_what_it_says():
    said = f"made notes: {', '.join(FILES)}\n"

    assert said in (ROOT / "docs" / "command-line.md").read_text("utf-8")


def test_no_file_of_the_app_is_empty_because_a_delta_would_drop_it():
    assert [name for name, text in {**FILES, **KIVY_FILES}.items() if not text] == []


# ---- with a window; tests/gui/test_new_kivy_project.py opens it ----


def test_the_start_file_is_the_same_but_for_what_kivy_needs(tmp_path, capsys):
    plain, kivy = (
        made(tmp_path / name, capsys, "--app-id", "com.example.notes", *options) / "start.py"
        for name, options in (("plain", ()), ("kivy", ("--kivy",)))
    )

    more = [line for line in kivy.read_text().splitlines() if line not in plain.read_text().splitlines()]
    assert [line.strip().partition("  #")[0] for line in more] == [
        "import os",
        'os.environ.setdefault("KIVY_NO_ARGS", "1")',
        "from capgo_client.launcher import restart, run",
        "reload=restart,",
    ]


def test_android_builds_what_the_example_does(tmp_path, capsys):
    ours, example = (
        spec(folder) for folder in (made(tmp_path / "My notes", capsys, "--kivy"), ROOT / "examples" / "kivy_app")
    )

    assert {name for name, value in ours.items() if value != example[name]} == {
        "title", "package.name", "source.include_exts", "source.exclude_dirs", "source.exclude_patterns",
    }  # fmt: skip
    assert (ours["package.domain"], ours["package.name"]) == ("com.example", "mynotes")
    left_out = set(ours["source.exclude_dirs"].split(",")) | set(ours["source.exclude_patterns"].split(","))
    assert {"tests", "next", "data", "dev.py"} <= left_out
    suffixes = {Path(name).suffix.removeprefix(".") for name in KIVY_FILES if name.startswith("app/")}
    assert suffixes <= set(ours["source.include_exts"].split(","))


def spec(folder):
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(folder / "buildozer.spec")
    return parser["app"]


def test_an_id_of_ones_own(tmp_path, capsys):
    assert main(["new", str(tmp_path / "notes"), "--app-id", "org.notes.app"]) == 0

    capsys.readouterr()
    assert '"org.notes.app"' in (tmp_path / "notes" / "start.py").read_text("utf-8")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--app-id", "notes"), "app_id: 'notes' is not possible"),
        (("--version", "1.0"), "version: '1.0' is not semver"),
    ],
)
def test_wrong_options_are_refused_and_nothing_is_written(tmp_path, capsys, options, said):
    assert main(["new", str(tmp_path / "notes"), *options]) == 2

    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_already_is_left_alone(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("mine")

    assert main(["new", str(tmp_path)]) == 2
    assert main(["new", str(tmp_path / "notes.txt")]) == 2
    assert main(["new", str(tmp_path / "notes.txt" / "below")]) == 2

    assert "not an empty folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_empty_folder_is_good_enough(tmp_path, capsys):
    assert main(["new", str(tmp_path)]) == 0

    capsys.readouterr()
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()} == set(FILES)
