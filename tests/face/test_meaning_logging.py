"""The log and ``explain()``: quiet, one line for each outcome, nothing secret (decisions 17, 18)."""

from __future__ import annotations

import logging

import pytest
from children import in_child

from capgo_client import CapgoError
from capgo_client.testing import make_bundle

CUSTOM_ID = "jane@example.org"


def _outcomes(caplog):
    return [record.getMessage() for record in caplog.records if record.getMessage().startswith("update check:")]


@pytest.fixture
def everything(caplog):
    """Every record of ours, at every level."""
    caplog.set_level(logging.DEBUG, logger="capgo_client")
    caplog.set_level(logging.DEBUG)
    return caplog


def _text(caplog):
    """All that a handler could write of the records, with exceptions."""
    formatter = logging.Formatter("%(name)s %(levelname)s %(message)s")
    return "\n".join(formatter.format(record) for record in caplog.records)


def test_an_app_that_sets_up_no_logging_sees_nothing_of_a_good_start(app, capfd):
    in_child(app, "u = updater(); u.start(); u.notify_app_ready(); u.wait(5); u.close()")
    assert capfd.readouterr() == ("", "")


def test_an_app_that_sets_up_no_logging_sees_nothing_of_a_bad_one_either(app, capfd):
    in_child(app, "u = updater(); u.start(); u.report_crash(RuntimeError('x')); u.verify('builtin'); u.close()")
    assert capfd.readouterr() == ("", "")


def test_our_loggers_have_no_handler_that_writes(app):
    app.launch()
    root = logging.getLogger("capgo_client")
    assert [type(handler) for handler in root.handlers] == [logging.NullHandler]
    assert root.level == logging.NOTSET


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("no_new_version_available", "nothing: this is the newest version"),
        ("disable_device", "nothing: the channel keeps a version from this device: Cannot update"),
        ("on_premise_app", "paused: the service does not serve this app at the moment"),
        ("too_many_requests", "paused: the service asked to be asked less often"),
        ("no_channel", "failed: the service could not be asked, or its answer not be used: no default channel"),
        ("unknown_error", "failed: the service could not be asked, or its answer not be used: Unknown error"),
    ],
)
def test_each_outcome_is_one_line_at_info(app, caplog, case, words):
    caplog.set_level(logging.INFO, logger="capgo_client")
    app.service.reply_case(case)
    assert app.launch().wait(10)
    assert [line.partition("update check: ")[2][: len(words)] for line in _outcomes(caplog)] == [words]


def test_an_update_is_one_line_at_info(app, caplog):
    caplog.set_level(logging.INFO, logger="capgo_client")
    app.publish("1.5.0")
    assert app.launch().wait(10)
    assert _outcomes(caplog) == ["update check: queued: 1.5.0 opens at the next start"]


def test_a_check_that_was_not_made_is_no_line_at_info(app, caplog):
    caplog.set_level(logging.INFO, logger="capgo_client")
    assert app.launch(auto_update="off").wait(10)
    assert _outcomes(caplog) == []


@pytest.mark.promise(6)
def test_nothing_secret_is_logged_in_a_whole_life(app, everything):
    keys = app.keys
    bundle = make_bundle("1.5.0", {"main.py": "x"}, keys=keys)
    app.service.publish(bundle)
    options = {"public_key": keys.public_pem, "custom_id": CUSTOM_ID, "auto_update": "always"}
    updater = app.launch(**options)
    assert updater.wait(10)
    device = updater.device_id
    assert updater.current.version == "1.5.0"
    updater.notify_app_ready()
    updater.get_latest()
    updater.set_custom_id(CUSTOM_ID.upper())
    worse = make_bundle("1.6.0", {"main.py": "y"}, keys=keys)
    app.service.publish(worse)
    app.service.set_fault("flip-bit", on="download")
    updater = app.launch(**options)
    assert updater.wait(10)
    app.service.set_fault("http-500", on="updates")
    updater = app.launch(**options)
    assert updater.wait(10)
    updater.report_crash(ValueError(f"of {CUSTOM_ID}"))
    app.close()
    said = _text(everything) + str(updater.explain())
    assert "1.5.0" in said
    secrets = {
        "the device id in a URL": f"device_id={device}",
        "a URL's query": "?key=",
        "the session key": bundle.session_key,
        "its second half": bundle.session_key.partition(":")[2][:40],
        "the session key of a bundle that failed": worse.session_key.partition(":")[2][:40],
        "the signed checksum": bundle.checksum[:64],
        "the custom id": CUSTOM_ID,
        "the custom id that was set": CUSTOM_ID.upper(),
        "the public key": keys.public_pem.splitlines()[2],
    }
    assert {name for name, secret in secrets.items() if secret in said} == set()


@pytest.mark.promise(6)
@pytest.mark.parametrize(
    "fault", ["http-404", "http-403", "reset-in-body", "flip-bit", "redirect-to-http", "short-body"]
)
def test_no_error_of_a_download_repeats_the_query_or_the_keys(app, everything, fault):
    bundle = make_bundle("1.5.0", {"main.py": "x"}, keys=app.keys)
    app.service.publish(bundle)
    updater = app.launch(auto_update="off", public_key=app.keys.public_pem, custom_id=CUSTOM_ID)
    update = updater.get_latest()
    app.service.set_fault(fault, on="download")
    with pytest.raises(CapgoError) as caught:
        updater.download(update)
    said = f"{_text(everything)} {caught.value} {caught.value.hint} {caught.value.__cause__}"
    for secret in (bundle.session_key, bundle.checksum[:64], "device_id=", updater.device_id, CUSTOM_ID):
        assert secret not in said


@pytest.mark.promise(6)
@pytest.mark.parametrize("case", ["missing_device_id", "invalid_json_body", "too_many_requests_reset"])
def test_what_the_service_echoes_of_the_request_is_not_repeated(app, everything, case):
    # moreInfo.body holds the caller's whole body (reference/service-behaviour.md section 0).
    app.service.reply_case(case)
    updater = app.launch(auto_update="off", custom_id=CUSTOM_ID)
    with pytest.raises(CapgoError) as caught:
        updater.get_latest()
    said = f"{_text(everything)} {caught.value} {updater.explain()}"
    assert updater.device_id not in said
    assert CUSTOM_ID not in said


# --- explain() ------------------------------------------------------------------------------------------------------


def test_explain_before_start_says_so(app):
    text = str(app.updater().explain())
    assert "start() was not called" in text
    assert "has not been asked yet" in text


def test_explain_says_what_opened_why_and_from_where(app):
    app.install("1.5.0")
    found = app.launch(update_url="").explain()
    assert found.opened.startswith("1.5.0 (")
    assert found.why == "1.5.0 confirmed itself before"
    assert found.origin == "the state file"
    assert found.fallback.startswith("1.5.0 (")


def test_no_update_and_could_not_ask_are_never_the_same(app):
    app.publish("1.4.0")
    updater = app.launch()
    assert updater.wait(10)
    up_to_date = updater.explain()
    app.service.stop()
    updater = app.launch()
    assert updater.wait(10)
    silent = updater.explain()
    assert (up_to_date.answer, silent.answer) == ("up_to_date", "failed")
    assert up_to_date.remedy != silent.remedy
    assert silent.answer_code == "network_error"
    assert silent.good_answer_age is not None


def test_explain_says_what_would_change_it(app):
    app.service.reply_case("disable_device")
    updater = app.launch()
    assert updater.wait(10)
    found = updater.explain()
    assert (found.answer, found.answer_code) == ("blocked", "disable_device")
    assert "channel" in found.remedy


def test_explain_names_a_wait_that_the_service_ordered(app):
    app.service.reply_case("too_many_requests_reset")
    updater = app.launch()
    assert updater.wait(10)
    assert updater.explain().waiting_until > 0
    assert "asked not to be asked" in str(updater.explain())
