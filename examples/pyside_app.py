"""A PySide6 app that updates itself.

    pip install "PySide6>=6.7"
    python examples/pyside_app.py           # plays with it, against a service on this machine

To make a project of it, put the first part into ``app/main.py``, which every update brings anew, and the second into
``start.py`` beside that folder, which ships with the installer and is never updated. What is run is ``start.py``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QCoreApplication, QEvent, Qt, QTimer
from PySide6.QtWidgets import QApplication, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from capgo_client import Event, Updater, current_updater
from capgo_client.launcher import restart, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtGui import QPaintEvent

# ---- app/main.py: what an update replaces ----------------------------------------------------------------------------

#: Where the next version differs.
COLOUR = "steelblue"


class Window(QWidget):
    """Shows which version it is, how the next one arrives, and a button that changes over to it."""

    def __init__(self, updater: Updater) -> None:
        super().__init__()
        self.updater = updater
        self.was_seen = self.is_away = self.wants_restart = False
        self.setWindowTitle("An app that updates itself")
        self.resize(420, 220)
        self.setStyleSheet(f"Window {{ background: {COLOUR}; }} QLabel {{ color: white; font-size: 28px; }}")
        self.title = QLabel(f"Version {updater.current.version}", alignment=Qt.AlignmentFlag.AlignCenter)
        self.bar = QProgressBar(visible=False)
        self.button = QPushButton("Restart", visible=False)
        self.button.clicked.connect(self.change_over)
        layout = QVBoxLayout(self)
        for widget in (self.title, self.bar, self.button):
            layout.addWidget(widget)
        # ``dispatch`` in the start file brings these calls into Qt's own thread, so they may touch what they like.
        updater.on("download", self.show_progress)
        updater.on("set_next", self.show_arrival)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 - Qt's name
        super().paintEvent(event)
        if not self.was_seen:
            self.was_seen = True
            # The first picture is on the screen: this version works. One that never draws it is taken back.
            QTimer.singleShot(0, self.updater.notify_app_ready)

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802 - Qt's name
        super().changeEvent(event)
        if event.type() == QEvent.Type.WindowStateChange and self.isMinimized() != self.is_away:
            self.is_away = self.isMinimized()
            # To come back asks the service, as a start does. (On a phone: ``applicationStateChanged``.)
            (self.updater.moved_to_background if self.is_away else self.updater.moved_to_foreground)()

    def show_progress(self, event: Event) -> None:
        self.bar.setVisible(True)
        self.bar.setValue(event.percent)

    def show_arrival(self, event: Event) -> None:
        self.bar.setVisible(False)
        self.button.setText(f"Restart into version {event.bundle.version}")
        self.button.setVisible(True)

    def change_over(self) -> None:
        """Whoever does not press the button gets the new version at the next start."""
        self.wants_restart = True
        self.close()


def main() -> None:
    app, updater = QApplication([]), current_updater()
    window = Window(updater)

    def broken(_: type[BaseException], exc: BaseException, __: object) -> None:
        crashes.append(exc)
        app.exit(1)

    crashes: list[BaseException] = []
    # PySide prints what a slot raises and goes on. Here it ends the app: before "ready" the launcher takes this version
    # back and opens the good one at once, and a version that crashes three launches in a row is taken back as well.
    sys.excepthook = broken
    window.show()
    app.exec()
    sys.excepthook = sys.__excepthook__
    if crashes:
        raise crashes[0]
    if window.wants_restart:
        restart()  # what is to be saved was saved when the window closed


# ---- start.py: ships with the installer, never updated ---------------------------------------------------------------


def to_qt(call: Callable[[], None]) -> None:
    """Have ``call`` run in Qt's thread, from whichever thread this is."""
    QTimer.singleShot(0, QCoreApplication.instance(), call)


def start(app: Path, **options: Any) -> None:
    """Run the newest good version of what lies in ``app``. A real start file has options of its own, or none."""
    updater = Updater("com.example.pyside", "1.0.0", app, entry="main.py", dispatch=to_qt, **options)
    run(updater, "main:main")


# ---- the demo: plays the device, the service and the publisher; no part of an app ------------------------------------


def demo() -> None:
    """Start it twice; the second start opens what the first one fetched. Close the window to go on."""
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
