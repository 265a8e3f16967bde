"""`docs/errors.md` has a row for every code that the library can raise or report, under the right class."""

from __future__ import annotations

import functools
import inspect
import re

import error_codes
import pytest
import snippets

from capgo_client import errors
from capgo_client.protocol import codes as words
from capgo_client.protocol.outcomes import Blocked, Failed, PlanEnded

TEXT = (snippets.ROOT / "docs" / "errors.md").read_text("utf-8")


@functools.cache
def found() -> dict[str, set[str]]:
    """Once, and only where a test wants it: reading the whole library takes a second in every worker."""
    return error_codes.codes()


def rows() -> list[list[str]]:
    lines = re.findall(r"^\| `\w+` \| .+ \| .+ \| .+ \|$", TEXT, re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def listed() -> dict[str, list[str]]:
    return {row[0].strip(" `"): row[1:] for row in rows()}


def test_every_code_has_one_row_and_no_row_has_a_code_that_is_nowhere():
    assert len(listed()) == len(rows())
    assert set(listed()) == set(found())


def test_the_finder_finds_each_way_in_which_a_code_is_given():
    """By keyword, by place, by a class, by a name, put together, in a loop, and in a table of the service's words."""
    assert {
        "low_speed", "archive_method", "name_reserved", "no_id", "timeout_error", "state_newer", "archive_limit_ratio",
        "archive_limit_file", "disable_emulator", "override_not_allowed", "restart_impossible",
    } <= set(found())  # fmt: skip


@pytest.mark.parametrize("code", sorted(listed()))
def test_a_row_says_which_class_what_happened_and_what_to_do(code):
    kind, happened, remedy = listed()[code]
    raised = error_codes.classes().get(code, set())
    assert raised <= set(re.findall(r"`(\w+)`", kind))
    assert kind
    assert len(happened) >= 8
    assert len(remedy) >= 5


@pytest.mark.parametrize(("word", "kind"), [("blocked", Blocked), ("failed", Failed), ("paused", PlanEnded)])
def test_what_the_service_says_is_classed_as_the_code_classes_it(word, kind):
    section = snippets.section("docs/errors.md", "What the service says")
    said = set(re.findall(rf"^\| `(\w+)` \| {word}\b", section, re.MULTILINE))
    assert {code for code in said if words.meaning_of(code) is kind} >= said - {"too_many_requests", "response_error"}
    ours = {code for code in found() if code in words._MEANING and words._MEANING[code] is kind}
    assert ours <= said


def test_the_classes_are_those_of_the_library_with_their_bases():
    part = TEXT.split("| class | is also |")[1].split("\n\n")[0]
    table = dict(re.findall(r"^\| `(\w+)` \| (`.+?`) \|", part, re.MULTILINE))
    members = inspect.getmembers(errors, inspect.isclass)
    kinds = {name: kind for name, kind in members if kind.__module__ == errors.__name__}
    assert {name: re.findall(r"`(\w+)`", bases) for name, bases in table.items()} == {
        name: [base.__name__ for base in kind.__bases__] for name, kind in kinds.items()
    }
