"""The app. Everything in this folder can be updated, and is opened from wherever the newest good version lies."""

from __future__ import annotations

from importlib.resources import files

from capgo_client import current_updater


def main() -> None:
    updater = current_updater()
    greeting = files("texts").joinpath("greeting.txt").read_text("utf-8").strip()
    print(f"{greeting} This is version {updater.current.version}.")

    # The app works. A version that never gets as far as this is taken back.
    updater.notify_app_ready()

    updater.wait(10)  # an app with a main loop of its own runs that instead
    if updater.next_bundle:
        print(f"Version {updater.next_bundle.version} opens at the next start.")
