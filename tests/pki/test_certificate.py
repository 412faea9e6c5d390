"""Decoding: everything is read at once, and nothing but MalformedCertificate comes out."""

import hashlib
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import cryptography_vectors
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from otpc_policy.core.errors import MalformedCertificate
from otpc_policy.core.facts import KeyType
from otpc_policy.pki.certificate import decode_certificate, spki_sha256, view_certificate
from otpc_policy.pki.judge import judge_chain
from otpc_policy.pki.judgement import TrustSource
from otpc_policy.pki.lenient_decoding import decoding_leniently
from otpc_policy.pki.pem import read_pem_bundle
from otpc_policy.pki.roots import mozilla_roots
from otpc_policy.pki.trust import Trust
from tests.support.certificates import CertificateAuthority
from tests.support.forging import leaf

X509_VECTORS = Path(cryptography_vectors.__file__).parent / "x509"
AT = datetime(2020, 1, 1, tzinfo=UTC)


def x509_files() -> Iterator[Path]:
    return (one for one in sorted(X509_VECTORS.rglob("*")) if one.is_file())


def certificates_in(path: Path) -> tuple[bytes, ...]:
    """DER files as they are, PEM files unpacked; what is neither stays as it is."""
    raw = path.read_bytes()
    try:
        return read_pem_bundle(raw.decode("latin-1"))
    except ValueError:
        return (raw,)


def test_every_x509_vector_is_a_view_or_malformed_and_can_be_judged() -> None:
    """PKITS, CRLs, requests and deliberately broken files included; warnings are errors here, as
    everywhere in these tests.
    """
    trust = Trust(mozilla_roots=mozilla_roots())
    read, refused = 0, 0
    files = tuple(x509_files())
    for path in files:
        ders = certificates_in(path)
        judgement = judge_chain(
            ders,
            server_name="partner.test",
            stapled_ocsp_response=path.read_bytes(),
            trust=trust,
            at=AT,
        )
        assert judgement.trust is TrustSource.NOTHING, path
        for der in ders:
            try:
                read += len(view_certificate(der).sha256) == 64
            except MalformedCertificate:
                refused += 1
    assert len(files) > 1700
    assert read > 450
    assert refused > 1000


def test_the_text_of_a_malformed_certificate_is_ours() -> None:
    with pytest.raises(MalformedCertificate, match=r"\Aits structure cannot be decoded\Z"):
        view_certificate(b"\x30\x03\x02\x01\x01")


@pytest.mark.parametrize(
    "der", [b"", b"\x30", b"\x00" * 40, b"-----BEGIN CERTIFICATE-----", b"\x30\x84\xff\xff\xff\xff"]
)
def test_bytes_that_are_no_certificate_are_malformed(der: bytes) -> None:
    with pytest.raises(MalformedCertificate):
        view_certificate(der)


def test_every_truncation_of_a_certificate_is_malformed() -> None:
    der = CertificateAuthority.create().issue().der
    for length in range(len(der)):
        with pytest.raises(MalformedCertificate):
            view_certificate(der[:length])


def test_every_flipped_byte_is_a_view_or_malformed() -> None:
    der = CertificateAuthority.create().issue(ips=("192.0.2.1",), must_staple=True).der
    refused = 0
    for index in range(len(der)):
        for mask in (0x01, 0x80, 0xFF):
            try:
                view_certificate(der[:index] + bytes([der[index] ^ mask]) + der[index + 1 :])
            except MalformedCertificate:
                refused += 1
    assert refused > 100


def test_warnings_do_not_reach_the_caller() -> None:
    """Mozilla's own roots have a serial number that is not positive, which cryptography warns
    about.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        views = [view_certificate(der) for der in mozilla_roots()]
    assert len(views) > 100
    assert all(view.is_self_issued for view in views)


@pytest.mark.parametrize(
    ("key", "key_type", "bits", "name"),
    [
        ("rsa1024", KeyType.RSA, 1024, "RSA 1024"),
        ("rsa2048", KeyType.RSA, 2048, "RSA 2048"),
        ("ec224", KeyType.ECDSA, 224, "EC secp224r1"),
        ("ec256", KeyType.ECDSA, 256, "EC secp256r1"),
        ("ec384", KeyType.ECDSA, 384, "EC secp384r1"),
        ("ed25519", KeyType.EDDSA, 0, "Ed25519"),
        ("dsa2048", KeyType.DSA, 2048, "DSA 2048"),
    ],
)
def test_keys_are_described(key: str, key_type: KeyType, bits: int, name: str) -> None:
    view = view_certificate(CertificateAuthority.create().issue(key=key).der)
    assert (view.key_type, view.key_bits, view.key_name) == (key_type, bits, name)


@pytest.mark.parametrize(
    ("authority_key", "hash_name", "algorithm"),
    [
        ("rsa2048", "md5", "md5WithRSAEncryption"),
        ("rsa2048", "sha1", "sha1WithRSAEncryption"),
        ("rsa2048", "sha256", "sha256WithRSAEncryption"),
        ("ec256", "sha1", "ecdsa-with-SHA1"),
        ("ec384", "sha384", "ecdsa-with-SHA384"),
    ],
)
def test_signatures_are_described(authority_key: str, hash_name: str, algorithm: str) -> None:
    view = view_certificate(
        CertificateAuthority.create(key=authority_key).issue(hash_name=hash_name).der
    )
    assert (view.signature_hash, view.signature_algorithm) == (hash_name, algorithm)


def test_a_signature_without_a_separate_hash_has_none() -> None:
    view = view_certificate(CertificateAuthority.create(key="ed25519").issue().der)
    assert (view.signature_hash, view.signature_algorithm) == ("", "ed25519")


def test_a_hash_that_is_not_known_is_not_called_none() -> None:
    (der,) = certificates_in(X509_VECTORS / "verisign_md2_root.pem")
    assert view_certificate(der).signature_hash not in ("", "sha256")


def test_names_dates_and_pins_are_read() -> None:
    not_before, not_after = (
        datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        datetime(2026, 4, 2, 3, 4, 5, tzinfo=UTC),
    )
    issued = CertificateAuthority.create("Root, with a comma").issue(
        dns=("partner.test", "*.partner.test"),
        ips=("192.0.2.1", "2001:db8::1"),
        common_name="partner.test",
        not_before=not_before,
        not_after=not_after,
    )
    view = view_certificate(issued.der)
    assert view.subject_alt_names == ("partner.test", "*.partner.test", "192.0.2.1", "2001:db8::1")
    assert view.common_names == ("partner.test",)
    assert (view.subject, view.issuer) == ("CN=partner.test", r"CN=Root\, with a comma")
    assert (view.not_before, view.not_after) == (not_before, not_after)
    assert (view.sha256, view.spki_sha256) == (issued.sha256, issued.spki_sha256)
    assert int(view.serial_number, 16) == issued.certificate.serial_number
    assert not view.is_self_issued
    assert not view.must_staple


@pytest.mark.parametrize("must_staple", [True, False])
def test_must_staple_is_read(must_staple: bool) -> None:
    assert (
        view_certificate(
            CertificateAuthority.create().issue(must_staple=must_staple).der
        ).must_staple
        is must_staple
    )


def test_the_hash_of_the_key_alone_is_that_of_the_view_or_none() -> None:
    issued = CertificateAuthority.create().issue(dns=("a.example",))
    digest = spki_sha256(issued.der)
    assert digest is not None
    assert digest.hex() == view_certificate(issued.der).spki_sha256
    for length in range(0, len(issued.der), 7):
        assert spki_sha256(issued.der[:length]) is None


def test_the_hash_of_the_key_raises_for_nothing() -> None:
    for path in x509_files():
        for der in certificates_in(path):
            digest = spki_sha256(der)
            assert digest is None or len(digest) == 32


def test_the_spki_is_hashed_as_it_stands_in_the_certificate() -> None:
    """Encoded anew, Mozilla's roots give the same; a compressed point or a PSS key would not, so
    the bytes are taken from the certificate.
    """
    for der in mozilla_roots():
        decoded = decode_certificate(der)
        with decoding_leniently():
            certificate = x509.load_der_x509_certificate(der)
        spki = certificate.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        assert decoded.view.spki_sha256 == hashlib.sha256(spki).hexdigest()


def test_control_characters_do_not_reach_people() -> None:
    view = view_certificate(
        CertificateAuthority.create().issue(common_name="evil\x1b[31m\nname").der
    )
    assert view.subject.isprintable()


def test_a_critical_extension_is_seen_among_others_that_are_not_known() -> None:
    """Extensions are looked up by kind, and all that nobody knows are of one kind."""
    foreign = [
        x509.UnrecognizedExtension(
            x509.ObjectIdentifier(f"1.3.6.1.4.1.32473.{number}"), b"\x05\x00"
        )
        for number in range(3)
    ]
    for critical in (None, 0, 1, 2):
        plus = [(one, number == critical) for number, one in enumerate(foreign)]
        decoded = decode_certificate(leaf(None, plus=plus).der)
        assert bool(decoded.extensions.not_understood) is (critical is not None)
        assert (decoded.dns_names, decoded.is_ca, decoded.may_sign_handshakes) == (
            ("partner.test",),
            False,
            True,
        )
