"""Section 4.3 of reference/service-behaviour.md: how stored files are handed out."""

from __future__ import annotations

import base64
import hashlib

import pytest

DATA = bytes(range(100))
ETAG = '"7acedd1a84a4cfcb6e7a16003242945e"'


@pytest.fixture
def url(service):
    return service.store("orgs/o/apps/a/1.0.0.zip", DATA)


def test_a_whole_file_comes_with_the_reference_s_headers_and_no_others(client, url):
    reply = client.get(url)
    assert reply.status_code == 200
    assert reply.content == DATA
    assert hashlib.md5(DATA).hexdigest() == ETAG.strip('"')
    assert dict(reply.headers) == {
        "content-type": "application/zip",
        "cache-control": "public, max-age=31536000, immutable, no-transform",
        "etag": ETAG,
        "content-disposition": 'attachment; filename="orgs/o/apps/a/1.0.0.zip"',
        "x-checksum-sha256": base64.b64encode(hashlib.sha256(DATA).digest()).decode(),
        "content-length": "100",
    }


@pytest.mark.parametrize(
    ("asked", "said", "body"),
    [
        ("bytes=0-9", "bytes 0-9/100", DATA[:10]),
        ("bytes=90-", "bytes 90-99/100", DATA[90:]),
        ("bytes=-10", "bytes 90-99/100", DATA[90:]),
        ("bytes=-1000", "bytes 0-99/100", DATA),
        ("bytes=95-1000", "bytes 95-99/100", DATA[95:]),
        ("bytes=99-99", "bytes 99-99/100", DATA[99:]),
        ("bytes=0-", "bytes 0-99/100", DATA),
        ("bytes=0-1,5-6", "bytes 0-99/100", DATA),
        ("lines=0-1", "bytes 0-99/100", DATA),
    ],
)
def test_a_range_is_answered_as_the_reference_says(client, url, asked, said, body):
    reply = client.get(url, headers={"Range": asked})
    assert reply.status_code == 206
    assert reply.content == body
    assert dict(reply.headers) == {
        "content-type": "application/zip",
        "content-range": said,
        "etag": ETAG,
        "cache-control": "public, max-age=31536000, immutable, no-transform",
        "content-length": str(len(body)),
    }


@pytest.mark.parametrize("asked", ["bytes=100-", "bytes=999999-", "bytes=100-200", "bytes=-0"])
def test_a_start_at_or_beyond_the_end_is_an_empty_206_without_type_and_etag(client, url, asked):
    reply = client.get(url, headers={"Range": asked})
    assert (reply.status_code, reply.content) == (206, b"")
    assert reply.headers["content-range"] == "bytes */100"
    assert reply.headers["content-length"] == "0"
    assert {"content-type", "etag", "accept-ranges"}.isdisjoint(reply.headers)


def test_head_has_the_headers_of_get_and_no_body(client, url):
    reply = client.head(url)
    assert (reply.status_code, reply.content) == (200, b"")
    assert reply.headers == client.get(url).headers
    assert client.head(url, headers={"Range": "bytes=0-9"}).headers["content-range"] == "bytes 0-9/100"


def test_if_none_match_is_ignored(client, url):
    assert client.get(url, headers={"If-None-Match": ETAG}).status_code == 200


def test_key_and_device_id_are_not_checked(client, url):
    assert client.get(url + "?key=wrong&device_id=any").content == DATA


def test_a_missing_object_and_another_method_are_not_found(service, client, url):
    for reply in (client.get(url + ".nope"), client.post(url), client.delete(url)):
        assert (reply.status_code, reply.json()) == (404, {"error": "not_found", "message": "Not found"})


def test_a_broken_percent_escape_is_a_400_with_a_request_id(raw):
    connection = raw()
    connection.get("/files/read/attachments/orgs/%zz.zip")
    head, body = connection.read_reply()
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert body.startswith(
        b'{"error":"invalid_file_path_encoding","message":"Invalid attachment file path encoding","moreInfo":'
        b'{"requestId":"'
    )


def test_a_path_is_found_verbatim_before_it_is_decoded(service, raw):
    service.store("delta/h_a%20b%40.txt", b"verbatim")
    service.store("delta/h_c d.txt", b"decoded")
    connection = raw()
    connection.get("/files/read/attachments/delta/h_a%20b%40.txt")
    assert connection.read_reply()[1] == b"verbatim"
    connection.get("/files/read/attachments/delta/h_c%20d.txt")
    assert connection.read_reply()[1] == b"decoded"


def test_a_brotli_name_has_the_type_of_the_name_without_it_and_no_content_encoding(service, client):
    reply = client.get(service.store("delta/h_index.html.br", b"\x0b\x00\x80a\x03"))
    assert reply.headers["content-type"] == "text/html"
    assert "content-encoding" not in reply.headers
    assert reply.content == b"\x0b\x00\x80a\x03"


def test_downloads_are_listed_apart_with_the_range_that_was_asked(service, client, url):
    client.get(url, headers={"Range": "bytes=5-"})
    client.get(service.url + "/ok")
    assert [request.headers["range"] for request in service.downloads] == ["bytes=5-"]
