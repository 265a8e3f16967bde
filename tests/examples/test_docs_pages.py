"""What the pages say of the code, where it can be read off the code: layers, promises, messages, pictures, modes."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from pathlib import Path

import pytest
import snippets

import capgo_client
from capgo_client.config import MODES

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = Path(capgo_client.__file__).parent


def text(page: str) -> str:
    return (ROOT / page).read_text("utf-8")


def loaded(path: Path):
    spec = importlib.util.spec_from_file_location(f"{path.stem}_of_docs", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


# ---- architecture ----


def test_the_layers_are_those_of_the_architecture_test():
    tree = ast.parse((ROOT / "tests" / "test_architecture.py").read_text("utf-8"))
    assigned = {node.targets[0].id: node.value for node in tree.body if isinstance(node, ast.Assign)}
    layers, outside = ast.literal_eval(assigned["LAYERS"]), ast.literal_eval(assigned["OUTSIDE"])
    section = snippets.section("docs/architecture.md", "The layers")

    rows = re.findall(r"^\| (`.+?`) \|", section, re.MULTILINE)
    assert [set(re.findall(r"`(\w+)`", row)) for row in rows] == list(layers)
    named = set(re.findall(r"`(\w+)`", section.split("Outside,")[1]))
    assert named == {name for name in outside if not name.startswith("__")}


def test_the_promises_are_ten_and_the_suite_marks_tests_with_no_other():
    numbers = re.findall(r"^\| P(\d+) \|", snippets.section("docs/architecture.md", "The promises"), re.MULTILINE)
    assert [int(number) for number in numbers] == list(range(1, 11))


@pytest.mark.parametrize("heading", ["Locks", "The order of disk writes", "Where to add what"])
def test_files_that_the_architecture_names_are_those_of_the_code(heading):
    section = snippets.section("docs/architecture.md", heading)
    source = "\n".join(path.read_text("utf-8") for path in PACKAGE.rglob("*.py"))
    for name in re.findall(r"`([\w./-]+)`", section):
        if name.endswith((".py", ".md")) or (name.endswith("/") and heading == "Where to add what"):
            assert any((place / name).exists() for place in (ROOT, PACKAGE)), name
        elif "." in name or name.endswith("/") or name == "lease":
            assert f'"{name.rstrip("/")}"' in source, name


def test_every_thread_of_the_library_is_listed_by_its_name():
    library = [path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] not in {"cli", "testing"}]
    named = {name for path in library for name in re.findall(r'name=f?"(capgo-\w+)', path.read_text("utf-8"))}
    listed = re.findall(r"^\| `(capgo-\w+)` \|", snippets.section("docs/architecture.md", "Threads"), re.MULTILINE)
    assert sorted(listed) == sorted(named)


# ---- troubleshooting ----


def test_the_sentences_that_it_explains_are_those_that_the_library_says():
    section = snippets.section("docs/troubleshooting.md", "The app does not update")
    sentences = [row for row in re.findall(r"^\| `(.+?)` \|", section, re.MULTILINE) if "[" not in row]
    spoken = [
        node.value
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    assert len(sentences) >= 12
    assert [each for each in sentences if not any(each in said for said in spoken)] == []


# ---- pictures ----


def test_every_picture_is_what_the_drawing_script_draws():
    made = loaded(ROOT / "docs" / "drawings" / "draw.py").drawings()
    kept = {path.name: path.read_text("utf-8") for path in (ROOT / "docs" / "images").glob("*.svg")}
    assert kept == made, "python docs/drawings/draw.py writes them anew"


def test_every_picture_is_shown_by_a_page_and_every_shown_one_is_there():
    shown = {
        name for page in snippets.PAGES for name in re.findall(r"!\[[^\]]+\]\((?:docs/)?images/([^)]+)\)", text(page))
    }
    assert {path.name for path in (ROOT / "docs" / "images").iterdir()} == shown


# ---- modes ----


def cells() -> dict[str, list[str]]:
    rows = re.findall(r'^\| \[`"(\w+)"`\]\(#\w+\) \| (.+) \|$', text("docs/modes.md"), re.MULTILINE)
    return {mode: [cell.strip() for cell in rest.split("|")] for mode, rest in rows}


def test_every_mode_has_its_row_its_section_and_its_picture():
    assert set(cells()) == set(MODES)
    for mode in MODES:
        assert f"](images/mode-{mode}.svg)" in snippets.section("docs/modes.md", mode)


@pytest.mark.parametrize("mode", MODES)
def test_a_mode_asks_waits_and_opens_as_its_row_says(mode, capgo_service, capgo_bundle, capgo_updater):
    """Two starts, with another version published before each."""
    asks, waits, opens = cells()[mode]
    opened, asked = [], []
    for version in ("1.0.1", "1.0.2"):
        capgo_service.publish(capgo_bundle(version, {"main.py": version}))
        with capgo_updater(auto_update=mode) as updater:
            opened.append(updater.start().version)
            updater.notify_app_ready()
            assert updater.wait(20)
            asked.append(len([each for each in capgo_service.requests if each.path == "/updates"]))

    assert (asked[-1] > 0) is (asks == "yes")
    expected = {
        "never": {"the next": ["1.0.0", "1.0.1"], "queued": ["1.0.0", "1.0.0"]},
        "each": {"that start": ["1.0.1", "1.0.2"]},
        "the first one of a new installer": {"that start": ["1.0.1", "1.0.1"]},
    }[waits]
    assert opened == next(versions for words, versions in expected.items() if words in opens or words == "that start")


def test_the_pictures_of_the_modes_agree_with_their_rows():
    drawn = loaded(ROOT / "docs" / "drawings" / "draw.py").MODES
    for mode, (asks, waits, _) in cells().items():
        starts = drawn[mode]
        assert any(start.works for start in starts) is (asks == "yes")
        assert [bool(start.waits) for start in starts] == {
            "never": [False, False],
            "each": [True, True],
            "the first one of a new installer": [True, False],
        }[waits]
