"""`docs/events.md` lists every event with the fields that the library really fills."""

from __future__ import annotations

import ast
import dataclasses
import re
from functools import cache
from pathlib import Path

import pytest
import snippets

import capgo_client
from capgo_client.events import EVENT_NAMES, RETAINED, Event

PACKAGE = Path(capgo_client.__file__).parent
TEXT = (snippets.ROOT / "docs" / "events.md").read_text("utf-8")


def tables() -> list[list[list[str]]]:
    """The cells of every table's rows, without the one that names the columns."""
    found = re.findall(r"((?:^\|.*\n)+)", TEXT, re.MULTILINE)
    rows = [[[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()] for table in found]
    return [table[2:] for table in rows if len(table) > 2]


def listed() -> dict[str, list[str]]:
    """The rows of three cells: event, when, fields."""
    return {row[0].strip("` |"): row[1:] for table in tables() for row in table if len(row) == 3}


@cache
def emitted() -> dict[str, set[str]]:
    """Every ``Event(…)`` in the library: its name, and the fields that it is given."""
    found: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        if path.relative_to(PACKAGE).parts[0] in {"testing", "cli", "integrations"}:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Event" and node.args:
                fields = {keyword.arg for keyword in node.keywords}
                found.setdefault(ast.literal_eval(node.args[0]), set()).update(fields)
    return found


def test_every_event_has_its_row_and_no_other():
    assert set(listed()) == set(EVENT_NAMES)
    assert len(re.findall(r"^\| `(?:\w+)` \| .+ \| .+ \|$", TEXT, re.MULTILINE)) == len(EVENT_NAMES)


@pytest.mark.parametrize("name", EVENT_NAMES)
def test_a_row_names_the_fields_that_the_event_is_given(name):
    when, fields = listed()[name]
    assert len(when) > 20
    named = set(re.findall(r"`(\w+)`", fields))
    assert named == emitted()[name]


def test_every_field_is_described_and_no_other():
    described = {row[0].strip("` |") for table in tables() for row in table if len(row) == 2 and "`" in row[0]}
    fields = {field.name for field in dataclasses.fields(Event)}
    assert fields <= described
    assert not {name for name in described if name.isidentifier()} - fields


def test_the_events_that_are_kept_for_late_listeners_are_those_that_it_names():
    sentence = re.search(r"with three exceptions: (.*?) are told", TEXT, re.DOTALL)[1]
    assert set(re.findall(r"`(\w+)`", sentence)) == RETAINED


def test_what_the_example_prints_is_what_the_page_says(capgo_service, capgo_bundle, capgo_updater, capsys):
    capgo_service.publish(capgo_bundle("1.4.1", {"main.py": "x"}))
    updater = capgo_updater(version="1.4.0", dispatch=lambda call: call())
    code = snippets.files("docs/events.md")["listening.py"]
    show = next(node for node in ast.parse(code).body if isinstance(node, ast.FunctionDef))
    names = {}
    exec(compile(ast.Module([show], []), "listening.py", "exec"), names)
    for name in ast.literal_eval(re.search(r"for name in (\(.+?\)):", code)[1]):
        updater.on(name, names["show"])
    updater.start()
    updater.notify_app_ready()
    assert updater.wait(20)
    updater.close()

    expected = re.findall(r"^\| `(\w+ 1\.4\..*?)` \|", TEXT, re.MULTILINE)
    shown = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert shown == expected
    assert len(shown) == 4
