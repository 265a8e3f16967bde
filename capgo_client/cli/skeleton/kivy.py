"""An app with a window of Kivy, and what builds it for Android."""

from __future__ import annotations

from capgo_client.cli.skeleton.shared import Parts, project

__all__ = ["FILES"]

_BEFORE = """\
import os
from pathlib import Path

os.environ.setdefault("KIVY_NO_ARGS", "1")  # else Kivy takes the command line for its own

"""

_OPTIONS = """\
        reload=restart,  # a version that hangs is replaced at once, where the system lets an app start itself
"""

_LAUNCH = '''\
#: Opens the window, and closes it as soon as this version has proven itself and its check is over.
LAUNCH = """
import json, sys, start
from kivy.app import App
from kivy.clock import Clock
from capgo_client import current_updater


def leave(event):
    app = App.get_running_app()
    print(app.greeting)
    app.stop()


Clock.schedule_once(lambda _: current_updater().on("app_ready", leave))
start.main(**json.loads(sys.argv.pop()))
"""

if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
    os.environ.update(SDL_VIDEODRIVER="offscreen", KIVY_GL_BACKEND="mock")  # no screen: the window is nowhere
'''

_MAIN = '''\
"""The app. Everything in this folder can be updated, and is opened from wherever the newest good version lies."""

from importlib.resources import files

from kivy.app import App
from kivy.properties import StringProperty

# UpdateBanner is imported so that main.kv knows it by its name.
from capgo_client.integrations.kivy import LiveUpdates, UpdateBanner  # noqa: F401


class MainApp(LiveUpdates, App):
    """Its window is described in main.kv. It says that it works by itself, when its first frame is on the screen."""

    title = "@NAME@"
    greeting = StringProperty()

    def build(self):
        greeting = files("texts").joinpath("greeting.txt").read_text("utf-8").strip()
        self.greeting = f"{greeting} This is version {self.updater.current.version}."


def main():
    MainApp().run()
'''

_KV = """\
BoxLayout:
    orientation: "vertical"
    canvas.before:
        Color:
            rgb: 0.10, 0.25, 0.50
        Rectangle:
            pos: self.pos
            size: self.size
    # Takes no room while there is nothing to tell; then a bar, release notes, and a button that restarts the app.
    UpdateBanner:
    Label:
        text: app.greeting
        font_size: "24sp"
"""

_PHONE = '''\
"""Android and iOS start the file of this name; on a desktop use start.py, which is the same."""

from start import main

if __name__ == "__main__":
    main()
'''

_REQUIREMENTS = (
    "python3",
    "kivy==2.3.1",
    "openssl",
    "cryptography",
    "httpx",
    "httpcore",
    "h11",
    "anyio",
    "sniffio",
    "idna",
    "certifi",
    "typing_extensions",
    "platformdirs",
)
_SPEC = """\
# For Android: `buildozer android debug`, in this folder. Nobody has built it yet: what stands here follows from what
# the library needs and from what Buildozer and python-for-android say of themselves (docs/phones.md of capgo-client).

[app]
title = @NAME@
package.name = @PACKAGE@
# Android's id of the app. Capgo's is @APP_ID@, in start.py; Android takes no hyphens.
package.domain = @DOMAIN@

# Android starts main.py in this folder; app/ is what an update replaces. Until capgo-client is on PyPI, copy or link
# its folder capgo_client here. Its test kit and its command line have no business on a phone.
source.dir = .
source.include_exts = py,kv,txt,png,ttf
source.exclude_dirs = next,data,bin,tests,capgo_client/testing,capgo_client/cli
source.exclude_patterns = dev.py

# The builtin's version has one home, the start file: installer and Updater never disagree.
version.regex = version="([^"]+)"
version.filename = %(source.dir)s/start.py

# python-for-android installs what is named and nothing that it needs in turn, so everything is named. cryptography has
# to be 3.4.8 or newer: the recipe of python-for-android 2024.1.21 is too old, that of 2026.5.9 is not.
# No brotli: without it whole archives are downloaded instead of deltas. Name it where you have a recipe for it.
requirements = @REQUIREMENTS@

orientation = portrait
fullscreen = 0

# To ask the service, and nothing else.
android.permissions = INTERNET
# The builtin as you wrote it: what an update shares with it need not be downloaded, if brotli is there.
android.no-byte-compile-python = True
# A backup on another phone would bring this one's id with it, and old versions.
android.allow_backup = False
android.archs = arm64-v8a,armeabi-v7a

[buildozer]
log_level = 2
""".replace("@REQUIREMENTS@", ",".join(_REQUIREMENTS))

FILES = project(
    Parts(
        before=_BEFORE,
        launcher="restart, run",
        options=_OPTIONS,
        launch=_LAUNCH,
        test_imports="import os\n",
        requires='"capgo-client[kivy]"',
        pip="'capgo-client[kivy]'",
        test_remark="       # in windows, or without a screen (on Debian that needs libegl1 and libgl1-mesa-dri)",
        rows=(
            "| `main.py` | the same as `start.py`, for phones, which start the file of this name |\n"
            "| `buildozer.spec` | for Android, with what each line is for |\n"
        ),
        seeing=(
            "`python dev.py` opens the app. Its banner shows the update coming, then a button: a\n"
            "click on it opens the new version."
        ),
        ignored=".buildozer/\nbin/\n",
        files={"app/main.py": _MAIN, "app/main.kv": _KV, "main.py": _PHONE, "buildozer.spec": _SPEC},
    )
)
