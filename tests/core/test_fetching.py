"""http URLs of certificates: which are taken, and what of them is asked for."""

import pytest

from otpc_policy.core.fetching import HttpUrl


@pytest.mark.parametrize(
    ("text", "host", "port", "target", "authority"),
    [
        ("http://crl.example/a.crl", "crl.example", 80, "/a.crl", "crl.example"),
        ("HTTP://CRL.Example:8080/a?b=c#d", "crl.example", 8080, "/a?b=c", "crl.example:8080"),
        ("http://crl.example?a/b", "crl.example", 80, "/?a/b", "crl.example"),
        ("http://192.0.2.1:080/x", "192.0.2.1", 80, "/x", "192.0.2.1"),
        ("http://crl.example", "crl.example", 80, "/", "crl.example"),
        ("http://[2001:db8::1]:81/x", "2001:db8::1", 81, "/x", "[2001:db8::1]:81"),
    ],
)
def test_a_url_is_taken_apart(text: str, host: str, port: int, target: str, authority: str) -> None:
    url = HttpUrl.parse(text)
    assert (url.host, url.port, url.target, url.authority) == (host, port, target, authority)


@pytest.mark.parametrize(
    "text",
    [
        "https://crl.example/a.crl",
        "ldap://directory.example/cn=CA?certificateRevocationList",
        "ftp://crl.example/a.crl",
        "file:///etc/passwd",
        "/a.crl",
        "",
        "http://",
        "http:///a.crl",
        "http://user@crl.example/",
        "http://crl.example:0/",
        "http://crl.example:65536/",
        "http://crl.example:x/",
        "http://crl.example:/",
        "http://crl.example:80:80/",
        "http://[127.0.0.1]/",
        "http://[crl.example]/",
        "http://]/",
        "http://crl.example/a b",
        "http://crl.example/\r\nHost: other",
        "http://crl.example/\x00",
        "http://crl.ex\u00e4mple/",
        "http://127.1/",
        "http://0x7f.1/",
        "http://[::1%25lo]/",
        "http://[::1/",
        "http://crl.example/" + "a" * 1_000,
    ],
)
def test_whatever_is_not_an_http_url_in_ascii_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S") as raised:
        HttpUrl.parse(text)
    assert not isinstance(raised.value, UnicodeError)


@pytest.mark.parametrize(
    ("location", "leads_to"),
    [
        ("http://other.example/b", "http://other.example/b"),
        ("/b", "http://crl.example:8080/b"),
        ("//other.example/b", "http://other.example/b"),
    ],
)
def test_a_location_is_read_from_where_it_was_met(location: str, leads_to: str) -> None:
    url = HttpUrl.parse("http://crl.example:8080/dir/a")
    assert url.redirected(location) == HttpUrl.parse(leads_to)


@pytest.mark.parametrize(
    "location",
    [
        "https://crl.example/",
        "ftp://x/",
        "b",
        "",
        "../b",
        "/b\x00",
        "\x00",
        "http://[",
        "x" * 1_001,
    ],
)
def test_a_location_elsewhere_is_refused(location: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        HttpUrl.parse("http://crl.example/a").redirected(location)
