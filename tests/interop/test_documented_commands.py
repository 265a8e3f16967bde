"""Each `npx @capgo/cli …` of the documentation is a command with options that Capgo's own `--help` names."""

from __future__ import annotations

import re

import snippets


def test_what_the_pages_tell_people_to_type_is_what_the_command_line_takes(cli):
    for command, options in snippets.CAPGO_CLI.items():
        told = cli.run(*command, "--help")
        assert re.search(rf"\b{command[-1]}\b", told)
        assert options <= set(re.findall(r"--[a-z][a-z0-9-]*", told)), command
