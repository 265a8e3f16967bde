"""docs/kivy.md and the files of the example that no window shows."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "kivy_app"
TEXT = (ROOT / "docs" / "kivy.md").read_text("utf-8")
BLOCKS = dict(re.findall(r"^```python\n# ([\w./]+)\n(.+?)^```", TEXT, re.MULTILINE | re.DOTALL))
#: Puts the tests' service in the place of Capgo's, and the data where they are removed.
PLACES = "from capgo_client import Updater\nUpdater.__init__.__kwdefaults__.update({defaults!r})\n"
WHITE = (255, 255, 255)


@pytest.fixture
def written(tmp_path, capgo_service):
    """The folder with the blocks in it, and what makes a process use it."""
    urls = {name: getattr(capgo_service, name) for name in ("update_url", "stats_url", "channel_url")}
    defaults = {"data_dir": str(tmp_path / "data"), **urls}
    for name, code in {**BLOCKS, "places/sitecustomize.py": PLACES.format(defaults=defaults)}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(code, "utf-8")
    return tmp_path


def test_every_block_has_a_name():
    assert TEXT.count("```python") == len(BLOCKS) == 3


@pytest.mark.usefixtures("needs_kivy")
def test_the_code_in_the_document_opens_a_window(screen, kivy_app, written, capgo_service):
    app = kivy_app(written / "start.py", PYTHONPATH=f"{written / 'places'}:{ROOT}")

    capgo_service.wait_for_requests(1, 20.0, on="updates")
    screen.wait_for(lambda picture: picture.count(WHITE, left=370, right=430, top=285, bottom=315) > 20, "the label")
    screen.do("mousemove", 400, 300, "key", "Escape")
    assert app.ended() == 0, app.complained


@pytest.mark.usefixtures("needs_kivy")
def test_the_careful_app_is_ready_when_its_notes_are_there(screen, kivy_app, written):
    more = """
from kivy.clock import Clock
from kivy.uix.label import Label

class Probe(CarefulApp):
    def build(self):
        self.updater.start()
        Clock.schedule_once(self.load, 0.3)
        return Label()

    def load(self, _):
        print("ready before:", self.updater._engine.session.is_ready)
        self.notes = self.root.text = "Milk"
        Clock.schedule_interval(self.look, 0)

    def look(self, _):
        if self.updater._engine.session.is_ready:
            print("ready after: True")
            self.stop()

def main():
    Probe().run()
"""
    (written / "app" / "main.py").write_text(BLOCKS["app/careful.py"] + more, "utf-8")

    app = kivy_app(written / "start.py", PYTHONPATH=f"{written / 'places'}:{ROOT}")

    assert app.ended() == 0, app.complained
    assert app.printed == "ready before: False\nready after: True\n"


def test_every_property_of_the_banner_that_is_named_exists():
    code = (ROOT / "capgo_client" / "integrations" / "kivy" / "banner.py").read_text("utf-8")
    properties = set(re.findall(r"^    (\w+) = \w+Property\(", code, re.MULTILINE))
    described = set(re.findall(r"`(\w+)`", TEXT.split("## The banner")[1].split("##")[0]))

    assert properties - {"title"} - described == set()


# ---- the example ----


def spec():
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(EXAMPLE / "buildozer.spec")
    return parser["app"]


def test_the_spec_takes_the_version_from_the_start_file():
    found = re.search(spec()["version.regex"], (EXAMPLE / "start.py").read_text("utf-8"))

    assert found is not None
    assert found[1] == "1.0.0"


def test_the_spec_names_all_that_the_library_needs():
    table = (ROOT / "pyproject.toml").read_text("utf-8").split("\ndependencies = [")[1].split("\n]")[0]
    needed = set(re.findall(r'^    "([\w-]+)', table, re.MULTILINE))
    named = {name.partition("==")[0] for name in spec()["requirements"].split(",")}

    assert {"httpx", "cryptography"} <= needed <= named


def test_the_spec_leaves_out_what_does_not_ship():
    left_out = set(spec()["source.exclude_dirs"].split(",")) | set(spec()["source.exclude_patterns"].split(","))

    assert {"next", "serve.py"} <= left_out
    assert {"py", "kv"} <= set(spec()["source.include_exts"].split(","))
    shipped = [path for path in (ROOT / "capgo_client").rglob("*.*") if path.suffix not in (".py", ".pyc", ".typed")]
    assert shipped == [], "the library is of Python files alone, so include_exts has them"


def test_the_readme_of_the_example_stays_short():
    assert len((EXAMPLE / "README.md").read_text("utf-8").splitlines()) <= 40
