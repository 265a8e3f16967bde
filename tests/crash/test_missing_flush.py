"""Taking away any one flush makes a test fail: each guards something, and what that is stands here.

A story is recorded once; then the flushes of one place of the library after the other are left out before the power
is cut. The places are found in the recordings; that no place of the source is missing among them is a test of its own.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from power_mutations import MUTATIONS
from power_stories import RECORDINGS, told

import capgo_client

pytestmark = [pytest.mark.slow, pytest.mark.promise(4)]

#: Chance is for what the extremes do not find.
SEEDS = [0, 2, 6, 3, 4, 5, 1, 7, 8]

STATE = {
    "file install.checked write_synced < install.ledger save",
    "folder seams sync_folder < install.ledger save",
}
DEVICE = {
    "file install.checked write_synced < install.device _made_once",
    "folder seams sync_folder < install.device _made_once",
    "folder seams sync_folder < install.store _make_private",
}
PUBLISHED = {"folder seams sync_folder < install.builder _publish"}
WHOLE = {"all install.trees flush_tree < install.builder _publish"}
EACH = {
    "file install.trees _flush_files < install.hands _work",
    "folder seams sync_folder < install.trees _flush_each",
}
BURIED = {"folder seams sync_folder < install.store _empty"}
QUEUE = {
    "file stats.queue _replace < stats.queue _rewrite",
    "folder seams sync_folder < stats.queue _replace",
    "folder seams sync_folder < stats.queue _rewrite",
}

#: Where something goes wrong without them: story by story, with ``syncfs`` and without.
GUARDS = {
    ("first install", True): STATE | DEVICE | PUBLISHED | WHOLE,
    ("first install", False): STATE | DEVICE | PUBLISHED | EACH,
    ("update", True): STATE | PUBLISHED | WHOLE | BURIED,
    ("update", False): STATE | PUBLISHED | EACH | BURIED,
    ("delta update", True): STATE | PUBLISHED | WHOLE,
    ("delta update", False): STATE | PUBLISHED | EACH,
    ("roll back", True): STATE,
    ("by hand", True): STATE | BURIED,
    ("half deleted", True): BURIED,
    ("clean up", True): set(),
    ("statistics", True): QUEUE,
    ("channel", True): STATE | DEVICE,
}
#: Places that a story passes and others guard: what never confirmed itself is not rebuilt from its seal, so half of it
#: may come back; and where nothing was promised, nothing is lost with the state.
ELSEWHERE = {"roll back": BURIED, "half deleted": STATE, "clean up": STATE | BURIED}


def name_of(site: str) -> str:
    """A place without its line numbers."""
    return re.sub(r":\d+ ", " ", site)


@pytest.mark.parametrize(
    ("story", "whole"), [key for key in GUARDS if GUARDS[key]], ids=lambda value: str(value).replace(" ", "-")
)
def test_each_flush_guards_something(story, whole, tmp_path):
    passed_over = sorted(ELSEWHERE.get(story, ()))
    done = told(story, tmp_path, whole=whole, task="mutants", mutant_seeds=SEEDS, passed_over=passed_over)
    assert {name_of(site) for site in done["sites"]} == GUARDS[story, whole]
    assert [site for site, wrong in done["sites"].items() if not wrong] == []
    assert done["sound"] == ""


@pytest.mark.parametrize(
    ("mutation", "story", "whole"),
    [
        ("rename before seal", "first install", True),
        ("rename before seal", "first install", False),
        ("state renamed before flush", "roll back", True),
        ("grave emptied before flush", "half deleted", True),
    ],
)
def test_an_order_that_is_changed_breaks_something(mutation, story, whole, tmp_path):
    done = told(story, tmp_path, whole=whole, task="sound", mutation=mutation, mutant_seeds=SEEDS)
    assert done["sound"] != ""


def test_every_story_is_told_without_its_flushes():
    assert sorted(GUARDS) == sorted(RECORDINGS)


def test_every_changed_order_is_tried():
    marks = test_an_order_that_is_changed_breaks_something.pytestmark
    tried = {row[0] for mark in marks if mark.name == "parametrize" for row in mark.args[1]}
    assert tried == set(MUTATIONS) - {""}


#: What the library calls to have something flushed, down to the seam.
FLUSHING = {
    *("fsync", "sync_filesystem", "sync_folder", "write_synced"),
    *("flush_tree", "_flush_each", "_flush_files"),
}


def flushing_calls():
    """Each call of one of these in the source: (module, function that makes it, what it calls)."""
    root = Path(capgo_client.__file__).parent
    for path in root.rglob("*.py"):
        module = ".".join(path.relative_to(root).with_suffix("").parts)
        if module.partition(".")[0] in ("testing", "platforms", "seams", "cli"):
            continue
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef):
                for node in ast.walk(function):
                    if isinstance(node, ast.Call):
                        called = getattr(node.func, "attr", getattr(node.func, "id", ""))
                        if called in FLUSHING:
                            yield module, function.name, called


def test_no_flush_of_the_source_is_missing_here():
    named = " ".join(set().union(*GUARDS.values()))
    calls = set(flushing_calls())
    assert len(calls) >= 15
    assert [call for call in sorted(calls) if f"{call[0]} {call[1]}" not in named] == []
