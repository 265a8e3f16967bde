"""`python -m capgo_client run`: what the launcher does, without a start file."""

from __future__ import annotations

import sys

import pytest

TELLS = """
    import json, os, sys
    import version
    from capgo_client import current_updater
    print("opened", version.VERSION, flush=True)
    def main():
        print("told", json.dumps([sys.argv[1:], any(each in ("", os.getcwd()) for each in sys.path)]), flush=True)
        current_updater().notify_app_ready()
        return {}
"""


@pytest.fixture
def command(device):
    """The command line; `more` stands before the arguments of the app."""

    def made(*more, entry="main:main", app="--app", builtin=None):
        options = {app: "com.example.launched", "--version": "1.0.0", "--builtin": builtin or "app", "--entry": entry}
        for name in ("data_dir", "auto_update", "update_url", "stats_url", "channel_url"):
            options[f"--{name.replace('_', '-')}"] = device.options[name]
        return [sys.executable, "-m", "capgo_client", "run", *(str(x) for pair in options.items() for x in pair), *more]

    return made


def test_the_builtin_opens_with_its_own_arguments(device, command, opened):
    device.ship(TELLS.format("None"))

    done = device.launch(command=command("--", "--note", "a b", "--app", "x"))

    assert (opened(done), done.returncode, done.stderr) == (["1.0.0"], 0, "")
    assert 'told [["--note", "a b", "--app", "x"], false]' in done.stdout


def test_an_update_opens_and_a_broken_one_is_taken_back_in_the_same_start(device, command, opened):
    device.bring("1.1.0", TELLS.format("None"))
    assert opened(device.launch(command=command("--", "x"))) == ["1.1.0"]
    device.bring("1.2.0", "print('opened 1.2.0', flush=True)\nraise RuntimeError('broken')")

    done = device.launch(command=command("--", "--note", "a b"))

    assert (opened(done), done.returncode) == (["1.2.0", "1.1.0"], 0)
    assert 'told [["--note", "a b"], false]' in done.stdout  # by the second interpreter


@pytest.mark.parametrize(
    ("result", "code", "said"),
    [("None", 0, ""), ("3", 3, ""), ("False", 0, ""), ("'no disk'", 1, "no disk\n")],
)
def test_what_the_app_returns_is_the_exit_code_as_for_any_program(device, command, result, code, said):
    device.ship(TELLS.format(result))

    done = device.launch(command=command())

    assert (done.returncode, done.stderr) == (code, said)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("import socket; a, b = socket.socketpair(); b.close(); a.sendall(b'x')", "BrokenPipeError"),
        ("import capgo_client; capgo_client.Updater('bad id', '1.0.0')", "ConfigError: app_id: 'bad id'"),
        ("current_updater().set_channel('a b c')", "capgo_client.errors."),
    ],
)
def test_what_the_app_raises_is_the_apps_and_not_ours(device, command, body, said):
    device.ship(f"""
        from capgo_client import current_updater
        def main():
            current_updater().notify_app_ready()
            {body}
    """)

    done = device.launch(command=command())

    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert said in done.stderr


@pytest.mark.parametrize("end", ["sys.stdout.close()", "sys.stdout = None"])
def test_an_app_that_closes_its_output_ends_as_it_says(device, command, end):
    device.ship(f"""
        import sys
        from capgo_client import current_updater
        def main():
            current_updater().notify_app_ready()
            {end}
    """)

    done = device.launch(command=command())

    assert (done.returncode, done.stderr) == (0, "")


def test_an_app_that_does_not_know_of_the_library_is_ready_after_some_time(device, command, opened):
    device.bring("1.1.0", "print('opened 1.1.0')\ndef main(): pass")

    assert opened(device.launch(command=command("--ready-after", "9"))) == ["1.1.0"]

    assert [each["status"] for each in device.state["installs"]] == ["success"]


def test_nothing_unsigned_opens_with_a_public_key(device, command, opened):
    from capgo_client.testing import BundleKeys

    (device.folder / "key.pem").write_text(BundleKeys.generate().public_pem)
    device.offer("1.1.0")
    device.options["auto_update"] = "onLaunch"

    done = device.launch(command=command("--public-key", "key.pem"))

    assert opened(done) == ["1.0.0"]
    assert device.installed() == []


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ({"entry": "gone:main"}, "there is no module gone in the builtin"),
        ({"entry": "main:"}, "entry: 'main:' is not possible"),
        ({"builtin": "nowhere"}, "--builtin nowhere: there is no such folder"),
    ],
    ids=str,
)
def test_mistakes_end_with_2_and_say_what_is_wrong(device, command, order, said):
    done = device.launch(command=command(**order))

    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_what_the_environment_and_the_table_say_need_not_be_given(device, opened):
    names = ("data_dir", "auto_update", "update_url", "stats_url", "channel_url")
    told = {f"CAPGO_CLIENT_{name.upper()}": str(device.options[name]) for name in names}
    command = [sys.executable, "-m", "capgo_client", "run", "--entry", "main:main", "--builtin", "app"]
    named = {"CAPGO_CLIENT_APP_ID": "com.example.launched", "CAPGO_CLIENT_VERSION": "1.0.0"}

    assert opened(device.launch(command=command, **told, **named)) == ["1.0.0"]

    if sys.version_info >= (3, 11):
        table = "[tool.capgo]\napp_id = 'com.example.launched'\nversion = '1.0.0'\nentry = 'main.py'\n"
        (device.folder / "pyproject.toml").write_text(table)
        assert opened(device.launch(command=command, **told)) == ["1.0.0"]


def test_what_is_missing_is_named(device):
    done = device.launch(command=[sys.executable, "-m", "capgo_client", "run", "--version", "1.0.0"])

    assert done.returncode == 2
    assert "--app, --builtin, --entry: which app is it?" in done.stderr


def test_the_option_is_called_app_id_too(device, command, opened):
    assert opened(device.launch(command=command(app="--app-id"))) == ["1.0.0"]
