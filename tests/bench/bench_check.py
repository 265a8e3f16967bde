"""One question for the latest version: beside a bare httpx call, and curl."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from bench_figures import Chart, Findings, Line, Ratio
from bench_harness import APP_ID, FIRST_VERSION, Bench, Case

if TYPE_CHECKING:
    from pathlib import Path

ANSWER = {
    "error": "no_new_version_available",
    "message": "No new version available",
    "kind": "up_to_date",
    "version": FIRST_VERSION,
    "old": FIRST_VERSION,
}
#: Of a bare httpx call.
TARGET = 1.15
#: As large as what a device sends.
BODY = {
    "platform": "android",
    "device_id": "00000000-0000-4000-8000-000000000000",
    "app_id": APP_ID,
    "custom_id": "",
    "version_build": FIRST_VERSION,
    "version_code": "1",
    "version_os": "13",
    "version_name": FIRST_VERSION,
    "plugin_version": "8.0.0",
    "is_emulator": False,
    "is_prod": True,
    "defaultChannel": "",
    "key_id": "",
}

#: The cold ones are as short as an app could write them: what a script imports for itself would be measured too.
TRUST = """import ssl
context = ssl.create_default_context(cafile={ca!r})
"""
OURS = """from capgo_client import Updater
one = Updater("com.example.bench", "1.0.0", data_dir={data_dir!r}, update_url={url!r}, stats_url=""{more})
raise SystemExit(one.get_latest().kind != "up_to_date")
"""
HTTPX = """import httpx
said = httpx.post({url!r}, json={body!r}, timeout=3{more}).json()
raise SystemExit(said["kind"] != "up_to_date")
"""


def run(bench: Bench) -> Findings:
    """See docs/benchmarks.md."""
    findings = Findings()
    for scheme in ("http", "https"):
        served = bench.fresh(f"check-{scheme}")
        with bench.server(served, tls=scheme == "https") as server:
            url = server.offer("check", **ANSWER)
            _measure(bench, findings, scheme, url, served / "ca.pem" if scheme == "https" else None)
    findings.remarks.append(
        "cold: a process of its own, from its start to its end; warm: each of many on one connection"
    )
    return findings


def _measure(bench: Bench, findings: Findings, scheme: str, url: str, ca: Path | None) -> None:
    data_dir = bench.fresh("check") / "data"
    bench.run(bench.child("install", data_dir=data_dir, versions=[], url=""))
    many = 100 if bench.quick else 300
    trust = ["--cacert", str(ca)] if ca else []
    shared = {"url": url, "ca": ca and str(ca)}
    peer = {"venv": "ours", "body": BODY, **shared}
    trusted = TRUST.format(ca=str(ca)) if ca else ""
    ours = trusted + OURS.format(url=url, data_dir=str(data_dir), more=", ssl_context=context" if ca else "")
    theirs = trusted + HTTPX.format(url=url, body=BODY, more=", verify=context" if ca else "")
    said = ["-H", "content-type: application/json", "-d", json.dumps(BODY)]
    post = ["curl", "-sf", "-o", "/dev/null", *trust, *said, url]
    cases = [
        Case("ours-cold", "get_latest(), cold", lambda _: [bench.python(), "-c", ours]),
        Case("httpx-cold", "httpx.post, cold", lambda _: [bench.python(), "-c", theirs]),
        Case("curl-cold", "curl, cold", lambda _: post),
        Case(
            "ours-warm",
            "get_latest(), warm",
            lambda _: bench.child("check", data_dir=data_dir, count=many, **shared),
        ),
        Case("httpx-warm", "httpx.Client.post, warm", lambda _: bench.peer("httpx_check", count=many, **peer)),
    ]
    found = bench.measure(cases, rounds=5 if bench.quick else 15)
    for case in cases:
        own = {"wall": "own_wall", "cpu": "own_cpu"} if case.key.endswith("warm") else {}
        findings.lines.append(Line.of(f"{scheme}, {case.what}", found[case.key], **own))
    for way, wall, cpu in (("cold", "wall", "cpu"), ("warm", "own_wall", "own_cpu")):
        ours, theirs = found[f"ours-{way}"], found[f"httpx-{way}"]
        value = ours[wall].median / theirs[wall].median
        findings.ratios.append(
            Ratio(f"check/{scheme}/{way}", f"wall of a check over {scheme}, {way} / httpx", value, TARGET)
        )
        value = ours[cpu].median / theirs[cpu].median
        findings.ratios.append(Ratio(f"check/{scheme}/{way}/cpu", f"… CPU, {way} / httpx", value))
    value = found["ours-cold"]["wall"].median / found["curl-cold"]["wall"].median
    findings.ratios.append(Ratio(f"check/{scheme}/curl", f"wall of a check over {scheme}, cold / curl", value))
    for way, wall in (("cold", "wall"), ("warm", "own_wall")):
        names = (("get-latest", "ours"), ("httpx", "httpx"), *((("curl", "curl"),) if way == "cold" else ()))
        bars = tuple((label, found[f"{who}-{way}"][wall].median * 1000) for label, who in names)
        limit = TARGET * found[f"httpx-{way}"][wall].median * 1000
        findings.charts.append(Chart(f"one check over {scheme}, {way}", "ms", bars, ("get-latest",), limit))
