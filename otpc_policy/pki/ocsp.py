"""The stapled OCSP response: what it proves about the leaf at one instant. Nothing is fetched."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from otpc_policy.core.errors import MalformedCertificate
from otpc_policy.pki.budget import TooComplexError, Work
from otpc_policy.pki.certificate import read_certificate
from otpc_policy.pki.decoded_certificate import DecodedCertificate
from otpc_policy.pki.der import (
    BIT_STRING,
    OBJECT_IDENTIFIER,
    OCTET_STRING,
    SEQUENCE,
    DerError,
    dotted,
    elements,
    expected,
    inside,
    only_element,
    whole_octets,
)
from otpc_policy.pki.extensions import list_extensions
from otpc_policy.pki.judgement import StapleStatus
from otpc_policy.pki.lenient_decoding import DECODING_ERRORS, decoding_leniently
from otpc_policy.pki.signature_algorithm import SignatureAlgorithm, read_signature_algorithm
from otpc_policy.pki.signature_cost import signature_units
from otpc_policy.pki.signatures import (
    TOO_MANY_SIGNATURES,
    SignatureChecks,
    is_too_costly,
)
from otpc_policy.pki.validation import flaw_of_form, flaw_of_signing_key

_DER = Encoding.DER
_OCSP_SIGNING = ExtendedKeyUsageOID.OCSP_SIGNING.dotted_string
# Clocks of responders and ours differ; a fresh response must not look like one from the future.
_CLOCK_SKEW = timedelta(minutes=5)
# Without nextUpdate newer information is always available (RFC 6960 2.4); mozilla::pkix takes such
# a response for a day.
_LIFETIME_WITHOUT_NEXT_UPDATE = timedelta(days=1)
# RFC 6960 lets a responder send its certificates, and one is enough.
_MAX_RESPONDER_CERTIFICATES = 4
_MAX_RESPONSES = 16
# Units (see budget): to read the response, and to look whether one answer in it is about the leaf,
# for which the issuer's name and key are hashed.
_BYTES_PER_UNIT = 64
_UNITS_PER_ANSWER = 60
# To read its certificates, per square of a kilobyte: cryptography 46 reads the whole response again
# for each of them. Responses of public authorities have at most 5 kB.
_UNITS_PER_SQUARE_OF_A_KILOBYTE = 70
_Hash = hashes.SHA1 | hashes.SHA224 | hashes.SHA256 | hashes.SHA384 | hashes.SHA512
_HASHES: dict[str, type[_Hash]] = {
    algorithm.name: algorithm
    for algorithm in (hashes.SHA1, hashes.SHA224, hashes.SHA256, hashes.SHA384, hashes.SHA512)
}
# "" is EdDSA.
_SIGNING_HASHES = frozenset({"", "sha224", "sha256", "sha384", "sha512"})
_ENUMERATED, _RESPONSE_BYTES = 0x0A, 0xA0
# In ResponseData: its version, which DER leaves out if it is 1 (X.690 11.5), and extensions; an
# answer has extensions too. A nonce echoes what was asked, and restricts nothing.
_VERSION, _EXTENSIONS, _NONCE = 0xA0, 0xA1, "1.3.6.1.5.5.7.48.1.2"
_ORDER = (
    ocsp.OCSPCertStatus.REVOKED,
    ocsp.OCSPCertStatus.UNKNOWN,
    ocsp.OCSPCertStatus.GOOD,
)
_BASIC_RESPONSE = "1.3.6.1.5.5.7.48.1.1"


@dataclass(frozen=True, slots=True)
class Staple:
    """What the response proves, why, and when time alone changes it (None: never)."""

    status: StapleStatus
    detail: str
    changes_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Signed:
    """What a responder signed. octets: the signed part as it came."""

    octets: bytes
    algorithm: SignatureAlgorithm
    signature: bytes


def judge_staple(
    response: bytes | None,
    leaf: DecodedCertificate | None,
    issuer: DecodedCertificate | None,
    at: datetime,
    *,
    checks: SignatureChecks,
) -> Staple:
    """Say what a stapled response proves about the leaf.

    issuer: the proven issuer of the leaf, None if there is none. checks: of the chain, with its
    budget. A revocation that was signed counts even when its answer is stale: it is not undone.
    GOOD needs an answer that is current; every doubt is UNVERIFIED. Source: RFC 6960 3.2, 4.2.2.
    """
    if response is None:
        return Staple(StapleStatus.ABSENT, "no OCSP response was stapled")
    if leaf is None or issuer is None:
        detail = "the issuer of the leaf is not known, so the response cannot be verified"
        return Staple(StapleStatus.UNVERIFIED, detail)
    try:
        units = len(response) // _BYTES_PER_UNIT
        checks.budget.spend(units, Work.STAPLE, "the response has too many bytes to be read")
        with decoding_leniently():
            return _judge(response, leaf, issuer, at, checks)
    except DECODING_ERRORS:
        return Staple(StapleStatus.UNVERIFIED, "the response cannot be decoded")
    except TooComplexError as error:
        return Staple(StapleStatus.UNDECIDED, str(error))


def _judge(
    der: bytes,
    leaf: DecodedCertificate,
    issuer: DecodedCertificate,
    at: datetime,
    checks: SignatureChecks,
) -> Staple:
    response = ocsp.load_der_ocsp_response(der)
    if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        return Staple(StapleStatus.UNVERIFIED, "the responder answered with an error")
    answers = _answers_about(response, leaf, issuer, checks)
    if not answers:
        return Staple(StapleStatus.UNVERIFIED, "the response is about another certificate")
    # The worst of them: good is only what nothing in the response contradicts.
    place, answer = min(answers.items(), key=lambda item: _ORDER.index(item[1].certificate_status))
    is_revoked = answer.certificate_status is ocsp.OCSPCertStatus.REVOKED
    signed_at = answer.this_update_utc if is_revoked else at
    signed = _read_signed(der)
    signer, flaw = None, ""
    for each in _signers(response, signed, issuer, checks):
        if each is issuer or each.is_valid_at(signed_at):
            signer, flaw = each, "" if each is issuer else _flaw_of_responder(each)
            if is_revoked or not flaw:
                break
    if signer is None:
        detail = "the signature is not that of the leaf's issuer or its responder"
        return Staple(StapleStatus.UNVERIFIED, detail)
    if is_revoked:
        revoked_at = answer.revocation_time_utc
        return Staple(
            StapleStatus.REVOKED, f"revoked at {_instant(revoked_at)}" if revoked_at else "revoked"
        )
    if answer.certificate_status is not ocsp.OCSPCertStatus.GOOD:
        return Staple(StapleStatus.UNVERIFIED, "the responder does not know the certificate")
    if flaw := flaw or _flaw_of_good(answer, signed.octets, place):
        return Staple(StapleStatus.UNVERIFIED, flaw)
    next_update = answer.next_update_utc or answer.this_update_utc + _LIFETIME_WITHOUT_NEXT_UPDATE
    begins_at = answer.this_update_utc - _CLOCK_SKEW
    if at < begins_at:
        detail = f"the response is not valid before {_instant(answer.this_update_utc)}"
        return Staple(StapleStatus.UNVERIFIED, detail, begins_at)
    if at >= next_update:
        return Staple(StapleStatus.UNVERIFIED, f"the response was stale at {_instant(next_update)}")
    until = next_update if signer is issuer else min(next_update, _end_of_validity(signer, at))
    return Staple(StapleStatus.GOOD, f"good until {_instant(until)}", until)


def _flaw_of_responder(responder: DecodedCertificate) -> str:
    """Say why a certificate may not prove that another is good, or "".

    A revocation counts all the same: who staples it speaks against the own certificate.
    """
    if not responder.may_sign_handshakes:
        return "the responder's key usage does not include digitalSignature"
    if flaw := flaw_of_signing_key(responder):
        return f"the responder's certificate: {flaw}"
    return ""


def _flaw_of_good(answer: ocsp.OCSPSingleResponse, signed: bytes, place: int) -> str:
    """Say what in the response forbids to rely on an answer that says good, or "".

    signed: ResponseData. place: of the answer among all. Raises DerError.
    Source: RFC 6960 4.2.1, 4.4 (a critical extension must be understood).
    """
    next_update = answer.next_update_utc
    if next_update is not None and next_update < answer.this_update_utc:
        return "the response contradicts itself: nextUpdate is before thisUpdate"
    parts = inside(signed, 0, len(signed))
    if parts and parts[0].tag == _VERSION:
        return "the response is of a version that is not known"
    if len(parts) not in (3, 4) or parts[2].tag != SEQUENCE:
        raise DerError("not response data")
    answers = elements(signed, parts[2].content, parts[2].end)
    if len(answers) > _MAX_RESPONSES:
        return f"the response has {len(answers)} answers, and {_MAX_RESPONSES} at most are read"
    fields = elements(signed, answers[place].content, answers[place].end)
    for outer in (*parts[3:], *(each for each in fields[3:] if each.tag == _EXTENSIONS)):
        if outer.tag != _EXTENSIONS:
            raise DerError("not extensions")
        listed = list_extensions(signed, outer.content, outer.end)
        if any(each.is_critical and each.oid != _NONCE for each in listed):
            return "the response has a critical extension that is not understood here"
    return ""


def _end_of_validity(responder: DecodedCertificate, at: datetime) -> datetime:
    """Return notAfter, or in its last second the instant after it: notAfter itself is valid."""
    not_after = responder.view.not_after
    return not_after if at < not_after else not_after + timedelta(seconds=1)


def _instant(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def _answers_about(
    response: ocsp.OCSPResponse,
    leaf: DecodedCertificate,
    issuer: DecodedCertificate,
    checks: SignatureChecks,
) -> dict[int, ocsp.OCSPSingleResponse]:
    """Return the answers about the leaf by their place among all."""
    answers = {}
    for place, answer in zip(range(_MAX_RESPONSES), response.responses, strict=False):
        units = _UNITS_PER_ANSWER + issuer.cost.outside // 4
        checks.budget.spend(units, Work.STAPLE, "the response has too many answers to be read")
        if _is_about(answer, leaf, issuer):
            answers[place] = answer
    return answers


def _is_about(
    answer: ocsp.OCSPSingleResponse, leaf: DecodedCertificate, issuer: DecodedCertificate
) -> bool:
    algorithm = _HASHES.get(answer.hash_algorithm.name)
    if algorithm is None or answer.serial_number != leaf.serial_number:
        return False
    name, key = issuer.issuer_hashes_input()
    hashed = (_digest(algorithm(), name), _digest(algorithm(), key))
    return (answer.issuer_name_hash, answer.issuer_key_hash) == hashed


def _digest(algorithm: _Hash, octets: bytes) -> bytes:
    digest = hashes.Hash(algorithm)
    digest.update(octets)
    return digest.finalize()


def _signers(
    response: ocsp.OCSPResponse,
    signed: _Signed,
    issuer: DecodedCertificate,
    checks: SignatureChecks,
) -> Iterator[DecodedCertificate]:
    """Yield who signed the response: the issuer, else responders, which may be out of date."""
    if _verifies(signed, issuer, checks):
        yield issuer
        return
    size = len(response.public_bytes(_DER))
    units = _UNITS_PER_SQUARE_OF_A_KILOBYTE * size * size // 1_000_000
    checks.budget.spend(units, Work.STAPLE, "the response has too many bytes to be read")
    for certificate in response.certificates[:_MAX_RESPONDER_CERTIFICATES]:
        delegate = _delegate(certificate, issuer, checks)
        if delegate is not None and _verifies(signed, delegate, checks):
            yield delegate


def _delegate(
    certificate: x509.Certificate, issuer: DecodedCertificate, checks: SignatureChecks
) -> DecodedCertificate | None:
    """Return the certificate if the authority delegated its responses to it, or None.

    Issued by the very authority, for OCSP signing by name: anyExtendedKeyUsage is not enough. Its
    dates are not looked at. Source: RFC 6960 4.2.2.2.
    """
    der = certificate.public_bytes(_DER)
    try:
        decoded = read_certificate(
            der, checks.budget, "a certificate in the response", on=Work.STAPLE
        )
    except MalformedCertificate:
        return None
    is_for_ocsp = decoded.purposes is not None and _OCSP_SIGNING in decoded.purposes
    if not is_for_ocsp or flaw_of_form(decoded) or is_too_costly(decoded):
        return None
    return decoded if checks.has_issued_by_strong_hash(issuer, decoded) else None


def _read_signed(response: bytes) -> _Signed:
    """Return the signed part of a response that was successful. Raises DerError.

    Source: RFC 6960 4.2.1. The octets as they came: cryptography would encode them again.
    """
    whole = only_element(response, 0, len(response), SEQUENCE)
    parts = elements(response, whole.content, whole.end)
    if [part.tag for part in parts] != [_ENUMERATED, _RESPONSE_BYTES]:
        raise DerError("not a response")
    kind, octets = expected(
        inside(response, parts[1].content, parts[1].end), (OBJECT_IDENTIFIER, OCTET_STRING)
    )
    if dotted(response[kind.content : kind.end]) != _BASIC_RESPONSE:
        raise DerError("not a basic response")
    signed, algorithm, bits = expected(
        inside(response, octets.content, octets.end)[:3], (SEQUENCE, SEQUENCE, BIT_STRING)
    )
    return _Signed(
        octets=response[signed.start : signed.end],
        algorithm=read_signature_algorithm(response, algorithm),
        signature=whole_octets(response, bits),
    )


def _verifies(signed: _Signed, signer: DecodedCertificate, checks: SignatureChecks) -> bool:
    if signed.algorithm.hash_name not in _SIGNING_HASHES:
        return False
    units = signature_units(signer.key_units, len(signed.octets))
    checks.budget.spend(units, Work.SIGNATURES, TOO_MANY_SIGNATURES)
    return signed.algorithm.verifies(signer.verifying_key, signed.signature, signed.octets)
