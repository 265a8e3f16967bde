"""The commands for an app on this machine: what they tell, what they change, and what the app makes of it."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from capgo_client import Updater
from capgo_client.cli import main
from capgo_client.seams import Clock
from capgo_client.testing import BundleKeys, Service, make_bundle, refused_url

APP = "com.example.notes"
FILES = {"main.py": "print('hello')\n", "data/a.txt": "aaaa"}
LOOKING = [["list"], ["current"], ["doctor", "--offline"], ["doctor"]]


class Place:
    """An app whose installer is 1.4.0, that runs 1.5.0 and ran 1.4.5 before; and its service."""

    def __init__(self, data, service, ids):
        self.data, self.service, self.ids = data, service, ids

    @property
    def urls(self):
        return {"update_url": self.service.update_url, "stats_url": "", "channel_url": self.service.channel_url}

    def updater(self, **more):
        return Updater(APP, "1.4.0", data_dir=self.data, auto_update="off", **self.urls, **more)

    def opens(self, **more):
        """What the app opens at its next start."""
        with self.updater(**more) as updater:
            return updater.start().version

    def seen(self):
        return {
            str(path.relative_to(self.data)): (path.lstat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
            for path in self.data.rglob("*")
        }


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    data, ids = tmp_path_factory.mktemp("template") / "data", {}
    with Service() as service:
        for version in ("1.4.5", "1.5.0"):
            service.publish(make_bundle(version, {**FILES, "version.txt": version}))
            for _ in range(2):
                with Updater(
                    APP, "1.4.0", data_dir=data, update_url=service.update_url, stats_url="", channel_url=""
                ) as updater:
                    opened = updater.start()
                    ids[opened.version] = opened.id
                    updater.notify_app_ready()
                    assert updater.wait(20)
    return data, ids


@pytest.fixture
def place(template, tmp_path):
    data, ids = template
    shutil.copytree(data, tmp_path / "data")
    with Service() as service:
        service.publish(make_bundle("1.5.0", {**FILES, "version.txt": "1.5.0"}))
        yield Place(tmp_path / "data", service, ids)


class Said:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def run(place, capsys, monkeypatch, tmp_path):
    """Run a command for the app in this process, from a folder where no table is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CAPGO_CLIENT_APP_ID", APP)
    monkeypatch.setenv("CAPGO_CLIENT_DATA_DIR", str(place.data))
    monkeypatch.setenv("CAPGO_CLIENT_UPDATE_URL", place.service.update_url)
    monkeypatch.setenv("CAPGO_CLIENT_CHANNEL_URL", place.service.channel_url)
    monkeypatch.setenv("CAPGO_CLIENT_STATS_URL", place.service.stats_url)

    def run(*arguments):
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return run


# ---- looking ----


def test_list_shows_each_version_and_what_it_is_for(run, place):
    said = run("list")
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines() == [
        "1.4.0  builtin     success",
        f"1.4.5  {place.ids['1.4.5']}  success, the one before",
        f"1.5.0  {place.ids['1.5.0']}  success, current",
    ]


def test_list_as_json_says_where_each_version_lies(run, place):
    document = run("list", "--json").json
    assert [(row["version"], row["id"], row["part"]) for row in document["bundles"]] == [
        ("1.4.0", "builtin", ""),
        ("1.4.5", place.ids["1.4.5"], "the one before"),
        ("1.5.0", place.ids["1.5.0"], "current"),
    ]
    assert document["bundles"][2]["path"] == str(place.data / "installs" / place.ids["1.5.0"] / "app")


def test_current_is_what_the_app_opened_last_with_what_waits(run, place):
    assert run("current").out == f"1.5.0 ({place.ids['1.5.0']}), success\n"
    with place.updater() as updater:
        updater.set_next(place.ids["1.4.5"])
    assert run("current").out.splitlines()[1:] == [f"queued: 1.4.5 ({place.ids['1.4.5']})"]
    document = run("current", "--json").json
    assert (document["version"], document["queued"]) == ("1.5.0", {"id": place.ids["1.4.5"], "version": "1.4.5"})


@pytest.mark.parametrize("command", LOOKING, ids=" ".join)
def test_what_only_looks_changes_nothing_and_is_no_device_to_the_service(run, place, command):
    before = place.seen()
    assert run(*command).code == 0
    assert place.seen() == before
    assert place.service.checks == []


def test_check_tells_what_is_offered_and_fetches_nothing(run, place):
    place.service.publish(make_bundle("1.6.0", FILES))
    said = run("check")
    assert said.code == 0
    assert said.out.splitlines() == [
        "update: 1.6.0 for 1.5.0 (a zip, not encrypted)",
        "The app would: fetch it, because 1.6.0 is new.",
    ]
    document = run("check", "--json").json
    assert (document["kind"], document["version"], document["running"]) == ("update", "1.6.0", "1.5.0")
    assert not {"url", "session_key", "manifest"} & set(document)
    assert place.service.downloads == []
    assert place.opens() == "1.5.0"


def test_check_says_when_this_device_is_up_to_date(run):
    said = run("check")
    assert (said.code, said.out) == (0, "up to date: 1.5.0 is the newest for this device\n")


def test_check_asks_under_the_id_that_the_app_has(run, place):
    run("check")
    with place.updater() as updater:
        assert [each.json["device_id"] for each in place.service.checks] == [updater.device_id]


# ---- changing ----


def test_update_installs_and_the_app_opens_it_at_its_next_start(run, place):
    place.service.publish(make_bundle("1.6.0", {**FILES, "version.txt": "1.6.0"}))
    said = run("update", "--unsigned", "--json")
    assert said.code == 0
    assert (said.json["kind"], said.json["bundle"]["version"], said.json["queued"]) == ("update", "1.6.0", True)
    assert place.opens() == "1.6.0"


def test_update_in_words_and_a_second_one_that_has_nothing_to_do(run, place):
    place.service.publish(make_bundle("1.6.0", FILES))
    lines = run("update", "--unsigned").out.splitlines()
    assert lines[0] == "update: 1.6.0 for 1.5.0 (a zip, not encrypted)"
    assert lines[1].startswith("installed: 1.6.0 (")
    assert lines[2] == "queued: the app opens 1.6.0 at its next start"
    assert run("update", "--unsigned").out == "up to date: 1.6.0 is the newest for this device\n"


@pytest.mark.parametrize("has_rich", [True, False])
def test_whoever_watches_an_update_sees_a_bar_that_gets_to_its_end(run, place, monkeypatch, has_rich):
    if has_rich:
        pytest.importorskip("rich")
    else:
        monkeypatch.setitem(sys.modules, "rich.progress", None)
    monkeypatch.setattr("capgo_client.cli.update.is_watched", lambda: True)
    place.service.publish(make_bundle("1.6.0", FILES))
    said = run("update", "--unsigned")
    assert said.code == 0
    assert ("100/100 fetching 1.6.0" in said.out) == (not has_rich)
    assert said.out.splitlines()[-1] == "queued: the app opens 1.6.0 at its next start"
    assert "fetching" not in run("update", "--unsigned", "--json").out


def test_no_queue_leaves_the_app_at_what_it_opens(run, place):
    place.service.publish(make_bundle("1.6.0", FILES))
    assert run("update", "--unsigned", "--no-queue").code == 0
    assert "1.6.0" in run("list").out
    assert place.opens() == "1.5.0"


def test_update_wants_to_know_whether_there_is_a_key(run, place):
    place.service.publish(make_bundle("1.6.0", FILES))
    said = run("update")
    assert said.code == 2
    assert "--public-key, or say --unsigned" in said.err
    assert place.service.requests == []


def test_with_a_key_nothing_unsigned_is_installed(run, place, tmp_path):
    keys = BundleKeys.generate()
    (tmp_path / "public.pem").write_text(keys.public_pem)
    place.service.publish(make_bundle("1.6.0", FILES))
    refused = run("update", "--public-key", tmp_path / "public.pem", "--json")
    assert (refused.code, refused.json["ok"]) == (1, False)
    assert "1.6.0" not in run("list").out
    place.service.publish(make_bundle("1.6.1", FILES, keys=keys))
    assert run("update", "--public-key", tmp_path / "public.pem").code == 0
    assert place.opens(public_key=keys.public_pem) == "1.6.1"


def test_a_key_and_unsigned_contradict_each_other(run, monkeypatch):
    monkeypatch.setenv("CAPGO_CLIENT_PUBLIC_KEY", BundleKeys.generate().public_pem)
    assert run("update", "--unsigned").code == 2


def test_rollback_opens_the_version_before(run, place):
    said = run("rollback")
    assert said.code == 0
    assert said.out.splitlines() == [
        f"the app opens 1.4.5 ({place.ids['1.4.5']}) at its next start, instead of 1.5.0",
        "the service may offer 1.5.0 again",
    ]
    assert place.opens() == "1.4.5"


def test_a_condemned_version_is_refused_when_it_is_offered_again(run, place):
    assert run("rollback", "--condemn").code == 0
    assert place.opens() == "1.4.5"
    assert "The app would: refuse it" in run("check").out
    assert run("update", "--unsigned", "--json").json["code"]


def test_there_is_nothing_behind_the_builtin(run, place):
    run("reset")
    assert place.opens() == "1.4.0"
    said = run("rollback", "--json")
    assert (said.code, said.json["ok"], said.json["code"]) == (1, False, "bundle_protected")
    assert said.json["problem"] == "the builtin is open: nothing stands behind it"
    assert "`capgo-client reset` takes back what is queued" in said.json["hint"]


@pytest.mark.parametrize(
    ("code", "hint"),
    [("disable_auto_update_to_major", "install the app anew"), ("disable_emulator", "a rule of the channel")],
)
def test_an_update_that_a_rule_keeps_from_this_device_says_which_and_what_to_do(run, place, code, hint):
    place.service.set_fault(f"blocked-{code.replace('_', '-')}")
    said = run("update", "--unsigned", "--json")
    assert (said.code, said.json["ok"], said.json["kind"], said.json["code"]) == (1, False, "blocked", code)
    assert said.json["problem"]
    assert hint in said.json["hint"]


def test_reset_opens_the_builtin_and_keeps_what_was_downloaded(run, place):
    said = run("reset")
    assert (said.code, said.out) == (0, "the app opens 1.4.0 (builtin) at its next start\n")
    assert place.opens() == "1.4.0"
    assert "1.5.0" in run("list").out


def test_reset_to_the_last_successful_takes_back_what_waits(run, place):
    run("reset")
    assert run("reset", "--to-last-successful").out.startswith("the app opens 1.5.0")
    assert place.opens() == "1.5.0"


# ---- channels ----


def test_a_channel_is_listed_set_asked_for_and_unset(run, place):
    place.service.add_channel("beta", allow_self_set=True)
    assert "beta  devices may choose it" in run("channel", "list").out.splitlines()
    assert run("channel", "set", "beta").out.splitlines()[0] == "this device follows beta from now on"
    run("check")
    assert place.service.checks[-1].json["defaultChannel"] == "beta"
    assert run("channel", "get", "--json").json["channel"] == "beta"
    assert run("channel", "unset").out.startswith("this device follows the public channel again")
    run("check")
    assert place.service.checks[-1].json.get("defaultChannel", "") == ""


def test_a_channel_that_devices_may_not_choose_is_refused(run, place):
    place.service.add_channel("inner", allow_self_set=False)
    said = run("channel", "set", "inner", "--json")
    assert (said.code, said.json["ok"]) == (1, False)


def test_a_channel_that_does_not_exist_is_a_clear_no_and_not_an_unreached_service(run):
    said = run("channel", "set", "nope", "--json")
    assert (said.code, said.json["ok"], said.json["code"]) == (1, False, "channel_not_found")
    assert "`capgo-client channel list`" in said.json["hint"]


@pytest.mark.parametrize("status", [404, 429, 500])
def test_a_service_that_says_neither_yes_nor_no_to_a_channel_is_3(run, place, status):
    place.service.set_fault(f"http-{status}", on="channel")
    assert run("channel", "set", "beta").code == 3


# ---- the doctor ----


def verdicts(document):
    return {(finding["what"], finding["verdict"]) for finding in document["findings"]}


def test_the_doctor_says_what_the_next_start_opens(run, place):
    with place.updater() as updater:
        updater.set_next(place.ids["1.4.5"])
    said = run("doctor")
    assert said.code == 0, said.out
    assert f"ok    next start  opens 1.4.5 ({place.ids['1.4.5']}), because 1.4.5 was queued" in said.out.splitlines()
    assert said.out.splitlines()[-1] == "Nothing has to be mended."
    assert place.opens() == "1.4.5"


def test_the_doctor_passes_over_what_a_start_would(run, place):
    (place.data / "installs" / place.ids["1.5.0"] / "lease").unlink()
    said = run("doctor", "--offline")
    assert said.code == 1
    assert "cannot be opened" in said.out
    assert f"opens 1.4.5 ({place.ids['1.4.5']})" in said.out
    assert place.opens() == "1.4.5"


def test_a_service_that_nobody_is_behind_is_named(run):
    with refused_url() as url:
        said = run("doctor", "--json", "--update-url", f"{url}/updates")
    assert said.code == 1
    assert ("service", "FAIL") in verdicts(said.json)


@pytest.mark.parametrize(("ended", "verdict"), [(False, "ok"), (True, "note")])
def test_a_last_check_that_brought_no_answer_is_no_good_one(run, place, ended, verdict):
    if ended:
        place.service.end_plan()
    with Updater(APP, "1.4.0", data_dir=place.data, **place.urls) as updater:
        updater.start()
        updater.notify_app_ready()
        assert updater.wait(20)
    found = [each for each in run("doctor", "--offline", "--json").json["findings"] if each["what"] == "last check"]
    assert [each["verdict"] for each in found] == [verdict]


@pytest.fixture
def dated():
    """A server that says what time it is, as every real one does."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(404)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/updates"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("off", "verdict"), [(0, "ok"), (-86_400, "FAIL"), (86_400, "FAIL")])
def test_a_clock_that_is_far_off_is_named(run, dated, monkeypatch, off, verdict):
    class Off(Clock):
        def wall(self):
            return super().wall() + off

    monkeypatch.setattr("capgo_client.cli.findings.Clock", Off)
    said = run("doctor", "--json", "--update-url", dated)
    assert said.code == (verdict == "FAIL")
    assert [found["verdict"] for found in said.json["findings"] if found["what"] == "clock"] == [verdict]


def test_options_that_make_no_sense_are_named_and_the_rest_is_looked_at(run, tmp_path):
    (tmp_path / "key.pem").write_text("-----BEGIN RSA PUBLIC KEY-----\nAAAA\n-----END RSA PUBLIC KEY-----\n")
    said = run("doctor", "--json", "--public-key", tmp_path / "key.pem")
    assert said.code == 1
    assert {("options", "FAIL"), ("data", "ok")} <= verdicts(said.json)


def test_a_key_that_works_is_named_by_its_id(run, tmp_path):
    keys = BundleKeys.generate()
    (tmp_path / "key.pem").write_text(keys.public_pem)
    assert f"{keys.key_id}, 2048 bits" in run("doctor", "--offline", "--public-key", tmp_path / "key.pem").out


def test_a_new_installer_is_foreseen(run, place):
    said = run("doctor", "--offline", "--version", "2.0.0")
    assert "what was downloaded under it is dropped" in said.out
    assert "opens 2.0.0 (builtin)" in said.out
    with Updater(APP, "2.0.0", data_dir=place.data, auto_update="off") as updater:
        assert updater.start().version == "2.0.0"


def test_an_app_that_was_never_started_is_no_fault(run, tmp_path):
    said = run("doctor", "--offline", "--version", "1.4.0", "--data-dir", tmp_path / "none")
    assert said.code == 0, said.out
    assert "opens 1.4.0 (builtin), because nothing newer is installed" in said.out
    assert not (tmp_path / "none").exists()


def test_a_version_that_nobody_told_is_not_made_up(run, tmp_path):
    said = run("doctor", "--offline", "--data-dir", tmp_path / "none")
    assert "opens the builtin, because nothing newer is installed" in said.out
    assert "0.0.0" not in said.out


@pytest.mark.parametrize(("refused", "words"), [(os.W_OK, "written"), (os.X_OK, "read")])
def test_a_data_folder_that_may_not_be_used_has_to_be_mended(run, place, monkeypatch, refused, words):
    monkeypatch.setattr(os, "access", lambda path, mode: not (str(path) == str(place.data) and mode & refused))
    before = place.seen()
    said = run("doctor", "--offline")
    assert said.code == 1
    assert f"FAIL  data        {place.data} cannot be {words}: nothing new is installed" in said.out.splitlines()
    assert "run this command as the user that the app runs as" in said.out
    assert said.out.splitlines()[-1] == "One thing has to be mended."
    assert place.seen() == before


@pytest.mark.parametrize(
    "kind",
    [
        "file",
        pytest.param("dangling link", marks=pytest.mark.skipif(os.name == "nt", reason="links are not for everybody")),
    ],
)
def test_what_lies_in_the_place_of_the_data_folder_has_to_be_mended(run, tmp_path, kind):
    there = tmp_path / "there"
    there.write_text("mine") if kind == "file" else there.symlink_to(tmp_path / "nowhere")
    said = run("doctor", "--offline", "--version", "1.4.0", "--data-dir", there)
    assert said.code == 1
    assert f"FAIL  data        {there} is no folder: nothing new is installed" in said.out.splitlines()


# ---- a data folder that keeps this user out ----

NEEDING = [
    "list",
    "current",
    "verify",
    "rollback",
    "reset",
    "channel unset",
    "check",
    "update --unsigned",
    "check --new-device",
]


@pytest.fixture(params=["closed", "listed only"])
def kept_out(request, place, monkeypatch):
    """Another user's data folder: everything in it is refused, and perhaps the list of its names too."""

    def refusing(call):
        def refuse(path, *arguments, **more):
            where = os.fspath(path) if isinstance(path, (str, os.PathLike)) else ""
            is_within = where.startswith(f"{place.data}{os.sep}")
            if is_within or (call is os.scandir and where == str(place.data) and request.param == "closed"):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), where)
            return call(path, *arguments, **more)

        return refuse

    for name in ("stat", "lstat", "scandir", "open"):
        monkeypatch.setattr(os, name, refusing(getattr(os, name)))


@pytest.mark.usefixtures("kept_out")
@pytest.mark.parametrize("command", NEEDING)
def test_a_data_folder_that_keeps_this_user_out_is_named_with_what_to_do(run, place, command):
    said = run(*command.split())
    assert (said.code, said.out) == (1, "")
    assert f"state_unreadable: the data folder {place.data} cannot be read: Permission denied" in said.err
    document = run(*command.split(), "--json").json
    assert (document["ok"], document["code"]) == (False, "state_unreadable")
    assert document["hint"] == "run the command as the user that the app runs as"


# ---- where options come from, and how commands end ----


def test_the_command_line_wins_over_the_environment_and_that_over_the_table(run, place, tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").write_text(
        f'[tool.capgo]\napp_id = "{APP}"\ndefault_channel = "table"\nupdate_url = "https://nobody.invalid/"\n'
    )
    asked = lambda: place.service.checks[-1].json["defaultChannel"]  # noqa: E731
    place.service.add_channel("table", allow_self_set=True)
    run("check")
    assert asked() == "table"
    monkeypatch.setenv("CAPGO_CLIENT_DEFAULT_CHANNEL", "variable")
    run("check")
    assert asked() == "variable"
    run("check", "--default-channel", "line")
    assert asked() == "line"


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('pubic_key = "a"', "did you mean public_key?"),
        ("require_bound = 1", "true or false"),
        ('allow_downgrade = "never"', "may be above_builtin, yes, no"),
        ("public_key = [1]", "a text or a list of texts"),
        ("app_id = ", "is no TOML"),
    ],
)
def test_a_table_that_cannot_be_meant_is_a_mistake(run, tmp_path, table, said):
    (tmp_path / "pyproject.toml").write_text(f"[tool.capgo]\n{table}\n")
    answer = run("list")
    assert (answer.code, said in answer.err) == (2, True), answer.err


@pytest.mark.parametrize(
    "text",
    [
        '[ tool.capgo ]\napp_id = "{}"',
        '[tool."capgo"]\napp_id = "{}"',
        '[tool]\ncapgo.app_id = "{}"',
        'tool = {{ capgo = {{ app_id = "{}" }} }}',
        '[tool]\ncapgo = {{ app_id = "{}" }}',
        'tool . capgo . app_id = "{}"',
    ],
)
def test_the_table_counts_however_toml_lets_it_be_spelled(run, tmp_path, monkeypatch, text):
    monkeypatch.delenv("CAPGO_CLIENT_APP_ID")
    (tmp_path / "pyproject.toml").write_text(text.format(APP))
    said = run("channel", "unset")
    assert said.code == 0, said.err


@pytest.mark.parametrize(
    "text", ['[[tool.capgo]]\napp_id = "a"', "[tool]\ncapgo = 5", "tool = 3\n[capgo]\n", "[[tool]]\ncapgo.app_id = 'a'"]
)
def test_what_is_no_table_is_a_mistake(run, tmp_path, text):
    (tmp_path / "pyproject.toml").write_text(text)
    said = run("list")
    assert said.code == 2
    assert "in pyproject.toml is no table; write [tool.capgo]" in said.err


@pytest.mark.parametrize(("value", "mode"), [("true", "atBackground"), ("false", "off")])
def test_the_mode_in_the_table_may_be_true_or_false_as_the_updater_takes_it(run, tmp_path, value, mode):
    (tmp_path / "pyproject.toml").write_text(f"[tool.capgo]\nauto_update = {value}\n")
    assert f", mode {mode}" in run("doctor", "--offline").out


@pytest.mark.usefixtures("without_toml")
@pytest.mark.parametrize("text", ['dependencies = ["capgo-client[cli]"]', 'Homepage = "https://capgo.app"'])
def test_a_project_that_only_mentions_us_has_no_table(run, tmp_path, text):
    (tmp_path / "pyproject.toml").write_text(f"[project]\n{text}\n")
    said = run("list")
    assert (said.code, said.err) == (0, "")


@pytest.fixture
def without_toml(tmp_path, monkeypatch):
    """A Python before 3.11 with nothing more than the library, in the folder of a project with a table."""
    monkeypatch.setitem(sys.modules, "tomllib", None)
    monkeypatch.setitem(sys.modules, "tomli", None)
    (tmp_path / "pyproject.toml").write_text(f'[tool.capgo]\napp_id = "{APP}"\ndefault_channel = "table"\n')


@pytest.mark.usefixtures("without_toml")
def test_where_the_table_cannot_be_read_options_are_enough(run, place):
    said = run("list", "--app-id", APP, "--data-dir", place.data)
    assert said.code == 0
    assert "1.5.0" in said.out
    assert said.err.startswith("note: [tool.capgo] in pyproject.toml is not read")


@pytest.mark.usefixtures("without_toml")
def test_where_the_table_cannot_be_read_and_nothing_else_names_the_app_that_is_a_mistake(run, monkeypatch):
    monkeypatch.delenv("CAPGO_CLIENT_APP_ID", raising=False)
    said = run("list")
    assert said.code == 2
    assert "pip install tomli" in said.err


def test_a_variable_that_cannot_be_meant_is_a_mistake(run, monkeypatch):
    monkeypatch.setenv("CAPGO_CLIENT_REQUIRE_BOUND", "perhaps")
    assert "CAPGO_CLIENT_REQUIRE_BOUND is 'perhaps'" in run("list").err


def test_no_answer_is_3_and_never_no_update(run):
    with refused_url() as url:
        said = run("check", "--json", "--update-url", f"{url}/updates")
    assert (said.code, said.json["ok"], said.json["code"]) == (3, False, "network_error")


def test_a_plan_that_ended_is_3(run, place):
    place.service.end_plan()
    said = run("check")
    assert said.code == 3
    assert "on_premise_app" in said.err


@pytest.mark.parametrize(
    "command", [["list"], ["current"], ["check"], ["update", "--unsigned"], ["reset"], ["rollback"]]
)
def test_a_device_that_is_not_there_is_not_made(run, tmp_path, command):
    said = run(*command, "--data-dir", tmp_path / "none")
    assert said.code == 2
    assert "there is no folder" in said.err
    assert not (tmp_path / "none").exists()


def test_a_new_device_is_made_where_that_is_asked_for(run, place, tmp_path):
    new = tmp_path / "kiosk"
    said = run("update", "--unsigned", "--new-device", "--version", "1.4.0", "--data-dir", new)
    assert said.code == 0, said.err
    with Updater(APP, "1.4.0", data_dir=new, auto_update="off", **place.urls) as updater:
        assert updater.start().version == "1.5.0"


def test_another_version_of_the_installer_than_the_app_told_is_a_mistake(run):
    said = run("reset", "--version", "2.0.0")
    assert said.code == 2
    assert "the app on this device said last that it is 1.4.0" in said.err


def test_options_that_the_updater_refuses_are_2(run):
    assert run("check", "--update-url", "http://example.com/").code == 2


@pytest.mark.parametrize("given", ["nan", "inf", "-inf", "0", "-1", "soon"])
@pytest.mark.parametrize(
    "option",
    ["update --unsigned --timeout", "simulate --app start.py --timeout", "selftest --random --seconds"],
)
def test_only_a_time_that_ends_is_one(run, capsys, option, given):
    words = option.split()
    with pytest.raises(SystemExit) as ended:
        run(*words[:-1], f"{words[-1]}={given}")
    assert ended.value.code == 2
    assert (
        f"argument {words[-1]}: {given!r} is not possible; a number of seconds, more than 0" in capsys.readouterr().err
    )


@pytest.mark.parametrize("option", ["--grace", "--patience"])
def test_what_a_simulation_adds_to_a_time_ends_too(run, capsys, option):
    with pytest.raises(SystemExit):
        run("simulate", "--app", "start.py", f"{option}=nan")
    assert f"argument {option}: 'nan' is not possible; a number of seconds, 0 or more" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    ["simulate --app start.py --json", "simulate --app start.py --junit", "selftest --random --seconds 1 --json"],
)
@pytest.mark.parametrize("obstacle", ["a folder", "no right to write"])
def test_a_report_that_cannot_be_written_is_told_before_the_work_begins(run, tmp_path, monkeypatch, command, obstacle):
    (tmp_path / "start.py").write_text("raise SystemExit")
    report = tmp_path / "report"
    if obstacle == "a folder":
        report.mkdir()
    else:
        monkeypatch.setattr(os, "access", lambda path, _: str(path) not in (str(report), str(tmp_path)))
    said = run(*command.split(), report)
    assert (said.code, said.out) == (2, "")
    assert f"{report} cannot be written: " in said.err
    assert not report.is_file()


def test_a_mistake_in_an_option_is_a_sentence_on_standard_error_also_under_json(run):
    said = run("check", "--json", "--update-url", "http://example.com/")
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("capgo-client: invalid_config: update_url: ")
