"""Verifying signatures: whatever goes wrong, nothing was verified and nothing is raised."""

import pytest
from cryptography.exceptions import InternalError, InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from otpc_policy.pki.judge import judge_chain
from otpc_policy.pki.judgement import TrustSource
from otpc_policy.pki.signature_algorithm import (
    RSA_ENCRYPTION,
    SignatureAlgorithm,
    VerifyingKey,
)
from otpc_policy.pki.trust import Trust
from tests.support import forging
from tests.support.forging import AT, ROOT, authority, leaf

# RSASSA-PSS with SHA-512, MGF1 with SHA-512, a salt of 64 octets.
_HASH = bytes.fromhex("300d06096086480165030402030500")
_PSS_SHA512 = (
    bytes.fromhex("304106092a864886f70d01010a3034a00f")
    + _HASH
    + (bytes.fromhex("a11c301a06092a864886f70d010108") + _HASH + bytes.fromhex("a203020140"))
)


def _small_key(bits: int) -> rsa.RSAPublicKey:
    """Return a key that nobody has the private part of."""
    return rsa.RSAPublicNumbers(65_537, (1 << bits) - 1).public_key()


@pytest.mark.parametrize("hash_name", ["sha1", "sha256", "sha384", "sha512"])
@pytest.mark.parametrize("bits", [512, 520, 521, 1024])
def test_a_key_too_small_for_the_digest_verifies_nothing(bits: int, hash_name: str) -> None:
    algorithm = SignatureAlgorithm(
        octets=b"",
        oid="1.2.840.113549.1.1.10",
        name="RSASSA-PSS",
        hash_name=hash_name,
        salt_octets=64,
    )
    key = VerifyingKey(key=_small_key(bits), algorithm=RSA_ENCRYPTION, parameters=None)
    assert not algorithm.verifies(key, b"\1" * (-(-bits // 8)), b"signed")


@pytest.mark.parametrize(
    "error",
    [
        InvalidSignature(),
        ValueError(),
        TypeError(),
        OverflowError(),
        InternalError("unknown", []),
        UnsupportedAlgorithm("unknown"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_every_error_of_the_library_is_a_signature_that_is_not_verified(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Key:
        def verify(self, *_: object) -> None:
            raise error

    monkeypatch.setattr("otpc_policy.pki.signature_algorithm.rsa.RSAPublicKey", Key)
    algorithm = SignatureAlgorithm(
        octets=b"", oid="1.2.840.113549.1.1.11", name="RSA", hash_name="sha256"
    )
    key = VerifyingKey(key=Key(), algorithm=RSA_ENCRYPTION, parameters=None)
    assert not algorithm.verifies(key, b"\1", b"signed")


def test_a_chain_with_such_a_key_is_judged() -> None:
    spki = _small_key(512).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def with_small_key(elements: list[bytes]) -> None:
        elements[forging.KEY] = spki

    def signed_by_pss(elements: list[bytes]) -> None:
        elements[forging.SIGNATURE] = _PSS_SHA512

    small = authority("Small", edit=with_small_key)
    chain = [leaf(small, edit=signed_by_pss).der, small.der]
    for served in (chain, [leaf(ROOT).der, ROOT.der, *chain]):
        judgement = judge_chain(
            served,
            server_name="partner.test",
            stapled_ocsp_response=None,
            trust=Trust(mozilla_roots=(ROOT.der,)),
            at=AT,
        )
        expected = TrustSource.NOTHING if served is chain else TrustSource.MOZILLA_ROOT
        assert judgement.trust is expected
