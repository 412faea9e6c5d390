"""Certificates for the demo's partners: one authority, leaves good and bad. Does no IO."""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

_LIFETIME = timedelta(days=90)
# Older than any leaf: one that ended before its authority began would be untrusted, not expired.
_AUTHORITY_AGE = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a server presents: its leaf and the key to it."""

    certificate: x509.Certificate
    private_key: PrivateKey

    @property
    def certificate_pem(self) -> bytes:
        """The leaf; the demo's authority issues directly, so there is nothing else to serve."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The private key, not encrypted."""
        return self.private_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    @property
    def sha256(self) -> str:
        """The value of a pin on this certificate."""
        return hashlib.sha256(self.certificate.public_bytes(serialization.Encoding.DER)).hexdigest()


class DemoAuthority:
    """A certificate authority for one demo. now: aware UTC."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._key = ec.generate_private_key(ec.SECP256R1())
        subject = _name("OTPC demo authority")
        self._certificate = (
            _builder(subject, subject, self._key, now - _AUTHORITY_AGE, now + _LIFETIME)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(authority=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    @property
    def pem(self) -> bytes:
        """The trust anchor that the demo's service is configured with."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def issue(
        self, host: str, *, rsa_key: bool = False, ended: timedelta | None = None
    ) -> Credentials:
        """Return a leaf for the host. ended: how long ago its validity ended; None: it is valid."""
        not_after = self._now - ended if ended else self._now + _LIFETIME
        key: PrivateKey = _rsa_key() if rsa_key else ec.generate_private_key(ec.SECP256R1())
        builder = _leaf_builder(
            host,
            self._certificate.subject,
            key,
            min(self._now, not_after) - timedelta(days=1),
            not_after,
        )
        authority_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return Credentials(
            builder.add_extension(authority_key, critical=False).sign(self._key, hashes.SHA256()),
            key,
        )


def self_signed(host: str, now: datetime) -> Credentials:
    """Return a self-signed leaf for the host."""
    key = ec.generate_private_key(ec.SECP256R1())
    return Credentials(
        _leaf_builder(host, _name(host), key, now - timedelta(days=1), now + _LIFETIME).sign(
            key, hashes.SHA256()
        ),
        key,
    )


@cache
def _rsa_key() -> rsa.RSAPrivateKey:
    # About 0.1 s each: one serves all partners of a demo.
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "OTPC demo"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: PrivateKey,
    not_before: datetime,
    not_after: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _leaf_builder(
    host: str, issuer: x509.Name, key: PrivateKey, not_before: datetime, not_after: datetime
) -> x509.CertificateBuilder:
    # cryptography's verifier refuses a critical SAN if there is a subject.
    return (
        _builder(_name(host), issuer, key, not_before, not_after)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
    )


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )
