"""Every code block of README.md and of every page in docs is run, or held to what it names; none escapes.

Python runs: here, in a process of its own against a service on loopback, or in the test that `EXECUTED_BY` names.
Commands name programs, commands and options that there are. Data is read by what would read it.
"""

from __future__ import annotations

import ast
import configparser
import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import snippets

from capgo_client.cli import command_parser
from capgo_client.cli.app_options import _SETTINGS, toml_reader
from capgo_client.cli.skeleton import FILES
from capgo_client.testing import Service, make_bundle

ROOT = Path(__file__).resolve().parents[2]
PARSER = command_parser()
ALL = [block for page in snippets.PAGES for block in snippets.blocks(page)]

#: Python that a test of its own executes, and looks at what comes of it: the page, the blocks' names, the test. "*" is
#: for a page all of whose blocks that test counts and runs.
EXECUTED_BY = {
    ("README.md", "*"): "tests/examples/test_readme.py",
    ("docs/launcher.md", "*"): "tests/launcher/test_launcher_doc.py",
    ("docs/quick-start.md", "app/main.py"): "tests/gui/test_quick_start_window.py",
    ("docs/self-hosting.md", "*"): "tests/examples/test_docs_self_hosting.py",
    ("docs/testing.md", "*"): "tests/testing/test_kit_plugin_project.py",
    ("docs/kivy.md", "*"): "tests/gui/test_kivy_doc.py",
}

#: Programs that are not ours and that a command may begin with. What they do is theirs to document.
PROGRAMS = {
    ".", "activate", "adb", "apt-get", "buildozer", "cat", "cd", "cmp", "cp", "curl", "echo", "eval", "export", "find",
    "git", "kill", "ls", "mkdir", "mv", "openssl", "rm", "set", "sudo", "systemctl", "test", "touch", "true",
}  # fmt: skip


def test_there_are_pages_and_each_has_its_blocks_found():
    for page in snippets.PAGES:
        text = (ROOT / page).read_text("utf-8")
        assert len(re.findall(r"^ *```", text, re.MULTILINE)) == 2 * len(snippets.blocks(page)), page
        assert not re.search(r"^ *(~~~|````)", text, re.MULTILINE), page


@pytest.mark.parametrize("block", ALL, ids=lambda block: f"{block.place}-{block.language}")
def test_every_block_is_run_or_held_to_what_it_names(block, tmp_path, request):
    check = CHECKS.get(block.language)

    assert check is not None, f"{block.place}: nothing runs or reads a block of {block.language or 'no language'}"
    check(block, tmp_path, request)


# ---- Python ----


def executor_of(block: snippets.Block) -> str:
    return EXECUTED_BY.get((block.page, block.title), EXECUTED_BY.get((block.page, "*"), ""))


def check_python(block, tmp_path, request):
    assert block.title.endswith(".py"), f"{block.place}: its first line says no file name, as `# start.py` does"
    ast.parse(block.text)
    test = executor_of(block)
    if not test:
        run_page_file(block, tmp_path, request.getfixturevalue("capgo_service"))
        return
    source = (ROOT / test).read_text("utf-8")
    assert Path(block.page).name in source, f"{test} does not read {block.page}"
    assert "snippets." in source or "```python" in source


#: Loaded by each process of a page's app: it is led to our service and folder by other defaults, so that the code runs
#: as it is printed. What the library catches of the app's own mistakes, as in a callback, is to be seen.
AROUND = """
import logging
from capgo_client import Updater
seen = logging.StreamHandler()
seen.setLevel(logging.ERROR)
logging.getLogger("capgo_client").addHandler(seen)
Updater.__init__.__kwdefaults__.update({defaults!r})
"""


def run_page_file(block: snippets.Block, folder: Path, service: Service) -> None:
    """Run one file of a page in a folder with the page's other files and a builtin, as a new user would."""
    for name, text in {**FILES, **snippets.files(block.page)}.items():
        if name.startswith(("app/", block.title)) or name in snippets.files(block.page):
            path = folder / "notes" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.replace("@VERSION@", "1.4.0").replace("@APP_ID@", "com.example.notes"), "utf-8")
    own = {name.removeprefix("app/"): text for name, text in FILES.items() if name.startswith("app/")}
    service.publish(make_bundle("1.4.1", own))
    defaults = {name: getattr(service, name) for name in ("update_url", "stats_url", "channel_url")}
    (folder / "around").mkdir()
    (folder / "around" / "sitecustomize.py").write_text(
        AROUND.format(defaults={**defaults, "data_dir": str(folder / "data")})
    )
    shutil.copy(ROOT / "tests" / "conftest.py", folder / "notes")
    is_test = Path(block.title).name.startswith("test_")
    command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--basetemp=base"] if is_test else []
    done = subprocess.run(
        [sys.executable, *command, block.title],
        cwd=folder / "notes",
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        | {"PYTHONPATH": os.pathsep.join([str(folder / "around"), str(ROOT)])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), (block.place, done.stdout, done.stderr)
    assert done.stdout


# ---- commands ----


def check_commands(block, tmp_path, request):
    typed = snippets.commands(block.text)
    assert typed, f"{block.place}: no command in it"
    for command in typed:
        check_command(command, block)


def check_command(command: str, block: snippets.Block) -> None:
    for part in re.split(r"\s(?:&&|\|\|?|;)\s", command):
        parts = snippets.words(part.removesuffix("&"))
        if parts and not re.fullmatch(r"\w+=\S*", part.strip()):
            check_words(parts, block)


def check_words(parts: list[str], block: snippets.Block) -> None:
    program, rest = parts[0].rsplit("/", 1)[-1] or parts[0], parts[1:]
    where = f"{block.place}: {' '.join(parts)}"
    if program == "capgo-client":
        check_ours(rest, where)
    elif program in {"python", "python3", "pip", "pytest"}:
        check_interpreter(program, rest, block, where)
    elif program == "make":
        check_make(rest, where)
    elif program in {"npx", "npm"}:
        check_npx(rest, where)
    else:
        assert program in PROGRAMS, f"{where}: what is {program}?"


def check_ours(rest: list[str], where: str) -> None:
    """The command line takes it as it stands there."""
    if rest in (["COMMAND"], ["--help"], ["--version"]):
        return
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.suppress(SystemExit):
        PARSER.parse_args(rest)
    assert said.getvalue() == "", f"{where}: the command line does not take it"


def check_interpreter(program: str, rest: list[str], block: snippets.Block, where: str) -> None:
    if program == "pip" or rest[:2] == ["-m", "pip"]:
        extras = {extra for word in rest for found in re.findall(r"\[([\w,-]+)\]", word) for extra in found.split(",")}
        project = (ROOT / "pyproject.toml").read_text("utf-8")
        assert all(re.search(rf"^{extra} = \[", project, re.MULTILINE) for extra in extras), f"{where}: extras"
        return
    if rest[:2] == ["-m", "capgo_client"]:
        check_ours(rest[2:], where)
        return
    if program == "pytest" or rest[:1] in (["-m"], ["-c"]):
        assert program == "pytest" or rest[1] in {"pytest", "venv"} or rest[0] == "-c", where
        return
    files = [word for word in rest if word.endswith(".py")]
    known = {*FILES, *snippets.files(block.page)}
    assert files, where
    assert files[0] in known or (ROOT / files[0]).exists(), f"{where}: there is no {files[0]}"


def check_make(rest: list[str], where: str) -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for word in rest:
        name = word.partition("=")[0]
        pattern = rf"^{name} *[?:]?=" if "=" in word else rf"^{name}:"
        assert re.search(pattern, makefile, re.MULTILINE), f"{where}: the Makefile has no {name}"


def check_npx(rest: list[str], where: str) -> None:
    if "@capgo/cli" not in rest[0]:
        assert rest[0] in {"install", "ci"}, where
        return
    path, flags = capgo_cli(rest)
    assert path in snippets.CAPGO_CLI, f"{where}: no such command"
    assert flags <= snippets.CAPGO_CLI[path], f"{where}: {flags - snippets.CAPGO_CLI[path]}"


def capgo_cli(rest: list[str]) -> tuple[tuple[str, ...], set[str]]:
    """The command of Capgo's tool in ``@capgo/cli bundle upload …`` and its options."""
    size = 1 if rest[1] == "login" else 2
    return tuple(rest[1 : 1 + size]), {word for word in rest if word.startswith("--")}


# ---- data ----


def check_toml(block, tmp_path, request):
    document = toml_reader().loads(block.text)
    table = document.get("tool", {}).get("capgo", {})
    assert set(table) <= {setting.flag.lstrip("-").replace("-", "_") for setting in _SETTINGS}, block.place
    check_needed(document.get("requires", []), block)


def check_yaml(block, tmp_path, request):
    """It is YAML, and each line of shell in it is a command that there is."""
    import yaml

    for lines in shell_of(yaml.safe_load(block.text)):
        for command in snippets.commands(lines):
            check_command(re.sub(r"\$\{\{.*?\}\}", "1.2.3", command), block)


def shell_of(tree) -> list[str]:
    """What stands under `run:` (GitHub) and in `script:` (GitLab), at any depth."""
    if isinstance(tree, list):
        return [lines for each in tree for lines in shell_of(each)]
    if not isinstance(tree, dict):
        return []
    found = [value for name, value in tree.items() if name == "run" and isinstance(value, str)]
    found += ["\n".join(value) for name, value in tree.items() if name in {"script", "before_script"}]
    return found + [lines for value in tree.values() for lines in shell_of(value)]


def check_json(block, tmp_path, request):
    json.loads(block.text)


def check_ini(block, tmp_path, request):
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.read_string(block.text if block.text.lstrip().startswith("[") else f"[app]\n{block.text}")
    named = [name for section in parser.sections() for name in parser[section].get("requirements", "").split(",")]
    check_needed([name for name in named if name], block)


def check_groovy(block, tmp_path, request):
    check_needed(re.findall(r'^\s*install "([\w-]+)"$', block.text, re.MULTILINE), block)


def check_needed(named: list[str], block: snippets.Block) -> None:
    """Where a packager is told what to install, it is all that the library needs at the least."""
    project = (ROOT / "pyproject.toml").read_text("utf-8").split("\ndependencies = [")[1].split("\n]")[0]
    # httpx brings it.
    needed = set(re.findall(r'^ *"([\w-]+)', project, re.MULTILINE)) - {"httpcore"}
    assert not named or needed <= {re.split(r"[<>=!~ ]", name.strip())[0] for name in named}, block.place


def check_tree(block, tmp_path, request):
    """Plain text is for folders alone: each of its names is one that `capgo-client new` makes."""
    named = {line.split()[0].rstrip("/") for line in block.text.splitlines() if line.strip()} - {"notes"}
    made = {part for name in FILES for part in Path(name).parts}
    assert named <= made, f"{block.place}: {named - made}"


CHECKS = {
    "python": check_python,
    "sh": check_commands,
    "console": check_commands,
    "toml": check_toml,
    "yaml": check_yaml,
    "json": check_json,
    "ini": check_ini,
    "groovy": check_groovy,
    "text": check_tree,
}


def test_commands_that_do_not_exist_are_noticed():
    block = snippets.Block("README.md", 1, "sh", "")
    for command in (
        "capgo-client serv", "capgo-client serve --prot 1", "make tset", "make bench BNCH=1", "python nowhere.py",
        "pip install '.[detla]'", "npx @capgo/cli bundle uplaod x", "npx @capgo/cli bundle upload x --no-such",
        "python -m capgo_client serve --no", "true && capgo-clinet demo", "capgo-client list --app-id x | frobnicate",
    ):  # fmt: skip
        with pytest.raises(AssertionError):
            check_command(command, block)
