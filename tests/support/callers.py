"""Client certificates of callers, with names of any kind."""

from collections.abc import Sequence

from cryptography import x509
from cryptography.x509.oid import NameOID

from tests.support.certificates import CertificateAuthority, Issued
from tests.support.signing import leaf_builder, private_key, sign


def caller_certificate(
    authority: CertificateAuthority,
    names: Sequence[x509.GeneralName],
    *,
    common_name: str = "caller",
) -> Issued:
    """Return a client certificate with these subjectAltNames; without names it has none."""
    key = private_key("ec256", "caller")
    builder = leaf_builder(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]),
        authority.certificate.subject,
        key,
        not_before=None,
        not_after=None,
        dns=(),
        ips=(),
        with_san=False,
        san_critical=False,
        must_staple=False,
        extended_key_usage=("client_auth",),
        ca=False,
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    certificate = sign(builder, authority.private_key, "sha256")
    return Issued(certificate, key, (certificate,))
