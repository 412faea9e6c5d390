"""The certificate factory makes what its docstrings promise."""

import pytest
from cryptography import x509
from cryptography.x509 import ocsp

from tests.support.certificates import CertificateAuthority, self_signed


@pytest.mark.parametrize(
    "key", ["rsa1024", "rsa2048", "ec224", "ec256", "ec384", "ec521", "ed25519", "dsa2048"]
)
def test_a_leaf_is_signed_by_its_authority(key: str) -> None:
    authority = CertificateAuthority.create().intermediate()
    issued = authority.issue(key=key)
    issued.certificate.verify_directly_issued_by(authority.certificate)
    assert issued.chain == (issued.certificate, authority.certificate)
    assert issued.chain_pem.count(b"BEGIN CERTIFICATE") == 2


@pytest.mark.parametrize(
    ("authority_key", "hash_name"), [("rsa2048", "md5"), ("rsa2048", "sha1"), ("ec256", "sha1")]
)
def test_weak_hashes_are_signed_by_hand(authority_key: str, hash_name: str) -> None:
    authority = CertificateAuthority.create(key=authority_key)
    certificate = authority.issue(hash_name=hash_name).certificate
    assert certificate.signature_hash_algorithm is not None
    assert certificate.signature_hash_algorithm.name == hash_name


def test_a_self_signed_leaf_has_its_own_signature() -> None:
    certificate = self_signed(key="rsa2048", ca=True).certificate
    certificate.verify_directly_issued_by(certificate)
    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_an_ocsp_response_can_be_read_back() -> None:
    authority = CertificateAuthority.create(key="rsa2048")
    leaf = authority.issue(must_staple=True).certificate
    response = ocsp.load_der_ocsp_response(authority.ocsp_response(leaf, status="revoked"))
    assert response.certificate_status is ocsp.OCSPCertStatus.REVOKED
    assert response.serial_number == leaf.serial_number
