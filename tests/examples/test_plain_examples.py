"""The examples without a window, each in processes of its own against a service on loopback."""

from __future__ import annotations

import configparser
import importlib.util
import re
import signal
import socket
import sys
import tempfile
import textwrap
import time
import urllib.request
from types import SimpleNamespace

import pytest
from example_device import EXAMPLES, TIMEOUT, ExampleDevice, copy_of_example, left_as_it_was, run_quietly

linux = pytest.mark.skipif(sys.platform == "win32", reason="signals and systemd are not for this system")


# ---- the script ----


@pytest.fixture
def script(tmp_path, capgo_service):
    device = ExampleDevice("plain_script.py", tmp_path / "device", capgo_service)
    yield device
    assert left_as_it_was(device.file)


NEXT = ('"{free:.1f} GB free"', '"{percent:.0f} % in use"')
BROKEN = ('"{free:.1f} GB free"', '"{no such thing}"')


def words(done):
    """What it printed, without the figures."""
    assert (done.returncode, re.sub(r"(?s)Traceback .*\n\w+Error: .*\n", "", done.stderr)) == (0, ""), done
    return re.sub(r"\] \d+(\.\d)? ", "] N ", done.stdout)


def test_the_script_does_its_work_with_each_version_and_with_the_good_one_when_an_update_is_broken(script):
    script.publish("2.0.0", NEXT)
    assert words(script.launch()) == "[1.0.0] N GB free\n[2.0.0 does the work the next time]\n"

    script.publish("3.0.0", BROKEN)
    assert words(script.launch()) == "[2.0.0] N % in use\n[3.0.0 does the work the next time]\n"

    broken = script.launch()
    assert words(broken) == "[2.0.0] N % in use\n"
    assert "KeyError" in broken.stderr

    script.tell()
    assert script.told("app_launch_ready") == ["1.0.0", "2.0.0", "2.0.0"]
    assert script.told("set_next") == ["2.0.0", "3.0.0"]
    assert script.told("update_fail") == ["3.0.0"]


def test_the_script_does_its_work_where_the_service_is_gone(script, capgo_service):
    capgo_service.stop()

    assert words(script.launch()) == "[1.0.0] N GB free\n"


# ---- the kiosk ----


class Kiosk(ExampleDevice):
    """The kiosk under a systemd of ours."""

    def __init__(self, folder, service, systemd):
        super().__init__("asyncio_kiosk.py", folder, service)
        self.systemd = systemd
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = str(free.getsockname()[1])

    def running(self):
        return super().running(KIOSK_PORT=self.port, NOTIFY_SOCKET=str(self.systemd.getsockname()))

    def heard(self, text):
        """Whether systemd was told so within the time that everything has."""
        end = time.monotonic() + TIMEOUT
        while (said := self.systemd.recv(100).decode()) != text:
            assert said in {"READY=1", "WATCHDOG=1"}
            assert time.monotonic() < end, f"{text} never came"
        return True

    def answer(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=TIMEOUT) as answer:
            return answer.read().decode()


@pytest.fixture
def kiosk(tmp_path, capgo_service):
    with (
        tempfile.TemporaryDirectory(prefix="kiosk") as folder,  # the name of a socket has to be short
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd,
    ):
        systemd.bind(f"{folder}/notify")
        systemd.settimeout(TIMEOUT)
        device = Kiosk(tmp_path / "device", capgo_service, systemd)
        yield device
        assert left_as_it_was(device.file)


DAY = ("NIGHT = 4", "NIGHT = -1")
NIGHT = ("NIGHT = 4", "NIGHT = time.localtime().tm_hour")
BETTER = ("Welcome.", "Welcome back.")


def ended(process):
    """By systemd, in good order."""
    process.send_signal(signal.SIGTERM)
    _, complaints = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, complaints) == (0, "")


@linux
def test_the_kiosk_serves_on_by_day_and_changes_over_when_it_is_told_to(kiosk):
    kiosk.ship(DAY)
    kiosk.publish("2.0.0", DAY, BETTER)
    with kiosk.running() as process:
        assert kiosk.heard("READY=1")
        assert kiosk.answer() == "Welcome. This is version 1.0.0.\n"
        assert process.stdout.readline() == "2.0.0 opens at the next start\n"
        assert kiosk.heard("WATCHDOG=1")
        assert kiosk.answer() == "Welcome. This is version 1.0.0.\n"

        process.send_signal(signal.SIGHUP)  # systemctl reload

        assert kiosk.heard("READY=1")
        assert process.poll() is None  # the process that systemd knows goes on
        assert kiosk.answer() == "Welcome back. This is version 2.0.0.\n"
        ended(process)

    kiosk.tell()
    assert kiosk.told("app_launch_ready") == ["1.0.0", "2.0.0"]
    assert kiosk.told("set") == ["2.0.0"]


@linux
def test_the_kiosk_answers_who_has_asked_before_it_ends_and_waits_for_nobody_who_has_not(kiosk):
    kiosk.ship(DAY)
    where = ("127.0.0.1", int(kiosk.port))
    with kiosk.running() as process:
        assert kiosk.heard("READY=1")
        with socket.create_connection(where) as slow, socket.create_connection(where):  # the second says nothing
            assert kiosk.answer() == "Welcome. This is version 1.0.0.\n"  # so it knows of both
            process.send_signal(signal.SIGTERM)
            while is_open(where):
                pass
            slow.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert slow.makefile().readlines()[-1] == "Welcome. This is version 1.0.0.\n"
            _, complaints = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, complaints) == (0, "")


def is_open(where):
    try:
        socket.create_connection(where).close()
    except ConnectionError:
        return False
    return True


@linux
def test_the_kiosk_changes_over_by_itself_when_night_falls(kiosk):
    night = ("time.localtime().tm_hour == NIGHT", 'Path("night").exists()')
    kiosk.ship(night, ("asyncio.sleep(20)", "asyncio.sleep(0.05)"))
    kiosk.publish("2.0.0", BETTER)
    with kiosk.running() as process:
        assert kiosk.heard("READY=1")
        assert process.stdout.readline() == "2.0.0 opens at the next start\n"
        assert kiosk.answer() == "Welcome. This is version 1.0.0.\n"

        (kiosk.folder / "night").touch()

        assert kiosk.heard("READY=1")
        assert kiosk.answer() == "Welcome back. This is version 2.0.0.\n"
        ended(process)


@linux
@pytest.mark.slow
def test_what_a_task_of_the_kiosk_raises_ends_it_for_systemd_to_see(kiosk):
    kiosk.ship(('tell_systemd("WATCHDOG=1")', "tell_systemd(NO_SUCH_THING)"))

    with kiosk.running() as process:
        _, complaints = process.communicate(timeout=TIMEOUT)

    assert process.returncode == 1
    assert "NameError: name 'NO_SUCH_THING' is not defined" in complaints
    kiosk.tell()
    assert kiosk.told("app_crash") == ["1.0.0"]


@linux
@pytest.mark.parametrize(
    "mistake",
    [
        pytest.param(("loop = asyncio.get_running_loop()", "loop = asyncio.get_runing_loop()"), id="crashes"),
        pytest.param(
            ("loop = asyncio.get_running_loop()", "await asyncio.sleep(3600)"), id="hangs", marks=pytest.mark.slow
        ),
    ],
)
def test_the_kiosk_comes_back_with_the_good_version_when_the_next_one(kiosk, mistake):
    kiosk.options["app_ready_timeout"] = 1.0
    kiosk.ship(NIGHT)
    kiosk.publish("2.0.0", NIGHT, mistake)
    with kiosk.running() as process:
        assert kiosk.heard("READY=1")  # and it has found 2.0.0, and changes over to it
        assert kiosk.heard("READY=1")
        assert kiosk.answer() == "Welcome. This is version 1.0.0.\n"
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=TIMEOUT)
        assert process.returncode == 0

    kiosk.tell()
    assert kiosk.told("update_fail") == ["2.0.0"]
    assert kiosk.told("app_launch_ready") == ["1.0.0", "1.0.0"]


@linux
@pytest.mark.slow
def test_the_kiosk_sits_an_outage_out(kiosk, capgo_service):
    kiosk.ship(DAY)
    capgo_service.stop()
    with kiosk.running() as process:
        assert kiosk.heard("READY=1")
        assert process.stdout.readline().startswith("the service could not be asked")
        assert kiosk.answer() == "Welcome. This is version 1.0.0.\n"

        capgo_service.start()
        kiosk.publish("2.0.0", DAY, BETTER)
        process.send_signal(signal.SIGHUP)

        assert kiosk.heard("READY=1")
        assert kiosk.answer() == "Welcome back. This is version 2.0.0.\n"
        ended(process)


@linux
@pytest.mark.slow
def test_the_kiosk_asks_once_more_when_it_is_told_to_while_it_asks(kiosk, capgo_service):
    kiosk.options["response_timeout"] = 1.0
    kiosk.ship(DAY)
    with capgo_service.fault("silence", on="updates", nth=1), kiosk.running() as process:
        assert kiosk.heard("READY=1")
        capgo_service.wait_for_requests(1, on="updates")
        process.send_signal(signal.SIGHUP)
        kiosk.publish("2.0.0", DAY, BETTER)

        assert kiosk.heard("READY=1")
        assert kiosk.answer() == "Welcome back. This is version 2.0.0.\n"
        ended(process)


@pytest.mark.parametrize(
    ("hour", "told_before", "waiting", "changes"),
    [
        (4, None, "2.0.0", True),
        (4, None, None, False),
        (5, None, "2.0.0", False),
        (12, 599.0, "2.0.0", True),
        (12, 601.0, "2.0.0", False),
    ],
)
def test_the_kiosk_knows_a_good_moment(monkeypatch, hour, told_before, waiting, changes):
    spec = importlib.util.spec_from_file_location("asyncio_kiosk", EXAMPLES / "asyncio_kiosk.py")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    now = 1000.0
    clock = SimpleNamespace(localtime=lambda: SimpleNamespace(tm_hour=hour), monotonic=lambda: now)
    monkeypatch.setattr(module, "time", clock)

    updater = SimpleNamespace(next_bundle=None, trigger_update_check=lambda: None)
    kiosk = module.Kiosk(updater)
    if told_before is not None:
        kiosk.hurry()
        now += told_before
    updater.next_bundle = waiting
    kiosk.look()

    assert (kiosk.wants_restart, kiosk.end.is_set()) == (changes, changes)


def test_the_unit_of_the_kiosk_fits_its_code():
    source = (EXAMPLES / "asyncio_kiosk.py").read_text("utf-8")
    text = textwrap.dedent(re.search(r"::\n\n(.+?)\n\n``", source, re.DOTALL).group(1))
    unit = configparser.ConfigParser()
    unit.optionxform = str
    unit.read_string(text)

    service = unit["Service"]
    assert service["Type"] == "notify"
    assert "READY=1" in source
    assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert "SIGHUP" in source
    assert service["Restart"] == "always"
    beat = int(re.search(r"asyncio\.sleep\((\d+)\)", source).group(1))
    assert beat < int(service["WatchdogSec"]) / 2  # as sd_watchdog_enabled(3) recommends
    assert set(unit.sections()) == {"Unit", "Service", "Install"}


# ---- the demo part of each ----


def play(name, tmp_path):
    """Run the example as its docstring says; nothing of it stays."""
    home = tmp_path / "home"
    home.mkdir()
    example = copy_of_example(name, tmp_path)
    done = run_quietly([sys.executable, str(example)], tmp_path, TMPDIR=str(home), HOME=str(home))
    assert done.returncode == 0, done
    assert list(home.iterdir()) == []
    assert left_as_it_was(example)
    return done


@pytest.mark.slow
def test_the_script_shows_by_itself_how_it_is_updated(tmp_path):
    done = play("plain_script.py", tmp_path)

    assert re.findall(r"^\[(\S+)\]", done.stdout, re.MULTILINE) == ["1.0.0", "2.0.0", "2.0.0"]
    assert "KeyError: 'fre'" in done.stderr


@linux
@pytest.mark.slow
def test_the_kiosk_shows_by_itself_how_it_is_updated(tmp_path):
    done = play("asyncio_kiosk.py", tmp_path)

    assert [line for line in done.stdout.splitlines() if "visitor" in line] == [
        "A visitor reads: Welcome. This is version 1.0.0.",
        "A visitor reads: Welcome back. This is version 2.0.0.",
    ]
    assert done.stderr == ""


def test_every_example_is_run_by_a_test():
    ours = {"plain_script.py", "asyncio_kiosk.py"}
    windows = {"pyside_app.py", "tkinter_app.py", "pygame_app.py"}  # tests/gui/test_examples_windows.py
    story = {"demo.py", "demo_stage.py"}  # test_demo.py

    assert {path.name for path in EXAMPLES.glob("*.py")} == ours | windows | story
