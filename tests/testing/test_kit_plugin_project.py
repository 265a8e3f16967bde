"""The plugin in projects of its users: generated, without a conftest, in a pytest of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import capgo_client
from capgo_client.testing import FAULTS

pytest_plugins = ["pytester"]

ROOT = Path(capgo_client.__file__).parents[1]
DOCUMENT = ROOT / "docs" / "testing.md"
PLUGIN = "capgo_client.testing.pytest_plugin"


@pytest.fixture
def project(pytester, monkeypatch):
    """A folder in which nothing is loaded but what a test names, as strict as pytest can be."""
    for name in list(os.environ):
        if name.startswith(("PYTEST_", "CAPGO_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeini("[pytest]\naddopts = --strict-markers --strict-config -ra\nfilterwarnings = error\n")
    return pytester


def run(project, *arguments, plugin=PLUGIN):
    return project.runpytest_subprocess("-p", plugin, "-p", "no:cacheprovider", *arguments, timeout=60)


def blocks() -> dict[str, str]:
    found = re.findall(r"^```python\n# ([\w.]+)\n(.+?)^```", DOCUMENT.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return dict(found)


# --- the document ----------------------------------------------------------------------------------------------------


def test_every_example_of_the_document_passes(project):
    assert DOCUMENT.read_text("utf-8").count("```python") == len(blocks())
    for name, source in blocks().items():
        project.path.joinpath(name).write_text(source, "utf-8")
    run(project).assert_outcomes(passed=9)
    done = subprocess.run([sys.executable, "without_pytest.py"], cwd=project.path, capture_output=True, check=False)
    assert (done.stdout, done.stderr) == (b"opened 1.4.1\n", b"")


def test_the_first_example_has_five_lines_and_shows_a_difference(project):
    source = blocks()["test_outage.py"]
    assert len([line for line in source.splitlines() if line.strip() and not line.startswith("import")]) == 5
    project.makepyfile(source.replace('@pytest.mark.capgo_fault("http-503")\n', ""))
    result = run(project)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*assert '1.0.1' == '1.0.0'*"])


def test_the_command_in_the_document_lists_every_fault():
    command = re.search(r"^python -c (.+)$", DOCUMENT.read_text("utf-8"), re.MULTILINE)[1].strip('"')
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True, cwd=ROOT)
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(FAULTS)


# --- how it is loaded ------------------------------------------------------------------------------------------------


def test_it_is_loaded_by_the_entry_point_that_the_package_declares(project, monkeypatch):
    declared = re.search(
        r"^\[project\.entry-points\.pytest11\]\n(.+)$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE
    )
    installed = project.mkdir("site") / "capgo_client_under_test-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: capgo-client-under-test\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text(f"[pytest11]\n{declared[1]}\n".replace('"', ""))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(installed.parent)]))
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    project.makepyfile("def test_it(capgo_service, capgo_respx): assert capgo_service.url.startswith('http://127.')")
    result = project.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:randomly", timeout=60)
    result.assert_outcomes(passed=1)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    run(project, plugin="capgo").assert_outcomes(passed=1)


def test_the_marker_is_listed_with_what_it_takes(project):
    run(project, "--markers").stdout.fnmatch_lines(["@pytest.mark.capgo_fault(name, *, nth=None, times=None, *"])


# --- the marker ------------------------------------------------------------------------------------------------------


def test_marked_faults_hold_where_and_when_they_are_ordered(project):
    project.makepyfile(
        """
        import pytest

        def code(updater):
            updater.trigger_update_check()
            assert updater.wait(10)
            return updater.explain().answer_code

        @pytest.mark.capgo_fault("http-503", nth=2)
        def test_the_second_check_meets_it(capgo_service, capgo_updater):
            updater = capgo_updater()
            updater.start()
            assert [code(updater) for _ in range(3)] == ["no_channel", "response_error", "no_channel"]

        @pytest.mark.capgo_fault("plan-ended", times=1)
        @pytest.mark.capgo_fault("http-500", on="channel", probability=1.0, seed=1)
        def test_two_of_them(capgo_service, capgo_updater):
            from capgo_client.errors import CapgoError
            updater = capgo_updater()
            updater.start()
            assert code(updater) == "on_premise_app"
            with pytest.raises(CapgoError):
                updater.list_channels()
            assert code(updater) == "no_channel"

        @pytest.mark.capgo_fault("http-503")
        @pytest.mark.capgo_fault("http-404")
        def test_the_nearer_of_two_for_the_same_call(capgo_updater):
            updater = capgo_updater()
            updater.start()
            assert code(updater) == "not_found"

        @pytest.mark.parametrize("over", ["capgo_service", "capgo_stage"])
        @pytest.mark.capgo_fault("http-503", nth=2)
        @pytest.mark.capgo_fault("http-404", nth=1)
        def test_both_of_two_count_every_call(capgo_updater, request, over):
            request.getfixturevalue(over)
            updater = capgo_updater()
            updater.start()
            assert [code(updater) for _ in range(3)] == ["not_found", "response_error", "no_channel"]

        @pytest.mark.capgo_fault("http-404")
        def test_what_the_test_sets_itself_is_nearer_than_a_marker(capgo_service, capgo_updater):
            updater = capgo_updater()
            updater.start()
            with capgo_service.fault("http-503"):
                assert code(updater) == "response_error"
            assert code(updater) == "not_found"

        @pytest.mark.capgo_fault("app-crashes")
        @pytest.mark.capgo_fault("app-hangs")
        def test_the_nearer_of_two_things_that_an_app_does(capgo_stage):
            assert capgo_stage.behaviour == "hang"

        @pytest.mark.capgo_fault("http-503")
        class TestMarkedAsAWhole:
            def test_inside(self, capgo_updater):
                updater = capgo_updater()
                updater.start()
                assert code(updater) == "response_error"

        @pytest.mark.parametrize("expected", [
            pytest.param("not_found", marks=pytest.mark.capgo_fault("http-404")),
            "no_channel",
        ])
        def test_one_parameter_is_marked(expected, capgo_updater):
            updater = capgo_updater()
            updater.start()
            assert code(updater) == expected

        @pytest.mark.capgo_fault("drip-body", interval=0.01, step=1000)
        def test_an_option_of_its_own(capgo_updater):
            updater = capgo_updater()
            updater.start()
            assert code(updater) == "no_channel"

        @pytest.mark.capgo_fault("silence", on="updates")
        def test_routes_of_respx_meet_it_too(capgo_respx, capgo_updater):
            updater = capgo_updater()
            updater.start()
            assert code(updater) == "timeout_error"
        """
    )
    run(project).assert_outcomes(passed=12)


def test_marked_faults_of_the_device_hold_on_the_stage_and_end_with_the_test(project):
    project.makepyfile(
        """
        import time
        import pytest

        @pytest.mark.capgo_fault("app-hangs")
        @pytest.mark.capgo_fault("http-503")
        @pytest.mark.capgo_fault("clock-back")
        def test_three_at_once(capgo_stage, capgo_service):
            assert capgo_stage.behaviour == "hang"
            updater = capgo_stage.launch()
            assert updater.wait(10)
            assert updater.explain().answer_code == "response_error"
            assert time.time() - capgo_stage.options["clock"].wall() > 300 * 86400

        def test_afterwards(capgo_stage):
            assert capgo_stage.behaviour == "ready"
            updater = capgo_stage.launch()
            assert updater.wait(10)
            assert updater.explain().answer_code == "no_channel"

        @pytest.mark.capgo_fault("power-cut")
        @pytest.mark.capgo_fault("http-503")
        def test_not_to_be_had(capgo_stage):
            raise AssertionError("it has to be skipped")
        """
    )
    result = run(project, "-p", "no:randomly")
    result.assert_outcomes(passed=2, skipped=1)
    result.stdout.fnmatch_lines(["*SKIPPED*capgo_fault('power-cut'): what a disk loses without power is played *"])


def test_what_no_service_can_do_can_be_marked(project):
    # Each for one launch: what it does there is the subject of the tests of the faults.
    project.makepyfile(
        """
        import pytest
        from capgo_client.testing import FAULTS, Stopped

        quick = [f.name for f in FAULTS.values() if f.group in ("device", "clock", "app") and f.name != "app-late"]

        @pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.capgo_fault(n)) for n in quick])
        def test_it(name, capgo_stage):
            try:
                assert capgo_stage.launch(auto_update="off").current.version == "1.0.0"
            except Stopped:
                assert name == "killed"
        """
    )
    run(project).assert_outcomes(passed=21, skipped=1)


def test_marked_faults_hold_once_where_the_stage_comes_only_in_the_course_of_the_test(project):
    project.makepyfile(
        """
        import pytest

        @pytest.fixture
        def late(request):
            return request.getfixturevalue

        def code(updater):
            assert updater.wait(10)
            return updater.explain().answer_code

        @pytest.mark.capgo_fault("http-503", nth=1)
        @pytest.mark.capgo_fault("http-500", nth=3)
        def test_once(capgo_service, late):
            stage = late("capgo_stage")
            assert sorted(each.fault.name for each in capgo_service._faults) == ["http-500", "http-503"]
            assert [code(stage.launch()) for _ in range(2)] == ["response_error", "no_channel"]

        @pytest.mark.capgo_fault("http-503")
        def test_taken_back_once(capgo_service, late):
            late("capgo_stage")
            capgo_service.clear_faults()
            assert code(late("capgo_stage").launch()) == "no_channel"

        @pytest.mark.capgo_fault("hostile-archive", case="traversal")
        def test_what_more_than_the_service_sees_to_is_the_stage_s(capgo_service, late):
            late("capgo_stage")
            assert [each.fault.name for each in capgo_service._faults] == ["hostile-archive"]

        @pytest.mark.capgo_fault("http-503")
        def test_by_the_stage_alone(late):
            raise AssertionError("nobody could know that it will be met")
        """
    )
    result = run(project)
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["*nobody would meet it*"])


def test_marked_faults_hold_anew_where_a_test_is_run_again(project):
    project.makeconftest(
        """
        from _pytest.runner import runtestprotocol

        def pytest_runtest_protocol(item, nextitem):
            assert [each.outcome for each in runtestprotocol(item, nextitem=nextitem, log=False)] == ["passed"] * 3
        """
    )
    project.makepyfile(
        """
        import pytest

        @pytest.mark.capgo_fault("http-503")
        def test_it(capgo_service):
            assert [each.fault.name for each in capgo_service._faults] == ["http-503"]
        """
    )
    run(project).assert_outcomes(passed=1)


#: What a test is marked with, what it uses, and what is said of that.
CANNOT_HOLD = (
    ('"http-53"', "capgo_service", "*there is no such fault; did you mean 'http-503'*"),
    ('"pouring rain"', "capgo_service", "*there is no such fault; see capgo_client.testing.FAULTS*"),
    ('"http-503"', "tmp_path", "*nobody would meet it: let the test use one of capgo_service,*"),
    ('"disk-full"', "capgo_updater", "*no fault of the service: let the test use the fixture capgo_stage*"),
    ('"http-503", "http-500"', "capgo_service", "*it takes the name of one fault*two markers*"),
    ("", "capgo_service", "*it takes the name of one fault*"),
    ('"http-503", nht=2', "capgo_service", "*capgo_fault('http-503', nht=2): *not nht*"),
    ('["http-503"]', "capgo_service", "*capgo_fault([[]'http-503'[]]): a fault is named by a text*"),
    ("None", "capgo_service", "*capgo_fault(None): a fault is named by a text*"),
    ('"http-503", name="http-500"', "capgo_service", "*name='http-500'): *takes nth, *, retry_after, body; not name*"),
    ('"disk-full", stage=1', "capgo_stage", "*capgo_fault('disk-full', stage=1): *; not stage*"),
    ('"http-503", nth=0', "capgo_service", "*capgo_fault('http-503', nth=0): nth is counted from 1, not 0*"),
    ('"http-503", nth=1.5', "capgo_service", "*nth=1.5): nth is a whole number, not 1.5*"),
    ('"http-503", nth="2"', "capgo_service", "*nth='2'): nth is a whole number, not '2'*"),
    ('"disk-full", nth="2"', "capgo_stage", "*nth='2'): nth is a whole number, not '2'*"),
    ('"http-503", times=0', "capgo_service", "*times=0): times is counted from 1, not 0*"),
    ('"http-503", times=True', "capgo_service", "*times=True): times is a whole number, not True*"),
    ('"http-503", probability=0', "capgo_service", "*probability=0): it would never strike*"),
    ('"http-503", probability=1.5', "capgo_service", "*=1.5): probability is from 0 to 1, not 1.5*"),
    ('"http-503", probability="often"', "capgo_service", "*'often'): probability is a number, not 'often'*"),
    ('"http-503", probability=0.5, seed=[7]', "capgo_service", "*seed=[[]7]): seed is a whole number, not *"),
    ('"http-503", on=""', "capgo_service", "*'' is no endpoint; they are: updates,*"),
    ('"http-503", on="download2"', "capgo_service", "*'download2' is no endpoint; they are: updates,*"),
    ('"disk-full", nht=2', "capgo_stage", "*capgo_fault('disk-full', nht=2): *not nht*"),
)


def test_a_marker_that_cannot_hold_fails_its_test_and_says_why(project):
    tests = [
        f"@pytest.mark.capgo_fault({marker})\ndef test_{number}({fixtures}):\n    raise SystemExit('it ran')\n"
        for number, (marker, fixtures, _) in enumerate(CANNOT_HOLD)
    ]
    project.makepyfile("import pytest\n\n" + "\n".join(tests))
    result = run(project)
    result.assert_outcomes(errors=len(CANNOT_HOLD))
    result.stdout.fnmatch_lines_random([said for _, _, said in CANNOT_HOLD])
    assert "it ran" not in result.stdout.str().replace("raise SystemExit('it ran')", "")
    assert "Traceback" not in result.stdout.str()


def test_a_test_that_is_skipped_is_skipped_whatever_it_is_marked_with(project):
    project.makepyfile(
        """
        import pytest

        @pytest.fixture(autouse=True, scope="module")
        def _first():
            raise SystemExit("it was set up")

        @pytest.mark.skip(reason="not today")
        @pytest.mark.capgo_fault("http-53")
        def test_skipped(capgo_service): ...

        @pytest.mark.capgo_fault("disk-full", nth="2")
        @pytest.mark.skipif("True", reason="not here")
        def test_skipped_here(capgo_service): ...

        @pytest.mark.capgo_fault("http-53")
        @pytest.mark.xfail(run=False, reason="it hangs")
        def test_not_run(capgo_service): ...

        @pytest.mark.capgo_fault("http-53")
        @pytest.mark.skipif("False", reason="not there")
        def test_not_skipped(capgo_service): ...
        """
    )
    result = run(project)
    result.assert_outcomes(skipped=2, xfailed=1, errors=1)
    result.stdout.fnmatch_lines_random(["SKIPPED*not today", "SKIPPED*not here", "*there is no such fault*"])
    assert "it was set up" not in result.stdout.str().replace('raise SystemExit("it was set up")', "")


def test_a_fixture_that_stands_in_for_the_service_does_not_swallow_the_marker(project):
    project.makepyfile(
        """
        import pytest
        from capgo_client.testing import Service

        @pytest.fixture
        def capgo_service():
            with Service(tls=True) as service:
                yield service

        @pytest.mark.capgo_fault("http-503")
        def test_it(capgo_service):
            pass
        """
    )
    result = run(project)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*a fixture of this project stands in for capgo_service*"])


# --- the real hosts --------------------------------------------------------------------------------------------------

CHILD = """
from capgo_client import Updater

with Updater("com.example.notes", "1.4.0", None, data_dir="data") as updater:
    updater.start()
    updater.wait(10)
    print(updater.explain().answer_code)
"""


def test_nobody_in_a_project_reaches_a_real_host_and_the_failure_says_what_to_do(project):
    project.path.joinpath("child.py").write_text(CHILD)
    project.makepyfile(
        """
        import subprocess, sys
        import httpx
        import pytest
        from capgo_client import Updater
        from capgo_client.errors import NetworkError

        @pytest.fixture
        def latest(tmp_path):
            def ask(**options):
                with Updater("com.example.notes", "1.4.0", None, data_dir=tmp_path, **options) as app:
                    app.start()
                    return app.get_latest()
            return ask

        def test_unprepared(latest):
            latest()

        @pytest.mark.parametrize("host", ["plugin.eu.capgo.app", "plugin.usecapgo.com"])
        def test_every_host(latest, host):
            with pytest.raises(NetworkError, match="use the fixture capgo_updater"):
                latest(update_url=f"https://{host}/updates")

        def test_own_transport(latest):
            transport = httpx.MockTransport(lambda request: pytest.fail("it was called"))
            with pytest.raises(NetworkError, match="use the fixture capgo_updater"):
                latest(transport=transport)

        def test_redirected(latest, capgo_service):
            capgo_service.answer(307, headers=[("Location", "https://plugin.capgo.app/updates")])
            with pytest.raises(NetworkError, match="use the fixture capgo_updater"):
                latest(update_url=capgo_service.update_url)

        def test_child():
            assert subprocess.check_output([sys.executable, "child.py"], text=True).split() == ["real_host_refused"]
        """
    )
    result = run(project)
    result.assert_outcomes(passed=5, failed=1)
    said = (
        "E *NetworkError: a test was about to call Capgo's own service at plugin.capgo.app, *the fixture capgo_updater*"
    )
    result.stdout.fnmatch_lines([said])
