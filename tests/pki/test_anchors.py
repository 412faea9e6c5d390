"""Anchors: private authorities as people make them are accepted, what is no authority is not."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from otpc_policy.pki.anchors import partner_anchor_set, problem_with_anchor, web_anchor_set
from otpc_policy.pki.judge import judge_chain
from otpc_policy.pki.judgement import TrustSource
from otpc_policy.pki.roots import mozilla_roots
from otpc_policy.pki.trust import Trust, TrustEntry
from tests.support import forging
from tests.support.certificates import CertificateAuthority, self_signed

NOW = datetime.now(UTC)


def plain_authority(
    *,
    ca: bool | None,
    critical: bool,
    key_cert_sign: bool | None,
    purposes: tuple[x509.ObjectIdentifier, ...] = (),
) -> CertificateAuthority:
    """An authority in the manner of `openssl req -x509`; None leaves the extension out."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Plain Root")])
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    issuer_and_serial = x509.AuthorityKeyIdentifier(
        identifier.digest, [x509.DirectoryName(name)], 7
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=90))
        .add_extension(identifier, critical=False)
        .add_extension(issuer_and_serial, critical=False)
    )
    if ca is not None:
        builder = builder.add_extension(
            x509.BasicConstraints(ca=ca, path_length=None), critical=critical
        )
    if key_cert_sign is not None:
        usage = x509.KeyUsage(True, False, False, False, False, key_cert_sign, False, False, False)
        builder = builder.add_extension(usage, critical=True)
    if purposes:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    return CertificateAuthority(builder.sign(key, hashes.SHA256()), key)


@pytest.mark.parametrize("with_san", [True, False])
@pytest.mark.parametrize(
    ("authority", "expected"),
    [
        (plain_authority(ca=True, critical=True, key_cert_sign=None), TrustSource.ANCHOR),
        (plain_authority(ca=True, critical=False, key_cert_sign=None), TrustSource.ANCHOR),
        (plain_authority(ca=True, critical=True, key_cert_sign=True), TrustSource.ANCHOR),
        (
            plain_authority(
                ca=True,
                critical=True,
                key_cert_sign=None,
                purposes=(ExtendedKeyUsageOID.SERVER_AUTH,),
            ),
            TrustSource.ANCHOR,
        ),
        (
            plain_authority(
                ca=True,
                critical=True,
                key_cert_sign=None,
                purposes=(ExtendedKeyUsageOID.CLIENT_AUTH,),
            ),
            TrustSource.NOTHING,
        ),
        (plain_authority(ca=True, critical=True, key_cert_sign=False), TrustSource.NOTHING),
        (plain_authority(ca=False, critical=True, key_cert_sign=True), TrustSource.NOTHING),
        (plain_authority(ca=None, critical=True, key_cert_sign=True), TrustSource.NOTHING),
        (plain_authority(ca=None, critical=True, key_cert_sign=None), TrustSource.NOTHING),
    ],
)
def test_what_may_be_an_authority(
    authority: CertificateAuthority, expected: TrustSource, with_san: bool
) -> None:
    trust = Trust(
        mozilla_roots=(), entries=(TrustEntry(hosts=("partner.test",), anchors=(authority.der,)),)
    )
    chain = authority.issue(with_san=with_san).chain_der
    judgement = judge_chain(
        chain, server_name="partner.test", stapled_ocsp_response=None, trust=trust, at=NOW
    )
    assert judgement.trust is expected


def test_an_intermediate_that_is_no_authority_does_not_help() -> None:
    """The relaxed policy for partners relaxes forms, not the right to issue."""
    root = CertificateAuthority.create("Partner Root")
    trust = Trust(
        mozilla_roots=(), entries=(TrustEntry(hosts=("partner.test",), anchors=(root.der,)),)
    )
    for holder in (
        root.issue(common_name="holder", with_san=False),
        root.issue(common_name="holder", extended_key_usage=()),
    ):
        leaf = CertificateAuthority(holder.certificate, holder.private_key, holder.chain).issue()
        judgement = judge_chain(
            leaf.chain_der,
            server_name="partner.test",
            stapled_ocsp_response=None,
            trust=trust,
            at=NOW,
        )
        assert (judgement.trust, judgement.path) == (TrustSource.NOTHING, (0, 1))


def test_every_mozilla_root_may_issue() -> None:
    prepared = web_anchor_set(mozilla_roots()).by_subject.values()
    assert sum(map(len, prepared)) == len(mozilla_roots())


def test_sets_are_prepared_once() -> None:
    der = CertificateAuthority.create().der
    assert web_anchor_set(mozilla_roots()) is web_anchor_set(mozilla_roots())
    assert partner_anchor_set((der,)) is partner_anchor_set((bytes(bytearray(der)),))


@pytest.mark.parametrize("ca", [True, False])
def test_a_configured_anchor_that_is_useless_is_named(ca: bool) -> None:
    issued = self_signed(ca=ca)
    problem = problem_with_anchor(issued.der)
    assert (problem is None) is ca
    assert ca or issued.sha256 in str(problem)


def test_a_configured_anchor_whose_right_to_issue_cannot_be_read_is_named() -> None:
    odd = x509.UnrecognizedExtension(x509.BasicConstraints.oid, b"\x30\x09a")
    problem = problem_with_anchor(forging.authority("Odd", plus=[(odd, True)]).der)
    assert problem == ("the basicConstraints of CN=Odd cannot be read, so it cannot be an anchor")


def test_a_configured_anchor_that_cannot_be_decoded_is_named() -> None:
    assert problem_with_anchor(b"garbage") == "cannot be decoded as an X.509 certificate"
    assert (
        problem_with_anchor(
            plain_authority(ca=True, critical=True, key_cert_sign=True).certificate.public_bytes(
                Encoding.DER
            )
        )
        is None
    )
