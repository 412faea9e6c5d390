"""Stapled OCSP: GOOD only when current and signed by the right authority, REVOKED whenever the
right authority said so.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from math import gcd, lcm
from pathlib import Path

import cryptography_vectors
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from otpc_policy.pki.judge import judge_chain
from otpc_policy.pki.judgement import ChainJudgement, StapleStatus, TrustSource
from otpc_policy.pki.trust import Trust, TrustEntry
from tests.support.certificates import CertificateAuthority, Issued, self_signed
from tests.support.forging import Made, elements_of, key_usage, leaf, purposes
from tests.support.signing import der_element, private_key

NOW = datetime.now(UTC).replace(microsecond=0)
ROOT = CertificateAuthority.create("Root")
AUTHORITY = ROOT.intermediate("Authority")
ISSUED = AUTHORITY.issue(must_staple=True)
LEAF = ISSUED.certificate


def _with_exponent_of(bits: int) -> rsa.RSAPrivateKey:
    key = private_key("rsa2048", "exponents")
    assert isinstance(key, rsa.RSAPrivateKey)
    p, q = key.private_numbers().p, key.private_numbers().q
    order = lcm(p - 1, q - 1)
    e = next(one for one in count((1 << (bits - 1)) + 1, 2) if gcd(one, order) == 1)
    d = pow(e, -1, order)
    numbers = rsa.RSAPrivateNumbers(
        p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), rsa.RSAPublicNumbers(e, p * q)
    )
    return numbers.private_key()


def judge(
    response: bytes | None,
    *,
    issued: Issued = ISSUED,
    at: datetime = NOW,
    entries: tuple[TrustEntry, ...] = (),
) -> ChainJudgement:
    trust = Trust(mozilla_roots=(ROOT.der,), entries=entries)
    return judge_chain(
        issued.chain_der,
        server_name="partner.test",
        stapled_ocsp_response=response,
        trust=trust,
        at=at,
    )


def test_no_staple_is_absent() -> None:
    judgement = judge(None)
    assert judgement.staple is StapleStatus.ABSENT
    assert judgement.leaf is not None
    assert judgement.leaf.must_staple


@pytest.mark.parametrize("key", ["rsa2048", "ec256", "ec384", "ed25519"])
@pytest.mark.parametrize("cert_id_hash", ["sha1", "sha256"])
def test_a_current_response_of_the_issuer_counts(key: str, cert_id_hash: str) -> None:
    authority = ROOT.intermediate(f"Authority {key}", key=key)
    issued = authority.issue()
    good = authority.ocsp_response(
        issued.certificate, cert_id_hash=cert_id_hash, next_update=NOW + timedelta(days=1)
    )
    judgement = judge(good, issued=issued)
    assert (judgement.staple, judgement.staple_changes_at) == (
        StapleStatus.GOOD,
        NOW + timedelta(days=1),
    )
    revoked = authority.ocsp_response(
        issued.certificate, status="revoked", cert_id_hash=cert_id_hash
    )
    assert judge(revoked, issued=issued).staple is StapleStatus.REVOKED


@pytest.mark.parametrize(
    ("this_update", "next_update", "status", "expected"),
    [
        (timedelta(hours=-1), timedelta(hours=1), "good", StapleStatus.GOOD),
        (timedelta(hours=-1), timedelta(seconds=1), "good", StapleStatus.GOOD),
        (timedelta(hours=-1), timedelta(0), "good", StapleStatus.UNVERIFIED),
        (timedelta(days=-9), timedelta(days=-1), "good", StapleStatus.UNVERIFIED),
        # Five minutes of difference between clocks.
        (timedelta(minutes=5), timedelta(days=1), "good", StapleStatus.GOOD),
        (timedelta(minutes=5, seconds=1), timedelta(days=1), "good", StapleStatus.UNVERIFIED),
        # A revocation is not undone by the age of the answer.
        (timedelta(days=-9), timedelta(days=-1), "revoked", StapleStatus.REVOKED),
        (timedelta(hours=-1), timedelta(hours=1), "revoked", StapleStatus.REVOKED),
        (timedelta(hours=-1), timedelta(hours=1), "unknown", StapleStatus.UNVERIFIED),
    ],
)
def test_times(
    this_update: timedelta, next_update: timedelta, status: str, expected: StapleStatus
) -> None:
    response = AUTHORITY.ocsp_response(
        LEAF, status=status, this_update=NOW + this_update, next_update=NOW + next_update
    )
    judgement = judge(response)
    assert judgement.staple is expected
    is_not_yet_valid = this_update > timedelta(minutes=5)
    changes = expected is StapleStatus.GOOD or is_not_yet_valid
    assert (judgement.staple_changes_at is not None) is changes
    assert judgement.staple_detail


@pytest.mark.parametrize(
    ("age", "expected"),
    [(timedelta(hours=23), StapleStatus.GOOD), (timedelta(hours=24), StapleStatus.UNVERIFIED)],
)
def test_without_next_update_a_response_lasts_a_day(age: timedelta, expected: StapleStatus) -> None:
    response = AUTHORITY.ocsp_response(LEAF, this_update=NOW - age, without_next_update=True)
    assert judge(response).staple is expected


@pytest.mark.parametrize("status", ["good", "revoked"])
def test_another_signer_proves_nothing(status: str) -> None:
    twin = CertificateAuthority.create("Root").intermediate("Authority")
    forged = AUTHORITY.ocsp_response(
        LEAF, status=status, signer=Issued(twin.certificate, twin.private_key, ())
    )
    for response in (twin.ocsp_response(LEAF, status=status), forged):
        assert judge(response).staple is StapleStatus.UNVERIFIED


@pytest.mark.parametrize("status", ["good", "revoked"])
def test_the_leaf_itself_is_no_responder(status: str) -> None:
    for issued in (ISSUED, AUTHORITY.issue(extended_key_usage=("server_auth", "any"))):
        response = AUTHORITY.ocsp_response(issued.certificate, status=status, signer=issued)
        assert judge(response, issued=issued).staple is StapleStatus.UNVERIFIED


@pytest.mark.parametrize("status", ["good", "revoked"])
def test_a_response_about_another_certificate_proves_nothing(status: str) -> None:
    assert (
        judge(AUTHORITY.ocsp_response(AUTHORITY.issue().certificate, status=status)).staple
        is StapleStatus.UNVERIFIED
    )


def test_the_same_serial_number_of_another_issuer_proves_nothing() -> None:
    other = ROOT.intermediate("Other")
    assert judge(other.ocsp_response(LEAF)).staple is StapleStatus.UNVERIFIED


class TestDelegates:
    """A delegate was issued by the very authority, for OCSP signing, and is valid."""

    @pytest.mark.parametrize("status", ["good", "revoked"])
    def test_a_delegate_may_sign(self, status: str) -> None:
        delegate = AUTHORITY.issue(dns=("ocsp.test",), extended_key_usage=("ocsp_signing",))
        assert (
            judge(AUTHORITY.ocsp_response(LEAF, status=status, signer=delegate)).staple.value
            == status.upper()
        )

    @pytest.mark.parametrize(
        ("exponent_bits", "expected"), [(17, StapleStatus.GOOD), (66, StapleStatus.UNVERIFIED)]
    )
    def test_a_delegate_whose_key_is_dear_to_ask_may_not(
        self, exponent_bits: int, expected: StapleStatus
    ) -> None:
        """Its certificates are chosen by the responder; a long exponent makes each look at a
        signature cost a hundred.
        """
        holder = Made(AUTHORITY.der, AUTHORITY.private_key, AUTHORITY.certificate.subject)
        dates = (NOW - timedelta(days=1), NOW + timedelta(days=1))
        delegate = leaf(
            holder,
            key=_with_exponent_of(exponent_bits),
            plus=[(purposes("ocsp_signing"), False)],
            dates=dates,
        )
        response = AUTHORITY.ocsp_response(
            LEAF, signer=Issued(delegate.certificate, delegate.key, ())
        )
        assert judge(response).staple is expected

    def test_a_delegate_of_another_authority_may_not(self) -> None:
        delegate = ROOT.issue(extended_key_usage=("ocsp_signing",))
        assert (
            judge(AUTHORITY.ocsp_response(LEAF, signer=delegate)).staple is StapleStatus.UNVERIFIED
        )

    @pytest.mark.parametrize("purposes", [(), ("any",), ("server_auth",)])
    def test_without_the_purpose_nobody_may(self, purposes: tuple[str, ...]) -> None:
        delegate = AUTHORITY.issue(extended_key_usage=purposes)
        assert (
            judge(AUTHORITY.ocsp_response(LEAF, signer=delegate)).staple is StapleStatus.UNVERIFIED
        )

    def test_an_expired_delegate_may_not(self) -> None:
        delegate = AUTHORITY.issue(
            extended_key_usage=("ocsp_signing",), not_after=NOW - timedelta(minutes=1)
        )
        assert (
            judge(AUTHORITY.ocsp_response(LEAF, signer=delegate)).staple is StapleStatus.UNVERIFIED
        )

    @pytest.mark.parametrize(
        ("offset", "expected", "changes"),
        [
            (timedelta(seconds=-1), StapleStatus.GOOD, timedelta(0)),
            # notAfter itself is valid: within that second the change is to come.
            (timedelta(0), StapleStatus.GOOD, timedelta(seconds=1)),
            (timedelta(milliseconds=999), StapleStatus.GOOD, timedelta(seconds=1)),
            (timedelta(seconds=1), StapleStatus.UNVERIFIED, None),
        ],
    )
    def test_the_answer_ends_with_the_certificate_of_its_signer(
        self, offset: timedelta, expected: StapleStatus, changes: timedelta | None
    ) -> None:
        """RFC 6960 4.2.2.2: whoever relies on the response must validate the responder."""
        end = NOW + timedelta(hours=1)
        delegate = AUTHORITY.issue(extended_key_usage=("ocsp_signing",), not_after=end)
        response = AUTHORITY.ocsp_response(
            LEAF, next_update=NOW + timedelta(days=1), signer=delegate
        )
        judgement = judge(response, at=end + offset)
        assert judgement.staple is expected
        assert judgement.staple_changes_at == (None if changes is None else end + changes)
        if expected is StapleStatus.GOOD:
            assert f"{end + timedelta(seconds=offset >= timedelta(0)):%H:%M:%SZ}" in (
                judgement.staple_detail
            )

    def test_a_response_that_is_renewed_before_ends_with_itself(self) -> None:
        delegate = AUTHORITY.issue(
            extended_key_usage=("ocsp_signing",), not_after=NOW + timedelta(hours=2)
        )
        next_update = NOW + timedelta(hours=1)
        response = AUTHORITY.ocsp_response(LEAF, next_update=next_update, signer=delegate)
        assert judge(response).staple_changes_at == next_update

    def test_a_revocation_signed_while_the_delegate_was_valid_stays(self) -> None:
        delegate = AUTHORITY.issue(
            extended_key_usage=("ocsp_signing",), not_after=NOW - timedelta(minutes=1)
        )
        response = AUTHORITY.ocsp_response(
            LEAF, status="revoked", this_update=NOW - timedelta(hours=1), signer=delegate
        )
        assert judge(response).staple is StapleStatus.REVOKED

    @pytest.mark.parametrize(
        ("key", "usages", "expected"),
        [
            ("rsa2048", ("digital_signature",), "GOOD"),
            ("rsa2048", ("key_encipherment",), "UNVERIFIED"),
            ("ec256", ("content_commitment",), "UNVERIFIED"),
            ("rsa1024", ("digital_signature",), "UNVERIFIED"),
        ],
    )
    def test_good_needs_a_key_that_may_sign_and_is_strong(
        self, key: str, usages: tuple[str, ...], expected: str
    ) -> None:
        """A revocation counts all the same."""
        holder = Made(AUTHORITY.der, AUTHORITY.private_key, AUTHORITY.certificate.subject)
        delegate = leaf(
            holder,
            key=private_key(key),
            plus=[(purposes("ocsp_signing"), False), (key_usage(*usages), True)],
            dates=(NOW - timedelta(days=1), NOW + timedelta(days=1)),
        )
        signer = Issued(delegate.certificate, delegate.key, ())
        assert judge(AUTHORITY.ocsp_response(LEAF, signer=signer)).staple.value == expected
        revoked = AUTHORITY.ocsp_response(LEAF, status="revoked", signer=signer)
        assert judge(revoked).staple is StapleStatus.REVOKED


_OTHER = b"0\x09\x06\x04\x2a\x03\x04\x05\x04\x01\0"
_CRITICAL = b"0\x0c\x06\x04\x2a\x03\x04\x05\x01\x01\xff\x04\x01\0"
_CRITICAL_NONCE = b"0\x13" + bytes.fromhex("06092b0601050507300102 0101ff 0403040100")
_VERSION_1, _VERSION_2 = b"\xa0\x03\x02\x01\0", b"\xa0\x03\x02\x01\x01"


def _sequence(*parts: bytes) -> bytes:
    return der_element(0x30, b"".join(parts))


def _edited(
    *,
    statuses: Sequence[str] = ("good",),
    others: int = 0,
    version: bytes = b"",
    of_answers: bytes = b"",
    of_response: bytes = b"",
) -> bytes:
    """Return a response of the authority with these answers about the leaf.

    others: answers about another certificate, after the first. of_answers, of_response: extensions.
    """
    stranger = AUTHORITY.issue().certificate
    about = [(LEAF, status) for status in statuses]
    about[1:1] = [(stranger, "good")] * others
    singles = [
        elements_of(_data_of(AUTHORITY.ocsp_response(subject, status=status))[2])[0]
        for subject, status in about
    ]
    if of_answers:
        added = der_element(0xA1, _sequence(of_answers))
        singles = [_sequence(*elements_of(single), added) for single in singles]
    responder, produced, *_ = _data_of(AUTHORITY.ocsp_response(LEAF))
    extensions = der_element(0xA1, _sequence(of_response)) if of_response else b""
    answers = _sequence(*singles)
    data = _sequence(version, responder, produced, answers, extensions)
    _, algorithm, *_ = _basic_of(AUTHORITY.ocsp_response(LEAF))
    key = AUTHORITY.private_key
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    signature = key.sign(data, ec.ECDSA(hashes.SHA256()))
    basic = _sequence(data, algorithm, der_element(0x03, b"\0" + signature))
    kind = bytes.fromhex("06092b0601050507300101")
    body = der_element(0xA0, _sequence(kind, der_element(0x04, basic)))
    return _sequence(b"\x0a\x01\0", body)


def _basic_of(response: bytes) -> list[bytes]:
    octets = elements_of(elements_of(elements_of(response)[1])[0])[1]
    return elements_of(elements_of(octets)[0])


def _data_of(response: bytes) -> list[bytes]:
    return elements_of(_basic_of(response)[0])


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (_edited(), "GOOD"),
        (_edited(version=_VERSION_1), "UNVERIFIED"),
        (_edited(version=_VERSION_2), "UNVERIFIED"),
        (_edited(of_response=_OTHER), "GOOD"),
        (_edited(of_response=_CRITICAL_NONCE), "GOOD"),
        (_edited(of_response=_CRITICAL), "UNVERIFIED"),
        (_edited(of_response=_OTHER + _CRITICAL), "UNVERIFIED"),
        (_edited(of_answers=_OTHER), "GOOD"),
        (_edited(of_answers=_CRITICAL), "UNVERIFIED"),
        (_edited(statuses=["revoked"], of_answers=_CRITICAL), "REVOKED"),
        (_edited(others=15), "GOOD"),
        (_edited(others=16), "UNVERIFIED"),
        (_edited(statuses=["good", "revoked"], others=14), "REVOKED"),
        (_edited(statuses=["good", "revoked"], others=15), "UNVERIFIED"),
        (_edited(statuses=["good", "unknown"]), "UNVERIFIED"),
        (_edited(statuses=["unknown", "good"]), "UNVERIFIED"),
        (_edited(statuses=["unknown", "good", "revoked"]), "REVOKED"),
    ],
)
def test_good_is_only_what_nothing_in_the_response_contradicts(
    response: bytes, expected: str
) -> None:
    """Source: RFC 6960 4.2.1, 4.4."""
    assert judge(response).staple.value == expected


def test_dates_that_contradict_each_other_prove_nothing() -> None:
    begin = NOW + timedelta(minutes=4)
    for end, expected in ((begin, "GOOD"), (begin - timedelta(minutes=2), "UNVERIFIED")):
        response = AUTHORITY.ocsp_response(LEAF, this_update=begin, next_update=end)
        assert judge(response).staple.value == expected


def test_the_issuer_may_be_an_anchor_that_is_not_served() -> None:
    root = CertificateAuthority.create("Partner Root")
    entries = (TrustEntry(hosts=("partner.test",), anchors=(root.der,)),)
    for with_san in (True, False):
        issued = root.issue(with_san=with_san)
        judgement = judge(
            root.ocsp_response(issued.certificate, status="revoked"), issued=issued, entries=entries
        )
        assert (judgement.trust, judgement.staple) == (TrustSource.ANCHOR, StapleStatus.REVOKED)


def test_a_revocation_by_the_served_issuer_counts_without_trust() -> None:
    authority = CertificateAuthority.create("Unknown Root").intermediate("Unknown")
    issued = authority.issue()
    judgement = judge(authority.ocsp_response(issued.certificate, status="revoked"), issued=issued)
    assert (judgement.trust, judgement.staple) == (TrustSource.NOTHING, StapleStatus.REVOKED)


def test_a_revoked_leaf_that_has_expired_is_still_revoked() -> None:
    response = AUTHORITY.ocsp_response(LEAF, status="revoked")
    assert judge(response, at=NOW + timedelta(days=200)).staple is StapleStatus.REVOKED


def test_without_a_known_issuer_nothing_is_proven() -> None:
    issued = self_signed()
    signer = CertificateAuthority(issued.certificate, issued.private_key)
    assert (
        judge(signer.ocsp_response(issued.certificate), issued=issued).staple
        is StapleStatus.UNVERIFIED
    )


@pytest.mark.parametrize(
    "status",
    [one for one in ocsp.OCSPResponseStatus if one is not ocsp.OCSPResponseStatus.SUCCESSFUL],
)
def test_an_error_of_the_responder_proves_nothing(status: ocsp.OCSPResponseStatus) -> None:
    response = ocsp.OCSPResponseBuilder.build_unsuccessful(status).public_bytes(Encoding.DER)
    assert judge(response).staple is StapleStatus.UNVERIFIED


def test_bytes_that_are_no_response_prove_nothing() -> None:
    response = AUTHORITY.ocsp_response(LEAF)
    broken = [response[:length] for length in range(0, len(response), 7)]
    broken += [
        response[:index] + bytes([response[index] ^ 0xFF]) + response[index + 1 :]
        for index in range(len(response))
    ]
    statuses = {judge(one).staple for one in broken}
    assert StapleStatus.REVOKED not in statuses
    assert StapleStatus.UNVERIFIED in statuses


def test_a_changed_byte_never_stays_good() -> None:
    """In the signed part and in the signature; a bit of the frame around them, such as the count of
    unused bits, proves nothing.
    """
    response = AUTHORITY.ocsp_response(LEAF)
    assert judge(response).staple is StapleStatus.GOOD
    decoded = ocsp.load_der_ocsp_response(response)
    for part in (decoded.tbs_response_bytes, decoded.signature):
        start = response.index(part)
        for index in range(start, start + len(part)):
            changed = response[:index] + bytes([response[index] ^ 0x01]) + response[index + 1 :]
            assert judge(changed).staple is StapleStatus.UNVERIFIED, index


def test_every_ocsp_vector_is_judged() -> None:
    files = [
        one
        for one in sorted((Path(cryptography_vectors.__file__).parent / "x509" / "ocsp").iterdir())
        if one.is_file()
    ]
    assert len(files) > 10
    for path in files:
        assert judge(path.read_bytes()).staple is StapleStatus.UNVERIFIED, path
