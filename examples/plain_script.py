"""A script that updates itself: one that is run, does its work and ends, by hand or every night by cron.

    python examples/plain_script.py         # plays with it, against a service on this machine

To make a project of it, put the first part into ``app/main.py``, which every update brings anew, and the second into
``start.py`` beside that folder, which ships with the installer and is never updated. What is run is ``start.py``.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from capgo_client import Updater, current_updater
from capgo_client.launcher import run

# ---- app/main.py: what an update replaces ----------------------------------------------------------------------------

#: Where the next version differs.
REPORT = "{free:.1f} GB free"


def main() -> None:
    updater = current_updater()
    disk = shutil.disk_usage(Path.home())
    print(
        f"[{updater.current.version}]",
        REPORT.format(free=disk.free / 1e9, total=disk.total / 1e9, percent=100 * disk.used / disk.total),
    )
    # The work is done, so this version works. One that raises before this line is taken back, and the version before
    # it does the work in the same run. A script that nobody reads should say so as late as possible.
    updater.notify_app_ready()

    # A script is gone before an update could come behind its back, so it stays a little when the work is done: three
    # seconds at most where nothing is new or nobody answers, as long as it says here where something comes.
    updater.wait(30)
    if updater.next_bundle:
        print(f"[{updater.next_bundle.version} does the work the next time]")


# ---- start.py: ships with the installer, never updated ---------------------------------------------------------------


def start(app: Path, **options: Any) -> None:
    """Run the newest good version of what lies in ``app``. A real start file has options of its own, or none."""
    updater = Updater("com.example.script", "1.0.0", app, entry="main.py", **options)
    run(updater, "main:main")


# ---- the demo: plays the device, the service and the publisher; no part of an app ------------------------------------


def demo() -> None:
    """Run it three times: the version of the installer, its successor, and that again because the third is broken."""
    from capgo_client.testing import Service, make_bundle

    first = Path(__file__).read_text("utf-8")
    second = first.replace('"{free:.1f} GB free"', '"{free:.1f} of {total:.1f} GB free, {percent:.0f} % in use"')
    broken = first.replace('"{free:.1f} GB free"', '"{fre:.1f} GB free"')
    with tempfile.TemporaryDirectory() as folder, Service() as service:
        app = Path(folder, "app")
        app.mkdir()
        (app / "main.py").write_text(first, "utf-8")
        urls = {name: getattr(service, name) for name in ("update_url", "stats_url", "channel_url")}
        options = json.dumps({"data_dir": f"{folder}/device", "trust_env": False, **urls})
        for version, code in ("2.0.0", second), ("3.0.0", broken), ("", ""):
            if version:
                service.publish(make_bundle(version, {"main.py": code}))
            print(f"\n$ python start.py{f'      # meanwhile {version} was published' if version else ''}", flush=True)
            subprocess.run([sys.executable, __file__, str(app), options], check=True)


if __name__ == "__main__":
    if sys.argv[1:]:  # the demo's own launches
        start(Path(sys.argv[1]), **json.loads(sys.argv[2]))
    else:
        demo()
