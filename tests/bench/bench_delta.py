"""What a small update costs when most files are there already: bytes on the wire, and wall beside the full update."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from bench_figures import Chart, Findings, Line, Ratio
from bench_harness import NEXT_VERSION, Bench, Case, Command, Server, flush, meta
from bench_table import size as in_words

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

FILES, CHANGED = 2000, 200
WAYS = {
    "full": ("one", "the whole archive"),
    "one": ("one", f"delta of 1 file in {FILES:,}"),
    "many": ("many", f"delta of {CHANGED} files in {FILES:,}"),
    "renamed": ("renamed", f"delta, all {FILES:,} renamed"),
}
FIRST, SECOND = "1.0.1", "1.0.2"
assert FIRST == NEXT_VERSION


def run(bench: Bench) -> Findings:
    """See docs/benchmarks.md."""
    # Not smaller, even in quick mode: a header of a hundred bytes is part of what is counted.
    payload = bench.payload("delta", FILES, 10_000 if bench.quick else 20_000, CHANGED)
    told = meta(payload)
    with bench.server(bench.fresh("delta-served")) as server:
        base = server.share("payload", payload)
        first = server.offer("first", version=FIRST, url=f"{base}/first/plain.zip", **told["first"]["plain"])
        offers = {key: _offer(server, payload, told, base, key) for key in WAYS}
        sent: dict[str, dict[str, int]] = {}
        cases = [_case(bench, server, first, offers, key, sent=sent) for key in WAYS]
        found = bench.measure(cases, rounds=3 if bench.quick else 15, warm=False)
    findings = Findings()
    for case in cases:
        wire = sent[case.key]
        note = f"{in_words(wire['bytes'])} in {wire['replies']} replies"
        findings.lines.append(Line.of(case.what, found[case.key], wall="own_wall", cpu="own_cpu", note=note))
    for key in ("one", "many", "renamed"):
        _judge(findings, key, sent[key], told[WAYS[key][0]], answer=_answer_bytes(server, key))
        wall = found[key]["own_wall"].median / found["full"]["own_wall"].median
        about = f"wall of {WAYS[key][1]} / the whole archive"
        findings.ratios.append(Ratio(f"delta/{key}/wall", about, wall, 0.6 if key == "one" else None))
    findings.remarks.append(
        "bytes are those that the server sent, headers too; the manifest is its answer to the check"
    )
    bars = tuple((_short(key), found[key]["own_wall"].median * 1000) for key in WAYS)
    limit = found["full"]["own_wall"].median * 600
    findings.charts.append(Chart("delta: wall", "ms", bars, tuple(_short(key) for key in WAYS if key != "full"), limit))
    return findings


def _short(key: str) -> str:
    return {"full": "the whole archive", "one": "1 of 2000", "many": "200 of 2000", "renamed": "all renamed"}[key]


def _offer(server: Server, payload: Path, told: dict[str, Any], base: str, key: str) -> str:
    version = WAYS[key][0]
    answer = {"version": SECOND, "url": f"{base}/{version}/plain.zip", **told[version]["plain"]}
    if key != "full":
        listed = json.loads((payload / version / "manifest.json").read_text("utf-8"))
        answer["manifest"] = [
            {
                "file_name": each["file_name"],
                "file_hash": each["file_hash"],
                "download_url": f"{base}/{version}/{each['place']}",
            }
            for each in listed
        ]
    return server.offer(key, **answer)


def _answer_bytes(server: Server, key: str) -> int:
    return (server.root / key / "updates.json").stat().st_size


def _case(
    bench: Bench, server: Server, first: str, offers: dict[str, str], key: str, *, sent: dict[str, dict[str, int]]
) -> Case:
    """Each round begins with a device of its own that has the first version, and has said that it works."""
    folders: dict[int, Path] = {}

    def before(turn: int) -> None:
        folders[turn] = bench.fresh(f"delta-{key}")
        bench.run(bench.child("install", data_dir=folders[turn] / "data", versions=[(first, FIRST)], url=""))
        flush()
        server.sent()

    def command(turn: int) -> Command:
        return bench.child("update", data_dir=folders[turn] / "data", url=offers[key], version=SECOND)

    def after(_: int) -> None:
        sent[key] = server.sent()

    return Case(key, WAYS[key][1], command, before, after=after)


def _judge(findings: Findings, key: str, wire: dict[str, int], told: dict[str, Any], *, answer: int) -> None:
    what = WAYS[key][1]
    packed = told["packed_bytes"]
    if not packed:
        findings.lines.append(Line(f"… beyond the manifest: {in_words(wire['bytes'] - answer)}"))
        return
    about = f"bytes of {what} / the changed files after brotli and the manifest"
    findings.ratios.append(Ratio(f"delta/{key}/bytes", about, wire["bytes"] / (packed + answer), 1.05))
    about = f"… without the manifest ({in_words(answer)}) on both sides"
    strict = (wire["bytes"] - answer) / packed
    findings.ratios.append(Ratio(f"delta/{key}/files", about, strict, 1.05 if key == "one" else None))
