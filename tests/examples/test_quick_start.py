"""Somebody who follows the README's first section from an empty folder has an app that updates itself on the screen.

The commands are read out of the README and typed, in their order, into two shells.
"""

from __future__ import annotations

import shutil

import pytest
import snippets
from two_terminals import ROOT, free_port, point_at, put_in_place, two_terminals, typed

HEADING = "Ten minutes, from an empty folder"


@pytest.fixture
def terminals(tmp_path):
    with two_terminals(tmp_path) as both:
        yield both


@pytest.mark.parametrize(
    "installed", [pytest.param(False, id="checkout"), pytest.param(True, id="pip", marks=pytest.mark.slow)]
)
@pytest.mark.skipif(shutil.which("bash") is None, reason="the commands are for a POSIX shell")
def test_a_person_who_types_what_the_readme_says_has_an_app_that_updates_itself(terminals, tmp_path, installed):
    port = free_port()
    shown: list[str] = []
    for name, command, said in typed("README.md", HEADING, port=port):
        if "pip install" in command and not installed:
            put_in_place(tmp_path / "empty" / ".venv")
        elif command.startswith("capgo-client serve"):
            terminals[name].serve(command)
        else:
            seen = terminals[name].type(adapted(command, installed=installed))
            if command == "python dev.py":
                assert said in seen.splitlines(), seen
                shown.append(seen)
        if command.startswith("capgo-client new"):
            point_at(port, tmp_path / "empty" / "notes" / "dev.py")

    assert [text.splitlines()[-1] for text in shown] == [
        "Hello. This is version 1.0.0.",
        "Version 1.0.1 opens at the next start.",
        "Good evening. This is version 1.0.1.",
        "Version 1.0.2 opens at the next start.",
        "Good evening. This is version 1.0.1.",
    ]
    assert "RuntimeError: broken" in shown[-1]


def adapted(command, *, installed):
    """To where our checkout lies, and for speed."""
    if command.endswith("-m venv .venv") and not installed:
        return f"{command} --without-pip"  # pip takes seconds, and is not used then
    if "pip install" in command:
        return command.replace("path/to/capgo_client", str(ROOT)) + " --quiet --disable-pip-version-check"
    return command


def test_it_takes_few_commands():
    section = snippets.section("README.md", HEADING)
    blocks = [block for block in snippets.blocks("README.md", "sh") if block.title and block.text in section]
    counts = [len(snippets.commands(block.text)) for block in blocks]

    assert sum(counts[:3]) <= 13
    assert sum(counts) <= 18
