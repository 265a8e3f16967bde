"""Delay conditions: every row of the table in plugin-behaviour.md section 6.8, and every form of a date."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import capgo_client
from capgo_client.errors import ConfigError
from capgo_client.life.dates import epoch_of
from capgo_client.life.delays import MAX_CONDITIONS, MAX_VALUE, Conditions, DelayCondition, conditions, remaining

NOW = 1_767_225_600.0  # 2026-01-01T00:00:00Z
SOURCES = ("killed", "background", "foreground")


def holds(kind, value="", *, source="foreground", now=NOW, background_at=0.0, native_version="1.4.0"):
    condition = DelayCondition(kind, value)
    left = remaining([condition], source=source, now=now, background_at=background_at, native_version=native_version)
    assert left in ((), (condition,))
    return bool(left)


# --- background ------------------------------------------------------------------------------------------------------

BACKGROUND = [
    # value, seconds in the background, still holds at the return
    ("5000", 4.999, True),
    ("5000", 5.0, True),  # strictly more
    ("5000", 5.001, False),
    ("+5000", 5.0, True),
    ("+5000", 5.001, False),
    ("0", 0.0, True),
    ("0", 0.001, False),
    ("", 0.0, True),  # empty means 0
    ("", 0.001, False),
    ("1", 1.0, False),
    ("a while", 0.001, False),  # no number means 0
    ("a while", 0.0, True),
    ("5000.5", 0.001, False),
    ("-5000", 0.001, False),
    ("٥٠٠٠", 0.001, False),  # digits, but not ours
    ("0", -3600.0, True),  # the clock was set back: 0 ms
    ("5000", -3600.0, True),
    ("9" * 200, 1e9, True),
    ("9" * 5000, 1e9, True),
    ("5000\0", 0.001, False),
    ("86400000", 86_400.001, False),
]


@pytest.mark.parametrize(("value", "away", "held"), BACKGROUND, ids=lambda value: repr(value)[:24])
@pytest.mark.parametrize("source", ["foreground", "killed"])
def test_background_is_met_by_more_than_its_milliseconds_away_at_any_return(source, value, away, held):
    assert holds("background", value, source=source, background_at=NOW - away) is held


@pytest.mark.parametrize("away", [0.1, 0.2, 0.3, 1.1, 5.0, 7.7])
def test_exactly_the_time_asked_for_is_never_enough_whatever_floats_make_of_it(away):
    for start in (NOW + 0.1, NOW + 0.7, NOW + 12.345):
        value = str(round(away * 1000))
        assert holds("background", value, now=start + away, background_at=start)
        assert not holds("background", value, now=start + away + 0.001, background_at=start)


def test_background_is_not_met_while_leaving_however_long_the_app_was_away_before():
    assert holds("background", "0", source="background", background_at=NOW - 1e6)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("unknown", [0.0, -1.0, float("nan")])
def test_background_stays_when_nobody_knows_since_when(source, unknown):
    assert holds("background", "0", source=source, background_at=unknown)


# --- kill ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("source", "held"), [("killed", False), ("background", True), ("foreground", True)])
@pytest.mark.parametrize("background_at", [0.0, NOW - 60])
def test_kill_is_met_by_the_next_start_only(source, held, background_at):
    assert holds("kill", source=source, background_at=background_at) is held


# --- date ------------------------------------------------------------------------------------------------------------

#: Text and the moment it means, worked out by hand: 1767225600 is 2026-01-01T00:00:00Z.
DATES = {
    "2026-01-01T00:00:00Z": 1_767_225_600.0,
    "2026-01-01T00:00:00.000Z": 1_767_225_600.0,
    "2026-01-01T00:00:00.5Z": 1_767_225_600.5,
    "2026-01-01T00:00:00.250Z": 1_767_225_600.25,
    "2026-01-01T00:00:00.250000Z": 1_767_225_600.25,
    "2026-01-01T00:00:00.250000000Z": 1_767_225_600.25,
    "2026-01-01T01:00:00+01:00": 1_767_225_600.0,
    "2026-01-01T01:00:00.000+01:00": 1_767_225_600.0,
    "2026-01-01T05:45:00+0545": 1_767_225_600.0,
    "2026-01-01T05:45:00.125+0545": 1_767_225_600.125,
    "2026-01-01T01:00:00+01": 1_767_225_600.0,
    "2026-01-01T01:00:00.5+01": 1_767_225_600.5,
    "2025-12-31T19:00:00-05:00": 1_767_225_600.0,
    "2025-12-31T20:30:00-0330": 1_767_225_600.0,
    "2025-12-31T19:00:00-05": 1_767_225_600.0,
    "2026-01-01T00:00:00+00:00": 1_767_225_600.0,
    "2026-01-01T00:00:00+0000": 1_767_225_600.0,
    "2026-01-01T00:00:00-00": 1_767_225_600.0,
    "1970-01-01T00:00:00Z": 0.0,
    "1970-01-01T00:00:00+01:00": -3600.0,
    "2024-02-29T12:00:00Z": 1_709_208_000.0,
    "2000-02-29T00:00:00Z": 951_782_400.0,
    "2099-12-31T23:59:59Z": 4_102_444_799.0,
    "2099-12-31T23:59:59+0000": 4_102_444_799.0,
    "9999-12-31T23:59:59Z": 253_402_300_799.0,
    "9999-12-31T23:59:59-23:59": 253_402_387_139.0,
}

NO_DATES = [
    "",
    " ",
    "soon",
    "2026",
    "2026-01-01",
    "2026-01-01T00:00Z",
    "2026-01-01 00:00:00Z",
    "2026-01-01t00:00:00Z",
    "2026-01-01T00:00:00z",
    "2026-02-30T00:00:00Z",
    "2025-02-29T00:00:00Z",
    "1900-02-29T00:00:00Z",
    "2026-00-10T00:00:00Z",
    "2026-13-10T00:00:00Z",
    "2026-04-31T00:00:00Z",
    "2026-01-00T00:00:00Z",
    "2026-01-01T24:00:00Z",
    "2026-01-01T00:60:00Z",
    "2016-12-31T23:59:60Z",
    "2026-01-01T00:00:00.Z",
    "2026-01-01T00:00:00.1234567890Z",
    "2026-01-01T00:00:00,5Z",
    "2026-01-01T00:00:00+1",
    "2026-01-01T00:00:00+1:00",
    "2026-01-01T00:00:00+24:00",
    "2026-01-01T00:00:00+01:60",
    "2026-01-01T00:00:00+01:0",
    "2026-01-01T00:00:00+01:",
    "2026-01-01T00:00:00+",
    "2026-01-01T00:00:00ZZ",
    "2026-01-01T00:00:00 Z",
    " 2026-01-01T00:00:00Z",
    "2026-01-01T00:00:00Z ",
    "2026-01-01T00:00:00Z\n",
    "2026-01-01T00:00:00Z\0",
    "2026-01-01T00:00:00[Europe/Berlin]",
    "1969-12-31T23:59:59Z",
    "0000-01-01T00:00:00Z",
    "10000-01-01T00:00:00Z",
    "-2026-01-01T00:00:00Z",
    "٢٠٢٦-01-01T00:00:00Z",
    "20260101T000000Z",
    "2026-W01-4T00:00:00Z",
    "1767225600",
    "Thu, 01 Jan 2026 00:00:00 GMT",
    "2026-01-01T00:00:00Z" * 1000,
    "9" * 100_000,
]


@pytest.mark.parametrize(("text", "moment"), DATES.items())
def test_every_form_of_a_date_with_an_offset_means_its_moment(text, moment):
    assert epoch_of(text) == moment


@pytest.mark.parametrize("text", NO_DATES, ids=lambda text: repr(text[:40]))
def test_what_is_no_date_in_one_of_these_forms_is_none(text):
    assert epoch_of(text) is None


@pytest.mark.parametrize(
    ("zone", "text", "moment"),
    [
        # POSIX zones: the sign says what to add to get UTC.
        ("UTC0", "2026-01-01T00:00:00", 1_767_225_600.0),
        ("EST5", "2025-12-31T19:00:00", 1_767_225_600.0),
        ("EST5", "2025-12-31T19:00:00.125", 1_767_225_600.125),
        ("NPT-5:45", "2026-01-01T05:45:00", 1_767_225_600.0),
        ("CET-1CEST,M3.5.0,M10.5.0/3", "2026-01-01T01:00:00", 1_767_225_600.0),
        ("CET-1CEST,M3.5.0,M10.5.0/3", "2026-07-01T02:00:00", 1_782_864_000.0),  # 2026-07-01T00:00:00Z
        ("NPT-5:45", "1970-01-01T00:00:00", -20_700.0),
    ],
)
@pytest.mark.skipif(not hasattr(time, "tzset"), reason="this system has no way to change a process's zone")
def test_a_date_without_an_offset_is_local_time(zone, text, moment, monkeypatch):
    try:
        with monkeypatch.context() as changed:
            changed.setenv("TZ", zone)
            time.tzset()
            assert epoch_of(text) == moment
            # An offset that is given counts, wherever the device is.
            assert epoch_of("2026-01-01T00:00:00Z") == NOW
    finally:
        time.tzset()


@pytest.mark.parametrize("zone", ["UTC0", "EST5", "NPT-5:45"])
@pytest.mark.skipif(not hasattr(time, "tzset"), reason="this system has no way to change a process's zone")
def test_the_last_second_that_there_is_can_be_meant_in_local_time(zone, monkeypatch):
    try:
        with monkeypatch.context() as changed:
            changed.setenv("TZ", zone)
            time.tzset()
            moment = epoch_of("9999-12-31T23:59:59")
            assert holds("date", "9999-12-31T23:59:59")
    finally:
        time.tzset()
    assert moment is not None
    assert abs(moment - 253_402_300_799) <= 86_400


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("text", DATES, ids=str)
def test_a_date_holds_until_it_is_strictly_over_on_every_occasion(source, text):
    moment = DATES[text]

    assert holds("date", text, source=source, now=moment - 0.001)
    assert holds("date", text, source=source, now=moment)
    assert not holds("date", text, source=source, now=moment + 0.001)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("text", NO_DATES, ids=lambda text: repr(text[:40]))
def test_a_date_that_cannot_be_read_delays_nothing(source, text):
    assert not holds("date", text, source=source)


# --- nativeVersion ---------------------------------------------------------------------------------------------------

NATIVE = [
    # native version of the device, value, still holds
    ("1.4.0", "1.4.0", False),
    ("1.4.0", "1.3.9", False),
    ("1.4.0", "1.4.1", True),
    ("1.4.0", "2.0.0", True),
    ("1.10.0", "1.9.0", False),
    ("1.9.0", "1.10.0", True),
    ("1.4.0", "1", False),
    ("1.4.0", "2", True),
    ("1.0.0", "1", False),
    ("1.4.0", "1.4", False),
    ("1.4.0", "1.5", True),
    ("1.4.0", "v1.4.0", False),
    ("1.4.0", "v1.4.1", True),
    ("1.4.0", "V2", True),
    ("1.4.0", " 1.5.0 ", True),
    ("1.4.0", "1.4.0.0", False),
    ("1.4.0", "1.4.0.1", True),
    ("1.4.1", "1.4.0.9", False),
    ("1.4.0.2", "1.4.0.1", False),
    ("1.4.0", "01.04.00", False),
    ("1.4.0", "1.4.0+77", False),
    ("1.4.0+1", "1.4.0+77", False),
    ("1.4.0-beta.1", "1.4.0", True),
    ("1.4.0", "1.4.0-beta.1", False),
    ("1.4.0-beta.2", "1.4.0-beta.10", True),
    ("1.4.0-beta.10", "1.4.0-beta.2", False),
    ("1.4.0", "1.5-rc.1", True),
    ("0.0.0", "0", False),
    ("0.0.0", "0.0.0", False),
    ("1.4.0", "9" * 100, True),
    # not comparable: removed
    ("1.4.0", "", False),
    ("1.4.0", "newest", False),
    ("1.4.0", "2.x", False),
    ("1.4.0", "2..0", False),
    ("1.4.0", "2.0.", False),
    ("1.4.0", "-2.0.0", False),
    ("1.4.0", "2.0.0-", False),
    ("1.4.0", "2.0.0-ü", False),
    ("1.4.0", "vv2", False),
    ("1.4.0", "v", False),
    ("1.4.0", "2.0.0\0", False),
    ("1.4.0", "٢.0.0", False),
    ("1.4.0", "9" * 5000, False),
    ("1.4.0", "2.0.0+" + "b" * 1000, False),
    ("", "2.0.0", False),
    ("unknown", "2.0.0", False),
]


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(("native", "value", "held"), NATIVE, ids=lambda value: repr(value)[:24])
def test_native_version_holds_until_the_installer_is_as_new_on_every_occasion(source, native, value, held):
    assert holds("nativeVersion", value, source=source, native_version=native) is held


# --- lists -----------------------------------------------------------------------------------------------------------


def test_all_conditions_must_be_met_and_those_that_are_stay_away():
    kill, away = DelayCondition("kill"), DelayCondition("background", "1")
    known = {"native_version": "1.4.0", "background_at": NOW - 60}
    # As in the plugin's own tests: foreground drops background `1` and keeps kill.
    left = remaining([away, kill], source="foreground", now=NOW, **known)
    assert left == (kill,)
    assert remaining(left, source="background", now=NOW + 1, **known) == (kill,)
    assert remaining(left, source="killed", now=NOW + 2, **known) == ()


def test_a_start_drops_kill_and_keeps_a_background_time_that_was_not_measured():
    kill, away = DelayCondition("kill"), DelayCondition("background", "5000")

    assert remaining([kill, away], source="killed", now=NOW, background_at=0.0, native_version="1.4.0") == (away,)


def test_the_order_of_what_stays_is_the_order_given():
    given_order = (
        DelayCondition("nativeVersion", "9"),
        DelayCondition("kill"),
        DelayCondition("date", "2099-12-31T23:59:59Z"),
        DelayCondition("background", "7"),
    )

    assert (
        remaining(given_order, source="background", now=NOW, background_at=0.0, native_version="1.4.0") == given_order
    )


def test_a_kind_that_nobody_knows_holds_nothing_back():
    assert not holds("moon", "full", source="background")
    assert not holds("", source="background")


# --- taking them from an app -----------------------------------------------------------------------------------------


def test_all_four_kinds_are_taken_as_mappings_and_as_values():
    taken = conditions(
        [
            {"kind": "background", "value": "60000"},
            DelayCondition("kill"),
            {"kind": "date", "value": "2099-12-31T23:59:59Z", "later": 1},
            {"kind": "nativeVersion", "value": "2.0.0"},
        ]
    )

    assert taken == Conditions(
        kept=(
            DelayCondition("background", "60000"),
            DelayCondition("kill", ""),
            DelayCondition("date", "2099-12-31T23:59:59Z"),
            DelayCondition("nativeVersion", "2.0.0"),
        )
    )


def test_nothing_is_a_list_too():
    assert conditions([]) == conditions(()) == Conditions()


@pytest.mark.parametrize(
    "item", [{"kind": "background"}, {"kind": "background", "value": ""}, DelayCondition("background")]
)
def test_background_without_a_value_means_any_time(item):
    assert conditions([item]).kept == (DelayCondition("background", "0"),)


def test_null_means_absent_and_a_whole_number_its_digits():
    taken = conditions([{"kind": "background", "value": None}, {"kind": "background", "value": 300_000}])

    assert taken == Conditions(kept=(DelayCondition("background", "0"), DelayCondition("background", "300000")))


@pytest.mark.parametrize(
    ("item", "skipped"),
    [
        ({"kind": "moon", "value": "full"}, DelayCondition("moon", "full")),
        ({"kind": "Kill"}, DelayCondition("Kill")),
        ({"kind": ""}, DelayCondition("")),
        ({"kind": None, "value": "1"}, DelayCondition("", "1")),
        ({"value": "1"}, DelayCondition("", "1")),
        ({}, DelayCondition("")),
    ],
)
def test_an_unknown_or_missing_kind_is_left_out_and_named(item, skipped):
    taken = conditions([item, {"kind": "kill"}])

    assert taken.kept == (DelayCondition("kill"),)
    assert taken.skipped == (skipped,)
    (note,) = taken.notes
    assert repr(skipped.kind) in note
    assert "background, kill, date, nativeVersion" in note


@pytest.mark.parametrize(
    ("kind", "value", "word"),
    [
        ("background", "5 minutes", "'5 minutes' is no whole number of milliseconds"),
        ("background", "-1", "'-1' is no whole number"),
        ("background", "1500.0", "'1500.0' is no whole number"),
        ("date", "", "'' is no date"),
        ("date", "2026-02-30T00:00:00Z", "'2026-02-30T00:00:00Z' is no date"),
        ("nativeVersion", "", "'' is no version"),
        ("nativeVersion", "newest", "'newest' is no version"),
    ],
)
def test_a_value_that_cannot_be_read_is_kept_and_noted(kind, value, word):
    taken = conditions([{"kind": kind, "value": value}])

    assert taken.kept == (DelayCondition(kind, value),)
    (note,) = taken.notes
    assert word in note


def test_good_values_leave_no_note():
    good = [("background", "0"), ("background", "000"), ("background", "+5"), ("date", "2026-01-01T00:00:00")]
    good += [("nativeVersion", "1"), ("kill", "whatever")]

    assert conditions([DelayCondition(*pair) for pair in good]).notes == ()


def test_the_same_condition_twice_counts_once():
    taken = conditions([{"kind": "kill"}, DelayCondition("kill"), {"kind": "moon"}, {"kind": "moon"}])

    assert taken.kept == (DelayCondition("kill"),)
    assert taken.skipped == (DelayCondition("moon"),)
    assert len(taken.notes) == 1


@pytest.mark.parametrize(
    "items",
    [
        None,
        5,
        "kill",
        b"kill",
        {"kind": "kill"},
        DelayCondition("kill"),
        ["kill"],
        [None],
        [["kill", ""]],
        [{"kind": 5}],
        [{"kind": ["kill"]}],
        [{"kind": "background", "value": 1.5}],
        [{"kind": "background", "value": True}],
        [{"kind": "background", "value": ["1"]}],
        [{"kind": "kill"}] * (MAX_CONDITIONS + 1),
        ({"kind": "kill"} for _ in iter(int, 1)),
    ],
)
def test_a_wrong_shape_is_the_app_developers_mistake(items):
    with pytest.raises(ConfigError, match="delay conditions: ") as caught:
        conditions(items)
    assert caught.value.code == "invalid_config"
    assert "DelayCondition(" in caught.value.hint


def test_as_many_conditions_as_are_allowed_are_taken():
    most = [{"kind": "background", "value": str(number)} for number in range(MAX_CONDITIONS)]

    assert len(conditions(most).kept) == MAX_CONDITIONS


@pytest.mark.parametrize("value", ["9" * 100_000, "\0" * 1000, "\ud800", 10**5000, -(10**5000)], ids=list("abcde"))
@pytest.mark.parametrize(
    "kind", ["background", "kill", "date", "nativeVersion", "x" * 100_000, "\ud800"], ids=list("abcdef")
)
def test_whatever_a_value_is_it_is_kept_short_and_fit_for_a_file(kind, value):
    taken = conditions([{"kind": kind, "value": value}])

    (condition,) = taken.kept + taken.skipped
    assert len(condition.kind) <= MAX_VALUE
    assert len(condition.value) <= MAX_VALUE
    assert json.loads(json.dumps(condition.value).encode("utf-8")) == condition.value
    assert condition.value.encode("utf-8")
    assert all(note.isprintable() and len(note) < 200 for note in taken.notes)


def test_a_huge_whole_number_stays_huge():
    (condition,) = conditions([{"kind": "background", "value": 10**5000}]).kept

    assert holds(condition.kind, condition.value, background_at=NOW - 1e9)


# --- properties ------------------------------------------------------------------------------------------------------

VALUES = st.one_of(
    st.text(max_size=40),
    st.integers().map(str),
    st.from_regex(r"v?\d{1,3}(\.\d{1,3}){0,4}(-[a-z.0-9]{0,5})?(\+[a-z]{0,3})?", fullmatch=True),
    st.from_regex(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:?\d\d)?", fullmatch=True),
    st.sampled_from([*DATES, *NO_DATES]),
)
CONDITION = st.builds(DelayCondition, st.sampled_from(["background", "kill", "date", "nativeVersion", "moon"]), VALUES)
MOMENTS = st.one_of(st.floats(), st.floats(min_value=0, max_value=4e9))


@given(st.lists(CONDITION, max_size=6), st.sampled_from(SOURCES), MOMENTS, MOMENTS, st.one_of(VALUES, st.just("1.4.0")))
def test_a_list_never_grows_and_asking_twice_changes_nothing(items, source, now, background_at, native):
    def again(these):
        return remaining(these, source=source, now=now, background_at=background_at, native_version=native)

    left = again(items)

    assert [item for item in items if item in left] == list(left)
    assert again(left) == left
    assert all(again([item]) == ((item,) if item in left else ()) for item in items)


MAPPING = st.dictionaries(st.sampled_from(["kind", "value"]), st.one_of(VALUES, st.none(), st.integers()))


@given(st.lists(st.one_of(CONDITION, MAPPING)))
def test_taking_conditions_raises_nothing_but_config_errors_and_is_idempotent(items):
    try:
        taken = conditions(items)
    except ConfigError:
        assert any(isinstance(item, dict) and isinstance(item.get("kind"), int) for item in items)
        return
    assert conditions(taken.kept).kept == taken.kept
    assert conditions(taken.kept).skipped == ()


@given(st.text(alphabet="0123456789-T:.Z+ ", max_size=40))
def test_reading_a_date_never_raises(text):
    moment = epoch_of(text)

    assert moment is None or -90_000 <= moment <= 253_402_400_000


def test_without_a_date_condition_nothing_loads_datetime():
    source = """
import sys
before = set(sys.modules)
from capgo_client.life.delays import conditions, remaining, DelayCondition
kept = conditions([{"kind": "kill"}, {"kind": "background"}, {"kind": "nativeVersion", "value": "1.0"}]).kept
left = remaining(kept, source="foreground", now=5.0, background_at=1.0, native_version="1.0.0")
print(left == (DelayCondition("kill"),), {"datetime", "typing", "re"} & (set(sys.modules) - before))
"""
    root = Path(capgo_client.__file__).parents[1]
    command = [
        sys.executable,
        "-S",
        "-c",
        f"import sys; sys.path.insert(0, {str(root)!r})\nimport dataclasses\n{source}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)

    assert done.stdout.strip() == "True set()"
