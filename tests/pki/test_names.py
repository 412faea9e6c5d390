"""Names: RFC 9525 on subjectAltName, the common name only where there is no subjectAltName."""

from collections.abc import Sequence

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from otpc_policy.pki.certificate import decode_certificate
from otpc_policy.pki.judgement import NameMatch
from otpc_policy.pki.names import match_name, matches_dns_pattern
from tests.support.certificates import CertificateAuthority

AUTHORITY = CertificateAuthority.create()


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("partner.test", "partner.test", True),
        ("PARTNER.Test", "partner.test", True),
        ("partner.test", "api.partner.test", False),
        ("api.partner.test", "partner.test", False),
        # A wildcard is one complete label, the left-most.
        ("*.partner.test", "api.partner.test", True),
        ("*.PARTNER.Test", "api.partner.test", True),
        ("*.partner.test", "api.other.test", False),
        ("*.partner.test", "partner.test", False),
        ("*.partner.test", "a.b.partner.test", False),
        ("*.partner.test", "notpartner.test", False),
        ("a*.partner.test", "api.partner.test", False),
        ("*i.partner.test", "api.partner.test", False),
        ("a*i.partner.test", "api.partner.test", False),
        ("api.*.test", "api.partner.test", False),
        ("*.*.partner.test", "a.b.partner.test", False),
        ("**.partner.test", "api.partner.test", False),
        ("*", "localhost", False),
        ("*.", "localhost", False),
        ("*.partner.test", "localhost", False),
        # Never a whole top-level domain.
        ("*.com", "partner.com", False),
        ("*.test", "partner.test", False),
        # A-labels: exact, and under a complete wildcard label (RFC 9525 6.3), never under a part of
        # one.
        ("xn--bcher-kva.test", "xn--bcher-kva.test", True),
        ("bücher.test", "xn--bcher-kva.test", False),
        # The Kelvin sign, whose lower case is k.
        ("\u212aey.test", "key.test", False),
        ("*.partner.test", "xn--bcher-kva.partner.test", True),
        ("xn--*.partner.test", "xn--bcher-kva.partner.test", False),
        ("*.xn--bcher-kva.test", "api.xn--bcher-kva.test", True),
        # What is no DNS name matches nothing.
        ("", "partner.test", False),
        (" partner.test", "partner.test", False),
        ("partner.test\n", "partner.test", False),
        ("partner.test\0.evil.test", "partner.test", False),
        (".partner.test", "partner.test", False),
        ("partner..test", "partner.test", False),
        ("partner.test.", "partner.test", False),
        ("https://partner.test", "partner.test", False),
        ("192.0.2.1", "partner.test", False),
        ("1", "partner.test", False),
    ],
)
def test_dns_patterns(pattern: str, name: str, expected: bool) -> None:
    """The same at the second time of asking, when some answers are known."""
    assert matches_dns_pattern(pattern, name) is expected
    assert matches_dns_pattern(pattern, name) is expected


@pytest.mark.parametrize(
    ("dns", "ips", "server_name", "expected"),
    [
        (("partner.test",), (), "partner.test", NameMatch.SUBJECT_ALT_NAME),
        (("partner.test",), (), "PARTNER.test.", NameMatch.SUBJECT_ALT_NAME),
        (("other.test", "*.partner.test"), (), "api.partner.test", NameMatch.SUBJECT_ALT_NAME),
        (("other.test",), (), "partner.test", NameMatch.MISMATCH),
        (("xn--bcher-kva.test",), (), "bücher.test", NameMatch.SUBJECT_ALT_NAME),
        # One invalid pattern does not spoil a valid one.
        (
            ("*.com", "*", "a*b.test", "partner.test"),
            (),
            "partner.test",
            NameMatch.SUBJECT_ALT_NAME,
        ),
        # IP literals match iPAddress entries, and nothing else does.
        (("partner.test",), ("192.0.2.1",), "192.0.2.1", NameMatch.SUBJECT_ALT_NAME),
        (("partner.test",), ("2001:db8::1",), "2001:db8:0::1", NameMatch.SUBJECT_ALT_NAME),
        (("partner.test",), ("2001:db8::1",), "[2001:db8::1]", NameMatch.SUBJECT_ALT_NAME),
        (("partner.test",), ("192.0.2.1",), "192.0.2.2", NameMatch.MISMATCH),
        (("192.0.2.1",), (), "192.0.2.1", NameMatch.MISMATCH),
        ((), ("192.0.2.1",), "partner.test", NameMatch.MISMATCH),
        # A name that is no host name matches nothing.
        (("partner.test",), (), "", NameMatch.MISMATCH),
        (("partner.test",), (), "partner test", NameMatch.MISMATCH),
    ],
)
def test_subject_alternative_names(
    dns: Sequence[str], ips: Sequence[str], server_name: str, expected: NameMatch
) -> None:
    leaf = decode_certificate(AUTHORITY.issue(dns=dns, ips=ips, common_name="unrelated").der)
    assert match_name(leaf, server_name) is expected


@pytest.mark.parametrize(
    ("common_name", "server_name", "expected"),
    [
        ("partner.test", "partner.test", NameMatch.COMMON_NAME),
        ("*.partner.test", "api.partner.test", NameMatch.COMMON_NAME),
        ("*.test", "partner.test", NameMatch.MISMATCH),
        ("other.test", "partner.test", NameMatch.MISMATCH),
        ("Partner Ltd", "partner.test", NameMatch.MISMATCH),
        # RFC 2818 3.1: an IP address must be in the SAN.
        ("192.0.2.1", "192.0.2.1", NameMatch.MISMATCH),
    ],
)
def test_the_common_name_counts_without_a_san(
    common_name: str, server_name: str, expected: NameMatch
) -> None:
    leaf = decode_certificate(AUTHORITY.issue(common_name=common_name, with_san=False).der)
    assert match_name(leaf, server_name) is expected


@pytest.mark.parametrize(
    ("dns", "ips"), [(("other.test",), ()), ((), ("192.0.2.1",)), (("*.com",), ())]
)
def test_the_common_name_does_not_count_beside_any_san(
    dns: Sequence[str], ips: Sequence[str]
) -> None:
    leaf = decode_certificate(AUTHORITY.issue(dns=dns, ips=ips, common_name="partner.test").der)
    assert match_name(leaf, "partner.test") is NameMatch.MISMATCH


def test_of_several_common_names_the_most_specific_counts() -> None:
    template = AUTHORITY.issue(with_san=False)
    subject = x509.Name(
        [
            x509.NameAttribute(x509.NameOID.COMMON_NAME, name)
            for name in ("partner.test", "other.test")
        ]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(AUTHORITY.certificate.subject)
        .public_key(template.certificate.public_key())
        .serial_number(1)
        .not_valid_before(template.certificate.not_valid_before_utc)
        .not_valid_after(template.certificate.not_valid_after_utc)
        .sign(AUTHORITY.private_key, hashes.SHA256())
    )
    leaf = decode_certificate(certificate.public_bytes(Encoding.DER))
    assert match_name(leaf, "other.test") is NameMatch.COMMON_NAME
    assert match_name(leaf, "partner.test") is NameMatch.MISMATCH
