"""Which names are equal, and that no trick with equal names makes a path longer than is allowed.

Source: RFC 5280 7.1; RFC 4518 2.2, 2.6.1.
"""

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from otpc_policy.pki.certificate import decode_certificate
from otpc_policy.pki.distinguished_name import DistinguishedName, read_name
from otpc_policy.pki.judge import judge_chain
from otpc_policy.pki.judgement import TrustSource
from otpc_policy.pki.trust import Trust
from tests.support.forging import AT, ROOT, Made, authority, leaf, make, organization
from tests.support.signing import der_element

ORGANIZATION, UNIT = bytes.fromhex("060355040a"), bytes.fromhex("060355040b")
UTF8_STRING, PRINTABLE_STRING = 0x0C, 0x13


def attribute(oid: bytes, text: str, tag: int = UTF8_STRING) -> bytes:
    return der_element(0x30, oid + der_element(tag, text.encode()))


def name(*attributes: bytes) -> DistinguishedName:
    """Return a name of a single relative name."""
    der = der_element(0x30, der_element(0x31, b"".join(attributes)))
    return read_name(der, 0, len(der))


A, B = attribute(ORGANIZATION, "A"), attribute(UNIT, "B")


@pytest.mark.parametrize(
    ("first", "second", "is_equal"),
    [
        ((A, B), (B, A), True),
        ((A, A), (A,), False),
        ((A, A, B), (A, B, B), False),
        ((A, A, B), (B, A, A), True),
        ((A, B), (A,), False),
    ],
)
def test_equal_names_have_the_same_number_of_attributes(
    first: tuple[bytes, ...], second: tuple[bytes, ...], is_equal: bool
) -> None:
    one, other = name(*first), name(*second)
    assert (one.key == other.key) is is_equal
    assert (one.relative_names == other.relative_names) is is_equal


@pytest.mark.parametrize(
    ("text", "is_equal"),
    [
        ("good  CORP ", True),
        ("Good\tCorp", True),
        ("Good\r\nCorp", True),
        ("Good\x85Corp", True),
        ("Good\u00a0Corp", True),
        ("Good\x1f Corp", True),
        ("Good\x1cCorp", False),
        ("Good\x1dCorp", False),
        ("Good\x1eCorp", False),
        ("Good\x1fCorp", False),
        ("GoodCorp", False),
        ("Good Corp\u00e9", False),
    ],
)
def test_only_space_is_space(text: str, is_equal: bool) -> None:
    plain = name(attribute(ORGANIZATION, "Good Corp"))
    assert (name(attribute(ORGANIZATION, text)).key == plain.key) is is_equal


@pytest.mark.parametrize("text", ["Good\x1fCorp", "Good\x00Corp", "Good\x7f\x9fCor\x01p"])
def test_other_control_characters_are_nothing(text: str) -> None:
    one = name(attribute(ORGANIZATION, text))
    assert one.key == name(attribute(ORGANIZATION, "GoodCorp")).key


def issuing(subject: x509.Name, by: Made, path_length: int | None = None) -> Made:
    """Return an authority of any name."""
    model = authority("Model", by=by, key="ec384", path_length=path_length)
    extensions = [(each.value, each.critical) for each in model.certificate.extensions]
    dates = (AT.replace(year=2020), AT.replace(year=2040))
    return make(subject, by=by, key=model.key, extensions=extensions, dates=dates)


def trust_below(first: x509.Name, second: x509.Name) -> TrustSource:
    """Return the trust in a leaf below two authorities, of which the first allows none below it."""
    upper = issuing(first, ROOT, path_length=0)
    lower = issuing(second, upper)
    return judge_chain(
        [leaf(lower).der, lower.der, upper.der],
        server_name="partner.test",
        stapled_ocsp_response=None,
        trust=Trust(mozilla_roots=(ROOT.der,)),
        at=AT,
    ).trust


def test_a_self_issued_authority_does_not_count() -> None:
    assert trust_below(organization("A"), organization("A")) is TrustSource.MOZILLA_ROOT


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Straße", "STRASSE"),
        ("K", "\u212a"),
        ("Good Corp", "Good\u00a0Corp"),
        ("Good Corp", "Good\x85Corp"),
        ("Good Corp", "Good\x1fCorp"),
        ("Good Corp", "good corp"),
    ],
)
def test_names_that_are_equal_when_folded_make_no_path_longer(first: str, second: str) -> None:
    assert trust_below(organization(first), organization(second)) is TrustSource.NOTHING


def test_an_attribute_twice_makes_no_path_longer() -> None:
    twice = x509.Name(
        [
            x509.RelativeDistinguishedName(
                [
                    x509.NameAttribute(NameOID.ORGANIZATION_NAME, "A"),
                    x509.NameAttribute(NameOID.ORGANIZATION_NAME, "a"),
                ]
            )
        ]
    )
    assert trust_below(organization("A"), twice) is TrustSource.NOTHING


def test_self_issued_is_a_question_of_octets() -> None:
    same = issuing(organization("A"), issuing(organization("A"), ROOT))
    other = issuing(organization("a"), issuing(organization("A"), ROOT))
    assert decode_certificate(same.der).view.is_self_issued
    assert not decode_certificate(other.der).view.is_self_issued
