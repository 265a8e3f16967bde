"""`capgo-client simulate`: real start files in real processes, and what is said about each."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from capgo_client.cli import main

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
HELLO = ROOT / "examples" / "hello" / "start.py"
POSIX = pytest.mark.skipif(os.name == "nt", reason="Windows has no signals between processes and no terminals like it")

BUILD = """
    import os, sys, threading
    from pathlib import Path
    from capgo_client import Updater

    HERE = Path(__file__).resolve().parent
    def build(**more):
        return Updater(app_id="com.example.simulated", version="1.0.0", builtin=HERE / "app", **more)
"""


@pytest.fixture
def start_file(tmp_path):
    """Write a start file with a builtin folder beside it."""
    (tmp_path / "mine" / "app").mkdir(parents=True)
    (tmp_path / "mine" / "app" / "main.py").write_text("ANSWER = 42\n")

    def write(body, *, head=BUILD):
        path = tmp_path / "mine" / "start.py"
        path.write_text(textwrap.dedent(head) + textwrap.dedent(body), "utf-8")
        return path

    return write


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """Where temporary files go, so that what is left of them can be seen."""
    folder = tmp_path / "temporary"
    folder.mkdir(exist_ok=True)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def simulate(tmp_path, temporary, capsys):
    """Run `simulate` from this process; the exit code, what was printed, and the JSON report."""

    def run(app, *arguments, launches=1, faults="empty-reply", timeout=40, grace=10):
        report = tmp_path / "report.json"
        options = {"--app": app, "--launches": launches, "--faults": faults, "--timeout": timeout, "--json": report}
        options |= {"--patience": timeout, "--grace": grace}  # a busy machine is no subject of these tests
        code = main(["simulate", *(str(part) for item in options.items() for part in item), *map(str, arguments)])
        return code, capsys.readouterr().out, json.loads(report.read_text("utf-8"))

    return run


def test_an_app_that_behaves_opens_every_time_and_gets_its_updates(simulate, tmp_path):
    junit = tmp_path / "report.xml"

    code, said, report = simulate(
        HELLO, "--junit", junit, "--", "--stay", "5", launches=5, faults="empty-reply,http-503"
    )

    launches = report["launches"]
    assert code == 0
    assert [each["fault"] for each in launches] == ["none", "empty-reply", "http-503", "none", "empty-reply"]
    assert [each["verdict"] for each in launches] == ["good"] * 5
    assert all(each["ready"] for each in launches)
    # What the healthy launch fetched opens in the next one, whatever the service says then.
    assert [(each["opened"], each["kind"]) for each in launches[-2:]] == [("1.0.0", "builtin"), ("1.0.1", "new")]
    assert report["faults"] == {
        "tried": ["empty-reply", "http-503"], "survived": ["empty-reply", "http-503"], "left_out": {},
    }  # fmt: skip
    suite = ET.fromstring(junit.read_text("utf-8"))
    assert (suite.tag, suite.get("tests"), suite.get("failures")) == ("testsuite", "5", "0")
    assert [case.get("name") for case in suite][:2] == ["launch 1: none", "launch 2: empty-reply"]
    assert len([line for line in said.splitlines() if line.endswith("good")]) == 5
    assert "Faults survived: 2 of 2." in said
    assert not {"\r", "\x1b"} & set(said)  # no bar: nobody watches


def test_nothing_of_the_users_own_is_touched(simulate, start_file, temporary, monkeypatch):
    monkeypatch.setenv("CAPGO_CLIENT_TESTING", "0")  # as pytest sets it, else nothing is shown
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("QT_QPA_PLATFORM", "minimal")  # what the user has set stays
    path = start_file("""
        import json
        with build(stats_url="") as updater:
            updater.start()
            updater.notify_app_ready()
        config = updater._engine.config
        facts = {
            "urls": [config.update_url, config.stats_url], "data": str(config.data_dir), "argv": sys.argv,
            "path": sys.path[0], "testing": os.environ["CAPGO_CLIENT_TESTING"], "video": os.environ["SDL_VIDEODRIVER"],
            "qt": os.environ["QT_QPA_PLATFORM"], "proxies": [n for n in os.environ if n.lower().endswith("_proxy")],
        }
        (HERE / "facts.json").write_text(json.dumps(facts))
    """)

    code, _, _ = simulate(path, "--", "--mine", "x")

    facts = json.loads((path.parent / "facts.json").read_text())
    assert code == 0
    assert facts["urls"][0].startswith("http://127.0.0.1:")
    assert facts["urls"][1] == ""  # the app turned it off
    assert facts["data"].startswith(str(temporary))
    assert facts["argv"] == [str(path), "--mine", "x"]
    assert facts["path"] == str(path.parent)
    assert (facts["testing"], facts["video"], facts["qt"]) == ("1", "offscreen,dummy", "minimal")
    assert facts["proxies"] == []
    assert not list(path.parent.rglob("__pycache__"))
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("build().start()", "opened and did not say ready: exit code 0"),
        ("with build() as updater:\n    updater.start()\n    {}['colour']", "did not say ready: exit code 1, KeyError"),
        ("raise RuntimeError('no database')", "built no Updater: exit code 1, RuntimeError: no database"),
        ("Updater('notes', '1.0.0')", "no Updater could be built: exit code 1, ConfigError: app_id"),
        ("build()", "start() was not called: exit code 0"),
        ("sys.exit(3)", "built no Updater: exit code 3"),
        ("updater = build()\nupdater.start()\nupdater.notify_app_ready()\n1 / 0", "ready and then failed: exit code 1"),
    ],
    ids=["never ready", "crashes", "raises first", "wrong option", "never starts", "ends first", "crashes later"],
)
def test_an_app_that_does_not_open_is_named_and_tried_no_further(simulate, start_file, body, why):
    code, said, report = simulate(start_file(body), launches=5)

    [only] = report["launches"]
    assert code == 1
    assert (only["verdict"], only["promise"]) == ("broken", "app")
    assert why in only["why"]
    assert why in said
    assert "does not open even where nothing is wrong" in said


def test_what_start_raises_breaks_the_second_promise(simulate, start_file):
    code, _, report = simulate(start_file("updater = build()\nupdater.close()\nupdater.start()"))

    assert code == 1
    assert report["launches"][0]["promise"] == "P2"
    assert "start() raised ClosedError" in report["launches"][0]["why"]


SLOW_DISK = """
    from capgo_client.seams import Files
    class Slow(Files):
        def mkdir(self, path, mode=0o700):
            threading.Event().wait(SECONDS)
            super().mkdir(path, mode)
    with build(files=Slow()) as updater:
        updater.start()
        updater.notify_app_ready()
"""


def test_a_start_that_takes_too_long_is_late_and_fails(simulate, start_file, tmp_path):
    path = start_file(SLOW_DISK.replace("SECONDS", "0.15"))
    junit = tmp_path / "report.xml"

    code, said, report = simulate(path, "--junit", junit, grace=0.1)

    assert code == 1
    assert (report["launches"][0]["verdict"], report["launches"][0]["promise"]) == ("late", "P1")
    assert report["slowest_start"] > 0.15
    assert "late P1: start() took" in said
    [case] = ET.fromstring(junit.read_text("utf-8"))
    assert case.find("failure").get("type") == "P1"


def is_running(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


@POSIX
@pytest.mark.parametrize(
    ("body", "why", "promise"),
    [
        ("build().start()\nwait()", "did not say ready: ended after 3 s", "app"),
        (SLOW_DISK.replace("SECONDS", "60"), "start() did not return within 3 s", "P1"),
    ],
    ids=["after start()", "in start()"],
)
def test_an_app_that_hangs_is_ended_at_the_time_out_with_all_that_it_started(simulate, start_file, body, why, promise):
    head = """
        import subprocess
        wait = threading.Event().wait
        child = subprocess.Popen([sys.executable, "-c", "import threading; threading.Event().wait()"])
        (HERE / "pids.txt").write_text(f"{os.getpid()} {child.pid}")
    """
    path = start_file(textwrap.dedent(head) + textwrap.dedent(body))

    code, _, report = simulate(path, timeout=3)

    assert code == 1
    assert why in report["launches"][0]["why"]
    assert (report["launches"][0]["promise"], report["launches"][0]["ended_by"]) == (promise, "time-out")
    app, child = map(int, (path.parent / "pids.txt").read_text().split())
    assert not is_running(app)
    assert gone_within(5.0, child)


def gone_within(seconds, pid):
    """Whether a process that is nobody's child any more is gone; on a busy machine its new parent may be slow."""
    end = time.monotonic() + seconds
    while is_running(pid) and time.monotonic() < end:
        if "State:\tZ" in _status(pid):
            return True
        select.select([], [], [], 0.01)
    return not is_running(pid)


def _status(pid):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/status").read_text()
    return ""


MAIN_LOOP = """
    updater = build(OPTIONS)
    updater.start()
    updater.notify_app_ready()
    threading.Event().wait()
"""


def main_loop(**options):
    return MAIN_LOOP.replace("OPTIONS", ", ".join(f"{name}={value!r}" for name, value in options.items()))


SHORT = """
    with build(max_boot_attempts=1) as updater:
        updater.start()
        updater.notify_app_ready()
        updater.wait(10)
"""


def test_an_app_with_a_main_loop_is_ended_from_outside_once_it_was_ready(simulate, start_file):
    code, _, report = simulate(start_file(main_loop()))

    assert code == 0
    assert report["launches"][0]["ended_by"] == "us"
    assert report["launches"][0]["answer"] == "failed"  # nothing is on offer yet


def test_what_a_launcher_opens_in_the_place_of_a_version_that_crashed_is_looked_at_too(simulate, start_file):
    path = start_file("""
        from capgo_client.launcher import run
        run(build(), "main:main")
    """)
    main = "from capgo_client import current_updater\ndef main():\n    current_updater().notify_app_ready()\n"
    (path.parent / "app" / "main.py").write_text(f"{main}    current_updater().wait(30)\n")

    code, said, report = simulate(path, launches=4, faults="app-crashes")

    assert code == 0, said
    assert [(each["opened"], each["kind"], each["reopened"]) for each in report["launches"]] == [
        ("1.0.0", "builtin", ""), ("1.0.0", "builtin", ""), ("1.0.1", "new", "1.0.0"), ("1.0.0", "builtin", ""),
    ]  # fmt: skip
    assert all(each["ready"] for each in report["launches"])
    assert "good (as ordered: crash; then 1.0.0 opened)" in said


def test_launches_are_so_far_apart_that_a_wait_ordered_in_one_is_over_in_the_next(simulate, start_file):
    _, _, report = simulate(start_file(SHORT), launches=3, faults="http-429-seconds")

    assert [each["answer"] for each in report["launches"]] == ["failed", "rate_limited", "update"]


@POSIX
@pytest.mark.parametrize(("fault", "does"), [("app-crashes", "crash"), ("app-hangs", "hang")])
def test_a_bad_version_opens_no_more_often_than_it_may_and_the_app_survives_it(simulate, start_file, fault, does):
    code, _, report = simulate(start_file(SHORT), launches=4, faults=fault)

    launches = report["launches"]
    assert code == 0
    assert [(each["opened"], each["ordered"]) for each in launches] == [
        ("1.0.0", ""), ("1.0.0", ""), ("1.0.1", does), ("1.0.0", ""),
    ]  # fmt: skip
    assert [each["ready"] for each in launches] == [True, True, False, True]


@POSIX
def test_a_device_that_fails_is_had_in_the_apps_own_process(simulate, start_file):
    code, _, report = simulate(start_file(SHORT), launches=4, faults="disk-full,killed")

    launches = report["launches"]
    assert code == 0
    assert [each["fault"] for each in launches] == ["none", "disk-full", "killed", "none"]
    assert launches[2]["ordered"] == "killed"
    assert launches[2]["exit_code"] == -signal.SIGKILL
    assert [each["ready"] for each in launches] == [True, True, False, True]


def test_a_version_that_is_not_as_it_was_published_is_seen(simulate, start_file):
    body = """
        with build() as updater:
            bundle = updater.start()
            if not bundle.is_builtin:
                bundle.path.chmod(0o700)
                (bundle.path / "main.py").chmod(0o600)
                (bundle.path / "main.py").write_text("ANSWER = 43\\n")
            updater.notify_app_ready()
            updater.wait(10)
    """
    code, _, report = simulate(start_file(body), launches=3, faults="clock-back")

    assert code == 1
    assert [each["promise"] for each in report["launches"]] == ["", "", "P3"]


def test_an_app_that_wants_signed_and_bound_versions_gets_such(simulate, start_file):
    body = """
        from capgo_client.testing import BundleKeys
        with build(public_key=BundleKeys.generate().public_pem, require_bound=True) as updater:
            updater.start()
            updater.notify_app_ready()
            updater.wait(10)
    """
    code, _, report = simulate(start_file(body), launches=4, faults="certificate-expired")

    assert code == 0
    assert [each["kind"] for each in report["launches"]] == ["builtin", "builtin", "builtin", "new"]


@POSIX
def test_ctrl_c_ends_the_app_and_leaves_nothing_behind(environment, start_file, tmp_path):
    path = start_file("(HERE / 'pid.txt').write_text(str(os.getpid()))\nbuild().start()\nthreading.Event().wait()")
    process = subprocess.Popen(
        [sys.executable, "-m", "capgo_client", "simulate", "--app", path, "--timeout", "60"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    try:
        end = time.monotonic() + 20
        while not (path.parent / "pid.txt").exists() or not (path.parent / "pid.txt").read_text():
            assert time.monotonic() < end
            select.select([], [], [], 0.01)
        process.send_signal(signal.SIGTERM)
        code = process.wait(timeout=20)
    finally:
        process.kill()
        said = process.communicate()

    assert code == 130
    assert "Traceback" not in said[1]
    assert not is_running(int((path.parent / "pid.txt").read_text()))
    assert list((tmp_path / "temporary").iterdir()) == []


@POSIX
def test_a_person_at_a_terminal_sees_a_bar_and_the_table_after_it(environment, start_file):
    import pty

    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "capgo_client", "simulate", "--app", start_file(main_loop()), "--launches", "1",
         "--faults", "empty-reply"],
        stdout=theirs, stderr=subprocess.PIPE, env={**environment, "TERM": "xterm"},
    )  # fmt: skip
    os.close(theirs)
    said = b""
    with contextlib.suppress(OSError):  # how Linux tells of the end
        while piece := os.read(ours, 65536):
            said += piece
    os.close(ours)
    process.communicate(timeout=20)

    assert process.returncode == 0
    assert b"\r" in said.replace(b"\r\n", b"")
    assert said.index(b"launch  fault") > said.rindex(b"\x1b[")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--app", "nowhere.py"], "there is no such file"),
        (["--app", __file__, "--faults", "drop-body"], "did you mean drip-body"),
        (["--app", __file__, "--faults", "byte"], "did you mean bytes"),
        (["--app", __file__, "--faults", "app-late"], "a simulation leaves the app as it is"),
        (["--app", __file__, "--faults", ","], "no fault is left"),
        (["--app", __file__, "--junit", "nowhere/report.xml"], "there is no folder nowhere"),
        (["--app", __file__, "--launches", "0"], "--launches 0: at least 1"),
    ],
)
def test_what_it_does_not_understand_ends_with_2_and_a_hint(capsys, arguments, told):
    assert main(["simulate", *arguments]) == 2
    assert told in capsys.readouterr().err
