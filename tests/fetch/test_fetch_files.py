"""Fetching the files of a delta (fetch/crew.py and below) from a real server into a real folder."""

from __future__ import annotations

import hashlib
import random
import sys
import threading
import time

import brotli
import pytest
from depot import Depot, cut, hang, hang_up, refuse, send
from origin import encrypt

from capgo_client.errors import (
    Cancelled,
    CapgoError,
    ChecksumError,
    DeadlineExceeded,
    IntegrityError,
    NetworkError,
    RateLimited,
    ServiceError,
    SignatureError,
    StorageError,
    TransferError,
)
from capgo_client.fetch.budget import Budget
from capgo_client.fetch.crew import THREADS, fetch_files
from capgo_client.fetch.one_file import FileOrder
from capgo_client.net.client import HttpClient
from capgo_client.net.deadline import Scope
from capgo_client.seams import Clock, Files
from capgo_client.testing.files import FaultyFiles, Stopped
from capgo_client.verify.expectation import Cipher

TEXT = b"print('hello')\n" * 1000
NOISE = random.Random(7).randbytes(900_001)
CIPHER = Cipher(key=b"k" * 16, iv=b"i" * 16)
MIB = 1 << 20


class HandClock(Clock):
    """Stands still unless it is moved."""

    now = 1000.0

    def monotonic(self):
        return self.now


class Device:
    """What fetches, and the server it fetches from."""

    def __init__(self, folder):
        self.folder = folder / "delta"
        self.depot = Depot()
        self.client = HttpClient(user_agent="test", trust_env=False)
        self.scope = Scope(20)
        self.files = Files()
        self.clock = HandClock()
        self.cipher = None
        self.limits = {"max_file": 100 * MIB, "max_total": 200 * MIB, "max_ratio": 200, "max_download": 200 * MIB}
        self.spent = 0
        self.shown = []
        self.failures = []
        self.should_stop = lambda: False
        self.orders = []

    def order(self, name, content, *, served=None, path=None):
        """Want ``content`` as ``name``; ``served`` (the content) is what the server has for it."""
        url = self.depot.put(path or f"/o/{len(self.orders)}", content if served is None else served)
        digest = hashlib.sha256(content).digest()
        self.orders.append(FileOrder(name, url, digest, may_inflate=name.endswith(".br")))

    def fetch(self):
        return fetch_files(
            self.orders,
            cipher=self.cipher,
            session_key="session" if self.cipher else "",
            client=self.client,
            scope=self.scope,
            files=self.files,
            clock=self.clock,
            folder=self.folder,
            budget=Budget(**self.limits, spent=self.spent),
            progress=lambda done, total: self.shown.append((done, total)),
            should_stop=self.should_stop,
            failed=lambda order, exc: self.failures.append((order.name, exc.code)),
        )

    def contents(self):
        return [fetched.path.read_bytes() for fetched in self.fetch()]

    def refused(self, kind=CapgoError):
        with pytest.raises(kind) as caught:
            self.fetch()
        return caught.value

    @property
    def left(self):
        """Suffixes of what is in the folder."""
        return sorted(path.suffix for path in self.folder.iterdir())


@pytest.fixture
def device(tmp_path):
    device = Device(tmp_path)
    yield device
    device.client.close()
    device.depot.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "capgo-fetch"]


class TestWhatComes:
    def test_files_come_as_they_are_in_the_order_asked_for(self, device):
        for n in range(30):
            device.order(f"f{n}.py", b"%d" % n * (n + 1))
        fetched = device.fetch()
        assert [each.path.read_bytes() for each in fetched] == [b"%d" % n * (n + 1) for n in range(30)]
        assert [each.size for each in fetched] == [len(b"%d" % n * (n + 1)) for n in range(30)]
        assert not any(each.inflated for each in fetched)

    def test_a_compressed_one_is_inflated_and_says_so(self, device):
        device.order("a.py.br", TEXT, served=brotli.compress(TEXT))
        (fetched,) = device.fetch()
        assert fetched.inflated
        assert fetched.path.read_bytes() == TEXT
        assert fetched.size == len(TEXT)

    def test_one_that_is_really_called_so_is_not_inflated(self, device):
        device.order("notes.br", b"not compressed at all")
        (fetched,) = device.fetch()
        assert not fetched.inflated
        assert fetched.path.read_bytes() == b"not compressed at all"

    def test_the_hash_decides_for_a_brotli_file_that_is_called_so_too(self, device):
        packed = brotli.compress(TEXT)
        device.order("data.br", packed)
        (fetched,) = device.fetch()
        assert not fetched.inflated
        assert fetched.path.read_bytes() == packed

    def test_encrypted_files_are_decrypted_and_then_inflated(self, device):
        device.cipher = CIPHER
        device.order("a.py.br", TEXT, served=encrypt(brotli.compress(TEXT), CIPHER.key, CIPHER.iv))
        device.order("b.py", TEXT, served=encrypt(TEXT, CIPHER.key, CIPHER.iv))
        device.order("large.bin", NOISE, served=encrypt(NOISE, CIPHER.key, CIPHER.iv))
        packed = brotli.compress(NOISE, quality=1)
        device.order("large2.bin.br", NOISE, served=encrypt(packed, CIPHER.key, CIPHER.iv))
        assert device.contents() == [TEXT, TEXT, NOISE, NOISE]

    def test_a_large_one_goes_through_the_disk_and_leaves_only_itself(self, device):
        device.order("large.bin", NOISE)
        device.order("packed.bin.br", NOISE, served=brotli.compress(NOISE, quality=1))
        assert device.contents() == [NOISE, NOISE]
        assert device.left == [".inflated", ".raw"]

    def test_empty_files_come_too(self, device):
        device.order("__init__.py", b"")
        device.order("empty.py.br", b"", served=b"\x06")
        first, second = device.fetch()
        assert first.path.read_bytes() == second.path.read_bytes() == b""
        assert second.inflated

    @pytest.mark.parametrize(
        ("content", "served"),
        [
            (b"hello", b"\x1b\x00\x06hello\x03"),
            (b"hello", b"\x0b\x02\x80hello\x03"),
            (b"", b"\x1b\x00\x06"),
            (b"\x03", b"\x1b\x00\x06\x03\x03"),
        ],
    )
    def test_the_wrapper_of_old_command_lines_is_taken_off(self, device, content, served):
        device.order("a.txt.br", content, served=served)
        (fetched,) = device.fetch()
        assert fetched.inflated
        assert fetched.path.read_bytes() == content

    def test_nothing_to_fetch_needs_no_folder_and_no_thread(self, device):
        assert device.fetch() == ()
        assert not device.folder.exists()

    @pytest.mark.parametrize(
        "path",
        [
            "/o/a%40b%2Bc%C3%A9.txt",
            "/o/sym%2520bol%2Bplus%23hash%26amp.txt",
            "/o/!~*'().txt",
            "/o/%e2%82%ac-lower-case.txt",
            "/o//double/slash.txt",
            "/o/e%CC%81-nfd.txt",
        ],
    )
    def test_the_path_goes_over_the_wire_byte_for_byte(self, device, path):
        device.order("x.txt", b"x", path=path)
        assert device.contents() == [b"x"]
        assert device.depot.asked == [path]

    def test_the_query_goes_along_and_into_no_file_name(self, device):
        device.order("x.bin", NOISE)
        device.depot.scripts["/o/0"] = [cut(500_000), cut(600_000)]
        device.refused()
        names = [path.name for path in device.folder.iterdir()]
        assert len(names) == 2
        assert all(len(name.partition(".")[0]) == 64 for name in names)
        assert "secret" not in "".join(path.read_text("latin-1") for path in device.folder.glob("*.json"))


class TestConnections:
    def test_at_most_eight_at_a_time_over_as_many_kept_connections(self, device):
        for n in range(200):
            device.order(f"f{n}", b"%d" % n)
        device.fetch()
        assert len(device.depot.log) == 200
        assert device.depot.busiest <= THREADS == 8
        assert device.depot.connections <= 8

    def test_they_really_run_side_by_side(self, device):
        seen, release = threading.Semaphore(0), threading.Event()
        for n in range(8):
            device.order(f"f{n}", b"x")

            def wait(handler, data):
                seen.release()
                release.wait(20)
                send(handler, data)

            device.depot.scripts[f"/o/{n}"] = [wait]

        def let_go():
            for _ in range(8):
                assert seen.acquire(timeout=20)
            release.set()

        watcher = threading.Thread(target=let_go)
        watcher.start()
        device.fetch()
        watcher.join()
        assert device.depot.busiest == 8

    def test_one_thread_is_enough_where_no_more_can_be_had(self, device, monkeypatch):
        started = []
        real = threading.Thread.start

        def start(thread):
            if thread.name == "capgo-fetch":
                if started:
                    raise RuntimeError("can't start new thread")
                started.append(thread)
            real(thread)

        for n in range(20):
            device.order(f"f{n}", b"%d" % n)
        monkeypatch.setattr(threading.Thread, "start", start)
        assert len(device.fetch()) == 20

    def test_none_at_all_is_an_error_with_a_code(self, device, monkeypatch):
        real = threading.Thread.start

        def start(thread):
            if thread.name == "capgo-fetch":
                raise RuntimeError("can't start new thread")
            real(thread)

        device.order("f", b"x")
        monkeypatch.setattr(threading.Thread, "start", start)
        assert device.refused(StorageError).code == "no_threads"


class TestTryingAgain:
    @pytest.mark.parametrize("trouble", [hang_up, refuse(500), refuse(503), refuse(502), cut(3)])
    def test_what_passes_by_itself_is_tried_once_more(self, device, trouble):
        device.order("f", b"content")
        device.depot.scripts["/o/0"] = [trouble]
        assert device.contents() == [b"content"]
        assert len(device.depot.log) == 2

    @pytest.mark.parametrize("trouble", [hang_up, refuse(500)])
    def test_and_not_twice(self, device, trouble):
        device.order("f", b"content")
        device.depot.scripts["/o/0"] = [trouble, trouble]
        device.refused(TransferError)
        assert len(device.depot.log) == 2
        assert device.failures == [("f", device.failures[0][1])]

    @pytest.mark.parametrize(("status", "kind"), [(404, ServiceError), (410, ServiceError), (429, RateLimited)])
    def test_what_does_not_pass_is_not(self, device, status, kind):
        device.order("f", b"content")
        device.depot.scripts["/o/0"] = [refuse(status)]
        device.refused(kind)
        assert len(device.depot.log) == 1

    def test_a_server_that_is_gone_is_given_up_soon(self, device):
        for n in range(500):
            device.order(f"f{n}", b"x")
            device.depot.scripts[f"/o/{n}"] = [hang_up, hang_up]
        device.refused(NetworkError)
        assert len(device.depot.log) <= 2 * THREADS + 16

    def test_a_large_file_goes_on_where_it_broke_off(self, device):
        device.order("large.bin", NOISE)
        device.depot.scripts["/o/0"] = [cut(500_000)]
        assert device.contents() == [NOISE]
        assert device.depot.ranges("/o/0") == [None, "bytes=500000-"]

    def test_a_large_file_goes_on_in_a_later_call(self, device):
        device.order("large.bin.br", NOISE, served=brotli.compress(NOISE, quality=1))
        device.order("small", b"x")
        device.depot.scripts["/o/0"] = [cut(500_000), cut(600_000)]
        device.refused(NetworkError)
        assert device.contents() == [NOISE, b"x"]
        assert device.depot.ranges("/o/0") == [None, "bytes=500000-", "bytes=600000-"]
        assert len(device.depot.ranges("/o/1")) == 1

    def test_an_encrypted_large_file_goes_on_too(self, device):
        device.cipher = CIPHER
        device.order("large.bin", NOISE, served=encrypt(NOISE, CIPHER.key, CIPHER.iv))
        device.depot.scripts["/o/0"] = [cut(500_000), cut(500_000)]
        device.refused(NetworkError)
        assert device.contents() == [NOISE]
        # 500000 is 31250 blocks; one waits for the padding to be judged, and one is asked for again.
        assert device.depot.ranges("/o/0")[-1] == "bytes=499968-"

    def test_a_partial_of_another_session_is_not_used(self, device):
        device.order("large.bin", NOISE)
        device.depot.scripts["/o/0"] = [cut(500_000), cut(500_000)]
        device.refused(NetworkError)
        device.cipher = CIPHER
        device.depot.objects["/o/0"] = encrypt(NOISE, CIPHER.key, CIPHER.iv)
        assert device.contents() == [NOISE]
        assert device.depot.ranges("/o/0")[-1] is None

    def test_a_damaged_partial_costs_one_download_more_and_not_the_file(self, device):
        device.order("large.bin", NOISE)
        device.depot.scripts["/o/0"] = [cut(500_000), cut(500_000)]
        device.refused(NetworkError)
        (partial,) = device.folder.glob("*.part")
        partial.write_bytes(b"\0" * 500_000)
        assert device.contents() == [NOISE]
        assert device.depot.ranges("/o/0")[-2:] == ["bytes=500000-", None]

    def test_what_came_whole_is_not_asked_for_again(self, device):
        for n in range(10):
            device.order(f"f{n}.py.br" if n % 2 else f"f{n}", TEXT + b"%d" % n)
            if n % 2:
                device.depot.objects[f"/o/{n}"] = brotli.compress(TEXT + b"%d" % n)
        device.fetch()
        again = device.fetch()
        assert [each.path.read_bytes() for each in again] == [TEXT + b"%d" % n for n in range(10)]
        assert [each.inflated for each in again] == [n % 2 == 1 for n in range(10)]
        assert len(device.depot.log) == 10

    def test_what_came_whole_and_was_damaged_since_is(self, device):
        device.order("f", b"content")
        (fetched,) = device.fetch()
        fetched.path.write_bytes(b"c0ntent")
        assert device.contents() == [b"content"]
        assert len(device.depot.log) == 2

    def test_a_torn_file_of_a_killed_process_is_replaced(self, device):
        device.order("f.br", TEXT, served=brotli.compress(TEXT))
        (fetched,) = device.fetch()
        fetched.path.write_bytes(TEXT[:100])
        assert device.contents() == [TEXT]

    def test_one_that_cannot_be_removed_is_written_over(self, device):
        device.order("f.br", TEXT, served=brotli.compress(TEXT))
        (fetched,) = device.fetch()
        fetched.path.write_bytes(TEXT + b"and more")

        class Stuck(Files):
            def unlink(self, path):
                raise PermissionError(13, "Permission denied")

        device.files = Stuck()
        assert device.contents() == [TEXT]


class TestWrongBytes:
    def test_a_wrong_hash_is_refused_at_once_and_named(self, device):
        device.order("good", b"good")
        device.order("evil.py", b"expected", served=b"something else")
        error = device.refused(ChecksumError)
        assert error.code == "download_manifest_checksum_fail"
        assert "evil.py" in str(error)
        assert device.failures == [("evil.py", "download_manifest_checksum_fail")]
        assert len(device.depot.ranges("/o/1")) == 1
        assert device.left in ([".raw"], [])

    def test_a_wrong_large_file_leaves_nothing(self, device):
        device.order("evil.bin", NOISE, served=NOISE[:-1] + b"?")
        device.refused(ChecksumError)
        assert device.left == []

    @pytest.mark.parametrize(
        "served",
        [
            brotli.compress(TEXT)[:-3],
            brotli.compress(TEXT) + b"tail",
            b"\x1b" + brotli.compress(TEXT),
            b"no brotli at all",
            b"",
        ],
        ids=["cut off", "bytes after the end", "damaged", "nonsense", "nothing"],
    )
    def test_a_damaged_compressed_file_is_refused(self, device, served):
        device.order("a.py.br", TEXT, served=served)
        assert device.refused(ChecksumError).code == "download_manifest_brotli_fail"
        assert device.left == []

    def test_a_large_compressed_file_with_bytes_after_its_end_is_refused(self, device):
        device.order("a.bin.br", NOISE, served=brotli.compress(NOISE, quality=1) + b"tail")
        assert device.refused(ChecksumError).code == "download_manifest_brotli_fail"
        assert device.left == []

    def test_a_compressed_file_of_another_content_is_refused(self, device):
        device.order("a.py.br", TEXT, served=brotli.compress(b"other" * 1000))
        assert device.refused(ChecksumError).code == "download_manifest_checksum_fail"
        assert device.left == []

    def test_a_compressed_file_whose_name_does_not_say_so_is_refused(self, device):
        device.order("a.py", TEXT, served=brotli.compress(TEXT))
        assert device.refused(ChecksumError).code == "download_manifest_checksum_fail"

    @pytest.mark.parametrize("served", [b"", b"x" * 17, b"x" * 32])
    def test_what_cannot_be_decrypted_is_refused(self, device, served):
        device.cipher = CIPHER
        device.order("a.py", TEXT, served=served)
        assert device.refused(SignatureError).code == "decrypt_fail"
        assert device.failures == [("a.py", "decrypt_fail")]

    def test_the_first_that_fails_for_good_ends_the_others(self, device):
        seen, release = threading.Semaphore(0), threading.Event()
        for n in range(100):
            device.order(f"f{n}", b"x")
            device.depot.scripts[f"/o/{n}"] = [hang(seen, release)]

        def fail(handler, data):
            for _ in range(7):
                assert seen.acquire(timeout=20)
            send(handler, b"wrong")

        device.depot.scripts["/o/3"] = [fail]
        began = time.monotonic()
        error = device.refused(ChecksumError)
        took = time.monotonic() - began
        release.set()
        assert error.code == "download_manifest_checksum_fail"
        assert took < 5
        assert len(device.depot.log) == 8


class TestLimits:
    def test_a_bomb_is_stopped_long_before_its_end(self, device):
        bomb = brotli.compress(b"\0" * (90 * MIB), quality=3)
        assert len(bomb) < 2000
        device.order("zeros.bin.br", b"\0" * (90 * MIB), served=bomb)
        files = device.files = FaultyFiles()
        assert device.refused(IntegrityError).code == "bundle_too_large"
        assert device.left == []
        assert files.count("write") * 128 * 1024 < 80 * MIB

    def test_many_small_bombs_are_one_large_one(self, device):
        content = b"\0" * (20 * MIB)
        packed = brotli.compress(content, quality=3)
        for n in range(4):
            device.order(f"zeros{n}.bin.br", content, served=packed)
        assert device.refused(IntegrityError).code == "bundle_too_large"

    def test_a_harmless_file_of_zeros_is_none(self, device):
        content = b"\0" * (20 * MIB)
        device.order("zeros.bin.br", content, served=brotli.compress(content, quality=3))
        (fetched,) = device.fetch()
        assert fetched.size == 20 * MIB

    def test_the_longest_file_is_not_a_byte_too_long(self, device):
        device.limits["max_file"] = 1000
        device.order("a", b"x" * 1000)
        device.order("b.br", b"y" * 1000, served=brotli.compress(b"y" * 1000))
        assert len(device.fetch()) == 2

    @pytest.mark.parametrize("name", ["a", "a.br"])
    def test_a_file_over_the_limit_is_refused(self, device, name):
        device.limits["max_file"] = 1000
        content = b"x" * 1001
        device.order(name, content, served=content if name == "a" else brotli.compress(content))
        assert device.refused(IntegrityError).code == "bundle_too_large"
        assert device.left == []

    def test_an_announced_length_over_the_limit_is_refused_before_the_body(self, device):
        device.limits["max_file"] = 1000

        def announce(handler, data):
            handler.send_response(200)
            handler.send_header("Content-Length", "1001")
            handler.end_headers()
            handler.wfile.flush()
            threading.Event().wait(0)

        device.order("a", b"x")
        device.depot.scripts["/o/0"] = [announce]
        assert device.refused(IntegrityError).code == "bundle_too_large"

    def test_what_is_here_already_counts_into_the_whole(self, device):
        device.limits["max_total"] = 1000
        device.spent = 500
        device.order("a", b"x" * 250)
        device.order("b", b"x" * 251)
        assert device.refused(IntegrityError).code == "bundle_too_large"

    def test_a_device_without_room_is_asked_for_none(self, device):
        class Full(Files):
            def free_bytes(self, path):
                return 9 << 20

        device.files = Full()
        device.order("a", b"x" * (2 * MIB))
        assert device.refused(StorageError).code == "insufficient_disk_space"
        assert device.left == []

    def test_room_is_looked_at_again_while_a_file_inflates(self, device):
        content = random.Random(3).randbytes(1000) * 20_000

        class Filling(Files):
            looks = 0

            def free_bytes(self, path):
                self.looks += 1
                return 100 * MIB if self.looks == 1 else 1 * MIB

        device.files = Filling()
        device.order("a.br", content, served=brotli.compress(content, quality=3))
        assert device.refused(StorageError).code == "insufficient_disk_space"
        assert device.left == []

    def test_many_small_files_need_few_looks_at_the_room(self, device):
        class Counting(Files):
            looks = 0

            def free_bytes(self, path):
                self.looks += 1
                return super().free_bytes(path)

        files = device.files = Counting()
        for n in range(100):
            device.order(f"f{n}", b"%d" % n)
        device.fetch()
        assert files.looks == 1

    @pytest.mark.parametrize("kind", ["as they are", "compressed"])
    def test_many_small_files_that_fill_the_device_are_noticed(self, device, kind):
        class Filling(Files):
            looks = 0

            def free_bytes(self, path):
                self.looks += 1
                return 100 * MIB if self.looks == 1 else 1 * MIB

        device.files = Filling()
        for n in range(60):
            content = bytes([n]) * 100_000 if kind == "compressed" else random.Random(n).randbytes(100_000)
            served = brotli.compress(content) if kind == "compressed" else None
            device.order(f"f{n}.br" if kind == "compressed" else f"f{n}", content, served=served)
        assert device.refused(StorageError).code == "insufficient_disk_space"
        assert device.files.looks == 2

    def test_a_fresh_file_is_not_cut_to_nothing(self, device):
        files = device.files = FaultyFiles()
        device.order("a.py.br", TEXT, served=brotli.compress(TEXT))
        device.order("b.py", TEXT)
        device.fetch()
        assert files.count("truncate") == 0

    def test_what_drips_for_a_minute_ends_and_stays(self, device):
        def drip(handler, data):
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(data)))
            handler.end_headers()
            handler.wfile.write(data[:300_000])
            handler.wfile.flush()
            arrived.wait(20)
            device.clock.now += 400
            handler.wfile.write(data[300_000:300_100])
            handler.wfile.flush()
            ended.wait(20)

        arrived, ended = threading.Event(), threading.Event()
        device.order("a.bin", NOISE)
        device.depot.scripts["/o/0"] = [drip]
        real = device.shown.append
        device.shown = Recorder(lambda pair: arrived.set() if pair[0] >= 333 else real)
        try:
            assert device.refused(TransferError).code == "low_speed"
        finally:
            ended.set()
        assert device.left == [".json", ".part"]

    def test_many_tiny_files_on_a_line_with_long_ways_are_not_slow(self, device):
        def far(handler, data):
            with device.depot.lock:
                device.clock.now += 0.5
            send(handler, data)

        for n in range(150):
            device.order(f"f{n}", b"%d" % n)
            device.depot.scripts[f"/o/{n}"] = [far]
        assert len(device.fetch()) == 150
        assert device.clock.now > 1060


class Recorder(list):
    def __init__(self, told):
        super().__init__()
        self.told = told

    def append(self, pair):
        super().append(pair)
        self.told(pair)


class TestEnding:
    def started(self, device, count=40):
        """A fetch in a thread of its own with all eight connections waiting; gives what it raises."""
        seen, release = threading.Semaphore(0), threading.Event()
        for n in range(count):
            device.order(f"f{n}", b"x")
            device.depot.scripts[f"/o/{n}"] = [hang(seen, release)]
        errors = []

        def run():
            try:
                device.fetch()
            except CapgoError as exc:
                errors.append((exc, time.monotonic()))

        thread = threading.Thread(target=run)
        thread.start()
        for _ in range(8):
            assert seen.acquire(timeout=20)
        return thread, errors, release

    @pytest.mark.parametrize("how", ["scope", "client", "word"])
    def test_a_cancel_ends_it_within_a_fifth_of_a_second_and_leaves_no_thread(self, device, how):
        told = threading.Event()
        device.should_stop = told.is_set
        thread, errors, release = self.started(device)
        began = time.monotonic()
        {"scope": device.scope.cancel, "client": device.client.close, "word": told.set}[how]()
        thread.join(5)
        assert not thread.is_alive()
        ((error, ended),) = errors
        release.set()
        assert isinstance(error, Cancelled)
        assert ended - began < 0.2
        assert device.failures == []
        assert not [each for each in threading.enumerate() if each.name == "capgo-fetch"]

    def test_the_end_of_the_time_ends_all(self, device):
        device.scope = Scope(0.3)
        thread, errors, release = self.started(device)
        thread.join(5)
        release.set()
        assert isinstance(errors[0][0], DeadlineExceeded)

    def test_an_error_of_the_callers_own_callback_leaves_no_thread(self, device):
        def boom(done, total):
            raise ZeroDivisionError

        device.shown = Recorder(lambda pair: boom(*pair))
        for n in range(50):
            device.order(f"f{n}", b"x")
        with pytest.raises(ZeroDivisionError):
            device.fetch()

    def test_a_dead_disk_in_a_thread_is_the_callers_to_see(self, device):
        files = device.files = FaultyFiles()
        files.stop_after(3, kinds=["write"])
        for n in range(20):
            device.order(f"f{n}", b"x")
        with pytest.raises(Stopped):
            device.fetch()


class TestProgress:
    def test_it_never_goes_back_and_reaches_its_end(self, device):
        device.order("large.bin", NOISE)
        for n in range(20):
            device.order(f"f{n}", b"x" * n)
        device.depot.scripts["/o/0"] = [cut(500_000)]
        device.fetch()
        done = [done for done, _ in device.shown]
        assert done == sorted(done)
        assert {total for _, total in device.shown} == {21_000}
        assert device.shown[-1] == (21_000, 21_000)

    def test_one_large_file_shows_how_it_comes(self, device):
        device.order("large.bin", NOISE)
        told = threading.Condition()

        def shown(pair):
            with told:
                told.notify_all()

        def in_pieces(handler, data):
            """Each only when what came before it was shown."""
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(data)))
            handler.end_headers()
            for start in range(0, len(data), 100_000):
                with told:
                    seen = len({done for done, _ in device.shown})
                    handler.wfile.write(data[start : start + 100_000])
                    handler.wfile.flush()
                    assert told.wait_for(lambda seen=seen: len({done for done, _ in device.shown}) > seen, 20)

        device.shown = Recorder(shown)
        device.depot.scripts["/o/0"] = [in_pieces]
        device.fetch()
        assert len({done for done, _ in device.shown}) >= 10


class TestWithoutBrotli:
    @pytest.fixture(autouse=True)
    def no_brotli(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "brotli", None)

    def test_what_comes_as_it_is_works(self, device):
        device.order("a", b"a")
        device.order("b.br", b"really called so")
        assert device.contents() == [b"a", b"really called so"]

    def test_what_comes_compressed_has_a_code(self, device):
        device.order("a.py.br", TEXT, served=brotli.compress(TEXT))
        error = device.refused(TransferError)
        assert (error.code, error.retryable) == ("brotli_missing", False)
        assert "capgo-client[delta]" in str(error)

    def test_one_that_knows_no_limit_counts_as_none(self, device, monkeypatch):
        class Old:
            class Decompressor:
                def process(self, data):
                    raise AssertionError

        monkeypatch.setitem(sys.modules, "brotli", Old)
        device.order("a.py.br", TEXT, served=brotli.compress(TEXT))
        assert device.refused().code == "brotli_missing"
