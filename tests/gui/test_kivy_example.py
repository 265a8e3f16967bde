"""`examples/kivy_app` as a person sees it: in a real window, with real clicks."""

from __future__ import annotations

from pathlib import Path

import pytest

from capgo_client import BundleStatus, Updater
from capgo_client.testing import make_bundle

pytestmark = pytest.mark.usefixtures("needs_kivy")
ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "kivy_app"
#: The colours that notes.kv gives the window, and the banner's own.
BLUE, GREEN = (26, 64, 128), (20, 107, 56)
BANNER, ACCENT = (33, 38, 48), (140, 212, 255)
#: In the bar, and in the button that restarts.
BAR_ROW, BUTTON = 57, (716, 28)


@pytest.fixture
def device(capgo_service, tmp_path):
    return Device(capgo_service, tmp_path / "data")


class Device:
    def __init__(self, service, data):
        self.service, self.data = service, data
        self.arguments = ("--service", service.url, "--data-dir", data)

    def updater(self):
        urls = {name: getattr(self.service, name) for name in ("update_url", "stats_url", "channel_url")}
        return Updater("com.example.notes", "1.0.0", EXAMPLE / "app", data_dir=self.data, auto_update="off", **urls)

    def bring(self, version, **files):
        """Install and queue it, before the app is opened."""
        self.service.publish(make_bundle(version, {**contents("next"), **files}))
        with self.updater() as updater:
            updater.start()
            updater.set_next(updater.download(updater.get_latest()))


def contents(folder):
    return {path.name: path.read_bytes() for path in (EXAMPLE / folder).iterdir() if path.is_file()}


def test_the_update_is_seen_to_come_and_a_click_opens_it(screen, kivy_app, device, capgo_service):
    bundle = make_bundle("1.1.0", contents("next"))
    capgo_service.publish(bundle, comment="Strike out\nwhat you have.", link="https://example.com/notes")
    capgo_service.set_fault("slow-download", bytes_per_second=len(bundle.archive) / 4)

    app = kivy_app(EXAMPLE / "start.py", *device.arguments)
    before = screen.wait_for_colour(BLUE)
    lengths = watched_bar(screen)
    ready = screen.wait_for(lambda picture: picture.colour_at(*BUTTON) == ACCENT, "the button")

    assert before.count(GREEN) == 0
    assert lengths == sorted(lengths)
    assert len(set(lengths)) >= 4, "the bar moved"
    assert ready.count(BLUE) > 300_000, "the app stays in sight"
    screen.click(*BUTTON)
    after = screen.wait_for_colour(GREEN)

    assert after.count(GREEN) > 400_000
    assert after.count(BLUE) == after.count(BANNER) == 0
    capgo_service.wait_for_requests(2, on="updates")  # the new version is open, and asks
    screen.do("mousemove", 400, 300, "key", "Escape")
    assert app.ended() == 0, app.complained
    with device.updater() as updater:
        assert updater.start().version == "1.1.0"
        assert updater.current.status is BundleStatus.SUCCESS
    keep_pictures(before=ready, after=after)


def watched_bar(screen):
    """How long the bar was, look after look, until the button came."""
    lengths = []

    def is_ready(picture):
        if picture.colour_at(*BUTTON) == ACCENT:
            return True
        if picture.colour_at(12, BAR_ROW) == ACCENT:
            lengths.append(sum(colour == ACCENT for colour in picture.row(BAR_ROW)))
        return False

    screen.wait_for(is_ready, "the end of the download")
    return lengths


def keep_pictures(**pictures):
    """For whoever wants to look at them: build/kivy-before.png, build/kivy-after.png."""
    folder = ROOT / "build"
    folder.mkdir(exist_ok=True)
    for name, picture in pictures.items():
        (folder / f"kivy-{name}.png").write_bytes(picture.png())


@pytest.mark.parametrize(
    ("notes", "height"),
    [({}, 56), ({"comment": "Strike out what you have."}, 86), ({"link": "https://a.example/"}, 92)],
)
def test_release_notes_take_room_only_where_there_are_some(screen, kivy_app, device, notes, height):
    device.service.publish(make_bundle("1.1.0", contents("next")), **notes)

    kivy_app(EXAMPLE / "start.py", *device.arguments)
    ready = screen.wait_for(lambda picture: picture.colour_at(*BUTTON) == ACCENT, "the button")

    banner = next(y for y in range(ready.height) if ready.colour_at(4, y) == BLUE)
    assert abs(banner - height) <= 6
    written = ready.count((255, 255, 255), left=12, right=300, top=60, bottom=banner)
    assert (written > 0) == bool(notes)


def test_a_version_that_crashes_in_build_is_replaced_on_the_screen(screen, kivy_app, device):
    crash = contents("next")["main.py"].replace(b"return Notes()", b"raise RuntimeError('no notes')")
    device.bring("1.1.0", **{"main.py": crash})

    app = kivy_app(EXAMPLE / "start.py", *device.arguments)
    screen.wait_for_colour(BLUE)

    assert "RuntimeError: no notes" in app.complained
    screen.do("mousemove", 400, 300, "key", "Escape")
    assert app.ended() == 0
    with device.updater() as updater:
        assert updater.start().is_builtin
        assert updater.failed_update().version == "1.1.0"


def test_phones_start_main_py_and_see_the_same(screen, kivy_app, device):
    app = kivy_app(EXAMPLE / "main.py", *device.arguments)

    screen.wait_for_colour(BLUE)
    screen.do("mousemove", 400, 300, "key", "Escape")
    assert app.ended() == 0, app.complained


def test_the_source_tree_can_be_opened_whatever_is_installed(screen, kivy_app, device):
    device.bring("1.1.0")

    app = kivy_app(EXAMPLE / "start.py", *device.arguments, CAPGO_CLIENT_FORCE_BUILTIN="1")
    screen.wait_for_colour(BLUE)
    screen.do("mousemove", 400, 300, "key", "Escape")

    assert app.ended() == 0, app.complained


def test_serve_py_offers_the_next_version(screen, kivy_app, tmp_path):
    served = kivy_app(EXAMPLE / "serve.py", "--port", 0)
    served.wait_for_line("--service http")
    url = served.printed.split()[-1]

    kivy_app(EXAMPLE / "start.py", "--service", url, "--data-dir", tmp_path / "data")
    screen.wait_for(lambda picture: picture.colour_at(*BUTTON) == ACCENT, "the button")
    screen.click(*BUTTON)

    screen.wait_for_colour(GREEN)
