from __future__ import annotations

import hashlib
import json
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capgo_client.errors import BindingError
from capgo_client.install.record import FileRecord
from capgo_client.verify.bound import (
    MAX_RECORD_BYTES,
    RECORD_NAME,
    Sealed,
    check_bound,
    check_seal,
    listed_empty,
    seal_record,
)

A, B, C = "a" * 64, "b" * 64, "c" * 64
FILES = (FileRecord("assets/é.txt", 3, B), FileRecord("main.py", 91, A))


class Device(NamedTuple):
    app_id: str = "com.example.notes"
    version: str = "1.5.0"
    platform: str = "linux"
    app_version: str = "1.4.0"
    python_version: tuple[int, ...] = (3, 11, 7)


def check(text, *, files=FILES, require=False, **device):
    check_bound(text, files=files, require=require, **Device(**device)._asdict())


def code_of(text, **options) -> str:
    with pytest.raises(BindingError) as caught:
        check(text, **options)
    return caught.value.code


def document(**changes) -> dict[str, object]:
    plain = {
        "schema": 1,
        "app_id": "com.example.notes",
        "version": "1.5.0",
        "files": {"assets/é.txt": {"size": 3, "sha256": B}, "main.py": {"size": 91, "sha256": A}},
    }
    return {name: value for name, value in {**plain, **changes}.items() if value is not ...}


def text_of(**changes) -> bytes:
    return json.dumps(document(**changes)).encode()


def test_a_record_that_fits_passes_required_or_not():
    assert check(text_of()) is None
    assert check(text_of(), require=True) is None


def test_a_bundle_without_record_passes_unless_one_is_required():
    assert check(None) is None
    assert code_of(None, require=True) == "bound_required"


def test_sealing_writes_this_and_the_same_each_time():
    text = seal_record(reversed(FILES), app_id="com.example.notes", version="1.5.0")
    assert json.loads(text) == document()
    assert text == seal_record(FILES, app_id="com.example.notes", version="1.5.0")
    assert list(json.loads(text)["files"]) == ["assets/é.txt", "main.py"]


def test_what_was_sealed_passes_and_the_record_does_not_list_itself():
    own = FileRecord(RECORD_NAME, 5, C)
    text = seal_record(
        [*FILES, own],
        app_id="com.example.notes",
        version="1.5.0",
        requires_python=">=3.10,<3.14",
        platforms=["linux", "win32"],
        min_app_version="1.4.0",
    )
    assert RECORD_NAME not in json.loads(text)["files"]
    assert check(text, files=[*FILES, FileRecord(RECORD_NAME, len(text), hashlib.sha256(text).hexdigest())]) is None


@pytest.mark.parametrize(
    "options",
    [
        {"requires_python": "~=3.10"},
        {"min_app_version": "1.4"},
        {"platforms": ["", "linux"]},
        {"version": ""},
        {"app_id": "x" * 2000},
    ],
)
def test_sealing_refuses_what_no_device_would_accept(options):
    with pytest.raises(BindingError) as caught:
        seal_record(FILES, **{"app_id": "com.example.notes", "version": "1.5.0", **options})
    assert caught.value.code == "bound_malformed"


def test_sealing_refuses_a_name_that_is_no_unicode():
    with pytest.raises(BindingError):
        seal_record([FileRecord("\udcff.py", 1, A)], app_id="a.b", version="1.0.0")


@pytest.mark.promise(6)
@pytest.mark.parametrize("require", [False, True])
@pytest.mark.parametrize(
    ("device", "code"),
    [({"app_id": "com.example.other"}, "bound_app"), ({"version": "1.6.0"}, "bound_version")],
)
def test_a_bundle_of_another_name_is_refused_also_when_no_record_is_required(device, code, require):
    assert code_of(text_of(), require=require, **device) == code


@pytest.mark.promise(6)
@pytest.mark.parametrize(
    ("files", "says"),
    [
        (FILES[:1], "missing 'main.py'"),
        ((), "missing "),
        ((*FILES, FileRecord("evil.py", 1, C)), "extra 'evil.py'"),
        ((FILES[0], FileRecord("main.py", 91, C)), "changed 'main.py'"),
        ((FILES[0], FileRecord("main.py", 92, A)), "changed 'main.py'"),
        ((FileRecord("assets/é.txt", 91, A), FileRecord("main.py", 3, B)), r"changed 'assets/\\xe9.txt', 'main.py'"),
        ((FILES[0], FileRecord("Main.py", 91, A)), "missing 'main.py'; extra 'Main.py'"),
        ((FileRecord("assets/e\u0301.txt", 3, B), FILES[1]), "missing"),
    ],
    ids=["one less", "none", "one more", "content", "size", "swapped", "case", "composition"],
)
def test_a_set_of_files_that_is_not_the_recorded_one_is_refused(files, says):
    with pytest.raises(BindingError, match=says) as caught:
        check(text_of(), files=files)
    assert caught.value.code == "bound_files"


def test_the_message_names_three_files_and_counts_the_rest():
    files = (*FILES, *(FileRecord(f"x{n}", 1, C) for n in range(10)))
    with pytest.raises(BindingError, match=r"extra 'x0', 'x1', 'x2' and 7 more"):
        check(text_of(), files=files)


def test_a_record_that_was_not_read_but_is_there_does_not_count_as_absent():
    assert code_of(None, files=[*FILES, FileRecord(RECORD_NAME, 5, C)]) == "bound_malformed"


def test_a_record_other_than_the_installed_one_is_refused():
    assert code_of(text_of(), files=[*FILES, FileRecord(RECORD_NAME, 5, C)]) == "bound_files"


@pytest.mark.parametrize(
    ("clauses", "python", "code"),
    [
        (">=3.10", (3, 10, 0), None),
        (">=3.10,<3.14", (3, 14, 0), "requires_python"),
        (">=3.12", (3, 11, 7), "requires_python"),
        ("==3.11", (3, 11, 7), "requires_python"),
        ("!=3.11.7", (3, 11, 7), "requires_python"),
        ("!=3.11.7", (3, 11, 8), None),
        (">3.11.7", (3, 11, 7), "requires_python"),
        ("<=3.11.7", (3, 11, 7), None),
        (" >= 3.9 , < 3.12 ", (3, 11, 7), None),
        ("~=3.10", (3, 11, 7), "bound_malformed"),
        (">=3", (3, 11, 7), "bound_malformed"),
        (">=3.10.1.2", (3, 11, 7), "bound_malformed"),
        (">=3.x", (3, 11, 7), "bound_malformed"),
        (">=3.\u0661", (3, 11, 7), "bound_malformed"),
        ("3.10", (3, 11, 7), "bound_malformed"),
        ("", (3, 11, 7), "bound_malformed"),
        (">=3.10,", (3, 11, 7), "bound_malformed"),
        ("<3.0,nonsense", (3, 11, 7), "bound_malformed"),
        (310, (3, 11, 7), "bound_malformed"),
    ],
)
def test_requires_python_holds_the_device_to_each_clause(clauses, python, code):
    text = text_of(requires_python=clauses)
    if code is None:
        assert check(text, python_version=python) is None
    else:
        assert code_of(text, python_version=python) == code


def test_platforms_are_enforced_and_none_named_means_all():
    text = text_of(platforms=["linux", "win32"])
    assert check(text, platform="win32") is None
    assert code_of(text, platform="darwin") == "platform_unsupported"
    assert check(text_of(), platform="anything") is None


@pytest.mark.parametrize(
    ("needed", "has", "code"),
    [
        ("1.4.0", "1.4.0", None),
        ("1.4.0", "1.10.0", None),
        ("1.10.0", "1.4.0", "min_app_version"),
        ("1.4.0", "1.4.0-beta.1", "min_app_version"),
        ("1.4.0", "builtin", "min_app_version"),
        ("1.4", "1.4.0", "bound_malformed"),
        ("", "1.4.0", "bound_malformed"),
    ],
)
def test_the_installer_must_be_new_enough(needed, has, code):
    text = text_of(min_app_version=needed)
    if code is None:
        assert check(text, app_version=has) is None
    else:
        assert code_of(text, app_version=has) == code


@pytest.mark.parametrize("schema", [2, 3, 10**17])
def test_a_newer_schema_is_named_as_such_whatever_else_it_holds(schema):
    assert code_of(json.dumps({"schema": schema, "files": []}).encode()) == "bound_schema"


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"\xff\xfe",
        b"\xef\xbb\xbf" + text_of(),
        text_of() + b"x",
        b"[" * 100_000,
        b'{"schema":' + b"[" * 100_000,
        b'{"schema":' + b"9" * 1_000_000 + b"}",
        b'{"schema":NaN}',
        b'{"schema":1e0}',
        b'{"schema":1,"schema":1}',
        text_of(schema=True),
        text_of(schema=0),
        text_of(schema=-1),
        text_of(schema="1"),
        text_of(schema=None),
        text_of(schema=...),
        text_of(app_id=...),
        text_of(version=...),
        text_of(files=...),
        text_of(app_id=None),
        text_of(app_id=""),
        text_of(version=150),
        text_of(version="x" * 1025),
        text_of(unknown=1),
        text_of(files=[]),
        text_of(files={"main.py": A}),
        text_of(files={"main.py": {"size": 91}}),
        text_of(files={"main.py": {"size": 91, "sha256": A, "mode": 1}}),
        text_of(files={"main.py": {"size": True, "sha256": A}}),
        text_of(files={"main.py": {"size": -1, "sha256": A}}),
        text_of(files={"main.py": {"size": "91", "sha256": A}}),
        text_of(files={"main.py": {"size": 91, "sha256": "A" * 64}}),
        text_of(files={"main.py": {"size": 91, "sha256": "a" * 63}}),
        text_of(files={"main.py": {"size": 91, "sha256": None}}),
        text_of(files={"": {"size": 91, "sha256": A}}),
        text_of(files={RECORD_NAME: {"size": 91, "sha256": A}}),
        text_of().replace(b'"main.py"', b'"assets/\\u00e9.txt"'),
        text_of(platforms="linux"),
        text_of(platforms=[]),
        text_of(platforms=[1]),
        text_of(platforms=["x"] * 65),
        b" " * (MAX_RECORD_BYTES + 1),
    ],
    ids=range(46),
)
def test_a_record_that_is_not_exactly_so_is_malformed(text):
    assert code_of(text) == "bound_malformed"


def test_a_hostile_name_cannot_forge_a_log_line():
    text = json.dumps(document(app_id="x\n2026 INFO all is well \ud800\u202e")).encode()
    with pytest.raises(BindingError) as caught:
        check(text)
    assert caught.value.code == "bound_app"
    assert caught.value.message.isascii()
    assert "\n" not in caught.value.message


# --- what a publisher checks ------------------------------------------------------------------------------------------


def test_a_seal_that_fits_says_what_is_in_it():
    assert check_seal(text_of(), files=FILES) == Sealed("com.example.notes", "1.5.0", file_count=2)
    text = text_of(requires_python=" >= 3.10 , <3.14", platforms=["linux", "win32"], min_app_version="1.4.0")
    assert check_seal(text, files=FILES) == Sealed(
        "com.example.notes", "1.5.0", 2, ">=3.10.0,<3.14.0", ("linux", "win32"), "1.4.0"
    )


def test_a_seal_is_held_to_its_own_line_where_there_is_one():
    text = text_of()
    own = FileRecord(RECORD_NAME, len(text), hashlib.sha256(text).hexdigest())
    assert check_seal(text, files=[*FILES, own]).file_count == 2
    with pytest.raises(BindingError) as caught:
        check_seal(text, files=[*FILES, FileRecord(RECORD_NAME, len(text), C)])
    assert caught.value.code == "bound_files"


@pytest.mark.parametrize(
    ("text", "files", "code"),
    [
        (b"{", FILES, "bound_malformed"),
        (b'{"schema":2}', FILES, "bound_schema"),
        (text_of(unknown=1), FILES, "bound_malformed"),
        (text_of(), FILES[:1], "bound_files"),
        (text_of(), (*FILES, FileRecord("evil.py", 1, C)), "bound_files"),
        (text_of(), (FILES[0], FileRecord("main.py", 91, C)), "bound_files"),
    ],
)
def test_a_seal_that_does_not_fit_is_refused_as_a_device_would(text, files, code):
    with pytest.raises(BindingError) as caught:
        check_seal(text, files=files)
    assert caught.value.code == code
    assert code_of(text, files=files) == code


def test_a_seal_is_not_judged_by_where_it_is_looked_at():
    # Whoever publishes for Windows, from Linux, under any Python, looks at it all the same.
    text = text_of(app_id="a.b", version="9.9.9", requires_python="<3.0", platforms=["amiga"], min_app_version="99.0.0")
    assert check_seal(text, files=FILES).platforms == ("amiga",)


def test_only_what_is_listed_as_empty_is_taken_for_empty():
    nothing = hashlib.sha256(b"").hexdigest()
    files = {
        "a/__init__.py": {"size": 0, "sha256": nothing},
        "lies.py": {"size": 0, "sha256": A},
        "lies too.py": {"size": 1, "sha256": nothing},
        "main.py": {"size": 91, "sha256": A},
    }
    assert listed_empty(text_of(files=files)) == ("a/__init__.py",)
    assert listed_empty(b"{") == ()


@given(place=st.integers(0, len(text_of()) - 1), byte=st.integers(0, 255))
@settings(max_examples=200, deadline=None)
def test_one_changed_byte_never_raises_anything_but_our_error(place, byte):
    text = bytearray(text_of(requires_python=">=3.10", platforms=["linux"], min_app_version="1.0.0"))
    text[place] = byte
    try:
        outcome = check(bytes(text))
    except BindingError as exc:
        outcome = exc.code
    assert outcome is None or isinstance(outcome, str)
