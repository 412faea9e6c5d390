"""Real certificates for tests: authorities, leaves good and bad, stapled OCSP responses."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509 import ocsp
from cryptography.x509.oid import NameOID

from tests.support.signing import (
    HASHES,
    PrivateKey,
    authority_builder,
    common_name_only,
    leaf_builder,
    now,
    private_key,
    sign,
)


@dataclass(frozen=True)
class Issued:
    """A leaf with its key and the chain to serve: leaf first, intermediates, no root."""

    certificate: x509.Certificate
    private_key: PrivateKey
    chain: tuple[x509.Certificate, ...]

    @property
    def der(self) -> bytes:
        return _der_of(self.certificate)

    @property
    def chain_der(self) -> tuple[bytes, ...]:
        return tuple(_der_of(certificate) for certificate in self.chain)

    @property
    def chain_pem(self) -> bytes:
        pem = serialization.Encoding.PEM
        return b"".join(certificate.public_bytes(pem) for certificate in self.chain)

    @property
    def key_pem(self) -> bytes:
        return self.private_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.der).hexdigest()

    @property
    def spki_sha256(self) -> str:
        spki = self.certificate.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return hashlib.sha256(spki).hexdigest()

    def write(self, directory: Path, name: str) -> tuple[Path, Path]:
        """Write the chain and the key as PEM files; return their paths."""
        chain, key = directory / f"{name}.pem", directory / f"{name}.key"
        chain.write_bytes(self.chain_pem)
        key.write_bytes(self.key_pem)
        key.chmod(0o600)
        return chain, key


@dataclass(frozen=True)
class CertificateAuthority:
    """An issuing authority. served: what a server under it must send after the leaf."""

    certificate: x509.Certificate
    private_key: PrivateKey
    served: tuple[x509.Certificate, ...] = ()

    @classmethod
    def create(
        cls,
        name: str = "Example Root",
        *,
        key: str = "ec256",
        not_before: datetime | None = None,
        not_after: datetime | None = None,
        permitted_dns: Sequence[str] = (),
        excluded_dns: Sequence[str] = (),
        path_length: int | None = None,
    ) -> "CertificateAuthority":
        """Return a self-signed root."""
        own_key = private_key(key, name)
        subject = common_name_only(name)
        builder = authority_builder(
            subject,
            subject,
            own_key,
            not_before=not_before,
            not_after=not_after,
            permitted_dns=permitted_dns,
            excluded_dns=excluded_dns,
            path_length=path_length,
        )
        return cls(sign(builder, own_key, "sha256"), own_key)

    def intermediate(
        self,
        name: str = "Example Intermediate",
        *,
        key: str = "ec256",
        not_before: datetime | None = None,
        not_after: datetime | None = None,
        permitted_dns: Sequence[str] = (),
        excluded_dns: Sequence[str] = (),
        path_length: int | None = None,
        own_key: PrivateKey | None = None,
    ) -> "CertificateAuthority":
        """Return a subordinate authority.

        own_key: of another authority, to make a cross certificate.
        """
        own_key = own_key or private_key(key, name)
        builder = authority_builder(
            common_name_only(name),
            self.certificate.subject,
            own_key,
            not_before=not_before,
            not_after=not_after,
            permitted_dns=permitted_dns,
            excluded_dns=excluded_dns,
            path_length=path_length,
        )
        builder = builder.add_extension(self._key_identifier(), critical=False)
        certificate = sign(builder, self.private_key, "sha256")
        return CertificateAuthority(certificate, own_key, (certificate, *self.served))

    @property
    def der(self) -> bytes:
        return _der_of(self.certificate)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def issue(
        self,
        *,
        dns: Sequence[str] = ("partner.test",),
        ips: Sequence[str] = (),
        common_name: str | None = None,
        key: str = "ec256",
        not_before: datetime | None = None,
        not_after: datetime | None = None,
        hash_name: str = "sha256",
        san_critical: bool = False,
        must_staple: bool = False,
        extended_key_usage: Sequence[str] = ("server_auth",),
        with_san: bool = True,
        with_authority_key_identifier: bool = True,
        basic_constraints_ca: bool = False,
        crl_urls: Sequence[str] = (),
    ) -> Issued:
        """Return a leaf under this authority.

        common_name: None for no common name if there is a SAN, else the first of dns.
        crl_urls: names of its one distribution point.
        """
        leaf_key = private_key(key, "leaf")
        builder = leaf_builder(
            _subject(dns, common_name, with_san),
            self.certificate.subject,
            leaf_key,
            not_before=not_before,
            not_after=not_after,
            dns=dns,
            ips=ips,
            with_san=with_san,
            san_critical=san_critical,
            must_staple=must_staple,
            extended_key_usage=extended_key_usage,
            ca=basic_constraints_ca,
        )
        if with_authority_key_identifier:
            builder = builder.add_extension(self._key_identifier(), critical=False)
        if crl_urls:
            names = [x509.UniformResourceIdentifier(url) for url in crl_urls]
            point = x509.DistributionPoint(names, None, None, None)
            builder = builder.add_extension(x509.CRLDistributionPoints([point]), critical=False)
        certificate = sign(builder, self.private_key, hash_name)
        return Issued(certificate, leaf_key, (certificate, *self.served))

    def ocsp_response(
        self,
        leaf: x509.Certificate,
        *,
        status: str = "good",
        this_update: datetime | None = None,
        next_update: datetime | None = None,
        without_next_update: bool = False,
        signer: Issued | None = None,
        cert_id_hash: str = "sha1",
    ) -> bytes:
        """Return a DER OCSPResponse about a leaf.

        signer: a delegate, whose certificate is then included; else the authority signs.
        """
        this_update = this_update or now() - timedelta(hours=1)
        next_update = (
            None if without_next_update else next_update or this_update + timedelta(days=4)
        )
        revoked = status == "revoked"
        builder = ocsp.OCSPResponseBuilder().add_response(
            cert=leaf,
            issuer=self.certificate,
            algorithm=HASHES[cert_id_hash],
            cert_status={
                "good": ocsp.OCSPCertStatus.GOOD,
                "revoked": ocsp.OCSPCertStatus.REVOKED,
                "unknown": ocsp.OCSPCertStatus.UNKNOWN,
            }[status],
            this_update=this_update,
            next_update=next_update,
            revocation_time=this_update - timedelta(minutes=5) if revoked else None,
            revocation_reason=x509.ReasonFlags.key_compromise if revoked else None,
        )
        builder = builder.responder_id(
            ocsp.OCSPResponderEncoding.HASH, signer.certificate if signer else self.certificate
        )
        if signer:
            builder = builder.certificates([signer.certificate])
        key = signer.private_key if signer else self.private_key
        algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
        return builder.sign(key, algorithm).public_bytes(serialization.Encoding.DER)

    def _key_identifier(self) -> x509.AuthorityKeyIdentifier:
        identifier = self.certificate.extensions.get_extension_for_class(
            x509.SubjectKeyIdentifier
        ).value
        return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def self_signed(
    *,
    dns: Sequence[str] = ("partner.test",),
    ips: Sequence[str] = (),
    common_name: str | None = None,
    key: str = "ec256",
    ca: bool = False,
    not_before: datetime | None = None,
    not_after: datetime | None = None,
    hash_name: str = "sha256",
    with_san: bool = True,
    extended_key_usage: Sequence[str] = ("server_auth",),
) -> Issued:
    """Return a self-signed leaf. ca: with CA:TRUE, as `openssl req -x509` makes them."""
    own_key = private_key(key, "self-signed")
    # A subject is needed: an empty issuer is invalid (RFC 5280 4.1.2.4).
    subject = common_name_only(common_name or (dns[0] if dns else "self-signed"))
    builder = leaf_builder(
        subject,
        subject,
        own_key,
        not_before=not_before,
        not_after=not_after,
        dns=dns,
        ips=ips,
        with_san=with_san,
        san_critical=False,
        must_staple=False,
        extended_key_usage=extended_key_usage,
        ca=ca,
    )
    certificate = sign(builder, own_key, hash_name)
    return Issued(certificate, own_key, (certificate,))


def _subject(dns: Sequence[str], common_name: str | None, with_san: bool) -> x509.Name:
    if common_name is not None:
        return common_name_only(common_name)
    # A non-critical SAN, as in nearly all leaves, needs a non-empty subject (RFC 5280 4.2.1.6).
    return (
        x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example Partner")])
        if with_san
        else common_name_only(dns[0])
    )


def _der_of(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)
