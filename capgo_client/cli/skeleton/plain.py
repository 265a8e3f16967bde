"""An app without a toolkit: it prints."""

from __future__ import annotations

from capgo_client.cli.skeleton.shared import Parts, project

__all__ = ["FILES"]

_MAIN = '''\
"""The app. Everything in this folder can be updated, and is opened from wherever the newest good version lies."""

from importlib.resources import files

from capgo_client import current_updater


def main():
    updater = current_updater()
    greeting = files("texts").joinpath("greeting.txt").read_text("utf-8").strip()
    print(f"{greeting} This is version {updater.current.version}.")

    # Say so when the app works: its window is drawn, its first page is served. A version that never does is taken back.
    updater.notify_app_ready()

    updater.wait(10)  # an app with a main loop of its own runs that instead
    if updater.next_bundle:
        print(f"Version {updater.next_bundle.version} opens at the next start.")
'''

FILES = project(Parts(files={"app/main.py": _MAIN}))
