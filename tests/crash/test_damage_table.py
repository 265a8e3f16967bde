"""docs/damage.md is the table that the other tests of damage follow: the same rows, the same words, in this order."""

from __future__ import annotations

import re
from itertools import chain
from pathlib import Path

from damages import BUILTIN, CURRENT, DAMAGES, INSTEAD, LINKS, PREVIOUS

DOCUMENT = Path(__file__).parents[2] / "docs" / "damage.md"
ROWS = tuple(chain.from_iterable(DAMAGES.values()))


def tables() -> dict[str, list[tuple[str, ...]]]:
    """The rows of each section that has a table, without the head."""
    sections = re.split(r"^## ", DOCUMENT.read_text("utf-8"), flags=re.MULTILINE)[1:]
    found = {}
    for section in sections:
        title, _, text = section.partition("\n")
        lines = [line for line in text.splitlines() if line.startswith("|")]
        if lines:
            found[title] = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines[2:]]
    return found


def test_the_document_has_every_row_and_no_other():
    assert tables() == {title: [row.cells for row in rows] for title, rows in DAMAGES.items()}


def test_the_document_says_what_its_short_names_mean():
    text = " ".join(DOCUMENT.read_text("utf-8").split())
    assert f"**anything**: {', '.join(INSTEAD)};" in text
    assert f"**a link**: {', '.join(LINKS)}." in text


def test_no_damage_stands_twice_in_the_table():
    names = [f"{row.what}: {how}" for row in ROWS for how in row.variants]
    assert len(names) == len(set(names)) > 150


def test_what_nobody_notices_changes_nothing():
    for row in ROWS:
        if not row.start and not row.full:
            assert (row.opens, row.after) == (CURRENT, CURRENT), row.what


def test_what_a_start_notices_and_what_the_verify_notices_is_told_in_the_log():
    for row in ROWS:
        assert row.says or not (row.start or row.full), row.what


def test_what_a_start_does_not_notice_opens_once_and_the_verify_puts_an_end_to_it():
    order = (BUILTIN, PREVIOUS, CURRENT)
    for row in ROWS:
        assert order.index(row.after) <= order.index(row.opens), row.what
        if row.full and not row.start:
            assert row.opens == CURRENT != row.after, row.what
        else:
            assert row.opens == row.after, row.what
