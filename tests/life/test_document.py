from __future__ import annotations

import copy
import json
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capgo_client.bundle import BundleStatus
from capgo_client.life.delays import DelayCondition
from capgo_client.life.document import SCHEMA, DocumentError, from_document, to_document
from capgo_client.life.newer import from_newer
from capgo_client.life.schedule import Schedule
from capgo_client.life.settings import Settings
from capgo_client.life.state import Install, Launch, State, Verdict

INSTALL = {
    "id": "aB3dE5gH7j",
    "version": "1.2.0",
    "checksum": "ab" * 32,
    "sha256": "ef" * 32,
    "installed_at": 1700000000.25,
    "status": "success",
    "attempts": 2,
    "crashes": 1,
    "by_app": True,
    "link": "https://example.test/notes",
    "comment": "Füllt ☃ aus",
}
# Written by hand: every field of every value, none of them its default.
DOCUMENT = {
    "schema": 1,
    "native_version": "1.0.0",
    "current": "aB3dE5gH7j",
    "next": "cD4eF6hI8k",
    "next_by_app": True,
    "next_at_once": True,
    "fallback": "aB3dE5gH7j",
    "previous": "bC2dE4fG6h",
    "installs": [INSTALL, {**INSTALL, "id": "cD4eF6hI8k", "status": "pending"}],
    "verdicts": [{"version": "1.1.0", "checksum": "cd" * 32, "hard": True, "at": 1700000001.5, "strikes": 2}],
    "launch": {"token": "00ff", "bundle_id": "aB3dE5gH7j", "ended": "crashed"},
    "failed": {**INSTALL, "id": "dE5fG7iJ9l", "status": "error"},
    "newest_confirmed": "1.2.0",
    "schedule": {
        "failures": 3,
        "stumbles": 4,
        "not_before": 1700000100.0,
        "retry_after": 1700000200.0,
        "written_at": 1700000002.0,
        "hold": True,
        "answer": "failed",
        "answer_code": "timeout_error",
        "answered_at": 1700000003.0,
        "good_answer_at": 1690000000.0,
        "said": "update  1.3.0",
        "said_since": 1680000000.0,
    },
    "settings": {
        "channel": "beta",
        "custom_id": "kiosk-7",
        "update_url": "https://updates.example.test/check",
        "stats_url": "https://stats.example.test/",
        "channel_url": "https://channels.example.test/",
        "delays": [{"kind": "date", "value": "2026-07-01T06:00:00Z"}, {"kind": "kill", "value": "x"}],
        "background_at": 1700000004.0,
        "folder": "131073",
        "os_version": "13.1",
        "version_build": "1.0.0",
        "version_code": "17",
    },
}
VALUES = {
    "state": (DOCUMENT, ()),
    "install": (INSTALL, ("installs", 0)),
    "failed": (INSTALL, ("failed",)),
    "verdict": (DOCUMENT["verdicts"][0], ("verdicts", 0)),
    "launch": (DOCUMENT["launch"], ("launch",)),
    "schedule": (DOCUMENT["schedule"], ("schedule",)),
    "settings": (DOCUMENT["settings"], ("settings",)),
    "delay": (DOCUMENT["settings"]["delays"][0], ("settings", "delays", 0)),
}
EVERY_KEY = [pytest.param(where, key, id=f"{name}.{key}") for name, (keys, where) in VALUES.items() for key in keys]


def changed(where: tuple[object, ...], key: str, value: object) -> dict[str, object]:
    document = copy.deepcopy(DOCUMENT)
    place = document
    for step in where:
        place = place[step]
    place[key] = value
    return document


def without(where: tuple[object, ...], key: str) -> dict[str, object]:
    document = changed(where, key, None)
    place = document
    for step in where:
        place = place[step]
    del place[key]
    return document


def nested(depth: int) -> list[object]:
    value: list[object] = []
    for _ in range(depth):
        value = [value]
    return value


# --- there and back -------------------------------------------------------------------------------------------------


def test_the_example_names_every_field_there_is() -> None:
    assert set(DOCUMENT) == {"schema"} | {field.name for field in fields(State)}
    examples = {
        Install: "install",
        Verdict: "verdict",
        Launch: "launch",
        Schedule: "schedule",
        Settings: "settings",
        DelayCondition: "delay",
    }
    for cls, example in examples.items():
        assert set(VALUES[example][0]) == {field.name for field in fields(cls)}


def test_a_document_becomes_the_state_it_tells_of() -> None:
    state = from_document(DOCUMENT)
    assert state.current == "aB3dE5gH7j"
    assert state.installs[0] == Install(**{**INSTALL, "status": BundleStatus.SUCCESS})
    assert [install.status for install in state.installs] == [BundleStatus.SUCCESS, BundleStatus.PENDING]
    assert state.verdicts == (Verdict(version="1.1.0", checksum="cd" * 32, hard=True, at=1700000001.5, strikes=2),)
    assert state.launch == Launch(token="00ff", bundle_id="aB3dE5gH7j", ended="crashed")
    assert state.failed is not None
    assert state.failed.status is BundleStatus.ERROR
    assert state.schedule == Schedule(**DOCUMENT["schedule"])
    delays = (DelayCondition("date", "2026-07-01T06:00:00Z"), DelayCondition("kill", "x"))
    assert state.settings == Settings(**{**DOCUMENT["settings"], "delays": delays})


def test_every_field_survives_the_way_to_the_disk_and_back() -> None:
    text = json.dumps(to_document(from_document(DOCUMENT)), allow_nan=False)
    assert json.loads(text) == DOCUMENT


def test_a_fresh_state_survives_too() -> None:
    state = State(native_version="1.0.0")
    document = json.loads(json.dumps(to_document(state)))
    assert document["schema"] == SCHEMA == 1
    assert from_document(document) == state


@pytest.mark.parametrize("status", list(BundleStatus))
def test_every_status_survives(status: BundleStatus) -> None:
    state = State(native_version="1.0.0", installs=(Install(id="a", version="1", checksum="c", status=status),))
    assert from_document(json.loads(json.dumps(to_document(state)))) == state


def test_whole_seconds_are_read_as_seconds() -> None:
    state = from_document(changed(("schedule",), "not_before", 1700000100))
    assert isinstance(state.schedule.not_before, float)


# --- what this library never wrote ------------------------------------------------------------------------------------

WRONG_FOR_STR = [None, True, 7, 1.5, [], {}]
WRONG_FOR_COUNT = [None, True, -1, 1.5, "1", [], {}, float("nan"), float("inf"), 10**400]
WRONG_FOR_TIME = [None, False, "1", [], {}, float("nan"), float("inf"), float("-inf"), 10**400, -(10**400)]
WRONG_FOR_FLAG = [None, 0, 1, 0.0, "true", [], {}]
WRONG_FOR_LIST = [None, True, 1, 1.5, "text", {}, [None], [1], ["text"], [[]], [{}]]
WRONG_FOR_VALUE = [True, 1, 1.5, "text", [], [{}], {}]


def wrong_for(where: tuple[object, ...], key: str) -> list[object]:
    example = VALUES[next(name for name, (_, at) in VALUES.items() if at == where)][0][key]
    if key == "schema":
        return [None, True, 1.0, "1", 0, 2, -1, [], {}]
    if key == "status":
        return [*WRONG_FOR_STR, "", "broken", "SUCCESS"]
    if key in {"schedule", "settings"}:
        return [None, *(value for value in WRONG_FOR_VALUE if value != {})]
    kinds = [
        (bool, WRONG_FOR_FLAG),
        (str, WRONG_FOR_STR),
        (int, WRONG_FOR_COUNT),
        (float, WRONG_FOR_TIME),
        (list, WRONG_FOR_LIST),
        (dict, WRONG_FOR_VALUE),
    ]
    return next(wrong for kind, wrong in kinds if isinstance(example, kind))


@pytest.mark.parametrize(("where", "key"), EVERY_KEY)
def test_a_wrong_value_in_any_key_is_refused(where: tuple[object, ...], key: str) -> None:
    for wrong in wrong_for(where, key):
        with pytest.raises(DocumentError):
            from_document(changed(where, key, wrong))


NEEDED = {
    "state": ("schema", "native_version", "installs", "verdicts", "schedule"),
    "install": ("id", "version", "checksum", "status"),
    "failed": ("id", "version", "checksum", "status"),
    "verdict": ("version", "checksum", "hard", "at"),
    "launch": ("token", "bundle_id"),
    "delay": ("kind",),
}


@pytest.mark.parametrize(("name", "key"), [(name, key) for name, keys in NEEDED.items() for key in keys])
def test_a_missing_key_that_has_no_default_is_refused(name: str, key: str) -> None:
    with pytest.raises(DocumentError):
        from_document(without(VALUES[name][1], key))


@pytest.mark.parametrize(("where", "key"), EVERY_KEY)
def test_a_missing_key_is_refused_or_read_as_its_default(where: tuple[object, ...], key: str) -> None:
    document = without(where, key)
    try:
        state = from_document(document)
    except DocumentError:
        assert any(key in keys for keys in NEEDED.values())
        return
    written = to_document(state)
    for step in where:
        written = written[step]
        document = document[step]
    default = written.pop(key)
    assert default in (None, "", 0, "builtin", "open", 1, []) or default == to_document(State("1.0.0"))["settings"]
    assert written == document


@pytest.mark.parametrize(("where", "key"), EVERY_KEY)
@pytest.mark.parametrize("depth", [1, 900, 3_000])
def test_deep_nesting_in_any_key_is_refused_and_nothing_else(where: tuple[object, ...], key: str, depth: int) -> None:
    document = without(where, key)
    place = document
    for step in where:
        place = place[step]
    place[key] = nested(depth)
    with pytest.raises(DocumentError):
        from_document(document)


@pytest.mark.parametrize("id_", ["", ".", "..", "../x", "a/b", "a\\b", "a b", "a\0", "é", "²"])
@pytest.mark.parametrize("where", [("installs", 0), ("failed",)])
def test_an_id_that_could_name_anything_but_an_install_folder_is_refused(where: tuple[object, ...], id_: str) -> None:
    with pytest.raises(DocumentError):
        from_document(changed(where, "id", id_))


@pytest.mark.parametrize("name", list(VALUES))
@pytest.mark.parametrize("key", ["surprise", "", "__class__"])
def test_an_unknown_key_is_refused(name: str, key: str) -> None:
    with pytest.raises(DocumentError):
        from_document(changed(VALUES[name][1], key, "value"))


@pytest.mark.parametrize("document", [None, True, 1, 1.5, "text", [], [DOCUMENT], {}, {"schema": 1}, nested(50_000)])
def test_what_is_no_document_at_all_is_refused(document: object) -> None:
    with pytest.raises(DocumentError):
        from_document(document)


def test_the_message_names_the_place_and_not_the_value() -> None:
    with pytest.raises(DocumentError, match=r"Install\.link") as caught:
        from_document(changed(("installs", 0), "link", ["secret-token"]))
    assert "secret-token" not in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from([parameter.values for parameter in EVERY_KEY]), JSON)
def test_any_json_in_any_key_is_either_read_and_written_back_or_refused(
    place: tuple[tuple[object, ...], str], value: object
) -> None:
    document = changed(*place, value)
    try:
        state = from_document(document)
    except DocumentError:
        return
    written = to_document(state)
    if type(value) is int and written != document:
        document = changed(*place, float(value))  # a time of more digits than a float has
    assert written == document or place in (((), "schedule"), ((), "settings"))  # whose fields all have defaults
    assert from_document(json.loads(json.dumps(written, allow_nan=False))) == state


# --- a newer library's document ---------------------------------------------------------------------------------------


def test_of_a_newer_document_the_fallback_is_read_and_opens() -> None:
    state = from_newer({**DOCUMENT, "schema": 2, "surprise": [1]}, native_version="1.0.0")
    assert (state.current, state.fallback) == ("aB3dE5gH7j", "aB3dE5gH7j")
    assert state.install("aB3dE5gH7j").confirmed
    assert state.native_version == "1.0.0"


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        nested(50_000),
        {"fallback": "x"},
        {"fallback": "x", "installs": "x"},
        {"fallback": "x", "installs": [{"id": "x"}, None, []]},
        {"fallback": "x", "installs": [{"id": "x", "version": 1, "checksum": "c"}]},
        {"fallback": ["x"], "installs": [{"id": ["x"], "version": "1", "checksum": "c"}]},
        {"fallback": "builtin", "installs": [{"id": "x", "version": "1", "checksum": "c"}]},
    ],
)
def test_a_newer_document_that_tells_of_no_good_version_means_the_builtin(document: object) -> None:
    assert from_newer(document, native_version="1.0.0") == State(native_version="1.0.0")
