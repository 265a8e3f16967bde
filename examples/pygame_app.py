"""A pygame game that updates itself.

    pip install pygame
    python examples/pygame_app.py           # plays with it, against a service on this machine

To make a project of it, put the first part into ``app/main.py``, which every update brings anew, and the second into
``start.py`` beside that folder, which ships with the installer and is never updated. What is run is ``start.py``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
import pygame

from capgo_client import Event, Updater, current_updater
from capgo_client.launcher import restart, run

if TYPE_CHECKING:
    from collections.abc import Callable

# ---- app/main.py: what an update replaces ----------------------------------------------------------------------------

#: Where the next version differs.
COLOUR = "steelblue"
SIZE, FIELD = (420, 220), pygame.Rect(20, 70, 380, 110)
FRAMES_PER_SECOND = 60


class Game:
    """A ball; above it which version this is, below it how the next one arrives."""

    def __init__(self, updater: Updater) -> None:
        self.updater = updater
        self.is_over = self.wants_restart = False
        self.percent, self.offer = 0, ""
        pygame.display.init()
        pygame.font.init()
        pygame.display.set_caption("A game that updates itself")
        self.screen = pygame.display.set_mode(SIZE)
        self.large, self.small = pygame.font.Font(None, 44), pygame.font.Font(None, 24)
        self.ball, self.step = pygame.Vector2(60, 110), pygame.Vector2(3, 2)
        # ``dispatch`` in the start file makes these calls events of the game's own loop.
        updater.on("download", self.show_progress)
        updater.on("set_next", self.show_arrival)

    def show_progress(self, event: Event) -> None:
        self.percent = event.percent

    def show_arrival(self, event: Event) -> None:
        self.percent, self.offer = 0, f"Press R to restart into version {event.bundle.version}"

    def play(self) -> None:
        clock = pygame.time.Clock()
        is_first = True
        while not self.is_over:
            for event in pygame.event.get():
                self.take(event)
            self.move()
            self.draw()
            if is_first:
                is_first = False
                # The first picture is on the screen: this version works. One that never draws it is taken back.
                self.updater.notify_app_ready()
            clock.tick(FRAMES_PER_SECOND)

    def take(self, event: pygame.event.Event) -> None:
        if event.type == pygame.USEREVENT:
            event.call()
        elif event.type == pygame.QUIT:
            self.is_over = True
        elif event.type == pygame.KEYDOWN and event.key == pygame.K_r and self.offer:
            # Whoever does not press it gets the new version at the next start.
            self.is_over = self.wants_restart = True
        elif event.type in (pygame.WINDOWHIDDEN, pygame.WINDOWMINIMIZED, pygame.APP_DIDENTERBACKGROUND):
            self.updater.moved_to_background()
        elif event.type in (pygame.WINDOWRESTORED, pygame.APP_DIDENTERFOREGROUND):
            self.updater.moved_to_foreground()  # asks the service, as a start does

    def move(self) -> None:
        self.ball += self.step
        if not FIELD.left < self.ball.x < FIELD.right:
            self.step.x *= -1
        if not FIELD.top < self.ball.y < FIELD.bottom:
            self.step.y *= -1

    def draw(self) -> None:
        self.screen.fill(COLOUR)
        pygame.draw.circle(self.screen, "gold", self.ball, 16)
        self.screen.blit(self.large.render(f"Version {self.updater.current.version}", True, "white"), (20, 16))
        self.screen.blit(self.small.render(self.offer, True, "white"), (20, SIZE[1] - 28))
        pygame.draw.rect(self.screen, "white", (0, SIZE[1] - 6, SIZE[0] * self.percent // 100, 6))
        pygame.display.flip()


def main() -> None:
    game = Game(current_updater())
    game.play()  # what it raises is a crash of this version: nothing in pygame catches it
    pygame.quit()
    if game.wants_restart:
        restart()


# ---- start.py: ships with the installer, never updated ---------------------------------------------------------------


def to_pygame(call: Callable[[], None]) -> None:
    """Have ``call`` run in the game's loop, from whichever thread this is."""
    pygame.event.post(pygame.event.Event(pygame.USEREVENT, call=call))


def start(app: Path, **options: Any) -> None:
    """Run the newest good version of what lies in ``app``. A real start file has options of its own, or none."""
    updater = Updater("com.example.pygame", "1.0.0", app, entry="main.py", dispatch=to_pygame, **options)
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
