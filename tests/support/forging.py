"""Certificates whose every part can be chosen, omitted or corrupted, down to the bytes.

Ordinary certificates come from `certificates`.
"""

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from otpc_policy.pki.certificate import decode_certificate
from otpc_policy.pki.decoded_certificate import DecodedCertificate
from tests.support.signing import PrivateKey, common_name_only, der_element, private_key, sign

# The instant at which forged chains are judged, and dates around it.
AT = datetime(2026, 6, 1, 12, 0, 0, tzinfo=UTC)
LONG_AGO, FAR_OFF = datetime(2020, 1, 1, tzinfo=UTC), datetime(2040, 1, 1, tzinfo=UTC)
ISSUED, EXPIRES = AT - timedelta(days=10), AT + timedelta(days=80)

Extension = tuple[x509.ExtensionType, bool]
# Changes the elements of a TBSCertificate, each in DER: version, serialNumber, signature, issuer,
# validity, subject, key, extensions.
Edit = Callable[[list[bytes]], None]
VERSION, SERIAL, SIGNATURE, ISSUER, VALIDITY, SUBJECT, KEY, EXTENSIONS = range(8)


@dataclass(frozen=True)
class Made:
    """A certificate, possibly unreadable, and its private key."""

    der: bytes
    key: PrivateKey
    name: x509.Name

    @property
    def certificate(self) -> x509.Certificate:
        return x509.load_der_x509_certificate(self.der)

    def with_flipped_bit(self) -> "Made":
        """The same certificate with the last byte of its signature corrupted."""
        return Made(self.der[:-1] + bytes([self.der[-1] ^ 1]), self.key, self.name)


def make(
    subject: str | x509.Name,
    *,
    by: Made | None,
    key: str | PrivateKey,
    extensions: Sequence[Extension],
    dates: tuple[datetime, datetime],
    hash_name: str = "sha256",
    edit: Edit | None = None,
    serial: int | None = None,
) -> Made:
    """Return a certificate, self-signed if by is None. edit: applied before signing."""
    own_key = private_key(key, "made") if isinstance(key, str) else key
    name = common_name_only(subject) if isinstance(subject, str) else subject
    signer, issuer = (own_key, name) if by is None else (by.key, by.name)
    builder = x509.CertificateBuilder(
        issuer, name, own_key.public_key(), serial or x509.random_serial_number(), *dates
    )
    for value, critical in extensions:
        builder = builder.add_extension(value, critical)
    certificate = sign(builder, signer, hash_name)
    if edit is None:
        return Made(certificate.public_bytes(Encoding.DER), own_key, name)
    elements = elements_of(certificate.tbs_certificate_bytes)
    edit(elements)
    return Made(signed(elements, signer), own_key, name)


def signed(elements: Sequence[bytes], signer: PrivateKey, outer: bytes | None = None) -> bytes:
    """Return a certificate over these elements.

    outer: its signatureAlgorithm, if it differs from that of the TBSCertificate.
    """
    tbs = der_element(0x30, b"".join(elements))
    if isinstance(signer, rsa.RSAPrivateKey):
        signature = signer.sign(tbs, padding.PKCS1v15(), hashes.SHA256())
    else:
        assert isinstance(signer, ec.EllipticCurvePrivateKey)
        signature = signer.sign(tbs, ec.ECDSA(hashes.SHA256()))
    inner = next(element for element in elements if element[0] == 0x30)
    return der_element(0x30, tbs + (outer or inner) + der_element(0x03, b"\x00" + signature))


def elements_of(der: bytes) -> list[bytes]:
    """Return the elements of a SEQUENCE, each in DER."""
    start, end = _content(der, 0)
    found = []
    while start < end:
        _, following = _content(der, start)
        found.append(der[start:following])
        start = following
    return found


def authority(
    name: str,
    *,
    by: Made | None = None,
    key: str | PrivateKey = "ec256",
    dates: tuple[datetime, datetime] = (LONG_AGO, FAR_OFF),
    path_length: int | None = None,
    plus: Sequence[Extension] = (),
    without: Sequence[type[x509.ExtensionType]] = (),
    hash_name: str = "sha256",
    edit: Edit | None = None,
) -> Made:
    """Return an authority that meets the Baseline Requirements.

    plus: extensions to add; they replace default extensions of the same kind.
    """
    own_key = private_key(key, "authority") if isinstance(key, str) else key
    extensions = [
        (x509.BasicConstraints(True, path_length), True),
        (key_usage("key_cert_sign", "crl_sign"), True),
        (x509.SubjectKeyIdentifier.from_public_key(own_key.public_key()), False),
        *([(_key_identifier(by), False)] if by else []),
    ]
    return make(
        name,
        by=by,
        key=own_key,
        extensions=_replaced(extensions, plus, without),
        dates=dates,
        hash_name=hash_name,
        edit=edit,
    )


def leaf(
    by: Made | None,
    *,
    dns: Sequence[str] = ("partner.test",),
    ips: Sequence[str] = (),
    subject: str | x509.Name = "leaf",
    key: str | PrivateKey = "ec256",
    dates: tuple[datetime, datetime] = (ISSUED, EXPIRES),
    plus: Sequence[Extension] = (),
    without: Sequence[type[x509.ExtensionType]] = (),
    hash_name: str = "sha256",
    edit: Edit | None = None,
    serial: int | None = None,
) -> Made:
    """Return a server certificate that meets the Baseline Requirements.

    plus: extensions to add; they replace default extensions of the same kind.
    """
    own_key = private_key(key, "leaf") if isinstance(key, str) else key
    extensions = [
        (x509.BasicConstraints(False, None), True),
        (key_usage("digital_signature"), True),
        (x509.SubjectKeyIdentifier.from_public_key(own_key.public_key()), False),
        (
            x509.AuthorityKeyIdentifier.from_issuer_public_key(
                (by.key if by else own_key).public_key()
            ),
            False,
        ),
        (purposes("server_auth"), False),
        (alternative_names(dns, ips), False),
    ]
    return make(
        subject,
        by=by,
        key=own_key,
        extensions=_replaced(extensions, plus, without),
        dates=dates,
        hash_name=hash_name,
        edit=edit,
        serial=serial,
    )


def decoded(made: Made) -> DecodedCertificate:
    """Return the certificate as the product reads it."""
    return decode_certificate(made.der)


def key_usage(*usages: str) -> x509.KeyUsage:
    """Return a keyUsage with these bits."""
    every = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
    )
    return x509.KeyUsage(
        **{usage: usage in usages for usage in every}, encipher_only=False, decipher_only=False
    )


def purposes(*names: str) -> x509.ExtendedKeyUsage:
    """Return an extendedKeyUsage with these purposes."""
    known = {
        "server_auth": ExtendedKeyUsageOID.SERVER_AUTH,
        "client_auth": ExtendedKeyUsageOID.CLIENT_AUTH,
        "code_signing": ExtendedKeyUsageOID.CODE_SIGNING,
        "ocsp_signing": ExtendedKeyUsageOID.OCSP_SIGNING,
        "any": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    }
    return x509.ExtendedKeyUsage([known[name] for name in names])


def alternative_names(
    dns: Sequence[str] = (), ips: Sequence[str] = (), others: Sequence[x509.GeneralName] = ()
) -> x509.SubjectAlternativeName:
    """Return a subjectAltName."""
    return x509.SubjectAlternativeName(
        [
            *map(x509.DNSName, dns),
            *(x509.IPAddress(ipaddress.ip_address(ip)) for ip in ips),
            *others,
        ]
    )


def name_constraints(
    permitted: Sequence[str | x509.GeneralName] = (),
    excluded: Sequence[str | x509.GeneralName] = (),
) -> x509.NameConstraints:
    """Return nameConstraints. Text with a slash is a network, other text a DNS name."""
    return x509.NameConstraints(
        [*map(_subtree, permitted)] or None, [*map(_subtree, excluded)] or None
    )


def organization(name: str) -> x509.Name:
    """Return a subject without a common name."""
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, name)])


def _subtree(base: str | x509.GeneralName) -> x509.GeneralName:
    if not isinstance(base, str):
        return base
    return x509.IPAddress(ipaddress.ip_network(base)) if "/" in base else x509.DNSName(base)


def _key_identifier(by: Made) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(by.key.public_key())


def _replaced(
    extensions: Sequence[Extension],
    plus: Sequence[Extension],
    without: Sequence[type[x509.ExtensionType]],
) -> list[Extension]:
    given = {value.oid for value, _ in plus} | {kind.oid for kind in without}
    return [*(extension for extension in extensions if extension[0].oid not in given), *plus]


def _content(der: bytes, at: int) -> tuple[int, int]:
    """Return where the content of the element starts and ends."""
    length = der[at + 1]
    if length < 0x80:
        return at + 2, at + 2 + length
    octets = length & 0x7F
    start = at + 2 + octets
    return start, start + int.from_bytes(der[at + 2 : start], "big")


# For tests that need an anchor and do not care which.
ROOT = authority("Root")
