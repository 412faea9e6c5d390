"""Endpoints are parsed once: canonical form, or every violation."""

import ipaddress

import idna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otpc_policy.core.endpoint import Endpoint, canonical_host, is_ip_literal, parse_endpoint
from otpc_policy.core.errors import InvalidRequest


@pytest.mark.parametrize(
    ("host", "canonical"),
    [
        ("Partner.Example", "partner.example"),
        ("partner.example.", "partner.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("straße.example", "xn--strae-oqa.example"),  # IDNA 2008; IDNA 2003 would say strasse
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("192.0.2.1", "192.0.2.1"),
        ("2001:DB8::0001", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("localhost", "localhost"),
        ("a1.b2", "a1.b2"),
        # Host names like any other, although IDNA 2008 reserves hyphens in their place.
        ("qa--site.example", "qa--site.example"),
        ("QA--Site.Example.", "qa--site.example"),
        ("r3---sn-x.example", "r3---sn-x.example"),
        ("xn--ls8h.example", "xn--ls8h.example"),  # an emoji, which only IDNA 2003 permits
        ("xn--a.example", "xn--a.example"),  # decodes to nothing, and may be in the DNS anyway
        ("qa--site.bücher.example", "qa--site.xn--bcher-kva.example"),
        ("bücher。example", "xn--bcher-kva.example"),
        ("bücher.example。", "xn--bcher-kva.example"),
        ("partner.example\uff0e", "partner.example"),
        ("partner.example\uff61", "partner.example"),
        # Joiners where the scripts need them (RFC 5892 A.1, A.2).
        ("\u0646\u0627\u0645\u0647\u200c\u0627\u06cc.com", "xn--mgba3gch31f060k.com"),
        ("क्\u200dष.com", "xn--11b2ezcw70k.com"),
        ("a" * 63 + ".example", "a" * 63 + ".example"),
        (".".join(["a" * 62] * 4) + ".", ".".join(["a" * 62] * 4)),
    ],
)
def test_hosts_become_canonical(host: str, canonical: str) -> None:
    assert parse_endpoint(host).host == canonical


@pytest.mark.parametrize(
    "host",
    [
        "", ".", "a..b", "127.1", "0x7f.1", "0x7f000001", "2130706433", "0177.0.0.1", "127.0.0.1.",
        "1.2.3", "partner.example:443", "https://partner.example",
        "user@partner.example", "partner.example/path", "partner example", "under_score.example",
        "-a.example", "a-.example", "*.example", "[::1", "::1]",
        "[127.0.0.1]", "[partner.example]", "fe80::1%eth0", "a" * 64 + ".example",
        ".".join(["a" * 60] * 5), "\x00", "partner.example\n",
    ],
)  # fmt: skip
def test_what_is_no_bare_host_is_refused(host: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_endpoint(host)
    assert [one.field for one in refused.value.violations] == ["host"]


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("pay_ments.example", "'pay_ments' has an underscore"),
        ("_dmarc.example", "'_dmarc' has an underscore"),
        ("bü_cher.example", "'bü_cher' has an underscore"),
        ("bad-.example", "'bad-' begins or ends with a hyphen"),
        ("a..example", "a label is empty"),
        ("é..example", "a label is empty"),
        ("a" * 64 + ".example", "a label has 64 characters"),
        (".".join(["a" * 60] * 5), "304 characters"),
        ("*.example", "'\\*' has other characters"),
        ("☃.example", "IDNA 2008 does not allow"),
        ("127。0。0。1", "ends in a number"),
        ("127.0.0.1.", "is an IP address with a dot after it; leave the dot away: 127.0.0.1$"),
        ("127.0.0.1。", "is an IP address with a dot after it"),
        ("a.example。。", "a label is empty"),
        ("par\u00adtner.example", r"an invisible character, U\+00AD \(soft hyphen\)"),
        ("par\u2060tner.example", r"an invisible character, U\+2060 \(word joiner\)"),
        ("par\u200btner.example", r"an invisible character, U\+200B \(zero width space\)"),
        ("\ufeffpartner.example", r"an invisible character, U\+FEFF"),
        ("partner\u202e.example", r"an invisible character, U\+202E"),
        ("par\u200dtner.example", "a joiner .* in a place where IDNA 2008 does not allow it"),
        ("par\u200ctner.example", "a joiner .* in a place where IDNA 2008 does not allow it"),
        ("partner example", "must be a bare host"),
        ("partner.example\n", "must be a bare host"),
        ("https://partner.example/pay", "is a URL; give the host alone: partner.example$"),
        ("https://user:secret@partner.example:8443", "give the host alone: partner.example$"),
        ("http://[2001:db8::1]:80/", r"give the host alone: \[2001:db8::1\]$"),
        ("grpc://", "is a URL; give the host alone: HOST$"),
    ],
)
def test_a_refusal_says_what_is_wrong_with_the_name(host: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        canonical_host(host)


def test_every_violation_is_reported_at_once() -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_endpoint("a b", 70000, "192.0.2.1")
    assert [one.field for one in refused.value.violations] == ["host", "server_name", "port"]


@pytest.mark.parametrize(("port", "meant"), [(0, 443), (1, 1), (65535, 65535)])
def test_port_zero_means_443(port: int, meant: int) -> None:
    assert parse_endpoint("partner.example", port).port == meant


@pytest.mark.parametrize("port", [-1, 65536, 65536 + 443])
def test_ports_outside_the_range_are_refused(port: int) -> None:
    with pytest.raises(InvalidRequest, match="TCP port"):
        parse_endpoint("partner.example", port)


@given(st.text(max_size=300))
def test_any_text_is_refused_or_parses_to_a_form_that_parses_to_itself(host: str) -> None:
    parsed = _parsed(host)
    assert parsed is None or parse_endpoint(parsed.host) == parsed


def _parsed(host: str) -> Endpoint | None:
    try:
        return parse_endpoint(host)
    except InvalidRequest:
        return None


@given(st.text("abx019-.", min_size=1, max_size=62))
def test_a_plain_name_is_canonical_by_the_short_way_as_by_the_long_one(host: str) -> None:
    # A trailing dot leads every name the long way, through IDNA.
    assert (
        _canonical_or_none(host) == _canonical_or_none(host + ".")
        or host.endswith(".")
        or host[-1].isdigit()
    )


def _canonical_or_none(host: str) -> str | None:
    try:
        return canonical_host(host)
    except ValueError:
        return None


@given(
    st.ip_addresses().map(str)
    | st.text(alphabet="0123456789abcdefx.:%/\u0663 ", max_size=20)
    | st.sampled_from(["::", "::f", "fe80::1%eth0", "1.2.3.4 "])
)
def test_an_ip_literal_is_what_the_standard_library_reads(name: str) -> None:
    """What looks like no address at first sight is none."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        assert not is_ip_literal(name)
    else:
        assert is_ip_literal(name)


@pytest.mark.parametrize("label", ["\u00fc", "\u0644", "\u4e2d", "\u0915\u094d\u200d\u0915"])
def test_a_name_that_is_too_long_is_refused_before_all_its_labels_are_encoded(
    label: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand characters took 13 ms, and a batch has two hundred names."""
    encoded: list[str] = []
    alabel = idna.alabel

    def counted(each: str) -> bytes:
        encoded.append(each)
        return alabel(each)

    monkeypatch.setattr(idna, "alabel", counted)
    with pytest.raises(ValueError, match=r"in A-labels \(xn--\.\.\.\) it has more than 253"):
        canonical_host(".".join([label] * (1000 // (len(label) + 1))))
    assert len(encoded) < 40
