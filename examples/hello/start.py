"""The start file: it ships inside the installer, is never updated, and does little, so that little can go wrong.

It opens whichever version of ``app/`` is the best on this device. Without options it asks Capgo's own service, where
nobody has an app of this id; the demo points it at a service on loopback. Run it by hand to see what it prints:

    python examples/hello/start.py --data-dir /tmp/hello
"""

from __future__ import annotations

import argparse
import json
import runpy
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from capgo_client import Updater

HERE = Path(__file__).resolve().parent


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A small app that keeps itself up to date.")
    parser.add_argument("--service", help="base URL of an update service; default: Capgo's own")
    parser.add_argument("--public-key", help="path of the publisher's public key; default: none")
    parser.add_argument("--data-dir", help="where downloaded versions are kept; default: this user's data folder")
    parser.add_argument("--mode", default="atBackground", help="auto_update: off, atBackground, always, …")
    parser.add_argument("--stay", type=float, default=10.0, help="seconds to stay open for the update check, at most")
    parser.add_argument("--report", type=Path, help="write what happened to this file, as JSON")
    return parser.parse_args()


def build_updater(options: argparse.Namespace) -> Updater:
    urls: dict[str, Any] = {}
    if options.service:
        endpoints = {"update_url": "updates", "stats_url": "stats", "channel_url": "channel_self"}
        urls = {name: f"{options.service}/{path}" for name, path in endpoints.items()}
    return Updater(
        app_id="com.example.hello",
        version="1.0.0",
        builtin=HERE / "app",
        entry="main.py",
        auto_update=options.mode,
        public_key=options.public_key,
        data_dir=options.data_dir,
        **urls,
    )


def main() -> None:
    options = parse_options()
    updater = build_updater(options)
    facts: dict[str, Any] = {}
    try:
        with updater:  # an exception that leaves this block before "ready" rolls the version back
            began = time.perf_counter()
            bundle = updater.start()
            facts |= {"seconds": time.perf_counter() - began, "started_at": time.monotonic()}
            facts |= {"version": bundle.version, "path": str(bundle.path)}
            print(f"[start() took {facts['seconds']:.3f} s and opened {bundle.version}]", flush=True)
            write(options.report, facts)
            run(bundle.path)
            updater.wait(options.stay)  # a real app has a main loop here
            facts["left_at"] = time.monotonic()
    finally:
        explanation = updater.explain()
        print(explanation, flush=True)
        write(options.report, facts | {"explain": asdict(explanation)})


def run(folder: Path | None) -> None:
    """Run the version in ``folder`` in this process."""
    if folder is None:
        sys.exit("the folder app/ is missing: this installation is broken")
    sys.path.insert(0, str(folder))
    runpy.run_path(str(folder / "main.py"), run_name="__main__")


def write(report: Path | None, facts: dict[str, Any]) -> None:
    if report is not None:
        report.write_text(json.dumps(facts), "utf-8")


if __name__ == "__main__":
    main()
