"""The examples with a window, in the real toolkit: what a person sees and does there, and what the service is told."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import pytest
from example_device import ExampleDevice, left_as_it_was, run_quietly
from x_screen import Picture, missing

ROBOT = Path(__file__).with_name("robot")
STEEL_BLUE, SEA_GREEN = (70, 130, 180), (46, 139, 87)


@dataclass(frozen=True)
class Toolkit:
    module: str
    example: str
    robot: str
    environment: dict[str, str] = field(default_factory=dict)
    #: Where the next version differs from the one in the installer.
    colour: tuple[str, str] = ('COLOUR = "steelblue"', 'COLOUR = "seagreen"')
    #: A statement in what shows the progress.
    showing: str = ""
    #: What it prints itself, and no mistake.
    chatter: str = ""


QT = Toolkit(
    "PySide6",
    "pyside_app.py",
    "qt",
    {"QT_QPA_PLATFORM": "offscreen"},
    showing="self.bar.setValue(event.percent)",
    chatter="This plugin does not support propagateSizeHints()\n",
)
TK = Toolkit("tkinter", "tkinter_app.py", "tk", showing='self.bar["value"] = event.percent')
PYGAME = Toolkit(
    "pygame",
    "pygame_app.py",
    "pygame",
    {"SDL_VIDEODRIVER": "dummy", "PYGAME_HIDE_SUPPORT_PROMPT": "1"},
    showing="self.percent = event.percent",
)


@pytest.fixture(params=[QT, TK, PYGAME], ids=lambda toolkit: toolkit.module)
def toolkit(request):
    if find_spec("PySide6") is None:  # also where tkinter comes with Python: `make test` has no time for windows
        missing("PySide6 is not installed here; make gui installs it")
    if find_spec(request.param.module) is None:
        missing(f"{request.param.module} is not there: the package python3-tk is not installed")
    return request.param


class Desk(ExampleDevice):
    """A device with somebody before it."""

    def __init__(self, toolkit, environment, folder, service):
        super().__init__(toolkit.example, folder, service)
        self.toolkit, self.environment = toolkit, environment
        self.notes, self.pictures = folder / "notes", folder

    def watch(self, *, goal, presses=False, goes_away=False):
        """Launch it and look until the version `goal` is there; returns what was seen, each change once."""
        self.notes.unlink(missing_ok=True)
        done = self.launch(**self.person(goal, presses=presses, goes_away=goes_away))
        self.printed = done.stdout
        self.complaints = done.stderr.replace(self.toolkit.chatter, "") if self.toolkit.chatter else done.stderr
        assert done.returncode == 0, done
        return [json.loads(line) for line in self.notes.read_text("utf-8").splitlines()]

    def person(self, goal, *, presses=False, goes_away=False):
        told = {"ROBOT_GOAL": goal, "ROBOT_PRESSES": str(int(presses)), "ROBOT_AWAY": str(int(goes_away))}
        return self.environment | told | {"ROBOT_NOTES": str(self.notes), "PYTHONPATH": str(ROBOT)}

    def colours(self, name):
        """Of the picture of that name: the paper's, and how many others there are."""
        picture = next(self.pictures.glob(f"{name}.*"))
        rows = from_screen(picture) if picture.suffix == ".xwd" else from_file(picture)
        return rows[2][2], len({colour for row in rows for colour in row})


def from_screen(path):
    """The rows of the whole screen."""
    picture = Picture(path.read_bytes())
    return [picture.row(y) for y in range(picture.height)]


def from_file(path):
    """The rows of a PNG, by whichever of the toolkits can read it."""
    if find_spec("PySide6") is not None:
        from PySide6.QtGui import QImage

        image = QImage(str(path))
        return [
            [image.pixelColor(x, y).getRgb()[:3] for x in range(0, image.width(), 2)]
            for y in range(0, image.height(), 2)
        ]
    import pygame

    image = pygame.image.load(str(path))
    return [[tuple(image.get_at((x, y)))[:3] for x in range(image.get_width())] for y in range(image.get_height())]


@pytest.fixture
def environment(toolkit, request):
    told = {}
    if toolkit is TK:
        screen = request.getfixturevalue("screen")
        told = {"DISPLAY": screen.display, "ROBOT_SCREEN": str(screen.dump)}
    return {"ROBOT": toolkit.robot, **toolkit.environment, **told}


@pytest.fixture
def desk(toolkit, environment, tmp_path, capgo_service):
    device = Desk(toolkit, environment, tmp_path / "device", capgo_service)
    yield device
    assert left_as_it_was(device.file)


def test_whoever_presses_the_button_sees_the_next_version_in_the_same_process(desk):
    desk.publish("2.0.0", desk.toolkit.colour)

    seen = desk.watch(goal="2.0.0", presses=True)

    assert (seen[0]["title"], seen[0]["button"]) == ("Version 1.0.0", "")
    assert [each["button"].endswith("estart into version 2.0.0") for each in seen if each["button"]] == [True]
    assert seen[-1]["title"] == "Version 2.0.0"
    assert len({each["pid"] for each in seen}) == 1
    paper, inks = desk.colours("1.0.0-arrived")
    assert (paper, inks > 5) == (STEEL_BLUE, True)
    paper, inks = desk.colours("2.0.0-last")
    assert (paper, inks > 5) == (SEA_GREEN, True)
    assert (desk.printed, desk.complaints) == ("", "")

    desk.tell()
    assert desk.told("app_launch_ready") == ["1.0.0", "2.0.0"]
    assert desk.told("set") == ["2.0.0"]


def test_whoever_does_not_press_it_sees_it_at_the_next_start(desk):
    desk.publish("2.0.0", desk.toolkit.colour)

    assert {each["title"] for each in desk.watch(goal="2.0.0")} == {"Version 1.0.0"}
    assert {each["title"] for each in desk.watch(goal="2.0.0")} == {"Version 2.0.0"}

    assert desk.colours("2.0.0-last")[0] == SEA_GREEN
    desk.tell()
    assert desk.told("app_launch_ready") == ["1.0.0", "2.0.0"]


def test_a_version_that_crashes_before_its_first_picture_is_taken_back_in_the_same_start(desk):
    desk.publish("2.0.0", ("self.updater.notify_app_ready", "self.updater.notify_app_reddy"))
    desk.watch(goal="2.0.0")

    seen = desk.watch(goal="1.0.0")

    assert {each["title"] for each in seen} == {"Version 1.0.0"}
    assert "AttributeError" in desk.complaints
    desk.tell()
    assert desk.told("update_fail") == ["2.0.0"]
    assert desk.told("app_launch_ready") == ["1.0.0", "1.0.0"]


def test_the_bar_moves_while_the_update_comes_and_only_the_toolkits_own_thread_moves_it(desk, capgo_service):
    # What a callback raises is logged and harms nothing; the bar would not move then.
    thread = "__import__('threading')"
    own = f"assert {thread}.current_thread() is {thread}.main_thread(); {desk.toolkit.showing}"
    desk.ship((desk.toolkit.showing, own))
    desk.publish("2.0.0", desk.toolkit.colour)
    with capgo_service.fault("slow-download", on="download", bytes_per_second=3000.0):
        seen = desk.watch(goal="2.0.0")

    percents = [each["progress"] for each in seen if each["progress"] is not None]
    assert len(percents) >= 3
    assert percents == sorted(percents)
    assert all(0 <= percent <= 100 for percent in percents)
    assert desk.complaints == ""
    assert desk.colours("1.0.0-progress")[0] == STEEL_BLUE


def test_the_service_is_told_when_the_window_is_put_away_and_comes_back(desk):
    desk.watch(goal="1.0.0", goes_away=True)

    desk.tell()
    moves = [event["action"] for event in desk.events() if event["action"].startswith("app_moved")]
    # One more for each launch: that of the app, and that by which the test has the statistics sent.
    assert moves == ["app_moved_to_foreground", "app_moved_to_background", *["app_moved_to_foreground"] * 2]


def test_it_shows_by_itself_how_it_is_updated(desk, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    own = {"TMPDIR": str(home), "HOME": str(home), **desk.person("2.0.0")}

    done = run_quietly([sys.executable, str(desk.file)], tmp_path, **own)

    assert done.returncode == 0, done
    assert done.stdout.splitlines() == [
        "The first start. Close the window to go on.",
        "The second start. Close the window to go on.",
    ]
    titles = [json.loads(line)["title"] for line in desk.notes.read_text("utf-8").splitlines()]
    assert (titles[0], titles[-1]) == ("Version 1.0.0", "Version 2.0.0")
    assert list(home.glob("tmp*")) == []
