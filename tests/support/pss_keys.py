"""Leaves with RSASSA-PSS keys, which cryptography reads but does not make."""

from base64 import encodebytes
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.certificates import CertificateAuthority, Issued
from tests.support.forging import KEY, elements_of, signed
from tests.support.signing import der_element

# AlgorithmIdentifier of id-RSASSA-PSS without parameters (RFC 4055 1.2).
_ID_RSASSA_PSS = bytes.fromhex("300b06092a864886f70d01010a")


@dataclass(frozen=True)
class PssIssued(Issued):
    """A leaf whose key, as its private key states too, may sign with RSASSA-PSS only."""

    @property
    def key_pem(self) -> bytes:
        """Return the private key in the form servers read."""
        encoded = self.private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        version, _, key = elements_of(encoded)
        return _pem(der_element(0x30, version + _ID_RSASSA_PSS + key))


def issue_pss(
    authority: CertificateAuthority,
    *,
    not_before: datetime | None = None,
    not_after: datetime | None = None,
) -> PssIssued:
    """Return a leaf for partner.test. The authority's own key is RSA or EC."""
    plain = authority.issue(key="rsa2048", not_before=not_before, not_after=not_after)
    elements = elements_of(plain.certificate.tbs_certificate_bytes)
    _, key = elements_of(elements[KEY])
    elements[KEY] = der_element(0x30, _ID_RSASSA_PSS + key)
    leaf = x509.load_der_x509_certificate(signed(elements, authority.private_key))
    return PssIssued(leaf, plain.private_key, (leaf, *authority.served))


def _pem(der: bytes) -> bytes:
    return b"-----BEGIN PRIVATE KEY-----\n" + encodebytes(der) + b"-----END PRIVATE KEY-----\n"
