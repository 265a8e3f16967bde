"""What a whole update costs: the shell's tools in a row, and the clients of python-tuf and tufup, beside ours."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from bench_figures import Chart, Findings, Line, Ratio
from bench_harness import NEXT_VERSION, Bench, Case, Command, Server, flush, meta

if TYPE_CHECKING:
    from pathlib import Path

#: (name, files, bytes of each), in full and quick.
FULL = (("100 MB in 50 files", 50, 2_000_000), ("40 MB in 5,000 files", 5000, 8000))
QUICK = (("20 MB in 50 files", 50, 400_000), ("8 MB in 1,000 files", 1000, 8000))
KINDS = ("plain", "sealed")
#: Of the pipeline's wall time.
TARGET = 0.8
CALLED = {"plain": "plain", "sealed": "encrypted"}


def run(bench: Bench) -> Findings:
    """See docs/benchmarks.md."""
    findings = Findings()
    served = bench.fresh("update-served")
    with bench.server(served) as server:
        for name, files, size in QUICK if bench.quick else FULL:
            _measure(bench, findings, server, name=name, files=files, size=size)
    findings.remarks.append(
        "ours, python-tuf and tufup from the trigger to the end, their imports done before; the CPU column likewise"
    )
    findings.remarks.append("python-tuf and tufup do not flush to the disk; the pipeline and ours do")
    return findings


def _measure(bench: Bench, findings: Findings, server: Server, *, name: str, files: int, size: int) -> None:
    payload = bench.payload("zip", files, size)
    cases = [each for kind in KINDS for each in _kind(bench, server, payload, kind)]
    cases += _tuf_cases(bench, server, files, size)
    found = bench.measure(cases, rounds=3 if bench.quick else 7)
    for case in cases:
        peer = case.key.startswith(("tuf", "ours"))
        own = {"wall": "own_wall", "cpu": "own_cpu"} if peer else {}
        findings.lines.append(Line.of(f"{name}, {case.what}", found[case.key], **own))
        if case.key.startswith("ours"):
            findings.lines.append(
                Line.of(f"{name}, {case.what}, the whole process, all that could be needed imported", found[case.key])
            )
    key = f"update/{files}"
    for kind in KINDS:
        ours = found[f"ours-{kind}"]
        theirs = found[f"shell-{kind}"]
        about = f"{name}, {CALLED[kind]} / the pipeline"
        findings.ratios += [
            Ratio(f"{key}/{kind}", f"wall of {about}", ours["own_wall"].median / theirs["wall"].median, TARGET),
            Ratio(f"{key}/{kind}/cpu", f"CPU of {about}", ours["own_cpu"].median / theirs["cpu"].median),
        ]
    for peer in ("tuf", "tufup"):
        value = found["ours-plain"]["own_wall"].median / found[peer]["own_wall"].median
        findings.ratios.append(Ratio(f"{key}/{peer}", f"wall of {name}, plain / {peer}", value))
    for kind in KINDS:
        bars = [("ours", f"ours-{kind}", "own_wall"), ("the pipeline", f"shell-{kind}", "wall")]
        if kind == "plain":
            bars += [("python-tuf", "tuf", "own_wall"), ("tufup", "tufup", "own_wall")]
        shown = tuple((label, found[case][wall].median) for label, case, wall in bars)
        limit = TARGET * found[f"shell-{kind}"]["wall"].median
        findings.charts.append(Chart(f"update of {name.lower()}, {CALLED[kind]}", "s", shown, ("ours",), limit))


def _kind(bench: Bench, server: Server, payload: Path, kind: str) -> tuple[Case, Case]:
    told = meta(payload)
    base = server.share(payload.name, payload)
    answer = {"version": NEXT_VERSION, "url": f"{base}/{kind}.zip", **told[kind]}
    url = server.offer(f"{payload.name}-{kind}", **answer)
    key = (payload / "public.pem").read_text("utf-8") if kind == "sealed" else ""

    def ours(_: int) -> Command:
        data_dir = bench.fresh("ours") / "data"
        return bench.child("update", data_dir=data_dir, url=url, public_key=key, version=NEXT_VERSION)

    def shell(_: int) -> Command:
        return ["sh", "-c", pipeline(bench.fresh("shell"), answer["url"], told, sealed=kind == "sealed")]

    before = _settled
    what = CALLED[kind]
    return (
        Case(f"ours-{kind}", f"{what}, ours", ours, before),
        Case(f"shell-{kind}", f"{what}, curl | sha256sum; unzip; sync", shell, before),
    )


def _settled(_: int) -> None:
    flush()


def pipeline(folder: Path, url: str, told: dict[str, str], *, sealed: bool) -> str:
    """What one would write by hand: every tool at once where it can be, the archive kept for unzip."""
    place = shlex.quote(str(folder))
    decrypt = f"openssl enc -d -aes-128-cbc -K {told['aes_key']} -iv {told['aes_vector']} | " if sealed else ""
    return (
        f"set -e; cd {place}; "
        f"curl -sf {shlex.quote(url)} | {decrypt}tee bundle.zip | sha256sum > found; "
        f"grep -q {told['sha256']} found; mkdir app; unzip -q bundle.zip -d app; sync -f app"
    )


def _tuf_cases(bench: Bench, server: Server, files: int, size: int) -> list[Case]:
    payload = bench.payload("tuf", files, size)
    repository = bench.fresh("repository")
    bench.run(bench.peer("make_repository", targets=payload / "targets", repository=repository))
    url = server.share(repository.name, repository)
    targets = server.share(f"{payload.name}-targets", payload / "targets")
    root = repository / "metadata" / "root.json"

    def command(peer: str, venv: str) -> Command:
        folder = bench.fresh(peer)
        return bench.peer(f"{peer}_update", venv=venv, folder=folder, url=url, targets_url=targets, root=root)

    return [
        Case("tuf", "python-tuf, then zipfile", lambda _: command("tuf", "peers"), _settled),
        Case("tufup", "tufup (tar.gz)", lambda _: command("tufup", "tufup"), _settled),
    ]
