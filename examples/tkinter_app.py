"""A tkinter app that updates itself.

    python examples/tkinter_app.py          # plays with it, against a service on this machine

To make a project of it, put the first part into ``app/main.py``, which every update brings anew, and the second into
``start.py`` beside that folder, which ships with the installer and is never updated. What is run is ``start.py``.
"""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import tempfile
import tkinter as tk
from pathlib import Path
from tkinter import ttk
from typing import TYPE_CHECKING, Any

from capgo_client import Event, Updater, current_updater
from capgo_client.launcher import restart, run

if TYPE_CHECKING:
    from types import TracebackType

# ---- app/main.py: what an update replaces ----------------------------------------------------------------------------

#: Where the next version differs.
COLOUR = "steelblue"
#: How often the window looks for news of the updater (milliseconds).
GLANCE = 100


class Window(tk.Tk):
    """Shows which version it is, how the next one arrives, and a button that changes over to it."""

    def __init__(self, updater: Updater) -> None:
        super().__init__(className="Updating")
        self.updater = updater
        self.was_seen = self.wants_restart = False
        self.crash: BaseException | None = None
        self.news: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.title("An app that updates itself")
        self.geometry("420x220")
        self.configure(background=COLOUR)
        self.label = tk.Label(
            self, text=f"Version {updater.current.version}", font=("Helvetica", 28), fg="white", bg=COLOUR
        )
        self.bar = ttk.Progressbar(self)
        self.button = tk.Button(self, command=self.change_over)
        self.label.pack(expand=True)
        self.bind("<Map>", self.is_shown)
        self.bind("<Unmap>", self.is_hidden)
        # Only the thread that made a window may touch it. So the updater's thread fills a queue, and the window empties
        # it; a ``dispatch`` that calls ``after()`` from the other thread is no way round that.
        updater.on("download", self.news.put)
        updater.on("set_next", self.news.put)
        self.after(GLANCE, self.look_for_news)

    def look_for_news(self) -> None:
        while not self.news.empty():
            event = self.news.get()
            if event.name == "download":
                self.bar.pack(fill="x", padx=10, pady=10)
                self.bar["value"] = event.percent
            elif event.bundle is not None:
                self.bar.pack_forget()
                self.button["text"] = f"Restart into version {event.bundle.version}"
                self.button.pack(fill="x", padx=10, pady=10)
        self.after(GLANCE, self.look_for_news)

    def is_shown(self, event: tk.Event[tk.Misc]) -> None:
        if event.widget is not self:
            return
        if self.was_seen:
            self.updater.moved_to_foreground()  # asks the service, as a start does
            return
        self.was_seen = True
        self.update_idletasks()
        # The window is drawn and on the screen: this version works. One that never gets there is taken back.
        self.updater.notify_app_ready()

    def is_hidden(self, event: tk.Event[tk.Misc]) -> None:
        if event.widget is self:
            self.updater.moved_to_background()

    def change_over(self) -> None:
        """Whoever does not press the button gets the new version at the next start."""
        self.wants_restart = True
        self.destroy()

    def report_callback_exception(self, _: type[BaseException], exc: BaseException, __: TracebackType | None) -> None:
        """Tk would print what a callback raises and go on; here it ends the app.

        Before "ready" the launcher takes this version back then, and opens the good one at once; a version that crashes
        three launches in a row is taken back as well.
        """
        self.crash = exc
        self.destroy()


def main() -> None:
    window = Window(current_updater())
    window.mainloop()
    if window.crash:
        raise window.crash
    if window.wants_restart:
        restart()  # what is to be saved was saved when the window closed


# ---- start.py: ships with the installer, never updated ---------------------------------------------------------------


def start(app: Path, **options: Any) -> None:
    """Run the newest good version of what lies in ``app``. A real start file has options of its own, or none."""
    updater = Updater("com.example.tkinter", "1.0.0", app, entry="main.py", **options)
    run(updater, "main:main")


# ---- the demo: plays the device, the service and the publisher; no part of an app ------------------------------------


def demo() -> None:
    """Start it twice; the second start opens what the first one fetched."""
    from capgo_client.testing import Service, make_bundle

    first = Path(__file__).read_text("utf-8")
    second = first.replace('COLOUR = "steelblue"', 'COLOUR = "seagreen"')
    with tempfile.TemporaryDirectory() as folder, Service() as service:
        app = Path(folder, "app")
        app.mkdir()
        (app / "main.py").write_text(first, "utf-8")
        service.publish(make_bundle("2.0.0", {"main.py": second}))
        urls = {name: getattr(service, name) for name in ("update_url", "stats_url", "channel_url")}
        options = json.dumps({"data_dir": f"{folder}/device", "trust_env": False, **urls})
        for which in ("first", "second"):
            print(f"The {which} start. Close the window to go on.", flush=True)
            subprocess.run([sys.executable, __file__, str(app), options], check=True)


if __name__ == "__main__":
    if sys.argv[1:]:  # the demo's own launches
        start(Path(sys.argv[1]), **json.loads(sys.argv[2]))
    else:
        demo()
