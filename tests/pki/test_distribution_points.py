"""Where a leaf's CRL is: whatever else is odd in the leaf, it is found, or known to be unknown."""

from collections.abc import Sequence

import pytest
from cryptography import x509

from otpc_policy.pki.certificate import decode_certificate
from otpc_policy.pki.crl import CrlQuestion, CrlStatement, crl_points, read_crl
from otpc_policy.pki.judge import judge_chain
from otpc_policy.pki.judgement import ChainJudgement, CrlStatus, TrustSource
from otpc_policy.pki.trust import Trust, TrustEntry
from tests.pki.test_odd_crls import sequence
from tests.support.certificates import CertificateAuthority
from tests.support.crls import crl
from tests.support.forging import AT, Made, authority, leaf
from tests.support.signing import der_element

URL, OTHER = "http://crl.example/a.crl", "http://crl.example/b.crl"
POINTS = "2.5.29.31"
ROOT = authority("Root")


def uri(text: str | bytes) -> bytes:
    return der_element(0x86, text if isinstance(text, bytes) else text.encode())


def named(*names: bytes) -> bytes:
    return der_element(0xA0, der_element(0xA0, b"".join(names)))


def point(*parts: bytes) -> bytes:
    return sequence(*parts)


GOOD_POINT = point(named(uri(URL)))


def plus(oid: str, content: bytes) -> tuple[x509.ExtensionType, bool]:
    return x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), content), False


def issue(*points: bytes, content: bytes | None = None, **arguments: object) -> Made:
    value = sequence(*points) if content is None else content
    others = arguments.pop("others", ())
    return leaf(ROOT, plus=[plus(POINTS, value), *others], **arguments)  # type: ignore


class Revoking:
    """Says of everything that a list is asked about that it is revoked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def about(self, question: CrlQuestion) -> CrlStatement | None:
        self.asked += [each.url.text for each in question.subject.points]
        body = crl(
            CertificateAuthority(ROOT.certificate, ROOT.key),
            serial_numbers=[question.subject.serial_number],
        )
        found = read_crl(body, question.issuer)
        return found.says_of(question.subject, question.subject.points[0])


def judged(made: Made, crls: Revoking, *, is_public: bool = False) -> ChainJudgement:
    anchor = TrustEntry(hosts=("partner.test",), anchors=(ROOT.der,))
    return judge_chain(
        [made.der],
        server_name="partner.test",
        stapled_ocsp_response=None,
        trust=Trust(
            mozilla_roots=(ROOT.der,) if is_public else (), entries=() if is_public else (anchor,)
        ),
        at=AT,
        crls=crls,
    )


ODD = {
    "nothing": None,
    "authority information access": plus("1.3.6.1.5.5.7.1.1", b"\xff\xff"),
    "x400Address in authority information access": plus(
        "1.3.6.1.5.5.7.1.1",
        sequence(sequence(bytes.fromhex("06082b06010505073001"), b"\xa3\x02\x30\x00")),
    ),
    "signed certificate timestamps": plus("1.3.6.1.4.1.11129.2.4.2", b"\xff\xff"),
    "freshest CRL": plus("2.5.29.46", b"\xff"),
    "issuer alternative name": plus("2.5.29.18", b"\xff"),
    "statements": plus("1.3.6.1.5.5.7.1.3", b"\xff"),
    "policies": plus("2.5.29.32", b"\xff\xff"),
}


@pytest.mark.parametrize("what", ODD)
def test_no_other_extension_hides_where_the_list_is(what: str) -> None:
    odd = ODD[what]
    crls = Revoking()
    judgement = judged(issue(GOOD_POINT, others=[odd] if odd else []), crls)
    assert (judgement.trust, judgement.crl) == (TrustSource.ANCHOR, CrlStatus.REVOKED)
    assert crls.asked == [URL]


def test_no_other_name_hides_where_the_list_is() -> None:
    names = sequence(der_element(0x82, b"partner.test"), b"\xa3\x02\x30\x00", b"\x81\x01\xe9")
    odd = issue(
        GOOD_POINT, without=[x509.SubjectAlternativeName], others=[plus("2.5.29.17", names)]
    )
    for is_public in (False, True):
        assert judged(odd, Revoking(), is_public=is_public).crl is CrlStatus.REVOKED


DAMAGED_POINT = point(named(uri(b"http://\xe9.example/")))


@pytest.mark.parametrize(
    "points",
    [
        [GOOD_POINT],
        [GOOD_POINT, DAMAGED_POINT],
        [DAMAGED_POINT, GOOD_POINT],
        [GOOD_POINT, point()],
        [GOOD_POINT, point(named(b"\xa3\x02\x30\x00"))],
        [GOOD_POINT, point(named(uri(OTHER)), b"\x81\x01\x00")],
        [GOOD_POINT, b"\x05\x00"],
        [point(named(b"\xa3\x02\x30\x00", uri(b"http://\xe9/"), uri("ldap://x/"), uri(URL)))],
        [GOOD_POINT, *[DAMAGED_POINT] * 40],
    ],
    ids=range(9),
)
def test_points_that_can_be_read_are_used(points: Sequence[bytes]) -> None:
    crls = Revoking()
    assert judged(issue(*points), crls).crl is CrlStatus.REVOKED
    assert crls.asked == [URL]


@pytest.mark.parametrize(
    "content",
    [
        b"\xff",
        b"",
        sequence(),
        sequence(b"\x30"),
        sequence(GOOD_POINT) + b"\0",
        sequence(point()),
        sequence(b"\x05\x00"),
        sequence(DAMAGED_POINT),
        sequence(point(named(uri("http://crl.example:0/")))),
        sequence(point(named(uri("HTTP://crl.example/a b")))),
        sequence(point(der_element(0xA0, b""))),
        sequence(point(der_element(0xA0, b"\x05\x00"))),
        sequence(point(named(b"\x05\x00"))),
        sequence(point(b"\x81\x01\x00")),
        sequence(point(named(uri(URL)), named(uri(URL)))),
        sequence(point(named(uri("ldap://x/"))), DAMAGED_POINT),
        sequence(*[point(named(uri("ldap://x/")))] * 17),
        sequence(point(named(*[uri("ldap://x/")] * 9))),
    ],
    ids=range(18),
)
def test_without_a_point_that_can_be_read_nothing_is_known(content: bytes) -> None:
    crls = Revoking()
    made = issue(content=content)
    judgement = judged(made, crls)
    assert (judgement.crl, judgement.trust) == (CrlStatus.UNVERIFIED, TrustSource.ANCHOR)
    assert "distribution points cannot be read" in judgement.crl_detail
    assert crls.asked == []
    assert not decode_certificate(made.der).extensions.unread


@pytest.mark.parametrize(
    "points",
    [
        [point(named(uri("ldap://x/")))],
        [point(named(uri("https://crl.example/a.crl")))],
        [point(der_element(0xA2, b"\xa4\x02\x30\x00"))],
        [point(named(uri(URL)), b"\x81\x02\x01\x02")],
        [point(der_element(0xA0, der_element(0xA1, b"")))],
    ],
    ids=range(5),
)
def test_other_places_are_none(points: Sequence[bytes]) -> None:
    found, without = crl_points(decode_certificate(issue(*points).der))
    assert found == ()
    assert without is not None
    assert without.status is CrlStatus.ABSENT


def test_no_extension_at_all_names_no_list() -> None:
    _, without = crl_points(decode_certificate(leaf(ROOT).der))
    assert without is not None
    assert (without.status, without.detail) == (CrlStatus.ABSENT, "it names no CRL")
