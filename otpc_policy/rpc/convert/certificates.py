"""Certificates as the FULL view shows them: decoded where possible, else bytes and digest."""

import hashlib

from otpc_policy.core.errors import MalformedCertificate
from otpc_policy.pki.budget import TooComplexError, WorkBudget
from otpc_policy.pki.certificate import read_certificate
from otpc_policy.pki.judgement import CertificateView
from otpc_policy.rpc.convert.times import to_timestamp
from otpc_policy.v1 import policy_pb2 as pb

# For all certificates of one response, in units of otpc_policy.pki.budget.
# A leaf with 4,000 names costs 6,000.
_RESPONSE_UNITS = 8_000


class CertificateMessages:
    """The certificates of one response. Each is decoded once, however many deployments serve it."""

    def __init__(self) -> None:
        self._budget = WorkBudget(_RESPONSE_UNITS)
        self._made: dict[bytes, pb.CertificateObservation] = {}

    def of(self, der: bytes) -> pb.CertificateObservation:
        """Return everything about a certificate.

        If it cannot be decoded, or is too large to be shown, only its bytes and their SHA-256.
        """
        if der not in self._made:
            self._made[der] = self._message(der)
        return self._made[der]

    def _message(self, der: bytes) -> pb.CertificateObservation:
        try:
            return _message(read_certificate(der, self._budget, "the certificate").view)
        except (MalformedCertificate, TooComplexError):
            return pb.CertificateObservation(der=der, sha256=hashlib.sha256(der).hexdigest())


def _message(view: CertificateView) -> pb.CertificateObservation:
    names_its_size = not view.key_bits or view.key_name.endswith(f" {view.key_bits}")
    return pb.CertificateObservation(
        der=view.der,
        sha256=view.sha256,
        spki_sha256=view.spki_sha256,
        subject=view.subject,
        issuer=view.issuer,
        serial_number=view.serial_number,
        not_before_time=to_timestamp(view.not_before),
        not_after_time=to_timestamp(view.not_after),
        subject_alt_names=view.subject_alt_names,
        public_key=view.key_name if names_its_size else f"{view.key_name} {view.key_bits}",
        signature_algorithm=view.signature_algorithm,
    )
