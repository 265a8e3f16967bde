"""What the app does by hand: ask, download, queue, reset, delete (reference/service-behaviour.md section 1)."""

from __future__ import annotations

import errno
import threading
import time

import pytest
from children import Child

from capgo_client import (
    Blocked,
    Builtin,
    Bundle,
    BundleError,
    BundleStatus,
    CapgoError,
    ConfigError,
    DeadlineExceeded,
    NetworkError,
    RateLimited,
    ReplyError,
    ServiceError,
    StorageError,
    TransferError,
    Update,
    UpdateRefused,
    UpToDate,
)
from capgo_client.testing import CASES, FaultyFiles, make_bundle, refused_url, silent_peer

# --- get_latest() ---------------------------------------------------------------------------------------------------

_BLOCKED = (
    "provider_infrastructure_request_blocked",
    "key_id_mismatch",
    "disabled_platform_ios",
    "disabled_platform_android",
    "disabled_platform_electron",
    "disable_auto_update_to_major",
    "cannot_update_via_private_channel",
    "disable_auto_update_to_minor",
    "disable_auto_update_to_patch",
    "disable_auto_update_to_metadata",
    "disable_auto_update_under_native",
    "disable_prod_build",
    "disable_dev_build",
    "disable_device",
    "disable_emulator",
)
_ANSWERS = {
    "no_new_version_available": (UpToDate, "up_to_date"),
    "already_on_builtin": (Builtin, "builtin"),
    **dict.fromkeys(_BLOCKED, (Blocked, "blocked")),
}
_FAILED = (
    "unknown_version_build",
    "semver_error",
    "unsupported_plugin_version",
    "no_channel",
    "no_bundle",
    "misconfigured_channel",
    "revert_to_builtin_plugin_version_too_old",
    "no_bundle_url",
    "no_url_or_manifest",
    "missing_info",
    "null_channel_data",
)
#: Case → (status, code, may it be tried again without a change).
_ERRORS = {
    **{code: (200, code, False) for code in _FAILED},
    "invalid_json_parse_body": (400, "invalid_json_parse_body", False),
    "invalid_json_body": (400, "invalid_json_body", False),
    "missing_device_id": (400, "missing_device_id", False),
    "missing_app_id": (400, "missing_app_id", False),
    "semver_error_request": (400, "semver_error", False),
    "not_found": (404, "not_found", False),
    "unknown_error": (500, "unknown_error", True),
    "on_premise_app": (429, "on_premise_app", True),
    "on_premise_app_guard": (429, "on_premise_app", True),
    "need_plan_upgrade": (429, "need_plan_upgrade", True),
}
_LIMITS = ("too_many_requests", "too_many_requests_reset")
_BLOCKED_429 = "provider_infrastructure_request_blocked_429"


def test_every_row_of_the_services_tables_is_expected_here():
    assert {*_ANSWERS, *_ERRORS, *_LIMITS, _BLOCKED_429} == set(CASES)


@pytest.fixture
def updater(app):
    return app.launch(auto_update="off")


@pytest.mark.parametrize("case", _ANSWERS)
def test_an_answer_is_an_outcome_with_the_services_code(app, updater, case):
    app.service.reply_case(case)
    outcome = updater.get_latest()
    kind, word = _ANSWERS[case]
    assert type(outcome) is kind
    assert (outcome.kind, outcome.code, outcome.message) == (word, case, CASES[case].message)


def test_a_new_major_version_is_told_as_breaking(app, updater):
    app.service.reply_case("disable_auto_update_to_major", version="2.0.0")
    outcome = updater.get_latest()
    assert (outcome.breaking, outcome.version) == (True, "2.0.0")


def test_a_block_with_status_429_is_a_block(app, updater):
    app.service.reply_case(_BLOCKED_429)
    assert updater.get_latest().kind == "blocked"


@pytest.mark.parametrize("case", _ERRORS)
def test_no_answer_is_a_service_error_with_the_services_code(app, updater, case):
    app.service.reply_case(case)
    with pytest.raises(ServiceError) as caught:
        updater.get_latest()
    error = caught.value
    assert not isinstance(error, RateLimited)
    assert (error.status, error.code, error.retryable) == _ERRORS[case]


def test_a_rate_limit_without_a_time(app, updater):
    app.service.reply_case("too_many_requests")
    with pytest.raises(RateLimited) as caught:
        updater.get_latest()
    assert (caught.value.code, caught.value.retry_at, caught.value.retryable) == ("too_many_requests", None, True)


def test_a_rate_limit_with_a_time(app, updater):
    app.service.reply_case("too_many_requests_reset")
    with pytest.raises(RateLimited) as caught:
        updater.get_latest()
    assert 50 < caught.value.retry_at - time.time() <= 61


def test_a_rate_limit_that_still_runs_is_kept_to_and_nothing_is_sent(app):
    app.service.reply_case("too_many_requests_reset")
    updater = app.launch()
    assert updater.wait(10)
    assert len(app.service.checks) == 1
    with pytest.raises(RateLimited) as caught:
        updater.get_latest()
    assert caught.value.status == 0
    assert caught.value.retry_at > time.time()
    assert len(app.service.checks) == 1


def test_an_offer_is_an_update_with_its_parts(app, updater):
    bundle = app.publish("1.5.0", link="https://example.org/notes", comment="what is new")
    outcome = updater.get_latest()
    assert type(outcome) is Update
    assert (outcome.version, outcome.checksum, outcome.session_key) == ("1.5.0", bundle.checksum, "")
    assert (outcome.link, outcome.comment) == ("https://example.org/notes", "what is new")
    assert outcome.url.startswith(app.service.url)
    assert app.service.downloads == []


def test_the_plan_that_ended_is_told_from_up_to_date(app, updater):
    app.publish("1.4.0")
    assert updater.get_latest().kind == "up_to_date"
    app.service.end_plan()
    with pytest.raises(ServiceError, match="On-premise app detected"):
        updater.get_latest()
    app.service.restore_plan()
    assert updater.get_latest().kind == "up_to_date"


@pytest.mark.promise(1)
def test_silence_is_a_time_out_within_the_limit(app):
    updater = app.launch(auto_update="off", response_timeout=0.3)
    app.service.set_fault("silence", on="updates")
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded) as caught:
        updater.get_latest()
    assert time.monotonic() - began < 0.4 + 0.5  # imports of the first use come on top
    assert isinstance(caught.value, TimeoutError)


def test_nobody_there_is_a_network_error(app):
    with refused_url() as url:
        updater = app.launch(auto_update="off", update_url=f"{url}/updates")
        with pytest.raises(NetworkError) as caught:
            updater.get_latest()
    assert caught.value.retryable


@pytest.mark.parametrize("fault", ["html-200", "not-json", "truncated-json", "empty-body", "deep-json", "huge-json"])
def test_what_is_not_the_service_is_a_reply_error_or_a_broken_transfer(app, updater, fault):
    app.service.set_fault(fault, on="updates")
    with pytest.raises((ReplyError, TransferError)) as caught:
        updater.get_latest()
    if fault in ("html-200", "not-json", "deep-json"):
        assert type(caught.value) is ReplyError
        assert caught.value.code == "parse_error"


def test_get_latest_needs_no_start(app):
    app.publish("1.5.0")
    assert app.updater().get_latest().version == "1.5.0"


# --- download() -----------------------------------------------------------------------------------------------------


def test_a_download_by_hand_is_not_queued(app, updater):
    app.publish("1.5.0", link="https://example.org/notes", comment="new")
    bundle = updater.download(updater.get_latest())
    assert isinstance(bundle, Bundle)
    assert (bundle.version, bundle.status) == ("1.5.0", BundleStatus.PENDING)
    assert (bundle.link, bundle.comment) == ("https://example.org/notes", "new")
    assert (bundle.path / "main.py").read_text() == "print('1.5.0')\n"
    assert updater.next_bundle is None
    assert updater.bundles() == (bundle,)
    assert app.launch(update_url="", auto_update="off").current.is_builtin


def test_a_download_takes_the_parts_of_an_offer(app, updater):
    made = make_bundle("1.5.0", {"main.py": "x"})
    bundle = updater.download(app.service.store("mine.zip", made.archive), "1.5.0", checksum=made.checksum)
    assert bundle.version == "1.5.0"


def test_what_is_on_disk_already_is_returned_as_it_is(app, updater):
    app.publish("1.5.0")
    update = updater.get_latest()
    assert updater.download(update) == updater.download(update)
    assert len(app.service.downloads) == 1


def test_what_is_damaged_on_disk_is_fetched_anew(app, updater):
    app.publish("1.5.0")
    update = updater.get_latest()
    first = updater.download(update)
    (first.path.parent / "seal.json").unlink()
    second = updater.download(update)
    assert second.id != first.id
    assert updater.verify(second)


@pytest.mark.promise(5)
def test_what_failed_here_is_refused_by_hand_too(app):
    app.queue("1.5.0")
    app.launch(update_url="").report_crash(ValueError("boom"))
    updater = app.launch(auto_update="off")
    with pytest.raises(UpdateRefused) as caught:
        updater.download(updater.get_latest())
    assert caught.value.code == "failed_before"


@pytest.mark.parametrize(
    ("fault", "error", "code"),
    [
        ("http-404", ServiceError, None),
        ("http-500", ServiceError, None),
        ("reset-before-headers", NetworkError, None),
        ("cut-body", NetworkError, None),
        ("flip-bit", CapgoError, "checksum_fail"),
        ("redirect-loop", CapgoError, None),
    ],
)
def test_a_download_that_fails_raises_and_leaves_the_queue_alone(app, updater, fault, error, code):
    app.publish("1.5.0")
    update = updater.get_latest()
    app.service.set_fault(fault, on="download")
    with pytest.raises(error) as caught:
        updater.download(update)
    assert code is None or caught.value.code == code
    assert (updater.bundles(), updater.next_bundle) == ((), None)


def test_a_download_ends_at_its_deadline(app, updater):
    app.publish("1.5.0")
    update = updater.get_latest()
    app.service.set_fault("silence", on="download")
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        updater.download(update, timeout=0.3)
    assert time.monotonic() - began < 1.0


def test_a_download_while_another_runs_waits_for_it_no_longer_than_its_deadline(app, updater):
    app.publish("1.5.0")
    update = updater.get_latest()
    fault = app.service.set_fault("silence", on="download")
    errors = []

    def download():
        try:
            updater.download(update)
        except CapgoError as exc:
            errors.append(exc.code)

    thread = threading.Thread(target=download)
    thread.start()
    app.service.wait_for_requests(1, on="download")
    with pytest.raises(StorageError) as caught:
        updater.download(update, timeout=0.2)
    assert caught.value.code == "install_busy"
    fault.remove()
    updater.close()
    thread.join(5)
    assert errors == ["cancelled"]


@pytest.mark.parametrize(
    ("args", "options"),
    [
        (("http://127.0.0.1/x.zip",), {}),
        ((5, "1.5.0"), {}),
        (("http://127.0.0.1/x.zip", ""), {}),
        (("http://127.0.0.1/x.zip", "1.5.0\n"), {}),
        (("http://127.0.0.1/x.zip", "1.5.0"), {"checksum": None}),
        (("http://127.0.0.1/x.zip", "1.5.0"), {"session_key": b"x"}),
    ],
)
def test_arguments_of_the_wrong_kind_are_config_errors(updater, args, options):
    with pytest.raises(ConfigError, match="download"):
        updater.download(*args, **options)


def test_a_full_disk_is_a_storage_error_with_capgos_code(app):
    files = FaultyFiles()
    app.publish("1.5.0")
    updater = app.launch(auto_update="off", files=files)
    update = updater.get_latest()
    files.fail(1, errno.ENOSPC, kinds=["write"], path="staging", times=None)
    with pytest.raises(StorageError) as caught:
        updater.download(update)
    assert caught.value.code == "insufficient_disk_space"
    files.heal()
    assert updater.download(update).version == "1.5.0"


def test_what_the_app_downloaded_itself_stays_until_it_deletes_it(app, updater):
    app.publish("1.5.0")
    mine = updater.download(updater.get_latest())
    for version in ("1.6.0", "1.7.0", "1.8.0"):
        app.install(version)
    updater = app.launch(update_url="")
    assert mine.version in {bundle.version for bundle in updater.bundles()}
    updater.delete(mine)
    assert mine.version not in {bundle.version for bundle in updater.bundles()}
    assert not mine.path.exists()


# --- set_next(), bundles() ------------------------------------------------------------------------------------------


def test_set_next_takes_a_bundle_or_an_id_and_the_builtin(app):
    app.install("1.5.0")
    updater = app.launch(update_url="")
    assert updater.set_next(updater.builtin).is_builtin
    assert updater.next_bundle.is_builtin
    assert updater.set_next(updater.current.id).version == "1.5.0"
    assert updater.next_bundle is None  # it is open already


@pytest.mark.promise(5)
def test_set_next_refuses_what_failed(app):
    app.queue("1.5.0")
    updater = app.launch(update_url="")
    bundle = updater.current
    updater.report_crash(ValueError("boom"))
    with pytest.raises(BundleError) as caught:
        updater.set_next(bundle)
    assert caught.value.code == "failed_before"


@pytest.mark.promise(3)
def test_set_next_refuses_what_is_damaged(app, updater):
    app.publish("1.5.0")
    bundle = updater.download(updater.get_latest())
    (bundle.path.parent / "seal.json").unlink()
    with pytest.raises(BundleError) as caught:
        updater.set_next(bundle)
    assert caught.value.code == "bundle_damaged"
    assert updater.next_bundle is None


@pytest.mark.parametrize("name", ["set_next", "set", "delete", "verify"])
@pytest.mark.parametrize("value", ["", "nosuchidxx", "../..", "BUILTIN", None, 5])
def test_what_names_no_bundle_is_an_error_of_ours(app, name, value):
    updater = app.launch(update_url="")
    with pytest.raises(CapgoError):
        getattr(updater, name)(value)


def test_what_the_app_queued_is_not_replaced_by_silence_and_opens(app, updater):
    app.publish("1.5.0")
    updater.set_next(updater.download(updater.get_latest()))
    app.service.stop()
    assert app.launch().current.version == "1.5.0"


def test_bundles_are_the_downloaded_ones_oldest_first(app):
    app.install("1.5.0")
    app.install("1.6.0")
    found = app.updater().bundles()
    assert [bundle.version for bundle in found] == ["1.5.0", "1.6.0"]
    assert isinstance(found, tuple)
    assert [bundle.downloaded for bundle in found] == sorted(bundle.downloaded for bundle in found)
    assert all(len(bundle.id) == 10 and bundle.id.isalnum() for bundle in found)


# --- reset() --------------------------------------------------------------------------------------------------------


def test_reset_goes_back_to_the_builtin_at_the_next_start(app):
    app.install("1.5.0")
    updater = app.launch(update_url="")
    assert updater.reset().is_builtin
    assert updater.current.version == "1.5.0"
    assert app.launch(update_url="").current.is_builtin


def test_reset_to_the_last_successful_one_drops_what_is_queued(app):
    app.install("1.5.0")
    app.publish("1.6.0")
    updater = app.launch()
    assert updater.wait(10)
    assert updater.next_bundle.version == "1.6.0"
    assert updater.reset(to_last_successful=True).version == "1.5.0"
    assert app.launch(update_url="").current.version == "1.5.0"


def test_reset_takes_its_switch_by_keyword_only(app):
    with pytest.raises(TypeError):
        app.launch(update_url="").reset(True)


# --- delete() -------------------------------------------------------------------------------------------------------


def test_delete_refuses_the_builtin(updater):
    with pytest.raises(BundleError) as caught:
        updater.delete("builtin")
    assert caught.value.code == "bundle_protected"


def test_delete_refuses_what_is_open_or_the_one_to_fall_back_on(app):
    app.install("1.5.0")
    app.queue("1.6.0")
    updater = app.launch(update_url="")
    for bundle in updater.bundles():
        with pytest.raises(BundleError) as caught:
            updater.delete(bundle)
        assert caught.value.code == "bundle_protected"
        assert bundle.path.exists()


def test_delete_refuses_what_is_queued(app, updater):
    app.publish("1.5.0")
    bundle = updater.set_next(updater.download(updater.get_latest()))
    with pytest.raises(BundleError) as caught:
        updater.delete(bundle)
    assert caught.value.code == "bundle_protected"
    updater.set_next("builtin")
    updater.delete(bundle.id)
    assert not bundle.path.parent.exists()
    assert updater.bundles() == ()


def test_delete_refuses_what_this_process_still_runs_from_after_a_roll_back(app):
    app.queue("1.5.0")
    updater = app.launch(update_url="")
    updater.report_crash(ValueError("boom"))
    with pytest.raises(BundleError) as caught:
        updater.delete(updater.current)
    assert caught.value.code == "bundle_protected"
    assert updater.current.path.exists()


@pytest.mark.promise(9)
def test_delete_refuses_what_another_process_runs_from(app, updater):
    app.publish("1.5.0")
    bundle = updater.download(updater.get_latest())
    updater.set_next(bundle)
    app.close()
    with Child(app, "u = updater(); u.start(); u.close(); tell(u.current.version); input()") as other:
        assert other.heard() == "1.5.0"
        updater = app.launch(update_url="")
        updater.notify_app_ready()
        updater.set_next("builtin")
        updater = app.launch(update_url="")
        updater.notify_app_ready()
        with pytest.raises(BundleError) as caught:
            updater.delete(bundle)
        assert caught.value.code == "bundle_in_use"
        assert bundle.path.exists()
        other.go()


# --- trigger_update_check() -----------------------------------------------------------------------------------------


def test_a_trigger_says_queued_and_runs_a_cycle(app):
    updater = app.launch(auto_update="off")
    assert updater.wait(10)
    app.publish("1.5.0")
    assert updater.trigger_update_check() == "queued"
    assert updater.wait(10)
    assert [bundle.version for bundle in updater.bundles()] == ["1.5.0"]
    assert updater.next_bundle is None  # mode "off" leaves it to the app


def test_a_trigger_while_one_runs_says_already_running(app):
    app.service.set_fault("silence", on="updates")
    updater = app.launch()
    updater.notify_app_ready()
    app.service.wait_for_requests(1)
    assert updater.trigger_update_check() == "already_running"
    assert len(app.service.checks) == 1


def test_a_trigger_while_one_is_due_hurries_it_up(app):
    updater = app.launch()
    assert updater.trigger_update_check() == "already_running"
    assert updater.wait(10)
    assert len(app.service.checks) == 1


def test_a_trigger_where_nothing_can_be_asked_says_unavailable(app):
    assert app.updater().trigger_update_check() == "unavailable"  # not started
    assert app.launch(update_url="").trigger_update_check() == "unavailable"


def test_may_download_says_whether_now_is_a_good_time(app):
    app.publish("1.5.0")
    offers, answers = [], [False, True]

    def may_download(update):
        offers.append(update.version)
        return answers[len(offers) - 1]

    updater = app.launch(may_download=may_download)
    assert updater.wait(10)
    assert (updater.next_bundle, app.service.downloads) == (None, [])
    assert "said no" in updater.explain().result
    assert updater.trigger_update_check() == "queued"
    assert updater.wait(10)
    assert updater.next_bundle.version == "1.5.0"
    assert offers == ["1.5.0", "1.5.0"]


def test_a_may_download_that_raises_means_no(app):
    app.publish("1.5.0")
    updater = app.launch(may_download=lambda _: 1 / 0)
    assert updater.wait(10)
    assert app.service.downloads == []


def test_the_apps_own_transport_is_used_and_its_return_is_bounded(app):
    import httpx

    seen = []

    def answer(request):
        seen.append(request.url.path)
        return httpx.Response(200, json={"error": "no_new_version_available", "kind": "up_to_date"})

    updater = app.launch(auto_update="off", transport=httpx.MockTransport(answer))
    assert updater.get_latest().kind == "up_to_date"
    assert seen == ["/updates"]

    go_on = threading.Event()

    def hang(request):
        go_on.wait(10)
        return answer(request)

    updater = app.launch(auto_update="off", transport=httpx.MockTransport(hang), response_timeout=0.2)
    try:
        with pytest.raises(DeadlineExceeded):
            updater.get_latest()
    finally:
        go_on.set()


@pytest.mark.promise(1)
def test_a_peer_that_says_nothing_ends_get_latest_in_time(app):
    with silent_peer() as peer:
        updater = app.launch(auto_update="off", update_url=f"{peer.url}/updates", response_timeout=0.2)
        with pytest.raises(DeadlineExceeded):
            updater.get_latest()
        peer.wait_for_close(timeout=1)
