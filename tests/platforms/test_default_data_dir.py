"""Where the data lives by default: as platformdirs has it, and without its import where that is easy."""

from __future__ import annotations

import sys

import platformdirs
import pytest

from capgo_client.platforms import linux, posix

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the rule of Linux")

APP = "com.example.notes"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"HOME": "/home/ada"}, "/home/ada/.local/share/com.example.notes/capgo"),
        ({"HOME": "/home/ada", "XDG_DATA_HOME": ""}, "/home/ada/.local/share/com.example.notes/capgo"),
        ({"HOME": "/home/ada", "XDG_DATA_HOME": "/data/ada"}, "/data/ada/com.example.notes/capgo"),
        ({"XDG_DATA_HOME": "/data/ada"}, "/data/ada/com.example.notes/capgo"),
        ({"HOME": "/", "XDG_DATA_HOME": "/data/ä b"}, "/data/ä b/com.example.notes/capgo"),
    ],
)
def test_the_usual_answers_are_those_of_platformdirs(monkeypatch, environment, expected):
    set_to(monkeypatch, environment)
    assert linux.default_data_dir(APP) == expected
    assert expected == str(platformdirs.user_data_path(APP, appauthor=False) / "capgo")


@pytest.mark.parametrize(
    "environment",
    [{}, {"HOME": ""}, {"HOME": "here"}, {"HOME": "/home/ada", "XDG_DATA_HOME": "data"}, {"XDG_DATA_HOME": " "}],
    ids=str,
)
def test_an_odd_environment_is_left_to_platformdirs(monkeypatch, environment):
    set_to(monkeypatch, environment)
    assert linux.default_data_dir(APP) == posix.default_data_dir(APP)


def set_to(monkeypatch, environment):
    for name in ("HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
