"""CRLs: GOOD only by a current, complete list of the issuer, REVOKED whenever one said so."""

import binascii
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509

from otpc_policy.pki.certificate import decode_certificate
from otpc_policy.pki.crl import (
    CrlQuestion,
    CrlStatement,
    UnusableCrlError,
    crl_points,
    judge_statement,
    read_crl,
)
from otpc_policy.pki.judge import judge_chain
from otpc_policy.pki.judgement import ChainJudgement, CrlStatus, StapleStatus
from otpc_policy.pki.trust import Trust, TrustEntry
from tests.support.certificates import CertificateAuthority, Issued, self_signed
from tests.support.crls import crl, decoded, question, scope
from tests.support.forging import authority, elements_of, key_usage, leaf, signed

NOW = datetime.now(UTC).replace(microsecond=0)
URL = "http://crl.example/a.crl"
ROOT = CertificateAuthority.create("Root")
AUTHORITY = ROOT.intermediate("Authority")
ISSUED = AUTHORITY.issue(crl_urls=[URL])


def said(
    body: bytes, *, issued: Issued = ISSUED, authority: CertificateAuthority = AUTHORITY
) -> CrlStatement:
    asked = question(issued, authority)
    return read_crl(body, asked.issuer).says_of(asked.subject, asked.subject.points[0])


def status(body: bytes, at: datetime = NOW, **overrides: Any) -> CrlStatus:
    try:
        return judge_statement(said(body, **overrides), at).status
    except UnusableCrlError:
        return CrlStatus.UNVERIFIED


@pytest.mark.parametrize("pem", [False, True])
@pytest.mark.parametrize("key", ["rsa2048", "ec256", "ec384", "ed25519"])
def test_a_list_of_the_issuer_counts(key: str, pem: bool) -> None:
    authority = ROOT.intermediate(f"Authority {key}", key=key)
    issued, other = (authority.issue(crl_urls=[URL]) for _ in range(2))
    found = said(crl(authority, pem=pem), issued=issued, authority=authority)
    good = judge_statement(found, NOW)
    assert (good.status, good.changes_at) == (CrlStatus.GOOD, found.next_update)
    assert URL in good.detail
    listing_another = crl(authority, [other], pem=pem)
    assert status(listing_another, issued=issued, authority=authority) is CrlStatus.GOOD
    listed = crl(authority, [other, issued], pem=pem)
    revoked = judge_statement(said(listed, issued=issued, authority=authority), NOW)
    assert (revoked.status, revoked.changes_at) == (CrlStatus.REVOKED, None)
    assert URL in revoked.detail


def test_every_entry_of_a_long_list_is_found_and_nothing_else() -> None:
    numbers = [number * 2**100 + 7 for number in range(1, 1_500)]
    asked = question(ISSUED, AUTHORITY)
    found = read_crl(crl(AUTHORITY, serial_numbers=numbers), asked.issuer)
    entries = [found.entries.find(number) for number in numbers]
    assert None not in entries
    assert len({entry.revoked_at for entry in entries if entry}) == 1
    assert [found.entries.find(number + 1) for number in (0, *numbers)] == [None] * (
        1 + len(numbers)
    )
    assert found.entries.find(-numbers[0]) is None
    assert found.entries.find(2**300) is None
    empty = read_crl(crl(AUTHORITY), asked.issuer)
    assert empty.entries.find(1) is None


def test_a_long_list_is_read_with_pauses() -> None:
    pauses: list[None] = []
    body = crl(AUTHORITY, serial_numbers=range(1, 1_000))
    read_crl(body, decoded(AUTHORITY), pause=lambda: pauses.append(None))
    assert len(pauses) == 5


@pytest.mark.parametrize(
    ("this_update", "next_update", "is_listed", "expected"),
    [
        (timedelta(hours=-1), timedelta(hours=1), False, CrlStatus.GOOD),
        (timedelta(hours=-1), timedelta(seconds=1), False, CrlStatus.GOOD),
        (timedelta(hours=-1), timedelta(0), False, CrlStatus.UNVERIFIED),
        (timedelta(days=-9), timedelta(days=-1), False, CrlStatus.UNVERIFIED),
        # Five minutes of difference between clocks.
        (timedelta(minutes=5), timedelta(days=1), False, CrlStatus.GOOD),
        (timedelta(minutes=5, seconds=1), timedelta(days=1), False, CrlStatus.UNVERIFIED),
        # A revocation is not undone by the age of the list.
        (timedelta(days=-9), timedelta(days=-1), True, CrlStatus.REVOKED),
        (timedelta(hours=1), timedelta(days=1), True, CrlStatus.REVOKED),
        (timedelta(hours=-1), timedelta(hours=1), True, CrlStatus.REVOKED),
    ],
)
def test_times(
    this_update: timedelta, next_update: timedelta, is_listed: bool, expected: CrlStatus
) -> None:
    body = crl(
        AUTHORITY,
        [ISSUED] if is_listed else [],
        this_update=NOW + this_update,
        next_update=NOW + next_update,
    )
    assert status(body) is expected


def test_what_is_not_valid_yet_changes_when_it_is() -> None:
    body = crl(AUTHORITY, this_update=NOW + timedelta(hours=1))
    found = judge_statement(said(body), NOW)
    assert (found.status, found.changes_at) == (
        CrlStatus.UNVERIFIED,
        NOW + timedelta(minutes=55),
    )


def test_without_next_update_a_list_lasts_a_day() -> None:
    made = x509.load_der_x509_crl(crl(AUTHORITY))
    elements = elements_of(made.tbs_certlist_bytes)
    del elements[4]
    found = said(signed(elements, AUTHORITY.private_key))
    assert found.this_update is not None
    assert found.next_update == found.this_update + timedelta(days=1)


def test_both_fields_name_one_algorithm() -> None:
    made = x509.load_der_x509_crl(crl(AUTHORITY))
    elements = elements_of(made.tbs_certlist_bytes)
    assert status(signed(elements, AUTHORITY.private_key)) is CrlStatus.GOOD
    of_sha512 = bytes.fromhex("300a06082a8648ce3d040304")
    elements[1] = of_sha512
    of_sha256 = bytes.fromhex("300a06082a8648ce3d040302")
    assert status(signed(elements, AUTHORITY.private_key, of_sha256)) is CrlStatus.UNVERIFIED


def test_a_hold_lasts_as_long_as_its_list() -> None:
    reasons = {ISSUED.certificate.serial_number: x509.ReasonFlags.certificate_hold}
    body = crl(AUTHORITY, [ISSUED], reasons=reasons, next_update=NOW + timedelta(hours=1))
    held = judge_statement(said(body), NOW)
    assert (held.status, held.changes_at) == (CrlStatus.REVOKED, NOW + timedelta(hours=1))
    assert status(body, NOW + timedelta(hours=1)) is CrlStatus.UNVERIFIED


@pytest.mark.parametrize("reason", [None, *x509.ReasonFlags])
def test_every_other_reason_is_revoked_for_good(reason: x509.ReasonFlags | None) -> None:
    if reason in (x509.ReasonFlags.certificate_hold, x509.ReasonFlags.unspecified):
        return  # the one is above, the other must not be written (RFC 5280 5.3.1)
    reasons = {} if reason is None else {ISSUED.certificate.serial_number: reason}
    of_delta_lists = reason is x509.ReasonFlags.remove_from_crl
    body = crl(AUTHORITY, [ISSUED], reasons=reasons)
    assert status(body) is (CrlStatus.UNVERIFIED if of_delta_lists else CrlStatus.REVOKED)


TWIN = CertificateAuthority.create("Root").intermediate("Authority", own_key=ROOT.private_key)
OTHER_KEY = ROOT.intermediate("Authority", key="ec384")
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
OF_ANOTHER = x509.CertificateIssuer([x509.DirectoryName(ROOT.certificate.subject)])


@pytest.mark.parametrize("is_listed", [False, True])
@pytest.mark.parametrize(
    "wrong",
    [
        {"signer": TWIN},
        {"signer": OTHER_KEY},
        {"signer": ROOT},
        {"issuer": ROOT.certificate.subject},
        {"issuer": ROOT.certificate.subject, "signer": ROOT},
        {"extensions": [(x509.DeltaCRLIndicator(1), True)]},
        {"extensions": [(x509.DeltaCRLIndicator(1), False)]},
        {"extensions": [scope(URL, indirect_crl=True)]},
        {"extensions": [scope("http://crl.example/b.crl")]},
        {"extensions": [scope(only_contains_ca_certs=True)]},
        {"extensions": [scope(only_contains_attribute_certs=True)]},
        {"extensions": [scope(relative_name=ROOT.certificate.subject.rdns[0])]},
        {"extensions": [(UNKNOWN, True)]},
        {"serial_numbers": [5], "entry_extensions": [(UNKNOWN, True)]},
        {"serial_numbers": [5], "entry_extensions": [(OF_ANOTHER, True)]},
    ],
    ids="-".join,
)
def test_what_may_not_be_used_proves_nothing(wrong: dict[str, Any], is_listed: bool) -> None:
    body = crl(AUTHORITY, [ISSUED] if is_listed else [], **wrong)
    assert status(body) is CrlStatus.UNVERIFIED


@pytest.mark.parametrize(
    "right",
    [
        {"extensions": [scope(URL)]},
        {"extensions": [scope(only_contains_user_certs=True)]},
        {"extensions": [(x509.CRLNumber(7), False), (UNKNOWN, False)]},
        {"entry_extensions": [(UNKNOWN, False)]},
        {"hash_name": "sha512"},
    ],
    ids="-".join,
)
def test_what_may_be_used_proves_both(right: dict[str, Any]) -> None:
    assert status(crl(AUTHORITY, serial_numbers=[5], **right)) is CrlStatus.GOOD
    assert status(crl(AUTHORITY, [ISSUED], **right)) is CrlStatus.REVOKED


def test_a_list_of_some_reasons_may_revoke_and_never_clears() -> None:
    some = scope(URL, only_some_reasons=frozenset({x509.ReasonFlags.key_compromise}))
    assert status(crl(AUTHORITY, extensions=[some])) is CrlStatus.UNVERIFIED
    assert status(crl(AUTHORITY, [ISSUED], extensions=[some])) is CrlStatus.REVOKED


def test_a_list_of_users_says_nothing_of_a_leaf_that_is_an_authority() -> None:
    issued = AUTHORITY.issue(crl_urls=[URL], basic_constraints_ca=True)
    users, authorities = scope(only_contains_user_certs=True), scope(only_contains_ca_certs=True)
    assert status(crl(AUTHORITY, extensions=[users]), issued=issued) is CrlStatus.UNVERIFIED
    assert status(crl(AUTHORITY, extensions=[authorities]), issued=issued) is CrlStatus.GOOD


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>404</html>",
        ISSUED.der,
        crl(AUTHORITY)[:-1],
        crl(AUTHORITY) + b"\0",
        b"-----BEGIN X509 CRL-----\n-----END X509 CRL-----\n",
        b"-----BEGIN X509 CRL-----\n!\n",
        b"-----BEGIN CERTIFICATE-----\n" + binascii.b2a_base64(ISSUED.der),
        b"\x30\x84\xff\xff\xff\xff",
    ],
    ids=range(9),
)
def test_what_is_no_list_is_unusable(body: bytes) -> None:
    assert status(body) is CrlStatus.UNVERIFIED


BEGIN, END = b"-----BEGIN X509 CRL-----\n", b"-----END X509 CRL-----\n"


@pytest.mark.parametrize(
    "body",
    [
        BEGIN * 170_000,
        (BEGIN[:-1] + b" ") * 170_000,
        BEGIN * 85_000 + END * 85_000,
        b"\n" * 4_000_000 + BEGIN,
        b"-----BEGIN " * 380_000,
        BEGIN + b"-----END X509 CRL----" * 200_000,
        BEGIN + b"\n" * 4_000_000 + END,
        BEGIN + b"=" * 4_000_000 + END,
    ],
    ids=range(8),
)
def test_looking_for_the_marks_of_pem_takes_time_in_proportion_to_the_length(body: bytes) -> None:
    # A second is fifty times as long as it takes; in proportion to the square it would be an hour.
    began_s = time.process_time()
    assert status(body) is CrlStatus.UNVERIFIED
    assert time.process_time() - began_s < 1.0


def test_of_a_file_of_pem_the_first_list_is_read() -> None:
    list_of_issuer, certificate = crl(AUTHORITY, [ISSUED], pem=True), AUTHORITY.pem
    assert status(b" \r\n" + list_of_issuer) is CrlStatus.REVOKED
    assert status(certificate + list_of_issuer + crl(AUTHORITY, pem=True)) is CrlStatus.REVOKED
    assert status(list_of_issuer.replace(b"\n", b"\r\n")) is CrlStatus.REVOKED
    long = crl(AUTHORITY, [ISSUED], serial_numbers=range(1, 3_000), pem=True)
    assert len(long) > 1 << 16
    assert status(long) is CrlStatus.REVOKED
    assert status(list_of_issuer.replace(b"A", b"*", 1)) is CrlStatus.UNVERIFIED


def test_nothing_that_was_signed_can_be_changed_and_nothing_cut_off() -> None:
    body = crl(AUTHORITY, [AUTHORITY.issue()])
    signed_length = len(x509.load_der_x509_crl(body).tbs_certlist_bytes)
    issuer = decoded(AUTHORITY)
    cut_off = [body[:place] for place in range(len(body))]
    start = body.index(x509.load_der_x509_crl(body).tbs_certlist_bytes)
    changed = [
        body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]
        for place in range(start, start + signed_length)
    ]
    for mutated in (*cut_off, *changed):
        with pytest.raises(UnusableCrlError):
            read_crl(mutated, issuer)


@pytest.mark.parametrize("usages", [("key_cert_sign",), ("key_cert_sign", "crl_sign"), None])
def test_the_issuer_must_be_allowed_to_sign_lists(usages: tuple[str, ...] | None) -> None:
    plus = [] if usages is None else [(key_usage(*usages), True)]
    issuer = authority("Issuer", plus=plus, without=[x509.KeyUsage] if usages is None else [])
    body = crl(CertificateAuthority(issuer.certificate, issuer.key))
    if usages == ("key_cert_sign",):
        with pytest.raises(UnusableCrlError):
            read_crl(body, decode_certificate(issuer.der))
    else:
        assert read_crl(body, decode_certificate(issuer.der)).scope.has_all_reasons


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([([URL], None, None)], [URL]),
        ([(["ldap://x/cn=CA", URL], None, None)], [URL]),
        ([([URL], None, None), (["http://b.example/"], None, None)], [URL, "http://b.example/"]),
        ([([URL + str(n)], None, None) for n in range(9)], [URL + "0", URL + "1"]),
        ([([URL], frozenset({x509.ReasonFlags.key_compromise}), None)], []),
        ([([URL], None, [x509.DirectoryName(ROOT.certificate.subject)])], []),
        ([(["https://crl.example/a.crl"], None, None)], []),
        ([(["ldap://x/cn=CA"], None, None)], []),
    ],
)
def test_only_complete_lists_over_http_are_asked_for(
    points: Sequence[tuple[list[str], Any, Any]], expected: list[str]
) -> None:
    value = x509.CRLDistributionPoints(
        [
            x509.DistributionPoint(
                [x509.UniformResourceIdentifier(url) for url in urls], None, reasons, issuer
            )
            for urls, reasons, issuer in points
        ]
    )
    made = leaf(None, plus=[(value, False)])
    found, why_none = crl_points(decode_certificate(made.der))
    assert [point.url.text for point in found] == expected
    assert bool(why_none) is not bool(expected)


class Said:
    """Statements by leaf, and what was asked."""

    def __init__(self, *bodies: bytes) -> None:
        self._bodies, self.asked = bodies, list[CrlQuestion]()

    def about(self, asked: CrlQuestion) -> CrlStatement | None:
        self.asked.append(asked)
        statement = None
        for body in self._bodies:
            statement = read_crl(body, asked.issuer).says_of(asked.subject, asked.subject.points[0])
        return statement


def judged(
    crls: Said | None,
    issued: Issued = ISSUED,
    *,
    roots: tuple[bytes, ...] = (ROOT.der,),
    entries: tuple[TrustEntry, ...] = (),
    anchors: Sequence[bytes] = (),
    staple: bytes | None = None,
) -> ChainJudgement:
    return judge_chain(
        issued.chain_der,
        server_name="partner.test",
        stapled_ocsp_response=staple,
        trust=Trust(mozilla_roots=roots, entries=entries),
        request_anchors=anchors,
        at=NOW,
        crls=crls,
    )


def test_a_judgement_holds_what_the_list_says_beside_the_staple() -> None:
    assert judged(Said()).crl is CrlStatus.UNVERIFIED
    good = judged(Said(crl(AUTHORITY)))
    assert (good.crl, good.staple) == (CrlStatus.GOOD, StapleStatus.ABSENT)
    assert good.crl_changes_at is not None
    staple = AUTHORITY.ocsp_response(ISSUED.certificate)
    revoked = judged(Said(crl(AUTHORITY, [ISSUED])), staple=staple)
    assert (revoked.crl, revoked.staple) == (CrlStatus.REVOKED, StapleStatus.GOOD)


def test_a_leaf_that_names_no_list_has_none() -> None:
    assert judged(Said(), AUTHORITY.issue()).crl is CrlStatus.ABSENT
    assert judged(None).crl is CrlStatus.NOT_EXAMINED


def test_fetches_are_for_what_the_leaf_is_trusted_by_and_for_its_endpoint() -> None:
    crls = Said(crl(AUTHORITY))
    judged(crls)
    entry = TrustEntry(hosts=("partner.test",), anchors=(ROOT.der,), note="Acme")
    judged(crls, roots=(), entries=(entry,))
    assert [asked.owners for asked in crls.asked] == [
        ("MOZILLA_ROOT CN=Root", "partner.test"),
        ("ANCHOR Acme", "partner.test"),
    ]


def test_only_authorities_that_the_operator_trusts_choose_what_is_fetched() -> None:
    host = ("partner.test",)
    anchor = TrustEntry(hosts=host, anchors=(ROOT.der,))
    crls = Said(crl(AUTHORITY))
    assert judged(crls, roots=(), entries=(anchor,)).crl is CrlStatus.GOOD
    crls.asked.clear()
    pin = TrustEntry(hosts=host, certificate_pins=frozenset({ISSUED.sha256}))
    assert judged(crls, roots=()).crl is CrlStatus.NOT_EXAMINED
    assert judged(crls, roots=(), entries=(pin,)).crl is CrlStatus.NOT_EXAMINED
    assert judged(crls, roots=(), anchors=[ROOT.der]).crl is CrlStatus.NOT_EXAMINED
    assert judged(crls, self_signed()).crl is CrlStatus.NOT_EXAMINED
    expired = AUTHORITY.issue(
        crl_urls=[URL], not_before=NOW - timedelta(days=9), not_after=NOW - timedelta(days=1)
    )
    assert judged(crls, expired).crl is CrlStatus.NOT_EXAMINED
    assert crls.asked == []
