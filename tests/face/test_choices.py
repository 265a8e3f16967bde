"""What an app chooses while it runs: names, addresses, condemned bundles; and the options that permit it."""

from __future__ import annotations

import pytest
from hearing import Heard

from capgo_client import BundleError, BundleStatus, ConfigError
from capgo_client.testing import Service


def said(app):
    return app.service.checks[-1].json


# --- names ----------------------------------------------------------------------------------------------------------


def test_a_custom_id_lasts_for_the_process(app):
    updater = app.launch()
    updater.set_custom_id("till 7")
    updater.trigger_update_check()
    assert updater.wait(10)
    assert said(app)["custom_id"] == "till 7"
    assert app.launch().wait(10)
    assert "custom_id" not in said(app)


def test_a_custom_id_is_kept_where_that_is_wished(app):
    app.launch(persist_custom_id=True).set_custom_id("till 7")
    assert app.launch(persist_custom_id=True).wait(10)
    assert said(app)["custom_id"] == "till 7"
    assert app.launch().wait(10)
    assert "custom_id" not in said(app)
    app.launch(persist_custom_id=True).set_custom_id("")
    assert app.launch(persist_custom_id=True).wait(10)
    assert "custom_id" not in said(app)


@pytest.mark.parametrize("wrong", ["x" * 37, None, 7])
def test_a_custom_id_that_the_service_refuses_is_refused_here(app, wrong):
    with pytest.raises(ConfigError) as caught:
        app.updater().set_custom_id(wrong)
    assert "x" * 37 not in str(caught.value)


def test_the_app_id_is_changed_only_where_that_is_permitted_and_only_for_the_process(app):
    with pytest.raises(ConfigError) as caught:
        app.launch().set_app_id("com.example.other")
    assert caught.value.code == "disabled_by_config"
    updater = app.launch(allow_modify_app_id=True)
    updater.set_app_id("com.example.other")
    assert updater.app_id == "com.example.other"
    updater.trigger_update_check()
    assert updater.wait(10)
    assert said(app)["app_id"] == "com.example.other"
    with pytest.raises(ConfigError):
        updater.set_app_id("no dots")
    assert app.launch(allow_modify_app_id=True).app_id == "com.example.notes"


def test_what_the_options_say_of_the_device_is_sent(app):
    options = {"version_code": "1400", "install_source": "google_play", "is_emulator": True, "is_prod": False}
    assert app.launch(**options).wait(10)
    assert {name: said(app)[name] for name in options} == options


@pytest.mark.parametrize(
    "wrong",
    [
        {"version_code": 7},
        {"version_code": "x" * 65},
        {"install_source": "x" * 65},
        {"install_source": None},
        {"is_emulator": 1},
        {"is_prod": "yes"},
        {"default_channel": "a\nb"},
        {"allow_modify_url": "true"},
        {"persist_custom_id": 1},
    ],
)
def test_an_option_that_the_service_would_refuse_is_refused_here(app, wrong):
    with pytest.raises(ConfigError) as caught:
        app.updater(**wrong)
    assert next(iter(wrong)) in str(caught.value)


def test_the_plugin_version_is_the_protocol_level(app):
    assert app.updater().plugin_version == "8.51.14"


# --- addresses ------------------------------------------------------------------------------------------------------


@pytest.fixture
def other():
    with Service() as service:
        yield service


def test_addresses_are_changed_only_where_that_is_permitted(app, other):
    updater = app.launch(auto_update="off")
    for change in (updater.set_update_url, updater.set_stats_url, updater.set_channel_url):
        with pytest.raises(ConfigError) as caught:
            change(other.update_url)
        assert caught.value.code == "disabled_by_config"
        assert "allow_modify_url" in caught.value.hint


def test_a_changed_address_is_asked_in_this_process_and_not_in_the_next(app, other):
    updater = app.launch(auto_update="off", allow_modify_url=True)
    updater.set_update_url(other.update_url)
    updater.set_channel_url(other.channel_url)
    updater.trigger_update_check()
    assert updater.wait(10)
    updater.list_channels()
    assert [request.path.rstrip("/") for request in other.requests] == ["/updates", "/channel_self"]
    assert app.launch(allow_modify_url=True).wait(10)
    assert len(other.checks) == 1
    assert len(app.service.checks) == 1


def test_a_changed_address_is_kept_where_that_is_wished(app, other):
    options = {"allow_modify_url": True, "persist_modify_url": True}
    app.launch(auto_update="off", **options).set_update_url(other.update_url)
    assert app.launch(**options).wait(10)
    assert (len(other.checks), len(app.service.checks)) == (1, 0)
    assert app.launch(persist_modify_url=True).wait(10)  # no longer permitted: not used either
    assert (len(other.checks), len(app.service.checks)) == (1, 1)


@pytest.mark.parametrize("wrong", ["", "http://example.org/updates", "ftp://example.org", "nonsense", None, 7])
def test_an_address_that_cannot_be_one_is_refused_and_the_old_one_stays(app, wrong):
    updater = app.launch(auto_update="off", allow_modify_url=True)
    with pytest.raises(ConfigError):
        updater.set_update_url(wrong)
    updater.trigger_update_check()
    assert updater.wait(10)
    assert len(app.service.checks) == 1


# --- bundles --------------------------------------------------------------------------------------------------------


def test_condemning_by_hand_has_to_be_permitted(app):
    app.install("1.5.0")
    updater = app.launch(auto_update="off")
    with pytest.raises(ConfigError) as caught:
        updater.set_bundle_error(updater.current)
    assert caught.value.code == "disabled_by_config"


def test_a_bundle_condemned_by_hand_opens_no_more_and_is_not_fetched_again(app):
    app.install("1.5.0")
    updater = app.launch(allow_manual_bundle_error=True, auto_update="off")
    assert updater.set_bundle_error(updater.current).status is BundleStatus.ERROR
    updater = app.launch()
    assert updater.current.is_builtin
    downloads = len(app.service.downloads)
    assert updater.wait(10)
    assert len(app.service.downloads) == downloads
    assert app.launch().current.is_builtin


@pytest.mark.parametrize("bundle", ["builtin", "nosuchthing"])
def test_only_a_bundle_that_is_there_can_be_condemned(app, bundle):
    with pytest.raises(BundleError):
        app.launch(allow_manual_bundle_error=True).set_bundle_error(bundle)


def test_reload_changes_over_to_what_is_queued(app):
    app.queue("1.5.0")
    shown = []
    updater = app.updater(update_url="", reload=lambda bundle: shown.append(bundle.version))
    updater.start()
    assert updater.current.version == "1.5.0"
    updater.set_next("builtin")
    heard = Heard(updater)
    assert updater.reload().is_builtin
    assert shown == ["1.4.0"]
    assert heard.wait("app_reloaded").bundle.is_builtin
    assert updater.next_bundle is None


def test_reload_with_nothing_queued_runs_the_same_once_more(app):
    app.install("1.5.0")
    shown = []
    updater = app.launch(update_url="", reload=lambda bundle: shown.append(bundle.version))
    heard = Heard(updater)
    assert updater.reload().version == "1.5.0"
    assert shown == ["1.5.0"]
    heard.wait("app_reloaded")
    assert "set" not in heard.names  # nothing changed
    updater.notify_app_ready()
    assert app.launch(update_url="").current.version == "1.5.0"


def test_reload_with_nothing_queued_and_no_way_to_change_over_does_nothing(app):
    app.install("1.5.0")
    assert app.launch(update_url="").reload().version == "1.5.0"


def test_reset_may_use_the_pending_bundle(app):
    app.queue("1.5.0")
    updater = app.updater(update_url="", reload=lambda: None)
    updater.start()
    updater.set_next("builtin")
    assert updater.reset(use_pending_bundle=True).is_builtin
    assert updater.current.is_builtin
    with pytest.raises(BundleError):
        updater.reset(use_pending_bundle=True)


def test_rolled_back_and_replaced_bundles_stay_where_that_is_wished(app):
    options = {"auto_delete_failed": False, "auto_delete_previous": False}
    for version in ("1.5.0", "1.6.0", "1.7.0"):
        app.install(version, **options)
    app.queue("1.8.0", **options)
    updater = app.launch(**options)
    updater.report_crash(ValueError("boom"))
    updater = app.launch(**options)
    assert updater.wait(10)
    assert [(b.version, b.status.value) for b in updater.bundles()] == [
        ("1.5.0", "success"),
        ("1.6.0", "success"),
        ("1.7.0", "success"),
        ("1.8.0", "error"),
    ]
    updater = app.launch()
    assert updater.wait(10)
    assert [b.version for b in updater.bundles()] == ["1.6.0", "1.7.0"]


# --- whether updates happen at all ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "enabled"),
    [({}, True), ({"auto_update": "onlyDownload"}, True), ({"auto_update": "off"}, False), ({"update_url": ""}, False)],
)
def test_auto_update_enabled_tells_whether_checks_happen(app, options, enabled):
    updater = app.updater(**options)
    assert updater.auto_update_enabled is enabled
    assert updater.auto_update_available


def test_under_force_builtin_updates_are_not_available(app, monkeypatch):
    monkeypatch.setenv("CAPGO_CLIENT_FORCE_BUILTIN", "1")
    updater = app.launch()
    assert not updater.auto_update_available
    assert not updater.auto_update_enabled


def test_a_check_triggered_while_the_last_one_tidies_up_is_made(app, monkeypatch):
    from capgo_client.upkeep import Upkeep

    updater = app.launch()
    answers = []
    tidy = Upkeep.tidy

    def slow(self, *args, **options):
        monkeypatch.setattr(Upkeep, "tidy", tidy)
        answers.append(updater.trigger_update_check())
        tidy(self, *args, **options)

    monkeypatch.setattr(Upkeep, "tidy", slow)
    assert updater.wait(10)
    assert answers == ["queued"]
    assert len(app.service.checks) == 2
