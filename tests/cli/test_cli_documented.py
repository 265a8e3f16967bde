"""docs/command-line.md names every command, every option and every exit code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from capgo_client.cli import command_parser, exits
from capgo_client.cli.app_options import _SETTINGS
from capgo_client.cli.word_tree import places

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "command-line.md").read_text("utf-8")
PLACES = places(command_parser())
#: Said once for all commands.
EVERYWHERE = {"--help", "-h", "--json"}


def test_every_exit_code_is_documented_and_no_other():
    codes = {exits.GOOD, exits.BAD, exits.MISUNDERSTOOD, exits.UNREACHED, exits.INTERRUPTED}
    table = TEXT.split("| exit code | meaning |")[1].split("\n\n")[0]
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)} == codes
    assert all(f" {code}" in exits.EXIT_CODES for code in codes - {0})


@pytest.mark.parametrize("name", [name for name, _ in PLACES[0].commands])
def test_every_command_has_a_section_that_names_its_options(name):
    sections = [part for part in TEXT.split("\n## ") if f"`{name}`" in part.splitlines()[0]]
    assert len(sections) == 1
    shared = {setting.flag for setting in _SETTINGS} if "--app-id" in flags(name) else set()
    own = flags(name) - EVERYWHERE - shared
    assert {flag for flag in own if flag not in sections[0] and not flag.startswith("--no-require")} == set()


def flags(name):
    return {
        flag for place in PLACES if place.path[:1] == (name,) for option in place.options for flag in option.flags
        if not flag.startswith("--no-") or flag.replace("--no-", "--") not in option.flags
    }  # fmt: skip


def test_every_shared_option_is_documented():
    section = TEXT.split("## Which app")[1].split("\n## ")[0]
    assert {setting.flag for setting in _SETTINGS if f"`{setting.flag}" not in section} == set()


def test_every_link_within_the_document_leads_to_a_heading():
    headings = {
        re.sub(r"[^\w\- ]", "", line[3:].lower()).strip().replace(" ", "-")
        for line in TEXT.splitlines() if line.startswith("## ")
    }  # fmt: skip
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= headings
