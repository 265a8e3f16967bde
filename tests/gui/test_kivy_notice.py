"""What a person is told, event by event; no Kivy is needed for it."""

from __future__ import annotations

import pytest

from capgo_client import Bundle, BundleStatus, Event
from capgo_client.integrations.kivy.notice import HEARD, NOTHING, Notice, after, at_first


def bundle(version="1.1.0", status=BundleStatus.PENDING, **more):
    return Bundle(f"id-{version}", version, None, status, **more)


def told(*events, first=NOTHING):
    notice = first
    for event in events:
        notice = after(notice, event)
    return notice


NEW = bundle(comment="Fixed.", link="https://a.example/")
READY = Notice("ready", "1.1.0", 100, NEW, queued=True)
ON_DISK = Notice("ready", "1.1.0", 100, NEW)
CAME = Event("download", version="1.1.0", percent=40)


def test_the_bar_follows_the_download_and_never_goes_back():
    assert told(CAME) == Notice("coming", "1.1.0", 40)
    assert told(CAME, Event("download", version="1.1.0", percent=30)) == Notice("coming", "1.1.0", 40)
    assert told(CAME, Event("download", version="1.2.0", percent=10)) == Notice("coming", "1.2.0", 10)


def test_a_download_that_failed_is_not_spoken_of():
    assert told(CAME, Event("download_failed", version="1.1.0", error="http_503")) == NOTHING


@pytest.mark.parametrize(("name", "expected"), [("set_next", READY), ("update_available", ON_DISK)])
def test_what_is_ready_brings_its_release_notes(name, expected):
    notice = told(CAME, Event(name, bundle=NEW, version="1.1.0"))

    assert notice == expected
    assert (notice.comment, notice.link) == ("Fixed.", "https://a.example/")
    assert (told(CAME).comment, told(CAME).link) == ("", "")


def test_only_what_is_queued_opens_by_itself():
    there, queued = Event("update_available", bundle=NEW), Event("set_next", bundle=NEW)

    assert told(there) == ON_DISK
    assert told(there, queued) == told(queued, there) == READY
    assert told(Event("update_available", bundle=bundle("1.2.0")), first=READY).queued is False


def test_what_was_told_before_is_told_again_while_it_is_there():
    running, other = bundle("1.0.0"), bundle("1.2.0")

    assert at_first(None, running=running, told=ON_DISK, here=(running, NEW)) == ON_DISK
    assert at_first(other, running=running, told=ON_DISK, here=(NEW, other)).version == "1.2.0"
    assert at_first(None, running=running, told=READY, here=(NEW,)) == ON_DISK
    assert at_first(None, running=NEW, told=ON_DISK, here=(NEW,)) == NOTHING
    assert at_first(None, running=running, told=ON_DISK, here=(running,)) == NOTHING
    assert at_first(None, running=running, told=ON_DISK, here=(bundle(status=BundleStatus.ERROR),)) == NOTHING
    assert at_first(None, running=running, told=told(CAME), here=(running,)) == NOTHING


def test_what_is_ready_stays_on_offer_while_a_newer_one_comes():
    coming = (Event("download", version="1.2.0", percent=10), Event("download_failed", version="1.2.0"))
    newer = bundle("1.2.0")

    assert told(*coming, first=READY) == READY
    assert told(Event("set_next", bundle=newer), first=READY) == Notice("ready", "1.2.0", 100, newer, queued=True)


def test_nothing_is_offered_that_runs_already_or_was_condemned():
    bad = bundle(status=BundleStatus.ERROR)

    assert told(Event("set", bundle=NEW), first=READY) == NOTHING
    assert told(Event("update_failed", bundle=bad), first=READY) == NOTHING
    assert told(Event("update_failed", bundle=bundle("1.0.5")), first=READY) == READY
    assert told(Event("update_available", bundle=bad)) == NOTHING


def test_the_way_back_to_the_builtin_is_offered_as_any_other():
    builtin = Bundle("builtin", "1.0.0", None, BundleStatus.SUCCESS)

    assert told(Event("set_next", bundle=builtin)) == Notice("ready", "1.0.0", 100, builtin, queued=True)


def test_it_begins_with_what_is_queued():
    assert at_first(None, running=bundle("1.0.0")) == NOTHING
    assert at_first(NEW, running=bundle("1.0.0")) == READY
    assert at_first(NEW, running=NEW) == NOTHING


def test_events_of_no_interest_change_nothing():
    assert told(Event("app_ready", bundle=NEW), Event("set_next"), first=READY) == READY


def test_every_event_that_it_hears_exists(capgo_updater):
    updater = capgo_updater(auto_update="off")

    assert len({updater.on(name, print) for name in HEARD}) == len(HEARD)
