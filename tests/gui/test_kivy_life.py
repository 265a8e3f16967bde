"""The mixin and the banner in a real Kivy app: what the app prints, what the service is told, what is on the screen."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest

from capgo_client import BundleStatus, Updater
from capgo_client.testing import make_bundle

pytestmark = pytest.mark.usefixtures("needs_kivy")
ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "kivy_app"
BLUE, GREEN = (26, 64, 128), (20, 107, 56)

START = """\
import json, os
from capgo_client import Updater
from capgo_client.launcher import fresh, restart, run

if __name__ == "__main__":
    options = json.loads(os.environ["OPTIONS"])
    if options.pop("by_child", False):
        fresh._BECOMES_ANOTHER = False  # as on Windows
    if options.pop("replaces_at_once", False):
        options["reload"] = restart
    run(Updater("com.example.probe", "1.0.0", **options), "main:main")
"""

BEGIN = """
    import sys, threading
    from kivy.app import App
    from kivy.clock import Clock
    from kivy.uix.boxlayout import BoxLayout
    from capgo_client import CapgoError, current_updater
    from capgo_client.integrations.kivy import LiveUpdates, UpdateBanner

    VERSION = current_updater().current.version
    print("opened", VERSION)
"""


def code(text):
    return textwrap.dedent(text).encode()


class Device:
    """An app of the tests' own, on one device."""

    def __init__(self, folder, service, start):
        self.service, self._start = service, start
        self.start_file = folder / "start.py"
        self.start_file.write_text(START, "utf-8")
        self.options = {
            "builtin": str(folder / "app"),
            "data_dir": str(folder / "data"),
            **{name: getattr(service, name) for name in ("update_url", "stats_url", "channel_url")},
        }
        (folder / "app").mkdir()
        self.app = folder / "app"

    def ship(self, main):
        (self.app / "main.py").write_bytes(code(BEGIN) + code(main))

    def updater(self):
        return Updater("com.example.probe", "1.0.0", **{"auto_update": "off", **self.options})

    def bring(self, version, files):
        self.service.publish(make_bundle(version, files))
        with self.updater() as updater:
            updater.start()
            updater.set_next(updater.download(updater.get_latest()))

    def launch(self, **options):
        return self._start(self.start_file, OPTIONS=json.dumps({**self.options, **options}))

    def told(self):
        """What the service heard of, with what waited on the device."""
        with self.updater() as updater:
            updater.start()
            updater.notify_app_ready()
            launches = [event for event in self.service.events if event["action"] == "app_launch_start"]
            count = len(self.service.requests)
            while len([e for e in self.service.events if e["action"] == "app_launch_start"]) == len(launches):
                count += 1
                self.service.wait_for_requests(count, 20.0)
        return [event["action"] for event in self.service.events]


@pytest.fixture
def device(tmp_path, capgo_service, kivy_app):
    folder = tmp_path / "device"
    folder.mkdir()
    return Device(folder, capgo_service, kivy_app)


@pytest.mark.parametrize("how", ["app.run()", "__import__('asyncio').run(app.async_run('asyncio'))"])
def test_the_updater_follows_the_life_of_the_app(device, how):
    device.ship(f"""
    from kivy.core.window import Window

    class Probe(LiveUpdates, App):
        def build(self):
            Window.bind(on_flip=lambda *_: print("drawn"))
            self.updater.on("download_complete", self.heard)
            return BoxLayout()

        def is_ready(self):
            print("asked")
            return super().is_ready()

        def heard(self, event):
            print("heard", event.version, threading.current_thread() is threading.main_thread())
            print("pauses", self.dispatch("on_pause"))
            self.dispatch("on_resume")
            Window.dispatch("on_memorywarning")
            self.stop()

        def on_start(self):
            print("started")

        def on_pause(self):  # none of them calls super()
            print("paused")
            return True

        def on_resume(self):
            print("resumed")

        def on_stop(self):
            print("stopped")

    def main():
        app = Probe()
        {how}
        try:
            app.updater.trigger_update_check()
        except CapgoError as exc:
            print("after", exc.code)
    """)
    device.service.publish(make_bundle("1.1.0", {"main.py": b""}))

    app = device.launch(auto_update="onlyDownload")

    assert app.ended() == 0, app.complained
    said = app.printed.splitlines()
    assert said.index("started") < said.index("drawn") < said.index("asked") < said.index("heard 1.1.0 True")
    assert said.count("asked") == 1
    assert said[said.index("heard 1.1.0 True") :][1:5] == ["paused", "pauses True", "resumed", "stopped"]
    assert said[-1] == "after closed"
    told = device.told()
    assert [told.count(f"app_moved_to_{where}") for where in ("background", "foreground")] == [1, 3]
    assert told.count("app_memory_warning") == 1


def test_a_version_has_proven_itself_when_its_first_frame_was_drawn(device):
    device.ship("")
    device.bring(
        "1.1.0",
        {
            "main.py": code(BEGIN)
            + code("""
    class Probe(LiveUpdates, App):
        def build(self):
            print("built", self.updater.current.status)
            return BoxLayout()

        def on_start(self):
            print("started", self.updater.current.status)
            Clock.schedule_interval(self.look, 0)

        def look(self, _):
            if str(self.updater.current.status) == "success":
                print("proven")
                self.stop()

    def main():
        Probe().run()
    """)
        },
    )

    app = device.launch(auto_update="off")

    assert app.ended() == 0, app.complained
    assert app.printed.splitlines() == ["opened 1.1.0", "built pending", "started pending", "proven"]
    with device.updater() as updater:
        assert updater.start().status is BundleStatus.SUCCESS


HANGS = b"return __import__('threading').Event().wait()"
NEVER_SURE = b"self.is_ready = lambda: False\n        return Notes()"


# The second one has to be seen before it is replaced, on a busy machine too.
@pytest.mark.parametrize(
    ("fault", "timeout"), [(HANGS, 3.0), (NEVER_SURE, 8.0)], ids=["hangs in build", "is never ready"]
)
def test_a_version_that_does_not_get_so_far_is_replaced_on_the_screen(screen, device, fault, timeout):
    for path in (EXAMPLE / "app").iterdir():
        (device.app / path.name).write_bytes(path.read_bytes())
    new = {path.name: path.read_bytes() for path in (EXAMPLE / "next").iterdir()}
    device.bring("1.1.0", {**new, "main.py": new["main.py"].replace(b"return Notes()", fault)})

    app = device.launch(auto_update="off", replaces_at_once=True, app_ready_timeout=timeout)
    if fault is NEVER_SURE:
        screen.wait_for_colour(GREEN)
    screen.wait_for_colour(BLUE)

    assert app.process.poll() is None, "it is the same process"
    screen.do("mousemove", 400, 300, "key", "Escape")
    assert app.ended() == 0
    with device.updater() as updater:
        assert updater.start().is_builtin
        assert updater.failed_update().version == "1.1.0"


BANNER = """
    class Probe(LiveUpdates, App):
        def build(self):
            self.root_box = BoxLayout(orientation="vertical")
            self.banner = UpdateBanner()
            self.banner.bind(title=lambda _, title: print("title", title))
            self.root_box.add_widget(self.banner)
            self.updater.on("set_next", lambda _: Clock.schedule_once(self.ready))
            return self.root_box

        def on_stop(self):
            print("stopped", VERSION)

        def ready(self, _):
            banner = self.banner
            print("ready", banner.stage, banner.version, repr(banner.notes), banner.link, banner.can_restart)
            self.then()
"""


def test_the_restart_button_lets_the_app_stop_and_opens_the_new_version(device):
    device.ship(
        BANNER
        + """
        def then(self):
            self.banner.restart()

    def main():
        Probe().run()
        print("not reached")
    """
    )
    new = code(BEGIN + "\n    def main():\n        print(*sys.argv[1:], sep=',')")
    device.service.publish(make_bundle("1.1.0", {"main.py": new}), comment="One.\nTwo.", link="https://a.example/1")

    app = device.launch()

    assert app.ended() == 0, app.complained
    said = app.printed.splitlines()
    assert [line for line in said if not line.startswith("title Version 1.1.0 is coming")] == [
        "opened 1.0.0",
        "title Version 1.1.0 is ready",
        "ready ready 1.1.0 'One.\\nTwo.' https://a.example/1 True",
        "stopped 1.0.0",
        "stopped 1.0.0",  # Kivy tells it twice where the app itself asked for it
        "opened 1.1.0",
        "",
    ]


@pytest.mark.parametrize("by_child", [False, True])
def test_there_is_one_window_after_the_restart(screen, device, by_child):
    device.ship(
        BANNER
        + """
        def then(self):
            self.restart_into_update()

    def main():
        Probe().run()
    """
    )
    new = {path.name: path.read_bytes() for path in (EXAMPLE / "next").iterdir()}
    device.service.publish(make_bundle("1.1.0", new))

    app = device.launch(by_child=by_child)
    screen.wait_for_colour(GREEN)

    assert screen.windows() == 1
    screen.do("mousemove", 400, 300, "key", "Escape")
    assert app.ended() == 0, app.complained


def test_where_no_app_can_restart_itself_the_banner_says_when_it_opens(device):
    device.ship(
        """
    import _pytest  # a process with it is not replaced, as on a phone
    import webbrowser
    webbrowser.open = lambda url: print("reads", url)
"""
        + BANNER
        + """
        def then(self):
            self.then = lambda: None
            self.banner.read_more()
            late = UpdateBanner()
            self.root_box.add_widget(late)
            print("late", late.title)
            self.root_box.remove_widget(self.banner)
            self.updater.on("set_next", lambda _: self.gone(late))
            self.updater.set_next("builtin")

        def gone(self, late):
            print("then", late.title, "|", self.banner.version)
            self.stop()

    def main():
        try:
            Probe().run()
        finally:
            print("done")
    """
    )
    device.service.publish(make_bundle("1.1.0", {"main.py": b""}), link="https://a.example/1")

    app = device.launch()

    assert app.ended() == 0, app.complained
    said = [line for line in app.printed.splitlines() if not line.startswith("title")]
    assert said[1:5] == [
        "ready ready 1.1.0 '' https://a.example/1 False",
        "reads https://a.example/1",
        "late Version 1.1.0 opens at the next start",
        "then Version 1.0.0 opens at the next start | 1.1.0",
    ]


def test_an_app_without_a_root_widget_is_ready_with_its_first_frame(device):
    device.ship("""
    from kivy.core.window import Window
    from kivy.uix.label import Label

    class Probe(LiveUpdates, App):
        def build(self):
            Window.add_widget(Label(text="Notes"))
            self.updater.on("app_ready", lambda _: self.stop())

    def main():
        Probe().run()
    """)

    app = device.launch()

    assert app.ended() == 0, app.complained
    assert "app_launch_ready" in device.told()


def test_an_app_that_nobody_launched_opens_without_updates(screen, kivy_app):
    app = kivy_app("-c", f"import sys; sys.path.insert(0, {str(EXAMPLE / 'app')!r}); import main; main.main()")

    screen.wait_for_colour(BLUE)
    assert "no Updater was started in this process, so nothing is updated" in app.complained
    screen.do("mousemove", 400, 300, "key", "Escape")
    assert app.ended() == 0, app.complained
