"""The start file: it ships with the installer, is never updated, and does little, so that little can go wrong.

It opens the newest good version of what lies in ``app/``. Run it by hand to see what it prints:

    python examples/start_file/start.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from capgo_client import Updater
from capgo_client.launcher import run

APP = Path(__file__).resolve().parent / "app"


def main(**options: Any) -> object:
    """Open the app. The tests give options of their own, such as the address of a service on loopback."""
    updater = Updater(
        app_id="com.example.notes",
        version="1.0.0",  # of what lies in app/ when the installer is built
        builtin=APP,
        entry="main.py",
        **options,
    )
    return run(updater, "main:main")


if __name__ == "__main__":
    main()
