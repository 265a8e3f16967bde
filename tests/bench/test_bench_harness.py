"""What the benchmarks make of what they measured: the middle, the turns, the table, the comparison."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from bench_compare import strangers, worse
from bench_figures import Chart, Findings, Line, Ratio, figure, figures, percentile, rotated
from bench_harness import Bench, BenchError, Case, counted
from bench_picture import picture
from bench_table import BEGIN, END, markdown, rewritten, seconds, size, text


def bench(folder):
    return Bench(folder / "venvs", folder / "kept", folder / "work")


def found(code):
    return lambda _: [sys.executable, "-I", "-c", code]


# ---- figures ----


def test_the_middle_counts_and_one_run_that_was_disturbed_does_not():
    middle = figure([1.0, 1.2, 1.1, 1.0, 90.0])
    assert (middle.median, middle.runs) == (1.1, 5)
    assert middle.spread == pytest.approx((1.2 - 1.0) / 1.1)


def test_two_runs_have_a_middle_and_no_spread():
    assert (figure([1.0, 3.0]).median, figure([1.0, 3.0]).spread) == (2.0, 0.0)


def test_nothing_measured_is_not_a_figure():
    with pytest.raises(ValueError, match="nothing was measured"):
        figure([])


def test_what_some_runs_alone_report_counts_where_it_is_and_texts_do_not():
    of = figures([{"wall": 1.0, "said": "x"}, {"wall": 3.0, "own": 7.0}])
    assert (of["wall"].median, of["own"].median, of["own"].runs) == (2.0, 7.0, 1)
    assert set(of) == {"wall", "own"}


def test_every_round_has_every_case_once_and_begins_with_another():
    turns = list(rotated(["a", "b", "c"], 4))
    assert "".join(key for _, key in turns) == "abcbcacababc"
    assert [turn for turn, _ in turns] == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]


@pytest.mark.parametrize(
    ("count", "share", "expected"), [(100, 0.99, 99), (1000, 0.99, 990), (10, 0.99, 10), (1, 0.99, 1), (10, 0.5, 5)]
)
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(count, share, expected):
    assert percentile(list(range(count, 0, -1)), share) == expected


@pytest.mark.parametrize(
    ("value", "target", "verdict"), [(0.8, 0.8, "met"), (0.801, 0.8, "MISSED"), (9.0, None, ""), (0.1, 0.8, "met")]
)
def test_a_target_is_met_up_to_its_value(value, target, verdict):
    assert Ratio("k", "what", value, target).verdict == verdict


# ---- comparing ----


def test_a_ratio_a_quarter_worse_passes_and_a_little_more_fails():
    kept = {"launch/six": 0.8, "update/50": 0.6}
    assert worse(kept, {"launch/six": 1.0, "update/50": 0.3}, slack={}) == []
    (line,) = worse(kept, {"launch/six": 1.001, "update/50": 0.6}, slack={})
    assert line == "launch/six: 1.001, kept is 0.800 (25% worse, allowed 25%)"


def test_a_ratio_may_differ_by_its_slack_however_small_it_was():
    assert worse({"blocking": 0.02}, {"blocking": 0.3}, slack={"blocking": 0.3}) == []
    assert len(worse({"blocking": 0.02}, {"blocking": 0.33}, slack={"blocking": 0.3})) == 1


def test_what_was_not_measured_now_is_not_compared_and_what_was_not_kept_is_named():
    assert worse({"old": 1.0}, {"new": 9.0}, slack={}) == []
    assert strangers({"old": 1.0}, {"old": 1.0, "new": 9.0}) == ["new"]


def test_a_kept_ratio_of_nothing_may_not_grow():
    assert worse({"k": 0.0}, {"k": 0.1}, slack={}) == ["k: 0.100, kept is 0.000 (worse, allowed 25%)"]


# ---- showing ----

FINDINGS = {
    "launch": Findings(
        [
            Line(
                "start()", wall=0.0312, cpu=0.0299, peak=20_500_000, spread=0.04, instructions=31_400_000.0, note="cold"
            )
        ],
        [Ratio("launch/six", "CPU / six", 0.934, 1.0), Ratio("launch/httpx", "CPU / httpx", 0.3)],
        [Chart("launch", "ms", (("ours", 31.2), ("theirs", 150.0)), ("ours",), 33.0, 150.0)],
        ["measured at night"],
    )
}


@pytest.mark.parametrize(
    ("value", "said"), [(None, ""), (12.34, "12.3 s"), (1.234, "1.23 s"), (0.0995, "99.5 ms"), (0.00012, "120 us")]
)
def test_seconds_are_said_in_the_unit_that_suits(value, said):
    assert seconds(value) == said


@pytest.mark.parametrize(
    ("value", "said"), [(None, ""), (75, "75 B"), (1500, "1.50 kB"), (16_000_000, "16.0 MB"), (2.5e9, "2.50 GB")]
)
def test_bytes_are_said_in_the_unit_that_suits(value, said):
    assert size(value) == said


def test_the_table_has_a_line_for_everything_and_its_columns_stand_below_each_other():
    lines = text(FINDINGS).splitlines()
    assert lines[1] == "[launch]"
    assert lines[2].split("  ")[0] == "start()"
    assert lines[2].endswith("31.4 M instructions; cold")
    assert lines[3].split()[-3:] == ["0.93", "1.00", "met"]
    assert lines[4].split()[-1] == "0.30"
    assert lines[5] == "(measured at night)"
    end = lines[0].index("ratio") + len("ratio")
    assert lines[3][:end].endswith("0.93")
    assert lines[4].endswith("0.30")
    assert lines[4][:end] == lines[4]


def test_the_docs_get_the_same_rows_each_with_as_many_cells_as_the_head():
    lines = markdown(FINDINGS).splitlines()
    assert {line.count("|") for line in lines} == {9}
    assert lines[2].startswith("| **launch** |")
    assert "| 31.2 ms | 29.9 ms | 20.5 MB | 4% |" in lines[3]


def test_the_docs_are_rewritten_between_the_markers_alone():
    document = f"# Head\n{BEGIN}\nold\n{END}\ntail\n"
    assert rewritten(document, ["new\n"]) == f"# Head\n{BEGIN}\nnew\n{END}\ntail\n"
    assert rewritten(rewritten(document, ["new\n"]), ["newer\n"]) == f"# Head\n{BEGIN}\nnewer\n{END}\ntail\n"


@pytest.mark.parametrize("document", ["# Head\n", f"{BEGIN}\n", f"{END}\n{BEGIN}\n"])
def test_docs_without_both_markers_are_not_touched(document):
    with pytest.raises(ValueError, match="has no"):
        rewritten(document, ["new\n"])


def test_findings_survive_the_file_that_a_run_in_parts_adds_to():
    told = json.loads(json.dumps(FINDINGS["launch"].as_json()))
    assert Findings.of_json(told) == FINDINGS["launch"]


def test_the_bars_are_a_picture_and_a_value_that_was_cut_off_says_so():
    assert picture(FINDINGS).startswith(b"\x89PNG")
    chart = FINDINGS["launch"].charts[0]
    assert (chart.told(150.0), chart.told(31.2)) == ("more than 150", "31.2")


# ---- measuring ----


def test_a_command_is_measured_from_outside_and_adds_what_it_reports(tmp_path):
    code = "import time; end = time.process_time() + 0.05\nwhile time.process_time() < end: pass\nprint('{\"own\": 7}')"
    sample = bench(tmp_path).measure_once(Case("k", "what", found(code)), 0)
    assert sample["own"] == 7
    assert 0.05 <= sample["cpu"] < sample["wall"] + 0.05
    assert 4e6 < sample["peak"] < 40e6


def test_the_peak_is_the_commands_and_not_that_of_whoever_measures(tmp_path):
    ballast = bytearray(os.urandom(1)) * 120_000_000
    assert bench(tmp_path).measure_once(Case("k", "what", found("pass")), 0)["peak"] < 60e6
    assert len(ballast) == 120_000_000


def test_a_command_that_fails_is_not_a_measurement(tmp_path):
    case = Case("k", "what", found("import sys; sys.exit('did not install')"))
    with pytest.raises(BenchError, match="status 1: did not install"):
        bench(tmp_path).measure_once(case, 0)
    with pytest.raises(BenchError, match="no-such-program is not installed"):
        bench(tmp_path).measure_once(Case("k", "what", lambda _: ["no-such-program"]), 0)


def test_cases_are_measured_in_turns_after_once_for_nothing(tmp_path):
    order = []
    cases = [Case(key, key, found("pass"), lambda turn, key=key: order.append((key, turn))) for key in "ab"]
    of = bench(tmp_path).measure(cases, rounds=2)
    assert order == [("a", -1), ("b", -1), ("a", 0), ("b", 0), ("b", 1), ("a", 1)]
    assert of["a"]["wall"].runs == 2


def test_what_is_measured_does_not_see_the_callers_surroundings(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    code = "import os, json; print(json.dumps({'seen': len({'PYTHONPATH', 'https_proxy'} & set(os.environ))}))"
    assert bench(tmp_path).measure_once(Case("k", "what", found(code)), 0)["seen"] == 0


def test_no_folder_is_used_twice(tmp_path):
    one = bench(tmp_path)
    folders = [one.fresh("ours") for _ in range(3)]
    assert len(set(folders)) == 3
    assert all(Path(folder).is_dir() for folder in folders)


@pytest.mark.parametrize(
    ("told", "count"),
    [
        ("31400000,,instructions:u,1000000,100.00,,\n", 31_400_000.0),
        ("<not supported>,,instructions:u,0,100.00,,\n", None),
        ("==77== \n==77== I   refs:      123,456,789\n", 123_456_789.0),
        ("Traceback (most recent call last):\n", None),
        ("", None),
    ],
)
def test_instructions_are_read_from_what_the_counter_says(told, count):
    assert counted(told) == count
