"""The bundle's own record, and the versions and clauses in it."""

# ruff: noqa: PT017 - what else can be asserted of an error that need not come?

from __future__ import annotations

import hashlib
import json

from fuzzing import bodies, documents, edited_text, fuzz
from hypothesis import strategies as st

from capgo_client import BindingError
from capgo_client.install.record import FileRecord
from capgo_client.protocol.versions import compare, explain_invalid, parse
from capgo_client.verify.bound import check_bound, check_seal, listed_empty
from capgo_client.verify.requires_python import fits, parse_clauses

FILES = (FileRecord("a.txt", 3, "c" * 64), FileRecord("empty", 0, hashlib.sha256(b"").hexdigest()))
RECORD = {
    "schema": 1,
    "app_id": "com.example.notes",
    "version": "1.5.0",
    "files": {file.path: {"size": file.size, "sha256": file.sha256} for file in FILES},
    "requires_python": ">=3.10,<3.14",
    "platforms": ["linux", "win32"],
    "min_app_version": "1.4.0",
}
HERE = {"app_id": "com.example.notes", "platform": "linux", "app_version": "1.4.0", "python_version": (3, 11, 2)}
CODES = {
    *("bound_malformed", "bound_schema", "bound_app", "bound_version", "bound_files"),
    *("requires_python", "platform_unsupported", "min_app_version"),
}
INNER = documents(RECORD["files"]) | st.fixed_dictionaries({"a.txt": documents(RECORD["files"]["a.txt"])})
TEXTS = bodies(RECORD, RECORD) | INNER.map(lambda files: json.dumps({**RECORD, "files": files}).encode())


@fuzz(quick=40, text=TEXTS)
def test_a_record_is_refused_or_says_exactly_what_was_found(text):
    try:
        check_bound(text, version="1.5.0", files=FILES, require=True, **HERE)
    except BindingError as exc:
        assert exc.code in CODES
        assert exc.message.isascii()
        assert len(exc.message) < 2000
    else:
        said = json.loads(text)
        assert said["schema"] == 1
        assert (said["app_id"], said["version"], said["files"]) == ("com.example.notes", "1.5.0", RECORD["files"])
        assert "linux" in said.get("platforms", ["linux"])
        assert set(said) <= set(RECORD)
    assert set(listed_empty(text)) <= {"empty", *_paths(text)}
    try:
        sealed = check_seal(text, files=FILES)
    except BindingError as exc:
        assert exc.code in CODES
    else:
        assert sealed.file_count == len(FILES)


def _paths(text):
    try:
        return set(json.loads(text)["files"] or ())
    except (ValueError, LookupError, TypeError, RecursionError):
        return ()


CLAUSES = st.sampled_from([">=3.10,<3.14", "!=3.11.2", "==3.11", ">3.9 , <=3.13.1", ">=3"])


@fuzz(quick=30, text=edited_text(CLAUSES) | CLAUSES)
def test_clauses_are_refused_or_come_back_as_they_were(text):
    try:
        clauses = parse_clauses(text)
    except ValueError:
        return
    assert clauses
    assert parse_clauses(",".join(map(str, clauses))) == clauses
    assert fits(clauses, (3, 11, 2)) in (True, False)


VERSIONS = st.sampled_from(
    ["1.5.0", "1.5.0-rc.1", "0.0.0+5", "1.5.0-a.b-c.0+x.y", "01.2.3", "1.2", "9" * 300, "1.2.3-01"]
)


@fuzz(quick=30, one=edited_text(VERSIONS) | VERSIONS, other=edited_text(VERSIONS) | VERSIONS)
def test_versions_have_one_order_or_none(one, other):
    order, back = compare(one, other), compare(other, one)
    if parse(one) is None or parse(other) is None:
        assert order is None
        assert back is None
        assert explain_invalid(one if parse(one) is None else other)
        return
    assert order == -back
    assert compare(one, one) == 0
