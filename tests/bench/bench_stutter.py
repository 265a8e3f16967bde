"""Whether the app stutters while it is updated: 60 frames a second in the main thread, with an update and without."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench_figures import Chart, Findings, Line, Ratio, figure, percentile, rotated
from bench_harness import NEXT_VERSION, Bench, Case, Server, flush, meta

if TYPE_CHECKING:
    from pathlib import Path

#: One and a half periods for 99 frames of 100, three for the worst (seconds).
P99, WORST = 0.025, 0.050
#: Python that each frame of a busy app runs (seconds).
BUSY = 0.004


@dataclass(slots=True)
class Frames:
    """What the rounds of one case had: every frame, and the worst of each round."""

    all: list[float] = field(default_factory=list)
    worst: list[float] = field(default_factory=list)

    def add(self, frames: list[float]) -> None:
        self.all += frames
        self.worst.append(max(frames))

    @property
    def p99(self) -> float:
        return percentile(self.all, 0.99)

    @property
    def typical_worst(self) -> float:
        return figure(self.worst).median

    def line(self, what: str) -> Line:
        within = f"99 % within {self.p99 * 1e3:.1f} ms, worst {self.typical_worst * 1e3:.1f} ms"
        note = f"{within} (of all rounds {max(self.worst) * 1e3:.1f}; {len(self.all)} frames)"
        return Line(what, spread=figure(self.worst).spread, note=note)


def run(bench: Bench) -> Findings:
    """See docs/benchmarks.md."""
    payloads = (
        ("50 files", 50, 400_000 if bench.quick else 2_000_000),
        ("many files", 1000 if bench.quick else 5000, 8000),
    )
    findings = Findings()
    with bench.server(bench.fresh("stutter-served")) as server:
        cases = [
            _case(bench, server, name, bench.payload("zip", files, size), kind, busy=busy)
            for name, files, size in payloads
            for kind, busy in (("plain", 0.0), ("sealed", 0.0), ("plain", BUSY))[: 2 if bench.quick else 3]
        ]
        still, moving = _measure(bench, cases)
    bars: list[tuple[str, float]] = []
    for case in cases:
        findings.lines.append(still[case.key].line(f"{case.what}, no update"))
        findings.lines.append(moving[case.key].line(f"{case.what}, during an update"))
        judged = not case.key.endswith("busy")
        had = moving[case.key]
        for name, value, limit in (("p99", had.p99, P99), ("worst", had.typical_worst, WORST)):
            about = f"{case.what}: {'99th percentile' if name == 'p99' else 'worst frame'} / {limit * 1e3:.0f} ms"
            findings.ratios.append(
                Ratio(f"stutter/{case.key}/{name}", about, value / limit, 1.0 if judged else None, slack=0.3)
            )
        label = case.what.replace("a busy app", "busy")
        bars.append((f"{label}: still", still[case.key].typical_worst * 1e3))
        bars.append((label, had.typical_worst * 1e3))
    findings.remarks.append(
        "percentiles of the frames of all rounds; worst: the middle one of the rounds' worst frames"
    )
    if not bench.quick:
        findings.remarks.append(
            f"busy: each frame runs {BUSY * 1e3:.0f} ms of Python; no target, for it is late by itself"
        )
    ours = tuple(label for label, _ in bars if "still" not in label)
    findings.charts.append(Chart("worst frame of 60 a second during an update", "ms", tuple(bars), ours, WORST * 1e3))
    return findings


def _measure(bench: Bench, cases: list[Case]) -> tuple[dict[str, Frames], dict[str, Frames]]:
    still = {case.key: Frames() for case in cases}
    moving = {case.key: Frames() for case in cases}
    by_key = {case.key: case for case in cases}
    for turn, key in rotated(list(by_key), bench.rounds or (2 if bench.quick else 7)):
        sample = bench.measure_once(by_key[key], turn)
        still[key].add(sample["still"])
        moving[key].add(sample["moving"])
    return still, moving


def _case(bench: Bench, server: Server, name: str, payload: Path, kind: str, *, busy: float) -> Case:
    told = meta(payload)
    url = f"{server.share(payload.name, payload)}/{kind}.zip"
    offer = server.offer(f"{payload.name}-{kind}", version=NEXT_VERSION, url=url, **told[kind])
    options = {
        "url": offer,
        "still": 1.0 if bench.quick else 2.0,
        "version": NEXT_VERSION,
        "busy": busy,
        "public_key": (payload / "public.pem").read_text("utf-8") if kind == "sealed" else "",
    }
    key = f"{name}-{kind}{'-busy' if busy else ''}".replace(" ", "-")
    what = f"{name}, {'encrypted' if kind == 'sealed' else 'plain'}{', a busy app' if busy else ''}"
    return Case(
        key,
        what,
        lambda _: bench.child("stutter", data_dir=bench.fresh("stutter") / "data", **options),
        lambda _: flush(),
    )
