"""Certificate revocation lists of test authorities, right or wrong in one thing."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed448, ed25519
from cryptography.hazmat.primitives.serialization import Encoding

from otpc_policy.pki.certificate import decode_certificate
from otpc_policy.pki.crl import CrlQuestion, CrlSubject, crl_points
from otpc_policy.pki.decoded_certificate import DecodedCertificate
from tests.support.certificates import CertificateAuthority, Issued
from tests.support.signing import now

Extra = tuple[x509.ExtensionType, bool]


def crl(
    authority: CertificateAuthority,
    revoked: Sequence[Issued] = (),
    *,
    reasons: Mapping[int, x509.ReasonFlags] | None = None,
    serial_numbers: Sequence[int] = (),
    this_update: datetime | None = None,
    next_update: datetime | None = None,
    issuer: x509.Name | None = None,
    signer: CertificateAuthority | None = None,
    hash_name: str = "sha256",
    extensions: Sequence[Extra] = (),
    entry_extensions: Sequence[Extra] = (),
    pem: bool = False,
) -> bytes:
    """Return a list of the authority.

    revoked, serial_numbers: what it lists. reasons: by serial number. this_update: an hour
    ago. next_update: six days later. issuer: whom it names, if not the authority. signer: whose
    key signs, if not the authority's. extensions, entry_extensions: with whether they are critical.
    """
    this_update = this_update or now() - timedelta(hours=1)
    next_update = next_update or this_update + timedelta(days=6)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer or authority.certificate.subject)
        .last_update(this_update)
        .next_update(next_update)
    )
    for value, critical in extensions:
        builder = builder.add_extension(value, critical)
    for number in (*(each.certificate.serial_number for each in revoked), *serial_numbers):
        entry = (
            x509.RevokedCertificateBuilder()
            .serial_number(number)
            .revocation_date(this_update - timedelta(hours=1))
        )
        if reasons is not None and number in reasons:
            entry = entry.add_extension(x509.CRLReason(reasons[number]), critical=False)
        for value, critical in entry_extensions:
            entry = entry.add_extension(value, critical)
        builder = builder.add_revoked_certificate(entry.build())
    key = (signer or authority).private_key
    algorithm = hashes.SHA512() if hash_name == "sha512" else hashes.SHA256()
    is_eddsa = isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
    made = builder.sign(key, None if is_eddsa else algorithm)
    return made.public_bytes(Encoding.PEM if pem else Encoding.DER)


def scope(url: str = "", **overrides: object) -> Extra:
    """Return an issuing distribution point. url: its name; "" for none."""
    fields: dict[str, object] = {
        "full_name": [x509.UniformResourceIdentifier(url)] if url else None,
        "relative_name": None,
        "only_contains_user_certs": False,
        "only_contains_ca_certs": False,
        "only_some_reasons": None,
        "indirect_crl": False,
        "only_contains_attribute_certs": False,
        **overrides,
    }
    return x509.IssuingDistributionPoint(**fields), True  # type: ignore[arg-type]


def decoded(authority: CertificateAuthority) -> DecodedCertificate:
    """Return an authority's certificate as it is judged."""
    return decode_certificate(authority.der)


def question(issued: Issued, authority: CertificateAuthority) -> CrlQuestion:
    """Return the question that judging a leaf asks."""
    leaf = decode_certificate(issued.der)
    points, _ = crl_points(leaf)
    return CrlQuestion(CrlSubject.of(leaf, points), decoded(authority))
