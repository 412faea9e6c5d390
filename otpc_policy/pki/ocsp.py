"""The stapled OCSP response: what it proves about the leaf at one instant. Nothing is fetched."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from otpc_policy.core.errors import MalformedCertificate
from otpc_policy.pki.certificate import DECODING_ERRORS, DecodedCertificate, decode_certificate, decoding_leniently
from otpc_policy.pki.judgement import StapleStatus
from otpc_policy.pki.signatures import is_issued_by, is_too_costly

_DER = Encoding.DER
_OCSP_SIGNING = ExtendedKeyUsageOID.OCSP_SIGNING.dotted_string
# Clocks of responders and ours differ; a fresh response must not look like one from the future.
_CLOCK_SKEW = timedelta(minutes=5)
# Without nextUpdate newer information is always available (RFC 6960 2.4); mozilla::pkix takes such a response for a day.
_LIFETIME_WITHOUT_NEXT_UPDATE = timedelta(days=1)
# RFC 6960 lets a responder send its certificates, and one is enough.
_MAX_RESPONDER_CERTIFICATES = 4
_MAX_RESPONSES = 16
_HASHES: dict[str, type[hashes.SHA1 | hashes.SHA224 | hashes.SHA256 | hashes.SHA384 | hashes.SHA512]] = {
    one.name: one for one in (hashes.SHA1, hashes.SHA224, hashes.SHA256, hashes.SHA384, hashes.SHA512)
}
_SIGNING_HASHES = frozenset({"sha224", "sha256", "sha384", "sha512"})


@dataclass(frozen=True, slots=True)
class Staple:
    """What the response proves, why, and until when (GOOD only)."""

    status: StapleStatus
    detail: str
    next_update: datetime | None = None


def judge_staple(response: bytes | None, leaf: DecodedCertificate | None, issuer: DecodedCertificate | None, at: datetime) -> Staple:
    """Say what a stapled response proves about the leaf.

    issuer: the proven issuer of the leaf, None if unknown. A revocation that was signed counts even when its answer is stale:
    it is not undone. GOOD needs an answer that is current; every doubt is UNVERIFIED. Source: RFC 6960 3.2, 4.2.2.
    """
    if response is None:
        return Staple(StapleStatus.ABSENT, "no OCSP response was stapled")
    if leaf is None or issuer is None:
        return Staple(StapleStatus.UNVERIFIED, "the issuer of the leaf is not known, so nobody can vouch for the response")
    try:
        with decoding_leniently():
            return _judge(ocsp.load_der_ocsp_response(response), leaf, issuer, at)
    except DECODING_ERRORS:
        return Staple(StapleStatus.UNVERIFIED, "the response cannot be decoded")


def _judge(response: ocsp.OCSPResponse, leaf: DecodedCertificate, issuer: DecodedCertificate, at: datetime) -> Staple:
    if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        return Staple(StapleStatus.UNVERIFIED, "the responder answered with an error")
    answers = [one for _, one in zip(range(_MAX_RESPONSES), response.responses, strict=False) if _is_about(one, leaf, issuer)]
    if not answers:
        return Staple(StapleStatus.UNVERIFIED, "the response is about another certificate")
    answer = next((one for one in answers if one.certificate_status is ocsp.OCSPCertStatus.REVOKED), answers[0])
    is_revoked = answer.certificate_status is ocsp.OCSPCertStatus.REVOKED
    instant = answer.this_update_utc if is_revoked else at
    if not _is_signed(response, issuer, instant):
        return Staple(StapleStatus.UNVERIFIED, "the signature is not that of the leaf's issuer or its responder")
    if is_revoked:
        revoked_at = answer.revocation_time_utc
        return Staple(StapleStatus.REVOKED, f"revoked at {revoked_at:%Y-%m-%dT%H:%M:%SZ}" if revoked_at else "revoked")
    if answer.certificate_status is not ocsp.OCSPCertStatus.GOOD:
        return Staple(StapleStatus.UNVERIFIED, "the responder does not know the certificate")
    next_update = answer.next_update_utc or answer.this_update_utc + _LIFETIME_WITHOUT_NEXT_UPDATE
    if at + _CLOCK_SKEW < answer.this_update_utc:
        return Staple(StapleStatus.UNVERIFIED, f"the response is not valid before {answer.this_update_utc:%Y-%m-%dT%H:%M:%SZ}")
    if at >= next_update:
        return Staple(StapleStatus.UNVERIFIED, f"the response was stale at {next_update:%Y-%m-%dT%H:%M:%SZ}")
    return Staple(StapleStatus.GOOD, f"good until {next_update:%Y-%m-%dT%H:%M:%SZ}", next_update)


def _is_about(answer: ocsp.OCSPSingleResponse, leaf: DecodedCertificate, issuer: DecodedCertificate) -> bool:
    algorithm = _HASHES.get(answer.hash_algorithm.name)
    if algorithm is None or answer.serial_number != leaf.certificate.serial_number:
        return False
    wanted = ocsp.OCSPRequestBuilder().add_certificate(leaf.certificate, issuer.certificate, algorithm()).build()
    return (answer.issuer_name_hash, answer.issuer_key_hash) == (wanted.issuer_name_hash, wanted.issuer_key_hash)


def _is_signed(response: ocsp.OCSPResponse, issuer: DecodedCertificate, at: datetime) -> bool:
    if _verifies(response, issuer.certificate):
        return True
    for certificate in response.certificates[:_MAX_RESPONDER_CERTIFICATES]:
        delegate = _delegate(certificate, issuer, at)
        if delegate is not None and _verifies(response, delegate.certificate):
            return True
    return False


def _delegate(certificate: x509.Certificate, issuer: DecodedCertificate, at: datetime) -> DecodedCertificate | None:
    """Source: RFC 6960 4.2.2.2: issued by the very authority, for OCSP signing, said in so many words (anyExtendedKeyUsage is not enough)."""
    try:
        decoded = decode_certificate(certificate.public_bytes(_DER))
    except MalformedCertificate:
        return None
    is_for_ocsp = decoded.purposes is not None and _OCSP_SIGNING in decoded.purposes and not decoded.has_unknown_critical
    return decoded if is_for_ocsp and not is_too_costly(decoded) and decoded.is_valid_at(at) and is_issued_by(decoded, issuer) else None


def _verifies(response: ocsp.OCSPResponse, signer: x509.Certificate) -> bool:
    algorithm = response.signature_hash_algorithm
    if algorithm is not None and algorithm.name not in _SIGNING_HASHES:
        return False
    key = signer.public_key()
    try:
        match key:
            case rsa.RSAPublicKey() if algorithm is not None:
                key.verify(response.signature, response.tbs_response_bytes, padding.PKCS1v15(), algorithm)
            case ec.EllipticCurvePublicKey() if algorithm is not None:
                key.verify(response.signature, response.tbs_response_bytes, ec.ECDSA(algorithm))
            case ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey() if algorithm is None:
                key.verify(response.signature, response.tbs_response_bytes)
            case _:
                return False
    except InvalidSignature:
        return False
    return True
