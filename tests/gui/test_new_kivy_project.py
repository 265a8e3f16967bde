"""The README's section in a window: the project of `capgo-client new --kivy`, on the screen, as a person sees it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import snippets
from two_terminals import ROOT, free_port, point_at, put_in_place, two_terminals, typed

from capgo_client.cli import main

HEADING = "Ten minutes, from an empty folder"
WINDOW = "The same in a window, with Kivy"
#: What main.kv and the banner draw in.
BLUE, ACCENT = (26, 64, 128), (140, 212, 255)
BUTTON = (716, 28)
BLACK = (0, 0, 0)


@pytest.fixture
def terminals(needs_kivy, screen, tmp_path):
    own = {
        "DISPLAY": screen.display,
        "KIVY_HOME": str(tmp_path / "kivy"),
        "KIVY_NO_FILELOG": "1",
        "LIBGL_ALWAYS_SOFTWARE": "1",
    }
    with two_terminals(tmp_path, **own) as both:
        yield both
    screen.wait_until_empty()


def in_a_window(command):
    """The commands of the first section, with those that the second gives in place of them."""
    given = [each for block in snippets.blocks("README.md", "sh") for each in snippets.commands(block.text)]
    for word in ("pip install", "capgo-client new"):
        if command.startswith(word):
            return next(each for each in given if each.startswith(word) and "kivy" in each)
    return command


class Person:
    """Sits before the screen, and clicks where there is something to click on."""

    def __init__(self, screen, terminal):
        self.screen, self.terminal = screen, terminal
        self.seen = []

    def open(self):
        """Start the app, and look until its window is drawn."""
        self.terminal.begin("python dev.py")
        self.look()

    def look(self):
        """Take the window in as it is without a banner."""
        text = {"left": 100, "right": 700, "top": 280, "bottom": 320}
        self.seen.append(
            self.screen.wait_for(
                lambda picture: (
                    picture.colour_at(400, 560) == picture.colour_at(*BUTTON) == BLUE
                    and picture.count((255, 255, 255), **text) > 100
                ),
                "the window with its greeting",
            )
        )

    def restart(self):
        """Click on the banner's button as soon as it is there."""
        self.seen.append(self.screen.wait_for(lambda picture: picture.colour_at(*BUTTON) == ACCENT, "the button"))
        self.screen.click(*BUTTON)
        self.look()

    def leave(self):
        """Close the window; what the terminal shows then."""
        self.screen.do("mousemove", 400, 300, "key", "Escape")
        return self.terminal.end()


def test_a_person_who_types_what_the_readme_says_sees_a_window_that_updates_itself(terminals, screen, tmp_path):
    port = free_port()
    person = Person(screen, terminals["first"])
    opened, said = 0, []
    for name, command, _ in typed("README.md", HEADING, port=port):
        if "pip install" in command:
            put_in_place(tmp_path / "empty" / ".venv")
        elif command.startswith("capgo-client serve"):
            terminals[name].serve(command)
        elif command == "python dev.py":
            opened += 1
            if opened in (3, 5):  # the second start, which the button spares
                continue
            person.open()
            if opened > 1:
                person.restart()
            said.append(person.leave())
        else:
            terminals[name].type(in_a_window(command).replace("-m venv .venv", "-m venv .venv --without-pip"))
        if command.startswith("capgo-client new"):
            point_at(port, tmp_path / "empty" / "notes" / "dev.py")

    hello, hello_again, button, evening, evening_again, button_again, back = person.seen
    keep_pictures(before=button, after=evening)
    assert looks(hello) == looks(hello_again) != looks(evening) == looks(evening_again) == looks(back)
    assert button.count(BLUE) > 300_000, "the app stays in sight"
    assert [len(each.splitlines()) > 0 for each in said], "Kivy tells what it does"
    assert "RuntimeError: broken" in said[-1]
    assert "Traceback" not in said[0] + said[1]
    assert button_again.count(ACCENT) > 1000
    current = terminals["first"].type("capgo-client current --app-id com.example.notes --data-dir data")
    assert current.startswith("1.0.1 (")


def looks(picture):
    """The part of a picture in which the greeting stands."""
    return [picture.row(y) for y in range(280, 320)]


def keep_pictures(**pictures):
    """For whoever wants to look at them: build/new-kivy-before.png, build/new-kivy-after.png."""
    folder = ROOT / "build"
    folder.mkdir(exist_ok=True)
    for name, picture in pictures.items():
        (folder / f"new-kivy-{name}.png").write_bytes(picture.png())


def test_the_readme_says_what_a_window_needs():
    text = snippets.section("README.md", HEADING).split(f"\n### {WINDOW}\n")[1]

    assert "capgo-client new notes --kivy" in text
    assert "[kivy]" in text


@pytest.fixture
def project(tmp_path, capsys):
    folder = tmp_path / "My notes"
    assert main(["new", str(folder), "--kivy", "--version", "2.3.4"]) == 0
    capsys.readouterr()
    return folder


def run(project, *command, display=""):
    """A command of the project's developer, or of CI, in its folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    own = {"DISPLAY": display, "KIVY_HOME": str(project.parent / "kivy"), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=project,
        env=kept | own | {"WAYLAND_DISPLAY": "", "LIBGL_ALWAYS_SOFTWARE": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.mark.usefixtures("needs_kivy")
@pytest.mark.parametrize("is_there", [True, False], ids=["a screen", "no screen"])
def test_the_tests_of_a_new_project_pass(project, request, is_there):
    screen = request.getfixturevalue("screen") if is_there else None

    done = run(
        project, "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--basetemp=base",
        display=screen.display if screen else "",
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 passed" in done.stdout
    if screen:
        screen.wait_until_empty()


@pytest.mark.usefixtures("needs_kivy")
def test_the_app_is_simulated_without_a_screen(project):
    faults = "http-503,app-crashes"

    done = run(project, "capgo_client", "simulate", "--app", "start.py", "--launches", "7", "--faults", faults)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Faults survived: 2 of 2." in done.stdout
    assert "good (as ordered: crash; then 2.3.4 opened)" in done.stdout
    assert "Launches: 7; opened: new version 2, old version 0, builtin 5, nothing 0." in done.stdout
