"""A key for RSASSA-PSS verifies what its certificate permits and nothing else (RFC 4055)."""

from datetime import timedelta

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from otpc_policy.pki.budget import WorkBudget
from otpc_policy.pki.certificate import decode_certificate
from otpc_policy.pki.crl import UnusableCrlError, read_crl
from otpc_policy.pki.decoded_certificate import DecodedCertificate
from otpc_policy.pki.judge import judge_chain
from otpc_policy.pki.judgement import StapleStatus, TrustSource
from otpc_policy.pki.ocsp import judge_staple
from otpc_policy.pki.signatures import SignatureChecks
from otpc_policy.pki.trust import Trust, TrustEntry
from tests.support.certificates import CertificateAuthority
from tests.support.crls import crl
from tests.support.forging import AT, KEY, Edit, Made, authority, elements_of, leaf
from tests.support.signing import der_element, now

HOST = "partner.test"
PSS = bytes.fromhex("06092a864886f70d01010a")
MGF1 = bytes.fromhex("06092a864886f70d010108")
SHA256, SHA512 = (bytes.fromhex(f"060960864801650304020{number}") for number in (1, 3))


def parameters(hash_oid: bytes, mask_oid: bytes, salt: bytes) -> bytes:
    """Return RSASSA-PSS-params (RFC 4055 3.1). salt: the content of the integer."""
    hashing, masking = (der_element(0x30, oid + b"\x05\x00") for oid in (hash_oid, mask_oid))
    return der_element(
        0x30,
        der_element(0xA0, hashing)
        + der_element(0xA1, der_element(0x30, MGF1 + masking))
        + der_element(0xA2, der_element(0x02, salt)),
    )


def for_pss(of_key: bytes) -> Edit:
    """Return what makes the key one for RSASSA-PSS. of_key: its parameters in DER, or nothing."""

    def edit(elements: list[bytes]) -> None:
        _, key = elements_of(elements[KEY])
        elements[KEY] = der_element(0x30, der_element(0x30, PSS + of_key) + key)

    return edit


def trust_in(root: Made, hash_name: str) -> TrustSource:
    """Return the trust in a leaf that the root signed. hash_name: "pss" is SHA-256, salt of 32."""
    return judge_chain(
        [leaf(root, hash_name=hash_name).der],
        server_name=HOST,
        stapled_ocsp_response=None,
        trust=Trust(mozilla_roots=(), entries=(TrustEntry(hosts=(HOST,), anchors=(root.der,)),)),
        at=AT,
    ).trust


WIDE, FITTING = b"", parameters(SHA256, SHA256, b"\x20")


@pytest.mark.parametrize(
    ("of_key", "verifies_pss"),
    [
        (WIDE, True),
        (FITTING, True),
        # A shorter salt is the least, a longer one is not met.
        (parameters(SHA256, SHA256, b"\x1f"), True),
        (parameters(SHA256, SHA256, b"\x21"), False),
        (parameters(SHA256, SHA256, b"\x00" * 8 + b"\x20"), False),
        (parameters(SHA512, SHA512, b"\x20"), False),
        (parameters(SHA256, SHA512, b"\x20"), False),
        # The defaults: SHA-1 and a salt of 20.
        (der_element(0x30, b""), False),
        (b"\x05\x00", False),
        (der_element(0x04, b"\x00"), False),
    ],
)
def test_the_parameters_of_the_key_restrict_it(of_key: bytes, verifies_pss: bool) -> None:
    root = authority("PSS root", key="rsa2048", edit=for_pss(of_key))
    expected = TrustSource.ANCHOR if verifies_pss else TrustSource.NOTHING
    assert trust_in(root, "pss") is expected
    assert trust_in(root, "sha256") is TrustSource.NOTHING


def test_a_plain_rsa_key_verifies_both() -> None:
    root = authority("RSA root", key="rsa2048")
    assert trust_in(root, "pss") is trust_in(root, "sha256") is TrustSource.ANCHOR


def with_pss_key(issuer: CertificateAuthority) -> DecodedCertificate:
    """Return a certificate of the same name and key, which is for RSASSA-PSS there."""
    key = issuer.private_key
    assert isinstance(key, rsa.RSAPrivateKey)
    name = issuer.certificate.subject.rfc4514_string().removeprefix("CN=")
    return decode_certificate(authority(name, key=key, edit=for_pss(WIDE)).der)


def test_no_list_with_another_signature_counts() -> None:
    issuer = CertificateAuthority.create("Root", key="rsa2048")
    body = crl(issuer)
    read_crl(body, decode_certificate(issuer.der))
    with pytest.raises(UnusableCrlError, match="sign"):
        read_crl(body, with_pss_key(issuer))


def status_of(response: bytes, server: bytes, by: DecodedCertificate) -> StapleStatus:
    checks = SignatureChecks(WorkBudget())
    return judge_staple(response, decode_certificate(server), by, now(), checks=checks).status


def signed_with_pss(response: bytes, key: rsa.RSAPrivateKey) -> bytes:
    """Return a response without certificates, signed anew with SHA-256 and a salt of 32."""
    status, wrapped = elements_of(response)
    (basic,) = elements_of(wrapped)
    kind, octets = elements_of(basic)
    (whole,) = elements_of(octets)
    answers = elements_of(whole)[0]
    padded = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    signature = key.sign(answers, padded, hashes.SHA256())
    algorithm = der_element(0x30, PSS + FITTING)
    signed = der_element(0x30, answers + algorithm + der_element(0x03, b"\0" + signature))
    basic = der_element(0x30, kind + der_element(0x04, signed))
    return der_element(0x30, status + der_element(0xA0, basic))


def test_a_staple_counts_with_signatures_that_the_key_may_make() -> None:
    issuer = CertificateAuthority.create("Root", key="rsa2048")
    assert isinstance(issuer.private_key, rsa.RSAPrivateKey)
    issued = issuer.issue()
    server = issued.chain_der[0]
    plain = issuer.ocsp_response(issued.certificate, next_update=now() + timedelta(days=1))
    salted = signed_with_pss(plain, issuer.private_key)
    assert status_of(plain, server, decode_certificate(issuer.der)) is StapleStatus.GOOD
    assert status_of(plain, server, with_pss_key(issuer)) is StapleStatus.UNVERIFIED
    assert status_of(salted, server, decode_certificate(issuer.der)) is StapleStatus.GOOD
    assert status_of(salted, server, with_pss_key(issuer)) is StapleStatus.GOOD
