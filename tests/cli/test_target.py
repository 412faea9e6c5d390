"""HOST[:PORT] and URLs as users write them."""

import pytest

from otpc_policy.cli.target import Target, parse_target


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("pay.partner.test", "pay.partner.test", 0),
        ("pay.partner.test:8443", "pay.partner.test", 8443),
        ("PAY.partner.test.", "PAY.partner.test.", 0),
        ("münchen.test:1", "münchen.test", 1),
        ("192.0.2.7", "192.0.2.7", 0),
        ("192.0.2.7:65535", "192.0.2.7", 65535),
        ("[2001:db8::1]", "[2001:db8::1]", 0),
        ("[2001:db8::1]:8443", "[2001:db8::1]", 8443),
        ("https://pay.partner.test", "pay.partner.test", 0),
        ("HTTPS://pay.partner.test:8443/v1/otp?x=http://y#z", "pay.partner.test", 8443),
        ("https://pay.partner.test?x=1", "pay.partner.test", 0),
        ("https://[2001:db8::1]:8443/v1", "[2001:db8::1]", 8443),
    ],
)
def test_an_endpoint_is_read_as_it_is_meant(text: str, host: str, port: int) -> None:
    assert parse_target(text) == Target(host, port)


@pytest.mark.parametrize(
    ("text", "lesson"),
    [
        ("http://pay.partner.test:80/v1", "no transport security.*https://pay.partner.test$"),
        ("HTTP://pay.partner.test", "no transport security"),
        ("ftp://pay.partner.test", "ftp:// is not supported"),
        ("pay.partner.test/v1", "begins with https://"),
        ("https://user:secret@pay.partner.test/", "user name"),
        ("2001:db8::1", r"needs brackets.*\[2001:db8::1\]:443"),
        ("[2001:db8::1", "brackets go around"),
        ("[2001:db8::1]443", "brackets go around"),
        ("[pay.partner.test]:443", "bare host"),
        ("pay.partner.test:", "'' is not a TCP port"),
        ("pay.partner.test:0", "'0' is not a TCP port"),
        ("pay.partner.test:65536", "'65536' is not a TCP port"),
        ("pay.partner.test:https", "'https' is not a TCP port"),
        ("pay.partner.test:٤٤٣", "is not a TCP port"),
        ("", "host is required"),
        ("https://", "host is required"),
        ("127.1", "ends in a number"),
        ("pay_partner.test", "not a DNS name"),
        ("pay partner.test", "bare host"),
    ],
)
def test_what_is_refused_is_refused_with_the_way_out(text: str, lesson: str) -> None:
    with pytest.raises(ValueError, match=lesson):
        parse_target(text)


def test_a_wrong_server_name_is_refused_before_anything_is_asked() -> None:
    with pytest.raises(ValueError, match="--server-name"):
        parse_target("pay.partner.test", "192.0.2.7")
