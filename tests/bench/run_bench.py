"""``make bench``: measures, prints one table, writes build/bench.json and build/bench.png.

A group that is left out keeps what an earlier run of the same mode found, so that a run can be done in parts.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench_compare import strangers, worse
from bench_figures import Findings
from bench_harness import HERE, ROOT, Bench, BenchError, say
from bench_table import markdown, rewritten, size, text

GROUPS = ("launch", "update", "delta", "blocking", "check", "memory", "stutter")
BASELINE = HERE / "baseline.json"
DOCS = ROOT / "docs" / "benchmarks.md"
#: Free disk that a full run may use (bytes).
ROOM = 15_000_000_000


def machine() -> dict[str, str]:
    """What the numbers were measured on."""
    return {
        "processor": _first("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "processors": str(os.cpu_count()),
        "memory": _memory(),
        "system": f"{platform.system()} {platform.release()}",
        "file system": _file_system(),
        "load before": _load(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def _memory() -> str:
    kibibytes = _first("/proc/meminfo", "MemTotal").removesuffix(" kB")
    return size(int(kibibytes) * 1024) if kibibytes.isdigit() else "unknown"


def _load() -> str:
    """How many processes wanted to run during the last minute: ratios of a busy machine are worth little."""
    try:
        return f"{os.getloadavg()[0]:.1f}"
    except OSError:
        return "unknown"


def _first(path: str, name: str) -> str:
    try:
        lines = Path(path).read_text("utf-8").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


def _file_system() -> str:
    """Of the folder that everything is done in: the longest mount point above it."""
    try:
        mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text("utf-8").splitlines()]
    except OSError:
        return "unknown"
    above = [mount for mount in mounts if str(ROOT).startswith(mount[0])]
    return max(above, key=lambda mount: len(mount[0]), default=["", "unknown"])[1]


def measured(
    options: argparse.Namespace, bench: Bench, document: dict[str, Any]
) -> tuple[dict[str, Findings], list[str]]:
    """Run the groups that are wanted; write down each as soon as it is done. Also returns those that failed."""
    failed = []
    groups = {name: Findings.of_json(value) for name, value in document["groups"].items()}
    for name in GROUPS:
        if name in options.only:
            say(f"--- {name}")
            began = time.monotonic()
            try:
                groups[name] = import_module(f"bench_{name}").run(bench)
            except BenchError as exc:
                say(f"FAILED: {exc}")
                groups.pop(name, None)
                failed.append(name)
            say(f"    {time.monotonic() - began:.0f} s")
            document["groups"] = {each: groups[each].as_json() for each in GROUPS if each in groups}
            _write(options.out / "bench.json", document)
    return {name: groups[name] for name in GROUPS if name in groups}, failed


def _write(path: Path, document: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n", "utf-8")


def begun(options: argparse.Namespace) -> dict[str, Any]:
    """The document of an earlier run that this one adds to; a new one where there is none of this mode."""
    fresh = {"mode": options.mode, "machine": machine(), "groups": {}}
    try:
        found = json.loads((options.out / "bench.json").read_text("utf-8"))
    except (OSError, ValueError):
        return fresh
    return {**fresh, "groups": found["groups"]} if found.get("mode") == options.mode else fresh


def described(document: dict[str, Any], groups: dict[str, Findings]) -> str:
    """What stands in the docs between the markers."""
    lines = [f"* {name}: {value}\n" for name, value in document["machine"].items()]
    return "".join((f"Mode: {document['mode']}.\n\n", *lines, "\n", markdown(groups)))


def baseline() -> dict[str, dict[str, float]]:
    """The kept ratios by mode and key."""
    return json.loads(BASELINE.read_text("utf-8")) if BASELINE.exists() else {}


def compared(groups: dict[str, Findings], only: list[str], mode: str) -> int:
    """Against the ratios that were kept in the same mode; the exit status."""
    kept = baseline().get(mode, {})
    if not kept:
        say(f"no ratios of mode {mode} were kept, so there is nothing to compare with")
        return 1
    wanted = {name: findings for name, findings in groups.items() if name in only}
    now = ratios(wanted)
    slack = {ratio.key: ratio.slack for findings in wanted.values() for ratio in findings.ratios}
    for key in strangers(kept, now):
        print(f"not in the baseline: {key}")
    found = worse(kept, now, slack=slack)
    for line in found:
        print(f"WORSE: {line}", file=sys.stderr)
    print(f"{len(now)} ratios compared, {len(found)} worse")
    return 1 if found else 0


def ratios(groups: dict[str, Findings]) -> dict[str, float]:
    """Every ratio by its key."""
    return {ratio.key: round(ratio.value, 4) for findings in groups.values() for ratio in findings.ratios}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--venvs", type=Path, default=ROOT / ".venv-bench", help="with ours, peers and tufup in it")
    parser.add_argument("--work", type=Path, default=ROOT / ".bench", help="where payloads are kept and updates done")
    parser.add_argument("--out", type=Path, default=ROOT / "build")
    parser.add_argument("--mode", choices=("full", "quick"), default="full")
    parser.add_argument("--only", default="", help=f"some of {','.join(GROUPS)}")
    parser.add_argument("--rounds", type=int, default=0, help="instead of each group's own number")
    parser.add_argument("--check", action="store_true", help="compare with the baseline")
    parser.add_argument("--keep-baseline", action="store_true", help="write this run's ratios down as the baseline")
    parser.add_argument("--docs", action="store_true", help="write the table into docs/benchmarks.md")
    parser.add_argument("--no-run", action="store_true", help="measure nothing: use what was found before")
    options = parser.parse_args()
    wanted = {name for name in options.only.split(",") if name} or set(GROUPS)
    if unknown := wanted - set(GROUPS):
        parser.error(f"no such group: {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)}")
    options.only = [name for name in GROUPS if name in wanted]
    if options.no_run:
        options.only = []
    return options


def main() -> int:
    options = _options()
    document = begun(options)
    work = options.work / "work"
    shutil.rmtree(work, ignore_errors=True)
    if not options.no_run and shutil.disk_usage(ROOT).free < ROOM:
        say(f"less than {ROOM / 1e9:.0f} GB are free here; a full run may not fit")
    bench = Bench(options.venvs.absolute(), options.work.absolute() / "payloads", work.absolute() / str(os.getpid()))
    bench.quick, bench.rounds = options.mode == "quick", options.rounds
    began = time.monotonic()
    if options.only:
        say(f"the load of this machine was {_load()} before; above 0.5 the ratios are worth little")
    try:
        groups, failed = measured(options, bench, document)
    finally:
        # Only now: on some file systems, creating is slow after removing as much.
        shutil.rmtree(work, ignore_errors=True)
    print(text({name: groups[name] for name in options.only or groups if name in groups}), end="")
    from bench_picture import picture

    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "bench.png").write_bytes(picture(groups))
    say(f"{time.monotonic() - began:.0f} s; {options.out / 'bench.json'}, {options.out / 'bench.png'}")
    if failed:
        say(f"not measured: {', '.join(failed)}")
        return 1
    if options.keep_baseline:
        kept = baseline()
        _write(BASELINE, {**kept, options.mode: {**kept.get(options.mode, {}), **ratios(groups)}})
    if options.docs:
        if lost := [name for name in GROUPS if name not in groups]:
            say(f"the page is left as it is: it would lose {', '.join(lost)}, which {options.out} has no run of")
            return 1
        DOCS.write_text(rewritten(DOCS.read_text("utf-8"), described(document, groups)), "utf-8")
    return compared(groups, options.only or list(GROUPS), options.mode) if options.check else 0


if __name__ == "__main__":
    raise SystemExit(main())
