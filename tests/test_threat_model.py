"""SECURITY.md: each row of the threat model names a test, and each test that it names exists."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "SECURITY.md").read_text("utf-8")
NAME = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)(\[[^`]*\])?`")
COLUMNS = ["attacker", "holds", "tries", "what stops him", "shown by"]
#: What the issue demands of the model, by a word in the third column.
ATTACKS = [
    "arbitrary software", "endless data", "slow retrieval", "rollback", "freeze", "mix and match", "relabelling",
    "wrong software", "extraneous files", "strip the session key", "sign on", "other bytes",
]  # fmt: skip


def rows():
    """Every row of the three tables, as cells."""
    model = TEXT[TEXT.index("## Threat model") :]
    for line in model.splitlines():
        if line.startswith("|") and not line.startswith("|---"):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if cells != COLUMNS:
                yield cells


ROWS = list(rows())


@functools.cache
def names_in(path):
    """The names of the tests of a file, those of its classes too."""
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


@pytest.mark.parametrize("cells", ROWS, ids=lambda cells: f"{cells[0]}: {cells[2]}"[:60])
def test_each_row_names_tests_that_exist(cells):
    assert len(cells) == len(COLUMNS)
    assert all(cells)
    named = NAME.findall(cells[4])
    assert named
    assert NAME.sub("", cells[4]).strip(", ") == ""
    for path, name, _ in named:
        assert (ROOT / path).is_file(), path
        assert name in names_in(path), f"{path}::{name}"


def test_every_attack_of_the_list_has_its_row():
    tried = " / ".join(cells[2] for cells in ROWS)
    assert [attack for attack in ATTACKS if attack not in tried] == []
    assert len(ROWS) > 25


def test_what_gets_through_is_said_plainly():
    for what in ("Without a `public_key`", "stolen private key", "without a record", "frozen service", "with root"):
        assert what in TEXT[TEXT.index("## What is not") : TEXT.index("## What another user")]
    assert len([cells for cells in ROWS if "**nothing**" in cells[3]]) == 3


def test_the_readme_leads_here():
    assert "(SECURITY.md)" in (ROOT / "README.md").read_text("utf-8")
