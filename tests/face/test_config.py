"""Every option is checked once, when the Updater is built; the message says what was wrong and what is allowed."""

from __future__ import annotations

import pytest

from capgo_client import ConfigError, Updater
from capgo_client.config import MODES, configure

# --- app_id ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("app_id", ["com.example.notes", "a.b", "COM.Example_1.no-tes", "1.2", "com.example._"])
def test_an_app_id_that_the_service_takes_is_taken(app, app_id):
    app.updater(app_id=app_id)


@pytest.mark.parametrize(
    "app_id",
    ["", "notes", "com", "com.", ".com", "com..notes", "com example.notes", "com_x.notes", "com.exa mple",
     "com.notes\n", "cöm.notes", "com/notes.x", None, 5, b"com.example.notes"],
)  # fmt: skip
def test_an_app_id_that_the_service_would_refuse_for_ever_is_refused(app, app_id):
    with pytest.raises(ConfigError) as caught:
        app.updater(app_id=app_id)
    assert caught.value.message.startswith("app_id: ")
    assert "com.example.notes" in caught.value.hint


# --- version --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1.4.0", "0.0.0", "1.4.0-rc.1", "1.4.0-alpha", "1.4.0+5", "1.4.0-rc.1+build.7"])
def test_a_semver_version_is_taken(app, version):
    assert app.updater(version=version).builtin.version == version


@pytest.mark.parametrize(
    ("version", "fix"),
    [
        ("1.4.0rc1", '"1.4.0-rc.1"'),
        ("1.4.0a2", '"1.4.0-alpha.2"'),
        ("1.4.0b1", '"1.4.0-beta.1"'),
        ("1.4.0.dev3", '"1.4.0-dev.3"'),
        ("1.4.0.post1", '"1.4.1"'),
        ("1.4.0.5", '"1.4.0"'),
        ("1.4", '"1.4.0"'),
        ("1", '"1.0.0"'),
        ("v1.4.0", '"1.4.0"'),
        ("01.4.0", '"1.4.0"'),
        ("1.4.0-01", "1.4.0"),
        ("", "1.4.0"),
        ("latest", "1.4.0"),
        ("builtin", "1.4.0"),
        ("1.4.0\n", "1.4.0"),
        (1.4, "1.4.0"),
        (None, "1.4.0"),
        ((1, 4, 0), "1.4.0"),
    ],
)
def test_a_version_that_is_not_semver_is_refused_with_the_fix(app, version, fix):
    with pytest.raises(ConfigError) as caught:
        app.updater(version=version)
    assert caught.value.message.startswith("version: ")
    assert fix in str(caught.value)


# --- modes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("auto_update", "direct_update", "mode"),
    [
        *((mode, False, mode) for mode in MODES),
        (True, False, "atBackground"),
        (False, False, "off"),
        ("true", False, "atBackground"),
        ("false", False, "off"),
        (True, True, "always"),
        (True, "always", "always"),
        (True, "atInstall", "atInstall"),
        (True, "onLaunch", "onLaunch"),
        (True, "true", "always"),
        (True, "false", "atBackground"),
        (False, "always", "off"),
        ("onlyDownload", "always", "onlyDownload"),
    ],
)
def test_modes_are_capgos(app, auto_update, direct_update, mode):
    updater = app.updater(auto_update=auto_update, direct_update=direct_update)
    assert updater._engine.config.mode == mode


@pytest.mark.parametrize("auto_update", ["", "atbackground", "on", "never", 1, 0, None, "OFF", ["off"]])
def test_an_invalid_mode_raises_instead_of_meaning_at_background(app, auto_update):
    with pytest.raises(ConfigError) as caught:
        app.updater(auto_update=auto_update)
    assert "auto_update" in caught.value.message
    assert all(mode in caught.value.hint for mode in MODES)


@pytest.mark.parametrize("direct_update", ["sometimes", 1, None, "off", {}])
def test_an_invalid_direct_update_raises(app, direct_update):
    with pytest.raises(ConfigError, match="direct_update"):
        app.updater(direct_update=direct_update)


# --- numbers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [3.0, 3, 0.5, 0.001])
@pytest.mark.promise(1)
def test_response_timeout_may_be_lowered(app, value):
    assert app.updater(response_timeout=value)._engine.config.response_timeout == value


@pytest.mark.parametrize(
    "value", [3.001, 20, 0, -1, float("inf"), float("nan"), None, "3", True, 10**400, 1 + 2j], ids=lambda v: repr(v)[:9]
)
@pytest.mark.promise(1)
def test_response_timeout_above_three_seconds_or_without_sense_raises(app, value):
    with pytest.raises(ConfigError, match="response_timeout"):
        app.updater(response_timeout=value)


@pytest.mark.parametrize("name", ["app_ready_timeout", "direct_timeout"])
@pytest.mark.parametrize("value", [0, -5, float("nan"), float("inf"), "10", None, False])
def test_other_times_are_checked_too(app, name, value):
    with pytest.raises(ConfigError, match=name):
        app.updater(**{name: value})


@pytest.mark.parametrize("value", [1, 3, 100])
def test_max_boot_attempts_is_a_whole_number(app, value):
    app.updater(max_boot_attempts=value)


@pytest.mark.parametrize("value", [0, -1, 101, 1.5, "3", None, True])
def test_max_boot_attempts_of_another_kind_raise(app, value):
    with pytest.raises(ConfigError, match="max_boot_attempts"):
        app.updater(max_boot_attempts=value)


@pytest.mark.parametrize(("value", "seconds"), [(0, 0.0), (-5, 0.0), (5, 600.0), (600, 600.0), (86400, 86400.0)])
def test_the_period_is_capgos_off_or_ten_minutes_at_least(app, value, seconds):
    # reference/plugin-behaviour.md section 2
    assert app.updater(period_check_delay=value)._engine.config.period_check_delay == seconds


@pytest.mark.parametrize(
    "value", [None, "600", float("nan"), float("inf"), True, -(10**400)], ids=lambda v: repr(v)[:9]
)
def test_a_period_of_another_kind_raises(app, value):
    with pytest.raises(ConfigError, match="period_check_delay"):
        app.updater(period_check_delay=value)


# --- URLs -----------------------------------------------------------------------------------------------------------

URLS = ("update_url", "stats_url", "channel_url")


@pytest.mark.parametrize("name", URLS)
@pytest.mark.parametrize(
    "url", ["", "https://updates.example.org/u", "http://127.0.0.1:8080/u", "http://localhost/u", "http://[::1]:1/u"]
)
def test_urls_are_https_or_loopback_or_off(app, name, url):
    assert getattr(app.updater(**{name: url})._engine.config, name) == url


@pytest.mark.parametrize("name", URLS)
@pytest.mark.parametrize(
    "url",
    ["http://updates.example.org/u", "http://127.0.0.1.example.org/u", "ftp://x/u", "updates.example.org", "https://",
     "https://[::1", "https://x:port/", "https://x/ y", "file:///etc/passwd", None, 5, b"https://x/", False],
)  # fmt: skip
def test_other_urls_raise(app, name, url):
    with pytest.raises(ConfigError, match=name):
        app.updater(**{name: url})


def test_plain_http_beyond_loopback_can_be_allowed(app):
    app.updater(update_url="http://updates.example.org/u", allow_http=True)


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("nonsense", "'nonsense'"),
        ("updates.example.com", "'updates.example.com'"),
        ("localhost:8000", "'localhost:8000'"),
        ("updates.example.com/k/kept-to-us", "'updates.example.com/...'"),
        ("me:kept-to-us", "'me://'"),
        ("me:kept-to-us@x", "'me://'"),
        ("x?key=kept-to-us", "'://'"),
        ("x#kept-to-us", "'://'"),
        ("kept-to-us" * 10, "'://'"),
        ("file:///kept-to-us", "'file://'"),
    ],
)
@pytest.mark.parametrize("name", URLS)
def test_what_is_no_url_is_told_as_it_was_typed_where_it_holds_no_secret(app, name, typed, told):
    with pytest.raises(ConfigError) as caught:
        app.updater(**{name: typed})
    assert caught.value.message == f"{name}: {told} is not possible"


def test_an_empty_update_url_turns_checks_off(app):
    updater = app.launch(update_url="", auto_update="always")
    assert updater.wait(5)
    assert updater.trigger_update_check() == "unavailable"
    with pytest.raises(ConfigError) as caught:
        updater.get_latest()
    assert caught.value.code == "missing_config"


# --- the rest -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, "no", 1, 0, "above", "", "True"])
def test_allow_downgrade_has_three_values(app, value):
    with pytest.raises(ConfigError, match="allow_downgrade"):
        app.updater(allow_downgrade=value)


@pytest.mark.parametrize("name", ["require_bound", "reset_when_update", "allow_http"])
@pytest.mark.parametrize("value", [1, 0, "yes", None])
def test_switches_are_true_or_false(app, name, value):
    with pytest.raises(ConfigError, match=name):
        app.updater(**{name: value})


@pytest.mark.parametrize("name", ["reload", "dispatch", "may_download"])
@pytest.mark.parametrize("value", ["f", 5, True])
def test_callables_can_be_called(app, name, value):
    with pytest.raises(ConfigError, match=name):
        app.updater(**{name: value})


@pytest.mark.parametrize(
    "value", ["", "x", "00009a6b-eefe-490a-9c60-8e965132ae5", "{00009a6b-eefe-490a-9c60-8e965132ae51}", 5, b"x",
              "00009a6beefe490a9c608e965132ae51", "00009a6b-eefe-490a-9c60-8e965132ae5g"]
)  # fmt: skip
def test_a_device_id_that_is_no_uuid_raises(app, value):
    with pytest.raises(ConfigError, match="device_id"):
        app.updater(device_id=value)


@pytest.mark.parametrize("value", ["", "/main.py", "../main.py", "a/../main.py", "a//b", "./x", "a\\b", 5, "a/"])
def test_an_entry_is_a_file_inside_the_bundle(app, value):
    with pytest.raises(ConfigError, match="entry"):
        app.updater(entry=value)


@pytest.mark.parametrize("value", ["main.py", "src/app/main.py"])
def test_an_entry_may_lie_in_a_folder(app, value):
    app.updater(entry=value)


@pytest.mark.parametrize("name", ["builtin", "data_dir"])
@pytest.mark.parametrize("value", ["", 5, b"app", "a\0b"])
def test_folders_are_paths(app, name, value):
    with pytest.raises(ConfigError, match=name):
        app.updater(**{name: value})


@pytest.mark.parametrize("value", ["x" * 37, None, 5])
def test_a_custom_id_is_short_and_never_repeated(app, value):
    with pytest.raises(ConfigError, match="custom_id") as caught:
        app.updater(custom_id=value)
    assert "xxx" not in str(caught.value)


@pytest.mark.parametrize("value", [None, 5, b"beta"])
def test_a_channel_is_text(app, value):
    with pytest.raises(ConfigError, match="default_channel"):
        app.updater(default_channel=value)


def test_paths_are_made_absolute_when_the_updater_is_built(app, monkeypatch):
    monkeypatch.chdir(app.builtin.parent)
    updater = app.updater(builtin="app", data_dir="data")
    monkeypatch.chdir("/")
    assert updater.start().path == app.builtin
    assert (app.data / "installs").is_dir()


def test_options_beyond_the_first_three_are_by_keyword_only(app):
    with pytest.raises(TypeError):
        Updater("com.example.notes", "1.4.0", app.builtin, "always")


@pytest.mark.promise(2)
def test_building_an_updater_touches_neither_disk_nor_network(app):
    app.updater()
    assert not app.data.exists()
    assert app.service.requests == []


def test_a_config_error_is_a_value_error(app):
    with pytest.raises(ValueError, match="version"):
        app.updater(version="x")


def test_a_long_value_is_cut_in_the_message(app):
    with pytest.raises(ConfigError) as caught:
        app.updater(app_id="x" * 10_000)
    assert len(str(caught.value)) < 500


def test_configure_is_where_it_happens():
    assert configure.__kwdefaults__ is None  # no default but those that Updater shows
