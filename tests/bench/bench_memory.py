"""Peak memory over an idle process for bundles of any size; and what clearing away and looking over cost."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from bench_figures import Chart, Findings, Line, Ratio
from bench_harness import NEXT_VERSION, Bench, Case, Command, Server, flush, meta
from bench_table import size as in_words

if TYPE_CHECKING:
    from pathlib import Path

#: What one update may take above what the process has before (bytes).
LIMIT = 16_000_000
OLD = 20
UP_TO_DATE = {"error": "no_new_version_available", "message": "No new version available", "kind": "up_to_date"}


def run(bench: Bench) -> Findings:
    """See docs/benchmarks.md."""
    findings = Findings()
    with bench.server(bench.fresh("memory-served")) as server:
        _sizes(bench, findings, server)
        _clean(bench, findings, server)
        _verify(bench, findings, server)
    return findings


def _sizes(bench: Bench, findings: Findings, server: Server) -> None:
    sizes = (10, 100) if bench.quick else (10, 100, 1000)
    cases = [_update(bench, server, f"{size} MB", bench.payload("big", size, 100)) for size in sizes]
    files = (1000, 8000) if bench.quick else (5000, 8000)  # one that has many
    several = bench.payload("zip", *files)
    cases.append(_update(bench, server, "encrypted, many files", several, kind="sealed"))
    found = bench.measure(cases, rounds=2 if bench.quick else 3, warm=False)
    for case in cases:
        over, idle = found[case.key]["over"].median, found[case.key]["idle"].median
        note = f"{in_words(over)} over the {in_words(idle)} of the idle process"
        findings.lines.append(Line.of(case.what, found[case.key], wall="own_wall", cpu="own_cpu", note=note))
        about = f"peak over idle, {case.what} / {in_words(LIMIT)}"
        findings.ratios.append(Ratio(f"memory/{case.key.replace(' ', '-')}", about, over / LIMIT, 1.0))
    small, large = (found[f"{size} MB"]["over"].median for size in (sizes[0], sizes[-1]))
    about = f"… {sizes[-1]} MB / {sizes[0]} MB"
    findings.ratios.append(Ratio("memory/growth", about, large / max(small, 1_000_000.0), 1.25))
    bars = tuple((case.key, found[case.key]["over"].median / 1e6) for case in cases)
    shown = tuple((key.lower(), value) for key, value in bars)
    findings.charts.append(
        Chart("peak memory of an update over idle", "mb", shown, tuple(key for key, _ in shown), LIMIT / 1e6)
    )


def _update(bench: Bench, server: Server, key: str, payload: Path, *, kind: str = "plain") -> Case:
    told = meta(payload)
    url = f"{server.share(payload.name, payload)}/{kind}.zip"
    offer = server.offer(f"{payload.name}-{kind}", version=NEXT_VERSION, url=url, **told[kind])
    public_key = (payload / "public.pem").read_text("utf-8") if kind == "sealed" else ""

    def command(_: int) -> Command:
        place = bench.fresh("memory") / "data"
        return bench.child("update", data_dir=place, url=offer, version=NEXT_VERSION, public_key=public_key)

    what = f"update of {in_words(told['bytes'])} in {told['files']:,} files{', encrypted' if public_key else ''}"
    return Case(key, what, command, lambda _: flush())


def _clean(bench: Bench, findings: Findings, server: Server) -> None:
    """Twenty installs that nobody needs any more."""
    payload = bench.payload("zip", 250, 8000)
    url = f"{server.share(payload.name, payload)}/plain.zip"
    versions = [f"1.0.{i}" for i in range(1, OLD + 3)]
    offers = [
        (server.offer(f"clean-{version}", version=version, url=url, **meta(payload)["plain"]), version)
        for version in versions
    ]
    nothing = server.offer("clean-nothing", **UP_TO_DATE, version=versions[-1], old=versions[-1])
    folders: dict[tuple[str, int], Path] = {}

    def before(key: str, turn: int) -> None:
        folders[key, turn] = bench.fresh(f"clean-{key}")
        bench.run(bench.child("install", data_dir=folders[key, turn] / "data", versions=offers, keep=True, url=""))
        flush()

    def ours(turn: int) -> Command:
        return bench.child("clean", data_dir=folders["ours", turn] / "data", url=nothing)

    def shell(turn: int) -> Command:
        installs = shlex.quote(str(folders["shell", turn] / "data" / "installs"))
        return ["sh", "-c", f"cd {installs} && rm -rf $(ls | head -n {OLD})"]

    cases = [
        Case("ours", f"a cycle that clears away {OLD} installs of 250 files", ours, lambda turn: before("ours", turn)),
        Case("shell", f"rm -rf of {OLD} of them", shell, lambda turn: before("shell", turn)),
    ]
    found = bench.measure(cases, rounds=1 if bench.quick else 5, warm=False)
    over, removed = found["ours"]["over"].median, found["ours"]["removed"].median
    note = f"{removed:.0f} removed, {in_words(over)} over idle; asking and the full verify of what is open included"
    findings.lines.append(Line.of(cases[0].what, found["ours"], wall="own_wall", cpu="own_cpu", note=note))
    findings.lines.append(Line.of(cases[1].what, found["shell"]))
    value = found["ours"]["own_wall"].median / found["shell"]["wall"].median
    findings.ratios.append(Ratio("memory/clean", f"wall of clearing away {OLD} installs / rm -rf", value))
    about = f"peak over idle, clearing away {OLD} installs / {in_words(LIMIT)}"
    findings.ratios.append(Ratio("memory/clean-peak", about, over / LIMIT, 1.0))


def _verify(bench: Bench, findings: Findings, server: Server) -> None:
    """Every file of an install, from the page cache."""
    files = 1000 if bench.quick else 5000
    payload = bench.payload("zip", files, 8000)
    url = f"{server.share(payload.name, payload)}/plain.zip"
    offer = server.offer("verify", version=NEXT_VERSION, url=url, **meta(payload)["plain"])
    folder = bench.fresh("verify")
    bench.run(bench.child("install", data_dir=folder / "data", versions=[(offer, NEXT_VERSION)], url=""))
    (install,) = (folder / "data" / "installs").iterdir()
    place = shlex.quote(str(install / "app"))
    sums = f"find {place} -type f -print0 | xargs -0 sha256sum > /dev/null"
    cases = [
        Case("ours", f"verify() of {files:,} files", lambda _: bench.child("verify", data_dir=folder / "data", url="")),
        Case("shell", f"sha256sum of {files:,} files", lambda _: ["sh", "-c", sums]),
    ]
    found = bench.measure(cases, rounds=5 if bench.quick else 11)
    note = f"{in_words(found['ours']['over'].median)} over idle"
    findings.lines.append(Line.of(cases[0].what, found["ours"], wall="own_wall", cpu="own_cpu", note=note))
    findings.lines.append(Line.of(cases[1].what, found["shell"]))
    value = found["ours"]["own_wall"].median / found["shell"]["wall"].median
    findings.ratios.append(Ratio("memory/verify", f"wall of verify() of {files:,} files / sha256sum", value))
    about = f"peak over idle, verify() of {files:,} files / {in_words(LIMIT)}"
    findings.ratios.append(Ratio("memory/verify-peak", about, found["ours"]["over"].median / LIMIT, 1.0))
