"""Each fault over a real socket, read byte by byte: it misbehaves as its name says, and in no other way."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import time
import tracemalloc
import zlib
from email.utils import parsedate_to_datetime

import pytest
from kit_wire import device

from capgo_client.testing import make_bundle

REGULAR = b'{"error":"no_channel","message":"no default channel or override","kind":"failed"}'


@pytest.fixture
def update(service):
    """A published bundle, so that the regular answer has all keys."""
    bundle = make_bundle("1.1.0", {"main.py": "print('new')" * 50})
    service.publish(bundle)
    return bundle


@pytest.fixture
def url(service):
    return service.store("orgs/o/apps/a/1.0.0.zip", bytes(range(100)))


def still_open(connection):
    connection.sock.settimeout(0.05)
    try:
        return connection.sock.recv(1) != b""
    except TimeoutError:
        return True
    finally:
        connection.sock.settimeout(5)


# Transport


def test_silence_takes_the_request_and_sends_nothing(service, raw):
    with service.fault("silence"):
        connection = raw()
        connection.check()
        service.wait_for_requests(1)
        assert still_open(connection)


def test_drip_headers_sends_one_byte_at_a_time_from_the_first(service, raw):
    with service.fault("drip-headers", interval=0.02):
        connection = raw()
        connection.check()
        pieces = [connection.sock.recv(100) for _ in range(4)]
    assert pieces == [b"H", b"T", b"T", b"P"]


def test_drip_body_sends_the_headers_at_once_and_the_body_byte_by_byte(service, raw):
    with service.fault("drip-body", interval=0.02):
        connection = raw()
        connection.check()
        head = connection.read_head()
        pieces = [connection.sock.recv(100) for _ in range(3)]
    assert f"\r\nContent-Length: {len(REGULAR)}\r\n".encode() in head
    assert pieces == [b"{", b'"', b"e"]


def test_a_drip_is_one_byte_a_second_unless_told_otherwise(service, raw):
    with service.fault("drip-body"):
        connection = raw()
        connection.check()
        connection.read_head()
        assert connection.sock.recv(100) == b"{"
        assert still_open(connection)
        connection.sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.sock.recv(1)


def test_endless_headers_never_end(service, raw):
    with service.fault("endless-headers"):
        connection = raw()
        connection.check()
        data = connection.read(200_000)
    assert data.startswith(b"HTTP/1.1 200 OK\r\nX-Filler-0: aaa")
    assert b"\r\n\r\n" not in data


def test_endless_body_never_ends_and_announces_no_length(service, raw):
    with service.fault("endless-body", chunk=4096):
        connection = raw()
        connection.check()
        head = connection.read_head()
        data = connection.read(300_000)
    assert b"Content-Length" not in head
    assert data.startswith(b'c\r\n{"version":"\r\n1000\r\naaaa')
    assert b"\r\n0\r\n" not in data


@pytest.mark.parametrize(
    ("name", "before"),
    [("reset-before-headers", "nothing"), ("reset-in-headers", "part of the headers")],
)
def test_a_reset_before_the_body_comes_with_no_whole_header(service, raw, name, before):
    with service.fault(name):
        connection = raw()
        connection.check()
        received = b""
        with pytest.raises(ConnectionResetError):  # noqa: PT012 - a reset may come at any of the reads
            while True:
                received += connection.read(1)
    assert b"\r\n\r\n" not in received
    assert (before == "nothing") is (received == b"")


@pytest.mark.parametrize("name", ["reset-after-headers", "reset-in-body"])
def test_a_reset_after_the_headers_comes_in_place_of_the_rest(service, raw, name):
    with service.fault(name):
        connection = raw()
        connection.check()
        head = connection.read_head()
        body = b""
        with pytest.raises(ConnectionResetError):  # noqa: PT012 - a reset may come at any of the reads
            while True:
                body += connection.read(1)
    assert f"Content-Length: {len(REGULAR)}".encode() in head
    assert body == (b"" if name == "reset-after-headers" else REGULAR[: len(REGULAR) // 2])


def test_stalls_fall_silent_with_the_connection_open(service, raw):
    for number, name in enumerate(("stall-in-headers", "stall-in-body"), 1):
        with service.fault(name):
            connection = raw()
            connection.check()
            service.wait_for_requests(number)
            if name == "stall-in-body":
                connection.read_head()
                assert connection.read(len(REGULAR) // 2) == REGULAR[: len(REGULAR) // 2]
            else:
                assert connection.read(15) == b"HTTP/1.1 200 OK"
            connection.sock.settimeout(0.05)
            with pytest.raises(TimeoutError):
                connection.read(1000)


def test_a_cut_body_ends_cleanly_before_the_announced_length(service, raw):
    with service.fault("cut-body", at=0.25):
        connection = raw()
        connection.check()
        head, rest = connection.read_head(), connection.read_all()
    assert f"Content-Length: {len(REGULAR)}".encode() in head
    assert rest == REGULAR[: len(REGULAR) // 4]


def test_an_empty_reply_is_a_clean_close_without_a_byte(service, raw):
    with service.fault("empty-reply"):
        connection = raw()
        connection.check()
        assert connection.read_all() == b""


# Status


@pytest.mark.parametrize(
    "status", [400, 401, 403, 404, 408, 410, 413, 429, 451, 500, 501, 502, 503, 504, 505, 507, 520]
)
def test_a_status_fault_answers_with_its_status_and_keeps_the_connection(service, client, status):
    with service.fault(f"http-{status}"):
        assert client.post(service.update_url, json=device()).status_code == status
    assert client.post(service.update_url, json=device()).content == REGULAR
    assert service.connections == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (120, "120"),
        (0, "0"),
        (1.5, "1.5"),
        ("-5", "-5"),
        ("soon, perhaps", "soon, perhaps"),
        (dt.datetime(2025, 1, 2, 3, 4, 5, tzinfo=dt.timezone.utc), "Thu, 02 Jan 2025 03:04:05 GMT"),
    ],
)
@pytest.mark.parametrize("name", ["http-429", "http-503"])
def test_retry_after_is_seconds_a_date_or_any_text(service, client, name, given, said):
    with service.fault(name, retry_after=given):
        assert client.post(service.update_url, json=device()).headers["retry-after"] == said


@pytest.mark.parametrize(("name", "said"), [("http-429-seconds", "600"), ("http-429-nonsense", "soon, perhaps")])
def test_a_429_with_a_retry_after_of_its_own_needs_no_options(service, client, name, said):
    with service.fault(name):
        reply = client.post(service.update_url, json=device())
    assert (reply.status_code, reply.headers["retry-after"]) == (429, said)


def test_a_429_with_a_date_names_one_that_is_to_come(service, client):
    with service.fault("http-429-date", seconds=120):
        reply = client.post(service.update_url, json=device())
    until = parsedate_to_datetime(reply.headers["retry-after"]).timestamp()
    assert reply.status_code == 429
    assert 100 < until - time.time() <= 120


def test_without_being_told_there_is_no_retry_after(service, client):
    with service.fault("http-429"):
        reply = client.post(service.update_url, json=device())
    assert "retry-after" not in reply.headers
    assert reply.json() == {
        "error": "too_many_requests",
        "message": "Too many requests",
        "moreInfo": {"app_id": "com.example.ok"},
    }


def test_the_body_of_a_status_can_be_given(service, client):
    with service.fault("http-503", body={"error": "upstream_unavailable"}):
        assert client.post(service.update_url, json=device()).json() == {"error": "upstream_unavailable"}


def test_a_redirect_loop_leads_to_itself_with_ever_another_address(service, client):
    with service.fault("redirect-loop"):
        seen, target = [], service.update_url
        for _ in range(3):
            reply = client.post(target, json=device())
            assert reply.status_code == 307
            target = reply.headers["location"]
            seen.append(target)
    assert seen == [f"{service.update_url}?hop={hop}" for hop in (1, 2, 3)]


@pytest.mark.parametrize(
    ("name", "location"),
    [
        ("redirect-to-http", "http://updates.example.invalid/updates"),
        ("redirect-to-other-scheme", "file:///etc/hostname"),
    ],
)
def test_a_redirect_leaves_for_where_it_should_not_be_followed(service, client, name, location):
    with service.fault(name):
        assert client.post(service.update_url, json=device()).headers["location"] == location
    with service.fault(name, location="ftp://elsewhere.example.invalid/", code=302):
        reply = client.post(service.update_url, json=device())
    assert (reply.status_code, reply.headers["location"]) == (302, "ftp://elsewhere.example.invalid/")


# Answer


@pytest.mark.parametrize(
    ("name", "content_type", "start"),
    [
        ("html-200", "text/html; charset=utf-8", b"<!DOCTYPE html>"),
        ("not-json", "application/json", b"upstream connect error"),
        ("empty-body", "application/json", b""),
    ],
)
def test_an_answer_that_is_no_json_has_status_200(service, client, name, content_type, start):
    with service.fault(name):
        reply = client.post(service.update_url, json=device())
    assert (reply.status_code, reply.headers["content-type"]) == (200, content_type)
    assert reply.content.startswith(start)
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(reply.content)


def test_truncated_json_is_a_beginning_of_the_regular_answer_that_ends_too_early(service, client):
    with service.fault("truncated-json", at=0.75):
        reply = client.post(service.update_url, json=device())
    assert reply.content == REGULAR[: len(REGULAR) * 3 // 4]
    assert reply.headers["content-length"] == str(len(reply.content))


def test_huge_json_is_valid_and_as_large_as_asked(service, client, update):
    size = 3 * (1 << 20) + 5
    with service.fault("huge-json", size=size):
        announced = client.post(service.update_url, json=device())
    with service.fault("huge-json", size=1000, announced=False):
        unannounced = client.post(service.update_url, json=device())
    assert announced.headers["content-length"] == str(len(announced.content))
    assert len(announced.json()["comment"]) == size
    assert announced.json()["version"] == "1.1.0"
    assert "content-length" not in unannounced.headers
    assert len(unannounced.json()["comment"]) == 1000


def test_huge_json_is_a_gigabyte_by_default_and_costs_the_kit_no_memory(service, raw, update):
    tracemalloc.start()
    try:
        with service.fault("huge-json"):
            connection = raw()
            connection.check()
            head = connection.read_head()
            connection.read(1 << 20)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    length = int(head.partition(b"Content-Length: ")[2].split()[0])
    assert (1 << 30) < length < (1 << 30) + 10_000
    assert peak < 32 << 20


def test_a_gzip_bomb_is_a_valid_stream_of_valid_json_a_thousand_times_its_size(service, raw, client, update):
    with service.fault("gzip-bomb", size=8 << 20):
        connection = raw()
        connection.check()
        assert b"\r\nContent-Encoding: gzip\r\n" in connection.read_head()
        packed = dechunked(connection.read_all())
        decoded = client.post(service.update_url, json=device())
    assert len(gzip.decompress(packed)) > 8 << 20
    assert len(packed) < 16_000
    assert len(decoded.json()["comment"]) == 8 << 20


def test_a_gzip_bomb_of_a_gigabyte_is_about_a_megabyte_on_the_wire(service, raw, update):
    with service.fault("gzip-bomb"):
        connection = raw()
        connection.check()
        connection.read_head()
        inflater = zlib.decompressobj(31)
        inflated = len(inflater.decompress(dechunked(connection.read(20_000)), 1 << 24))
    assert inflated >= 1 << 23


def dechunked(data):
    body = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        body += data[: int(size, 16)]
        data = data[int(size, 16) + 2 :]
    return body


def test_deep_json_nests_as_deep_as_asked(service, client):
    with service.fault("deep-json", depth=3):
        assert client.post(service.update_url, json=device()).content == b'{"version":[[[]]]}'
    with service.fault("deep-json"):
        assert client.post(service.update_url, json=device()).content.count(b"[") == 100_000


def test_a_single_wrong_type_leaves_the_other_keys_right(service, check, update):
    regular = check()
    with service.fault("wrong-type"):
        assert check() == {**regular, "version": 7}
    with service.fault("wrong-type", key="url"):
        assert check() == {**regular, "url": 7}


def test_wrong_types_come_for_all_keys_or_for_one(service, client, check, update):
    regular = check()
    with service.fault("wrong-types"):
        assert check() == {"version": 7, "url": 7, "session_key": 7, "checksum": 7}
    with service.fault("wrong-types", key="checksum"):
        assert check() == {**regular, "checksum": 7}
    with service.fault("wrong-types", key="manifest", value={"a": []}):
        assert check() == {**regular, "manifest": {"a": []}}


@pytest.mark.parametrize(
    ("name", "text"),
    [("nan-json", b'"version": NaN'), ("huge-number", b"9" * 100_000), ("lone-surrogate", b'"1.0.0\\ud800"')],
)
def test_values_that_break_readers_stand_in_the_json_as_they_are(service, client, update, name, text):
    with service.fault(name):
        assert text in client.post(service.update_url, json=device()).content


def test_a_wrong_checksum_differs_from_the_right_one_in_nothing_but_its_last_character(service, check, update):
    with service.fault("wrong-checksum"):
        said = check()
    assert said["checksum"] != update.checksum
    assert said["checksum"][:-1] == update.checksum[:-1]
    assert said["version"] == "1.1.0"


# Bytes


def test_an_ignored_range_is_the_whole_file_with_status_200(service, client, url):
    with service.fault("ignore-range"):
        reply = client.get(url, headers={"Range": "bytes=10-"})
    assert (reply.status_code, reply.content) == (200, bytes(range(100)))
    assert "content-range" not in reply.headers


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("start", (206, "bytes 11-100/100", bytes(range(10, 100)))),
        ("total", (206, "bytes 10-99/101", bytes(range(10, 100)))),
        ("bytes", (206, "bytes 10-99/100", bytes(range(90)))),
    ],
)
def test_a_lying_range_lies_about_start_or_total_or_sends_other_bytes(service, client, url, how, expected):
    with service.fault("lying-range", how=how):
        reply = client.get(url, headers={"Range": "bytes=10-"})
    assert (reply.status_code, reply.headers["content-range"], reply.content) == expected


@pytest.mark.parametrize(
    ("fault", "body"),
    [
        ({"name": "flip-bit"}, bytes([*range(50), 51, *range(51, 100)])),
        ({"name": "flip-bit", "offset": 0, "bit": 7}, bytes([128, *range(1, 100)])),
        ({"name": "short-body"}, bytes(range(99))),
        ({"name": "short-body", "by": 60}, bytes(range(40))),
        ({"name": "long-body", "by": 2}, bytes([*range(100), 0, 0])),
        ({"name": "slow-download", "bytes_per_second": 10_000}, bytes(range(100))),
    ],
)
def test_damaged_bytes_come_with_a_length_that_fits_them(service, client, url, fault, body):
    with service.fault(**fault):
        reply = client.get(url)
    assert reply.content == body
    assert reply.headers["content-length"] == str(len(body))


def test_a_slow_download_keeps_its_pace(service, client, url):
    started = time.monotonic()
    with service.fault("slow-download", bytes_per_second=400):
        assert len(client.get(url).content) == 100
    assert 0.2 < time.monotonic() - started < 2


# Which requests


def test_a_fault_for_one_endpoint_leaves_the_others_alone(service, client, url):
    with service.fault("http-503", on="download"):
        assert client.get(url).status_code == 503
        assert client.post(service.update_url, json=device()).status_code == 200
    with service.fault("http-503", on="all"):
        assert client.get(url).status_code == 503
        assert client.post(service.stats_url, json=device(action="set")).status_code == 503


def test_a_fault_of_downloads_is_for_downloads_by_default(service, client, url):
    with service.fault("flip-bit") as fault:
        assert fault.on == "download"
        assert client.post(service.update_url, json=device()).content == REGULAR


def statuses(service, client, count):
    return [client.post(service.update_url, json=device()).status_code for _ in range(count)]


def test_the_nth_request_alone_is_spoilt(service, client):
    with service.fault("http-500", nth=2) as fault:
        assert statuses(service, client, 4) == [200, 500, 200, 200]
    assert fault.fired == 1


def test_so_many_times_and_no_more(service, client):
    with service.fault("http-500", times=2):
        assert statuses(service, client, 4) == [500, 500, 200, 200]


def test_random_faults_strike_about_as_often_as_asked_and_the_same_way_for_the_same_seed(service, client):
    runs = []
    for _ in range(2):
        with service.fault("random-500", seed=7):
            runs.append(statuses(service, client, 40))
    assert runs[0] == runs[1]
    assert 8 < runs[0].count(500) < 32
    with service.fault("random-500", probability=0.99, seed=7):
        assert statuses(service, client, 40).count(500) > 35


def test_a_fault_ends_with_its_block_and_clear_ends_all(service, client):
    service.set_fault("http-500")
    with service.fault("http-503", times=1):
        assert statuses(service, client, 2) == [503, 500]
    service.clear_faults()
    assert statuses(service, client, 1) == [200]


def test_each_of_two_faults_counts_every_request_and_the_one_set_last_goes_first(service, client):
    service.set_fault("http-500", nth=2)
    service.set_fault("http-503", nth=1)
    assert statuses(service, client, 4) == [503, 500, 200, 200]
    service.clear_faults()
    first = service.set_fault("http-500", times=2)
    last = service.set_fault("http-503", nth=2)
    assert statuses(service, client, 4) == [500, 503, 200, 200]
    assert (first.fired, last.fired) == (1, 1)


def test_a_spoilt_request_is_recorded_all_the_same(service, raw):
    with service.fault("reset-before-headers"):
        raw().check()
        assert service.wait_for_requests(1, on="updates")[0].json == device()


# The list


def test_an_unknown_fault_option_or_endpoint_is_refused_with_those_that_exist(service):
    with pytest.raises(ValueError, match="drip-body"):
        service.set_fault("drip")
    with pytest.raises(TypeError, match="interval"):
        service.set_fault("drip-body", speed=3)
    with pytest.raises(ValueError, match="download"):
        service.set_fault("silence", on="downloads")
    with pytest.raises(ValueError, match="'' is no endpoint"):
        service.set_fault("silence", on="")
    with pytest.raises(ValueError, match=r"nth is a whole number, not 1\.5"):
        service.set_fault("silence", nth=1.5)
    with pytest.raises(ValueError, match=r"black_hole\(\)"):
        service.set_fault("black-hole")
