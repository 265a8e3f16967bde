"""What the plugin's own tests hold it to beside its contract files (reference/plugin-behaviour.md section 11, end).

Each behaviour names the tests of this repository that show it; those that had none are here.
"""

from __future__ import annotations

import ast
import functools
import json
from pathlib import Path

import pytest

from capgo_client import BundleError
from capgo_client.errors import IntegrityError
from capgo_client.install.names import check_name
from capgo_client.testing import make_bundle, refused_url

TESTS = Path(__file__).parents[1]

#: Behaviour: where it is shown. What is done otherwise on purpose says so in its name.
PORTED = {
    "a name that leads to a folder beside the bundle's, with the same beginning, is rejected": (
        "contract/test_ported_behaviours.py::test_a_folder_with_the_same_beginning_is_no_place_for_a_file",
        "install/test_names.py::test_names_that_some_system_reads_otherwise_are_refused_by_reason",
    ),
    "a name that leads out only after .br is taken off is rejected": (
        "install/test_manifest.py::test_a_name_is_refused_that_is_bad_with_or_without_its_br",
    ),
    "a plain and a .br entry for one file are rejected": (
        "face/test_delta_arrival.py::TestTheWholeSet::test_two_that_turn_out_to_be_one_are_refused_when_that_is_known",
        "face/test_delta_arrival.py::TestTheWholeSet::test_a_name_and_the_same_with_br_are_two_where_they_are",
    ),
    "what lies on the device is used instead of a download; never by name alone": (
        "face/test_delta_arrival.py::TestReuse::test_a_damaged_local_file_is_fetched_instead",
        "install/test_reuse.py::test_what_is_found_was_read_just_now_and_stands_first",
        "fetch/test_fetch_files.py::TestTryingAgain::test_what_came_whole_and_was_damaged_since_is",
    ),
    "206 appends": (
        "fetch/test_fetch_resume.py::TestInALaterCall::test_a_plain_download_goes_on_after_the_last_byte",
        "fetch/test_fetch_files.py::TestTryingAgain::test_a_large_file_goes_on_in_a_later_call",
    ),
    "200 replaces": (
        "fetch/test_fetch_resume.py::TestServersThatDoNotPlayAlong::test_a_server_that_ignores_ranges_replaces_what_was_there",
    ),
    "brotli of nothing, and the wrapper of old command lines": (
        "fetch/test_fetch_files.py::TestWhatComes::test_empty_files_come_too",
        "fetch/test_fetch_files.py::TestWhatComes::test_the_wrapper_of_old_command_lines_is_taken_off",
    ),
    "onlyDownload downloads, tells, and queues nothing": (
        "face/test_modes.py::test_an_update_is_opened_queued_or_only_downloaded_as_the_mode_says",
        "face/test_modes.py::test_only_download_says_at_every_launch_that_a_version_waits_for_the_app",
        "face/test_modes.py::test_only_download_leaves_going_back_to_the_builtin_to_the_app",
    ),
    "a legacy error without kind is a failure; here where its code is not known": (
        "protocol/test_update_replies.py::test_an_unknown_code_is_classified_by_its_kind_and_failed_without_one",
        "contract/test_plugin_contract.py::test_an_error_of_an_older_server_is_classified_by_its_code",
    ),
    "a reload that fails restores everything": (
        "face/test_meaning_set.py::test_an_exception_in_reload_restores_everything",
        "contract/test_ported_behaviours.py::test_a_change_over_that_fails_restores_everything",
    ),
    "a reset that fails restores everything": (
        "contract/test_ported_behaviours.py::test_a_change_over_that_fails_restores_everything",
    ),
    "a bundle is on record until its folder is gone": (
        "install/test_store.py::test_an_install_is_renamed_into_the_trash_and_that_flushed_before_a_file_of_it_goes",
        "install/test_store.py::test_whichever_call_of_a_removal_fails_no_half_of_an_install_stays_where_it_could_be_opened",
    ),
    "the queue of statistics survives a new instance": (
        "face/test_statistics.py::test_what_happened_offline_arrives_later_in_order",
        "face/test_statistics.py::test_a_crash_of_the_process_loses_nothing",
    ),
    "the queue of statistics recovers from a damaged file": (
        "contract/test_ported_behaviours.py::test_a_damaged_queue_of_statistics_costs_what_is_damaged_and_no_more",
    ),
}


@functools.cache
def named_in(path):
    """The names of the tests in a file, those of a class as ``Class::test``."""
    found = set()
    for node in ast.parse((TESTS / path).read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found.update(f"{node.name}::{each.name}" for each in node.body if isinstance(each, ast.FunctionDef))
    return found


@pytest.mark.parametrize("behaviour", PORTED)
def test_each_behaviour_is_shown_by_a_test_that_is_there(behaviour):
    for shown in PORTED[behaviour]:
        path, name = shown.split("::", 1)
        assert name in named_in(path), shown


@pytest.mark.parametrize("name", ["../bundle-evil/main.py", "a/../../bundle-evil/main.py", "../bundle", "..", "a/.."])
def test_a_folder_with_the_same_beginning_is_no_place_for_a_file(name, device):
    with pytest.raises(IntegrityError):
        check_name(name)
    device.service.publish(make_bundle("1.1.0", {"main.py": "1", name: "evil"}))
    updater = device.launch(auto_update="off")
    with pytest.raises(IntegrityError):
        updater.download(updater.get_latest())
    assert updater.bundles() == ()


@pytest.mark.parametrize(
    "change_over",
    [
        lambda updater: updater.reload(),
        lambda updater: updater.reset(),
        lambda updater: updater.reset(to_last_successful=True),
        lambda updater: updater.reset(use_pending_bundle=True),
        lambda updater: updater.set("builtin"),
    ],
    ids=["reload", "reset", "reset to the last successful", "reset to the pending", "set"],
)
def test_a_change_over_that_fails_restores_everything(device, change_over):
    def refuse(bundle):
        raise RuntimeError(f"the app cannot show {bundle.version}")

    for version in ("1.1.0", "1.2.0"):
        device.publish(version)
        updater = device.launch()
        updater.notify_app_ready()
        assert updater.wait(10)
    updater = device.launch(reload=refuse, auto_update="off")
    device.publish("1.3.0")
    updater.set_next(updater.download(updater.get_latest()))
    told = [bundle.version for bundle in (updater.current, updater.fallback, updater.next_bundle)]
    assert told == ["1.2.0", "1.1.0", "1.3.0"]
    before = (updater.current, updater.fallback, updater.next_bundle, updater.bundles())

    with pytest.raises(BundleError):
        change_over(updater)

    assert (updater.current, updater.fallback, updater.next_bundle, updater.bundles()) == before


def test_a_damaged_queue_of_statistics_costs_what_is_damaged_and_no_more(device, service):
    with refused_url() as url:  # everything stays in the queue
        updater = device.launch(stats_url=url, update_url="")
        updater.notify_app_ready()
        updater.moved_to_background()
        device.close()
    queue = device.data / "stats" / "events"
    lines = [line for line in queue.read_bytes().splitlines(keepends=True) if line.strip()]
    first, _, *rest, last = [json.loads(line[line.index(b"{") :]) for line in lines]
    assert rest

    # One line has become nonsense, and the last one ends in its middle.
    queue.write_bytes(b"".join([lines[0], b"\0" * 300 + b"\n", *lines[2:-1], lines[-1][:40]]))
    device.launch(stats_url=service.stats_url, update_url="").notify_app_ready()
    service.wait_for_requests(1, on="stats")

    told = [(event["action"], event["timestamp"]) for event in service.events]
    kept = [(event["action"], event["timestamp"]) for event in (first, *rest)]
    assert told[: len(kept)] == kept
    assert (last["action"], last["timestamp"]) not in told
