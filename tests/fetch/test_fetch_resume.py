from __future__ import annotations

import json
import threading

import pytest
from origin import cut, faithful, ignoring_range, ranged, refuse, unannounced

from capgo_client.errors import Cancelled, ChecksumError, NetworkError
from capgo_client.fetch.partial import PartialKey
from capgo_client.net.deadline import Scope
from capgo_client.verify.expectation import Expectation

SIZE = 1_000_003
HALF = 500_000


def interrupt(desk, at=HALF):
    """Let a call end with ``at`` bytes of the wire taken; what it left stays in the folder."""
    desk.origin.script = [cut(at), refuse(500)]
    with pytest.raises(Exception, match="answered 500"):
        desk.fetch()
    desk.origin.requests.clear()
    desk.shown.clear()


class TestWithinOneCall:
    def test_a_plain_download_goes_on_where_it_broke_off(self, desk):
        desk.origin.script = [cut(HALF)]
        assert desk.fetch().read_bytes() == desk.plain
        assert desk.origin.ranges == [None, "bytes=500000-"]

    def test_an_encrypted_download_goes_on_where_it_broke_off(self, desk):
        desk.encrypted()
        desk.origin.script = [cut(HALF + 5)]
        assert desk.fetch().read_bytes() == desk.plain
        assert desk.origin.ranges == [None, "bytes=500005-"]

    def test_three_attempts_that_make_progress_are_all_there_are(self, desk):
        desk.origin.script = [cut(1000), cut(2000), cut(3000), faithful]
        with pytest.raises(NetworkError):
            desk.fetch()
        assert desk.origin.ranges == [None, "bytes=1000-", "bytes=2000-"]
        assert desk.part.read_bytes() == desk.plain[:3000]

    def test_an_attempt_without_progress_is_the_last(self, desk):
        desk.origin.script = [cut(1000), cut(1000), faithful]
        with pytest.raises(NetworkError):
            desk.fetch()
        assert len(desk.origin.requests) == 2

    def test_a_server_that_sends_less_than_was_asked_for_is_asked_for_the_rest(self, desk):
        piece = desk.plain[1000:2000]
        desk.origin.script = [cut(1000), ranged(f"bytes 1000-1999/{SIZE}", piece)]
        assert desk.fetch().read_bytes() == desk.plain
        assert desk.origin.ranges == [None, "bytes=1000-", "bytes=2000-"]

    def test_a_server_that_says_nothing_is_left_too_early_is_asked_for_the_whole(self, desk):
        desk.origin.script = [cut(1000), ranged(f"bytes */{SIZE}", b"")]
        assert desk.fetch().read_bytes() == desk.plain
        assert desk.origin.ranges == [None, "bytes=1000-", None]

    def test_progress_does_not_go_back_when_the_download_starts_anew(self, desk):
        desk.origin.script = [cut(HALF), ignoring_range]
        desk.fetch()
        done = [done for done, _ in desk.shown]
        assert done == sorted(done)
        assert done[-1] == SIZE

    def test_bytes_beyond_the_range_that_was_announced_are_not_kept(self, desk):
        def too_much(request):
            request.head(206, Content_Range=f"bytes 1000-1009/{SIZE}")
            request.body(desk.plain[1000:1005] + b"x" * 100)
            request.hang_up()

        desk.origin.script = [cut(1000), too_much, refuse(500)]
        with pytest.raises(Exception, match=r"longer|500"):
            desk.fetch()
        kept = desk.part.read_bytes()
        assert kept == desk.plain[: len(kept)]


class TestInALaterCall:
    def test_a_plain_download_goes_on_after_the_last_byte(self, desk):
        interrupt(desk)
        assert desk.fetch().read_bytes() == desk.plain
        assert desk.origin.ranges == ["bytes=500000-"]
        assert desk.left == [".zip"]
        assert desk.shown[0][0] > HALF
        assert desk.shown[-1] == (SIZE, SIZE)

    def test_an_encrypted_download_goes_on_one_block_before_the_last_whole_one(self, desk):
        desk.encrypted()
        interrupt(desk, 500_007)
        # 500007 bytes came: 31250 whole blocks, of which one waits for the padding to be judged.
        assert desk.part.stat().st_size == 499_984
        assert desk.fetch().read_bytes() == desk.plain
        assert desk.origin.ranges == ["bytes=499968-"]

    def test_plain_bytes_that_are_no_whole_blocks_are_cut_when_encrypted(self, desk):
        desk.encrypted()
        interrupt(desk)
        with desk.part.open("r+b") as file:
            file.truncate(1003)
        assert desk.fetch().read_bytes() == desk.plain
        assert desk.origin.ranges == ["bytes=976-"]

    @pytest.mark.parametrize(("size", "asked"), [(31, None), (32, "bytes=16-"), (47, "bytes=16-"), (48, "bytes=32-")])
    def test_less_than_two_blocks_are_not_worth_keeping_when_encrypted(self, desk, size, asked):
        desk.encrypted()
        interrupt(desk)
        with desk.part.open("r+b") as file:
            file.truncate(size)
        assert desk.fetch().read_bytes() == desk.plain
        assert desk.origin.ranges == [asked]

    def test_it_may_break_off_again_in_the_block_that_was_asked_for_twice(self, desk):
        desk.encrypted()
        interrupt(desk, 1600)
        desk.origin.script = [cut(1568 + 7)]
        assert desk.fetch().read_bytes() == desk.plain
        assert desk.origin.ranges == ["bytes=1568-", "bytes=1575-"]

    def test_a_complete_partial_is_verified_without_a_request(self, either):
        interrupt(either)
        either.part.write_bytes(either.plain)
        assert either.fetch().read_bytes() == either.plain
        assert either.origin.requests == []

    def test_a_partial_that_was_damaged_costs_one_download_and_not_the_version(self, either):
        interrupt(either)
        damaged = bytearray(either.part.read_bytes())
        damaged[100] ^= 1
        either.part.write_bytes(damaged)
        assert either.fetch().read_bytes() == either.plain
        assert len(either.origin.ranges) == 2
        assert either.origin.ranges[1] is None

    def test_wrong_bytes_are_refused_after_that_one_chance(self, either):
        interrupt(either)
        either.expectation = Expectation(digest=b"\0" * 32, cipher=either.expectation.cipher)
        with pytest.raises(ChecksumError):
            either.fetch()
        assert either.left == []
        assert len(either.origin.requests) == 2

    def test_a_partial_longer_than_the_file_starts_anew(self, desk):
        interrupt(desk)
        desk.part.write_bytes(b"x" * (SIZE + 1))
        assert desk.fetch().read_bytes() == desk.plain
        assert desk.origin.ranges == [None]

    def test_a_partial_that_may_be_complete_and_a_server_that_says_nothing_is_left(self, desk):
        # The length was never told, so it is the server that knows: 206 and bytes */size.
        interrupt(desk)
        note = next(desk.folder.glob("*.json"))
        note.write_text(json.dumps(json.loads(note.read_text()) | {"total": None}))
        desk.part.write_bytes(b"x" * SIZE)
        assert desk.fetch().read_bytes() == desk.plain
        assert desk.origin.ranges == [f"bytes={SIZE}-", None]

    def test_a_download_whose_end_was_cut_off_unannounced_ends_when_nothing_is_left(self, desk):
        def all_but_the_end_of_the_chunks(request):
            request.head(200, Transfer_Encoding="chunked")
            request.body(b"%x\r\n" % SIZE + desk.plain + b"\r\n")
            request.hang_up()

        desk.origin.script = [all_but_the_end_of_the_chunks]
        assert desk.fetch().read_bytes() == desk.plain
        assert desk.origin.ranges == [None, f"bytes={SIZE}-"]


class TestServersThatDoNotPlayAlong:
    def test_a_server_that_ignores_ranges_replaces_what_was_there(self, either):
        interrupt(either)
        either.origin.script = [ignoring_range]
        assert either.fetch().read_bytes() == either.plain
        assert len(either.origin.requests) == 1

    def test_the_whole_without_a_length_replaces_too(self, either):
        interrupt(either)
        either.origin.script = [unannounced]
        assert either.fetch().read_bytes() == either.plain

    @pytest.mark.parametrize(
        "content_range",
        [
            f"bytes 0-{SIZE - 1}/{SIZE}",
            f"bytes 499999-{SIZE - 1}/{SIZE}",
            f"bytes 500001-{SIZE - 1}/{SIZE}",
            f"bytes 500000-{SIZE}/{SIZE}",
            "bytes 500000-499999/1000003",
            f"bytes 500000-{SIZE}/{SIZE + 1}",
            f"bytes */{SIZE}",
            "bytes 500000-600000/*",
            "items 500000-600000/1000003",
            "bytes 500000",
            "",
            None,
        ],
    )
    def test_a_range_that_is_not_the_one_asked_for_is_dropped_and_the_whole_asked_for_once(self, desk, content_range):
        interrupt(desk)
        desk.origin.script = [ranged(content_range, b"y" * 100)]
        assert desk.fetch().read_bytes() == desk.plain
        assert desk.origin.ranges == ["bytes=500000-", None]

    def test_a_range_that_cannot_be_satisfied_starts_anew(self, either):
        interrupt(either)
        either.origin.script = [refuse(416, Content_Range=f"bytes */{SIZE}")]
        assert either.fetch().read_bytes() == either.plain
        assert len(either.origin.ranges) == 2
        assert either.origin.ranges[1] is None

    def test_another_etag_starts_anew(self, either):
        interrupt(either)
        either.origin.etag = '"e2"'
        assert either.fetch().read_bytes() == either.plain
        assert either.origin.ranges[1] is None

    def test_an_etag_that_only_one_reply_has_is_no_reason_to_start_anew(self, desk):
        interrupt(desk)
        desk.origin.script = [ranged(f"bytes {HALF}-{SIZE - 1}/{SIZE}", desk.plain[HALF:])]
        assert desk.fetch().read_bytes() == desk.plain
        assert desk.origin.ranges == ["bytes=500000-"]

    def test_after_one_restart_the_call_tries_no_more(self, desk):
        interrupt(desk)
        desk.origin.script = [refuse(416), cut(1000), faithful]
        with pytest.raises(NetworkError):
            desk.fetch()
        assert desk.origin.ranges == ["bytes=500000-", None]
        assert desk.part.read_bytes() == desk.plain[:1000]


class TestNote:
    @pytest.mark.parametrize(
        "change",
        [
            {"path": "/files/app/other.zip"},
            {"checksum": "d"},
            {"session": "d"},
            {"total": -1},
            {"total": True},
            {"total": "1000003"},
            {"etag": None},
            {"unknown": 1},
        ],
        ids=str,
    )
    def test_one_that_is_about_something_else_or_makes_no_sense_starts_anew(self, desk, change):
        interrupt(desk)
        note = next(desk.folder.glob("*.json"))
        note.write_text(json.dumps(json.loads(note.read_text()) | change))
        assert desk.fetch().read_bytes() == desk.plain
        assert desk.origin.ranges == [None]

    @pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 3000, b" " * 5000, None])
    def test_one_that_is_torn_or_missing_starts_anew(self, desk, text):
        interrupt(desk)
        note = next(desk.folder.glob("*.json"))
        if text is None:
            note.unlink()
        else:
            note.write_bytes(text)
        assert desk.fetch().read_bytes() == desk.plain
        assert desk.origin.ranges == [None]

    def test_another_region_and_another_query_go_on_with_the_same_partial(self, desk):
        interrupt(desk)
        desk.origin.url = desk.origin.url.replace("127.0.0.1", "localhost").replace("device_id=d", "device_id=e")
        assert desk.fetch().read_bytes() == desk.plain
        assert desk.origin.ranges == ["bytes=500000-"]

    def test_another_version_or_session_key_never_gets_the_partial(self, desk):
        interrupt(desk)
        desk.key = PartialKey(version="1.0.2", checksum=desk.key.checksum, session_key="")
        assert desk.fetch().read_bytes() == desk.plain
        assert desk.origin.ranges == [None]
        assert desk.left == [".zip"]


def test_a_cancelled_download_stays_and_goes_on(either):
    half = threading.Event()

    def first_half(request):
        request.head(200, Content_Length=len(either.origin.data), ETag=either.origin.etag)
        request.body(either.origin.data[:HALF])
        either.scope_ended.wait(10)
        request.hang_up()

    either.scope_ended = threading.Event()
    either.origin.script = [first_half]
    either.on_progress = lambda done, _: half.set() if done == HALF else None
    errors = []

    def run():
        with pytest.raises(Cancelled) as caught:
            either.fetch()
        errors.append(caught.value)

    thread = threading.Thread(target=run)
    thread.start()
    assert half.wait(10)
    either.scope.cancel()
    thread.join(5)
    assert not thread.is_alive()
    assert len(errors) == 1
    either.scope_ended.set()
    kept = either.part.read_bytes()
    assert kept == either.plain[: len(kept)]
    assert len(kept) >= HALF - 32
    either.scope, either.on_progress = Scope(20), None
    assert either.fetch().read_bytes() == either.plain
    assert either.origin.ranges[0] is None
    assert either.origin.ranges[1] is not None
