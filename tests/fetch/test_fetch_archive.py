from __future__ import annotations

import errno
import hashlib
import json
import threading
import tracemalloc
from pathlib import Path

import pytest
from origin import faithful, ignoring_range, refuse, unannounced

from capgo_client.errors import (
    Cancelled,
    ChecksumError,
    DeadlineExceeded,
    IntegrityError,
    NetworkError,
    RateLimited,
    ReplyError,
    ServiceError,
    SignatureError,
    StorageError,
    TransferError,
)
from capgo_client.fetch.partial import PartialKey
from capgo_client.net.deadline import Scope
from capgo_client.seams import Files
from capgo_client.verify.expectation import Expectation, expectation
from capgo_client.verify.keys import KeyRing
from capgo_client.verify.pem import parse_public_key

BUNDLES = Path(__file__).parent.parent / "data" / "bundles"


class TestWhole:
    def test_an_archive_arrives_in_one_request_and_alone(self, either):
        path = either.fetch()
        assert path.read_bytes() == either.plain
        assert path.parent == either.folder
        assert either.left == [".zip"]
        assert either.origin.ranges == [None]

    def test_an_archive_whose_length_is_not_announced_arrives(self, either):
        either.origin.script = [unannounced]
        assert either.fetch().read_bytes() == either.plain
        assert {total for _, total in either.shown} == {None}

    @pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 31, 32, 33])
    def test_every_small_size_arrives_encrypted(self, desk, size):
        desk.plain = desk.plain[:size]
        desk.expectation = Expectation(digest=hashlib.sha256(desk.plain).digest(), cipher=None)
        assert desk.encrypted().fetch().read_bytes() == desk.plain

    def test_a_bundle_that_capgos_command_line_encrypted_arrives(self, desk):
        reply = json.loads((BUNDLES / "updates-v1.enc.json").read_bytes())
        desk.origin.data = (BUNDLES / "v1.enc.zip").read_bytes()
        pem = next((BUNDLES / "keys").glob("*.pub")).read_text()
        desk.expectation = expectation(
            keys=KeyRing([parse_public_key(pem)]), session_key=reply["session_key"], checksum=reply["checksum"]
        )
        assert desk.fetch().read_bytes() == (BUNDLES / "v1.zip").read_bytes()

    def test_progress_grows_to_the_whole(self, desk):
        desk.fetch()
        done = [done for done, _ in desk.shown]
        assert done == sorted(done)
        assert desk.shown[-1] == (1_000_003, 1_000_003)

    def test_an_archive_that_was_left_complete_is_not_loaded_again(self, either):
        first = either.fetch()
        assert either.fetch() == first
        assert first.read_bytes() == either.plain
        assert len(either.origin.requests) == 1

    def test_a_complete_archive_that_was_damaged_is_loaded_again(self, either):
        either.fetch().write_bytes(b"damaged")
        assert either.fetch().read_bytes() == either.plain
        assert either.origin.ranges == [None, None]

    def test_nothing_of_the_query_is_kept_on_disk(self, desk):
        desk.scope.cancel()
        desk.on_progress = lambda *_: None
        with pytest.raises(Cancelled):
            desk.fetch()
        desk.scope = Scope(20)
        desk.on_progress = lambda *_: desk.scope.cancel()
        with pytest.raises(Cancelled):
            desk.fetch()
        texts = [path.read_bytes() for path in desk.folder.iterdir() if path.suffix != ".part"]
        assert len(texts) == 1
        assert not any(b"secret" in text or b"device_id" in text for text in texts)


class TestWrongBytes:
    def test_other_bytes_than_announced_are_refused_and_removed(self, either):
        either.expectation = Expectation(digest=b"\0" * 32, cipher=either.expectation.cipher)
        with pytest.raises(ChecksumError) as caught:
            either.fetch()
        assert caught.value.code == "checksum_fail"
        assert either.left == []

    @pytest.mark.parametrize("at", [0, 500_000, -1], ids=["first", "middle", "last"])
    def test_one_bit_flipped_is_refused(self, desk, at):
        damaged = bytearray(desk.plain)
        damaged[at] ^= 1
        desk.origin.data = bytes(damaged)
        with pytest.raises(ChecksumError):
            desk.fetch()
        assert desk.left == []

    @pytest.mark.parametrize("at", [0, 500_000, -1, -17], ids=["first", "middle", "last", "padding"])
    def test_one_bit_flipped_in_encrypted_bytes_is_refused(self, desk, at):
        desk.encrypted()
        damaged = bytearray(desk.origin.data)
        damaged[at] ^= 1
        desk.origin.data = bytes(damaged)
        with pytest.raises(IntegrityError) as caught:
            desk.fetch()
        assert caught.value.code in {"checksum_fail", "decrypt_fail"}
        assert desk.left == []

    def test_encrypted_bytes_that_are_no_whole_blocks_are_refused(self, desk):
        desk.encrypted()
        desk.origin.data = desk.origin.data[:-1]
        with pytest.raises(SignatureError) as caught:
            desk.fetch()
        assert caught.value.code == "decrypt_fail"
        assert desk.left == []

    def test_a_shorter_file_of_which_the_server_is_sure_is_refused(self, desk):
        desk.origin.data = desk.plain[:-1]
        with pytest.raises(ChecksumError):
            desk.fetch()

    def test_bytes_beyond_what_was_announced_are_not_taken(self, desk):
        def too_long(request):
            request.head(200, Content_Length=len(desk.plain))
            request.body(desk.plain + b"more")
            request.hang_up()

        desk.origin.script = [too_long]
        assert desk.fetch().read_bytes() == desk.plain


class TestRefused:
    @pytest.mark.parametrize("status", [404, 410])
    def test_a_file_that_is_gone_is_not_worth_another_try(self, desk, status):
        desk.origin.script = [refuse(status)]
        with pytest.raises(ServiceError) as caught:
            desk.fetch()
        assert (caught.value.status, caught.value.code, caught.value.retryable) == (status, "not_found", False)
        assert len(desk.origin.requests) == 1
        assert desk.left == []

    @pytest.mark.parametrize("status", [400, 403, 500, 502, 503])
    def test_another_refusal_is_left_to_a_later_cycle(self, desk, status):
        desk.origin.script = [refuse(status)]
        with pytest.raises(ServiceError) as caught:
            desk.fetch()
        assert (caught.value.status, caught.value.retryable) == (status, True)
        assert len(desk.origin.requests) == 1

    @pytest.mark.parametrize("status", [429, 503])
    def test_a_wish_to_be_asked_later_is_passed_on_as_a_date(self, desk, status):
        desk.origin.script = [refuse(status, Retry_After="120")]
        with pytest.raises(RateLimited) as caught:
            desk.fetch()
        assert caught.value.retry_at == 1_700_000_120.0
        assert caught.value.status == status

    @pytest.mark.parametrize("status", [204, 206])
    def test_a_status_that_makes_no_sense_is_refused(self, desk, status):
        desk.origin.script = [lambda request: request.head(status, Content_Length=0)]
        with pytest.raises(ReplyError) as caught:
            desk.fetch()
        assert caught.value.code == "unexpected_status"

    def test_more_than_the_limit_is_refused_when_announced(self, desk):
        def endless(request):
            request.head(200, Content_Length=desk.max_bytes + 1)
            while True:
                request.body(b"\0" * 65536)

        desk.origin.script = [endless]
        with pytest.raises(IntegrityError) as caught:
            desk.fetch()
        assert caught.value.code == "bundle_too_large"
        assert desk.shown == []
        assert desk.left == []

    def test_more_than_the_limit_is_refused_when_it_comes_unannounced(self, desk):
        def endless(request):
            request.head(200)
            while True:
                request.body(b"\0" * 65536)

        desk.origin.script = [endless]
        with pytest.raises(IntegrityError) as caught:
            desk.fetch()
        assert caught.value.code == "bundle_too_large"
        assert desk.shown[-1][0] <= desk.max_bytes
        assert desk.left == []

    def test_exactly_the_limit_is_accepted(self, desk):
        desk.max_bytes = len(desk.plain)
        assert desk.fetch().read_bytes() == desk.plain

    def test_a_redirect_that_the_client_refuses_costs_no_partial(self, desk):
        desk.on_progress = lambda *_: desk.scope.cancel()
        with pytest.raises(Cancelled):
            desk.fetch()
        desk.scope, desk.on_progress = Scope(20), None
        kept = desk.part.read_bytes()
        desk.origin.script = [refuse(302, Location="ftp://captive.test/")]
        with pytest.raises(ReplyError):
            desk.fetch()
        assert desk.part.read_bytes() == kept


class TestPace:
    def test_a_minute_below_a_kilobyte_per_second_ends_it_and_keeps_what_came(self, desk):
        seen = threading.Semaphore(0)

        def drip(request):
            request.head(200, Content_Length=len(desk.plain), ETag='"e1"')
            for start in range(0, 100_000, 10_000):
                request.body(desk.plain[start : start + 10_000])
                assert seen.acquire(timeout=10)

        def later(done, _):
            desk.clock.now += 10.3 * (done - at[0]) / 10_000
            at[0] = done
            if done % 10_000 == 0:
                seen.release()

        at = [0]
        desk.origin.script = [drip]
        desk.on_progress = later
        with pytest.raises(TransferError) as caught:
            desk.fetch()
        assert caught.value.code == "low_speed"
        assert caught.value.retryable
        assert desk.part.read_bytes() == desk.plain[:60_000]
        assert len(desk.origin.requests) == 1

    def test_a_kilobyte_per_second_is_enough(self, desk):
        def later(done, _):
            desk.clock.now = 1000.0 + done / 1025

        desk.on_progress = later
        assert desk.fetch().read_bytes() == desk.plain
        assert desk.clock.now > 1900

    def test_a_stop_of_a_whole_minute_after_a_fast_start_counts(self, desk):
        desk.on_progress = lambda done, _: setattr(desk.clock, "now", 1000.0 + (61 if done > 100_000 else 0))
        desk.origin.script = [unannounced]
        assert desk.fetch().read_bytes() == desk.plain

    def test_silence_ends_at_the_steps_limit(self, desk):
        release = threading.Event()

        def silent(request):
            request.head(200, Content_Length=len(desk.plain))
            release.wait(10)

        desk.scope = Scope(None, step=0.1)
        desk.origin.script = [silent]
        with pytest.raises(DeadlineExceeded):
            desk.fetch()
        release.set()
        assert len(desk.origin.requests) == 1


class FailingFiles(Files):
    """The n-th write fails."""

    def __init__(self, code, after):
        self.code = code
        self.left = after

    def write(self, fd, data):
        self.left -= 1
        if self.left < 0:
            raise OSError(self.code, "scripted")
        return super().write(fd, data)


class SmallDisk(Files):
    def __init__(self, free):
        self.free = free

    def free_bytes(self, path):
        return self.free


class TestDevice:
    @pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
    @pytest.mark.parametrize("after", [0, 1, 3])
    def test_a_disk_that_fills_up_gets_its_room_back(self, either, code, after):
        either.files = FailingFiles(code, after)
        with pytest.raises(StorageError) as caught:
            either.fetch()
        assert caught.value.code == "insufficient_disk_space"
        assert either.left == []

    def test_another_write_error_is_a_storage_error_and_can_be_gone_on_from(self, either):
        either.files = FailingFiles(errno.EIO, 3)
        with pytest.raises(StorageError) as caught:
            either.fetch()
        assert caught.value.code == "storage_error"
        either.files = Files()
        assert either.fetch().read_bytes() == either.plain
        assert either.origin.ranges[0] is None
        assert either.origin.ranges[1] is not None

    def test_a_bundle_that_does_not_fit_is_refused_before_a_byte_is_kept(self, desk):
        desk.files = SmallDisk(len(desk.plain) + (8 << 20) - 1)
        with pytest.raises(StorageError) as caught:
            desk.fetch()
        assert caught.value.code == "insufficient_disk_space"
        assert desk.shown == []
        assert desk.left == []

    @pytest.mark.parametrize("free", [1_000_003 + (8 << 20), None])
    def test_a_bundle_that_just_fits_or_a_system_that_cannot_tell_is_no_obstacle(self, desk, free):
        desk.files = SmallDisk(free)
        assert desk.fetch().read_bytes() == desk.plain

    def test_a_folder_that_is_not_there_is_a_storage_error(self, desk):
        desk.folder = desk.folder / "missing"
        with pytest.raises(StorageError):
            desk.fetch()

    def test_files_of_other_downloads_are_removed_and_strangers_are_not(self, desk):
        other = PartialKey(version="1.0.0", checksum="c" * 64, session_key="").name
        for suffix in ("part", "json", "zip"):
            (desk.folder / f"{other}.{suffix}").write_bytes(b"old")
        (desk.folder / "stranger.txt").write_bytes(b"kept")
        path = desk.fetch()
        assert sorted(desk.folder.iterdir()) == sorted([path, desk.folder / "stranger.txt"])

    def test_keys_that_differ_anywhere_have_names_that_differ(self):
        keys = [
            PartialKey(version=version, checksum=checksum, session_key=session)
            for version, checksum, session in [
                ("1", "2", "3"),
                ("12", "", "3"),
                ("1", "23", ""),
                ("1", "2", "4"),
                ("1", "2", ""),
                ("\ud800", "2", "3"),
            ]
        ]
        assert len({key.name for key in keys}) == len(keys)


def test_memory_stays_flat_whatever_the_size(desk):
    block = desk.plain[: 1 << 18]
    blocks = 256
    digest = hashlib.sha256()
    for _ in range(blocks):
        digest.update(block)

    def large(request):
        request.head(200, Content_Length=len(block) * blocks)
        for _ in range(blocks):
            request.body(block)

    desk.expectation = Expectation(digest=digest.digest(), cipher=None)
    desk.max_bytes = 1 << 30
    desk.origin.script = [large]
    tracemalloc.start()
    try:
        path = desk.fetch()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert path.stat().st_size == 64 << 20
    assert peak < 8 << 20


def test_the_service_like_answers_of_the_tests_are_themselves_right(desk):
    # The quirk that resuming rests on, reference/service-behaviour.md section 4.3.
    with desk.client.stream(desk.origin.url, scope=desk.scope, headers={"Range": "bytes=1000003-"}) as reply:
        assert (reply.status, reply.headers["content-range"]) == (206, "bytes */1000003")
        assert b"".join(reply.chunks()) == b""
    desk.origin.script = [ignoring_range, faithful]
    for status, length in ((200, 1_000_003), (206, 3)):
        with desk.client.stream(desk.origin.url, scope=desk.scope, headers={"Range": "bytes=1000000-"}) as reply:
            assert reply.status == status
            assert len(b"".join(reply.chunks())) == length


def test_a_network_error_of_the_first_request_is_passed_on(desk):
    desk.origin.script = [lambda request: request.hang_up()]
    with pytest.raises(NetworkError):
        desk.fetch()
    assert desk.left == []
