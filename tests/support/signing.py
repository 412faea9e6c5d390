"""The parts of test certificates: keys, extensions, and signatures, weak hashes included."""

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PrivateKey = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
    | dsa.DSAPrivateKey
)

_CURVES: dict[str, ec.EllipticCurve] = {
    "ec224": ec.SECP224R1(),
    "ec256": ec.SECP256R1(),
    "ec256k1": ec.SECP256K1(),
    "ec384": ec.SECP384R1(),
    "ec521": ec.SECP521R1(),
}
HASHES: dict[str, hashes.HashAlgorithm] = {
    "md5": hashes.MD5(),
    "sha1": hashes.SHA1(),
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
# AlgorithmIdentifiers in DER. cryptography refuses to sign certificates with MD5 or SHA-1, so those
# are inserted by hand.
_RSA_SHA256 = bytes.fromhex("300d06092a864886f70d01010b0500")
_ECDSA_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")
_WEAK_ALGORITHMS = {
    ("rsa", "md5"): bytes.fromhex("300d06092a864886f70d0101040500"),
    ("rsa", "sha1"): bytes.fromhex("300d06092a864886f70d0101050500"),
    ("ecdsa", "sha1"): bytes.fromhex("300906072a8648ce3d0401"),
}
_PURPOSES = {
    "server_auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client_auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "ocsp_signing": ExtendedKeyUsageOID.OCSP_SIGNING,
    "any": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
}


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def common_name_only(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: PrivateKey,
    *,
    not_before: datetime | None,
    not_after: datetime | None,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before or now() - timedelta(days=1))
        .not_valid_after(not_after or now() + timedelta(days=90))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def authority_builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: PrivateKey,
    *,
    not_before: datetime | None,
    not_after: datetime | None,
    permitted_dns: Sequence[str],
    excluded_dns: Sequence[str],
    path_length: int | None,
) -> x509.CertificateBuilder:
    builder = _builder(subject, issuer, key, not_before=not_before, not_after=not_after)
    builder = builder.add_extension(
        x509.BasicConstraints(ca=True, path_length=path_length), critical=True
    )
    builder = builder.add_extension(_key_usage(authority=True), critical=True)
    if permitted_dns or excluded_dns:
        constraints = x509.NameConstraints(
            permitted_subtrees=[x509.DNSName(name) for name in permitted_dns] or None,
            excluded_subtrees=[x509.DNSName(name) for name in excluded_dns] or None,
        )
        builder = builder.add_extension(constraints, critical=True)
    return builder


def leaf_builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: PrivateKey,
    *,
    not_before: datetime | None,
    not_after: datetime | None,
    dns: Sequence[str],
    ips: Sequence[str],
    with_san: bool,
    san_critical: bool,
    must_staple: bool,
    extended_key_usage: Sequence[str],
    ca: bool,
) -> x509.CertificateBuilder:
    builder = _builder(
        subject, issuer, key, not_before=not_before, not_after=not_after
    ).add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    if not ca:
        builder = builder.add_extension(_key_usage(authority=False), critical=True)
    if with_san:
        names: list[x509.GeneralName] = [x509.DNSName(name) for name in dns]
        names += [x509.IPAddress(ipaddress.ip_address(ip)) for ip in ips]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=san_critical)
    if extended_key_usage:
        builder = builder.add_extension(
            x509.ExtendedKeyUsage([_PURPOSES[purpose] for purpose in extended_key_usage]),
            critical=False,
        )
    if must_staple:
        builder = builder.add_extension(
            x509.TLSFeature([x509.TLSFeatureType.status_request]), critical=False
        )
    return builder


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def private_key(kind: str, owner: str = "") -> PrivateKey:
    """Return a key.

    RSA and DSA keys are slow to make, so they are kept per kind and owner; others are always new.
    """
    if kind in _CURVES:
        return ec.generate_private_key(_CURVES[kind])
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if kind == "ed448":
        return ed448.Ed448PrivateKey.generate()
    return _slow_key(kind, owner)


@cache
def _slow_key(kind: str, owner: str) -> PrivateKey:
    if kind.startswith("rsa"):
        bits, _, exponent = kind.removeprefix("rsa").partition("e")
        return rsa.generate_private_key(public_exponent=int(exponent or 65537), key_size=int(bits))
    if kind.startswith("dsa"):
        return dsa.generate_private_key(key_size=int(kind.removeprefix("dsa")))
    raise ValueError(f"no such kind of key: {kind}")


def sign(builder: x509.CertificateBuilder, key: PrivateKey, hash_name: str) -> x509.Certificate:
    """Return the signed certificate.

    hash_name: ignored for Ed25519 and Ed448; "pss" is RSA-PSS with SHA-256.
    """
    if isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey):
        return builder.sign(key, None)
    if hash_name == "pss":
        assert isinstance(key, rsa.RSAPrivateKey)
        return builder.sign(
            key,
            hashes.SHA256(),
            rsa_padding=padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH),
        )
    if hash_name not in ("md5", "sha1"):
        algorithm = HASHES[hash_name]
        assert isinstance(algorithm, hashes.SHA256 | hashes.SHA384 | hashes.SHA512)
        return builder.sign(key, algorithm)
    return _sign_weakly(builder.sign(key, hashes.SHA256()), key, hash_name)


def _sign_weakly(
    certificate: x509.Certificate, key: PrivateKey, hash_name: str
) -> x509.Certificate:
    """Return the certificate with a signature algorithm that cryptography refuses to sign with."""
    strong, weak = (
        (_RSA_SHA256, _WEAK_ALGORITHMS["rsa", hash_name])
        if isinstance(key, rsa.RSAPrivateKey)
        else (_ECDSA_SHA256, _WEAK_ALGORITHMS["ecdsa", hash_name])
    )
    signed_part = certificate.tbs_certificate_bytes
    header_length = 2 if signed_part[1] < 0x80 else 2 + (signed_part[1] & 0x7F)
    signed_part = der_element(0x30, signed_part[header_length:].replace(strong, weak, 1))
    if isinstance(key, rsa.RSAPrivateKey):
        signature = key.sign(signed_part, padding.PKCS1v15(), HASHES[hash_name])
    else:
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        signature = key.sign(signed_part, ec.ECDSA(HASHES[hash_name]))
    return x509.load_der_x509_certificate(
        der_element(0x30, signed_part + weak + der_element(0x03, b"\x00" + signature))
    )


def der_element(tag: int, content: bytes) -> bytes:
    """Return an element in DER."""
    if len(content) < 0x80:
        return bytes([tag, len(content)]) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content
