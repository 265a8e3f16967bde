"""`docs/bound-bundles.md` is the record's definition: its example, its members and its codes are those of the code."""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import re
from itertools import dropwhile, takewhile
from pathlib import Path

import pytest

from capgo_client.errors import BindingError
from capgo_client.install.record import FileRecord
from capgo_client.verify import bound

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "bound-bundles.md").read_text("utf-8")
#: What the document says in words of its example.
FILES = {"main.py": b"print('hello')\n", "lib/__init__.py": b""}
FACTS = [FileRecord(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in FILES.items()]


def example() -> bytes:
    return re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)[0].encode()


def table(heading: str) -> list[list[str]]:
    """The rows of the first table behind a heading, their cells, without the one that names the columns."""
    lines = dropwhile(lambda line: not line.startswith("|"), TEXT.split(heading)[1].splitlines())
    rows = list(takewhile(lambda line: line.startswith("|"), lines))
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


def test_the_example_is_what_seal_writes_for_its_files():
    document = json.loads(example())
    options = {name: document[name] for name in ("requires_python", "platforms", "min_app_version")}
    assert example() == bound.seal_record(FACTS, app_id="com.example.notes", version="1.5.0", **options)


def test_the_example_is_accepted_for_its_files_and_for_no_others():
    assert bound.check_seal(example(), files=FACTS).file_count == 2
    with pytest.raises(BindingError):
        bound.check_seal(example(), files=FACTS[:1])


def test_every_member_is_in_the_table_and_said_to_be_what_it_is():
    members = {row[0].strip("`"): row[1] for row in table("## The record")}
    document = json.loads(example())
    assert members.keys() == document.keys()
    for name, need in members.items():
        without = json.dumps({key: value for key, value in document.items() if key != name}).encode()
        if need == "optional":
            bound.check_seal(without, files=FACTS)
            continue
        assert need == "required"
        with pytest.raises(BindingError, match=r"capgo-bundle\.json"):
            bound.check_seal(without, files=FACTS)


def test_every_code_is_in_the_table_and_in_the_order_of_the_checks():
    listed = [row[0].strip("`") for row in table("## What a device does")]
    described = re.findall(r"``(\w+)``", inspect.getdoc(bound.check_bound).split("Raises:")[1])
    assert listed == described
    tree = ast.parse(inspect.getsource(bound))
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    raised = {text for text in texts if re.fullmatch(r"bound_\w+|requires_python|platform_\w+|min_app_version", text)}
    assert set(listed) == raised


def test_the_attacks_are_those_that_are_tried_and_have_their_codes():
    listed = {row[0].split("`")[1]: row[2].strip("`") for row in table("# Bound bundles")}
    source = (ROOT / "tests" / "interop" / "test_cli_sealed.py").read_text("utf-8")
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    attacks = [call.args for call in calls if ast.unparse(call.func) == "Attack"]
    tried = {args[0].value: args[2].value for args in attacks if args[2].value}
    assert listed == tried


def test_its_limits_are_those_of_the_code():
    assert bound.MAX_RECORD_BYTES == 16 << 20
    assert TEXT.count("16 MiB") == 2
