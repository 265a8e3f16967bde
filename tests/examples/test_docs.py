"""The documents say what is there: every option with its default, every link, every name."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import capgo_client
from capgo_client import Updater, launcher
from capgo_client.config import MODES
from capgo_client.integrations.kivy import LiveUpdates

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = ("README.md", "CHANGELOG.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))


def text(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def rows(document: str) -> dict[str, tuple[str, ...]]:
    """The first cells of each table row that begins with a name in code: ``| `name` | …``."""
    found = re.findall(r"^\| `(\w+)` \|(.+)\|$", text(document), re.MULTILINE)
    return {name: tuple(cell.strip() for cell in rest.split("|")) for name, rest in found}


def documented_default(parameter: inspect.Parameter) -> str:
    if parameter.default is inspect.Parameter.empty:
        return "required"
    shown = f'"{parameter.default}"' if isinstance(parameter.default, str) else repr(parameter.default)
    return f"`{shown}`"


def test_every_option_of_the_updater_is_documented_with_its_default():
    parameters = list(inspect.signature(Updater).parameters.values())
    described = {name: cells[0] for name, cells in rows("docs/options.md").items() if not name.isupper()}

    assert described == {parameter.name: documented_default(parameter) for parameter in parameters}


def test_no_option_is_left_without_a_meaning():
    assert [name for name, cells in rows("docs/options.md").items() if len(cells[-1]) < 20] == []


def test_the_readme_explains_every_mode():
    table = text("README.md").split("## Modes")[1].split("##")[0]

    assert {mode for mode in MODES if f'| `"{mode}"`' in table} == set(MODES)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_to_a_file_leads_somewhere(document):
    links = re.findall(r"\]\(([^)]+)\)", text(document))
    files = [link.partition("#")[0] for link in links if "://" not in link]

    assert [link for link in files if not ((ROOT / document).parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_method_that_is_named_exists(document):
    called = set(re.findall(r"`(?:updater\.)?(\w+)\([^`]*\)`", text(document)))
    known = {*dir(Updater), *capgo_client.__all__, *launcher.__all__, *dir(LiveUpdates), "Path", "print", "super"}
    known |= {"build", "on_start"}  # Kivy's

    assert called - known == set()


def test_the_changelog_has_an_entry_for_this_version():
    assert f"## [{capgo_client.__version__}]" in text("CHANGELOG.md")
