"""Our log is the standard one as soon as anybody wants logs, and nothing before."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

import capgo_client
from capgo_client.log import DEBUG, ERROR, INFO, WARNING, Log


def test_a_record_has_the_callers_place_name_and_level(caplog):
    caplog.set_level(logging.DEBUG, "capgo_client")
    log = Log("capgo_client.part")
    log.debug("a %s", 1)
    log.info("b")
    log.warning("c")
    log.error("d")
    log.log(WARNING, "e %d", 2)
    told = [(each.name, each.levelname, each.getMessage(), each.filename, each.funcName) for each in caplog.records]
    assert {each.exc_info for each in caplog.records} == {None}  # handlers take anything else for an exception
    here = ("test_log.py", "test_a_record_has_the_callers_place_name_and_level")
    assert told == [
        ("capgo_client.part", level, message, *here)
        for level, message in [
            ("DEBUG", "a 1"), ("INFO", "b"), ("WARNING", "c"), ("ERROR", "d"), ("WARNING", "e 2"),
        ]
    ]  # fmt: skip


def test_an_exception_comes_along(caplog):
    try:
        raise ValueError("of the app")
    except ValueError:
        Log("capgo_client").exception("it failed")
        Log("capgo_client").debug("it failed", exc_info=True)
    assert [str(each.exc_info[1]) for each in caplog.records if each.exc_info] == ["of the app"]


def test_the_levels_are_the_standard_ones():
    assert (DEBUG, INFO, WARNING, ERROR) == (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR)


CHILD = """
import sys
sys.path.insert(0, sys.argv[1])
from capgo_client.log import Log
Log("capgo_client").error("before anybody wants logs")
print("logging" in sys.modules)
import logging
if sys.argv[2] == "set up":
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
Log("capgo_client.install").error("afterwards")
Log("capgo_client.install").info("quietly")
"""


@pytest.mark.parametrize(("setting", "shown"), [("left", ""), ("set up", "afterwards\nquietly\n")])
def test_nothing_is_imported_for_it_and_nothing_is_shown_unless_the_app_sets_logging_up(setting, shown):
    source = str(Path(capgo_client.__file__).resolve().parent.parent)
    command = [sys.executable, "-S", "-c", CHILD, source, setting]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
    assert done.stderr == shown
