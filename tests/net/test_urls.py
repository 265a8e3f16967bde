"""Reading URLs (net/urls.py): what needs httpx and what does not must come to the same."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from capgo_client.errors import NetworkError
from capgo_client.net.urls import join, parse, redact


def parts(url):
    return (url.scheme, url.host, url.raw_host, url.port, url.netloc, url.target)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "https://plugin.capgo.app/updates",
            ("https", "plugin.capgo.app", b"plugin.capgo.app", None, b"plugin.capgo.app", b"/updates"),
        ),
        (
            "https://api.example:8443/files/a%20b.zip?key=o%2Fp&device_id=1",
            (
                "https",
                "api.example",
                b"api.example",
                8443,
                b"api.example:8443",
                b"/files/a%20b.zip?key=o%2Fp&device_id=1",
            ),
        ),
        ("https://a.example:443/", ("https", "a.example", b"a.example", None, b"a.example", b"/")),
        ("http://a.example:80/", ("http", "a.example", b"a.example", None, b"a.example", b"/")),
        ("http://a.example:443/", ("http", "a.example", b"a.example", 443, b"a.example:443", b"/")),
        ("http://127.0.0.1:8080/o//x", ("http", "127.0.0.1", b"127.0.0.1", 8080, b"127.0.0.1:8080", b"/o//x")),
        ("https://a.example", ("https", "a.example", b"a.example", None, b"a.example", b"/")),
        ("https://a.example?x=1", ("https", "a.example", b"a.example", None, b"a.example", b"/?x=1")),
        ("HTTPS://A.Example/B", ("https", "a.example", b"a.example", None, b"a.example", b"/B")),
        ("https://a.example/x/../y", ("https", "a.example", b"a.example", None, b"a.example", b"/y")),
        ("https://a.example/a b", ("https", "a.example", b"a.example", None, b"a.example", b"/a%20b")),
        ("https://a.example/x#part", ("https", "a.example", b"a.example", None, b"a.example", b"/x")),
        ("https://u:p@a.example/x", ("https", "a.example", b"a.example", None, b"a.example", b"/x")),
        ("http://[::1]:80/x", ("http", "::1", b"::1", None, b"[::1]", b"/x")),
        (
            "https://bücher.example/",
            ("https", "bücher.example", b"xn--bcher-kva.example", None, b"xn--bcher-kva.example", b"/"),
        ),
        (
            "https://xn--bcher-kva.example/",
            ("https", "bücher.example", b"xn--bcher-kva.example", None, b"xn--bcher-kva.example", b"/"),
        ),
    ],
)
def test_a_url_is_taken_apart(text, expected):
    assert parts(parse(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", "a.example/x", "https://", "https:///x", "https://a.example:0/", "https://a.example:65536/",
        "https://a.example:99999/", "https://999.0.0.1/", "https://1.2.3.400/x", "https://a.example/\n", "http://[::1",
        "https://xn--a/", "https://xn--/",
    ],
)  # fmt: skip
def test_what_names_no_place_is_refused(text):
    with pytest.raises(NetworkError) as caught:
        parse(text)
    assert caught.value.code == "invalid_url"


#: Pieces that a URL is made of, and others that it should not be made of.
PIECES = st.sampled_from(
    [
        *"aZ09.-_~/?#:@%!$&'()*+,;=[]{}|^`\"<> \\\té\n",
        "//", "..", "/.", "/./", "/../", "%2f", "%2F", "%zz", "%", "127.0.0.1", "01.2.3.4", "300.1.1.1", "::1", ":80",
        ":443", ":0", ":00080", ":65535", ":65536", "xn--", "xn--bcher-kva", "a.b", "a--b", "-a", "a-", "A", "user:pw@",
    ]
)  # fmt: skip


@given(st.sampled_from(["https://", "http://", "HTTP://", "ftp://"]), st.lists(PIECES, max_size=8).map("".join))
@example("https://", "xn--a/")
@example("https://", "a.example/b?c")
@example("https://", "a.example/b?")
@example("https://", "a.example/.")
@example("https://", "a.example/b/..")
@example("https://", "a.example/...")
@example("https://", "a.example:080/")
@example("https://", "a.example./")
@example("https://", "a..example/")
@example("https://", "a.example/" + "x" * 9000)
@settings(max_examples=400, deadline=None)
def test_every_url_is_read_as_httpx_reads_it(scheme, rest):
    text = scheme + rest
    try:
        known = httpx.URL(text)
        assert known.host is not None  # which may raise by itself
    except (httpx.InvalidURL, ValueError):
        known = None
    if known is None or not known.host or not (known.port is None or 0 < known.port < 65536):
        with pytest.raises(NetworkError):
            parse(text)
        return
    assert parts(parse(text)) == (
        known.scheme,
        known.host,
        known.raw_host,
        known.port,
        known.netloc,
        known.raw_path,
    )
    host = f"[{known.host}]" if ":" in known.host else known.host
    port = f":{known.port}" if known.port is not None else ""
    assert redact(text) == f"{known.scheme}://{host}{port}{known.raw_path.partition(b'?')[0].decode()}"


@pytest.mark.parametrize(
    ("reference", "leads_to"),
    [
        ("/next?x=1", "https://a.example:8443/next?x=1"),
        ("next", "https://a.example:8443/b/next"),
        ("../up", "https://a.example:8443/up"),
        ("//other.example/x", "https://other.example/x"),
        ("http://other.example/", "http://other.example/"),
        ("?only=query", "https://a.example:8443/b/c?only=query"),
    ],
)
def test_a_reference_is_followed_from_where_it_was_found(reference, leads_to):
    base = parse("https://user:pw@a.example:8443/b/c?key=1#f")
    joined = join(base, reference)
    assert parts(joined) == parts(parse(leads_to))


def test_a_usual_url_is_read_without_httpx(monkeypatch):
    def refuse(_):
        raise AssertionError

    monkeypatch.setattr(httpx, "URL", refuse)
    assert parse("https://files.capgo.app/o/%e2%82%ac~x.js?key=a%2Fb&t=1").target == b"/o/%e2%82%ac~x.js?key=a%2Fb&t=1"
    assert redact("https://files.capgo.app:444/x?key=secret") == "https://files.capgo.app:444/x"
