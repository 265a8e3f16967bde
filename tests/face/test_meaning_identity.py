"""Who the device says it is (section 4; decision 15; reference/service-behaviour.md section 1.1)."""

from __future__ import annotations

import re

import pytest
from children import in_child

from capgo_client import ConfigError

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
GIVEN = "00009A6B-EEFE-490A-9C60-8E965132AE51"


def _sent(app, **options):
    updater = app.launch(**options)
    assert updater.wait(10)
    return app.service.checks[-1].json


def test_a_device_id_is_made_once_and_kept(app):
    updater = app.launch()
    made = updater.device_id
    assert UUID.fullmatch(made)
    assert _sent(app)["device_id"] == made
    assert app.updater().device_id == made
    assert in_child(app, "tell(updater().device_id)") == [made]


def test_two_devices_have_two_ids(app):
    other = app.updater(data_dir=app.data.parent / "another device")
    assert other.device_id != app.updater().device_id


def test_a_given_device_id_is_used_in_lower_case_and_not_kept(app):
    assert _sent(app, device_id=GIVEN)["device_id"] == GIVEN.lower()
    assert app.updater(device_id=GIVEN).device_id == GIVEN.lower()
    assert app.updater().device_id != GIVEN.lower()


@pytest.mark.promise(2)
@pytest.mark.parametrize("text", ["", "nonsense", "00009a6b-eefe-490a-9c60-8e965132ae5", "\0" * 36])
def test_a_damaged_device_id_is_made_anew(app, text):
    app.data.mkdir()
    (app.data / "device-id").write_text(text)
    updater = app.launch()
    assert UUID.fullmatch(updater.device_id)
    assert app.updater().device_id == updater.device_id


def test_a_kept_device_id_in_upper_case_is_sent_in_lower_case(app):
    app.data.mkdir()
    (app.data / "device-id").write_text(GIVEN)
    assert _sent(app)["device_id"] == GIVEN.lower()


def test_what_a_check_says_of_the_builtin(app):
    said = _sent(app, custom_id="till 7", default_channel="beta")
    assert said["app_id"] == "com.example.notes"
    assert (said["version_build"], said["version_name"]) == ("1.4.0", "1.4.0")
    assert said["plugin_version"] == "8.51.14"
    assert said["platform"] == "electron"
    assert (said["custom_id"], said["defaultChannel"]) == ("till 7", "beta")
    assert (said["is_emulator"], said["is_prod"]) == (False, True)


def test_what_a_check_says_of_a_downloaded_version(app):
    app.install("1.5.0")
    said = _sent(app)
    assert (said["version_build"], said["version_name"]) == ("1.4.0", "1.5.0")


def test_no_value_that_a_check_sends_is_null_and_none_is_empty(app):
    # The service answers 400 to null (section 1.1).
    assert [name for name, value in _sent(app).items() if value is None or value == ""] == ["version_code"]


def test_our_own_version_goes_into_the_user_agent(app):
    updater = app.launch()
    assert updater.wait(10)
    agent = app.service.checks[-1].headers["user-agent"]
    assert re.fullmatch(r"capgo-client/\S+ \(com\.example\.notes\) electron/.+", agent)


def test_get_latest_may_ask_for_a_channel(app):
    app.service.add_channel("beta")
    updater = app.launch(auto_update="off", default_channel="production")
    app.publish("1.9.0", channel="beta")
    assert updater.get_latest("beta").version == "1.9.0"
    assert app.service.checks[-1].json["defaultChannel"] == "beta"


def test_a_custom_id_holds_for_this_process(app):
    updater = app.launch(auto_update="off")
    updater.set_custom_id("till 8")
    with pytest.raises(Exception, match="no default channel"):
        updater.get_latest()
    assert app.service.checks[-1].json["custom_id"] == "till 8"
    updater.set_custom_id("")
    with pytest.raises(Exception, match="no default channel"):
        updater.get_latest()
    assert "custom_id" not in app.service.checks[-1].json
    assert "custom_id" not in _sent(app)


@pytest.mark.parametrize("value", ["x" * 37, None, 5])
def test_a_custom_id_that_the_service_would_refuse_is_refused_without_being_repeated(app, value):
    updater = app.updater()
    with pytest.raises(ConfigError) as caught:
        updater.set_custom_id(value)
    assert "x" * 37 not in str(caught.value)
