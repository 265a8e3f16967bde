"""Opens a Python app out of the bundle that an Updater chose, and the last good version where that one crashes.

The start file ships with the installer and stays outside the folder that is updated::

    from pathlib import Path

    from capgo_client import Updater
    from capgo_client.launcher import run

    if __name__ == "__main__":
        app = Path(__file__).resolve().parent / "app"
        run(Updater("com.example.notes", "1.4.0", app, entry="main.py"), "main:main")

What runs in the bundle reaches the Updater by ``capgo_client.current_updater()``, and says ``notify_app_ready()``.
"""

from __future__ import annotations

from capgo_client.launcher.launch import restart, restart_obstacle, run

__all__ = ["restart", "restart_obstacle", "run"]
