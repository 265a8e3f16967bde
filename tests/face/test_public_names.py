"""The names that other people's code uses (section 4)."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from children import ROOT

import capgo_client
from capgo_client import CapgoError, Updater, testing

PACKAGE = Path(capgo_client.__file__).parent


def test_all_is_sorted_and_has_no_doubles():
    assert capgo_client.__all__ == sorted(set(capgo_client.__all__))


@pytest.mark.parametrize("name", capgo_client.__all__)
def test_every_public_name_can_be_imported(name):
    value = getattr(capgo_client, name)
    assert value is not None
    namespace = {}
    exec(f"from capgo_client import {name}", namespace)
    assert namespace[name] is value


def test_all_is_complete():
    public = {name for name in vars(capgo_client) if not name.startswith("_")}
    loaded = {name for name, value in vars(capgo_client).items() if inspect.ismodule(value)}
    assert public - loaded - {"TYPE_CHECKING", "annotations"} <= set(capgo_client.__all__)
    listed = {name for names in capgo_client._HOMES.values() for name in names}
    assert listed | {"__version__"} == set(capgo_client.__all__)


def test_what_type_checkers_see_is_what_there_is():
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    imported = {
        (node.module.removeprefix("capgo_client."), alias.name)
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert imported == {(home, name) for home, names in capgo_client._HOMES.items() for name in names}


def test_every_error_that_is_raised_has_a_public_name():
    errors = import_module("capgo_client.errors")
    classes = {name for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, CapgoError)}
    assert classes <= set(capgo_client.__all__)


def test_every_outcome_has_a_public_name():
    outcomes = import_module("capgo_client.protocol.outcomes")
    classes = {value.__name__ for value in vars(outcomes).values() if inspect.isclass(value)}
    assert classes <= set(capgo_client.__all__)


def test_an_unknown_name_is_an_attribute_error_and_dir_lists_all():
    with pytest.raises(AttributeError, match="no attribute 'Updator'"):
        _ = capgo_client.Updator
    assert set(capgo_client.__all__) <= set(dir(capgo_client))


@pytest.mark.parametrize("name", testing.__all__)
def test_every_name_of_the_test_kit_can_be_imported(name):
    assert getattr(testing, name) is not None
    assert len(testing.__all__) == len(set(testing.__all__))


@pytest.mark.parametrize(
    "name",
    [
        *("start", "notify_app_ready", "close", "bundles", "failed_update", "explain", "get_latest", "download"),
        *("set_next", "set", "reset", "delete", "verify", "trigger_update_check", "report_crash", "set_custom_id"),
        *("on", "moved_to_background", "moved_to_foreground", "wait", "__enter__", "__exit__"),
    ],
)
def test_the_updater_has_the_methods_of_the_design(name):
    assert callable(getattr(Updater, name))


@pytest.mark.parametrize("name", ["current", "next_bundle", "fallback", "builtin", "device_id"])
def test_the_updater_has_the_properties_of_the_design(name):
    assert isinstance(getattr(Updater, name), property)


def test_the_options_and_their_defaults_are_those_of_the_design():
    found = {name: each.default for name, each in inspect.signature(Updater).parameters.items()}
    fixed = {
        "builtin": None,
        "auto_update": "atBackground",
        "public_key": None,
        "require_bound": False,
        "allow_downgrade": "above_builtin",
        "default_channel": "",
        "update_url": "https://plugin.capgo.app/updates",
        "stats_url": "https://plugin.capgo.app/stats",
        "channel_url": "https://plugin.capgo.app/channel_self",
        "response_timeout": 3.0,
        "app_ready_timeout": 10.0,
        "direct_timeout": 10.0,
        "max_boot_attempts": 3,
        "data_dir": None,
        "device_id": None,
        "reload": None,
        "dispatch": None,
    }
    assert {name: found[name] for name in fixed} == fixed
    assert list(found)[:3] == ["app_id", "version", "builtin"]


def test_every_option_is_told_in_the_docstring():
    text = inspect.getdoc(Updater)
    missing = [name for name in inspect.signature(Updater).parameters if not re.search(rf"\b{name}\b", text)]
    assert missing == []


def test_every_public_method_says_what_it_does():
    silent = [
        name
        for name, value in vars(Updater).items()
        if not name.startswith("_") and not (inspect.getdoc(value) or "").strip()
    ]
    assert silent == []


def test_current_updater_is_the_one_that_was_started_last(app):
    first = app.launch(update_url="")
    assert capgo_client.current_updater() is first
    second = app.launch(update_url="")
    assert capgo_client.current_updater() is second


def test_current_updater_raises_where_none_was_started():
    code = (
        "import capgo_client\n"
        "try:\n    capgo_client.current_updater()\n"
        "except capgo_client.CapgoError as error:\n    print(error.code, error.hint)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "not_started call start() first"


def test_types_are_shipped():
    assert (PACKAGE / "py.typed").is_file()


def test_the_version_is_semver():
    assert re.fullmatch(r"\d+\.\d+\.\d+([-.]?\w+)*", capgo_client.__version__)


def _snippets(text):
    return [block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "Updater(" in block]


README = ROOT / "README.md"


@pytest.mark.slow
def test_mypy_accepts_the_readmes_first_snippet(tmp_path):
    pytest.importorskip("mypy")
    snippet = _snippets(README.read_text("utf-8"))[0]
    path = tmp_path / "snippet.py"
    path.write_text(snippet.replace("updater = Updater(...)", "updater = Updater('a.b', '1.0.0')"))
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout
