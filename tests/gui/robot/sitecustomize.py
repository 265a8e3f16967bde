"""Plays the person before the screen, in the process of an example that a test has started (``PYTHONPATH`` finds it).

Looks at the window again and again, as a person would: notes what is new, presses the button where ``ROBOT_PRESSES``
says so, and closes the window when there is nothing left to see. What it saw goes to ``ROBOT_NOTES``, a line each.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

GLANCE_MS = 20


class Person:
    """What all toolkits have in common. ``window`` is the toolkit's side of it."""

    def __init__(self, eyes):
        self.eyes = eyes
        self.noted = []
        self.shots = 0
        self.moves = [eyes.put_away, eyes.take_back]

    def note(self, **seen):
        if not self.noted or self.noted[-1] != seen:
            self.noted.append(seen)
            with Path(os.environ["ROBOT_NOTES"]).open("a", encoding="utf-8") as file:
                file.write(json.dumps({"pid": os.getpid(), **seen}) + "\n")

    def look(self):
        """Once; whether to go on looking."""
        title, progress, button = self.eyes.title(), self.eyes.progress(), self.eyes.button()
        if title is None:
            return True
        self.note(title=title, progress=progress, button=button)
        if os.environ.get("ROBOT_AWAY") == "1" and self.moves:
            self.moves.pop(0)()
            return True
        if button and os.environ.get("ROBOT_PRESSES") == "1":
            self.picture("arrived")
            self.eyes.press()
            return False
        if button or title.endswith(os.environ["ROBOT_GOAL"]):
            self.picture("last")
            self.eyes.close()
            return False
        if progress is not None and not self.shots:
            self.picture("progress")
        return True

    def picture(self, name):
        self.shots += 1
        version = self.eyes.title().split()[-1]
        self.eyes.picture(str(Path(os.environ["ROBOT_NOTES"]).with_name(f"{version}-{name}.png")))


class QtEyes:
    """PySide6."""

    def __init__(self):
        from PySide6.QtWidgets import QApplication

        self.widgets, self.window = QApplication.topLevelWidgets, None
        self.finish = QApplication.processEvents
        run = QApplication.exec

        def watched(*args):
            from PySide6.QtCore import QTimer

            person, self.timer = Person(self), QTimer()
            self.timer.timeout.connect(lambda: None if person.look() else self.timer.stop())
            self.timer.start(GLANCE_MS)
            return run()

        QApplication.exec = watched

    def title(self):
        self.window = self.window or next((each for each in self.widgets() if each.isVisible() and each.was_seen), None)
        return None if self.window is None else self.window.title.text()

    def progress(self):
        return self.window.bar.value() if self.window.bar.isVisible() else None

    def button(self):
        return self.window.button.text() if self.window.button.isVisible() else ""

    def press(self):
        self.window.button.click()

    def close(self):
        self.window.close()

    def put_away(self):
        self.timer.stop()
        self.window.showMinimized()
        self.finish()  # what the screen says to it comes later, and would undo what is done meanwhile
        self.timer.start()

    def take_back(self):
        self.window.showNormal()

    def picture(self, path):
        self.window.grab().save(path)


class TkEyes:
    """tkinter; a picture is the whole screen, as the X server has it."""

    def __init__(self):
        import tkinter as tk

        run = tk.Tk.mainloop

        def watched(window, *args):
            self.window, person = window, Person(self)

            def look():
                if person.look():
                    window.after(GLANCE_MS, look)

            window.after(GLANCE_MS, look)
            run(window, *args)

        tk.Tk.mainloop = watched

    def title(self):
        return self.window.label["text"] if self.window.was_seen else None

    def progress(self):
        return int(self.window.bar["value"]) if self.window.bar.winfo_ismapped() else None

    def button(self):
        return self.window.button["text"] if self.window.button.winfo_ismapped() else ""

    def press(self):
        self.window.button.invoke()

    def close(self):
        self.window.destroy()

    def put_away(self):
        self.window.withdraw()  # there is no window manager that could make it an icon

    def take_back(self):
        self.window.deiconify()

    def picture(self, path):
        self.window.update()
        shutil.copy(os.environ["ROBOT_SCREEN"], Path(path).with_suffix(".xwd"))


class PygameEyes:
    """pygame."""

    def __init__(self):
        import pygame

        self.pygame = pygame
        show, people = pygame.display.flip, []

        def watched():
            show()
            self.game = sys._getframe(1).f_locals["self"]
            if not people:
                people.append(Person(self))
            elif people[0] is not None and not people[0].look():
                people[0] = None

        pygame.display.flip = watched

    def title(self):
        return f"Version {self.game.updater.current.version}"

    def progress(self):
        return self.game.percent or None

    def button(self):
        return self.game.offer

    def press(self):
        self.pygame.event.post(self.pygame.event.Event(self.pygame.KEYDOWN, key=self.pygame.K_r))

    def close(self):
        self.pygame.event.post(self.pygame.event.Event(self.pygame.QUIT))

    def put_away(self):
        self.pygame.event.post(self.pygame.event.Event(self.pygame.WINDOWMINIMIZED))

    def take_back(self):
        self.pygame.event.post(self.pygame.event.Event(self.pygame.WINDOWRESTORED))

    def picture(self, path):
        self.pygame.image.save(self.pygame.display.get_surface(), path)


EYES = {"qt": QtEyes, "tk": TkEyes, "pygame": PygameEyes}
if os.environ.get("ROBOT") in EYES and sys.argv[1:2]:
    EYES[os.environ["ROBOT"]]()
