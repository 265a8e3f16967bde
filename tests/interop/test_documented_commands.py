"""Each `npx @capgo/cli …` of the documentation is a command with options that Capgo's own `--help` names."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.fixture(scope="module")
def documented():
    """What tests/examples holds the pages to: the commands, and the options of each."""
    sys.path.append(str(EXAMPLES))
    try:
        from test_snippets import CAPGO_CLI
    finally:
        sys.path.remove(str(EXAMPLES))
    return CAPGO_CLI


def test_what_the_pages_tell_people_to_type_is_what_the_command_line_takes(cli, documented):
    for command, options in documented.items():
        told = cli.run(*command, "--help")
        assert re.search(rf"\b{command[-1]}\b", told)
        assert options <= set(re.findall(r"--[a-z][a-z0-9-]*", told)), command
