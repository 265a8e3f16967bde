"""`capgo_client.launcher.run`: what opens, what a crash is, and what opens instead; in real processes."""

from __future__ import annotations

import os
import sys
import textwrap
from dataclasses import dataclass

import pytest

#: Prints what it is, and then goes wrong before it could say that it works.
BAD = """
    import version
    print("opened", version.VERSION, flush=True)
    {}
"""


def bad(body):
    return textwrap.dedent(BAD).format(textwrap.dedent(body))


def test_the_builtin_opens_and_its_result_is_returned(device, opened):
    done = device.launch()

    assert (done.returncode, opened(done), done.stderr) == (0, ["1.0.0"], "")
    assert "returned done" in done.stdout


def test_an_update_arrives_and_opens_in_the_place_of_the_builtin(device, opened):
    device.offer("1.1.0")
    device.options["auto_update"] = "onLaunch"

    assert opened(device.launch()) == ["1.1.0"]
    device.options["auto_update"] = "off"
    assert opened(device.launch()) == ["1.1.0"]


def test_an_update_that_comes_while_the_app_runs_opens_at_the_next_start(device, opened):
    device.ship("""
        from capgo_client import current_updater
        print("opened 1.0.0", flush=True)
        def main():
            current_updater().notify_app_ready()
            current_updater().wait(30)
    """)
    device.offer("1.1.0")
    device.options["auto_update"] = "atBackground"

    assert [opened(device.launch()) for _ in range(2)] == [["1.0.0"], ["1.1.0"]]


@dataclass(frozen=True)
class Ending:
    """`body` is how a version ends that has not said "ready"; `crash`: whether it counts as one."""

    name: str
    body: str
    crash: bool
    code: int = 0
    said: str = ""


ENDINGS = (
    Ending("raises at import", "raise RuntimeError('at import')", True, said="RuntimeError: at import"),
    Ending("raises when called", "def main(): raise RuntimeError('when called')", True, said="RuntimeError: when"),
    Ending("exits with 3", "def main(): raise SystemExit(3)", True),
    Ending("exits with a text", "def main(): raise SystemExit('no disk')", True, said="no disk"),
    Ending("exits with 3 at import", "raise SystemExit(3)", True),
    Ending("lacks a module of its own", "import gone", True, said="No module named 'gone'"),
    Ending("lacks the function", "", True, said="main has no function main"),
    Ending("has something else of that name", "main = 5", True, said="main has no function main"),
    Ending("is no Python", "def main(:", True, said="SyntaxError"),
    Ending("recurses without end", "def main(): main()", True, said="RecursionError"),
    Ending(
        "panics in compiled code",
        "class Panic(BaseException): pass\ndef main(): raise Panic('at the disco')",
        True,
        said="Panic: at",
    ),
    Ending("exits with an empty text", "def main(): raise SystemExit('')", True),
    Ending("exits with a number that is no code", "def main(): raise SystemExit(0.0)", True),
    Ending("exits with 0", "def main(): raise SystemExit(0)", False),
    Ending("exits without a code", "def main(): raise SystemExit", False),
    Ending("is interrupted", "def main(): raise KeyboardInterrupt", False, code=-2, said="KeyboardInterrupt"),
    Ending("returns", "def main(): return", False),
)


#: What is tried whenever the suite runs; `make faults` tries the others.
OFTEN = (
    "raises at import",
    "exits with 3",
    "lacks the function",
    "panics in compiled code",
    "exits with 0",
    "is interrupted",
)


@pytest.mark.parametrize(
    "ending",
    [pytest.param(each, marks=() if each.name in OFTEN else pytest.mark.slow, id=each.name) for each in ENDINGS],
)
def test_what_a_crash_is_and_that_the_good_version_opens_in_the_same_start(device, opened, ending):
    device.bring("1.1.0", bad(ending.body))

    done = device.launch()

    assert ending.said in done.stderr
    seen = [version for version in opened(done) if version == "1.0.0"]
    assert seen == (["1.0.0"] if ending.crash else [])
    assert done.returncode == ending.code
    assert opened(device.launch())[0] == ("1.0.0" if ending.crash else "1.1.0")


def test_a_bundle_without_the_entrys_module_is_taken_back(device, opened):
    device.run["entry"] = "begin:main"
    device.ship("", **{"begin.py": "def main():\n    print('opened 1.0.0')"})
    device.bring("1.1.0")
    (device.folder / "begin.py").write_text("print('opened wrong')\ndef main(): pass\n")

    done = device.launch()

    assert opened(done) == ["1.0.0"]
    assert "there is no module begin in 1.1.0" in done.stderr


def test_what_a_version_printed_and_logged_before_it_crashed_is_not_lost(device):
    device.write("import logging; logging.basicConfig(filename='app.log')")
    device.bring("1.1.0", "import logging\nprint('printed')\nlogging.warning('logged')\n1 / 0")

    done = device.launch()

    assert done.stdout.splitlines() == ["printed", "opened 1.0.0", "returned done"]
    log = (device.folder / "app.log").read_text()
    assert log.index("logged") < log.index("1.1.0 crashed before it was ready; the good version opens now")


@pytest.mark.slow
def test_the_version_that_crashed_does_not_come_back(device, opened):
    device.bring("1.1.0", bad("1 / 0"))
    device.launch()

    done = device.launch()

    assert opened(done) == ["1.0.0"]
    assert device.state["verdicts"][0]["version"] == "1.1.0"


def test_the_last_good_version_opens_not_merely_the_builtin(device, opened):
    device.bring("1.1.0")
    device.launch()
    device.bring("1.2.0", bad("1 / 0"))

    assert opened(device.launch()) == ["1.2.0", "1.1.0"]


@pytest.mark.slow
def test_two_bad_versions_one_after_the_other_still_lead_to_the_builtin(device, opened):
    device.bring("1.1.0", bad("1 / 0"))
    assert opened(device.launch()) == ["1.1.0", "1.0.0"]
    device.bring("1.2.0", bad("1 / 0"))

    assert opened(device.launch()) == ["1.2.0", "1.0.0"]


def test_a_start_is_made_anew_once_and_no_more(device, opened):
    device.bring("1.1.0", bad("1 / 0"))

    done = device.launch(CAPGO_CLIENT_STARTED_ANEW="1")

    assert (opened(done), done.returncode) == (["1.1.0"], 1)
    assert "ZeroDivisionError" in done.stderr
    assert opened(device.launch()) == ["1.0.0"]


@pytest.mark.slow
def test_where_the_good_version_crashes_as_well_the_process_ends(device, opened):
    device.bring("1.1.0", good_until(device.folder / "spoilt"))
    device.launch()
    (device.folder / "spoilt").touch()
    device.bring("1.2.0", bad("1 / 0"))

    done = device.launch()

    assert (opened(done), done.returncode) == (["1.2.0", "1.1.0"], 1)
    assert "RuntimeError: spoilt" in done.stderr


def good_until(path):
    return f"""
    import os
    import version
    from capgo_client import current_updater
    print("opened", version.VERSION, flush=True)
    def main():
        if os.path.exists({str(path)!r}):
            raise RuntimeError("spoilt")
        current_updater().notify_app_ready()
    """


def test_a_proven_version_that_crashes_for_the_third_time_is_followed_by_the_good_one_at_once(device, opened):
    device.bring("1.1.0", good_until(device.folder / "spoilt"))
    device.launch()
    (device.folder / "spoilt").touch()

    launches = [device.launch() for _ in range(3)]

    assert [opened(done) for done in launches] == [["1.1.0"], ["1.1.0"], ["1.1.0", "1.0.0"]]
    assert [done.returncode for done in launches] == [1, 1, 0]


def test_a_version_that_had_said_ready_in_this_launch_is_not_replaced_under_the_persons_eyes(device, opened):
    ready = "from capgo_client import current_updater\ndef main():\n    current_updater().notify_app_ready()\n    {}"
    device.bring("1.1.0", bad(ready.format("raise RuntimeError('later')")))

    for _ in range(3):
        done = device.launch()
        assert (opened(done), done.returncode) == (["1.1.0"], 1)
        assert "RuntimeError: later" in done.stderr

    assert opened(device.launch()) == ["1.0.0"]  # three crashes in a row: given up, at the next start


@pytest.mark.slow
def test_an_exit_code_after_ready_is_the_apps_own_business(device, opened):
    ready = "from capgo_client import current_updater\ndef main():\n    current_updater().notify_app_ready()\n    {}"
    device.bring("1.1.0", bad(ready.format("raise SystemExit(3)")))

    for _ in range(4):
        done = device.launch()
        assert (opened(done), done.returncode, done.stderr) == (["1.1.0"], 3, "")


def test_a_version_that_kills_the_process_uses_up_its_starts(device, opened):
    device.options["max_boot_attempts"] = 2
    device.bring("1.1.0", bad("import os; os._exit(9)"))

    launches = [device.launch() for _ in range(3)]

    assert [done.returncode for done in launches] == [9, 9, 0]
    assert [opened(done) for done in launches] == [["1.1.0"], ["1.1.0"], ["1.0.0"]]


HANGS = """
    import threading
    def main():
        threading.Event().wait(50)
"""


def test_a_version_that_hangs_is_replaced_when_the_ready_timer_runs_out_where_restart_is_the_reload(device, opened):
    device.write("from capgo_client import launcher\nUpdater.__init__.__kwdefaults__['reload'] = launcher.restart")
    device.options["app_ready_timeout"] = 1.0
    device.bring("1.1.0", bad(HANGS))

    done = device.launch()

    assert (opened(done), done.returncode) == (["1.1.0", "1.0.0"], 0)


@pytest.mark.parametrize("becomes_another", [True, False])
def test_set_changes_over_at_once_where_restart_is_the_reload(device, opened, becomes_another):
    device.write(f"""
from capgo_client.launcher import fresh, restart
fresh._BECOMES_ANOTHER = {becomes_another}
Updater.__init__.__kwdefaults__['reload'] = restart
""")
    device.offer("1.1.0")
    device.ship("""
        from capgo_client import current_updater
        print("opened 1.0.0", flush=True)
        def main():
            updater = current_updater()
            updater.notify_app_ready()
            updater.set(updater.download(updater.get_latest()))
    """)

    done = device.launch()

    assert done.stderr.splitlines() == []
    assert opened(done) == ["1.0.0", "1.1.0"]
    assert [each["status"] for each in device.state["installs"]] == ["success"]  # the second one counts


def test_without_reopen_the_process_ends_with_the_exception(device, opened):
    device.run["reopen"] = False
    device.bring("1.1.0", bad("1 / 0"))

    done = device.launch()

    assert (opened(done), done.returncode) == (["1.1.0"], 1)
    assert "ZeroDivisionError" in done.stderr
    assert opened(device.launch()) == ["1.0.0"]


@pytest.mark.parametrize(
    ("before", "why"),
    [
        ("sys.executable = ''", "it is not known how this interpreter was started"),
        ("sys.platform = 'ios'", "this system starts apps by itself"),
        ("sys.getandroidapilevel = lambda: 34", "this system starts apps by itself"),
        ("import types; sys.modules['_pytest'] = types.ModuleType('_pytest')", "this process runs tests"),
    ],
)
def test_where_no_interpreter_can_be_started_the_exception_ends_the_process(device, opened, before, why):
    device.write(f"import logging; logging.basicConfig()\n{before}")
    device.bring("1.1.0", bad("1 / 0"))

    done = device.launch()

    assert (opened(done), done.returncode) == (["1.1.0"], 1)
    assert "ZeroDivisionError" in done.stderr
    assert why in done.stderr


def test_an_interpreter_that_is_gone_by_then_leaves_the_exception(device, opened):
    device.write("import logging; logging.basicConfig()\nsys.executable = '/gone/python'")
    device.bring("1.1.0", bad("1 / 0"))

    done = device.launch()

    assert (opened(done), done.returncode) == (["1.1.0"], 1)
    assert "no fresh interpreter could be started" in done.stderr
    assert "ZeroDivisionError" in done.stderr


def test_where_a_process_cannot_become_another_a_child_runs_and_its_exit_code_is_handed_on(device, opened):
    device.write("import capgo_client.launcher.fresh as fresh; fresh._BECOMES_ANOTHER = False")
    device.ship("""
        from capgo_client import current_updater
        print("opened 1.0.0", flush=True)
        def main():
            print("is the one that counts:", current_updater()._engine.may_write, flush=True)
            raise SystemExit(7)
    """)
    device.bring("1.1.0", bad("1 / 0"))

    done = device.launch()

    assert (opened(done), done.returncode) == (["1.1.0", "1.0.0"], 7)
    assert "is the one that counts: True" in done.stdout


def test_the_fresh_interpreter_has_what_the_first_one_was_given(device):
    tell = """
        import json, os, sys
        print("told", json.dumps([sys.argv[1:], os.getcwd(), sys.flags.utf8_mode, os.environ.get("MINE")]), flush=True)
    """
    device.ship(f"{tell}\n        def main(): pass")
    spoil = """
        sys.argv[:] = ["spoilt"]
        os.environ["MINE"] = "spoilt"
        os.chdir("/")
        1 / 0
    """
    device.bring("1.1.0", tell + spoil)
    cwd = device.folder / "elsewhere"
    cwd.mkdir()
    command = [sys.executable, "-X", "utf8", *device.command("--note", "a b", "")[1:]]

    done = device.launch(command=command, cwd=cwd, MINE="own")

    told = [line for line in done.stdout.splitlines() if line.startswith("told")]
    assert len(told) == 2
    assert told[0] == told[1]
    assert '[["--note", "a b", ""]' in told[0]
    assert '1, "own"]' in told[0]


def test_neither_the_app_nor_its_children_see_that_the_start_was_made_anew(device, opened):
    device.ship("""
        import os
        print("opened 1.0.0", sorted(name for name in os.environ if name.startswith("CAPGO_CLIENT_S")), flush=True)
        def main(): pass
    """)
    device.bring("1.1.0", bad("1 / 0"))

    assert "opened 1.0.0 []" in device.launch().stdout


def test_a_start_given_as_code_is_made_anew_too(device, opened):
    device.bring("1.1.0", bad("1 / 0"))
    command = [sys.executable, "-c", "import runpy; runpy.run_path('start.py', run_name='__main__')"]

    done = device.launch(command=command)

    assert opened(done) == ["1.1.0", "1.0.0"], done.stderr


# ---- ready ----


def test_an_app_that_exits_with_something_else_than_0_has_not_ended_well(device, opened):
    device.run["ready_after"] = 20
    device.bring("1.1.0", bad("def main(): raise SystemExit('')"))

    assert opened(device.launch()) == ["1.1.0", "1.0.0"]
    assert device.state["verdicts"][0]["version"] == "1.1.0"


@pytest.mark.parametrize("end", ["return", "raise SystemExit(0)"])
def test_an_app_without_a_better_moment_is_ready_when_it_ends_well(device, opened, end):
    device.run["ready_after"] = 20
    device.options["max_boot_attempts"] = 1
    device.bring("1.1.0", bad(f"def main(): {end}"))

    assert [opened(device.launch()) for _ in range(2)] == [["1.1.0"]] * 2
    assert [each["status"] for each in device.state["installs"]] == ["success"]


def test_an_app_without_a_better_moment_is_ready_after_some_time(device, opened):
    device.run["ready_after"] = 0.05
    wait = """
    def main():
        import os, threading
        from capgo_client import current_updater
        heard = threading.Event()
        updater = current_updater()
        updater.on("app_ready", lambda event: heard.set())
        updater.wait(20)
        heard.wait(20)
        os._exit(5)
    """
    device.bring("1.1.0", bad(wait))

    assert device.launch().returncode == 5
    assert [each["status"] for each in device.state["installs"]] == ["success"]


def test_nobody_says_ready_for_an_app_that_was_not_asked_about(device, opened):
    device.options["max_boot_attempts"] = 1
    device.bring("1.1.0", bad("def main(): pass"))

    assert [opened(device.launch()) for _ in range(2)] == [["1.1.0"], ["1.0.0"]]


# ---- the developer's mistakes ----


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ({"entry": "main:"}, "entry: 'main:' is not possible"),
        ({"entry": ":main"}, "entry: ':main' is not possible"),
        ({"entry": "main.py"}, "1.0.0"),
        ({"entry": "a b:main"}, "entry: 'a b:main' is not possible"),
        ({"entry": "main:main()"}, "entry: 'main:main()' is not possible"),
        ({"entry": "json:loads"}, "entry: 'json:loads' is not possible"),
        ({"entry": 5}, "entry: 5 is not possible"),
        ({"entry": "gone:main"}, "gone:main cannot be run: there is no module gone in the builtin"),
        ({"entry": "main:gone"}, "main:gone cannot be run: main has no function gone in the builtin"),
        ({"entry": "main.gone:main"}, "there is no module main.gone in the builtin"),
        ({"entry": "main:main", "ready_after": 30}, "ready_after: 30 s is when the version is rolled back"),
        ({"entry": "main:main", "ready_after": 0}, "ready_after: 0 is not possible"),
    ],
    ids=str,
)
def test_a_wrong_entry_is_the_developers_mistake_and_says_so(device, order, said):
    device.run = order

    done = device.launch()

    if order["entry"] == "main.py":
        assert "there is no module main.py in the builtin" in done.stderr
        return
    assert done.returncode == 1
    assert "capgo_client.errors.ConfigError" in done.stderr
    assert said in done.stderr


def test_a_builtin_that_is_missing_is_said_so(device):
    for path in device.app.iterdir():
        path.unlink()
    device.app.rmdir()

    done = device.launch()

    assert (done.returncode, "is missing" in done.stderr) == (1, True)


@pytest.mark.skipif(os.name == "nt", reason="a pipe to standard input is no file there")
@pytest.mark.parametrize("how", ["-", "- a", "-u", "/dev/stdin", "/dev/stdin a"])
def test_a_start_file_from_standard_input_cannot_be_made_anew(device, opened, how):
    device.bring("1.1.0", bad("1 / 0"))
    text = device.start.read_text().replace("__file__", repr(str(device.start)))
    script = device.folder / "piped.py"
    script.write_text(text)

    done = device.launch(command=["sh", "-c", f'cat "{script}" | "{sys.executable}" {how}'])

    assert (opened(done), done.returncode) == (["1.1.0"], 1)
    assert "ZeroDivisionError" in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="a folder that somebody is in stays there")
def test_an_app_that_is_started_in_a_folder_that_is_gone_opens(device, opened, tmp_path):
    device.bring("1.1.0")
    gone = tmp_path / "gone"
    gone.mkdir()

    done = device.launch(command=["sh", "-c", f'rmdir "{gone}" && exec "{sys.executable}" "{device.start}"'], cwd=gone)

    assert (opened(done), done.returncode, done.stderr) == (["1.1.0"], 0, "")
