"""The start file: it ships with the installer, is never updated, and does little, so that little can go wrong.

It opens the newest good version of what lies in ``app/``; see README.md for what to try.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("KIVY_NO_ARGS", "1")  # else Kivy takes the command line for its own

from capgo_client import Updater
from capgo_client.launcher import restart, run

FOLDER = Path(__file__).resolve().parent


def main(arguments: list[str] | None = None) -> object:
    parser = argparse.ArgumentParser(description="Notes, an example of an app that updates itself.")
    parser.add_argument("--service", metavar="URL", help="ask this service, as serve.py prints it, instead of Capgo's")
    parser.add_argument("--data-dir", metavar="DIR", help="keep everything there, instead of this user's data folder")
    options = parser.parse_args(arguments)
    urls = {}
    if options.service:
        paths = {"update_url": "updates", "stats_url": "stats", "channel_url": "channel_self"}
        urls = {name: f"{options.service}/{path}" for name, path in paths.items()}
    updater = Updater(
        app_id="com.example.notes",
        version="1.0.0",  # of what lies in app/ when the installer is built
        builtin=FOLDER / "app",
        entry="main.py",
        # Give your key as well, in public_key: from then on nothing unsigned is ever opened.
        reload=restart,  # a version that hangs is replaced at once, where the system lets an app start itself
        data_dir=options.data_dir,
        **urls,
    )
    return run(updater, "main:main")


if __name__ == "__main__":
    main()
