"""Certificates for people: what a decoded one shows, and what little one shows that cannot be decoded."""

import hashlib

from otpc_policy.core.errors import MalformedCertificate
from otpc_policy.pki.certificate import view_certificate
from otpc_policy.v1 import policy_pb2 as pb
from otpc_policy.wire.times import to_timestamp


def certificate_message(der: bytes) -> pb.CertificateObservation:
    """Return everything about a certificate; of one that cannot be decoded only its bytes and their SHA-256."""
    try:
        view = view_certificate(der)
    except MalformedCertificate:
        return pb.CertificateObservation(der=der, sha256=hashlib.sha256(der).hexdigest())
    bits = str(view.key_bits)
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
        public_key=view.key_name if not view.key_bits or view.key_name.endswith(f" {bits}") else f"{view.key_name} {bits}",
        signature_algorithm=view.signature_algorithm,
    )
